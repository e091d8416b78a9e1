#include "fs/readers.h"

#include <fcntl.h>
#include <string.h>

void tv_readers_init(struct tv_readers *r)
{
	memset(r, 0, sizeof(*r));
	for (size_t i = 0; i < TV_READERS; i++)
		pthread_mutex_init(&r->slots[i].lock, NULL);
}

void tv_readers_fini(struct tv_readers *r, struct tv_view *v)
{
	for (size_t i = 0; i < TV_READERS; i++) {
		tv_file_close(v, r->slots[i].file);
		pthread_mutex_destroy(&r->slots[i].lock);
	}
}

ssize_t tv_readers_read(struct tv_readers *r, struct tv_view *v, struct tv_inode *inode, void *buf,
			size_t n, off_t at)
{
	static const struct tv_caller nobody;
	struct tv_reader *slot = &r->slots[((uintptr_t)inode >> 6) % TV_READERS];
	ssize_t done = 0;

	pthread_mutex_lock(&slot->lock);
	/* The open file holds a reference, so an inode that matches is the same one. */
	if (slot->inode != inode) {
		tv_file_close(v, slot->file);
		slot->file = NULL;
		slot->inode = NULL;
		done = tv_file_open(v, inode, O_RDONLY, &nobody, &slot->file);
		if (done == 0)
			slot->inode = inode;
	}
	if (done == 0)
		done = tv_file_read(v, slot->file, buf, n, at);
	pthread_mutex_unlock(&slot->lock);
	return done;
}
