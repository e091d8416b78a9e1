/*
 * Publishing: one tree becomes a commit and a ref moves to it, or nothing happens.
 *
 * The tree ("ours") was made from a base commit. When the ref has moved since, the tree is merged
 * with it (merge.h); the ref moves by compare-and-swap in one durable transaction that also writes
 * nodes, commit and blob rows. When others keep winning the race, the last attempt merges inside the
 * transaction, so every publisher gets through.
 */
#ifndef TV_STORE_PUBLISH_H
#define TV_STORE_PUBLISH_H

#include "store/blob.h"
#include "store/commit.h"
#include "store/merge.h"
#include "store/ref.h"

struct tv_publish {
	const char *ref;	   /* made when it does not exist yet */
	enum tv_ref_kind ref_kind; /* TV_REF_BRANCH or TV_REF_DRAFT */
	const struct tv_sha *base; /* NULL: the tree was made from nothing (an empty directory) */
	const struct tv_entry *ours;
	struct tv_node_batch *nodes; /* holds ours' new nodes; merges add to it */
	struct tv_blobs *blobs;	     /* placed; or NULL */
	const char *author, *message, *trace_id, *meta; /* NULL: "" (meta "{}") */
	bool always; /* a commit also when the ref has just this tree: its metadata is the news */
	/* Judges the tree as it would be published; non-zero refuses it. Called outside of any
	 * transaction, again when a merge changed the tree. Nullable. */
	int (*gate)(void *arg, const struct tv_node_source *nodes, const struct tv_entry *merged,
		    struct tv_err *err);
	void *gate_arg;
	/* Runs inside the transaction, after the ref moved (or when nothing changed): for rows that
	 * must change with it. Nullable. */
	int (*also)(void *arg, struct tv_kv_txn *t, const struct tv_commit *c, struct tv_err *err);
	void *also_arg;
};

struct tv_published {
	struct tv_sha commit, foundation;
	struct tv_sha previous; /* where the ref stood; zero when it did not exist */
	struct tv_entry root;
	bool unchanged; /* the ref already had exactly this tree, mtimes included: no new commit */
	bool merged;	/* others had published since base */
};

/* -TV_E_CONFLICT with conflicts (nullable) filled; -EAGAIN as tv_blobs_register; the gate's value. */
int tv_publish(struct tv_store *s, const struct tv_publish *p, struct tv_published *out,
	       struct tv_conflicts *conflicts, struct tv_err *err);

#endif
