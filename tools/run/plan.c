#include "tools/run/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"
#include "store/base/path.h"
#include "store/ref.h"
#include "store/runrec.h"
#include "tools/run/record.h"

void tv_plan_free(struct tv_plan *p)
{
	if (!p)
		return;
	tv_commit_free(&p->commit);
	free(p->run_id);
	free(p->trace_id);
	free(p->cwd);
	free(p->store);
	free(p->lakehouse);
	free(p->run_dir);
	free(p->data_dir);
	free(p->overlay_dir);
	free(p->recorded_dir);
	for (size_t i = 0; i < p->n_inputs; i++) {
		free(p->inputs[i].from);
		free(p->inputs[i].to);
	}
	for (size_t i = 0; i < p->n_redirects; i++) {
		free(p->redirects[i].from);
		free(p->redirects[i].to);
	}
	free(p->inputs);
	free(p->redirects);
	free(p);
}

static void plan_free_p(struct tv_plan **p)
{
	tv_plan_free(*p);
}

int tv_plan_new_id(int64_t now_ns, char out[TV_NEW_RUN_ID], struct tv_err *err)
{
	char hex[7], date[17];
	struct tm tm;
	time_t now = (time_t)(now_ns / 1000000000);
	int r = tv_random_hex(hex, 3, err);
	if (r < 0)
		return r;
	if (!gmtime_r(&now, &tm) || !strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", &tm))
		return tv_err_set(err, -EINVAL, "the clock of this machine is out of range");
	snprintf(out, TV_NEW_RUN_ID, "%s-%s", date, hex);
	return 0;
}

int tv_plan_passthrough(const char *word, enum tv_passthrough *out, struct tv_err *err)
{
	static const char *const words[] = { [TV_PASSTHROUGH_AUTO] = "auto",
					     [TV_PASSTHROUGH_OFF] = "off",
					     [TV_PASSTHROUGH_REQUIRE] = "require" };
	for (size_t i = 0; word && i < TV_ARRAY_LEN(words); i++) {
		if (strcmp(words[i], word) == 0) {
			*out = (enum tv_passthrough)i;
			return 0;
		}
	}
	if (!word) {
		*out = TV_PASSTHROUGH_AUTO;
		return 0;
	}
	return tv_err_set(err, -TV_E_USAGE, "--passthrough is auto, off or require, not '%s'",
			  word);
}

static int locked_elsewhere(const char *id, const struct tv_sha *have, const char *have_foundation,
			    const struct tv_commit *want, struct tv_err *err)
{
	char have_hex[TV_SHA_HEX], want_hex[TV_SHA_HEX], want_foundation[TV_SHA_HEX];
	tv_sha_hex(have, have_hex);
	tv_sha_hex(&want->id, want_hex);
	tv_sha_hex(&want->root.sha, want_foundation);
	return tv_err_set(
		err, -TV_E_CONFLICT,
		"run '%s' is locked to foundation %s (commit %.12s) for good, it cannot have "
		"foundation %s (commit %.12s); use another --run-id",
		id, have_foundation, have_hex, want_foundation, want_hex);
}

int tv_plan_same_commit(const cJSON *record, const struct tv_commit *commit, struct tv_err *err)
{
	const char *id = tv_record_text(record, "run_id");
	struct tv_sha have;
	if (!tv_sha_from_hex(tv_record_text(record, "commit"), &have))
		return tv_err_set(err, -TV_E_DAMAGED, "the record of run '%s' has no commit", id);
	if (tv_sha_eq(&have, &commit->id))
		return 0;
	return locked_elsewhere(id, &have, tv_record_text(record, "foundation_hash"), commit, err);
}

int tv_plan_admit(const cJSON *record, const struct tv_commit *commit, struct tv_err *err)
{
	const char *id = tv_record_text(record, "run_id");
	const char *state = tv_record_text(record, "state");
	int r = tv_plan_same_commit(record, commit, err);
	if (r < 0)
		return r;
	bool live = strcmp(state, "live") == 0 || strcmp(state, "ending") == 0;
	if (live && tv_record_alive(record) && tv_record_mounted(record))
		return tv_err_set(
			err, -TV_E_LOCKED,
			"run '%s' is mounted ('tvfs ps' tells where); 'tvfs umount' it first", id);
	if (live && tv_record_alive(record))
		return tv_err_set(err, -TV_E_LOCKED,
				  "run '%s' is live; to start another command in it: tvfs run "
				  "--join %s -- COMMAND",
				  id, id);
	if (live)
		return tv_err_set(err, -TV_E_LOCKED,
				  "run '%s' ended without its supervisor; 'tvfs prune' cleans up",
				  id);
	if (strcmp(state, "open") == 0 ||
	    (strcmp(state, "failed") == 0 && tv_record_flag(record, "keep_open")))
		return 0;
	return tv_err_set(err, -EROFS,
			  "run '%s' is %s and never written again; use another --run-id", id,
			  state);
}

int tv_plan_run_dir(const struct tv_settings *settings, const char *run_id, char **out,
		    struct tv_err *err)
{
	tv_autofree char *runs = NULL;
	int r = tv_settings_inside(settings, settings->runs, &runs, err);
	if (r < 0)
		return r;
	*out = tv_path_join(runs, run_id);
	return *out ? 0 : tv_err_nomem(err);
}

static int check_gate(const struct tv_node_source *nodes, const struct tv_entry *root,
		      const struct tv_plan *p, const struct tv_setting_gate *gate,
		      struct tv_err *err)
{
	struct tv_entry e;
	char age[32], limit[32];
	int r = tv_tree_lookup(nodes, root, gate->file, &e, NULL, err);
	if (r == -ENOENT || r == -ENOTDIR)
		return tv_err_set(
			err, -TV_E_MISSING,
			"gate of profile '%s': the foundation has no '%s'; commit one, or "
			"choose another --foundation",
			p->profile->name, gate->file);
	if (r < 0)
		return r;
	if (e.kind != TV_FILE)
		return tv_err_set(err, -TV_E_GATE, "gate of profile '%s': '%s' is not a file",
				  p->profile->name, gate->file);
	int64_t old = tv_now_ns() - e.mtime_ns;
	if (!gate->max_age_ns || old <= gate->max_age_ns)
		return 0;
	snprintf(age, sizeof(age), "%.1f h", (double)old / 3.6e12);
	snprintf(limit, sizeof(limit), "%.1f h", (double)gate->max_age_ns / 3.6e12);
	return tv_err_set(err, -TV_E_MISSING,
			  "gate of profile '%s': '%s' is %s old, over the allowed %s; refresh the "
			  "data and commit it",
			  p->profile->name, gate->file, age, limit);
}

int tv_plan_gates(const struct tv_node_source *nodes, const struct tv_entry *root,
		  const struct tv_plan *p, struct tv_err *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < p->profile->n_gates; i++)
		r = check_gate(nodes, root, p, &p->profile->gates[i], err);
	return r;
}

/* Input folders that are there. What is not there cannot be protected, nor be read by accident. */
static int plan_inputs(struct tv_plan *p, struct tv_err *err)
{
	const struct tv_strings *names = &p->settings->inputs;
	if (p->profile->inputs_writable || !names->len)
		return 0;
	p->inputs = calloc(names->len, sizeof(*p->inputs));
	if (!p->inputs)
		return tv_err_nomem(err);
	for (size_t i = 0; i < names->len; i++) {
		tv_autofree char *path = tv_path_join(p->settings->project, names->items[i]);
		if (!path)
			return tv_err_nomem(err);
		char *real = realpath(path, NULL);
		if (!real && errno == ENOENT)
			continue;
		if (!real)
			return tv_err_sys(err, -errno, "cannot find the input folder '%s'", path);
		struct tv_bind *b = &p->inputs[p->n_inputs++];
		b->from = real;
		b->to = strdup(real);
		if (!b->to)
			return tv_err_nomem(err);
	}
	return 0;
}

static int plan_redirects(struct tv_plan *p, struct tv_err *err)
{
	const struct tv_settings *s = p->settings;
	p->redirects = calloc(s->n_redirects + 1, sizeof(*p->redirects));
	if (!p->redirects)
		return tv_err_nomem(err);
	for (size_t i = 0; i < s->n_redirects; i++) {
		struct tv_bind *b = &p->redirects[p->n_redirects++];
		b->from = tv_path_join(p->run_dir, s->redirects[i].to);
		if (!b->from)
			return tv_err_nomem(err);
		int r = tv_settings_inside(s, s->redirects[i].path, &b->to, err);
		if (r < 0)
			return r;
		if (tv_path_under(b->to, p->lakehouse) || tv_path_under(p->run_dir, b->to))
			return tv_err_set(
				err, -EINVAL,
				"tvfs.json: the redirected folder '%s' must lie outside of "
				"the lakehouse and not hold the runs",
				s->redirects[i].path);
		if (tv_path_under(b->from, p->data_dir))
			return tv_err_set(
				err, -EINVAL,
				"tvfs.json: '%s' is redirected into the run's data folder; "
				"choose another place in the run directory",
				s->redirects[i].path);
	}
	return 0;
}

static bool is_folder(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A run stays where it began: in another folder its earlier writes would be missing. That the whole
 * project was moved or copied is something else. */
static int check_place(const struct tv_plan *p, struct tv_err *err)
{
	if (!p->recorded_dir || strcmp(p->recorded_dir, p->run_dir) == 0 || is_folder(p->run_dir) ||
	    !is_folder(p->recorded_dir))
		return 0;
	return tv_err_set(
		err, -EINVAL,
		"run '%s' is in '%s', and \"runs\" in tvfs.json names another folder now: set "
		"it back, move the run there, or use another --run-id",
		p->run_id, p->recorded_dir);
}

static int plan_paths(struct tv_plan *p, struct tv_err *err)
{
	p->cwd = getcwd(NULL, 0);
	if (!p->cwd)
		return tv_err_sys(err, -errno, "cannot tell the working directory");
	int r = tv_settings_inside(p->settings, p->settings->lakehouse, &p->lakehouse, err);
	if (r < 0)
		return tv_err_wrap(err, r, "the lakehouse");
	r = tv_plan_run_dir(p->settings, p->run_id, &p->run_dir, err);
	if (r < 0)
		return tv_err_wrap(err, r, "the folder of runs");
	r = check_place(p, err);
	if (r < 0)
		return r;
	p->data_dir = tv_path_join(p->run_dir, "data");
	p->overlay_dir = p->data_dir ? tv_path_join(p->data_dir, "lakehouse") : NULL;
	if (!p->overlay_dir)
		return tv_err_nomem(err);
	if (tv_path_under(p->run_dir, p->lakehouse) || tv_path_under(p->lakehouse, p->run_dir) ||
	    tv_path_under(p->run_dir, p->store) || tv_path_under(p->lakehouse, p->store) ||
	    tv_path_under(p->store, p->lakehouse) || tv_path_under(p->store, p->run_dir))
		return tv_err_set(
			err, -EINVAL,
			"the lakehouse (%s), the runs (%s) and the store (%s) may not lie in "
			"one another; change tvfs.json",
			p->lakehouse, p->run_dir, p->store);
	return 0;
}

static int plan_id(struct tv_plan *p, struct tv_err *err)
{
	char made[TV_NEW_RUN_ID];
	const char *id = p->request.run_id;
	int r = id ? tv_run_id_check(id, false, err) : tv_plan_new_id(tv_now_ns(), made, err);
	if (r == 0)
		r = tv_uuid7(p->session, err);
	if (r < 0)
		return r;
	p->run_id = strdup(id ? id : made);
	return p->run_id ? 0 : tv_err_nomem(err);
}

static int admit_joined(const cJSON *record, const char *id, struct tv_err *err)
{
	if (strcmp(tv_record_text(record, "state"), "live") == 0 && tv_record_alive(record))
		return 0;
	return tv_err_set(err, -TV_E_LOCKED, "run '%s' is not live (%s): there is nothing to join",
			  id, tv_record_text(record, "state"));
}

/* A run keeps the trace id of its first session. */
static int plan_known(struct tv_store *s, struct tv_plan *p, struct tv_err *err)
{
	cJSON *record = NULL;
	char made[TV_UUID_TEXT] = "";
	const char *trace = p->request.trace_id;
	int r = tv_run_get(s, p->run_id, &record, NULL);
	if (r < 0 && r != -ENOENT)
		return tv_run_get(s, p->run_id, &record, err);
	p->known = r == 0;
	if (p->request.join)
		r = admit_joined(record, p->run_id, err);
	else
		r = p->known ? tv_plan_admit(record, &p->commit, err) : tv_uuid7(made, err);
	if (r == 0 && !trace)
		trace = getenv("TV_TRACE_ID");
	if (p->known)
		trace = tv_record_text(record, "trace_id");
	p->trace_id = strdup(trace && *trace ? trace : made);
	p->recorded_dir = p->known ? strdup(tv_record_text(record, "run_dir")) : NULL;
	cJSON_Delete(record);
	return r == 0 && (!p->trace_id || (p->known && !p->recorded_dir)) ? tv_err_nomem(err) : r;
}

/* Before the command has worked for hours: a name that could never be published on. */
static int plan_publish(struct tv_store *s, const char *name, struct tv_err *err)
{
	struct tv_ref ref;
	int r = name ? tv_ref_name_check(name, err) : 0;
	if (r == 0 && name && tv_ref_get(s, name, &ref, NULL) == 0 && ref.kind == TV_REF_TAG)
		r = tv_err_set(err, -EINVAL,
			       "'%s' is a tag, and tags do not move: publish on a branch", name);
	return r < 0 ? tv_err_wrap(err, r, "--publish") : 0;
}

int tv_plan_make(struct tv_store *s, const struct tv_settings *settings,
		 const struct tv_request *request, const struct tv_rev *rev, struct tv_plan **out,
		 struct tv_err *err)
{
	tv_auto(plan_free_p) struct tv_plan *p = calloc(1, sizeof(*p));
	if (!p)
		return tv_err_nomem(err);
	p->request = *request;
	p->settings = settings;
	snprintf(p->ref, sizeof(p->ref), "%s", rev->ref);
	p->store = strdup(tv_store_folder(s));
	if (!p->store)
		return tv_err_nomem(err);

	const char *profile = request->profile	 ? request->profile
			      : request->publish ? "data"
						 : settings->default_profile;
	int r = tv_settings_profile(settings, profile, &p->profile, err);
	if (r == 0)
		r = plan_publish(s, request->publish, err);
	if (r == 0)
		r = plan_id(p, err);
	if (r == 0)
		r = tv_commit_get(s, &rev->commit, &p->commit, err);
	if (r == 0)
		r = plan_known(s, p, err);
	if (r == 0)
		r = plan_paths(p, err);
	if (r == 0)
		r = plan_inputs(p, err);
	if (r == 0)
		r = plan_redirects(p, err);
	if (r < 0)
		return r;
	p->network = request->network < 0 ? p->profile->network : request->network;
	*out = tv_steal_ptr(&p);
	return 0;
}
