/* Gaps in bars, the list of permanent ones, and what fills one. */
#include <math.h>

#include "ingest/gaps.h"
#include "ingest/verdict.h"
#include "tests/unit/support.h"

#define DAY TV_DAY_SECONDS
#define FIRST INT64_C(19723) /* 2024-01-01, a Monday */

/* Rows on these days, as far as they are Mondays to Fridays; prices rise by 1 a day from `price` on. */
static void add_days(struct tv_bars *b, int64_t first, int64_t last, double price)
{
	struct tv_err err = TV_ERR_INIT;
	for (int64_t d = first; d <= last; d++) {
		double p = price + (double)d;
		struct tv_bar bar = { (FIRST + d) * DAY, p, p + 2, p - 2, p + 1, 1000 };
		if (d % 7 < 5)
			ok(tv_bars_add(b, &bar, &err));
	}
}

static struct tv_symbol_map *parsed(const char *text)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_symbol_map *map = NULL;
	ok(tv_symbol_map_parse("F", text, strlen(text), &map, &err));
	return map;
}

/* --- finding ----------------------------------------------------------------------------------- */

static void found(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_gates_rules rules = tv_gates_defaults();
	tv_autogaps struct tv_gaps gaps = TV_GAPS_INIT;
	tv_autobars struct tv_bars b = TV_BARS_INIT;
	add_days(&b, 0, 4, 100);   /* a week */
	add_days(&b, 14, 14, 100); /* 5 sessions are missing: none */
	add_days(&b, 23, 23, 100); /* Tuesday to Tuesday, 6 sessions */
	ok(tv_gaps_find(&b, &rules, &gaps, &err));
	is(gaps.n == 1 && gaps.items[0].sessions == 6);
	is(gaps.items[0].first == FIRST + 15 && gaps.items[0].last == FIRST + 22);
	rules.calendar = tv_calendar_named("24x7");
	tv_gaps_free(&gaps);
	ok(tv_gaps_find(&b, &rules, &gaps, &err));
	is(gaps.n == 2 && gaps.items[0].sessions == 9 && gaps.items[1].sessions == 8);
	b.timestamp[0] = INT64_MAX; /* from there nothing is missing */
	tv_gaps_free(&gaps);
	ok(tv_gaps_find(&b, &rules, &gaps, &err));
	is(gaps.n == 2);
}

/* A permanent gap is no finding, one that is larger is. */
static void judged(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_gates_rules rules = tv_gates_defaults();
	tv_autobars struct tv_bars b = TV_BARS_INIT;
	add_days(&b, 0, 4, 100);
	add_days(&b, 21, 25, 100);
	struct tv_gap items[] = { { FIRST - 9, FIRST - 1, 0 }, { FIRST + 5, FIRST + 20, 0 } };
	const struct tv_gaps permanent = { 2, 2, items };
	for (int smaller = 0; smaller < 3; smaller++) {
		tv_autofindings struct tv_findings f = TV_FINDINGS_INIT;
		tv_autojudged struct tv_judged j = TV_JUDGED_INIT;
		rules.permanent = &permanent;
		ok(tv_gates_judge(&b, &rules, TV_GATES_NO_TIME, &f, &j, &err));
		is(tv_findings_times(&f, TV_GATE_GAP) == (smaller ? 1 : 0));
		is((tv_quality_score(&b, &rules, &f, NULL) == 0.5263) == !smaller);
		items[1] = (struct tv_gap){ FIRST + 5 + !smaller, FIRST + 20 - smaller, 0 };
	}
}

/* --- foundation_health.json -------------------------------------------------------------------- */

static void listed(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *map = parsed(
		"{\"N:A\": {\"status\": \"ok\", \"permanent_gaps\": [{\"last\": \"2024-01-12\", \"first\": \"2024-01-03\"},"
		" 7, {\"first\": \"2024-02-01\"}, {\"first\": \"2024-02-01\", \"last\": \"soon\"},"
		" {\"first\": \"2024-02-01T12:00:00Z\", \"last\": \"2024-02-09\"},"
		" {\"first\": \"1969-12-30\", \"last\": \"1969-12-31\"}], \"n\": 1},"
		" \"N:B\": {\"permanent_gaps\": \"no\"}, \"N:C\": 1}");
	tv_autogaps struct tv_gaps gaps = TV_GAPS_INIT;
	for (const char *const *s = (const char *const[]){ "N:B", "N:C", "N:D", NULL }; *s; s++)
		ok(tv_gaps_permanent(map, *s, &gaps, &err));
	is(gaps.n == 0);
	ok(tv_gaps_permanent(map, "N:A", &gaps, &err));
	is(gaps.n == 2 && gaps.items[0].first == FIRST + 2 && gaps.items[0].last == FIRST + 11);
	is(gaps.items[1].first == -2 && gaps.items[1].last == -1);
	is(tv_gaps_cover(&gaps, FIRST + 2, FIRST + 11) && tv_gaps_cover(&gaps, -1, -1));
	is(!tv_gaps_cover(&gaps, FIRST + 1, FIRST + 11) && !tv_gaps_cover(&gaps, -1, 0));
	is(!tv_gaps_cover(NULL, 0, 0));
	gaps.n = 1;
	ok(tv_gaps_set_permanent(map, "N:A", &gaps, &err));
	ok(tv_gaps_set_permanent(map, "N:B", &TV_GAPS_INIT, &err));
	tv_autobuf struct tv_buf out = TV_BUF_INIT;
	ok(tv_symbol_map_print(map, &out, &err));
	tv_autofree char *text = tv_buf_steal_str(&out);
	assert_string_equal(
		text,
		"{\n  \"N:A\": {\"status\": \"ok\", \"permanent_gaps\": [{\"first\": \"2024-01-03\", "
		"\"last\": \"2024-01-12\"}], \"n\": 1},\n  \"N:B\": {},\n  \"N:C\": 1\n}\n");
	/* Written as it stands there already, nothing changes. */
	tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *again = parsed(text);
	ok(tv_gaps_set_permanent(again, "N:A", &gaps, &err));
	is(!tv_symbol_map_changed(again));
}

/* --- filling ----------------------------------------------------------------------------------- */

/* Weeks 0 and 3 are published; weeks 1 and 2 are the gap, between a Friday and a Monday. */
static const struct tv_gap gap = { FIRST + 5, FIRST + 20, 10 };

static const struct {
	const char *name;
	int64_t first, last; /* days that came */
	double scale;	     /* of published days' prices as they come */
	double scale_fill;   /* of the others' */
	bool refused;
	size_t added;
	enum tv_gate gate; /* that refuses */
} fills[] = {
	{ "whole", 4, 21, 1, 1, false, 10, 0 },
	{ "more than was asked for", 0, 25, 1, 1, false, 10, 0 },
	{ "a part", 4, 11, 1, 1, false, 5, 0 },
	{ "nothing", 1, 0, 1, 1, false, 0, 0 },
	{ "only published days", 21, 25, 1, 1, false, 0, 0 },
	{ "a little restated", 0, 25, 1.0005, 1, false, 10, 0 },
	{ "restated", 4, 21, 1.01, 1.01, true, 10, TV_GATE_RESTATEMENT },
	{ "restated on one side", 4, 14, 0.5, 0.5, true, 6, TV_GATE_RESTATEMENT },
	{ "restated, and no row in the gap", 21, 25, 0.5, 1, true, 0, TV_GATE_RESTATEMENT },
	{ "toxic", 4, 21, 1, 7, true, 10, TV_GATE_TOXICITY },
	{ "no prices", 4, 21, 1, NAN, true, 10, TV_GATE_VALUES },
};

static void came(struct tv_bars *b, int64_t first, int64_t last, double scale, double scale_fill)
{
	add_days(b, first, last, 100);
	for (size_t c = 0; c < 4; c++)
		for (size_t i = 0; i < b->n; i++) {
			int64_t d = b->timestamp[i] / DAY;
			tv_bars_values(b, c)[i] *=
				gap.first <= d && d <= gap.last ? scale_fill : scale;
		}
}

static void filled(void **state)
{
	(void)state;
	for (size_t i = 0; i < TV_ARRAY_LEN(fills); i++) {
		struct tv_err err = TV_ERR_INIT;
		struct tv_gates_rules rules = tv_gates_defaults();
		tv_autobars struct tv_bars published = TV_BARS_INIT, fetched = TV_BARS_INIT;
		tv_autoverdict struct tv_verdict v = TV_VERDICT_INIT;
		add_days(&published, 0, 4, 100);
		add_days(&published, 21, 25, 100);
		came(&fetched, fills[i].first, fills[i].last, fills[i].scale, fills[i].scale_fill);
		const struct tv_verdict_ask ask = {
			.rules = &rules,
			.published = &published,
			.fetched = &fetched,
			.fetched_s = (FIRST + 26) * DAY,
			.accepted = true, /* of an ingestion: it does not count here */
		};
		ok(tv_verdict_fill(&ask, &gap, &v, &err));
		if (v.refused != fills[i].refused || v.bars.n != 10 + fills[i].added)
			fail_msg("%s: refused %d, %zu rows", fills[i].name, v.refused, v.bars.n);
		is(v.restatement.n == 0);
		is(!v.refused || v.findings.times[fills[i].gate][TV_REFUSE]);
		is(v.refused || v.changed == (fills[i].added > 0));
		is(v.refused || fills[i].added < 10 || v.score == 1);
		/* What is published stays, bit by bit. */
		for (size_t k = 0; k < published.n && !v.refused; k++) {
			size_t at = tv_bars_find(&v.bars, published.timestamp[k]);
			is(v.bars.timestamp[at] == published.timestamp[k]);
			is(v.bars.close[at] == published.close[k] &&
			   v.bars.volume[at] == published.volume[k]);
		}
	}
}

/* Rows that repeat the one before them are cut, the first published one behind the gap as well: refused. */
static void padded(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_gates_rules rules = tv_gates_defaults();
	tv_autobars struct tv_bars published = TV_BARS_INIT, fetched = TV_BARS_INIT;
	tv_autoverdict struct tv_verdict v = TV_VERDICT_INIT;
	add_days(&published, 0, 4, 100);
	add_days(&published, 21, 25, 100);
	add_days(&fetched, 5, 20, 100);
	const struct tv_bar behind = tv_bars_get(&published, 5);
	size_t last = fetched.n - 1;
	fetched.open[last] = behind.open;
	fetched.high[last] = behind.high;
	fetched.low[last] = behind.low;
	fetched.close[last] = behind.close;
	const struct tv_verdict_ask ask = { .rules = &rules,
					    .published = &published,
					    .fetched = &fetched,
					    .fetched_s = TV_GATES_NO_TIME };
	ok(tv_verdict_fill(&ask, &gap, &v, &err));
	is(v.refused && v.restatement.times[TV_RESTATE_VANISHED] == 1);
	is(v.restatement.times[TV_RESTATE_ADDED] == 0);
}

/* Whatever is cut out of a series and comes back makes it what it was. */
static void whatever_was_cut(void **state)
{
	(void)state;
	uint32_t chance = 20240101;
	for (int round = 0; round < 500; round++) {
		struct tv_err err = TV_ERR_INIT;
		struct tv_gates_rules rules = tv_gates_defaults();
		tv_autobars struct tv_bars whole = TV_BARS_INIT, published = TV_BARS_INIT;
		tv_autogaps struct tv_gaps gaps = TV_GAPS_INIT;
		tv_autoverdict struct tv_verdict v = TV_VERDICT_INIT;
		uint32_t draw[3];
		for (size_t i = 0; i < TV_ARRAY_LEN(draw); i++)
			draw[i] = (chance = chance * 1664525 + 1013904223) >> 8;
		add_days(&whole, 0, 60 + draw[0] % 200, 100);
		size_t first = 1 + draw[1] % (whole.n - 10), end = first + 6 + draw[2] % 20;
		end = end < whole.n ? end : whole.n - 1;
		ok(tv_bars_append(&published, &whole, 0, first, &err));
		ok(tv_bars_append(&published, &whole, end, whole.n, &err));
		ok(tv_gaps_find(&published, &rules, &gaps, &err));
		is(gaps.n == 1 && gaps.items[0].sessions == end - first);
		const struct tv_verdict_ask ask = { .rules = &rules,
						    .published = &published,
						    .fetched = &whole,
						    .fetched_s = TV_GATES_NO_TIME };
		ok(tv_verdict_fill(&ask, &gaps.items[0], &v, &err));
		is(!v.refused && tv_bars_equal(&v.bars, &whole));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found),  cmocka_unit_test(judged),
		cmocka_unit_test(listed), cmocka_unit_test(filled),
		cmocka_unit_test(padded), cmocka_unit_test(whatever_was_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
