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
static int compare(const struct tv_verdict_ask *ask, const struct tv_bars *joined,
		   const struct tv_judged *judged, struct tv_verdict *v, struct tv_err *err)
{
	int r = tv_gates_keep(joined, judged, &v->bars, err);
	if (r == 0)
		r = tv_restate_compare(ask->published, &v->bars, ask->from, ask->rules,
				       &v->restatement, err);
	if (r == 0)
		r = tv_restate_tell(&v->restatement, ask->accepted, &v->findings, err);
	return r;
}

int tv_verdict_make(const struct tv_verdict_ask *ask, struct tv_verdict *out, struct tv_err *err)
{
	tv_autoverdict struct tv_verdict v = TV_VERDICT_INIT;
	tv_autobars struct tv_bars joined = TV_BARS_INIT;
	tv_autojudged struct tv_judged judged = TV_JUDGED_INIT;
	int r = tv_restate_join(ask->published, ask->fetched, ask->from, &joined, err);
	if (r == 0)
		r = tv_gates_judge(&joined, ask->rules, ask->fetched_s, &v.findings, &judged, err);
	if (r < 0)
		return r;
	if (v.findings.times[TV_GATE_ORDER][TV_REFUSE]) {
		v.bars = joined;
		joined = TV_BARS_INIT;
	} else {
		r = compare(ask, &joined, &judged, &v, err);
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
