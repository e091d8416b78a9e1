/*
 * JSON as text: a value is a span of a document that tv_json_span_open has checked. No tree is built, so
 * numbers keep their digits and what is not understood can be passed on as it was written.
 *
 * Spans are good as long as the document's bytes. No state: any thread may read any document.
 */
#ifndef TV_INGEST_JSON_SPAN_H
#define TV_INGEST_JSON_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/base/buf.h"
#include "store/base/err.h"

#define TV_JSON_SPAN_BYTES ((size_t)64 << 20) /* a larger document is refused */
#define TV_JSON_SPAN_DEPTH 64		      /* and one that is nested deeper */

/* A value, without the space around it. */
struct tv_json_span {
	const char *at;
	size_t n;
};

enum tv_json_kind {
	TV_JSON_OBJECT,
	TV_JSON_LIST,
	TV_JSON_TEXT,
	TV_JSON_NUMBER, /* and the words NaN and Infinity, which Python writes */
	TV_JSON_BOOL,
	TV_JSON_NULL,
};

/* Checks a whole document: RFC 8259 with Python's words, UTF-8. -EINVAL: "is not valid JSON: line 3:
 * ...", "is nested deeper than ..."; -EFBIG. The message wants the file's name in front. */
int tv_json_span_open(const char *text, size_t n, struct tv_json_span *out, struct tv_err *err);

enum tv_json_kind tv_json_span_kind(struct tv_json_span span);

/* "an object", "a list", "a text", "a number", "a bool", "null". */
const char *tv_json_kind_name(enum tv_json_kind kind);

/* Goes through the members of an object or the elements of a list; anything else has none. */
struct tv_json_walk {
	const char *at, *end;
	bool object;
};
struct tv_json_walk tv_json_span_walk(struct tv_json_span container);
/* The next one; false at the end. The key (with its quotes) of an element is empty. */
bool tv_json_walk_next(struct tv_json_walk *walk, struct tv_json_span *key,
		       struct tv_json_span *value);

/* The member of that name; of several the last one, as in Python. False when there is none. */
bool tv_json_span_member(struct tv_json_span object, const char *name, struct tv_json_span *out);

/* True when a text (or a key) reads as these bytes. */
bool tv_json_span_is(struct tv_json_span text, const char *bytes);

/* A text without quotes and escapes, owned by the caller; NULL when out of memory. What no C string of
 * UTF-8 can hold (\u0000, half a surrogate pair) becomes U+FFFD. */
char *tv_json_span_text(struct tv_json_span text);

/* A number. One that no double holds becomes an infinity. False when out of memory. */
bool tv_json_span_number(struct tv_json_span number, double *out);

/* Appends a value with one space behind each comma and colon outside texts, and no other. */
void tv_json_span_compact(struct tv_json_span span, struct tv_buf *out);

/* Appends a text with quotes and as few escapes as JSON allows. */
void tv_json_quote(const char *text, struct tv_buf *out);

/* Appends a finite number such that it reads back exactly, with as few digits as that takes. */
void tv_json_add_exact(double v, struct tv_buf *out);

#endif
