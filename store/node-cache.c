#include "store/node-cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS 16
#define BUCKETS 1024 /* a shard */

struct slot {
	struct slot *chain;	    /* in its bucket */
	struct slot *newer, *older; /* in the shard's LRU list */
	struct tv_node *node;	    /* owned reference */
	size_t cost;
};

struct shard {
	pthread_mutex_t lock; /* over all below; no other lock is taken while it is held */
	struct slot *buckets[BUCKETS];
	struct slot *newest, *oldest;
	size_t bytes, entries;
	uint64_t hits, misses;
};

struct tv_node_cache {
	atomic_size_t shard_max;
	struct shard shards[SHARDS];
};

void tv_node_cache_limit(struct tv_node_cache *c, size_t max_bytes)
{
	atomic_store(&c->shard_max, max_bytes / SHARDS);
}

int tv_node_cache_new(size_t max_bytes, struct tv_node_cache **out, struct tv_err *err)
{
	struct tv_node_cache *c = calloc(1, sizeof(*c));
	if (!c)
		return tv_err_nomem(err);
	tv_node_cache_limit(c, max_bytes);
	for (int i = 0; i < SHARDS; i++)
		pthread_mutex_init(&c->shards[i].lock, NULL);
	*out = c;
	return 0;
}

static void free_slot(struct slot *s)
{
	tv_node_unref(s->node);
	free(s);
}

void tv_node_cache_free(struct tv_node_cache *c)
{
	if (!c)
		return;
	for (int i = 0; i < SHARDS; i++) {
		struct slot *s = c->shards[i].newest;
		while (s) {
			struct slot *older = s->older;
			free_slot(s);
			s = older;
		}
		pthread_mutex_destroy(&c->shards[i].lock);
	}
	free(c);
}

/* Addresses are uniform, so any of their bits will do. */
static struct shard *shard_of(struct tv_node_cache *c, const struct tv_addr *addr)
{
	return &c->shards[addr->b[0] % SHARDS];
}

static struct slot **bucket_of(struct shard *sh, const struct tv_addr *addr)
{
	return &sh->buckets[(addr->b[1] | (size_t)addr->b[2] << 8) % BUCKETS];
}

static struct slot *find(struct shard *sh, const struct tv_addr *addr)
{
	struct slot *s = *bucket_of(sh, addr);
	while (s && !tv_addr_eq(tv_node_addr(s->node), addr))
		s = s->chain;
	return s;
}

static void list_remove(struct shard *sh, struct slot *s)
{
	*(s->newer ? &s->newer->older : &sh->newest) = s->older;
	*(s->older ? &s->older->newer : &sh->oldest) = s->newer;
}

static void list_add(struct shard *sh, struct slot *s)
{
	s->newer = NULL;
	s->older = sh->newest;
	*(sh->newest ? &sh->newest->newer : &sh->oldest) = s;
	sh->newest = s;
}

struct tv_node *tv_node_cache_get(struct tv_node_cache *c, const struct tv_addr *addr)
{
	struct shard *sh = shard_of(c, addr);
	struct tv_node *node = NULL;

	pthread_mutex_lock(&sh->lock);
	struct slot *s = find(sh, addr);
	if (s) {
		list_remove(sh, s);
		list_add(sh, s);
		node = tv_node_ref(s->node);
	}
	*(s ? &sh->hits : &sh->misses) += 1;
	pthread_mutex_unlock(&sh->lock);
	return node;
}

static void drop_oldest(struct shard *sh)
{
	struct slot *s = sh->oldest;
	struct slot **at = bucket_of(sh, tv_node_addr(s->node));
	while (*at != s)
		at = &(*at)->chain;
	*at = s->chain;
	list_remove(sh, s);
	sh->bytes -= s->cost;
	sh->entries--;
	free_slot(s);
}

/* The bytes, the decoder's table of entries, and both our bookkeeping: an estimate. */
static size_t cost_of(const struct tv_node *node)
{
	const void *bytes;
	return tv_node_bytes(node, &bytes) + 16 * (size_t)tv_node_len(node) + 192;
}

void tv_node_cache_put(struct tv_node_cache *c, struct tv_node *node)
{
	struct shard *sh = shard_of(c, tv_node_addr(node));
	struct slot *s = malloc(sizeof(*s));
	if (!s)
		return;
	size_t max = atomic_load(&c->shard_max);
	s->node = tv_node_ref(node);
	s->cost = cost_of(node);

	pthread_mutex_lock(&sh->lock);
	if (s->cost > max || find(sh, tv_node_addr(node))) {
		free_slot(s);
	} else {
		struct slot **bucket = bucket_of(sh, tv_node_addr(node));
		s->chain = *bucket;
		*bucket = s;
		list_add(sh, s);
		sh->bytes += s->cost;
		sh->entries++;
		while (sh->bytes > max && sh->oldest)
			drop_oldest(sh);
	}
	pthread_mutex_unlock(&sh->lock);
}

void tv_node_cache_figures(struct tv_node_cache *c, struct tv_node_cache_figures *out)
{
	struct tv_node_cache_figures sum = { 0 };
	for (int i = 0; i < SHARDS; i++) {
		struct shard *sh = &c->shards[i];
		pthread_mutex_lock(&sh->lock);
		sum.entries += sh->entries;
		sum.bytes += sh->bytes;
		sum.hits += sh->hits;
		sum.misses += sh->misses;
		pthread_mutex_unlock(&sh->lock);
	}
	*out = sum;
}
