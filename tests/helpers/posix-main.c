/*
 *	helper-posix list			"CASE@STATE<tab>EXPECTED" for every case of this user
 *	helper-posix lay FOLDER			the files of all cases, to be frozen; on ext4 the same
 *	helper-posix run FOLDER [read-only]	"CASE@STATE<tab>RESULTS" for every case
 *
 * With POSIX_CASE in the environment only the cases whose names begin so.
 *
 * A case has a process and a folder of its own, FOLDER/CASE@STATE. All folders are made first, so that no case has
 * to wait until the clock of files has moved on.
 */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS 60 /* for one case, under a sanitizer */

static const struct row *const tables[] = {
	posix_cases_paths,  posix_cases_open,	     posix_cases_names, posix_cases_rename,
	posix_cases_rights, posix_cases_attributes,  posix_cases_times, posix_cases_data,
	posix_cases_layers, posix_cases_descriptors,
};
static const char *const state_names[STATES] = { "frozen", "copied", "new" };

/* --- scripts -------------------------------------------------------------------------------- */

static const struct verb *find_verb(const char *name)
{
	const struct verb *const all[] = { posix_calls, posix_facts, posix_scenes };
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		for (const struct verb *v = all[i]; v->name; v++)
			if (!strcmp(v->name, name))
				return v;
	bad("there is no verb '%s'", name);
}

static void run_step(struct run *r, char **w)
{
	r->quiet = w[0][0] == '.' && w[0][1];
	const char *name = w[0] + r->quiet;
	const struct verb *v = find_verb(name);
	for (int i = 1; i <= v->words; i++)
		if (!w[i])
			bad("'%s' wants %d words", name, v->words);
	errno = 0;
	long result = v->call(r, w);
	bool quiet = r->quiet;
	r->quiet = false;
	if (result < 0 && quiet)
		say(r, "(%s:%s)", name, name_of_error(errno));
	else if (result < 0)
		say(r, "%s", name_of_error(errno));
	else if (v->kind == OK && !quiet)
		say(r, "ok");
	else if (v->kind == COUNT && !quiet)
		say(r, "%ld", result);
}

void run_script(struct run *r, const char *script)
{
	for (const char *at = script; *at;) {
		char *w[WORDS];
		size_t n = strcspn(at, ";");
		words_of(at, n, w);
		if (w[0])
			run_step(r, w);
		at += n + (at[n] == ';');
	}
}

/* --- cases ---------------------------------------------------------------------------------- */

struct instance {
	const struct row *row;
	enum state state;
	char name[200];
};

static bool wanted(const struct row *row, enum state state, bool read_only)
{
	bool root = geteuid() == 0;
	const char *only = getenv("POSIX_CASE");
	if (only && strncmp(row->name, only, strlen(only)) != 0)
		return false;
	if ((row->how & ROOT && !root) || (row->how & USER && root))
		return false;
	return read_only ? state == FROZEN : !(row->how & ONCE) || state == BORN;
}

static int for_each(bool read_only, int (*visit)(const struct instance *i, const char *arg),
		    const char *arg)
{
	int r = 0;
	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (const struct row *row = tables[t]; row->name; row++)
			for (int state = 0; r == 0 && state < STATES; state++) {
				struct instance i = { .row = row, .state = (enum state)state };
				snprintf(i.name, sizeof(i.name), "%s@%s", row->name,
					 state_names[state]);
				if (wanted(row, i.state, read_only))
					r = visit(&i, arg);
			}
	return r;
}

static int enter(const struct instance *i, const char *folder)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", folder, i->name);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		bad("cannot open '%s': %m", path);
	return fd;
}

static int make_world(const struct instance *i, const char *folder)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", folder, i->name);
	if (mkdir(path, 0755) < 0)
		bad("cannot make '%s': %m", path);
	int fd = enter(i, folder);
	if (lay_world(fd, i->row->script) < 0)
		bad("cannot fill '%s': %m", path);
	close(fd);
	return 0;
}

/* What is to be frozen; read-only mounts take every case's. */
static int lay(const struct instance *i, const char *folder)
{
	struct instance copied = { i->row, COPIED, "" };
	snprintf(copied.name, sizeof(copied.name), "%s@%s", i->row->name, state_names[COPIED]);
	make_world(i, folder);
	return i->row->how & ONCE ? 0 : make_world(&copied, folder);
}

static int prepare(const struct instance *i, const char *folder)
{
	if (i->state == BORN)
		return make_world(i, folder);
	if (i->state == FROZEN)
		return 0;
	int fd = enter(i, folder);
	if (copy_up_world(fd) < 0)
		bad("cannot copy up '%s': %m", i->name);
	close(fd);
	return 0;
}

static _Noreturn void act(const struct instance *i, const char *folder)
{
	struct run r = { .len = 0 };
	int fd = enter(i, folder);
	if (fchdir(fd) < 0)
		bad("cannot enter '%s': %m", i->name);
	close(fd);
	for (int s = 0; s < SLOTS; s++)
		r.slot[s] = -1;
	alarm(SECONDS);
	run_script(&r, i->row->script);
	char line[sizeof(r.out) + sizeof(i->name) + 3];
	int n = snprintf(line, sizeof(line), "%s\t%s\n", i->name, r.out);
	_exit(write(STDOUT_FILENO, line, (size_t)n) != n); /* in one piece: others write too */
}

/* The cases that are under way. Most wait for a clock, so there may be more than processors. */
#define JOBS 6
static struct job {
	pid_t pid;
	struct instance i;
} jobs[JOBS];

static unsigned running;

static void end_one(void)
{
	int status, j = 0;
	pid_t pid = wait(&status);
	while (j < JOBS && jobs[j].pid != pid)
		j++;
	if (pid < 0 || j == JOBS)
		bad("a case was lost: %m");
	if (WIFEXITED(status) && WEXITSTATUS(status))
		bad("'%s' cannot be run", jobs[j].i.name);
	if (WIFSIGNALED(status))
		printf("%s\tended by signal %d\n", jobs[j].i.name, WTERMSIG(status));
	fflush(stdout);
	jobs[j].pid = 0;
	running--;
}

static int run_case(const struct instance *i, const char *folder)
{
	int j = 0;
	if (running == JOBS)
		end_one();
	while (jobs[j].pid)
		j++;
	jobs[j].i = *i;
	jobs[j].pid = fork();
	if (jobs[j].pid == 0)
		act(i, folder);
	if (jobs[j].pid < 0)
		bad("cannot start '%s': %m", i->name);
	running++;
	return 0;
}

static int run_cases(const char *folder, bool read_only)
{
	if (!read_only)
		for_each(false, prepare, folder);
	fflush(stdout);
	for_each(read_only, run_case, folder);
	while (running)
		end_one();
	return 0;
}

static int tell(const struct instance *i, const char *arg)
{
	(void)arg;
	printf("%s\t%s\n", i->name, i->row->expect ? i->row->expect : "");
	return 0;
}

static int serve(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "list"))
		return for_each(false, tell, NULL);
	if (argc == 3 && !strcmp(argv[1], "lay"))
		return for_each(true, lay, argv[2]);
	if (argc == 2 && !strcmp(argv[1], "pause")) /* as `prog`: runs until its input ends */
		return getchar() == EOF ? 0 : 1;
	if (argc < 3 || strcmp(argv[1], "run") != 0)
		bad("usage: helper-posix list | lay FOLDER | run FOLDER [read-only]");
	return run_cases(argv[2], argc > 3 && !strcmp(argv[3], "read-only"));
}

int main(int argc, char **argv)
{
	umask(022);
	signal(SIGPIPE, SIG_IGN);
	int status = serve(argc, argv);
	fflush(stdout);
	_exit(status); /* words are never freed, and nobody is to look for them */
}
