/* data_quality_score, as docs/gates.md says it. */
#include <math.h>

#include "ingest/verdict.h"

#define HOLIDAYS                                                                                   \
	0.05 /* part of the counted days; the most that exchanges have is about 15 of 260 */
#define GAPS_MOST 10.0

static double at_most_1(double part)
{
	return part < 1 ? part : 1;
}

static double coverage(const struct tv_bars *bars, const struct tv_calendar *calendar)
{
	int64_t first = tv_calendar_day(bars->timestamp[0]);
	int64_t last = tv_calendar_day(bars->timestamp[bars->n - 1]);
	double sessions = (double)tv_calendar_sessions(calendar, first, last + 1);
	if (calendar->counted != 0x7f)
		sessions = floor(sessions * (1 - HOLIDAYS));
	return sessions < 1 ? 1 : at_most_1((double)bars->n / sessions);
}

double tv_quality_score(const struct tv_bars *bars, const struct tv_gates_rules *rules,
			const struct tv_findings *f, const struct tv_restatement *r)
{
	if (bars->n == 0 || tv_findings_worst(f) == TV_REFUSE)
		return 0;
	double rows = (double)bars->n;
	size_t idle = f->rows[TV_GATE_PADDING][TV_RECORD] + f->rows[TV_GATE_WICK][TV_RECORD];
	double doubtful = at_most_1((double)idle / rows);
	double restated = r ? at_most_1((double)r->n / rows) : 0;
	double gaps = at_most_1((double)f->times[TV_GATE_GAP][TV_RECORD] / GAPS_MOST);
	double score = coverage(bars, rules->calendar) * (1 - doubtful / 2) * (1 - restated / 2) *
		       (1 - gaps / 2);
	return round(score * 10000) / 10000;
}
