#include "ingest/lakehouse.h"

#include <stdlib.h>
#include <string.h>

#include "ingest/lakehouse-priv.h"
#include "store/base/cleanup.h"

/* --- what is staged ---------------------------------------------------------------------------- */

/* Where a path is, or would be. */
static size_t place_of(const struct tv_lakehouse *l, const char *path, bool *found)
{
	size_t low = 0, high = l->n_staged;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(l->staged[middle].path, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*found = low < l->n_staged && strcmp(l->staged[low].path, path) == 0;
	return low;
}

static int read_only(const struct tv_lakehouse *l, struct tv_err *err)
{
	return l->kind->publish ? 0 : tv_err_set(err, -EROFS, "nothing can be published here");
}

static void clear(struct tv_lakehouse *l, struct tv_staged *s)
{
	l->kind->leave(l, s);
	tv_buf_free(&s->bytes);
	free(s->temp);
	free(s->path);
}

/* Takes what `s` holds, whatever the result. */
static int stage(struct tv_lakehouse *l, const char *path, struct tv_staged *s, struct tv_err *err)
{
	bool found;
	size_t at = place_of(l, path, &found);
	s->path = strdup(path);
	if (s->path && !found && l->n_staged == l->cap_staged) {
		size_t cap = l->cap_staged ? 2 * l->cap_staged : 64;
		struct tv_staged *grown = reallocarray(l->staged, cap, sizeof(*grown));
		if (grown) {
			l->staged = grown;
			l->cap_staged = cap;
		}
	}
	if (!s->path || (!found && l->n_staged == l->cap_staged)) {
		clear(l, s);
		return tv_err_nomem(err);
	}
	if (found) {
		clear(l, &l->staged[at]);
	} else {
		memmove(l->staged + at + 1, l->staged + at,
			(l->n_staged - at) * sizeof(*l->staged));
		l->n_staged++;
	}
	l->staged[at] = *s;
	return 0;
}

void tv_lakehouse_drop(struct tv_lakehouse *l, const char *path)
{
	bool found;
	size_t at = place_of(l, path, &found);
	if (!found)
		return;
	clear(l, &l->staged[at]);
	l->n_staged--;
	memmove(l->staged + at, l->staged + at + 1, (l->n_staged - at) * sizeof(*l->staged));
}

size_t tv_lakehouse_staged(const struct tv_lakehouse *l)
{
	return l->n_staged;
}

/* 1: the lakehouse has just these bytes at the path. */
static int is_there(struct tv_lakehouse *l, const char *path, const struct tv_sha *sha,
		    struct tv_err *err)
{
	struct tv_err none = TV_ERR_INIT;
	struct tv_sha now;
	int r = l->kind->sha(l, path, &now, &none);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return tv_err_set(err, r, "%s", none.text);
	return tv_sha_eq(&now, sha);
}

/* Stages what differs from what is there. */
static int stage_changed(struct tv_lakehouse *l, const char *path, struct tv_staged *s,
			 bool *changed, struct tv_err *err)
{
	int there = is_there(l, path, &s->sha, err);
	if (changed)
		*changed = there == 0;
	if (there) {
		clear(l, s);
		tv_lakehouse_drop(l, path);
		return there < 0 ? there : 0;
	}
	return stage(l, path, s, err);
}

static int put(struct tv_lakehouse *l, const char *path, int fd, bool ours, struct tv_sha *sha,
	       bool *changed, struct tv_err *err)
{
	struct tv_staged s = { .path = NULL };
	int r = read_only(l, err);
	if (r == 0)
		r = l->kind->take(l, fd, ours, &s, err);
	if (r < 0)
		return tv_err_wrap(err, r, "'%s'", path);
	if (sha)
		*sha = s.sha;
	return stage_changed(l, path, &s, changed, err);
}

int tv_lakehouse_put(struct tv_lakehouse *l, const char *path, int fd, struct tv_sha *sha,
		     bool *changed, struct tv_err *err)
{
	return put(l, path, fd, false, sha, changed, err);
}

int tv_lakehouse_give(struct tv_lakehouse *l, const char *path, int fd, struct tv_err *err)
{
	return put(l, path, fd, true, NULL, NULL, err);
}

int tv_lakehouse_put_bytes(struct tv_lakehouse *l, const char *path, const void *bytes, size_t n,
			   bool *changed, struct tv_err *err)
{
	struct tv_staged s = { .table = true };
	int r = read_only(l, err);
	if (r < 0)
		return r;
	tv_buf_add(&s.bytes, bytes, n);
	if (s.bytes.failed)
		return tv_err_nomem(err);
	r = tv_sha_of(bytes, n, &s.sha, err);
	if (r < 0) {
		tv_buf_free(&s.bytes);
		return r;
	}
	return stage_changed(l, path, &s, changed, err);
}

int tv_lakehouse_remove(struct tv_lakehouse *l, const char *path, struct tv_err *err)
{
	struct tv_err none = TV_ERR_INIT;
	struct tv_staged s = { .remove = true };
	struct tv_sha now;
	int r = read_only(l, err);
	if (r < 0)
		return r;
	r = l->kind->sha(l, path, &now, &none);
	if (r == -ENOENT) {
		tv_lakehouse_drop(l, path);
		return 0;
	}
	return r < 0 ? tv_err_set(err, r, "%s", none.text) : stage(l, path, &s, err);
}

/* --- the rest is the kind's -------------------------------------------------------------------- */

int tv_lakehouse_open(struct tv_lakehouse *l, const char *path, struct tv_err *err)
{
	return l->kind->open(l, path, err);
}

int tv_lakehouse_open_table(struct tv_lakehouse *l, const char *path, struct tv_err *err)
{
	return l->kind->open_table(l, path, err);
}

int tv_lakehouse_open_before(struct tv_lakehouse *l, const char *path, struct tv_err *err)
{
	int r = read_only(l, err);
	return r < 0 ? r : l->kind->open_before(l, path, err);
}

int tv_lakehouse_stat(struct tv_lakehouse *l, const char *path, struct tv_lakehouse_file *out,
		      struct tv_err *err)
{
	return l->kind->stat(l, path, out, err);
}

int tv_lakehouse_sha(struct tv_lakehouse *l, const char *path, struct tv_sha *out,
		     struct tv_err *err)
{
	return l->kind->sha(l, path, out, err);
}

int tv_lakehouse_each(struct tv_lakehouse *l,
		      int (*visit)(void *arg, const char *name, struct tv_err *err), void *arg,
		      struct tv_err *err)
{
	return l->kind->each(l, visit, arg, err);
}

int tv_lakehouse_publish(struct tv_lakehouse *l, const struct tv_lakehouse_publish *how,
			 struct tv_lakehouse_published *out, struct tv_err *err)
{
	int r = read_only(l, err);
	return r < 0 ? r : l->kind->publish(l, how, out, err);
}

void tv_lakehouse_free(struct tv_lakehouse *l)
{
	if (!l)
		return;
	while (l->n_staged)
		clear(l, &l->staged[--l->n_staged]);
	free(l->staged);
	l->kind->free(l);
}
