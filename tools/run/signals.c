#include "tools/run/signals.h"

#include <fcntl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/base/cleanup.h"

static const int passed[] = { SIGTERM, SIGINT,	SIGHUP,	 SIGQUIT,  SIGUSR1, SIGUSR2,
			      SIGALRM, SIGTSTP, SIGCONT, SIGWINCH, SIGCHLD };

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

/* Whether the child has stopped, and somebody at a terminal waits for this process to tell. */
static bool stopped_at_terminal(pid_t child)
{
	siginfo_t info = { .si_pid = 0 };
	if (waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOHANG) < 0 || info.si_pid != child)
		return false;
	tv_autoclose int terminal = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
	return terminal >= 0;
}

bool tv_signals_pass(struct tv_signals *s, pid_t child)
{
	struct signalfd_siginfo info;
	if (read(s->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return false;
	int number = (int)info.ssi_signo;
	if (number == SIGCHLD) {
		/* A command that stops itself (a shell's "suspend") stops us, so that our shell goes on; it
		 * continues us, and only us. */
		if (child && stopped_at_terminal(child)) {
			stop_self();
			kill(child, SIGCONT);
		}
		return false;
	}
	/* SI_KERNEL is the terminal's: sent to the whole process group, the command too. */
	bool sent =
		info.ssi_code == SI_USER || info.ssi_code == SI_TKILL || info.ssi_code == SI_QUEUE;
	if (child && sent && (pid_t)info.ssi_pid != child)
		kill(child, number);
	if (number == SIGTSTP) {
		stop_self();
		/* Else its stop might be seen as a new one. */
		if (child)
			kill(child, SIGCONT);
	}
	return number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGQUIT;
}
