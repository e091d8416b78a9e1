#include "ingest/candidates.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ingest/json-span.h"
#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/path.h"

#define EXACT_DOUBLE (INT64_C(1) << 53) /* integers up to here have a double of their own */

struct tv_candidate_text {
	struct tv_candidate_text *next;
	char *text; /* owned */
};

static void candidate_free(struct tv_candidate *c)
{
	for (struct tv_candidate_text *t = c->texts; t;) {
		struct tv_candidate_text *next = t->next;
		free(t->text);
		free(t);
		t = next;
	}
	free(c->symbol);
	free(c->places);
	free(c);
}

static void nothing(void *node)
{
	(void)node; /* the items own what the tree points to */
}

void tv_candidates_free(struct tv_candidates *candidates)
{
	if (!candidates)
		return;
	tdestroy(candidates->by_symbol, nothing);
	for (size_t i = 0; i < candidates->n; i++)
		candidate_free(candidates->items[i]);
	for (size_t i = 0; i < candidates->n_faults; i++)
		free(candidates->faults[i].message);
	free(candidates->items);
	free(candidates->faults);
	tv_name_list_free(&candidates->files);
	*candidates = TV_CANDIDATES_INIT;
}

static int by_symbol(const void *a, const void *b)
{
	return strcmp(((const struct tv_candidate *)a)->symbol,
		      ((const struct tv_candidate *)b)->symbol);
}

const struct tv_candidate *tv_candidates_find(const struct tv_candidates *candidates,
					      const char *symbol)
{
	const struct tv_candidate key = { .symbol = (char *)(uintptr_t)symbol };
	void *const *found = tfind(&key, &candidates->by_symbol, by_symbol);
	return found ? *found : NULL;
}

/* Room for one more; doubles at each power of two. */
static void *grown(void *items, size_t n, size_t size)
{
	return n & (n - 1) ? items : reallocarray(items, n ? 2 * n : 1, size);
}

/* --- one element ------------------------------------------------------------------------------- */

/* An element on its way into the list. The fault is a code of 0 and a text. */
struct element {
	struct tv_candidates *to;
	struct tv_candidate_place place;
	struct tv_json_span value;
	struct tv_err fault;
	struct tv_err *err;
};

static int note_fault(struct element *e)
{
	struct tv_candidates *to = e->to;
	struct tv_candidate_fault fault = { e->place, NULL };
	if (asprintf(&fault.message, "'%s', candidate %zu: %s", e->place.file, e->place.index,
		     e->fault.text) < 0)
		return tv_err_nomem(e->err);
	for (char *p = fault.message; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = '?';
	struct tv_candidate_fault *faults = grown(to->faults, to->n_faults, sizeof(*faults));
	if (!faults) {
		free(fault.message);
		return tv_err_nomem(e->err);
	}
	to->faults = faults;
	faults[to->n_faults++] = fault;
	return 0;
}

/* The candidate of a symbol, new or there already; takes the symbol. NULL when out of memory. */
static struct tv_candidate *candidate_of(struct tv_candidates *to, char *symbol)
{
	struct tv_candidate *c = calloc(1, sizeof(*c));
	void **found = NULL;
	if (c) {
		c->symbol = symbol;
		found = tsearch(c, &to->by_symbol, by_symbol);
	} else {
		free(symbol);
	}
	if (!found || *found != c) {
		if (c)
			candidate_free(c);
		return found ? *found : NULL;
	}
	struct tv_candidate **items = grown(to->items, to->n, sizeof(*items));
	if (!items) {
		tdelete(c, &to->by_symbol, by_symbol);
		candidate_free(c);
		return NULL;
	}
	to->items = items;
	return items[to->n++] = c;
}

static bool add_place(struct tv_candidate *c, const struct tv_candidate_place *place)
{
	struct tv_candidate_place *places = grown(c->places, c->n_places, sizeof(*places));
	if (!places)
		return false;
	c->places = places;
	places[c->n_places++] = *place;
	return true;
}

/* --- the symbol -------------------------------------------------------------------------------- */

/* A member that is a text; NULL when it is not there or not that. */
static char *text_member(struct tv_json_span object, const char *name)
{
	struct tv_json_span value;
	bool text = tv_json_span_member(object, name, &value) &&
		    tv_json_span_kind(value) == TV_JSON_TEXT;
	return text ? tv_json_span_text(value) : NULL;
}

/* A text that is far too long is not shown, nor a part of it, which could end within a character. */
static void blame_symbol(struct element *e, const char *whose, const char *symbol)
{
	if (strlen(symbol) > 200)
		tv_err_set(&e->fault, -EINVAL,
			   "%sa text of %zu bytes is wrong, expected is EXCHANGE:SYMBOL", whose,
			   strlen(symbol));
	else
		tv_err_set(&e->fault, -EINVAL, "%s'%s' is wrong, expected is EXCHANGE:SYMBOL",
			   whose, symbol);
}

static char *symbol_of_object(struct element *e)
{
	tv_autofree char *symbol = text_member(e->value, "symbol");
	tv_autofree char *exchange = text_member(e->value, "exchange");
	tv_autofree char *physical = text_member(e->value, "physical_symbol");
	char *joined = NULL;
	struct tv_err unused = TV_ERR_INIT;
	if (!symbol) {
		tv_err_set(&e->fault, -EINVAL,
			   "it has no text as its symbol, expected is EXCHANGE:SYMBOL");
		return NULL;
	}
	if (tv_symbol_check(symbol, &unused) == 0)
		return tv_steal_ptr(&symbol);
	if (exchange && !strchr(symbol, ':') && asprintf(&joined, "%s:%s", exchange, symbol) >= 0) {
		if (tv_symbol_check(joined, &unused) == 0)
			return joined;
		free(joined);
	}
	if (physical && tv_symbol_check(physical, &unused) == 0)
		return tv_steal_ptr(&physical);
	blame_symbol(e, "its symbol ", symbol);
	return NULL;
}

/* Owned by the caller. NULL: the fault says why, or memory is short. */
static char *symbol_of(struct element *e)
{
	enum tv_json_kind kind = tv_json_span_kind(e->value);
	if (kind == TV_JSON_OBJECT)
		return symbol_of_object(e);
	if (kind != TV_JSON_TEXT) {
		tv_err_set(
			&e->fault, -EINVAL,
			"it is %s, expected is a text EXCHANGE:SYMBOL or an object with `symbol`",
			tv_json_kind_name(kind));
		return NULL;
	}
	char *symbol = tv_json_span_text(e->value);
	struct tv_err unused = TV_ERR_INIT;
	if (!symbol || tv_symbol_check(symbol, &unused) == 0)
		return symbol;
	blame_symbol(e, "", symbol);
	free(symbol);
	return NULL;
}

/* --- facts ------------------------------------------------------------------------------------- */

static ptrdiff_t fact_of(struct tv_json_span key)
{
	static const char *const others[][2] = {
		{ "currency", "quote" },
		{ "base_currency", "base" },
		{ "asset_class", "profile" },
	};
	for (size_t fact = 0; fact < TV_FACTS; fact++)
		if (tv_json_span_is(key, tv_fact_column(fact)->name))
			return (ptrdiff_t)fact;
	for (size_t i = 0; i < TV_ARRAY_LEN(others); i++)
		if (tv_json_span_is(key, others[i][0]))
			return tv_fact_named(others[i][1]);
	return -1;
}

/* A number as the fact wants it. */
static bool take_number(struct tv_json_span value, enum tv_duck_kind kind, struct tv_cell *cell)
{
	double v = NAN;
	if (tv_json_span_kind(value) != TV_JSON_NUMBER || !tv_json_span_number(value, &v) ||
	    !isfinite(v))
		return false;
	if (kind == TV_DUCK_DOUBLE)
		cell->f64 = v;
	else if (fabs(v) <= (double)EXACT_DOUBLE && v == floor(v))
		cell->i64 = (int64_t)v;
	else
		return false;
	cell->known = true;
	return true;
}

static int take_text(struct tv_json_span value, struct tv_candidate *c, struct tv_cell *cell,
		     struct tv_err *err)
{
	struct tv_candidate_text *kept = calloc(1, sizeof(*kept));
	char *text = tv_json_span_text(value);
	if (!kept || !text) {
		free(kept);
		free(text);
		return tv_err_nomem(err);
	}
	*kept = (struct tv_candidate_text){ c->texts, text };
	c->texts = kept;
	/* scanners write "" for what they do not know */
	*cell = (struct tv_cell){ .known = *text != '\0', .text = text };
	return 0;
}

/* Whether all facts of an object are such as they must be; else e->fault. */
static bool check_facts(struct element *e)
{
	struct tv_json_span key, value;
	for (struct tv_json_walk w = tv_json_span_walk(e->value);
	     tv_json_walk_next(&w, &key, &value);) {
		ptrdiff_t fact = key.n ? fact_of(key) : -1;
		enum tv_json_kind kind = tv_json_span_kind(value);
		struct tv_cell unused;
		/* NaN is how pandas says that there is none */
		if (fact < 0 || kind == TV_JSON_NULL ||
		    (kind == TV_JSON_NUMBER && *value.at == 'N'))
			continue;
		enum tv_duck_kind wanted = tv_fact_column((size_t)fact)->kind;
		bool good = wanted == TV_DUCK_TEXT ? kind == TV_JSON_TEXT
						   : take_number(value, wanted, &unused);
		if (good)
			continue;
		tv_err_set(&e->fault, -EINVAL, "its %.*s is %s, expected is %s", (int)key.n, key.at,
			   tv_json_kind_name(kind),
			   wanted == TV_DUCK_TEXT    ? "a text"
			   : wanted == TV_DUCK_INT64 ? "a number without a fraction"
						     : "a finite number");
		return false;
	}
	return true;
}

static int take_facts(struct element *e, struct tv_candidate *c)
{
	struct tv_json_span key, value;
	int r = 0;
	if (tv_json_span_kind(e->value) != TV_JSON_OBJECT)
		return 0;
	for (struct tv_json_walk w = tv_json_span_walk(e->value);
	     r == 0 && tv_json_walk_next(&w, &key, &value);) {
		ptrdiff_t fact = fact_of(key);
		struct tv_cell *cell = fact < 0 ? NULL : &c->facts.cells[fact];
		if (!cell || cell->known)
			continue;
		if (tv_json_span_kind(value) == TV_JSON_TEXT)
			r = take_text(value, c, cell, e->err);
		else
			take_number(value, tv_fact_column((size_t)fact)->kind, cell);
	}
	return r;
}

static int take_element(struct element *e)
{
	char *symbol = symbol_of(e);
	if (!symbol)
		return e->fault.code ? note_fault(e) : tv_err_nomem(e->err);
	if (tv_json_span_kind(e->value) == TV_JSON_OBJECT && !check_facts(e)) {
		free(symbol);
		return note_fault(e);
	}
	struct tv_candidate *c = candidate_of(e->to, symbol);
	if (!c || !add_place(c, &e->place))
		return tv_err_nomem(e->err);
	return take_facts(e, c);
}

/* --- documents --------------------------------------------------------------------------------- */

static int find_list(struct tv_json_span *span, struct tv_err *err)
{
	enum tv_json_kind kind = tv_json_span_kind(*span);
	struct tv_json_span data;
	if (kind == TV_JSON_LIST)
		return 0;
	if (kind == TV_JSON_OBJECT && tv_json_span_member(*span, "data", &data) &&
	    tv_json_span_kind(data) == TV_JSON_LIST) {
		*span = data;
		return 0;
	}
	return tv_err_set(
		err, -EINVAL,
		"is %s, expected is a list of candidates, or {\"meta\": …, \"data\": [list]}",
		kind == TV_JSON_OBJECT ? "an object without such `data`" : tv_json_kind_name(kind));
}

int tv_candidates_add(struct tv_candidates *candidates, const char *name, const char *text,
		      size_t n, struct tv_err *err)
{
	struct tv_json_span span, value;
	struct tv_err own = TV_ERR_INIT;
	int r = tv_json_span_open(text, n, &span, &own);
	if (r == 0)
		r = find_list(&span, &own);
	if (r < 0)
		return tv_err_set(err, r, "'%s' %s", name, own.text);
	r = tv_name_list_add(&candidates->files, name, err);
	struct tv_candidate_place place = { .index = 0 };
	if (r == 0)
		place.file = candidates->files.items[candidates->files.n - 1];
	for (struct tv_json_walk w = tv_json_span_walk(span);
	     r == 0 && tv_json_walk_next(&w, NULL, &value); place.index++) {
		struct element e = { candidates, place, value, TV_ERR_INIT, err };
		r = take_element(&e);
	}
	return r;
}

/* --- files ------------------------------------------------------------------------------------- */

static int load_file(struct tv_candidates *candidates, int dirfd, const char *path,
		     const char *name, struct tv_err *err)
{
	tv_autofree char *text = NULL;
	size_t n;
	int r = tv_io_read_file(dirfd, path, TV_JSON_SPAN_BYTES, &text, &n, err);
	return r < 0 ? r : tv_candidates_add(candidates, name, text, n, err);
}

static int is_export(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && tv_path_matches("*.json", entry->d_name);
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_entry(struct tv_candidates *candidates, int dirfd, const char *path,
		      const char *entry, struct tv_err *err)
{
	struct stat st;
	tv_autofree char *name = tv_path_join(path, entry);
	if (!name)
		return tv_err_nomem(err);
	if (fstatat(dirfd, name, &st, 0) < 0)
		return tv_err_sys(err, -errno, "cannot stat '%s'", name);
	return S_ISREG(st.st_mode) ? load_file(candidates, dirfd, name, name, err) : 0;
}

static int load_folder(struct tv_candidates *candidates, int dirfd, const char *path,
		       struct tv_err *err)
{
	struct dirent **entries = NULL;
	int n = scandirat(dirfd, path, &entries, is_export, by_bytes);
	if (n < 0)
		return tv_err_sys(err, -errno, "cannot read '%s'", path);
	size_t files = candidates->files.n;
	int r = 0;
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = load_entry(candidates, dirfd, path, entries[i]->d_name, err);
		free(entries[i]);
	}
	free(entries);
	if (r == 0 && candidates->files.n == files)
		r = tv_err_set(err, -EINVAL, "there is no *.json in '%s'", path);
	return r;
}

int tv_candidates_load(struct tv_candidates *candidates, int dirfd, const char *path,
		       struct tv_err *err)
{
	struct stat st;
	if (fstatat(dirfd, path, &st, 0) < 0)
		return tv_err_sys(err, -errno, "cannot stat '%s'", path);
	if (S_ISDIR(st.st_mode))
		return load_folder(candidates, dirfd, path, err);
	if (!S_ISREG(st.st_mode))
		return tv_err_set(err, -EINVAL, "'%s' is neither a file nor a folder", path);
	return load_file(candidates, dirfd, path, path, err);
}
