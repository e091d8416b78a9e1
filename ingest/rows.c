#include "ingest/rows.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"

struct tv_rows_text {
	struct tv_rows_text *next;
	char bytes[];
};

void tv_rows_free(struct tv_rows *rows)
{
	if (!rows)
		return;
	for (struct tv_rows_text *t = rows->texts; t;) {
		struct tv_rows_text *next = t->next;
		free(t);
		t = next;
	}
	free(rows->cells);
	*rows = TV_ROWS_INIT(rows->shape);
}

struct tv_cell *tv_rows_at(const struct tv_rows *rows, size_t i)
{
	return rows->cells + i * rows->shape->n_columns;
}

static const char *name_of(const struct tv_rows *rows, size_t i)
{
	return tv_rows_at(rows, i)->text;
}

/* The first row whose name is not less, or with `above` greater. */
static size_t bound(const struct tv_rows *rows, const char *name, bool above)
{
	size_t low = 0, high = rows->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name_of(rows, middle), name);
		if (order < 0 || (above && order == 0))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool tv_rows_find(const struct tv_rows *rows, const char *name, size_t *first, size_t *end)
{
	*first = bound(rows, name, false);
	*end = bound(rows, name, true);
	return *first < *end;
}

/* --- changing ---------------------------------------------------------------------------------- */

static int keep(struct tv_rows *rows, const char **text, struct tv_err *err)
{
	size_t n = strlen(*text) + 1;
	struct tv_rows_text *copy = malloc(sizeof(*copy) + n);
	if (!copy)
		return tv_err_nomem(err);
	memcpy(copy->bytes, *text, n);
	copy->next = rows->texts;
	rows->texts = copy;
	*text = copy->bytes;
	return 0;
}

static int reserve(struct tv_rows *rows, size_t n, struct tv_err *err)
{
	if (n <= rows->cap)
		return 0;
	size_t cap = 2 * rows->cap > n ? 2 * rows->cap : n;
	struct tv_cell *cells =
		reallocarray(rows->cells, cap, rows->shape->n_columns * sizeof(*cells));
	if (!cells)
		return tv_err_nomem(err);
	rows->cells = cells;
	rows->cap = cap;
	return 0;
}

int tv_rows_set(struct tv_rows *rows, size_t i, size_t column, const struct tv_cell *value,
		struct tv_err *err)
{
	struct tv_cell cell = *value;
	int r = 0;
	if (cell.known && rows->shape->columns[column].kind == TV_DUCK_TEXT)
		r = keep(rows, &cell.text, err);
	if (r == 0)
		tv_rows_at(rows, i)[column] = cell;
	return r;
}

int tv_rows_add(struct tv_rows *rows, const struct tv_cell *cells, struct tv_err *err)
{
	int r = reserve(rows, rows->n + 1, err);
	for (size_t c = 0; c < rows->shape->n_columns && r == 0; c++)
		r = tv_rows_set(rows, rows->n, c, &cells[c], err);
	rows->n += r == 0;
	return r;
}

static int by_key(const void *a, const void *b, void *arg)
{
	const struct tv_rows *rows = arg;
	size_t i = *(const size_t *)a, j = *(const size_t *)b, since = rows->shape->since;
	int order = strcmp(name_of(rows, i), name_of(rows, j));
	int64_t from = tv_rows_at(rows, i)[since].i64, to = tv_rows_at(rows, j)[since].i64;
	if (order == 0 && since && from != to)
		order = from < to ? -1 : 1;
	return order ? order : (i > j) - (i < j); /* equal keys keep their order */
}

int tv_rows_sort(struct tv_rows *rows, struct tv_err *err)
{
	size_t width = rows->shape->n_columns;
	tv_autofree size_t *order = calloc(rows->n + 1, sizeof(*order));
	struct tv_cell *sorted = calloc(rows->n + 1, width * sizeof(*sorted));
	if (!order || !sorted) {
		free(sorted);
		return tv_err_nomem(err);
	}
	for (size_t i = 0; i < rows->n; i++)
		order[i] = i;
	qsort_r(order, rows->n, sizeof(*order), by_key, rows);
	for (size_t i = 0; i < rows->n; i++)
		memcpy(sorted + i * width, tv_rows_at(rows, order[i]), width * sizeof(*sorted));
	free(rows->cells);
	rows->cells = sorted;
	rows->cap = rows->n + 1;
	return 0;
}

bool tv_cell_equal(enum tv_duck_kind kind, const struct tv_cell *a, const struct tv_cell *b)
{
	if (!a->known || !b->known)
		return a->known == b->known;
	if (kind == TV_DUCK_TEXT)
		return strcmp(a->text, b->text) == 0;
	if (kind == TV_DUCK_BOOL)
		return a->boolean == b->boolean;
	return a->i64 == b->i64; /* doubles bit by bit, too */
}

/* --- merging ----------------------------------------------------------------------------------- */

/* Where each name's rows begin, and the end. */
struct groups {
	const struct tv_rows *rows;
	size_t n, *first; /* owned */
};

struct merge {
	struct groups sides[TV_N_SIDES];
	struct tv_rows *out;
};

static int find_groups(const struct tv_rows *rows, struct groups *out, struct tv_err *err)
{
	out->rows = rows;
	out->first = calloc(rows->n + 1, sizeof(*out->first));
	if (!out->first)
		return tv_err_nomem(err);
	for (size_t i = 0; i < rows->n; i++)
		if (i == 0 || strcmp(name_of(rows, i - 1), name_of(rows, i)) != 0)
			out->first[out->n++] = i;
	out->first[out->n] = rows->n;
	return 0;
}

static const char *group_name(void *arg, enum tv_side side, size_t item)
{
	const struct groups *g = &((struct merge *)arg)->sides[side];
	return name_of(g->rows, g->first[item]);
}

/* but: a column that does not count, 0 for none */
static bool rows_equal(const struct tv_cell *a, const struct tv_cell *b,
		       const struct tv_rows_shape *shape, size_t but)
{
	for (size_t c = 0; c < shape->n_columns; c++)
		if ((!but || c != but) && !tv_cell_equal(shape->columns[c].kind, &a[c], &b[c]))
			return false;
	return true;
}

static bool groups_equal(void *arg, enum tv_side a, size_t item_a, enum tv_side b, size_t item_b)
{
	const struct merge *m = arg;
	const struct groups *ga = &m->sides[a], *gb = &m->sides[b];
	const struct tv_rows_shape *shape = ga->rows->shape;
	size_t but = a == TV_THEIRS && b == TV_OURS ? shape->written : 0;
	size_t n = ga->first[item_a + 1] - ga->first[item_a];
	if (n != gb->first[item_b + 1] - gb->first[item_b])
		return false;
	for (size_t i = 0; i < n; i++)
		if (!rows_equal(tv_rows_at(ga->rows, ga->first[item_a] + i),
				tv_rows_at(gb->rows, gb->first[item_b] + i), shape, but))
			return false;
	return true;
}

static int take_group(void *arg, enum tv_side side, size_t item, struct tv_err *err)
{
	struct merge *m = arg;
	const struct groups *g = &m->sides[side];
	int r = 0;
	for (size_t i = g->first[item]; i < g->first[item + 1] && r == 0; i++)
		r = tv_rows_add(m->out, tv_rows_at(g->rows, i), err);
	return r;
}

static bool all_equal(const struct tv_rows *a, const struct tv_rows *b)
{
	bool same = a->n == b->n;
	for (size_t i = 0; i < a->n && same; i++)
		same = rows_equal(tv_rows_at(a, i), tv_rows_at(b, i), a->shape, 0);
	return same;
}

int tv_rows_merge(const struct tv_rows *base, const struct tv_rows *theirs,
		  const struct tv_rows *ours, struct tv_rows *out, struct tv_name_list *conflicts,
		  struct tv_err *err)
{
	const struct tv_rows *const rows[TV_N_SIDES] = { base, theirs, ours };
	struct tv_sides sides = { .name = group_name, .equal = groups_equal, .take = take_group };
	tv_autorows struct tv_rows merged = TV_ROWS_INIT(out->shape);
	struct merge m = { .out = &merged };
	int r = 0;
	for (int side = 0; side < TV_N_SIDES && r == 0; side++) {
		r = find_groups(rows[side], &m.sides[side], err);
		sides.n[side] = m.sides[side].n;
	}
	sides.arg = &m;
	if (r == 0)
		r = tv_sides_merge(&sides, conflicts, err);
	for (int side = 0; side < TV_N_SIDES; side++)
		free(m.sides[side].first);
	if (r < 0)
		return r;
	merged.changed = !all_equal(&merged, theirs);
	*out = merged;
	merged = TV_ROWS_INIT(out->shape);
	return 0;
}
