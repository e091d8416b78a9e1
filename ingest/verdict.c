#include "ingest/verdict.h"

#include "store/base/cleanup.h"

void tv_verdict_free(struct tv_verdict *v)
{
	if (!v)
		return;
	tv_bars_free(&v->bars);
	tv_findings_free(&v->findings);
	tv_restatement_free(&v->restatement);
	*v = TV_VERDICT_INIT;
}

/* What is left of the joined bars, and how it differs from what is published. */
static int compare(const struct tv_verdict_ask *ask, const struct tv_gap *gap,
		   const struct tv_bars *joined, const struct tv_judged *judged,
		   struct tv_verdict *v, struct tv_err *err)
{
	int64_t from = gap ? TV_RESTATE_ALL : ask->from;
	int r = tv_gates_keep(joined, judged, &v->bars, err);
	if (r == 0)
		r = tv_restate_compare(ask->published, &v->bars, from, ask->rules, &v->restatement,
				       err);
	if (r == 0 && gap)
		tv_restate_forget_added(&v->restatement);
	if (r == 0)
		r = tv_restate_tell(&v->restatement, ask->accepted && !gap, &v->findings, err);
	return r;
}

/* --- filling a gap ----------------------------------------------------------------------------- */

static int join_gap(const struct tv_verdict_ask *ask, const struct tv_gap *gap, struct tv_bars *out,
		    struct tv_err *err)
{
	const struct tv_bars *published = ask->published;
	int64_t first = gap->first * TV_DAY_SECONDS;
	int64_t last = (gap->last + 1) * TV_DAY_SECONDS - 1;
	size_t at = tv_bars_find(published, first);
	int r = tv_bars_append(out, published, 0, at, err);
	if (r == 0)
		r = tv_bars_append_between(out, ask->fetched, first, last, err);
	return r < 0 ? r : tv_bars_append(out, published, at, published->n, err);
}

/* The rows that both have, of each day the source's first. */
static int rows_of_both(const struct tv_verdict_ask *ask, struct tv_bars *old, struct tv_bars *now,
			struct tv_err *err)
{
	const struct tv_bars *published = ask->published, *fetched = ask->fetched;
	int r = 0;
	for (size_t i = 0; i < fetched->n && r == 0; i++) {
		int64_t t = fetched->timestamp[i];
		size_t at = tv_bars_find(published, t);
		if (at == published->n || published->timestamp[at] != t ||
		    (now->n && now->timestamp[now->n - 1] >= t))
			continue;
		r = tv_bars_append(old, published, at, at + 1, err);
		if (r == 0)
			r = tv_bars_append(now, fetched, i, i + 1, err);
	}
	return r;
}

/* Whether the source's history is that which is published: of another one no row fits. */
static int compare_sides(const struct tv_verdict_ask *ask, struct tv_findings *f,
			 struct tv_err *err)
{
	tv_autobars struct tv_bars old = TV_BARS_INIT, now = TV_BARS_INIT;
	tv_autorestatement struct tv_restatement found = TV_RESTATEMENT_INIT;
	int r = rows_of_both(ask, &old, &now, err);
	if (r == 0)
		r = tv_restate_compare(&old, &now, TV_RESTATE_ALL, ask->rules, &found, err);
	return r < 0 || !found.beyond ? r : tv_restate_tell(&found, false, f, err);
}

/* --- all of it --------------------------------------------------------------------------------- */

static int make(const struct tv_verdict_ask *ask, const struct tv_gap *gap, struct tv_verdict *out,
		struct tv_err *err)
{
	tv_autoverdict struct tv_verdict v = TV_VERDICT_INIT;
	tv_autobars struct tv_bars joined = TV_BARS_INIT;
	tv_autojudged struct tv_judged judged = TV_JUDGED_INIT;
	int r = gap ? join_gap(ask, gap, &joined, err)
		    : tv_restate_join(ask->published, ask->fetched, ask->from, &joined, err);
	if (r == 0 && gap)
		r = compare_sides(ask, &v.findings, err);
	if (r == 0)
		r = tv_gates_judge(&joined, ask->rules, ask->fetched_s, &v.findings, &judged, err);
	if (r < 0)
		return r;
	if (v.findings.times[TV_GATE_ORDER][TV_REFUSE]) {
		v.bars = joined;
		joined = TV_BARS_INIT;
	} else {
		r = compare(ask, gap, &joined, &judged, &v, err);
	}
	if (r < 0)
		return r;
	v.refused = tv_findings_worst(&v.findings) == TV_REFUSE;
	v.changed = !tv_bars_equal(ask->published, &v.bars);
	v.score = tv_quality_score(&v.bars, ask->rules, &v.findings, &v.restatement);
	*out = v;
	v = TV_VERDICT_INIT;
	return 0;
}

int tv_verdict_make(const struct tv_verdict_ask *ask, struct tv_verdict *out, struct tv_err *err)
{
	return make(ask, NULL, out, err);
}

int tv_verdict_fill(const struct tv_verdict_ask *ask, const struct tv_gap *gap,
		    struct tv_verdict *out, struct tv_err *err)
{
	return make(ask, gap, out, err);
}
