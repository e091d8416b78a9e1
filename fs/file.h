/*
 * Open files of a view.
 *
 * A handle is served in one of two ways. Passed: the kernel reads and writes the backing file by
 * itself (a blob for frozen files, else the overlay's file); all handles of an inode that are open at
 * the same time share one backing id. Plain: reads and writes come here. Both cannot be mixed on one
 * inode (the kernel forbids it), so the first open decides until the last close.
 *
 * The kernel opens a backing file anew with the flags of the user's open. So a blob is never the
 * backing file of a writable handle: a file is copied up before such a handle exists, and when readers
 * hold its blob at that time, the inode is detached: they keep the frozen bytes, -ESTALE makes the
 * kernel look the name up again, and it finds a new inode with the same st_ino.
 */
#ifndef TV_FS_FILE_H
#define TV_FS_FILE_H

#include "fs/view.h"

/* flags as for open(2). -ESTALE: see above. -EROFS. */
int tv_file_open(struct tv_view *v, struct tv_inode *inode, int flags, const struct tv_caller *who,
		 struct tv_file **out);
/* Gets a file ready to be changed: in the overlay with all its bytes, and without readers of its
 * blob. -ESTALE: the name has a new inode now. -EROFS. */
int tv_file_settle(struct tv_view *v, struct tv_inode *inode);
void tv_file_close(struct tv_view *v, struct tv_file *f);

/* The backing id of a passed handle, 0 for a plain one. */
int tv_file_backing(const struct tv_file *f);
/* True when what the kernel has cached of a plain handle's file is still right. */
bool tv_file_keep_cache(const struct tv_view *v, const struct tv_file *f);

/* -EAGAIN: readahead of a passed handle, which was asked for below instead. */
ssize_t tv_file_read(struct tv_view *v, struct tv_file *f, void *buf, size_t n, off_t at);
ssize_t tv_file_write(struct tv_view *v, struct tv_file *f, const void *buf, size_t n, off_t at,
		      const struct tv_caller *who);
int tv_file_fallocate(struct tv_view *v, struct tv_file *f, int mode, off_t at, off_t n,
		      const struct tv_caller *who);
int tv_file_fsync(struct tv_view *v, struct tv_file *f, bool data_only);
off_t tv_file_seek(struct tv_view *v, struct tv_file *f, off_t at, int whence);
ssize_t tv_file_copy(struct tv_view *v, struct tv_file *from, off_t from_at, struct tv_file *to,
		     off_t to_at, size_t n, const struct tv_caller *who);

#endif
