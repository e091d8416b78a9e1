#include "store/commit-walk.h"

#include <stdlib.h>

static int reserve(struct tv_commit_walk *w)
{
	if (w->len < w->cap)
		return 0;
	size_t cap = w->cap ? w->cap * 2 : 8;
	struct tv_commit *heap = realloc(w->heap, cap * sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	w->heap = heap;
	w->cap = cap;
	return 0;
}

static void swap(struct tv_commit *a, struct tv_commit *b)
{
	struct tv_commit c = *a;
	*a = *b;
	*b = c;
}

static void sift_up(struct tv_commit *heap, size_t i)
{
	for (; i && heap[i].sequence > heap[(i - 1) / 2].sequence; i = (i - 1) / 2)
		swap(&heap[i], &heap[(i - 1) / 2]);
}

static void sift_down(struct tv_commit *heap, size_t len, size_t i)
{
	for (size_t child; (child = 2 * i + 1) < len; i = child) {
		if (child + 1 < len && heap[child + 1].sequence > heap[child].sequence)
			child++;
		if (heap[i].sequence >= heap[child].sequence)
			return;
		swap(&heap[i], &heap[child]);
	}
}

static int push(struct tv_commit_walk *w, const struct tv_sha *id, struct tv_err *err)
{
	struct tv_commit c = TV_COMMIT_INIT;
	int r = tv_commit_get(w->store, id, &c, err);
	if (r < 0)
		return r;
	if (c.sequence < w->oldest || reserve(w) < 0) {
		r = c.sequence < w->oldest ? 0 : tv_err_nomem(err);
		tv_commit_free(&c);
		return r;
	}
	w->heap[w->len++] = c;
	sift_up(w->heap, w->len - 1);
	return 0;
}

static int is_shallow(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	return tv_commit_shallow_is_in(t, arg, err);
}

static int push_parent(struct tv_commit_walk *w, const struct tv_sha *id, struct tv_err *err)
{
	struct tv_sha parent = *id;
	int r = push(w, id, err);
	if (r != -ENOENT)
		return r;
	r = tv_kv_read(tv_store_kv(w->store), is_shallow, &parent, err);
	if (r < 0)
		return r;
	char hex[TV_SHA_HEX];
	tv_sha_hex(id, hex);
	if (r == 0)
		return tv_err_set(err, -TV_E_DAMAGED, "commit %s is missing; run tvfs fsck", hex);
	tv_err_clear(err);
	return 0;
}

static void pop(struct tv_commit_walk *w, struct tv_commit *out)
{
	*out = w->heap[0];
	w->heap[0] = w->heap[--w->len];
	sift_down(w->heap, w->len, 0);
}

int tv_commit_walk_open(struct tv_commit_walk *w, struct tv_store *s, const struct tv_sha *from,
			uint64_t oldest, struct tv_err *err)
{
	*w = (struct tv_commit_walk){ .store = s, .oldest = oldest };
	return push(w, from, err);
}

void tv_commit_walk_close(struct tv_commit_walk *w)
{
	for (size_t i = 0; i < w->len; i++)
		tv_commit_free(&w->heap[i]);
	free(w->heap);
	*w = (struct tv_commit_walk){ .store = NULL };
}

int tv_commit_walk_next(struct tv_commit_walk *w, struct tv_commit *out, struct tv_err *err)
{
	struct tv_commit c, again;
	if (w->len == 0)
		return 0;
	pop(w, &c);
	/* It was pushed once a child. */
	while (w->len && w->heap[0].sequence == c.sequence) {
		pop(w, &again);
		tv_commit_free(&again);
	}
	for (size_t i = 0; i < c.n_parents; i++) {
		int r = push_parent(w, &c.parents[i], err);
		if (r < 0) {
			tv_commit_free(&c);
			return r;
		}
	}
	*out = c;
	return 1;
}

int tv_commit_is_in(struct tv_store *s, const struct tv_sha *commit, const struct tv_sha *tip,
		    struct tv_err *err)
{
	tv_autowalk struct tv_commit_walk walk = { .store = NULL };
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	bool found = tv_sha_eq(commit, tip);
	int r = found ? 0 : tv_commit_get(s, commit, &c, err);
	if (r == 0 && !found)
		r = tv_commit_walk_open(&walk, s, tip, c.sequence, err);
	while (r == 0 && !found) {
		tv_autocommit struct tv_commit next = TV_COMMIT_INIT;
		int more = tv_commit_walk_next(&walk, &next, err);
		if (more <= 0)
			return more;
		found = tv_sha_eq(&next.id, commit);
	}
	return r < 0 ? r : found;
}
