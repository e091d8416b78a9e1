#include "fs/view-priv.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/io.h"
#include "store/base/path.h"

/* --- where things stand -------------------------------------------------------------------- */

static void lower_of(const struct tv_view *v, const struct tv_routed *route, struct tv_spot *spot)
{
	struct tv_inode *lakehouse = v->volume[TV_VOL_LAKEHOUSE];
	if (v->fallback && (lakehouse->state & TV_INODE_FROZEN)) {
		spot->lower = lakehouse;
		spot->lower_name = route->lakehouse_name;
		spot->lower_n = route->lakehouse_len;
	}
}

int tv_spot_at(struct tv_view *v, struct tv_inode *dir, const char *name, struct tv_spot *spot)
{
	size_t n = strlen(name);

	if (n > TV_NAME_MAX)
		return -ENAMETOOLONG;
	*spot = (struct tv_spot){ .dir = dir, .name = name, .n = n };
	if (dir->volume == TV_VOL_TOP)
		return 0;
	if (dir == v->volume[TV_VOL_LAKEHOUSE])
		spot->route = tv_route_by_name(&v->routes, name, n);
	else if (dir->state & TV_INODE_ROUTES)
		spot->route = tv_route_by_place(&v->routes, dir, name, n);
	if (spot->route) {
		spot->by_data_path = dir->volume == TV_VOL_DATA;
		spot->dir = spot->route->dir;
		spot->name = spot->route->name;
		spot->n = spot->route->len;
		lower_of(v, spot->route, spot);
		return 0;
	}
	if (dir->volume == TV_VOL_LAKEHOUSE && tv_name_reserved(name, n))
		return -ENOENT;
	if (dir == v->volume[TV_VOL_DATA] && v->overlay_name && !strcmp(name, v->overlay_name))
		return -ENOENT;
	if (dir->state & TV_INODE_FROZEN) {
		spot->lower = dir;
		spot->lower_name = spot->name;
		spot->lower_n = n;
	}
	return 0;
}

void tv_stale_later(struct tv_view *v, struct tv_inode *inode)
{
	size_t n = v->n_stale, cap = v->cap_stale ? v->cap_stale * 2 : 8;

	if (!v->teller.stale)
		return;
	if (n == v->cap_stale) {
		struct tv_inode **grown = reallocarray(v->stale, cap, sizeof(grown[0]));
		if (!grown)
			return; /* only a time would be off */
		v->stale = grown;
		v->cap_stale = cap;
	}
	v->stale[v->n_stale++] = tv_inode_ref(&v->inodes, inode);
}

void tv_ns_done_and_tell(struct tv_view *v)
{
	struct tv_inode **stale = v->stale;
	size_t n = v->n_stale;

	v->stale = NULL;
	v->n_stale = v->cap_stale = 0;
	pthread_rwlock_unlock(&v->ns);
	for (size_t i = 0; i < n; i++) {
		tv_attributes_stale(v, stale[i]);
		tv_inode_put(&v->inodes, stale[i]);
	}
	free(stale);
}

bool tv_inode_writable(const struct tv_view *v, const struct tv_inode *inode)
{
	return inode->volume < TV_VOL_COUNT && v->writable[inode->volume];
}

int tv_spot_to_change(struct tv_view *v, struct tv_inode *dir, const char *name,
		      struct tv_spot *spot)
{
	int r = tv_spot_at(v, dir, name, spot);
	if (r == -ENAMETOOLONG)
		return r;
	if (!tv_inode_writable(v, spot->dir))
		return -EROFS;
	if (r == -ENOENT)
		return dir->volume == TV_VOL_LAKEHOUSE ? -EINVAL : -EACCES;
	return r;
}

int tv_inode_dir(struct tv_view *v, const struct tv_inode *dir, struct tv_dirfd *out)
{
	char buf[PATH_MAX];
	if (tv_inode_nameless(dir))
		return -ENOENT;
	const char *path = tv_inode_path(dir, buf, sizeof(buf));
	return path ? tv_upper_dir(&v->upper[dir->volume], path, out) : -errno;
}

int tv_inode_at(struct tv_view *v, const struct tv_inode *inode, struct tv_dirfd *dir,
		const char **name)
{
	if (!(inode->state & TV_INODE_ROOT) && inode->link.name) {
		*name = inode->link.name;
		return tv_inode_dir(v, inode->link.parent, dir);
	}
	*name = "";
	if (inode->state & TV_INODE_ROOT)
		return tv_upper_dir(&v->upper[inode->volume], "", dir);
	pthread_mutex_lock(&v->opens);
	const struct tv_open *open = tv_inode_open(inode);
	int fd = open ? open->orphan_fd : -1;
	pthread_mutex_unlock(&v->opens);
	if (fd < 0)
		return -ENOENT;
	tv_dirfd_close(dir);
	*dir = (struct tv_dirfd){ fd, false };
	return 0;
}

/* --- attributes ---------------------------------------------------------------------------- */

#define BLOCK 4096

static void frozen_stat(const struct tv_view *v, const struct tv_inode *inode, struct stat *st)
{
	static const mode_t types[] = {
		[TV_FILE] = S_IFREG, [TV_DIR] = S_IFDIR, [TV_SYMLINK] = S_IFLNK
	};
	struct timespec mtime = tv_timespec_from_ns(inode->mtime_ns);
	/* A folder's size is that of all below it; a symlink takes no block. */
	off_t size = inode->kind == TV_DIR ? BLOCK : (off_t)inode->size;
	off_t blocks = inode->kind == TV_SYMLINK ? 0 : size / BLOCK + (size % BLOCK != 0);

	*st = (struct stat){
		.st_ino = inode->ino,
		.st_mode = types[inode->kind] | inode->mode,
		.st_nlink = tv_inode_nameless(inode) && !(inode->state & TV_INODE_DETACHED) ? 0 : 1,
		.st_uid = v->uid,
		.st_gid = v->gid,
		.st_size = size,
		.st_blksize = BLOCK,
		.st_blocks = blocks * (BLOCK / 512),
		.st_atim = mtime,
		.st_mtim = mtime,
		.st_ctim = mtime,
	};
}

void tv_inode_dress(const struct tv_inode *inode, struct stat *st)
{
	st->st_ino = inode->ino;
	if (S_ISDIR(st->st_mode)) {
		/* "Not counted": programs that walk must not rely on it. */
		st->st_nlink = inode->state & TV_INODE_REMOVED ? 0 : 1;
		if (inode->state & TV_INODE_FROZEN)
			st->st_size = BLOCK;
	}
}

/* A detached inode shows its frozen bytes' size and, else, what its successor shows. */
static int detached_stat(struct tv_view *v, struct tv_inode *inode, struct stat *st)
{
	struct tv_inode *live;

	frozen_stat(v, inode, st);
	if (tv_inode_live(v, inode, &live) < 0)
		return 0;
	struct stat now;
	if (tv_inode_stat(v, live, &now) == 0) {
		now.st_size = st->st_size;
		now.st_blocks = st->st_blocks;
		*st = now;
	}
	tv_inode_put(&v->inodes, live);
	return 0;
}

int tv_inode_stat(struct tv_view *v, struct tv_inode *inode, struct stat *st)
{
	if (inode->state & TV_INODE_DETACHED)
		return detached_stat(v, inode, st);
	if (!(inode->state & TV_INODE_UPPER)) {
		frozen_stat(v, inode, st);
		return 0;
	}
	tv_autodirfd struct tv_dirfd dir = TV_DIRFD_INIT;
	const char *name;
	int r = tv_inode_at(v, inode, &dir, &name);
	if (r < 0)
		return r;
	if (fstatat(dir.fd, name, st, *name ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH) < 0)
		return -errno;
	tv_upper_true_mode(dir.fd, name, st);
	tv_inode_dress(inode, st);
	return 0;
}

int tv_inode_live(struct tv_view *v, struct tv_inode *inode, struct tv_inode **out)
{
	if (!(inode->state & TV_INODE_DETACHED)) {
		*out = tv_inode_ref(&v->inodes, inode);
		return 0;
	}
	pthread_mutex_lock(&v->opens);
	struct tv_open *open = tv_inode_open(inode);
	struct tv_inode *next = open ? open->successor : NULL;
	if (next)
		tv_inode_ref(&v->inodes, next);
	pthread_mutex_unlock(&v->opens);
	if (!next)
		return -ESTALE;
	/* A successor may have been detached in its turn, by readers of a later time. */
	int r = tv_inode_live(v, next, out);
	tv_inode_put(&v->inodes, next);
	return r;
}

void tv_found_fill(struct tv_view *v, const struct tv_spot *spot, struct tv_inode *inode,
		   const struct stat *st, struct tv_found *found)
{
	*found = (struct tv_found){ .inode = inode, .st = *st };
	found->short_attr = (inode->state & TV_INODE_ROUTES) || tv_kernel_writers(v, inode);
	if (spot && v->routes.len && inode->kind != TV_DIR) {
		struct tv_link *link =
			tv_inode_link_of(&v->inodes, inode, spot->dir, spot->name, spot->n);
		found->short_entry = spot->route || (link && link->short_wanted);
		if (link && found->short_entry)
			__atomic_store_n(&link->short_given, true, __ATOMIC_RELEASE);
	} else if (spot) {
		found->short_entry = spot->route != NULL;
	}
	tv_inode_looked_up(&v->inodes, inode);
	tv_inode_put(&v->inodes, inode);
}

/* --- looking at disk and tree -------------------------------------------------------------- */

int tv_upper_maybe(struct tv_view *v, struct tv_inode *dir, const char *name, size_t n)
{
	if (!(dir->state & TV_INODE_UPPER))
		return 0;
	if (!(dir->state & TV_INODE_FROZEN))
		return 1;
	struct tv_names *names = __atomic_load_n(&dir->names, __ATOMIC_ACQUIRE);
	if (!names) {
		tv_autodirfd struct tv_dirfd fd = TV_DIRFD_INIT;
		int r = tv_inode_dir(v, dir, &fd);
		if (r == 0)
			r = tv_names_load(fd.fd, "", &v->names_total, &names);
		if (r < 0)
			return r;
		/* Another look-up may have been faster; nothing was changed in between, since we hold
		 * the namespace lock. */
		struct tv_names *expected = NULL;
		if (!__atomic_compare_exchange_n(&dir->names, &expected, names, false,
						 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
			tv_names_free(names);
			names = expected;
		}
	}
	return tv_names_maybe(names, name, n);
}

int tv_spot_lower(struct tv_view *v, const struct tv_spot *spot, struct tv_entry *e)
{
	struct tv_inode *dir = spot->lower;
	if (!dir)
		return 0;
	int r = tv_upper_maybe(v, dir, spot->lower_name, spot->lower_n);
	if (r > 0) {
		tv_autodirfd struct tv_dirfd fd = TV_DIRFD_INIT;
		r = tv_inode_dir(v, dir, &fd);
		if (r == 0)
			r = tv_whiteout_there(fd.fd, spot->lower_name, spot->lower_n);
	}
	if (r)
		return r < 0 ? r : 0;
	r = tv_dir_lookup(v->nodes, &dir->addr, spot->lower_name, spot->lower_n, e, NULL, NULL);
	if (r == 0 && spot->route && e->kind != TV_FILE)
		return 0; /* routed names are files */
	return r == 0 ? 1 : r == -ENOENT ? 0 : r;
}

/* st_ino of a path of the frozen tree. */
static uint64_t ino_of_path(const char *path)
{
	uint64_t ino = TV_INO_FROZEN_ROOT;
	const char *name;
	size_t n;
	while (tv_path_next(&path, &name, &n))
		ino = tv_ino_frozen(ino, name, n);
	return ino;
}

/* What an upper folder is merged with: what its redirect says, or its own name's frozen folder. */
static int look_merge(struct tv_view *v, const struct tv_spot *spot, int dirfd,
		      struct tv_place *place)
{
	tv_autofree char *path = NULL;
	int r;

	place->ino = TV_INO_BORN(place->st.st_ino);
	if (spot->dir->volume != TV_VOL_LAKEHOUSE)
		return 0;
	r = tv_redirect_read(dirfd, spot->name, &path);
	if (r < 0)
		return r;
	if (r > 0) {
		place->redirect = true;
		r = tv_tree_lookup(v->nodes, &v->root, path, &place->e, NULL, NULL);
		place->ino = ino_of_path(path);
	} else {
		r = tv_spot_lower(v, spot, &place->e);
		if (r <= 0)
			return r;
		place->ino = tv_ino_frozen(spot->lower->ino, spot->lower_name, spot->lower_n);
	}
	place->merged = r >= 0 && place->e.kind == TV_DIR;
	if (place->merged) {
		r = tv_opaque_there(dirfd, spot->name);
		if (r < 0)
			return r;
		place->merged = !r;
	}
	if (!place->merged && !place->redirect)
		place->ino = TV_INO_BORN(place->st.st_ino);
	return 0;
}

static int look_upper(struct tv_view *v, const struct tv_spot *spot, struct tv_place *place)
{
	int r = tv_upper_maybe(v, spot->dir, spot->name, spot->n);
	if (r <= 0)
		return r;
	tv_autodirfd struct tv_dirfd dir = TV_DIRFD_INIT;
	r = tv_inode_dir(v, spot->dir, &dir);
	if (r < 0)
		return r;
	if (fstatat(dir.fd, spot->name, &place->st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (place->st.st_dev != v->upper[spot->dir->volume].dev)
		return -EXDEV; /* something is mounted in there: not ours to show */
	place->where = TV_IN_UPPER;
	if (S_ISDIR(place->st.st_mode)) {
		tv_upper_true_mode(dir.fd, spot->name, &place->st);
		r = look_merge(v, spot, dir.fd, place);
		return r < 0 ? r : 1;
	}
	uint64_t kept = S_ISREG(place->st.st_mode) ? tv_upper_ino_get(dir.fd, spot->name) : 0;
	place->ino = kept ? kept : TV_INO_BORN(place->st.st_ino);
	return 1;
}

int tv_spot_look(struct tv_view *v, const struct tv_spot *spot, struct tv_place *place)
{
	memset(place, 0, sizeof(*place));
	if (spot->dir->volume == TV_VOL_TOP || tv_inode_nameless(spot->dir))
		return 0;
	int r = look_upper(v, spot, place);
	if (r)
		return r < 0 ? r : 0;
	r = tv_spot_lower(v, spot, &place->e);
	if (r <= 0)
		return r;
	place->where = TV_IN_FROZEN;
	place->ino = tv_ino_frozen(spot->lower->ino, spot->lower_name, spot->lower_n);
	return 0;
}

static uint8_t kind_of(mode_t mode)
{
	return S_ISREG(mode) ? TV_FILE : S_ISDIR(mode) ? TV_DIR : S_ISLNK(mode) ? TV_SYMLINK : 0;
}

static void take_frozen(struct tv_inode *proto, const struct tv_entry *e)
{
	proto->state |= TV_INODE_FROZEN;
	proto->addr = e->addr;
	proto->size = e->size;
	proto->mtime_ns = e->mtime_ns;
	proto->mode = e->mode & 0777;
}

/* An upper file that is known under another name is the same inode. */
static int adopt_link(struct tv_view *v, const struct tv_spot *spot, const struct stat *st,
		      struct tv_inode **out)
{
	struct tv_inode *inode = tv_inode_find_upper(&v->inodes, st->st_ino);
	if (!inode)
		return 0;
	int r = tv_inode_link(&v->inodes, inode, spot->dir, spot->name, spot->n);
	if (r < 0) {
		tv_inode_put(&v->inodes, inode);
		return r;
	}
	*out = inode;
	return 1;
}

int tv_spot_adopt(struct tv_view *v, const struct tv_spot *spot, const struct tv_place *place,
		  struct tv_inode **out)
{
	struct tv_inode proto = { .ino = place->ino, .volume = spot->dir->volume };

	if (place->where == TV_IN_FROZEN)
		return tv_frozen_child(v, spot, &place->e, out);
	if (!S_ISDIR(place->st.st_mode)) {
		int r = adopt_link(v, spot, &place->st, out);
		if (r)
			return r < 0 ? r : 0;
	}
	proto.kind = kind_of(place->st.st_mode);
	proto.state = TV_INODE_UPPER | (place->redirect ? TV_INODE_REDIRECT : 0);
	proto.upper_ino = place->st.st_ino;
	proto.sxid = S_ISREG(place->st.st_mode) && (place->st.st_mode & (S_ISUID | S_ISGID));
	if (place->merged)
		take_frozen(&proto, &place->e);
	return tv_inode_add(&v->inodes, spot->dir, spot->name, spot->n, &proto, out);
}

int tv_frozen_child(struct tv_view *v, const struct tv_spot *spot, const struct tv_entry *e,
		    struct tv_inode **out)
{
	struct tv_inode proto = {
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the entry came from there */
		.ino = tv_ino_frozen(spot->lower->ino, spot->lower_name, spot->lower_n),
		.volume = spot->dir->volume,
		.kind = (uint8_t)e->kind,
		.state = spot->route ? TV_INODE_FALLBACK : 0,
	};
	take_frozen(&proto, e);
	return tv_inode_add(&v->inodes, spot->dir, spot->name, spot->n, &proto, out);
}

int tv_spot_inode(struct tv_view *v, const struct tv_spot *spot, struct tv_inode **out,
		  struct stat *st)
{
	struct tv_inode *inode = tv_inode_find(&v->inodes, spot->dir, spot->name, spot->n);
	struct stat own;
	int r = 0;

	if (inode) {
		if (st)
			r = tv_inode_stat(v, inode, st);
	} else {
		struct tv_place place;
		r = tv_spot_look(v, spot, &place);
		if (r == 0)
			r = place.where == TV_ABSENT ? -ENOENT
						     : tv_spot_adopt(v, spot, &place, &inode);
		if (r < 0)
			return r;
		own = place.st;
		if (place.where == TV_IN_FROZEN)
			frozen_stat(v, inode, &own);
		else
			tv_inode_dress(inode, &own);
		if (st)
			*st = own;
	}
	/* The data path of a route does not show what only its fallback has. */
	if (r == 0 && spot->by_data_path && (inode->state & TV_INODE_FALLBACK))
		r = -ENOENT;
	if (r < 0)
		tv_inode_put(&v->inodes, inode);
	else
		*out = inode;
	return r;
}

/* --- the calls ----------------------------------------------------------------------------- */

int tv_view_lookup(struct tv_view *v, struct tv_inode *dir, const char *name,
		   const struct tv_caller *who, struct tv_found *found)
{
	struct tv_spot spot = { .route = NULL };
	struct tv_inode *inode;
	struct stat st;

	tv_ns_read(v);
	int r = tv_spot_at(v, dir, name, &spot);
	if (r == 0)
		r = tv_spot_inode(v, &spot, &inode, &st);
	bool fallback = r == 0 && (inode->state & TV_INODE_FALLBACK);
	if (r == 0)
		tv_found_fill(v, &spot, inode, &st, found);
	tv_ns_done(v);

	if (spot.route && !spot.by_data_path && v->route_miss && (r == -ENOENT || fallback))
		v->route_miss(v->route_arg, spot.route->lakehouse_name, fallback, who->pid);
	if (r == -ENOENT) {
		*found = (struct tv_found){ .short_entry = spot.route != NULL };
		return 0;
	}
	return r;
}

void tv_view_forget(struct tv_view *v, struct tv_inode *inode, uint64_t n)
{
	tv_inode_forget(&v->inodes, inode, n);
}

int tv_view_getattr(struct tv_view *v, struct tv_inode *inode, struct tv_file *file,
		    struct tv_found *found)
{
	struct stat st;
	int r = 0;

	tv_ns_read(v);
	int fd = file && (inode->state & (TV_INODE_UPPER | TV_INODE_DETACHED)) == TV_INODE_UPPER
			 ? tv_file_fd(file)
			 : -1;
	if (fd >= 0 && fstat(fd, &st) == 0)
		tv_inode_dress(inode, &st);
	else
		r = tv_inode_stat(v, inode, &st);
	if (r == 0)
		*found = (struct tv_found){ .st = st,
					    .short_attr = (inode->state &
							   (TV_INODE_ROUTES | TV_INODE_DETACHED)) ||
							  tv_kernel_writers(v, inode) };
	tv_ns_done(v);
	return r;
}

struct tv_inode *tv_view_root(struct tv_view *v)
{
	return v->top;
}

void tv_view_use_backing(struct tv_view *v, const struct tv_backing *backing)
{
	v->backing = *backing;
	v->passthrough = true;
}

void tv_view_use_teller(struct tv_view *v, const struct tv_teller *teller)
{
	v->teller = *teller;
}

bool tv_view_read_only(const struct tv_view *v)
{
	return !v->writable[TV_VOL_LAKEHOUSE] && !v->writable[TV_VOL_DATA];
}

void tv_view_figures(struct tv_view *v, struct tv_view_figures *out)
{
	pthread_mutex_lock(&v->opens);
	uint64_t idle = v->idle.count;
	uint64_t files = v->open_files, folders = v->open_folders, ids = v->backing_ids;
	pthread_mutex_unlock(&v->opens);
	*out = (struct tv_view_figures){
		.copy_ups = v->copy_ups,
		.copied_bytes = v->copied_bytes,
		.passed_opens = v->passed_opens,
		.plain_opens = v->plain_opens,
		.fallbacks = v->fallbacks,
		.inodes = tv_inodes_count(&v->inodes),
		.idle_backings = idle,
		.inode_bytes = tv_inodes_bytes(&v->inodes),
		.name_sets = __atomic_load_n(&v->names_total.sets, __ATOMIC_RELAXED),
		.names = __atomic_load_n(&v->names_total.names, __ATOMIC_RELAXED),
		.name_bytes = __atomic_load_n(&v->names_total.bytes, __ATOMIC_RELAXED),
		.open_files = files,
		.open_folders = folders,
		.backing_ids = ids,
	};
}
