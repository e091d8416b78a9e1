#include "ingest/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "ingest/fetch-priv.h"
#include "ingest/fetch-retry.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"

#define POLL_MS 100 /* how late a cancellation may be seen */
#define NEVER INT64_MAX

struct tv_fetch {
	struct tv_fetch_limits limits;
	struct tv_fetch_time time;
	const struct tv_secrets *secrets; /* borrowed */
	CURLM *multi;
	struct tv_fetch_host *hosts;
	struct tv_fetch_job *waiting; /* for a retry, the next one due first */
	struct tv_fetch_job *under_way;
	unsigned running;
	uint64_t added, finished;
	int64_t deadline_ns; /* NEVER outside of a run, and without one */
	atomic_bool cancelled;
};

static int64_t machine_now(void *arg)
{
	(void)arg;
	return tv_boottime_ns();
}

static int64_t machine_wall(void *arg)
{
	(void)arg;
	return tv_now_ns();
}

/* Jitter, not a secret: a value that is not quite evenly spread is good enough. */
static uint64_t machine_random(void *arg, uint64_t below)
{
	uint64_t v = 0;
	(void)arg;
	if (getrandom(&v, sizeof(v), 0) != (ssize_t)sizeof(v))
		v = (uint64_t)tv_boottime_ns();
	return v % below;
}

int tv_fetch_new(const struct tv_fetch_limits *limits, const struct tv_fetch_time *time,
		 const struct tv_secrets *secrets, struct tv_fetch **out, struct tv_err *err)
{
	if (!limits->connections || !limits->host_connections || !limits->tries ||
	    limits->host_per_second < 0 || limits->request_ns <= 0 || limits->connect_ns <= 0)
		return tv_err_set(err, -EINVAL, "limits of requests must be above zero");
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		return tv_err_set(err, -ENOMEM, "libcurl cannot be used");
	struct tv_fetch *f = calloc(1, sizeof(*f));
	CURLM *multi = f ? curl_multi_init() : NULL;
	if (!multi) {
		free(f);
		curl_global_cleanup();
		return tv_err_nomem(err);
	}
	f->multi = multi;
	f->limits = *limits;
	f->time = time ? *time
		       : (struct tv_fetch_time){ machine_now, machine_wall, machine_random, NULL,
						 NULL };
	f->secrets = secrets;
	f->deadline_ns = NEVER;
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)limits->connections);
	*out = f;
	return 0;
}

static void job_free(struct tv_fetch_job *job)
{
	tv_fetch_http_end(job);
	tv_secret_free_text(job->url);
	tv_fetch_headers_free(job->headers);
	tv_buf_free(&job->body);
	free(job);
}

static void jobs_free(struct tv_fetch_job *job)
{
	while (job) {
		struct tv_fetch_job *next = job->next;
		job_free(job);
		job = next;
	}
}

static void unlink_running(struct tv_fetch *f, struct tv_fetch_job *job)
{
	curl_multi_remove_handle(f->multi, job->easy);
	*job->prev_running = job->next_running;
	if (job->next_running)
		job->next_running->prev_running = job->prev_running;
	job->host->running--;
	f->running--;
}

static void drop_running(struct tv_fetch *f)
{
	while (f->under_way) {
		struct tv_fetch_job *job = f->under_way;
		unlink_running(f, job);
		job_free(job);
	}
}

void tv_fetch_free(struct tv_fetch *f)
{
	if (!f)
		return;
	drop_running(f);
	jobs_free(f->waiting);
	while (f->hosts) {
		struct tv_fetch_host *host = f->hosts;
		f->hosts = host->next;
		jobs_free(host->first);
		free(host->name);
		free(host);
	}
	curl_multi_cleanup(f->multi);
	free(f);
	curl_global_cleanup();
}

void tv_fetch_cancel(struct tv_fetch *f)
{
	atomic_store(&f->cancelled, true);
}

/* The host of that name; a new one takes the name over. */
static struct tv_fetch_host *host_of(struct tv_fetch *f, char **name)
{
	struct tv_fetch_host **at = &f->hosts;
	for (; *at; at = &(*at)->next)
		if (strcmp((*at)->name, *name) == 0)
			return *at;
	struct tv_fetch_host *host = calloc(1, sizeof(*host));
	if (host) {
		host->name = tv_steal_ptr(name);
		host->next_ns = INT64_MIN;
		*at = host;
	}
	return host;
}

static void enqueue(struct tv_fetch_job *job)
{
	struct tv_fetch_host *host = job->host;
	job->next = NULL;
	if (host->first)
		host->last->next = job;
	else
		host->first = job;
	host->last = job;
}

static int copy_headers(struct tv_fetch_job *job, const char *const *headers, struct tv_err *err)
{
	for (; headers && *headers; headers++) {
		if (strpbrk(*headers, "\r\n") || !strchr(*headers, ':'))
			return tv_err_set(err, -EINVAL, "%s: a header is not 'Name: value'",
					  job->address);
		struct curl_slist *grown = curl_slist_append(job->headers, *headers);
		if (!grown)
			return tv_err_nomem(err);
		job->headers = grown;
	}
	return 0;
}

int tv_fetch_add(struct tv_fetch *f, const struct tv_fetch_request *request, struct tv_err *err)
{
	tv_autofree char *name = NULL;
	struct tv_fetch_job *job = calloc(1, sizeof(*job));
	if (!job)
		return tv_err_nomem(err);
	int r = tv_fetch_url_check(request->url, request->confidential, f->secrets, &name,
				   job->address, err);
	r = r ?: copy_headers(job, request->headers, err);
	if (r == 0) {
		job->url = strdup(request->url);
		job->host = host_of(f, &name);
		if (!job->url || !job->host)
			r = tv_err_nomem(err);
	}
	if (r < 0) {
		job_free(job);
		return r;
	}
	job->confidential = request->confidential;
	job->done = request->done;
	job->arg = request->arg;
	enqueue(job);
	f->added++;
	return 0;
}

/* Puts a job among those that wait, which are sorted by time. */
static void delay(struct tv_fetch *f, struct tv_fetch_job *job, int64_t due_ns)
{
	struct tv_fetch_job **at = &f->waiting;
	job->due_ns = due_ns;
	while (*at && (*at)->due_ns <= due_ns)
		at = &(*at)->next;
	job->next = *at;
	*at = job;
}

static int64_t host_wait(struct tv_fetch *f, struct tv_fetch_job *job, int64_t wait_ns,
			 struct tv_fetch_outcome *out, int64_t now)
{
	if (wait_ns > f->limits.retry_after_max_ns) {
		size_t used = strlen(out->error);
		snprintf(out->error + used, sizeof(out->error) - used,
			 "; it asks to wait %lld s, more than is allowed",
			 (long long)(wait_ns / 1000000000));
		return -1;
	}
	/* everybody waits who wants something of that host */
	if (job->host->next_ns < now + wait_ns)
		job->host->next_ns = now + wait_ns;
	return wait_ns;
}

/* True when the job was put off; false when this was its last try. */
static bool retry(struct tv_fetch *f, struct tv_fetch_job *job, struct tv_fetch_outcome *out)
{
	if (job->tries >= f->limits.tries)
		return false;
	int64_t now = f->time.now_ns(f->time.arg);
	int64_t wait = tv_fetch_backoff(&f->limits, job->tries, &f->time);
	if (out->wait_ns >= 0) {
		int64_t asked = host_wait(f, job, out->wait_ns, out, now);
		if (asked < 0)
			return false;
		wait = wait > asked ? wait : asked;
	}
	if (f->deadline_ns != NEVER && wait >= f->deadline_ns - now) {
		size_t used = strlen(out->error);
		snprintf(out->error + used, sizeof(out->error) - used,
			 "; the next try would come after the deadline of the whole");
		return false;
	}
	delay(f, job, now + wait);
	return true;
}

/* Calls back and frees the job, or keeps it when the callback wants another try. */
static int finish(struct tv_fetch *f, struct tv_fetch_job *job, struct tv_fetch_outcome *out,
		  struct tv_err *err)
{
	char text[TV_ERR_TEXT + TV_FETCH_ADDRESS + 64] = "";
	if (out->code < 0)
		snprintf(text, sizeof(text), "%s: %s (try %u of %u)", job->address, out->error,
			 job->tries, f->limits.tries);
	tv_secrets_redact(f->secrets, text);
	tv_buf_add_u8(&job->body, 0);
	bool body = !job->body.failed && out->code != -EFBIG;
	struct tv_fetch_answer answer = {
		.code = out->code,
		.error = text,
		.status = out->status,
		.body = body ? (const char *)job->body.data : "",
		.len = body ? job->body.len - 1 : 0,
		.type = job->type,
		.address = job->address,
		.tries = job->tries,
		.last = out->code < 0 || job->tries >= f->limits.tries,
	};
	int r = job->done(job->arg, &answer, err);
	if (r == TV_FETCH_AGAIN && !answer.last) {
		if (retry(f, job, out))
			return 0;
		answer.last = true; /* the deadline is too near */
		r = job->done(job->arg, &answer, err);
	}
	job_free(job);
	f->finished++;
	return r < 0 ? r : 0;
}

static int end_try(struct tv_fetch *f, CURL *easy, CURLcode result, struct tv_err *err)
{
	struct tv_fetch_job *job = NULL;
	struct tv_fetch_outcome out;
	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&job);
	tv_fetch_http_judge(job, result, f->time.wall_ns(f->time.arg), f->limits.redirects, &out);
	unlink_running(f, job);
	tv_fetch_http_end(job);
	if (out.verdict == TV_FETCH_REDIRECT) {
		job->tries--; /* the same try, elsewhere */
		enqueue(job);
		return 0;
	}
	job->redirects = 0;
	if (out.verdict == TV_FETCH_RETRY && retry(f, job, &out))
		return 0;
	return finish(f, job, &out, err);
}

static int begin_try(struct tv_fetch *f, struct tv_fetch_host *host, int64_t now,
		     struct tv_err *err)
{
	struct tv_fetch_job *job = host->first;
	int64_t timeout = f->limits.request_ns;
	if (f->deadline_ns != NEVER && f->deadline_ns - now < timeout)
		timeout = f->deadline_ns - now;
	int r = tv_fetch_http_begin(job, &f->limits, timeout, err);
	if (r < 0)
		return r;
	if (curl_multi_add_handle(f->multi, job->easy) != CURLM_OK) {
		tv_fetch_http_end(job);
		return tv_err_nomem(err);
	}
	host->first = job->next;
	job->tries++;
	job->prev_running = &f->under_way;
	job->next_running = f->under_way;
	if (f->under_way)
		f->under_way->prev_running = &job->next_running;
	f->under_way = job;
	host->running++;
	f->running++;
	if (f->limits.host_per_second > 0) {
		int64_t from = host->next_ns > now ? host->next_ns : now;
		host->next_ns = from + (int64_t)(1e9 / f->limits.host_per_second);
	}
	return 0;
}

static int begin_ready(struct tv_fetch *f, int64_t now, struct tv_err *err)
{
	while (f->waiting && f->waiting->due_ns <= now) {
		struct tv_fetch_job *job = f->waiting;
		f->waiting = job->next;
		enqueue(job);
	}
	for (struct tv_fetch_host *host = f->hosts; host; host = host->next) {
		while (host->first && f->running < f->limits.connections &&
		       host->running < f->limits.host_connections && host->next_ns <= now) {
			int r = begin_try(f, host, now, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* After the deadline nothing begins any more. */
static int give_up(struct tv_fetch *f, struct tv_err *err)
{
	int r = 0;
	while (f->waiting) {
		struct tv_fetch_job *job = f->waiting;
		f->waiting = job->next;
		enqueue(job);
	}
	for (struct tv_fetch_host *host = f->hosts; host && r == 0; host = host->next) {
		while (host->first && r == 0) {
			struct tv_fetch_job *job = host->first;
			struct tv_fetch_outcome out = { .code = -ETIMEDOUT, .wait_ns = -1 };
			host->first = job->next;
			tv_buf_clear(&job->body);
			snprintf(out.error, sizeof(out.error),
				 "the deadline of the whole passed before it was %s",
				 job->tries ? "tried again" : "asked for");
			r = finish(f, job, &out, err);
		}
	}
	return r;
}

static int64_t next_event(const struct tv_fetch *f)
{
	int64_t next = f->waiting ? f->waiting->due_ns : NEVER;
	for (const struct tv_fetch_host *host = f->hosts; host; host = host->next)
		if (host->first && host->running < f->limits.host_connections &&
		    host->next_ns < next)
			next = host->next_ns;
	return next < f->deadline_ns ? next : f->deadline_ns;
}

static int wait_for_more(struct tv_fetch *f, struct tv_err *err)
{
	int64_t now = f->time.now_ns(f->time.arg), next = next_event(f);
	int64_t ns = next == NEVER ? NEVER : next > now ? next - now : 0;
	if (f->running == 0 && f->time.wait_ns) {
		if (ns > 0 && ns != NEVER)
			f->time.wait_ns(f->time.arg, ns);
		return 0;
	}
	/* a host that may be asked again now, but that others keep from it, waits for their end */
	int64_t ms = ns / 1000000 + (ns > 0);
	if (ms > POLL_MS || f->running >= f->limits.connections)
		ms = POLL_MS;
	if (curl_multi_poll(f->multi, NULL, 0, (int)ms, NULL) != CURLM_OK)
		return tv_err_set(err, -EIO, "libcurl cannot wait for its connections");
	return 0;
}

static int step(struct tv_fetch *f, const struct tv_progress *progress, struct tv_err *err)
{
	int left, still;
	if (atomic_load(&f->cancelled) ||
	    tv_progress_step(progress, "fetching", f->finished, f->added, "requests"))
		return tv_err_set(err, -TV_E_INTERRUPTED, "fetching was stopped");
	int64_t now = f->time.now_ns(f->time.arg);
	int r = now >= f->deadline_ns ? give_up(f, err) : begin_ready(f, now, err);
	if (r < 0)
		return r;
	if (curl_multi_perform(f->multi, &still) != CURLM_OK)
		return tv_err_set(err, -EIO, "libcurl cannot go on");
	bool ended = false;
	CURLMsg *message;
	while ((message = curl_multi_info_read(f->multi, &left))) {
		if (message->msg != CURLMSG_DONE)
			continue;
		ended = true;
		r = end_try(f, message->easy_handle, message->data.result, err);
		if (r < 0)
			return r;
	}
	return ended || f->finished == f->added ? 0 : wait_for_more(f, err);
}

int64_t tv_fetch_total_ns(const struct tv_fetch *f)
{
	return f->limits.total_ns;
}

int tv_fetch_run(struct tv_fetch *f, const struct tv_progress *progress, struct tv_err *err)
{
	int r = 0;
	if (f->limits.total_ns > 0)
		f->deadline_ns = f->time.now_ns(f->time.arg) + f->limits.total_ns;
	while (r == 0 && f->finished < f->added)
		r = step(f, progress, err);
	if (r == 0)
		tv_progress_step(progress, "fetching", f->finished, f->added, "requests");
	drop_running(f);
	f->deadline_ns = NEVER;
	return r;
}
