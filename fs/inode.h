/*
 * Inodes in memory: everything that the kernel has looked up, or that a handler is looking at.
 *
 * Numbers. What a user sees as st_ino is `ino`; what the kernel uses as node id is the address of
 * the struct, so finding an inode costs nothing and a copied-up file can get a new node id while its
 * st_ino stays (docs/notes-fs.md).
 *
 * Life. An inode lives while it has references: one for a non-zero look-up count, one for each child
 * in memory (so that paths can be rebuilt by walking to the root), one for each open handle and for
 * whoever works with it. It has one link (parent and name) for each of its names that were seen.
 * No descriptor is kept but for what is open, and for upper files that have lost their name.
 *
 * Locks. `state`, `addr`, `mode`, `upper_ino` and the parents and names of links change only under
 * the view's namespace lock, taken for writing; look-ups that hold it for reading may add inodes.
 * The table's mutex, the innermost lock of all, guards the chains and the counts.
 */
#ifndef TV_FS_INODE_H
#define TV_FS_INODE_H

#include <pthread.h>

#include "store/node.h"

enum tv_volume {
	TV_VOL_LAKEHOUSE,
	TV_VOL_DATA,
	TV_VOL_COUNT,
	TV_VOL_TOP = TV_VOL_COUNT, /* the folder that holds the volumes, when there are two */
};

/* struct tv_inode.state */
#define TV_INODE_FROZEN 0x01   /* addr is valid: a file's blob, or the frozen folder shown here */
#define TV_INODE_UPPER 0x02    /* stands in the overlay */
#define TV_INODE_ROOT 0x04     /* the root of its volume */
#define TV_INODE_DETACHED 0x08 /* copied up under readers: keeps its frozen bytes, without a name */
#define TV_INODE_REDIRECT 0x10 /* folder: the overlay records where its frozen contents are */
#define TV_INODE_ROUTES 0x20   /* folder: holds routed names, so nothing about it may be cached */
#define TV_INODE_FALLBACK 0x40 /* frozen copy shown for a routed name */
#define TV_INODE_PINNED 0x80   /* folder on the way to a routed name: stays where it is */
#define TV_INODE_REMOVED 0x100 /* folder that was removed: `open` is what its union holds */

/* One name of an inode. */
struct tv_link {
	struct tv_link *chain;	 /* next in the bucket; nameless: next of these */
	struct tv_link *more;	 /* the inode's next name; nameless: previous of these */
	struct tv_inode *parent; /* holds a reference; NULL: nameless */
	char *name;		 /* the inode's first_name, or owned; NULL: nameless */
	uint32_t hash;
	bool short_wanted; /* the next look-up must answer with an entry that expires at once */
	bool short_given;  /* it did */
	bool further;	   /* not the one that its inode begins with */
};

struct tv_inode {
	struct tv_link link; /* at the beginning */
	struct tv_inode *upper_chain;
	union {
		struct tv_open *open;	/* files: while open, or nameless (file.c) */
		struct tv_names *names; /* folders: what the overlay holds (names.h) */
	};
	uint64_t ino;
	uint64_t upper_ino; /* its st_ino in the overlay's filesystem; 0: not in by_upper */
	uint64_t size;	    /* frozen file or symlink */
	int64_t mtime_ns;   /* frozen */
	struct tv_addr addr;
	uint32_t refs;
	uint32_t nlookup; /* at the highest number it stays, and so does the inode */
	uint16_t mode;	  /* frozen permission bits */
	uint8_t kind;	  /* enum tv_kind; 0: fifo, socket, device */
	uint8_t volume;
	uint16_t state;
	bool copying;	   /* guarded by the view's copy mutex */
	bool sxid;	   /* may have set-id bits; a hint, atomic */
	bool listed;	   /* folders: has the names that it had when it was last opened; atomic */
	char first_name[]; /* what it was made under; a walk makes millions of these */
};

struct tv_inodes {
	pthread_mutex_t lock;
	struct tv_link **by_name;   /* owned */
	struct tv_inode **by_upper; /* owned */
	size_t names, uppers;	    /* in each */
	size_t name_buckets, upper_buckets;
	struct tv_link *nameless; /* of inodes without any name */
	bool closing;		  /* tv_inodes_fini runs: puts do nothing */
	size_t count;		  /* inodes in memory */
	size_t bytes;	  /* that they and their names take, without the allocator's share */
	size_t untrimmed; /* freed since memory was last given back */
	/* Called with the table's lock released when an inode goes, to free `open` or `names`. */
	void (*gone)(void *arg, struct tv_inode *inode);
	void *gone_arg;
};

int tv_inodes_init(struct tv_inodes *t);
void tv_inodes_fini(struct tv_inodes *t); /* frees what is left, references or not */
size_t tv_inodes_count(struct tv_inodes *t);
size_t tv_inodes_bytes(struct tv_inodes *t); /* their memory, and the tables' */

/* A nameless inode with one reference, copied from the proto (kind, numbers, state). -ENOMEM. */
int tv_inode_new(struct tv_inodes *t, const struct tv_inode *proto, struct tv_inode **out);

/* The inode that is known under a name, with a reference; NULL. */
struct tv_inode *tv_inode_find(struct tv_inodes *t, struct tv_inode *parent, const char *name,
			       size_t n);

/* The inode that is known to be this one of the overlay's filesystem, with a reference; NULL. */
struct tv_inode *tv_inode_find_upper(struct tv_inodes *t, uint64_t upper_ino);

/* Makes an inode under a name, or returns the one that another thread made there first. */
int tv_inode_add(struct tv_inodes *t, struct tv_inode *parent, const char *name, size_t n,
		 const struct tv_inode *proto, struct tv_inode **out);

/* Gives an inode one more name; one that it has is fine. -ENOMEM. */
int tv_inode_link(struct tv_inodes *t, struct tv_inode *inode, struct tv_inode *parent,
		  const char *name, size_t n);
/* Takes a name away; one that it does not have is fine. */
void tv_inode_unlink(struct tv_inodes *t, struct tv_inode *inode, struct tv_inode *parent,
		     const char *name, size_t n);
/* The link for a name, or NULL. Valid while the namespace lock is held. */
struct tv_link *tv_inode_link_of(struct tv_inodes *t, struct tv_inode *inode,
				 struct tv_inode *parent, const char *name, size_t n);
/* Hands all names and the overlay's identity of one inode to a nameless one. -ENOMEM. */
int tv_inode_hand_over(struct tv_inodes *t, struct tv_inode *from, struct tv_inode *to);

/* Sets or clears (0) its number in the overlay's filesystem. */
void tv_inode_set_upper(struct tv_inodes *t, struct tv_inode *inode, uint64_t upper_ino);

struct tv_inode *tv_inode_ref(struct tv_inodes *t, struct tv_inode *inode);
void tv_inode_put(struct tv_inodes *t, struct tv_inode *inode); /* NULL is fine */

/* Counts a look-up that the kernel is told of / forgets n of them. */
void tv_inode_looked_up(struct tv_inodes *t, struct tv_inode *inode);
void tv_inode_forget(struct tv_inodes *t, struct tv_inode *inode, uint64_t n);

static inline bool tv_inode_nameless(const struct tv_inode *inode)
{
	return !inode->link.name && !(inode->state & TV_INODE_ROOT);
}

/* Writes the path from the root of its volume ("" for the root itself) to the end of buf and returns
 * where it begins. NULL with errno: ENOENT it has no name (any more), ENAMETOOLONG. The namespace
 * lock is held. */
const char *tv_inode_path(const struct tv_inode *inode, char *buf, size_t size);

/* st_ino of a frozen child; of the frozen root; of what was born in an overlay. */
uint64_t tv_ino_frozen(uint64_t parent_ino, const char *name, size_t n);
#define TV_INO_FROZEN_ROOT 1
#define TV_INO_TOP 2
#define TV_INO_BORN(upper_ino) ((uint64_t)(upper_ino) | (uint64_t)1 << 63)

#endif
