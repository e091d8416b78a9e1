/*
 * The same random calls on a plain folder and on a view: results, errors, contents, attributes, listings and
 * locks must be the same.
 *
 *	helper-differential run SEED STEPS PLAIN VIEW [OPTION...]	calls of a seed, then compares the trees
 *	helper-differential replay SCRIPT PLAIN VIEW [OPTION...]	the calls that a script holds
 *	helper-differential compare PLAIN VIEW				compares the trees
 *
 *	--record FILE	writes each call to a file, before it is made, as a script
 *	--frozen	the view has passthrough: descriptors on frozen bytes keep them
 *	--without OP,OP	leaves these ops out
 *	--fault		pretends that there is a difference, where several calls have brought it about
 *
 * Both folders hold the same files with the same times at the start. STEPS counts the calls that found
 * something to work on. Exit status: 0 the same, 1 a difference, 2 it could not be tried.
 *
 * The idea of comparing two filesystems under random calls is that of fsx and fsstress; the code is not.
 */
#include "differential.h"

#include <stdlib.h>
#include <string.h>

#define COMPARE_EACH 1000

static int usage(void)
{
	fprintf(stderr, "usage: helper-differential run SEED STEPS | replay SCRIPT | compare "
			"PLAIN VIEW [OPTION...]\n");
	return 2;
}

static int parse_options(char **argv, struct options *o, const char **record)
{
	for (; *argv; argv++) {
		if (!strcmp(*argv, "--frozen"))
			o->frozen = true;
		else if (!strcmp(*argv, "--fault"))
			o->fault = true;
		else if (!strcmp(*argv, "--without") && argv[1])
			snprintf(o->without, sizeof(o->without), ",%s,", *++argv);
		else if (!strcmp(*argv, "--record") && argv[1])
			*record = *++argv;
		else
			return -1;
	}
	return 0;
}

static int call_named(struct play *p, const char *name)
{
	struct call c = { .op = op_named(name) };
	return play_call(p, &c);
}

/* What restricts the walk is compared first, and then opened, so that what lies behind is not lost. */
static int compare_now(struct play *p)
{
	return call_named(p, "compare") || call_named(p, "heal") || call_named(p, "compare");
}

static int run_seed(struct play *p, const struct options *o, uint64_t seed, uint64_t steps)
{
	struct chooser ch;
	struct call c;
	uint64_t done = 0;
	int r = call_named(p, "tick");

	chooser_start(&ch, seed, o);
	while (r == 0 && done < steps) {
		choose_call(&ch, &c);
		r = play_call(p, &c);
		done += !p->shared->idle;
		if (r == 0 && !p->shared->idle && done % COMPARE_EACH == 0)
			r = compare_now(p);
	}
	if (r == 0)
		r = compare_now(p);
	printf("seed %llu: %llu steps of %llu calls, %s\n", (unsigned long long)seed,
	       (unsigned long long)done, (unsigned long long)p->shared->step,
	       r ? "a difference" : "no difference");
	return r;
}

static int run_script(struct play *p, const char *path)
{
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t size = 0;
	struct call c;
	int r = 0;

	if (!f) {
		perror(path);
		return 2;
	}
	for (int number = 1; r == 0 && getline(&line, &size, f) > 0; number++) {
		if (*line == '#' || *line == '\n')
			continue;
		if (call_parse(line, &c) < 0) {
			fprintf(stderr, "%s:%d: not a call\n", path, number);
			r = 2;
		} else {
			r = play_call(p, &c);
		}
	}
	free(line);
	fclose(f);
	return r ? r : call_named(p, "compare");
}

static int compare_only(char **roots, const struct options *o)
{
	struct shared *shared = calloc(1, sizeof(*shared));
	struct worker w;
	if (!shared || worker_start(&w, roots, o, shared) < 0)
		return 2;
	compare_tree(&w);
	free(shared);
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = { .frozen = false };
	struct play p = { .record = NULL };
	const char *record = NULL;
	const char *mode = argc > 1 ? argv[1] : "";
	int first = !strcmp(mode, "run") ? 4 : !strcmp(mode, "replay") ? 3 : 2;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < first + 2 || parse_options(argv + first + 2, &o, &record) < 0)
		return usage();
	umask(022);
	if (!strcmp(mode, "compare"))
		return compare_only(argv + first, &o);
	if (first == 2)
		return usage();
	if (record && !(p.record = fopen(record, "we"))) {
		perror(record);
		return 2;
	}
	if (p.record)
		setvbuf(p.record, NULL, _IOLBF, 0);
	if (play_start(&p, argv + first, &o) < 0)
		return 2;
	int r = first == 4
			? run_seed(&p, &o, strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10))
			: run_script(&p, argv[2]);
	play_end(&p);
	if (r == 0) {
		p.shared->settling = true;
		compare_tree(&p.own);
	}
	if (p.record)
		fclose(p.record);
	return r;
}
