/* What a judgement leaves in the lakehouse: bars, entries of the tables, evidence. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ingest/bars-parquet.h"
#include "ingest/ingest-priv.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"

#define BARS_SUFFIX "_1d.parquet"

/* --- evidence ---------------------------------------------------------------------------------- */

char *tv_ingest_evidence(const struct tv_ingested *item, const char *suffix)
{
	char *path = NULL;
	int n = (int)(strlen(item->file) - strlen(BARS_SUFFIX));
	return asprintf(&path, "quarantine/%.*s%s", n, item->file, suffix) < 0 ? NULL : path;
}

int tv_ingest_put_evidence(struct tv_ingest_job *job, const struct tv_ingested *item,
			   const char *suffix, const void *bytes, size_t n, struct tv_err *err)
{
	tv_autofree char *path = tv_ingest_evidence(item, suffix);
	/* not as bytes, which stay in memory: there may be thousands of it */
	tv_autoclose int fd = memfd_create("evidence", MFD_CLOEXEC);
	if (!path)
		return tv_err_nomem(err);
	int r = fd < 0 ? -errno : tv_io_write_all(fd, bytes, n);
	return r < 0 ? tv_err_sys(err, r, "no memory file for '%s'", path)
		     : tv_lakehouse_put(job->lake, path, fd, NULL, NULL, err);
}

int tv_ingest_drop_evidence(struct tv_ingest_job *job, const struct tv_ingested *item,
			    const char *suffix, struct tv_err *err)
{
	tv_autofree char *path = tv_ingest_evidence(item, suffix);
	return path ? tv_lakehouse_remove(job->lake, path, err) : tv_err_nomem(err);
}

int tv_ingest_put_rows(struct tv_ingest_job *job, const struct tv_ingested *item,
		       const char *suffix, const struct tv_bars *rows, struct tv_err *err)
{
	tv_autobuf struct tv_buf csv = TV_BUF_INIT;
	tv_buf_add_str(&csv, "timestamp,open,high,low,close,volume\n");
	for (size_t i = 0; i < rows->n; i++) {
		struct tv_bar b = tv_bars_get(rows, i);
		tv_buf_addf(&csv, "%lld,%.17g,%.17g,%.17g,%.17g,%.17g\n", (long long)b.timestamp,
			    b.open, b.high, b.low, b.close, b.volume);
	}
	return csv.failed ? tv_err_nomem(err)
			  : tv_ingest_put_evidence(job, item, suffix, csv.data, csv.len, err);
}

/* --- tables ------------------------------------------------------------------------------------ */

int tv_ingest_set_health(struct tv_ingest_job *job, const struct tv_ingested *item,
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

/* --- bars -------------------------------------------------------------------------------------- */

/* Makes the file unless it is made already (file < 0: not). */
static int stage_bars(struct tv_ingest_job *job, struct tv_ingested *item,
		      const struct tv_bars *bars, int file, struct tv_sha *sha, struct tv_err *err)
{
	tv_autoclose int own = file < 0 ? memfd_create("bars", MFD_CLOEXEC) : -1;
	if (file < 0 && own < 0)
		return tv_err_sys(err, -errno, "no memory file for '%s'", item->file);
	int r = file < 0 ? tv_bars_write(job->duck, bars, own, err) : 0;
	int64_t start = tv_monotonic_ns();
	if (r == 0)
		r = tv_lakehouse_put(job->lake, item->file, file < 0 ? own : file, sha, NULL, err);
	job->storing_ns += tv_monotonic_ns() - start;
	return r;
}

int tv_ingest_put_bars(struct tv_ingest_job *job, struct tv_ingested *item,
		       const struct tv_verdict *v, bool changed, int file, int64_t fetched_s,
		       struct tv_err *err)
{
	struct tv_sha sha;
	if (!v->bars.n)
		return tv_err_set(err, -EINVAL, "%s: no rows to publish", item->symbol);
	item->rows = v->bars.n;
	item->first_s = v->bars.timestamp[0];
	item->last_s = v->bars.timestamp[v->bars.n - 1];
	item->score = v->score;
	int r = changed ? stage_bars(job, item, &v->bars, file, &sha, err)
			: tv_lakehouse_sha(job->lake, item->file, &sha, err);
	return r < 0 ? r : set_catalog(job, item, fetched_s, &sha, err);
}

enum tv_health tv_ingest_health_of(const struct tv_verdict *v, char *reason, size_t n)
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
