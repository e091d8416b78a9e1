#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/bars-parquet.h"
#include "ingest/ingest-priv.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"

int tv_ingest_sources(struct tv_ingest_job *job, struct tv_err *err)
{
	const cJSON *settings = job->how->sources, *item;
	job->sources = calloc((size_t)cJSON_GetArraySize(settings) + 1, sizeof(*job->sources));
	if (!job->sources)
		return tv_err_nomem(err);
	cJSON_ArrayForEach(item, settings) {
		int r = tv_source_new(item->string, item, job->how->secrets,
				      &job->sources[job->n_sources], err);
		if (r < 0)
			return r;
		job->n_sources++;
	}
	return 0;
}

const struct tv_source *tv_ingest_source_of(const struct tv_ingest_job *job, const char *symbol)
{
	size_t n = strcspn(symbol, ":");
	for (size_t i = 0; i < job->n_sources; i++) {
		const char *name = tv_source_name(job->sources[i]);
		if (strlen(name) == n && strncmp(name, symbol, n) == 0)
			return job->sources[i];
	}
	return NULL;
}

/* What the settings say of an exchange. */
static struct tv_exchange said_of(const struct tv_ingest_job *job, const char *name)
{
	const cJSON *o = cJSON_GetObjectItemCaseSensitive(job->how->exchanges, name);
	const cJSON *crypto = cJSON_GetObjectItemCaseSensitive(o, "is_crypto");
	struct tv_exchange said = { .name = name };
	said.timezone = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "timezone"));
	said.country = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "country"));
	said.description = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "description"));
	said.is_crypto = cJSON_IsBool(crypto) ? cJSON_IsTrue(crypto) : -1;
	return said;
}

/* Its row in exchanges.parquet. An exchange that nobody knows has none: it counts as one that trades
 * from Monday to Friday. */
static int see_exchange(struct tv_ingest_job *job, const char *symbol, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	tv_autofree char *name = strndup(symbol, strcspn(symbol, ":"));
	if (!name)
		return tv_err_nomem(err);
	struct tv_exchange said = said_of(job, name);
	int r = tv_exchanges_see(&job->tables.exchanges, name, &said, job->how->now_s * 1000000,
				 &why);
	return r < 0 && r != -ENOENT ? tv_err_set(err, r, "%s", why.text) : 0;
}

int tv_ingest_published(struct tv_ingest_job *job, const struct tv_ingested *item,
			struct tv_bars *out, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	tv_autoclose int fd = tv_lakehouse_open(job->lake, item->file, &why);
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return tv_err_set(err, fd, "%s", why.text);
	const struct tv_parquet file = { job->duck, item->file, fd };
	return tv_bars_read(&file, out, err);
}

int tv_ingest_rules(const struct tv_ingest_job *job, const char *symbol, struct tv_gaps *permanent,
		    struct tv_gates_rules *out, struct tv_err *err)
{
	return tv_tables_rules(&job->tables, job->how->gates, symbol, permanent, out, err);
}

/* The last published day: the catalog's, if it speaks of the file that is there. */
static int last_day(struct tv_ingest_job *job, const struct tv_ingested *item,
		    const struct tv_catalog_entry *entry, int64_t *last, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	struct tv_sha told, now;
	int64_t ns;
	int r = tv_lakehouse_sha(job->lake, item->file, &now, &why);
	*last = TV_SOURCE_NEVER;
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return tv_err_set(err, r, "%s", why.text);
	if (entry && tv_sha_from_hex(entry->sha256, &told) && tv_sha_eq(&told, &now) &&
	    tv_time_parse(entry->end_date, &ns, NULL) == 0) {
		*last = ns / 1000000000;
		return 0;
	}
	tv_autobars struct tv_bars bars = TV_BARS_INIT;
	r = tv_ingest_published(job, item, &bars, err);
	if (r == 0 && bars.n)
		*last = bars.timestamp[bars.n - 1];
	return r;
}

static bool is_there(struct tv_ingest_job *job, const char *file)
{
	int fd = tv_lakehouse_open(job->lake, file, NULL);
	tv_close_p(&fd);
	return fd >= 0;
}

static bool is_known(const struct tv_ingest_job *job, const char *symbol)
{
	return tv_symbol_map_find(job->tables.catalog, symbol) >= 0 ||
	       tv_symbol_map_find(job->tables.health, symbol) >= 0;
}

/* A_B:C and A:B_C would have one file. Only the one that is known already may have it; who else that is
 * known, or asked for as well, would have it: owned, NULL when there is none. */
static int find_namesake(const struct tv_ingest_job *job, const char *symbol, char **out,
			 struct tv_err *err)
{
	tv_autofree char *other = strdup(symbol);
	size_t colon = strcspn(symbol, ":");
	bool known = is_known(job, symbol), found = false;
	if (!other)
		return tv_err_nomem(err);
	for (size_t i = 1; other[i] && !found; i++) {
		if (other[i] != '_' || !other[i + 1])
			continue;
		other[colon] = '_';
		other[i] = ':';
		bool there = is_known(job, other);
		bool asked = tv_candidates_find(job->how->candidates, other);
		found = known ? asked && there : asked || there;
		if (!found) {
			other[i] = '_';
			other[colon] = ':';
		}
	}
	*out = found ? tv_steal_ptr(&other) : NULL;
	return 0;
}

/* 1: nobody else has its file; else it has failed. */
static int check_name(struct tv_ingest_job *job, struct tv_ingested *item, struct tv_err *err)
{
	tv_autofree char *other = NULL;
	struct tv_err why = TV_ERR_INIT;
	int r = find_namesake(job, item->symbol, &other, err);
	if (r < 0 || !other)
		return r < 0 ? r : 1;
	tv_err_set(&why, -EEXIST, "its file would be that of %s", other);
	r = tv_ingest_end(item, TV_FAILED, why.text, err);
	tv_free_p(&item->file);
	item->file = NULL; /* it is not this one's: neither published nor dropped */
	return r;
}

/* 1: it is to be fetched, from its source, the days of *ask. */
static int plan_one(struct tv_ingest_job *job, struct tv_ingested *item, struct tv_collect_ask *ask,
		    struct tv_err *err)
{
	const struct tv_ingest_how *how = job->how;
	struct tv_err why = TV_ERR_INIT;
	struct tv_catalog_entry entry;
	int64_t last;
	if (tv_bars_file_name(item->symbol, &item->file, &why) < 0)
		return tv_ingest_end(item, TV_FAILED, why.text, err);
	int r = check_name(job, item, err);
	if (r <= 0)
		return r;
	bool known = tv_catalog_get(job->tables.catalog, item->symbol, &entry);
	int64_t age = known && entry.freshness != TV_CATALOG_UNKNOWN ? how->now_s - entry.freshness
								     : INT64_MAX;
	if (age >= 0 && age < how->fresh_s && is_there(job, item->file))
		return tv_ingest_end(item, TV_SKIPPED, "fresh", err);
	const struct tv_source *source = tv_ingest_source_of(job, item->symbol);
	if (!source)
		return tv_ingest_end(item, TV_FAILED,
				     "no source serves its exchange; add one to \"sources\"", err);
	item->source = tv_source_name(source);
	r = last_day(job, item, known ? &entry : NULL, &last, &why);
	if (r == -ENOMEM || r == -TV_E_INTERRUPTED)
		return tv_err_set(err, r, "%s", why.text);
	if (r < 0)
		return tv_ingest_end(item, TV_FAILED, why.text, err);
	*ask = (struct tv_collect_ask){ .source = source, .symbol = strchr(item->symbol, ':') + 1 };
	if (!tv_source_span(last, how->start_s, how->overlap_days, how->now_s, &ask->from,
			    &ask->to))
		return last == TV_SOURCE_NEVER
			       ? tv_ingest_end(item, TV_FAILED,
					       "no day since \"ingest.start\" is over", err)
			       : tv_ingest_end(item, TV_SKIPPED,
					       "the last day that is over is there", err);
	r = see_exchange(job, item->symbol, err);
	return r < 0 ? r : 1;
}

int tv_ingest_plan(struct tv_ingest_job *job, struct tv_err *err)
{
	struct tv_ingest_report *report = job->report;
	const struct tv_candidates *c = job->how->candidates;
	job->asks = calloc(c->n + 1, sizeof(*job->asks));
	job->item_of = calloc(c->n + 1, sizeof(*job->item_of));
	report->items = calloc(c->n + 1, sizeof(*report->items));
	if (!job->asks || !job->item_of || !report->items)
		return tv_err_nomem(err);
	for (size_t i = 0; i < c->n; i++) {
		struct tv_ingested *item = &report->items[report->n++];
		item->symbol = c->items[i]->symbol;
		item->outcome = TV_FAILED;
		if (tv_progress_step(job->how->progress, "planning", i, c->n, "symbols"))
			return tv_err_set(err, -TV_E_INTERRUPTED,
					  "stopped before anything was fetched");
		int r = plan_one(job, item, &job->asks[job->n_asks], err);
		if (r < 0)
			return r;
		if (r == 1)
			job->item_of[job->n_asks++] = i;
	}
	return 0;
}
