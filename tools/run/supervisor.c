#include "tools/run/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/runrec.h"
#include "tools/run/daemon.h"
#include "tools/run/registry.h"
#include "tools/run/rundir.h"
#include "tools/run/supervisor-priv.h"
#include "tools/run/wire.h"

#define START_WAIT_NS ((int64_t)60 * 1000000000)
#define EXIT_OWN 125
#define RESERVE_BYTES (512 * 1024)

void tv_supervisor_fail(struct tv_supervisor *s, int code, const char *fmt, ...)
{
	char text[TV_ERR_TEXT];
	va_list ap;
	if (s->failure.text[0])
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	tv_err_set(&s->failure, code, "%s", text);
}

void tv_supervisor_note(struct tv_supervisor *s, const char *fmt, ...)
{
	char text[TV_ERR_TEXT];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (s->front >= 0)
		tv_wire_tell(s->front, "note", "text", text, NULL);
}

/* The entry in the registry; written again when more is known. */
static int put_entry(struct tv_supervisor *s, const char *state, struct tv_err *err)
{
	const struct tv_plan *p = s->plan;
	char commit[TV_SHA_HEX], foundation[TV_SHA_HEX];
	tv_autojson cJSON *doc = cJSON_CreateObject();
	tv_sha_hex(&p->commit.id, commit);
	tv_sha_hex(&p->commit.root.sha, foundation);
	if (!doc || !tv_record_set(doc, "kind", cJSON_CreateString("run")) ||
	    !tv_record_set(doc, "state", cJSON_CreateString(state)) ||
	    !tv_record_set(doc, "run_id", cJSON_CreateString(p->run_id)) ||
	    !tv_record_set(doc, "commit", cJSON_CreateString(commit)) ||
	    !tv_record_set(doc, "foundation_hash", cJSON_CreateString(foundation)) ||
	    !tv_record_set(doc, "run_dir", tv_record_string(p->run_dir)) ||
	    !tv_record_set(doc, "path", tv_record_string(p->lakehouse)) ||
	    !tv_record_set(doc, "since", tv_record_time(tv_now_ns())) || !tv_record_add_who(doc) ||
	    !tv_record_set(doc, "device", cJSON_CreateNumber((double)s->scope.device)) ||
	    !tv_record_set(doc, "front", tv_process_json(&s->who.front)) ||
	    !tv_record_set(doc, "daemon", tv_process_json(&s->who.daemon)) ||
	    !tv_record_set(doc, "owner", tv_process_json(&s->who.supervisor)))
		return tv_err_nomem(err);
	return tv_registry_put(s->store, p->session, doc, err);
}

/* --- what the others say ------------------------------------------------------------------------ */

static void hear_front(struct tv_supervisor *s)
{
	tv_autowire struct tv_wire_message m = TV_WIRE_INIT;
	if (tv_wire_receive(s->front, &m, NULL) <= 0) {
		close(tv_steal_fd(&s->front));
		s->front_gone = true;
	} else if (tv_wire_is(&m, "ended")) {
		s->ended = true;
		s->wait_status = (int)tv_wire_number(&m, "status");
	} else if (tv_wire_is(&m, "hurry")) {
		s->hurry = true;
	}
}

/* The runner mounted: its namespaces are kept, the FUSE device goes on to the daemon. */
static void take_mounted(struct tv_supervisor *s, struct tv_wire_message *m)
{
	unsigned at = 2;
	struct stat ns;
	struct tv_err err = TV_ERR_INIT;
	tv_autojson cJSON *doc = cJSON_CreateObject();
	if (m->n_fds < 2 || fstat(m->fds[1], &ns) < 0 || !doc ||
	    !cJSON_AddStringToObject(doc, "what", "serve") ||
	    !cJSON_AddNumberToObject(doc, "device", tv_wire_number(m, "device")))
		return tv_supervisor_fail(s, -EPROTO, "the runner sent no descriptors");
	s->ns.mount = tv_steal_fd(&m->fds[1]);
	/* From here on there may be processes in the namespace: the entry tells prune where. */
	s->scope = (struct tv_scope){ .mount_ns = ns.st_ino,
				      .device = (dev_t)tv_wire_number(m, "device") };
	if (put_entry(s, "starting", &err) < 0)
		return tv_supervisor_fail(s, err.code, "%s", err.text);
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(m->doc, "user")) && at < m->n_fds)
		s->ns.user = tv_steal_fd(&m->fds[at++]);
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(m->doc, "net")) && at < m->n_fds)
		s->ns.net = tv_steal_fd(&m->fds[at++]);
	if (s->daemon >= 0)
		tv_wire_send(s->daemon, tv_steal_ptr(&doc), m->fds, 1, NULL);
}

static void hear_runner(struct tv_supervisor *s)
{
	struct tv_err err = TV_ERR_INIT;
	tv_autowire struct tv_wire_message m = TV_WIRE_INIT;
	if (tv_wire_receive(s->runner, &m, NULL) <= 0) {
		close(tv_steal_fd(&s->runner));
		s->started = s->exec_seen && !s->exec_failed;
		if (!s->exec_seen)
			tv_supervisor_fail(s, -EIO,
					   "the command's process ended before it could start");
	} else if (tv_wire_is(&m, "mounted")) {
		take_mounted(s, &m);
	} else if (tv_wire_is(&m, "exec")) {
		s->exec_seen = true;
		tv_process_from_json(cJSON_GetObjectItemCaseSensitive(m.doc, "process"),
				     &s->command);
	} else if (tv_wire_is(&m, "error")) {
		int code = tv_wire_error(&m, &err);
		if (s->exec_seen)
			s->exec_status = code == -ENOENT ? 127 : 126;
		s->exec_failed = true;
		tv_supervisor_fail(s, code, "%s", err.text);
	}
}

static void hear_daemon(struct tv_supervisor *s)
{
	struct tv_err err = TV_ERR_INIT;
	tv_autowire struct tv_wire_message m = TV_WIRE_INIT;
	if (tv_wire_receive(s->daemon, &m, NULL) <= 0) {
		close(tv_steal_fd(&s->daemon));
	} else if (tv_wire_is(&m, "ready")) {
		s->served = true;
		if (s->runner >= 0)
			tv_wire_tell(s->runner, "ready", NULL, NULL, NULL);
	} else if (tv_wire_is(&m, "misses")) {
		cJSON_Delete(s->route_misses);
		s->route_misses = cJSON_DetachItemFromObjectCaseSensitive(m.doc, "list");
	} else if (tv_wire_is(&m, "error")) {
		int code = tv_wire_error(&m, &err);
		tv_supervisor_fail(s, code, "%s", err.text);
	}
}

void tv_supervisor_lost_daemon(struct tv_supervisor *s, const char *how)
{
	s->daemon_lost = s->daemon_lost || !s->failure.text[0];
	tv_supervisor_fail(
		s, -EIO,
		"the daemon that serves the view died%s%s%s; the run's writes up to then are "
		"kept in its run directory",
		how ? " (" : "", how ? how : "", how ? ")" : "");
}

static void daemon_ended(struct tv_supervisor *s)
{
	while (s->daemon >= 0)
		hear_daemon(s);
	close(tv_steal_fd(&s->daemon_fd));
	s->daemon_gone = true;
	if (!s->closing)
		tv_supervisor_lost_daemon(s, NULL);
}

void tv_supervisor_pump(struct tv_supervisor *s, int wait_ms)
{
	struct pollfd fds[] = { { .fd = s->front, .events = POLLIN },
				{ .fd = s->runner, .events = POLLIN },
				{ .fd = s->daemon, .events = POLLIN },
				{ .fd = s->daemon_fd, .events = POLLIN },
				{ .fd = s->signals, .events = POLLIN } };
	if (poll(fds, TV_ARRAY_LEN(fds), wait_ms) <= 0)
		return;
	if (fds[0].revents)
		hear_front(s);
	if (fds[1].revents)
		hear_runner(s);
	if (fds[2].revents)
		hear_daemon(s);
	if (fds[3].revents)
		daemon_ended(s);
	if (fds[4].revents) {
		struct signalfd_siginfo info;
		if (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
			s->hurry = true;
	}
}

/* --- start -------------------------------------------------------------------------------------- */

static int prepare_folders(struct tv_supervisor *s, struct tv_err *err)
{
	const struct tv_plan *p = s->plan;
	int r = tv_rundir_make(p, s->created, &s->touched, err);
	if (r < 0)
		return r;
	s->data = open(p->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	s->overlay = open(p->overlay_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->data < 0 || s->overlay < 0)
		return tv_err_sys(err, -errno, "cannot open the run's folder '%s'", p->overlay_dir);
	return tv_record_change(s->store, p->run_id, p->run_dir, NULL, NULL, err);
}

static int configure_daemon(struct tv_supervisor *s, struct tv_err *err)
{
	const struct tv_plan *p = s->plan;
	return tv_daemon_configure(s->daemon,
				   &(struct tv_serve){
					   .store = p->store,
					   .commit = p->commit.id,
					   .routes = p->profile->routes ? p->settings : NULL,
					   .route_fallback = !p->profile->strict_isolation,
					   .deny_lakehouse_writes =
						   p->profile->deny_lakehouse_writes,
					   .allow_other = geteuid() == 0,
					   .passthrough = p->request.passthrough,
					   .overlay = s->overlay,
					   .data = s->data,
					   .data_dir = p->data_dir,
					   .figures = s->figures,
				   },
				   err);
}

/* Room on the store's disk for what is written down at the end, should the command fill it. A run
 * works without, too. -1: none. */
static int reserve_room(const struct tv_store *store)
{
	int fd = openat(tv_store_dirfd(store), "tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0 && fallocate(fd, 0, 0, RESERVE_BYTES) < 0)
		close(tv_steal_fd(&fd));
	return fd;
}

/* Everything that the command needs before it may go on. */
static int setup(struct tv_supervisor *s, struct tv_err *err)
{
	const struct tv_plan *p = s->plan;
	int r = tv_store_open(p->store, &s->store, err);
	if (r < 0)
		return r;
	s->reserve = reserve_room(s->store);
	tv_autoclose int log = tv_registry_log(s->store, p->session, err);
	if (log < 0)
		return log;
	r = tv_daemon_start(p->run_id, log, &s->daemon, &s->who.daemon, err);
	if (r < 0)
		return r;
	s->daemon_fd = tv_process_open(&s->who.daemon);
	s->figures = tv_registry_listen(s->store, p->session, err);
	if (s->daemon_fd < 0 || s->figures < 0)
		return s->figures < 0 ? s->figures
				      : tv_err_sys(err, s->daemon_fd, "the daemon died");
	r = tv_lease_take(s->store, &p->commit.id, "run", p->run_id, NULL, &s->lease, err);
	if (r < 0)
		return r;
	s->leased = true;
	r = put_entry(s, "starting", err);
	if (r == 0)
		r = tv_record_register(s->store, p, &s->who, &s->created, err);
	if (r < 0)
		return r;
	s->registered = true;
	r = prepare_folders(s, err);
	return r < 0 ? r : configure_daemon(s, err);
}

static int note_start(void *arg, cJSON *doc, struct tv_err *err)
{
	struct tv_supervisor *s = arg;
	cJSON *session = tv_record_session(doc, s->plan->session);
	cJSON *fds = cJSON_CreateObject();
	if (!session || !tv_record_set(doc, "namespace_fds", fds) ||
	    !tv_record_set(fds, "user", cJSON_CreateNumber(s->ns.user)) ||
	    !tv_record_set(fds, "mount", cJSON_CreateNumber(s->ns.mount)) ||
	    !tv_record_set(fds, "net", cJSON_CreateNumber(s->ns.net)) ||
	    !tv_record_set(session, "pid", cJSON_CreateNumber(s->command.pid)) ||
	    !tv_record_set(session, "process", tv_process_json(&s->command)))
		return tv_err_nomem(err);
	return 0;
}

static void start(struct tv_supervisor *s)
{
	struct tv_err err = TV_ERR_INIT;
	int r = setup(s, &err);
	if (r < 0)
		return tv_supervisor_fail(s, r, "%s", err.text);
	tv_wire_tell(s->front, "registered", NULL, NULL, NULL);
	tv_wire_tell(s->runner, "go", NULL, NULL, NULL);
	s->deadline = tv_boottime_ns() + START_WAIT_NS;
	/* Once the runner is about to execute, only the end of its socket tells whether it did. */
	while (!s->started &&
	       ((!s->failure.text[0] && !s->front_gone) || (s->exec_seen && s->runner >= 0))) {
		tv_supervisor_pump(s, 1000);
		if (s->hurry)
			tv_supervisor_fail(s, -TV_E_INTERRUPTED,
					   "interrupted before the command started");
		if (tv_boottime_ns() > s->deadline)
			tv_supervisor_fail(s, -ETIMEDOUT, "the view was not ready after a minute");
	}
	if (!s->started)
		return;
	/* The command runs already: this costs it nothing. */
	close(tv_steal_fd(&s->figures));
	r = tv_record_change(s->store, s->plan->run_id, s->plan->run_dir, note_start, s, &err);
	if (r == 0)
		r = put_entry(s, "live", &err);
	if (r < 0)
		tv_supervisor_note(s, "the record could not be written: %s", err.text);
}

/* --- the whole ---------------------------------------------------------------------------------- */

static void watch(struct tv_supervisor *s)
{
	bool told = false;
	while (!s->ended && !s->front_gone) {
		tv_supervisor_pump(s, -1);
		if (s->hurry)
			tv_supervisor_fail(s, -TV_E_INTERRUPTED,
					   "the supervisor was asked to end the run");
		if (s->failure.text[0] && !told && s->front >= 0) {
			tv_wire_tell(s->front, "stop", "text", s->failure.text, NULL);
			told = true;
		}
	}
}

void tv_supervisor_abandon(struct tv_supervisor *s)
{
	struct tv_err err = TV_ERR_INIT;
	s->closing = true;
	tv_close_p(&s->runner);
	s->runner = -1;
	tv_namespaces_close(&s->ns);
	if (s->who.daemon.pid)
		tv_process_signal(&s->who.daemon, SIGKILL);
	while (s->daemon_fd >= 0)
		tv_supervisor_pump(s, -1);
	if (!s->store)
		return;
	if (s->registered && s->created) {
		if (s->touched)
			tv_rundir_unmake(s->plan);
		tv_run_forget(s->store, s->plan->run_id, &err);
	} else if (s->registered) {
		tv_supervisor_withdraw(s, &err);
	}
	if (s->leased)
		tv_lease_drop(s->store, s->lease.id, NULL);
	tv_registry_remove(s->store, s->plan->session);
}

static void send_done(struct tv_supervisor *s, bool ran, int status, const struct tv_err *err)
{
	tv_autojson cJSON *doc = cJSON_CreateObject();
	if (s->front < 0 || !doc || !cJSON_AddStringToObject(doc, "what", "done") ||
	    !cJSON_AddBoolToObject(doc, "ran", ran) ||
	    !cJSON_AddNumberToObject(doc, "status", status) ||
	    !cJSON_AddNumberToObject(doc, "code", -err->code) ||
	    !cJSON_AddStringToObject(doc, "text", err->text))
		return;
	tv_wire_send(s->front, tv_steal_ptr(&doc), NULL, 0, NULL);
}

/* A process of its own: its own session, no terminal, and none of the caller's descriptors (a pipe
 * held open here would keep a reader of the command's output waiting). */
static int detach(struct tv_supervisor *s, struct tv_err *err)
{
	sigset_t set;
	setsid();
	prctl(PR_SET_NAME, "tvfs-supervisor");
	signal(SIGXFSZ,
	       SIG_IGN); /* the caller's limit of file sizes is an error here, not the end */
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return tv_err_sys(err, -errno, "cannot open /dev/null");
	int front = fcntl(s->front, F_DUPFD_CLOEXEC, 10);
	int runner = fcntl(s->runner, F_DUPFD_CLOEXEC, 10);
	if (front < 0 || runner < 0)
		return tv_err_sys(err, -errno, "cannot set the supervisor up");
	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	s->front = dup3(front, 3, O_CLOEXEC);
	s->runner = dup3(runner, 4, O_CLOEXEC);
	close_range(5, ~0U, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return 0;
}

void tv_supervise(const struct tv_plan *p, int front, int runner, pid_t front_pid)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_supervisor s = { .plan = p,
				   .front = front,
				   .runner = runner,
				   .daemon = -1,
				   .daemon_fd = -1,
				   .signals = -1,
				   .overlay = -1,
				   .data = -1,
				   .figures = -1,
				   .reserve = -1,
				   .ns = TV_NAMESPACES_NONE,
				   .exec_status = EXIT_OWN };
	int status = -1;
	int r = detach(&s, &err);
	if (r == 0)
		r = tv_process_of(front_pid, &s.who.front, &err);
	if (r == 0)
		r = tv_process_self(&s.who.supervisor, &err);
	if (r < 0)
		tv_supervisor_fail(&s, r, "%s", err.text);
	else
		start(&s);

	if (s.started) {
		watch(&s);
		tv_supervisor_finish(&s, &status, &err);
	} else {
		status = s.exec_status;
		tv_supervisor_abandon(&s);
		err = s.failure;
	}
	send_done(&s, s.started, status, &err);
	tv_store_close(s.store);
	_exit(0);
}
