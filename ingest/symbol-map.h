/*
 * A JSON object with a member a symbol: catalog.json, foundation_health.json. Members ascend by name
 * (bytes), a line each, so that a change of one symbol changes one line. What is not understood (other
 * members of the object, members of an entry) stays as it was written, but for spaces.
 *
 * Names. A symbol's entry is the member EXCHANGE:SYMBOL. Without one it is the member EXCHANGE_SYMBOL (as
 * files are called), or else the member SYMBOL if its own "symbol" or "exchange" says that it is this
 * symbol: older scripts wrote these. An entry stays under the name that it has, or its readers would
 * miss it; new ones are named EXCHANGE:SYMBOL. A member SYMBOL that does not say its exchange is nobody's.
 *
 * Not thread-safe. After a failure the map is as it was.
 */
#ifndef TV_INGEST_SYMBOL_MAP_H
#define TV_INGEST_SYMBOL_MAP_H

#include "ingest/json-span.h"
#include "ingest/sides.h"

struct tv_symbol_map;

/* Reads a document; no bytes at all are an empty map. `name` is the file's, for messages. -EINVAL: no
 * valid JSON, no object, or a member that occurs twice. -EFBIG, -ENOMEM. */
int tv_symbol_map_parse(const char *name, const char *text, size_t n, struct tv_symbol_map **out,
			struct tv_err *err);
void tv_symbol_map_free(struct tv_symbol_map *map);
static inline void tv_symbol_map_free_p(struct tv_symbol_map **map)
{
	tv_symbol_map_free(*map);
}

/* Members, by number; they live until the map changes. */
size_t tv_symbol_map_count(const struct tv_symbol_map *map);
const char *tv_symbol_map_name(const struct tv_symbol_map *map, size_t i);
struct tv_json_span tv_symbol_map_entry(const struct tv_symbol_map *map, size_t i);

/* The entry of EXCHANGE:SYMBOL, see above; -1: none. */
ptrdiff_t tv_symbol_map_find(const struct tv_symbol_map *map, const char *symbol);

/* A member of an entry that is to be set. */
struct tv_symbol_value {
	const char *name;
	enum { TV_VALUE_NONE, TV_VALUE_TEXT, TV_VALUE_TIME, TV_VALUE_NUMBER, TV_VALUE_JSON } kind;
	const char
		*text; /* also the time, as it is written; or JSON as tv_json_span_compact has it */
	double number; /* finite */
};

/* Sets members of a symbol's entry (NONE removes one) and leaves the others. A value that the entry has
 * already, however it is written, is not touched. */
int tv_symbol_map_set(struct tv_symbol_map *map, const char *symbol,
		      const struct tv_symbol_value *values, size_t n, struct tv_err *err);

/* Takes a symbol's entry out; none is fine. */
void tv_symbol_map_remove(struct tv_symbol_map *map, const char *symbol);

/* Whether it differs from what was read. If not the file need not be written, whatever its spaces. */
bool tv_symbol_map_changed(const struct tv_symbol_map *map);

/* Appends the document. -ENOMEM. */
int tv_symbol_map_print(const struct tv_symbol_map *map, struct tv_buf *out, struct tv_err *err);

/* See ingest/sides.h: theirs with what ours changed since base. Entries are equal when they are the same
 * text but for spaces. *out has changed when it differs from theirs. */
int tv_symbol_map_merge(const struct tv_symbol_map *base, const struct tv_symbol_map *theirs,
			const struct tv_symbol_map *ours, struct tv_symbol_map **out,
			struct tv_name_list *conflicts, struct tv_err *err);

/* A time of JSON: tv_time_parse, and without a zone (as Python writes it) it is UTC. Nanoseconds. */
bool tv_json_span_time(const char *text, int64_t *ns);

#endif
