/* The daemon from the inside; daemon.h says what it is. */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/base/path.h"
#include "tools/cli.h"
#include "tools/run/commands.h"
#include "tools/run/daemon.h"
#include "tools/run/namespace.h"
#include "tools/run/record.h"
#include "tools/run/registry.h"
#include "tools/run/wire.h"

#define DAEMON_SOCK 3
#define MISSES_KEPT 256
/* The kernel remembers what it has looked up, and there may be a daemon for each of many runs. */
#define CACHE_BYTES ((size_t)2 << 20)

/* A routed name that was looked for before the run had written it; one for each process. */
struct miss {
	char name[TV_NAME_MAX + 1], command[TV_COMMAND_TEXT];
	bool fallback;
	pid_t pid;
	int64_t time_ns;
	uint64_t count;
};

struct serving {
	const cJSON *config;
	int sock; /* -1: none */
	void (*ready)(void *arg);
	void *ready_arg;
	struct tv_scope scope; /* a run's, from when it is mounted */
	struct tv_store *store;
	struct tv_commit commit;
	struct tv_route *routes; /* owned; texts are the config's */
	size_t n_routes;
	pthread_mutex_t lock; /* guards what follows */
	struct miss *misses;  /* owned; MISSES_KEPT */
	size_t n_misses;
	uint64_t more_misses;
};

static const char *text(const struct serving *v, const char *key)
{
	return tv_record_text(v->config, key);
}

static double number(const struct serving *v, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(v->config, key);
	return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static void tell_ready(void *arg)
{
	struct serving *v = arg;
	if (v->sock >= 0)
		tv_wire_tell(v->sock, "ready", NULL, NULL, NULL);
	else if (v->ready)
		v->ready(v->ready_arg);
}

/* Cheap for a script that asks in a loop: a miss that is known is only counted. */
static void note_miss(void *arg, const char *name, bool fallback, pid_t pid)
{
	struct serving *v = arg;
	pthread_mutex_lock(&v->lock);
	for (size_t i = 0; i < v->n_misses; i++) {
		struct miss *m = &v->misses[i];
		if (m->pid == pid && m->fallback == fallback && strcmp(m->name, name) == 0) {
			m->count++;
			goto out;
		}
	}
	if (v->n_misses == MISSES_KEPT) {
		v->more_misses++;
		goto out;
	}
	struct miss *m = &v->misses[v->n_misses++];
	*m = (struct miss){ .fallback = fallback, .pid = pid, .time_ns = tv_now_ns(), .count = 1 };
	snprintf(m->name, sizeof(m->name), "%s", name);
	tv_process_command(pid, m->command);
out:
	pthread_mutex_unlock(&v->lock);
}

static cJSON *misses_json(const struct serving *v)
{
	tv_autojson cJSON *list = cJSON_CreateArray();
	for (size_t i = 0; list && i < v->n_misses; i++) {
		const struct miss *m = &v->misses[i];
		tv_autojson cJSON *one = cJSON_CreateObject();
		if (!one || !tv_json_add_bytes(one, "name", m->name, strlen(m->name)) ||
		    !cJSON_AddBoolToObject(one, "fallback", m->fallback) ||
		    !cJSON_AddNumberToObject(one, "pid", m->pid) ||
		    !tv_json_add_bytes(one, "command", m->command, strlen(m->command)) ||
		    !cJSON_AddNumberToObject(one, "count", (double)m->count) ||
		    !tv_record_set(one, "time", tv_record_time(m->time_ns)) ||
		    !cJSON_AddItemToArray(list, one))
			return NULL;
		tv_steal_ptr(&one);
	}
	return tv_steal_ptr(&list);
}

static void tell_misses(const struct serving *v)
{
	tv_autojson cJSON *doc = cJSON_CreateObject();
	if (v->sock >= 0 && v->n_misses && doc && cJSON_AddStringToObject(doc, "what", "misses") &&
	    tv_record_set(doc, "list", misses_json(v)) &&
	    cJSON_AddNumberToObject(doc, "more", (double)v->more_misses))
		tv_wire_send(v->sock, tv_steal_ptr(&doc), NULL, 0, NULL);
}

static int take_routes(struct serving *v, struct tv_err *err)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(v->config, "routes"), *one;
	v->routes = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof(*v->routes));
	v->misses = calloc(MISSES_KEPT, sizeof(*v->misses));
	if (!v->routes || !v->misses)
		return tv_err_nomem(err);
	cJSON_ArrayForEach(one, list)
		v->routes[v->n_routes++] = (struct tv_route){ tv_record_text(one, "name"),
							      tv_record_text(one, "data") };
	return 0;
}

static int open_commit(struct serving *v, struct tv_err *err)
{
	struct tv_sha id;
	if (!tv_sha_from_hex(text(v, "commit"), &id))
		return tv_err_set(err, -EPROTO, "the daemon was given no commit");
	int r = tv_store_open(text(v, "store"), &v->store, err);
	if (r == 0)
		tv_store_limit_cache(v->store, CACHE_BYTES);
	return r < 0 ? r : tv_commit_get(v->store, &id, &v->commit, err);
}

/* A run's daemon: the device comes when the runner has mounted it. Until then everything else is
 * made ready. */
static int take_device(struct serving *v, int *fuse_fd, struct tv_err *err)
{
	tv_autowire struct tv_wire_message m = TV_WIRE_INIT;
	int r = tv_wire_expect(v->sock, "serve", &m, err);
	if (r < 0)
		return r;
	if (m.n_fds != 1)
		return tv_err_set(err, -EPROTO, "the daemon was given no device");
	*fuse_fd = tv_steal_fd(&m.fds[0]);
	v->scope = (struct tv_scope){ .device = (dev_t)tv_wire_number(&m, "device"),
				      .path = text(v, "data_dir") };
	return 0;
}

static int serve(struct serving *v, const struct tv_daemon_fds *fds, struct tv_err *err)
{
	char source[TV_SOURCE_TEXT];
	bool mounts = *text(v, "mountpoint");
	tv_autoclose int fuse_fd = -1;
	int r = mounts ? 0 : take_device(v, &fuse_fd, err);
	if (r < 0)
		return r;
	tv_namespace_source(&v->commit.root.sha, source);
	struct tv_mount m = {
		.store = v->store,
		.commit = &v->commit,
		.mountpoint = mounts ? text(v, "mountpoint") : NULL,
		.fuse_fd = fuse_fd,
		.overlay_dirfd = fds->overlay,
		.data_dirfd = fds->data,
		.overlay_name = "lakehouse",
		.deny_lakehouse_writes = tv_record_flag(v->config, "deny"),
		.route_fallback = tv_record_flag(v->config, "route_fallback"),
		.routes = v->routes,
		.n_routes = v->n_routes,
		.allow_other = tv_record_flag(v->config, "allow_other"),
		.passthrough = (enum tv_passthrough)number(v, "passthrough"),
		.uid = (uid_t)number(v, "uid"),
		.gid = (gid_t)number(v, "gid"),
		.fsname = source,
		.ready = tell_ready,
		.ready_arg = v,
		.route_miss = note_miss,
		.route_arg = v,
		.stats_fd = fds->figures,
	};
	r = tv_mount_serve(&m, err);
	/* tv_mount_serve closes the device with its session. */
	tv_steal_fd(&fuse_fd);
	return r;
}

static int reopen_run(void *arg, cJSON *doc, struct tv_err *err)
{
	const char *session = arg;
	if (tv_record_set(doc, "state", cJSON_CreateString("open")) &&
	    tv_record_set(doc, "end", tv_record_time(tv_now_ns())) &&
	    tv_record_end_session(doc, session, 0, "unmounted"))
		return 0;
	return tv_err_nomem(err);
}

/* What a mount's daemon gives back; for a run the supervisor does. */
static void give_back(struct serving *v)
{
	const char *run_id = text(v, "run_id"), *run_dir = text(v, "run_dir");
	if (*run_id)
		tv_record_change(v->store, run_id, run_dir, reopen_run,
				 (void *)(uintptr_t)text(v, "session"), NULL);
	if (*text(v, "lease"))
		tv_lease_drop(v->store, text(v, "lease"), NULL);
	tv_registry_remove(v->store, text(v, "session"));
}

static void close_fds(struct tv_daemon_fds *fds)
{
	tv_close_p(&fds->overlay);
	tv_close_p(&fds->data);
	tv_close_p(&fds->figures);
}

int tv_daemon_serve(const cJSON *config, struct tv_daemon_fds *fds, int sock,
		    void (*ready)(void *arg), void *arg, struct tv_err *err)
{
	struct serving v = { .config = config,
			     .sock = sock,
			     .ready = ready,
			     .ready_arg = arg,
			     .lock = PTHREAD_MUTEX_INITIALIZER };
	mallopt(M_ARENA_MAX, 1); /* one thread does most; an arena a thread took twice the memory */
	int r = take_routes(&v, err);
	if (r == 0)
		r = open_commit(&v, err);
	if (r == 0)
		r = serve(&v, fds, err);
	tell_misses(&v);
	close_fds(fds);
	if (v.store && *text(&v, "mountpoint"))
		give_back(&v);
	/* A supervisor that was killed ends nothing any more: what still runs in there is left to us. */
	if (v.scope.device && getppid() != (pid_t)number(&v, "parent"))
		tv_members_end(&v.scope, 1000, NULL);
	tv_commit_free(&v.commit);
	tv_store_close(v.store);
	free(v.routes);
	free(v.misses);
	return r;
}

static void take_fds(struct tv_wire_message *m, struct tv_daemon_fds *fds)
{
	const struct {
		const char *key;
		int *fd;
	} wanted[] = { { "overlay", &fds->overlay },
		       { "data", &fds->data },
		       { "figures", &fds->figures } };
	unsigned at = 0;
	for (size_t i = 0; i < TV_ARRAY_LEN(wanted); i++)
		if (tv_record_flag(m->doc, wanted[i].key) && at < m->n_fds)
			*wanted[i].fd = tv_steal_fd(&m->fds[at++]);
}

int tv_cmd_serve(struct tv_cli *cli)
{
	struct tv_daemon_fds fds = { -1, -1, -1 };
	struct stat st;
	tv_autowire struct tv_wire_message m = TV_WIRE_INIT;
	if (fstat(DAEMON_SOCK, &st) < 0 || !S_ISSOCK(st.st_mode))
		return tv_cli_usage(cli, "this command is for tvfs itself");
	prctl(PR_SET_NAME, "tvfs-daemon");
	int r = tv_wire_expect(DAEMON_SOCK, "configure", &m, &cli->err);
	if (r < 0)
		return r;
	bool run = !*tv_wire_text(&m, "mountpoint");
	if (run)
		prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (run && getppid() != (pid_t)tv_wire_number(&m, "parent"))
		return tv_err_set(&cli->err, -ESRCH, "the run's supervisor is gone");
	take_fds(&m, &fds);
	r = tv_daemon_serve(m.doc, &fds, DAEMON_SOCK, NULL, NULL, &cli->err);
	if (r < 0) {
		cli->err.code = r;
		tv_wire_send_error(DAEMON_SOCK, &cli->err, NULL);
	}
	return r;
}
