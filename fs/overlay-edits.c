/* An overlay as edits of the frozen tree, its files imported as blobs: what `--publish` needs. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/overlay.h"
#include "fs/upper.h"
#include "store/base/io.h"
#include "store/base/path.h"
#include "store/blob.h"

struct making {
	struct tv_upper disk;
	struct tv_blobs *blobs;
	struct tv_overlay_edits *out;
	size_t cap;
};

void tv_overlay_edits_free(struct tv_overlay_edits *e)
{
	if (!e)
		return;
	for (size_t i = 0; i < e->len; i++) {
		free((void *)(uintptr_t)e->edits[i].path);
		free((void *)(uintptr_t)e->edits[i].entry.target);
	}
	free(e->edits);
	*e = (struct tv_overlay_edits){ NULL, 0 };
}

/* Adds an edit with its own copy of the path; entry.target becomes the list's. */
static int add_edit(struct making *m, const char *path, bool remove, const struct tv_entry *entry,
		    struct tv_err *err)
{
	struct tv_overlay_edits *out = m->out;
	char *copy = strdup(path);

	if (copy && out->len == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 64;
		struct tv_edit *grown = reallocarray(out->edits, cap, sizeof(grown[0]));
		if (grown) {
			out->edits = grown;
			m->cap = cap;
		}
	}
	if (!copy || out->len == m->cap) {
		free(copy);
		if (entry)
			free((void *)(uintptr_t)entry->target);
		return tv_err_nomem(err);
	}
	struct tv_edit *e = &out->edits[out->len++];
	*e = (struct tv_edit){ .path = copy, .remove = remove };
	if (entry)
		e->entry = *entry;
	return 0;
}

/* Opens the folder that holds a path of the overlay. */
static int open_folder_of(const struct making *m, const char *path, struct tv_dirfd *dir)
{
	const char *base = tv_path_base(path);
	tv_autofree char *folder = strndup(path, base > path ? (size_t)(base - path) - 1 : 0);
	return folder ? tv_upper_dir(&m->disk, folder, dir) : -ENOMEM;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && !memcmp(&a->st_mtim, &b->st_mtim, sizeof(a->st_mtim)) &&
	       !memcmp(&a->st_ctim, &b->st_ctim, sizeof(a->st_ctim));
}

/* The file is stat'ed and read through one descriptor. */
static int import_file(struct making *m, int dirfd, const char *path, struct tv_entry *e,
		       struct tv_err *err)
{
	struct stat before, after;
	struct tv_blob blob;
	tv_autoclose int fd =
		openat(dirfd, tv_path_base(path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &before) < 0)
		return tv_err_sys(err, -errno, "cannot open '%s' of the overlay", path);
	int r = tv_blobs_add_fd(m->blobs, fd, &blob, NULL, err);
	if (r < 0)
		return tv_err_wrap(err, r, "'%s'", path);
	if (fstat(fd, &after) < 0 || !same_file(&before, &after))
		return tv_err_set(err, -EBUSY, "'%s' changed while it was read", path);
	*e = (struct tv_entry){ .kind = TV_FILE,
				.mode = before.st_mode & 0777,
				.mtime_ns = tv_ns_from_timespec(before.st_mtim),
				.size = blob.size,
				.addr = blob.addr,
				.sha = blob.sha };
	return 0;
}

static int import_symlink(int dirfd, const char *path, const struct stat *st, struct tv_entry *e,
			  struct tv_err *err)
{
	char buf[TV_PATH_MAX];
	ssize_t n = readlinkat(dirfd, tv_path_base(path), buf, sizeof(buf));
	if (n < 0 || n == sizeof(buf))
		return tv_err_sys(err, n < 0 ? -errno : -ENAMETOOLONG, "cannot read link '%s'",
				  path);
	*e = (struct tv_entry){ .kind = TV_SYMLINK,
				.mode = 0777,
				.mtime_ns = tv_ns_from_timespec(st->st_mtim),
				.size = (uint64_t)n };
	int r = tv_sha_of(buf, (size_t)n, &e->sha, err);
	if (r < 0)
		return r;
	e->target = strndup(buf, (size_t)n);
	return e->target ? 0 : tv_err_nomem(err);
}

static void dir_entry(const struct tv_overlay_change *c, struct tv_entry *e)
{
	*e = c->frozen ? *c->frozen : (struct tv_entry){ .kind = TV_DIR };
	e->mode = c->st->st_mode & 0777;
	e->mtime_ns = tv_ns_from_timespec(c->st->st_mtim);
	e->target = NULL;
}

static int take(void *arg, const struct tv_overlay_change *c, struct tv_err *err)
{
	tv_autodirfd struct tv_dirfd dir = TV_DIRFD_INIT;
	struct making *m = arg;
	struct tv_entry e;

	if (c->change == TV_REMOVED)
		return add_edit(m, c->path, true, NULL, err);
	if (S_ISDIR(c->st->st_mode)) {
		dir_entry(c, &e);
		return add_edit(m, c->path, false, &e, err);
	}
	int r = open_folder_of(m, c->disk_path, &dir);
	if (r < 0)
		return tv_err_sys(err, r, "cannot open the folder of '%s'", c->path);
	if (S_ISREG(c->st->st_mode))
		r = import_file(m, dir.fd, c->disk_path, &e, err);
	else if (S_ISLNK(c->st->st_mode))
		r = import_symlink(dir.fd, c->disk_path, c->st, &e, err);
	else
		r = tv_err_set(err, -EINVAL,
			       "'%s' is a special file (fifo, socket or device), which cannot be "
			       "published; remove it",
			       c->path);
	return r < 0 ? r : add_edit(m, c->path, false, &e, err);
}

int tv_overlay_edits(int overlay_dirfd, const struct tv_node_source *nodes,
		     const struct tv_entry *frozen_root, const char *const *exclude,
		     size_t n_exclude, struct tv_blobs *blobs, struct tv_overlay_edits *out,
		     struct tv_err *err)
{
	struct tv_overlay_edits made = { NULL, 0 };
	struct making m = { .blobs = blobs, .out = &made };

	int r = tv_upper_init(&m.disk, overlay_dirfd, false);
	if (r < 0)
		return tv_err_sys(err, r, "cannot use the overlay's folder");
	r = tv_overlay_walk(overlay_dirfd, nodes, frozen_root, exclude, n_exclude, take, &m, err);
	if (r < 0) {
		tv_overlay_edits_free(&made);
		return r;
	}
	*out = made;
	return 0;
}
