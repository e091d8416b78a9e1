/*
 * How things of the store look: as members of JSON objects and as text. The one place where the
 * names of JSON keys and the forms of times, modes and kinds are decided (docs/commands/ lists them).
 */
#ifndef TV_TOOLS_RENDER_H
#define TV_TOOLS_RENDER_H

#include <cjson/cJSON.h>
#include <stdio.h>

#include "store/commit.h"
#include "store/diff.h"

#define TV_SHORT_HEX 13

/* The first 12 digits. */
void tv_render_short(const struct tv_sha *sha, char out[TV_SHORT_HEX]);

void tv_json_sha(cJSON *object, const char *key, const struct tv_sha *sha);
void tv_json_time(cJSON *object, const char *key, int64_t ns);
void tv_json_path(cJSON *object, const char *path); /* "path", and "path_b64" when not UTF-8 */

/* type, mode, mtime, size, and sha256 + xxh128, or target, or folder_hash + files. */
void tv_json_entry(cJSON *object, const struct tv_entry *e);

/* commit, foundation_hash, parents, time, author, message, trace_id, files, size, … */
void tv_json_commit(cJSON *object, const struct tv_commit *c);

/* "added", "removed", "changed", "touched". */
const char *tv_render_change(enum tv_change change);

/* {"change": …, "path": …, "before": {…}, "after": {…}}; NULL when out of memory. */
cJSON *tv_json_change(const struct tv_diff_item *item);

/* "-rw-r--r--" */
void tv_render_mode(const struct tv_entry *e, char out[11]);

/* "2026-01-19T12:00:00Z": whole seconds, for tables. */
void tv_render_seconds(int64_t ns, char out[32]);

/* A message without the newlines at its end; its first line only. */
void tv_render_first_line(FILE *out, const char *message);

#endif
