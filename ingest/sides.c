#include "ingest/sides.h"

#include <stdlib.h>
#include <string.h>

void tv_name_list_free(struct tv_name_list *names)
{
	if (!names)
		return;
	for (size_t i = 0; i < names->n; i++)
		free(names->items[i]);
	free(names->items);
	*names = TV_NAME_LIST_INIT;
}

int tv_name_list_add(struct tv_name_list *names, const char *name, struct tv_err *err)
{
	char **items = names->items;
	/* room doubles at each power of two */
	if ((names->n & (names->n - 1)) == 0)
		items = reallocarray(items, names->n ? 2 * names->n : 1, sizeof(*items));
	if (!items)
		return tv_err_nomem(err);
	names->items = items;
	items[names->n] = strdup(name);
	if (!items[names->n])
		return tv_err_nomem(err);
	names->n++;
	return 0;
}

/* Of one name: where each side has it. */
struct place {
	size_t item[TV_N_SIDES];
	bool here[TV_N_SIDES];
};

/* The least name that is still to come, NULL at the end. */
static const char *next_name(const struct tv_sides *s, const size_t at[TV_N_SIDES])
{
	const char *least = NULL;
	for (int side = 0; side < TV_N_SIDES; side++) {
		const char *name = at[side] < s->n[side]
					   ? s->name(s->arg, (enum tv_side)side, at[side])
					   : NULL;
		if (name && (!least || strcmp(name, least) < 0))
			least = name;
	}
	return least;
}

static bool same(const struct tv_sides *s, const struct place *p, enum tv_side a, enum tv_side b)
{
	if (!p->here[a] || !p->here[b])
		return p->here[a] == p->here[b];
	return s->equal(s->arg, a, p->item[a], b, p->item[b]);
}

static int decide(const struct tv_sides *s, const struct place *p, const char *name,
		  struct tv_name_list *conflicts, struct tv_err *err)
{
	enum tv_side winner = TV_THEIRS;
	int r = 0;
	if (same(s, p, TV_BASE, TV_THEIRS))
		winner = TV_OURS;
	else if (!same(s, p, TV_BASE, TV_OURS) && !same(s, p, TV_THEIRS, TV_OURS))
		r = tv_name_list_add(conflicts, name, err);
	if (r == 0 && p->here[winner])
		r = s->take(s->arg, winner, p->item[winner], err);
	return r;
}

int tv_sides_merge(const struct tv_sides *sides, struct tv_name_list *conflicts, struct tv_err *err)
{
	size_t at[TV_N_SIDES] = { 0 };
	const char *name;
	int r = 0;
	while (r == 0 && (name = next_name(sides, at)) != NULL) {
		struct place place = { { 0 }, { false } };
		for (int side = 0; side < TV_N_SIDES; side++) {
			if (at[side] == sides->n[side] ||
			    strcmp(sides->name(sides->arg, (enum tv_side)side, at[side]), name) !=
				    0)
				continue;
			place.item[side] = at[side];
			place.here[side] = true;
		}
		r = decide(sides, &place, name, conflicts, err);
		for (int side = 0; side < TV_N_SIDES; side++)
			at[side] += place.here[side];
	}
	return r;
}
