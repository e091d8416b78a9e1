/* Modes, owners and times. */
#include "differential.h"

static void choose_chmod(struct chooser *ch, struct call *c)
{
	any_path(ch, c->path[0]);
	c->n[0] = any_mode(ch);
}

static void run_chmod(struct worker *w, const struct call *c)
{
	if (BOTH(w, "chmod", fchmodat(w->base[side], c->path[0], (mode_t)c->n[0], 0)))
		compare_stat(w, c->path[0], 0);
}

static void choose_fchmod(struct chooser *ch, struct call *c)
{
	c->slot[0] = any_slot(ch);
	c->n[0] = any_mode(ch);
}

static void run_fchmod(struct worker *w, const struct call *c)
{
	struct slot *s = &w->slots[c->slot[0]];
	if (!s->open) {
		idle(w);
		return;
	}
	BOTH(w, "fchmod", fchmod(s->fd[side], (mode_t)c->n[0]));
	compare_fstat(w, s);
}

static void any_owner(struct chooser *ch, long long n[2])
{
	for (int i = 0; i < 2; i++)
		n[i] = chance(ch, 30) ? -1 : chance(ch, 50) ? 0 : 1000 + (long long)below(ch, 3);
}

static void choose_chown(struct chooser *ch, struct call *c)
{
	any_path(ch, c->path[0]);
	any_owner(ch, c->n);
	c->n[2] = chance(ch, 50) ? AT_SYMLINK_NOFOLLOW : 0;
}

/* Leaving both as they are takes set-id bits away, so ext4 lets only the owner do it. To a daemon it is the
 * same request as the one before anybody's write. */
static bool is_like_a_write(const struct call *c)
{
	return (int)c->n[0] == -1 && (int)c->n[1] == -1 && geteuid() != 0;
}

static void run_chown(struct worker *w, const struct call *c)
{
	int flags = (int)c->n[2];
	if (is_like_a_write(c)) {
		idle(w);
		return;
	}
	if (BOTH(w, "chown",
		 fchownat(w->base[side], c->path[0], (uid_t)c->n[0], (gid_t)c->n[1], flags)))
		compare_stat(w, c->path[0], flags);
}

static void choose_fchown(struct chooser *ch, struct call *c)
{
	c->slot[0] = any_slot(ch);
	any_owner(ch, c->n);
}

static void run_fchown(struct worker *w, const struct call *c)
{
	struct slot *s = &w->slots[c->slot[0]];
	if (!s->open || is_like_a_write(c)) {
		idle(w);
		return;
	}
	BOTH(w, "fchown", fchown(s->fd[side], (uid_t)c->n[0], (gid_t)c->n[1]));
	compare_fstat(w, s);
}

static void choose_utimens(struct chooser *ch, struct call *c)
{
	any_path(ch, c->path[0]);
	any_times(ch, c->n);
	c->n[4] = chance(ch, 60) ? AT_SYMLINK_NOFOLLOW : 0;
}

static void run_utimens(struct worker *w, const struct call *c)
{
	const struct timespec times[2] = { { c->n[0], c->n[1] }, { c->n[2], c->n[3] } };
	int flags = (int)c->n[4];

	if (!BOTH(w, "utimens", utimensat(w->base[side], c->path[0], times, flags)))
		return;
	compare_times_set(w, c->path[0], flags, times);
	compare_stat(w, c->path[0], flags);
}

static void choose_futimens(struct chooser *ch, struct call *c)
{
	c->slot[0] = any_slot(ch);
	any_times(ch, c->n);
}

static void run_futimens(struct worker *w, const struct call *c)
{
	const struct timespec times[2] = { { c->n[0], c->n[1] }, { c->n[2], c->n[3] } };
	struct slot *s = &w->slots[c->slot[0]];

	if (!s->open) {
		idle(w);
		return;
	}
	BOTH(w, "futimens", futimens(s->fd[side], times));
	compare_fstat(w, s);
}

const struct op ops_attr[] = {
	{ "chmod", "po", 28, choose_chmod, run_chmod, NULL, 0 },
	{ "fchmod", "so", 12, choose_fchmod, run_fchmod, NULL, 0 },
	{ "chown", "pddx", 20, choose_chown, run_chown, NULL, ROOT_ONLY },
	{ "fchown", "sdd", 8, choose_fchown, run_fchown, NULL, ROOT_ONLY },
	{ "utimens", "pddddx", 35, choose_utimens, run_utimens, NULL, 0 },
	{ "futimens", "sdddd", 15, choose_futimens, run_futimens, NULL, 0 },
	{ .name = NULL },
};
