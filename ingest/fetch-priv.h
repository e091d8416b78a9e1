/* What fetch.c (the queue) and fetch-http.c (one try of one request) share. */
#ifndef TV_INGEST_FETCH_PRIV_H
#define TV_INGEST_FETCH_PRIV_H

#include <curl/curl.h>
#include <stdatomic.h>

#include "ingest/fetch.h"
#include "store/base/buf.h"

#define TV_FETCH_ADDRESS 256 /* room for host and path in messages */
#define TV_FETCH_FIELD 128   /* room for a header's value */

struct tv_fetch_host {
	char *name; /* "host:port", owned */
	unsigned running;
	int64_t next_ns;		   /* no request begins before this */
	struct tv_fetch_job *first, *last; /* ready, in their order */
	struct tv_fetch_host *next;
};

struct tv_fetch_job {
	char *url;		    /* where it is asked for now, after redirects; owned, wiped */
	struct curl_slist *headers; /* owned, wiped */
	struct tv_fetch_host *host;
	tv_fetch_done *done;
	void *arg;
	char address[TV_FETCH_ADDRESS];
	bool confidential;
	unsigned tries, redirects;
	int64_t due_ns;		   /* when it is ready again */
	struct tv_fetch_job *next; /* in its host's queue, or among those that wait */
	struct tv_fetch_job *next_running, **prev_running;
	/* of the try that is under way */
	CURL *easy;
	struct tv_buf body;
	size_t body_max;
	bool too_big;
	char retry_after[TV_FETCH_FIELD], type[TV_FETCH_FIELD];
};

enum tv_fetch_verdict { TV_FETCH_FINISHED, TV_FETCH_RETRY, TV_FETCH_REDIRECT };

struct tv_fetch_outcome {
	enum tv_fetch_verdict verdict;
	int code;
	long status;
	int64_t wait_ns; /* what the host asks for, or -1 */
	char error[TV_ERR_TEXT];
};

/* Checks a URL and finds "host:port" and the address for messages. */
int tv_fetch_url_check(const char *url, bool confidential, const struct tv_secrets *secrets,
		       char **host_out, char address[TV_FETCH_ADDRESS], struct tv_err *err);

/* Makes the job's easy handle; timeout_ns is what this try may take. */
int tv_fetch_http_begin(struct tv_fetch_job *job, const struct tv_fetch_limits *limits,
			int64_t timeout_ns, struct tv_err *err);

/* Judges an ended try; follows a redirect by changing job->url. */
void tv_fetch_http_judge(struct tv_fetch_job *job, CURLcode result, int64_t wall_ns,
			 unsigned redirects_max, struct tv_fetch_outcome *out);

/* Frees what a try has. */
void tv_fetch_http_end(struct tv_fetch_job *job);

void tv_fetch_headers_free(struct curl_slist *headers); /* wipes */

#endif
