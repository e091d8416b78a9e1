#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/view-priv.h"
#include "store/base/path.h"

static void inode_gone(void *arg, struct tv_inode *inode)
{
	struct tv_view *v = arg;
	if (inode->kind == TV_DIR && !(inode->state & TV_INODE_REMOVED))
		tv_names_free(inode->names);
	else
		tv_open_gone(v, inode);
}

static void init_locks(struct tv_view *v)
{
	pthread_rwlockattr_t attr;
	pthread_rwlockattr_init(&attr);
	/* Else a stream of look-ups would keep every mutation waiting. Read locks are never nested. */
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&v->ns, &attr);
	pthread_rwlockattr_destroy(&attr);
	pthread_mutex_init(&v->opens, NULL);
	pthread_mutex_init(&v->copies, NULL);
	pthread_cond_init(&v->copied, NULL);
}

void tv_view_free(struct tv_view *v)
{
	if (!v)
		return;
	tv_files_fini(v);
	tv_folders_fini(v);
	tv_inodes_fini(&v->inodes);
	tv_routes_free(&v->routes);
	free(v->overlay_name);
	pthread_rwlock_destroy(&v->ns);
	pthread_mutex_destroy(&v->opens);
	pthread_mutex_destroy(&v->copies);
	pthread_cond_destroy(&v->copied);
	free(v);
}

static void tv_view_free_p(struct tv_view **v)
{
	tv_view_free(*v);
}

static int use_folder(struct tv_view *v, enum tv_volume volume, int dirfd, bool by_component,
		      struct tv_err *err)
{
	v->upper[volume].root = -1;
	if (dirfd < 0)
		return 0;
	int r = tv_upper_init(&v->upper[volume], dirfd, by_component);
	return r < 0 ? tv_err_sys(err, r, "cannot use the %s folder",
				  volume == TV_VOL_DATA ? "run's data" : "overlay's")
		     : 0;
}

/* The root inode of a volume; with two volumes it is a name in the top folder. */
static int make_volume(struct tv_view *v, enum tv_volume volume, const char *name)
{
	struct tv_inode proto = {
		.kind = TV_DIR,
		.volume = (uint8_t)volume,
		.state = TV_INODE_ROOT,
		.ino = TV_INO_FROZEN_ROOT,
		.addr = v->root.addr,
		.mtime_ns = v->root.mtime_ns,
		.mode = v->root.mode & 0777,
	};
	struct stat st;

	if (volume == TV_VOL_LAKEHOUSE)
		proto.state |= TV_INODE_FROZEN;
	if (v->upper[volume].root >= 0) {
		if (fstat(v->upper[volume].root, &st) < 0)
			return -errno;
		proto.state |= TV_INODE_UPPER;
		proto.upper_ino = st.st_ino;
		if (volume == TV_VOL_DATA)
			proto.ino = TV_INO_BORN(st.st_ino);
	}
	if (volume == TV_VOL_LAKEHOUSE && v->upper[volume].root >= 0) {
		int r = tv_opaque_there(v->upper[volume].root, "");
		if (r < 0)
			return r;
		if (r)
			proto.state &= (uint16_t)~TV_INODE_FROZEN;
	}
	return v->top ? tv_inode_add(&v->inodes, v->top, name, strlen(name), &proto,
				     &v->volume[volume])
		      : tv_inode_new(&v->inodes, &proto, &v->volume[volume]);
}

static int make_roots(struct tv_view *v, bool two)
{
	struct tv_inode top = { .kind = TV_DIR,
				.volume = TV_VOL_TOP,
				.state = TV_INODE_ROOT,
				.ino = TV_INO_TOP,
				.mode = 0755,
				.mtime_ns = v->root.mtime_ns };
	int r = two ? tv_inode_new(&v->inodes, &top, &v->top) : 0;
	if (r == 0)
		r = make_volume(v, TV_VOL_LAKEHOUSE, "lakehouse");
	if (r == 0 && two)
		r = make_volume(v, TV_VOL_DATA, "data");
	if (r == 0 && !two)
		v->top = v->volume[TV_VOL_LAKEHOUSE];
	return r;
}

/* Finds a route's folder and keeps it and all above it where they are. */
static int bind_route(struct tv_view *v, struct tv_routed *route, struct tv_err *err)
{
	struct tv_inode *at = v->volume[TV_VOL_DATA], *next = NULL;
	const char *rest = route->folder, *part;
	char name[TV_NAME_MAX + 1];
	size_t n;

	while (tv_path_next(&rest, &part, &n)) {
		struct tv_spot spot;
		memcpy(name, part, n);
		name[n] = '\0';
		int r = tv_spot_at(v, at, name, &spot);
		if (r == 0)
			r = tv_spot_inode(v, &spot, &next, NULL);
		if (r == 0 && next->kind != TV_DIR)
			r = -ENOTDIR;
		if (r < 0 || !next)
			return tv_err_sys(err, r, "route '%s': folder '%s' of the data folder",
					  route->lakehouse_name, route->folder);
		/* These references are never given back: the folders stay for as long as the view. */
		next->state |= TV_INODE_PINNED;
		at = next;
	}
	at->state |= TV_INODE_ROUTES;
	route->dir = at;
	return 0;
}

static int bind_routes(struct tv_view *v, struct tv_err *err)
{
	if (!v->routes.len)
		return 0;
	if (!v->volume[TV_VOL_DATA])
		return tv_err_set(err, -EINVAL, "routes need the run's data folder");
	v->volume[TV_VOL_LAKEHOUSE]->state |= TV_INODE_ROUTES;
	for (size_t i = 0; i < v->routes.len; i++) {
		int r = bind_route(v, &v->routes.of[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void take_config(struct tv_view *v, const struct tv_view_config *c)
{
	v->nodes = c->nodes;
	v->root = *c->root;
	tv_sha_hex(&v->root.sha, v->foundation);
	if (c->commit && strlen(c->commit) < sizeof(v->commit))
		memcpy(v->commit, c->commit, strlen(c->commit) + 1);
	v->blobs = c->blobs;
	v->fallback = c->route_fallback;
	v->route_miss = c->route_miss;
	v->route_arg = c->route_arg;
	v->uid = c->uid;
	v->gid = c->gid;
	v->euid = geteuid();
	v->writable[TV_VOL_LAKEHOUSE] = c->overlay_dirfd >= 0 && !c->deny_lakehouse_writes;
	v->writable[TV_VOL_DATA] = c->data_dirfd >= 0;
}

int tv_view_new(const struct tv_view_config *c, struct tv_view **out, struct tv_err *err)
{
	tv_auto(tv_view_free_p) struct tv_view *v = calloc(1, sizeof(*v));
	if (!v)
		return tv_err_nomem(err);
	init_locks(v);
	if (tv_inodes_init(&v->inodes) < 0)
		return tv_err_nomem(err);
	v->inodes.gone = inode_gone;
	v->inodes.gone_arg = v;
	take_config(v, c);
	int r = use_folder(v, TV_VOL_LAKEHOUSE, c->overlay_dirfd, c->by_component, err);
	if (r == 0)
		r = use_folder(v, TV_VOL_DATA, c->data_dirfd, c->by_component, err);
	if (r == 0 && c->overlay_name && !(v->overlay_name = strdup(c->overlay_name)))
		r = tv_err_nomem(err);
	if (r == 0)
		r = tv_routes_make(c->routes, c->n_routes, c->overlay_name, &v->routes, err);
	if (r < 0)
		return r;
	r = make_roots(v, c->data_dirfd >= 0);
	if (r < 0)
		return tv_err_sys(err, r, "cannot set up the view");
	r = bind_routes(v, err);
	if (r < 0)
		return r;
	*out = v;
	v = NULL;
	return 0;
}
