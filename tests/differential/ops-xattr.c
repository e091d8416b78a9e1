/* Extended attributes, by path (following links or not) and by open file. */
#include "differential.h"

#include <string.h>
#include <sys/xattr.h>

/* How a call names the file: its last number. */
enum { FOLLOW, NO_FOLLOW, BY_FD, HOWS };

/* The path for one side; for BY_FD the slot is used. False: there is nothing. */
static bool target(struct worker *w, const struct call *c, int how, char proc[SIDES][PROC_SIZE])
{
	const struct slot *s = &w->slots[c->slot[0]];

	if (how == BY_FD && !s->open) {
		idle(w);
		return false;
	}
	proc_path(proc[A], w->base[A], c->path[0]);
	proc_path(proc[B], w->base[B], c->path[0]);
	return true;
}

/* ext4 has lists of access; the view refuses them (docs/notes-fs.md), so only the view is asked. */
static bool refused(struct worker *w, const char *name, long result)
{
	if (strncmp(name, "system.", 7) != 0)
		return false;
	if (result >= 0)
		differ(w, "ACL", "%s can be set in the view", name);
	return true;
}

static void choose_xattr(struct chooser *ch, struct call *c)
{
	static const char *const names[] = {
		"user.a",   "user.a",	      "user.b",
		"user.b",   "user.long.name", "user.",
		"nonsense", "trusted.t",      "system.posix_acl_access"
	};
	c->slot[0] = any_slot(ch);
	any_path(ch, c->path[0]);
	snprintf(c->path[1], PATH_SIZE, "%s", ONE_OF(ch, names));
	if (chance(ch, 1)) { /* around the limit of names */
		unsigned n = 250 + below(ch, 8);
		memcpy(c->path[1], "user.", 5);
		memset(c->path[1] + 5, 'n', n - 5);
		c->path[1][n] = '\0';
	}
	c->n[0] = below(ch, HOWS);
}

static void choose_setxattr(struct chooser *ch, struct call *c)
{
	static const int flags[] = { 0, 0, 0, XATTR_CREATE, XATTR_REPLACE };
	choose_xattr(ch, c);
	c->n[1] = chance(ch, 3) ? 65537 : chance(ch, 3) ? 5000 : below(ch, 150);
	c->n[2] = ONE_OF(ch, flags);
}

static void run_setxattr(struct worker *w, const struct call *c)
{
	char proc[SIDES][PROC_SIZE];
	const char *name = c->path[1];
	int how = (int)c->n[0], flags = (int)c->n[2];
	size_t n = (size_t)c->n[1] % BUFFER;

	if (!target(w, c, how, proc) ||
	    refused(w, name,
		    strncmp(name, "system.", 7) ? -1 : setxattr(proc[B], name, w->buffer[A], n, 0)))
		return;
	memset(w->buffer[A], (int)('a' + n % 26), n);
	BOTH(w, "setxattr",
	     how == BY_FD ? fsetxattr(w->slots[c->slot[0]].fd[side], name, w->buffer[A], n, flags)
	     : how == NO_FOLLOW ? lsetxattr(proc[side], name, w->buffer[A], n, flags)
				: setxattr(proc[side], name, w->buffer[A], n, flags));
}

static void choose_getxattr(struct chooser *ch, struct call *c)
{
	choose_xattr(ch, c);
	c->n[1] = chance(ch, 20) ? 0 : chance(ch, 10) ? 5 : 1000;
}

static void run_getxattr(struct worker *w, const struct call *c)
{
	char proc[SIDES][PROC_SIZE];
	const char *name = c->path[1];
	int how = (int)c->n[0];
	size_t n = (size_t)c->n[1] % BUFFER;
	long got[SIDES];

	if (!target(w, c, how, proc) || !strncmp(name, "system.", 7))
		return;
	if (BOTH(w, "getxattr",
		 got[side] = how == BY_FD	? fgetxattr(w->slots[c->slot[0]].fd[side], name,
							    w->buffer[side], n)
			     : how == NO_FOLLOW ? lgetxattr(proc[side], name, w->buffer[side], n)
						: getxattr(proc[side], name, w->buffer[side], n)) &&
	    n && memcmp(w->buffer[A], w->buffer[B], (size_t)got[A]) != 0)
		differ(w, "xattr value", "%s: attribute %s differs", c->path[0], name);
}

static void run_removexattr(struct worker *w, const struct call *c)
{
	char proc[SIDES][PROC_SIZE];
	const char *name = c->path[1];
	int how = (int)c->n[0];

	if (!target(w, c, how, proc) || !strncmp(name, "system.", 7))
		return;
	BOTH(w, "removexattr",
	     how == BY_FD	? fremovexattr(w->slots[c->slot[0]].fd[side], name)
	     : how == NO_FOLLOW ? lremovexattr(proc[side], name)
				: removexattr(proc[side], name));
}

/* The length of a list: names are compared with the trees. */
static void run_listxattr(struct worker *w, const struct call *c)
{
	char proc[SIDES][PROC_SIZE];
	int how = (int)c->n[0];
	size_t n = (size_t)c->n[1] % BUFFER;

	if (!target(w, c, how, proc))
		return;
	BOTH(w, "listxattr",
	     how == BY_FD	? flistxattr(w->slots[c->slot[0]].fd[side], w->buffer[side], n)
	     : how == NO_FOLLOW ? llistxattr(proc[side], w->buffer[side], n)
				: listxattr(proc[side], w->buffer[side], n));
}

const struct op ops_xattr[] = {
	{ "setxattr", "sppddx", 22, choose_setxattr, run_setxattr, NULL, 0 },
	{ "getxattr", "sppdd", 14, choose_getxattr, run_getxattr, NULL, 0 },
	{ "removexattr", "sppd", 10, choose_xattr, run_removexattr, NULL, 0 },
	{ "listxattr", "sppdd", 8, choose_getxattr, run_listxattr, NULL, 0 },
	{ .name = NULL },
};
