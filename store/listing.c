#include "store/listing.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base/cleanup.h"

#define BATCH_BYTES (256 * 1024)
#define TEXT_MAX ((size_t)UINT32_MAX)

void tv_listing_free(struct tv_listing *l)
{
	free(l->text);
	free(l->names);
	*l = (struct tv_listing)TV_LISTING_INIT;
}

static int make_room(struct tv_listing *l, size_t text, struct tv_err *err)
{
	if (l->text_len + text > TEXT_MAX)
		return tv_err_set(err, -EOVERFLOW, "a folder has too many names");
	if (l->text_len + text > l->text_cap) {
		size_t cap = l->text_cap ? l->text_cap * 2 : 64 * 1024;
		char *grown = realloc(l->text, cap);
		if (!grown)
			return tv_err_nomem(err);
		l->text = grown;
		l->text_cap = cap;
	}
	if (l->len == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 1024;
		void *grown = reallocarray(l->names, cap, sizeof(*l->names));
		if (!grown)
			return tv_err_nomem(err);
		l->names = grown;
		l->cap = cap;
	}
	return 0;
}

static int add_name(struct tv_listing *l, const char *name, struct tv_err *err)
{
	size_t n = strlen(name);
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return 0;
	int res = make_room(l, n + 1, err);
	if (res < 0)
		return res;
	l->names[l->len++] =
		(struct tv_listing_name){ .at = (uint32_t)l->text_len, .len = (uint32_t)n };
	memcpy(l->text + l->text_len, name, n + 1);
	l->text_len += n + 1;
	return 0;
}

/* Length of the prefix that all names share. */
static size_t common_prefix(const struct tv_listing *l)
{
	size_t shared = l->names[0].len;
	const char *first = tv_listing_name(l, 0);
	for (size_t i = 1; i < l->len && shared; i++) {
		const char *name = tv_listing_name(l, i);
		size_t n = 0;
		while (n < shared && name[n] == first[n])
			n++;
		shared = n;
	}
	return shared;
}

static void set_keys(struct tv_listing *l, size_t skip)
{
	for (size_t i = 0; i < l->len; i++) {
		const uint8_t *p = (const uint8_t *)tv_listing_name(l, i) + skip;
		uint64_t key = 0;
		unsigned b = 0;
		for (; b < 8 && p[b]; b++)
			key = key << 8 | p[b];
		l->names[i].key = b == 0 ? 0 : key << (8 * (8 - b));
	}
}

static int compare(const void *a, const void *b, void *text)
{
	const struct tv_listing_name *x = a, *y = b;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return strcmp((const char *)text + x->at, (const char *)text + y->at);
}

int tv_listing_read(struct tv_listing *l, int dirfd, struct tv_err *err)
{
	tv_autofree char *batch = malloc(BATCH_BYTES);
	if (!batch)
		return tv_err_nomem(err);
	l->len = l->text_len = 0;
	for (;;) {
		ssize_t n = getdents64(dirfd, batch, BATCH_BYTES);
		if (n < 0)
			return tv_err_sys(err, -errno, "cannot list");
		if (n == 0)
			break;
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *d = (const void *)(batch + at);
			int res = add_name(l, d->d_name, err);
			if (res < 0)
				return res;
			at += d->d_reclen;
		}
	}
	if (l->len > 1) {
		set_keys(l, common_prefix(l));
		qsort_r(l->names, l->len, sizeof(*l->names), compare, l->text);
	}
	return 0;
}
