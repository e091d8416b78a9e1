/*
 * Removing what nobody needs. Kept: everything reachable from refs, live leases, worktree bases,
 * live runs, and runs not yet forgotten. Commits outside of that lose their rows; nodes go in batches, each
 * in a transaction that first marks what was published since the last; blobs are condemned in one
 * transaction and unlinked in a later one that finds them still condemned (blob.h tells why no
 * commit can lose anything to this). Temp files of dead processes and blob files without rows go too.
 */
#ifndef TV_STORE_GC_H
#define TV_STORE_GC_H

#include "store/base/progress.h"
#include "store/store.h"

struct tv_gc {
	bool delete_;	  /* false: only count */
	int64_t grace_ns; /* condemned blobs younger than this stay; 0 is safe */
	const struct tv_progress *progress;
};

struct tv_gc_figures {
	uint64_t commits, nodes, blobs, blob_bytes, temps, orphans; /* gone, or would go */
	uint64_t kept_commits, kept_nodes, kept_blobs, kept_bytes;
};

/* -TV_E_LOCKED when another gc or forget runs. -TV_E_DAMAGED when something needed cannot be read:
 * then nothing was deleted, or what was is not needed. */
int tv_gc(struct tv_store *s, const struct tv_gc *how, struct tv_gc_figures *out,
	  struct tv_err *err);

/*
 * Forgets old commits of a ref's history, or old runs, by rules; gc then frees what only they kept.
 * What any rule keeps stays; the newest commit always does, and so do live runs.
 *
 * A branch's history is cut behind what is kept: the parents that are not lose their rows and are
 * recorded as shallow, so that log and fsck know that history ends there on purpose. Commits that other
 * branches have in their history stay, as do those that tags, leases, run records and live folders name
 * (they, not what lies behind them): keep_tagged changes nothing for commits but counts as a rule;
 * of runs it keeps those whose commit has a tag. A run's age is that of its end, else of its start.
 * visit is told each commit id or run id that goes (or would go: dry_run).
 * -EINVAL without any rule; -TV_E_LOCKED while gc runs.
 */
struct tv_forget {
	bool runs;		/* forget runs, else commits */
	const char *ref;	/* which ref's commits */
	unsigned keep_last;	/* 0: no such rule */
	int64_t keep_within_ns; /* 0: no such rule */
	bool keep_tagged;
	bool dry_run;
};
int tv_forget(struct tv_store *s, const struct tv_forget *how,
	      int (*visit)(void *arg, const char *what, struct tv_err *err), void *arg,
	      struct tv_err *err);

#endif
