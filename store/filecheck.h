/*
 * Cheap checks that refuse what no script could read: half-written Parquet and JSON files.
 *
 * What is checked goes by the name's suffix (.parquet, .json, in any case). A Parquet file begins and
 * ends with its magic (a file that is still being written has no footer yet). A JSON file is parsed
 * as a stream by RFC 8259, and with the words NaN, Infinity and -Infinity too: Python's json module
 * writes and reads them. That, and that it needs no memory for what it reads, is why this is not
 * cJSON. Nothing is said about the values.
 */
#ifndef TV_STORE_FILECHECK_H
#define TV_STORE_FILECHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/base/err.h"

/* True when files of this name are checked at all. */
bool tv_filecheck_wants(const char *name);

/* Judges a whole file (its size, and its bytes through pread): 0, or -TV_E_GATE and the reason as
 * the message ("is empty", "has no Parquet footer", "line 3: ..."); -errno when it cannot be read. */
int tv_filecheck_fd(const char *name, int fd, uint64_t size, struct tv_err *err);

/* A JSON text fed in pieces. */
#define TV_JSON_DEPTH 1024
struct tv_jsoncheck {
	uint8_t nesting[TV_JSON_DEPTH / 8]; /* one bit a level: 1 object, 0 array */
	unsigned depth;
	int state;	  /* what may come next */
	unsigned word_at; /* inside a literal or a \u escape: how far */
	const char *word;
	uint64_t line;
	bool key;     /* the string being read is an object's key */
	unsigned bom; /* bytes of a byte order mark seen */
};
void tv_jsoncheck_init(struct tv_jsoncheck *c);
/* -TV_E_GATE with line and reason. After an error the checker is spent. */
int tv_jsoncheck_feed(struct tv_jsoncheck *c, const void *bytes, size_t n, struct tv_err *err);
int tv_jsoncheck_end(struct tv_jsoncheck *c, struct tv_err *err);

#endif
