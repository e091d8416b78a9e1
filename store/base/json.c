#include "store/base/json.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"
#include "store/base/hex.h"

static unsigned line_at(const char *text, const char *p)
{
	unsigned line = 1;
	for (; text < p; text++)
		line += *text == '\n';
	return line;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int parse_error(const char *text, const char *end, const char *at, struct tv_err *err)
{
	char near[24];
	size_t n = 0;
	while (at < end && is_space(*at))
		at++;
	unsigned line = line_at(text, at);
	for (; at < end && n < sizeof(near) - 1 && (unsigned char)*at >= 0x20; at++)
		near[n++] = *at;
	near[n] = '\0';
	if (!n)
		return tv_err_set(err, -EINVAL, "line %u: not valid JSON: it ends too early", line);
	return tv_err_set(err, -EINVAL, "line %u: not valid JSON near '%s'", line, near);
}

int tv_json_parse(const char *text, size_t n, cJSON **out, struct tv_err *err)
{
	const char *at = text, *end = text + n;
	tv_autojson cJSON *doc = cJSON_ParseWithLengthOpts(text, n, &at, false);
	if (doc)
		while (at < end && is_space(*at))
			at++;
	if (!doc || at < end)
		return parse_error(text, end, at, err);
	*out = tv_steal_ptr(&doc);
	return 0;
}

/* A place in a document that cJSON accepted; so the steps below need few checks of their own. */
struct scan {
	const char *start, *p, *end;
};

struct span {
	const char *p; /* with its quotes */
	size_t n;
};

/* cJSON skips a byte order mark, so it is skipped here. */
static struct scan scan_of(const char *text, size_t n)
{
	size_t mark = n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	return (struct scan){ text, text + mark, text + n };
}

static void skip_space(struct scan *s)
{
	while (s->p < s->end && is_space(*s->p))
		s->p++;
}

static struct span scan_string(struct scan *s)
{
	struct span span = { s->p, 0 };
	for (s->p++; s->p < s->end && *s->p != '"'; s->p++)
		if (*s->p == '\\')
			s->p++;
	s->p = s->p < s->end ? s->p + 1 : s->end;
	span.n = (size_t)(s->p - span.p);
	return span;
}

/* Moves behind one value, whatever is in it. */
static void skip_value(struct scan *s)
{
	size_t depth = 0;
	do {
		skip_space(s);
		if (s->p >= s->end)
			return;
		if (*s->p == '"') {
			scan_string(s);
			continue;
		}
		if (*s->p == '{' || *s->p == '[')
			depth++;
		else if (*s->p == '}' || *s->p == ']')
			depth--;
		else if (depth == 0)
			while (s->p + 1 < s->end && !strchr(",]} \t\r\n", s->p[1]))
				s->p++;
		s->p++;
	} while (depth);
}

/* Steps into a container; then next_member goes from member to member. */
static bool next_member(struct scan *s, char open, bool *first, struct span *key)
{
	skip_space(s);
	if (*first) {
		s->p++;
		*first = false;
		skip_space(s);
	} else if (s->p < s->end && *s->p == ',') {
		s->p++;
		skip_space(s);
	}
	if (s->p >= s->end || *s->p == '}' || *s->p == ']')
		return false;
	if (open == '{') {
		*key = scan_string(s);
		skip_space(s);
		s->p++; /* ':' */
		skip_space(s);
	}
	return true;
}

/* The text of a key; owned by the caller. */
static char *key_text(struct span key)
{
	tv_autojson cJSON *string = cJSON_ParseWithLength(key.p, key.n);
	return string && cJSON_IsString(string) ? strdup(string->valuestring) : NULL;
}

/* What is left of path behind its first part `part`; NULL when it does not begin with that. */
static const char *behind(const char *path, const char *part)
{
	size_t n = strlen(part);
	if (strncmp(path, part, n) != 0 || (path[n] != '\0' && path[n] != '.'))
		return NULL;
	return path[n] ? path + n + 1 : path + n;
}

static unsigned find_line(struct scan s, const char *path)
{
	skip_space(&s);
	if (!*path)
		return line_at(s.start, s.p);
	if (s.p >= s.end || (*s.p != '{' && *s.p != '['))
		return 0;
	char open = *s.p;
	bool first = true;
	struct span key;
	for (unsigned i = 0; next_member(&s, open, &first, &key); i++) {
		char number[16];
		snprintf(number, sizeof(number), "%u", i);
		tv_autofree char *name = open == '{' ? key_text(key) : strdup(number);
		const char *rest = name ? behind(path, name) : NULL;
		unsigned line = rest ? find_line(s, rest) : 0;
		if (line)
			return line;
		skip_value(&s);
	}
	return 0;
}

unsigned tv_json_line(const char *text, size_t n, const char *path)
{
	return find_line(scan_of(text, n), path);
}

struct keys {
	char **items;
	size_t len, cap;
};

static void keys_free_p(struct keys *k)
{
	for (size_t i = 0; i < k->len; i++)
		free(k->items[i]);
	free(k->items);
}

/* Takes the name. True when it was there already. */
static bool keys_add(struct keys *k, char *name)
{
	if (k->len == k->cap) {
		size_t cap = k->cap ? 2 * k->cap : 16;
		char **grown = realloc(k->items, cap * sizeof(*grown));
		if (!grown) {
			free(name);
			return false;
		}
		k->items = grown;
		k->cap = cap;
	}
	k->items[k->len++] = name;
	for (size_t i = 0; i + 1 < k->len; i++)
		if (strcmp(k->items[i], name) == 0)
			return true;
	return false;
}

/* Looks through the value at s and moves behind it. Depth is bounded by cJSON's nesting limit. */
static unsigned find_duplicate(struct scan *s, char *name, size_t n_name)
{
	tv_auto(keys_free_p) struct keys keys = { NULL, 0, 0 };
	skip_space(s);
	if (s->p >= s->end || (*s->p != '{' && *s->p != '[')) {
		skip_value(s);
		return 0;
	}
	char open = *s->p;
	bool first = true;
	struct span key;
	while (next_member(s, open, &first, &key)) {
		char *text = open == '{' ? key_text(key) : NULL;
		if (text && keys_add(&keys, text)) {
			snprintf(name, n_name, "%s", text);
			return line_at(s->start, key.p);
		}
		unsigned line = find_duplicate(s, name, n_name);
		if (line)
			return line;
	}
	if (s->p < s->end)
		s->p++;
	return 0;
}

unsigned tv_json_duplicate(const char *text, size_t n, char *name, size_t n_name)
{
	struct scan s = scan_of(text, n);
	return find_duplicate(&s, name, n_name);
}

/* The bytes with a '?' for each that is not part of well-formed UTF-8. */
static char *replace_bad(const char *bytes, size_t n)
{
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	while (n) {
		size_t len = 1;
		while (len < 4 && len < n && !tv_utf8_ok(bytes, len))
			len++;
		bool good = tv_utf8_ok(bytes, len) && *bytes;
		len = good ? len : 1;
		tv_buf_add(&b, good ? bytes : "?", len);
		bytes += len;
		n -= len;
	}
	return tv_buf_steal_str(&b);
}

bool tv_json_add_bytes(cJSON *object, const char *key, const char *bytes, size_t n)
{
	bool exact = tv_utf8_ok(bytes, n) && !memchr(bytes, '\0', n);
	tv_autofree char *text = replace_bad(bytes, n);
	if (!text || !cJSON_AddStringToObject(object, key, text))
		return false;
	if (exact)
		return true;
	tv_autofree char *encoded = tv_base64_encode(bytes, n);
	tv_autofree char *name = NULL;
	if (!encoded || asprintf(&name, "%s_b64", key) < 0)
		return false;
	return cJSON_AddStringToObject(object, name, encoded);
}

bool tv_json_add_u64(cJSON *object, const char *key, uint64_t v)
{
	char digits[24];
	/* cJSON writes larger numbers as doubles: 1e+15 is a number, but no longer an integer. */
	if (v <= INT_MAX)
		return cJSON_AddNumberToObject(object, key, (double)v);
	snprintf(digits, sizeof(digits), "%" PRIu64, v);
	return cJSON_AddRawToObject(object, key, digits);
}
