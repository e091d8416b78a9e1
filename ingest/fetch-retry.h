/* When to ask again: pure functions, no clock and no network. */
#ifndef TV_INGEST_FETCH_RETRY_H
#define TV_INGEST_FETCH_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "ingest/fetch.h"

/* How long to wait before retry n (from 1): evenly drawn from 0 to the backoff of that retry ("full
 * jitter", as in the AWS Architecture Blog's "Exponential Backoff And Jitter"). */
int64_t tv_fetch_backoff(const struct tv_fetch_limits *limits, unsigned n,
			 const struct tv_fetch_time *time);

/* Retry-After (RFC 9110, section 10.2.3): seconds, or an HTTP date, of which the part after wall_ns
 * counts. -1 when it is neither. */
int64_t tv_fetch_retry_after(const char *value, int64_t wall_ns);

/* Whether an HTTP status may be another one a little later. */
bool tv_fetch_status_passes(long status, bool has_retry_after);

/* The code of a request that ends with this status (2xx: 0). */
int tv_fetch_status_code(long status);

#endif
