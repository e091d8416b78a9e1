/*
 * The answers of the exchanges' public APIs, as their own documentation describes them: Binance "Kline
 * data", Coinbase Exchange "Get product candles", Kraken "Get OHLC data"; and Yahoo's chart document,
 * which has no description but is stable.
 */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "ingest/source-arrays.h"
#include "ingest/source-priv.h"
#include "store/base/cleanup.h"

#define PLACES_MAX 8

/* Rows that are arrays: the place of each column. */
struct places {
	unsigned at[TV_COLUMNS];
	enum tv_time_form time;
	bool newest_first;
};

static const struct places binance = { { 0, 1, 2, 3, 4, 5 }, TV_TIME_MILLISECONDS, false };
static const struct places coinbase = { { 0, 3, 2, 1, 4, 5 }, TV_TIME_SECONDS, true };
static const struct places kraken = { { 0, 1, 2, 3, 4, 6 }, TV_TIME_SECONDS, false };

static int read_row(const cJSON *array, const struct places *p, struct tv_bar *row,
		    struct tv_err *err)
{
	const cJSON *cells[PLACES_MAX] = { NULL };
	double *values[TV_COLUMNS] = { NULL,	  &row->open,  &row->high,
				       &row->low, &row->close, &row->volume };
	unsigned n = 0;
	const cJSON *cell;
	if (!cJSON_IsArray(array))
		return tv_err_set(err, -EPROTO, "not an array");
	cJSON_ArrayForEach(cell, array) {
		if (n < PLACES_MAX)
			cells[n++] = cell;
	}
	for (int c = 0; c < TV_COLUMNS; c++) {
		const cJSON *value = cells[p->at[c]];
		int r = c == TV_TIMESTAMP
				? tv_source_value_time(value, p->time, &row->timestamp, err)
				: tv_source_value_number(value, values[c], err);
		if (r < 0)
			return tv_err_wrap(err, r, "%s", tv_column_name(c));
	}
	return 0;
}

static int read_rows(const cJSON *rows, const struct places *p, struct tv_bars *out,
		     struct tv_err *err)
{
	const cJSON *array = rows->child;
	size_t number = 0;
	/* a list's first element has the last one as its predecessor */
	if (array && p->newest_first)
		array = array->prev;
	for (; array; number++) {
		struct tv_bar row;
		int r = read_row(array, p, &row, err);
		if (r < 0)
			return tv_err_wrap(err, r, "row %zu", number);
		r = tv_bars_add(out, &row, err);
		if (r < 0)
			return r;
		if (!p->newest_first)
			array = array->next;
		else
			array = array == rows->child ? NULL : array->prev;
	}
	return 0;
}

static const char *text_of(const cJSON *object, const char *key)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
	return text ? text : "";
}

/* An array of rows, or an object that says what is wrong. */
static int plain_rows(const char *body, size_t n, const char *complaint, const struct places *p,
		      struct tv_bars *out, struct tv_err *err)
{
	tv_autojson cJSON *doc = NULL;
	int r = tv_source_document(body, n, &doc, err);
	if (r < 0)
		return r;
	if (cJSON_IsArray(doc))
		return read_rows(doc, p, out, err);
	const char *says = text_of(doc, complaint);
	return *says ? tv_source_complaint(says, err)
		     : tv_err_set(err, -EPROTO, "not an array of rows");
}

int tv_parse_binance(const struct tv_source *s, const char *symbol, const char *body, size_t n,
		     struct tv_bars *out, struct tv_err *err)
{
	(void)s;
	(void)symbol;
	return plain_rows(body, n, "msg", &binance, out, err);
}

int tv_parse_coinbase(const struct tv_source *s, const char *symbol, const char *body, size_t n,
		      struct tv_bars *out, struct tv_err *err)
{
	(void)s;
	(void)symbol;
	return plain_rows(body, n, "message", &coinbase, out, err);
}

/* XBTUSD is answered as XXBTZUSD: older assets have a class letter, X or Z, before their name. */
static bool kraken_pair_is(const char *key, const char *symbol)
{
	size_t n = strlen(symbol);
	if (strcasecmp(key, symbol) == 0)
		return true;
	return n == 6 && strlen(key) == 8 && strchr("XZ", key[0]) && strchr("XZ", key[4]) &&
	       strncasecmp(key + 1, symbol, 3) == 0 && strncasecmp(key + 5, symbol + 3, 3) == 0;
}

int tv_parse_kraken(const struct tv_source *s, const char *symbol, const char *body, size_t n,
		    struct tv_bars *out, struct tv_err *err)
{
	(void)s;
	tv_autojson cJSON *doc = NULL;
	const cJSON *rows;
	int r = tv_source_document(body, n, &doc, err);
	if (r < 0)
		return r;
	const cJSON *errors = cJSON_GetObjectItemCaseSensitive(doc, "error");
	if (cJSON_IsArray(errors) && cJSON_IsString(errors->child))
		return tv_source_complaint(errors->child->valuestring, err);
	const cJSON *result = cJSON_GetObjectItemCaseSensitive(doc, "result");
	const char *other = NULL;
	cJSON_ArrayForEach(rows, result) {
		if (!rows->string || strcmp(rows->string, "last") == 0)
			continue;
		if (kraken_pair_is(rows->string, symbol) && cJSON_IsArray(rows))
			return read_rows(rows, &kraken, out, err);
		other = rows->string;
	}
	if (other)
		return tv_err_set(err, -EPROTO, "the answer is for %.40s, not for %s", other,
				  symbol);
	return tv_err_set(err, -EPROTO, "no rows in the answer");
}

/* Yahoo stamps a bar with its session's start. The day is the exchange's own; the offset it tells is
 * today's, so an hour of summer time may be missing. No daily session begins in a day's last hour. */
static int64_t yahoo_day(int64_t t, int64_t offset)
{
	int64_t local = t + offset + 3600, rest = local % TV_DAY_SECONDS;
	return local - (rest < 0 ? rest + TV_DAY_SECONDS : rest);
}

/* One bar, and the cells moved on to the next; *empty: a day without trade, which has nulls. */
static int yahoo_row(const cJSON *cells[TV_COLUMNS], struct tv_bar *row, bool *empty,
		     struct tv_err *err)
{
	double *values[TV_COLUMNS] = { NULL,	  &row->open,  &row->high,
				       &row->low, &row->close, &row->volume };
	int r = tv_source_value_time(cells[TV_TIMESTAMP], TV_TIME_SECONDS, &row->timestamp, err);
	*empty = true;
	for (int c = TV_OPEN; c < TV_VOLUME; c++)
		*empty = *empty && cJSON_IsNull(cells[c]);
	for (int c = TV_OPEN; c < TV_COLUMNS && r == 0 && !*empty; c++) {
		r = tv_source_value_number(cells[c], values[c], err);
		if (r < 0)
			r = tv_err_wrap(err, r, "%s", tv_column_name(c));
	}
	for (int c = 0; c < TV_COLUMNS; c++)
		cells[c] = cells[c]->next;
	return r;
}

static int yahoo_rows(const cJSON *result, int64_t offset, struct tv_bars *out, struct tv_err *err)
{
	const cJSON *indicators = cJSON_GetObjectItemCaseSensitive(result, "indicators");
	const cJSON *quotes = cJSON_GetObjectItemCaseSensitive(indicators, "quote");
	const cJSON *quote = cJSON_IsArray(quotes) ? quotes->child : NULL;
	const cJSON *times = cJSON_GetObjectItemCaseSensitive(result, "timestamp");
	const cJSON *cells[TV_COLUMNS] = { NULL };
	if (!times)
		return 0; /* no days in the range */
	for (int c = 0; c < TV_COLUMNS; c++) {
		const cJSON *column =
			c == TV_TIMESTAMP
				? times
				: cJSON_GetObjectItemCaseSensitive(quote, tv_column_name(c));
		if (!cJSON_IsArray(column) ||
		    cJSON_GetArraySize(column) != cJSON_GetArraySize(times))
			return tv_err_set(err, -EPROTO,
					  "'%s' is not an array as long as the timestamps",
					  tv_column_name(c));
		cells[c] = column->child;
	}
	for (size_t number = 0; cells[TV_TIMESTAMP]; number++) {
		struct tv_bar row = { 0 };
		bool empty;
		int r = yahoo_row(cells, &row, &empty, err);
		if (r < 0)
			return tv_err_wrap(err, r, "row %zu", number);
		row.timestamp = yahoo_day(row.timestamp, offset);
		r = empty ? 0 : tv_bars_add(out, &row, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The columns' arrays, all of the same length. False: it takes the long way. */
static bool yahoo_arrays(const struct tv_number_arrays *arrays, const cJSON *result,
			 const struct tv_number_array *columns[TV_COLUMNS])
{
	const cJSON *indicators = cJSON_GetObjectItemCaseSensitive(result, "indicators");
	const cJSON *quotes = cJSON_GetObjectItemCaseSensitive(indicators, "quote");
	const cJSON *quote = cJSON_IsArray(quotes) ? quotes->child : NULL;
	for (int c = 0; c < TV_COLUMNS; c++) {
		columns[c] = tv_number_array_of(
			arrays, cJSON_GetObjectItemCaseSensitive(c == TV_TIMESTAMP ? result : quote,
								 tv_column_name(c)));
		if (!columns[c] || columns[c]->n != columns[0]->n)
			return false;
	}
	return true;
}

/* Row i of the arrays: 1, or 0 when it is a day without trade, -1 when it takes the long way. */
static int yahoo_array_row(const struct tv_number_arrays *arrays,
			   const struct tv_number_array *columns[TV_COLUMNS], size_t i,
			   int64_t offset, struct tv_bar *row)
{
	double v[TV_COLUMNS];
	unsigned known = 0;
	for (int c = 0; c < TV_COLUMNS; c++) {
		v[c] = arrays->numbers[columns[c]->first + i];
		known += c != TV_TIMESTAMP && c != TV_VOLUME && !isnan(v[c]);
	}
	double t = v[TV_TIMESTAMP];
	if (!(fabs(t) < 1e11) || t != floor(t))
		return -1;
	if (!known)
		return 0;
	if (known < TV_VOLUME - TV_OPEN || isnan(v[TV_VOLUME]))
		return -1;
	*row = (struct tv_bar){ yahoo_day((int64_t)t, offset),
				v[TV_OPEN],
				v[TV_HIGH],
				v[TV_LOW],
				v[TV_CLOSE],
				v[TV_VOLUME] };
	return 1;
}

/* The short way, for answers in which nothing is unusual: 1, or 0 for the long one. */
static int yahoo_short(const char *symbol, const char *body, size_t n, struct tv_bars *out,
		       struct tv_err *err)
{
	tv_autonumberarrays struct tv_number_arrays arrays = { .arrays = NULL };
	tv_autojson cJSON *doc = tv_number_arrays_take(body, n, &arrays);
	const struct tv_number_array *columns[TV_COLUMNS];
	const cJSON *chart = cJSON_GetObjectItemCaseSensitive(doc, "chart");
	const cJSON *results = cJSON_GetObjectItemCaseSensitive(chart, "result");
	const cJSON *result = cJSON_IsArray(results) ? results->child : NULL;
	const cJSON *meta = cJSON_GetObjectItemCaseSensitive(result, "meta");
	const cJSON *zone = cJSON_GetObjectItemCaseSensitive(meta, "gmtoffset");
	if (!result || cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(chart, "error")) ||
	    strcasecmp(text_of(meta, "symbol"), symbol) != 0 || !cJSON_IsNumber(zone) ||
	    !(fabs(zone->valuedouble) < (double)TV_DAY_SECONDS) ||
	    !yahoo_arrays(&arrays, result, columns))
		return 0;
	int r = tv_bars_reserve(out, columns[0]->n, err);
	for (size_t i = 0; i < columns[0]->n && r == 0; i++) {
		struct tv_bar row;
		int is = yahoo_array_row(&arrays, columns, i, (int64_t)zone->valuedouble, &row);
		if (is < 0) {
			out->n = 0;
			return 0;
		}
		r = is ? tv_bars_add(out, &row, err) : 0;
	}
	return r < 0 ? r : 1;
}

int tv_parse_yahoo(const struct tv_source *s, const char *symbol, const char *body, size_t n,
		   struct tv_bars *out, struct tv_err *err)
{
	(void)s;
	tv_autojson cJSON *doc = NULL;
	int r = yahoo_short(symbol, body, n, out, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = tv_source_document(body, n, &doc, err);
	if (r < 0)
		return r;
	const cJSON *chart = cJSON_GetObjectItemCaseSensitive(doc, "chart");
	const cJSON *error = cJSON_GetObjectItemCaseSensitive(chart, "error");
	if (cJSON_IsObject(error))
		return tv_source_complaint(text_of(error, "description"), err);
	const cJSON *results = cJSON_GetObjectItemCaseSensitive(chart, "result");
	const cJSON *result = cJSON_IsArray(results) ? results->child : NULL;
	const cJSON *meta = cJSON_GetObjectItemCaseSensitive(result, "meta");
	const char *answered = text_of(meta, "symbol");
	if (!result || !*answered)
		return tv_err_set(err, -EPROTO, "not a chart document");
	if (strcasecmp(answered, symbol) != 0)
		return tv_err_set(err, -EPROTO, "the answer is for %.40s, not for %s", answered,
				  symbol);
	const cJSON *zone = cJSON_GetObjectItemCaseSensitive(meta, "gmtoffset");
	double offset = cJSON_IsNumber(zone) ? zone->valuedouble : 0;
	if (!(offset > -(double)TV_DAY_SECONDS && offset < (double)TV_DAY_SECONDS))
		return tv_err_set(err, -EPROTO, "gmtoffset %g is more than a day", offset);
	return yahoo_rows(result, (int64_t)offset, out, err);
}
