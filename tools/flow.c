#include "tools/flow.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/base/json.h"
#include "store/lockfile.h"
#include "tools/live.h"

#define REPORT_BYTES_MAX (256u << 20)

void tv_flow_run_free(struct tv_flow_run *run)
{
	for (size_t i = 0; i < TV_FLOW_STEPS_MAX; i++)
		cJSON_Delete(run->steps[i].report);
	tv_flow_draft_free(&run->draft);
}

/* --- one step ---------------------------------------------------------------------------------- */

/* What a step printed with --json: a document, also when it failed. One that printed none has no report. */
static int read_report(int fd, cJSON **out, struct tv_err *err)
{
	tv_autobuf struct tv_buf text = TV_BUF_INIT;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return tv_err_sys(err, -errno, "cannot read what a step printed");
	int r = tv_io_read_to_end(fd, REPORT_BYTES_MAX, &text, err);
	if (r == 0 && text.len)
		tv_json_parse((const char *)text.data, text.len, out, NULL);
	return r;
}

static int run_child(struct tv_flow_run *run, size_t i, int lock, struct tv_err *err)
{
	struct tv_cli *cli = run->cli;
	tv_autofree const char **words = NULL;
	const struct tv_flow_place place = {
		.folder = run->folder,
		.store = run->folder ? NULL : tv_store_folder(cli->store),
		.onto = *run->draft.ref ? run->draft.ref : run->target,
		.trace_id = *run->draft.ref ? run->draft.trace_id : run->by.trace_id,
		.author = run->by.author,
		.page = run->page,
	};
	tv_autoclose int out = cli->json ? memfd_create("step", MFD_CLOEXEC) : -1;
	if (cli->json && out < 0)
		return tv_err_sys(err, -errno, "cannot keep what a step prints");
	int r = tv_flow_words(cli, run->flow, &run->flow->steps[i], &place, &words, err);
	if (r < 0)
		return r;
	int64_t begin = tv_monotonic_ns();
	r = tv_flow_child(words, out, lock, &run->steps[i].exit, err);
	run->steps[i].seconds = (double)(tv_monotonic_ns() - begin) / 1e9;
	return r < 0 || !cli->json ? r : read_report(out, &run->steps[i].report, err);
}

static bool is_partial(const struct tv_flow_step *step, int status)
{
	return step->takes & TV_STEP_PARTIAL && (status == tv_err_exit_code(-TV_E_GATE) ||
						 status == tv_err_exit_code(-TV_E_MISSING));
}

/* Errors of the machine may be gone at the next call, which goes on here; a verdict stays what it is. */
static enum tv_flow_end end_of(const struct tv_flow_step *step, int status)
{
	static const int verdicts[] = { -TV_E_USAGE, -TV_E_CONFLICT, -TV_E_GATE, -TV_E_DIGEST,
					-TV_E_MISSING };
	if (status == 0)
		return TV_FLOW_DONE;
	if (is_partial(step, status))
		return TV_FLOW_PARTIAL;
	for (size_t i = 0; i < TV_ARRAY_LEN(verdicts); i++)
		if (status == tv_err_exit_code(verdicts[i]))
			return TV_FLOW_REFUSED;
	return TV_FLOW_FAILED;
}

static int error_of(int status)
{
	static const int known[] = { -TV_E_NOSTORE, -TV_E_LOCKED,  -TV_E_CONFLICT, -TV_E_GATE,
				     -TV_E_DIGEST,  -TV_E_MISSING, -TV_E_USAGE };
	for (size_t i = 0; i < TV_ARRAY_LEN(known); i++)
		if (status == tv_err_exit_code(known[i]))
			return known[i];
	return -ECHILD;
}

static int note(struct tv_flow_run *run, size_t i, struct tv_err *err)
{
	enum tv_flow_end end = run->steps[i].end;
	const struct tv_flow_done how = { true, run->steps[i].exit, run->steps[i].seconds };
	bool looked = !(run->flow->steps[i].takes & TV_STEP_COMMITS);
	if (!*run->draft.ref || end == TV_FLOW_FAILED)
		return 0;
	return tv_flow_draft_note(run->cli->store, run->flow, &run->draft, i, &how,
				  end != TV_FLOW_REFUSED, looked && end != TV_FLOW_REFUSED,
				  &run->by, err);
}

static int run_step(struct tv_flow_run *run, size_t i, int lock, struct tv_err *err)
{
	const struct tv_flow_step *step = &run->flow->steps[i];
	if (step->takes & TV_STEP_LISTS && run->cli->n_args < 2) {
		run->steps[i].end = TV_FLOW_LEFT_OUT;
		return 0;
	}
	run->tell(run, i);
	int r = run_child(run, i, lock, err);
	if (r < 0) {
		run->steps[i].end = TV_FLOW_FAILED;
		return r == -TV_E_INTERRUPTED && *run->draft.ref
			       ? tv_err_set(
					 err, r,
					 "interrupted; nothing is published, and the same words go on with '%s'",
					 step->name)
			       : r;
	}
	run->steps[i].end = end_of(step, run->steps[i].exit);
	r = note(run, i, err);
	if (r < 0 || run->steps[i].end == TV_FLOW_DONE || run->steps[i].end == TV_FLOW_PARTIAL)
		return r;
	run->cli->status = run->steps[i].exit;
	return tv_err_set(err, error_of(run->steps[i].exit), "%s%s ended with %d",
			  run->flow->publishes && !run->folder ? "nothing is published: " : "",
			  step->name, run->steps[i].exit);
}

static int run_steps(struct tv_flow_run *run, int lock, struct tv_err *err)
{
	int r = 0;
	for (size_t i = 0; i < run->n_steps && r == 0; i++) {
		const struct tv_flow_done *done = &run->draft.steps[i];
		run->steps[i].earlier = done->done;
		run->steps[i].exit = done->exit;
		run->steps[i].seconds = done->seconds;
		cJSON_Delete(tv_steal_ptr(&run->steps[i].report));
		run->steps[i].end = end_of(&run->flow->steps[i], done->exit);
		if (!done->done)
			r = run_step(run, i, lock, err);
	}
	return r;
}

/* --- the draft --------------------------------------------------------------------------------- */

static int take_lock(struct tv_flow_run *run, struct tv_err *err)
{
	char name[64], taken[128];
	snprintf(name, sizeof(name), "flow-%s.lock", run->flow->name);
	snprintf(taken, sizeof(taken), "another 'tvfs flow %s' is at work", run->flow->name);
	return tv_lockfile_take(run->cli->store, name, true, 0, taken, err);
}

/* Why the draft that was found is not gone on with; NULL: it is. */
static const char *why_not(struct tv_flow_run *run, const char *asked, int left)
{
	const struct tv_flow_draft *draft = &run->draft;
	int64_t age = tv_now_ns() - draft->begun_ns;
	if (run->restart)
		return "as --restart says";
	if (draft->ended)
		return "a step refused what it holds";
	if (strcmp(draft->asked, asked) != 0)
		return "the words, or the lists, are others";
	if (age < 0 || age > TV_FLOW_AGE_MAX_NS)
		return "it is too old";
	return left ? "others have published meanwhile" : NULL;
}

static int open_draft(struct tv_flow_run *run, const char *asked, struct tv_err *err)
{
	struct tv_store *s = run->cli->store;
	int r = tv_flow_draft_find(s, run->flow, &run->draft, err);
	if (r == 0 && *run->draft.ref)
		r = tv_flow_draft_left(s, run->target, &run->draft, err);
	if (r < 0)
		return r;
	const char *why = *run->draft.ref ? why_not(run, asked, r) : NULL;
	if (*run->draft.ref && !why) {
		tv_cli_note(run->cli, "going on with '%s', which was interrupted", run->draft.ref);
		run->resumed = true;
		return 0;
	}
	r = 0;
	if (why) {
		tv_cli_note(run->cli, "'%s' is thrown away: %s", run->draft.ref, why);
		r = tv_flow_draft_drop(s, &run->draft, run->by.author, err);
	}
	return r < 0 ? r
		     : tv_flow_draft_begin(s, run->flow, run->target, asked, &run->by, &run->draft,
					   err);
}

static int publish(struct tv_flow_run *run, struct tv_err *err)
{
	struct tv_cli *cli = run->cli;
	int r = tv_flow_draft_publish(cli->store, run->flow, run->target, &run->draft, &run->by,
				      &run->done, err);
	if (r < 0)
		return r;
	run->published = true;
	/* The draft has gone; its trace id is still told. */
	run->draft.ref[0] = '\0';
	return strcmp(run->target, cli->settings->ref) == 0
		       ? tv_live_follow(cli, run->target, &run->done.commit)
		       : 0;
}

/* Steps and publishing, again from the start when others were faster. */
static int build(struct tv_flow_run *run, int lock, struct tv_err *err)
{
	char asked[TV_SHA_HEX];
	int r = tv_flow_asked(run->cli, run->flow, run->target, asked, err);
	for (int times = 0; r == 0; times++) {
		r = open_draft(run, asked, err);
		if (r == 0)
			r = run_steps(run, lock, err);
		if (r < 0)
			return r;
		r = publish(run, err);
		if (r != -TV_E_CONFLICT || times + 1 == TV_FLOW_BEGINNINGS)
			return r;
		tv_cli_note(run->cli, "%s: beginning anew on it", err->text);
		tv_err_clear(err);
		run->restart = run->resumed = false;
		r = tv_flow_draft_drop(run->cli->store, &run->draft, run->by.author, err);
	}
	return r;
}

/* --- the whole --------------------------------------------------------------------------------- */

/* Everything passed: what single symbols lack is told last. */
static int judge(struct tv_flow_run *run, struct tv_err *err)
{
	int worst = 0;
	for (size_t i = 0; i < run->n_steps; i++) {
		int code = run->steps[i].end == TV_FLOW_PARTIAL ? error_of(run->steps[i].exit) : 0;
		if (code && worst != -TV_E_GATE)
			worst = code;
	}
	if (!worst)
		return 0;
	return tv_err_set(err, worst, "%s, but not all symbols could be had: %s",
			  run->folder ? "done" : "published",
			  worst == -TV_E_GATE ? "some were quarantined" : "some were not fetched");
}

int tv_flow_run(struct tv_flow_run *run, struct tv_err *err)
{
	tv_autoclose int lock = -1;
	int r = 0;
	while (run->flow->steps[run->n_steps].name)
		run->n_steps++;
	if (run->folder || !run->flow->publishes) {
		r = run_steps(run, -1, err);
	} else {
		lock = take_lock(run, err);
		r = lock < 0 ? lock : build(run, lock, err);
	}
	return r < 0 ? r : judge(run, err);
}
