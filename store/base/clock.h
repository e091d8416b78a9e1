/* Time in text, and ids that contain it. Times in text are nanoseconds since 1970-01-01 UTC. */
#ifndef TV_STORE_BASE_CLOCK_H
#define TV_STORE_BASE_CLOCK_H

#include <stdint.h>

#include "store/base/err.h"

#define TV_TIME_TEXT 40 /* room for RFC 3339 with nanoseconds */
#define TV_UUID_TEXT 37

int64_t tv_now_ns(void);       /* wall clock */
int64_t tv_boottime_ns(void);  /* never goes back, counts suspend */
int64_t tv_monotonic_ns(void); /* never goes back, for how long something takes */

/* "2026-01-19T12:00:00Z", with a fraction only when it is not zero. out has TV_TIME_TEXT bytes. */
void tv_time_format(int64_t ns, char *out);

/* RFC 3339 with 'Z' or an offset; also a bare date, meaning its midnight UTC. -EINVAL. */
int tv_time_parse(const char *text, int64_t *ns, struct tv_err *err);

/* "90s", "15m", "12h", "7d", "2w"; a bare number is seconds. Nanoseconds. -EINVAL. */
int tv_duration_parse(const char *text, int64_t *ns, struct tv_err *err);

/* A UUIDv7 (RFC 9562, section 5.7) of now, as text of TV_UUID_TEXT bytes. */
int tv_uuid7(char *out, struct tv_err *err);

/* n random bytes as 2n hexadecimal digits and a NUL. n <= 32. */
int tv_random_hex(char *out, unsigned n, struct tv_err *err);

#endif
