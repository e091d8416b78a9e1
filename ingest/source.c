#include "ingest/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/source-priv.h"
#include "store/base/cleanup.h"

#define PAGES_MAX 10000

/* Every kind of source, and where the public ones are: nothing else names them. */
static const struct tv_source_kind kinds[] = {
	{ "binance", "https://api.binance.com",
	  "/api/v3/klines?symbol={symbol}&interval=1d&startTime={from_ms}&endTime={last_ms}"
	  "&limit=1000",
	  "{plain}", 1000, tv_parse_binance, NULL },
	{ "coinbase", "https://api.exchange.coinbase.com",
	  "/products/{symbol}/candles?granularity=86400&start={from_iso}&end={last_iso}",
	  "{hyphen}", 300, tv_parse_coinbase, NULL },
	/* the last 720 days, whatever is asked for */
	{ "kraken", "https://api.kraken.com",
	  "/0/public/OHLC?pair={symbol}&interval=1440&since={before}", "{plain}", 0,
	  tv_parse_kraken, NULL },
	{ "yahoo", "https://query1.finance.yahoo.com",
	  "/v8/finance/chart/{symbol}?period1={from}&period2={to}&interval=1d&events=history",
	  "{plain}", 0, tv_parse_yahoo, NULL },
	{ "stooq", "https://stooq.com", "/q/d/l/?s={symbol}&d1={from_ymd}&d2={last_ymd}&i=d",
	  "{lower}.us", 0, tv_parse_csv, NULL },
	{ "json", NULL, NULL, "{plain}", 0, tv_parse_json, NULL },
	{ "csv", NULL, NULL, "{plain}", 0, tv_parse_csv, NULL },
	{ "folder", NULL, NULL, "{plain}", 0, tv_parse_csv, tv_read_folder },
	{ "exec", NULL, NULL, "{plain}", 0, tv_parse_csv, tv_read_exec },
};

static const struct tv_source_kind *find_kind(const char *name)
{
	for (size_t i = 0; name && i < TV_ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

static int whole_url(struct tv_source *s, struct tv_err *err)
{
	const char *base = s->base ? s->base : s->kind->base;
	if (!s->kind->path)
		return s->url || s->kind->read
			       ? 0
			       : tv_err_set(err, -EINVAL, "source %s: 'url' is missing", s->name);
	size_t n = strlen(base);
	while (n && base[n - 1] == '/')
		n--;
	free(s->url);
	if (asprintf(&s->url, "%.*s%s", (int)n, base, s->kind->path) < 0) {
		s->url = NULL;
		return tv_err_nomem(err);
	}
	return 0;
}

int tv_source_new(const char *name, const cJSON *settings, struct tv_secrets *secrets,
		  struct tv_source **out, struct tv_err *err)
{
	const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(settings, "kind"));
	tv_auto(tv_source_free_p) struct tv_source *s = calloc(1, sizeof(*s));
	if (!s)
		return tv_err_nomem(err);
	s->kind = find_kind(kind);
	if (!s->kind)
		return tv_err_set(err, -EINVAL,
				  "source %s: 'kind' is none of binance, coinbase, kraken, yahoo, "
				  "stooq, json, csv, folder, exec",
				  name);
	s->secrets = secrets;
	s->name = strdup(name);
	s->page_days = s->kind->page_days;
	s->layout.delimiter = ',';
	s->layout.volume_optional = strcmp(s->kind->name, "stooq") == 0;
	s->deadline_ns = INT64_C(60000000000);
	s->output_max = (size_t)64 << 20;
	int r = s->name ? tv_source_settings(s, settings, secrets, err) : tv_err_nomem(err);
	if (r == 0 && !s->symbol && !(s->symbol = strdup(s->kind->symbol)))
		r = tv_err_nomem(err);
	if (r == 0)
		r = whole_url(s, err);
	if (r == 0)
		*out = tv_steal_ptr(&s);
	return r;
}

void tv_source_free(struct tv_source *s)
{
	if (!s)
		return;
	free(s->name);
	free(s->base);
	free(s->url);
	free(s->symbol);
	cJSON_Delete(s->symbols);
	tv_source_strings_free(s->headers);
	for (int c = 0; c < TV_COLUMNS; c++)
		free(s->layout.columns[c]);
	free(s->layout.rows);
	free(s->folder);
	tv_source_strings_free(s->argv);
	tv_source_strings_free(s->env);
	free(s);
}

const char *tv_source_name(const struct tv_source *s)
{
	return s->name;
}

const char *tv_source_kind(const struct tv_source *s)
{
	return s->kind->name;
}

bool tv_source_is_http(const struct tv_source *s)
{
	return !s->kind->read;
}

unsigned tv_source_pages(const struct tv_source *s, int64_t from, int64_t to)
{
	if (from >= to)
		return 0;
	if (!s->page_days)
		return 1;
	int64_t span = (int64_t)s->page_days * TV_DAY_SECONDS, pages = (to - from - 1) / span + 1;
	return pages > PAGES_MAX ? PAGES_MAX : (unsigned)pages;
}

static int expand_headers(const struct tv_source *s, const struct tv_source_words *words,
			  struct tv_source_call *out, struct tv_err *err)
{
	size_t n = 0;
	while (s->headers && s->headers[n])
		n++;
	out->headers = calloc(n + 1, sizeof(*out->headers));
	if (!out->headers)
		return tv_err_nomem(err);
	for (size_t i = 0; i < n; i++) {
		int r = tv_source_expand(s, s->headers[i], words, &out->headers[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

int tv_source_call(const struct tv_source *s, const char *symbol, int64_t from, int64_t to,
		   unsigned page, struct tv_source_call *out, struct tv_err *err)
{
	tv_autofree char *own = NULL;
	struct tv_source_call call = { .confidential = s->has_keys };
	int r = tv_source_own_symbol(s, symbol, &own, err);
	if (r < 0)
		return r;
	int64_t span = s->page_days ? (int64_t)s->page_days * TV_DAY_SECONDS : to - from;
	int64_t begin = from + (int64_t)page * span;
	struct tv_source_words words = { .symbol = own,
					 .plain = symbol,
					 .from = begin,
					 .to = to - begin > span ? begin + span : to,
					 .encode = true };
	r = tv_source_expand(s, s->url, &words, &call.url, err);
	words.encode = false;
	r = r ?: expand_headers(s, &words, &call, err);
	if (r < 0)
		tv_source_call_free(&call);
	else
		*out = call;
	return r;
}

void tv_source_call_free(struct tv_source_call *call)
{
	tv_secret_free_text(call->url);
	for (char **h = call->headers; h && *h; h++)
		tv_secret_free_text(*h);
	free(call->headers);
	*call = (struct tv_source_call){ 0 };
}

/* Of an answer with an error's status only its complaint counts. */
static int judge_status(long status, int r, struct tv_err *err)
{
	if (status < 400)
		return r;
	if (r == -TV_E_MISSING || r == -EBUSY || r == -EREMOTE)
		return tv_err_wrap(err, r, "HTTP %ld", status);
	tv_err_clear(err);
	return tv_err_set(err, status == 404 ? -TV_E_MISSING : -EPROTO, "HTTP %ld", status);
}

size_t tv_source_redact(const struct tv_source *s, char *bytes, size_t n)
{
	return tv_secrets_redact_bytes(s->secrets, bytes, n);
}

/* A message shows a part of the body: of one without keys, or the cut could leave half a key. */
static int explain(const struct tv_source *s, const char *own, long status, const char *body,
		   size_t n, int code, struct tv_err *why)
{
	tv_autobars struct tv_bars none = TV_BARS_INIT;
	char *copy = s->has_keys && n ? malloc(n) : NULL;
	if (!copy)
		return s->has_keys && n ? tv_err_nomem(why) : code;
	memcpy(copy, body, n);
	n = tv_source_redact(s, copy, n);
	tv_err_clear(why);
	int r = judge_status(status, s->kind->parse(s, own, copy, n, &none, why), why);
	if (r == 0)
		tv_err_set(why, code, "a key stands where none should");
	free(copy);
	return code;
}

int tv_source_parse(const struct tv_source *s, const char *symbol, long http_status,
		    const char *body, size_t n, struct tv_bars *out, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	tv_autofree char *own = NULL;
	size_t before = out->n;
	int r = tv_source_own_symbol(s, symbol, &own, &why);
	if (r == 0) {
		r = judge_status(http_status, s->kind->parse(s, own, body, n, out, &why), &why);
		if (r < 0)
			r = explain(s, own, http_status, body, n, r, &why);
	}
	if (r == 0)
		return 0;
	out->n = before;
	return tv_err_set(err, r, "%s from %s: %s", symbol, s->name, why.text);
}

static int parse_body(const struct tv_source *s, const struct tv_source_ask *ask, const char *own,
		      const struct tv_source_body *got, struct tv_bars *out, struct tv_err *why)
{
	const char *text = got->bytes.data ? (const char *)got->bytes.data : "";
	if (got->parquet)
		return tv_parse_parquet(s, ask->duck, got, out, why);
	int r = s->kind->parse(s, own, text, got->bytes.len, out, why);
	return r < 0 ? explain(s, own, 0, text, got->bytes.len, r, why) : 0;
}

int tv_source_read(const struct tv_source *s, const struct tv_source_ask *ask, struct tv_bars *out,
		   struct tv_buf *body, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	struct tv_source_body got = { .bytes = TV_BUF_INIT };
	tv_autofree char *own = NULL;
	size_t before = out->n;
	int r = s->kind->read ? tv_source_own_symbol(s, ask->symbol, &own, &why)
			      : tv_err_set(&why, -EINVAL, "it is asked over HTTP");
	r = r ?: s->kind->read(s, ask, own, &got, &why);
	r = r ?: parse_body(s, ask, own, &got, out, &why);
	if (r < 0) {
		out->n = before;
		tv_secrets_redact(s->secrets, why.text);
		tv_err_set(err, r, "%s from %s: %s", ask->symbol, s->name, why.text);
	}
	if (r == -EPROTO && body && got.bytes.len)
		tv_buf_add(body, got.bytes.data, got.bytes.len);
	tv_buf_free(&got.bytes);
	return r;
}
