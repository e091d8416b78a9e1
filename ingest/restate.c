#include "ingest/restate.h"

#include <math.h>
#include <stdlib.h>

#include "store/base/cleanup.h"

#define COLUMN_VOLUME 4
#define SCALE_SLACK 0.002 /* prices are rounded after they were multiplied */
#define SCALE_ROWS 2	  /* with fewer a factor says nothing */

const char *tv_restate_kind_text(enum tv_restate_kind kind)
{
	static const char *const names[TV_RESTATE_KINDS] = { "changed", "vanished", "added" };
	return names[kind];
}

void tv_restatement_free(struct tv_restatement *r)
{
	if (!r)
		return;
	free(r->rows);
	*r = TV_RESTATEMENT_INIT;
}

int tv_restate_join(const struct tv_bars *published, const struct tv_bars *fetched, int64_t from,
		    struct tv_bars *out, struct tv_err *err)
{
	tv_autobars struct tv_bars joined = TV_BARS_INIT;
	int r = tv_bars_append(&joined, published, 0, tv_bars_find(published, from), err);
	if (r == 0)
		r = tv_bars_append_between(&joined, fetched, from, INT64_MAX, err);
	if (r < 0)
		return r;
	*out = joined;
	joined = TV_BARS_INIT;
	return 0;
}

/* --- comparing ---------------------------------------------------------------------------------- */

struct compare {
	const struct tv_bars *old, *now;
	const struct tv_gates_rules *rules;
	struct tv_restatement *out;
	struct tv_err *err;
	int64_t from;
	/* how far the rows are scaled, from the oldest that was fetched on */
	double factor, sum_old, sum_now;
	size_t scaled;	   /* rows */
	bool scaling;	   /* none has differed yet */
	size_t priced;	   /* changed rows of which a price did */
	bool first_beyond; /* of what was fetched, the oldest that was published has changed beyond */
	bool reached;	   /* that row was met */
};

static int check_order(const struct tv_bars *b, const char *which, struct tv_err *err)
{
	for (size_t i = 1; i < b->n; i++)
		if (b->timestamp[i] <= b->timestamp[i - 1])
			return tv_err_set(err, -EINVAL, "the %s rows are not in order", which);
	return 0;
}

static int add(struct compare *c, const struct tv_restated *row)
{
	struct tv_restatement *out = c->out;
	if (out->n == out->cap) {
		size_t cap = out->cap ? 2 * out->cap : 8;
		struct tv_restated *rows = reallocarray(out->rows, cap, sizeof(*rows));
		if (!rows)
			return tv_err_nomem(c->err);
		out->rows = rows;
		out->cap = cap;
	}
	out->rows[out->n++] = *row;
	out->times[row->kind]++;
	out->beyond += row->beyond;
	return 0;
}

static double change_of(double old, double now)
{
	if (old == now || (isnan(old) && isnan(now)))
		return 0;
	double change = fabs(now - old) / fabs(old);
	return isnan(change) ? INFINITY : change;
}

/* Whether all prices of a row are those of before times the factor of the first one. */
static bool is_scaled(struct compare *c, size_t o, size_t n)
{
	double ratio = c->now->close[n] / c->old->close[o];
	if (c->out->compared == 1)
		c->factor = ratio;
	for (size_t k = 0; k < COLUMN_VOLUME; k++) {
		double is = tv_bars_values(c->now, k)[n];
		double wanted = tv_bars_values(c->old, k)[o] * c->factor;
		if (!(fabs(is - wanted) <= SCALE_SLACK * fabs(wanted)))
			return false;
	}
	return true;
}

static void reach(struct compare *c, bool beyond)
{
	if (!c->reached)
		c->first_beyond = beyond;
	c->reached = true;
}

/* Most rows are as they were. */
static bool is_same(struct compare *c, size_t o, size_t n)
{
	const struct tv_bars *a = c->old, *b = c->now;
	if (a->open[o] != b->open[n] || a->high[o] != b->high[n] || a->low[o] != b->low[n] ||
	    a->close[o] != b->close[n] || a->volume[o] != b->volume[n])
		return false;
	if (b->timestamp[n] < c->from)
		return true;
	if (c->out->compared++ == 0)
		c->factor = 1;
	c->scaling = c->scaling && fabs(c->factor - 1) <= SCALE_SLACK * c->factor;
	reach(c, false);
	return true;
}

/* A row that both have. */
static int both(struct compare *c, size_t o, size_t n)
{
	if (is_same(c, o, n))
		return 0;
	struct tv_restated row = { .kind = TV_RESTATE_CHANGED, .row = n };
	double volume = change_of(c->old->volume[o], c->now->volume[n]);
	bool fetched = c->now->timestamp[n] >= c->from;
	for (size_t k = 0; k < COLUMN_VOLUME; k++)
		row.change = fmax(row.change, change_of(tv_bars_values(c->old, k)[o],
							tv_bars_values(c->now, k)[n]));
	row.beyond = row.change > c->rules->restatement_tolerance ||
		     volume > c->rules->restatement_volume;
	if (fetched) {
		c->out->compared++;
		c->scaling = c->scaling && is_scaled(c, o, n);
		if (c->scaling && row.change > 0) {
			c->scaled++;
			c->sum_old += c->old->close[o];
			c->sum_now += c->now->close[n];
		}
		reach(c, row.beyond);
	}
	c->priced += row.change > 0;
	if (row.change == 0 && volume == 0)
		return 0;
	row.before = tv_bars_get(c->old, o);
	row.after = tv_bars_get(c->now, n);
	return add(c, &row);
}

static int vanished(struct compare *c, size_t o, size_t n)
{
	struct tv_restated row = { .kind = TV_RESTATE_VANISHED, .row = n, .beyond = true };
	row.before = tv_bars_get(c->old, o);
	if (row.before.timestamp >= c->from)
		reach(c, true);
	return add(c, &row);
}

static int added(struct compare *c, size_t n)
{
	struct tv_restated row = { .kind = TV_RESTATE_ADDED, .row = n };
	row.after = tv_bars_get(c->now, n);
	return add(c, &row);
}

static int walk(struct compare *c)
{
	const int64_t *old = c->old->timestamp, *now = c->now->timestamp;
	size_t n = 0;
	for (size_t o = 0; o < c->old->n; o++) {
		int r = 0;
		for (; n < c->now->n && now[n] < old[o] && r == 0; n++)
			r = added(c, n);
		if (r == 0 && n < c->now->n && now[n] == old[o])
			r = both(c, o, n++);
		else if (r == 0)
			r = vanished(c, o, n);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What the rows say together. */
static void conclude(struct compare *c)
{
	struct tv_restatement *out = c->out;
	bool older = c->old->n && c->old->timestamp[0] < c->from;
	double factor = c->sum_now / c->sum_old;
	out->needs_all = older && c->first_beyond;
	if (c->scaled < SCALE_ROWS || c->scaled != c->priced || out->times[TV_RESTATE_VANISHED] ||
	    !(fabs(factor - 1) > c->rules->restatement_tolerance))
		return;
	out->factor = factor;
	out->scaled = c->scaled;
}

int tv_restate_compare(const struct tv_bars *published, const struct tv_bars *now, int64_t from,
		       const struct tv_gates_rules *rules, struct tv_restatement *out,
		       struct tv_err *err)
{
	tv_autorestatement struct tv_restatement found = TV_RESTATEMENT_INIT;
	struct compare c = { .old = published,
			     .now = now,
			     .rules = rules,
			     .out = &found,
			     .err = err,
			     .from = from,
			     .scaling = true };
	int r = check_order(published, "published", err);
	if (r == 0)
		r = check_order(now, "new", err);
	if (r == 0)
		r = walk(&c);
	if (r < 0)
		return r;
	conclude(&c);
	*out = found;
	found = TV_RESTATEMENT_INIT;
	return 0;
}

void tv_restate_forget_added(struct tv_restatement *r)
{
	size_t kept = 0;
	for (size_t i = 0; i < r->n; i++)
		if (r->rows[i].kind != TV_RESTATE_ADDED)
			r->rows[kept++] = r->rows[i];
	r->n = kept;
	r->times[TV_RESTATE_ADDED] = 0;
}
