/*
 * The overlay's form on disk (overlay.h says what the names mean): access to it by descriptors, and
 * its marks. Nothing here knows inodes or views; both the view and the walk stand on it.
 *
 * Folders are opened below the overlay's root with openat2 and no link is followed; where the kernel
 * has no openat2, one component after the other. Then a single name is used in *at calls. All
 * functions are thread-safe and return 0 or -errno: who asks is the kernel, which wants no message.
 */
#ifndef TV_FS_UPPER_H
#define TV_FS_UPPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"

#define TV_WH_PREFIX ".wh."
#define TV_WH_LONG ".wh..wh..long."
#define TV_WH_TMP ".wh..wh..tmp."
#define TV_UPPER_NAME 256 /* room for a name on disk */

/* Where the frozen st_ino of a copied-up or renamed file is kept; hidden in the view. */
#define TV_XATTR_INO "user.tvfs.overlay.ino"
#define TV_XATTR_PREFIX "user.tvfs."

struct tv_upper {
	int root; /* not owned */
	dev_t dev;
	bool by_component; /* no openat2 here */
};

int tv_upper_init(struct tv_upper *u, int root, bool force_by_component);

/* A folder to use in *at calls. The root's descriptor is lent, others are owned. */
struct tv_dirfd {
	int fd;
	bool owned;
};
#define TV_DIRFD_INIT                                                                              \
	{                                                                                          \
		-1, false                                                                          \
	}

static inline void tv_dirfd_close(struct tv_dirfd *d)
{
	if (d->owned)
		tv_close_p(&d->fd);
	d->owned = false;
	d->fd = -1;
}

#define tv_autodirfd __attribute__((cleanup(tv_dirfd_close)))

/* Opens the folder at `path` ("" is the root) as a place (O_PATH). What *out held is closed.
 * -ENOTDIR, -ENOENT, -ELOOP. */
int tv_upper_dir(const struct tv_upper *u, const char *path, struct tv_dirfd *out);

/* What a name on disk is. */
enum tv_mark {
	TV_MARK_NONE,	  /* an ordinary name */
	TV_MARK_WHITEOUT, /* *name is what it hides */
	TV_MARK_LONG,	  /* a whiteout whose name stands in the file: tv_whiteout_long */
	TV_MARK_OPAQUE,
	TV_MARK_REDIRECT,
	TV_MARK_LEFTOVER, /* of a crash, or unknown: ignored */
};
enum tv_mark tv_mark_of(const char *disk_name, const char **hidden);

/* The name of the whiteout of a name (n bytes). */
void tv_whiteout_name(const char *name, size_t n, char out[TV_UPPER_NAME]);
/* 1, 0, -errno. */
int tv_whiteout_there(int dirfd, const char *name, size_t n);
/* Makes it; one that is there is fine. */
int tv_whiteout_make(int dirfd, const char *name, size_t n);
/* The name that a long whiteout hides, checked against its hash. -EINVAL when it is none. */
int tv_whiteout_long(int dirfd, const char *disk_name, char out[TV_UPPER_NAME]);

/* 1, 0, -errno: nothing frozen shows through this folder (`name` in dirfd; "" is dirfd itself). */
int tv_opaque_there(int dirfd, const char *name);

/* The frozen path that a folder is merged with instead of its own: 1 (*path is owned by the
 * caller), 0 there is no such record, -errno. */
int tv_redirect_read(int dirfd, const char *name, char **path);
/* Writes the record atomically; the folder's times stay. */
int tv_redirect_write(int dirfd, const char *name, const char *path);

/* Lists a folder (`name` in dirfd; "" is dirfd itself); "." and ".." are left out. A non-zero return
 * of visit ends it and is returned. */
struct tv_upper_name {
	const char *disk_name;
	enum tv_mark mark;
	const char *name; /* TV_MARK_NONE: itself; whiteouts: what they hide */
	uint64_t ino;
	unsigned char type; /* DT_* */
};
int tv_upper_list(int dirfd, const char *name,
		  int (*visit)(void *arg, const struct tv_upper_name *e), void *arg);

/* Removes all marks in a folder that holds nothing else, so that it can be removed. */
int tv_upper_clear_marks(int dirfd, const char *name);

/* "/proc/self/fd/N", for calls that have no form for O_PATH descriptors. */
#define TV_PROC_FD 32
void tv_proc_fd(int fd, char out[TV_PROC_FD]);

/* Permission bits of a name, or of an open descriptor (name ""), never through a link. */
int tv_upper_chmod(int dirfd, const char *name, mode_t mode);

/*
 * A folder's permission bits. A daemon that is not root needs its folders open to itself: it copies files
 * up into folders that their owner may not write to, and puts marks there. So it keeps them 0700 at least
 * on disk, and what the owner took away is an attribute of the folder. Reading corrects the mode in a
 * stat of a folder; of anything else it changes nothing.
 */
#define TV_XATTR_OWNER_BITS "user.tvfs.overlay.owner"
int tv_upper_chmod_dir(int dirfd, const char *name, mode_t mode);
void tv_upper_true_mode(int dirfd, const char *name, struct stat *st);

/* Gives an open file (O_TMPFILE, or with a name) a further name; -ENOENT for one that was unlinked. */
int tv_upper_linkfd(int fd, int dirfd, const char *name);

/* A name for a temp file or folder; unique in this process. */
void tv_upper_temp_name(char out[TV_UPPER_NAME]);

/* Opens a nameless temp file, for reading and writing, in a folder. Where the filesystem has no
 * O_TMPFILE it gets a name, which is written to `name` ("" else). The descriptor, or -errno. */
int tv_upper_temp(int dirfd, char name[TV_UPPER_NAME]);

/* The frozen st_ino kept with a file (name in dirfd, or dirfd itself with ""); 0 when none is. */
uint64_t tv_upper_ino_get(int dirfd, const char *name);
/* Keeps it; where the filesystem has no attributes nothing happens. */
void tv_upper_ino_set(int fd, uint64_t ino);

#endif
