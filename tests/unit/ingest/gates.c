/* Each gate on a small series with one thing wrong; rules from settings. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ingest/gates.h"
#include "store/base/buf.h"
#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/path.h"

#define DAY TV_DAY_SECONDS
#define MONDAY (INT64_C(19723) * DAY) /* 2024-01-01 */
#define ROWS 30

/* Rows on every open day of a calendar from a Monday on: close 100, 101, 100, ... */
static void fill(struct tv_bars *b, const struct tv_calendar *calendar)
{
	for (int64_t day = MONDAY / DAY; b->n < ROWS; day++) {
		double close = 100 + (double)(b->n % 2);
		struct tv_bar bar = { day * DAY, 100, 102, 99, close, 1000 + (double)b->n };
		if (tv_calendar_is_open(calendar, day))
			assert_int_equal(tv_bars_add(b, &bar, NULL), 0);
	}
}

enum what {
	CALM,  /* nothing */
	SET,   /* column of a row to a value */
	TIME,  /* the time of a row to the value */
	LATER, /* all rows from row on by so many seconds */
	COPY,  /* row is a copy of the one before it, at its own time */
	IDLE,  /* `value` rows from row on at the close before, without volume */
	FLAT,  /* `value` rows from row on at the close before, with a volume of 100 */
	AGAIN, /* row is put in once more behind itself */
	PAD,   /* a copy of row is put in behind it, a day later */
	EXTRA, /* a row of its own is put in behind row, a day later */
	DROP,  /* `value` rows from row on */
	SCALE, /* all prices from row on, by the value */
};

struct defect {
	enum what what;
	size_t row;
	int column;
	double value;
};

#define NO_DEFECT                                                                                  \
	{                                                                                          \
		CALM, 0, 0, 0                                                                      \
	}

static void insert(struct tv_bars *b, size_t at, const struct tv_bar *bar)
{
	tv_autobars struct tv_bars out = TV_BARS_INIT;
	assert_int_equal(tv_bars_append(&out, b, 0, at, NULL), 0);
	assert_int_equal(tv_bars_add(&out, bar, NULL), 0);
	assert_int_equal(tv_bars_append(&out, b, at, b->n, NULL), 0);
	tv_bars_free(b);
	*b = out;
	out = TV_BARS_INIT;
}

static void drop(struct tv_bars *b, size_t at, size_t n)
{
	tv_autobars struct tv_bars out = TV_BARS_INIT;
	assert_int_equal(tv_bars_append(&out, b, 0, at, NULL), 0);
	assert_int_equal(tv_bars_append(&out, b, at + n, b->n, NULL), 0);
	tv_bars_free(b);
	*b = out;
	out = TV_BARS_INIT;
}

static void put(struct tv_bars *b, size_t row, const struct tv_bar *bar)
{
	const double values[TV_BARS_VALUES] = { bar->open, bar->high, bar->low, bar->close,
						bar->volume };
	for (size_t c = 0; c < TV_BARS_VALUES; c++)
		tv_bars_values(b, c)[row] = values[c];
}

static void plant(struct tv_bars *b, const struct defect *d)
{
	struct tv_bar bar = tv_bars_get(b, d->row);
	switch (d->what) {
	case SET:
		tv_bars_values(b, (size_t)d->column)[d->row] = d->value;
		break;
	case TIME:
		b->timestamp[d->row] = (int64_t)d->value;
		break;
	case LATER:
		for (size_t i = d->row; i < b->n; i++)
			b->timestamp[i] += (int64_t)d->value;
		break;
	case COPY:
		bar = tv_bars_get(b, d->row - 1);
		put(b, d->row, &bar);
		break;
	case IDLE:
	case FLAT:
		bar = tv_bars_get(b, d->row - 1);
		bar.open = bar.high = bar.low = bar.close;
		bar.volume = d->what == FLAT ? 100 : 0;
		for (size_t i = 0; i < (size_t)d->value; i++)
			put(b, d->row + i, &bar);
		break;
	case AGAIN:
		insert(b, d->row + 1, &bar);
		break;
	case PAD:
		bar.timestamp += DAY;
		insert(b, d->row + 1, &bar);
		break;
	case EXTRA:
		bar.timestamp += DAY;
		bar.close += 0.5;
		insert(b, d->row + 1, &bar);
		break;
	case DROP:
		drop(b, d->row, (size_t)d->value);
		break;
	case SCALE:
		for (size_t i = d->row; i < b->n; i++)
			for (size_t c = 0; c < 4; c++)
				tv_bars_values(b, c)[i] *= d->value;
		break;
	case CALM:
		break;
	}
}

#define OPEN 0
#define HIGH 1
#define LOW 2
#define CLOSE 3
#define VOLUME 4

/* Row 4 is Friday 2024-01-05 in all calendars but sunday-thursday. */
static const struct {
	const char *name, *calendar;
	struct defect defects[3];
	const char *found; /* "GATE SEVERITY ROW ROWS"; NULL: nothing */
	const char *text;  /* or NULL */
} cases[] = {
	{ "calm", "monday-friday", { NO_DEFECT }, NULL, NULL },
	{ "calm crypto", "24x7", { NO_DEFECT }, NULL, NULL },
	{ "calm futures, with Sundays", "sunday-friday", { NO_DEFECT }, NULL, NULL },
	{ "an earlier row",
	  "monday-friday",
	  { { TIME, 9, 0, MONDAY } },
	  "order refuse 9 1",
	  "2024-01-01: comes after the row of 2024-01-11" },
	{ "a day twice, with other prices",
	  "monday-friday",
	  { { AGAIN, 9, 0, 0 }, { SET, 10, CLOSE, 101.5 } },
	  "order refuse 10 1",
	  "2024-01-12: is another row of 2024-01-12, and differs" },
	{ "a row twice",
	  "monday-friday",
	  { { AGAIN, 9, 0, 0 } },
	  "order cut 10 1",
	  "2024-01-12: the row before it over again (1 row)" },
	{ "a row three times",
	  "monday-friday",
	  { { AGAIN, 9, 0, 0 }, { AGAIN, 9, 0, 0 } },
	  "order cut 10 2",
	  NULL },
	{ "five o'clock",
	  "monday-friday",
	  { { TIME, 3, 0, MONDAY + 3 * DAY + 18000 } },
	  "day refuse 3 1",
	  "2024-01-04: 18000 seconds after the day's start in UTC" },
	{ "the last row tomorrow",
	  "24x7",
	  { { LATER, ROWS - 1, 0, 2 * DAY } },
	  "future refuse 29 1",
	  "2024-02-01: was fetched before, on 2024-01-31" },
	{ "milliseconds",
	  "24x7",
	  { { TIME, ROWS - 1, 0, 1706486400000.0 } },
	  "future refuse 29 1",
	  "second 1706486400000: was fetched before, on 2024-01-31" },
	{ "not a number",
	  "monday-friday",
	  { { SET, 7, OPEN, NAN } },
	  "values refuse 7 1",
	  "2024-01-10: open is nan" },
	{ "infinite",
	  "monday-friday",
	  { { SET, 7, HIGH, INFINITY } },
	  "values refuse 7 1",
	  "2024-01-10: high is inf" },
	{ "negative",
	  "monday-friday",
	  { { SET, 7, CLOSE, -1 } },
	  "values refuse 7 1",
	  "2024-01-10: close is -1" },
	{ "a price of 0",
	  "monday-friday",
	  { { SET, 7, LOW, 0 } },
	  "values refuse 7 1",
	  "2024-01-10: low is 0" },
	{ "a close of 0",
	  "monday-friday",
	  { { SET, 7, CLOSE, 0 }, { SET, 7, LOW, 0 } },
	  "values refuse 7 1",
	  "2024-01-10: low is 0" },
	{ "a negative volume",
	  "monday-friday",
	  { { SET, 0, VOLUME, -1 } },
	  "values refuse 0 1",
	  "2024-01-01: volume is -1" },
	{ "a volume of 0", "monday-friday", { { SET, 5, VOLUME, 0 } }, NULL, NULL },
	{ "a high below the close",
	  "monday-friday",
	  { { SET, 7, HIGH, 100.5 } },
	  "ohlc refuse 7 1",
	  "2024-01-10: high 100.5 is below 101" },
	{ "a low above the open",
	  "monday-friday",
	  { { SET, 7, LOW, 100.5 } },
	  "ohlc refuse 7 1",
	  "2024-01-10: low 100.5 is above 100" },
	{ "a Saturday",
	  "monday-friday",
	  { { EXTRA, 4, 0, 0 } },
	  "session refuse 5 1",
	  "2024-01-06: a row on a day without session (1 row)" },
	{ "a Saturday of futures",
	  "sunday-friday",
	  { { EXTRA, 4, 0, 0 } },
	  "session refuse 5 1",
	  NULL },
	{ "a special Saturday", "monday-friday-and-specials", { NO_DEFECT }, NULL, NULL },
	{ "a filled Saturday",
	  "monday-friday",
	  { { PAD, 4, 0, 0 } },
	  "padding cut 5 1",
	  "2024-01-06: repeats the row before it on a day without session (1 row)" },
	{ "a filled weekend",
	  "monday-friday",
	  { { PAD, 4, 0, 0 }, { PAD, 5, 0, 0 } },
	  "padding cut 5 2",
	  NULL },
	{ "a filled weekend of futures",
	  "sunday-friday",
	  { { PAD, 4, 0, 0 }, { COPY, 6, 0, 0 } },
	  "padding cut 5 2",
	  NULL },
	{ "a filled special day",
	  "monday-friday-and-specials",
	  { { IDLE, 5, 0, 2 } },
	  "padding cut 5 2",
	  NULL },
	{ "a weekend filled in two ways",
	  "monday-friday",
	  { { PAD, 4, 0, 0 }, { PAD, 5, 0, 0 }, { IDLE, 5, 0, 1 } },
	  "padding cut 5 2",
	  NULL },
	{ "a thin stock", "24x7", { { FLAT, 9, 0, 4 } }, NULL, NULL },
	{ "a copy without volume",
	  "24x7",
	  { { SET, 8, VOLUME, 0 }, { COPY, 9, 0, 0 } },
	  "padding record 9 1",
	  NULL },
	{ "a copy",
	  "24x7",
	  { { COPY, 9, 0, 0 } },
	  "padding cut 9 1",
	  "2024-01-10: a copy of the row before it, with its volume (1 row)" },
	{ "the last one a copy", "24x7", { { COPY, ROWS - 1, 0, 0 } }, "padding cut 29 1", NULL },
	{ "four idle days",
	  "24x7",
	  { { IDLE, 9, 0, 4 } },
	  "padding record 9 4",
	  "2024-01-10: no volume, and prices of the row before it (4 rows)" },
	{ "+500 % is not above it",
	  "24x7",
	  { { SET, 9, CLOSE, 600 }, { SET, 9, HIGH, 600 } },
	  NULL,
	  NULL },
	{ "a spike",
	  "24x7",
	  { { SET, 8, CLOSE, 157000 }, { SET, 8, HIGH, 157000 } },
	  "toxicity refuse 8 1",
	  "2024-01-09: close 157000 after 101, +155345.5 %; and back" },
	{ "a dip",
	  "24x7",
	  { { SET, 8, CLOSE, 0.5 }, { SET, 8, LOW, 0.5 } },
	  "toxicity refuse 8 1",
	  "2024-01-09: close 0.5 after 101, -99.5 %; and back" },
	{ "a spike of three rows",
	  "24x7",
	  { { SCALE, 8, 0, 7 }, { SCALE, 11, 0, 1. / 7 } },
	  "toxicity refuse 8 3",
	  NULL },
	{ "a split that was not applied",
	  "24x7",
	  { { SCALE, 8, 0, 0.1 } },
	  "toxicity refuse 8 1",
	  "2024-01-09: close 10 after 101, -90.1 %; and it stays: a split, another unit or a "
	  "crash" },
	{ "a spike at the end",
	  "24x7",
	  { { SCALE, ROWS - 1, 0, 10 } },
	  "toxicity refuse 29 1",
	  "2024-01-30: close 1010 after 100, +910.0 %; the last row" },
	{ "a spike at the start", "24x7", { { SCALE, 1, 0, 0.1 } }, "toxicity refuse 1 1", NULL },
	{ "an open out of place",
	  "24x7",
	  { { SET, 8, OPEN, 900 }, { SET, 8, HIGH, 900 } },
	  "toxicity refuse 8 1",
	  "2024-01-09: open 900 after 101, +791.1 %; only the open" },
	{ "a first day that rises",
	  "24x7",
	  { { SET, 0, OPEN, 1 }, { SET, 0, LOW, 1 } },
	  NULL,
	  NULL },
	{ "a high wick",
	  "24x7",
	  { { SET, 8, HIGH, 700 } },
	  "wick record 8 1",
	  "2024-01-09: high 700, while open is 100, close 100" },
	{ "a low wick",
	  "24x7",
	  { { SET, 8, LOW, 0.1 } },
	  "wick record 8 1",
	  "2024-01-09: low 0.1, while open is 100, close 100" },
	{ "five sessions are no gap", "monday-friday", { { DROP, 6, 0, 5 } }, NULL, NULL },
	{ "six are",
	  "monday-friday",
	  { { DROP, 6, 0, 6 } },
	  "gap record 6 6",
	  "2024-01-17: 6 sessions are missing since the row of 2024-01-08" },
	{ "six of crypto", "24x7", { { DROP, 6, 0, 6 } }, "gap record 6 6", NULL },
};

static void describe(const struct tv_findings *f, char *out, size_t n)
{
	*out = '\0';
	for (size_t i = 0; i < f->n; i++) {
		size_t used = strlen(out);
		snprintf(out + used, n - used, " [%s %s row %zu rows %zu '%s']",
			 tv_gate_text(f->told[i].gate), tv_severity_text(f->told[i].severity),
			 f->told[i].row, f->told[i].rows, f->told[i].text);
	}
}

static void check_case(size_t k, const struct tv_findings *f, const struct tv_judged *j)
{
	char found[4096], first[64] = "";
	describe(f, found, sizeof(found));
	const struct tv_finding *t = f->told;
	if (f->n)
		snprintf(first, sizeof(first), "%s %s %zu %zu", tv_gate_text(t->gate),
			 tv_severity_text(t->severity), t->row, t->rows);
	if (strcmp(first, cases[k].found ? cases[k].found : "") != 0 ||
	    tv_findings_times(f, TV_GATES) != f->n || f->n > 1)
		fail_msg("%s:%s", cases[k].name, found);
	assert_int_equal(tv_findings_worst(f), f->n ? t->severity : TV_SEVERITIES);
	if (cases[k].text)
		assert_string_equal(t->text, cases[k].text);
	bool cut = f->n && t->severity == TV_CUT;
	assert_int_equal(j->n_cut, cut ? t->rows : 0);
	for (size_t i = 0; i < j->n && j->cut; i++)
		assert_int_equal(j->cut[i], cut && i >= t->row && i < t->row + t->rows);
}

static void one_defect(void **state)
{
	(void)state;
	for (size_t k = 0; k < TV_ARRAY_LEN(cases); k++) {
		tv_autobars struct tv_bars b = TV_BARS_INIT, kept = TV_BARS_INIT;
		tv_autofindings struct tv_findings f = TV_FINDINGS_INIT;
		tv_autojudged struct tv_judged j = TV_JUDGED_INIT;
		struct tv_gates_rules rules = tv_gates_defaults();
		rules.calendar = tv_calendar_named(cases[k].calendar);
		fill(&b, rules.calendar);
		int64_t fetched = b.timestamp[ROWS - 1] + DAY + 3600;
		for (size_t d = 0; d < TV_ARRAY_LEN(cases[k].defects); d++)
			plant(&b, &cases[k].defects[d]);
		bool late = cases[k].found && strstr(cases[k].found, "future");
		if (!late && b.timestamp[b.n - 1] > fetched)
			fetched = b.timestamp[b.n - 1] + DAY;
		assert_int_equal(tv_gates_judge(&b, &rules, fetched, &f, &j, NULL), 0);
		check_case(k, &f, &j);
		assert_int_equal(tv_gates_keep(&b, &j, &kept, NULL), 0);
		assert_int_equal(kept.n, b.n - j.n_cut);
	}
}

static void judge(const struct tv_bars *b, const struct tv_gates_rules *rules, int64_t fetched,
		  struct tv_findings *f, struct tv_judged *j)
{
	tv_findings_free(f);
	tv_judged_free(j);
	assert_int_equal(tv_gates_judge(b, rules, fetched, f, j, NULL), 0);
}

static void empty_and_stale(void **state)
{
	(void)state;
	char reason[256];
	tv_autobars struct tv_bars b = TV_BARS_INIT;
	tv_autofindings struct tv_findings f = TV_FINDINGS_INIT;
	tv_autojudged struct tv_judged j = TV_JUDGED_INIT;
	struct tv_gates_rules rules = tv_gates_defaults();
	judge(&b, &rules, MONDAY, &f, &j);
	tv_findings_reason(&f, reason, sizeof(reason));
	assert_string_equal(reason, "empty: no rows");
	assert_int_equal(tv_findings_times(&f, TV_GATES), 1);

	fill(&b, rules.calendar);
	int64_t friday = b.timestamp[ROWS - 1];
	judge(&b, &rules, friday + 10 * DAY, &f, &j);
	assert_int_equal(tv_findings_times(&f, TV_GATES), 0);
	judge(&b, &rules, friday + 11 * DAY, &f, &j);
	assert_int_equal(f.times[TV_GATE_STALE][TV_RECORD], 1);
	assert_int_equal(f.told[0].row, ROWS - 1);
	assert_int_equal(f.told[0].rows, 6);
	judge(&b, &rules, TV_GATES_NO_TIME, &f, &j);
	assert_int_equal(tv_findings_times(&f, TV_GATES), 0);
	tv_findings_reason(&f, reason, sizeof(reason));
	assert_string_equal(reason, "");
}

/* A row that is dated at the very second of the fetch is none of the future, and is judged. */
static void at_the_fetch(void **state)
{
	(void)state;
	tv_autobars struct tv_bars b = TV_BARS_INIT;
	tv_autofindings struct tv_findings f = TV_FINDINGS_INIT;
	tv_autojudged struct tv_judged j = TV_JUDGED_INIT;
	struct tv_gates_rules rules = tv_gates_defaults();
	fill(&b, rules.calendar);
	judge(&b, &rules, b.timestamp[ROWS - 1], &f, &j);
	assert_int_equal(tv_findings_times(&f, TV_GATES), 0);
	plant(&b, &(struct defect){ SCALE, ROWS - 1, 0, 10 });
	judge(&b, &rules, b.timestamp[ROWS - 1], &f, &j);
	assert_int_equal(f.times[TV_GATE_TOXICITY][TV_REFUSE], 1);
}

/* What is cut is not told twice. */
static void cut_wick(void **state)
{
	(void)state;
	tv_autobars struct tv_bars b = TV_BARS_INIT;
	tv_autofindings struct tv_findings f = TV_FINDINGS_INIT;
	tv_autojudged struct tv_judged j = TV_JUDGED_INIT;
	struct tv_gates_rules rules = tv_gates_defaults();
	fill(&b, rules.calendar);
	plant(&b, &(struct defect){ SET, 8, HIGH, 700 });
	plant(&b, &(struct defect){ COPY, 9, 0, 0 });
	judge(&b, &rules, TV_GATES_NO_TIME, &f, &j);
	assert_int_equal(f.times[TV_GATE_PADDING][TV_CUT], 1);
	assert_int_equal(f.times[TV_GATE_WICK][TV_RECORD], 1);
	assert_int_equal(tv_findings_times(&f, TV_GATES), 2);
}

/* Idle rows: four stay, the others are cut; too many of them and nothing is published. */
static void idle_runs(void **state)
{
	(void)state;
	static const struct {
		size_t run, rows, cut;
		bool refused;
	} runs[] = { { 5, 10, 6, false },
		     { 5, 11, 7, true },
		     { 5, 4, 0, false },
		     { 1, 3, 3, false },
		     { 0, 20, 0, false } };
	for (size_t k = 0; k < TV_ARRAY_LEN(runs); k++) {
		tv_autobars struct tv_bars b = TV_BARS_INIT;
		tv_autofindings struct tv_findings f = TV_FINDINGS_INIT;
		tv_autojudged struct tv_judged j = TV_JUDGED_INIT;
		struct tv_gates_rules rules = tv_gates_defaults();
		rules.calendar = tv_calendar_named("24x7");
		rules.padding_run = runs[k].run;
		fill(&b, rules.calendar);
		plant(&b, &(struct defect){ IDLE, 5, 0, (double)runs[k].rows });
		judge(&b, &rules, TV_GATES_NO_TIME, &f, &j);
		assert_int_equal(j.n_cut, runs[k].cut);
		assert_int_equal(f.times[TV_GATE_PADDING][TV_REFUSE], runs[k].refused);
		assert_int_equal(f.times[TV_GATE_GAP][TV_RECORD], runs[k].cut > 5);
		assert_int_equal(f.rows[TV_GATE_PADDING][TV_RECORD],
				 runs[k].run ? runs[k].rows - runs[k].cut : 0);
		for (size_t i = 0; i < b.n && j.cut; i++)
			assert_int_equal(j.cut[i],
					 i >= 5 + runs[k].run - 1 && i < 5 + runs[k].rows);
	}
}

/* The first few are told, all are counted. */
static void told(void **state)
{
	(void)state;
	char reason[256];
	tv_autobars struct tv_bars b = TV_BARS_INIT;
	tv_autofindings struct tv_findings f = TV_FINDINGS_INIT;
	tv_autojudged struct tv_judged j = TV_JUDGED_INIT;
	struct tv_gates_rules rules = tv_gates_defaults();
	rules.told = 3;
	fill(&b, rules.calendar);
	for (size_t i = 0; i < b.n; i++)
		b.low[i] = 150;
	judge(&b, &rules, TV_GATES_NO_TIME, &f, &j);
	assert_int_equal(f.n, 3);
	assert_int_equal(f.times[TV_GATE_OHLC][TV_REFUSE], ROWS);
	assert_int_equal(f.rows[TV_GATE_OHLC][TV_REFUSE], ROWS);
	tv_findings_reason(&f, reason, sizeof(reason));
	assert_string_equal(reason, "ohlc: 2024-01-01: high 102 is below 150 (and 29 more)");

	tv_autojson cJSON *json = tv_findings_json(&f);
	char *text = cJSON_PrintUnformatted(json);
	assert_non_null(strstr(text, "[{\"gate\":\"ohlc\",\"severity\":\"refuse\",\"times\":30,"
				     "\"rows\":30,\"told\":[{\"row\":0,\"rows\":1,\"day\":"
				     "\"2024-01-01\",\"text\":\"2024-01-01: high 102 is below "
				     "150\"},{\"row\":1,"));
	cJSON_free(text);
}

/* --- settings ----------------------------------------------------------------------------------- */

static int read_rules(const char *text, const char *symbol, struct tv_gates_rules *out,
		      struct tv_err *err)
{
	tv_autojson cJSON *doc = NULL;
	assert_int_equal(tv_json_parse(text, strlen(text), &doc, NULL), 0);
	return tv_gates_rules_read(doc, symbol, TV_CRYPTO_UNKNOWN, out, err);
}

static void settings(void **state)
{
	(void)state;
	static const char all[] =
		"{\"toxic_return\": 9, \"ohlc_tolerance\": 1e-9, \"padding_run\": 7,"
		" \"padding_share\": 0.5, \"gap_sessions\": 8, \"restatement_tolerance\": 0.01,"
		" \"restatement_volume\": 2, \"told\": 4, \"max_open_gaps\": 3,"
		" \"exchanges\": {\"X\": {\"calendar\": \"24x7\", \"padding_run\": 2}},"
		" \"symbols\": {\"X:B\": {\"padding_run\": 0, \"toxic_fall\": 1},"
		"               \"X:C\": {\"toxic_return\": 1}}}";
	struct tv_gates_rules r, none = tv_gates_defaults();
	struct tv_err err = TV_ERR_INIT;
	assert_int_equal(tv_gates_rules_read(NULL, "NASDAQ:A", TV_CRYPTO_UNKNOWN, &r, &err), 0);
	assert_memory_equal(&r, &none, sizeof(r));
	assert_int_equal(tv_gates_rules_read(NULL, "NASDAQ:A", TV_CRYPTO_YES, &r, &err), 0);
	assert_string_equal(r.calendar->name, "24x7");
	assert_int_equal(read_rules(all, "NASDAQ:A", &r, &err), 0);
	assert_true(r.toxic_return == 9 && r.toxic_fall == 0.9 && r.ohlc_tolerance == 1e-9 &&
		    r.padding_share == 0.5 && r.restatement_tolerance == 0.01 &&
		    r.restatement_volume == 2);
	assert_true(r.padding_run == 7 && r.gap_sessions == 8 && r.told == 4 &&
		    r.max_open_gaps == 3);
	assert_string_equal(r.calendar->name, "monday-friday");
	assert_int_equal(read_rules(all, "X:A", &r, &err), 0);
	assert_true(r.padding_run == 2 && r.toxic_fall == 0.9);
	assert_string_equal(r.calendar->name, "24x7");
	assert_int_equal(read_rules(all, "X:B", &r, &err), 0);
	assert_true(r.padding_run == 0 && r.toxic_return == 9 && r.toxic_fall == 1);
	assert_string_equal(r.calendar->name, "24x7");
	assert_int_equal(read_rules(all, "X:C", &r, &err), 0);
	assert_true(r.padding_run == 2 && r.toxic_return == 1 && r.toxic_fall == 0.5);
}

static void bad_settings(void **state)
{
	(void)state;
	static const char *const bad[][2] = {
		{ "[]", "gates: not an object of rules" },
		{ "{\"toxic_retrun\": 1}", "gates: 'toxic_retrun' is not a rule" },
		{ "{\"toxic_return\": \"5\"}", "gates: 'toxic_return' is not a number from 0 on" },
		{ "{\"toxic_return\": -1}", "gates: 'toxic_return' is not a number from 0 on" },
		{ "{\"toxic_fall\": 1.5}", "gates: 'toxic_fall' is not a number from 0 to 1" },
		{ "{\"padding_run\": 2.5}",
		  "gates: 'padding_run' is not a whole number from 0 on" },
		{ "{\"gap_sessions\": true}",
		  "gates: 'gap_sessions' is not a whole number from 0 on" },
		{ "{\"told\": null}", "gates: 'told' is not a whole number from 0 on" },
		{ "{\"calendar\": \"24x7\"}",
		  "gates: 'calendar' belongs into 'exchanges' or 'symbols'" },
		{ "{\"max_open_gaps\": -1}",
		  "gates: 'max_open_gaps' is not a whole number from 0 on" },
		{ "{\"symbols\": {\"X:Y\": {\"max_open_gaps\": 1}}}",
		  "gates: symbols: X:Y: 'max_open_gaps' belongs to the top of 'gates'" },
		{ "{\"exchanges\": []}", "gates: 'exchanges' is not an object" },
		{ "{\"exchanges\": {\"X\": 1}}", "gates: exchanges: X: not an object of rules" },
		{ "{\"exchanges\": {\"X\": {\"calendar\": \"mondays\"}}}",
		  "gates: exchanges: X: 'calendar' is not the name of a calendar" },
		{ "{\"exchanges\": {\"X\": {\"symbols\": {}}}}",
		  "gates: exchanges: X: 'symbols' is not a rule" },
		{ "{\"symbols\": {\"X:Y\": {\"calendar\": 7}}}",
		  "gates: symbols: X:Y: 'calendar' is not the name of a calendar" },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(bad); i++) {
		struct tv_gates_rules rules = { .told = 77 };
		struct tv_err err = TV_ERR_INIT;
		if (read_rules(bad[i][0], "NASDAQ:A", &rules, &err) != -EINVAL)
			fail_msg("%s is taken", bad[i][0]);
		assert_string_equal(err.text, bad[i][1]);
		assert_int_equal(rules.told, 77);
	}
}

/* --- docs/gates.md ------------------------------------------------------------------------------ */

static const char *documented(const char *doc, const char *name)
{
	char row[64];
	snprintf(row, sizeof(row), "\n| `%s` | ", name);
	const char *at = strstr(doc, row);
	if (!at)
		fail_msg("docs/gates.md has no row of %s", name);
	return at + strlen(row);
}

static void documentation(void **state)
{
	(void)state;
	const char *root = getenv("TVFS_SOURCE_DIR");
	tv_autofree char *path = tv_path_join(root ? root : ".", "docs/gates.md");
	tv_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct tv_buf text = TV_BUF_INIT;
	assert_int_equal(tv_io_read_to_end(fd, 1 << 20, &text, NULL), 0);
	tv_autofree char *doc = tv_buf_steal_str(&text);
	for (int g = 0; g < TV_GATES; g++)
		documented(doc, tv_gate_text((enum tv_gate)g));
	for (int s = 0; s < TV_SEVERITIES; s++)
		documented(doc, tv_severity_text((enum tv_severity)s));
	static const char *const calendars[] = { "24x7",
						 "sunday-friday",
						 "monday-friday",
						 "monday-friday-and-specials",
						 "sunday-thursday",
						 "moved-week" };
	for (size_t i = 0; i < TV_ARRAY_LEN(calendars); i++) {
		documented(doc, calendars[i]);
		assert_non_null(tv_calendar_named(calendars[i]));
	}
	struct tv_gates_rules r = tv_gates_defaults();
	const struct {
		const char *name;
		double value;
	} rules[] = {
		{ "toxic_return", r.toxic_return },
		{ "ohlc_tolerance", r.ohlc_tolerance },
		{ "padding_run", (double)r.padding_run },
		{ "padding_share", r.padding_share },
		{ "gap_sessions", (double)r.gap_sessions },
		{ "restatement_tolerance", r.restatement_tolerance },
		{ "restatement_volume", r.restatement_volume },
		{ "told", (double)r.told },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(rules); i++)
		assert_true(strtod(documented(doc, rules[i].name), NULL) == rules[i].value);
	documented(doc, "toxic_fall");
	assert_int_equal(strncmp(documented(doc, "max_open_gaps"), "none", 4), 0);
	assert_true(r.max_open_gaps == SIZE_MAX);
	assert_true(r.toxic_fall == 1 - 1 / (1 + r.toxic_return));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_defect),	 cmocka_unit_test(empty_and_stale),
		cmocka_unit_test(at_the_fetch),	 cmocka_unit_test(cut_wick),
		cmocka_unit_test(idle_runs),	 cmocka_unit_test(told),
		cmocka_unit_test(documentation), cmocka_unit_test(settings),
		cmocka_unit_test(bad_settings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
