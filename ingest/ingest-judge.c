#include <stdlib.h>
#include <string.h>

#include "ingest/ingest-priv.h"
#include "store/base/cleanup.h"

static int quarantine(struct tv_ingest_job *job, struct tv_ingested *item, const char *reason,
		      struct tv_err *err)
{
	int r = tv_ingest_set_health(job, item, TV_HEALTH_QUARANTINED, reason, false, err);
	return r < 0 ? r : tv_ingest_end(item, TV_QUARANTINED, reason, err);
}

/* No rows came. Bytes that are no answer of the source are evidence; a network that fails is nothing
 * that the lakehouse has to know. */
static int nothing_came(struct tv_ingest_job *job, struct tv_ingested *item,
			const struct tv_collected *got, struct tv_err *err)
{
	if (got->code != -EPROTO || !got->n_body)
		return tv_ingest_end(item, TV_FAILED, got->error, err);
	int r = tv_ingest_put_evidence(job, item, TV_EVIDENCE_BODY, got->body, got->n_body, err);
	return r < 0 ? r : quarantine(job, item, got->error, err);
}

static int drop_evidence(struct tv_ingest_job *job, const struct tv_ingested *item,
			 struct tv_err *err)
{
	static const char *const suffixes[] = TV_EVIDENCES;
	int r = 0;
	for (size_t i = 0; i < TV_ARRAY_LEN(suffixes) && r == 0; i++)
		r = tv_ingest_drop_evidence(job, item, suffixes[i], err);
	return r;
}

static int publish_bars(struct tv_ingest_job *job, struct tv_ingested *item,
			const struct tv_ingest_work *work, struct tv_err *err)
{
	const struct tv_verdict *v = &work->verdict;
	size_t before = work->published.n;
	char reason[2 * TV_FINDING_TEXT];
	enum tv_health health = tv_ingest_health_of(v, reason, sizeof(reason));
	int r = tv_ingest_put_bars(job, item, v, v->changed, work->file, work->fetched_s, err);
	item->added = item->rows > before ? item->rows - before : 0;
	if (r == 0)
		r = tv_ingest_set_health(job, item, health, *reason ? reason : NULL, true, err);
	if (r == 0)
		r = drop_evidence(job, item, err);
	return r < 0 ? r
		     : tv_ingest_end(item, v->changed ? TV_FETCHED : TV_CONFIRMED,
				     *reason ? reason : NULL, err);
}

static int keep_details(struct tv_ingested *item, const struct tv_verdict *v, struct tv_err *err)
{
	cJSON_Delete(item->findings);
	cJSON_Delete(item->restatement);
	item->findings = item->restatement = NULL;
	if (v->findings.n && !(item->findings = tv_findings_json(&v->findings)))
		return tv_err_nomem(err);
	if (v->restatement.n && !(item->restatement = tv_restatement_json(&v->restatement)))
		return tv_err_nomem(err);
	return 0;
}

/* --- judging ----------------------------------------------------------------------------------- */

#define QUEUED 24 /* symbols that wait for a thread, or for what comes after it */

/* All that a thread needs. */
static int prepare(struct tv_ingest_job *job, struct tv_ingest_work *work, int64_t from,
		   int64_t fetched_s, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	int r = tv_ingest_rules(job, work->item->symbol, &work->permanent, &work->rules, err);
	if (r < 0)
		return r;
	work->from = job->whole ? TV_RESTATE_ALL : from;
	work->fetched_s = fetched_s;
	work->accepted = job->how->accept_restatement;
	int fd = tv_lakehouse_open(job->lake, work->item->file, &why);
	if (fd < 0 && fd != -ENOENT)
		return tv_err_set(err, fd, "%s", why.text);
	work->published_fd = fd < 0 ? -1 : fd;
	return 0;
}

static int apply(struct tv_ingest_job *job, const struct tv_ingest_work *work, struct tv_err *err)
{
	const struct tv_verdict *v = &work->verdict;
	struct tv_ingested *item = work->item;
	char reason[2 * TV_FINDING_TEXT];
	int r = keep_details(item, v, err);
	if (r < 0)
		return r;
	item->needs_all = v->refused && v->restatement.needs_all;
	if (!v->refused)
		return publish_bars(job, item, work, err);
	tv_findings_reason(&v->findings, reason, sizeof(reason));
	r = tv_ingest_put_rows(job, item, TV_EVIDENCE_ROWS, &work->rows, err);
	return r < 0 ? r : quarantine(job, item, reason, err);
}

/* A published file that cannot be read is this symbol's trouble alone. */
static int ended(struct tv_ingested *item, int r, const struct tv_err *why, struct tv_err *err)
{
	if (r == -TV_E_GATE || r == -TV_E_DAMAGED || r == -TV_E_DIGEST)
		return tv_ingest_end(item, TV_FAILED, why->text, err);
	return r < 0 ? tv_err_set(err, r, "%s: %s", item->symbol, why->text) : 0;
}

/* What came of it; frees it. */
static int finish(struct tv_ingest_job *job, struct tv_ingest_work *work, struct tv_err *err)
{
	struct tv_err why = work->err;
	int r = work->r < 0 ? work->r : apply(job, work, &why);
	r = ended(work->item, r, &why, err);
	tv_ingest_work_free(work);
	return r;
}

/* Until no more than so many are under way. */
static int settle(struct tv_ingest_job *job, size_t left, struct tv_err *err)
{
	struct tv_ingest_work *work;
	int r = 0;
	while (r == 0 && job->pool && (work = tv_ingest_pool_pop(job->pool, left)))
		r = finish(job, work, err);
	return r;
}

int tv_ingest_settle(struct tv_ingest_job *job, struct tv_err *err)
{
	return settle(job, 0, err);
}

int tv_ingest_take(struct tv_ingest_job *job, size_t n, const struct tv_collected *got,
		   int64_t fetched_s, struct tv_err *err)
{
	struct tv_ingested *item = &job->report->items[job->item_of[n]];
	struct tv_err why = TV_ERR_INIT;
	item->tries += got->tries;
	if (got->code < 0)
		return nothing_came(job, item, got, err);
	tv_auto(tv_ingest_work_free_p) struct tv_ingest_work *work = tv_ingest_work_new(err);
	if (!work)
		return -ENOMEM;
	work->item = item;
	int r = prepare(job, work, job->asks[n].from, fetched_s, &why);
	if (r < 0)
		return ended(item, r, &why, err);
	work->rows = *got->rows;
	*got->rows = TV_BARS_INIT;
	if (!job->pool) {
		tv_ingest_work_do(work, job->duck);
		return finish(job, tv_steal_ptr(&work), err);
	}
	tv_ingest_pool_push(job->pool, tv_steal_ptr(&work));
	return settle(job, QUEUED, err);
}
