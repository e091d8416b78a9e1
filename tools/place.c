#include "tools/place.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/path.h"

void tv_place_free(struct tv_place *p)
{
	free(p->rev_text);
	free(p->path);
	tv_node_unref(p->node);
	*p = (struct tv_place)TV_PLACE_INIT;
}

static int look_up(struct tv_cli *cli, struct tv_place *p)
{
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	struct tv_err *err = &cli->err;
	int r = tv_commit_get(cli->store, &p->rev.commit, &c, err);
	if (r < 0)
		return r;
	r = tv_tree_lookup(tv_store_nodes(cli->store), &c.root, p->path, &p->entry, &p->node, err);
	if (r == -ENOENT || r == -ENOTDIR)
		return tv_err_set(err, -ENOENT, "there is no '%s' in %s; see 'tvfs ls -R %s'",
				  p->path, p->rev_text, p->rev_text);
	return r;
}

int tv_place_find(struct tv_cli *cli, const char *text, struct tv_place *out)
{
	tv_autofree char *path = NULL;
	struct tv_err *err = &cli->err;
	int r = 0;

	if (text)
		r = tv_rev_split(text, &out->rev_text, &path, err);
	else if (!(out->rev_text = strdup(cli->settings->ref)))
		r = tv_err_nomem(err);
	if (r == 0)
		r = tv_cli_rev(cli, out->rev_text, &out->rev);
	if (r == 0)
		r = tv_path_normalise(path ? path : "", &out->path, err);
	return r < 0 ? r : look_up(cli, out);
}
