#include "ingest/ingest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/ingest-priv.h"
#include "ingest/spool.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"

#define SPOOL_SECONDS (7 * TV_DAY_SECONDS) /* what nobody has asked for since is in nobody's way */
#ifdef TV_SINGLE_THREAD
#define FEW SIZE_MAX
#else
#define FEW 2 /* symbols for which no threads are started */
#endif

/* --- items ------------------------------------------------------------------------------------- */

int tv_ingest_end(struct tv_ingested *item, enum tv_outcome outcome, const char *reason,
		  struct tv_err *err)
{
	char *copy = reason ? strdup(reason) : NULL;
	if (reason && !copy)
		return tv_err_nomem(err);
	free(item->reason);
	item->reason = copy;
	item->outcome = outcome;
	return 0;
}

static bool is_published(const struct tv_ingested *item)
{
	return item->outcome == TV_FETCHED || item->outcome == TV_CONFIRMED;
}

/* --- fetching ---------------------------------------------------------------------------------- */

/* Keeps what came for the next call, in case this one is interrupted. */
static int keep(struct tv_ingest_job *job, size_t n, const struct tv_collected *got,
		int64_t fetched_s, struct tv_err *err)
{
	const struct tv_collect_ask *ask = &job->asks[n];
	const struct tv_ingested *item = &job->report->items[job->item_of[n]];
	const struct tv_spooled what = { ask->from, ask->to, fetched_s };
	if (job->how->spool < 0 || got->code < 0)
		return 0;
	return tv_spool_save(job->how->spool, item->file, &what, got->rows, err);
}

static int on_done(void *arg, const struct tv_collected *got, struct tv_err *err)
{
	struct tv_ingest_job *job = arg;
	int64_t fetched_s = job->how->now_s;
	int r = keep(job, got->index, got, fetched_s, err);
	return r < 0 ? r : tv_ingest_take(job, got->index, got, fetched_s, err);
}

/* Takes what an interrupted call has fetched, if it is fresh and just what is asked for now. 1: so. */
static int from_spool(struct tv_ingest_job *job, size_t n, struct tv_err *err)
{
	const struct tv_ingest_how *how = job->how;
	struct tv_ingested *item = &job->report->items[job->item_of[n]];
	tv_autobars struct tv_bars rows = TV_BARS_INIT;
	struct tv_spooled what;
	int r = how->spool < 0 ? 0 : tv_spool_load(how->spool, item->file, &what, &rows, err);
	if (r <= 0)
		return r;
	int64_t age = how->now_s - what.fetched_s;
	if (what.from != job->asks[n].from || what.to != job->asks[n].to || age < 0 ||
	    age >= how->fresh_s)
		return 0;
	const struct tv_collected got = { .index = n, .error = "", .rows = &rows };
	item->spooled = true;
	r = tv_ingest_take(job, n, &got, what.fetched_s, err);
	return r < 0 ? r : 1;
}

/* Leaves only those asks that the spool does not answer. */
static int use_spool(struct tv_ingest_job *job, struct tv_err *err)
{
	size_t left = 0;
	for (size_t i = 0; i < job->n_asks; i++) {
		int r = from_spool(job, i, err);
		if (r < 0)
			return r;
		if (r == 1)
			continue;
		job->asks[left] = job->asks[i];
		job->item_of[left++] = job->item_of[i];
	}
	job->n_asks = left;
	return tv_ingest_settle(job, err);
}

static int fetch(struct tv_ingest_job *job, struct tv_err *err)
{
	tv_auto(tv_fetch_free_p) struct tv_fetch *f = NULL;
	const struct tv_ingest_how *how = job->how;
	if (!job->n_asks)
		return 0;
	int r = tv_fetch_new(&how->limits, how->time, how->secrets, &f, err);
	if (r == 0)
		r = tv_collect(f, job->duck, job->asks, job->n_asks, on_done, job, how->progress,
			       err);
	return r < 0 ? r : tv_ingest_settle(job, err);
}

/* History that was changed as far back as was looked, and may be published: all of it is looked at. */
static int fetch_whole(struct tv_ingest_job *job, struct tv_err *err)
{
	size_t left = 0;
	for (size_t i = 0; i < job->n_asks; i++) {
		if (!job->report->items[job->item_of[i]].needs_all)
			continue;
		job->asks[left] = job->asks[i];
		job->asks[left].from = job->how->start_s;
		job->item_of[left++] = job->item_of[i];
	}
	job->n_asks = left;
	job->whole = true;
	return fetch(job, err);
}

/* --- publishing -------------------------------------------------------------------------------- */

static int apply_news(struct tv_ingest_job *job, struct tv_err *err)
{
	const struct tv_ingest_report *report = job->report;
	tv_autofree struct tv_symbol_news *news = calloc(report->n + 1, sizeof(*news));
	size_t n = 0;
	if (!news)
		return tv_err_nomem(err);
	for (size_t i = 0; i < report->n; i++)
		if (is_published(&report->items[i]))
			news[n++] = (struct tv_symbol_news){ report->items[i].symbol,
							     job->how->candidates->items[i]->facts,
							     true };
	return tv_symbols_apply(&job->tables.symbols, news, n, job->how->now_s * 1000000, err);
}

static struct tv_ingested *item_named(struct tv_ingest_report *report, const char *symbol)
{
	for (size_t i = 0; i < report->n; i++)
		if (strcmp(report->items[i].symbol, symbol) == 0)
			return &report->items[i];
	return NULL;
}

/* Somebody else published this symbol: what they have stays. */
static int outrun(struct tv_ingest_job *job, struct tv_ingested *item, struct tv_err *err)
{
	static const char *const suffixes[] = TV_EVIDENCES;
	if (!item || item->outcome == TV_OUTRUN || !item->file)
		return 0;
	tv_lakehouse_drop(job->lake, item->file);
	for (size_t i = 0; i < TV_ARRAY_LEN(suffixes); i++) {
		tv_autofree char *path = tv_ingest_evidence(item, suffixes[i]);
		if (!path)
			return tv_err_nomem(err);
		tv_lakehouse_drop(job->lake, path);
	}
	return tv_ingest_end(item, TV_OUTRUN, "somebody else published it meanwhile", err);
}

/* 1: one of the symbol's own files is among the paths. */
static int is_among(const struct tv_ingested *item, char *const *paths, size_t n,
		    struct tv_err *err)
{
	static const char *const suffixes[] = TV_EVIDENCES;
	bool is = false;
	for (size_t k = 0; k < n && !is; k++)
		is = strcmp(paths[k], item->file) == 0;
	for (size_t i = 0; i < TV_ARRAY_LEN(suffixes) && !is; i++) {
		tv_autofree char *evidence = tv_ingest_evidence(item, suffixes[i]);
		if (!evidence)
			return tv_err_nomem(err);
		for (size_t k = 0; k < n && !is; k++)
			is = strcmp(paths[k], evidence) == 0;
	}
	return is;
}

/* The symbols whose own files were changed by others. */
static int find_lost(struct tv_ingest_job *job, char *const *paths, size_t n,
		     struct tv_name_list *lost, struct tv_err *err)
{
	int r = 0;
	for (size_t i = 0; i < job->report->n && r == 0; i++) {
		struct tv_ingested *item = &job->report->items[i];
		r = item->file ? is_among(item, paths, n, err) : 0;
		if (r == 1)
			r = tv_name_list_add(lost, item->symbol, err);
	}
	return r;
}

static int rebase(void *arg, struct tv_lakehouse *l, char *const *paths, size_t n,
		  struct tv_err *err)
{
	struct tv_ingest_job *job = arg;
	tv_autonamelist struct tv_name_list lost = TV_NAME_LIST_INIT, both = TV_NAME_LIST_INIT;
	int r = find_lost(job, paths, n, &lost, err);
	if (r == 0)
		r = tv_tables_rebase(l, job->duck, &job->tables, &lost, &both, err);
	for (size_t i = 0; i < lost.n && r == 0; i++)
		r = outrun(job, item_named(job->report, lost.items[i]), err);
	for (size_t i = 0; i < both.n && r == 0; i++)
		r = outrun(job, item_named(job->report, both.items[i]), err);
	return r < 0 ? r : tv_tables_stage(l, job->duck, &job->tables, err);
}

int tv_ingest_publish(struct tv_ingest_job *job, cJSON *report, struct tv_err *err)
{
	const struct tv_ingest_how *how = job->how;
	tv_autofree char *meta = report ? cJSON_PrintUnformatted(report) : NULL;
	cJSON_Delete(report);
	if (!meta)
		return tv_err_nomem(err);
	const struct tv_lakehouse_publish p = {
		.author = how->author,
		.message = how->message,
		.trace_id = how->trace_id,
		.meta = meta,
		.rebase = rebase,
		.arg = job,
	};
	return tv_lakehouse_publish(job->lake, &p, &job->report->published, err);
}

static void count(struct tv_ingest_report *report)
{
	memset(report->times, 0, sizeof(report->times));
	for (size_t i = 0; i < report->n; i++)
		report->times[report->items[i].outcome]++;
}

/* --- all of it --------------------------------------------------------------------------------- */

void tv_ingest_job_free(struct tv_ingest_job *job)
{
	tv_ingest_pool_free(job->pool);
	tv_tables_free(&job->tables);
	for (size_t i = 0; i < job->n_sources; i++)
		tv_source_free(job->sources[i]);
	free(job->sources);
	free(job->asks);
	free(job->item_of);
}

static void clear_spool(const struct tv_ingest_job *job)
{
	for (size_t i = 0; i < job->report->n && job->how->spool >= 0; i++)
		if (job->report->items[i].file)
			tv_spool_remove(job->how->spool, job->report->items[i].file);
	if (job->how->spool >= 0)
		tv_spool_sweep(job->how->spool, job->how->now_s - SPOOL_SECONDS);
}

int tv_ingest(struct tv_lakehouse *l, struct tv_duck *duck, const struct tv_ingest_how *how,
	      struct tv_ingest_report *out, struct tv_err *err)
{
	tv_auto(tv_ingest_job_free) struct tv_ingest_job job = {
		.how = how, .lake = l, .duck = duck, .report = out, .tables = TV_TABLES_INIT
	};
	int r = tv_ingest_sources(&job, err);
	if (r == 0)
		r = tv_tables_load(l, duck, &job.tables, err);
	if (r == 0)
		r = tv_ingest_plan(&job, err);
	if (r == 0 && job.n_asks > FEW)
		r = tv_ingest_pool_new(&job.pool, err);
	if (r == 0)
		r = use_spool(&job, err);
	if (r == 0)
		r = fetch(&job, err);
	if (r == 0 && how->accept_restatement)
		r = fetch_whole(&job, err);
	if (r == 0)
		r = apply_news(&job, err);
	if (r == 0)
		r = tv_tables_stage(l, duck, &job.tables, err);
	count(out);
	int64_t start = tv_monotonic_ns();
	if (r == 0)
		r = tv_ingest_publish(&job, tv_ingest_report_json(out, false), err);
	out->storing_ns = job.storing_ns;
	out->publishing_ns = tv_monotonic_ns() - start;
	count(out);
	if (r == 0)
		clear_spool(&job);
	for (size_t i = 0; i < out->n; i++)
		out->items[i].source = NULL; /* it was the job's */
	return r;
}
