/*
 * Any rows before the gates. The input's first byte chooses calendar and rules, then come rows of 8 bytes: the
 * days since the row before, and values; a few bit patterns stand for what is hard to hit by chance.
 * Aborts when a finding is about rows that do not exist, or what is kept is not in order.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/verdict.h"
#include "store/base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROW 8

static const char *const calendars[] = { "24x7",
					 "sunday-friday",
					 "monday-friday",
					 "monday-friday-and-specials",
					 "sunday-thursday",
					 "moved-week" };

static double value(uint8_t byte)
{
	static const double odd[] = { NAN, INFINITY, -INFINITY, -0.0,	0,
				      -1,  5e-324,   1.7e308,	1e-308, 1e300 };
	return byte < TV_ARRAY_LEN(odd) ? odd[byte] : byte / 16.0;
}

static int64_t after(int64_t before, uint8_t days, uint8_t odd)
{
	static const int64_t far[] = { INT64_MIN, INT64_MAX, -1, INT64_MAX - 86400 };
	if (odd < TV_ARRAY_LEN(far))
		return far[odd];
	return (int64_t)((uint64_t)before + (days % 16 ? days % 16 : 1) * (uint64_t)TV_DAY_SECONDS -
			 (days / 16 == 15 ? 2 * (uint64_t)TV_DAY_SECONDS : 0));
}

static void read_rows(const uint8_t *data, size_t size, struct tv_bars *out)
{
	int64_t t = 0;
	for (; size >= ROW; data += ROW, size -= ROW) {
		struct tv_bar bar = { after(t, data[0], data[1]),
				      value(data[2]),
				      value(data[3]),
				      value(data[4]),
				      value(data[5]),
				      value(data[6]) };
		t = bar.timestamp;
		if (tv_bars_add(out, &bar, NULL) < 0)
			abort();
	}
}

static void check(const struct tv_findings *f, const struct tv_judged *j, size_t n)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct tv_finding *told = &f->told[i];
		bool is_missing = told->gate == TV_GATE_GAP || told->gate == TV_GATE_STALE;
		if (told->gate == TV_GATE_EMPTY ? n != 0 : told->row >= n)
			abort();
		if (!is_missing && told->gate != TV_GATE_PADDING && told->row + told->rows > n)
			abort();
		if (!*told->text)
			abort();
	}
	size_t cut = 0;
	for (size_t i = 0; i < n && j->cut; i++)
		cut += j->cut[i];
	if (cut != j->n_cut || j->n != n)
		abort();
}

/* What passed the gates once passes them again, without a change. */
static void check_verdict(const struct tv_verdict_ask *ask)
{
	tv_autoverdict struct tv_verdict first = TV_VERDICT_INIT, second = TV_VERDICT_INIT;
	if (tv_verdict_make(ask, &first, NULL) < 0)
		return;
	if (!(first.score >= 0 && first.score <= 1))
		abort();
	if (first.refused)
		return;
	struct tv_verdict_ask again = *ask;
	again.published = again.fetched = &first.bars;
	if (tv_verdict_make(&again, &second, NULL) < 0 || second.refused || second.changed ||
	    second.restatement.n)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	tv_autobars struct tv_bars rows = TV_BARS_INIT, published = TV_BARS_INIT;
	tv_autofindings struct tv_findings f = TV_FINDINGS_INIT;
	tv_autojudged struct tv_judged j = TV_JUDGED_INIT;
	struct tv_gates_rules rules = tv_gates_defaults();
	if (size < 1)
		return 0;
	rules.calendar = tv_calendar_named(calendars[data[0] % TV_ARRAY_LEN(calendars)]);
	rules.padding_share = 1;
	int64_t fetched = data[0] & 0x80 ? TV_GATES_NO_TIME : INT64_C(1) << 40;
	size_t half = (size - 1) / ROW / 2 * ROW;
	read_rows(data + 1, size - 1, &rows);
	read_rows(data + 1, half, &published);
	if (tv_gates_judge(&rows, &rules, fetched, &f, &j, NULL) < 0)
		abort();
	check(&f, &j, rows.n);
	tv_autojson cJSON *json = tv_findings_json(&f);
	if (!json)
		abort();
	struct tv_verdict_ask ask = { &rules, &published, &rows, TV_RESTATE_ALL, fetched, true };
	check_verdict(&ask);
	ask.from = half ? published.timestamp[published.n / 2] : 0;
	check_verdict(&ask);
	return 0;
}
