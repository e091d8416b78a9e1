#include "tools/run/front.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "tools/run/processes.h"
#include "tools/run/runner.h"
#include "tools/run/signals.h"
#include "tools/run/supervisor.h"
#include "tools/run/wire.h"

#define EXIT_OWN 125
#define STOP_GRACE_NS ((int64_t)3 * 1000000000)

struct waiting {
	const struct tv_front *f;
	struct tv_outcome *out;
	struct tv_signals signals;
	int sock;	 /* run: to the supervisor; join: to the child until it executes */
	int supervisor;	 /* join: pidfd of the run's supervisor; run: -1 */
	pid_t child;	 /* 0 when it has ended */
	int child_fd;	 /* pidfd */
	int64_t kill_at; /* boot time at which the child is killed; 0: never */
	bool joining, done;
};

static void fail(struct waiting *w, int code, const char *text)
{
	w->out->status = EXIT_OWN;
	if (!w->out->err.text[0])
		tv_err_set(&w->out->err, code, "%s", text);
}

/* SIGTERM now, SIGKILL when that does not help. */
static void stop_child(struct waiting *w)
{
	if (w->child && !w->kill_at) {
		kill(w->child, SIGTERM);
		kill(w->child, SIGCONT);
		w->kill_at = tv_boottime_ns() + STOP_GRACE_NS;
	}
}

static void take_done(struct waiting *w, const struct tv_wire_message *m)
{
	int status = (int)tv_wire_number(m, "status");
	w->done = true;
	if (w->out->status < 0)
		w->out->status = status;
	if (*tv_wire_text(m, "text") && !w->out->err.text[0])
		tv_wire_error(m, &w->out->err);
	w->out->ran = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(m->doc, "ran"));
	stop_child(w);
}

/* The supervisor ends only after "done". */
static void supervisor_died(struct waiting *w)
{
	close(tv_steal_fd(&w->sock));
	if (w->done)
		return;
	w->done = true;
	if (w->child)
		kill(w->child, SIGKILL);
	fail(w, -EIO,
	     "the run's supervisor died; the command was killed, the run's writes are kept; 'tvfs "
	     "prune' cleans up");
}

static void hear_supervisor(struct waiting *w)
{
	tv_autowire struct tv_wire_message m = TV_WIRE_INIT;
	if (tv_wire_receive(w->sock, &m, NULL) <= 0) {
		supervisor_died(w);
	} else if (tv_wire_is(&m, "registered")) {
		w->f->registered(w->f->arg);
	} else if (tv_wire_is(&m, "note")) {
		w->f->note(w->f->arg, tv_wire_text(&m, "text"));
	} else if (tv_wire_is(&m, "stop")) {
		fail(w, -EIO, tv_wire_text(&m, "text"));
		stop_child(w);
	} else if (tv_wire_is(&m, "done")) {
		take_done(w, &m);
	}
}

/* Joining: the child says what went wrong, or that it executes, and then nothing more. */
static void hear_child(struct waiting *w)
{
	tv_autowire struct tv_wire_message m = TV_WIRE_INIT;
	int r = tv_wire_receive(w->sock, &m, NULL);
	if (r <= 0) {
		close(tv_steal_fd(&w->sock));
	} else if (tv_wire_is(&m, "exec")) {
		w->out->ran = true;
	} else if (tv_wire_is(&m, "error")) {
		tv_wire_error(&m, &w->out->err);
		w->out->status = !w->out->ran ? EXIT_OWN : w->out->err.code == -ENOENT ? 127 : 126;
		w->out->ran = false;
	}
}

static void child_ended(struct waiting *w)
{
	int status = 0;
	while (waitpid(w->child, &status, 0) < 0 && errno == EINTR)
		;
	w->child = 0;
	w->kill_at = 0;
	close(tv_steal_fd(&w->child_fd));
	w->out->wait_status = status;
	if (w->joining) {
		w->done = true;
		return;
	}
	tv_autowire struct tv_wire_message m = { .doc = cJSON_CreateObject() };
	cJSON_AddStringToObject(m.doc, "what", "ended");
	cJSON_AddNumberToObject(m.doc, "status", status);
	if (w->sock >= 0)
		tv_wire_send(w->sock, tv_steal_ptr(&m.doc), NULL, 0, NULL);
}

static int wait_ms(const struct waiting *w)
{
	if (!w->kill_at)
		return -1;
	int64_t left = (w->kill_at - tv_boottime_ns()) / 1000000;
	return left > 0 ? (int)left + 1 : 0;
}

static void wait_once(struct waiting *w)
{
	struct pollfd fds[] = { { .fd = w->signals.fd, .events = POLLIN },
				{ .fd = w->sock, .events = POLLIN },
				{ .fd = w->child_fd, .events = POLLIN },
				{ .fd = w->supervisor, .events = POLLIN } };
	if (poll(fds, TV_ARRAY_LEN(fds), wait_ms(w)) < 0)
		return;
	if (w->kill_at && tv_boottime_ns() >= w->kill_at) {
		w->kill_at = 0;
		kill(w->child, SIGKILL);
	}
	if (fds[0].revents && tv_signals_pass(&w->signals, w->child) && !w->child && w->sock >= 0)
		tv_wire_tell(w->sock, "hurry", NULL, NULL, NULL);
	if (fds[1].revents && w->joining)
		hear_child(w);
	else if (fds[1].revents)
		hear_supervisor(w);
	if (fds[2].revents)
		child_ended(w);
	if (fds[3].revents) {
		close(tv_steal_fd(&w->supervisor));
		fail(w, -EIO, "the run's supervisor died; the command was killed");
		if (w->child)
			kill(w->child, SIGKILL);
	}
}

static void wait_all(struct waiting *w)
{
	while (!w->done || w->child)
		wait_once(w);
	if (w->joining && w->sock >= 0)
		while (w->sock >= 0)
			hear_child(w);
}

/* The parent's part after the fork of the child; -errno when it cannot be watched. */
static int watch_child(struct waiting *w, pid_t child, struct tv_err *err)
{
	w->child_fd = pidfd_open(child, 0);
	if (w->child_fd >= 0) {
		w->child = child;
		return 0;
	}
	int r = tv_err_sys(err, -errno, "cannot watch the command");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return r;
}

/* The descriptors of `to_supervisor` and `to_runner`: [0] stays with the front process or goes to
 * the runner, [1] is the supervisor's. */
static int fork_all(struct waiting *w, int to_supervisor[2], int to_runner[2], pid_t *supervisor,
		    struct tv_err *err)
{
	pid_t self = getpid();
	*supervisor = fork();
	if (*supervisor == 0)
		tv_supervise(w->f->plan, to_supervisor[1], to_runner[1], self);
	close(tv_steal_fd(&to_supervisor[1]));
	close(tv_steal_fd(&to_runner[1]));
	if (*supervisor < 0)
		return tv_err_sys(err, -errno, "cannot start the supervisor");
	pid_t child = fork();
	if (child == 0) {
		/* Held open, it would keep the supervisor from seeing the front process' end. */
		close(to_supervisor[0]);
		tv_runner_start(&(struct tv_runner){ .plan = w->f->plan,
						     .sock = to_runner[0],
						     .mask = w->signals.mask,
						     .front = self });
	}
	close(tv_steal_fd(&to_runner[0]));
	if (child < 0)
		return tv_err_sys(err, -errno, "cannot start a process for the command");
	w->sock = tv_steal_fd(&to_supervisor[0]);
	return watch_child(w, child, err);
}

static void close_pair(int pair[2])
{
	tv_close_p(&pair[0]);
	tv_close_p(&pair[1]);
}

void tv_front_run(const struct tv_front *f, struct tv_outcome *out)
{
	int to_supervisor[2] = { -1, -1 }, to_runner[2] = { -1, -1 };
	pid_t supervisor = -1;
	struct waiting w = { .f = f,
			     .out = out,
			     .signals = { .fd = -1 },
			     .sock = -1,
			     .supervisor = -1,
			     .child_fd = -1 };
	*out = (struct tv_outcome){ .status = -1 };

	int r = tv_signals_open(&w.signals, &out->err);
	if (r == 0)
		r = tv_wire_pair(to_supervisor, &out->err);
	if (r == 0)
		r = tv_wire_pair(to_runner, &out->err);
	if (r == 0)
		r = fork_all(&w, to_supervisor, to_runner, &supervisor, &out->err);
	if (r == 0)
		wait_all(&w);
	else
		out->status = EXIT_OWN;
	close_pair(to_supervisor);
	close_pair(to_runner);
	tv_close_p(&w.sock);
	tv_close_p(&w.child_fd);
	if (supervisor > 0)
		waitpid(supervisor, NULL, 0);
	tv_signals_close(&w.signals);
}

static int open_target(const struct tv_process *p, int number, int *fd, struct tv_err *err)
{
	char path[64];
	if (number < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)p->pid, number);
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	return *fd < 0 ? tv_err_sys(err, -errno, "cannot reach the run's namespaces") : 0;
}

static int join_target(struct waiting *w, const struct tv_front_target *target, int pair[2],
		       struct tv_err *err)
{
	tv_auto(tv_namespaces_close) struct tv_namespaces n = TV_NAMESPACES_NONE;
	w->supervisor = tv_process_open(&target->supervisor);
	if (w->supervisor < 0)
		return tv_err_sys(err, w->supervisor, "the run's supervisor is gone");
	int r = open_target(&target->supervisor, target->user_fd, &n.user, err);
	if (r == 0)
		r = open_target(&target->supervisor, target->mount_fd, &n.mount, err);
	if (r == 0)
		r = open_target(&target->supervisor, target->net_fd, &n.net, err);
	if (r < 0)
		return r;
	pid_t self = getpid(), child = fork();
	if (child == 0)
		tv_runner_start(&(struct tv_runner){ .plan = w->f->plan,
						     .sock = pair[1],
						     .mask = w->signals.mask,
						     .front = self,
						     .join = &n });
	close(tv_steal_fd(&pair[1]));
	if (child < 0)
		return tv_err_sys(err, -errno, "cannot start a process for the command");
	w->sock = tv_steal_fd(&pair[0]);
	return watch_child(w, child, err);
}

void tv_front_join(const struct tv_front *f, const struct tv_front_target *target,
		   struct tv_outcome *out)
{
	int pair[2] = { -1, -1 };
	struct waiting w = { .f = f,
			     .out = out,
			     .signals = { .fd = -1 },
			     .sock = -1,
			     .supervisor = -1,
			     .child_fd = -1,
			     .joining = true };
	*out = (struct tv_outcome){ .status = -1 };

	int r = tv_signals_open(&w.signals, &out->err);
	if (r == 0)
		r = tv_wire_pair(pair, &out->err);
	if (r == 0)
		r = join_target(&w, target, pair, &out->err);
	if (r == 0)
		wait_all(&w);
	else
		out->status = EXIT_OWN;
	close_pair(pair);
	tv_close_p(&w.sock);
	tv_close_p(&w.child_fd);
	tv_close_p(&w.supervisor);
	tv_signals_close(&w.signals);
}

int tv_front_exit_status(int wait_status)
{
	if (!WIFSIGNALED(wait_status))
		return WEXITSTATUS(wait_status);
	int number = WTERMSIG(wait_status);
	sigset_t set;
	prctl(PR_SET_DUMPABLE, 0);
	signal(number, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(number);
	return 128 + number;
}
