/*
 * An open folder.
 *
 * Reading from the start takes a snapshot of what the overlay has to say: its own names, and which
 * frozen ones are hidden. The list is ".", "..", the overlay's names, then the frozen names in
 * their order, by a cursor: of a huge frozen folder nothing but the cursor's nodes is in memory. A
 * position is the ordinal number of the entry in this list, so it stays right while names change; as
 * POSIX allows, what comes or goes after the start may or may not be seen. Seeking to 0 starts anew.
 *
 * One listing is used by one thread at a time (it has its own lock).
 */
#ifndef TV_FS_FOLDER_H
#define TV_FS_FOLDER_H

#include "fs/view.h"

struct tv_listed {
	const char *name;
	struct stat st;		      /* st_ino and the type; all of it when found->inode is set */
	const struct tv_found *found; /* NULL: just the name, "." and ".." included */
	off_t next;		      /* position of the entry behind this one */
};

int tv_folder_open(struct tv_view *v, struct tv_inode *dir, struct tv_folder **out);
void tv_folder_close(struct tv_view *v, struct tv_folder *l);

/* True when the kernel may keep the list, since it sees everything that changes it. */
bool tv_folder_cacheable(const struct tv_view *v, const struct tv_inode *dir);

/* Gives entries from a position on until emit returns non-zero (the buffer is full) or the end. With
 * `plus` each comes as found by a look-up, which is counted when emit returned 0. `emit` is called
 * with the namespace lock held and must not come back to the view. */
int tv_folder_read(struct tv_view *v, struct tv_folder *l, off_t at, bool plus,
		   int (*emit)(void *arg, const struct tv_listed *e), void *arg);

/* The same for who keeps no listing (no-opendir): a listing of its own for each call. */
int tv_folder_read_once(struct tv_view *v, struct tv_inode *dir, off_t at, bool plus,
			int (*emit)(void *arg, const struct tv_listed *e), void *arg);

#endif
