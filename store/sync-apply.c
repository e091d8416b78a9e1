/*
 * Carrying out a sync. New contents are written beside their place, made durable a batch at a time,
 * and renamed, so a reader of the live folder sees the old file or the new one; what is removed goes
 * last, folder times after everything.
 *
 * Between the check and the rename a script may have written to the file: it is looked at once more
 * right before. The moment between that look and the rename cannot be closed with plain files.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/base/path.h"
#include "store/checkout.h"
#include "store/sync-priv.h"

#define BATCH_FILES 256
#define BATCH_BYTES (64 << 20)
#define TEMP_NAME (sizeof(TV_SYNC_TEMP) + TV_ADDR_HEX)

struct apply {
	struct tv_worktree_work *work;
	struct tv_sync_plan *plan;
	const struct tv_sync *how;
	int root;
	uint64_t done;
};

/* The temp name depends on the name alone: what a killed sync left is found again by the next. */
static void temp_name(const char *name, char out[TEMP_NAME])
{
	char hex[TV_ADDR_HEX];
	struct tv_addr hash = tv_addr_of(name, strlen(name));
	tv_addr_hex(&hash, hex);
	snprintf(out, TEMP_NAME, "%s%s", TV_SYNC_TEMP, hex);
}

static int changed_meanwhile(const char *path, struct tv_err *err)
{
	return tv_err_set(err, -EBUSY,
			  "'%s' was changed while the folder was synced: what was done so "
			  "far stays; sync again",
			  path);
}

static void tell(const struct apply *a, const struct tv_step *step)
{
	if (a->how->changed)
		a->how->changed(a->how->arg, step->path, step->change);
}

/* True when what stands at the name is what was checked. */
static bool still_checked(const struct apply *a, int dirfd, const struct tv_step *step)
{
	struct tv_seen now;
	if (a->how->force)
		return true;
	int res = tv_beneath_stat(dirfd, tv_path_base(step->path), 0, &now);
	if (res == -ENOENT)
		return !step->seen.ino;
	return res == 0 && step->seen.ino && tv_seen_same(&now, &step->seen);
}

/* Makes the folders above a path that are missing; with force, what is in their place goes. */
static int make_parents(const struct apply *a, const char *path, struct tv_err *err)
{
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		const char *name;
		struct tv_seen seen;
		tv_autofree char *dir = strndup(path, (size_t)(slash - path));
		if (!dir)
			return tv_err_nomem(err);
		tv_autoclose int fd = tv_beneath_open_parent(a->root, dir, &name);
		int res = fd < 0 ? fd : tv_beneath_stat(fd, name, 0, &seen);
		if (res == 0 && seen.kind == TV_DIR)
			continue;
		if (res == 0 && !a->how->force)
			return changed_meanwhile(dir, err);
		if (res == 0 && unlinkat(fd, name, 0) < 0)
			res = -errno;
		if ((res == 0 || res == -ENOENT) && fd >= 0)
			res = mkdirat(fd, name, 0755) < 0 && errno != EEXIST ? -errno : 0;
		if (res < 0)
			return tv_err_sys(err, res, "cannot make the folder '%s'", dir);
	}
	return 0;
}

static int remove_step(const struct apply *a, const struct tv_step *step, struct tv_err *err);

/* Temp files that a killed sync left. */
static void drop_leftovers(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	tv_autoclosedir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d && fd >= 0)
		close(fd);
	for (const struct dirent *e; d && (e = readdir(d));)
		if (strncmp(e->d_name, TV_SYNC_TEMP, strlen(TV_SYNC_TEMP)) == 0)
			unlinkat(fd, e->d_name, 0);
}

/* Removes a folder for the file that comes: what the plan has below it, each as it was checked, and
 * nothing else. What a script has put there meanwhile stays, and so does the folder. */
static int clear_folder(struct apply *a, size_t at, int dirfd, const char *name, struct tv_err *err)
{
	const struct tv_sync_plan *plan = a->plan;
	const char *path = plan->steps[at].path;
	size_t end = at + 1;
	int res = 0;
	while (end < plan->len && tv_path_under(plan->steps[end].path, path))
		end++;
	for (size_t i = end; res == 0 && --i > at;) {
		const struct tv_step *step = &plan->steps[i];
		if (step->kind != TV_STEP_REMOVE)
			continue;
		if (step->seen.kind == TV_DIR) {
			const char *last;
			tv_autoclose int fd = tv_beneath_open_parent(a->root, step->path, &last);
			if (fd >= 0)
				drop_leftovers(fd, last);
		}
		res = remove_step(a, step, err);
	}
	if (res < 0)
		return res;
	drop_leftovers(dirfd, name);
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return tv_err_sys(err, -errno, "cannot remove the folder '%s'", path);
	return tv_err_set(err, -EBUSY,
			  "the folder '%s' is to become a file and holds what the store does "
			  "not have: move that away, then sync again",
			  path);
}

/* Removes what is of another kind than what comes. */
static int clear_place(struct apply *a, size_t at, struct tv_err *err)
{
	struct tv_step *step = &a->plan->steps[at];
	const char *name;
	tv_autoclose int fd = tv_beneath_open_parent(a->root, step->path, &name);
	if (fd < 0)
		return tv_err_sys(err, fd, "cannot open the folder of '%s'", step->path);
	int res = 0;
	if (a->how->force)
		res = tv_io_remove_tree(fd, name, err);
	else if (step->seen.kind == TV_DIR)
		res = clear_folder(a, at, fd, name, err);
	else if (!still_checked(a, fd, step))
		res = changed_meanwhile(step->path, err);
	else if (unlinkat(fd, name, 0) < 0 && errno != ENOENT)
		res = tv_err_sys(err, -errno, "cannot remove '%s'", step->path);
	memset(&step->seen, 0, sizeof(step->seen));
	return res;
}

static int make_dir(const struct apply *a, struct tv_step *step, struct tv_err *err)
{
	const char *name;
	int res = make_parents(a, step->path, err);
	if (res < 0)
		return res;
	tv_autoclose int fd = tv_beneath_open_parent(a->root, step->path, &name);
	if (fd < 0)
		return tv_err_sys(err, fd, "cannot open the folder of '%s'", step->path);
	if (mkdirat(fd, name, step->after.mode | 0700) < 0 && errno != EEXIST)
		return tv_err_sys(err, -errno, "cannot make the folder '%s'", step->path);
	tell(a, step);
	return 0;
}

static int prepare(struct apply *a, struct tv_err *err)
{
	int res = 0;
	for (size_t i = 0; res == 0 && i < a->plan->len; i++) {
		struct tv_step *step = &a->plan->steps[i];
		if (step->kind == TV_STEP_NONE)
			continue;
		if (step->clear)
			res = clear_place(a, i, err);
		if (res == 0 && step->kind == TV_STEP_MKDIR)
			res = make_dir(a, step, err);
	}
	return res;
}

static int write_file(const struct apply *a, int dirfd, const char *temp, const struct tv_entry *e,
		      struct tv_err *err)
{
	tv_autoclose int fd =
		openat(dirfd, temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return tv_err_sys(err, -errno, "cannot make a file");
	int res = tv_checkout_file(a->work->s, e, fd, err);
	if (res < 0)
		return res;
	struct timespec mtime = tv_timespec_from_ns(e->mtime_ns);
	if (fchmod(fd, e->mode) < 0 ||
	    futimens(fd, (struct timespec[]){ { .tv_nsec = UTIME_OMIT }, mtime }) < 0)
		return tv_err_sys(err, -errno, "cannot set mode and time");
	return 0;
}

static int write_link(int dirfd, const char *temp, const struct tv_entry *e, struct tv_err *err)
{
	struct timespec mtime = tv_timespec_from_ns(e->mtime_ns);
	if (symlinkat(e->target, dirfd, temp) < 0 ||
	    utimensat(dirfd, temp, (struct timespec[]){ { .tv_nsec = UTIME_OMIT }, mtime },
		      AT_SYMLINK_NOFOLLOW) < 0)
		return tv_err_sys(err, -errno, "cannot make a symbolic link");
	return 0;
}

static int write_temp(const struct apply *a, const struct tv_step *step, struct tv_err *err)
{
	char temp[TEMP_NAME];
	const char *name;
	int res = make_parents(a, step->path, err);
	if (res < 0)
		return res;
	tv_autoclose int fd = tv_beneath_open_parent(a->root, step->path, &name);
	if (fd < 0)
		return tv_err_sys(err, fd, "cannot open the folder of '%s'", step->path);
	temp_name(name, temp);
	if (unlinkat(fd, temp, 0) < 0 && errno != ENOENT)
		return tv_err_sys(err, -errno, "cannot remove an old temp file beside '%s'",
				  step->path);
	if (step->after.kind == TV_SYMLINK)
		res = write_link(fd, temp, &step->after, err);
	else
		res = write_file(a, fd, temp, &step->after, err);
	if (res < 0)
		unlinkat(fd, temp, 0);
	return res < 0 ? tv_err_wrap(err, res, "'%s'", step->path) : 0;
}

static int rename_temp(struct apply *a, struct tv_step *step, struct tv_err *err)
{
	char temp[TEMP_NAME];
	const char *name;
	struct tv_seen written;
	tv_autoclose int fd = tv_beneath_open_parent(a->root, step->path, &name);
	if (fd < 0)
		return tv_err_sys(err, fd, "cannot open the folder of '%s'", step->path);
	temp_name(name, temp);
	int res = tv_beneath_stat(fd, temp, 0, &written);
	if (res < 0)
		return tv_err_sys(err, res, "cannot stat the temp file of '%s'", step->path);
	if (!still_checked(a, fd, step)) {
		unlinkat(fd, temp, 0);
		return changed_meanwhile(step->path, err);
	}
	unsigned flags = step->seen.ino || a->how->force ? 0 : RENAME_NOREPLACE;
	if (renameat2(fd, temp, fd, name, flags) < 0) {
		res = -errno;
		unlinkat(fd, temp, 0);
		return res == -EEXIST ? changed_meanwhile(step->path, err)
				      : tv_err_sys(err, res, "cannot replace '%s'", step->path);
	}
	step->seen = written;
	step->written = step->after.kind == TV_FILE;
	tell(a, step);
	return 0;
}

static void drop_temps(const struct apply *a, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		const struct tv_step *step = &a->plan->steps[i];
		char temp[TEMP_NAME];
		const char *name;
		if (step->kind != TV_STEP_WRITE)
			continue;
		tv_autoclose int fd = tv_beneath_open_parent(a->root, step->path, &name);
		if (fd < 0)
			continue;
		temp_name(name, temp);
		unlinkat(fd, temp, 0);
	}
}

/* Writes and renames the files of steps [from, to). */
static int write_batch(struct apply *a, size_t from, size_t to, struct tv_err *err)
{
	int res = 0;
	for (size_t i = from; res == 0 && i < to; i++)
		if (a->plan->steps[i].kind == TV_STEP_WRITE)
			res = write_temp(a, &a->plan->steps[i], err);
	/* Contents before names: a crash must not leave a new name with empty bytes. */
	if (res == 0 && syncfs(a->root) < 0)
		res = tv_err_sys(err, -errno, "cannot sync the live folder");
	for (size_t i = from; res == 0 && i < to; i++)
		if (a->plan->steps[i].kind == TV_STEP_WRITE)
			res = rename_temp(a, &a->plan->steps[i], err);
	if (res < 0)
		drop_temps(a, from, to);
	return res;
}

static int write_all(struct apply *a, struct tv_err *err)
{
	struct tv_sync_plan *plan = a->plan;
	size_t from = 0, files = 0;
	uint64_t bytes = 0;
	for (size_t i = 0; i < plan->len; i++) {
		if (plan->steps[i].kind != TV_STEP_WRITE)
			continue;
		bytes += plan->steps[i].after.size;
		if (++files < BATCH_FILES && bytes < BATCH_BYTES)
			continue;
		int res = write_batch(a, from, i + 1, err);
		if (res < 0)
			return res;
		if (tv_progress_step(a->how->progress, "writing", i + 1, plan->len, "files"))
			return tv_err_set(err, -TV_E_INTERRUPTED, "interrupted");
		from = i + 1;
		files = bytes = 0;
	}
	return files ? write_batch(a, from, plan->len, err) : 0;
}

static int touch(const struct apply *a, const struct tv_step *step, struct tv_err *err)
{
	const char *name;
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
				     tv_timespec_from_ns(step->after.mtime_ns) };
	tv_autoclose int dirfd = tv_beneath_open_parent(a->root, step->path, &name);
	if (dirfd < 0)
		return tv_err_sys(err, dirfd, "cannot open the folder of '%s'", step->path);
	if (!still_checked(a, dirfd, step))
		return changed_meanwhile(step->path, err);
	int res = 0;
	if (step->after.kind == TV_FILE) {
		tv_autoclose int fd = tv_reading_open(dirfd, name);
		if (fd < 0)
			return tv_err_sys(err, fd, "cannot open '%s'", step->path);
		if (fchmod(fd, step->after.mode) < 0 || futimens(fd, times) < 0)
			res = -errno;
	} else if (utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) < 0) {
		res = -errno;
	}
	if (res < 0)
		return tv_err_sys(err, res, "cannot set mode and time of '%s'", step->path);
	tell(a, step);
	return 0;
}

static int remove_step(const struct apply *a, const struct tv_step *step, struct tv_err *err)
{
	const char *name;
	tv_autoclose int fd = tv_beneath_open_parent(a->root, step->path, &name);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd < 0)
		return tv_err_sys(err, fd, "cannot open the folder of '%s'", step->path);
	bool dir = step->seen.kind == TV_DIR;
	if (!dir && !still_checked(a, fd, step))
		return changed_meanwhile(step->path, err);
	if (unlinkat(fd, name, dir ? AT_REMOVEDIR : 0) < 0) {
		/* A folder with files of somebody's own stays. */
		if (errno == ENOENT || (dir && (errno == ENOTEMPTY || errno == EEXIST)))
			return 0;
		return tv_err_sys(err, -errno, "cannot remove '%s'", step->path);
	}
	tell(a, step);
	return 0;
}

static int touch_and_remove(struct apply *a, struct tv_err *err)
{
	int res = 0;
	for (size_t i = 0; res == 0 && i < a->plan->len; i++)
		if (a->plan->steps[i].kind == TV_STEP_TOUCH)
			res = touch(a, &a->plan->steps[i], err);
	/* Backwards: what is in a folder before the folder. */
	for (size_t i = a->plan->len; res == 0 && i-- > 0;)
		if (a->plan->steps[i].kind == TV_STEP_REMOVE)
			res = remove_step(a, &a->plan->steps[i], err);
	return res;
}

/* Gives a folder the target's mtime, and its mode; one that is not there any more is left out. */
static int set_dir(const struct apply *a, const char *path, const struct tv_entry *e, bool mode,
		   struct tv_err *err)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, tv_timespec_from_ns(e->mtime_ns) };
	tv_autoclose int fd = tv_beneath_open_dir(a->root, path);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd < 0)
		return tv_err_sys(err, fd, "cannot open '%s'", path);
	if ((mode && fchmod(fd, e->mode) < 0) || futimens(fd, times) < 0)
		return tv_err_sys(err, -errno, "cannot set mode and time of '%s'", path);
	return 0;
}

/* The folder that holds a changed path: writing moved its mtime. `last` is the one before. */
static int set_parent(const struct apply *a, const char *path, char **last, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	struct tv_entry e;
	const char *slash = strrchr(path, '/');
	char *dir = strndup(path, slash ? (size_t)(slash - path) : 0);
	if (!dir)
		return tv_err_nomem(err);
	bool same = *last && strcmp(*last, dir) == 0;
	free(*last);
	*last = dir;
	if (same)
		return 0;
	int res = tv_tree_lookup(tv_node_batch_source(a->work->nodes), &a->plan->target, dir, &e,
				 NULL, &why);
	if (res == -ENOENT || res == -ENOTDIR || (res == 0 && e.kind != TV_DIR))
		return 0;
	return res < 0 ? tv_err_set(err, res, "%s", why.text) : set_dir(a, dir, &e, false, err);
}

static int set_dirs(struct apply *a, struct tv_err *err)
{
	tv_autofree char *last = NULL;
	int res = 0;
	for (size_t i = 0; res == 0 && i < a->plan->len; i++) {
		const struct tv_step *step = &a->plan->steps[i];
		if (step->kind != TV_STEP_NONE)
			res = set_parent(a, step->path, &last, err);
		if (res == 0 && step->after.kind == TV_DIR)
			res = set_dir(a, step->path, &step->after, true, err);
	}
	return res;
}

/* What the cache is to remember of the written files. The rename moved their ctime, so they are
 * looked at once more, late enough for the racy rule to believe it; a file that is not the one that was
 * written, or has another mtime by now, is not remembered. */
static void look_again(struct apply *a)
{
	bool any = false;
	for (size_t i = 0; i < a->plan->len; i++)
		any |= a->plan->steps[i].written;
	if (!any)
		return;
	nanosleep(&(struct timespec){ .tv_nsec = TV_CACHE_GRAIN_NS + 5000000 }, NULL);
	int64_t looked = tv_now_ns();
	for (size_t i = 0; i < a->plan->len; i++) {
		struct tv_step *step = &a->plan->steps[i];
		struct tv_seen now;
		if (!step->written)
			continue;
		step->written = tv_beneath_stat_path(a->root, step->path, 0, &now) == 0 &&
				now.kind == TV_FILE && now.ino == step->seen.ino &&
				now.size == step->seen.size && now.mtime_ns == step->seen.mtime_ns;
		if (step->written)
			step->seen = now;
		step->looked_ns = looked;
	}
}

int tv_sync_apply(struct tv_worktree_work *work, struct tv_sync_plan *plan,
		  const struct tv_sync *how, struct tv_err *err)
{
	struct apply a = { .work = work, .plan = plan, .how = how, .root = work->w->dirfd };
	int res = prepare(&a, err);
	if (res == 0)
		res = write_all(&a, err);
	if (res == 0)
		res = touch_and_remove(&a, err);
	if (res == 0)
		res = set_dirs(&a, err);
	if (res == 0 && syncfs(a.root) < 0)
		res = tv_err_sys(err, -errno, "cannot sync the live folder");
	if (res == 0)
		look_again(&a);
	return res;
}
