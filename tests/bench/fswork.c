/*
 * The timed inner loops of `./dev bench mount`, and the trees they work on.
 *
 *	fswork [-t SECONDS] [-p PASSES] COMMAND...
 *		make DIR FILES FOLDERS SIZE	a tree; FOLDERS 0: all in one folder
 *		read DIR FILES FOLDERS		open, read and close each file
 *		stat DIR FILES FOLDERS		one stat a name, in no order a cache could guess
 *		seq FILE / random FILE COUNT / mmap FILE
 *		list DIR / walk DIR		names; names and a stat each
 *		write FILE BYTES / copyup FILE
 *		names DIR COUNT			creates, renames and removes so many files
 *		mount FILE COMMAND...		runs it, and waits for the first byte of FILE
 *		attach TYPE SOURCE DIR		mounts, as mount(8) does not: a file without a loop device
 *		parallel FILES DIR...		a process a DIR, all reading at once
 *		warm PATH...			reads all that is there
 *
 * Prints lines: NAME NANOSECONDS DONE OF. Work that is not done after SECONDS stops there.
 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NAME "EXCHANGE_SYM%07" PRIu64 "_1d.parquet"
#define CHUNK (1 << 20)
#define PAGE 4096
#define PATH_BYTES 96
#define SECOND UINT64_C(1000000000)

struct tree {
	int dirfd;
	uint64_t files, folders;
};

struct work {
	uint64_t limit; /* nanoseconds a pass */
	int passes;
	unsigned char *buffer; /* CHUNK bytes */
	int argc;
	char **argv;
};

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

static int check(int r, const char *what)
{
	if (r < 0)
		die(what);
	return r;
}

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void tell(const char *name, uint64_t ns, uint64_t done, uint64_t of)
{
	printf("%s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", name, ns, done, of);
	fflush(stdout);
}

static uint64_t number(const struct work *w, int i)
{
	return strtoull(w->argv[i], NULL, 10);
}

static uint64_t next_random(uint64_t *state)
{
	/* xorshift64*: S. Vigna, "An experimental exploration of Marsaglia's xorshift generators" */
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

static void fill(unsigned char *buffer, uint64_t *state)
{
	for (size_t i = 0; i < CHUNK; i += 8) {
		uint64_t v = next_random(state);
		memcpy(buffer + i, &v, 8);
	}
}

/* --- trees -------------------------------------------------------------------------------------- */

static struct tree tree_of(const struct work *w)
{
	return (struct tree){
		.dirfd = check(open(w->argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC), w->argv[1]),
		.files = number(w, 2),
		.folders = number(w, 3),
	};
}

static void path_of(const struct tree *t, uint64_t i, char *out, size_t size)
{
	uint64_t each = t->folders ? (t->files + t->folders - 1) / t->folders : 0;
	if (each)
		snprintf(out, size, "D%04" PRIu64 "/" NAME, i / each, i);
	else
		snprintf(out, size, NAME, i);
}

/* Files that end as Parquet files do; small ones are all the same. */
static void make_file(const struct work *w, int fd, uint64_t size, uint64_t *state)
{
	for (uint64_t at = 0; at < size; at += CHUNK) {
		size_t n = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
		if (size >= PAGE)
			fill(w->buffer, state);
		if (at == 0)
			memcpy(w->buffer, "PAR1", 4);
		if (at + n == size && n >= 4)
			memcpy(w->buffer + n - 4, "PAR1", 4);
		if (write(fd, w->buffer, n) != (ssize_t)n)
			die("write");
	}
}

static void make(const struct work *w)
{
	struct tree t = tree_of(w);
	uint64_t size = number(w, 4), state = 88172645463325252u + t.files;
	char path[PATH_BYTES];
	for (uint64_t d = 0; d < t.folders; d++) {
		snprintf(path, sizeof(path), "D%04" PRIu64, d);
		check(mkdirat(t.dirfd, path, 0755), path);
	}
	for (uint64_t i = 0; i < t.files; i++) {
		path_of(&t, i, path, sizeof(path));
		int fd = check(openat(t.dirfd, path, O_CREAT | O_EXCL | O_WRONLY, 0644), path);
		make_file(w, fd, size, &state);
		close(fd);
	}
}

static int warm_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	static char buffer[CHUNK];
	(void)st;
	(void)where;
	int fd = kind == FTW_F ? open(path, O_RDONLY) : -1;
	while (fd >= 0 && read(fd, buffer, sizeof(buffer)) > 0)
		;
	if (fd >= 0)
		close(fd);
	return 0;
}

static void warm(const struct work *w)
{
	for (int i = 1; i < w->argc; i++)
		check(nftw(w->argv[i], warm_one, 32, FTW_PHYS), w->argv[i]);
}

/* --- reading ------------------------------------------------------------------------------------ */

static void read_file(const struct work *w, int dirfd, const char *path)
{
	ssize_t n;
	int fd = check(openat(dirfd, path, O_RDONLY | O_CLOEXEC), path);
	while ((n = read(fd, w->buffer, CHUNK)) > 0)
		;
	check((int)n, path);
	close(fd);
}

static void read_tree(const struct work *w)
{
	struct tree t = tree_of(w);
	char path[PATH_BYTES];
	for (int pass = 0; pass < w->passes; pass++) {
		uint64_t start = now(), i = 0;
		for (; i < t.files && (i == 0 || now() - start < w->limit); i++) {
			path_of(&t, i, path, sizeof(path));
			read_file(w, t.dirfd, path);
		}
		tell("read", now() - start, i, t.files);
	}
}

static void stat_tree(const struct work *w)
{
	struct tree t = tree_of(w);
	struct stat st;
	char path[PATH_BYTES];
	uint64_t stride = t.files * 5 / 8 | 1;
	while (stride % 3 == 0 || stride % 5 == 0 || stride % 7 == 0)
		stride += 2;
	for (int pass = 0; pass < w->passes; pass++) {
		uint64_t start = now(), i = 0;
		for (; i < t.files && (i == 0 || now() - start < w->limit); i++) {
			path_of(&t, i * stride % t.files, path, sizeof(path));
			check(fstatat(t.dirfd, path, &st, 0), path);
		}
		tell("stat", now() - start, i, t.files);
	}
}

static uint64_t open_file(const struct work *w, int *fd)
{
	struct stat st;
	*fd = check(open(w->argv[1], O_RDONLY | O_CLOEXEC), w->argv[1]);
	check(fstat(*fd, &st), w->argv[1]);
	return (uint64_t)st.st_size;
}

static void seq(const struct work *w)
{
	int fd;
	for (int pass = 0; pass < w->passes; pass++) {
		uint64_t start = now(), at = 0, size = open_file(w, &fd);
		while (at < size && (at == 0 || now() - start < w->limit)) {
			ssize_t n = read(fd, w->buffer, CHUNK);
			if (n <= 0)
				die(w->argv[1]);
			at += (uint64_t)n;
		}
		close(fd);
		tell("seq", now() - start, at, size);
	}
}

static void random_reads(const struct work *w)
{
	uint64_t count = number(w, 2);
	int fd;
	for (int pass = 0; pass < w->passes; pass++) {
		uint64_t start = now(), pages = open_file(w, &fd) / PAGE, state = 1, i = 0;
		for (; i < count && (i == 0 || now() - start < w->limit); i++) {
			uint64_t page = next_random(&state) % pages;
			if (pread(fd, w->buffer, PAGE, (off_t)(page * PAGE)) != PAGE)
				die(w->argv[1]);
		}
		close(fd);
		tell("random", now() - start, i, count);
	}
}

static void mapped(const struct work *w)
{
	volatile unsigned sum = 0;
	int fd;
	for (int pass = 0; pass < w->passes; pass++) {
		uint64_t start = now(), size = open_file(w, &fd), at = 0;
		unsigned char *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
		if (map == MAP_FAILED)
			die(w->argv[1]);
		for (; at < size && (at % CHUNK || at == 0 || now() - start < w->limit); at += PAGE)
			sum += map[at];
		munmap(map, size);
		close(fd);
		tell("mmap", now() - start, at, size);
	}
}

/* --- names -------------------------------------------------------------------------------------- */

static uint64_t visit(int parent, const char *name, bool stats, uint64_t end)
{
	int fd = check(openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), name);
	DIR *dir = fdopendir(fd);
	uint64_t seen = 0;
	struct stat st;
	if (!dir)
		die(name);
	for (struct dirent *e; (e = readdir(dir)) && (seen % 64 || now() < end);) {
		if (e->d_name[0] == '.')
			continue;
		if (stats)
			check(fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW), e->d_name);
		if (e->d_type == DT_DIR)
			seen += visit(fd, e->d_name, stats, end);
		else
			seen++;
	}
	closedir(dir);
	return seen;
}

static void visit_all(const struct work *w)
{
	bool stats = strcmp(w->argv[0], "walk") == 0;
	for (int pass = 0; pass < w->passes; pass++) {
		uint64_t start = now(), end = start + w->limit;
		uint64_t seen = visit(AT_FDCWD, w->argv[1], stats, end), ns = now() - start;
		tell(w->argv[0], ns, seen, ns < w->limit ? seen : number(w, 2));
	}
}

/* --- writing ------------------------------------------------------------------------------------ */

static void write_big(const struct work *w)
{
	uint64_t size = number(w, 2), at = 0, state = 7;
	fill(w->buffer, &state);
	uint64_t start = now();
	int fd =
		check(open(w->argv[1], O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644), w->argv[1]);
	for (; at < size && (at == 0 || now() - start < w->limit); at += CHUNK)
		if (write(fd, w->buffer, CHUNK) != CHUNK)
			die("write");
	uint64_t written = now() - start;
	check(fsync(fd), "fsync");
	close(fd);
	tell("write", written, at, size);
	tell("write+fsync", now() - start, at, size);
}

static void copyup(const struct work *w)
{
	uint64_t start = now();
	int fd = check(open(w->argv[1], O_RDWR | O_CLOEXEC), w->argv[1]);
	if (pwrite(fd, "x", 1, 4096) != 1)
		die("pwrite");
	close(fd);
	tell("copyup", now() - start, 1, 1);
}

static void create_one(int dirfd, uint64_t i)
{
	char name[64];
	snprintf(name, sizeof(name), "new%07" PRIu64, i);
	close(check(openat(dirfd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644), name));
}

static void rename_one(int dirfd, uint64_t i)
{
	char old[64], new[64];
	snprintf(old, sizeof(old), "new%07" PRIu64, i);
	snprintf(new, sizeof(new), "old%07" PRIu64, i);
	check(renameat(dirfd, old, dirfd, new), old);
}

static void remove_one(int dirfd, uint64_t i)
{
	char name[64];
	snprintf(name, sizeof(name), "old%07" PRIu64, i);
	check(unlinkat(dirfd, name, 0), name);
}

static void change_names(const struct work *w)
{
	static const struct {
		const char *name;
		void (*one)(int, uint64_t);
	} steps[] = { { "create", create_one },
		      { "rename", rename_one },
		      { "remove", remove_one } };
	int dirfd = check(open(w->argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC), w->argv[1]);
	uint64_t of = number(w, 2), count = of;
	for (int step = 0; step < 3; step++) {
		uint64_t start = now(), i = 0;
		for (; i < count && (step || i == 0 || now() - start < w->limit); i++)
			steps[step].one(dirfd, i);
		count = i; /* what was not made is not renamed */
		tell(steps[step].name, now() - start, i, of);
	}
}

/* --- processes ---------------------------------------------------------------------------------- */

static void run_command(char **argv)
{
	int status;
	pid_t pid = check(fork(), "fork");
	if (pid == 0) {
		execvp(argv[0], argv);
		die(argv[0]);
	}
	check(waitpid(pid, &status, 0), "waitpid");
	if (status)
		exit(1);
}

/* Some servers return before they can be used, or do not return. */
static void mount_time(const struct work *w)
{
	const struct timespec pause = { .tv_nsec = 200000 };
	uint64_t start = now(), give_up = start + 60 * SECOND;
	char byte;
	int fd;
	if (w->argc > 2)
		run_command(w->argv + 2);
	while ((fd = open(w->argv[1], O_RDONLY | O_CLOEXEC)) < 0 && now() < give_up)
		nanosleep(&pause, NULL);
	if (fd < 0 || read(fd, &byte, 1) != 1)
		die(w->argv[1]);
	close(fd);
	tell("first-byte", now() - start, 1, 1);
}

static void attach(const struct work *w)
{
	check(mount(w->argv[2], w->argv[3], w->argv[1], MS_RDONLY, NULL), w->argv[2]);
}

static _Noreturn void reader(const struct work *w, const char *dir, int ready, int go)
{
	struct tree t = { .dirfd = check(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), dir),
			  .files = number(w, 1) };
	char path[PATH_BYTES], byte = 0;
	if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 0)
		_exit(1);
	for (uint64_t i = 0; i < t.files * (uint64_t)w->passes; i++) {
		path_of(&t, i % t.files, path, sizeof(path));
		read_file(w, t.dirfd, path);
	}
	_exit(0);
}

static void parallel(const struct work *w)
{
	int ready[2], go[2], status, failed = 0, children = w->argc - 2;
	char byte;
	check(pipe(ready), "pipe");
	check(pipe(go), "pipe");
	for (int i = 0; i < children; i++) {
		if (check(fork(), "fork") == 0) {
			close(go[1]);
			reader(w, w->argv[2 + i], ready[1], go[0]);
		}
	}
	close(ready[1]);
	for (int i = 0; i < children && !failed; i++)
		failed = read(ready[0], &byte, 1) != 1;
	uint64_t start = now();
	close(go[1]);
	for (int i = 0; i < children; i++)
		failed |= wait(&status) < 0 || status;
	uint64_t ns = now() - start;
	struct rusage used;
	getrusage(RUSAGE_CHILDREN, &used);
	if (failed)
		exit(1);
	tell("parallel", ns, 1, 1);
	tell("cpu",
	     ((uint64_t)used.ru_utime.tv_sec + (uint64_t)used.ru_stime.tv_sec) * SECOND +
		     ((uint64_t)used.ru_utime.tv_usec + (uint64_t)used.ru_stime.tv_usec) * 1000,
	     1, 1);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(const struct work *);
		int words;
	} commands[] = {
		{ "make", make, 5 },	  { "read", read_tree, 4 },	 { "stat", stat_tree, 4 },
		{ "seq", seq, 2 },	  { "random", random_reads, 3 }, { "mmap", mapped, 2 },
		{ "list", visit_all, 3 }, { "walk", visit_all, 3 },	 { "write", write_big, 3 },
		{ "copyup", copyup, 2 },  { "names", change_names, 3 },	 { "mount", mount_time, 2 },
		{ "attach", attach, 4 },  { "parallel", parallel, 3 },	 { "warm", warm, 2 },
	};
	struct work w = { .limit = 3600 * SECOND, .passes = 1, .buffer = malloc(CHUNK) };
	for (int c; (c = getopt(argc, argv, "+t:p:")) != -1;) {
		if (c == 't')
			w.limit = (uint64_t)(strtod(optarg, NULL) * (double)SECOND);
		else if (c == 'p')
			w.passes = (int)strtol(optarg, NULL, 10);
		else
			return 2;
	}
	w.argc = argc - optind;
	w.argv = argv + optind;
	for (size_t i = 0; w.argc && i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(commands[i].name, w.argv[0]) == 0 && w.argc >= commands[i].words) {
			commands[i].run(&w);
			return 0;
		}
	}
	fprintf(stderr, "fswork: the usage stands at the top of its source\n");
	return 2;
}
