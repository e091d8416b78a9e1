#include "store/base/map16.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void tv_map16_free(struct tv_map16 *m)
{
	if (!m)
		return;
	free(m->slots);
	*m = (struct tv_map16)TV_MAP16_INIT;
}

/* The slot of the key, or the empty slot where it belongs. The map has a free slot. */
static struct tv_map16_slot *find(struct tv_map16_slot *slots, size_t cap, const uint8_t key[16])
{
	uint64_t hash;
	memcpy(&hash, key, sizeof(hash));
	for (size_t i = (size_t)hash & (cap - 1);; i = (i + 1) & (cap - 1))
		if (!slots[i].used || memcmp(slots[i].key, key, 16) == 0)
			return &slots[i];
}

uint64_t *tv_map16_get(const struct tv_map16 *m, const uint8_t key[16])
{
	if (!m->cap)
		return NULL;
	struct tv_map16_slot *s = find(m->slots, m->cap, key);
	return s->used ? &s->value : NULL;
}

static int grow(struct tv_map16 *m)
{
	size_t cap = m->cap ? m->cap * 2 : 64;
	struct tv_map16_slot *slots = calloc(cap, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < m->cap; i++)
		if (m->slots[i].used)
			*find(slots, cap, m->slots[i].key) = m->slots[i];
	free(m->slots);
	m->slots = slots;
	m->cap = cap;
	return 0;
}

int tv_map16_put(struct tv_map16 *m, const uint8_t key[16], uint64_t value)
{
	if (m->len * 4 >= m->cap * 3 && grow(m) < 0)
		return -ENOMEM;
	struct tv_map16_slot *s = find(m->slots, m->cap, key);
	int fresh = !s->used;
	if (fresh) {
		memcpy(s->key, key, 16);
		s->used = true;
		m->len++;
	}
	s->value = value;
	return fresh;
}
