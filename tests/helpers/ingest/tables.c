/*
 * The lakehouse's tables, for the tests. FILE is read if it is there, and written where it changes; the
 * answer is "changed" or "same", or the code of the error and its message.
 *
 *	helper-tables candidates PATH...                 prints {symbols: {SYMBOL: [[file, index]…]}, faults}
 *	helper-tables symbols FILE TIME PATH...          applies the facts of lists of candidates
 *	helper-tables exchanges FILE TIME NAME...
 *	helper-tables catalog FILE SYMBOL TIME START END SCORE ROWS SOURCE SHA256
 *	helper-tables health FILE SYMBOL STATUS TIME [REASON]
 *	helper-tables merge BASE THEIRS OURS OUT         of symbols.parquet, else of JSON; prints conflicts
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/candidates.h"
#include "ingest/catalog.h"
#include "ingest/exchanges.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/base/json.h"

static int time_of(const char *word, int64_t *us, struct tv_err *err)
{
	int64_t ns = 0;
	int r = tv_time_parse(word, &ns, err);
	*us = ns / 1000;
	return r;
}

/* --- Parquet ----------------------------------------------------------------------------------- */

static int read_rows(struct tv_duck *duck, const char *path, struct tv_rows *rows,
		     struct tv_err *err)
{
	tv_autoclose int fd = tv_parquet_open(AT_FDCWD, path, err);
	const struct tv_parquet file = { duck, path, fd };
	if (fd == -ENOENT)
		return 0;
	return fd < 0 ? fd : tv_rows_read(&file, rows, err);
}

static int write_rows(struct tv_duck *duck, const char *path, const struct tv_rows *rows,
		      struct tv_err *err)
{
	tv_autoclose int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	puts(rows->changed ? "changed" : "same");
	if (fd < 0)
		return tv_err_sys(err, -errno, "cannot open '%s'", path);
	return rows->changed ? tv_rows_write(duck, rows, fd, err) : 0;
}

static int apply(struct tv_rows *rows, int64_t now, int n, char **paths, struct tv_err *err)
{
	tv_autocandidates struct tv_candidates c = TV_CANDIDATES_INIT;
	int r = 0;
	for (int i = 0; i < n && r == 0; i++)
		r = tv_candidates_load(&c, AT_FDCWD, paths[i], err);
	tv_autofree struct tv_symbol_news *news = calloc(c.n + 1, sizeof(*news));
	if (!news)
		return tv_err_nomem(err);
	for (size_t i = 0; i < c.n; i++)
		news[i] = (struct tv_symbol_news){ c.items[i]->symbol, c.items[i]->facts, true };
	return r < 0 ? r : tv_symbols_apply(rows, news, c.n, now, err);
}

static int tables(struct tv_duck *duck, int n, char **words, struct tv_err *err)
{
	bool exchanges = strcmp(words[0], "exchanges") == 0;
	tv_autorows struct tv_rows rows =
		TV_ROWS_INIT(exchanges ? tv_exchanges_shape() : tv_symbols_shape());
	int64_t now = 0;
	int r = time_of(words[2], &now, err);
	if (r == 0)
		r = read_rows(duck, words[1], &rows, err);
	for (int i = 3; i < n && r == 0 && exchanges; i++)
		r = tv_exchanges_see(&rows, words[i], NULL, now, err);
	if (r == 0 && !exchanges)
		r = apply(&rows, now, n - 3, words + 3, err);
	return r < 0 ? r : write_rows(duck, words[1], &rows, err);
}

/* --- JSON -------------------------------------------------------------------------------------- */

static int read_map(const char *path, struct tv_symbol_map **map, struct tv_err *err)
{
	tv_autofree char *text = NULL;
	size_t n = 0;
	int r = tv_io_read_file(AT_FDCWD, path, TV_JSON_SPAN_BYTES, &text, &n, err);
	if (r < 0 && r != -ENOENT)
		return r;
	return tv_symbol_map_parse(path, text, n, map, err);
}

static int write_map(const char *path, const struct tv_symbol_map *map, struct tv_err *err)
{
	tv_autobuf struct tv_buf out = TV_BUF_INIT;
	puts(tv_symbol_map_changed(map) ? "changed" : "same");
	int r = tv_symbol_map_print(map, &out, err);
	if (r == 0 && tv_symbol_map_changed(map))
		r = tv_io_replace_file(AT_FDCWD, path, out.data, out.len, 0644, err);
	return r;
}

static int catalog(char **w, struct tv_err *err)
{
	tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *map = NULL;
	struct tv_catalog_entry entry = { .data_quality_score = strtod(w[6], NULL),
					  .rows = strtoll(w[7], NULL, 10) };
	int64_t us = 0;
	int r = read_map(w[1], &map, err);
	if (r == 0)
		r = time_of(w[3], &us, err);
	entry.freshness = us / 1000000;
	snprintf(entry.start_date, sizeof(entry.start_date), "%s", w[4]);
	snprintf(entry.end_date, sizeof(entry.end_date), "%s", w[5]);
	snprintf(entry.source, sizeof(entry.source), "%s", w[8]);
	snprintf(entry.sha256, sizeof(entry.sha256), "%s", w[9]);
	if (r == 0)
		r = tv_catalog_set(map, w[2], &entry, err);
	return r < 0 ? r : write_map(w[1], map, err);
}

static int health(int n, char **w, struct tv_err *err)
{
	tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *map = NULL;
	struct tv_health_entry entry = { TV_HEALTH_OK, 0, n > 5 ? w[5] : NULL };
	int64_t us = 0;
	int r = read_map(w[1], &map, err);
	if (r == 0)
		r = time_of(w[4], &us, err);
	entry.last_audit = us / 1000000;
	while (entry.status < TV_HEALTH_OTHER && strcmp(tv_health_name(entry.status), w[3]) != 0)
		entry.status++;
	if (r == 0)
		r = tv_health_set(map, w[2], &entry, err);
	return r < 0 ? r : write_map(w[1], map, err);
}

/* --- merging ----------------------------------------------------------------------------------- */

static int merge_json(char **w, struct tv_name_list *conflicts, struct tv_err *err)
{
	struct tv_symbol_map *sides[TV_N_SIDES] = { NULL }, *out = NULL;
	int r = 0;
	for (int i = 0; i < TV_N_SIDES && r == 0; i++)
		r = read_map(w[1 + i], &sides[i], err);
	if (r == 0)
		r = tv_symbol_map_merge(sides[0], sides[1], sides[2], &out, conflicts, err);
	if (r == 0)
		r = write_map(w[4], out, err);
	for (int i = 0; i < TV_N_SIDES; i++)
		tv_symbol_map_free(sides[i]);
	tv_symbol_map_free(out);
	return r;
}

static int merge_rows(struct tv_duck *duck, char **w, struct tv_name_list *conflicts,
		      struct tv_err *err)
{
	tv_autorows struct tv_rows out = TV_ROWS_INIT(tv_symbols_shape());
	struct tv_rows sides[TV_N_SIDES];
	int r = 0;
	for (int i = 0; i < TV_N_SIDES; i++) {
		sides[i] = TV_ROWS_INIT(tv_symbols_shape());
		r = r < 0 ? r : read_rows(duck, w[1 + i], &sides[i], err);
	}
	if (r == 0)
		r = tv_rows_merge(&sides[0], &sides[1], &sides[2], &out, conflicts, err);
	if (r == 0)
		r = write_rows(duck, w[4], &out, err);
	for (int i = 0; i < TV_N_SIDES; i++)
		tv_rows_free(&sides[i]);
	return r;
}

static int merge(struct tv_duck *duck, char **w, struct tv_err *err)
{
	tv_autonamelist struct tv_name_list conflicts = TV_NAME_LIST_INIT;
	bool json = strstr(w[1], ".json") != NULL;
	int r = json ? merge_json(w, &conflicts, err) : merge_rows(duck, w, &conflicts, err);
	for (size_t i = 0; i < conflicts.n && r == 0; i++)
		puts(conflicts.items[i]);
	return r;
}

static int candidates(int n, char **paths, struct tv_err *err)
{
	tv_autocandidates struct tv_candidates c = TV_CANDIDATES_INIT;
	tv_autojson cJSON *doc = cJSON_CreateObject();
	cJSON *symbols = cJSON_AddObjectToObject(doc, "symbols");
	cJSON *faults = cJSON_AddArrayToObject(doc, "faults");
	int r = 0;
	for (int i = 0; i < n && r == 0; i++)
		r = tv_candidates_load(&c, AT_FDCWD, paths[i], err);
	for (size_t i = 0; i < c.n; i++) {
		cJSON *places = cJSON_AddArrayToObject(symbols, c.items[i]->symbol);
		for (size_t p = 0; p < c.items[i]->n_places; p++) {
			cJSON *place = cJSON_CreateArray();
			cJSON_AddItemToArray(place, cJSON_CreateString(c.items[i]->places[p].file));
			cJSON_AddItemToArray(place, cJSON_CreateNumber(
							    (double)c.items[i]->places[p].index));
			cJSON_AddItemToArray(places, place);
		}
	}
	for (size_t i = 0; i < c.n_faults; i++)
		cJSON_AddItemToArray(faults, cJSON_CreateString(c.faults[i].message));
	tv_autofree char *text = cJSON_PrintUnformatted(doc);
	if (r == 0)
		puts(text ? text : "");
	return r;
}

static int act(struct tv_duck *duck, int n, char **words, struct tv_err *err)
{
	const char *verb = n ? words[0] : "";
	if (strcmp(verb, "candidates") == 0)
		return candidates(n - 1, words + 1, err);
	if (strcmp(verb, "catalog") == 0 && n == 10)
		return catalog(words, err);
	if (strcmp(verb, "health") == 0 && n >= 5)
		return health(n, words, err);
	if (strcmp(verb, "merge") == 0 && n == 5)
		return merge(duck, words, err);
	if ((strcmp(verb, "symbols") == 0 || strcmp(verb, "exchanges") == 0) && n >= 3)
		return tables(duck, n, words, err);
	return tv_err_set(err, -TV_E_USAGE, "see the head of the source");
}

int main(int argc, char **argv)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_duck *duck = NULL;
	int r = tv_duck_open(NULL, &duck, &err);
	if (r == 0)
		r = act(duck, argc - 1, argv + 1, &err);
	if (r < 0)
		printf("%d %s\n", tv_err_exit_code(r), err.text);
	tv_duck_close(duck);
	return 0;
}
