/*
 * Serving a view through FUSE: the only header of fs/ that the tools' mounts need.
 *
 * One FUSE superblock. Without run data its root is the lakehouse view itself; with run data the
 * root holds two folders, "lakehouse" (the view) and "data" (the run directory's data folder, in
 * which the overlay's own folder is hidden), which the caller binds at their literal paths.
 *
 * tv_mount_serve blocks until the filesystem is unmounted, the connection ends, or a signal (TERM,
 * INT, HUP) arrives. It opens nothing by path below its own mount: everything is reached from the
 * descriptors given. The process should be single-threaded when it calls.
 */
#ifndef TV_FS_MOUNT_H
#define TV_FS_MOUNT_H

#include <sys/types.h>

#include "store/commit.h"

/* A name at the top of the lakehouse that is the same file as a path in the run's data folder. */
struct tv_route {
	const char *lakehouse_name; /* "portfolio_candidates.json" */
	const char *data_path;	    /* "portfolio_candidates.json", relative to the data folder; its
				     * parent folders exist */
};

enum tv_passthrough {
	TV_PASSTHROUGH_AUTO, /* when the kernel, libfuse and privileges allow */
	TV_PASSTHROUGH_OFF,
	TV_PASSTHROUGH_REQUIRE, /* fail to start without */
};

struct tv_mount {
	struct tv_store *store;
	const struct tv_commit *commit; /* what is frozen */
	const char *mountpoint;		/* where to mount; NULL when fuse_fd is given */
	int fuse_fd;			/* an open /dev/fuse that is already mounted, or -1 */
	int overlay_dirfd; /* where writes go; -1: read-only, every mutation is EROFS */
	int data_dirfd;	   /* the run's data folder, or -1 */
	const char *
		overlay_name; /* the overlay's folder inside data_dirfd, hidden there ("lakehouse") */
	bool deny_lakehouse_writes; /* EROFS in the view, routed names excepted */
	bool route_fallback; /* a routed name that the run has not written shows the frozen copy */
	const struct tv_route *routes;
	size_t n_routes;
	bool allow_other;
	enum tv_passthrough passthrough;
	uid_t uid; /* owner shown for everything frozen */
	gid_t gid;
	const char *fsname; /* shown in mountinfo as the source, e.g. "tvfs:<12 digits>" */
	bool debug;
	/* Told once, when the kernel has been answered and the mount can be used. */
	void (*ready)(void *arg);
	void *ready_arg;
	/* Told when a routed name was looked for and the run had not written it (absent), or the frozen
	 * copy was shown instead (fallback). From any thread. Nullable. */
	void (*route_miss)(void *arg, const char *lakehouse_name, bool fallback, pid_t pid);
	void *route_arg;
	/* A Unix socket (listening) on which each connection gets one JSON document of figures and is
	 * closed; or -1. */
	int stats_fd;
};

/* 0 after a clean end. -ENODEV no FUSE in this kernel or container, -EACCES no right to mount,
 * -EOPNOTSUPP passthrough required and not to be had. */
int tv_mount_serve(const struct tv_mount *m, struct tv_err *err);

/* What this build and machine can do, for doctor: each a short constant text or NULL. */
struct tv_mount_abilities {
	const char *libfuse_version;
	bool built_with_passthrough;
	bool dev_fuse, can_passthrough;
	char why_not[200]; /* no passthrough because … */
};
void tv_mount_abilities(struct tv_mount_abilities *out);

#endif
