#include "ingest/fetch-retry.h"

#include <curl/curl.h>
#include <string.h>

#define SECOND INT64_C(1000000000)
#define SECONDS_MAX INT64_C(4000000000) /* more than a century; larger ones are the same */

int64_t tv_fetch_backoff(const struct tv_fetch_limits *limits, unsigned n,
			 const struct tv_fetch_time *time)
{
	int64_t most = limits->backoff_ns;
	for (unsigned i = 1; i < n && most < limits->backoff_max_ns; i++)
		most *= 2;
	if (most > limits->backoff_max_ns)
		most = limits->backoff_max_ns;
	return most > 0 ? (int64_t)time->random(time->arg, (uint64_t)most + 1) : 0;
}

int64_t tv_fetch_retry_after(const char *value, int64_t wall_ns)
{
	while (*value == ' ' || *value == '\t')
		value++;
	if (*value >= '0' && *value <= '9') {
		int64_t seconds = 0;
		for (; *value >= '0' && *value <= '9'; value++)
			if (seconds < SECONDS_MAX)
				seconds = seconds * 10 + (*value - '0');
		if (value[strspn(value, " \t")])
			return -1;
		return (seconds < SECONDS_MAX ? seconds : SECONDS_MAX) * SECOND;
	}
	time_t at = curl_getdate(value, NULL);
	if (at < 0)
		return -1;
	int64_t wait = (int64_t)at - wall_ns / SECOND;
	if (wait <= 0)
		return 0;
	return (wait < SECONDS_MAX ? wait : SECONDS_MAX) * SECOND;
}

bool tv_fetch_status_passes(long status, bool has_retry_after)
{
	static const long passing[] = { 408, 425, 429, 500, 502, 503, 504 };
	for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++)
		if (passing[i] == status)
			return true;
	/* 418 is what some exchanges say to those whom they have shut out for a time */
	return has_retry_after && status >= 400;
}

int tv_fetch_status_code(long status)
{
	if (status >= 200 && status < 300)
		return 0;
	switch (status) {
	case 401:
	case 403:
		return -EACCES;
	case 404:
	case 410:
		return -TV_E_MISSING;
	case 408:
		return -ETIMEDOUT;
	case 418:
	case 425:
	case 429:
		return -EBUSY;
	default:
		return status >= 500 ? -EREMOTEIO : -EPROTO;
	}
}
