/*
 * Gaps in a symbol's daily bars: days on end without a row on which more sessions are missing than the rules let
 * pass (docs/gates.md). A gap that the source does not have either is permanent; foundation_health.json
 * lists those of each symbol (docs/lakehouse_schema_registry.md).
 *
 * Not thread-safe. After a failure (-ENOMEM) a list may lack what was being added.
 */
#ifndef TV_INGEST_GAPS_H
#define TV_INGEST_GAPS_H

#include "ingest/gates.h"
#include "ingest/symbol-map.h"

/* Days as tv_calendar_day counts them: from the one after a row to the one before the next row. */
struct tv_gap {
	int64_t first, last;
	size_t sessions; /* that are missing; of a permanent gap that was read 0: not told */
};

struct tv_gaps {
	size_t n, cap;
	struct tv_gap *items; /* owned */
};

#define TV_GAPS_INIT ((struct tv_gaps){ 0, 0, NULL })

void tv_gaps_free(struct tv_gaps *gaps); /* empties them; NULL is fine */
#define tv_autogaps __attribute__((cleanup(tv_gaps_free)))

int tv_gaps_add(struct tv_gaps *gaps, const struct tv_gap *gap, struct tv_err *err);

/* Whether all days from first to last are in one of them. NULL has none. */
bool tv_gaps_cover(const struct tv_gaps *gaps, int64_t first, int64_t last);

/* Adds the gaps of bars, permanent or not, by day. Where rows are not in order none is seen. */
int tv_gaps_find(const struct tv_bars *bars, const struct tv_gates_rules *rules,
		 struct tv_gaps *out, struct tv_err *err);

/* Adds the permanent gaps that a symbol's entry of foundation_health.json lists. What cannot be understood
 * is not one. */
int tv_gaps_permanent(const struct tv_symbol_map *health, const char *symbol, struct tv_gaps *out,
		      struct tv_err *err);

/* Sets that list; without gaps the entry has none. */
int tv_gaps_set_permanent(struct tv_symbol_map *health, const char *symbol,
			  const struct tv_gaps *gaps, struct tv_err *err);

#endif
