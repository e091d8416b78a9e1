/*
 * A store: one folder (.tvfs) with the small things in LMDB and the bytes of files as blobs.
 *
 *	.tvfs/format	"tvfs store\nformat 1\n": what this program checks first
 *	.tvfs/index/	the LMDB environment (kv.h)
 *	.tvfs/blobs/ab/<address>	one read-only file a blob; ab: the address's first two digits
 *	.tvfs/tmp/	blobs on their way in; leftovers are gc's
 *	.tvfs/live/	sockets and logs of live mounts; leftovers are prune's
 *	.tvfs/pidns	which boot and PID namespace use the store (flock; see tv_store_open)
 *
 * A handle may be used by many threads, never after fork(): a child opens its own. Nodes read
 * through a handle are cached (bounded). Nothing that a store returns points into LMDB's memory.
 */
#ifndef TV_STORE_STORE_H
#define TV_STORE_STORE_H

#include "store/base/err.h"
#include "store/kv.h"
#include "store/tree.h"

#define TV_STORE_FORMAT 1
#define TV_STORE_FOLDER ".tvfs"

struct tv_store;

/* Makes a store in `folder` (which must not exist, or be empty), durable when it returns.
 * group: gid of the writers' group, or -1: owner only (0700, blobs 0400; with a group 02770, blobs
 * 0440). -EEXIST when there is one already. */
int tv_store_create(const char *folder, int group, struct tv_err *err);

/* Opens a store. -TV_E_NOSTORE when folder is none; -TV_E_VERSION a newer format; -TV_E_DAMAGED;
 * -EOPNOTSUPP on a network filesystem or FUSE; -TV_E_LOCKED while processes of another PID
 * namespace use it (LMDB's locks do not see them); -EACCES. */
int tv_store_open(const char *folder, struct tv_store **out, struct tv_err *err);
void tv_store_close(struct tv_store *s);

/* Finds a store upwards from `start` (NULL: the working directory), as git does. *folder is the
 * absolute path of the .tvfs folder, owned by the caller. -TV_E_NOSTORE. */
int tv_store_find(const char *start, char **folder, struct tv_err *err);

const char *tv_store_folder(const struct tv_store *s); /* absolute path */
int tv_store_dirfd(const struct tv_store *s);	       /* of the folder; the store's own */
struct tv_kv *tv_store_kv(struct tv_store *s);

/* Tree nodes: cached, checked against their address on every read from the index. */
const struct tv_node_source *tv_store_nodes(struct tv_store *s);
/* How many bytes of nodes are kept at most; 64 MiB if nobody says. */
void tv_store_limit_cache(struct tv_store *s, size_t bytes);

/* What that cache holds. */
struct tv_node_cache_figures;
void tv_store_cache_figures(struct tv_store *s, struct tv_node_cache_figures *out);

/* Writes the nodes of a batch that `root` reaches, inside a write transaction. */
int tv_store_put_nodes(struct tv_store *s, struct tv_kv_txn *t, const struct tv_node_batch *batch,
		       const struct tv_addr *root, struct tv_err *err);

#endif
