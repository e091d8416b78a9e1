/*
 * Fetches URLs with the library's limits, for the tests.
 *
 *	helper-fetch [OPTION...] URL...
 *		--tries N  --connections N  --host-connections N  --per-second X  --body-max BYTES
 *		--request-ms N  --total-ms N  --retry-after-max-s N  --header TEXT  --key-env VARIABLE
 *		--json (an answer that is not JSON is asked for again)  --stop-after N  --real-time
 *
 * Prints a line of JSON for each answer, then {"code", "error", "waited_s"} of the whole. Time is
 * virtual unless --real-time is given: what would be waited for is only added up. "{key}" in a URL
 * becomes the key, and makes the request confidential. --header may name "{key}" too.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/fetch.h"
#include "store/base/buf.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/json.h"

#define HEADERS_MAX 8

struct setup {
	struct tv_fetch_limits limits;
	const char *headers[HEADERS_MAX + 1];
	int n_headers;
	const char *key_env;
	bool json, real_time;
	unsigned stop_after, answers;
	int64_t waited_ns;
	struct tv_fetch *fetch;
};

static int64_t virtual_now(void *arg)
{
	return tv_boottime_ns() + ((struct setup *)arg)->waited_ns;
}

static int64_t virtual_wall(void *arg)
{
	return tv_now_ns() + ((struct setup *)arg)->waited_ns;
}

static uint64_t half(void *arg, uint64_t below)
{
	(void)arg;
	return below / 2;
}

static void wait_virtually(void *arg, int64_t ns)
{
	((struct setup *)arg)->waited_ns += ns;
}

static void print_line(cJSON *doc)
{
	char *text = cJSON_PrintUnformatted(doc);
	puts(text ? text : "{}");
	free(text);
	cJSON_Delete(doc);
}

static int on_answer(void *arg, const struct tv_fetch_answer *answer, struct tv_err *err)
{
	struct setup *s = arg;
	(void)err;
	cJSON *parsed = NULL;
	if (s->json && answer->code == 0 && !answer->last &&
	    tv_json_parse(answer->body, answer->len, &parsed, NULL) < 0)
		return TV_FETCH_AGAIN;
	cJSON_Delete(parsed);
	cJSON *doc = cJSON_CreateObject();
	cJSON_AddNumberToObject(doc, "code", -answer->code);
	cJSON_AddStringToObject(doc, "error", answer->error);
	cJSON_AddNumberToObject(doc, "status", (double)answer->status);
	cJSON_AddNumberToObject(doc, "len", (double)answer->len);
	cJSON_AddStringToObject(doc, "type", answer->type);
	cJSON_AddStringToObject(doc, "address", answer->address);
	cJSON_AddNumberToObject(doc, "tries", answer->tries);
	tv_json_add_bytes(doc, "body", answer->body, answer->len < 4096 ? answer->len : 4096);
	print_line(doc);
	if (++s->answers == s->stop_after)
		tv_fetch_cancel(s->fetch);
	return 0;
}

static const struct option options[] = { { "tries", 1, NULL, 't' },
					 { "connections", 1, NULL, 'c' },
					 { "host-connections", 1, NULL, 'h' },
					 { "per-second", 1, NULL, 'p' },
					 { "body-max", 1, NULL, 'b' },
					 { "request-ms", 1, NULL, 'r' },
					 { "total-ms", 1, NULL, 'T' },
					 { "retry-after-max-s", 1, NULL, 'a' },
					 { "header", 1, NULL, 'H' },
					 { "key-env", 1, NULL, 'k' },
					 { "json", 0, NULL, 'j' },
					 { "stop-after", 1, NULL, 's' },
					 { "real-time", 0, NULL, 'R' },
					 { NULL, 0, NULL, 0 } };

static bool set_limit(struct tv_fetch_limits *limits, int option, double v)
{
	switch (option) {
	case 't':
		return (limits->tries = (unsigned)v);
	case 'c':
		return (limits->connections = (unsigned)v);
	case 'h':
		return (limits->host_connections = (unsigned)v);
	case 'p':
		return (limits->host_per_second = v) > 0;
	case 'b':
		return (limits->body_max = (size_t)v);
	case 'r':
		return (limits->request_ns = (int64_t)(v * 1e6));
	case 'T':
		return (limits->total_ns = (int64_t)(v * 1e6));
	case 'a':
		return (limits->retry_after_max_ns = (int64_t)(v * 1e9));
	default:
		return false;
	}
}

static int parse(int argc, char **argv, struct setup *s)
{
	int option;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'j')
			s->json = true;
		else if (option == 'R')
			s->real_time = true;
		else if (option == 'k')
			s->key_env = optarg;
		else if (option == 's' && optarg)
			s->stop_after = (unsigned)strtoul(optarg, NULL, 10);
		else if (option == 'H' && s->n_headers < HEADERS_MAX)
			s->headers[s->n_headers++] = optarg;
		else if (!set_limit(&s->limits, option, optarg ? strtod(optarg, NULL) : 0))
			return -1;
	}
	return 0;
}

/* A new string: the text with "{key}" replaced. */
static char *with_key(const char *text, const char *key)
{
	const char *at = key ? strstr(text, "{key}") : NULL;
	struct tv_buf b = TV_BUF_INIT;
	if (at) {
		tv_buf_add(&b, text, (size_t)(at - text));
		tv_buf_add_str(&b, key);
		text = at + 5;
	}
	tv_buf_add_str(&b, text);
	return tv_buf_steal_str(&b);
}

static int add_one(struct setup *s, const char *url, const struct tv_secrets *secrets,
		   struct tv_err *err)
{
	char *headers[HEADERS_MAX + 1] = { NULL };
	tv_autofree char *whole = with_key(url, tv_secrets_get_encoded(secrets, "key"));
	for (int i = 0; i < s->n_headers; i++)
		headers[i] = with_key(s->headers[i], tv_secrets_get(secrets, "key"));
	struct tv_fetch_request request = {
		.url = whole,
		.headers = (const char *const *)headers,
		.confidential = s->key_env != NULL,
		.done = on_answer,
		.arg = s,
	};
	int r = tv_fetch_add(s->fetch, &request, err);
	for (int i = 0; i < s->n_headers; i++)
		free(headers[i]);
	return r;
}

static int add_all(struct setup *s, const struct tv_secrets *secrets, char **urls,
		   struct tv_err *err)
{
	int r = 0;
	for (; *urls && r == 0; urls++)
		r = add_one(s, *urls, secrets, err);
	return r;
}

int main(int argc, char **argv)
{
	struct setup s = { .limits = TV_FETCH_LIMITS_INIT };
	struct tv_err err = TV_ERR_INIT;
	tv_auto(tv_secrets_free_p) struct tv_secrets *secrets = NULL;
	struct tv_fetch_time time = { virtual_now, virtual_wall, half, wait_virtually, &s };
	if (parse(argc, argv, &s) < 0)
		return 2;
	int r = tv_secrets_new(&secrets, &err);
	if (r == 0 && s.key_env)
		r = tv_secrets_add_env(secrets, "key", s.key_env, &err);
	r = r ?: tv_fetch_new(&s.limits, s.real_time ? NULL : &time, secrets, &s.fetch, &err);
	r = r ?: add_all(&s, secrets, argv + optind, &err);
	r = r ?: tv_fetch_run(s.fetch, NULL, &err);
	cJSON *doc = cJSON_CreateObject();
	cJSON_AddNumberToObject(doc, "code", -r);
	cJSON_AddStringToObject(doc, "error", err.text);
	cJSON_AddNumberToObject(doc, "waited_s", (double)s.waited_ns / 1e9);
	print_line(doc);
	tv_fetch_free(s.fetch);
	return tv_err_exit_code(r);
}
