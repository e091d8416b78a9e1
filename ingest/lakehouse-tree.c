/* A foundation by its top entry, for reading only. */
#include <stdlib.h>
#include <string.h>

#include "ingest/lakehouse-priv.h"
#include "store/base/cleanup.h"

struct lake {
	struct tv_lakehouse common;
	struct tv_store *store;
	const struct tv_node_source *nodes;
	struct tv_entry root;
};

static struct lake *lake_of(struct tv_lakehouse *l)
{
	return (struct lake *)l;
}

static int lake_stat(struct tv_lakehouse *l, const char *path, struct tv_lakehouse_file *out,
		     struct tv_err *err)
{
	struct lake *k = lake_of(l);
	struct tv_err why = TV_ERR_INIT;
	struct tv_entry e;
	int r = tv_tree_lookup(k->nodes, &k->root, path, &e, NULL, &why);
	if (r == -ENOENT || r == -ENOTDIR)
		return tv_err_set(err, -ENOENT, "'%s' is not there", path);
	if (r < 0)
		return tv_err_set(err, r, "%s", why.text);
	if (e.kind != TV_FILE)
		return tv_err_set(err, -EINVAL, "'%s' is not a file", path);
	*out = (struct tv_lakehouse_file){ e.size, e.mtime_ns, true, e.addr, e.sha };
	return 0;
}

static int lake_open(struct tv_lakehouse *l, const char *path, struct tv_err *err)
{
	struct tv_lakehouse_file file;
	int r = lake_stat(l, path, &file, err);
	return r < 0 ? r : tv_blob_open(lake_of(l)->store, &file.blob, err);
}

static int lake_sha(struct tv_lakehouse *l, const char *path, struct tv_sha *out,
		    struct tv_err *err)
{
	struct tv_lakehouse_file file;
	int r = lake_stat(l, path, &file, err);
	if (r == 0)
		*out = file.sha;
	return r;
}

static int lake_each(struct tv_lakehouse *l,
		     int (*visit)(void *arg, const char *name, struct tv_err *err), void *arg,
		     struct tv_err *err)
{
	struct lake *k = lake_of(l);
	struct tv_dir_cursor c;
	const char *name;
	struct tv_entry e;
	size_t n;
	int r = tv_dir_cursor_open(&c, k->nodes, &k->root.addr, err);
	while (r == 0 && tv_dir_cursor_get(&c, &name, &n, &e)) {
		tv_autofree char *text = strndup(name, n);
		r = text ? visit(arg, text, err) : tv_err_nomem(err);
		if (r == 0)
			r = tv_dir_cursor_next(&c, err);
	}
	tv_dir_cursor_close(&c);
	return r;
}

static void lake_free(struct tv_lakehouse *l)
{
	free(lake_of(l));
}

static const struct tv_lakehouse_kind kind = {
	.open = lake_open,
	.open_table = lake_open,
	.sha = lake_sha,
	.stat = lake_stat,
	.each = lake_each,
	.free = lake_free,
};

int tv_lakehouse_of_tree(struct tv_store *store, const struct tv_node_source *nodes,
			 const struct tv_entry *root, struct tv_lakehouse **out, struct tv_err *err)
{
	struct lake *k = calloc(1, sizeof(*k));
	if (!k)
		return tv_err_nomem(err);
	*k = (struct lake){ { .kind = &kind }, store, nodes, *root };
	*out = &k->common;
	return 0;
}
