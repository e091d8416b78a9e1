/*
 * A program as a source: it prints CSV or Parquet, or writes it to the file {output}. It gets the
 * arguments and the variables that the settings name and nothing else, no input, a process group of its
 * own, and a deadline after which the whole group is killed. Keys go into its environment, never into
 * arguments, which every user can read.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ingest/source-priv.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"

#define POLL_MS 100 /* how late a request to stop may be seen */
#define TAIL 8192   /* bytes of stderr that are kept … */
#define SHOWN 300   /* … and that an error shows: a key that is cut in two is not among them */

struct program {
	const struct tv_source *s;
	const struct tv_source_ask *ask;
	pid_t pid;
	int pidfd, out, err;
	int64_t deadline_ns;
	struct tv_buf body;
	char tail[TAIL + 1];
	size_t n_tail;
};

static void wipe_strings_p(char ***strings)
{
	for (char **p = *strings; p && *p; p++)
		tv_secret_free_text(*p);
	free(*strings);
}

#define autostrings __attribute__((cleanup(wipe_strings_p)))

static int expand_all(const struct tv_source *s, char **templates,
		      const struct tv_source_words *words, bool variables, char ***out,
		      struct tv_err *err)
{
	struct tv_source keyless = *s;
	size_t n = 0, made = 0;
	keyless.secrets = NULL;
	while (templates && templates[n])
		n++;
	autostrings char **list = calloc(n + 1, sizeof(*list));
	if (!list)
		return tv_err_nomem(err);
	for (size_t i = 0; i < n; i++) {
		const char *text = templates[i];
		tv_autofree char *passed = NULL;
		if (variables && !strchr(text, '=')) {
			const char *value = getenv(text);
			if (!value)
				continue;
			if (asprintf(&passed, "%s=%s", text, value) < 0)
				return tv_err_nomem(err);
			list[made++] = tv_steal_ptr(&passed);
			continue;
		}
		int r = tv_source_expand(variables ? s : &keyless, text, words, &list[made], err);
		if (r < 0)
			return r;
		made++;
	}
	*out = tv_steal_ptr(&list);
	return 0;
}

/* In the child: only calls that are safe between fork and exec. Comes back when it cannot become it. */
static void become(char **argv, char **env, int out, int errors, pid_t parent)
{
	sigset_t none;
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	sigemptyset(&none);
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	/* tvfs may be killed: then nobody would end it */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || setpgid(0, 0) < 0 ||
	    nothing < 0 || dup2(nothing, 0) < 0 || dup2(out, 1) < 0 || dup2(errors, 2) < 0 ||
	    sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return;
	execvpe(argv[0], argv, env);
}

/* Returns when the program is running, or with why it is not. */
static int spawn(struct program *p, char **argv, char **env, int out, int errors)
{
	tv_autoclose int from = -1, to = -1; /* closed by exec, or tells errno */
	int pair[2], code = 0;
	pid_t parent = getpid();
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	from = pair[0];
	to = pair[1];
	p->pid = fork();
	if (p->pid < 0)
		return -errno;
	if (p->pid == 0) {
		become(argv, env, out, errors, parent);
		code = errno;
		_exit(write(to, &code, sizeof(code)) < 0 ? 126 : 127);
	}
	setpgid(p->pid, p->pid); /* whoever is first */
	close(tv_steal_fd(&to));
	ssize_t n;
	while ((n = read(from, &code, sizeof(code))) < 0 && errno == EINTR)
		;
	if (n != (ssize_t)sizeof(code))
		return 0;
	while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		;
	return code ? -code : -ECHILD;
}

static int begin(struct program *p, char **argv, char **env, struct tv_err *err)
{
	int out[2], errors[2];
	if (!argv[0])
		return tv_err_set(err, -EINVAL, "no program is named");
	if (pipe2(out, O_CLOEXEC) < 0)
		return tv_err_sys(err, -errno, "no pipe");
	p->out = out[0];
	if (pipe2(errors, O_CLOEXEC) < 0) {
		close(out[1]);
		return tv_err_sys(err, -errno, "no pipe");
	}
	p->err = errors[0];
	int r = spawn(p, argv, env, out[1], errors[1]);
	close(out[1]);
	close(errors[1]);
	if (r < 0) {
		p->pid = -1;
		return tv_err_sys(err, r, "cannot start '%s'", argv[0]);
	}
	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (p->pidfd < 0)
		return tv_err_sys(err, -errno, "cannot watch '%s'", argv[0]);
	fcntl(p->out, F_SETFL, O_NONBLOCK);
	fcntl(p->err, F_SETFL, O_NONBLOCK);
	return 0;
}

static void keep_tail(struct program *p, const char *bytes, size_t n)
{
	if (n >= TAIL) {
		memcpy(p->tail, bytes + n - TAIL, TAIL);
		p->n_tail = TAIL;
		return;
	}
	size_t drop = p->n_tail + n > TAIL ? p->n_tail + n - TAIL : 0;
	memmove(p->tail, p->tail + drop, p->n_tail - drop);
	memcpy(p->tail + p->n_tail - drop, bytes, n);
	p->n_tail += n - drop;
}

/* Takes what is there; closes at the end. */
static int drain(struct program *p, int *fd, struct tv_err *err)
{
	char chunk[16384];
	while (*fd >= 0) {
		ssize_t n = read(*fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : tv_err_sys(err, -errno, "reading failed");
		if (n == 0) {
			close(tv_steal_fd(fd));
		} else if (fd == &p->err) {
			keep_tail(p, chunk, (size_t)n);
		} else if (p->body.len + (size_t)n > p->s->output_max) {
			return tv_err_set(err, -EFBIG, "it printed more than %zu bytes",
					  p->s->output_max);
		} else {
			tv_buf_add(&p->body, chunk, (size_t)n);
		}
	}
	return p->body.failed ? tv_err_nomem(err) : 0;
}

/* Until the program has ended, whoever else still holds its pipes. */
static int watch(struct program *p, struct tv_err *err)
{
	const struct tv_source_ask *ask = p->ask;
	for (;;) {
		int64_t left = p->deadline_ns - tv_boottime_ns();
		struct pollfd fds[] = { { p->pidfd, POLLIN, 0 },
					{ p->out, POLLIN, 0 },
					{ p->err, POLLIN, 0 } };
		if (left <= 0 && p->deadline_ns == ask->deadline_ns)
			return tv_err_set(err, -ETIMEDOUT,
					  "the deadline of the whole passed before it ended");
		if (left <= 0)
			return tv_err_set(err, -ETIMEDOUT, "it did not end within %lld s",
					  (long long)(p->s->deadline_ns / 1000000000));
		if (tv_progress_step(ask->progress, "reading", ask->done, ask->total, "symbols"))
			return tv_err_set(err, -TV_E_INTERRUPTED, "fetching was stopped");
		int64_t ms = left / 1000000 + 1;
		if (poll(fds, TV_ARRAY_LEN(fds), ms > POLL_MS ? POLL_MS : (int)ms) < 0 &&
		    errno != EINTR)
			return tv_err_sys(err, -errno, "waiting failed");
		int r = drain(p, &p->out, err);
		r = r ?: drain(p, &p->err, err);
		if (r < 0 || (fds[0].revents & POLLIN))
			return r;
	}
}

/* Nothing of the group survives; then the status. */
static int end(struct program *p)
{
	int status = 0;
	kill(-p->pid, SIGKILL);
	while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static int judge(struct program *p, int status, struct tv_err *err)
{
	p->tail[p->n_tail] = '\0';
	while (p->n_tail && (unsigned char)p->tail[p->n_tail - 1] <= ' ')
		p->tail[--p->n_tail] = '\0';
	tv_secrets_redact(p->s->secrets, p->tail);
	size_t n = strlen(p->tail);
	const char *shown = p->tail + (n > SHOWN ? n - SHOWN : 0);
	const char *says = n ? "; it says: " : "";
	if (WIFSIGNALED(status))
		return tv_err_set(err, -EPROTO, "the program was killed by signal %d%s%s",
				  WTERMSIG(status), says, shown);
	if (WEXITSTATUS(status))
		return tv_err_set(err, -EPROTO, "the program ended with exit code %d%s%s",
				  WEXITSTATUS(status), says, shown);
	return 0;
}

static int run(const struct tv_source *s, const struct tv_source_ask *ask,
	       const struct tv_source_words *words, struct tv_buf *body, struct tv_err *err)
{
	autostrings char **argv = NULL, **env = NULL;
	int r = expand_all(s, s->argv, words, false, &argv, err);
	r = r ?: expand_all(s, s->env, words, true, &env, err);
	if (r < 0)
		return r;
	struct program p = { .s = s, .ask = ask, .pid = -1, .pidfd = -1, .out = -1, .err = -1 };
	p.deadline_ns = tv_boottime_ns() + s->deadline_ns;
	if (ask->deadline_ns && ask->deadline_ns < p.deadline_ns)
		p.deadline_ns = ask->deadline_ns;
	r = begin(&p, argv, env, err);
	r = r ?: watch(&p, err);
	int status = p.pid > 0 ? end(&p) : 0;
	r = r ?: judge(&p, status, err);
	tv_close_p(&p.pidfd);
	tv_close_p(&p.out);
	tv_close_p(&p.err);
	if (r == 0)
		*body = p.body;
	else
		tv_buf_free(&p.body);
	return r;
}

static int run_to_file(const struct tv_source *s, const struct tv_source_ask *ask,
		       const struct tv_source_words *asked, struct tv_buf *body, struct tv_err *err)
{
	struct tv_source_words words = *asked;
	const char *folder = getenv("TMPDIR");
	tv_autofree char *path = NULL;
	tv_autobuf struct tv_buf printed = TV_BUF_INIT;
	if (asprintf(&path, "%s/tvfs-source-XXXXXX", folder && *folder ? folder : "/tmp") < 0) {
		path = NULL;
		return tv_err_nomem(err);
	}
	tv_autoclose int made = mkostemp(path, O_CLOEXEC);
	if (made < 0)
		return tv_err_sys(err, -errno, "cannot make '%s'", path);
	words.output = path;
	int r = run(s, ask, &words, &printed, err);
	/* by its name: the program may have put another file there */
	tv_autoclose int fd = r < 0 ? -1 : open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (r == 0)
		r = fd < 0 ? tv_err_sys(err, -errno, "cannot open what it wrote")
			   : tv_io_read_to_end(fd, s->output_max, body, err);
	unlink(path);
	return r;
}

/* Text cannot begin so: "PAR1" is how every Parquet file does (parquet-format, README). */
static bool is_parquet(const struct tv_buf *body)
{
	return body->len >= 4 && memcmp(body->data, "PAR1", 4) == 0;
}

int tv_read_exec(const struct tv_source *s, const struct tv_source_ask *ask, const char *own,
		 struct tv_source_body *out, struct tv_err *err)
{
	const struct tv_source_words words = {
		.symbol = own, .plain = ask->symbol, .from = ask->from, .to = ask->to
	};
	snprintf(out->name, sizeof(out->name), "what the program %s",
		 s->to_file ? "wrote" : "printed");
	int r = s->to_file ? run_to_file(s, ask, &words, &out->bytes, err)
			   : run(s, ask, &words, &out->bytes, err);
	out->parquet = r == 0 && is_parquet(&out->bytes);
	return r;
}
