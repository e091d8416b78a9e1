/* What each call did to the disk, written to the log. Names are looked up before the call, data are
 * read back after it, so that all the ways to write look the same. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "log.h"
#include "recorder.h"
#include "tracee.h"

static struct {
	FILE *file;
	char root[4096];
	dev_t dev;
	bool syncs;
} rec;

static _Noreturn void give_up(const char *what, const char *which)
{
	fprintf(stderr, "recorder: %s: %s\n", what, which);
	exit(125);
}

static void put(struct log_record r, const char *name, const char *name2, const void *data,
		size_t n)
{
	r.name_len = name ? (uint32_t)strlen(name) : 0;
	r.name2_len = name2 ? (uint32_t)strlen(name2) : 0;
	r.data_len = (uint32_t)n;
	fwrite(&r, sizeof(r), 1, rec.file);
	fwrite(name ? name : "", 1, r.name_len, rec.file);
	fwrite(name2 ? name2 : "", 1, r.name2_len, rec.file);
	fwrite(n ? data : "", 1, n, rec.file);
}

/* --- before ------------------------------------------------------------------------------------- */

static char *slurp(int fd, off_t at, size_t n)
{
	char *bytes = malloc(n + 1);
	size_t have = 0;

	if (!bytes)
		give_up("memory", "");
	while (have < n) {
		ssize_t got = pread(fd, bytes + have, n - have, at + (off_t)have);

		if (got <= 0)
			give_up("cannot read back", strerror(errno));
		have += (size_t)got;
	}
	return bytes;
}

static void base(int dirfd, uint64_t dir, const char *name)
{
	struct log_record r = { .op = LOG_BASE, .dir = dir };
	struct stat st;
	char link[4096];
	ssize_t n;
	int fd;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) || st.st_dev != rec.dev)
		return;
	r.ino = st.st_ino;
	r.mode = st.st_mode;
	if (S_ISLNK(st.st_mode)) {
		n = readlinkat(dirfd, name, link, sizeof(link));
		put(r, name, NULL, link, n < 0 ? 0 : (size_t)n);
		return;
	}
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
		put(r, name, NULL, NULL, 0);
		return;
	}
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		give_up(name, strerror(errno));
	if (S_ISREG(st.st_mode)) {
		char *bytes = slurp(fd, 0, (size_t)st.st_size);

		put(r, name, NULL, bytes, (size_t)st.st_size);
		free(bytes);
		close(fd);
	} else {
		DIR *d = fdopendir(fd);
		struct dirent *e;

		put(r, dir ? name : "", NULL, NULL, 0);
		while (d && (e = readdir(d)))
			if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
				base(fd, st.st_ino, e->d_name);
		if (d)
			closedir(d);
	}
}

int record_start(const char *log, const char *root, bool syncs)
{
	struct stat st;

	rec.file = fopen(log, "we");
	if (!rec.file || !realpath(root, rec.root) || stat(root, &st))
		return -1;
	rec.dev = st.st_dev;
	rec.syncs = syncs;
	fwrite(LOG_MAGIC, 1, sizeof(LOG_MAGIC), rec.file);
	base(AT_FDCWD, 0, rec.root);
	return 0;
}

/* --- places ------------------------------------------------------------------------------------- */

static bool in_root(const char *path)
{
	size_t n = strlen(rec.root);

	return strncmp(path, rec.root, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* A descriptor below the root. The text is looked at first: stat would ask a FUSE daemon, which may
 * be stopped, for a file that is not ours. */
static bool our_fd(pid_t tid, int fd, struct stat *st)
{
	char target[4096];

	tracee_fd_target(tid, fd, target, sizeof(target));
	return in_root(target) && tracee_fd_stat(tid, fd, st) && st->st_dev == rec.dev;
}

static void look(struct place *p, int start, const char *path)
{
	char folder[4096];
	const char *slash = strrchr(path, '/');
	struct stat st;
	int dir;

	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path + 1) : 1,
		 slash ? path : ".");
	snprintf(p->name, sizeof(p->name), "%.255s", slash ? slash + 1 : path);
	dir = openat(start, folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return;
	if (fstat(dir, &st) == 0 && st.st_dev == rec.dev) {
		p->ours = true;
		p->dir = st.st_ino;
		p->exists = fstatat(dir, p->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
		p->ino = p->exists ? st.st_ino : 0;
		p->size = p->exists && S_ISREG(st.st_mode) ? (int64_t)st.st_size : 0;
	}
	close(dir);
}

static void place_of(pid_t tid, int at, uint64_t address, struct place *p)
{
	char path[4096];
	size_t n;
	int start, fd;
	struct stat st;

	*p = (struct place){ .ours = false };
	tracee_string(tid, address, path, sizeof(path));
	for (n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
		path[n - 1] = '\0';
	/* the file behind a descriptor, which has no name here */
	if (sscanf(path, "/proc/self/fd/%d", &fd) == 1 || !path[0]) {
		if (our_fd(tid, path[0] ? fd : at, &st)) {
			p->ours = p->exists = true;
			p->ino = st.st_ino;
		}
		return;
	}
	/* absolute paths are looked up outside of the command's mounts, which lie over our folders */
	start = path[0] == '/' ? AT_FDCWD : tracee_start_dir(tid, at);
	if (path[0] != '/' && start < 0)
		return;
	look(p, start, path);
	if (start >= 0)
		close(start);
}

void record_enter(struct call *c)
{
	const struct call_info *i = c->info;

	if (i->path < 0)
		return;
	if (i->kind == CALL_SYMLINK) {
		tracee_string(c->tid, c->args[i->path2], c->target, sizeof(c->target));
		place_of(c->tid, i->at < 0 ? AT_FDCWD : (int)c->args[i->at], c->args[i->path],
			 &c->place);
		return;
	}
	place_of(c->tid, i->at < 0 ? AT_FDCWD : (int)c->args[i->at], c->args[i->path], &c->place);
	if (i->kind == CALL_RENAME || i->kind == CALL_LINK)
		place_of(c->tid, i->at2 < 0 ? AT_FDCWD : (int)c->args[i->at2], c->args[i->path2],
			 &c->place2);
}

/* --- after -------------------------------------------------------------------------------------- */

static void put_data(const struct call *c, int fd, int64_t at, size_t n, unsigned flags)
{
	struct log_record r = { .op = LOG_WRITE, .offset = at, .process = (uint32_t)c->process };
	struct stat st;
	char *bytes;
	int own;

	if (!our_fd(c->tid, fd, &st) || !S_ISREG(st.st_mode) || !n)
		return;
	own = tracee_fd_open(c->tid, fd, O_RDONLY);
	if (own < 0)
		give_up("cannot open for reading back", strerror(errno));
	bytes = slurp(own, at, n);
	close(own);
	r.ino = st.st_ino;
	r.flags = rec.syncs && (flags & O_DSYNC) ? LOG_DURABLE : 0;
	put(r, NULL, NULL, bytes, n);
	free(bytes);
}

static void data_written(const struct call *c, size_t n)
{
	int fd = (int)c->args[c->info->fd];
	int64_t pos = 0, at;
	unsigned flags = 0;
	uint64_t pointer = 0;

	if (!tracee_fd_info(c->tid, fd, &pos, &flags))
		return;
	at = pos - (int64_t)n;
	switch (c->info->nr) {
	case __NR_pwrite64:
	case __NR_pwritev:
		at = (int64_t)c->args[3];
		break;
	case __NR_pwritev2:
		if ((int64_t)c->args[3] != -1)
			at = (int64_t)c->args[3];
		if (c->args[5] & (RWF_DSYNC | RWF_SYNC))
			flags |= O_DSYNC;
		break;
	case __NR_copy_file_range:
	case __NR_splice:
		pointer = c->args[3];
		break;
	default:
		break;
	}
	if (pointer && tracee_read(c->tid, pointer, &pos, sizeof(pos)))
		at = pos - (int64_t)n;
	put_data(c, fd, at, n, flags);
}

static void cloned(const struct call *c)
{
	int fd = (int)c->args[0];
	struct stat st;

	/* whole files only: a range would need its struct, and nobody here makes one */
	if (c->args[1] != TV_FICLONE)
		give_up("FICLONERANGE", "not understood");
	if (our_fd(c->tid, fd, &st))
		put_data(c, fd, 0, (size_t)st.st_size, 0);
}

static void put_size(const struct call *c, uint64_t ino, int64_t size)
{
	put((struct log_record){ .op = LOG_SIZE,
				 .ino = ino,
				 .size = size,
				 .process = (uint32_t)c->process },
	    NULL, NULL, NULL, 0);
}

static void resized(const struct call *c)
{
	struct stat st;

	if (!our_fd(c->tid, (int)c->args[0], &st))
		return;
	if (c->info->nr == __NR_fallocate && c->args[1] & ~1ULL /* FALLOC_FL_KEEP_SIZE */)
		give_up("fallocate", "this mode is not understood");
	put_size(c, st.st_ino, st.st_size);
}

static void opened(const struct call *c, int fd)
{
	struct log_record r = { .op = LOG_CREATE, .process = (uint32_t)c->process };
	const struct place *p = &c->place;
	char target[4096];
	struct stat st;

	if (!p->ours || !our_fd(c->tid, fd, &st))
		return;
	tracee_fd_target(c->tid, fd, target, sizeof(target));
	r.ino = st.st_ino;
	r.mode = st.st_mode;
	if (strstr(target, " (deleted)") && st.st_nlink == 0) {
		put(r, NULL, NULL, NULL, 0); /* O_TMPFILE */
	} else if (!p->exists) {
		r.dir = p->dir;
		put(r, p->name, NULL, NULL, 0);
	} else if (p->size > 0 && st.st_size == 0) {
		put_size(c, st.st_ino, 0);
	}
}

static void mode_changed(const struct call *c)
{
	struct log_record r = { .op = LOG_MODE, .process = (uint32_t)c->process };
	struct stat st;

	if (c->info->kind == CALL_FMODE) {
		if (!our_fd(c->tid, (int)c->args[0], &st))
			return;
		r.ino = st.st_ino;
		r.mode = st.st_mode;
	} else {
		if (!c->place.ours)
			return;
		r.ino = c->place.ino;
		r.mode = c->info->nr == __NR_chmod ? (uint32_t)c->args[1] : (uint32_t)c->args[2];
	}
	r.mode &= 07777;
	put(r, NULL, NULL, NULL, 0);
}

/* A new folder, special file or link: its inode is only known now. */
static void made(const struct call *c)
{
	const struct call_info *i = c->info;
	struct log_record r = { .op = LOG_CREATE, .process = (uint32_t)c->process };
	bool link = i->kind == CALL_SYMLINK;
	struct place now;

	if (!c->place.ours)
		return;
	place_of(c->tid, i->at < 0 ? AT_FDCWD : (int)c->args[i->at], c->args[i->path], &now);
	r.dir = c->place.dir;
	r.ino = now.ino;
	r.mode = link ? S_IFLNK | 0777 : (uint32_t)c->args[i->path + 1];
	if (!link && !(r.mode & S_IFMT))
		r.mode |= S_IFDIR;
	put(r, c->place.name, NULL, c->target, link ? strlen(c->target) : 0);
}

static void named(const struct call *c)
{
	struct log_record r = { .dir = c->place.dir,
				.ino = c->place.ino,
				.dir2 = c->place2.dir,
				.process = (uint32_t)c->process };

	switch (c->info->kind) {
	case CALL_UNLINK:
		r.op = LOG_UNLINK;
		if (c->place.ours)
			put(r, c->place.name, NULL, NULL, 0);
		return;
	case CALL_LINK:
		r.op = LOG_LINK;
		r.dir = c->place2.dir;
		if (c->place2.ours)
			put(r, c->place2.name, NULL, NULL, 0);
		return;
	default:
		break;
	}
	r.op = LOG_RENAME;
	if (c->info->nr == __NR_renameat2)
		r.size = (c->args[4] & RENAME_EXCHANGE) != 0;
	if (c->place.ours && c->place2.ours)
		put(r, c->place.name, c->place2.name, NULL, 0);
	else if (c->place.ours || c->place2.ours)
		give_up("rename across the root", c->place.name);
}

static void synced(const struct call *c, uint32_t op)
{
	struct log_record r = { .op = op, .process = (uint32_t)c->process };
	struct stat st;

	if (op != LOG_SYNC_ALL) {
		if (!our_fd(c->tid, (int)c->args[0], &st))
			return;
		r.ino = st.st_ino;
	} else if (c->info->kind == CALL_SYNCFS && !our_fd(c->tid, (int)c->args[0], &st)) {
		return;
	}
	put(r, NULL, NULL, NULL, 0);
}

static void mapped(const struct call *c)
{
	struct stat st;

	if ((c->args[2] & PROT_WRITE) && (c->args[3] & MAP_SHARED) &&
	    !(c->args[3] & MAP_ANONYMOUS) && our_fd(c->tid, (int)c->args[4], &st))
		put((struct log_record){ .op = LOG_MAPPED, .ino = st.st_ino }, NULL, NULL, NULL, 0);
}

void record_exit(const struct call *c, int64_t result)
{
	if (result < 0 && !(c->info->kind == CALL_MMAP && result < -4095))
		return;
	switch (c->info->kind) {
	case CALL_DATA:
		data_written(c, (size_t)result);
		break;
	case CALL_CLONE:
		cloned(c);
		break;
	case CALL_FSIZE:
		resized(c);
		break;
	case CALL_SIZE:
		if (c->place.ours)
			put_size(c, c->place.ino, (int64_t)c->args[1]);
		break;
	case CALL_OPEN:
		opened(c, (int)result);
		break;
	case CALL_MKDIR:
	case CALL_SYMLINK:
		made(c);
		break;
	case CALL_RENAME:
	case CALL_LINK:
	case CALL_UNLINK:
		named(c);
		break;
	case CALL_FMODE:
	case CALL_MODE:
		mode_changed(c);
		break;
	case CALL_FSYNC:
		synced(c, LOG_SYNC);
		break;
	case CALL_FDATASYNC:
		synced(c, LOG_DATASYNC);
		break;
	case CALL_SYNCFS:
	case CALL_SYNC:
		synced(c, LOG_SYNC_ALL);
		break;
	case CALL_MMAP:
		mapped(c);
		break;
	default:
		break;
	}
}

void record_end(int status)
{
	put((struct log_record){ .op = LOG_EXIT, .size = status }, NULL, NULL, NULL, 0);
}

int record_close(void)
{
	int failed = ferror(rec.file);

	return fclose(rec.file) || failed ? -1 : 0;
}
