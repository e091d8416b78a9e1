/*
 * Collects the rows of symbols from sources, for the tests.
 *
 *	helper-collect SETTINGS FROM TO SOURCE:SYMBOL...
 *
 * SETTINGS is a file with {"SOURCE": {"kind": …}}; FROM and TO are dates. Prints a line of JSON for
 * each symbol as it ends: {symbol, code, error, rows: [[timestamp, open, …]], tries, evidence}, then
 * {"code", "error", "waited_s"}. Time is virtual: what would be waited for is only added up.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/collect.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/base/json.h"

#define ASKS_MAX 64

struct setup {
	struct tv_source *sources[ASKS_MAX];
	struct tv_collect_ask asks[ASKS_MAX];
	size_t n_sources, n_asks;
	int64_t waited_ns;
};

static int64_t virtual_now(void *arg)
{
	return tv_boottime_ns() + ((struct setup *)arg)->waited_ns;
}

static int64_t virtual_wall(void *arg)
{
	return tv_now_ns() + ((struct setup *)arg)->waited_ns;
}

static uint64_t half(void *arg, uint64_t below)
{
	(void)arg;
	return below / 2;
}

static void wait_virtually(void *arg, int64_t ns)
{
	((struct setup *)arg)->waited_ns += ns;
}

static void print_line(cJSON *doc)
{
	char *text = cJSON_PrintUnformatted(doc);
	puts(text ? text : "{}");
	free(text);
	cJSON_Delete(doc);
}

static cJSON *rows_of(const struct tv_bars *rows)
{
	cJSON *list = cJSON_CreateArray();
	for (size_t i = 0; i < rows->n; i++) {
		const double values[] = { (double)rows->timestamp[i],
					  rows->open[i],
					  rows->high[i],
					  rows->low[i],
					  rows->close[i],
					  rows->volume[i] };
		cJSON_AddItemToArray(list, cJSON_CreateDoubleArray(values, TV_ARRAY_LEN(values)));
	}
	return list;
}

static int on_done(void *arg, const struct tv_collected *got, struct tv_err *err)
{
	struct setup *s = arg;
	cJSON *doc = cJSON_CreateObject();
	(void)err;
	cJSON_AddStringToObject(doc, "symbol", s->asks[got->index].symbol);
	cJSON_AddNumberToObject(doc, "code", -got->code);
	cJSON_AddStringToObject(doc, "error", got->error);
	cJSON_AddItemToObject(doc, "rows", rows_of(got->rows));
	cJSON_AddNumberToObject(doc, "tries", got->tries);
	tv_json_add_bytes(doc, "evidence", got->body ? got->body : "", got->n_body);
	print_line(doc);
	return 0;
}

static int add_sources(struct setup *s, const char *path, struct tv_secrets *secrets,
		       struct tv_err *err)
{
	tv_autofree char *text = NULL;
	tv_autojson cJSON *doc = NULL;
	const cJSON *item;
	size_t n = 0;
	int r = tv_io_read_file(AT_FDCWD, path, 1 << 20, &text, &n, err);
	r = r ?: tv_json_parse(text, n, &doc, err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(item, doc) {
		r = tv_source_new(item->string, item, secrets, &s->sources[s->n_sources], err);
		if (r < 0)
			return r;
		s->n_sources++;
	}
	return 0;
}

static int add_ask(struct setup *s, char *word, const char *from, const char *to,
		   struct tv_err *err)
{
	struct tv_collect_ask *ask = &s->asks[s->n_asks++];
	int64_t begin = 0, end = 0;
	char *colon = strchr(word, ':');
	int r = tv_time_parse(from, &begin, err);
	r = r ?: tv_time_parse(to, &end, err);
	if (r < 0 || !colon)
		return r ?: tv_err_set(err, -EINVAL, "no source");
	*colon = '\0';
	ask->symbol = colon + 1;
	ask->from = begin / 1000000000;
	ask->to = end / 1000000000;
	for (size_t i = 0; i < s->n_sources; i++)
		if (strcmp(tv_source_name(s->sources[i]), word) == 0)
			ask->source = s->sources[i];
	return ask->source ? 0 : tv_err_set(err, -EINVAL, "no source %s", word);
}

int main(int argc, char **argv)
{
	struct setup s = { .waited_ns = 0 };
	struct tv_fetch_limits limits = TV_FETCH_LIMITS_INIT;
	struct tv_fetch_time time = { virtual_now, virtual_wall, half, wait_virtually, &s };
	struct tv_err err = TV_ERR_INIT;
	tv_auto(tv_secrets_free_p) struct tv_secrets *secrets = NULL;
	tv_auto(tv_fetch_free_p) struct tv_fetch *fetch = NULL;
	tv_auto(tv_duck_close_p) struct tv_duck *duck = NULL;
	if (argc < 5 || argc - 4 > ASKS_MAX)
		return 2;
	limits.request_ns = 5000000000;
	limits.tries = 3;
	limits.body_max = 1 << 20;
	int r = tv_secrets_new(&secrets, &err);
	r = r ?: add_sources(&s, argv[1], secrets, &err);
	for (int i = 4; i < argc && r == 0; i++)
		r = add_ask(&s, argv[i], argv[2], argv[3], &err);
	r = r ?: tv_fetch_new(&limits, &time, secrets, &fetch, &err);
	r = r ?: tv_duck_open(NULL, &duck, &err);
	r = r ?: tv_collect(fetch, duck, s.asks, s.n_asks, on_done, &s, NULL, &err);
	cJSON *doc = cJSON_CreateObject();
	cJSON_AddNumberToObject(doc, "code", -r);
	cJSON_AddStringToObject(doc, "error", err.text);
	cJSON_AddNumberToObject(doc, "waited_s", (double)s.waited_ns / 1e9);
	print_line(doc);
	for (size_t i = 0; i < s.n_sources; i++)
		tv_source_free(s.sources[i]);
	return tv_err_exit_code(r);
}
