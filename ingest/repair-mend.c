#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/repair-priv.h"
#include "store/base/cleanup.h"

#define REASON (3 * TV_FINDING_TEXT)
#define REPAIR_OF "repair of " /* how the reason of a quarantine by a repair begins */

/* One symbol at work. */
struct mending {
	struct tv_repair_job *job;
	struct tv_ingested *item;
	size_t first, end; /* its ranges */
	struct tv_gates_rules rules;
	struct tv_gaps before; /* permanent ones, before and now */
	struct tv_gaps now;
	struct tv_bars bars;	   /* published, with what was filled so far */
	struct tv_bars refused;	   /* rows that were */
	size_t n_answered, n_open; /* ranges: what came is used; is not settled */
	size_t n_refused, added;
	char reason[REASON]; /* of the first refusal */
	int64_t fetched_s;   /* what the bars are judged by: when their end was fetched */
	struct tv_err *err;
};

static void mending_free(struct mending *m)
{
	tv_gaps_free(&m->before);
	tv_gaps_free(&m->now);
	tv_bars_free(&m->bars);
	tv_bars_free(&m->refused);
}

/* --- a range ----------------------------------------------------------------------------------- */

/* Rows came, but not up to the published one behind the gap: the answer was cut off somewhere. */
static bool is_cut_off(const struct tv_repair_range *range, const struct tv_bars *rows)
{
	for (size_t i = 0; i < rows->n; i++)
		if (tv_calendar_day(rows->timestamp[i]) > range->gap.last)
			return false;
	return rows->n > 0;
}

static int refuse(struct mending *m, struct tv_repair_range *range, const struct tv_bars *rows,
		  const struct tv_verdict *v)
{
	char first[TV_DAY_TEXT], last[TV_DAY_TEXT], why[2 * TV_FINDING_TEXT];
	tv_findings_reason(&v->findings, why, sizeof(why));
	if (!m->n_refused++) {
		tv_calendar_day_text(range->gap.first * TV_DAY_SECONDS, first);
		tv_calendar_day_text(range->gap.last * TV_DAY_SECONDS, last);
		snprintf(m->reason, sizeof(m->reason), REPAIR_OF "%s to %s: %s", first, last, why);
	}
	int r = tv_bars_append(&m->refused, rows, 0, rows->n, m->err);
	return r < 0 ? r : tv_repair_end(range, TV_REPAIR_QUARANTINED, why, m->err);
}

/* Rows that came and are none, such as those that somebody filled in. */
static int tell_cut(struct mending *m, struct tv_repair_range *range, const struct tv_findings *f)
{
	char reason[2 * TV_FINDING_TEXT] = "";
	size_t rows = 0;
	for (int g = 0; g < TV_GATES; g++)
		rows += f->rows[g][TV_CUT];
	for (size_t i = 0; i < f->n && rows && !*reason; i++)
		if (f->told[i].severity == TV_CUT)
			snprintf(reason, sizeof(reason), "%zu rows were cut, the first by %s: %s",
				 rows, tv_gate_text(f->told[i].gate), f->told[i].text);
	return *reason ? tv_repair_end(range, range->outcome, reason, m->err) : 0;
}

static int fill(struct mending *m, struct tv_repair_range *range, const struct tv_bars *rows)
{
	tv_autoverdict struct tv_verdict v = TV_VERDICT_INIT;
	const struct tv_verdict_ask ask = {
		.rules = &m->rules,
		.published = &m->bars,
		.fetched = rows,
		.fetched_s = m->fetched_s,
	};
	int r = tv_verdict_fill(&ask, &range->gap, &v, m->err);
	if (r < 0 || v.refused)
		return r < 0 ? r : refuse(m, range, rows, &v);
	struct tv_bars mended = v.bars;
	v.bars = m->bars;
	m->bars = mended;
	range->added = mended.n - v.bars.n;
	m->added += range->added;
	m->n_answered++;
	/* What it is in the end is decided when all gaps that are left are known. */
	range->outcome = TV_REPAIR_FILLED;
	return tell_cut(m, range, &v.findings);
}

static int fill_all(struct mending *m)
{
	int r = 0;
	for (size_t i = m->first; i < m->end && r == 0; i++) {
		struct tv_repair_range *range = &m->job->report->ranges[i];
		const struct tv_repair_work *work = &m->job->work[i];
		bool cut_off = work->came && is_cut_off(range, &work->rows);
		if (cut_off)
			r = tv_repair_end(range, TV_REPAIR_FAILED,
					  "the answer ends before the published row behind the gap",
					  m->err);
		else if (work->came)
			r = fill(m, range, &work->rows);
		m->n_open += !work->came || cut_off;
	}
	return r;
}

/* --- what is left ------------------------------------------------------------------------------ */

/* The range that a gap is left of, if the source answered for it. */
static struct tv_repair_range *answered(struct mending *m, const struct tv_gap *gap)
{
	for (size_t i = m->first; i < m->end; i++) {
		struct tv_repair_range *range = &m->job->report->ranges[i];
		if (range->outcome <= TV_REPAIR_PERMANENT && range->gap.first <= gap->first &&
		    gap->last <= range->gap.last)
			return range;
	}
	return NULL;
}

static int find_left(struct mending *m)
{
	tv_autogaps struct tv_gaps gaps = TV_GAPS_INIT;
	int r = tv_gaps_find(&m->bars, &m->rules, &gaps, m->err);
	for (size_t i = 0; i < gaps.n && r == 0; i++) {
		const struct tv_gap *gap = &gaps.items[i];
		struct tv_repair_range *range = answered(m, gap);
		if (range)
			range->outcome = range->added ? TV_REPAIR_PARTLY : TV_REPAIR_PERMANENT;
		if (range || tv_gaps_cover(&m->before, gap->first, gap->last))
			r = tv_gaps_add(&m->now, gap, m->err);
	}
	return r;
}

/* --- the lakehouse ----------------------------------------------------------------------------- */

/* A quarantine that was not a repair's stays: what was refused then is not what was mended now. One of
 * a repair ends when every gap is settled. */
static int set_health(struct mending *m, enum tv_health health, const char *reason)
{
	tv_autohealth struct tv_health_entry old = { .reason = NULL };
	int r = tv_health_get(m->job->ingest.tables.health, m->item->symbol, &old, m->err);
	if (r < 0)
		return r;
	bool quarantined = r == 1 && old.status == TV_HEALTH_QUARANTINED;
	bool ours =
		quarantined && old.reason && strncmp(old.reason, REPAIR_OF, strlen(REPAIR_OF)) == 0;
	if (quarantined && (!ours || m->n_open))
		return 0;
	if (m->n_refused)
		return tv_ingest_set_health(&m->job->ingest, m->item, TV_HEALTH_QUARANTINED,
					    m->reason, false, m->err);
	r = tv_ingest_set_health(&m->job->ingest, m->item, health, reason, true, m->err);
	return r < 0 ? r
		     : tv_ingest_drop_evidence(&m->job->ingest, m->item, TV_EVIDENCE_REPAIR,
					       m->err);
}

/* The bars as they are now, judged as a whole. */
static int publish(struct mending *m)
{
	tv_autoverdict struct tv_verdict v = TV_VERDICT_INIT;
	tv_autobars struct tv_bars none = TV_BARS_INIT;
	char reason[2 * TV_FINDING_TEXT];
	struct tv_catalog_entry entry = { .freshness = TV_CATALOG_UNKNOWN };
	const struct tv_verdict_ask ask = {
		.rules = &m->rules,
		.published = &m->bars,
		.fetched = &none,
		.from = INT64_MAX,
		.fetched_s = m->fetched_s,
	};
	m->rules.permanent = &m->now;
	int r = tv_verdict_make(&ask, &v, m->err);
	if (r == 0 && v.refused) /* each part of it has passed */
		r = tv_err_set(m->err, -TV_E_DAMAGED, "the bars do not pass the gates any more");
	if (r < 0)
		return r;
	tv_catalog_get(m->job->ingest.tables.catalog, m->item->symbol, &entry);
	/* The end of the bars is as old as it was. Where nobody tells, it was fetched after its last day. */
	int64_t fresh = entry.freshness != TV_CATALOG_UNKNOWN
				? entry.freshness
				: m->bars.timestamp[m->bars.n - 1] + TV_DAY_SECONDS;
	m->item->added = m->added;
	r = tv_ingest_put_bars(&m->job->ingest, m->item, &v, m->added > 0, -1, fresh, m->err);
	enum tv_health health = tv_ingest_health_of(&v, reason, sizeof(reason));
	if (r == 0)
		r = set_health(m, health, *reason ? reason : NULL);
	return r < 0 ? r
		     : tv_gaps_set_permanent(m->job->ingest.tables.health, m->item->symbol, &m->now,
					     m->err);
}

static int put(struct mending *m)
{
	int r = 0;
	if (m->n_refused)
		r = tv_ingest_put_rows(&m->job->ingest, m->item, TV_EVIDENCE_REPAIR, &m->refused,
				       m->err);
	if (r == 0 && m->n_answered)
		return publish(m);
	return r < 0 || !m->n_refused ? r : set_health(m, TV_HEALTH_QUARANTINED, m->reason);
}

static int begin(struct mending *m)
{
	struct tv_catalog_entry entry;
	int r = tv_ingest_rules(&m->job->ingest, m->item->symbol, &m->before, &m->rules, m->err);
	if (r == 0)
		r = tv_ingest_published(&m->job->ingest, m->item, &m->bars, m->err);
	m->fetched_s = TV_GATES_NO_TIME;
	if (r == 0 && m->bars.n &&
	    tv_catalog_get(m->job->ingest.tables.catalog, m->item->symbol, &entry) &&
	    entry.freshness >= m->bars.timestamp[m->bars.n - 1])
		m->fetched_s = entry.freshness;
	return r;
}

int tv_repair_mend(struct tv_repair_job *job, size_t first, size_t end, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	tv_auto(mending_free) struct mending m = {
		.job = job,
		.item = &job->items.items[job->work[first].item],
		.first = first,
		.end = end,
		.before = TV_GAPS_INIT,
		.now = TV_GAPS_INIT,
		.bars = TV_BARS_INIT,
		.refused = TV_BARS_INIT,
		.err = &why,
	};
	int r = begin(&m);
	if (r == 0)
		r = fill_all(&m);
	if (r == 0)
		r = find_left(&m);
	if (r == 0)
		r = put(&m);
	return r < 0 ? tv_err_set(err, r, "%s: %s", m.item->symbol, why.text) : 0;
}
