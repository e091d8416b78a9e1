#include "store/base/path.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/buf.h"

bool tv_name_ok(const char *name, size_t n)
{
	if (n == 0 || n > TV_NAME_MAX || memchr(name, '/', n) || memchr(name, '\0', n))
		return false;
	return !(name[0] == '.' && (n == 1 || (n == 2 && name[1] == '.')));
}

bool tv_name_reserved(const char *name, size_t n)
{
	return n >= 4 && memcmp(name, ".wh.", 4) == 0;
}

bool tv_path_next(const char **path, const char **name, size_t *n)
{
	while (**path == '/')
		(*path)++;
	if (!**path)
		return false;
	*name = *path;
	*n = strcspn(*path, "/");
	*path += *n;
	return true;
}

int tv_path_normalise(const char *path, char **out, struct tv_err *err)
{
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	const char *rest = path, *name;
	size_t n;

	if (path[0] == '/')
		return tv_err_set(err, -EINVAL,
				  "'%s' is absolute; give a path inside the lakehouse", path);
	while (tv_path_next(&rest, &name, &n)) {
		if (n == 1 && name[0] == '.')
			continue;
		if (n == 2 && name[0] == '.' && name[1] == '.')
			return tv_err_set(err, -EINVAL, "'%s' contains '..'", path);
		if (n > TV_NAME_MAX)
			return tv_err_set(err, -ENAMETOOLONG, "a name in '%s' is over %d bytes",
					  path, TV_NAME_MAX);
		if (b.len)
			tv_buf_add_u8(&b, '/');
		tv_buf_add(&b, name, n);
	}
	if (b.len >= TV_PATH_MAX)
		return tv_err_set(err, -ENAMETOOLONG, "path is over %d bytes", TV_PATH_MAX - 1);
	char *s = tv_buf_steal_str(&b);
	if (!s)
		return tv_err_nomem(err);
	*out = s;
	return 0;
}

char *tv_path_join(const char *dir, const char *name)
{
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	tv_buf_add_str(&b, dir);
	if (b.len && *name && b.data[b.len - 1] != '/')
		tv_buf_add_u8(&b, '/');
	tv_buf_add_str(&b, name);
	return tv_buf_steal_str(&b);
}

const char *tv_path_base(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

bool tv_path_under(const char *path, const char *dir)
{
	size_t n = strlen(dir);
	if (n == 0)
		return true;
	if (n == 1 && *dir == '/')
		return *path == '/';
	return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

bool tv_path_matches(const char *pattern, const char *path)
{
	if (!strchr(pattern, '/'))
		return fnmatch(pattern, tv_path_base(path), 0) == 0;
	return fnmatch(pattern, path, FNM_PATHNAME) == 0;
}
