/* Templates of URLs, headers, names and arguments: {word} stands for a value. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ingest/source-priv.h"
#include "store/base/cleanup.h"

#define WORD_MAX 64

/* Wipes and frees: what was expanded may hold a key. */
static void wipe_buf(struct tv_buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	tv_buf_free(b);
}

/* Appends, and leaves no copy of the old memory behind when it has to grow. */
static void append(struct tv_buf *b, const void *bytes, size_t n)
{
	if (b->cap - b->len < n + 1) {
		struct tv_buf grown = TV_BUF_INIT;
		size_t want = 2 * (b->len + n + 64);
		grown.data = malloc(want);
		grown.cap = grown.data ? want : 0;
		grown.failed = b->failed || !grown.data;
		tv_buf_add(&grown, b->data, b->len);
		wipe_buf(b);
		*b = grown;
	}
	tv_buf_add(b, bytes, n);
}

static void append_text(struct tv_buf *b, const char *text, bool encode)
{
	static const char digits[] = "0123456789ABCDEF";
	for (const char *p = text; *p; p++) {
		unsigned char c = (unsigned char)*p;
		if (!encode || isalnum(c) || strchr("-._~", c)) {
			append(b, p, 1);
		} else {
			char escaped[] = { '%', digits[c >> 4], digits[c & 15] };
			append(b, escaped, sizeof(escaped));
		}
	}
}

static void append_lower(struct tv_buf *b, const char *text, bool encode)
{
	for (; *text; text++) {
		char one[] = { (char)tolower((unsigned char)*text), '\0' };
		append_text(b, one, encode);
	}
}

/* The time in one of the forms below; false for a form that is not known. */
static bool append_form(struct tv_buf *b, const char *form, int64_t seconds)
{
	time_t at = (time_t)seconds;
	struct tm tm;
	char text[64] = "";
	if (!gmtime_r(&at, &tm))
		return false;
	if (strcmp(form, "") == 0)
		snprintf(text, sizeof(text), "%lld", (long long)seconds);
	else if (strcmp(form, "_ms") == 0)
		snprintf(text, sizeof(text), "%lld", (long long)seconds * 1000);
	else if (strcmp(form, "_date") == 0)
		strftime(text, sizeof(text), "%Y-%m-%d", &tm);
	else if (strcmp(form, "_ymd") == 0)
		strftime(text, sizeof(text), "%Y%m%d", &tm);
	else if (strcmp(form, "_iso") == 0)
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	append(b, text, strlen(text));
	return *text != '\0';
}

/* "from_date" is the form "_date" of the time "from". */
static bool append_time(struct tv_buf *b, const char *name, const struct tv_source_words *words)
{
	const struct {
		const char *name;
		int64_t at;
	} times[] = {
		{ "from", words->from },
		{ "before", words->from - 1 },
		{ "to", words->to },
		{ "last", words->to - 1 },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(times); i++) {
		size_t n = strlen(times[i].name);
		if (strncmp(name, times[i].name, n) == 0 && append_form(b, name + n, times[i].at))
			return true;
	}
	return false;
}

static bool append_key(const struct tv_source *s, struct tv_buf *b, const char *name, bool encode)
{
	tv_autofree char *full = NULL;
	if (asprintf(&full, "%s.%s", s->name, name) < 0) {
		b->failed = true;
		return true;
	}
	const char *key = encode ? tv_secrets_get_encoded(s->secrets, full)
				 : tv_secrets_get(s->secrets, full);
	if (key)
		append(b, key, strlen(key));
	return key != NULL;
}

static bool append_word(const struct tv_source *s, struct tv_buf *b, const char *name,
			const struct tv_source_words *words)
{
	if (strcmp(name, "symbol") == 0)
		append_text(b, words->symbol, words->encode);
	else if (strcmp(name, "plain") == 0)
		append_text(b, words->plain, words->encode);
	else if (strcmp(name, "lower") == 0)
		append_lower(b, words->plain, words->encode);
	else if (strcmp(name, "output") == 0 && words->output)
		append_text(b, words->output, words->encode);
	else
		return append_time(b, name, words) || append_key(s, b, name, words->encode);
	return true;
}

int tv_source_expand(const struct tv_source *s, const char *text,
		     const struct tv_source_words *words, char **out, struct tv_err *err)
{
	__attribute__((cleanup(wipe_buf))) struct tv_buf b = TV_BUF_INIT;
	for (const char *p = text; *p;) {
		char name[WORD_MAX];
		size_t n = strcspn(p, "{");
		append(&b, p, n);
		p += n;
		if (!*p)
			break;
		n = strcspn(++p, "}");
		if (!p[n] || n >= sizeof(name))
			return tv_err_set(err, -EINVAL, "source %s: a '{' without its '}'",
					  s->name);
		memcpy(name, p, n);
		name[n] = '\0';
		p += n + 1;
		if (!append_word(s, &b, name, words))
			return tv_err_set(err, -EINVAL, "source %s: nothing is known as {%s}",
					  s->name, name);
	}
	append(&b, "", 1);
	if (b.failed)
		return tv_err_nomem(err);
	*out = (char *)tv_steal_ptr(&b.data);
	b = (struct tv_buf)TV_BUF_INIT;
	return 0;
}

/* Coinbase writes BTC-USD for what is BTCUSD elsewhere. */
static int with_hyphen(const char *symbol, char **out, struct tv_err *err)
{
	static const char *const quotes[] = { "USDT", "USDC", "USD", "EUR", "GBP", "BTC", "ETH" };
	size_t n = strlen(symbol);
	char *made = NULL;
	for (size_t i = 0; i < TV_ARRAY_LEN(quotes) && !strchr(symbol, '-'); i++) {
		size_t k = strlen(quotes[i]);
		if (n > k && strcmp(symbol + n - k, quotes[i]) == 0) {
			if (asprintf(&made, "%.*s-%s", (int)(n - k), symbol, quotes[i]) < 0)
				return tv_err_nomem(err);
			*out = made;
			return 0;
		}
	}
	*out = strdup(symbol);
	return *out ? 0 : tv_err_nomem(err);
}

int tv_source_own_symbol(const struct tv_source *s, const char *symbol, char **out,
			 struct tv_err *err)
{
	const cJSON *own = cJSON_GetObjectItemCaseSensitive(s->symbols, symbol);
	if (cJSON_IsString(own)) {
		*out = strdup(own->valuestring);
		return *out ? 0 : tv_err_nomem(err);
	}
	if (strcmp(s->symbol, "{hyphen}") == 0)
		return with_hyphen(symbol, out, err);
	struct tv_source_words words = { .symbol = symbol, .plain = symbol };
	return tv_source_expand(s, s->symbol, &words, out, err);
}
