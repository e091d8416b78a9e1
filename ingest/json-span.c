#include "ingest/json-span.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/hex.h"
#include "store/filecheck.h"

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Behind the text that begins at p. */
static const char *skip_text(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\')
			p++;
	return p < end ? p + 1 : end;
}

/* --- checking ---------------------------------------------------------------------------------- */

static int check_depth(const char *p, const char *end, struct tv_err *err)
{
	unsigned depth = 0;
	for (; p < end; p++) {
		if (*p == '"')
			p = skip_text(p, end) - 1;
		else if (*p == '{' || *p == '[')
			depth++;
		else if (*p == '}' || *p == ']')
			depth--;
		if (depth > TV_JSON_SPAN_DEPTH)
			return tv_err_set(err, -EINVAL, "is nested deeper than %d levels",
					  TV_JSON_SPAN_DEPTH);
	}
	return 0;
}

static int check_grammar(const char *text, size_t n, struct tv_err *err)
{
	struct tv_err own = TV_ERR_INIT;
	struct tv_jsoncheck check;
	tv_jsoncheck_init(&check);
	int r = tv_jsoncheck_feed(&check, text, n, &own);
	if (r == 0)
		r = tv_jsoncheck_end(&check, &own);
	return r < 0 ? tv_err_set(err, -EINVAL, "%s", own.text) : 0;
}

int tv_json_span_open(const char *text, size_t n, struct tv_json_span *out, struct tv_err *err)
{
	const char *p = text, *end = text + n;
	if (n > TV_JSON_SPAN_BYTES)
		return tv_err_set(err, -EFBIG, "is larger than %zu MiB", TV_JSON_SPAN_BYTES >> 20);
	int r = check_grammar(text, n, err);
	if (r < 0)
		return r;
	if (!tv_utf8_ok(text, n))
		return tv_err_set(err, -EINVAL, "is not valid JSON: not UTF-8");
	if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
		p += 3;
	while (p < end && is_space(*p))
		p++;
	while (end > p && is_space(end[-1]))
		end--;
	r = check_depth(p, end, err);
	if (r == 0)
		*out = (struct tv_json_span){ p, (size_t)(end - p) };
	return r;
}

/* --- kinds ------------------------------------------------------------------------------------- */

enum tv_json_kind tv_json_span_kind(struct tv_json_span span)
{
	switch (span.n ? *span.at : 'n') {
	case '{':
		return TV_JSON_OBJECT;
	case '[':
		return TV_JSON_LIST;
	case '"':
		return TV_JSON_TEXT;
	case 't':
	case 'f':
		return TV_JSON_BOOL;
	case 'n':
		return TV_JSON_NULL;
	default:
		return TV_JSON_NUMBER;
	}
}

const char *tv_json_kind_name(enum tv_json_kind kind)
{
	static const char *const names[] = {
		[TV_JSON_OBJECT] = "an object", [TV_JSON_LIST] = "a list",
		[TV_JSON_TEXT] = "a text",	[TV_JSON_NUMBER] = "a number",
		[TV_JSON_BOOL] = "a bool",	[TV_JSON_NULL] = "null",
	};
	return names[kind];
}

/* --- walking ----------------------------------------------------------------------------------- */

struct tv_json_walk tv_json_span_walk(struct tv_json_span container)
{
	enum tv_json_kind kind = tv_json_span_kind(container);
	if (kind != TV_JSON_OBJECT && kind != TV_JSON_LIST)
		return (struct tv_json_walk){ NULL, NULL, false };
	/* between the brackets */
	return (struct tv_json_walk){ container.at + 1, container.at + container.n - 1,
				      kind == TV_JSON_OBJECT };
}

/* The document is valid, so brackets match whatever their kind. */
static struct tv_json_span take_value(struct tv_json_walk *w)
{
	const char *start = w->at, *p = start;
	unsigned depth = 0;
	do {
		if (*p == '"') {
			p = skip_text(p, w->end);
			continue;
		}
		depth += *p == '{' || *p == '[';
		depth -= *p == '}' || *p == ']';
		p++;
		while (!depth && p < w->end && p[-1] != '}' && p[-1] != ']' &&
		       !memchr(",:]} \t\r\n", *p, 9))
			p++;
	} while (depth && p < w->end);
	w->at = p;
	return (struct tv_json_span){ start, (size_t)(p - start) };
}

/* Over space and the one separator that may stand here. */
static void step(struct tv_json_walk *w)
{
	while (w->at < w->end && (is_space(*w->at) || *w->at == ',' || *w->at == ':'))
		w->at++;
}

bool tv_json_walk_next(struct tv_json_walk *walk, struct tv_json_span *key,
		       struct tv_json_span *value)
{
	struct tv_json_span name = { NULL, 0 };
	step(walk);
	if (walk->at >= walk->end)
		return false;
	if (walk->object) {
		name = take_value(walk);
		step(walk);
	}
	*value = take_value(walk);
	if (key)
		*key = name;
	return true;
}

bool tv_json_span_member(struct tv_json_span object, const char *name, struct tv_json_span *out)
{
	struct tv_json_span key, value;
	bool found = false;
	if (tv_json_span_kind(object) != TV_JSON_OBJECT)
		return false;
	for (struct tv_json_walk w = tv_json_span_walk(object);
	     tv_json_walk_next(&w, &key, &value);)
		if (tv_json_span_is(key, name)) {
			*out = value;
			found = true;
		}
	return found;
}

/* --- texts and numbers ------------------------------------------------------------------------- */

bool tv_json_span_is(struct tv_json_span text, const char *bytes)
{
	if (text.n < 2)
		return false;
	if (!memchr(text.at, '\\', text.n))
		return strlen(bytes) == text.n - 2 && memcmp(text.at + 1, bytes, text.n - 2) == 0;
	tv_autofree char *plain = tv_json_span_text(text);
	return plain && strcmp(plain, bytes) == 0;
}

/* Four hexadecimal digits. */
static unsigned take_unit(const char *p)
{
	char digits[5] = { p[0], p[1], p[2], p[3], '\0' };
	return (unsigned)strtoul(digits, NULL, 16);
}

/* RFC 3629, section 3. */
static void add_utf8(struct tv_buf *out, unsigned c)
{
	if (c < 0x80) {
		tv_buf_add_u8(out, (uint8_t)c);
		return;
	}
	unsigned more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
	static const uint8_t lead[] = { 0, 0xc0, 0xe0, 0xf0 };
	tv_buf_add_u8(out, (uint8_t)(lead[more] | c >> (6 * more)));
	while (more--)
		tv_buf_add_u8(out, (uint8_t)(0x80 | (c >> (6 * more) & 0x3f)));
}

/* p is behind "\u"; returns what is behind the character, which may be two escapes. */
static const char *take_escape(const char *p, const char *end, struct tv_buf *out)
{
	unsigned c = take_unit(p);
	p += 4;
	if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
		unsigned low = take_unit(p + 2);
		if (low >= 0xdc00 && low < 0xe000) {
			add_utf8(out, 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00));
			return p + 6;
		}
	}
	add_utf8(out, !c || (c >= 0xd800 && c < 0xe000) ? 0xfffd : c);
	return p;
}

char *tv_json_span_text(struct tv_json_span text)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	tv_autobuf struct tv_buf out = TV_BUF_INIT;
	const char *p = text.at + 1, *end = text.at + text.n - 1;
	while (p < end) {
		const char *escape = memchr(p, '\\', (size_t)(end - p));
		tv_buf_add(&out, p, (size_t)((escape ? escape : end) - p));
		if (!escape)
			break;
		p = escape + 2;
		const char *known = strchr(from, escape[1]);
		if (escape[1] == 'u')
			p = take_escape(p, end, &out);
		else
			tv_buf_add_u8(&out, (uint8_t)(known ? to[known - from] : escape[1]));
	}
	return tv_buf_steal_str(&out);
}

bool tv_json_span_number(struct tv_json_span number, double *out)
{
	tv_autofree char *digits = strndup(number.at, number.n);
	if (digits)
		*out = strtod(digits, NULL);
	return digits != NULL;
}

/* --- writing ----------------------------------------------------------------------------------- */

void tv_json_span_compact(struct tv_json_span span, struct tv_buf *out)
{
	const char *p = span.at, *end = p + span.n;
	while (p < end) {
		const char *start = p;
		if (*p == '"')
			p = skip_text(p, end);
		else
			while (p < end && *p != '"' && *p != ',' && *p != ':' && !is_space(*p))
				p++;
		tv_buf_add(out, start, (size_t)(p - start));
		if (p < end && (*p == ',' || *p == ':'))
			tv_buf_add(out, (const char[]){ *p, ' ' }, 2);
		if (p < end && *p != '"' && (is_space(*p) || *p == ',' || *p == ':'))
			p++;
	}
}

void tv_json_quote(const char *text, struct tv_buf *out)
{
	tv_buf_add_u8(out, '"');
	for (const char *p = text; *p; p++) {
		if (*p == '"' || *p == '\\')
			tv_buf_add(out, (const char[]){ '\\', *p }, 2);
		else if ((unsigned char)*p < 0x20)
			tv_buf_addf(out, "\\u%04x", (unsigned char)*p);
		else
			tv_buf_add_u8(out, (uint8_t)*p);
	}
	tv_buf_add_u8(out, '"');
}

void tv_json_add_exact(double v, struct tv_buf *out)
{
	char digits[32];
	for (int precision = 15; precision <= 17; precision++) {
		snprintf(digits, sizeof(digits), "%.*g", precision, v);
		if (strtod(digits, NULL) == v)
			break;
	}
	tv_buf_add_str(out, digits);
}
