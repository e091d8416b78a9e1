#include "tools/ingest/shared-list.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "store/base/cleanup.h"
#include "store/base/path.h"

/* A view tells of each file whose it is, under all its names. */
static bool is_view(const char *lakehouse)
{
	return getxattr(lakehouse, "user.tvfs.foundation", NULL, 0) > 0;
}

static bool is_frozen(const char *path)
{
	char layer[16];
	ssize_t n = getxattr(path, "user.tvfs.layer", layer, sizeof(layer));
	return n == (ssize_t)strlen("foundation") && memcmp(layer, "foundation", (size_t)n) == 0;
}

/* A second name (hard link) of the list that scripts share. */
static bool is_link_to_shared(const char *lakehouse, const char *path)
{
	static const char *const names[] = { "portfolio_candidates.json",
					     "portfolio_candidates_raw.json" };
	struct stat st, shared;
	if (stat(path, &st) < 0)
		return false;
	for (size_t i = 0; i < TV_ARRAY_LEN(names); i++) {
		tv_autofree char *file = tv_path_join(lakehouse, names[i]);
		if (file && stat(file, &shared) == 0 && shared.st_dev == st.st_dev &&
		    shared.st_ino == st.st_ino)
			return true;
	}
	return false;
}

static int refuse_file(const char *lakehouse, const char *path, struct tv_err *err)
{
	tv_autofree char *real = realpath(path, NULL), *shared = realpath(lakehouse, NULL);
	if (!real || !shared)
		return 0;
	bool refused = is_view(shared)
			       ? is_frozen(real)
			       : tv_path_under(real, shared) || is_link_to_shared(shared, real);
	if (!refused)
		return 0;
	return tv_err_set(
		err, -EACCES,
		"'%s' is the shared lakehouse's, and this run is strictly isolated: let the "
		"run write its own list first",
		path);
}

/* What is not there may be hidden on purpose: then the plain error would puzzle. */
static int refuse_missing(const char *lakehouse, const char *path, struct tv_err *err)
{
	const char *name = tv_path_base(path);
	tv_autofree char *parent = strndup(path, (size_t)(name - path));
	tv_autofree char *real = parent ? realpath(*parent ? parent : ".", NULL) : NULL;
	tv_autofree char *shared = realpath(lakehouse, NULL);
	if (!real || !shared || strcmp(real, shared) != 0)
		return 0;
	return tv_err_set(err, -ENOENT,
			  "'%s' is not there: this run is strictly isolated, so it does not see a "
			  "shared list, and has not written its own",
			  path);
}

static int refuse_folder(const char *lakehouse, DIR *folder, const char *path, struct tv_err *err)
{
	const struct dirent *d;
	int r = 0;
	while (r == 0 && (d = readdir(folder)) != NULL) {
		size_t n = strlen(d->d_name);
		if (n < 5 || strcmp(d->d_name + n - 5, ".json") != 0)
			continue;
		tv_autofree char *file = tv_path_join(path, d->d_name);
		r = file ? refuse_file(lakehouse, file, err) : tv_err_nomem(err);
	}
	return r;
}

int tv_shared_list_refuse(const char *lakehouse, const char *path, struct tv_err *err)
{
	tv_autoclosedir DIR *folder = opendir(path);
	if (folder)
		return refuse_folder(lakehouse, folder, path, err);
	if (errno == ENOENT)
		return refuse_missing(lakehouse, path, err);
	return refuse_file(lakehouse, path, err);
}
