#include "tools/run/rundir.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/json.h"
#include "store/base/path.h"
#include "store/hash.h"
#include "tools/run/record.h"

#define FOLDER_MODE 0777 /* less the umask, as mkdir(1) */

static int make_below(const char *dir, const char *name, struct tv_err *err)
{
	tv_autofree char *path = tv_path_join(dir, name);
	return path ? tv_io_mkdirs(AT_FDCWD, path, FOLDER_MODE, err) : tv_err_nomem(err);
}

/* Whatever is there of a run's own folders must be folders: views are mounted on them, and a link
 * would be followed to what may be another run's. */
static int refuse_link(const char *path, struct tv_err *err)
{
	struct stat st;
	if (lstat(path, &st) < 0 || S_ISDIR(st.st_mode))
		return 0;
	return tv_err_set(
		err, -ENOTDIR,
		"'%s' is %s, and a run's own folders must be real; use another --run-id, or "
		"move it away",
		path, S_ISLNK(st.st_mode) ? "a symlink" : "not a folder");
}

static bool has_entries(const char *path)
{
	tv_autoclosedir DIR *d = opendir(path);
	for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			return true;
	return false;
}

static int refuse_used(const struct tv_plan *p, struct tv_err *err)
{
	tv_autofree char *record = tv_path_join(p->run_dir, "config/run.json");
	struct stat st;
	if (!record)
		return tv_err_nomem(err);
	if (lstat(record, &st) == 0)
		return tv_err_set(
			err, -EEXIST,
			"'%s' belongs to a run that this store does not know; use another "
			"--run-id, or move the folder away",
			p->run_dir);
	if (has_entries(p->overlay_dir))
		return tv_err_set(
			err, -EEXIST,
			"'%s' is not empty: a run starts with no writes; use another --run-id, "
			"or move the folder away",
			p->overlay_dir);
	return 0;
}

/* Folders that routed files lie in; a route is a file, its parents are real folders. */
static int make_route_folders(const struct tv_plan *p, struct tv_err *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < p->settings->n_routes; i++) {
		const char *data = p->settings->routes[i].data;
		const char *slash = strrchr(data, '/');
		tv_autofree char *parent = slash ? strndup(data, (size_t)(slash - data)) : NULL;
		if (slash && !parent)
			return tv_err_nomem(err);
		r = parent ? make_below(p->data_dir, parent, err) : 0;
	}
	return r;
}

/* How much of an absolute path is there. */
static size_t length_there(const char *path)
{
	tv_autofree char *copy = strdup(path);
	struct stat st;
	char *slash;
	while (copy && stat(copy, &st) < 0 && (slash = strrchr(copy, '/')) && slash > copy)
		*slash = '\0';
	return copy ? strlen(copy) : 0;
}

/* The names of new folders, from the run's own upwards to the one that was there: without them the
 * record in config/, which is synced when it is written, would be lost with its folder. */
static int sync_names(const char *run_dir, size_t there, struct tv_err *err)
{
	tv_autofree char *copy = strdup(run_dir);
	int r = copy ? 0 : tv_err_nomem(err);
	while (r == 0 && *copy && strlen(copy) >= there) {
		r = tv_io_sync_dir(AT_FDCWD, copy, err);
		char *slash = strrchr(copy, '/');
		*(slash ? slash : copy) = '\0';
	}
	return r;
}

int tv_rundir_make(const struct tv_plan *p, bool fresh, bool *touched, struct tv_err *err)
{
	static const char *const folders[] = { "data", "reports", "config", "data/lakehouse" };
	size_t there = length_there(p->run_dir);
	int r = refuse_link(p->run_dir, err);
	for (size_t i = 0; r == 0 && i < TV_ARRAY_LEN(folders); i++) {
		tv_autofree char *path = tv_path_join(p->run_dir, folders[i]);
		r = path ? refuse_link(path, err) : tv_err_nomem(err);
	}
	if (r == 0 && fresh)
		r = refuse_used(p, err);
	*touched = r == 0;
	for (size_t i = 0; r == 0 && i < TV_ARRAY_LEN(folders); i++)
		r = make_below(p->run_dir, folders[i], err);
	if (r == 0 && fresh)
		r = sync_names(p->run_dir, there, err);
	if (r == 0 && p->profile->routes)
		r = make_route_folders(p, err);
	for (size_t i = 0; r == 0 && i < p->n_redirects; i++) {
		r = tv_io_mkdirs(AT_FDCWD, p->redirects[i].from, FOLDER_MODE, err);
		if (r == 0)
			r = tv_io_mkdirs(AT_FDCWD, p->redirects[i].to, FOLDER_MODE, err);
	}
	if (r == 0)
		r = tv_io_mkdirs(AT_FDCWD, p->lakehouse, FOLDER_MODE, err);
	return r;
}

/* rmdir of a path and of its parents, as far as they are empty, down to (not with) `stop`. */
static void remove_empty(const char *path, const char *stop)
{
	tv_autofree char *copy = strdup(path);
	while (copy && strlen(copy) > strlen(stop) && rmdir(copy) == 0) {
		char *slash = strrchr(copy, '/');
		if (!slash)
			return;
		*slash = '\0';
	}
}

void tv_rundir_unmake(const struct tv_plan *p)
{
	static const char *const folders[] = { "data/lakehouse", "data", "reports", "config" };
	tv_autofree char *record = tv_path_join(p->run_dir, "config/run.json");
	if (record)
		unlink(record);
	for (size_t i = 0; i < p->n_redirects; i++)
		remove_empty(p->redirects[i].from, p->run_dir);
	for (size_t i = 0; p->profile->routes && i < p->settings->n_routes; i++) {
		tv_autofree char *file = tv_path_join(p->data_dir, p->settings->routes[i].data);
		char *slash = file ? strrchr(file, '/') : NULL;
		if (slash)
			*slash = '\0';
		if (file)
			remove_empty(file, p->data_dir);
	}
	for (size_t i = 0; i < TV_ARRAY_LEN(folders); i++) {
		tv_autofree char *path = tv_path_join(p->run_dir, folders[i]);
		if (path)
			rmdir(path);
	}
	rmdir(p->run_dir);
}

/* A walk over the files of a folder, without following links. `skip`: a top-level name left out. */
struct files {
	int (*visit)(struct files *w, int dirfd, const char *name, const char *path,
		     const struct stat *st, struct tv_err *err);
	/* A folder that the user may not list; NULL: passed over. */
	int (*closed)(struct files *w, const char *path, int code, struct tv_err *err);
	const char *skip;
	cJSON *list; /* for the outputs */
	struct tv_hasher *hasher;
	double count, bytes;
};

static int walk_files(struct files *w, int parent, const char *name, const char *path,
		      struct tv_err *err)
{
	int own = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (own < 0 && errno == ENOENT)
		return 0;
	if (own < 0 && errno == EACCES)
		return w->closed ? w->closed(w, path, -EACCES, err) : 0;
	tv_autoclosedir DIR *d = own < 0 ? NULL : fdopendir(own);
	if (!d) {
		int code = -errno;
		if (own >= 0)
			close(own);
		return tv_err_sys(err, code, "cannot list '%s'", path);
	}
	int r = 0;
	for (struct dirent *e = readdir(d); r == 0 && e; e = readdir(d)) {
		struct stat st;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		tv_autofree char *below = tv_path_join(path, e->d_name);
		if (!below)
			return tv_err_nomem(err);
		if (w->skip && strcmp(below, w->skip) == 0)
			continue;
		if (S_ISDIR(st.st_mode))
			r = walk_files(w, dirfd(d), e->d_name, below, err);
		else if (S_ISREG(st.st_mode))
			r = w->visit(w, dirfd(d), e->d_name, below, &st, err);
	}
	return r;
}

static int walk_run(struct files *w, const char *run_dir, struct tv_err *err)
{
	tv_autoclose int fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return tv_err_sys(err, -errno, "cannot open '%s'", run_dir);
	int r = walk_files(w, fd, "data", "data", err);
	return r < 0 ? r : walk_files(w, fd, "reports", "reports", err);
}

static int hash_file(struct files *w, int dirfd, const char *name, char hex[TV_SHA_HEX],
		     struct tv_err *err)
{
	struct tv_addr addr;
	struct tv_sha sha;
	tv_autoclose int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	tv_autofree char *chunk = malloc(1 << 18);
	if (fd < 0)
		return tv_err_sys(err, -errno, "cannot open '%s'", name);
	int r = chunk ? tv_hasher_reset(w->hasher, err) : tv_err_nomem(err);
	for (ssize_t n = 1; r == 0 && n > 0;) {
		n = read(fd, chunk, 1 << 18);
		if (n < 0)
			return tv_err_sys(err, -errno, "cannot read '%s'", name);
		r = tv_hasher_update(w->hasher, chunk, (size_t)n, err);
	}
	if (r == 0)
		r = tv_hasher_final(w->hasher, &addr, &sha, err);
	if (r == 0)
		tv_sha_hex(&sha, hex);
	return r;
}

/* What cannot be read is listed with the reason: it is no failure of the run. */
static int list_closed(struct files *w, const char *path, int code, struct tv_err *err)
{
	tv_autojson cJSON *one = cJSON_CreateObject();
	if (!one || !tv_json_add_bytes(one, "path", path, strlen(path)) ||
	    !cJSON_AddStringToObject(one, "error", strerrorname_np(-code)) ||
	    !cJSON_AddItemToArray(w->list, one))
		return tv_err_nomem(err);
	tv_steal_ptr(&one);
	return 0;
}

static int list_file(struct files *w, int dirfd, const char *name, const char *path,
		     const struct stat *st, struct tv_err *err)
{
	char hex[TV_SHA_HEX];
	w->bytes += (double)st->st_size;
	if (w->count++ >= TV_OUTPUTS_LISTED)
		return 0;
	int r = hash_file(w, dirfd, name, hex, err);
	if (r == -ENOENT || r == -EACCES) {
		tv_err_clear(err);
		return list_closed(w, path, r, err);
	}
	if (r < 0)
		return r;
	cJSON *one = cJSON_CreateObject();
	if (one && tv_json_add_bytes(one, "path", path, strlen(path)) &&
	    cJSON_AddNumberToObject(one, "size", (double)st->st_size) &&
	    cJSON_AddStringToObject(one, "sha256", hex) && cJSON_AddItemToArray(w->list, one))
		return 0;
	cJSON_Delete(one);
	return tv_err_nomem(err);
}

int tv_rundir_outputs(const char *run_dir, cJSON **out, struct tv_err *err)
{
	tv_autojson cJSON *doc = cJSON_CreateObject(), *list = cJSON_CreateArray();
	struct files w = {
		.visit = list_file, .closed = list_closed, .skip = "data/lakehouse", .list = list
	};
	int r = doc && list ? tv_hasher_new(&w.hasher, err) : tv_err_nomem(err);
	if (r == 0)
		r = walk_run(&w, run_dir, err);
	tv_hasher_free(w.hasher);
	if (r < 0)
		return tv_err_wrap(err, r, "hashing the run's outputs");
	double unlisted = w.count > TV_OUTPUTS_LISTED ? w.count - TV_OUTPUTS_LISTED : 0;
	if (!tv_record_set(doc, "count", cJSON_CreateNumber(w.count)) ||
	    !tv_record_set(doc, "bytes", cJSON_CreateNumber(w.bytes)) ||
	    !tv_record_set(doc, "unlisted", cJSON_CreateNumber(unlisted)) ||
	    !tv_record_set(doc, "files", tv_steal_ptr(&list)))
		return tv_err_nomem(err);
	*out = tv_steal_ptr(&doc);
	return 0;
}

static int seal_file(struct files *w, int dirfd, const char *name, const char *path,
		     const struct stat *st, struct tv_err *err)
{
	(void)w;
	mode_t mode = st->st_mode & 0777;
	if (!(mode & 0222) || fchmodat(dirfd, name, mode & ~(mode_t)0222, 0) == 0)
		return 0;
	return tv_err_sys(err, -errno, "cannot make '%s' read-only", path);
}

int tv_rundir_seal(const char *run_dir, struct tv_err *err)
{
	struct files w = { .visit = seal_file };
	return walk_run(&w, run_dir, err);
}
