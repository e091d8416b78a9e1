/* Names: making, removing, renaming, linking; looking at them. */
#include "differential.h"

#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>

static void choose_mkdir(struct chooser *ch, struct call *c)
{
	any_path(ch, c->path[0]);
	c->n[0] = chance(ch, 80) ? 0755 : any_mode(ch);
}

static void run_mkdir(struct worker *w, const struct call *c)
{
	if (BOTH(w, "mkdir", mkdirat(w->base[side], c->path[0], (mode_t)c->n[0])))
		compare_stat(w, c->path[0], 0);
}

static void choose_mknod(struct chooser *ch, struct call *c)
{
	static const mode_t types[] = { S_IFIFO, S_IFREG, S_IFREG, S_IFSOCK };
	any_path(ch, c->path[0]);
	c->n[0] = ONE_OF(ch, types) | 0644;
}

static void run_mknod(struct worker *w, const struct call *c)
{
	if (BOTH(w, "mknod", mknodat(w->base[side], c->path[0], (mode_t)c->n[0], 0)))
		compare_stat(w, c->path[0], AT_SYMLINK_NOFOLLOW);
}

static void choose_remove(struct chooser *ch, struct call *c)
{
	any_path(ch, c->path[0]);
	c->n[0] = chance(ch, 25) ? AT_REMOVEDIR : 0;
}

static void run_remove(struct worker *w, const struct call *c)
{
	BOTH(w, c->n[0] ? "rmdir" : "unlink", unlinkat(w->base[side], c->path[0], (int)c->n[0]));
}

static void choose_rename(struct chooser *ch, struct call *c)
{
	choose_two_paths(ch, c);
	unsigned pick = below(ch, 100);
	c->n[0] = pick < 15   ? RENAME_NOREPLACE
		  : pick < 30 ? RENAME_EXCHANGE
		  : pick < 31 ? RENAME_WHITEOUT
		  : pick < 32 ? RENAME_NOREPLACE | RENAME_EXCHANGE
			      : 0;
}

static void run_rename(struct worker *w, const struct call *c)
{
	unsigned flags = (unsigned)c->n[0];
	/* Whiteouts are the overlay's own means: the view makes none, where ext4 may. */
	if (flags & RENAME_WHITEOUT) {
		struct stat st; /* of two names of one file it succeeds, and does nothing */
		if (renameat2(w->base[B], c->path[0], w->base[B], c->path[1], flags) == 0 &&
		    (fstatat(w->base[B], c->path[0], &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		     S_ISCHR(st.st_mode)))
			differ(w, "whiteout", "RENAME_WHITEOUT makes a whiteout in the view");
		return;
	}
	if (BOTH(w, "rename",
		 renameat2(w->base[side], c->path[0], w->base[side], c->path[1], flags))) {
		compare_stat(w, c->path[0], AT_SYMLINK_NOFOLLOW);
		compare_stat(w, c->path[1], AT_SYMLINK_NOFOLLOW);
	}
}

static void choose_link(struct chooser *ch, struct call *c)
{
	choose_two_paths(ch, c);
	c->n[0] = chance(ch, 30) ? AT_SYMLINK_FOLLOW : 0;
}

static void run_link(struct worker *w, const struct call *c)
{
	if (BOTH(w, "link",
		 linkat(w->base[side], c->path[0], w->base[side], c->path[1], (int)c->n[0])))
		compare_stat(w, c->path[1], AT_SYMLINK_NOFOLLOW);
}

static void choose_symlink(struct chooser *ch, struct call *c)
{
	/* What ".." leads out to has two names behind it and is nowhere. Then: to itself, to nothing. */
	static const char *const targets[] = { "../dir/a", "../sub/x", "../dir/sub/b",	"a",
					       "b",	   "sub",      "no/such/place", "." };
	choose_two_paths(ch, c);
	if (chance(ch, 40))
		snprintf(c->path[0], PATH_SIZE, "%s", ONE_OF(ch, targets));
	else if (chance(ch, 5))
		memset(c->path[0], 't', PATH_SIZE - 1);
}

static void run_symlink(struct worker *w, const struct call *c)
{
	if (!BOTH(w, "symlink", symlinkat(c->path[0], w->base[side], c->path[1])))
		return;
	compare_link(w, c->path[1]);
	compare_stat(w, c->path[1], AT_SYMLINK_NOFOLLOW);
}

/* --- looking ------------------------------------------------------------------------------- */

static void choose_stat(struct chooser *ch, struct call *c)
{
	any_path(ch, c->path[0]);
	c->n[0] = chance(ch, 50) ? AT_SYMLINK_NOFOLLOW : 0;
}

static void run_stat(struct worker *w, const struct call *c)
{
	compare_stat(w, c->path[0], (int)c->n[0]);
}

static void choose_list(struct chooser *ch, struct call *c)
{
	any_path(ch, c->path[0]);
	if (chance(ch, 30))
		snprintf(c->path[0], PATH_SIZE, chance(ch, 70) ? "." : "wide");
}

static void run_list(struct worker *w, const struct call *c)
{
	compare_list(w, c->path[0]);
}

static void run_readlink(struct worker *w, const struct call *c)
{
	compare_link(w, c->path[0]);
}

static void choose_access(struct chooser *ch, struct call *c)
{
	static const int flags[] = { 0, 0, AT_EACCESS, AT_SYMLINK_NOFOLLOW };
	any_path(ch, c->path[0]);
	c->n[0] = below(ch, 8);
	c->n[1] = ONE_OF(ch, flags);
}

static void run_access(struct worker *w, const struct call *c)
{
	BOTH(w, "access", faccessat(w->base[side], c->path[0], (int)c->n[0], (int)c->n[1]));
}

/* The kind of filesystem, its number and flags (nosuid, nodev) are its own; what is free changes. */
static void run_statfs(struct worker *w, const struct call *c)
{
	struct statvfs v[SIDES];
	char proc[SIDES][PROC_SIZE];

	proc_path(proc[A], w->base[A], c->path[0]);
	proc_path(proc[B], w->base[B], c->path[0]);
	if (!BOTH(w, "statvfs", statvfs(proc[side], &v[side])))
		return;
	if (v[A].f_bsize != v[B].f_bsize || v[A].f_frsize != v[B].f_frsize ||
	    v[A].f_blocks != v[B].f_blocks || v[A].f_files != v[B].f_files ||
	    v[A].f_namemax != v[B].f_namemax)
		differ(w, "statvfs", "%s: statvfs tells of other sizes", c->path[0]);
}

/* Flags of inodes (lsattr, chattr): FUSE passes no such call on, so the view has none. */
static void run_inode_flags(struct worker *w, const struct call *c)
{
	int fd = openat(w->base[B], c->path[0], O_RDONLY | O_NONBLOCK | O_CLOEXEC), flags = 0;
	if (fd < 0) {
		idle(w);
		return;
	}
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 || errno != ENOTTY)
		differ(w, "inode flags", "%s: FS_IOC_GETFLAGS is not ENOTTY: %s", c->path[0],
		       strerrorname_np(errno));
	close(fd);
}

/* --- what legacy scripts do to a JSON file: temp file, rename over it ---------------------- */

static void choose_replace(struct chooser *ch, struct call *c)
{
	any_path(ch, c->path[0]);
	c->n[0] = any_length(ch);
	c->n[1] = below(ch, 26);
}

static void run_replace(struct worker *w, const struct call *c)
{
	char temp[PATH_SIZE + 8];
	size_t n = (size_t)c->n[0] % BUFFER;
	int fd[SIDES];

	snprintf(temp, sizeof(temp), "%s.tmp", c->path[0]);
	memset(w->buffer[A], (int)('a' + c->n[1]), n);
	if (!BOTH(w, "open temp",
		  (fd[side] = openat(w->base[side], temp,
				     O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)) < 0
			  ? -1
			  : 0))
		return;
	BOTH(w, "write temp", write(fd[side], w->buffer[A], n));
	close(fd[A]);
	close(fd[B]);
	if (!BOTH(w, "rename temp", renameat(w->base[side], temp, w->base[side], c->path[0])))
		BOTH(w, "unlink temp", unlinkat(w->base[side], temp, 0));
}

const struct op ops_names[] = {
	{ "mkdir", "po", 50, choose_mkdir, run_mkdir, NULL, MAKES_NAMES },
	{ "mknod", "po", 18, choose_mknod, run_mknod, NULL, MAKES_NAMES },
	{ "remove", "px", 85, choose_remove, run_remove, NULL, MAKES_NAMES },
	{ "rename", "ppx", 100, choose_rename, run_rename, NULL, MAKES_NAMES },
	{ "link", "ppx", 30, choose_link, run_link, NULL, MAKES_NAMES },
	{ "symlink", "pp", 22, choose_symlink, run_symlink, NULL, MAKES_NAMES },
	{ "stat", "px", 70, choose_stat, run_stat, NULL, 0 },
	{ "list", "p", 30, choose_list, run_list, NULL, 0 },
	{ "readlink", "p", 8, choose_path, run_readlink, NULL, 0 },
	{ "access", "pxx", 25, choose_access, run_access, NULL, 0 },
	{ "statfs", "p", 4, choose_path, run_statfs, NULL, 0 },
	{ "inode_flags", "p", 2, choose_path, run_inode_flags, NULL, 0 },
	{ "replace", "pdd", 45, choose_replace, run_replace, NULL, MAKES_NAMES },
	{ .name = NULL },
};
