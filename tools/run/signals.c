#include "tools/run/signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include "store/base/cleanup.h"

static const int passed[] = { SIGTERM, SIGINT,	SIGHUP,	 SIGQUIT, SIGUSR1,
			      SIGUSR2, SIGALRM, SIGTSTP, SIGCONT, SIGWINCH };

int tv_signals_open(struct tv_signals *s, struct tv_err *err)
{
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < TV_ARRAY_LEN(passed); i++)
		sigaddset(&set, passed[i]);
	signal(SIGCHLD, SIG_DFL);
	s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->fd < 0 || sigprocmask(SIG_BLOCK, &set, &s->mask) < 0)
		return tv_err_sys(err, -errno, "cannot handle signals");
	return 0;
}

void tv_signals_close(struct tv_signals *s)
{
	if (s->fd < 0)
		return;
	sigprocmask(SIG_SETMASK, &s->mask, NULL);
	close(tv_steal_fd(&s->fd));
}

/* Stops this process the way the signal would have: the kernel knows when that must not be (an
 * orphaned process group has nobody who could continue it). */
static void stop_self(void)
{
	sigset_t tstp;
	sigemptyset(&tstp);
	sigaddset(&tstp, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &tstp, NULL);
	sigprocmask(SIG_BLOCK, &tstp, NULL);
}

bool tv_signals_pass(struct tv_signals *s, pid_t child)
{
	struct signalfd_siginfo info;
	if (read(s->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return false;
	int number = (int)info.ssi_signo;
	/* SI_KERNEL is the terminal's: sent to the whole process group, the command too. */
	bool sent =
		info.ssi_code == SI_USER || info.ssi_code == SI_TKILL || info.ssi_code == SI_QUEUE;
	if (child && sent && (pid_t)info.ssi_pid != child)
		kill(child, number);
	if (number == SIGTSTP)
		stop_self();
	return number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGQUIT;
}
