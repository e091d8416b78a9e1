#include "ingest/select.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/bars.h"
#include "ingest/select-priv.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/base/json.h"

#define CATALOG_MAX ((size_t)256 << 20)

void tv_selection_free(struct tv_selection *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++) {
		free(s->items[i].symbol);
		free(s->items[i].file);
	}
	for (size_t i = 0; i < s->n_faults; i++) {
		free(s->faults[i].symbol);
		free(s->faults[i].reason);
	}
	free(s->items);
	free(s->faults);
	*s = TV_SELECTION_INIT;
}

/* --- candidates against the foundation --------------------------------------------------------- */

static int add_fault(struct tv_selection *s, const char *symbol, const char *reason,
		     struct tv_err *err)
{
	if (!s->faults || s->n_faults == s->cap_faults) {
		size_t cap = s->cap_faults ? 2 * s->cap_faults : 16;
		void *grown = reallocarray(s->faults, cap, sizeof(*s->faults));
		if (!grown)
			return tv_err_nomem(err);
		s->faults = grown;
		s->cap_faults = cap;
	}
	struct tv_select_fault f = { strdup(symbol), strdup(reason) };
	if (!f.symbol || !f.reason) {
		free(f.symbol);
		free(f.reason);
		return tv_err_nomem(err);
	}
	s->faults[s->n_faults++] = f;
	return 0;
}

static int load_catalog(struct tv_lakehouse *l, struct tv_symbol_map **out, struct tv_err *err)
{
	tv_autobuf struct tv_buf text = TV_BUF_INIT;
	struct tv_err why = TV_ERR_INIT;
	tv_autoclose int fd = tv_lakehouse_open(l, TV_CATALOG_FILE, &why);
	if (fd == -ENOENT)
		return tv_err_set(err, -TV_E_MISSING,
				  "without a catalog nothing is known to be fresh: %s", why.text);
	if (fd < 0)
		return tv_err_set(err, fd, "%s", why.text);
	int r = tv_io_read_to_end(fd, CATALOG_MAX, &text, err);
	if (r == 0)
		r = tv_symbol_map_parse(TV_CATALOG_FILE, (const char *)text.data, text.len, out,
					err);
	if (r == -EINVAL && err)
		err->code = -TV_E_GATE;
	return r == -EINVAL ? -TV_E_GATE : r;
}

/* Why the catalog's word does not let it pass; "" when it does. */
static void judge_entry(const struct tv_catalog_entry *e, const struct tv_lakehouse_file *file,
			const struct tv_select_how *how, char *reason, size_t n)
{
	struct tv_sha told;
	int64_t age = e->freshness == TV_CATALOG_UNKNOWN ? INT64_MAX : how->now_s - e->freshness;
	*reason = '\0';
	if (*e->sha256 && (!tv_sha_from_hex(e->sha256, &told) || !tv_sha_eq(&told, &file->sha)))
		snprintf(reason, n, "the catalog speaks of another file than the foundation has");
	else if (how->fresh_s && age == INT64_MAX)
		snprintf(reason, n, "stale: the catalog does not say when it was fetched");
	else if (how->fresh_s && age > how->fresh_s)
		snprintf(reason, n, "stale: it was fetched %.1f h ago, over the allowed %.1f h",
			 (double)age / 3600, (double)how->fresh_s / 3600);
}

static int take_one(struct tv_lakehouse *l, const struct tv_select_how *how,
		    const struct tv_symbol_map *catalog, const char *symbol, struct tv_selection *s,
		    struct tv_err *err)
{
	struct tv_selected *item = &s->items[s->n];
	struct tv_err why = TV_ERR_INIT;
	char reason[256] = "";
	*item = (struct tv_selected){ .symbol = strdup(symbol) };
	if (!item->symbol)
		return tv_err_nomem(err);
	s->n++;
	int r = tv_bars_file_name(symbol, &item->file, &why);
	if (r == 0)
		r = tv_lakehouse_stat(l, item->file, &item->at, &why);
	if (r == -ENOENT || r == -EINVAL)
		return add_fault(s, symbol, why.text, err);
	if (r < 0)
		return tv_err_set(err, r, "%s: %s", symbol, why.text);
	if (!tv_catalog_get(catalog, symbol, &item->entry))
		return add_fault(s, symbol, "the catalog has no entry of it", err);
	judge_entry(&item->entry, &item->at, how, reason, sizeof(reason));
	s->bytes += item->at.size;
	return *reason ? add_fault(s, symbol, reason, err) : 0;
}

static int by_symbol(const void *a, const void *b)
{
	return strcmp(((const struct tv_selected *)a)->symbol,
		      ((const struct tv_selected *)b)->symbol);
}

static int fault_by_symbol(const void *a, const void *b)
{
	return strcmp(((const struct tv_select_fault *)a)->symbol,
		      ((const struct tv_select_fault *)b)->symbol);
}

static int take_all(struct tv_lakehouse *l, const struct tv_select_how *how,
		    const struct tv_symbol_map *catalog, struct tv_selection *s, struct tv_err *err)
{
	const struct tv_candidates *c = how->candidates;
	int r = 0;
	s->items = calloc(c->n + 1, sizeof(*s->items));
	if (!s->items)
		return tv_err_nomem(err);
	for (size_t i = 0; i < c->n && r == 0; i++) {
		if (tv_progress_step(how->progress, "checking", i, c->n, "candidates"))
			return tv_err_set(err, -TV_E_INTERRUPTED, "stopped");
		r = take_one(l, how, catalog, c->items[i]->symbol, s, err);
	}
	/* What is no symbol cannot be had either; to pass over it would select less than was asked for. */
	for (size_t i = 0; i < c->n_faults && r == 0; i++)
		r = add_fault(s, "", c->faults[i].message, err);
	if (s->n)
		qsort(s->items, s->n, sizeof(*s->items), by_symbol);
	if (s->n_faults)
		qsort(s->faults, s->n_faults, sizeof(*s->faults), fault_by_symbol);
	return r;
}

/* --- the list ---------------------------------------------------------------------------------- */

static void add_asset(cJSON *list, const struct tv_selected *item)
{
	char hex[TV_SHA_HEX], text[TV_TIME_TEXT];
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "symbol", item->symbol);
	cJSON_AddStringToObject(o, "file", item->file);
	tv_sha_hex(&item->at.sha, hex);
	cJSON_AddStringToObject(o, "sha256", hex);
	tv_json_add_u64(o, "size", item->at.size);
	if (item->entry.freshness != TV_CATALOG_UNKNOWN) {
		tv_time_format(item->entry.freshness * INT64_C(1000000000), text);
		cJSON_AddStringToObject(o, "freshness", text);
	}
	if (*item->entry.start_date)
		cJSON_AddStringToObject(o, "start_date", item->entry.start_date);
	if (*item->entry.end_date)
		cJSON_AddStringToObject(o, "end_date", item->entry.end_date);
	if (item->entry.rows >= 0)
		tv_json_add_u64(o, "rows", (uint64_t)item->entry.rows);
	cJSON_AddItemToArray(list, o);
}

int tv_select_list(const struct tv_selection *s, const struct tv_sha *foundation, char **out,
		   struct tv_err *err)
{
	char hex[TV_SHA_HEX];
	tv_autojson cJSON *doc = cJSON_CreateObject();
	tv_sha_hex(foundation, hex);
	cJSON_AddNumberToObject(doc, "version", 1);
	cJSON_AddStringToObject(doc, "foundation_hash", hex);
	cJSON *list = cJSON_AddArrayToObject(doc, "assets");
	for (size_t i = 0; i < s->n; i++)
		add_asset(list, &s->items[i]);
	tv_autofree char *text = doc && list ? cJSON_Print(doc) : NULL;
	if (!text || cJSON_GetArraySize(list) != (int)s->n)
		return tv_err_nomem(err);
	return asprintf(out, "%s\n", text) < 0 ? tv_err_nomem(err) : 0;
}

/* --- all of it --------------------------------------------------------------------------------- */

static int tell_faults(const struct tv_selection *s, struct tv_err *err)
{
	const struct tv_select_fault *f = &s->faults[0];
	return tv_err_set(err, -TV_E_MISSING,
			  "%zu candidates are missing or stale, nothing was selected: %s%s%s%s",
			  s->n_faults, f->symbol, *f->symbol ? ": " : "", f->reason,
			  s->n_faults > 1 ? ", …" : "");
}

int tv_select(struct tv_lakehouse *l, const struct tv_select_how *how, struct tv_selection *out,
	      struct tv_err *err)
{
	tv_autoselection struct tv_selection s = TV_SELECTION_INIT;
	tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *catalog = NULL;
	int r = load_catalog(l, &catalog, err);
	if (r == 0)
		r = take_all(l, how, catalog, &s, err);
	if (r == 0 && s.n_faults)
		r = tell_faults(&s, err);
	else if (r == 0)
		r = tv_select_copy(l, how, &s, err);
	if (r < 0 && r != -TV_E_MISSING)
		return r;
	*out = s;
	s = TV_SELECTION_INIT;
	return r;
}
