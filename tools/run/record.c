#include "tools/run/record.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/json.h"
#include "store/base/path.h"
#include "store/runrec.h"

const char *tv_record_text(const cJSON *doc, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(doc, key);
	return cJSON_IsString(item) ? item->valuestring : "";
}

bool tv_record_flag(const cJSON *doc, const char *key)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(doc, key));
}

bool tv_record_set(cJSON *doc, const char *key, cJSON *item)
{
	if (!item)
		return false;
	cJSON_DeleteItemFromObjectCaseSensitive(doc, key);
	if (cJSON_AddItemToObject(doc, key, item))
		return true;
	cJSON_Delete(item);
	return false;
}

cJSON *tv_record_string(const char *bytes)
{
	tv_autojson cJSON *holder = cJSON_CreateObject();
	if (!holder || !tv_json_add_bytes(holder, "s", bytes, strlen(bytes)))
		return NULL;
	return cJSON_DetachItemFromObjectCaseSensitive(holder, "s");
}

cJSON *tv_record_words(char *const *words)
{
	tv_autojson cJSON *list = cJSON_CreateArray();
	for (; list && *words; words++) {
		cJSON *item = tv_record_string(*words);
		if (!item || !cJSON_AddItemToArray(list, item)) {
			cJSON_Delete(item);
			return NULL;
		}
	}
	return tv_steal_ptr(&list);
}

cJSON *tv_record_time(int64_t ns)
{
	char text[TV_TIME_TEXT];
	tv_time_format(ns, text);
	return cJSON_CreateString(text);
}

bool tv_record_process(const cJSON *doc, const char *who, struct tv_process *out)
{
	const cJSON *all = cJSON_GetObjectItemCaseSensitive(doc, "processes");
	return tv_process_from_json(cJSON_GetObjectItemCaseSensitive(all, who), out);
}

bool tv_record_alive(const cJSON *doc)
{
	struct tv_process p;
	return (tv_record_process(doc, "supervisor", &p) || tv_record_process(doc, "daemon", &p)) &&
	       tv_process_alive(&p);
}

bool tv_record_mounted(const cJSON *doc)
{
	struct tv_process p;
	return !tv_record_process(doc, "supervisor", &p);
}

bool tv_record_add_who(cJSON *doc)
{
	char host[256] = "";
	struct passwd *pw = getpwuid(geteuid());
	gethostname(host, sizeof(host) - 1);
	return tv_record_set(doc, "user", cJSON_CreateString(pw ? pw->pw_name : "")) &&
	       tv_record_set(doc, "uid", cJSON_CreateNumber(geteuid())) &&
	       tv_record_set(doc, "host", cJSON_CreateString(host));
}

bool tv_record_add_session(cJSON *doc, const struct tv_session *session)
{
	cJSON *all = cJSON_GetObjectItemCaseSensitive(doc, "sessions");
	if (!all)
		all = cJSON_AddArrayToObject(doc, "sessions");
	tv_autojson cJSON *one = cJSON_CreateObject();
	if (!all || !one || !tv_record_set(one, "id", cJSON_CreateString(session->id)) ||
	    !tv_record_set(one, "joined", cJSON_CreateBool(session->joined)) ||
	    !tv_record_set(one, "command", tv_record_words(session->argv)) ||
	    !tv_record_set(one, "cwd", tv_record_string(session->cwd)) ||
	    !tv_record_set(one, "front", tv_process_json(&session->front)) ||
	    !tv_record_set(one, "start", tv_record_time(tv_now_ns())) ||
	    !cJSON_AddItemToArray(all, one))
		return false;
	tv_steal_ptr(&one);
	return true;
}

cJSON *tv_record_session(const cJSON *doc, const char *id)
{
	cJSON *one;
	cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(doc, "sessions"))
		if (strcmp(tv_record_text(one, "id"), id) == 0)
			return one;
	return NULL;
}

int tv_record_each_open_session(const cJSON *doc, int (*visit)(void *arg, cJSON *session),
				void *arg)
{
	cJSON *one;
	cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(doc, "sessions")) {
		int r = *tv_record_text(one, "end") ? 0 : visit(arg, one);
		if (r)
			return r;
	}
	return 0;
}

bool tv_record_end_session(cJSON *doc, const char *id, int wait_status, const char *how)
{
	cJSON *one = tv_record_session(doc, id);
	if (!one)
		return true;
	if (wait_status >= 0 && WIFSIGNALED(wait_status) &&
	    !tv_record_set(one, "signal", cJSON_CreateNumber(WTERMSIG(wait_status))))
		return false;
	int status = wait_status < 0		? -1
		     : WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status)
						: WEXITSTATUS(wait_status);
	return tv_record_set(one, "end", tv_record_time(tv_now_ns())) &&
	       tv_record_set(one, "exit_status",
			     status < 0 ? cJSON_CreateNull() : cJSON_CreateNumber(status)) &&
	       tv_record_set(one, "how", cJSON_CreateString(how));
}

static bool set_processes(cJSON *doc, const struct tv_record_processes *who)
{
	cJSON *all = cJSON_CreateObject();
	if (!tv_record_set(doc, "processes", all))
		return false;
	return (!who->front.pid || tv_record_set(all, "front", tv_process_json(&who->front))) &&
	       (!who->supervisor.pid ||
		tv_record_set(all, "supervisor", tv_process_json(&who->supervisor))) &&
	       (!who->daemon.pid || tv_record_set(all, "daemon", tv_process_json(&who->daemon)));
}

/* What a start writes, for the first time or again. */
static bool fill_live(cJSON *doc, const struct tv_plan *p, const struct tv_record_processes *who)
{
	struct tv_session session = {
		.id = p->session, .argv = p->request.argv, .cwd = p->cwd, .front = who->front
	};
	cJSON_DeleteItemFromObjectCaseSensitive(doc, "end");
	cJSON_DeleteItemFromObjectCaseSensitive(doc, "exit_status");
	cJSON_DeleteItemFromObjectCaseSensitive(doc, "failure");
	return tv_record_set(doc, "state", cJSON_CreateString("live")) &&
	       tv_record_set(doc, "run_dir", tv_record_string(p->run_dir)) &&
	       tv_record_set(doc, "profile", cJSON_CreateString(p->profile->name)) &&
	       tv_record_set(doc, "strict_isolation",
			     cJSON_CreateBool(p->profile->strict_isolation)) &&
	       tv_record_set(doc, "network", cJSON_CreateBool(p->network)) &&
	       tv_record_set(doc, "keep_open", cJSON_CreateBool(p->request.keep_open)) &&
	       tv_record_set(doc, "command", tv_record_words(p->request.argv)) &&
	       tv_record_set(doc, "cwd", tv_record_string(p->cwd)) &&
	       tv_record_set(doc, "start", tv_record_time(tv_now_ns())) &&
	       set_processes(doc, who) && tv_record_add_who(doc) &&
	       tv_record_add_session(doc, &session);
}

static cJSON *new_record(const struct tv_plan *p, const struct tv_record_processes *who)
{
	tv_autojson cJSON *doc = cJSON_CreateObject();
	if (doc && tv_record_set(doc, "ref", cJSON_CreateString(p->ref)) &&
	    tv_record_set(doc, "trace_id", tv_record_string(p->trace_id)) &&
	    tv_record_set(doc, "tvfs_version", cJSON_CreateString(TVFS_VERSION)) &&
	    tv_record_set(doc, "engine_version", cJSON_CreateString(p->settings->engine_version)) &&
	    tv_record_set(doc, "created", tv_record_time(tv_now_ns())) && fill_live(doc, p, who))
		return tv_steal_ptr(&doc);
	return NULL;
}

struct restart {
	const struct tv_plan *p;
	const struct tv_record_processes *who;
};

static int restart(void *arg, cJSON *doc, struct tv_err *err)
{
	const struct restart *a = arg;
	int r = tv_plan_admit(doc, &a->p->commit, err);
	if (r < 0)
		return r;
	return fill_live(doc, a->p, a->who) ? 0 : tv_err_nomem(err);
}

int tv_record_register(struct tv_store *s, const struct tv_plan *p,
		       const struct tv_record_processes *who, bool *created, struct tv_err *err)
{
	tv_autojson cJSON *doc = new_record(p, who);
	if (!doc)
		return tv_err_nomem(err);
	int r = tv_run_create(s, p->run_id, &p->commit.id, &p->commit.root.sha, doc, NULL, err);
	if (r == 0) {
		*created = true;
		return 0;
	}
	if (r != -EEXIST)
		return r;
	tv_err_clear(err);
	*created = false;
	return tv_run_update(s, p->run_id, restart, &(struct restart){ p, who }, err);
}

/* The caller's change, and a copy of what came out of it for run.json. */
struct change {
	int (*change)(void *arg, cJSON *doc, struct tv_err *err);
	void *arg;
	cJSON *copy;
};

static int change_and_copy(void *arg, cJSON *doc, struct tv_err *err)
{
	struct change *c = arg;
	int r = c->change ? c->change(c->arg, doc, err) : 0;
	if (r < 0)
		return r;
	cJSON_Delete(c->copy);
	c->copy = cJSON_Duplicate(doc, true);
	return c->copy ? 0 : tv_err_nomem(err);
}

static int write_run_json(const char *run_dir, const cJSON *doc, struct tv_err *err)
{
	tv_autofree char *text = cJSON_Print(doc), *path = tv_path_join(run_dir, "config/run.json");
	tv_autofree char *line = NULL;
	if (!text || !path || asprintf(&line, "%s\n", text) < 0)
		return tv_err_nomem(err);
	return tv_io_replace_file(AT_FDCWD, path, line, strlen(line), 0644, err);
}

int tv_record_change(struct tv_store *s, const char *run_id, const char *run_dir,
		     int (*change)(void *arg, cJSON *doc, struct tv_err *err), void *arg,
		     struct tv_err *err)
{
	struct change c = { change, arg, NULL };
	int r = tv_run_update(s, run_id, change_and_copy, &c, err);
	if (r == 0 && run_dir)
		r = write_run_json(run_dir, c.copy, err);
	cJSON_Delete(c.copy);
	return r;
}
