#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/path.h"
#include "tools/doctor.h"

void tv_doctor_say(struct tv_doctor_result *r, enum tv_doctor_level level, const char *advice,
		   const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(r->message, sizeof(r->message), fmt, ap);
	va_end(ap);
	r->level = level;
	snprintf(r->advice, sizeof(r->advice), "%s", advice ? advice : "");
}

/* A small file of the kernel's as text without its newline; "" when it is not there. */
static void read_kernel(const char *path, char *out, size_t n)
{
	tv_autofree char *text = NULL;
	size_t len;
	out[0] = '\0';
	if (tv_io_read_file(AT_FDCWD, path, 65536, &text, &len, NULL) == 0)
		snprintf(out, n, "%.*s", (int)strcspn(text, "\n"), text);
}

void tv_doctor_kernel(struct tv_doctor *d, struct tv_doctor_result *r)
{
	struct utsname name;
	unsigned major = 0, minor = 0;
	(void)d;
	uname(&name);
	sscanf(name.release, "%u.%u", &major, &minor);
	if (major < 5 || (major == 5 && minor < 12))
		tv_doctor_say(r, TV_DOCTOR_FAIL, "use a kernel from 5.12 on", "%s is too old",
			      name.release);
	else if (major < 6 || (major == 6 && minor < 9))
		tv_doctor_say(r, TV_DOCTOR_WARN, "kernels from 6.9 on read at native speed",
			      "%s has no FUSE passthrough", name.release);
	else
		tv_doctor_say(r, TV_DOCTOR_OK, NULL, "%s", name.release);
}

void tv_doctor_dev_fuse(struct tv_doctor *d, struct tv_doctor_result *r)
{
	(void)d;
	tv_autoclose int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		tv_doctor_say(r, TV_DOCTOR_OK, NULL, "can be opened");
	else if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		tv_doctor_say(r, TV_DOCTOR_FAIL,
			      "'modprobe fuse'; a container needs --device /dev/fuse",
			      "is not there: nothing can be mounted");
	else
		tv_doctor_say(r, TV_DOCTOR_FAIL,
			      "give the user access to it (mode 0666 is usual); a container also "
			      "needs a device rule",
			      "cannot be opened: %s", strerror(errno));
}

void tv_doctor_libfuse(struct tv_doctor *d, struct tv_doctor_result *r)
{
	const char *version = d->can.libfuse_version ? d->can.libfuse_version : "none";
	if (d->can.built_with_passthrough)
		tv_doctor_say(r, TV_DOCTOR_OK, NULL, "%s", version);
	else
		tv_doctor_say(r, TV_DOCTOR_WARN,
			      "build with libfuse 3.17 or newer (./dev build does)",
			      "%s, without passthrough", version);
}

void tv_doctor_passthrough(struct tv_doctor *d, struct tv_doctor_result *r)
{
	if (d->can.can_passthrough)
		tv_doctor_say(r, TV_DOCTOR_OK, NULL, "files are read at native speed");
	else
		tv_doctor_say(r, TV_DOCTOR_WARN,
			      "everything works without; the first read of a large file is slower",
			      "not here: %s", d->can.why_not);
}

/* Whether a child can have a user and a mount namespace of its own: 0, or an errno. */
static int try_namespaces(void)
{
	pid_t child = fork();
	int status;
	if (child < 0)
		return errno;
	if (child == 0)
		_exit(unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ? errno : 0);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

void tv_doctor_namespaces(struct tv_doctor *d, struct tv_doctor_result *r)
{
	(void)d;
	int why = try_namespaces();
	if (why == 0)
		tv_doctor_say(r, TV_DOCTOR_OK, NULL, "runs work without root");
	else if (geteuid() == 0)
		tv_doctor_say(r, TV_DOCTOR_OK, NULL, "not to be had (%s); root needs none",
			      strerror(why));
	else
		tv_doctor_say(r, TV_DOCTOR_FAIL,
			      "sysctl user.max_user_namespaces=10000 (and "
			      "kernel.unprivileged_userns_clone=1 on Debian), or work as root",
			      "cannot be made: %s", strerror(why));
}

void tv_doctor_apparmor(struct tv_doctor *d, struct tv_doctor_result *r)
{
	char restricted[16];
	(void)d;
	read_kernel("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", restricted,
		    sizeof(restricted));
	if (strcmp(restricted, "1") != 0)
		return;
	tv_doctor_say(r, geteuid() == 0 ? TV_DOCTOR_OK : TV_DOCTOR_WARN,
		      "an AppArmor profile for tvfs with 'userns,' allows them; or sysctl "
		      "kernel.apparmor_restrict_unprivileged_userns=0",
		      "user namespaces of ordinary users are restricted on this machine");
}

/* Looks a program up on PATH. */
static bool on_path(const char *name, struct stat *st)
{
	const char *path = getenv("PATH");
	for (path = path ? path : "/usr/bin:/bin"; *path; path += *path == ':') {
		size_t n = strcspn(path, ":");
		tv_autofree char *folder = strndup(path, n);
		tv_autofree char *file = folder ? tv_path_join(folder, name) : NULL;
		if (file && stat(file, st) == 0 && S_ISREG(st->st_mode))
			return true;
		path += n;
	}
	return false;
}

void tv_doctor_fusermount(struct tv_doctor *d, struct tv_doctor_result *r)
{
	struct stat st;
	(void)d;
	bool found = on_path("fusermount3", &st);
	if (found && (st.st_mode & S_ISUID) && st.st_uid == 0)
		tv_doctor_say(r, TV_DOCTOR_OK, NULL, "'tvfs mount' works without root");
	else if (geteuid() == 0)
		tv_doctor_say(r, TV_DOCTOR_OK, NULL, "%s; root needs none",
			      found ? "is not setuid root" : "is not installed");
	else
		tv_doctor_say(r, TV_DOCTOR_WARN,
			      "install the package fuse3; 'tvfs run' works without it",
			      "%s: 'tvfs mount' needs root",
			      found ? "is not setuid root" : "is not installed");
}

void tv_doctor_cgroup(struct tv_doctor *d, struct tv_doctor_result *r)
{
	char controllers[256];
	(void)d;
	read_kernel("/sys/fs/cgroup/cgroup.controllers", controllers, sizeof(controllers));
	bool memory = strstr(controllers, "memory") != NULL, cpu = strstr(controllers, "cpu ");
	if (!controllers[0])
		tv_doctor_say(r, TV_DOCTOR_WARN, "nothing needs it now",
			      "version 2 is not mounted at /sys/fs/cgroup");
	else if (!memory || !cpu)
		tv_doctor_say(r, TV_DOCTOR_WARN, "nothing needs them now",
			      "version 2 without its %s%s%s", memory ? "" : "memory",
			      memory || cpu ? "" : " and ", cpu ? "" : "cpu controller");
	else
		tv_doctor_say(r, TV_DOCTOR_OK, NULL, "version 2 (%s)", controllers);
}
