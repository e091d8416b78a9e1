#include "ingest/gaps.h"

#include <stdlib.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"

#define MEMBER "permanent_gaps"
#define SECOND INT64_C(1000000000)

void tv_gaps_free(struct tv_gaps *gaps)
{
	if (!gaps)
		return;
	free(gaps->items);
	*gaps = TV_GAPS_INIT;
}

int tv_gaps_add(struct tv_gaps *gaps, const struct tv_gap *gap, struct tv_err *err)
{
	if (!gaps->items || gaps->n == gaps->cap) {
		size_t cap = gaps->cap ? 2 * gaps->cap : 4;
		struct tv_gap *grown = reallocarray(gaps->items, cap, sizeof(*grown));
		if (!grown)
			return tv_err_nomem(err);
		gaps->items = grown;
		gaps->cap = cap;
	}
	gaps->items[gaps->n++] = *gap;
	return 0;
}

bool tv_gaps_cover(const struct tv_gaps *gaps, int64_t first, int64_t last)
{
	for (size_t i = 0; gaps && i < gaps->n; i++)
		if (gaps->items[i].first <= first && last <= gaps->items[i].last)
			return true;
	return false;
}

int tv_gaps_find(const struct tv_bars *bars, const struct tv_gates_rules *rules,
		 struct tv_gaps *out, struct tv_err *err)
{
	const int64_t *t = bars->timestamp;
	int64_t missing;
	int r = 0;
	for (size_t i = 1; i < bars->n && r == 0; i++) {
		if (!tv_gates_is_gap(rules, t[i - 1], t[i], &missing))
			continue;
		const struct tv_gap gap = { tv_calendar_day(t[i - 1]) + 1,
					    tv_calendar_day(t[i]) - 1, (size_t)missing };
		r = tv_gaps_add(out, &gap, err);
	}
	return r;
}

/* --- foundation_health.json -------------------------------------------------------------------- */

static bool day_of(struct tv_json_span gap, const char *name, int64_t *day)
{
	struct tv_json_span value;
	int64_t ns;
	if (!tv_json_span_member(gap, name, &value) || tv_json_span_kind(value) != TV_JSON_TEXT)
		return false;
	tv_autofree char *text = tv_json_span_text(value);
	if (!text || tv_time_parse(text, &ns, NULL) < 0 || ns % (SECOND * TV_DAY_SECONDS) != 0)
		return false;
	*day = tv_calendar_day(ns / SECOND);
	return true;
}

int tv_gaps_permanent(const struct tv_symbol_map *health, const char *symbol, struct tv_gaps *out,
		      struct tv_err *err)
{
	struct tv_json_span list, key, item;
	ptrdiff_t at = tv_symbol_map_find(health, symbol);
	if (at < 0 || !tv_json_span_member(tv_symbol_map_entry(health, (size_t)at), MEMBER, &list))
		return 0;
	int r = 0;
	for (struct tv_json_walk w = tv_json_span_walk(list);
	     r == 0 && tv_json_walk_next(&w, &key, &item);) {
		struct tv_gap gap = { .sessions = 0 };
		if (day_of(item, "first", &gap.first) && day_of(item, "last", &gap.last))
			r = tv_gaps_add(out, &gap, err);
	}
	return r;
}

int tv_gaps_set_permanent(struct tv_symbol_map *health, const char *symbol,
			  const struct tv_gaps *gaps, struct tv_err *err)
{
	tv_autobuf struct tv_buf list = TV_BUF_INIT;
	tv_buf_add_u8(&list, '[');
	for (size_t i = 0; i < gaps->n; i++) {
		char first[TV_DAY_TEXT], last[TV_DAY_TEXT];
		tv_calendar_day_text(gaps->items[i].first * TV_DAY_SECONDS, first);
		tv_calendar_day_text(gaps->items[i].last * TV_DAY_SECONDS, last);
		tv_buf_addf(&list, "%s{\"first\": \"%s\", \"last\": \"%s\"}", i ? ", " : "", first,
			    last);
	}
	tv_buf_add_u8(&list, ']');
	tv_autofree char *text = tv_buf_steal_str(&list);
	if (!text)
		return tv_err_nomem(err);
	const struct tv_symbol_value value = { .name = MEMBER,
					       .kind = gaps->n ? TV_VALUE_JSON : TV_VALUE_NONE,
					       .text = text };
	return tv_symbol_map_set(health, symbol, &value, 1, err);
}
