#include "ingest/calendar.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "store/base/cleanup.h"

#define SUNDAY 0x01u
#define MONDAY_THURSDAY 0x1eu
#define FRIDAY 0x20u
#define MONDAY_FRIDAY (MONDAY_THURSDAY | FRIDAY)
#define ALL 0x7fu

static const struct tv_calendar always = { "24x7", ALL, ALL };
/* A week begins on Sunday evening. Some sources date that session Sunday, others Monday. */
static const struct tv_calendar futures = { "sunday-friday", SUNDAY | MONDAY_FRIDAY,
					    MONDAY_FRIDAY };
static const struct tv_calendar weekdays = { "monday-friday", MONDAY_FRIDAY, MONDAY_FRIDAY };
/* Budget days and Diwali in India, made-up days in Taiwan, weekend sessions in Moscow. */
static const struct tv_calendar specials = { "monday-friday-and-specials", ALL, MONDAY_FRIDAY };
static const struct tv_calendar gulf = { "sunday-thursday", SUNDAY | MONDAY_THURSDAY,
					 SUNDAY | MONDAY_THURSDAY };
/* From Sunday to Thursday until some year, from Monday to Friday since: the Emirates, Tel Aviv. */
static const struct tv_calendar moved = { "moved-week", SUNDAY | MONDAY_FRIDAY, MONDAY_THURSDAY };

static const struct tv_calendar *const calendars[] = { &always,	  &futures, &weekdays,
						       &specials, &gulf,    &moved };

/* Names as the scanner writes them; a '*' at the end stands for anything. */
static const char *const always_names[] = {
	"BINANCE*",   "BINGX",	    "BITBANK",	    "BITFINEX",	  "BITFLYER",  "BITGET",
	"BITHUMB",    "BITKUB",	    "BITMART",	    "BITMEX",	  "BITPANDA*", "BITRUE",
	"BITSO",      "BITSTAMP",   "BITTREX",	    "BITVAVO",	  "BLOFIN",    "BYBIT",
	"BYDFI",      "COINBASE*",  "COINCHECK",    "COINEX",	  "COINONE",   "COINW",
	"CRYPTO",     "CRYPTOCAP",  "CRYPTOCOM",    "CURVE*",	  "DERIBIT",   "DYDX*",
	"EXMO",	      "FTX*",	    "GATE",	    "GATEIO",	  "GEMINI",    "HITBTC",
	"HTX",	      "HUOBI",	    "HYPERLIQUID*", "KCEX",	  "KORBIT",    "KRAKEN*",
	"KUCOIN",     "LBANK",	    "MERCADO",	    "MEXC",	  "OKCOIN",    "OKEX",
	"OKX*",	      "ORCA",	    "PANCAKESWAP*", "PHEMEX",	  "PIONEX",    "POLONIEX",
	"PROBIT",     "QUICKSWAP*", "RAYDIUM*",	    "SUSHISWAP*", "TOKENIZE",  "TOKOCRYPTO",
	"TOOBIT",     "TRADERJOE*", "UNISWAP*",	    "UPBIT",	  "WEEX",      "WHITEBIT",
	"WOONETWORK", "XT",	    "ZONDA",
};

static const char *const futures_names[] = {
	/* futures */
	"CBOT",
	"CBOT_MINI",
	"CFE",
	"CME",
	"CME_MINI",
	"COMEX",
	"COMEX_MINI",
	"ICE",
	"ICEEUR",
	"ICEUS",
	"NYMEX",
	"NYMEX_MINI",
	"TVC",
	/* currencies and contracts for difference */
	"ACTIVTRADES",
	"BLACKBULL",
	"CAPITALCOM",
	"CMCMARKETS",
	"DUKASCOPY",
	"EASYMARKETS",
	"EIGHTCAP",
	"FOREXCOM",
	"FUSIONMARKETS",
	"FX",
	"FXCM",
	"FXOPEN",
	"FX_IDC",
	"GLOBALPRIME",
	"ICMARKETS",
	"IG",
	"OANDA",
	"PEPPERSTONE",
	"SAXO",
	"SKILLING",
	"SWISSQUOTE",
	"THINKMARKETS",
	"TICKMILL",
	"VANTAGE",
	"VELOCITY",
};

static const char *const specials_names[] = {
	"BSE", "MCX", "MOEX", "NCDEX", "NSE", "TPEX", "TWSE"
};
static const char *const gulf_names[] = {
	"BAHRAIN", "DSEBD", "EGX", "KSE", "MSX", "QSE", "TADAWUL"
};
static const char *const moved_names[] = { "ADX", "DFM", "TASE" };

static const struct {
	const struct tv_calendar *calendar;
	const char *const *names;
	size_t n;
} known[] = {
	{ &always, always_names, TV_ARRAY_LEN(always_names) },
	{ &futures, futures_names, TV_ARRAY_LEN(futures_names) },
	{ &specials, specials_names, TV_ARRAY_LEN(specials_names) },
	{ &gulf, gulf_names, TV_ARRAY_LEN(gulf_names) },
	{ &moved, moved_names, TV_ARRAY_LEN(moved_names) },
};

const struct tv_calendar *tv_calendar_named(const char *name)
{
	for (size_t i = 0; i < TV_ARRAY_LEN(calendars); i++)
		if (strcmp(calendars[i]->name, name) == 0)
			return calendars[i];
	return NULL;
}

static bool matches(const char *pattern, const char *name, size_t n)
{
	size_t len = strlen(pattern);
	if (len && pattern[len - 1] == '*')
		return n >= len - 1 && strncasecmp(pattern, name, len - 1) == 0;
	return n == len && strncasecmp(pattern, name, n) == 0;
}

static const struct tv_calendar *by_name(const char *name, size_t n)
{
	for (size_t i = 0; i < TV_ARRAY_LEN(known); i++)
		for (size_t k = 0; k < known[i].n; k++)
			if (matches(known[i].names[k], name, n))
				return known[i].calendar;
	return &weekdays;
}

const struct tv_calendar *tv_calendar_of(const char *symbol, enum tv_calendar_crypto crypto)
{
	const struct tv_calendar *found = by_name(symbol, strcspn(symbol, ":"));
	if (crypto == TV_CRYPTO_YES)
		return &always;
	return crypto == TV_CRYPTO_NO && found == &always ? &weekdays : found;
}

int64_t tv_calendar_sessions(const struct tv_calendar *c, int64_t first, int64_t end)
{
	if (end <= first)
		return 0;
	int64_t weeks = (end - first) / 7;
	int64_t sessions = weeks * __builtin_popcount(c->counted);
	for (int64_t day = first + weeks * 7; day < end; day++)
		sessions += tv_calendar_is_counted(c, day);
	return sessions;
}

/* The date of a day: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (civil_from_days). */
void tv_calendar_day_text(int64_t timestamp, char out[TV_DAY_TEXT])
{
	int64_t day = tv_calendar_day(timestamp);
	if (day < -719162 || day > 2932896) { /* 0001-01-01, 9999-12-31 */
		snprintf(out, TV_DAY_TEXT, "second %" PRId64, timestamp);
		return;
	}
	unsigned z = (unsigned)(day + 719468);
	unsigned era = z / 146097, of_era = z % 146097;
	unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
	unsigned shifted = (5 * of_year + 2) / 153; /* 0: March */
	unsigned month = shifted < 10 ? shifted + 3 : shifted - 9;
	unsigned date = of_year - (153 * shifted + 2) / 5 + 1;
	snprintf(out, TV_DAY_TEXT, "%04u-%02u-%02u", year + era * 400 + (month <= 2), month, date);
}
