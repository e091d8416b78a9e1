/* Rows that are no trade: one row at a time, against the last one that was kept. */
#include <stdlib.h>

#include "ingest/gates-priv.h"

enum cause {
	KEPT,
	DOUBLE,	   /* the row before it, again */
	CLOSED,	   /* a repeated row on a day on which no session is expected */
	COPY,	   /* a repeated row, its volume too */
	IDLE,	   /* nothing traded, the prices as before */
	IDLE_LONG, /* the same, and so for long */
	OFF,	   /* a row of its own on a day without session */
};

static const struct {
	enum tv_gate gate;
	enum tv_severity severity;
	const char *text;
} causes[] = {
	[DOUBLE] = { TV_GATE_ORDER, TV_CUT, "the row before it over again" },
	[CLOSED] = { TV_GATE_PADDING, TV_CUT,
		     "repeats the row before it on a day without session" },
	[COPY] = { TV_GATE_PADDING, TV_CUT, "a copy of the row before it, with its volume" },
	[IDLE] = { TV_GATE_PADDING, TV_RECORD, "no volume, and prices of the row before it" },
	[IDLE_LONG] = { TV_GATE_PADDING, TV_CUT, "no volume, and the same prices for long" },
	[OFF] = { TV_GATE_SESSION, TV_REFUSE, "a row on a day without session" },
};

struct sieve {
	size_t kept; /* the last row that was */
	size_t idle; /* idle rows since something was traded */
	size_t long_first, long_rows;
	enum cause cause; /* of the rows first.. that are not told yet */
	size_t first, end;
};

/* Prices that nobody traded at. Programs that fill write the row before it, or its close four times. */
static bool is_idle(const struct tv_bars *b, size_t i, size_t kept)
{
	double close = b->close[kept];
	bool flat = b->open[i] == close && b->high[i] == close && b->low[i] == close;
	bool same = b->open[i] == b->open[kept] && b->high[i] == b->high[kept] &&
		    b->low[i] == b->low[kept];
	return b->volume[i] == 0 && b->close[i] == close && (flat || same);
}

static enum cause cause_of(const struct tv_pass *p, struct sieve *s, size_t i)
{
	const struct tv_bars *b = p->bars;
	int64_t day = tv_calendar_day(b->timestamp[i]);
	bool counted = tv_calendar_is_counted(p->rules->calendar, day);
	bool alike = i > 0 && b->close[i] == b->close[s->kept]; /* few rows are */
	bool idle = alike && is_idle(b, i, s->kept);
	bool copy = alike && tv_bars_row_same(b, i, s->kept);
	if (i > 0 && b->timestamp[i] == b->timestamp[i - 1])
		return DOUBLE;
	if (!counted && (idle || copy))
		return CLOSED;
	if (!counted && !tv_calendar_is_open(p->rules->calendar, day))
		return OFF;
	/* a penny stock may well trade 100 pieces at one price twice; a range and its volume do not
	 * come back */
	if (copy && b->volume[i] > 0 && b->high[i] > b->low[i])
		return COPY;
	s->idle = idle ? s->idle + 1 : 0;
	if (!idle || p->rules->padding_run == 0)
		return KEPT;
	return s->idle < p->rules->padding_run ? IDLE : IDLE_LONG;
}

/* Tells the rows that have one cause and follow one another, and marks those that are cut. */
static int flush(struct tv_pass *p, struct sieve *s)
{
	struct tv_judged *j = p->judged;
	size_t rows = s->end - s->first;
	if (s->cause == KEPT || rows == 0)
		return 0;
	enum tv_severity severity = causes[s->cause].severity;
	if (severity == TV_CUT) {
		if (!j->cut && !(j->cut = calloc(j->n, sizeof(*j->cut))))
			return tv_err_nomem(p->err);
		for (size_t i = s->first; i < s->end; i++)
			j->cut[i] = true;
		j->n_cut += rows;
	}
	if (s->cause == IDLE_LONG) {
		s->long_first = s->long_rows ? s->long_first : s->first;
		s->long_rows += rows;
	}
	struct tv_finding where = tv_pass_at(p, causes[s->cause].gate, severity, s->first, rows);
	return tv_findings_add(p->found, &where, p->err, "%s (%zu row%s)", causes[s->cause].text,
			       rows, rows == 1 ? "" : "s");
}

/* An asset of which too much is padding is none that is traded. */
static int refuse_mostly_idle(struct tv_pass *p, const struct sieve *s)
{
	if ((double)s->long_rows <= p->rules->padding_share * (double)p->n_past)
		return 0;
	struct tv_finding where =
		tv_pass_at(p, TV_GATE_PADDING, TV_REFUSE, s->long_first, s->long_rows);
	return tv_findings_add(
		p->found, &where, p->err,
		"%zu of %zu rows are padding: no volume, and the same prices for long",
		s->long_rows, p->n_past);
}

int tv_pass_sift(struct tv_pass *p)
{
	struct sieve s = { .cause = KEPT };
	int r = 0;
	for (size_t i = 0; i < p->n_past && r == 0; i++) {
		enum cause cause = cause_of(p, &s, i);
		if (cause != s.cause) {
			r = flush(p, &s);
			s.cause = cause;
			s.first = i;
		}
		s.end = i + 1;
		if (cause == KEPT || causes[cause].severity != TV_CUT)
			s.kept = i;
	}
	if (r == 0)
		r = flush(p, &s);
	return r < 0 ? r : refuse_mostly_idle(p, &s);
}
