/* Numbers, times and messages as sources write them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ingest/source-priv.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"

#define SECONDS_MAX 1e11 /* the year 5138 */
#define SHOWN 80	 /* bytes of a foreign text in a message */

const char *tv_column_name(enum tv_column column)
{
	static const char *const names[TV_COLUMNS] = { "timestamp", "open",  "high",
						       "low",	    "close", "volume" };
	return names[column];
}

int tv_source_number(const char *text, double *out, struct tv_err *err)
{
	char *end = NULL;
	double v = 0;
	/* strtod would also take hexadecimal, infinity and nan */
	bool plain = *text && !text[strspn(text, "0123456789+-.eE")];
	if (plain)
		v = strtod(text, &end);
	if (!plain || end == text || *end || !isfinite(v))
		return tv_err_set(err, -EPROTO, "'%.*s' is not a number", SHOWN, text);
	*out = v;
	return 0;
}

int tv_source_whole_seconds(double v, enum tv_time_form form, int64_t *seconds, struct tv_err *err)
{
	bool ms = form == TV_TIME_MILLISECONDS || (form == TV_TIME_AUTO && fabs(v) >= SECONDS_MAX);
	double s = ms ? v / 1000 : v;
	if (!(fabs(s) < SECONDS_MAX) || s != floor(s))
		return tv_err_set(err, -EPROTO, "%.17g is not a time in whole seconds", v);
	*seconds = (int64_t)s;
	return 0;
}

static int date_text(const char *text, int64_t *seconds, struct tv_err *err)
{
	char copy[TV_TIME_TEXT];
	int64_t ns;
	size_t n = strlen(text);
	if (n + 2 > sizeof(copy))
		return tv_err_set(err, -EPROTO, "'%.*s' is not a time", SHOWN, text);
	if (n == 8 && strspn(text, "0123456789") == 8) {
		snprintf(copy, sizeof(copy), "%.4s-%.2s-%.2s", text, text + 4, text + 6);
	} else {
		/* a time without a zone is UTC */
		bool zone = n <= 10 || strpbrk(text + 10, "Zz+-");
		snprintf(copy, sizeof(copy), "%s%s", text, zone ? "" : "Z");
	}
	if (tv_time_parse(copy, &ns, NULL) < 0)
		return tv_err_set(err, -EPROTO, "'%.*s' is not a time", SHOWN, text);
	*seconds = (ns - (ns % 1000000000 + 1000000000) % 1000000000) / 1000000000;
	return 0;
}

int tv_source_time(const char *text, enum tv_time_form form, int64_t *seconds, struct tv_err *err)
{
	size_t n = strlen(text), digits = strspn(text, "0123456789");
	bool number = digits == n || (text[digits] == '.' && digits > 8) || *text == '-';
	if (form == TV_TIME_TEXT_DATE || (form == TV_TIME_AUTO && (!number || n == 8)))
		return date_text(text, seconds, err);
	double v;
	int r = tv_source_number(text, &v, err);
	return r < 0 ? r : tv_source_whole_seconds(v, form, seconds, err);
}

int tv_source_value_time(const cJSON *value, enum tv_time_form form, int64_t *seconds,
			 struct tv_err *err)
{
	if (cJSON_IsString(value))
		return tv_source_time(value->valuestring, form, seconds, err);
	if (cJSON_IsNumber(value) && form != TV_TIME_TEXT_DATE)
		return tv_source_whole_seconds(value->valuedouble, form, seconds, err);
	return tv_err_set(err, -EPROTO, "not a time");
}

int tv_source_value_number(const cJSON *value, double *out, struct tv_err *err)
{
	if (cJSON_IsString(value))
		return tv_source_number(value->valuestring, out, err);
	if (!cJSON_IsNumber(value) || !isfinite(value->valuedouble))
		return tv_err_set(err, -EPROTO, "not a number");
	*out = value->valuedouble;
	return 0;
}

int tv_source_document(const char *body, size_t n, cJSON **out, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	size_t i = 0;
	while (i < n && strchr(" \t\r\n", body[i]) && body[i])
		i++;
	if (i == n)
		return tv_err_set(err, -EPROTO, "an empty answer");
	if (body[i] == '<')
		return tv_err_set(err, -EPROTO, "HTML instead of JSON");
	int r = tv_json_parse(body, n, out, &why);
	return r < 0 ? tv_err_set(err, r == -ENOMEM ? r : -EPROTO, "%s", why.text) : 0;
}

int tv_source_complaint(const char *text, struct tv_err *err)
{
	static const struct {
		const char *part;
		int code;
	} known[] = {
		{ "invalid symbol", -TV_E_MISSING },
		{ "unknown asset", -TV_E_MISSING },
		{ "notfound", -TV_E_MISSING },
		{ "not found", -TV_E_MISSING },
		{ "no data", -TV_E_MISSING },
		{ "delisted", -TV_E_MISSING },
		{ "brak danych", -TV_E_MISSING },
		{ "rate limit", -EBUSY },
		{ "too many", -EBUSY },
		{ "exceeded", -EBUSY },
	};
	int code = -EREMOTE;
	for (size_t i = TV_ARRAY_LEN(known); i-- > 0;)
		if (strcasestr(text, known[i].part))
			code = known[i].code;
	return tv_err_set(err, code, "the source says: %.*s", 2 * SHOWN, text);
}
