/* What is called next, and with which arguments: of the seed alone. */
#include "differential.h"

#include <string.h>
#include <sys/stat.h>

void chooser_start(struct chooser *ch, uint64_t seed, const struct options *o)
{
	*ch = (struct chooser){ .state = seed * 0x9e3779b97f4a7c15u + 1,
				.options = o,
				.root = geteuid() == 0 };
	for (const struct op *op = NULL; (op = op_next(op));)
		ch->total += op->weight;
}

static uint64_t next_random(struct chooser *ch)
{
	ch->state ^= ch->state << 13;
	ch->state ^= ch->state >> 7;
	ch->state ^= ch->state << 17;
	return ch->state * 0x2545f4914f6cdd1du >> 16;
}

unsigned below(struct chooser *ch, unsigned n)
{
	return (unsigned)(next_random(ch) % n);
}

bool chance(struct chooser *ch, unsigned percent)
{
	return below(ch, 100) < percent;
}

static bool left_out(const struct chooser *ch, const struct op *op)
{
	char wanted[40];
	snprintf(wanted, sizeof(wanted), ",%s,", op->name);
	return ((op->traits & ROOT_ONLY) && !ch->root) || strstr(ch->options->without, wanted);
}

static const struct op *any_op(struct chooser *ch)
{
	unsigned pick = below(ch, ch->total);
	const struct op *op = op_next(NULL);
	for (; pick >= op->weight; op = op_next(op))
		pick -= op->weight;
	return op;
}

void choose_call(struct chooser *ch, struct call *c)
{
	*c = (struct call){ .op = any_op(ch) };
	while (left_out(ch, c->op))
		c->op = any_op(ch);
	c->worker = (int)below(ch, WORKERS);
	if (c->op->choose)
		c->op->choose(ch, c);
}

/* --- paths --------------------------------------------------------------------------------- */

static const char *const names[] = { "a", "b",	 "c",	"d.parquet", "e.json", "f",
				     "g", "dir", "sub", "x",	     "y",      "data.lock" };

/* Few names, so that calls meet; up to three levels. */
static void plain_path(struct chooser *ch, char out[PATH_SIZE])
{
	unsigned depth = 1 + below(ch, 100) / 55 + below(ch, 100) / 80;
	size_t n = 0;
	for (unsigned i = 0; i < depth; i++) {
		bool last = i + 1 == depth;
		/* Folders mostly have folders' names, so that deep paths exist. */
		const char *name =
			!last || chance(ch, 25) ? names[7 + below(ch, 2)] : ONE_OF(ch, names);
		n += (size_t)snprintf(out + n, PATH_SIZE - n, "%s%s", i ? "/" : "", name);
	}
}

static void odd_path(struct chooser *ch, char out[PATH_SIZE])
{
	/* What ".." leads to has two names behind it: outside of the two folders nothing is called so. */
	static const char *const odd[] = {
		"new\nline", "back\\slash", "caf\xe9",	    "sp ace",	"-dash",
		".",	     "dir/.",	    "dir/../sub/a", "sub//dir", "a/",
		"dir/",	     "./sub/",	    "dir/../dir/b", "",		"100%",
		"sub/./x"
	};
	if (chance(ch, 85)) {
		snprintf(out, PATH_SIZE, "%s", ONE_OF(ch, odd));
		return;
	}
	unsigned n = 249 + below(ch, 9); /* around the limit, and around ".wh." + it */
	memset(out, 'n', n);
	out[n] = '\0';
}

void any_path(struct chooser *ch, char out[PATH_SIZE])
{
	unsigned pick = below(ch, 100);
	if (pick < 5)
		odd_path(ch, out);
	else if (pick < 12)
		snprintf(out, PATH_SIZE, "wide/n%03u", below(ch, 150));
	else
		plain_path(ch, out);
}

/* --- numbers ------------------------------------------------------------------------------- */

int any_slot(struct chooser *ch)
{
	return (int)below(ch, SLOTS);
}

long long any_offset(struct chooser *ch)
{
	static const long long far[] = { 0x7fffff00, 0xffffff00, 0x100000000, 0x123456789ab, -1 };
	if (chance(ch, 1))
		return ONE_OF(ch, far);
	return chance(ch, 20)	? 0
	       : chance(ch, 30) ? (long long)below(ch, 16) * BLOCK
				: (long long)below(ch, DATA_MAX / 2);
}

long long any_end(struct chooser *ch)
{
	static const long long last[] = { SIZE_LIMIT - 5000, SIZE_LIMIT - BLOCK, SIZE_LIMIT,
					  SIZE_LIMIT + 1 };
	return below(ch, 500) ? any_offset(ch) : ONE_OF(ch, last);
}

long long any_length(struct chooser *ch)
{
	return chance(ch, 10) ? BLOCK * (1LL + below(ch, 6))
			      : 1LL + below(ch, chance(ch, 80) ? 2000 : DATA_MAX / 2);
}

long long any_mode(struct chooser *ch)
{
	static const long long common[] = {
		0644, 0755, 0600, 0664, 0777, 01777, 0555, 02775, 04755
	};
	return chance(ch, 50)	? ONE_OF(ch, common)
	       : chance(ch, 80) ? 0600 | below(ch, 01000)
				: below(ch, 010000);
}

void any_times(struct chooser *ch, long long n[4])
{
	for (int i = 0; i < 4; i += 2) {
		n[i] = below(ch, OLD);
		n[i + 1] = chance(ch, 15)   ? UTIME_OMIT
			   : chance(ch, 15) ? UTIME_NOW
					    : (long long)below(ch, 1000000000);
	}
	if (chance(ch, 1))
		n[1] = 1000000000; /* EINVAL */
}

/* --- arguments of several ops -------------------------------------------------------------- */

void choose_slot(struct chooser *ch, struct call *c)
{
	c->slot[0] = any_slot(ch);
}

void choose_path(struct chooser *ch, struct call *c)
{
	any_path(ch, c->path[0]);
}

void choose_two_paths(struct chooser *ch, struct call *c)
{
	any_path(ch, c->path[0]);
	any_path(ch, c->path[1]);
}
