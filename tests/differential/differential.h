/*
 * The same calls on a plain folder and on a view of the same files, by several processes.
 *
 * A *call* is one line of a script: which worker makes it, what it does (an *op*) and all its arguments. The
 * calls of a seed depend on the seed alone, never on what calls gave; a call that finds nothing to work
 * on (a closed slot) does nothing. So any subset of a script can be replayed, which is what shrinking needs.
 *
 * The parent chooses calls and writes them down; one of the workers, each with open files of its own,
 * makes the call on both sides and compares; the others wait. What must be known to all is in struct shared.
 */
#ifndef TESTS_DIFFERENTIAL_H
#define TESTS_DIFFERENTIAL_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { A, B, SIDES }; /* plain, view */

#define WORKERS 3
#define SLOTS 8	  /* open files of a worker */
#define MAPS 3	  /* mappings */
#define FOLDERS 2 /* listings under way */
#define PATH_SIZE 600
#define PROC_SIZE (PATH_SIZE + 64)
#define DATA_MAX 65536
#define BUFFER (4 * DATA_MAX)
#define BLOCK 4096
#define OLD                                                                                        \
	((time_t)1262304000) /* 2010: times that calls set lie before it, all others are "now" */

struct worker;
struct play;
struct chooser;
struct call;

/* Letters of a form, an op's arguments in order: s slot, p path, d o x number (decimal, octal, hex). */
struct op {
	const char *name, *form;
	unsigned weight;
	void (*choose)(struct chooser *ch, struct call *c);
	void (*run)(struct worker *w, const struct call *c);
	int (*direct)(struct play *p, const struct call *c); /* made by the parent instead of run */
	unsigned traits;
};

#define MAKES_NAMES 1 /* what stands at its paths' last names may be another thing afterwards */
#define ROOT_ONLY 2   /* chosen only when root runs the test */

struct call {
	const struct op *op;
	int worker;
	int slot[2];
	char path[2][PATH_SIZE];
	long long n[5];
};

/* What the view may answer for a descriptor on frozen bytes, where the kernel reads them by itself: the
 * difference from ext4 that docs/notes-fs.md begins with. */
enum reads { LIVE, EITHER, FROZEN };

struct frozen {
	enum reads reads;
	ssize_t len;
	char *bytes; /* owned; NULL: the descriptor is LIVE */
};

struct slot {
	bool open;
	int fd[SIDES];
	mode_t type;
	struct frozen frozen;
};

struct map {
	bool open;
	char *at[SIDES];
	size_t len;
	off_t offset;
	int prot, flags;
	int place; /* O_PATH: the plain file, for its size */
	struct frozen frozen;
};

struct folder {
	bool open;
	int fd[SIDES];
	uint64_t since; /* shared->n_touched when the names were taken */
	char **names;	/* what stood there at the start; owned */
	int n_names;
	int *got[SIDES]; /* indexes into names in the order in which they came; owned */
	int n_got[SIDES];
	off_t told[SIDES]; /* what telldir gave, and how much had come by then */
	int n_told[SIDES];
};

/* --- shared by all processes --------------------------------------------------------------- */

/* A file of the plain folder, and what is known of its view. */
struct known {
	uint64_t ino, born, view_ino;
	bool loose_times;  /* dirtied through a mapping: its times are those of the writing back */
	bool set_ids_lost; /* on the view's side, by the writing back of what was stored */
	bool locks_apart; /* open before and after its first change: the view has two sets of locks */
	uint64_t frozen_closed_ms;
};
#define KNOWN (1 << 15)

enum class { ON_FILE, ON_FROZEN, ON_EITHER };

/* Every open file and mapping that is there, whoever has it. */
struct open_file {
	uint32_t known; /* index + 1; 0: none */
	enum class class;
	bool dirty; /* a mapping that was stored to */
};

#define TICKS 8192
#define TOUCHED 4096

struct shared {
	struct call call;
	uint64_t step;
	bool idle;     /* the call found nothing to work on */
	bool settling; /* all is done; what later comparisons could not know is made alike */
	pid_t pids[WORKERS];
	struct open_file slots[WORKERS][SLOTS], maps[WORKERS][MAPS];
	bool listing[WORKERS][FOLDERS]; /* under way */
	struct known known[KNOWN];
	unsigned n_ticks;
	struct timespec ticks[TICKS]; /* no call was under way at these moments */
	uint64_t n_touched;
	uint32_t touched[TOUCHED]; /* hashes of the last names that may have been changed */
	char key[200], difference[4000];
};

struct options {
	bool frozen; /* the view has passthrough */
	bool fault;  /* pretends a difference (see planted in compare.c), to test the shrinking */
	char without[200]; /* ",op,op,": not chosen */
};

struct worker {
	int id;
	int root[SIDES], base[SIDES]; /* base: what paths are relative to; root, or after chdir */
	struct slot slots[SLOTS];
	struct map maps[MAPS];
	struct folder folders[FOLDERS];
	char *buffer[SIDES]; /* BUFFER bytes, aligned for O_DIRECT */
	struct shared *shared;
	const struct options *options;
	int reply; /* -1: a difference is told at once */
};

/* The call found nothing to work on. */
static inline void idle(struct worker *w)
{
	w->shared->idle = true;
}

/* --- compare.c ----------------------------------------------------------------------------- */

/* Ends the worker. The key names the kind of difference, so that shrinking keeps to it. */
__attribute__((format(printf, 3, 4), noreturn)) void differ(struct worker *w, const char *key,
							    const char *fmt, ...);
/* Compares the outcome of one call; true when it went well on both sides. */
bool same(struct worker *w, const char *what, const long result[SIDES], const int error[SIDES]);

/* Runs an expression, which uses `side`, on both sides, for what it gives and its errno. */
#define EACH_SIDE(result, error, expression)                                                       \
	for (int side = A; side < SIDES; side++) {                                                 \
		errno = 0;                                                                         \
		(result)[side] = (long)(expression);                                               \
		(error)[side] = errno;                                                             \
	}

/* The same, and both must give the same. */
#define BOTH(w, what, expression)                                                                  \
	(__extension__({                                                                           \
		long both_result[SIDES];                                                           \
		int both_error[SIDES];                                                             \
		EACH_SIDE(both_result, both_error, expression)                                     \
		same(w, what, both_result, both_error);                                            \
	}))

void compare_stat(struct worker *w, const char *path, int flags);
void compare_fstat(struct worker *w, struct slot *s);
void compare_times_set(struct worker *w, const char *path, int flags, const struct timespec set[2]);
struct known *known_of(struct worker *w, int plain_fd);
void proc_path(char out[PROC_SIZE], int fd, const char *path);

/* --- trees.c ------------------------------------------------------------------------------- */

void compare_tree(struct worker *w);
void compare_list(struct worker *w, const char *path);
void compare_link(struct worker *w, const char *path);
/* The names of a folder, each followed by NUL and its type; -1 with errno. */
int list_names(int dirfd, const char *path, char ***names);
void free_names(char **names, int n);

/* --- frozen.c ------------------------------------------------------------------------------ */

void note_open(struct worker *w, struct slot *s, int flags);
void note_closed(struct worker *w, struct open_file *f);
void frozen_copy(struct frozen *to, const struct frozen *from);
void frozen_free(struct frozen *f);
/* Whether n bytes at an offset are right: those of the plain file, or the frozen ones where they may be. */
bool reads_right(struct frozen *f, const char *plain, ssize_t plain_n, const char *view,
		 ssize_t view_n, off_t at, size_t wanted);
bool locks_comparable(const struct worker *w, const struct slot *s);

/* --- choose.c ------------------------------------------------------------------------------ */

struct chooser {
	uint64_t state;
	const struct options *options;
	bool root;
	unsigned total; /* of the weights */
};

void chooser_start(struct chooser *ch, uint64_t seed, const struct options *o);
void choose_call(struct chooser *ch, struct call *c);
unsigned below(struct chooser *ch, unsigned n);
bool chance(struct chooser *ch, unsigned percent);
#define ONE_OF(ch, table) ((table)[below(ch, sizeof(table) / sizeof((table)[0]))])
void any_path(struct chooser *ch, char out[PATH_SIZE]);
int any_slot(struct chooser *ch);
long long any_offset(struct chooser *ch);
/* An offset where something is to be put: now and then around the largest that ext4 takes. The kernel holds
 * positions in files of ext4 to that limit, and in those of FUSE to none. */
long long any_end(struct chooser *ch);
#define SIZE_LIMIT 0xffffffff000LL
long long any_length(struct chooser *ch);
long long any_mode(struct chooser *ch);
/* Seconds and nanoseconds of two times; utimensat's special values among them. */
void any_times(struct chooser *ch, long long n[4]);

/* Choosers that several ops have. */
void choose_slot(struct chooser *ch, struct call *c);
void choose_path(struct chooser *ch, struct call *c);
void choose_two_paths(struct chooser *ch, struct call *c);

/* --- script.c ------------------------------------------------------------------------------ */

const struct op *op_next(const struct op *op); /* NULL: the first */
const struct op *op_named(const char *name);
void call_text(const struct call *c, char *out, size_t size);
/* -1: not a call. */
int call_parse(char *line, struct call *c);

extern const struct op ops_open[], ops_data[], ops_copy[], ops_map[], ops_names[], ops_attr[],
	ops_xattr[], ops_lock[], ops_folder[], ops_world[];

/* --- worker.c ------------------------------------------------------------------------------ */

struct channel {
	int request[2], reply[2], pidfd;
};

struct play {
	struct shared *shared;
	struct channel channels[WORKERS];
	struct worker own; /* of the parent: makes no calls, workers begin as copies of it */
	FILE *record;
};

int play_start(struct play *p, char *const roots[SIDES], const struct options *o);
/* 0, or 1 when there is a difference, which has been told. */
int play_call(struct play *p, const struct call *c);
/* Ends all workers; what they have open is closed when this returns. */
void play_end(struct play *p);
/* Ends a worker and makes a new one from another, whose open files it inherits. */
int play_fork(struct play *p, int from, int to);
int worker_start(struct worker *w, char *const roots[SIDES], const struct options *o,
		 struct shared *shared);

void slot_close(struct worker *w, struct slot *s);
void map_close(struct worker *w, struct map *m);
void folder_close(struct worker *w, struct folder *f);
uint32_t name_hash(const char *path); /* of its last name */

#endif
