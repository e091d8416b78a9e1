/*
 * helper-posix: rules of POSIX and Linux for a filesystem, as a table of cases. Each is a short script of
 * system calls; what comes out is one line of results. The same program runs on ext4 and on a view, and
 * the lines must be the same, so that little has to be foretold; what a rule is about stands in the table all
 * the same where it matters (`expect`), and ext4 must give exactly that.
 *
 *	posix-cases-*.c	the tables		posix-world.c	the files that a case starts with
 *	posix-words.c	words of scripts	posix-calls.c	verbs that are system calls
 *	posix-main.c	running			posix-facts.c	verbs that look
 *						posix-scenes.c	verbs that need more than one process or call
 *
 * A script is a list of steps, separated by ';'. The first word is the verb; with a '.' before it a step is
 * only told when it fails. Words:
 *
 *	f d/f	a path below the case's own folder, which holds only the files that its script names
 *	@A	an open descriptor, A to H; @bad is -1, @none one that is not open, @cwd AT_FDCWD
 *	@A:f	a path relative to a descriptor
 *	{x*9}	nine times "x"		EMPTY		the empty path or text
 *	A|B	flags by their names	07 12 4K 1T	numbers
 *
 * Which files there are is in posix-world.c, which verbs in the tables at the end of the other three.
 */
#ifndef TESTS_HELPERS_POSIX_H
#define TESTS_HELPERS_POSIX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#define OLD_SEC 1600000000 /* the date of all files when a case begins */
#define OLD_NSEC 123456789
#define SLOTS 8
#define SNAPS 8
#define WORDS 12

/* What a case starts with: only in the store, in the overlay after a copy-up, made in the overlay. On ext4
 * the three are alike. */
enum state { FROZEN, COPIED, BORN, STATES };

#define ROOT 1 /* only as root: it acts as several users */
#define USER 2 /* only as an ordinary user */
#define ONCE 4 /* only in new files: about arguments, not about files */

struct row {
	const char *name;
	unsigned how;
	const char *script, *expect; /* expect: NULL where ext4 alone knows */
};

/* The tables end with a row without a name. */
extern const struct row posix_cases_paths[], posix_cases_open[], posix_cases_names[],
	posix_cases_rename[], posix_cases_rights[], posix_cases_attributes[], posix_cases_times[],
	posix_cases_data[], posix_cases_layers[], posix_cases_descriptors[];

struct snap {
	const char *name; /* as the script has it */
	int fd;		  /* of a path: of the folder it is below */
	const char *path;
	struct statx x;
	bool only_mtime;
};

struct run {
	int slot[SLOTS];
	struct snap snaps[SNAPS];
	size_t n_snaps;
	char out[1 << 15];
	size_t len;
	bool quiet;
};

struct where {
	int fd;
	const char *path;
	bool is_fd; /* the descriptor itself is meant */
};

enum kind {
	OK,    /* "ok" or the error */
	COUNT, /* the number or the error */
	TOLD,  /* tells what it found by itself, or the error */
};

struct verb {
	const char *name;
	enum kind kind;
	int words; /* at least so many behind the verb */
	long (*call)(struct run *r, char **w);
};

extern const struct verb posix_calls[], posix_facts[], posix_scenes[];

/* --- posix-words.c: a word that cannot be understood ends the program ----------------------- */

__attribute__((format(printf, 1, 2), noreturn)) void bad(const char *fmt, ...);
/* Splits a step into words and expands {x*n}; both live until the program ends. */
void words_of(const char *step, size_t n, char *w[WORDS]);
long long number(const char *word);
int flags(const char *word);	  /* NULL: 0 */
unsigned id_of(const char *word); /* "a", "b": users and their groups; "g": a group; or a number */
struct where where(struct run *r, const char *word);
int *slot(struct run *r, const char *word);
struct timespec time_of(const char *word);
__attribute__((format(printf, 2, 3))) void say(struct run *r, const char *fmt, ...);
const char *name_of_error(int code);

/* --- posix-world.c -------------------------------------------------------------------------- */

/* Makes the files that a script names in the folder `dirfd`, and dates them. 0 or -1. */
int lay_world(int dirfd, const char *script);
/* Brings those files into the overlay without changing them. */
int copy_up_world(int dirfd);

/* --- posix-main.c --------------------------------------------------------------------------- */

void run_script(struct run *r, const char *script);

#endif
