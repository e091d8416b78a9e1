#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ingest/bars-parquet.h"
#include "ingest/ingest-priv.h"
#include "ingest/verdict.h"
#include "store/base/cleanup.h"

/* --- evidence ---------------------------------------------------------------------------------- */

static int put_evidence(struct tv_ingest_job *job, const struct tv_ingested *item,
			const char *suffix, const void *bytes, size_t n, struct tv_err *err)
{
	tv_autofree char *path = tv_ingest_evidence(item, suffix);
	return path ? tv_lakehouse_put_bytes(job->lake, path, bytes, n, NULL, err)
		    : tv_err_nomem(err);
}

static int drop_evidence(struct tv_ingest_job *job, const struct tv_ingested *item,
			 struct tv_err *err)
{
	static const char *const suffixes[] = { ".csv", ".body" };
	for (size_t i = 0; i < TV_ARRAY_LEN(suffixes); i++) {
		tv_autofree char *path = tv_ingest_evidence(item, suffixes[i]);
		int r = path ? tv_lakehouse_remove(job->lake, path, err) : tv_err_nomem(err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int put_rows(struct tv_ingest_job *job, const struct tv_ingested *item,
		    const struct tv_bars *rows, struct tv_err *err)
{
	tv_autobuf struct tv_buf csv = TV_BUF_INIT;
	tv_buf_add_str(&csv, "timestamp,open,high,low,close,volume\n");
	for (size_t i = 0; i < rows->n; i++) {
		struct tv_bar b = tv_bars_get(rows, i);
		tv_buf_addf(&csv, "%lld,%.17g,%.17g,%.17g,%.17g,%.17g\n", (long long)b.timestamp,
			    b.open, b.high, b.low, b.close, b.volume);
	}
	return csv.failed ? tv_err_nomem(err)
			  : put_evidence(job, item, ".csv", csv.data, csv.len, err);
}

/* --- tables ------------------------------------------------------------------------------------ */

/* A verdict that is there already is not written again, whenever it was made. */
static int set_health(struct tv_ingest_job *job, const struct tv_ingested *item,
		      enum tv_health status, const char *reason, bool again, struct tv_err *err)
{
	tv_autohealth struct tv_health_entry old = { .reason = NULL };
	struct tv_health_entry now = { status, job->how->now_s, NULL };
	int r = tv_health_get(job->tables.health, item->symbol, &old, err);
	bool same = r == 1 && old.status == status &&
		    strcmp(old.reason ? old.reason : "", reason ? reason : "") == 0;
	if (r < 0 || (same && !again))
		return r < 0 ? r : 0;
	tv_autofree char *copy = reason ? strdup(reason) : NULL;
	if (reason && !copy)
		return tv_err_nomem(err);
	now.reason = copy;
	return tv_health_set(job->tables.health, item->symbol, &now, err);
}

static int set_catalog(struct tv_ingest_job *job, const struct tv_ingested *item, int64_t fetched_s,
		       const struct tv_sha *sha, struct tv_err *err)
{
	struct tv_catalog_entry e = {
		.freshness = fetched_s,
		.data_quality_score = item->score,
		.rows = (int64_t)item->rows,
	};
	snprintf(e.source, sizeof(e.source), "%s", item->source);
	tv_sha_hex(sha, e.sha256);
	int r = tv_catalog_day(item->first_s, e.start_date, err);
	if (r == 0)
		r = tv_catalog_day(item->last_s, e.end_date, err);
	return r < 0 ? r : tv_catalog_set(job->tables.catalog, item->symbol, &e, err);
}

/* --- one symbol -------------------------------------------------------------------------------- */

static int quarantine(struct tv_ingest_job *job, struct tv_ingested *item, const char *reason,
		      struct tv_err *err)
{
	int r = set_health(job, item, TV_HEALTH_QUARANTINED, reason, false, err);
	return r < 0 ? r : tv_ingest_end(item, TV_QUARANTINED, reason, err);
}

/* No rows came. Bytes that are no answer of the source are evidence; a network that fails is nothing
 * that the lakehouse has to know. */
static int nothing_came(struct tv_ingest_job *job, struct tv_ingested *item,
			const struct tv_collected *got, struct tv_err *err)
{
	if (got->code != -EPROTO || !got->n_body)
		return tv_ingest_end(item, TV_FAILED, got->error, err);
	int r = put_evidence(job, item, ".body", got->body, got->n_body, err);
	return r < 0 ? r : quarantine(job, item, got->error, err);
}

static int stage_bars(struct tv_ingest_job *job, struct tv_ingested *item,
		      const struct tv_verdict *v, struct tv_sha *sha, struct tv_err *err)
{
	if (!v->changed)
		return tv_lakehouse_sha(job->lake, item->file, sha, err);
	tv_autoclose int fd = memfd_create("bars", MFD_CLOEXEC);
	if (fd < 0)
		return tv_err_sys(err, -errno, "no memory file for '%s'", item->file);
	int r = tv_bars_write(job->duck, &v->bars, fd, err);
	return r < 0 ? r : tv_lakehouse_put(job->lake, item->file, fd, sha, NULL, err);
}

/* "ok", or what is worth knowing of bars that are published. */
static enum tv_health health_of(const struct tv_verdict *v, char *reason, size_t n)
{
	const struct tv_findings *f = &v->findings;
	*reason = '\0';
	for (size_t i = 0; i < f->n && !*reason; i++)
		snprintf(reason, n, "%s: %s", tv_gate_text(f->told[i].gate), f->told[i].text);
	if (tv_findings_times(f, TV_GATES) > 1)
		snprintf(reason + strlen(reason), n - strlen(reason), ", and %zu more",
			 tv_findings_times(f, TV_GATES) - 1);
	if (tv_findings_times(f, TV_GATE_GAP))
		return TV_HEALTH_GAP;
	return *reason ? TV_HEALTH_WARN : TV_HEALTH_OK;
}

static int publish_bars(struct tv_ingest_job *job, struct tv_ingested *item,
			const struct tv_verdict *v, size_t before, int64_t fetched_s,
			struct tv_err *err)
{
	char reason[2 * TV_FINDING_TEXT];
	struct tv_sha sha;
	if (!v->bars.n)
		return tv_err_set(err, -EINVAL, "%s: no rows to publish", item->symbol);
	item->rows = v->bars.n;
	item->added = v->bars.n > before ? v->bars.n - before : 0;
	item->first_s = v->bars.timestamp[0];
	item->last_s = v->bars.timestamp[v->bars.n - 1];
	item->score = v->score;
	enum tv_health health = health_of(v, reason, sizeof(reason));
	int r = stage_bars(job, item, v, &sha, err);
	if (r == 0)
		r = set_catalog(job, item, fetched_s, &sha, err);
	if (r == 0)
		r = set_health(job, item, health, *reason ? reason : NULL, true, err);
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

static int judge(struct tv_ingest_job *job, struct tv_ingested *item, const struct tv_bars *rows,
		 int64_t from, int64_t fetched_s, struct tv_err *err)
{
	tv_autobars struct tv_bars published = TV_BARS_INIT;
	tv_autoverdict struct tv_verdict v = TV_VERDICT_INIT;
	struct tv_gates_rules rules;
	char reason[2 * TV_FINDING_TEXT];
	tv_autofree char *exchange = strndup(item->symbol, strcspn(item->symbol, ":"));
	if (!exchange)
		return tv_err_nomem(err);
	int crypto = tv_exchanges_is_crypto(&job->tables.exchanges, exchange);
	int r = tv_gates_rules_read(job->how->gates, item->symbol,
				    crypto < 0 ? TV_CRYPTO_UNKNOWN
				    : crypto   ? TV_CRYPTO_YES
					       : TV_CRYPTO_NO,
				    &rules, err);
	if (r == 0)
		r = tv_ingest_published(job, item, &published, err);
	const struct tv_verdict_ask ask = {
		.rules = &rules,
		.published = &published,
		.fetched = rows,
		.from = job->whole || !published.n ? TV_RESTATE_ALL : from,
		.fetched_s = fetched_s,
		.accepted = job->how->accept_restatement,
	};
	if (r == 0)
		r = tv_verdict_make(&ask, &v, err);
	if (r == 0)
		r = keep_details(item, &v, err);
	if (r < 0)
		return r;
	item->needs_all = v.refused && v.restatement.needs_all;
	if (!v.refused)
		return publish_bars(job, item, &v, published.n, fetched_s, err);
	tv_findings_reason(&v.findings, reason, sizeof(reason));
	r = put_rows(job, item, rows, err);
	return r < 0 ? r : quarantine(job, item, reason, err);
}

int tv_ingest_take(struct tv_ingest_job *job, size_t n, const struct tv_collected *got,
		   int64_t fetched_s, struct tv_err *err)
{
	struct tv_ingested *item = &job->report->items[job->item_of[n]];
	struct tv_err why = TV_ERR_INIT;
	item->tries += got->tries;
	if (got->code < 0)
		return nothing_came(job, item, got, err);
	int r = judge(job, item, got->rows, job->asks[n].from, fetched_s, &why);
	/* A published file that cannot be read is this symbol's trouble alone. */
	if (r == -TV_E_GATE || r == -TV_E_DAMAGED || r == -TV_E_DIGEST)
		return tv_ingest_end(item, TV_FAILED, why.text, err);
	return r < 0 ? tv_err_set(err, r, "%s: %s", item->symbol, why.text) : 0;
}
