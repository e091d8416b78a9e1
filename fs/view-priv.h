/* What the parts of the view share. Only fs/view*.c, copyup.c, file.c and folder.c include this. */
#ifndef TV_FS_VIEW_PRIV_H
#define TV_FS_VIEW_PRIV_H

#include <limits.h>
#include <stdatomic.h>

#include "fs/names.h"
#include "fs/upper.h"
#include "fs/view.h"

struct tv_view {
	const struct tv_node_source *nodes;
	struct tv_entry root; /* frozen */
	char foundation[TV_SHA_HEX], commit[TV_SHA_HEX];
	struct tv_blob_source blobs;
	struct tv_backing backing;
	struct tv_teller teller;
	bool passthrough;
	struct tv_upper upper[TV_VOL_COUNT]; /* root -1: this volume has no folder on disk */
	bool writable[TV_VOL_COUNT];
	char *overlay_name; /* owned; NULL */
	bool fallback;
	struct tv_routes routes;
	void (*route_miss)(void *arg, const char *lakehouse_name, bool fallback, pid_t pid);
	void *route_arg;
	uid_t uid;
	gid_t gid;
	uid_t euid;

	struct tv_inodes inodes;
	struct tv_inode *top;		       /* what the kernel calls the root */
	struct tv_inode *volume[TV_VOL_COUNT]; /* roots; NULL when there is no such volume */

	/* Lock order: ns, opens, copies, inodes.lock (view.h). */
	pthread_rwlock_t ns;
	pthread_mutex_t opens;
	pthread_mutex_t copies;
	pthread_cond_t copied;

	/* Of whose attributes the kernel is told when the lock is given back: references. Guarded by ns. */
	struct tv_inode **stale; /* owned */
	size_t n_stale, cap_stale;

	/* Everything that is open, so that nothing is lost when the connection ends. Guarded by opens. */
	struct tv_file *files;
	struct tv_folder *folders;
	struct { /* backing ids kept for the next open (backing.c) */
		struct tv_open *newest, *oldest;
		size_t count;
	} idle;
	uint64_t open_files, open_folders, backing_ids; /* how many */

	struct tv_names_total names_total;
	_Atomic uint64_t copy_ups, copied_bytes, passed_opens, plain_opens, fallbacks;
};

/* Where the operation on a name takes place, after routes. */
struct tv_spot {
	struct tv_inode *dir; /* in whose folder on disk the name is made */
	const char *name;
	size_t n;
	struct tv_inode
		*lower; /* in whose frozen folder lower_name may shine through; NULL: none */
	const char *lower_name;
	size_t lower_n;
	const struct tv_routed *route;
	bool by_data_path; /* a route, asked for under its data path */
};

/* What stands there. */
enum tv_where { TV_ABSENT, TV_IN_FROZEN, TV_IN_UPPER };
struct tv_place {
	enum tv_where where;
	struct tv_entry e; /* TV_IN_FROZEN; and what an upper folder is merged with */
	struct stat st;	   /* TV_IN_UPPER */
	uint64_t ino;
	bool merged, redirect; /* an upper folder's */
};

/* --- view.c -------------------------------------------------------------------------------- */

static inline void tv_ns_read(struct tv_view *v)
{
	pthread_rwlock_rdlock(&v->ns);
}

static inline void tv_ns_write(struct tv_view *v)
{
	pthread_rwlock_wrlock(&v->ns);
}

void tv_ns_done_and_tell(struct tv_view *v);

static inline void tv_ns_done(struct tv_view *v)
{
	if (v->n_stale) /* then it was taken for writing */
		tv_ns_done_and_tell(v);
	else
		pthread_rwlock_unlock(&v->ns);
}

/* The state of an inode, for those who do not hold the lock. */
static inline unsigned tv_inode_state(struct tv_view *v, const struct tv_inode *inode)
{
	tv_ns_read(v);
	unsigned state = inode->state;
	tv_ns_done(v);
	return state;
}

/* The place of a name. -ENAMETOOLONG, -ENOENT when the name cannot exist there. */
int tv_spot_at(struct tv_view *v, struct tv_inode *dir, const char *name, struct tv_spot *spot);
/* The same for what changes or makes something: -EROFS, -EINVAL (reserved), -EACCES (hidden). */
int tv_spot_to_change(struct tv_view *v, struct tv_inode *dir, const char *name,
		      struct tv_spot *spot);

/* The rest of this group is called with the namespace lock held. */

/* Looks at the disk and the frozen tree; the table of inodes is not asked. */
int tv_spot_look(struct tv_view *v, const struct tv_spot *spot, struct tv_place *place);
/* 1 when something frozen would shine through at the spot (then *e is it), 0 when not. */
int tv_spot_lower(struct tv_view *v, const struct tv_spot *spot, struct tv_entry *e);
/* The inode of what was looked at (with a reference), made when it is not known yet. */
int tv_spot_adopt(struct tv_view *v, const struct tv_spot *spot, const struct tv_place *place,
		  struct tv_inode **out);
/* The inode at a spot, from the table or by looking; -ENOENT. `st` (nullable) is its stat. */
int tv_spot_inode(struct tv_view *v, const struct tv_spot *spot, struct tv_inode **out,
		  struct stat *st);
/* A frozen child from an entry that was just read, when nothing covers it. */
int tv_frozen_child(struct tv_view *v, const struct tv_spot *spot, const struct tv_entry *e,
		    struct tv_inode **out);

/* 1 when the overlay may hold or hide a name of this folder, 0 when it certainly does not. */
int tv_upper_maybe(struct tv_view *v, struct tv_inode *dir, const char *name, size_t n);

/* The folder on disk of an inode (which must be in the overlay): -ENOENT when it has no name. */
int tv_inode_dir(struct tv_view *v, const struct tv_inode *dir, struct tv_dirfd *out);
/* Where an inode in the overlay can be reached: a folder and a name in it; or, for one without a
 * name, its own descriptor (lent) and the name "". The name lives while the lock is held. */
int tv_inode_at(struct tv_view *v, const struct tv_inode *inode, struct tv_dirfd *dir,
		const char **name);
int tv_inode_stat(struct tv_view *v, struct tv_inode *inode, struct stat *st);
/* Makes what the disk says into what the view shows. */
void tv_inode_dress(const struct tv_inode *inode, struct stat *st);
/* Fills found for the kernel and counts the look-up. Takes over the caller's reference. */
void tv_found_fill(struct tv_view *v, const struct tv_spot *spot, struct tv_inode *inode,
		   const struct stat *st, struct tv_found *found);
/* What is to be changed when this inode is: the successor of a detached one. -ESTALE. */
int tv_inode_live(struct tv_view *v, struct tv_inode *inode, struct tv_inode **out);
bool tv_inode_writable(const struct tv_view *v, const struct tv_inode *inode);

/* Which set-id bits of a file go when this caller writes it. Which other groups he is in is not known
 * here: set-gid goes, too. */
static inline mode_t tv_set_id_gone(const struct stat *st, const struct tv_caller *who)
{
	if (who->uid == 0)
		return 0;
	mode_t gone = S_ISUID | (st->st_mode & S_IXGRP || st->st_gid != who->gid ? S_ISGID : 0);
	return st->st_mode & gone;
}

#define TV_LONG_COPY (256 << 10) /* bytes from which copying takes long */

/* Lets others answer what comes while this thread is busy. ns is not held. */
static inline void tv_takes_long(struct tv_view *v)
{
	if (v->teller.takes_long)
		v->teller.takes_long(v->teller.arg);
}

/* Tells the kernel so, where it does not see it by itself. No lock is held. */
static inline void tv_attributes_stale(struct tv_view *v, struct tv_inode *inode)
{
	if (v->teller.stale)
		v->teller.stale(v->teller.arg, inode);
}

/* The same, when the lock is given back. Lock: writing. */
void tv_stale_later(struct tv_view *v, struct tv_inode *inode);
/* A folder is about to get or lose a name. */
static inline void tv_names_change(struct tv_inode *dir)
{
	__atomic_store_n(&dir->listed, false, __ATOMIC_RELEASE);
}

/* --- copyup.c ------------------------------------------------------------------------------ */

/* Brings an inode into the overlay with its attributes and the first `bytes` of its contents
 * (TV_ALL_BYTES: all); a folder without its contents. Takes the namespace lock itself, and holds it
 * only to publish the finished copy: the caller must not hold it. */
#define TV_ALL_BYTES UINT64_MAX
int tv_copy_up(struct tv_view *v, struct tv_inode *inode, uint64_t bytes);
/* The same for a folder, under the namespace lock taken for writing. */
int tv_copy_up_dir(struct tv_view *v, struct tv_inode *dir);

/* --- view-remove.c ------------------------------------------------------------------------- */

/* Hides what is frozen at a spot, if anything is and it is not hidden yet. Lock: writing. */
int tv_spot_hide(struct tv_view *v, const struct tv_spot *spot);
/* 0 when a folder shows nothing, -ENOTEMPTY. */
int tv_dir_empty(struct tv_view *v, struct tv_inode *dir);
/* A name on disk is about to go or to be replaced: keeps hold of a file that has no other name. */
void tv_name_going(struct tv_view *v, struct tv_inode *inode, int dirfd, const char *name);
/* A folder was removed, or replaced by another. */
void tv_dir_gone(struct tv_inode *dir);

/* --- backing.c ----------------------------------------------------------------------------- */

/* All with v->opens held. */

/* Keeps the id of an inode whose last passed handle has just gone; false: the caller closes it. */
bool tv_idle_keep(struct tv_view *v, struct tv_inode *inode);
/* If it has one: it is in use again, or is given back to the kernel. */
void tv_idle_take(struct tv_view *v, struct tv_inode *inode);
void tv_idle_forget(struct tv_view *v, struct tv_inode *inode);

/* --- file.c -------------------------------------------------------------------------------- */

/* Per inode while it is open, or has lost its name. Guarded by v->opens; orphan_fd and successor
 * change only under the namespace lock for writing too. */
struct tv_open {
	unsigned plain;	  /* handles served by reads and writes */
	unsigned passed;  /* handles served by the kernel */
	unsigned writers; /* of those, the writable ones */
	int backing_id;
	bool backing_frozen;	    /* the backing file is a store's blob */
	bool idle;		    /* backing_id is kept though nobody uses it */
	int orphan_fd;		    /* -1: none */
	struct tv_inode *successor; /* of a detached inode; a reference */
	/* While it is idle. */
	struct tv_inode *inode;
	struct tv_open *newer, *older;
	int64_t idle_since; /* seconds */
};

/* The inode's, or NULL. Lock: opens. */
static inline struct tv_open *tv_inode_open(const struct tv_inode *inode)
{
	return inode->kind != TV_DIR || (inode->state & TV_INODE_REMOVED) ? inode->open : NULL;
}

/* The inode's, made when there is none: NULL when out of memory. Lock: opens. */
struct tv_open *tv_open_get(struct tv_inode *inode);
/* Frees it when it says nothing any more. Lock: opens. Returns a successor to put, or NULL. */
struct tv_inode *tv_open_settle(struct tv_inode *inode);
void tv_open_gone(struct tv_view *v, struct tv_inode *inode);
/* True while the kernel reads the frozen bytes of this inode by itself. Takes v->opens. */
bool tv_frozen_readers(struct tv_view *v, struct tv_inode *inode);
/* True while the kernel may write it by itself. Takes v->opens. */
bool tv_kernel_writers(struct tv_view *v, struct tv_inode *inode);
/* Separates an inode from its name, which gets a new inode. Lock: writing. */
int tv_detach(struct tv_view *v, struct tv_inode *inode);
/* Keeps hold of a nameless inode's file. Takes over fd, also on failure. */
int tv_orphan_keep(struct tv_view *v, struct tv_inode *inode, int fd);
/* The flags of a user's open that the daemon's own descriptor gets. */
int tv_own_flags(int flags);
/* An open handle for a descriptor just opened (taken over, also on failure). */
int tv_file_adopt(struct tv_view *v, struct tv_inode *inode, int fd, int flags,
		  const struct tv_caller *who, struct tv_file **out);
void tv_files_fini(struct tv_view *v);
void tv_folders_fini(struct tv_view *v);
int tv_file_fd(const struct tv_file *f);
/* For a handle that has a descriptor which may write. Takes set-id bits away like a write. */
int tv_file_truncate(struct tv_file *f, off_t size, const struct tv_caller *who);
bool tv_file_writable(const struct tv_file *f);

#endif
