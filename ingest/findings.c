#include "ingest/findings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/calendar.h"
#include "store/base/cleanup.h"

const char *tv_gate_text(enum tv_gate gate)
{
	static const char *const names[TV_GATES] = {
		[TV_GATE_EMPTY] = "empty",
		[TV_GATE_ORDER] = "order",
		[TV_GATE_DAY] = "day",
		[TV_GATE_FUTURE] = "future",
		[TV_GATE_VALUES] = "values",
		[TV_GATE_OHLC] = "ohlc",
		[TV_GATE_SESSION] = "session",
		[TV_GATE_PADDING] = "padding",
		[TV_GATE_TOXICITY] = "toxicity",
		[TV_GATE_WICK] = "wick",
		[TV_GATE_GAP] = "gap",
		[TV_GATE_STALE] = "stale",
		[TV_GATE_RESTATEMENT] = "restatement",
	};
	return names[gate];
}

const char *tv_severity_text(enum tv_severity severity)
{
	static const char *const names[TV_SEVERITIES] = { "record", "cut", "refuse" };
	return names[severity];
}

void tv_findings_free(struct tv_findings *f)
{
	if (!f)
		return;
	free(f->told);
	*f = (struct tv_findings){ .told = NULL, .told_max = f->told_max };
}

/* Room for one more; NULL when out of memory. */
static struct tv_finding *room(struct tv_findings *f)
{
	if (f->n == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 4;
		struct tv_finding *told = reallocarray(f->told, cap, sizeof(*told));
		if (!told)
			return NULL;
		f->told = told;
		f->cap = cap;
	}
	return &f->told[f->n];
}

int tv_findings_add(struct tv_findings *f, const struct tv_finding *where, struct tv_err *err,
		    const char *fmt, ...)
{
	size_t *times = &f->times[where->gate][where->severity];
	if (*times < f->told_max) {
		struct tv_finding *finding = room(f);
		char day[TV_DAY_TEXT];
		va_list args;
		if (!finding)
			return tv_err_nomem(err);
		*finding = *where;
		tv_calendar_day_text(where->timestamp, day);
		bool is_somewhere = where->gate != TV_GATE_EMPTY;
		int n = snprintf(finding->text, sizeof(finding->text), "%s%s",
				 is_somewhere ? day : "", is_somewhere ? ": " : "");
		va_start(args, fmt);
		vsnprintf(finding->text + n, sizeof(finding->text) - (size_t)n, fmt, args);
		va_end(args);
		f->n++;
	}
	++*times;
	f->rows[where->gate][where->severity] += where->rows;
	return 0;
}

enum tv_severity tv_findings_worst(const struct tv_findings *f)
{
	for (int s = TV_SEVERITIES - 1; s >= 0; s--)
		for (int g = 0; g < TV_GATES; g++)
			if (f->times[g][s])
				return (enum tv_severity)s;
	return TV_SEVERITIES;
}

size_t tv_findings_times(const struct tv_findings *f, enum tv_gate gate)
{
	size_t times = 0;
	for (int g = 0; g < TV_GATES; g++)
		for (int s = 0; s < TV_SEVERITIES && (gate == TV_GATES || (int)gate == g); s++)
			times += f->times[g][s];
	return times;
}

void tv_findings_reason(const struct tv_findings *f, char *out, size_t n)
{
	const struct tv_finding *first = NULL;
	size_t others = 0;
	for (size_t i = 0; i < f->n && !first; i++)
		if (f->told[i].severity == TV_REFUSE)
			first = &f->told[i];
	for (int g = 0; g < TV_GATES; g++)
		others += f->times[g][TV_REFUSE];
	if (!first)
		snprintf(out, n, "%s", others ? "refused" : "");
	else if (others == 1)
		snprintf(out, n, "%s: %s", tv_gate_text(first->gate), first->text);
	else
		snprintf(out, n, "%s: %s (and %zu more)", tv_gate_text(first->gate), first->text,
			 others - 1);
}

static bool add_told(cJSON *list, const struct tv_finding *finding)
{
	char day[TV_DAY_TEXT];
	cJSON *item = cJSON_CreateObject();
	if (!cJSON_AddItemToArray(list, item)) {
		cJSON_Delete(item);
		return false;
	}
	tv_calendar_day_text(finding->timestamp, day);
	return tv_json_add_u64(item, "row", finding->row) &&
	       tv_json_add_u64(item, "rows", finding->rows) &&
	       cJSON_AddStringToObject(item, "day", day) &&
	       cJSON_AddStringToObject(item, "text", finding->text);
}

static bool add_kind(cJSON *list, const struct tv_findings *f, enum tv_gate gate,
		     enum tv_severity severity)
{
	cJSON *item = cJSON_CreateObject();
	if (!cJSON_AddItemToArray(list, item)) {
		cJSON_Delete(item);
		return false;
	}
	bool good = cJSON_AddStringToObject(item, "gate", tv_gate_text(gate)) &&
		    cJSON_AddStringToObject(item, "severity", tv_severity_text(severity)) &&
		    tv_json_add_u64(item, "times", f->times[gate][severity]) &&
		    tv_json_add_u64(item, "rows", f->rows[gate][severity]);
	cJSON *told = good ? cJSON_AddArrayToObject(item, "told") : NULL;
	good = told != NULL;
	for (size_t i = 0; i < f->n && good; i++)
		if (f->told[i].gate == gate && f->told[i].severity == severity)
			good = add_told(told, &f->told[i]);
	return good;
}

cJSON *tv_findings_json(const struct tv_findings *f)
{
	tv_autojson cJSON *list = cJSON_CreateArray();
	bool good = list != NULL;
	for (int g = 0; g < TV_GATES; g++)
		for (int s = 0; s < TV_SEVERITIES && good; s++)
			if (f->times[g][s])
				good = add_kind(list, f, (enum tv_gate)g, (enum tv_severity)s);
	return good ? tv_steal_ptr(&list) : NULL;
}
