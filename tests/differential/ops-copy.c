/* Bytes from file to file within the kernel; several processes that append at once. */
#include "differential.h"

#include <string.h>
#include <sys/sendfile.h>
#include <sys/wait.h>

/* From and to; false (and the call is idle) where the outcome cannot be compared: frozen bytes are not those
 * of the plain file, offsets and direct files must be aligned, and fifos' times stand still. */
static bool two_slots(struct worker *w, const struct call *c, struct slot **from, struct slot **to)
{
	bool good = true;
	*from = &w->slots[c->slot[0]];
	*to = &w->slots[c->slot[1]];
	for (int i = 0; i < 2; i++) {
		const struct slot *s = i ? *to : *from;
		good = good && s->open && s->frozen.reads == LIVE && s->type != S_IFIFO &&
		       !(fcntl(s->fd[A], F_GETFL) & O_DIRECT);
	}
	if (!good)
		idle(w);
	return good;
}

static void choose_copy(struct chooser *ch, struct call *c)
{
	c->slot[0] = any_slot(ch);
	c->slot[1] = any_slot(ch);
	c->n[0] = any_offset(ch);
	c->n[1] = any_offset(ch);
	c->n[2] = any_length(ch);
}

static void run_copy_range(struct worker *w, const struct call *c)
{
	struct slot *from, *to;
	if (!two_slots(w, c, &from, &to))
		return;
	BOTH(w, "copy_file_range", (__extension__({
		     off_t in = c->n[0], out = c->n[1];
		     copy_file_range(from->fd[side], &in, to->fd[side], &out, (size_t)c->n[2], 0);
	     })));
	compare_fstat(w, to);
}

static void choose_sendfile(struct chooser *ch, struct call *c)
{
	choose_copy(ch, c);
	c->n[1] = c->n[2];
}

static void run_sendfile(struct worker *w, const struct call *c)
{
	struct slot *from, *to;
	if (!two_slots(w, c, &from, &to))
		return;
	if (from->type != S_IFREG || to->type != S_IFREG) {
		idle(w);
		return;
	}
	BOTH(w, "sendfile", (__extension__({
		     off_t in = c->n[0];
		     sendfile(to->fd[side], from->fd[side], &in, (size_t)c->n[1]);
	     })));
	compare_fstat(w, to);
}

/* From a file into a pipe and from there into a file; what one call does not take stays in the pipe and is
 * dropped with it. */
static long through_pipe(int from, off_t in, int to, off_t out, size_t n)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	long r = splice(from, &in, ends[1], NULL, n, 0);
	if (r > 0)
		r = splice(ends[0], NULL, to, &out, (size_t)r, 0);
	int code = errno;
	close(ends[0]);
	close(ends[1]);
	errno = code;
	return r;
}

static void run_splice(struct worker *w, const struct call *c)
{
	struct slot *from, *to;
	size_t n = (size_t)c->n[2] < 16 * BLOCK ? (size_t)c->n[2] : 16 * BLOCK;

	if (!two_slots(w, c, &from, &to))
		return;
	if (from->type != S_IFREG || to->type != S_IFREG) {
		idle(w);
		return;
	}
	BOTH(w, "splice", through_pipe(from->fd[side], c->n[0], to->fd[side], c->n[1], n));
	compare_fstat(w, to);
}

/* --- appending at once --------------------------------------------------------------------- */

#define WRITERS 3
#define RECORDS 20
#define RECORD 32

static void write_records(int dirfd, const char *path, int writer)
{
	char record[RECORD + 1];
	int fd = openat(dirfd, path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK);
	ssize_t done = fd < 0 ? -1 : RECORD;
	for (int i = 0; i < RECORDS && done == RECORD; i++) {
		snprintf(record, sizeof(record), "%d %-29d\n", writer, i);
		done = write(fd, record, RECORD);
	}
	if (done != RECORD)
		dprintf(STDOUT_FILENO, "append at once: writer %d: %s\n", writer,
			done < 0 ? strerrorname_np(errno) : "a part of a record was written");
	_exit(done != RECORD);
}

/* Each writer's records must be there, whole and in their order. */
static bool records_right(const char *bytes)
{
	int next[WRITERS] = { 0 };
	char want[RECORD + 1];

	for (int i = 0; i < WRITERS * RECORDS; i++, bytes += RECORD) {
		int writer = *bytes - '0';
		if (writer < 0 || writer >= WRITERS)
			return false;
		snprintf(want, sizeof(want), "%d %-29d\n", writer, next[writer]++);
		if (memcmp(bytes, want, RECORD) != 0)
			return false;
	}
	return true;
}

/* All writers at once on one side, then the file gets its old length back: their order is free. */
static void append_race(struct worker *w, int side, const char *path, int fd)
{
	pid_t pids[WRITERS];
	struct stat before, after;

	fstat(fd, &before);
	fflush(NULL);
	for (int i = 0; i < WRITERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			write_records(w->base[side], path, i);
	}
	for (int i = 0; i < WRITERS; i++)
		waitpid(pids[i], NULL, 0); /* ECHILD once it ended: SIGCHLD is ignored */
	ssize_t n = pread(fd, w->buffer[side], BUFFER, before.st_size);
	if (n < 0 || fstat(fd, &after) < 0)
		differ(w, "append race", "%s: what was appended at once cannot be read: %s", path,
		       strerrorname_np(errno));
	if (after.st_size - before.st_size != WRITERS * RECORDS * RECORD ||
	    n != WRITERS * RECORDS * RECORD || !records_right(w->buffer[side]))
		differ(w, "append race",
		       "%s: writers of side %c that append at once disturb each other: %ld to %ld bytes",
		       path, 'A' + side, (long)before.st_size, (long)after.st_size);
	if (ftruncate(fd, before.st_size) < 0)
		differ(w, "append race", "%s: cannot be cut to its old length: %s", path,
		       strerrorname_np(errno));
}

static void run_append_race(struct worker *w, const struct call *c)
{
	struct stat st;
	int fd[SIDES];

	if (!BOTH(w, "open to append",
		  (fd[side] = openat(w->base[side], c->path[0], O_RDWR | O_NONBLOCK | O_CLOEXEC)) <
				  0
			  ? -1
			  : 0))
		return;
	/* Far out in a sparse file the limit of its size would be met. */
	if (fstat(fd[A], &st) == 0 && S_ISREG(st.st_mode) && st.st_size < (off_t)1 << 40) {
		append_race(w, A, c->path[0], fd[A]);
		append_race(w, B, c->path[0], fd[B]);
	}
	close(fd[A]);
	close(fd[B]);
	compare_stat(w, c->path[0], 0);
}

const struct op ops_copy[] = {
	{ "copy_range", "ssddd", 35, choose_copy, run_copy_range, NULL, 0 },
	{ "sendfile", "ssdd", 30, choose_sendfile, run_sendfile, NULL, 0 },
	{ "splice", "ssddd", 20, choose_copy, run_splice, NULL, 0 },
	{ "append_race", "p", 3, choose_path, run_append_race, NULL, 0 },
	{ .name = NULL },
};
