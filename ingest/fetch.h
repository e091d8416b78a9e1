/*
 * Many HTTP GETs at once, politely: a queue of requests, limits for each host, retries with
 * exponential backoff and full jitter, Retry-After, deadlines. One thread does everything; the only
 * call that is allowed from other threads and from signal handlers is tv_fetch_cancel.
 *
 * Only http and https; redirects only to the same host and never from https to http; no cookies, no
 * user:password in URLs, certificates verified. Answers may be gzip; limits count what comes out.
 * Errors name host and path, never the query or a header, and pass tv_secrets_redact.
 */
#ifndef TV_INGEST_FETCH_H
#define TV_INGEST_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ingest/secret.h"
#include "store/base/err.h"
#include "store/base/progress.h"

#define TV_FETCH_AGAIN 1 /* what a callback returns when the body is not what it should be */

struct tv_fetch_limits {
	unsigned connections;	    /* requests under way, all hosts together */
	unsigned host_connections;  /* and to one host */
	double host_per_second;	    /* requests begun a second to one host; 0: no limit */
	unsigned tries;		    /* of one request, the first counts */
	unsigned redirects;	    /* followed in one try */
	int64_t backoff_ns;	    /* the n-th retry waits 0 to backoff * 2^(n-1) … */
	int64_t backoff_max_ns;	    /* … but never longer than this */
	int64_t retry_after_max_ns; /* a host that asks for more has its request fail */
	int64_t connect_ns;	    /* deadline of connecting */
	int64_t request_ns;	    /* deadline of one try */
	int64_t total_ns;	    /* deadline of tv_fetch_run; 0: none */
	size_t body_max;	    /* bytes, decoded */
};

#define TV_FETCH_LIMITS_INIT                                                                       \
	((struct tv_fetch_limits){ 32, 4, 8, 5, 3, 500000000, 30000000000, 120000000000,           \
				   10000000000, 60000000000, 0, (size_t)64 << 20 })

/* Where time and chance come from. Tests put their own in, so that nothing has to sleep. */
struct tv_fetch_time {
	int64_t (*now_ns)(void *arg);		       /* never goes back */
	int64_t (*wall_ns)(void *arg);		       /* for dates in Retry-After */
	uint64_t (*random)(void *arg, uint64_t below); /* 0 … below - 1 */
	void (*wait_ns)(void *arg, int64_t ns);	       /* NULL: really waits */
	void *arg;
};

struct tv_fetch_answer {
	int code;	     /* 0, or why there is no good body (below) */
	const char *error;   /* "" or one line, without secrets */
	long status;	     /* HTTP's; 0 when no answer came */
	const char *body;    /* NUL-terminated; of an HTTP error too; "" when there is none */
	size_t len;	     /* without the NUL */
	const char *type;    /* Content-Type, or "" */
	const char *address; /* host and path */
	unsigned tries;
	bool last; /* TV_FETCH_AGAIN would not be listened to */
};

/* Called once for each request that is finished, successful or not; all pointers live until it
 * returns. 0; TV_FETCH_AGAIN to have it tried again; negative (err filled) to end the whole run. It
 * may add requests. */
typedef int tv_fetch_done(void *arg, const struct tv_fetch_answer *answer, struct tv_err *err);

struct tv_fetch_request {
	const char *url;	    /* copied, wiped after use, like the headers */
	const char *const *headers; /* "Name: value", NULL-terminated, or NULL */
	bool confidential;	    /* has a key in it: only https, or http to this machine */
	tv_fetch_done *done;
	void *arg;
};

struct tv_fetch;

/* secrets (or NULL) must live as long; time NULL: the machine's. */
int tv_fetch_new(const struct tv_fetch_limits *limits, const struct tv_fetch_time *time,
		 const struct tv_secrets *secrets, struct tv_fetch **out, struct tv_err *err);
void tv_fetch_free(struct tv_fetch *f); /* drops what is queued without a call; NULL is fine */

int64_t tv_fetch_total_ns(const struct tv_fetch *f); /* of its limits; 0: none */

/* -EINVAL for a URL that may not be asked for; nothing is sent yet. */
int tv_fetch_add(struct tv_fetch *f, const struct tv_fetch_request *request, struct tv_err *err);

/*
 * Until every request is finished. What a request's code can be:
 *   -ETIMEDOUT     a deadline passed            -EFBIG        the body is larger than allowed
 *   -EBUSY         429, and tries are used up   -EREMOTEIO    5xx, and tries are used up
 *   -EACCES        401, 403                     -TV_E_MISSING 404, 410
 *   -EXDEV         redirect that is refused     -ECONNABORTED the connection failed or broke
 *   -EPROTO        anything else that is no good answer
 * The run itself fails with -TV_E_INTERRUPTED (cancelled), with what a callback returned, or when
 * memory is short; requests that are not finished then get no call.
 */
int tv_fetch_run(struct tv_fetch *f, const struct tv_progress *progress, struct tv_err *err);

/* Ends tv_fetch_run soon (100 ms). Safe in signal handlers and from other threads. */
void tv_fetch_cancel(struct tv_fetch *f);

static inline void tv_fetch_free_p(struct tv_fetch **f)
{
	tv_fetch_free(*f);
}

#endif
