/* Which days are sessions. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "ingest/bars.h"
#include "ingest/calendar.h"
#include "store/base/cleanup.h"

static void exchanges(void **state)
{
	(void)state;
	static const struct {
		const char *symbol;
		enum tv_calendar_crypto crypto;
		const char *calendar;
	} cases[] = {
		{ "BINANCE:BTCUSDT", TV_CRYPTO_UNKNOWN, "24x7" },
		{ "binanceus:BTCUSD", TV_CRYPTO_UNKNOWN, "24x7" },
		{ "COINBASE:BTCUSD", TV_CRYPTO_UNKNOWN, "24x7" },
		{ "KRAKEN:XBTUSD", TV_CRYPTO_UNKNOWN, "24x7" },
		{ "BYBIT:ETHUSDT.P", TV_CRYPTO_UNKNOWN, "24x7" },
		{ "OKX:A", TV_CRYPTO_UNKNOWN, "24x7" },
		{ "OKX", TV_CRYPTO_UNKNOWN, "24x7" },
		{ "UNISWAP3ETH:A", TV_CRYPTO_UNKNOWN, "24x7" },
		{ "OKX:A", TV_CRYPTO_NO, "monday-friday" },
		{ "OKX:A", TV_CRYPTO_YES, "24x7" },
		{ "CME:ES1!", TV_CRYPTO_UNKNOWN, "sunday-friday" },
		{ "CBOT:ZC1!", TV_CRYPTO_UNKNOWN, "sunday-friday" },
		{ "NYMEX:CL1!", TV_CRYPTO_NO, "sunday-friday" },
		{ "COMEX:GC1!", TV_CRYPTO_UNKNOWN, "sunday-friday" },
		{ "ICEUS:DX1!", TV_CRYPTO_UNKNOWN, "sunday-friday" },
		{ "OANDA:EURUSD", TV_CRYPTO_UNKNOWN, "sunday-friday" },
		{ "FX_IDC:EURUSD", TV_CRYPTO_UNKNOWN, "sunday-friday" },
		{ "FOREXCOM:EURUSD", TV_CRYPTO_UNKNOWN, "sunday-friday" },
		{ "NASDAQ:AAPL", TV_CRYPTO_UNKNOWN, "monday-friday" },
		{ "NASDAQ:BINANCE", TV_CRYPTO_UNKNOWN, "monday-friday" },
		{ "OMXICE:A", TV_CRYPTO_UNKNOWN, "monday-friday" },
		{ "CM:A", TV_CRYPTO_UNKNOWN, "monday-friday" },
		{ "CMES:A", TV_CRYPTO_UNKNOWN, "monday-friday" },
		{ "", TV_CRYPTO_UNKNOWN, "monday-friday" },
		{ "NEW:A", TV_CRYPTO_YES, "24x7" },
		{ "NSE:TCS", TV_CRYPTO_UNKNOWN, "monday-friday-and-specials" },
		{ "TADAWUL:2222", TV_CRYPTO_UNKNOWN, "sunday-thursday" },
		{ "TASE:TEVA", TV_CRYPTO_UNKNOWN, "moved-week" },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(cases); i++) {
		const struct tv_calendar *c = tv_calendar_of(cases[i].symbol, cases[i].crypto);
		if (strcmp(c->name, cases[i].calendar) != 0)
			fail_msg("%s is %s", cases[i].symbol, c->name);
		assert_ptr_equal(c, tv_calendar_named(cases[i].calendar));
		assert_int_equal(c->counted & ~c->open, 0);
	}
	assert_null(tv_calendar_named("tuesdays"));
	assert_null(tv_calendar_named(""));
}

/* 2024-01-01 was a Monday: day 19723. Letters from that Sunday on: o open, x open and counted. */
static void weeks(void **state)
{
	(void)state;
	static const struct {
		const char *calendar, *week;
	} cases[] = {
		{ "24x7", "xxxxxxx" },
		{ "sunday-friday", "oxxxxx." },
		{ "monday-friday", ".xxxxx." },
		{ "monday-friday-and-specials", "oxxxxxo" },
		{ "sunday-thursday", "xxxxx.." },
		{ "moved-week", "oxxxxo." },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(cases); i++) {
		const struct tv_calendar *c = tv_calendar_named(cases[i].calendar);
		for (int64_t day = 19722 - 7 * 4000; day < 19722 + 7 * 20; day++) {
			char mark = cases[i].week[((day - 19722) % 7 + 7) % 7];
			assert_int_equal(tv_calendar_is_open(c, day), mark != '.');
			assert_int_equal(tv_calendar_is_counted(c, day), mark == 'x');
		}
	}
}

static void sessions(void **state)
{
	(void)state;
	static const char *const names[] = { "24x7", "sunday-friday", "monday-friday",
					     "sunday-thursday" };
	for (size_t i = 0; i < TV_ARRAY_LEN(names); i++) {
		const struct tv_calendar *c = tv_calendar_named(names[i]);
		for (int64_t first = -9; first < 9; first++) {
			int64_t slow = 0;
			for (int64_t end = first; end < first + 40; end++) {
				assert_int_equal(tv_calendar_sessions(c, first, end), slow);
				slow += tv_calendar_is_counted(c, end);
			}
			assert_int_equal(tv_calendar_sessions(c, first, first - 1), 0);
		}
	}
	/* as far as times go */
	int64_t far = INT64_MAX / TV_DAY_SECONDS;
	const struct tv_calendar *all = tv_calendar_named("24x7");
	assert_true(tv_calendar_sessions(all, -far, far) == 2 * far);
}

static void days(void **state)
{
	(void)state;
	char text[TV_DAY_TEXT], want[TV_DAY_TEXT];
	assert_int_equal(tv_calendar_day(0), 0);
	assert_int_equal(tv_calendar_day(86399), 0);
	assert_int_equal(tv_calendar_day(-1), -1);
	assert_int_equal(tv_calendar_day(-86400), -1);
	assert_int_equal(tv_calendar_day(-86401), -2);
	for (int64_t day = -719162; day <= 2932896; day += day > -9000 && day < 30000 ? 1 : 997) {
		time_t t = day * TV_DAY_SECONDS + 86399;
		struct tm tm;
		assert_non_null(gmtime_r(&t, &tm));
		snprintf(want, sizeof(want), "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1,
			 tm.tm_mday);
		tv_calendar_day_text(t, text);
		assert_string_equal(text, want);
	}
	tv_calendar_day_text(2932896 * TV_DAY_SECONDS, text);
	assert_string_equal(text, "9999-12-31");
	tv_calendar_day_text(2932897 * TV_DAY_SECONDS, text);
	assert_string_equal(text, "second 253402300800");
	tv_calendar_day_text(INT64_MIN, text);
	assert_string_equal(text, "second -9223372036854775808");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exchanges),
		cmocka_unit_test(weeks),
		cmocka_unit_test(sessions),
		cmocka_unit_test(days),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
