/*
 * Flows: the commands of the data cycle in order, as one transaction (docs/flows.md).
 *
 * The steps of a flow that publishes build one draft, a ref of its own that begins where the target
 * stands. What was done is written down in the draft itself: the flow's first commit on it says what
 * was asked, one commit after each step says how it ended. So there is one truth, as durable as the
 * data: a flow that finds its draft goes on with the first step that is not written down. Steps may
 * be repeated. In the end one transaction moves the target to the draft's tree and deletes the draft.
 *
 * A step is a child process of this program. It dies with the flow, and the flow's lock is not free
 * before it has died.
 */
#ifndef TV_TOOLS_FLOW_H
#define TV_TOOLS_FLOW_H

#include "store/publish.h"
#include "tools/authored.h"
#include "tools/cli.h"

#define TV_FLOW_STEPS_MAX 8
#define TV_FLOW_AGE_MAX_NS (INT64_C(12) * 3600 * 1000000000) /* older drafts are not resumed */
#define TV_FLOW_BEGINNINGS 4 /* so often others may publish meanwhile */

/* --- the tables (flow-steps.c) ----------------------------------------------------------------- */

enum tv_flow_takes {
	TV_STEP_CANDIDATES = 1, /* the flow's candidates, as words */
	TV_STEP_LISTS = 2, /* the same, each as --candidates FILE; without any there is no step */
	TV_STEP_ONTO = 4,  /* --onto DRAFT */
	TV_STEP_REV = 8,   /* the draft (without one the target) as a word: it only looks */
	TV_STEP_COMMITS = 16, /* --trace-id and --author */
	TV_STEP_PARTIAL = 32, /* with 13 and 15 single symbols are missing: the flow goes on */
	TV_STEP_PAGE = 64,    /* --html FILE */
};

struct tv_flow_step {
	const char *name, *command;
	const char *word; /* or NULL */
	unsigned takes;	  /* of enum tv_flow_takes */
};

struct tv_flow {
	const char *name, *summary;
	bool publishes;
	int min_candidates, max_candidates; /* max -1: any number */
	const char *profile;		    /* of its validation, when none is given; or NULL */
	const struct tv_flow_step steps[TV_FLOW_STEPS_MAX]; /* ends with name NULL */
};

const struct tv_flow *tv_flows(void); /* ends with name NULL */
const struct tv_flow *tv_flow_find(const char *name);

/* Where a step works, for its words. Borrowed. */
struct tv_flow_place {
	const char *folder; /* --folder, or NULL */
	const char *store;  /* NULL with a folder */
	const char *onto;   /* the draft, or the ref to look at */
	const char *trace_id, *author, *page;
};

/* The words of a step, NULL-terminated, with "tvfs" first; the array is the caller's, the words are
 * borrowed. */
int tv_flow_words(struct tv_cli *cli, const struct tv_flow *flow, const struct tv_flow_step *step,
		  const struct tv_flow_place *place, const char ***out, struct tv_err *err);

/* A digest of what was asked: options, candidates, and what their files hold. */
int tv_flow_asked(struct tv_cli *cli, const struct tv_flow *flow, const char *target,
		  char out[TV_SHA_HEX], struct tv_err *err);

/* --- the draft (flow-draft.c) ------------------------------------------------------------------ */

struct tv_flow_done {
	bool done;
	int exit;
	double seconds;
};

struct tv_flow_draft {
	char ref[201];	    /* "draft/flow-data-1f3a9c02"; "": there is none */
	struct tv_sha tip;  /* the flow's last commit on it */
	struct tv_sha base; /* where the target stood */
	bool has_base;	    /* false: the target did not exist */
	bool ended;	    /* a step refused: it is not to be resumed */
	int64_t begun_ns;
	char asked[TV_SHA_HEX];
	char trace_id[201];
	struct tv_flow_done steps[TV_FLOW_STEPS_MAX];
	cJSON *reports; /* owned: the metadata of the steps' commits, oldest first */
};

void tv_flow_draft_free(struct tv_flow_draft *draft); /* empties it */

/* The flow's draft; its ref is "" when there is none. */
int tv_flow_draft_find(struct tv_store *s, const struct tv_flow *flow, struct tv_flow_draft *out,
		       struct tv_err *err);

/* A new one where the target stands. */
int tv_flow_draft_begin(struct tv_store *s, const struct tv_flow *flow, const char *target,
			const char *asked, const struct tv_authored *by, struct tv_flow_draft *out,
			struct tv_err *err);

/* Writes down how a step ended. looked: it had nothing to change, so the draft has to be as it was
 * (-TV_E_CONFLICT). */
int tv_flow_draft_note(struct tv_store *s, const struct tv_flow *flow, struct tv_flow_draft *draft,
		       size_t step, const struct tv_flow_done *how, bool passed, bool looked,
		       const struct tv_authored *by, struct tv_err *err);

/* 1 when what the steps read or write has changed on the target since the draft began. */
int tv_flow_draft_left(struct tv_store *s, const char *target, const struct tv_flow_draft *draft,
		       struct tv_err *err);

/* One commit on the target, and no draft any more, in one transaction. -TV_E_CONFLICT when the target
 * has left the base in what the steps read or write; other changes of others are merged. */
int tv_flow_draft_publish(struct tv_store *s, const struct tv_flow *flow, const char *target,
			  const struct tv_flow_draft *draft, const struct tv_authored *by,
			  struct tv_published *out, struct tv_err *err);

int tv_flow_draft_drop(struct tv_store *s, struct tv_flow_draft *draft, const char *who,
		       struct tv_err *err);

/* --- a step as a process (flow-child.c) -------------------------------------------------------- */

/* Runs this program with other words. out: where its stdout goes, -1: to ours; held: a descriptor that
 * it inherits, or -1. *status: its exit code, 128 + N after signal N. -TV_E_INTERRUPTED: SIGINT, SIGTERM
 * or SIGHUP came, the child got it too and has ended. */
int tv_flow_child(const char *const *words, int out, int held, int *status, struct tv_err *err);

/* --- the whole (flow.c) ------------------------------------------------------------------------ */

enum tv_flow_end {
	TV_FLOW_WAITING,
	TV_FLOW_DONE,
	TV_FLOW_PARTIAL, /* done, without some symbols */
	TV_FLOW_REFUSED,
	TV_FLOW_FAILED,
	TV_FLOW_LEFT_OUT, /* it has nothing to do in this call */
};

struct tv_flow_run {
	struct tv_cli *cli;
	const struct tv_flow *flow;
	struct tv_authored by;
	const char *folder; /* or NULL */
	const char *target; /* a ref; NULL with a folder */
	const char *page;   /* for TV_STEP_PAGE */
	bool in_run;	    /* the folder is the view of a run */
	bool restart;
	void (*tell)(struct tv_flow_run *run, size_t step); /* a step begins */

	struct tv_flow_draft draft;
	struct {
		enum tv_flow_end end;
		bool earlier; /* by the call that was interrupted */
		int exit;
		double seconds;
		cJSON *report; /* owned; with --json what it printed */
	} steps[TV_FLOW_STEPS_MAX];
	size_t n_steps;
	bool resumed, published;
	struct tv_published done;
};

void tv_flow_run_free(struct tv_flow_run *run);

/* 0: everything passed, and is published by a flow that publishes. A step that did not pass: its exit
 * code in cli->status. -TV_E_GATE or -TV_E_MISSING with run->published: published, but single symbols
 * are missing. -TV_E_LOCKED: the same flow is at work. */
int tv_flow_run(struct tv_flow_run *run, struct tv_err *err);

#endif
