/*
 * An open folder.
 *
 * Reading from the start takes a snapshot of what the overlay has to say: its own names, and which
 * frozen ones are hidden. The list is ".", "..", the frozen folder's names in their order, by a cursor
 * (of a huge frozen folder nothing but the cursor's nodes is in memory), then the names that only the
 * overlay has. What the overlay holds under a frozen name stands in the frozen one's place.
 *
 * A position depends on the name alone (its place in the frozen folder, or a hash), not on what else is
 * listed: the kernel keeps one list a folder for all who read it, and gives a reader who is half through
 * the rest of a list that another one asked for later. As POSIX allows, what comes or goes after the
 * start may or may not be seen. Seeking to 0 starts anew.
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
/* True when it may go on with the list that it has. It drops by itself a whole one that names have changed
 * since, but not one that a reader who is half through had begun. */
bool tv_folder_unchanged(const struct tv_folder *l);

/* Gives entries from a position on until emit returns non-zero (the buffer is full) or the end. With
 * `plus` each comes as found by a look-up, which is counted when emit returned 0. `emit` is called
 * with the namespace lock held and must not come back to the view. */
int tv_folder_read(struct tv_view *v, struct tv_folder *l, off_t at, bool plus,
		   int (*emit)(void *arg, const struct tv_listed *e), void *arg);

/* The same for who keeps no listing (no-opendir): a listing of its own for each call. */
int tv_folder_read_once(struct tv_view *v, struct tv_inode *dir, off_t at, bool plus,
			int (*emit)(void *arg, const struct tv_listed *e), void *arg);

#endif
