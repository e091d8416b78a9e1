#include "store/base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "store/base/hex.h"
#include "store/base/io.h"

int64_t tv_now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return tv_ns_from_timespec(ts);
}

int64_t tv_boottime_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_BOOTTIME, &ts);
	return tv_ns_from_timespec(ts);
}

int64_t tv_monotonic_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return tv_ns_from_timespec(ts);
}

void tv_time_format(int64_t ns, char *out)
{
	struct timespec ts = tv_timespec_from_ns(ns);
	struct tm tm;
	if (!gmtime_r(&ts.tv_sec, &tm)) {
		snprintf(out, TV_TIME_TEXT, "@%" PRId64, (int64_t)ts.tv_sec);
		return;
	}
	char date[TV_TIME_TEXT - 11];
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	if (ts.tv_nsec)
		snprintf(out, TV_TIME_TEXT, "%s.%09ldZ", date, ts.tv_nsec);
	else
		snprintf(out, TV_TIME_TEXT, "%sZ", date);
}

/* Reads the fraction ".123…" at *p as nanoseconds and moves *p behind it. */
static bool parse_fraction(const char **p, int64_t *ns)
{
	int64_t unit = 100000000;
	if (**p != '.')
		return true;
	if ((*p)[1] < '0' || (*p)[1] > '9')
		return false;
	for ((*p)++; **p >= '0' && **p <= '9'; (*p)++) {
		*ns += (**p - '0') * unit;
		unit /= 10;
	}
	return true;
}

static bool parse_zone(const char *p, int64_t *offset_s)
{
	int hour, minute, used = 0;
	if ((*p == 'Z' || *p == 'z') && p[1] == '\0')
		return true;
	if ((*p != '+' && *p != '-') || sscanf(p + 1, "%2d:%2d%n", &hour, &minute, &used) != 2 ||
	    used != 5 || p[6] != '\0' || hour > 23 || minute > 59 || hour < 0 || minute < 0)
		return false;
	*offset_s = (*p == '-' ? -1 : 1) * (hour * 3600 + minute * 60);
	return true;
}

/* Nanoseconds in 63 bits reach from 1678 to 2262. */
#define TV_SECONDS_MAX (INT64_MAX / 1000000000 - 1)

static bool parse_rfc3339(const char *text, int64_t *out)
{
	struct tm tm = { 0 };
	int64_t fraction = 0, offset = 0;
	const char *p = strptime(text, "%Y-%m-%d", &tm);
	if (!p || p - text != 10)
		return false;
	if (*p != '\0') {
		if (*p != 'T' && *p != 't' && *p != ' ')
			return false;
		p = strptime(p + 1, "%H:%M:%S", &tm);
		if (!p || !parse_fraction(&p, &fraction) || !parse_zone(p, &offset))
			return false;
	}
	int64_t seconds = (int64_t)timegm(&tm) - offset;
	if (seconds < -TV_SECONDS_MAX || seconds > TV_SECONDS_MAX)
		return false;
	*out = seconds * 1000000000 + fraction;
	return true;
}

int tv_time_parse(const char *text, int64_t *ns, struct tv_err *err)
{
	int64_t parsed;
	if (!parse_rfc3339(text, &parsed))
		return tv_err_set(err, -EINVAL,
				  "'%s' is not a time from 1678 to 2262; write "
				  "2026-01-19T12:00:00Z or 2026-01-19",
				  text);
	*ns = parsed;
	return 0;
}

int tv_duration_parse(const char *text, int64_t *ns, struct tv_err *err)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = { { '\0', 1 },   { 's', 1 },     { 'm', 60 },
		      { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };
	char *end;
	errno = 0;
	double v = strtod(text, &end);
	if (end != text && errno == 0 && v >= 0 && v < 1e9 && (!*end || !end[1])) {
		for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
			if (units[i].unit == *end && v * (double)units[i].seconds < 9e9) {
				*ns = (int64_t)(v * (double)units[i].seconds * 1e9);
				return 0;
			}
		}
	}
	return tv_err_set(err, -EINVAL, "'%s' is not a duration; write 90s, 15m, 12h, 7d or 2w",
			  text);
}

static int random_bytes(uint8_t *out, size_t n, struct tv_err *err)
{
	if (getrandom(out, n, 0) != (ssize_t)n)
		return tv_err_sys(err, errno ? -errno : -EIO, "no random bytes");
	return 0;
}

int tv_uuid7(char *out, struct tv_err *err)
{
	uint8_t b[16];
	int r = random_bytes(b, sizeof(b), err);
	if (r < 0)
		return r;
	uint64_t ms = (uint64_t)(tv_now_ns() / 1000000);
	for (int i = 0; i < 6; i++)
		b[i] = (uint8_t)(ms >> (40 - 8 * i));
	b[6] = (uint8_t)(0x70 | (b[6] & 0x0f));
	b[8] = (uint8_t)(0x80 | (b[8] & 0x3f));
	char hex[33];
	tv_hex_encode(b, sizeof(b), hex);
	snprintf(out, TV_UUID_TEXT, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
		 hex + 20);
	return 0;
}

int tv_random_hex(char *out, unsigned n, struct tv_err *err)
{
	uint8_t b[32];
	if (n > sizeof(b))
		return tv_err_set(err, -EINVAL, "too many random digits");
	int r = random_bytes(b, n, err);
	if (r == 0)
		tv_hex_encode(b, n, out);
	return r;
}
