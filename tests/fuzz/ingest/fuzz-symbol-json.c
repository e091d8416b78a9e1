/* Hostile lists of candidates, catalogs and files against the schema. The input's first byte chooses. What
 * a map prints has to read back as the same map, and merging it with itself must change nothing. */
#include <stdlib.h>
#include <string.h>

#include "ingest/candidates.h"
#include "ingest/catalog.h"
#include "ingest/schema.h"
#include "store/base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(bool good)
{
	if (!good)
		abort();
}

static void candidates(const char *text, size_t n)
{
	struct tv_err err = TV_ERR_INIT;
	tv_autocandidates struct tv_candidates c = TV_CANDIDATES_INIT;
	int r = tv_candidates_add(&c, "F", text, n, &err);
	want(r == 0 || (c.n == 0 && *err.text));
	for (size_t i = 0; i < c.n; i++) {
		want(tv_candidates_find(&c, c.items[i]->symbol) == c.items[i]);
		want(c.items[i]->n_places > 0 && tv_symbol_check(c.items[i]->symbol, NULL) == 0);
	}
}

static char *print(const struct tv_symbol_map *map)
{
	tv_autobuf struct tv_buf out = TV_BUF_INIT;
	want(tv_symbol_map_print(map, &out, NULL) == 0);
	return tv_buf_steal_str(&out);
}

static void prints_as(const struct tv_symbol_map *map, const char *wanted)
{
	tv_autofree char *text = print(map);
	want(strcmp(text, wanted) == 0);
}

static void change(struct tv_symbol_map *map)
{
	const struct tv_catalog_entry entry = { .freshness = 1768824000,
						.start_date = "2020-01-02",
						.end_date = "2026-01-16",
						.data_quality_score = 0.95,
						.rows = 7 };
	const struct tv_health_entry health = { TV_HEALTH_GAP, 1768824000, NULL };
	struct tv_catalog_entry got;
	want(tv_catalog_set(map, "N:A", &entry, NULL) == 0);
	want(tv_catalog_get(map, "N:A", &got) && got.rows == 7);
	want(tv_health_set(map, "N:A", &health, NULL) == 0);
	tv_autohealth struct tv_health_entry read = { TV_HEALTH_OK, 0, NULL };
	want(tv_health_get(map, "N:A", &read, NULL) == 1 && read.status == TV_HEALTH_GAP);
}

static void catalog(const char *text, size_t n)
{
	struct tv_err err = TV_ERR_INIT;
	tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *map = NULL, *again = NULL,
							   *merged = NULL;
	tv_autonamelist struct tv_name_list conflicts = TV_NAME_LIST_INIT;
	if (tv_symbol_map_parse("F", text, n, &map, &err) < 0) {
		want(*err.text && !map);
		return;
	}
	tv_autofree char *first = print(map);
	want(tv_symbol_map_parse("F", first, strlen(first), &again, &err) == 0);
	prints_as(again, first);
	change(again);
	want(tv_symbol_map_merge(map, map, again, &merged, &conflicts, &err) == 0);
	tv_autofree char *second = print(again);
	prints_as(merged, second);
	want(conflicts.n == 0);
	tv_symbol_map_remove(again, "N:A");
}

static void schema(const char *text, size_t n)
{
	static const char *const names[] = { "catalog", "candidates", "selection audit" };
	tv_auto(tv_schema_free_p) struct tv_schema *all = NULL;
	want(tv_schema_parse(tv_schema_text(), &all, NULL) == 0);
	for (size_t i = 0; i < TV_ARRAY_LEN(names); i++) {
		struct tv_err err = TV_ERR_INIT;
		int r = tv_schema_check_json(tv_schema_named(all, names[i]), "F", text, n, NULL,
					     &err);
		want(r == err.code && (r == 0 || *err.text));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const targets[])(const char *, size_t) = { candidates, catalog, schema };
	if (size < 1)
		return 0;
	/* a copy exactly as long as the text, so that a sanitizer sees a read past its end */
	tv_autofree char *text = malloc(size);
	want(text != NULL);
	memmove(text, data + 1, size - 1);
	char *fitted = realloc(text, size > 1 ? size - 1 : 1);
	if (fitted)
		text = fitted;
	targets[data[0] % TV_ARRAY_LEN(targets)](text, size - 1);
	return 0;
}
