/* Files into a folder, all of them or none: see ingest/select.h. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "ingest/file-bytes.h"
#include "ingest/select-priv.h"
#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/json.h"

/* Beside the files' places, so that a rename brings them there. One selection at a time has it. */
#define STAGE ".tvfs-select"
#define OLD_LIST "old-list"
#define LIST_MAX ((size_t)64 << 20)

struct copying {
	struct tv_lakehouse *lake;
	const struct tv_select_how *how;
	struct tv_selection *s;
	int stage;	 /* the folder STAGE */
	char *list;	 /* owned: the new one */
	char *old_list;	 /* owned; NULL: there is none */
	char *left_list; /* owned: that which one that was killed had taken away; or NULL */
	bool old_list_away, list_there;
};

static void copying_free(struct copying *c)
{
	tv_close_p(&c->stage);
	free(c->list);
	free(c->old_list);
	free(c->left_list);
}

/* --- what is there ----------------------------------------------------------------------------- */

static int look(struct copying *c, struct tv_selected *item, struct tv_err *err)
{
	struct tv_sha sha;
	struct stat st;
	if (fstatat(c->how->data, item->file, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0
				       : tv_err_sys(err, -errno, "cannot stat '%s'", item->file);
	item->replaced = true;
	if (S_ISDIR(st.st_mode))
		return tv_err_set(err, -EISDIR, "'%s' is a folder", item->file);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != item->at.size)
		return 0;
	tv_autoclose int fd = openat(c->how->data, item->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return tv_err_sys(err, -errno, "cannot open '%s'", item->file);
	int r = tv_bytes_sha(fd, &sha, err);
	item->there = r == 0 && tv_sha_eq(&sha, &item->at.sha);
	return r < 0 ? tv_err_wrap(err, r, "'%s'", item->file) : 0;
}

static int read_list(const struct copying *c, const char *path, char **out, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	size_t n;
	int r = tv_io_read_file(c->how->data, path, LIST_MAX, out, &n, &why);
	return r < 0 && r != -ENOENT ? tv_err_set(err, r, "%s", why.text) : 0;
}

static int look_at_all(struct copying *c, struct tv_err *err)
{
	size_t there = 0;
	int r = read_list(c, TV_SELECTED_FILE, &c->old_list, err);
	if (r == 0)
		r = read_list(c, STAGE "/" OLD_LIST, &c->left_list, err);
	if (r == 0)
		r = tv_select_list(c->s, c->how->foundation, &c->list, err);
	for (size_t i = 0; i < c->s->n && r == 0; i++) {
		r = look(c, &c->s->items[i], err);
		there += c->s->items[i].there;
	}
	c->s->copied = c->s->n - there;
	c->s->unchanged = there == c->s->n && c->old_list && strcmp(c->old_list, c->list) == 0;
	return r;
}

/* --- copies, beside their places --------------------------------------------------------------- */

static int open_stage(struct copying *c, struct tv_err *err)
{
	int r = tv_io_remove_tree(c->how->data, STAGE, err); /* of one that was killed */
	if (r < 0)
		return r;
	if (mkdirat(c->how->data, STAGE, 0700) < 0)
		return tv_err_sys(err, -errno, "cannot make '%s'", STAGE);
	c->stage = openat(c->how->data, STAGE, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return c->stage < 0 ? tv_err_sys(err, -errno, "cannot open '%s'", STAGE) : 0;
}

/* Keeps the foundation's time: scripts judge by it how old a file is. */
static int copy_one(struct copying *c, const struct tv_selected *item, struct tv_err *err)
{
	struct tv_sha sha;
	tv_autoclose int from = tv_lakehouse_open(c->lake, item->file, err);
	if (from < 0)
		return from;
	tv_autoclose int to =
		openat(c->stage, item->file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (to < 0)
		return tv_err_sys(err, -errno, "cannot make '%s'", item->file);
	int r = tv_bytes_copy(from, to, err);
	if (r == 0)
		r = tv_bytes_sha(to, &sha, err);
	if (r < 0)
		return tv_err_wrap(err, r, "'%s'", item->file);
	if (!tv_sha_eq(&sha, &item->at.sha))
		return tv_err_set(err, -TV_E_DIGEST,
				  "'%s': its bytes are not what the foundation says; run tvfs fsck",
				  item->file);
	const struct timespec times[2] = { { .tv_nsec = UTIME_NOW },
					   tv_timespec_from_ns(item->at.mtime_ns) };
	if (futimens(to, times) < 0)
		return tv_err_sys(err, -errno, "cannot set the time of '%s'", item->file);
	return 0;
}

static int copy_all(struct copying *c, struct tv_err *err)
{
	size_t done = 0;
	for (size_t i = 0; i < c->s->n; i++) {
		if (c->s->items[i].there)
			continue;
		if (tv_progress_step(c->how->progress, "copying", done++, c->s->copied, "files"))
			return tv_err_set(err, -TV_E_INTERRUPTED, "stopped");
		int r = copy_one(c, &c->s->items[i], err);
		if (r < 0)
			return r;
	}
	tv_autoclose int fd =
		openat(c->stage, TV_SELECTED_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return tv_err_sys(err, -errno, "cannot make the list");
	int r = tv_io_write_all(fd, c->list, strlen(c->list));
	if (r == 0 && syncfs(fd) < 0)
		r = -errno;
	return r < 0 ? tv_err_sys(err, r, "cannot write the list") : 0;
}

/* --- names ------------------------------------------------------------------------------------- */

/* Brings a file to its place, or back: what stood there takes the place that it had. */
static int swap(struct copying *c, struct tv_selected *item, bool back)
{
	int to = back ? c->stage : c->how->data, from = back ? c->how->data : c->stage;
	unsigned flags = item->replaced ? RENAME_EXCHANGE : RENAME_NOREPLACE;
	if (renameat2(from, item->file, to, item->file, flags) < 0)
		return -errno;
	item->moved = !back;
	return 0;
}

static void undo(struct copying *c)
{
	if (c->list_there)
		unlinkat(c->how->data, TV_SELECTED_FILE, 0);
	for (size_t i = c->s->n; i-- > 0;)
		if (c->s->items[i].moved)
			swap(c, &c->s->items[i], true);
	if (c->old_list_away)
		renameat(c->stage, OLD_LIST, c->how->data, TV_SELECTED_FILE);
}

/* The old list goes first: it would speak of files that are others now. The new one comes last. */
static int name_all(struct copying *c, struct tv_err *err)
{
	if (c->old_list) {
		if (renameat(c->how->data, TV_SELECTED_FILE, c->stage, OLD_LIST) < 0)
			return tv_err_sys(err, -errno, "cannot replace the list");
		c->old_list_away = true;
	}
	for (size_t i = 0; i < c->s->n; i++) {
		struct tv_selected *item = &c->s->items[i];
		int r = item->there ? 0 : swap(c, item, false);
		if (r < 0)
			return tv_err_sys(err, r, "cannot put '%s' in its place", item->file);
	}
	if (fsync(c->how->data) < 0)
		return tv_err_sys(err, -errno, "cannot sync the folder");
	if (renameat2(c->stage, TV_SELECTED_FILE, c->how->data, TV_SELECTED_FILE,
		      RENAME_NOREPLACE) < 0)
		return tv_err_sys(err, -errno, "cannot put the list in its place");
	c->list_there = true;
	return fsync(c->how->data) < 0 ? tv_err_sys(err, -errno, "cannot sync the folder") : 0;
}

/* --- what a selection before this one brought -------------------------------------------------- */

static bool is_selected(const struct copying *c, const char *file)
{
	for (size_t i = 0; i < c->s->n; i++)
		if (strcmp(c->s->items[i].file, file) == 0)
			return true;
	return false;
}

/* Only what is still as the old list says; anything else is somebody's own. */
static void drop_one(struct copying *c, const char *file, const char *hex)
{
	struct tv_sha told, sha;
	if (!file || !hex || strchr(file, '/') || !tv_sha_from_hex(hex, &told) ||
	    is_selected(c, file))
		return;
	tv_autoclose int fd = openat(c->how->data, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && tv_bytes_sha(fd, &sha, NULL) == 0 && tv_sha_eq(&sha, &told))
		unlinkat(c->how->data, file, 0);
}

static void drop_old(struct copying *c, const char *list)
{
	tv_autojson cJSON *doc = NULL;
	const cJSON *item;
	if (!list || tv_json_parse(list, strlen(list), &doc, NULL) < 0)
		return;
	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(doc, "assets"))
		drop_one(c, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "file")),
			 cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "sha256")));
}

/* --- all of it --------------------------------------------------------------------------------- */

static int put(struct copying *c, struct tv_err *err)
{
	int r = open_stage(c, err);
	if (r == 0)
		r = copy_all(c, err);
	if (r == 0) {
		r = name_all(c, err);
		if (r < 0)
			undo(c);
	}
	return r;
}

int tv_select_copy(struct tv_lakehouse *l, const struct tv_select_how *how, struct tv_selection *s,
		   struct tv_err *err)
{
	tv_auto(copying_free) struct copying c = { .lake = l, .how = how, .s = s, .stage = -1 };
	if (flock(how->data, LOCK_EX | LOCK_NB) < 0)
		return tv_err_set(err, errno == EWOULDBLOCK ? -TV_E_LOCKED : -errno,
				  "another selection is at work in this folder");
	int r = look_at_all(&c, err);
	if (r == 0 && !s->unchanged)
		r = put(&c, err);
	if (r == 0) {
		drop_old(&c, c.old_list);
		drop_old(&c, c.left_list);
	}
	tv_io_remove_tree(how->data, STAGE, NULL);
	flock(how->data, LOCK_UN);
	return r;
}
