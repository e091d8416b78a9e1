/*
 * Commits: a foundation with its metadata, parents, time, author, message and trace id.
 *
 * A commit's id is the SHA-256 of its bytes (docs/format.md), so it cannot be changed afterwards.
 * The store also gives each a local sequence number, in the order in which they were published.
 */
#ifndef TV_STORE_COMMIT_H
#define TV_STORE_COMMIT_H

#include "store/store.h"

struct tv_commit {
	struct tv_sha id;
	struct tv_entry root;	/* the top directory; root.sha is the foundation hash */
	struct tv_sha *parents; /* owned; the first is where the ref stood before */
	size_t n_parents;
	int64_t time_ns;
	uint64_t generation;		   /* 1 + the largest of the parents' */
	uint64_t sequence;		   /* local to the store; not part of the id */
	char *author, *message, *trace_id; /* owned, UTF-8, never NULL */
	char *meta;			   /* owned: a JSON object, "{}" when nothing is known */
};

#define TV_COMMIT_INIT ((struct tv_commit){ .author = NULL })

void tv_commit_free(struct tv_commit *c); /* releases what it owns; not c itself */
#define tv_autocommit __attribute__((cleanup(tv_commit_free)))

/* Reads a commit; checks that the bytes hash to the id. -ENOENT, -TV_E_DAMAGED. */
int tv_commit_get(struct tv_store *s, const struct tv_sha *id, struct tv_commit *out,
		  struct tv_err *err);
int tv_commit_get_in(struct tv_kv_txn *t, const struct tv_sha *id, struct tv_commit *out,
		     struct tv_err *err);

/* Encodes, computes id and generation (parents must exist: -ENOENT), gives the next sequence and
 * writes the rows (commit, foundation, sequence, and path versions against the first parent, read
 * through `nodes`), inside a write transaction. A commit that exists already keeps its sequence. */
int tv_commit_put(struct tv_store *s, struct tv_kv_txn *t, const struct tv_node_source *nodes,
		  struct tv_commit *c, struct tv_err *err);

/* Removes a commit's rows, its path versions included (gc). */
int tv_commit_del(struct tv_store *s, struct tv_kv_txn *t, const struct tv_sha *id,
		  struct tv_err *err);

/* Shallow history. A commit whose parent has no row ends the history there: on purpose when that
 * parent's id is marked (tv_forget, partial pulls mark it in the transaction that removes or leaves
 * out the row), else the store is damaged. A mark for a commit that has a row means nothing. */
int tv_commit_shallow_mark_in(struct tv_kv_txn *t, const struct tv_sha *parent, struct tv_err *err);
int tv_commit_shallow_is_in(struct tv_kv_txn *t, const struct tv_sha *parent,
			    struct tv_err *err); /* 1, 0, -errno */

/* Newest commit with this foundation hash. -ENOENT. */
int tv_commit_of_foundation(struct tv_store *s, const struct tv_sha *foundation, struct tv_sha *id,
			    struct tv_err *err);

/* Commits from `from` backwards, newest first (by sequence), each once. visit's non-zero ends. */
int tv_commit_log(struct tv_store *s, const struct tv_sha *from,
		  int (*visit)(void *arg, const struct tv_commit *c, struct tv_err *err), void *arg,
		  struct tv_err *err);

/* Versions of one path, newest first, from the path index (no tree is read), as far as their
 * commits are reachable from `from`. */
struct tv_path_version {
	struct tv_sha commit;
	uint64_t sequence;
	char change; /* enum tv_change */
	bool removed;
	struct tv_entry entry; /* when not removed; target is NULL */
};
int tv_commit_path_log(struct tv_store *s, const struct tv_sha *from, const char *path,
		       int (*visit)(void *arg, const struct tv_path_version *v, struct tv_err *err),
		       void *arg, struct tv_err *err);

/* True when `ancestor` can be reached from `id` (or is it). 1, 0, -errno. */
int tv_commit_is_ancestor(struct tv_store *s, const struct tv_sha *ancestor,
			  const struct tv_sha *id, struct tv_err *err);

#endif
