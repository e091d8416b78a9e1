/*
 * Gates on random series: in a clean one nothing is found; with one defect planted at a random place, or at an
 * end, it is found there, and nothing else is; several are found as if each were alone; limits hold to the last
 * bit. Seeds are fixed, so a failure comes again.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ingest/verdict.h"
#include "store/base/cleanup.h"

#define DAY TV_DAY_SECONDS
#define SERIES 400 /* of each calendar */
#define ROWS_MIN 40
#define ROWS_MAX 200
#define EDGE 10 /* defects keep so many rows from both ends */

static const char *const calendars[] = { "24x7",
					 "sunday-friday",
					 "monday-friday",
					 "monday-friday-and-specials",
					 "sunday-thursday",
					 "moved-week" };

/* splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators) */
static uint64_t draw(uint64_t *seed)
{
	uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static size_t below(uint64_t *seed, size_t n)
{
	return (size_t)(draw(seed) % n);
}

static double between(uint64_t *seed, double least, double most)
{
	return least + (most - least) * (double)(draw(seed) >> 11) / 9007199254740992.0;
}

struct series {
	uint64_t seed;
	struct tv_gates_rules rules;
	struct tv_bars b;
	int64_t fetched;
};

/* A row after the close before: mostly within 5 % of it, once in a while from -40 % to +60 %. */
static struct tv_bar next_bar(struct series *s, int64_t day, double close, bool volumes)
{
	double step =
		below(&s->seed, 50) ? between(&s->seed, -0.05, 0.05) : between(&s->seed, -0.4, 0.6);
	struct tv_bar bar = { .timestamp = day * DAY, .close = close * (1 + step) };
	bar.open = close * (1 + between(&s->seed, -0.02, 0.02));
	bar.high = fmax(bar.open, bar.close) * (1 + between(&s->seed, 0, 0.03));
	bar.low = fmin(bar.open, bar.close) * (1 - between(&s->seed, 0, 0.03));
	bar.volume = volumes ? 1 + floor(between(&s->seed, 0, 1e6)) : 0;
	return bar;
}

/* Which days have a row: counted ones, but for holidays; of the days that are only open, some or all. */
static bool has_row(struct series *s, int64_t day, unsigned extra, size_t *holidays)
{
	if (tv_calendar_is_counted(s->rules.calendar, day)) {
		if (*holidays == 0 && below(&s->seed, 40) == 0)
			*holidays = 2 + below(&s->seed, s->rules.gap_sessions);
		*holidays -= *holidays > 0;
		return *holidays == 0;
	}
	return tv_calendar_is_open(s->rules.calendar, day) && below(&s->seed, 4) < extra;
}

static void make(struct series *s, const char *calendar, uint64_t seed)
{
	*s = (struct series){ .seed = seed, .rules = tv_gates_defaults(), .b = TV_BARS_INIT };
	s->rules.calendar = tv_calendar_named(calendar);
	size_t rows = ROWS_MIN + below(&s->seed, ROWS_MAX - ROWS_MIN), holidays = 0;
	int64_t day = -4000 + (int64_t)below(&s->seed, 20000);
	unsigned extra = (unsigned)below(&s->seed, 5); /* 0: never, 4: always */
	bool volumes = below(&s->seed, 4) > 0;	       /* indices have none */
	double close = pow(10, between(&s->seed, -6, 5));
	for (; s->b.n < rows; day++) {
		if (!has_row(s, day, extra, &holidays))
			continue;
		struct tv_bar bar = next_bar(s, day, close, volumes);
		assert_int_equal(tv_bars_add(&s->b, &bar, NULL), 0);
		close = bar.close;
	}
	s->fetched = s->b.timestamp[rows - 1] + DAY + (int64_t)below(&s->seed, DAY);
}

static void free_series(struct series *s)
{
	tv_bars_free(&s->b);
}

static void describe(const struct series *s, const char *name, const struct tv_findings *f)
{
	print_error("%s, %s, seed %llu, %zu rows\n", s->rules.calendar->name, name,
		    (unsigned long long)s->seed, s->b.n);
	for (size_t i = 0; i < f->n; i++)
		print_error("  %s %s row %zu rows %zu: %s\n", tv_gate_text(f->told[i].gate),
			    tv_severity_text(f->told[i].severity), f->told[i].row, f->told[i].rows,
			    f->told[i].text);
}

/* --- what is planted ---------------------------------------------------------------------------- */

struct want {
	enum tv_gate gate;
	enum tv_severity severity;
	size_t row, rows;
};

static void insert(struct tv_bars *b, size_t at, const struct tv_bar *bar)
{
	assert_int_equal(tv_bars_add(b, bar, NULL), 0);
	memmove(b->timestamp + at + 1, b->timestamp + at, (b->n - 1 - at) * sizeof(int64_t));
	b->timestamp[at] = bar->timestamp;
	const double values[] = { bar->open, bar->high, bar->low, bar->close, bar->volume };
	for (size_t c = 0; c < TV_BARS_VALUES; c++) {
		double *v = tv_bars_values(b, c);
		memmove(v + at + 1, v + at, (b->n - 1 - at) * sizeof(double));
		v[at] = values[c];
	}
}

static void scale(struct tv_bars *b, size_t first, size_t end, double factor)
{
	for (size_t c = 0; c < 4; c++)
		for (size_t i = first; i < end; i++)
			tv_bars_values(b, c)[i] *= factor;
}

/* Each plants at `row`, or near it, and says what is to be found; false: this series has no place for it. */
typedef bool plant(struct series *s, size_t row, struct want *want);

static bool plant_swap(struct series *s, size_t row, struct want *want)
{
	int64_t t = s->b.timestamp[row];
	s->b.timestamp[row] = s->b.timestamp[row - 1];
	s->b.timestamp[row - 1] = t;
	*want = (struct want){ TV_GATE_ORDER, TV_REFUSE, row, 1 };
	return true;
}

static bool plant_double(struct series *s, size_t row, struct want *want)
{
	struct tv_bar bar = tv_bars_get(&s->b, row);
	bar.close = (bar.high + bar.low) / 2 * (1 + 1e-9);
	insert(&s->b, row + 1, &bar);
	*want = (struct want){ TV_GATE_ORDER, TV_REFUSE, row + 1, 1 };
	return true;
}

static bool plant_again(struct series *s, size_t row, struct want *want)
{
	struct tv_bar bar = tv_bars_get(&s->b, row);
	insert(&s->b, row + 1, &bar);
	*want = (struct want){ TV_GATE_ORDER, TV_CUT, row + 1, 1 };
	return true;
}

static bool plant_hours(struct series *s, size_t row, struct want *want)
{
	s->b.timestamp[row] += 1 + (int64_t)below(&s->seed, DAY - 1);
	*want = (struct want){ TV_GATE_DAY, TV_REFUSE, row, 1 };
	return true;
}

static bool plant_future(struct series *s, size_t row, struct want *want)
{
	size_t late = 1 + row % 3;
	s->fetched = s->b.timestamp[s->b.n - late] - 1;
	*want = (struct want){ TV_GATE_FUTURE, TV_REFUSE, s->b.n - late, 1 };
	return true;
}

static bool plant_value(struct series *s, size_t row, struct want *want)
{
	static const double bad[] = { NAN, INFINITY, -INFINITY, -1e-300, 0 };
	size_t column = below(&s->seed, TV_BARS_VALUES);
	size_t kind = below(&s->seed, column == 4 ? 4 : 5);
	tv_bars_values(&s->b, column)[row] = bad[kind];
	*want = (struct want){ TV_GATE_VALUES, TV_REFUSE, row, 1 };
	return true;
}

static bool plant_high(struct series *s, size_t row, struct want *want)
{
	s->b.high[row] = fmax(s->b.open[row], s->b.close[row]) * (1 - 1e-12);
	*want = (struct want){ TV_GATE_OHLC, TV_REFUSE, row, 1 };
	return true;
}

static bool plant_low(struct series *s, size_t row, struct want *want)
{
	s->b.low[row] = fmin(s->b.open[row], s->b.close[row]) * (1 + 1e-12);
	*want = (struct want){ TV_GATE_OHLC, TV_REFUSE, row, 1 };
	return true;
}

/* Whether the day after a row is free and is (or is not) open, (or counted). */
static bool free_day(const struct series *s, size_t row, bool open, bool counted)
{
	int64_t day = tv_calendar_day(s->b.timestamp[row]) + 1;
	return s->b.timestamp[row + 1] > day * DAY &&
	       tv_calendar_is_open(s->rules.calendar, day) == open &&
	       tv_calendar_is_counted(s->rules.calendar, day) == counted;
}

static bool plant_off_day(struct series *s, size_t row, struct want *want)
{
	while (row + EDGE < s->b.n && !free_day(s, row, false, false))
		row++;
	if (row + EDGE >= s->b.n)
		return false;
	struct tv_bar bar = tv_bars_get(&s->b, row);
	bar.timestamp += DAY;
	bar.close = (bar.high + bar.low) / 2 * (1 + 1e-9);
	insert(&s->b, row + 1, &bar);
	*want = (struct want){ TV_GATE_SESSION, TV_REFUSE, row + 1, 1 };
	return true;
}

/* The days without session after a row are filled with it; in one of the two ways. */
static bool plant_weekend(struct series *s, size_t row, struct want *want)
{
	while (row + EDGE < s->b.n && !free_day(s, row, false, false))
		row++;
	if (row + EDGE >= s->b.n)
		return false;
	struct tv_bar bar = tv_bars_get(&s->b, row);
	*want = (struct want){ TV_GATE_PADDING, TV_CUT, row + 1, 0 };
	if (below(&s->seed, 2)) {
		bar.open = bar.high = bar.low = bar.close;
		bar.volume = 0;
	}
	for (; free_day(s, row, false, false) || free_day(s, row, true, false); row++) {
		bar.timestamp += DAY;
		insert(&s->b, row + 1, &bar);
		want->rows++;
	}
	return true;
}

static void put(struct series *s, size_t row, const struct tv_bar *bar)
{
	s->b.open[row] = bar->open;
	s->b.high[row] = bar->high;
	s->b.low[row] = bar->low;
	s->b.close[row] = bar->close;
	s->b.volume[row] = bar->volume;
}

static bool counted_rows(const struct series *s, size_t row, size_t n)
{
	for (size_t i = row; i < row + n; i++)
		if (!tv_calendar_is_counted(s->rules.calendar, tv_calendar_day(s->b.timestamp[i])))
			return false;
	return true;
}

static bool plant_copy(struct series *s, size_t row, struct want *want)
{
	struct tv_bar bar = tv_bars_get(&s->b, row - 1);
	const int64_t *t = s->b.timestamp;
	if (!counted_rows(s, row, 1) || bar.volume == 0 ||
	    tv_gates_missing(&s->rules, t[row - 1], t[row + 1]) > (int64_t)s->rules.gap_sessions)
		return false;
	put(s, row, &bar);
	*want = (struct want){ TV_GATE_PADDING, TV_CUT, row, 1 };
	return true;
}

static bool plant_idle(struct series *s, size_t row, struct want *want)
{
	struct tv_bar bar = tv_bars_get(&s->b, row - 1);
	size_t n = 1 + below(&s->seed, s->rules.padding_run - 1);
	if (!counted_rows(s, row, n))
		return false;
	bar.open = bar.high = bar.low = bar.close;
	bar.volume = 0;
	for (size_t i = 0; i < n; i++)
		put(s, row + i, &bar);
	*want = (struct want){ TV_GATE_PADDING, TV_RECORD, row, n };
	return true;
}

static bool plant_spike(struct series *s, size_t row, struct want *want)
{
	size_t rows = 1 + below(&s->seed, 5);
	/* the series itself moves meanwhile; so that far beyond the limit */
	double factor = pow(10, between(&s->seed, 2.5, 4));
	scale(&s->b, row, row + rows, below(&s->seed, 2) ? factor : 1 / factor);
	*want = (struct want){ TV_GATE_TOXICITY, TV_REFUSE, row, rows };
	return true;
}

static bool plant_shift(struct series *s, size_t row, struct want *want)
{
	double factor = pow(10, between(&s->seed, 2.5, 4));
	scale(&s->b, row, s->b.n, below(&s->seed, 2) ? factor : 1 / factor);
	*want = (struct want){ TV_GATE_TOXICITY, TV_REFUSE, row, 1 };
	return true;
}

static bool plant_wick(struct series *s, size_t row, struct want *want)
{
	double body = fmax(fmax(s->b.open[row], s->b.close[row]), s->b.close[row - 1]);
	double least = fmin(fmin(s->b.open[row], s->b.close[row]), s->b.close[row - 1]);
	if (below(&s->seed, 2))
		s->b.high[row] = body * between(&s->seed, 6.001, 1e6);
	else
		s->b.low[row] = least / between(&s->seed, 6.001, 1e6);
	*want = (struct want){ TV_GATE_WICK, TV_RECORD, row, 1 };
	return true;
}

static bool plant_gap(struct series *s, size_t row, struct want *want)
{
	int64_t days = 7 * (2 + (int64_t)below(&s->seed, 100));
	for (size_t i = row; i < s->b.n; i++)
		s->b.timestamp[i] += days * DAY;
	s->fetched += days * DAY;
	int64_t missing = tv_gates_missing(&s->rules, s->b.timestamp[row - 1], s->b.timestamp[row]);
	*want = (struct want){ TV_GATE_GAP, TV_RECORD, row, (size_t)missing };
	return true;
}

static bool plant_stale(struct series *s, size_t row, struct want *want)
{
	int64_t last = s->b.timestamp[s->b.n - 1];
	s->fetched += 14 * DAY + (int64_t)row * DAY;
	int64_t missing = tv_gates_missing(&s->rules, last, s->fetched);
	*want = (struct want){ TV_GATE_STALE, TV_RECORD, s->b.n - 1, (size_t)missing };
	return true;
}

static const struct {
	const char *name;
	plant *plant;
} defects[] = {
	{ "two rows swapped", plant_swap },
	{ "a day twice", plant_double },
	{ "a row twice", plant_again },
	{ "not a day's start", plant_hours },
	{ "a row after the fetch", plant_future },
	{ "a value that is none", plant_value },
	{ "a high too low", plant_high },
	{ "a low too high", plant_low },
	{ "a row on a day without session", plant_off_day },
	{ "a filled weekend", plant_weekend },
	{ "a copied row", plant_copy },
	{ "idle rows", plant_idle },
	{ "a spike", plant_spike },
	{ "a shift", plant_shift },
	{ "a wick", plant_wick },
	{ "a gap", plant_gap },
	{ "a stale end", plant_stale },
};

/* --- tests -------------------------------------------------------------------------------------- */

static void clean(void **state)
{
	(void)state;
	for (size_t c = 0; c < TV_ARRAY_LEN(calendars); c++)
		for (uint64_t seed = 0; seed < 2 * (uint64_t)SERIES; seed++) {
			tv_auto(free_series) struct series s;
			tv_autofindings struct tv_findings f = TV_FINDINGS_INIT;
			tv_autojudged struct tv_judged j = TV_JUDGED_INIT;
			make(&s, calendars[c], seed);
			assert_int_equal(tv_gates_judge(&s.b, &s.rules, s.fetched, &f, &j, NULL),
					 0);
			if (tv_findings_times(&f, TV_GATES) == 0 && !j.cut)
				continue;
			describe(&s, "clean", &f);
			fail();
		}
}

/* Later rows of the same kind: the gate of the future tells each row. */
static bool as_wanted(const struct tv_findings *f, const struct tv_judged *j,
		      const struct want *want)
{
	size_t cut = want->severity == TV_CUT ? want->rows : 0;
	bool each = want->gate == TV_GATE_FUTURE;
	if (f->n == 0 || tv_findings_times(f, TV_GATES) != tv_findings_times(f, want->gate) ||
	    (f->n != 1 && !each) || j->n_cut != cut)
		return false;
	for (size_t i = 0; i < cut; i++)
		if (!j->cut[want->row + i])
			return false;
	return f->told[0].gate == want->gate && f->told[0].severity == want->severity &&
	       f->told[0].row == want->row && f->told[0].rows == want->rows;
}

static void planted(void **state)
{
	(void)state;
	for (size_t d = 0; d < TV_ARRAY_LEN(defects); d++) {
		size_t places = 0;
		for (size_t k = 0; k < TV_ARRAY_LEN(calendars) * SERIES; k++) {
			tv_auto(free_series) struct series s;
			tv_autofindings struct tv_findings f = TV_FINDINGS_INIT;
			tv_autojudged struct tv_judged j = TV_JUDGED_INIT;
			struct want want;
			make(&s, calendars[k / SERIES], d << 32 | k);
			size_t row = EDGE + below(&s.seed, s.b.n - 2 * EDGE);
			if (!defects[d].plant(&s, row, &want))
				continue;
			places++;
			assert_int_equal(tv_gates_judge(&s.b, &s.rules, s.fetched, &f, &j, NULL),
					 0);
			if (as_wanted(&f, &j, &want))
				continue;
			describe(&s, defects[d].name, &f);
			fail_msg("wanted: %s %s row %zu rows %zu", tv_gate_text(want.gate),
				 tv_severity_text(want.severity), want.row, want.rows);
		}
		if (places < SERIES)
			fail_msg("%s has a place in %zu series only", defects[d].name, places);
	}
}

/* --- several at once ---------------------------------------------------------------------------- */

#define AT_ONCE 3

/* What has its place at random; not what hides others: without order later gates do not look, and of the
 * ends of a series there are only two. */
static plant *const mixed[] = { plant_again,   plant_hours,   plant_value, plant_high, plant_low,
				plant_off_day, plant_weekend, plant_copy,  plant_idle, plant_spike,
				plant_shift,   plant_wick,    plant_gap };

static bool is_told(const struct tv_findings *f, const struct want *want)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->told[i].gate == want->gate && f->told[i].severity == want->severity &&
		    f->told[i].row == want->row && f->told[i].rows == want->rows)
			return true;
	return false;
}

/* Plants from the last third to the first one: what is put in moves the rows behind it. 0: two would be
 * too near. */
static size_t plant_many(struct series *s, struct want wants[AT_ONCE + 1])
{
	size_t n = 0, third = s->b.n / AT_ONCE;
	static plant *const ends[] = { plant_future, plant_stale };
	n += ends[below(&s->seed, 2)](s, below(&s->seed, 40), &wants[0]);
	for (size_t zone = AT_ONCE; zone-- > 0;) {
		size_t row = zone * third + EDGE + below(&s->seed, EDGE), before = s->b.n;
		plant *one = mixed[below(&s->seed, TV_ARRAY_LEN(mixed))];
		if (!one(s, row, &wants[n]))
			continue;
		/* it went on to a weekend near the next one */
		if (wants[n].row + EDGE > (zone + 1) * third)
			return 0;
		for (size_t i = 0; i < n; i++)
			wants[i].row += s->b.n - before;
		n++;
	}
	return n;
}

/* Each is found as if it were alone, and nothing else is. */
static void combined(void **state)
{
	(void)state;
	size_t all = 0;
	for (size_t k = 0; k < 4 * TV_ARRAY_LEN(calendars) * (size_t)SERIES; k++) {
		tv_auto(free_series) struct series s;
		tv_autofindings struct tv_findings f = TV_FINDINGS_INIT;
		tv_autojudged struct tv_judged j = TV_JUDGED_INIT;
		struct want wants[AT_ONCE + 1];
		size_t times = 0, cut = 0;
		make(&s, calendars[k / SERIES % TV_ARRAY_LEN(calendars)], UINT64_C(80) << 32 | k);
		if (s.b.n < AT_ONCE * 40)
			continue;
		size_t n = plant_many(&s, wants);
		if (!n)
			continue;
		assert_int_equal(tv_gates_judge(&s.b, &s.rules, s.fetched, &f, &j, NULL), 0);
		for (size_t i = 0; i < n; i++) {
			times += wants[i].gate == TV_GATE_FUTURE ? s.b.n - wants[i].row : 1;
			cut += wants[i].severity == TV_CUT ? wants[i].rows : 0;
			if (is_told(&f, &wants[i]))
				continue;
			describe(&s, "combined", &f);
			fail_msg("series %zu, of %zu: %s %s row %zu rows %zu", k, n,
				 tv_gate_text(wants[i].gate), tv_severity_text(wants[i].severity),
				 wants[i].row, wants[i].rows);
		}
		if (tv_findings_times(&f, TV_GATES) != times || j.n_cut != cut) {
			describe(&s, "combined", &f);
			fail_msg("series %zu: %zu were planted", k, times);
		}
		all += n > 2;
	}
	assert_true(all > SERIES);
}

/* --- ends and limits ---------------------------------------------------------------------------- */

static bool plant_first_wick(struct series *s, size_t row, struct want *want)
{
	bool high = below(&s->seed, 2);
	if (high)
		s->b.high[row] = fmax(s->b.open[row], s->b.close[row]) * 7;
	else
		s->b.low[row] = fmin(s->b.open[row], s->b.close[row]) / 7;
	*want = (struct want){ TV_GATE_WICK, TV_RECORD, row, 1 };
	return true;
}

static bool plant_last_copy(struct series *s, size_t row, struct want *want)
{
	struct tv_bar bar = tv_bars_get(&s->b, row - 1);
	/* without it the series may be stale */
	if (!counted_rows(s, row, 1) || bar.volume == 0 ||
	    tv_gates_missing(&s->rules, bar.timestamp, s->fetched) > (int64_t)s->rules.gap_sessions)
		return false;
	put(s, row, &bar);
	*want = (struct want){ TV_GATE_PADDING, TV_CUT, row, 1 };
	return true;
}

static const struct {
	plant *plant;
	bool last;
	size_t row; /* from the end that is meant */
} ends[] = {
	{ plant_value, false, 0 }, { plant_value, true, 0 },	   { plant_high, false, 0 },
	{ plant_high, true, 0 },   { plant_low, false, 0 },	   { plant_low, true, 0 },
	{ plant_hours, false, 0 }, { plant_hours, true, 0 },	   { plant_swap, false, 1 },
	{ plant_swap, true, 0 },   { plant_double, false, 0 },	   { plant_double, true, 0 },
	{ plant_again, false, 0 }, { plant_again, true, 0 },	   { plant_shift, false, 1 },
	{ plant_shift, true, 0 },  { plant_gap, false, 1 },	   { plant_gap, true, 0 },
	{ plant_idle, false, 1 },  { plant_first_wick, false, 0 }, { plant_last_copy, true, 0 },
	{ plant_wick, true, 0 },   { plant_copy, false, 1 },
};

static void at_the_ends(void **state)
{
	(void)state;
	for (size_t e = 0; e < TV_ARRAY_LEN(ends); e++) {
		size_t places = 0;
		for (size_t k = 0; k < TV_ARRAY_LEN(calendars) * (size_t)SERIES / 4; k++) {
			tv_auto(free_series) struct series s;
			tv_autofindings struct tv_findings f = TV_FINDINGS_INIT;
			tv_autojudged struct tv_judged j = TV_JUDGED_INIT;
			struct want want;
			make(&s, calendars[k % TV_ARRAY_LEN(calendars)],
			     (UINT64_C(81) + e) << 32 | k);
			size_t row = ends[e].last ? s.b.n - 1 - ends[e].row : ends[e].row;
			if (!ends[e].plant(&s, row, &want))
				continue;
			places++;
			assert_int_equal(tv_gates_judge(&s.b, &s.rules, s.fetched, &f, &j, NULL),
					 0);
			if (as_wanted(&f, &j, &want))
				continue;
			describe(&s, ends[e].last ? "at the end" : "at the start", &f);
			fail_msg("defect %zu: wanted %s %s row %zu rows %zu", e,
				 tv_gate_text(want.gate), tv_severity_text(want.severity), want.row,
				 want.rows);
		}
		assert_true(places > SERIES / 4);
	}
}

/* How often a gate finds something once the row has just this close, and all behind moves with it. */
static size_t toxic_at(uint64_t seed, const char *calendar, double limit_of_1, double beyond)
{
	tv_auto(free_series) struct series s;
	tv_autofindings struct tv_findings f = TV_FINDINGS_INIT;
	tv_autojudged struct tv_judged j = TV_JUDGED_INIT;
	make(&s, calendar, seed);
	size_t row = 1 + below(&s.seed, s.b.n - 1);
	double limit = s.b.close[row - 1] * limit_of_1;
	double at = beyond == limit_of_1 ? limit : nextafter(limit, beyond);
	scale(&s.b, row, s.b.n, limit_of_1);
	s.b.open[row] = s.b.close[row] = at;
	s.b.high[row] = fmax(s.b.high[row], at);
	s.b.low[row] = fmin(s.b.low[row], at);
	assert_int_equal(tv_gates_judge(&s.b, &s.rules, s.fetched, &f, &j, NULL), 0);
	assert_int_equal(tv_findings_times(&f, TV_GATES) - tv_findings_times(&f, TV_GATE_WICK),
			 tv_findings_times(&f, TV_GATE_TOXICITY));
	return tv_findings_times(&f, TV_GATE_TOXICITY);
}

/* The largest rise and the deepest fall that are let pass, and the next number behind. */
static void returns_at_the_limit(void **state)
{
	(void)state;
	const struct tv_gates_rules rules = tv_gates_defaults();
	double up = 1 + rules.toxic_return, down = 1 - rules.toxic_fall;
	for (size_t k = 0; k < TV_ARRAY_LEN(calendars) * (size_t)SERIES; k++) {
		const char *calendar = calendars[k / SERIES];
		uint64_t seed = UINT64_C(120) << 32 | k;
		assert_int_equal(toxic_at(seed, calendar, up, up), 0);
		assert_int_equal(toxic_at(seed, calendar, up, INFINITY), 1);
		assert_int_equal(toxic_at(seed, calendar, down, down), 0);
		assert_int_equal(toxic_at(seed, calendar, down, 0), 1);
	}
}

static void remove_row(struct tv_bars *b, size_t row)
{
	memmove(b->timestamp + row, b->timestamp + row + 1, (b->n - 1 - row) * sizeof(int64_t));
	for (size_t c = 0; c < TV_BARS_VALUES; c++) {
		double *v = tv_bars_values(b, c);
		memmove(v + row, v + row + 1, (b->n - 1 - row) * sizeof(double));
	}
	b->n--;
}

/* Takes rows out until so many sessions are missing before `row`. False when that cannot be had. */
static bool open_gap(struct series *s, size_t row, int64_t sessions)
{
	int64_t missing = 0;
	while (row + 2 < s->b.n && (missing = tv_gates_missing(&s->rules, s->b.timestamp[row - 1],
							       s->b.timestamp[row])) < sessions)
		remove_row(&s->b, row);
	return row + 2 < s->b.n && missing == sessions;
}

/* Five missing sessions and six; one idle row less than are cut, and as many. */
static void runs_at_the_limit(void **state)
{
	(void)state;
	size_t gaps[2] = { 0, 0 }, runs[2] = { 0, 0 };
	for (size_t k = 0; k < TV_ARRAY_LEN(calendars) * (size_t)SERIES; k++)
		for (size_t over = 0; over < 2; over++) {
			tv_auto(free_series) struct series gap, idle;
			tv_autofindings struct tv_findings f = TV_FINDINGS_INIT,
							   g = TV_FINDINGS_INIT;
			tv_autojudged struct tv_judged j = TV_JUDGED_INIT, i = TV_JUDGED_INIT;
			make(&gap, calendars[k / SERIES], UINT64_C(121) << 32 | k);
			make(&idle, calendars[k / SERIES], UINT64_C(122) << 32 | k);
			size_t row = 1 + below(&gap.seed, gap.b.n / 2);
			if (open_gap(&gap, row, (int64_t)(gap.rules.gap_sessions + over))) {
				assert_int_equal(tv_gates_judge(&gap.b, &gap.rules, gap.fetched, &f,
								&j, NULL),
						 0);
				/* without the rows between them two may be far apart */
				assert_int_equal(f.times[TV_GATE_GAP][TV_RECORD], over);
				gaps[over]++;
			}
			size_t n = idle.rules.padding_run - 1 + over;
			struct tv_bar bar = tv_bars_get(&idle.b, row - 1);
			if (row + n + 1 >= idle.b.n || !counted_rows(&idle, row, n))
				continue;
			bar.open = bar.high = bar.low = bar.close;
			bar.volume = 0;
			for (size_t at = row; at < row + n; at++)
				put(&idle, at, &bar);
			assert_int_equal(tv_gates_judge(&idle.b, &idle.rules, idle.fetched, &g, &i,
							NULL),
					 0);
			assert_int_equal(g.rows[TV_GATE_PADDING][TV_RECORD], n - over);
			assert_int_equal(i.n_cut, over);
			runs[over]++;
		}
	assert_true(gaps[0] > SERIES && gaps[1] > SERIES && runs[0] > SERIES && runs[1] > SERIES);
}

/* --- from row to row ---------------------------------------------------------------------------- */

/* Fills a series with idle rows, copies and double rows at random. */
static void litter(struct series *s)
{
	for (size_t row = 1; row < s->b.n; row += 1 + below(&s->seed, 8)) {
		struct tv_bar bar = tv_bars_get(&s->b, row - 1);
		size_t n = below(&s->seed, 9);
		switch (below(&s->seed, 4)) {
		case 0:
			put(s, row, &bar);
			break;
		case 1:
			bar.timestamp = s->b.timestamp[row];
			bar.open = bar.high = bar.low = bar.close;
			bar.volume = 0;
			for (size_t i = row; i < row + n && i < s->b.n; i++)
				put(s, i, &bar);
			break;
		case 2:
			insert(&s->b, row, &bar);
			break;
		default:
			if (!free_day(s, row - 1, true, true) &&
			    free_day(s, row - 1, false, false)) {
				bar.timestamp += DAY;
				insert(&s->b, row, &bar);
			}
		}
	}
}

static void judged(const struct series *s, const struct tv_bars *b, struct tv_bars *kept)
{
	tv_autofindings struct tv_findings f = TV_FINDINGS_INIT;
	tv_autojudged struct tv_judged j = TV_JUDGED_INIT;
	assert_int_equal(tv_gates_judge(b, &s->rules, s->fetched, &f, &j, NULL), 0);
	assert_int_equal(f.times[TV_GATE_ORDER][TV_REFUSE], 0);
	assert_int_equal(tv_gates_keep(b, &j, kept, NULL), 0);
}

/* What is cut does not depend on what comes later, nor on whether earlier rows were cut already. */
static void causal(void **state)
{
	(void)state;
	size_t cuts = 0;
	for (size_t k = 0; k < TV_ARRAY_LEN(calendars) * SERIES; k++) {
		tv_auto(free_series) struct series s;
		tv_autobars struct tv_bars whole = TV_BARS_INIT, head = TV_BARS_INIT,
					   joined = TV_BARS_INIT, again = TV_BARS_INIT;
		make(&s, calendars[k / SERIES], UINT64_C(77) << 32 | k);
		litter(&s);
		judged(&s, &s.b, &whole);
		size_t split = below(&s.seed, s.b.n);
		size_t n = s.b.n;
		s.b.n = split;
		judged(&s, &s.b, &head);
		s.b.n = n;
		assert_int_equal(tv_bars_append(&joined, &head, 0, head.n, NULL), 0);
		assert_int_equal(tv_bars_append(&joined, &s.b, split, n, NULL), 0);
		cuts += n - whole.n;
		judged(&s, &joined, &again);
		if (!tv_bars_equal(&whole, &again))
			fail_msg("%s, series %zu: %zu rows, %zu when split at %zu",
				 s.rules.calendar->name, k, whole.n, again.n, split);
	}
	assert_true(cuts > SERIES);
}

/* The same through a verdict: history is published, then a fetch brings the rest, with an overlap. */
static void increments(void **state)
{
	(void)state;
	for (size_t k = 0; k < TV_ARRAY_LEN(calendars) * SERIES; k++) {
		tv_auto(free_series) struct series s;
		tv_autoverdict struct tv_verdict whole = TV_VERDICT_INIT, first = TV_VERDICT_INIT,
						 second = TV_VERDICT_INIT;
		tv_autobars struct tv_bars none = TV_BARS_INIT, tail = TV_BARS_INIT;
		make(&s, calendars[k / SERIES], UINT64_C(78) << 32 | k);
		litter(&s);
		s.rules.padding_share = 1;
		size_t split = ROWS_MIN / 2 + below(&s.seed, s.b.n - ROWS_MIN / 2), n = s.b.n;
		size_t overlap = split - below(&s.seed, 15);
		while (overlap > 0 && s.b.timestamp[overlap - 1] == s.b.timestamp[overlap])
			overlap--;
		struct tv_verdict_ask ask = { &s.rules,	      &none,	 &s.b,
					      TV_RESTATE_ALL, s.fetched, false };
		assert_int_equal(tv_verdict_make(&ask, &whole, NULL), 0);
		s.b.n = split;
		assert_int_equal(tv_verdict_make(&ask, &first, NULL), 0);
		s.b.n = n;
		assert_int_equal(tv_bars_append(&tail, &s.b, overlap, n, NULL), 0);
		ask.published = &first.bars;
		ask.fetched = &tail;
		ask.from = s.b.timestamp[overlap];
		assert_int_equal(tv_verdict_make(&ask, &second, NULL), 0);
		if (second.refused || whole.refused || second.restatement.n ||
		    !tv_bars_equal(&whole.bars, &second.bars)) {
			describe(&s, "increments", &second.findings);
			fail_msg("series %zu: split at %zu, overlap from %zu", k, split, overlap);
		}
	}
}

enum history { AS_IT_WAS, A_LITTLE, TOO_MUCH, GONE, SCALED, HISTORIES };

/* Changes what is fetched, in a row that is published. False: not possible here. */
static bool rewrite(struct series *s, struct tv_bars *fetched, size_t first, size_t row,
		    enum history what)
{
	const int64_t *t = s->b.timestamp;
	size_t at = row - first;
	double much =
		what == TOO_MUCH ? between(&s->seed, 0.0011, 1) : between(&s->seed, 1e-9, 0.0009);
	if (what == A_LITTLE || what == TOO_MUCH)
		fetched->high[at] *= 1 + much;
	if (what == SCALED)
		scale(fetched, 0, fetched->n, between(&s->seed, 0.01, 0.99));
	if (what != GONE)
		return true;
	if (tv_gates_missing(&s->rules, t[row - 1], t[row + 1]) > (int64_t)s->rules.gap_sessions)
		return false;
	fetched->n = at;
	assert_int_equal(tv_bars_append(fetched, &s->b, row + 1, s->b.n, NULL), 0);
	return true;
}

/* Published history that a fetch tells otherwise: just that is found. */
static void restatements(void **state)
{
	(void)state;
	for (size_t k = 0; k < TV_ARRAY_LEN(calendars) * SERIES; k++) {
		tv_auto(free_series) struct series s;
		tv_autoverdict struct tv_verdict v = TV_VERDICT_INIT;
		tv_autobars struct tv_bars published = TV_BARS_INIT, fetched = TV_BARS_INIT;
		make(&s, calendars[k / SERIES], UINT64_C(79) << 32 | k);
		enum history what = (enum history)(k % HISTORIES);
		size_t split = s.b.n - below(&s.seed, EDGE);
		size_t first = what == SCALED ? 0 : below(&s.seed, split - 3);
		size_t row = what == SCALED ? 0 : first + 1 + below(&s.seed, split - first - 2);
		assert_int_equal(tv_bars_append(&published, &s.b, 0, split, NULL), 0);
		assert_int_equal(tv_bars_append(&fetched, &s.b, first, s.b.n, NULL), 0);
		if (!rewrite(&s, &fetched, first, row, what))
			continue;
		struct tv_verdict_ask ask = { &s.rules,	 &published, &fetched, s.b.timestamp[first],
					      s.fetched, false };
		assert_int_equal(tv_verdict_make(&ask, &v, NULL), 0);
		const struct tv_findings *f = &v.findings;
		bool good = f->n == (what != AS_IT_WAS) &&
			    tv_findings_times(f, TV_GATE_RESTATEMENT) == f->n &&
			    v.refused == (what > A_LITTLE) &&
			    v.restatement.n == (what == SCALED ? split : f->n);
		if (good && f->n)
			good = f->told[0].row == row &&
			       f->told[0].timestamp == s.b.timestamp[row] &&
			       f->told[0].rows == v.restatement.n;
		if (good)
			continue;
		describe(&s, "restatement", f);
		fail_msg("series %zu: kind %d, row %zu, fetched from %zu on", k, (int)what, row,
			 first);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean),
		cmocka_unit_test(planted),
		cmocka_unit_test(combined),
		cmocka_unit_test(at_the_ends),
		cmocka_unit_test(returns_at_the_limit),
		cmocka_unit_test(runs_at_the_limit),
		cmocka_unit_test(causal),
		cmocka_unit_test(increments),
		cmocka_unit_test(restatements),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
