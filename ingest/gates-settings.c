#include <stddef.h>
#include <string.h>

#include "ingest/gates.h"
#include "store/base/cleanup.h"

enum value { PART, RATIO, COUNT };

static const struct {
	enum value value;
	double least, most;
	const char *what;
} values[] = {
	[PART] = { PART, 0, 1, "a number from 0 to 1" },
	[RATIO] = { RATIO, 0, 1e9, "a number from 0 on" },
	[COUNT] = { COUNT, 0, 1e6, "a whole number from 0 on" },
};

#define AT(member) offsetof(struct tv_gates_rules, member)

static const struct {
	const char *name;
	enum value value;
	size_t at;
} members[] = {
	{ "toxic_return", RATIO, AT(toxic_return) },
	{ "toxic_fall", PART, AT(toxic_fall) },
	{ "ohlc_tolerance", PART, AT(ohlc_tolerance) },
	{ "padding_share", PART, AT(padding_share) },
	{ "padding_run", COUNT, AT(padding_run) },
	{ "gap_sessions", COUNT, AT(gap_sessions) },
	{ "restatement_tolerance", RATIO, AT(restatement_tolerance) },
	{ "restatement_volume", RATIO, AT(restatement_volume) },
	{ "told", COUNT, AT(told) },
	{ "max_open_gaps", COUNT, AT(max_open_gaps) },
};

static int take_number(struct tv_gates_rules *rules, size_t m, const cJSON *item,
		       struct tv_err *err)
{
	enum value kind = members[m].value;
	double v = item->valuedouble;
	char *at = (char *)rules + members[m].at;
	bool fits = cJSON_IsNumber(item) && v >= values[kind].least && v <= values[kind].most;
	if (fits && kind == COUNT)
		fits = v == (double)(size_t)v;
	if (!fits)
		return tv_err_set(err, -EINVAL, "'%s' is not %s", item->string, values[kind].what);
	if (kind == COUNT)
		*(size_t *)(void *)at = (size_t)v;
	else
		*(double *)(void *)at = v;
	return 0;
}

static int take_calendar(struct tv_gates_rules *rules, const cJSON *item, struct tv_err *err)
{
	const char *name = cJSON_GetStringValue(item);
	const struct tv_calendar *calendar = name ? tv_calendar_named(name) : NULL;
	if (!calendar)
		return tv_err_set(err, -EINVAL, "'calendar' is not the name of a calendar");
	rules->calendar = calendar;
	return 0;
}

static int take(struct tv_gates_rules *rules, const cJSON *item, struct tv_err *err)
{
	if (strcmp(item->string, "calendar") == 0)
		return take_calendar(rules, item, err);
	for (size_t m = 0; m < TV_ARRAY_LEN(members); m++)
		if (strcmp(item->string, members[m].name) == 0)
			return take_number(rules, m, item, err);
	return tv_err_set(err, -EINVAL, "'%s' is not a rule", item->string);
}

static bool is_place(const cJSON *item)
{
	return strcmp(item->string, "exchanges") == 0 || strcmp(item->string, "symbols") == 0;
}

/* The rules that one object has; those in its "exchanges" and "symbols" are not looked at. */
static int take_all(struct tv_gates_rules *rules, const cJSON *object, bool places,
		    struct tv_err *err)
{
	const cJSON *item;
	if (!cJSON_IsObject(object))
		return tv_err_set(err, -EINVAL, "not an object of rules");
	if (cJSON_GetObjectItemCaseSensitive(object, "toxic_return"))
		rules->toxic_fall = -1;
	cJSON_ArrayForEach(item, object) {
		int r = 0;
		if (places && strcmp(item->string, "calendar") == 0)
			r = tv_err_set(err, -EINVAL,
				       "'calendar' belongs into 'exchanges' or 'symbols'");
		else if (!places && strcmp(item->string, "max_open_gaps") == 0)
			r = tv_err_set(err, -EINVAL,
				       "'max_open_gaps' belongs to the top of 'gates'");
		else if (!places || !is_place(item))
			r = take(rules, item, err);
		if (r < 0)
			return r;
	}
	if (rules->toxic_fall < 0)
		rules->toxic_fall = 1 - 1 / (1 + rules->toxic_return);
	return 0;
}

/* Checks every entry of "exchanges" or "symbols"; takes the one that is wanted. */
static int take_place(struct tv_gates_rules *rules, const cJSON *gates, const char *place,
		      const char *wanted, size_t n_wanted, struct tv_err *err)
{
	const cJSON *entries = cJSON_GetObjectItemCaseSensitive(gates, place), *entry;
	if (entries && !cJSON_IsObject(entries))
		return tv_err_set(err, -EINVAL, "'%s' is not an object", place);
	cJSON_ArrayForEach(entry, entries) {
		struct tv_gates_rules checked = *rules;
		int r = take_all(&checked, entry, false, err);
		if (r < 0)
			return tv_err_wrap(err, r, "%s: %s", place, entry->string);
		if (strlen(entry->string) == n_wanted &&
		    strncmp(entry->string, wanted, n_wanted) == 0)
			*rules = checked;
	}
	return 0;
}

int tv_gates_rules_read(const cJSON *gates, const char *symbol, enum tv_calendar_crypto crypto,
			struct tv_gates_rules *out, struct tv_err *err)
{
	struct tv_gates_rules rules = tv_gates_defaults();
	int r = 0;
	rules.calendar = tv_calendar_of(symbol, crypto);
	if (gates)
		r = take_all(&rules, gates, true, err);
	if (r == 0)
		r = take_place(&rules, gates, "exchanges", symbol, strcspn(symbol, ":"), err);
	if (r == 0)
		r = take_place(&rules, gates, "symbols", symbol, strlen(symbol), err);
	if (r < 0)
		return tv_err_wrap(err, r, "gates");
	*out = rules;
	return 0;
}
