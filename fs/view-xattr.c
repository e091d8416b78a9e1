/*
 * Extended attributes. Those that tell provenance (user.tvfs.*) are answered from what the view knows,
 * cannot be set, and are absent from lists, so that copies do not carry them on. All others are the
 * overlay file's own; what is frozen has none.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "fs/view-priv.h"

static bool is_ours(const char *name)
{
	return !strncmp(name, TV_XATTR_PREFIX, strlen(TV_XATTR_PREFIX));
}

/* ACLs would bind on disk and not in the view, where the kernel checks mode bits. */
static bool is_refused(const char *name)
{
	return !strncmp(name, "system.", strlen("system."));
}

static bool is_privileged(const char *name)
{
	return !strncmp(name, "trusted.", strlen("trusted."));
}

/* What is frozen has no attributes; what a disk says of a name then. */
static int none_of(const char *name)
{
	static const char *const spaces[] = { "user.", "trusted.", "security." };
	for (size_t i = 0; i < TV_ARRAY_LEN(spaces); i++)
		if (!strncmp(name, spaces[i], strlen(spaces[i])))
			return name[strlen(spaces[i])] ? -ENODATA : -EINVAL;
	return -EOPNOTSUPP;
}

static ssize_t give(const char *text, void *value, size_t size)
{
	size_t n = strlen(text);
	if (size == 0)
		return (ssize_t)n;
	if (size < n)
		return -ERANGE;
	memcpy(value, text, n);
	return (ssize_t)n;
}

/* Lock: reading. */
static ssize_t give_sha(struct tv_view *v, struct tv_inode *inode, void *value, size_t size)
{
	const struct tv_inode *parent = inode->link.parent;
	struct tv_spot spot = { .lower_name = inode->link.name };
	char hex[TV_SHA_HEX];
	struct tv_entry e;

	if (inode->state & TV_INODE_UPPER)
		return -ENODATA;
	if (inode->state & TV_INODE_ROOT)
		return give(v->foundation, value, size);
	if (inode->state & TV_INODE_FALLBACK)
		parent = v->volume[TV_VOL_LAKEHOUSE];
	if (!spot.lower_name || !(parent->state & TV_INODE_FROZEN))
		return -ENODATA;
	if (inode->state & TV_INODE_FALLBACK) {
		const struct tv_routed *route =
			tv_route_by_place(&v->routes, inode->link.parent, inode->link.name,
					  strlen(inode->link.name));
		if (!route)
			return -ENODATA;
		spot.lower_name = route->lakehouse_name;
	}
	int r = tv_dir_lookup(v->nodes, &parent->addr, spot.lower_name, strlen(spot.lower_name), &e,
			      NULL, NULL);
	if (r < 0)
		return r == -ENOENT ? -ENODATA : r;
	tv_sha_hex(&e.sha, hex);
	return give(hex, value, size);
}

/* Lock: reading. */
static ssize_t give_ours(struct tv_view *v, struct tv_inode *inode, const char *name, void *value,
			 size_t size)
{
	name += strlen(TV_XATTR_PREFIX);
	if (inode->volume != TV_VOL_LAKEHOUSE && !(inode->state & TV_INODE_FALLBACK))
		return -ENODATA;
	if (!strcmp(name, "layer"))
		return give(inode->state & TV_INODE_UPPER ? "overlay" : "foundation", value, size);
	if (!strcmp(name, "foundation"))
		return give(v->foundation, value, size);
	if (!strcmp(name, "commit") && v->commit[0])
		return give(v->commit, value, size);
	if (!strcmp(name, "sha256"))
		return give_sha(v, inode, value, size);
	return -ENODATA;
}

/* Opens an overlay inode as a place and names it through /proc: attribute calls have no form for a
 * folder and a name. The descriptor, or -errno. Lock: reading. */
static int attr_path(struct tv_view *v, struct tv_inode *inode, char path[TV_PROC_FD])
{
	tv_autodirfd struct tv_dirfd dir = TV_DIRFD_INIT;
	const char *name;

	int r = tv_inode_at(v, inode, &dir, &name);
	if (r < 0)
		return r;
	int fd = *name ? openat(dir.fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC)
		       : fcntl(dir.fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	tv_proc_fd(fd, path);
	return fd;
}

ssize_t tv_view_getxattr(struct tv_view *v, struct tv_inode *given, const char *name, void *value,
			 size_t size)
{
	struct tv_inode *inode;
	char path[TV_PROC_FD];
	ssize_t r;

	tv_ns_read(v);
	if (tv_inode_live(v, given, &inode) < 0)
		inode = tv_inode_ref(&v->inodes, given);
	if (is_ours(name)) {
		r = give_ours(v, inode, name, value, size);
	} else if (is_refused(name)) {
		r = -EOPNOTSUPP;
	} else if (!(inode->state & TV_INODE_UPPER)) {
		r = none_of(name);
	} else {
		tv_autoclose int fd = attr_path(v, inode, path);
		r = fd < 0 ? fd : getxattr(path, name, value, size);
		if (fd >= 0 && r < 0)
			r = -errno;
	}
	tv_ns_done(v);
	tv_inode_put(&v->inodes, inode);
	return r;
}

/* Takes our own names out of a list, and those that only root is to see. */
static ssize_t without_ours(char *list, size_t n, const struct tv_caller *who)
{
	size_t kept = 0;
	for (size_t at = 0, len; at < n; at += len) {
		len = strnlen(list + at, n - at) + 1;
		if (is_ours(list + at) || is_refused(list + at) ||
		    (who->uid != 0 && is_privileged(list + at)))
			continue;
		memmove(list + kept, list + at, len);
		kept += len;
	}
	return (ssize_t)kept;
}

static ssize_t list_upper(struct tv_view *v, struct tv_inode *inode, const struct tv_caller *who,
			  char *list, size_t size)
{
	char path[TV_PROC_FD];
	tv_autoclose int fd = attr_path(v, inode, path);
	if (fd < 0)
		return fd;
	ssize_t n = listxattr(path, NULL, 0);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	tv_autofree char *all = malloc((size_t)n);
	if (!all)
		return -ENOMEM;
	n = listxattr(path, all, (size_t)n);
	if (n < 0)
		return -errno;
	n = without_ours(all, (size_t)n, who);
	if (size == 0)
		return n;
	if ((size_t)n > size)
		return -ERANGE;
	memcpy(list, all, (size_t)n);
	return n;
}

ssize_t tv_view_listxattr(struct tv_view *v, struct tv_inode *given, const struct tv_caller *who,
			  char *list, size_t size)
{
	struct tv_inode *inode;

	tv_ns_read(v);
	if (tv_inode_live(v, given, &inode) < 0)
		inode = tv_inode_ref(&v->inodes, given);
	ssize_t r = inode->state & TV_INODE_UPPER ? list_upper(v, inode, who, list, size) : 0;
	tv_ns_done(v);
	tv_inode_put(&v->inodes, inode);
	return r;
}

static int change_xattr(struct tv_view *v, struct tv_inode *given, const char *name,
			const void *value, size_t size, int flags)
{
	struct tv_inode *inode;
	char path[TV_PROC_FD];

	tv_ns_read(v);
	int r = tv_inode_live(v, given, &inode);
	tv_ns_done(v);
	if (r < 0)
		return r;
	bool frozen = !(tv_inode_state(v, inode) & TV_INODE_UPPER);
	if (!tv_inode_writable(v, inode))
		r = -EROFS;
	else if (is_ours(name))
		r = -EPERM;
	else if (is_refused(name))
		r = -EOPNOTSUPP;
	else if (frozen && (!value || (flags & XATTR_REPLACE) || none_of(name) != -ENODATA))
		r = none_of(name); /* nothing needs to be copied to find out */
	if (r == 0)
		r = tv_copy_up(v, inode, TV_ALL_BYTES);
	if (r == 0) {
		tv_ns_read(v);
		tv_autoclose int fd = attr_path(v, inode, path);
		if (fd < 0)
			r = fd;
		else if ((value ? setxattr(path, name, value, size, flags)
				: removexattr(path, name)) < 0)
			r = -errno;
		tv_ns_done(v);
	}
	tv_inode_put(&v->inodes, inode);
	return r;
}

int tv_view_setxattr(struct tv_view *v, struct tv_inode *inode, const char *name, const void *value,
		     size_t size, int flags)
{
	return change_xattr(v, inode, name, value ? value : "", size, flags);
}

int tv_view_removexattr(struct tv_view *v, struct tv_inode *inode, const char *name)
{
	return change_xattr(v, inode, name, NULL, 0, 0);
}
