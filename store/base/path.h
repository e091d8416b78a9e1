/*
 * Names and relative paths. A name is 1 to 255 bytes, anything but '/' and NUL, not "." or "..".
 * A relative path is names joined by single slashes; "" is the root. No function touches the disk.
 */
#ifndef TV_STORE_BASE_PATH_H
#define TV_STORE_BASE_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "store/base/err.h"

#define TV_NAME_MAX 255
#define TV_PATH_MAX 4096

/* True when the n bytes are a valid name. */
bool tv_name_ok(const char *name, size_t n);

/* True when the name begins with ".wh.", which belongs to overlays. */
bool tv_name_reserved(const char *name, size_t n);

/* Normalises a user's relative path: drops ".", double and trailing slashes. Absolute paths and
 * ".." are -EINVAL, too long a name or path -ENAMETOOLONG. *out is owned by the caller. */
int tv_path_normalise(const char *path, char **out, struct tv_err *err);

/* dir + "/" + name, or name when dir is "". Owned by the caller; NULL when out of memory. */
char *tv_path_join(const char *dir, const char *name);

/* The last name of a path (a pointer into it); "" for "". */
const char *tv_path_base(const char *path);

/* True when path is dir itself or lies below it ("" holds everything). */
bool tv_path_under(const char *path, const char *dir);

/* Takes the next name off *path: sets *name / *n and moves *path behind it. False at the end. */
bool tv_path_next(const char **path, const char **name, size_t *n);

/* Shell-style pattern (*, ?, [..]) against a path: a pattern without '/' is matched with the last
 * name, one with '/' with the whole path. */
bool tv_path_matches(const char *pattern, const char *path);

#endif
