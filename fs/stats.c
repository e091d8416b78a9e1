#include "fs/stats.h"

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"

static const char *const op_names[TV_OP_COUNT] = {
	[TV_OP_LOOKUP] = "lookup",
	[TV_OP_FORGET] = "forget",
	[TV_OP_GETATTR] = "getattr",
	[TV_OP_SETATTR] = "setattr",
	[TV_OP_READLINK] = "readlink",
	[TV_OP_MKNOD] = "mknod",
	[TV_OP_MKDIR] = "mkdir",
	[TV_OP_UNLINK] = "unlink",
	[TV_OP_RMDIR] = "rmdir",
	[TV_OP_SYMLINK] = "symlink",
	[TV_OP_RENAME] = "rename",
	[TV_OP_LINK] = "link",
	[TV_OP_OPEN] = "open",
	[TV_OP_READ] = "read",
	[TV_OP_WRITE] = "write",
	[TV_OP_RELEASE] = "release",
	[TV_OP_FSYNC] = "fsync",
	[TV_OP_OPENDIR] = "opendir",
	[TV_OP_READDIR] = "readdir",
	[TV_OP_RELEASEDIR] = "releasedir",
	[TV_OP_FSYNCDIR] = "fsyncdir",
	[TV_OP_STATFS] = "statfs",
	[TV_OP_SETXATTR] = "setxattr",
	[TV_OP_GETXATTR] = "getxattr",
	[TV_OP_LISTXATTR] = "listxattr",
	[TV_OP_REMOVEXATTR] = "removexattr",
	[TV_OP_CREATE] = "create",
	[TV_OP_TMPFILE] = "tmpfile",
	[TV_OP_FALLOCATE] = "fallocate",
	[TV_OP_LSEEK] = "lseek",
	[TV_OP_COPY] = "copy_file_range",
};

static char *document(struct tv_stats *s)
{
	struct tv_view_figures f;
	cJSON *doc = cJSON_CreateObject(), *ops = cJSON_AddObjectToObject(doc, "operations");

	tv_view_figures(s->view, &f);
	for (int i = 0; i < TV_OP_COUNT; i++)
		cJSON_AddNumberToObject(ops, op_names[i], (double)s->ops[i]);
	cJSON_AddNumberToObject(doc, "errors", (double)s->errors);
	cJSON_AddStringToObject(doc, "passthrough", s->passthrough);
	cJSON_AddNumberToObject(doc, "passthrough_opens", (double)f.passed_opens);
	cJSON_AddNumberToObject(doc, "plain_opens", (double)f.plain_opens);
	cJSON_AddNumberToObject(doc, "passthrough_fallbacks", (double)f.fallbacks);
	cJSON_AddNumberToObject(doc, "copy_ups", (double)f.copy_ups);
	cJSON_AddNumberToObject(doc, "copied_up_bytes", (double)f.copied_bytes);
	cJSON_AddNumberToObject(doc, "inodes", (double)f.inodes);
	cJSON_AddNumberToObject(doc, "uptime_seconds",
				(double)(tv_boottime_ns() - s->started_ns) / 1e9);
	char *text = cJSON_PrintUnformatted(doc);
	cJSON_Delete(doc);
	return text;
}

/* One connection. A peer that does not read is not waited for. */
static void answer(struct tv_stats *s, int fd)
{
	struct timeval patience = { .tv_sec = 1 };
	tv_autofree char *text = document(s);

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	for (size_t at = 0, n = text ? strlen(text) : 0; at < n;) {
		ssize_t sent = send(fd, text + at, n - at, MSG_NOSIGNAL);
		if (sent <= 0)
			return;
		at += (size_t)sent;
	}
}

static void *serve(void *arg)
{
	struct tv_stats *s = arg;
	struct pollfd fds[] = { { s->stop_fd, POLLIN, 0 }, { s->listen_fd, POLLIN, 0 } };

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (fds[0].revents)
			return NULL;
		if (!fds[1].revents)
			continue;
		tv_autoclose int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			answer(s, fd);
		else if (errno != EINTR && errno != ECONNABORTED && errno != EAGAIN)
			return NULL;
	}
}

int tv_stats_start(struct tv_stats *s, struct tv_view *view, int listen_fd)
{
	s->view = view;
	s->listen_fd = listen_fd;
	s->started_ns = tv_boottime_ns();
	if (listen_fd < 0)
		return 0;
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (s->stop_fd < 0)
		return -errno;
	int r = pthread_create(&s->thread, NULL, serve, s);
	if (r) {
		close(s->stop_fd);
		return -r;
	}
	s->running = true;
	return 0;
}

void tv_stats_stop(struct tv_stats *s)
{
	if (!s->running)
		return;
	uint64_t one = 1;
	(void)!write(s->stop_fd, &one, sizeof(one));
	pthread_join(s->thread, NULL);
	close(s->stop_fd);
	s->running = false;
}
