/*
 * cJSON with what it lacks: errors that name the line, places of keys, strict types. The caller owns
 * parsed documents (cJSON_Delete, or tv_autojson).
 */
#ifndef TV_STORE_BASE_JSON_H
#define TV_STORE_BASE_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/base/err.h"

static inline void tv_json_delete_p(cJSON **doc)
{
	cJSON_Delete(*doc);
}
#define tv_autojson __attribute__((cleanup(tv_json_delete_p)))

/* Parses n bytes, all of them. -EINVAL: "line 12: not valid JSON near '…'". */
int tv_json_parse(const char *text, size_t n, cJSON **out, struct tv_err *err);

/* The line (from 1) on which the value of a key path stands in a valid document; path parts are
 * joined by '.', array elements are numbers ("profiles.production.gates.0"). 0 when absent. */
unsigned tv_json_line(const char *text, size_t n, const char *path);

/* A key that occurs twice in one object (cJSON keeps both, readers take one): its line, and its
 * name copied to name[n_name]; 0 when there is none. */
unsigned tv_json_duplicate(const char *text, size_t n, char *name, size_t n_name);

/* Adds a string that may not be UTF-8: under `key` with '?' for bad bytes and, only when it is not
 * UTF-8, under `key_b64` in base64 too. False when out of memory. */
bool tv_json_add_bytes(cJSON *object, const char *key, const char *bytes, size_t n);

/* Integers above 2^53 keep their digits (as a raw number). */
bool tv_json_add_u64(cJSON *object, const char *key, uint64_t v);

#endif
