/*
 * Rebuilds what a power cut can leave of a recorded run (model.h says what) and checks each state: the
 * store opens, fsck with all data finds no damage, main and the live folder's base are the old or the
 * new commit, no live file is torn; after the command returned 0, everything is new. All refs and the
 * set of commits change at once (not with --loose), and so does the folder --dest. The file --record
 * may have any version in between, but whole ones only, and the last one in the end.
 *
 * For a cut after each record the states are: everything kept, everything lost, each single atom
 * lost, each single atom kept (with what it stands on), and random subsets. States seen before are
 * not checked again. Needs the right to mount: each worker rebuilds in a tmpfs of its own over the
 * recorded root, so that paths are what they were.
 *
 * usage: replayer --log FILE --root DIR [--live data/lakehouse] [--seed N] [--random N] [--budget N]
 *                 [--jobs N] [--drop CLASS,... | --drop-record N] [--first] [--syncs]
 *                 [--check COMMAND] [--repeat COMMAND --every N] [--loose] [--dest FOLDER] [--record FILE]
 *
 * Prints one JSON document; exit 0 when nothing was violated, 1 when something was.
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "model.h"

enum { SEEN = 1 << 21, VIOLATIONS = 16, VIOLATION_TEXT = 700 };

/* What the workers share. */
struct shared {
	atomic_ulong next_cut, states, distinct, repeats, violations;
	atomic_bool stop;
	char texts[VIOLATIONS][VIOLATION_TEXT];
	_Atomic uint64_t seen[SEEN];
};

struct replayer {
	struct model m;
	const char *log, *root, *live, *check, *repeat, *drop, *dest, *record;
	unsigned long seed, random, budget, jobs, every, drop_record;
	bool first, syncs, loose;
	double share; /* how many of the single and random states are made */
	struct facts old, new;
	uint64_t *old_live, *new_live; /* a hash per slot; 0: not there */
	uint64_t *now_live;
	uint64_t old_dest, new_dest, new_record;
	struct shared *shared;
	char doing[160]; /* for messages */
	uint64_t dice;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "replayer: %s: %s\n", what, strerror(errno));
	exit(125);
}

/* splitmix64 */
static uint64_t roll(struct replayer *r)
{
	uint64_t z = r->dice += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static bool chance(struct replayer *r, double p)
{
	return (double)(roll(r) >> 11) * 0x1p-53 < p;
}

/* --- one state ---------------------------------------------------------------------------------- */

static bool first_time(struct shared *s, uint64_t hash)
{
	size_t at = hash % SEEN;

	hash |= 1;
	for (;;) {
		uint64_t there = 0;

		if (atomic_compare_exchange_strong(&s->seen[at], &there, hash))
			return true;
		if (there == hash)
			return false;
		at = (at + 1) % SEEN;
	}
}

static void violation(struct replayer *r, const char *text)
{
	unsigned long i = atomic_fetch_add(&r->shared->violations, 1);

	if (i < VIOLATIONS)
		snprintf(r->shared->texts[i], VIOLATION_TEXT, "%s: %s", r->doing, text);
	if (r->first)
		atomic_store(&r->shared->stop, true);
}

static void live_hashes(struct model *m, int dir, uint64_t *out)
{
	const struct node *d = &m->nodes[dir];

	for (size_t i = 0; i < d->n_slots; i++) {
		int node = m->slots[d->slots[i]].now;

		if (node < 0)
			continue;
		if (S_ISDIR(m->nodes[node].mode)) {
			out[d->slots[i]] = 1;
			live_hashes(m, node, out);
		} else {
			out[d->slots[i]] = model_data_hash(m, node) | 2;
		}
	}
}

static void live_of(struct replayer *r, uint64_t *out)
{
	int dir = model_lookup(&r->m, r->live);

	memset(out, 0, r->m.n_slots * sizeof(*out));
	if (dir >= 0)
		live_hashes(&r->m, dir, out);
}

/* Each live file is the old or the new one, or one that neither has: a temp file. */
static bool live_ok(struct replayer *r, bool must_be_new, char *message, size_t n)
{
	live_of(r, r->now_live);
	for (size_t i = 0; i < r->m.n_slots; i++) {
		uint64_t now = r->now_live[i], old = r->old_live[i], new = r->new_live[i];

		if (now == new || (now == old && !must_be_new) || (!old && !new))
			continue;
		snprintf(message, n, "live file %s is %s", r->m.slots[i].name,
			 !now	      ? "gone"
			 : now == old ? "old though it was told to be new"
				      : "neither old nor new");
		return false;
	}
	return true;
}

static bool one_of(const char *is, const char *old, const char *new)
{
	return strcmp(is, old) == 0 || strcmp(is, new) == 0;
}

/* Runs the command again, and looks whether all is as it should be afterwards. */
static bool repeat(struct replayer *r, char *message, size_t n)
{
	struct facts again;

	if (check_write(&r->m, r->root, NULL)) {
		snprintf(message, n, "cannot write the state");
		return false;
	}
	atomic_fetch_add(&r->shared->repeats, 1);
	if (check_command(r->root, r->repeat, &again, message, n))
		return false;
	if (r->check)
		return true;
	if (check_store(r->root, r->live, &again, message, n))
		return false;
	if (strcmp(again.foundation, r->new.foundation) != 0) {
		snprintf(message, n, "repeated, main is %s", again.foundation);
		return false;
	}
	return true;
}

/* A JSON object, as far as its ends tell: writes that are lost leave it short or with zeros. */
static bool record_ok(struct replayer *r, bool must_be_new)
{
	int node = model_lookup(&r->m, r->record);
	size_t n;
	const uint8_t *data;

	if (node < 0)
		return !must_be_new;
	data = model_data(&r->m, node, &n);
	return n > 2 && data[0] == '{' && data[n - 2] == '}' && !memchr(data, 0, n) &&
	       (!must_be_new || model_hash_at(&r->m, r->record) == r->new_record);
}

/* What has no place of its own in the facts: the other refs, the set of commits, a folder. */
static bool rest_ok(struct replayer *r, const struct facts *f, bool must_be_new, char *message,
		    size_t n)
{
	uint64_t dest = r->dest ? model_hash_at(&r->m, r->dest) : r->new_dest;

	if (!r->loose &&
	    !one_of(f->history, must_be_new ? r->new.history : r->old.history, r->new.history)) {
		snprintf(message, n,
			 "refs and commits are neither what they were nor what they are to be");
		return false;
	}
	if (r->record && !record_ok(r, must_be_new)) {
		snprintf(message, n, "%s is torn, or not the last one", r->record);
		return false;
	}
	if (dest != r->new_dest && (dest != r->old_dest || must_be_new)) {
		snprintf(message, n, "%s is neither as it was nor as it is to be", r->dest);
		return false;
	}
	return true;
}

static bool state_ok(struct replayer *r, bool must_be_new, char *message, size_t n)
{
	struct facts f;
	bool base_moved;

	if (check_write(&r->m, r->root, r->check ? NULL : ".tvfs")) {
		snprintf(message, n, "cannot write the state: %s", strerror(errno));
		return false;
	}
	if (r->check ? check_command(r->root, r->check, &f, message, n)
		     : check_store(r->root, r->live, &f, message, n))
		return false;
	if (!one_of(f.ref, must_be_new ? r->new.ref : r->old.ref, r->new.ref)) {
		snprintf(message, n, "main is %s; it was %s and is to be %s", f.ref, r->old.ref,
			 r->new.ref);
		return false;
	}
	if (!one_of(f.base, must_be_new ? r->new.base : r->old.base, r->new.base)) {
		snprintf(message, n, "the live folder's base is %s; it was %s and is to be %s",
			 f.base, r->old.base, r->new.base);
		return false;
	}
	if (!rest_ok(r, &f, must_be_new, message, n))
		return false;
	base_moved = strcmp(r->old.base, r->new.base) != 0 && strcmp(f.base, r->new.base) == 0;
	if (!live_ok(r, must_be_new || base_moved, message, n))
		return false;
	return !r->repeat || roll(r) % r->every || repeat(r, message, n);
}

static void state(struct replayer *r, size_t cut, const uint8_t *fate, const char *how, long which)
{
	bool must_be_new = cut > r->m.exit_at;
	char message[600] = "?";

	if (atomic_load(&r->shared->stop))
		return;
	model_build(&r->m, cut, fate);
	atomic_fetch_add(&r->shared->states, 1);
	if (!first_time(r->shared, model_hash(&r->m) ^ (must_be_new ? 0x5555000000000000 : 0)))
		return;
	atomic_fetch_add(&r->shared->distinct, 1);
	snprintf(r->doing, sizeof(r->doing), "cut %zu of %zu, %s %ld", cut, r->m.n_ops, how, which);
	if (!state_ok(r, must_be_new, message, sizeof(message)))
		violation(r, message);
}

/* --- the states of a cut ------------------------------------------------------------------------ */

static size_t volatile_atoms(const struct model *m, size_t cut, uint32_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_atoms && m->atoms[i].op < cut; i++)
		if (m->atoms[i].forced_at >= cut)
			out[n++] = (uint32_t)i;
	return n;
}

static void keep(const struct model *m, uint32_t atom, uint8_t *fate)
{
	fate[atom] = KEPT;
	for (uint32_t p = 0; p < m->atoms[atom].n_preds; p++)
		if (!fate[m->preds[m->atoms[atom].first_pred + p]])
			keep(m, m->preds[m->atoms[atom].first_pred + p], fate);
}

static void random_fates(struct replayer *r, const uint32_t *atoms, size_t n, uint8_t *fate)
{
	static const double shares[] = { 0.08, 0.5, 0.92 };
	double share = shares[roll(r) % 3];

	memset(fate, LOST, r->m.n_atoms);
	for (size_t i = 0; i < n; i++) {
		fate[atoms[i]] = chance(r, share) ? KEPT : LOST;
		if (!fate[atoms[i]] && r->m.atoms[atoms[i]].kind == ATOM_PAGE && chance(r, 0.25))
			fate[atoms[i]] = ZEROS;
	}
}

static void states_of_cut(struct replayer *r, size_t cut, uint32_t *atoms, uint8_t *fate)
{
	struct model *m = &r->m;
	size_t n = volatile_atoms(m, cut, atoms);

	r->dice = r->seed * 1000003 + cut;
	memset(fate, KEPT, m->n_atoms);
	state(r, cut, fate, "all kept", 0);
	memset(fate, LOST, m->n_atoms);
	state(r, cut, fate, "all lost", 0);
	for (size_t i = 0; i < n; i++) {
		if (!chance(r, r->share))
			continue;
		memset(fate, KEPT, m->n_atoms);
		fate[atoms[i]] = LOST;
		state(r, cut, fate, "lost record", (long)m->atoms[atoms[i]].op);
		memset(fate, LOST, m->n_atoms);
		keep(m, atoms[i], fate);
		state(r, cut, fate, "kept record", (long)m->atoms[atoms[i]].op);
	}
	for (unsigned long i = 0; i < r->random && n > 1; i++) {
		if (!chance(r, r->share))
			continue;
		random_fates(r, atoms, n, fate);
		state(r, cut, fate, "random", (long)i);
	}
}

/* --- workers ------------------------------------------------------------------------------------ */

static void own_mounts(void)
{
	if (unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		die("cannot have mounts of its own");
}

static void work(struct replayer *r)
{
	uint32_t *atoms = calloc(r->m.n_atoms + 1, sizeof(*atoms));
	uint8_t *fate = calloc(r->m.n_atoms + 1, 1);
	unsigned long cut;

	if (!atoms || !fate)
		die("memory");
	own_mounts();
	/* backwards: when something is wrong, it mostly shows at the end */
	while ((cut = atomic_fetch_add(&r->shared->next_cut, 1)) <= r->m.n_ops &&
	       !atomic_load(&r->shared->stop))
		states_of_cut(r, r->m.n_ops - cut, atoms, fate);
	exit(0);
}

static pid_t start(struct replayer *r)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		work(r);
	return pid;
}

/* A worker that dies of a signal has found something: it says what it was doing in its shared page,
 * and another takes over from the next cut. */
static void run(struct replayer *r)
{
	unsigned long running = 0;
	int status;

	for (; running < r->jobs; running++)
		start(r);
	while (running && waitpid(-1, &status, 0) > 0) {
		running--;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			continue;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 125)
			exit(125);
		snprintf(r->doing, sizeof(r->doing), "about cut %ld",
			 (long)r->m.n_ops - (long)atomic_load(&r->shared->next_cut));
		violation(r, WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "it exits");
		start(r);
		running++;
	}
}

/* What the ends look like: nothing of the log, and all of it. In a process of its own, as LMDB and
 * mounts are not to be carried over. */
static void look_at_end(struct replayer *r, size_t cut, uint8_t fate, struct facts *out,
			uint64_t *live, uint64_t *dest)
{
	uint8_t *fates = malloc(r->m.n_atoms + 1);
	char *message;
	struct facts *shared =
		mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	if (!fates || shared == MAP_FAILED)
		die("memory");
	message = (char *)shared + 4096;
	memset(fates, fate, r->m.n_atoms);
	model_build(&r->m, cut, fates);
	free(fates);
	live_of(r, live);
	*dest = r->dest ? model_hash_at(&r->m, r->dest) : 0;
	pid = fork();
	if (pid == 0) {
		own_mounts();
		if (check_write(&r->m, r->root, NULL))
			die("cannot write the state");
		_exit((r->check ? check_command(r->root, r->check, shared, message, 1000)
				: check_store(r->root, r->live, shared, message, 1000)) != 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
		fprintf(stderr, "replayer: the %s state is not sound: %s\n", cut ? "last" : "first",
			message);
		exit(125);
	}
	*out = *shared;
	munmap(shared, 8192);
}

/* --- in and out --------------------------------------------------------------------------------- */

static void plan(struct replayer *r)
{
	uint32_t *atoms = calloc(r->m.n_atoms + 1, sizeof(*atoms));
	double total = 1;

	if (!atoms)
		die("memory");
	for (size_t cut = 0; cut <= r->m.n_ops; cut++) {
		size_t n = volatile_atoms(&r->m, cut, atoms);

		total += (double)(2 * n) + (double)(n > 1 ? r->random : 0);
	}
	free(atoms);
	r->share = r->budget && total > (double)r->budget ? (double)r->budget / total : 1;
}

static void put_text(const char *text)
{
	putchar('"');
	for (; *text; text++)
		if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else
			putchar((unsigned char)*text < ' ' ? ' ' : *text);
	putchar('"');
}

static const char *sync_class(const struct model *m, const struct op *o)
{
	switch (o->r.op) {
	case LOG_SYNC:
		return o->node >= 0 && S_ISDIR(m->nodes[o->node].base_mode) ? "folder" : "file";
	case LOG_DATASYNC:
		return "data";
	case LOG_SYNC_ALL:
		return "all";
	case LOG_WRITE:
		return o->r.flags & LOG_DURABLE ? "durable" : NULL;
	default:
		return NULL;
	}
}

static void put_syncs(const struct model *m)
{
	const char *comma = "";
	char path[4096];

	printf("[");
	for (size_t i = 0; i < m->n_ops; i++) {
		const char *class = sync_class(m, &m->ops[i]);

		if (!class)
			continue;
		path[0] = '\0';
		if (m->ops[i].node >= 0)
			model_path(m, m->ops[i].node, path, sizeof(path));
		printf("%s{\"record\":%zu,\"class\":\"%s\",\"path\":", comma, i, class);
		put_text(path);
		printf("}");
		comma = ",";
	}
	printf("]\n");
}

static void put_result(struct replayer *r)
{
	struct shared *s = r->shared;
	unsigned long n = atomic_load(&s->violations);

	printf("{\"records\":%zu,\"atoms\":%zu,\"states\":%lu,\"distinct\":%lu,\"repeats\":%lu,"
	       "\"share\":%.4f,\"old\":\"%s\",\"new\":\"%s\",\"old_base\":\"%s\","
	       "\"new_base\":\"%s\",\"violations\":%lu,\"texts\":[",
	       r->m.n_ops, r->m.n_atoms, atomic_load(&s->states), atomic_load(&s->distinct),
	       atomic_load(&s->repeats), r->share, r->old.ref, r->new.ref, r->old.base, r->new.base,
	       n);
	for (unsigned long i = 0; i < n && i < VIOLATIONS; i++) {
		printf("%s", i ? "," : "");
		put_text(s->texts[i]);
	}
	printf("]}\n");
}

/* "data,durable": a set of classes. */
static unsigned drop_set(const char *list)
{
	static const char *const names[] = { "file", "folder", "data", "all", "durable" };
	unsigned drop = 0;

	while (list && *list) {
		size_t n = strcspn(list, ",");
		unsigned i = 0;

		while (i < 5 && (strncmp(list, names[i], n) != 0 || names[i][n]))
			i++;
		if (i == 5) {
			errno = EINVAL;
			die(list);
		}
		drop |= 1U << i;
		list += n + (list[n] == ',');
	}
	return drop;
}

static void parse(struct replayer *r, int argc, char **argv)
{
	const struct {
		const char *name;
		const char **text;
		unsigned long *number;
		bool *flag;
	} table[] = {
		{ "log", &r->log, NULL, NULL },
		{ "root", &r->root, NULL, NULL },
		{ "live", &r->live, NULL, NULL },
		{ "check", &r->check, NULL, NULL },
		{ "repeat", &r->repeat, NULL, NULL },
		{ "drop", &r->drop, NULL, NULL },
		{ "dest", &r->dest, NULL, NULL },
		{ "record", &r->record, NULL, NULL },
		{ "seed", NULL, &r->seed, NULL },
		{ "random", NULL, &r->random, NULL },
		{ "budget", NULL, &r->budget, NULL },
		{ "jobs", NULL, &r->jobs, NULL },
		{ "every", NULL, &r->every, NULL },
		{ "drop-record", NULL, &r->drop_record, NULL },
		{ "first", NULL, NULL, &r->first },
		{ "loose", NULL, NULL, &r->loose },
		{ "syncs", NULL, NULL, &r->syncs },
	};
	enum { N = sizeof(table) / sizeof(table[0]) };
	struct option options[N + 1] = { { NULL, 0, NULL, 0 } };
	int i;

	for (i = 0; i < N; i++)
		options[i] = (struct option){ table[i].name, !table[i].flag, NULL, 0 };
	while (getopt_long(argc, argv, "", options, &i) == 0) {
		if (table[i].text)
			*table[i].text = optarg;
		else if (table[i].number)
			*table[i].number = strtoul(optarg, NULL, 10);
		else
			*table[i].flag = true;
	}
	if (optind < argc || !r->log || (!r->root && !r->syncs) || !r->every) {
		errno = EINVAL;
		die("usage");
	}
}

static void prepare(struct replayer *r)
{
	r->shared = mmap(NULL, sizeof(*r->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	r->old_live = calloc(r->m.n_slots + 1, sizeof(uint64_t));
	r->new_live = calloc(r->m.n_slots + 1, sizeof(uint64_t));
	r->now_live = calloc(r->m.n_slots + 1, sizeof(uint64_t));
	if (r->shared == MAP_FAILED || !r->old_live || !r->new_live || !r->now_live)
		die("memory");
	model_force(&r->m, 0, -1);
	look_at_end(r, 0, LOST, &r->old, r->old_live, &r->old_dest);
	look_at_end(r, r->m.n_ops, KEPT, &r->new, r->new_live, &r->new_dest);
	r->new_record = r->record ? model_hash_at(&r->m, r->record) : 0;
	model_force(&r->m, drop_set(r->drop), (long)r->drop_record);
	plan(r);
}

int main(int argc, char **argv)
{
	static struct replayer r = {
		.live = "data/lakehouse", .random = 20, .jobs = 2, .every = 50, .drop_record = -1UL
	};
	int rc;

	parse(&r, argc, argv);
	rc = model_load(&r.m, r.log);
	if (rc) {
		errno = -rc;
		die(r.log);
	}
	if (r.syncs) {
		put_syncs(&r.m);
		return 0;
	}
	if (r.m.mapped[0]) {
		fprintf(stderr, "replayer: %s is mapped writable: its stores were not seen\n",
			r.m.mapped);
		return 125;
	}
	prepare(&r);
	run(&r);
	put_result(&r);
	return atomic_load(&r.shared->violations) ? 1 : 0;
}
