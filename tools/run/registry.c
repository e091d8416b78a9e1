#include "tools/run/registry.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/base/json.h"
#include "tools/run/record.h"

#define ENTRY_LIMIT 1000000
#define ENTRY_NAME 64

static void entry_name(const char *id, const char *suffix, char out[ENTRY_NAME])
{
	snprintf(out, ENTRY_NAME, "%.40s.%s", id, suffix);
}

static int open_live(struct tv_store *s, struct tv_err *err)
{
	int top = tv_store_dirfd(s);
	mkdirat(top, "live", 0700);
	int fd = openat(top, "live", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? tv_err_sys(err, -errno, "cannot open '%s/live'", tv_store_folder(s)) : fd;
}

static int write_entry(int live, const char *temp, const char *name, const char *text)
{
	tv_autoclose int fd = openat(live, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	/* Who may be in the folder may read it, whatever the umask. */
	int r = fd < 0 || fchmod(fd, 0644) < 0 ? -errno : tv_io_write_all(fd, text, strlen(text));
	if (r == 0 && renameat(live, temp, live, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(live, temp, 0);
	return r;
}

int tv_registry_put(struct tv_store *s, const char *id, const cJSON *doc, struct tv_err *err)
{
	char name[ENTRY_NAME], temp[ENTRY_NAME];
	tv_autoclose int live = open_live(s, err);
	tv_autofree char *text = cJSON_PrintUnformatted(doc);
	if (live < 0)
		return live;
	if (!text)
		return tv_err_nomem(err);
	entry_name(id, "json", name);
	entry_name(id, "tmp", temp);
	int r = write_entry(live, temp, name, text);
	return r < 0 ? tv_err_sys(err, r, "cannot write '%s/live/%s'", tv_store_folder(s), name)
		     : 0;
}

void tv_registry_remove(struct tv_store *s, const char *id)
{
	static const char *const suffixes[] = { "sock", "log", "tmp", "json" };
	char name[ENTRY_NAME];
	tv_autoclose int live = open_live(s, NULL);
	for (size_t i = 0; live >= 0 && i < TV_ARRAY_LEN(suffixes); i++) {
		entry_name(id, suffixes[i], name);
		unlinkat(live, name, 0);
	}
}

static int visit_entry(int live, const char *name, const char *id,
		       int (*visit)(void *arg, const char *id, const cJSON *doc, bool alive,
				    struct tv_err *err),
		       void *arg, struct tv_err *err)
{
	tv_autofree char *text = NULL;
	tv_autojson cJSON *doc = NULL;
	struct tv_process owner;
	size_t n;
	int r = tv_io_read_file(live, name, ENTRY_LIMIT, &text, &n, NULL);
	if (r == -ENOENT)
		return 0; /* ended meanwhile */
	if (r < 0)
		return tv_err_sys(err, r, "cannot read the live entry '%s'", name);
	/* Half an entry, after a crash of the machine, is one whose owner is gone. */
	if (tv_json_parse(text, n, &doc, NULL) < 0)
		doc = cJSON_CreateObject();
	if (!doc)
		return tv_err_nomem(err);
	bool alive = tv_process_from_json(cJSON_GetObjectItemCaseSensitive(doc, "owner"), &owner) &&
		     tv_process_alive(&owner);
	return visit(arg, id, doc, alive, err);
}

int tv_registry_each(struct tv_store *s,
		     int (*visit)(void *arg, const char *id, const cJSON *doc, bool alive,
				  struct tv_err *err),
		     void *arg, struct tv_err *err)
{
	int live = open_live(s, err);
	if (live < 0)
		return live;
	tv_autoclosedir DIR *d = fdopendir(live);
	if (!d) {
		close(live);
		return tv_err_nomem(err);
	}
	int r = 0;
	for (struct dirent *e = readdir(d); r == 0 && e; e = readdir(d)) {
		char id[ENTRY_NAME];
		size_t n = strlen(e->d_name);
		if (n < 6 || n >= sizeof(id) || strcmp(e->d_name + n - 5, ".json") != 0)
			continue;
		snprintf(id, sizeof(id), "%.*s", (int)(n - 5), e->d_name);
		r = visit_entry(dirfd(d), e->d_name, id, visit, arg, err);
	}
	return r;
}

int tv_registry_sweep(struct tv_store *s, struct tv_err *err)
{
	int live = open_live(s, err), swept = 0;
	tv_autoclosedir DIR *d = live < 0 ? NULL : fdopendir(live);
	if (!d)
		return live < 0 ? live : tv_err_nomem(err);
	for (struct dirent *e = readdir(d); e; e = readdir(d)) {
		char entry[ENTRY_NAME];
		struct stat st;
		const char *dot = strrchr(e->d_name, '.');
		if (!dot || dot - e->d_name > 40 || !strcmp(dot, ".json") ||
		    fstatat(live, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode))
			continue;
		snprintf(entry, sizeof(entry), "%.*s.json", (int)(dot - e->d_name), e->d_name);
		bool old = tv_now_ns() - tv_ns_from_timespec(st.st_ctim) > 60 * (int64_t)1000000000;
		if (old && faccessat(live, entry, F_OK, 0) < 0 && unlinkat(live, e->d_name, 0) == 0)
			swept++;
	}
	return swept;
}

/* The address of a socket in the live folder, through a descriptor: a path of the store's own may be
 * over the 108 bytes that an address holds. */
static void socket_address(int live, const char *id, struct sockaddr_un *out)
{
	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d/%.40s.sock", live, id);
}

int tv_registry_listen(struct tv_store *s, const char *id, struct tv_err *err)
{
	struct sockaddr_un address;
	tv_autoclose int live = open_live(s, err);
	if (live < 0)
		return live;
	tv_autoclose int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socket_address(live, id, &address);
	/* The same: connecting needs the right to write. */
	if (sock < 0 || bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(address.sun_path, 0666) < 0 || listen(sock, 16) < 0)
		return tv_err_sys(err, -errno, "cannot make the socket '%s/live/%s.sock'",
				  tv_store_folder(s), id);
	return tv_steal_fd(&sock);
}

int tv_registry_log(struct tv_store *s, const char *id, struct tv_err *err)
{
	char name[ENTRY_NAME];
	tv_autoclose int live = open_live(s, err);
	if (live < 0)
		return live;
	entry_name(id, "log", name);
	int fd = openat(live, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	return fd < 0 ? tv_err_sys(err, -errno, "cannot write '%s/live/%s'", tv_store_folder(s),
				   name)
		      : fd;
}

static int read_figures(int sock, int64_t until, struct tv_buf *out, struct tv_err *err)
{
	for (;;) {
		char chunk[4096];
		int64_t left = (until - tv_boottime_ns()) / 1000000;
		struct pollfd ready = { .fd = sock, .events = POLLIN };
		int n = poll(&ready, 1, left > 0 ? (int)left : 0);
		if (n == 0)
			return tv_err_set(err, -ETIMEDOUT, "the daemon does not answer");
		ssize_t got = n < 0 ? -1 : read(sock, chunk, sizeof(chunk));
		if (got < 0 && errno != EINTR && errno != EAGAIN)
			return tv_err_sys(err, -errno, "cannot read the daemon's figures");
		if (got == 0)
			return 0;
		if (got > 0)
			tv_buf_add(out, chunk, (size_t)got);
		if (out->failed || out->len > ENTRY_LIMIT)
			return tv_err_nomem(err);
	}
}

int tv_registry_ask(struct tv_store *s, const char *id, struct tv_err *err)
{
	struct sockaddr_un address;
	tv_autoclose int live = open_live(s, err);
	if (live < 0)
		return live;
	/* Not blocking: a stopped daemon whose queue is full would hold us for ever. */
	tv_autoclose int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socket_address(live, id, &address);
	int r = sock < 0 ? -errno : 0;
	if (r == 0 && connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
		r = -errno;
	if (r == -EAGAIN)
		return tv_err_set(err, -ETIMEDOUT, "the daemon does not answer");
	if (r < 0)
		return tv_err_sys(err, r, "cannot reach the daemon");
	return tv_steal_fd(&sock);
}

int tv_registry_answer(int sock, int64_t until, cJSON **out, struct tv_err *err)
{
	tv_autobuf struct tv_buf text = TV_BUF_INIT;
	int r = read_figures(sock, until, &text, err);
	if (r == 0 && text.len == 0)
		return tv_err_set(err, -ECONNRESET, "the daemon has ended");
	return r < 0 ? r : tv_json_parse((const char *)text.data, text.len, out, err);
}

int tv_registry_figures(struct tv_store *s, const char *id, cJSON **out, struct tv_err *err)
{
	int64_t until = tv_boottime_ns() + TV_REGISTRY_PATIENCE_NS;
	tv_autoclose int sock = tv_registry_ask(s, id, err);
	return sock < 0 ? sock : tv_registry_answer(sock, until, out, err);
}
