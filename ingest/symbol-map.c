#include "ingest/symbol-map.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"

struct member {
	char *name;   /* owned */
	char *quoted; /* owned: the name as it is written */
	char *text;   /* owned: the value, compact */
};

struct tv_symbol_map {
	size_t n, cap;
	struct member *members; /* ascending by name */
	bool changed;
};

static void member_free(struct member *m)
{
	free(m->name);
	free(m->quoted);
	free(m->text);
}

void tv_symbol_map_free(struct tv_symbol_map *map)
{
	if (!map)
		return;
	for (size_t i = 0; i < map->n; i++)
		member_free(&map->members[i]);
	free(map->members);
	free(map);
}

static int reserve(struct tv_symbol_map *map, size_t n, struct tv_err *err)
{
	if (n <= map->cap)
		return 0;
	size_t cap = 2 * map->cap > n ? 2 * map->cap : n;
	struct member *members = reallocarray(map->members, cap, sizeof(*members));
	if (!members)
		return tv_err_nomem(err);
	map->members = members;
	map->cap = cap;
	return 0;
}

/* Puts a member before number `at`; takes its parts, which may be NULL when memory was short. */
static int insert(struct tv_symbol_map *map, size_t at, struct member m, struct tv_err *err)
{
	bool whole = m.name && m.quoted && m.text;
	int r = whole ? reserve(map, map->n + 1, err) : tv_err_nomem(err);
	if (r < 0) {
		member_free(&m);
		return r;
	}
	memmove(map->members + at + 1, map->members + at, (map->n - at) * sizeof(m));
	map->members[at] = m;
	map->n++;
	return 0;
}

/* --- reading ----------------------------------------------------------------------------------- */

static char *compact(struct tv_json_span span)
{
	tv_autobuf struct tv_buf text = TV_BUF_INIT;
	tv_json_span_compact(span, &text);
	return tv_buf_steal_str(&text);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

static int take_members(struct tv_symbol_map *map, struct tv_json_span object, struct tv_err *err)
{
	struct tv_json_span key, value;
	int r = 0;
	for (struct tv_json_walk w = tv_json_span_walk(object);
	     r == 0 && tv_json_walk_next(&w, &key, &value);)
		r = insert(map, map->n,
			   (struct member){ tv_json_span_text(key), strndup(key.at, key.n),
					    compact(value) },
			   err);
	if (r < 0 || !map->n)
		return r;
	qsort(map->members, map->n, sizeof(*map->members), by_name);
	for (size_t i = 1; i < map->n; i++)
		if (by_name(&map->members[i - 1], &map->members[i]) == 0)
			return tv_err_set(err, -EINVAL, "'%s' occurs twice", map->members[i].name);
	return 0;
}

int tv_symbol_map_parse(const char *name, const char *text, size_t n, struct tv_symbol_map **out,
			struct tv_err *err)
{
	tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *map = calloc(1, sizeof(*map));
	struct tv_json_span span;
	if (!map)
		return tv_err_nomem(err);
	int r = n ? tv_json_span_open(text, n, &span, err) : 0;
	if (r == 0 && n && tv_json_span_kind(span) != TV_JSON_OBJECT)
		r = tv_err_set(err, -EINVAL, "it is %s, wanted is an object with a member a symbol",
			       tv_json_kind_name(tv_json_span_kind(span)));
	if (r == 0 && n)
		r = take_members(map, span, err);
	if (r < 0)
		return tv_err_wrap(err, r, "'%s'", name);
	*out = tv_steal_ptr(&map);
	return 0;
}

/* --- looking up -------------------------------------------------------------------------------- */

size_t tv_symbol_map_count(const struct tv_symbol_map *map)
{
	return map->n;
}

const char *tv_symbol_map_name(const struct tv_symbol_map *map, size_t i)
{
	return map->members[i].name;
}

struct tv_json_span tv_symbol_map_entry(const struct tv_symbol_map *map, size_t i)
{
	const char *text = map->members[i].text;
	return (struct tv_json_span){ text, strlen(text) };
}

/* Where a name stands or would stand. */
static size_t place_of(const struct tv_symbol_map *map, const char *name, bool *found)
{
	size_t low = 0, high = map->n;
	*found = false;
	while (low < high && !*found) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(map->members[middle].name, name);
		*found = order == 0;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return high;
}

/* Whether an entry that could be several symbols' says that it is this one's, or that it is not: 1,
 * 0; -1 when it says nothing. */
static int says_so(struct tv_json_span entry, const char *symbol)
{
	struct tv_json_span said;
	size_t n = strcspn(symbol, ":");
	tv_autofree char *exchange = strndup(symbol, n);
	if (tv_json_span_member(entry, "symbol", &said) &&
	    tv_json_span_kind(said) == TV_JSON_TEXT && memchr(said.at, ':', said.n))
		return tv_json_span_is(said, symbol);
	if (exchange && tv_json_span_member(entry, "exchange", &said))
		return tv_json_span_is(said, exchange);
	return -1;
}

ptrdiff_t tv_symbol_map_find(const struct tv_symbol_map *map, const char *symbol)
{
	bool found;
	size_t at = place_of(map, symbol, &found);
	const char *colon = strchr(symbol, ':');
	if (found || !colon)
		return found ? (ptrdiff_t)at : -1;
	tv_autofree char *as_file = strdup(symbol);
	if (!as_file)
		return -1;
	as_file[colon - symbol] = '_';
	at = place_of(map, as_file, &found);
	if (found && says_so(tv_symbol_map_entry(map, at), symbol) != 0)
		return (ptrdiff_t)at;
	at = place_of(map, colon + 1, &found);
	return found && says_so(tv_symbol_map_entry(map, at), symbol) == 1 ? (ptrdiff_t)at : -1;
}

/* --- setting ----------------------------------------------------------------------------------- */

bool tv_json_span_time(const char *text, int64_t *ns)
{
	tv_autofree char *zoned = NULL;
	if (tv_time_parse(text, ns, NULL) == 0)
		return true;
	tv_autobuf struct tv_buf with_zone = TV_BUF_INIT;
	tv_buf_addf(&with_zone, "%sZ", text);
	zoned = tv_buf_steal_str(&with_zone);
	return zoned && strlen(text) > 10 && tv_time_parse(zoned, ns, NULL) == 0;
}

/* Whether a value that stands there means the same. */
static bool means(struct tv_json_span have, const struct tv_symbol_value *wanted)
{
	enum tv_json_kind kind = tv_json_span_kind(have);
	double number;
	if (wanted->kind == TV_VALUE_NUMBER)
		return kind == TV_JSON_NUMBER && tv_json_span_number(have, &number) &&
		       number == wanted->number;
	if (wanted->kind == TV_VALUE_JSON)
		return strlen(wanted->text) == have.n && memcmp(wanted->text, have.at, have.n) == 0;
	if (wanted->kind == TV_VALUE_NONE || kind != TV_JSON_TEXT)
		return false;
	if (wanted->kind == TV_VALUE_TEXT || tv_json_span_is(have, wanted->text))
		return tv_json_span_is(have, wanted->text);
	tv_autofree char *text = tv_json_span_text(have);
	int64_t a, b;
	return text && tv_json_span_time(text, &a) && tv_json_span_time(wanted->text, &b) && a == b;
}

static void add_name(const struct tv_json_span *quoted, const char *name, struct tv_buf *out)
{
	tv_buf_add_str(out, out->len > 1 ? ", " : "");
	if (quoted)
		tv_buf_add(out, quoted->at, quoted->n);
	else
		tv_json_quote(name, out);
	tv_buf_add_str(out, ": ");
}

static void add_value(const struct tv_symbol_value *value, struct tv_buf *out)
{
	if (value->kind == TV_VALUE_NUMBER)
		tv_json_add_exact(value->number, out);
	else if (value->kind == TV_VALUE_JSON)
		tv_buf_add_str(out, value->text);
	else
		tv_json_quote(value->text, out);
}

/* The entry with these values: those that it has in their places, the others behind. */
static char *with_values(struct tv_json_span entry, const struct tv_symbol_value *values, size_t n)
{
	tv_autobuf struct tv_buf out = TV_BUF_INIT;
	tv_autofree bool *seen = calloc(n + 1, sizeof(*seen));
	struct tv_json_span key, value;
	tv_buf_add_u8(&out, '{');
	bool object = seen && tv_json_span_kind(entry) == TV_JSON_OBJECT;
	for (struct tv_json_walk w = tv_json_span_walk(entry);
	     object && tv_json_walk_next(&w, &key, &value);) {
		size_t at = 0;
		while (at < n && !tv_json_span_is(key, values[at].name))
			at++;
		if (at < n && values[at].kind == TV_VALUE_NONE)
			continue;
		add_name(&key, NULL, &out);
		if (at == n || means(value, &values[at]))
			tv_buf_add(&out, value.at, value.n);
		else
			add_value(&values[at], &out);
		if (at < n)
			seen[at] = true;
	}
	for (size_t i = 0; seen && i < n; i++) {
		if (seen[i] || values[i].kind == TV_VALUE_NONE)
			continue;
		add_name(NULL, values[i].name, &out);
		add_value(&values[i], &out);
	}
	tv_buf_add_u8(&out, '}');
	return seen ? tv_buf_steal_str(&out) : NULL;
}

static char *quoted_name(const char *name)
{
	tv_autobuf struct tv_buf out = TV_BUF_INIT;
	tv_json_quote(name, &out);
	return tv_buf_steal_str(&out);
}

int tv_symbol_map_set(struct tv_symbol_map *map, const char *symbol,
		      const struct tv_symbol_value *values, size_t n, struct tv_err *err)
{
	ptrdiff_t at = tv_symbol_map_find(map, symbol);
	struct tv_json_span entry = { "{}", 2 };
	bool found;
	if (at >= 0)
		entry = tv_symbol_map_entry(map, (size_t)at);
	char *text = with_values(entry, values, n);
	if (!text)
		return tv_err_nomem(err);
	if (at >= 0 && strcmp(text, map->members[at].text) == 0) {
		free(text);
		return 0;
	}
	int r = 0;
	if (at < 0) {
		r = insert(map, place_of(map, symbol, &found),
			   (struct member){ strdup(symbol), quoted_name(symbol), text }, err);
	} else {
		free(map->members[at].text);
		map->members[at].text = text;
	}
	map->changed |= r == 0;
	return r;
}

void tv_symbol_map_remove(struct tv_symbol_map *map, const char *symbol)
{
	ptrdiff_t at = tv_symbol_map_find(map, symbol);
	if (at < 0)
		return;
	member_free(&map->members[at]);
	map->n--;
	memmove(map->members + at, map->members + at + 1,
		(map->n - (size_t)at) * sizeof(*map->members));
	map->changed = true;
}

bool tv_symbol_map_changed(const struct tv_symbol_map *map)
{
	return map->changed;
}

/* --- writing and merging ----------------------------------------------------------------------- */

int tv_symbol_map_print(const struct tv_symbol_map *map, struct tv_buf *out, struct tv_err *err)
{
	tv_buf_add_u8(out, '{');
	for (size_t i = 0; i < map->n; i++) {
		tv_buf_add_str(out, i ? ",\n  " : "\n  ");
		tv_buf_add_str(out, map->members[i].quoted);
		tv_buf_add_str(out, ": ");
		tv_buf_add_str(out, map->members[i].text);
	}
	tv_buf_add_str(out, map->n ? "\n}\n" : "}\n");
	return out->failed ? tv_err_nomem(err) : 0;
}

struct merge {
	const struct tv_symbol_map *sides[TV_N_SIDES];
	struct tv_symbol_map *out;
};

static const char *name_of(void *arg, enum tv_side side, size_t item)
{
	return ((struct merge *)arg)->sides[side]->members[item].name;
}

static bool are_equal(void *arg, enum tv_side a, size_t item_a, enum tv_side b, size_t item_b)
{
	const struct merge *m = arg;
	return strcmp(m->sides[a]->members[item_a].text, m->sides[b]->members[item_b].text) == 0;
}

static int take(void *arg, enum tv_side side, size_t item, struct tv_err *err)
{
	struct merge *m = arg;
	const struct member *from = &m->sides[side]->members[item];
	return insert(m->out, m->out->n,
		      (struct member){ strdup(from->name), strdup(from->quoted),
				       strdup(from->text) },
		      err);
}

/* Whether the result is not what is there already. */
static bool differ(const struct tv_symbol_map *a, const struct tv_symbol_map *b)
{
	bool same = a->n == b->n;
	for (size_t i = 0; i < a->n && same; i++)
		same = strcmp(a->members[i].name, b->members[i].name) == 0 &&
		       strcmp(a->members[i].text, b->members[i].text) == 0;
	return !same;
}

int tv_symbol_map_merge(const struct tv_symbol_map *base, const struct tv_symbol_map *theirs,
			const struct tv_symbol_map *ours, struct tv_symbol_map **out,
			struct tv_name_list *conflicts, struct tv_err *err)
{
	tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *merged = calloc(1, sizeof(*merged));
	struct merge m = { { base, theirs, ours }, merged };
	const struct tv_sides sides = {
		{ base->n, theirs->n, ours->n }, &m, name_of, are_equal, take
	};
	if (!merged)
		return tv_err_nomem(err);
	int r = tv_sides_merge(&sides, conflicts, err);
	if (r < 0)
		return r;
	merged->changed = differ(merged, theirs);
	*out = tv_steal_ptr(&merged);
	return 0;
}
