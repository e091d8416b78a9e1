#include "tools/run/mounting.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/base/path.h"
#include "store/runrec.h"
#include "tools/run/daemon.h"
#include "tools/run/mountinfo.h"
#include "tools/run/record.h"
#include "tools/run/registry.h"
#include "tools/run/rundir.h"
#include "tools/run/wire.h"

#define GONE_WAIT_MS 15000

/* One mount on its way. */
struct way {
	const struct tv_mounting *m;
	struct tv_store *store;
	struct tv_plan *plan; /* with a run; or NULL */
	struct tv_commit commit;
	char session[TV_UUID_TEXT];
	char *mountpoint; /* real */
	char *store_folder;
	struct tv_lease lease;
	struct tv_process daemon; /* who serves: a daemon, or this process */
	struct tv_daemon_fds fds;
	int sock;
	int door; /* the mountpoint, locked until the mount is there; -1 */
	bool leased, registered, created, touched;
};

static void way_clear(struct way *w)
{
	tv_close_p(&w->fds.overlay);
	tv_close_p(&w->fds.figures);
	tv_close_p(&w->sock);
	tv_close_p(&w->door);
	tv_commit_free(&w->commit);
	tv_plan_free(w->plan);
	tv_store_close(w->store);
	free(w->mountpoint);
	free(w->store_folder);
}

static int check_mountpoint(struct way *w, struct tv_err *err)
{
	struct stat st;
	struct tv_mounted there;
	int r = tv_mountpoint_real(w->m->mountpoint, &w->mountpoint, err);
	if (r < 0)
		return r;
	if (tv_mountpoint_dead(w->mountpoint))
		return tv_err_set(
			err, -ENOTCONN,
			"a dead mount lies on '%s'; take it away with 'tvfs umount --lazy' or "
			"'tvfs prune'",
			w->mountpoint);
	free(w->mountpoint);
	w->mountpoint = realpath(w->m->mountpoint, NULL);
	if (!w->mountpoint || stat(w->mountpoint, &st) < 0)
		return tv_err_sys(err, -errno, "cannot mount on '%s': make the folder first",
				  w->m->mountpoint);
	if (!S_ISDIR(st.st_mode))
		return tv_err_set(err, -ENOTDIR, "cannot mount on '%s': it is not a folder",
				  w->mountpoint);
	if (tv_path_under(w->mountpoint, w->store_folder) ||
	    tv_path_under(w->store_folder, w->mountpoint))
		return tv_err_set(err, -EINVAL, "cannot mount on '%s': the store is there",
				  w->mountpoint);
	/* Two at once would both find the place free, and lie on one another. Who may not open the folder
	 * goes without. */
	w->door = open(w->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (w->door >= 0 && flock(w->door, LOCK_EX) < 0 && errno == EINTR)
		;
	r = tv_mountinfo_find(w->mountpoint, &there, err);
	if (r == 1 && strcmp(there.type, TV_MOUNT_TYPE) == 0)
		return tv_err_set(err, -EBUSY, "'%s' is mounted already (%s)", w->mountpoint,
				  there.source);
	return r < 0 ? r : 0;
}

/* The run whose overlay the mount shows. */
static int plan_run(struct way *w, struct tv_err *err)
{
	char name[] = "tvfs", verb[] = "mount";
	char *argv[] = { name, verb, w->mountpoint, NULL };
	struct tv_request request = {
		.run_id = w->m->run_id, .keep_open = true, .network = 1, .argv = argv
	};
	int r = tv_plan_make(w->store, w->m->settings, &request, w->m->rev, &w->plan, err);
	if (r < 0)
		return r;
	struct tv_record_processes who = { .daemon = w->daemon, .front = w->daemon };
	snprintf(w->plan->session, sizeof(w->plan->session), "%s", w->session);
	r = tv_record_register(w->store, w->plan, &who, &w->created, err);
	w->plan->request.argv = NULL;
	if (r < 0)
		return r;
	w->registered = true;
	r = tv_rundir_make(w->plan, w->created, &w->touched, err);
	if (r == 0)
		r = tv_record_change(w->store, w->plan->run_id, w->plan->run_dir, NULL, NULL, err);
	if (r < 0)
		return r;
	w->fds.overlay =
		open(w->plan->overlay_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (w->fds.overlay < 0)
		return tv_err_sys(err, -errno, "cannot open '%s'", w->plan->overlay_dir);
	return 0;
}

/* What a run that is not live wrote, to look at. */
static int show_run(struct way *w, struct tv_err *err)
{
	tv_autofree char *run_dir = NULL, *overlay = NULL;
	tv_autojson cJSON *record = NULL;
	int r = tv_run_get(w->store, w->m->run_id, &record, err);
	if (r == 0)
		r = tv_plan_run_dir(w->m->settings, w->m->run_id, &run_dir, err);
	if (r < 0)
		return r;
	r = tv_plan_same_commit(record, &w->commit, err);
	if (r < 0)
		return r;
	if (tv_record_alive(record))
		return tv_err_set(
			err, -TV_E_LOCKED,
			"run '%s' is live: what it writes can be seen inside of it only, with "
			"'tvfs run --join'",
			w->m->run_id);
	overlay = tv_path_join(run_dir, "data/lakehouse");
	if (!overlay)
		return tv_err_nomem(err);
	w->fds.overlay = open(overlay, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return w->fds.overlay < 0 ? tv_err_sys(err, -errno, "cannot open '%s'", overlay) : 0;
}

static int put_entry(struct way *w, struct tv_err *err)
{
	char commit[TV_SHA_HEX], foundation[TV_SHA_HEX];
	tv_autojson cJSON *doc = cJSON_CreateObject();
	tv_sha_hex(&w->commit.id, commit);
	tv_sha_hex(&w->commit.root.sha, foundation);
	if (!doc || !tv_record_set(doc, "kind", cJSON_CreateString("mount")) ||
	    !tv_record_set(doc, "state", cJSON_CreateString("live")) ||
	    !tv_record_set(doc, "run_id", cJSON_CreateString(w->m->run_id ? w->m->run_id : "")) ||
	    !tv_record_set(doc, "commit", cJSON_CreateString(commit)) ||
	    !tv_record_set(doc, "foundation_hash", cJSON_CreateString(foundation)) ||
	    !tv_record_set(doc, "path", tv_record_string(w->mountpoint)) ||
	    !tv_record_set(doc, "since", tv_record_time(tv_now_ns())) || !tv_record_add_who(doc) ||
	    !tv_record_set(doc, "owner", tv_process_json(&w->daemon)))
		return tv_err_nomem(err);
	return tv_registry_put(w->store, w->session, doc, err);
}

/* Everything that belongs to the mount while it lives; the daemon gives it back. */
static int take(struct way *w, struct tv_err *err)
{
	int r = !w->m->run_id ? 0 : w->m->read_only ? show_run(w, err) : plan_run(w, err);
	if (r == 0)
		r = tv_lease_take(w->store, &w->commit.id, "mount",
				  w->m->run_id ? w->m->run_id : "", &w->daemon, &w->lease, err);
	if (r < 0)
		return r;
	w->leased = true;
	r = put_entry(w, err);
	if (r < 0)
		return r;
	w->fds.figures = tv_registry_listen(w->store, w->session, err);
	return w->fds.figures < 0 ? w->fds.figures : 0;
}

static int reopen(void *arg, cJSON *doc, struct tv_err *err)
{
	(void)arg;
	return tv_record_set(doc, "state", cJSON_CreateString("open")) ? 0 : tv_err_nomem(err);
}

/* After a failure: nothing of it stays, whatever the daemon had given back by itself. */
static void untake(struct way *w)
{
	if (!w->store && tv_store_open(w->store_folder, &w->store, NULL) < 0)
		return;
	if (w->leased)
		tv_lease_drop(w->store, w->lease.id, NULL);
	tv_registry_remove(w->store, w->session);
	if (w->registered && w->created) {
		if (w->touched)
			tv_rundir_unmake(w->plan);
		tv_run_forget(w->store, w->plan->run_id, NULL);
	} else if (w->registered) {
		tv_record_change(w->store, w->plan->run_id, w->plan->run_dir, reopen, NULL, NULL);
	}
}

static struct tv_serve describe(const struct way *w)
{
	return (struct tv_serve){
		.store = w->store_folder,
		.commit = w->commit.id,
		.mountpoint = w->mountpoint,
		.deny_lakehouse_writes = w->m->read_only,
		.allow_other = w->m->allow_other,
		.passthrough = w->m->passthrough,
		.overlay = w->fds.overlay,
		.data = -1,
		.figures = w->fds.figures,
		.lease = w->lease.id,
		.session = w->session,
		.run_id = w->plan ? w->plan->run_id : NULL,
		.run_dir = w->plan ? w->plan->run_dir : NULL,
	};
}

static void tell_ready(void *arg)
{
	struct way *w = arg;
	tv_close_p(&w->door);
	w->door = -1;
	w->m->ready(w->m->arg, w->mountpoint);
}

static int in_foreground(struct way *w, struct tv_err *err)
{
	int r = tv_process_self(&w->daemon, err);
	if (r == 0)
		r = take(w, err);
	if (r < 0)
		return r;
	tv_store_close(tv_steal_ptr(&w->store));
	struct tv_serve how = describe(w);
	tv_autojson cJSON *config = tv_daemon_config(&how);
	if (!config)
		return tv_err_nomem(err);
	return tv_daemon_serve(config, &w->fds, -1, tell_ready, w, err);
}

static int in_background(struct way *w, struct tv_err *err)
{
	tv_autoclose int log = tv_registry_log(w->store, w->session, err);
	if (log < 0)
		return log;
	int r = tv_daemon_start(w->mountpoint, log, &w->sock, &w->daemon, err);
	if (r == 0)
		r = take(w, err);
	if (r < 0)
		return r;
	tv_store_close(tv_steal_ptr(&w->store));
	struct tv_serve how = describe(w);
	r = tv_daemon_configure(w->sock, &how, err);
	if (r == 0)
		r = tv_wire_expect(w->sock, "ready", NULL, err);
	if (r == -EPIPE)
		r = tv_err_set(err, -EIO, "the daemon died before the mount was ready");
	if (r == 0)
		tell_ready(w);
	return r;
}

int tv_mounting_start(struct tv_store **store, const struct tv_mounting *m, struct tv_err *err)
{
	struct way w = {
		.m = m, .store = tv_steal_ptr(store), .fds = { -1, -1, -1 }, .sock = -1, .door = -1
	};
	w.store_folder = strdup(tv_store_folder(w.store));
	int r = w.store_folder ? check_mountpoint(&w, err) : tv_err_nomem(err);
	if (r == 0)
		r = tv_commit_get(w.store, &m->rev->commit, &w.commit, err);
	if (r == 0)
		r = tv_uuid7(w.session, err);
	if (r == 0)
		r = m->foreground ? in_foreground(&w, err) : in_background(&w, err);
	if (r < 0 && w.daemon.pid && w.daemon.pid != getpid()) {
		close(tv_steal_fd(&w.sock));
		if (!tv_process_wait(&w.daemon, 3000))
			tv_process_signal(&w.daemon, SIGKILL);
	}
	if (r < 0 && w.daemon.pid)
		untake(&w);
	way_clear(&w);
	return r;
}

/* --- unmounting --------------------------------------------------------------------------------- */

struct search {
	const char *path;
	struct tv_process found;
};

static int match_entry(void *arg, const char *id, const cJSON *doc, bool alive, struct tv_err *err)
{
	struct search *s = arg;
	(void)id;
	(void)err;
	if (!alive || strcmp(tv_record_text(doc, "kind"), "mount") != 0 ||
	    strcmp(tv_record_text(doc, "path"), s->path) != 0)
		return 0;
	return tv_process_from_json(cJSON_GetObjectItemCaseSensitive(doc, "owner"), &s->found);
}

/* Without a store: a daemon is `tvfs serve MOUNTPOINT`. */
static void match_words(struct search *s)
{
	char wanted[TV_PATH_MAX + 16], words[TV_COMMAND_TEXT];
	snprintf(wanted, sizeof(wanted), "tvfs serve %s", s->path);
	tv_autoclosedir DIR *proc = opendir("/proc");
	for (struct dirent *e = proc ? readdir(proc) : NULL; e; e = readdir(proc)) {
		char *end;
		long pid = strtol(e->d_name, &end, 10);
		if (*end || pid <= 0)
			continue;
		tv_process_command((pid_t)pid, words);
		if (*words && strncmp(words, wanted, sizeof(words) - 1) == 0)
			tv_process_of((pid_t)pid, &s->found, NULL);
	}
}

int tv_mounting_end(struct tv_store *store, const char *mountpoint, bool lazy, struct tv_err *err)
{
	tv_autofree char *path = NULL;
	struct tv_mounted there;
	int r = tv_mountpoint_real(mountpoint, &path, err);
	if (r < 0)
		return r;
	r = tv_mountinfo_find(path, &there, err);
	if (r < 0)
		return r;
	if (r == 0 || strcmp(there.type, TV_MOUNT_TYPE) != 0)
		return tv_err_set(err, -EINVAL, "'%s' is not a tvfs mount; 'tvfs ps' lists them",
				  path);
	struct search s = { .path = path };
	if (store)
		tv_registry_each(store, match_entry, &s, NULL);
	if (!s.found.pid)
		match_words(&s);
	r = tv_mountpoint_unmount(path, lazy, err);
	if (r < 0 || lazy || !s.found.pid || tv_process_wait(&s.found, GONE_WAIT_MS))
		return r;
	return tv_err_set(err, -ETIMEDOUT,
			  "'%s' is unmounted, but its daemon (pid %d) has not ended", path,
			  (int)s.found.pid);
}
