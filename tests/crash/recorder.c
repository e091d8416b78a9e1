/*
 * Runs a command and stops it, and every process that it starts, in front of each system call that
 * writes: to list the calls, to kill the process in front of one, to make one fail, or to record all
 * of them for replayer.c. ptrace with a seccomp filter sees what a preloaded library would not: raw
 * system calls, calls inside libc, static programs.
 *
 * usage: recorder [--log FILE --root DIR] [--list FILE] [--opens] [--skip TARGET] [--kill P:N]
 *                 [--fail P:N:ERRNO] [--also PROGRAM] [--no-syncs] [--limit SECONDS] -- COMMAND...
 *
 * Processes are numbered from 0 in the order in which they start; calls from 1 in each process.
 * Only processes that run the command's own program, or the one that --also names, count: not what they start in
 * turn; with --opens every open counts and nothing else; with --skip, calls on a descriptor of TARGET do not. With
 * --no-syncs every sync returns 0 without being made, and O_DSYNC is nothing. The exit
 * status is the command's; 128 + N after a signal, 124 when the limit was reached (all that is left
 * is killed then), 125 for an error of the recorder. It ends when all processes have ended.
 */
#include <errno.h>
#include <getopt.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recorder.h"
#include "tracee.h"

#ifndef __x86_64__
#error "the recorder knows x86-64 only"
#endif

enum { PROCESS_MAX = 4096 };

struct process {
	pid_t tgid;
	int index;
	bool counts; /* runs the command's program */
	bool gone;
	unsigned calls;
};

struct thread {
	pid_t tid;
	struct process *process;
	struct call call; /* under way, when `pending` */
	bool pending;
};

struct recorder {
	struct process processes[PROCESS_MAX];
	int n_processes;
	struct thread *threads;
	size_t n_threads, room;
	char program[4096]; /* the command's executable */
	const char *also;   /* another one that counts, or NULL */
	pid_t first;
	int status; /* the command's, once it has ended; else -1 */
	bool recording, opens, no_syncs;
	FILE *list;
	const char *skip;
	int act_process;
	unsigned act_call;
	int act_errno; /* 0: kill */
	bool acts;
};

static volatile sig_atomic_t timed_out;

static void on_alarm(int sig)
{
	(void)sig;
	timed_out = 1;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "recorder: %s: %s\n", what, strerror(errno));
	exit(125);
}

/* --- the command -------------------------------------------------------------------------------- */

static void install_filter(void)
{
	const struct call_info *infos;
	size_t n = call_infos(&infos), at = 0;
	struct sock_filter code[256];
	struct sock_fprog program;

	code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						  offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < n; i++)
		code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							  (unsigned)infos[i].nr,
							  (unsigned char)(n - i), 0);
	code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	program = (struct sock_fprog){ (unsigned short)at, code };
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0)
		return;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		die("seccomp");
}

static pid_t start(char **argv)
{
	int gate[2];
	pid_t pid;
	char byte;

	if (pipe(gate))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		close(gate[1]);
		if (read(gate[0], &byte, 1) != 1)
			_exit(125);
		close(gate[0]);
		install_filter();
		execvp(argv[0], argv);
		fprintf(stderr, "recorder: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(gate[0]);
	if (ptrace(PTRACE_SEIZE, pid, 0,
		   PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP |
			   PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
			   PTRACE_O_TRACEEXEC))
		die("ptrace");
	if (write(gate[1], "", 1) != 1)
		die("write");
	close(gate[1]);
	return pid;
}

/* --- who is who --------------------------------------------------------------------------------- */

static struct process *process_of(struct recorder *r, pid_t tgid, const struct process *parent)
{
	struct process *p;

	for (int i = r->n_processes - 1; i >= 0; i--)
		if (r->processes[i].tgid == tgid && !r->processes[i].gone)
			return &r->processes[i];
	if (r->n_processes == PROCESS_MAX) {
		errno = ENOBUFS;
		die("processes");
	}
	p = &r->processes[r->n_processes];
	*p = (struct process){ .tgid = tgid,
			       .index = r->n_processes++,
			       .counts = parent && parent->counts };
	return p;
}

static struct thread *thread_of(struct recorder *r, pid_t tid, const struct process *parent)
{
	pid_t tgid;

	for (size_t i = 0; i < r->n_threads; i++)
		if (r->threads[i].tid == tid)
			return &r->threads[i];
	if (r->n_threads == r->room) {
		r->room = r->room ? 2 * r->room : 16;
		r->threads = realloc(r->threads, r->room * sizeof(*r->threads));
		if (!r->threads)
			die("memory");
	}
	tgid = tracee_tgid(tid);
	r->threads[r->n_threads] =
		(struct thread){ .tid = tid,
				 .process = process_of(r, tgid > 0 ? tgid : tid, parent) };
	return &r->threads[r->n_threads++];
}

static void drop_thread(struct recorder *r, pid_t tid)
{
	for (size_t i = 0; i < r->n_threads; i++) {
		if (r->threads[i].tid != tid)
			continue;
		if (r->threads[i].process->tgid == tid)
			r->threads[i].process->gone = true;
		r->threads[i] = r->threads[--r->n_threads];
		return;
	}
}

static void on_exec(struct recorder *r, struct thread *t)
{
	char link[64], exe[4096];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)t->tid);
	n = readlink(link, exe, sizeof(exe) - 1);
	exe[n < 0 ? 0 : n] = '\0';
	if (!r->program[0])
		memcpy(r->program, exe, sizeof(exe));
	t->process->counts = strcmp(exe, r->program) == 0 || (r->also && strcmp(exe, r->also) == 0);
}

/* --- one call ----------------------------------------------------------------------------------- */

/* Skips the call: it returns -error without having been made. */
static void fail_call(pid_t tid, int error)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, tid, 0, &regs))
		return;
	regs.orig_rax = (unsigned long long)-1;
	regs.rax = (unsigned long long)-(long long)error;
	ptrace(PTRACE_SETREGS, tid, 0, &regs);
}

static bool is_sync(const struct call *c)
{
	return c->info->kind == CALL_FSYNC || c->info->kind == CALL_FDATASYNC ||
	       c->info->kind == CALL_SYNCFS || c->info->kind == CALL_SYNC;
}

/* Counts the call and does what was asked for. True when the call is not to be made. */
static bool act(struct recorder *r, struct thread *t)
{
	struct process *p = t->process;
	char what[512];

	if (r->skip || r->list)
		call_describe(&t->call, what, sizeof(what));
	if (r->skip && strcmp(what, r->skip) == 0)
		return false;
	p->calls++;
	if (r->list) {
		fprintf(r->list, "%d\t%u\t%s\t%s\n", p->index, p->calls, t->call.info->name, what);
		fflush(r->list);
	}
	if (!r->acts || p->index != r->act_process || p->calls != r->act_call)
		return false;
	if (r->act_errno)
		fail_call(t->tid, r->act_errno);
	else
		kill(p->tgid, SIGKILL);
	return true;
}

/* In front of a system call. Returns how to go on. */
static int on_call(struct recorder *r, struct thread *t)
{
	struct __ptrace_syscall_info info;
	struct call *c = &t->call;
	bool counted;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof(info), &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_SECCOMP || !t->process->counts)
		return PTRACE_CONT;
	*c = (struct call){ .tid = t->tid, .process = t->process->index };
	c->info = call_info_of((long)info.seccomp.nr);
	if (!c->info)
		return PTRACE_CONT;
	for (int i = 0; i < 6; i++)
		c->args[i] = info.seccomp.args[i];
	if (c->info->kind == CALL_NEVER) {
		fprintf(stderr, "recorder: %s is not understood\n", c->info->name);
		exit(125);
	}
	if (r->no_syncs && is_sync(c)) {
		fail_call(t->tid, 0);
		return PTRACE_CONT;
	}
	counted = r->opens ? c->info->kind == CALL_OPEN : call_writes(c);
	if (counted && act(r, t))
		return PTRACE_CONT;
	if (!r->recording || !(call_writes(c) || c->info->kind == CALL_MMAP))
		return PTRACE_CONT;
	record_enter(c);
	t->pending = true;
	return PTRACE_SYSCALL;
}

static void on_return(struct thread *t)
{
	struct __ptrace_syscall_info info;

	if (!t->pending)
		return;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof(info), &info) <= 0)
		return;
	if (info.op != PTRACE_SYSCALL_INFO_EXIT)
		return;
	t->pending = false;
	record_exit(&t->call, info.exit.rval);
}

/* --- the loop ----------------------------------------------------------------------------------- */

static void on_stop(struct recorder *r, pid_t tid, int status)
{
	struct thread *t = thread_of(r, tid, NULL);
	int sig = WSTOPSIG(status), event = status >> 16, how = PTRACE_CONT;
	unsigned long message;

	switch (event) {
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
	case PTRACE_EVENT_CLONE:
		if (ptrace(PTRACE_GETEVENTMSG, tid, 0, &message) == 0) {
			struct process *parent = t->process;
			bool counts = parent->counts;

			/* it may have stopped before it was announced */
			thread_of(r, (pid_t)message, parent)->process->counts = counts;
		}
		sig = 0;
		break;
	case PTRACE_EVENT_EXEC:
		on_exec(r, t);
		sig = 0;
		break;
	case PTRACE_EVENT_SECCOMP:
		how = on_call(r, t);
		sig = 0;
		break;
	case PTRACE_EVENT_STOP:
		if (sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU)
			how = PTRACE_LISTEN;
		sig = 0;
		break;
	default:
		if (sig == (SIGTRAP | 0x80)) {
			on_return(t);
			sig = 0;
		}
	}
	/* a call under way ends with a stop of its own, also when a signal came first */
	if (t->pending && how == PTRACE_CONT)
		how = PTRACE_SYSCALL;
	ptrace(how, tid, 0, sig);
}

static void kill_all(struct recorder *r)
{
	for (int i = 0; i < r->n_processes; i++)
		if (!r->processes[i].gone)
			kill(r->processes[i].tgid, SIGKILL);
}

static void loop(struct recorder *r)
{
	for (;;) {
		int status;
		pid_t tid = waitpid(-1, &status, __WALL);

		if (tid < 0 && errno == ECHILD)
			return;
		if (tid < 0 && errno == EINTR && timed_out) {
			kill_all(r);
			r->status = 124;
			timed_out = 0;
			alarm(1);
			continue;
		}
		if (tid < 0)
			continue;
		if (WIFSTOPPED(status)) {
			on_stop(r, tid, status);
			continue;
		}
		drop_thread(r, tid);
		if (tid == r->first && r->status < 0) {
			r->status =
				WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			if (r->recording)
				record_end(r->status);
		}
	}
}

static void parse_act(struct recorder *r, const char *text, bool fails)
{
	int n = sscanf(text, "%d:%u:%d", &r->act_process, &r->act_call, &r->act_errno);

	if (n != (fails ? 3 : 2)) {
		errno = EINVAL;
		die(text);
	}
	r->acts = true;
}

static void parse(struct recorder *r, int argc, char **argv)
{
	static const struct option options[] = {
		{ "log", 1, NULL, 'l' },   { "root", 1, NULL, 'r' },  { "list", 1, NULL, 't' },
		{ "opens", 0, NULL, 'o' }, { "kill", 1, NULL, 'k' },  { "fail", 1, NULL, 'f' },
		{ "skip", 1, NULL, 'i' },  { "limit", 1, NULL, 's' }, { "no-syncs", 0, NULL, 'n' },
		{ "also", 1, NULL, 'a' },  { NULL, 0, NULL, 0 },
	};
	const char *log = NULL, *root = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (c == 'l')
			log = optarg;
		else if (c == 'r')
			root = optarg;
		else if (c == 't' && !(r->list = fopen(optarg, "we")))
			die(optarg);
		else if (c == 'o')
			r->opens = true;
		else if (c == 'n')
			r->no_syncs = true;
		else if (c == 'i')
			r->skip = optarg;
		else if (c == 'a')
			r->also = optarg;
		else if (c == 'k' || c == 'f')
			parse_act(r, optarg, c == 'f');
		else if (c == 's')
			alarm((unsigned)strtoul(optarg, NULL, 10));
		else if (c == '?')
			exit(125);
	}
	if (optind == argc || !log != !root) {
		errno = EINVAL;
		die("usage");
	}
	r->recording = log != NULL;
	if (log && record_start(log, root, !r->no_syncs))
		die(log);
}

int main(int argc, char **argv)
{
	static struct recorder r = { .status = -1 };
	struct sigaction alarmed = { .sa_handler = on_alarm };

	sigaction(SIGALRM, &alarmed, NULL);
	parse(&r, argc, argv);
	r.first = start(argv + optind);
	thread_of(&r, r.first, NULL);
	loop(&r);
	if (r.recording && record_close())
		die("log");
	return r.status;
}
