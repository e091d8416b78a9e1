#include "tools/run/namespace.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/path.h"
#include "tools/run/mountinfo.h"

void tv_namespaces_close(struct tv_namespaces *n)
{
	tv_close_p(&n->user);
	tv_close_p(&n->mount);
	tv_close_p(&n->net);
	*n = (struct tv_namespaces)TV_NAMESPACES_NONE;
}

void tv_namespace_source(const struct tv_sha *foundation, char out[TV_SOURCE_TEXT])
{
	char hex[TV_SHA_HEX];
	tv_sha_hex(foundation, hex);
	snprintf(out, TV_SOURCE_TEXT, "tvfs:%.12s", hex);
}

static int write_proc(const char *path, const char *text, struct tv_err *err)
{
	tv_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : tv_io_write_all(fd, text, strlen(text));
	return r < 0 ? tv_err_sys(err, r, "cannot write %s", path) : 0;
}

/* Maps only ourselves: one uid and one gid, to the same numbers. */
static int map_self(uid_t uid, gid_t gid, struct tv_err *err)
{
	char line[64];
	int r = write_proc("/proc/self/setgroups", "deny", err);
	snprintf(line, sizeof(line), "%u %u 1", uid, uid);
	if (r == 0)
		r = write_proc("/proc/self/uid_map", line, err);
	snprintf(line, sizeof(line), "%u %u 1", gid, gid);
	return r < 0 ? r : write_proc("/proc/self/gid_map", line, err);
}

/* True when a sysctl has this number. */
static bool sysctl_is(const char *path, char value)
{
	char first = 0;
	tv_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, &first, 1) == 1 && first == value;
}

/* Why this user cannot have namespaces, and what an administrator can do about it. */
static const char *namespace_hint(void)
{
	if (sysctl_is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", '1'))
		return "AppArmor restricts user namespaces here: install tvfs' AppArmor profile, or "
		       "set kernel.apparmor_restrict_unprivileged_userns=0";
	if (sysctl_is("/proc/sys/kernel/unprivileged_userns_clone", '0'))
		return "set kernel.unprivileged_userns_clone=1, or run as root";
	if (sysctl_is("/proc/sys/user/max_user_namespaces", '0'))
		return "set user.max_user_namespaces above 0, or run as root";
	return "a container or a seccomp filter seems to forbid it: allow user and mount namespaces "
	       "there, or run as root";
}

/* Brings `lo` up in a new network namespace. */
static int loopback_up(struct tv_err *err)
{
	struct ifreq request = { .ifr_name = "lo" };
	tv_autoclose int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || ioctl(sock, SIOCGIFFLAGS, &request) < 0)
		return tv_err_sys(err, -errno, "cannot see the network interface 'lo'");
	request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
	if (ioctl(sock, SIOCSIFFLAGS, &request) < 0)
		return tv_err_sys(err, -errno, "cannot bring the network interface 'lo' up");
	return 0;
}

int tv_namespace_enter(bool network, bool *user_made, struct tv_err *err)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int flags = CLONE_NEWNS | (network ? 0 : CLONE_NEWNET);
	const char *what = network ? "a mount namespace" : "mount and network namespaces";

	/* Root without CAP_SYS_ADMIN (in a container) is as good as a user. */
	*user_made = false;
	if (uid != 0 || unshare(flags) < 0) {
		if (unshare(flags | CLONE_NEWUSER) < 0) {
			tv_err_sys(err, -errno, "cannot make %s", what);
			return tv_err_wrap(err, err ? err->code : -EPERM, "%s", namespace_hint());
		}
		*user_made = true;
		int r = map_self(uid, gid, err);
		if (r < 0)
			return tv_err_wrap(err, r, "%s", namespace_hint());
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) {
		tv_err_sys(err, -errno, "cannot make the mounts private");
		return tv_err_wrap(err, -EPERM, "%s", namespace_hint());
	}
	return network ? 0 : loopback_up(err);
}

static int open_own(const char *path, int *fd, struct tv_err *err)
{
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	return *fd < 0 ? tv_err_sys(err, -errno, "cannot open %s", path) : 0;
}

int tv_namespace_open(bool user_made, bool network, struct tv_namespaces *out, struct tv_err *err)
{
	struct tv_namespaces n = TV_NAMESPACES_NONE;
	int r = open_own("/proc/self/ns/mnt", &n.mount, err);
	if (r == 0 && user_made)
		r = open_own("/proc/self/ns/user", &n.user, err);
	if (r == 0 && !network)
		r = open_own("/proc/self/ns/net", &n.net, err);
	if (r < 0)
		tv_namespaces_close(&n);
	else
		*out = n;
	return r;
}

int tv_namespace_join(const struct tv_namespaces *n, struct tv_err *err)
{
	/* The user namespace first: it gives the rights for the others. */
	if (n->user >= 0 && setns(n->user, CLONE_NEWUSER) < 0)
		return tv_err_sys(err, -errno, "cannot enter the run's user namespace");
	if (n->net >= 0 && setns(n->net, CLONE_NEWNET) < 0)
		return tv_err_sys(err, -errno, "cannot enter the run's network namespace");
	if (setns(n->mount, CLONE_NEWNS) < 0)
		return tv_err_sys(err, -errno, "cannot enter the run's mount namespace");
	return 0;
}

int tv_namespace_fuse(struct tv_err *err)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		return tv_err_sys(
			err, -errno,
			"cannot open /dev/fuse: load the kernel module (modprobe fuse), or "
			"give the container the device (--device /dev/fuse)");
	if (errno == EACCES || errno == EPERM)
		return tv_err_sys(
			err, -errno,
			"cannot open /dev/fuse: this user needs read and write access to it "
			"(as root: chmod 666 /dev/fuse)");
	return tv_err_sys(err, -errno, "cannot open /dev/fuse");
}

static int make_read_only(const char *path, struct tv_err *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	if (syscall(SYS_mount_setattr, AT_FDCWD, path, AT_RECURSIVE, &attr, sizeof(attr)) == 0)
		return 0;
	return tv_err_sys(err, -errno, "cannot make '%s' and what is mounted below it read-only%s",
			  path, errno == ENOSYS ? " (Linux 5.12 or newer is needed)" : "");
}

/* A place that is opened before the mounts change, so that it stays what it was. */
static int hold(const char *path, struct tv_err *err)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? tv_err_sys(err, -errno, "cannot open folder '%s'", path) : fd;
}

static int bind_fd(int from, const char *to, struct tv_err *err)
{
	char path[40];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", from);
	if (mount(path, to, NULL, MS_BIND | MS_REC, NULL) < 0)
		return tv_err_sys(err, -errno, "cannot show a folder at '%s'", to);
	return 0;
}

static int show_inputs(const struct tv_plan *p, struct tv_err *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < p->n_inputs; i++) {
		tv_autoclose int from = hold(p->inputs[i].from, err);
		if (from < 0)
			return from;
		r = bind_fd(from, p->inputs[i].to, err);
		if (r == 0)
			r = make_read_only(p->inputs[i].to, err);
	}
	return r;
}

static bool below_input(const struct tv_plan *p, const char *path)
{
	for (size_t i = 0; i < p->n_inputs; i++)
		if (tv_path_under(path, p->inputs[i].to))
			return true;
	return false;
}

/* Redirects are opened before the inputs become read-only (a folder of logs may lie in one), and
 * shown after. */
static int show_redirects(const struct tv_plan *p, const int *held, struct tv_err *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < p->n_redirects; i++)
		r = bind_fd(held[i], p->redirects[i].to, err);
	return r;
}

static int mount_fuse(const struct tv_plan *p, int fuse_fd, struct tv_err *err)
{
	char options[160], source[TV_SOURCE_TEXT];
	tv_namespace_source(&p->commit.root.sha, source);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%u,group_id=%u,%s%s",
		 fuse_fd, geteuid(), getegid(), "default_permissions",
		 geteuid() == 0 ? ",allow_other" : "");
	if (mount(source, p->data_dir, "fuse.tvfs", MS_NOSUID | MS_NODEV, options) == 0)
		return 0;
	if (errno == ENODEV)
		return tv_err_sys(err, -errno,
				  "this kernel has no FUSE; load its module (modprobe fuse)");
	return tv_err_sys(err, -errno, "cannot mount the view on '%s'", p->data_dir);
}

static int before_held(const struct tv_plan *p, int fuse_fd, int run_dir, int *held,
		       struct tv_err *err)
{
	for (size_t i = 0; i < p->n_redirects; i++) {
		held[i] = hold(p->redirects[i].from, err);
		if (held[i] < 0)
			return held[i];
	}
	int r = show_inputs(p, err);
	if (r == 0 && below_input(p, p->run_dir))
		r = bind_fd(run_dir, p->run_dir, err);
	if (r == 0)
		r = show_redirects(p, held, err);
	return r < 0 ? r : mount_fuse(p, fuse_fd, err);
}

/* From mountinfo: a stat would wait for a daemon that does not serve yet. */
static int find_device(const struct tv_plan *p, dev_t *device, struct tv_err *err)
{
	struct tv_mounted there;
	int r = tv_mountinfo_find(p->data_dir, &there, err);
	if (r < 0)
		return r;
	if (r == 0 || strcmp(there.type, TV_MOUNT_TYPE) != 0)
		return tv_err_set(err, -EIO, "the mount on '%s' is not to be seen", p->data_dir);
	*device = there.device;
	return 0;
}

int tv_namespace_before(const struct tv_plan *p, int fuse_fd, dev_t *device, struct tv_err *err)
{
	tv_autoclose int run_dir = hold(p->run_dir, err);
	tv_autofree int *held = calloc(p->n_redirects + 1, sizeof(*held));
	if (run_dir < 0 || !held)
		return run_dir < 0 ? run_dir : tv_err_nomem(err);
	for (size_t i = 0; i < p->n_redirects; i++)
		held[i] = -1;
	int r = before_held(p, fuse_fd, run_dir, held, err);
	for (size_t i = 0; i < p->n_redirects; i++)
		tv_close_p(&held[i]);
	return r < 0 ? r : find_device(p, device, err);
}

/* Binds a folder of the view, seen through `root`, at a path. */
static int bind_view(int root, const char *name, const char *to, struct tv_err *err)
{
	tv_autoclose int from = openat(root, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (from < 0)
		return tv_err_sys(err, -errno, "the view has no '%s'", name);
	return bind_fd(from, to, err);
}

/* The proof that a path shows the view: it is FUSE, and this superblock. */
static int check_view(const char *path, dev_t device, struct tv_err *err)
{
	struct statfs fs;
	struct stat st;
	if (statfs(path, &fs) < 0 || stat(path, &st) < 0)
		return tv_err_sys(err, -errno, "cannot stat the view at '%s'", path);
	if (fs.f_type != FUSE_SUPER_MAGIC || st.st_dev != device)
		return tv_err_set(err, -EIO, "'%s' does not show the view", path);
	return 0;
}

/* An empty read-only folder in place of the store: nothing of a run goes there but through its
 * supervisor, and LMDB must never be opened where its lock file cannot be written. */
static int hide_store(const char *store, struct tv_err *err)
{
	if (mount("tvfs-hidden", store, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "size=4k,mode=0555") < 0)
		return tv_err_sys(err, -errno, "cannot hide the store '%s'", store);
	return 0;
}

int tv_namespace_after(const struct tv_plan *p, dev_t device, struct tv_err *err)
{
	tv_autoclose int root = hold(p->data_dir, err);
	if (root < 0)
		return root;
	int r = bind_view(root, "lakehouse", p->lakehouse, err);
	if (r == 0)
		r = bind_view(root, "data", p->data_dir, err);
	if (r == 0)
		r = hide_store(p->store, err);
	if (r == 0)
		r = check_view(p->lakehouse, device, err);
	return r < 0 ? r : check_view(p->data_dir, device, err);
}
