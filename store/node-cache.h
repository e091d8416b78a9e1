/*
 * A bounded cache of decoded tree nodes, by address. Nodes are immutable, so nothing ever has to be
 * invalidated. Thread-safe: keys are spread over shards with a lock and an LRU list each.
 */
#ifndef TV_STORE_NODE_CACHE_H
#define TV_STORE_NODE_CACHE_H

#include "store/node.h"

struct tv_node_cache;

int tv_node_cache_new(size_t max_bytes, struct tv_node_cache **out, struct tv_err *err);
void tv_node_cache_free(struct tv_node_cache *c); /* NULL is fine */

/* A reference of the caller's own, or NULL. */
struct tv_node *tv_node_cache_get(struct tv_node_cache *c, const struct tv_addr *addr);

/* Keeps a reference of its own; drops the least recently used ones above the bound. A node that
 * there is no memory for is not kept. */
void tv_node_cache_put(struct tv_node_cache *c, struct tv_node *node);

/* A new bound, in bytes, to which it shrinks with what is put next. */
void tv_node_cache_limit(struct tv_node_cache *c, size_t max_bytes);

/* What it holds now, and how often it had what was asked for. */
struct tv_node_cache_figures {
	uint64_t entries, bytes, hits, misses;
};
void tv_node_cache_figures(struct tv_node_cache *c, struct tv_node_cache_figures *out);

#endif
