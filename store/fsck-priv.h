/* What the files of fsck share. */
#ifndef TV_STORE_FSCK_PRIV_H
#define TV_STORE_FSCK_PRIV_H

#include "store/base/map16.h"
#include "store/commit.h"
#include "store/fsck.h"

#define TV_FSCK_HITS 20 /* paths told of one damaged thing */

/* A place where something damaged is needed. */
struct tv_fsck_hit {
	char *path; /* owned; "" is the root */
	bool has_commit;
	struct tv_sha commit, foundation; /* the newest with it at this path */
	uint64_t commits;
};

/* A damaged or missing node or blob. Found first, then looked for in the trees. */
struct tv_fsck_bad {
	struct tv_addr addr;
	char *what; /* owned: one line */
	struct tv_fsck_hit hits[TV_FSCK_HITS];
	unsigned n_hits;
	uint64_t more; /* paths beyond these */
};

/* What is known of a commit. */
struct tv_fsck_commit {
	struct tv_sha id;
	struct tv_entry root;
	uint64_t sequence, generation;
};

struct tv_fsck_node {
	struct tv_ref_entry self;
	unsigned level;
};

struct tv_fsck_run {
	struct tv_store *s;
	const struct tv_fsck *how;
	struct tv_fsck_figures figures;

	/* Nodes that decode: address -> place in `nodes`. */
	struct tv_map16 node_at;
	struct tv_fsck_node *nodes;
	size_t n_nodes, cap_nodes;

	struct tv_map16 bad_at; /* address -> place in `bad` */
	struct tv_fsck_bad *bad;
	size_t n_bad, cap_bad;

	struct tv_map16 commit_at; /* first half of the id -> place in `commits` */
	struct tv_fsck_commit *commits;
	size_t n_commits, cap_commits;
};

/* Tells a finding and counts it. Returns 0, or -TV_E_INTERRUPTED when the caller of fsck has
 * enough. */
int tv_fsck_tell(struct tv_fsck_run *run, const struct tv_finding *f, struct tv_err *err);
/* The same with a text, and no path. commit may be NULL. */
int tv_fsck_tellf(struct tv_fsck_run *run, enum tv_severity severity, const struct tv_sha *commit,
		  struct tv_err *err, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

int tv_fsck_step(struct tv_fsck_run *run, const char *phase, uint64_t done, uint64_t total,
		 struct tv_err *err);

/* Notes a damaged thing (once an address: the first reason stays). */
int tv_fsck_add_bad(struct tv_fsck_run *run, const struct tv_addr *addr, struct tv_err *err,
		    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

const struct tv_fsck_commit *tv_fsck_find_commit(const struct tv_fsck_run *run,
						 const struct tv_sha *id);
/* What a node says of itself: 1; 0 when there is none that decodes; -ENOMEM. One that was not there
 * when nodes were listed, since its commit came later, is read now. */
int tv_fsck_find_node(struct tv_fsck_run *run, const struct tv_addr *addr, struct tv_fsck_node *out,
		      struct tv_err *err);

/* Reads a node as it is in the index now: the store's own cache would hide damage. No message. */
int tv_fsck_read_node(struct tv_fsck_run *run, const struct tv_addr *addr, struct tv_node **out);

/* Checks that the root of a tree is there and is what its entry says. */
int tv_fsck_check_root(struct tv_fsck_run *run, const struct tv_entry *root, const char *whose,
		       const struct tv_sha *commit, struct tv_err *err);

/* The parts, in their order. */
int tv_fsck_nodes(struct tv_fsck_run *run, struct tv_err *err);	  /* and their references */
int tv_fsck_blobs(struct tv_fsck_run *run, struct tv_err *err);	  /* rows, files, bytes */
int tv_fsck_commits(struct tv_fsck_run *run, struct tv_err *err); /* and their index rows */
int tv_fsck_users(struct tv_fsck_run *run, struct tv_err *err);	  /* refs, leases, runs, folders */
int tv_fsck_paths(struct tv_fsck_run *run, struct tv_err *err);	  /* the path index */
int tv_fsck_hits(struct tv_fsck_run *run, struct tv_err *err);	  /* what needs the bad */

#endif
