/*
 * Reading without open files: where OPEN is answered with ENOSYS (read-only mounts without
 * passthrough), reads name only the inode. A fixed number of descriptors is kept for those read last.
 * Thread-safe.
 */
#ifndef TV_FS_READERS_H
#define TV_FS_READERS_H

#include "fs/file.h"

#define TV_READERS 64

struct tv_readers {
	struct tv_reader {
		pthread_mutex_t lock;
		struct tv_inode *inode; /* held by the open file */
		struct tv_file *file;
	} slots[TV_READERS];
};

void tv_readers_init(struct tv_readers *r);
void tv_readers_fini(struct tv_readers *r, struct tv_view *v);
ssize_t tv_readers_read(struct tv_readers *r, struct tv_view *v, struct tv_inode *inode, void *buf,
			size_t n, off_t at);

#endif
