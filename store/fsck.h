/*
 * Checking every invariant of a store: format and folders; each node decodes, has its address and
 * hash, and its totals agree with its children; each commit's id, parents, root; refs and leases point to commits;
 * each blob row has its file with the right size and mode (with `read_data`, the right digests);
 * files without rows (leftovers, not damage); index rows agree with what they index.
 */
#ifndef TV_STORE_FSCK_H
#define TV_STORE_FSCK_H

#include "store/base/progress.h"
#include "store/store.h"

enum tv_severity {
	TV_NOTE,   /* a leftover that gc removes */
	TV_DAMAGE, /* something is lost or wrong */
};

struct tv_finding {
	enum tv_severity severity;
	const char *what;			  /* one line */
	const char *path;			  /* a path hit by it, or NULL */
	const struct tv_sha *foundation, *commit; /* hit by it, or NULL */
};

struct tv_fsck {
	bool read_data;
	const struct tv_progress *progress;
	int (*found)(void *arg, const struct tv_finding *f);
	void *arg;
};

struct tv_fsck_figures {
	uint64_t commits, nodes, blobs, bytes_read, notes, damages;
};

/* 0 when nothing is damaged, -TV_E_DAMAGED when something is, other errors when it could not look. */
int tv_fsck(struct tv_store *s, const struct tv_fsck *how, struct tv_fsck_figures *out,
	    struct tv_err *err);

#endif
