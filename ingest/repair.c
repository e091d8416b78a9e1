#include "ingest/repair.h"

#include <stdlib.h>
#include <string.h>

#include "ingest/repair-priv.h"
#include "store/base/cleanup.h"

/* --- the report -------------------------------------------------------------------------------- */

const char *tv_repair_outcome_text(enum tv_repair_outcome outcome)
{
	static const char *const texts[TV_REPAIR_OUTCOMES] = {
		"filled", "partly", "permanent", "quarantined", "failed", "outrun", "left", "open",
	};
	return texts[outcome];
}

void tv_repair_report_free(struct tv_repair_report *report)
{
	if (!report)
		return;
	for (size_t i = 0; i < report->n; i++) {
		free(report->ranges[i].symbol);
		free(report->ranges[i].reason);
	}
	free(report->ranges);
	*report = TV_REPAIR_REPORT_INIT;
}

int tv_repair_end(struct tv_repair_range *range, enum tv_repair_outcome outcome, const char *reason,
		  struct tv_err *err)
{
	char *copy = reason ? strdup(reason) : NULL;
	if (reason && !copy)
		return tv_err_nomem(err);
	free(range->reason);
	range->reason = copy;
	range->outcome = outcome;
	return 0;
}

static cJSON *range_json(const struct tv_repair_range *range)
{
	char day[TV_DAY_TEXT];
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "symbol", range->symbol);
	if (!range->whole) {
		tv_calendar_day_text(range->gap.first * TV_DAY_SECONDS, day);
		cJSON_AddStringToObject(o, "first", day);
		tv_calendar_day_text(range->gap.last * TV_DAY_SECONDS, day);
		cJSON_AddStringToObject(o, "last", day);
		tv_json_add_u64(o, "sessions", range->gap.sessions);
	}
	cJSON_AddStringToObject(o, "outcome", tv_repair_outcome_text(range->outcome));
	tv_json_add_u64(o, "added", range->added);
	if (range->reason)
		tv_json_add_bytes(o, "reason", range->reason, strlen(range->reason));
	if (range->tries)
		cJSON_AddNumberToObject(o, "tries", range->tries);
	return o;
}

cJSON *tv_repair_report_json(const struct tv_repair_report *report, bool all)
{
	cJSON *doc = cJSON_CreateObject(), *list;
	cJSON_AddStringToObject(doc, "kind", "repair");
	tv_json_add_u64(doc, "symbols", report->symbols);
	for (int i = 0; i < TV_REPAIR_OUTCOMES; i++)
		tv_json_add_u64(doc, tv_repair_outcome_text(i), report->times[i]);
	tv_json_add_u64(doc, "permanent_before", report->permanent);
	tv_json_add_u64(doc, "added", report->added);
	list = cJSON_AddArrayToObject(doc, "ranges");
	for (size_t i = 0; i < report->n && list; i++)
		if (all || report->ranges[i].outcome < TV_REPAIR_LEFT)
			cJSON_AddItemToArray(list, range_json(&report->ranges[i]));
	if (!list) {
		cJSON_Delete(doc);
		return NULL;
	}
	return doc;
}

static void count(struct tv_repair_report *report)
{
	memset(report->times, 0, sizeof(report->times));
	report->added = 0;
	for (size_t i = 0; i < report->n; i++) {
		report->times[report->ranges[i].outcome]++;
		report->added += report->ranges[i].added;
	}
}

/* --- fetching ---------------------------------------------------------------------------------- */

struct fetching {
	struct tv_repair_job *job;
	struct tv_collect_ask *asks; /* owned */
	size_t *range_of, n;	     /* owned */
};

static void fetching_free(struct fetching *f)
{
	free(f->asks);
	free(f->range_of);
}

static int on_done(void *arg, const struct tv_collected *got, struct tv_err *err)
{
	const struct fetching *f = arg;
	struct tv_repair_range *range = &f->job->report->ranges[f->range_of[got->index]];
	struct tv_repair_work *work = &f->job->work[f->range_of[got->index]];
	const struct tv_collect_ask *ask = &f->asks[got->index];
	range->tries = got->tries;
	if (got->code < 0)
		return tv_repair_end(range, TV_REPAIR_FAILED, got->error, err);
	work->came = true;
	/* Some sources send more than they were asked for. */
	return tv_bars_append_between(&work->rows, got->rows, ask->from, ask->to - 1, err);
}

/* The days of the gap, and the published ones on both sides: they tell whether the history is the same. */
static void ask_for(struct fetching *f, size_t range)
{
	const struct tv_repair_job *job = f->job;
	const struct tv_gap *gap = &job->report->ranges[range].gap;
	const char *symbol = job->report->ranges[range].symbol;
	f->range_of[f->n] = range;
	f->asks[f->n++] = (struct tv_collect_ask){
		.source = tv_ingest_source_of(&job->ingest, symbol),
		.symbol = strchr(symbol, ':') + 1,
		.from = (gap->first - 1) * TV_DAY_SECONDS,
		.to = (gap->last + 2) * TV_DAY_SECONDS,
	};
}

static int fetch(struct tv_repair_job *job, struct tv_err *err)
{
	const struct tv_ingest_how *how = &job->how->ingest;
	tv_auto(tv_fetch_free_p) struct tv_fetch *fetch = NULL;
	tv_auto(fetching_free) struct fetching f = { .job = job };
	if (!job->n_asked)
		return 0;
	f.asks = calloc(job->n_asked, sizeof(*f.asks));
	f.range_of = calloc(job->n_asked, sizeof(*f.range_of));
	if (!f.asks || !f.range_of)
		return tv_err_nomem(err);
	for (size_t i = 0; i < job->report->n; i++)
		if (job->work[i].item != TV_REPAIR_NO_ITEM)
			ask_for(&f, i);
	int r = tv_fetch_new(&how->limits, how->time, how->secrets, &fetch, err);
	return r < 0 ? r
		     : tv_collect(fetch, job->ingest.duck, f.asks, f.n, on_done, &f, how->progress,
				  err);
}

/* --- all of it --------------------------------------------------------------------------------- */

static int mend(struct tv_repair_job *job, struct tv_err *err)
{
	const struct tv_repair_report *report = job->report;
	int r = 0;
	for (size_t first = 0, end; first < report->n && r == 0; first = end) {
		end = first + 1;
		while (end < report->n &&
		       strcmp(report->ranges[end].symbol, report->ranges[first].symbol) == 0)
			end++;
		if (job->work[first].item == TV_REPAIR_NO_ITEM)
			continue;
		if (tv_progress_step(job->how->ingest.progress, "filling", first, report->n,
				     "gaps"))
			return tv_err_set(err, -TV_E_INTERRUPTED,
					  "stopped before anything was published");
		r = tv_repair_mend(job, first, end, err);
	}
	return r;
}

/* What others were faster with. */
static int note_outrun(struct tv_repair_job *job, struct tv_err *err)
{
	int r = 0;
	for (size_t i = 0; i < job->report->n && r == 0; i++) {
		struct tv_repair_range *range = &job->report->ranges[i];
		size_t item = job->work[i].item;
		if (item == TV_REPAIR_NO_ITEM || job->items.items[item].outcome != TV_OUTRUN)
			continue;
		range->added = 0;
		r = tv_repair_end(range, TV_REPAIR_OUTRUN, job->items.items[item].reason, err);
	}
	return r;
}

static int publish(struct tv_repair_job *job, struct tv_err *err)
{
	struct tv_ingest_job *ingest = &job->ingest;
	int r = tv_tables_stage(ingest->lake, ingest->duck, &ingest->tables, err);
	count(job->report);
	if (r == 0)
		r = tv_ingest_publish(ingest, tv_repair_report_json(job->report, false), err);
	if (r == 0)
		r = note_outrun(job, err);
	job->report->published = job->items.published;
	return r;
}

static void job_free(struct tv_repair_job *job)
{
	for (size_t i = 0; job->work && i < job->report->n; i++)
		tv_bars_free(&job->work[i].rows);
	free(job->work);
	tv_ingest_job_free(&job->ingest);
	tv_ingest_report_free(&job->items);
	tv_assets_free(&job->assets);
}

int tv_repair(struct tv_lakehouse *l, struct tv_duck *duck, const struct tv_repair_how *how,
	      struct tv_repair_report *out, struct tv_err *err)
{
	tv_auto(job_free) struct tv_repair_job job = {
		.ingest = { .how = &how->ingest,
			    .lake = l,
			    .duck = duck,
			    .tables = TV_TABLES_INIT },
		.items = TV_INGEST_REPORT_INIT,
		.how = how,
		.report = out,
	};
	job.ingest.report = &job.items;
	int r = how->check ? 0 : tv_ingest_sources(&job.ingest, err);
	if (r == 0)
		r = tv_tables_load(l, duck, &job.ingest.tables, err);
	if (r == 0)
		r = tv_assets_load(l, duck, &job.ingest.tables, &job.assets, err);
	if (r == 0)
		r = tv_repair_plan(&job, err);
	out->published.unchanged = true;
	if (r == 0 && !how->check)
		r = fetch(&job, err);
	if (r == 0 && !how->check)
		r = mend(&job, err);
	if (r == 0 && !how->check)
		r = publish(&job, err);
	count(out);
	return r;
}
