#include "fs/names.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "fs/upper.h"

static uint64_t hash_of(const char *name, size_t n)
{
	uint64_t hash = XXH3_64bits(name, n);
	return hash ? hash : 1;
}

/* Tells the total by how much a set has grown; less is a wrapped number. */
static void grown_by(const struct tv_names *s, uint64_t sets, uint64_t names, uint64_t slots)
{
	uint64_t bytes = sets * sizeof(*s) + slots * sizeof(s->slots[0]);
	if (!s->total)
		return;
	__atomic_fetch_add(&s->total->sets, sets, __ATOMIC_RELAXED);
	__atomic_fetch_add(&s->total->names, names, __ATOMIC_RELAXED);
	__atomic_fetch_add(&s->total->bytes, bytes, __ATOMIC_RELAXED);
}

static void give_up(struct tv_names *s)
{
	free(s->slots);
	*s = (struct tv_names){ .total = s->total, .all = true };
}

/* The slot that holds the hash, or the empty one where it belongs. */
static uint64_t *slot_of(uint64_t *slots, size_t cap, uint64_t hash)
{
	size_t at = hash & (cap - 1);
	while (slots[at] && slots[at] != hash)
		at = (at + 1) & (cap - 1);
	return &slots[at];
}

static bool grow(struct tv_names *s)
{
	size_t cap = s->cap ? s->cap * 2 : 16;
	bool may = s->unbounded || s->len < TV_NAMES_MAX;
	uint64_t *slots = may ? calloc(cap, sizeof(slots[0])) : NULL;
	if (!slots)
		return false;
	for (size_t i = 0; i < s->cap; i++)
		if (s->slots[i])
			*slot_of(slots, cap, s->slots[i]) = s->slots[i];
	free(s->slots);
	s->slots = slots;
	s->cap = cap;
	return true;
}

static void add(struct tv_names *s, const char *name, size_t n)
{
	if ((s->len + 1) * 4 > s->cap * 3 && !grow(s)) {
		give_up(s);
		return;
	}
	uint64_t hash = hash_of(name, n);
	uint64_t *slot = slot_of(s->slots, s->cap, hash);
	s->len += !*slot;
	*slot = hash;
}

void tv_names_add(struct tv_names *s, const char *name, size_t n)
{
	if (!s || s->all)
		return;
	size_t len = s->len, cap = s->cap;
	add(s, name, n);
	if (s->len != len)
		grown_by(s, 0, s->len - len, s->cap - cap);
}

bool tv_names_maybe(const struct tv_names *s, const char *name, size_t n)
{
	if (s->all)
		return true;
	return s->cap && *slot_of(s->slots, s->cap, hash_of(name, n));
}

static int add_name(void *arg, const struct tv_upper_name *e)
{
	if (e->mark == TV_MARK_NONE || e->mark == TV_MARK_WHITEOUT)
		tv_names_add(arg, e->name, strlen(e->name));
	return 0;
}

int tv_names_load(int dirfd, const char *name, struct tv_names_total *total, struct tv_names **out)
{
	struct tv_names *s = calloc(1, sizeof(*s));
	int r = s ? tv_upper_list(dirfd, name, add_name, s) : -ENOMEM;
	if (r < 0) {
		tv_names_free(s);
		return r;
	}
	s->total = total;
	grown_by(s, 1, s->len, s->cap);
	*out = s;
	return 0;
}

void tv_names_free(struct tv_names *s)
{
	if (!s)
		return;
	grown_by(s, UINT64_MAX, -s->len, -s->cap);
	free(s->slots);
	free(s);
}
