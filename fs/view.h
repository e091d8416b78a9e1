/*
 * The merged view: a frozen tree, what the run wrote on top of it, and the run's data folder beside
 * it. All behaviour of the filesystem is here; nothing of FUSE is. ops-*.c translate requests into
 * these calls, tests make them directly.
 *
 * Every call returns 0 or -errno, the number that the user's system call is to fail with; there is
 * nobody to read a message. All calls are thread-safe. Locks, in the order in which they are taken:
 *
 *	namespace (rwlock)	what stands where: mutations take it for writing, all others for
 *				reading. No file's bytes are copied and nothing is answered under it
 *	opens (mutex)		who has what open, and backing ids
 *	copies (mutex)		which inodes are being copied up
 *	tv_inodes.lock		counts and chains
 *
 * A found inode carries one look-up that the caller hands to the kernel or takes back with
 * tv_view_forget.
 */
#ifndef TV_FS_VIEW_H
#define TV_FS_VIEW_H

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "fs/inode.h"
#include "fs/route.h"
#include "store/tree.h"

/* Where the bytes of frozen files come from. */
struct tv_blob_source {
	int (*open)(void *arg, const struct tv_addr *addr); /* a descriptor, or -errno */
	void *arg;
};

/* The kernel's passthrough: registers an open file, gives an id > 0, or -errno. */
struct tv_backing {
	int (*open)(void *arg, int fd);
	void (*close)(void *arg, int id);
	void *arg;
};

struct tv_teller {
	/* Tells the kernel that its cached attributes of an inode are not right any more. Called without locks. */
	void (*stale)(void *arg, struct tv_inode *inode);
	/* What this thread does next takes long, by the time of a request. Takes no lock of the view. */
	void (*takes_long)(void *arg);
	void *arg;
};

struct tv_view_config {
	const struct tv_node_source *nodes;
	const struct tv_entry *root; /* the frozen root; copied */
	const char *commit;	     /* its commit's id, as text; or NULL */
	struct tv_blob_source blobs;
	int overlay_dirfd; /* -1: nothing is written */
	int data_dirfd;	   /* -1: one volume, whose root is the view's */
	const char *overlay_name;
	bool deny_lakehouse_writes, route_fallback;
	const struct tv_route *routes;
	size_t n_routes;
	uid_t uid;
	gid_t gid;
	void (*route_miss)(void *arg, const char *lakehouse_name, bool fallback, pid_t pid);
	void *route_arg;
	bool by_component; /* do without openat2, for tests of that way */
};

/* Who asks. */
struct tv_caller {
	uid_t uid;
	gid_t gid;
	pid_t pid;
};

struct tv_found {
	struct tv_inode
		*inode; /* with one look-up; NULL when the name is absent (tv_view_lookup) */
	struct stat st;
	bool short_entry; /* the name can change without the kernel knowing: do not cache it */
	bool short_attr;  /* the same of the attributes */
};

struct tv_view_figures {
	uint64_t copy_ups, copied_bytes, passed_opens, plain_opens, fallbacks;
	uint64_t inodes, inode_bytes;	       /* in memory */
	uint64_t name_sets, names, name_bytes; /* of what the overlay holds (names.h) */
	uint64_t open_files, open_folders;
	uint64_t backing_ids, idle_backings; /* registered now; of these, without a handle */
};

struct tv_view;
struct tv_file;	  /* an open file (file.h) */
struct tv_folder; /* an open folder (folder.h) */

int tv_view_new(const struct tv_view_config *config, struct tv_view **out, struct tv_err *err);
/* What is still open is closed. */
void tv_view_free(struct tv_view *v);
void tv_view_figures(struct tv_view *v, struct tv_view_figures *out);

/* Turns passthrough on; before anything is opened. */
void tv_view_use_backing(struct tv_view *v, const struct tv_backing *backing);

/* Who is told what the kernel does not see by itself; before anything is changed. */
void tv_view_use_teller(struct tv_view *v, const struct tv_teller *teller);

struct tv_inode *tv_view_root(struct tv_view *v);
/* True when no volume can be written to. */
bool tv_view_read_only(const struct tv_view *v);

/* 0 also when the name is absent: found->inode is NULL then, and short_entry says whether that
 * may be remembered. */
int tv_view_lookup(struct tv_view *v, struct tv_inode *dir, const char *name,
		   const struct tv_caller *who, struct tv_found *found);
void tv_view_forget(struct tv_view *v, struct tv_inode *inode, uint64_t n);

/* file (nullable): an open file of this inode, asked in its stead. */
int tv_view_getattr(struct tv_view *v, struct tv_inode *inode, struct tv_file *file,
		    struct tv_found *found);

#define TV_SET_MODE 0x01
#define TV_SET_UID 0x02
#define TV_SET_GID 0x04
#define TV_SET_SIZE 0x08
#define TV_SET_ATIME 0x10
#define TV_SET_MTIME 0x20
struct tv_setattr {
	unsigned which;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	off_t size;
	struct timespec atime, mtime; /* UTIME_NOW is understood */
};
/* -ESTALE: the inode has been detached from its name; the kernel looks the path up again. */
int tv_view_setattr(struct tv_view *v, struct tv_inode *inode, struct tv_file *file,
		    const struct tv_setattr *set, const struct tv_caller *who,
		    struct tv_found *found);

int tv_view_mkdir(struct tv_view *v, struct tv_inode *dir, const char *name, mode_t mode,
		  const struct tv_caller *who, struct tv_found *found);
int tv_view_mknod(struct tv_view *v, struct tv_inode *dir, const char *name, mode_t mode,
		  dev_t device, const struct tv_caller *who, struct tv_found *found);
int tv_view_symlink(struct tv_view *v, struct tv_inode *dir, const char *name, const char *target,
		    const struct tv_caller *who, struct tv_found *found);
int tv_view_link(struct tv_view *v, struct tv_inode *inode, struct tv_inode *dir, const char *name,
		 const struct tv_caller *who, struct tv_found *found);
/* Makes and opens a file, or opens what stands there (flags decide, as for open(2)). */
int tv_view_create(struct tv_view *v, struct tv_inode *dir, const char *name, mode_t mode,
		   int flags, const struct tv_caller *who, struct tv_found *found,
		   struct tv_file **file);
int tv_view_tmpfile(struct tv_view *v, struct tv_inode *dir, mode_t mode, int flags,
		    const struct tv_caller *who, struct tv_found *found, struct tv_file **file);
int tv_view_unlink(struct tv_view *v, struct tv_inode *dir, const char *name);
int tv_view_rmdir(struct tv_view *v, struct tv_inode *dir, const char *name);
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE. -ESTALE: ask again after a look-up. */
int tv_view_rename(struct tv_view *v, struct tv_inode *from, const char *name, struct tv_inode *to,
		   const char *new_name, unsigned flags);

/* *target is owned by the caller. */
int tv_view_readlink(struct tv_view *v, struct tv_inode *inode, char **target);
int tv_view_statfs(struct tv_view *v, struct tv_inode *inode, struct statvfs *out);
int tv_view_fsync_dir(struct tv_view *v, struct tv_inode *dir, bool data_only);

/* As the system calls: size 0 asks for the length, which is returned. */
ssize_t tv_view_getxattr(struct tv_view *v, struct tv_inode *inode, const char *name, void *value,
			 size_t size);
ssize_t tv_view_listxattr(struct tv_view *v, struct tv_inode *inode, const struct tv_caller *who,
			  char *list, size_t size);
int tv_view_setxattr(struct tv_view *v, struct tv_inode *inode, const char *name, const void *value,
		     size_t size, int flags);
int tv_view_removexattr(struct tv_view *v, struct tv_inode *inode, const char *name);

#endif
