/* What a store handle is made of: for the files of store/ that work on its folders. */
#ifndef TV_STORE_STORE_PRIV_H
#define TV_STORE_STORE_PRIV_H

#include <sys/types.h>

#include "store/node-cache.h"
#include "store/store.h"

struct tv_store {
	char *folder;
	int dirfd, blobs_fd, tmp_fd;
	int pidns_fd; /* its flock lasts as long as the handle */
	uid_t owner;
	mode_t folder_mode, file_mode, blob_mode;
	struct tv_kv *kv;
	struct tv_node_cache *cache;
	struct tv_node_source nodes;
};

/* For files that root makes in somebody else's store: gives them to the store's owner. */
int tv_store_give(const struct tv_store *s, int fd);

#endif
