/*
 * On which days an exchange trades, as far as that can be known without lists of holidays: by the day of
 * the week. Days are days of UTC, counted from 1970-01-01, and are the exchange's own: the bar of
 * Monday's session is dated Monday, whatever UTC says of its hours.
 *
 * Two questions are kept apart. A row on a day that is not `open` is wrong. A day that is `counted`
 * and has no row is a missing session: holidays are among them, so one of them means nothing.
 *
 * Nothing here has state.
 */
#ifndef TV_INGEST_CALENDAR_H
#define TV_INGEST_CALENDAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tv_calendar {
	const char *name;
	unsigned open;	  /* bit n: rows may be dated on weekday n (0: Sunday) */
	unsigned counted; /* bit n: a row is expected on weekday n */
};

/* What exchanges.parquet says of an exchange (is_crypto). */
enum tv_calendar_crypto { TV_CRYPTO_UNKNOWN, TV_CRYPTO_NO, TV_CRYPTO_YES };

/* "24x7", "sunday-friday", "monday-friday", "monday-friday-and-specials", "sunday-thursday",
 * "moved-week" (docs/gates.md); NULL for any other. Lives for ever, as below. */
const struct tv_calendar *tv_calendar_named(const char *name);

/* That of an exchange, by its name, the part before the ':' of EXCHANGE:SYMBOL (all, where there is no
 * ':'), in any case. Unknown ones trade from Monday to Friday. `crypto` is stronger than the name: YES is
 * 24x7, NO is not. */
const struct tv_calendar *tv_calendar_of(const char *symbol, enum tv_calendar_crypto crypto);

/* The day of a time: rounded down, also before 1970. */
static inline int64_t tv_calendar_day(int64_t timestamp)
{
	return timestamp / 86400 - (timestamp % 86400 < 0);
}

static inline unsigned tv_calendar_weekday(int64_t day) /* 0: Sunday; 1970-01-01 was a Thursday */
{
	int64_t rest = (day + 4) % 7;
	return (unsigned)(rest < 0 ? rest + 7 : rest);
}

static inline bool tv_calendar_is_open(const struct tv_calendar *c, int64_t day)
{
	return c->open >> tv_calendar_weekday(day) & 1;
}

static inline bool tv_calendar_is_counted(const struct tv_calendar *c, int64_t day)
{
	return c->counted >> tv_calendar_weekday(day) & 1;
}

/* How many counted days are in first <= day < end; 0 when that is no day. */
int64_t tv_calendar_sessions(const struct tv_calendar *c, int64_t first, int64_t end);

/* A time's day as "2024-01-31"; "second N" where no year of four digits has it. */
#define TV_DAY_TEXT 32
void tv_calendar_day_text(int64_t timestamp, char out[TV_DAY_TEXT]);

#endif
