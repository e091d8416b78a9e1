/*
 * The rule by which two ingestions merge, symbol by symbol: what only one side changed is taken from it,
 * what both changed to the same is taken once, what both changed differently is a conflict. Of a conflict
 * theirs is taken: it is published already.
 *
 * Without a conflict the result is the same with the two sides swapped, as far as `equal` tells.
 */
#ifndef TV_INGEST_SIDES_H
#define TV_INGEST_SIDES_H

#include <stdbool.h>
#include <stddef.h>

#include "store/base/err.h"

enum tv_side { TV_BASE, TV_THEIRS, TV_OURS, TV_N_SIDES };

/* Three lists of items, each ascending by name, no name twice. */
struct tv_sides {
	size_t n[TV_N_SIDES];
	void *arg;
	const char *(*name)(void *arg, enum tv_side side, size_t item);
	bool (*equal)(void *arg, enum tv_side a, size_t item_a, enum tv_side b, size_t item_b);
	/* Puts an item into the result; called in the order of names. */
	int (*take)(void *arg, enum tv_side side, size_t item, struct tv_err *err);
};

/* Names, each one owned. */
struct tv_name_list {
	size_t n;
	char **items;
};

#define TV_NAME_LIST_INIT ((struct tv_name_list){ 0, NULL })

void tv_name_list_free(struct tv_name_list *names); /* empties them; NULL is fine */
#define tv_autonamelist __attribute__((cleanup(tv_name_list_free)))

/* Adds a copy at the end. -ENOMEM. */
int tv_name_list_add(struct tv_name_list *names, const char *name, struct tv_err *err);

/* Merges; conflicts (ascending) are added to the list. -ENOMEM, or what `take` returned. */
int tv_sides_merge(const struct tv_sides *sides, struct tv_name_list *conflicts,
		   struct tv_err *err);

#endif
