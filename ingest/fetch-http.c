#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ingest/fetch-priv.h"
#include "ingest/fetch-retry.h"
#include "store/base/cleanup.h"

static void url_free_p(CURLU **url)
{
	curl_url_cleanup(*url);
}

static void curl_text_free_p(char **text)
{
	if (*text)
		explicit_bzero(*text, strlen(*text));
	curl_free(*text);
}

#define autourl __attribute__((cleanup(url_free_p)))
#define autotext __attribute__((cleanup(curl_text_free_p)))

static bool is_loopback(const char *host)
{
	bool v4 = strncmp(host, "127.", 4) == 0 && !host[strspn(host, "0123456789.")];
	return v4 || strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
}

/* The same of "host:port". */
static bool is_here(const char *name)
{
	char host[64];
	const char *colon = strrchr(name, ':');
	size_t n = colon ? (size_t)(colon - name) : strlen(name);
	if (n >= sizeof(host))
		return false;
	memcpy(host, name, n);
	host[n] = '\0';
	return is_loopback(host);
}

static int check_parts(const char *scheme, const char *host, bool login, bool confidential,
		       struct tv_err *err)
{
	if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
		return tv_err_set(err, -EINVAL, "'%s' is not a protocol that is used here", scheme);
	if (login)
		return tv_err_set(err, -EINVAL,
				  "a URL to %s has a user or password in it; give keys by name",
				  host);
	if (confidential && strcmp(scheme, "https") != 0 && !is_loopback(host))
		return tv_err_set(err, -EINVAL, "a key would go to %s without encryption", host);
	return 0;
}

int tv_fetch_url_check(const char *url, bool confidential, const struct tv_secrets *secrets,
		       char **host_out, char address[TV_FETCH_ADDRESS], struct tv_err *err)
{
	autourl CURLU *u = curl_url();
	autotext char *scheme = NULL, *host = NULL, *port = NULL, *path = NULL, *user = NULL,
		      *password = NULL;
	if (!u)
		return tv_err_nomem(err);
	if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_PATH, &path, 0) != CURLUE_OK)
		return tv_err_set(err, -EINVAL,
				  "not a URL of http or https (its text may hold "
				  "keys, so it is not shown)");
	bool login = curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK ||
		     curl_url_get(u, CURLUPART_PASSWORD, &password, 0) == CURLUE_OK;
	int r = check_parts(scheme, host, login, confidential, err);
	if (r < 0)
		return r;
	char *name = NULL;
	if (asprintf(&name, "%s:%s", host, port) < 0)
		return tv_err_nomem(err);
	/* before it is cut, or a part of a key could stay */
	tv_secrets_redact(secrets, path);
	snprintf(address, TV_FETCH_ADDRESS, "%s%s", is_loopback(host) ? name : host, path);
	*host_out = name;
	return 0;
}

/* The value of a header line when it has that name. */
static void take_field(const char *line, size_t n, const char *name, char out[TV_FETCH_FIELD])
{
	size_t k = strlen(name);
	if (n <= k || strncasecmp(line, name, k) != 0 || line[k] != ':')
		return;
	line += k + 1;
	n -= k + 1;
	while (n && (*line == ' ' || *line == '\t')) {
		line++;
		n--;
	}
	while (n && (unsigned char)line[n - 1] <= ' ')
		n--;
	if (n < TV_FETCH_FIELD) {
		memcpy(out, line, n);
		out[n] = '\0';
	}
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct tv_fetch_job *job = arg;
	take_field(line, size * n, "retry-after", job->retry_after);
	take_field(line, size * n, "content-type", job->type);
	return size * n;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct tv_fetch_job *job = arg;
	n *= size;
	job->too_big = n > job->body_max || job->body.len > job->body_max - n;
	if (job->too_big)
		return 0;
	tv_buf_add(&job->body, bytes, n);
	return job->body.failed ? 0 : n;
}

static long milliseconds(int64_t ns)
{
	int64_t ms = (ns + 999999) / 1000000;
	return ms < 1 ? 1 : (long)ms;
}

static CURLcode only_http(CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	return curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

int tv_fetch_http_begin(struct tv_fetch_job *job, const struct tv_fetch_limits *limits,
			int64_t timeout_ns, struct tv_err *err)
{
	int64_t connect = limits->connect_ns < timeout_ns ? limits->connect_ns : timeout_ns;
	CURL *easy = curl_easy_init();
	if (!easy)
		return tv_err_nomem(err);
	job->easy = easy;
	job->body_max = limits->body_max;
	job->too_big = false;
	job->retry_after[0] = job->type[0] = '\0';
	tv_buf_clear(&job->body);
	CURLcode bad = only_http(easy);
	bad = bad ?: curl_easy_setopt(easy, CURLOPT_URL, job->url);
	bad = bad ?: curl_easy_setopt(easy, CURLOPT_HTTPHEADER, job->headers);
	bad = bad ?: curl_easy_setopt(easy, CURLOPT_PRIVATE, job);
	bad = bad ?: curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	bad = bad ?: curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	bad = bad ?: curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	bad = bad ?: curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	bad = bad ?: curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
	bad = bad ?: curl_easy_setopt(easy, CURLOPT_USERAGENT, "tvfs/" TVFS_VERSION);
	bad = bad ?: curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, milliseconds(timeout_ns));
	bad = bad ?: curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(connect));
	/* What is on this machine is not there for a proxy, which would see keys in plain text. */
	if (is_here(job->host->name))
		bad = bad ?: curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	bad = bad ?: curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	bad = bad ?: curl_easy_setopt(easy, CURLOPT_HEADERDATA, job);
	bad = bad ?: curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	bad = bad ?: curl_easy_setopt(easy, CURLOPT_WRITEDATA, job);
	if (bad) {
		tv_fetch_http_end(job);
		return tv_err_set(err, bad == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL, "%s: %s",
				  job->address, curl_easy_strerror(bad));
	}
	return 0;
}

void tv_fetch_http_end(struct tv_fetch_job *job)
{
	curl_easy_cleanup(job->easy);
	job->easy = NULL;
}

void tv_fetch_headers_free(struct curl_slist *headers)
{
	for (struct curl_slist *h = headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(headers);
}

static const struct {
	CURLcode result;
	int code;
	bool passes;
} results[] = {
	{ CURLE_COULDNT_RESOLVE_HOST, -ECONNABORTED, true },
	{ CURLE_COULDNT_RESOLVE_PROXY, -ECONNABORTED, true },
	{ CURLE_COULDNT_CONNECT, -ECONNABORTED, true },
	{ CURLE_OPERATION_TIMEDOUT, -ETIMEDOUT, true },
	{ CURLE_PARTIAL_FILE, -ECONNABORTED, true },
	{ CURLE_GOT_NOTHING, -ECONNABORTED, true },
	{ CURLE_SEND_ERROR, -ECONNABORTED, true },
	{ CURLE_RECV_ERROR, -ECONNABORTED, true },
	{ CURLE_SSL_CONNECT_ERROR, -ECONNABORTED, true },
	{ CURLE_BAD_CONTENT_ENCODING, -EPROTO, true },
	{ CURLE_WRITE_ERROR, -EPROTO, true }, /* how a broken gzip stream is told */
	{ CURLE_HTTP2, -ECONNABORTED, true },
	{ CURLE_HTTP2_STREAM, -ECONNABORTED, true },
	{ CURLE_OUT_OF_MEMORY, -ENOMEM, false },
};

static void judge_failure(struct tv_fetch_job *job, CURLcode result, struct tv_fetch_outcome *out)
{
	out->code = -EPROTO;
	for (size_t i = 0; i < TV_ARRAY_LEN(results); i++) {
		if (results[i].result == result) {
			out->code = results[i].code;
			out->verdict = results[i].passes ? TV_FETCH_RETRY : TV_FETCH_FINISHED;
		}
	}
	if (job->body.failed) {
		out->verdict = TV_FETCH_FINISHED;
		out->code = -ENOMEM;
	}
	snprintf(out->error, sizeof(out->error), "%s", curl_easy_strerror(result));
	if (job->too_big) {
		out->verdict = TV_FETCH_FINISHED;
		out->code = -EFBIG;
		snprintf(out->error, sizeof(out->error), "the answer has more than %zu bytes",
			 job->body_max);
	}
}

/* 0 and the job asks elsewhere; else why not. */
static int redirect(struct tv_fetch_job *job, const char *target, struct tv_err *err)
{
	tv_autofree char *host = NULL;
	char address[TV_FETCH_ADDRESS];
	int r = tv_fetch_url_check(target, job->confidential, NULL, &host, address, err);
	if (r < 0)
		return tv_err_wrap(err, r, "redirected");
	size_t n = strcspn(job->host->name, ":");
	/* the same name on the ports of http and https is the same host */
	bool upgrade = strncasecmp(job->host->name, host, n + 1) == 0 &&
		       strcmp(job->host->name + n, ":80") == 0 && strcmp(host + n, ":443") == 0;
	if (strcasecmp(job->host->name, host) != 0 && !upgrade)
		return tv_err_set(err, -EXDEV, "redirects to another host, %s", host);
	if (strncmp(job->url, "https:", 6) == 0 && strncmp(target, "https:", 6) != 0)
		return tv_err_set(err, -EXDEV, "redirects from https to http");
	char *copy = strdup(target);
	if (!copy)
		return tv_err_nomem(err);
	tv_secret_free_text(job->url);
	job->url = copy;
	return 0;
}

static void judge_redirect(struct tv_fetch_job *job, unsigned most, struct tv_fetch_outcome *out)
{
	struct tv_err err = TV_ERR_INIT;
	char *target = NULL;
	int r;
	curl_easy_getinfo(job->easy, CURLINFO_REDIRECT_URL, &target);
	if (!target)
		r = tv_err_set(&err, -EPROTO, "HTTP %ld without a place to go to", out->status);
	else if (job->redirects >= most)
		r = tv_err_set(&err, -ELOOP, "more than %u redirects", most);
	else
		r = redirect(job, target, &err);
	if (r == 0) {
		job->redirects++;
		out->verdict = TV_FETCH_REDIRECT;
		return;
	}
	out->code = r == -ELOOP ? -EPROTO : r == -EINVAL ? -EXDEV : r;
	snprintf(out->error, sizeof(out->error), "%s", err.text);
}

void tv_fetch_http_judge(struct tv_fetch_job *job, CURLcode result, int64_t wall_ns,
			 unsigned redirects_max, struct tv_fetch_outcome *out)
{
	*out = (struct tv_fetch_outcome){ .verdict = TV_FETCH_FINISHED, .wait_ns = -1 };
	curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &out->status);
	if (job->retry_after[0])
		out->wait_ns = tv_fetch_retry_after(job->retry_after, wall_ns);
	if (result != CURLE_OK) {
		judge_failure(job, result, out);
	} else if (out->status >= 300 && out->status < 400) {
		judge_redirect(job, redirects_max, out);
	} else {
		out->code = tv_fetch_status_code(out->status);
		if (out->code == 0)
			return;
		snprintf(out->error, sizeof(out->error), "HTTP %ld", out->status);
		if (tv_fetch_status_passes(out->status, out->wait_ns >= 0))
			out->verdict = TV_FETCH_RETRY;
	}
}
