#include "tools/run/processes.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "tools/run/mountinfo.h"

/* What a scan has already learned about a namespace: most processes share one. */
struct known_ns {
	ino_t ns;
	bool inside;
};

#define KNOWN_MAX 64

struct scan {
	const struct tv_scope *where;
	struct known_ns known[KNOWN_MAX];
	unsigned n_known;
};

/* The inode number of a process' mount namespace; 0 when it has none (a zombie) or may not be seen. */
static ino_t mount_ns_of(pid_t pid)
{
	char path[64], link[64];
	uintmax_t ino;
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
	ssize_t n = readlink(path, link, sizeof(link) - 1);
	if (n <= 0)
		return 0;
	link[n] = '\0';
	return sscanf(link, "mnt:[%ju]", &ino) == 1 ? (ino_t)ino : 0;
}

static bool sees(const struct tv_scope *where, pid_t pid)
{
	struct tv_mounted there;
	if (!where->device)
		return false;
	if (!where->path)
		return tv_mountinfo_has(pid, where->device);
	return tv_mountinfo_find_of(pid, where->path, &there, NULL) == 1 &&
	       there.device == where->device && strcmp(there.type, TV_MOUNT_TYPE) == 0;
}

static bool is_member(struct scan *s, pid_t pid)
{
	ino_t ns = mount_ns_of(pid);
	if (!ns)
		return false;
	if (ns == s->where->mount_ns && !s->where->path)
		return true;
	for (unsigned i = 0; i < s->n_known; i++)
		if (s->known[i].ns == ns)
			return s->known[i].inside;
	bool inside = sees(s->where, pid);
	if (s->n_known < KNOWN_MAX)
		s->known[s->n_known++] = (struct known_ns){ ns, inside };
	return inside;
}

void tv_process_command(pid_t pid, char out[TV_COMMAND_TEXT])
{
	char path[64];
	out[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	tv_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, TV_COMMAND_TEXT - 1);
	if (n <= 0)
		return;
	while (n > 0 && out[n - 1] == '\0')
		n--;
	out[n] = '\0';
	for (ssize_t i = 0; i < n; i++)
		if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
			out[i] = ' ';
}

int tv_members_each(const struct tv_scope *where,
		    int (*visit)(void *arg, const struct tv_member *m, struct tv_err *err),
		    void *arg, struct tv_err *err)
{
	struct scan s = { .where = where };
	tv_autoclosedir DIR *proc = opendir("/proc");
	if (!proc)
		return tv_err_sys(err, -errno, "cannot list /proc");
	if (!where->mount_ns && !where->path)
		return 0;
	/* Processes that share our own namespace are not the run's, whatever its mounts. */
	s.known[s.n_known++] = (struct known_ns){ mount_ns_of(getpid()), false };
	for (struct dirent *e = readdir(proc); e; e = readdir(proc)) {
		struct tv_member m;
		char *end;
		long pid = strtol(e->d_name, &end, 10);
		if (*end || pid <= 0 || pid == getpid() || !is_member(&s, (pid_t)pid) ||
		    tv_process_of((pid_t)pid, &m.process, NULL) < 0)
			continue;
		tv_process_command((pid_t)pid, m.command);
		int r = visit(arg, &m, err);
		if (r)
			return r;
	}
	return 0;
}

static int count_one(void *arg, const struct tv_member *m, struct tv_err *err)
{
	(void)m;
	(void)err;
	++*(int *)arg;
	return 0;
}

int tv_members_count(const struct tv_scope *where, struct tv_err *err)
{
	int n = 0;
	int r = tv_members_each(where, count_one, &n, err);
	return r < 0 ? r : n;
}

int tv_process_open(const struct tv_process *p)
{
	tv_autoclose int fd = pidfd_open(p->pid, 0);
	if (fd < 0)
		return -errno;
	/* Only now it is sure that the number was not given to somebody else in between. */
	return tv_process_alive(p) ? tv_steal_fd(&fd) : -ESRCH;
}

void tv_process_signal(const struct tv_process *p, int signal_number)
{
	tv_autoclose int fd = tv_process_open(p);
	if (fd >= 0)
		pidfd_send_signal(fd, signal_number, NULL, 0);
}

int tv_process_wait(const struct tv_process *p, int wait_ms)
{
	tv_autoclose int fd = tv_process_open(p);
	if (fd < 0)
		return fd == -ESRCH;
	struct pollfd ended = { .fd = fd, .events = POLLIN };
	int n;
	do
		n = poll(&ended, 1, wait_ms);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

static int signal_one(void *arg, const struct tv_member *m, struct tv_err *err)
{
	(void)err;
	tv_process_signal(&m->process, *(const int *)arg);
	return 0;
}

int tv_members_wait(const struct tv_scope *where, unsigned wait_ms, struct tv_err *err)
{
	int64_t until = tv_boottime_ns() + (int64_t)wait_ms * 1000000;
	for (;;) {
		int n = tv_members_count(where, err);
		if (n <= 0)
			return n < 0 ? n : 1;
		if (tv_boottime_ns() >= until)
			return 0;
		nanosleep(&(struct timespec){ .tv_nsec = 10 * 1000000 }, NULL);
	}
}

#define KILL_WAIT_MS 10000

int tv_members_end(const struct tv_scope *where, unsigned grace_ms, struct tv_err *err)
{
	int soft = SIGTERM, hard = SIGKILL, r = 0;
	if (grace_ms) {
		r = tv_members_each(where, signal_one, &soft, err);
		if (r == 0)
			r = tv_members_wait(where, grace_ms, err);
		if (r)
			return r < 0 ? r : 0;
	}
	/* Again and again: a process may have forked while the list was walked. */
	for (unsigned waited = 0; waited < KILL_WAIT_MS; waited += 100) {
		r = tv_members_each(where, signal_one, &hard, err);
		if (r == 0)
			r = tv_members_wait(where, 100, err);
		if (r)
			return r < 0 ? r : 0;
	}
	return tv_err_set(err, -ETIMEDOUT, "some processes of the run cannot be killed");
}

cJSON *tv_process_json(const struct tv_process *p)
{
	cJSON *doc = cJSON_CreateObject();
	if (doc && cJSON_AddNumberToObject(doc, "pid", p->pid) &&
	    cJSON_AddNumberToObject(doc, "start_ticks", (double)p->start_ticks) &&
	    cJSON_AddStringToObject(doc, "boot_id", p->boot_id))
		return doc;
	cJSON_Delete(doc);
	return NULL;
}

bool tv_process_from_json(const cJSON *doc, struct tv_process *out)
{
	const cJSON *pid = cJSON_GetObjectItemCaseSensitive(doc, "pid");
	const cJSON *start = cJSON_GetObjectItemCaseSensitive(doc, "start_ticks");
	const cJSON *boot = cJSON_GetObjectItemCaseSensitive(doc, "boot_id");
	if (!cJSON_IsNumber(pid) || pid->valuedouble < 1 || !cJSON_IsNumber(start) ||
	    !cJSON_IsString(boot))
		return false;
	*out = (struct tv_process){ .pid = (pid_t)pid->valuedouble,
				    .start_ticks = (uint64_t)start->valuedouble };
	snprintf(out->boot_id, sizeof(out->boot_id), "%s", boot->valuestring);
	return true;
}
