#include "tools/run/prune.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/base/path.h"
#include "store/runrec.h"
#include "tools/run/mountinfo.h"
#include "tools/run/record.h"
#include "tools/run/registry.h"

#define GRACE_MS 1000

struct pruning {
	struct tv_store *store;
	void (*note)(void *arg, const char *text);
	void *note_arg;
	struct tv_pruned *out;
	cJSON *dead; /* owned; entries with their "id" */
	cJSON *live; /* owned; ids of runs that live */
	cJSON *lost; /* owned; {"id", "run_dir"} of runs to set to failed */
};

static void note(struct pruning *p, const char *text)
{
	if (p->note)
		p->note(p->note_arg, text);
}

static double number(const cJSON *doc, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(doc, key);
	return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

/* Entries are only noted while the folder is read, and worked on afterwards. */
static int sort_entry(void *arg, const char *id, const cJSON *doc, bool alive, struct tv_err *err)
{
	struct pruning *p = arg;
	if (alive) {
		cJSON *run = cJSON_CreateString(tv_record_text(doc, "run_id"));
		return run && cJSON_AddItemToArray(p->live, run) ? 0 : tv_err_nomem(err);
	}
	cJSON *copy = cJSON_Duplicate(doc, true);
	if (!copy || !tv_record_set(copy, "id", cJSON_CreateString(id)) ||
	    !cJSON_AddItemToArray(p->dead, copy))
		return tv_err_nomem(err);
	return 0;
}

/* Another session of a dead one's run: its processes are not ours to end. */
static bool is_live(const struct pruning *p, const char *run_id)
{
	const cJSON *one;
	cJSON_ArrayForEach(one, p->live)
		if (strcmp(one->valuestring, run_id) == 0)
			return true;
	return false;
}

static void end_run(struct pruning *p, const cJSON *entry)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_process daemon;
	tv_autofree char *data = tv_path_join(tv_record_text(entry, "run_dir"), "data");
	struct tv_scope scope = { .device = (dev_t)number(entry, "device"), .path = data };
	if (tv_process_from_json(cJSON_GetObjectItemCaseSensitive(entry, "daemon"), &daemon))
		tv_process_signal(&daemon, SIGKILL);
	if (!scope.device || !data || is_live(p, tv_record_text(entry, "run_id")))
		return;
	int n = tv_members_count(&scope, NULL);
	if (n <= 0)
		return;
	if (tv_members_end(&scope, GRACE_MS, &err) < 0)
		note(p, err.text);
	else
		p->out->processes += (unsigned)n;
}

static void end_mount(struct pruning *p, const cJSON *entry)
{
	const char *path = tv_record_text(entry, "path");
	struct tv_err err = TV_ERR_INIT;
	struct tv_mounted there;
	if (tv_mountinfo_find(path, &there, NULL) != 1 || strcmp(there.type, TV_MOUNT_TYPE) != 0 ||
	    !tv_mountpoint_dead(path))
		return;
	if (tv_mountpoint_unmount(path, true, &err) < 0)
		note(p, err.text);
	else
		p->out->mounts++;
}

static int find_lost(void *arg, const cJSON *doc, struct tv_err *err)
{
	struct pruning *p = arg;
	const char *state = tv_record_text(doc, "state");
	if ((strcmp(state, "live") != 0 && strcmp(state, "ending") != 0) || tv_record_alive(doc))
		return 0;
	cJSON *one = cJSON_CreateObject();
	if (one && cJSON_AddStringToObject(one, "id", tv_record_text(doc, "run_id")) &&
	    cJSON_AddStringToObject(one, "run_dir", tv_record_text(doc, "run_dir")) &&
	    cJSON_AddItemToArray(p->lost, one))
		return 0;
	cJSON_Delete(one);
	return tv_err_nomem(err);
}

static int end_session(void *arg, cJSON *session)
{
	(void)arg;
	return tv_record_set(session, "end", tv_record_time(tv_now_ns())) &&
			       tv_record_set(session, "exit_status", cJSON_CreateNull()) &&
			       tv_record_set(session, "how",
					     cJSON_CreateString("supervisor killed"))
		       ? 0
		       : -ENOMEM;
}

static int set_failed(void *arg, cJSON *doc, struct tv_err *err)
{
	bool *changed = arg;
	const char *state = tv_record_text(doc, "state");
	*changed = (strcmp(state, "live") == 0 || strcmp(state, "ending") == 0) &&
		   !tv_record_alive(doc);
	if (!*changed)
		return 0;
	cJSON_DeleteItemFromObjectCaseSensitive(doc, "namespace_fds");
	if (tv_record_each_open_session(doc, end_session, NULL) < 0 ||
	    !tv_record_set(doc, "state", cJSON_CreateString("failed")) ||
	    !tv_record_set(doc, "end", tv_record_time(tv_now_ns())) ||
	    !tv_record_set(doc, "failure", cJSON_CreateString("the run's supervisor was killed")))
		return tv_err_nomem(err);
	return 0;
}

static int fail_lost(struct pruning *p, struct tv_err *err)
{
	const cJSON *one;
	cJSON_ArrayForEach(one, p->lost) {
		const char *id = tv_record_text(one, "id");
		const char *run_dir = tv_record_text(one, "run_dir");
		struct stat st;
		struct tv_err why = TV_ERR_INIT;
		bool changed = false;
		/* The run directory may have been removed by hand. */
		bool there = *run_dir && stat(run_dir, &st) == 0;
		int r = tv_record_change(p->store, id, there ? run_dir : NULL, set_failed, &changed,
					 &why);
		if (r < 0 && !changed)
			return tv_err_set(err, r, "run '%s': %s", id, why.text);
		if (r < 0)
			note(p, why.text);
		p->out->runs += changed;
	}
	return 0;
}

static int prune(struct pruning *p, struct tv_err *err)
{
	const cJSON *one;
	int r = tv_registry_each(p->store, sort_entry, p, err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(one, p->dead) {
		if (strcmp(tv_record_text(one, "kind"), "mount") == 0)
			end_mount(p, one);
		else
			end_run(p, one);
	}
	r = tv_run_each(p->store, find_lost, p, err);
	if (r == 0)
		r = fail_lost(p, err);
	if (r == 0)
		r = tv_lease_prune(p->store, &p->out->leases, err);
	if (r < 0)
		return r;
	/* Last: as long as the entry stands, `ps` tells that something is left to do. */
	cJSON_ArrayForEach(one, p->dead) {
		tv_registry_remove(p->store, tv_record_text(one, "id"));
		p->out->entries++;
	}
	r = tv_registry_sweep(p->store, err);
	p->out->leftovers = r > 0 ? (unsigned)r : 0;
	return r < 0 ? r : 0;
}

int tv_prune(struct tv_store *s, void (*note_fn)(void *arg, const char *text), void *arg,
	     struct tv_pruned *out, struct tv_err *err)
{
	*out = (struct tv_pruned){ 0 };
	struct pruning p = { .store = s,
			     .note = note_fn,
			     .note_arg = arg,
			     .out = out,
			     .dead = cJSON_CreateArray(),
			     .live = cJSON_CreateArray(),
			     .lost = cJSON_CreateArray() };
	int r = p.dead && p.live && p.lost ? prune(&p, err) : tv_err_nomem(err);
	cJSON_Delete(p.dead);
	cJSON_Delete(p.live);
	cJSON_Delete(p.lost);
	return r;
}
