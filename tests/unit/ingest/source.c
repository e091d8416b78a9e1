#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ingest/source.h"
#include "store/base/cleanup.h"

#define D 1704067200 /* 2024-01-01 */
#define NEXT 1704153600
#define URL "\"url\": \"https://h.invalid/{symbol}\""

static struct tv_source *make(const char *settings, struct tv_secrets *secrets, struct tv_err *err)
{
	tv_autojson cJSON *doc = NULL;
	struct tv_source *s = NULL;
	assert_int_equal(tv_json_parse(settings, strlen(settings), &doc, NULL), 0);
	if (tv_source_new("S", doc, secrets, &s, err) < 0)
		return NULL;
	return s;
}

static struct tv_source *made(const char *settings)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_source *s = make(settings, NULL, &err);
	if (!s)
		fail_msg("%s", err.text);
	return s;
}

/* Each body has the one row 1.5, 2, 1, 1.75, 10 of 2024-01-01. */
static const struct {
	const char *settings, *symbol, *body;
} good[] = {
	{ "{\"kind\": \"binance\"}", "BTCUSDT",
	  "[[1704067200000,\"1.5\",\"2\",\"1.0\",\"1.75\",\"10\",1704153599999,\"0\",1,\"0\"]]" },
	{ "{\"kind\": \"coinbase\"}", "BTCUSD", "[[1704067200,1,2,1.5,1.75,10]]" },
	{ "{\"kind\": \"kraken\"}", "XBTUSD",
	  "{\"error\":[],\"result\":{\"XXBTZUSD\":[[1704067200,\"1.5\",\"2\",\"1\",\"1.75\","
	  "\"1.6\",\"10\",5]],\"last\":1704067200}}" },
	{ "{\"kind\": \"kraken\"}", "SOLUSD",
	  "{\"error\":[],\"result\":{\"last\":1,\"SOLUSD\":[[1704067200,\"1.5\",\"2\",\"1\","
	  "\"1.75\",\"1.6\",\"10\",5]]}}" },
	/* 09:30 in New York; the second day had no trade */
	{ "{\"kind\": \"yahoo\"}", "AAPL",
	  "{\"chart\":{\"result\":[{\"meta\":{\"symbol\":\"AAPL\",\"gmtoffset\":-18000},"
	  "\"timestamp\":[1704119400,1704205800],\"indicators\":{\"quote\":[{\"open\":[1.5,null],"
	  "\"high\":[2,null],\"low\":[1,null],\"close\":[1.75,null],\"volume\":[10,null]}]}}],"
	  "\"error\":null}}" },
	/* midnight in London in summer time, told in winter: 23:00 UTC of the day before */
	{ "{\"kind\": \"yahoo\"}", "EURGBP=X",
	  "{\"chart\":{\"result\":[{\"meta\":{\"symbol\":\"EURGBP=X\",\"gmtoffset\":0},"
	  "\"timestamp\":[1704063600],\"indicators\":{\"quote\":[{\"open\":[1.5],"
	  "\"high\":[2],\"low\":[1],\"close\":[1.75],\"volume\":[10]}]}}]}}" },
	{ "{\"kind\": \"stooq\"}", "AAPL",
	  "Date,Open,High,Low,Close,Volume\r\n2024-01-01,1.5,2,1,1.75,10\r\n" },
	{ "{\"kind\": \"csv\"," URL "}", "A",
	  "\xef\xbb\xbfvolume,close,low,high,open,timestamp\n10,1.75,1,2,1.5,1704067200\n\n" },
	{ "{\"kind\": \"csv\"," URL
	  ", \"delimiter\": \";\", \"columns\": {\"timestamp\": \"day\"}}",
	  "A",
	  "\"day\";x;open;high;low;close;volume;\n\"20240101\";\"a\"\"b;c\"; 1.5;2;1;1.75;10;" },
	{ "{\"kind\": \"csv\"," URL "}", "A",
	  "time,open,high,low,close,vol\n1704067200000,1.5,2e0,+1,1.75,10" },
	{ "{\"kind\": \"csv\"," URL "}", "A",
	  "datetime,open,high,low,close,volume\n2024-01-01 00:00:00,1.5,2,1,1.75,10" },
	{ "{\"kind\": \"csv\"," URL "}", "A",
	  "date,open,high,low,close,volume\n2024-01-01 01:00:00+01:00,1.5,2,1,1.75,10" },
	{ "{\"kind\": \"json\"," URL
	  ", \"rows\": \"data.0.bars\", \"columns\": {\"timestamp\": \"t\","
	  " \"open\": \"p.0\"}}",
	  "A",
	  "{\"data\":[{\"bars\":[{\"t\":\"2024-01-01T00:00:00Z\",\"p\":[1.5],\"high\":\"2\","
	  "\"low\":1,\"close\":1.75,\"volume\":10}]}]}" },
	{ "{\"kind\": \"json\"," URL ", \"layout\": \"columns\"}", "A",
	  "{\"timestamp\":[1704067200],\"open\":[1.5],\"high\":[2],\"low\":[1],\"close\":[1.75],"
	  "\"volume\":[10]}" },
};

static void rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < TV_ARRAY_LEN(good); i++) {
		tv_auto(tv_source_free_p) struct tv_source *s = made(good[i].settings);
		tv_autobars struct tv_bars r = TV_BARS_INIT;
		struct tv_err err = TV_ERR_INIT;
		const char *body = good[i].body;
		if (tv_source_parse(s, good[i].symbol, 0, body, strlen(body), &r, &err) < 0)
			fail_msg("%s: %s", body, err.text);
		if (r.n != 1 || r.timestamp[0] != D || r.open[0] != 1.5 || r.high[0] != 2 ||
		    r.low[0] != 1 || r.close[0] != 1.75 || r.volume[0] != 10)
			fail_msg("%s: %zu rows", body, r.n);
	}
}

#define BINANCE "{\"kind\": \"binance\"}"
#define COINBASE "{\"kind\": \"coinbase\"}"
#define KRAKEN "{\"kind\": \"kraken\"}"
#define YAHOO "{\"kind\": \"yahoo\"}"
#define STOOQ "{\"kind\": \"stooq\"}"
#define CSV "{\"kind\": \"csv\"," URL "}"
#define JSON "{\"kind\": \"json\"," URL "}"
#define HEAD "timestamp,open,high,low,close,volume\n"

static const struct {
	const char *settings, *body;
	long status;
	int code;
	const char *says;
} refused[] = {
	{ BINANCE, "", 0, -EPROTO, "an empty answer" },
	{ BINANCE, "  <!DOCTYPE html><html>", 0, -EPROTO, "HTML instead of JSON" },
	{ BINANCE, "[[1704067200000,\"1.5\"", 0, -EPROTO, "not valid JSON" },
	{ BINANCE, "[[1704067200000,\"1.5\"]]", 0, -EPROTO, "row 0: high: not a number" },
	{ BINANCE, "[[1704067200000,\"abc\",\"2\",\"1\",\"1\",\"1\"]]", 0, -EPROTO,
	  "row 0: open: 'abc' is not a number" },
	{ BINANCE, "[[1704067200000,\"nan\",\"2\",\"1\",\"1\",\"1\"]]", 0, -EPROTO, "open" },
	{ BINANCE, "[[1704067200000,\"0x1\",\"2\",\"1\",\"1\",\"1\"]]", 0, -EPROTO, "open" },
	{ BINANCE, "[[1704067200000,1e999,\"2\",\"1\",\"1\",\"1\"]]", 0, -EPROTO, "open" },
	{ BINANCE, "[[1704067200500,\"1\",\"2\",\"1\",\"1\",\"1\"]]", 0, -EPROTO, "whole seconds" },
	{ BINANCE, "[5]", 0, -EPROTO, "row 0: not an array" },
	{ BINANCE, "{\"rows\":[]}", 0, -EPROTO, "not an array of rows" },
	{ BINANCE, "{\"code\":-1121,\"msg\":\"Invalid symbol.\"}", 400, -TV_E_MISSING,
	  "HTTP 400: the source says: Invalid symbol." },
	{ BINANCE, "{\"code\":-1003,\"msg\":\"Too many requests\"}", 0, -EBUSY, "Too many" },
	{ BINANCE, "[]", 502, -EPROTO, "HTTP 502" },
	{ COINBASE, "{\"message\":\"NotFound\"}", 404, -TV_E_MISSING, "NotFound" },
	{ COINBASE, "{\"message\":\"granularity too small\"}", 0, -EREMOTE, "granularity" },
	{ KRAKEN, "{\"error\":[\"EQuery:Unknown asset pair\"]}", 0, -TV_E_MISSING,
	  "Unknown asset" },
	{ KRAKEN, "{\"error\":[\"EAPI:Rate limit exceeded\"]}", 0, -EBUSY, "Rate limit" },
	{ KRAKEN, "{\"error\":[],\"result\":{\"XETHZUSD\":[],\"last\":1}}", 0, -EPROTO,
	  "the answer is for XETHZUSD, not for XBTUSD" },
	{ KRAKEN, "{\"error\":[],\"result\":{}}", 0, -EPROTO, "no rows in the answer" },
	{ YAHOO,
	  "{\"chart\":{\"result\":null,\"error\":{\"code\":\"Not Found\",\"description\":"
	  "\"No data found, symbol may be delisted\"}}}",
	  404, -TV_E_MISSING, "may be delisted" },
	{ YAHOO, "{\"chart\":{\"result\":[{\"meta\":{\"symbol\":\"MSFT\"}}]}}", 0, -EPROTO,
	  "the answer is for MSFT, not for XBTUSD" },
	{ YAHOO, "{\"finance\":{}}", 0, -EPROTO, "not a chart document" },
	{ YAHOO,
	  "{\"chart\":{\"result\":[{\"meta\":{\"symbol\":\"XBTUSD\"},\"timestamp\":[1704119400],"
	  "\"indicators\":{\"quote\":[{\"open\":[1],\"high\":[2],\"low\":[1],\"close\":[null],"
	  "\"volume\":[1]}]}}]}}",
	  0, -EPROTO, "row 0: close: not a number" },
	{ YAHOO,
	  "{\"chart\":{\"result\":[{\"meta\":{\"symbol\":\"XBTUSD\"},\"timestamp\":[1,2],"
	  "\"indicators\":{\"quote\":[{\"open\":[1]}]}}]}}",
	  0, -EPROTO, "'open' is not an array as long as the timestamps" },
	{ STOOQ, "No data", 0, -TV_E_MISSING, "No data" },
	{ STOOQ, "Exceeded the daily hits limit", 0, -EBUSY, "daily hits" },
	{ STOOQ, "<html><body>", 0, -EPROTO, "HTML instead of CSV" },
	{ CSV, "", 0, -EPROTO, "an empty answer" },
	{ CSV, "timestamp,open,high,low,close\n1,1,1,1,1\n", 0, -EPROTO, "no column volume" },
	{ CSV, HEAD "1704067200,1,2,1\n", 0, -EPROTO, "line 2: 4 fields, and 6 in the header" },
	{ CSV, HEAD "\n1704067200,1,2,,1,1\n", 0, -EPROTO, "line 3: low: '' is not a number" },
	{ CSV, HEAD "yesterday,1,2,1,1,1\n", 0, -EPROTO, "line 2: timestamp: 'yesterday'" },
	{ CSV, HEAD "\"1704067200,1,2,1,1,1\n", 0, -EPROTO, "line 2: a field has more than one" },
	{ CSV, HEAD "\"1\"2,1,2,1,1,1\n", 0, -EPROTO, "behind a quoted field" },
	{ CSV, HEAD "1704067200,1,2,1,1,inf\n", 0, -EPROTO, "volume: 'inf' is not a number" },
	{ CSV, "date," HEAD, 0, -EPROTO, "the column timestamp is there twice" },
	{ JSON, "{}", 0, -EPROTO, "no rows at ''" },
	{ JSON, "[{\"timestamp\":1704067200}]", 0, -EPROTO, "row 0: open: not a number" },
};

static void refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < TV_ARRAY_LEN(refused); i++) {
		tv_auto(tv_source_free_p) struct tv_source *s = made(refused[i].settings);
		tv_autobars struct tv_bars r = TV_BARS_INIT;
		struct tv_err err = TV_ERR_INIT;
		const char *body = refused[i].body;
		int code = tv_source_parse(s, "XBTUSD", refused[i].status, body, strlen(body), &r,
					   &err);
		if (code != refused[i].code || r.n || !strstr(err.text, refused[i].says))
			fail_msg("%s: %d, '%s'", body, code, err.text);
		assert_int_equal(strncmp(err.text, "XBTUSD from S: ", 15), 0);
	}
}

static void nothing_is_an_answer_too(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ BINANCE, "[]" }, { COINBASE, "[]" }, { CSV, HEAD }, { JSON, "[]" }
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(cases); i++) {
		tv_auto(tv_source_free_p) struct tv_source *s = made(cases[i][0]);
		tv_autobars struct tv_bars r = TV_BARS_INIT;
		const char *body = cases[i][1];
		assert_int_equal(tv_source_parse(s, "A", 0, body, strlen(body), &r, NULL), 0);
		assert_int_equal(r.n, 0);
	}
}

static void a_later_bad_row_takes_all_back(void **state)
{
	(void)state;
	tv_auto(tv_source_free_p) struct tv_source *s = made(CSV);
	tv_autobars struct tv_bars r = TV_BARS_INIT;
	const char *body = HEAD "1704067200,1,2,1,1,1\n1704153600,1,2,x,1,1\n";
	assert_int_equal(tv_bars_add(&r, &(struct tv_bar){ 1, 2, 3, 4, 5, 6 }, NULL), 0);
	assert_int_equal(tv_source_parse(s, "A", 0, body, strlen(body), &r, NULL), -EPROTO);
	assert_int_equal(r.n, 1);
}

static void coinbase_is_newest_first(void **state)
{
	(void)state;
	tv_auto(tv_source_free_p) struct tv_source *s = made(COINBASE);
	tv_autobars struct tv_bars r = TV_BARS_INIT;
	const char *body = "[[1704240000,1,2,1,1,3],[1704153600,1,2,1,1,2],[1704067200,1,2,1,1,1]]";
	assert_int_equal(tv_source_parse(s, "BTCUSD", 0, body, strlen(body), &r, NULL), 0);
	assert_int_equal(r.n, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(r.volume[i], i + 1);
}

static const struct {
	const char *settings, *symbol;
	unsigned page;
	const char *url;
} urls[] = {
	{ BINANCE, "BTCUSDT", 0,
	  "https://api.binance.com/api/v3/klines?symbol=BTCUSDT&interval=1d"
	  "&startTime=1704067200000&endTime=1790467199000&limit=1000" },
	{ BINANCE, "BTCUSDT", 1,
	  "https://api.binance.com/api/v3/klines?symbol=BTCUSDT&interval=1d"
	  "&startTime=1790467200000&endTime=1798761599000&limit=1000" },
	{ "{\"kind\": \"coinbase\", \"base\": \"http://127.0.0.1:8/\"}", "BTCUSD", 3,
	  "http://127.0.0.1:8/products/BTC-USD/candles?granularity=86400"
	  "&start=2026-06-19T00:00:00Z&end=2026-12-31T23:59:59Z" },
	{ KRAKEN, "XBTUSD", 0,
	  "https://api.kraken.com/0/public/OHLC?pair=XBTUSD&interval=1440&since=1704067199" },
	{ YAHOO, "EURGBP=X", 0,
	  "https://query1.finance.yahoo.com/v8/finance/chart/EURGBP%3DX?period1=1704067200"
	  "&period2=1798761600&interval=1d&events=history" },
	{ STOOQ, "AAPL", 0, "https://stooq.com/q/d/l/?s=aapl.us&d1=20240101&d2=20261231&i=d" },
	{ "{\"kind\": \"stooq\", \"symbol\": \"{lower}.de\", \"symbols\": {\"X\": \"y.uk\"}}", "X",
	  0, "https://stooq.com/q/d/l/?s=y.uk&d1=20240101&d2=20261231&i=d" },
	{ "{\"kind\": \"csv\", \"url\": \"https://h/{symbol}?a={from_date}&b={to_date}\"}", "A/?&B",
	  0, "https://h/A%2F%3F%26B?a=2024-01-01&b=2027-01-01" },
};

static void requests(void **state)
{
	(void)state;
	int64_t to = INT64_C(1798761600); /* 2027-01-01 */
	for (size_t i = 0; i < TV_ARRAY_LEN(urls); i++) {
		tv_auto(tv_source_free_p) struct tv_source *s = made(urls[i].settings);
		struct tv_source_call call;
		struct tv_err err = TV_ERR_INIT;
		assert_true(urls[i].page < tv_source_pages(s, D, to));
		if (tv_source_call(s, urls[i].symbol, D, to, urls[i].page, &call, &err) < 0)
			fail_msg("%s", err.text);
		assert_string_equal(call.url, urls[i].url);
		assert_false(call.confidential);
		tv_source_call_free(&call);
	}
}

static void pages(void **state)
{
	(void)state;
	tv_auto(tv_source_free_p) struct tv_source *many = made(COINBASE), *one = made(STOOQ);
	assert_int_equal(tv_source_pages(many, D, D), 0);
	assert_int_equal(tv_source_pages(many, D, D + TV_DAY_SECONDS), 1);
	assert_int_equal(tv_source_pages(many, D, D + 300 * TV_DAY_SECONDS), 1);
	assert_int_equal(tv_source_pages(many, D, D + 301 * TV_DAY_SECONDS), 2);
	assert_int_equal(tv_source_pages(one, D, D + 9999 * TV_DAY_SECONDS), 1);
}

static void keys(void **state)
{
	(void)state;
	tv_auto(tv_secrets_free_p) struct tv_secrets *secrets = NULL;
	assert_int_equal(tv_secrets_new(&secrets, NULL), 0);
	setenv("PLANTED", "plan+ted", 1);
	tv_auto(tv_source_free_p) struct tv_source *s = make(
		"{\"kind\": \"csv\", \"url\": \"https://h/?k={token}\", \"headers\": [\"K: {token}\"],"
		" \"keys\": {\"token\": {\"env\": \"PLANTED\"}}}",
		secrets, NULL);
	assert_non_null(s);
	struct tv_source_call call;
	assert_int_equal(tv_source_call(s, "A", D, NEXT, 0, &call, NULL), 0);
	assert_string_equal(call.url, "https://h/?k=plan%2Bted");
	assert_string_equal(call.headers[0], "K: plan+ted");
	assert_null(call.headers[1]);
	assert_true(call.confidential);
	tv_source_call_free(&call);
	tv_autobars struct tv_bars r = TV_BARS_INIT;
	struct tv_err err = TV_ERR_INIT;
	assert_int_equal(tv_source_parse(s, "A", 0, "bad key plan+ted!", 17, &r, &err), -EREMOTE);
	assert_string_equal(err.text, "A from S: the source says: bad key ***!");
	/* a message is cut, but never through a key */
	char body[256];
	for (size_t at = 100; at < 200; at++) {
		snprintf(body, sizeof(body), "%0*dplan+ted", (int)at, 0);
		tv_err_clear(&err);
		assert_int_equal(tv_source_parse(s, "A", 0, body, strlen(body), &r, &err),
				 -EREMOTE);
		assert_null(strstr(err.text, "pl"));
	}
}

static void settings(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "{}", "'kind' is none of" },
		{ "{\"kind\": \"parquet\"}", "'kind' is none of" },
		{ "{\"kind\": \"csv\"}", "'url' is missing" },
		{ "{\"kind\": \"folder\"}", "'path' is missing" },
		{ "{\"kind\": \"exec\", \"argv\": []}", "'argv' is missing" },
		{ "{\"kind\": \"yahoo\", \"bse\": \"x\"}", "'bse' is not a setting" },
		{ "{\"kind\": \"csv\", \"url\": 5}", "'url' is not a text" },
		{ "{\"kind\": \"csv\"," URL ", \"delimiter\": \"ab\"}", "one character" },
		{ "{\"kind\": \"csv\"," URL ", \"time\": \"often\"}", "'time' has a value" },
		{ "{\"kind\": \"csv\"," URL ", \"columns\": {\"opne\": \"o\"}}", "'opne'" },
		{ "{\"kind\": \"csv\"," URL ", \"page_days\": -1}", "number of days" },
		{ "{\"kind\": \"csv\"," URL ", \"keys\": {\"k\": \"abcdef\"}}", "'k' must be" },
	};
	tv_auto(tv_secrets_free_p) struct tv_secrets *secrets = NULL;
	assert_int_equal(tv_secrets_new(&secrets, NULL), 0);
	for (size_t i = 0; i < TV_ARRAY_LEN(cases); i++) {
		struct tv_err err = TV_ERR_INIT;
		assert_null(make(cases[i][0], secrets, &err));
		assert_int_equal(err.code, -EINVAL);
		if (!strstr(err.text, cases[i][1]) || strstr(err.text, "abcdef"))
			fail_msg("%s: %s", cases[i][0], err.text);
	}
}

static void clipping(void **state)
{
	(void)state;
	tv_autobars struct tv_bars r = TV_BARS_INIT;
	for (int day = -2; day < 6; day++)
		assert_int_equal(
			tv_bars_add(&r, &(struct tv_bar){ .timestamp = D + day * TV_DAY_SECONDS },
				    NULL),
			0);
	tv_bars_clip(&r, D, D + 2 * TV_DAY_SECONDS);
	/* the day that is not over is gone; what is dated later is for the gates to find */
	static const int left[] = { 0, 1, 3, 4, 5 };
	assert_int_equal(r.n, TV_ARRAY_LEN(left));
	for (size_t i = 0; i < r.n; i++)
		assert_int_equal(r.timestamp[i], D + left[i] * TV_DAY_SECONDS);
}

static void spans(void **state)
{
	(void)state;
	int64_t from = 0, to = 0, now = D + 10 * TV_DAY_SECONDS + 3600;
	assert_true(tv_source_span(TV_SOURCE_NEVER, D, 5, now, &from, &to));
	assert_int_equal(from, D);
	assert_int_equal(to, D + 10 * TV_DAY_SECONDS);
	assert_true(tv_source_span(D + 7 * TV_DAY_SECONDS, D, 5, now, &from, &to));
	assert_int_equal(from, D + 2 * TV_DAY_SECONDS);
	assert_true(tv_source_span(D + 3 * TV_DAY_SECONDS, D, 5, now, &from, &to));
	assert_int_equal(from, D);
	assert_false(tv_source_span(D + 9 * TV_DAY_SECONDS, D, 5, now, &from, &to));
	assert_false(tv_source_span(TV_SOURCE_NEVER, now, 5, now, &from, &to));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows),
		cmocka_unit_test(refusals),
		cmocka_unit_test(nothing_is_an_answer_too),
		cmocka_unit_test(a_later_bad_row_takes_all_back),
		cmocka_unit_test(coinbase_is_newest_first),
		cmocka_unit_test(requests),
		cmocka_unit_test(pages),
		cmocka_unit_test(keys),
		cmocka_unit_test(settings),
		cmocka_unit_test(clipping),
		cmocka_unit_test(spans),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
