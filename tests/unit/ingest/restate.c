/* Published bars against fetched ones, and what a fetch leads to. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ingest/verdict.h"
#include "store/base/cleanup.h"

#define DAY TV_DAY_SECONDS
#define START (INT64_C(19723) * DAY) /* 2024-01-01, of a 24x7 exchange */
#define ROWS 30

static void fill(struct tv_bars *b, size_t first, size_t end)
{
	for (size_t i = first; i < end; i++) {
		double close = 100 + (double)(i % 3);
		struct tv_bar bar = { START + (int64_t)i * DAY, 100, 103, 99, close,
				      1000 + (double)i };
		assert_int_equal(tv_bars_add(b, &bar, NULL), 0);
	}
}

static void scale(struct tv_bars *b, size_t first, size_t end, double factor)
{
	for (size_t c = 0; c < 4; c++)
		for (size_t i = first; i < end; i++)
			tv_bars_values(b, c)[i] *= factor;
}

static void drop(struct tv_bars *b, size_t at)
{
	tv_autobars struct tv_bars out = TV_BARS_INIT;
	assert_int_equal(tv_bars_append(&out, b, 0, at, NULL), 0);
	assert_int_equal(tv_bars_append(&out, b, at + 1, b->n, NULL), 0);
	tv_bars_free(b);
	*b = out;
	out = TV_BARS_INIT;
}

enum change { NONE, CLOSE, VOLUME, GONE, NEW, SCALE };

#define ALL 0 /* as the first row fetched: the whole history */

/* Rows 0 to 29 are published; the fetch has those from `first` on, to 32. */
static const struct {
	const char *name;
	size_t first;
	enum change change;
	size_t row, end; /* what changes; end only of SCALE */
	double value;
	bool accepted;
	/* what is wanted */
	bool refused;
	size_t changed, vanished, added, beyond;
	bool needs_all;
	const char *text; /* of the first finding */
} cases[] = {
	{ "a tail", 30, NONE, 0, 0, 0, false, false, 0, 0, 0, 0, false, NULL },
	{ "an overlap", 20, NONE, 0, 0, 0, false, false, 0, 0, 0, 0, false, NULL },
	{ "all history", ALL, NONE, 0, 0, 0, false, false, 0, 0, 0, 0, false, NULL },
	{ "a little", 20, CLOSE, 25, 0, 1.0005, false, false, 1, 0, 0, 0, false,
	  "2024-01-26: close is 101.0505 and was 101, +0.05 %" },
	{ "too much", 20, CLOSE, 25, 0, 1.01, false, true, 1, 0, 0, 1, false,
	  "2024-01-26: close is 102.01 and was 101, +1 %" },
	{ "too much, accepted", 20, CLOSE, 25, 0, 1.01, true, false, 1, 0, 0, 1, false,
	  "2024-01-26: close is 102.01 and was 101, +1 % (accepted)" },
	{ "the oldest of a tail", 20, CLOSE, 20, 0, 1.005, true, true, 1, 0, 0, 1, true,
	  "2024-01-21: close is 102.51 and was 102, +0.5 %" },
	{ "the oldest of all", ALL, CLOSE, 0, 0, 1.01, true, false, 1, 0, 0, 1, false,
	  "2024-01-01: close is 101 and was 100, +1 % (accepted)" },
	{ "a volume", 20, VOLUME, 25, 0, 1.2, false, false, 1, 0, 0, 0, false,
	  "2024-01-26: volume is 1230 and was 1025, +20 %" },
	{ "another volume", 20, VOLUME, 25, 0, 1.3, false, true, 1, 0, 0, 1, false, NULL },
	{ "a row less", 20, GONE, 25, 0, 0, false, true, 0, 1, 0, 1, false,
	  "2024-01-26: is gone; its close was 101" },
	{ "a row less, accepted", 20, GONE, 25, 0, 0, true, false, 0, 1, 0, 1, false,
	  "2024-01-26: is gone; its close was 101 (accepted)" },
	{ "the oldest less", 20, GONE, 20, 0, 0, true, true, 0, 1, 0, 1, true, NULL },
	{ "a row more", 20, NEW, 25, 0, 0, false, false, 0, 0, 1, 0, false,
	  "2024-01-26: is new in the past; its close is 101" },
	{ "a split, seen whole", ALL, SCALE, 0, 33, 0.1, false, true, 30, 0, 0, 30, false,
	  "2024-01-01: the prices of 30 rows are multiplied by 0.1, as after a split of 10 to 1" },
	{ "a split, accepted", ALL, SCALE, 0, 33, 0.1, true, false, 30, 0, 0, 30, false,
	  "2024-01-01: the prices of 30 rows are multiplied by 0.1, as after a split of 10 to 1 "
	  "(accepted)" },
	{ "a reverse split in a tail", 20, SCALE, 20, 33, 1.5, true, true, 10, 0, 0, 10, true,
	  "2024-01-21: the prices of 10 rows are multiplied by 1.5, as after a split of 2 to 3" },
	{ "a dividend on the 26th", 20, SCALE, 20, 25, 0.99, false, true, 5, 0, 0, 5, true,
	  "2024-01-21: the prices of 5 rows are multiplied by 0.99, as after a dividend of 1 %" },
	{ "a dividend, seen whole", ALL, SCALE, 0, 25, 0.99, true, false, 25, 0, 0, 25, false,
	  "2024-01-01: the prices of 25 rows are multiplied by 0.99, as after a dividend of 1 % "
	  "(accepted)" },
	{ "a stretch in the middle", ALL, SCALE, 5, 9, 0.9, false, true, 4, 0, 0, 4, false,
	  "2024-01-06: close is 91.8 and was 102, -10 %" },
};

static void change(size_t k, struct tv_bars *published, struct tv_bars *fetched)
{
	size_t at = cases[k].row - cases[k].first;
	switch (cases[k].change) {
	case CLOSE:
		fetched->close[at] *= cases[k].value;
		break;
	case VOLUME:
		fetched->volume[at] *= cases[k].value;
		break;
	case GONE:
		drop(fetched, at);
		break;
	case NEW:
		drop(published, cases[k].row);
		break;
	case SCALE:
		scale(fetched, at, cases[k].end - cases[k].first, cases[k].value);
		break;
	case NONE:
		break;
	}
}

static void check_rows(size_t k, const struct tv_verdict *v, const struct tv_bars *published)
{
	const struct tv_restatement *r = &v->restatement;
	if (r->times[TV_RESTATE_CHANGED] != cases[k].changed ||
	    r->times[TV_RESTATE_VANISHED] != cases[k].vanished ||
	    r->times[TV_RESTATE_ADDED] != cases[k].added || r->beyond != cases[k].beyond ||
	    r->needs_all != cases[k].needs_all)
		fail_msg("%s: %zu changed, %zu vanished, %zu added, %zu beyond, %d", cases[k].name,
			 r->times[0], r->times[1], r->times[2], r->beyond, r->needs_all);
	for (size_t i = 0; i < r->n; i++) {
		const struct tv_restated *row = &r->rows[i];
		size_t o = tv_bars_find(published, row->before.timestamp);
		if (row->kind != TV_RESTATE_ADDED)
			assert_true(published->close[o] == row->before.close);
		if (row->kind != TV_RESTATE_VANISHED)
			assert_true(v->bars.close[row->row] == row->after.close &&
				    v->bars.timestamp[row->row] == row->after.timestamp);
	}
	bool is_one = cases[k].change == SCALE && cases[k].row == cases[k].first;
	assert_int_equal(r->scaled, is_one ? cases[k].changed : 0);
	assert_true(is_one ? fabs(r->factor - cases[k].value) < 1e-9 : r->factor == 0);
}

static void restated(void **state)
{
	(void)state;
	for (size_t k = 0; k < TV_ARRAY_LEN(cases); k++) {
		tv_autobars struct tv_bars published = TV_BARS_INIT, fetched = TV_BARS_INIT;
		tv_autoverdict struct tv_verdict v = TV_VERDICT_INIT;
		struct tv_gates_rules rules = tv_gates_defaults();
		rules.calendar = tv_calendar_named("24x7");
		fill(&published, 0, ROWS);
		fill(&fetched, cases[k].first, ROWS + 3);
		int64_t from = cases[k].first ? fetched.timestamp[0] : TV_RESTATE_ALL;
		change(k, &published, &fetched);
		struct tv_verdict_ask ask = {
			&rules,
			&published,
			&fetched,
			from,
			START + (ROWS + 3) * DAY,
			cases[k].accepted,
		};
		assert_int_equal(tv_verdict_make(&ask, &v, NULL), 0);
		check_rows(k, &v, &published);
		if (v.refused != cases[k].refused)
			fail_msg("%s: refused %d", cases[k].name, v.refused);
		assert_true(v.changed);
		assert_int_equal(v.findings.n > 0, cases[k].change != NONE);
		if (cases[k].text)
			assert_string_equal(v.findings.told[0].text, cases[k].text);
		for (size_t i = 0; i < v.findings.n; i++)
			assert_int_equal(v.findings.told[i].gate, TV_GATE_RESTATEMENT);
		bool fewer = cases[k].change == GONE;
		assert_int_equal(v.bars.n, ROWS + 3 - fewer);
		assert_true(v.refused ? v.score == 0 : v.score > 0.4);
	}
}

/* A factor is told where it explains all that changed, and of more than one row. */
static void no_factor(void **state)
{
	(void)state;
	static const struct {
		size_t first[2], end[2];
		double factors[2];
	} stretches[] = {
		{ { 0, 6 }, { 3, 9 }, { 0.5, 0.5 } },
		{ { 0, 6 }, { 3, 7 }, { 0.5, 1.01 } },
		{ { 0, 3 }, { 3, 9 }, { 0.5, 0.6 } },
		{ { 0, 0 }, { 1, 0 }, { 0.5, 1 } },
	};
	for (size_t k = 0; k < TV_ARRAY_LEN(stretches); k++) {
		tv_autobars struct tv_bars published = TV_BARS_INIT, now = TV_BARS_INIT;
		tv_autorestatement struct tv_restatement r = TV_RESTATEMENT_INIT;
		struct tv_gates_rules rules = tv_gates_defaults();
		fill(&published, 0, ROWS);
		fill(&now, 0, ROWS);
		for (size_t i = 0; i < 2; i++)
			scale(&now, stretches[k].first[i], stretches[k].end[i],
			      stretches[k].factors[i]);
		assert_int_equal(tv_restate_compare(&published, &now, TV_RESTATE_ALL, &rules, &r,
						    NULL),
				 0);
		assert_true(r.n > 0 && r.factor == 0 && r.scaled == 0);
	}
}

/* Rows before those that were asked for are not taken. */
static void more_than_asked(void **state)
{
	(void)state;
	tv_autobars struct tv_bars published = TV_BARS_INIT, fetched = TV_BARS_INIT;
	tv_autobars struct tv_bars joined = TV_BARS_INIT, want = TV_BARS_INIT;
	fill(&published, 0, ROWS);
	fill(&fetched, 10, ROWS + 2);
	fill(&want, 0, ROWS + 2);
	fetched.close[5] = 7;
	assert_int_equal(tv_restate_join(&published, &fetched, START + 20 * DAY, &joined, NULL), 0);
	assert_true(tv_bars_equal(&joined, &want));
}

static void nothing_new(void **state)
{
	(void)state;
	tv_autobars struct tv_bars published = TV_BARS_INIT, fetched = TV_BARS_INIT;
	tv_autoverdict struct tv_verdict v = TV_VERDICT_INIT;
	struct tv_gates_rules rules = tv_gates_defaults();
	rules.calendar = tv_calendar_named("24x7");
	fill(&published, 0, ROWS);
	fill(&fetched, 20, ROWS);
	struct tv_verdict_ask ask = {
		&rules, &published, &fetched, fetched.timestamp[0], START + ROWS * DAY, false
	};
	assert_int_equal(tv_verdict_make(&ask, &v, NULL), 0);
	assert_false(v.changed);
	assert_false(v.refused);
	assert_true(v.score == 1);
	assert_int_equal(v.restatement.compared, 10);
	tv_verdict_free(&v);

	/* a source that says nothing of days it had takes them away */
	ask.fetched = &(struct tv_bars){ .n = 0 };
	assert_int_equal(tv_verdict_make(&ask, &v, NULL), 0);
	assert_true(v.refused && v.restatement.needs_all);
	assert_int_equal(v.restatement.times[TV_RESTATE_VANISHED], 10);
}

/* Rows behind the last published one are not new in the past; rows before the first one are. */
static void earlier_start(void **state)
{
	(void)state;
	tv_autobars struct tv_bars published = TV_BARS_INIT, fetched = TV_BARS_INIT;
	tv_autoverdict struct tv_verdict v = TV_VERDICT_INIT;
	struct tv_gates_rules rules = tv_gates_defaults();
	rules.calendar = tv_calendar_named("24x7");
	fill(&published, 10, ROWS);
	fill(&fetched, 0, ROWS + 5);
	struct tv_verdict_ask ask = {
		&rules, &published, &fetched, TV_RESTATE_ALL, START + ROWS * DAY + 5 * DAY, false
	};
	assert_int_equal(tv_verdict_make(&ask, &v, NULL), 0);
	assert_false(v.refused);
	assert_int_equal(v.restatement.times[TV_RESTATE_ADDED], 10);
	assert_int_equal(v.restatement.n, 10);
}

static void disorder(void **state)
{
	(void)state;
	tv_autobars struct tv_bars published = TV_BARS_INIT, fetched = TV_BARS_INIT;
	tv_autoverdict struct tv_verdict v = TV_VERDICT_INIT;
	struct tv_err err = TV_ERR_INIT;
	struct tv_gates_rules rules = tv_gates_defaults();
	rules.calendar = tv_calendar_named("24x7");
	fill(&published, 0, ROWS);
	fill(&fetched, 20, ROWS);
	fetched.timestamp[5] = fetched.timestamp[0];
	struct tv_verdict_ask ask = {
		&rules, &published, &fetched, fetched.timestamp[0], START + ROWS * DAY, false
	};
	assert_int_equal(tv_verdict_make(&ask, &v, &err), 0);
	assert_true(v.refused);
	assert_int_equal(v.restatement.n, 0);
	assert_int_equal(v.findings.told[0].gate, TV_GATE_ORDER);
	assert_int_equal(v.findings.told[0].row, 25);
	tv_verdict_free(&v);

	published.timestamp[3] = published.timestamp[9];
	fetched.timestamp[5] = fetched.timestamp[4] + DAY;
	ask.from = TV_RESTATE_ALL;
	assert_int_equal(tv_verdict_make(&ask, &v, &err), -EINVAL);
	assert_string_equal(err.text, "the published rows are not in order");
	assert_int_equal(v.bars.n, 0);
}

static void json(void **state)
{
	(void)state;
	tv_autobars struct tv_bars published = TV_BARS_INIT, now = TV_BARS_INIT;
	tv_autorestatement struct tv_restatement r = TV_RESTATEMENT_INIT;
	struct tv_gates_rules rules = tv_gates_defaults();
	fill(&published, 0, 4);
	fill(&now, 0, 4);
	now.close[1] = 102;
	drop(&now, 2);
	drop(&published, 0);
	assert_int_equal(tv_restate_compare(&published, &now, TV_RESTATE_ALL, &rules, &r, NULL), 0);
	tv_autojson cJSON *doc = tv_restatement_json(&r);
	char *text = cJSON_PrintUnformatted(doc);
	assert_string_equal(text,
			    "{\"compared\":2,\"changed\":1,\"vanished\":1,\"added\":1,\"beyond\":2,"
			    "\"needs_all\":false,\"rows\":["
			    "{\"day\":\"2024-01-01\",\"kind\":\"added\",\"beyond\":false,"
			    "\"after\":[100,103,99,100,1000]},"
			    "{\"day\":\"2024-01-02\",\"kind\":\"changed\",\"beyond\":true,"
			    "\"before\":[100,103,99,101,1001],\"after\":[100,103,99,102,1001]},"
			    "{\"day\":\"2024-01-03\",\"kind\":\"vanished\",\"beyond\":true,"
			    "\"before\":[100,103,99,102,1002]}]}");
	cJSON_free(text);
}

/* --- data_quality_score ------------------------------------------------------------------------- */

static void quality(void **state)
{
	(void)state;
	tv_autobars struct tv_bars b = TV_BARS_INIT;
	struct tv_findings f = TV_FINDINGS_INIT;
	struct tv_restatement r = TV_RESTATEMENT_INIT;
	struct tv_gates_rules rules = tv_gates_defaults();
	rules.calendar = tv_calendar_named("24x7");
	assert_true(tv_quality_score(&b, &rules, &f, NULL) == 0);
	fill(&b, 0, 100);
	assert_true(tv_quality_score(&b, &rules, &f, NULL) == 1);
	b.timestamp[99] += 25 * DAY;
	assert_true(tv_quality_score(&b, &rules, &f, &r) == 0.8);
	f.times[TV_GATE_GAP][TV_RECORD] = 1;
	assert_true(tv_quality_score(&b, &rules, &f, &r) == 0.76);
	f.rows[TV_GATE_PADDING][TV_RECORD] = 15;
	f.rows[TV_GATE_WICK][TV_RECORD] = 5;
	assert_true(tv_quality_score(&b, &rules, &f, &r) == 0.684);
	r.n = 50;
	assert_true(tv_quality_score(&b, &rules, &f, &r) == 0.513);
	f.times[TV_GATE_GAP][TV_RECORD] = r.n = f.rows[TV_GATE_WICK][TV_RECORD] = 100000;
	assert_true(tv_quality_score(&b, &rules, &f, &r) == 0.1);
	f.times[TV_GATE_OHLC][TV_REFUSE] = 1;
	assert_true(tv_quality_score(&b, &rules, &f, &r) == 0);

	/* 100 rows on 105 weekdays: as many holidays as there may be */
	tv_findings_free(&f);
	rules.calendar = tv_calendar_named("monday-friday");
	for (size_t i = 0; i < b.n; i++)
		b.timestamp[i] = START + ((int64_t)(i / 5 * 7) + (int64_t)(i % 5)) * DAY;
	b.timestamp[99] += 7 * DAY;
	assert_true(tv_quality_score(&b, &rules, &f, NULL) == 1);
	b.timestamp[99] += 7 * DAY;
	assert_true(tv_quality_score(&b, &rules, &f, NULL) == 0.9615);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(restated),
		cmocka_unit_test(no_factor),
		cmocka_unit_test(more_than_asked),
		cmocka_unit_test(nothing_new),
		cmocka_unit_test(earlier_start),
		cmocka_unit_test(disorder),
		cmocka_unit_test(json),
		cmocka_unit_test(quality),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
