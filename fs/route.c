#include "fs/route.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/path.h"

static void free_one(struct tv_routed *r)
{
	free(r->lakehouse_name);
	free(r->folder);
	free(r->name);
}

void tv_routes_free(struct tv_routes *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->len; i++)
		free_one(&r->of[i]);
	free(r->of);
	*r = (struct tv_routes){ NULL, 0 };
}

static int make_one(const struct tv_route *in, const char *overlay_name, struct tv_routed *out,
		    struct tv_err *err)
{
	size_t n = strlen(in->lakehouse_name);
	tv_autofree char *path = NULL;

	if (!tv_name_ok(in->lakehouse_name, n) || tv_name_reserved(in->lakehouse_name, n))
		return tv_err_set(err, -EINVAL,
				  "route '%s': not a name at the top of the lakehouse",
				  in->lakehouse_name);
	int r = tv_path_normalise(in->data_path, &path, err);
	if (r < 0)
		return tv_err_wrap(err, r, "route '%s'", in->lakehouse_name);
	if (!*path)
		return tv_err_set(err, -EINVAL, "route '%s': the data path is empty",
				  in->lakehouse_name);
	if (overlay_name && tv_path_under(path, overlay_name))
		return tv_err_set(err, -EINVAL, "route '%s': '%s' lies in the overlay's own folder",
				  in->lakehouse_name, path);
	const char *base = tv_path_base(path);
	*out = (struct tv_routed){
		.lakehouse_name = strdup(in->lakehouse_name),
		.lakehouse_len = n,
		.folder = strndup(path, base > path ? (size_t)(base - path) - 1 : 0),
		.name = strdup(base),
		.len = strlen(base),
	};
	if (out->lakehouse_name && out->folder && out->name)
		return 0;
	free_one(out);
	return tv_err_nomem(err);
}

static int by_name(const void *a, const void *b)
{
	const struct tv_routed *x = a, *y = b;
	return strcmp(x->lakehouse_name, y->lakehouse_name);
}

static int refuse_doubles(const struct tv_routes *r, struct tv_err *err)
{
	for (size_t i = 0; i < r->len; i++) {
		for (size_t j = i + 1; j < r->len; j++) {
			const struct tv_routed *a = &r->of[i], *b = &r->of[j];
			if (!strcmp(a->lakehouse_name, b->lakehouse_name))
				return tv_err_set(err, -EINVAL, "route '%s' is given twice",
						  a->lakehouse_name);
			if (!strcmp(a->name, b->name) && !strcmp(a->folder, b->folder))
				return tv_err_set(err, -EINVAL,
						  "routes '%s' and '%s' have the same data path",
						  a->lakehouse_name, b->lakehouse_name);
		}
	}
	return 0;
}

int tv_routes_make(const struct tv_route *routes, size_t n, const char *overlay_name,
		   struct tv_routes *out, struct tv_err *err)
{
	tv_auto(tv_routes_free) struct tv_routes made = { NULL, 0 };

	made.of = calloc(n ? n : 1, sizeof(made.of[0]));
	if (!made.of)
		return tv_err_nomem(err);
	for (; made.len < n; made.len++) {
		int r = make_one(&routes[made.len], overlay_name, &made.of[made.len], err);
		if (r < 0)
			return r;
	}
	qsort(made.of, made.len, sizeof(made.of[0]), by_name);
	int r = refuse_doubles(&made, err);
	if (r < 0)
		return r;
	*out = made;
	made = (struct tv_routes){ NULL, 0 };
	return 0;
}

const struct tv_routed *tv_route_by_name(const struct tv_routes *r, const char *name, size_t n)
{
	size_t low = 0, high = r->len;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct tv_routed *at = &r->of[mid];
		size_t common = n < at->lakehouse_len ? n : at->lakehouse_len;
		int order = memcmp(name, at->lakehouse_name, common);
		if (!order)
			order = n < at->lakehouse_len ? -1 : n > at->lakehouse_len;
		if (!order)
			return at;
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

const struct tv_routed *tv_route_by_place(const struct tv_routes *r, const struct tv_inode *dir,
					  const char *name, size_t n)
{
	for (size_t i = 0; i < r->len; i++)
		if (r->of[i].dir == dir && r->of[i].len == n && !memcmp(r->of[i].name, name, n))
			return &r->of[i];
	return NULL;
}
