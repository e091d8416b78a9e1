#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/flow.h"

struct waiting {
	sigset_t before, wanted;
	pid_t flow, child;
	bool interrupted;
};

/* After fork, so nothing but calls of the kernel. A step without its flow would go on with a draft that
 * another flow may have taken over. */
__attribute__((noreturn)) static void become(const struct waiting *w, const char *const *words,
					     int out, int held)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != w->flow)
		_exit(1);
	if ((out >= 0 && dup2(out, STDOUT_FILENO) < 0) ||
	    (held >= 0 && fcntl(held, F_SETFD, 0) < 0))
		_exit(1);
	sigprocmask(SIG_SETMASK, &w->before, NULL);
	signal(SIGPIPE, SIG_DFL);
	execv("/proc/self/exe", (char *const *)words);
	_exit(127);
}

/* A terminal signals the whole group: the child has it already. */
static void pass_on(struct waiting *w, const siginfo_t *info)
{
	w->interrupted = true;
	if (info->si_code != SI_KERNEL)
		kill(w->child, info->si_signo);
}

static int wait_for(struct waiting *w, int *status)
{
	siginfo_t info;
	for (;;) {
		pid_t pid = waitpid(w->child, status, WNOHANG);
		if (pid == w->child)
			return 0;
		if (pid < 0 && errno != EINTR)
			return -errno;
		if (sigwaitinfo(&w->wanted, &info) > 0 && info.si_signo != SIGCHLD)
			pass_on(w, &info);
	}
}

/* What was ignored when this program was started is not waited for. */
static void want(sigset_t *set, int number)
{
	struct sigaction now;
	if (sigaction(number, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
		sigaddset(set, number);
}

int tv_flow_child(const char *const *words, int out, int held, int *status, struct tv_err *err)
{
	struct waiting w = { .flow = getpid() };
	int wait_status = 0;
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&w.wanted);
	sigaddset(&w.wanted, SIGCHLD);
	want(&w.wanted, SIGINT);
	want(&w.wanted, SIGTERM);
	want(&w.wanted, SIGHUP);
	fflush(stdout);
	sigprocmask(SIG_BLOCK, &w.wanted, &w.before);
	w.child = fork();
	if (w.child == 0)
		become(&w, words, out, held);
	int r = w.child < 0 ? -errno : wait_for(&w, &wait_status);
	sigprocmask(SIG_SETMASK, &w.before, NULL);
	if (r < 0)
		return tv_err_sys(err, r, "cannot start 'tvfs %s'", words[1]);
	*status = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
	if (!w.interrupted && *status != 130)
		return 0;
	return tv_err_set(err, -TV_E_INTERRUPTED, "interrupted in 'tvfs %s'", words[1]);
}
