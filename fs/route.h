/*
 * Routes: names at the top of the lakehouse that are the same file as a path in the run's data
 * folder. Every operation on such a name is done at its place in the data folder, so there is one
 * inode under two paths. This module checks and finds them; the view acts on them.
 *
 * Immutable after it is made, but for `dir`, which the view sets once; thread-safe.
 */
#ifndef TV_FS_ROUTE_H
#define TV_FS_ROUTE_H

#include "fs/mount.h"

struct tv_inode;

struct tv_routed {
	char *lakehouse_name;
	size_t lakehouse_len;
	char *folder; /* of the data path, "" for the data folder itself */
	char *name;   /* its last name */
	size_t len;
	struct tv_inode *dir; /* the folder's inode, a reference of the view's */
};

struct tv_routes {
	struct tv_routed *of; /* sorted by lakehouse_name */
	size_t len;
};

/* Checks and copies routes. -EINVAL: not a name, not a relative path, reserved (".wh."), twice the
 * same name or data path, or a data path inside the overlay (`overlay_name`, nullable). */
int tv_routes_make(const struct tv_route *routes, size_t n, const char *overlay_name,
		   struct tv_routes *out, struct tv_err *err);
void tv_routes_free(struct tv_routes *r);

/* The route with this name at the top of the lakehouse / whose data path is `name` in `dir`; NULL. */
const struct tv_routed *tv_route_by_name(const struct tv_routes *r, const char *name, size_t n);
const struct tv_routed *tv_route_by_place(const struct tv_routes *r, const struct tv_inode *dir,
					  const char *name, size_t n);

#endif
