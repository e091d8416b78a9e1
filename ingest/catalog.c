#include "ingest/catalog.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"

#define SECOND INT64_C(1000000000)
#define EXACT_DOUBLE (INT64_C(1) << 53) /* integers up to here have a double of their own */

/* --- reading members --------------------------------------------------------------------------- */

/* A member's text; NULL when it is none. */
static char *text_of(struct tv_json_span entry, const char *name)
{
	struct tv_json_span value;
	if (!tv_json_span_member(entry, name, &value) || tv_json_span_kind(value) != TV_JSON_TEXT)
		return NULL;
	return tv_json_span_text(value);
}

static int64_t time_of(struct tv_json_span entry, const char *name)
{
	tv_autofree char *text = text_of(entry, name);
	int64_t ns;
	if (!text || !tv_json_span_time(text, &ns))
		return TV_CATALOG_UNKNOWN;
	return ns / SECOND - (ns % SECOND < 0);
}

static double number_of(struct tv_json_span entry, const char *name)
{
	struct tv_json_span value;
	double number = NAN;
	if (!tv_json_span_member(entry, name, &value) ||
	    tv_json_span_kind(value) != TV_JSON_NUMBER || !tv_json_span_number(value, &number))
		return NAN;
	return isfinite(number) ? number : NAN;
}

static void copy_text(struct tv_json_span entry, const char *name, char *out, size_t room)
{
	tv_autofree char *text = text_of(entry, name);
	if (text && strlen(text) < room)
		memcpy(out, text, strlen(text) + 1);
}

/* A day, also where an older script wrote a time. */
static void copy_day(struct tv_json_span entry, const char *name, char out[11])
{
	tv_autofree char *text = text_of(entry, name);
	int64_t ns;
	if (!text || !tv_json_span_time(text, &ns))
		return;
	memcpy(out, text, 10);
	out[10] = '\0';
}

/* --- catalog.json ------------------------------------------------------------------------------ */

bool tv_catalog_get(const struct tv_symbol_map *catalog, const char *symbol,
		    struct tv_catalog_entry *out)
{
	ptrdiff_t at = tv_symbol_map_find(catalog, symbol);
	if (at < 0)
		return false;
	struct tv_json_span entry = tv_symbol_map_entry(catalog, (size_t)at);
	double rows = number_of(entry, "rows");
	bool whole = rows >= 0 && rows <= (double)EXACT_DOUBLE && rows == floor(rows);
	memset(out, 0, sizeof(*out));
	out->freshness = time_of(entry, "freshness");
	out->data_quality_score = number_of(entry, "data_quality_score");
	out->rows = whole ? (int64_t)rows : TV_CATALOG_UNKNOWN;
	copy_day(entry, "start_date", out->start_date);
	copy_day(entry, "end_date", out->end_date);
	copy_text(entry, "source", out->source, sizeof(out->source));
	copy_text(entry, "sha256", out->sha256, sizeof(out->sha256));
	return true;
}

static struct tv_symbol_value text_value(const char *name, const char *text)
{
	return (struct tv_symbol_value){ .name = name,
					 .kind = text && *text ? TV_VALUE_TEXT : TV_VALUE_NONE,
					 .text = text };
}

static bool is_day(const char *text)
{
	int64_t ns;
	return strlen(text) == 10 && tv_time_parse(text, &ns, NULL) == 0;
}

int tv_catalog_set(struct tv_symbol_map *catalog, const char *symbol,
		   const struct tv_catalog_entry *entry, struct tv_err *err)
{
	char fresh[TV_TIME_TEXT];
	double score = entry->data_quality_score;
	bool known = entry->freshness > INT64_MIN / SECOND && entry->freshness < INT64_MAX / SECOND;
	if (!known || !is_day(entry->start_date) || !is_day(entry->end_date) ||
	    !(score >= 0 && score <= 1))
		return tv_err_set(err, -EINVAL,
				  "'%s' needs a freshness, two days and a score from 0 to 1",
				  symbol);
	tv_time_format(entry->freshness * SECOND, fresh);
	const struct tv_symbol_value values[] = {
		{ "freshness", TV_VALUE_TIME, fresh, 0 },
		text_value("start_date", entry->start_date),
		text_value("end_date", entry->end_date),
		{ "data_quality_score", TV_VALUE_NUMBER, NULL, score },
		{ "rows", entry->rows >= 0 ? TV_VALUE_NUMBER : TV_VALUE_NONE, NULL,
		  (double)entry->rows },
		text_value("source", entry->source),
		text_value("sha256", entry->sha256),
	};
	return tv_symbol_map_set(catalog, symbol, values, TV_ARRAY_LEN(values), err);
}

int tv_catalog_day(int64_t seconds, char out[11], struct tv_err *err)
{
	time_t t = (time_t)seconds;
	struct tm tm;
	char text[32];
	if (!gmtime_r(&t, &tm) || tm.tm_year < -1900 || tm.tm_year > 8099)
		return tv_err_set(err, -ERANGE, "%lld is not a time of the years 0 to 9999",
				  (long long)seconds);
	snprintf(text, sizeof(text), "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1,
		 tm.tm_mday);
	memcpy(out, text, 11);
	return 0;
}

/* --- foundation_health.json -------------------------------------------------------------------- */

static const char *const statuses[] = {
	[TV_HEALTH_OK] = "ok",
	[TV_HEALTH_WARN] = "warn",
	[TV_HEALTH_STALE] = "stale",
	[TV_HEALTH_GAP] = "gap",
	[TV_HEALTH_QUARANTINED] = "quarantined",
	[TV_HEALTH_FAILED] = "failed",
	[TV_HEALTH_OTHER] = "other",
};

const char *tv_health_name(enum tv_health status)
{
	return statuses[status];
}

void tv_health_entry_free(struct tv_health_entry *entry)
{
	if (!entry)
		return;
	free(entry->reason);
	entry->reason = NULL;
}

int tv_health_get(const struct tv_symbol_map *health, const char *symbol,
		  struct tv_health_entry *out, struct tv_err *err)
{
	ptrdiff_t at = tv_symbol_map_find(health, symbol);
	struct tv_json_span reason;
	if (at < 0)
		return 0;
	struct tv_json_span entry = tv_symbol_map_entry(health, (size_t)at);
	struct tv_health_entry got = { TV_HEALTH_OK, time_of(entry, "last_audit"),
				       text_of(entry, "reason") };
	if (!got.reason && tv_json_span_member(entry, "reason", &reason) &&
	    tv_json_span_kind(reason) == TV_JSON_TEXT)
		return tv_err_nomem(err);
	tv_autofree char *status = text_of(entry, "status");
	while (got.status < TV_HEALTH_OTHER &&
	       (!status || strcasecmp(status, statuses[got.status]) != 0))
		got.status++;
	*out = got;
	return 1;
}

int tv_health_set(struct tv_symbol_map *health, const char *symbol,
		  const struct tv_health_entry *entry, struct tv_err *err)
{
	char audited[TV_TIME_TEXT];
	bool known =
		entry->last_audit > INT64_MIN / SECOND && entry->last_audit < INT64_MAX / SECOND;
	bool leave = entry->status == TV_HEALTH_OTHER;
	if (!known || (leave && tv_symbol_map_find(health, symbol) < 0))
		return tv_err_set(err, -EINVAL, "'%s' needs a status and the time of the audit",
				  symbol);
	tv_time_format(entry->last_audit * SECOND, audited);
	const struct tv_symbol_value values[] = {
		text_value("status", statuses[entry->status]),
		{ "last_audit", TV_VALUE_TIME, audited, 0 },
		text_value("reason", entry->reason),
	};
	return tv_symbol_map_set(health, symbol, values + leave, TV_ARRAY_LEN(values) - leave, err);
}
