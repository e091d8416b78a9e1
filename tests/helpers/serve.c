/*
 * Mounts a view in the foreground, with everything that tv_mount_serve can be told, for the tests.
 *
 *	helper-serve STORE REV MOUNTPOINT [OPTION...]
 *		--overlay DIR  --data DIR  --overlay-name NAME  --route NAME=PATH  --fallback  --deny
 *		--allow-other  --passthrough auto|off|require  --uid N  --gid N  --stats SOCKET
 *		--misses FILE  --debug  --namespace
 *
 * --namespace mounts as `tvfs run` does: a process in namespaces of its own holds the mount, and this
 * one, outside of them, serves it. Prints "ready PID" when the mount can be used (PID: the holder, or
 * itself). Exit status: 0 after a clean end, else the tools' code.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fs/mount.h"
#include "store/base/cleanup.h"
#include "store/rev.h"
#include "tools/run/namespace.h"
#include "tools/run/wire.h"

#define ROUTES_MAX 16

struct setup {
	struct tv_mount mount;
	struct tv_route routes[ROUTES_MAX];
	struct tv_commit commit;
	int misses;
	bool namespaced;
	pid_t holder;
};

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		perror(path);
		exit(2);
	}
	return fd;
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 4) < 0) {
		perror(path);
		exit(2);
	}
	return fd;
}

static void add_route(struct setup *s, char *text)
{
	char *equals = strchr(text, '=');
	if (!equals || s->mount.n_routes == ROUTES_MAX)
		exit(2);
	*equals = '\0';
	s->routes[s->mount.n_routes++] = (struct tv_route){ text, equals + 1 };
}

static enum tv_passthrough passthrough_of(const char *text)
{
	return !strcmp(text, "off")	  ? TV_PASSTHROUGH_OFF
	       : !strcmp(text, "require") ? TV_PASSTHROUGH_REQUIRE
					  : TV_PASSTHROUGH_AUTO;
}

static void parse(struct setup *s, int argc, char **argv)
{
	enum {
		OVERLAY = 'o',
		DATA = 'd',
		NAME = 'n',
		ROUTE = 'r',
		FALLBACK = 'f',
		DENY = 'y',
		OTHER = 'a',
		PASS = 'p',
		UID = 'u',
		GID = 'g',
		STATS = 's',
		MISSES = 'm',
		DEBUG = 'D',
		NAMESPACE = 'N'
	};
	static const struct option options[] = {
		{ "overlay", 1, NULL, OVERLAY },
		{ "data", 1, NULL, DATA },
		{ "overlay-name", 1, NULL, NAME },
		{ "route", 1, NULL, ROUTE },
		{ "fallback", 0, NULL, FALLBACK },
		{ "deny", 0, NULL, DENY },
		{ "allow-other", 0, NULL, OTHER },
		{ "passthrough", 1, NULL, PASS },
		{ "uid", 1, NULL, UID },
		{ "gid", 1, NULL, GID },
		{ "stats", 1, NULL, STATS },
		{ "misses", 1, NULL, MISSES },
		{ "debug", 0, NULL, DEBUG },
		{ "namespace", 0, NULL, NAMESPACE },
		{ NULL, 0, NULL, 0 },
	};
	struct tv_mount *m = &s->mount;
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (c) {
		case OVERLAY:
			m->overlay_dirfd = open_dir(optarg);
			break;
		case DATA:
			m->data_dirfd = open_dir(optarg);
			break;
		case NAME:
			m->overlay_name = optarg;
			break;
		case ROUTE:
			add_route(s, optarg);
			break;
		case FALLBACK:
			m->route_fallback = true;
			break;
		case DENY:
			m->deny_lakehouse_writes = true;
			break;
		case OTHER:
			m->allow_other = true;
			break;
		case PASS:
			m->passthrough = passthrough_of(optarg);
			break;
		case UID:
			m->uid = (uid_t)strtoul(optarg, NULL, 10);
			break;
		case GID:
			m->gid = (gid_t)strtoul(optarg, NULL, 10);
			break;
		case STATS:
			m->stats_fd = listen_at(optarg);
			break;
		case MISSES:
			s->misses = open(optarg, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
			break;
		case NAMESPACE:
			s->namespaced = true;
			break;
		case DEBUG:
			m->debug = true;
			break;
		default:
			exit(2);
		}
	}
}

static void tell_ready(void *arg)
{
	const struct setup *s = arg;
	printf("ready %d\n", (int)(s->holder ? s->holder : getpid()));
	fflush(stdout);
}

static void note_miss(void *arg, const char *name, bool fallback, pid_t pid)
{
	const struct setup *s = arg;
	if (s->misses >= 0)
		dprintf(s->misses, "%s %s %d\n", name, fallback ? "fallback" : "absent", (int)pid);
}

/* The process that holds the mount: in namespaces of its own, until its parent dies. */
static _Noreturn void hold_mount(int sock, const char *mountpoint)
{
	struct tv_err err = TV_ERR_INIT;
	char options[128];
	bool user_made;
	int r = tv_namespace_enter(true, &user_made, &err);
	int fd = r == 0 ? tv_namespace_fuse(&err) : r;
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%u,group_id=%u,%s", fd,
		 geteuid(), getegid(), "default_permissions");
	if (fd >= 0 &&
	    mount("tvfs:test", mountpoint, "fuse.tvfs", MS_NOSUID | MS_NODEV, options) < 0)
		r = tv_err_sys(&err, -errno, "cannot mount");
	if (fd < 0 || r < 0) {
		tv_wire_send_error(sock, &err, NULL);
		_exit(1);
	}
	tv_wire_send(sock, cJSON_Parse("{\"what\": \"device\"}"), &fd, 1, NULL);
	close(fd);
	tv_autowire struct tv_wire_message m = TV_WIRE_INIT;
	tv_wire_receive(sock, &m, NULL);
	_exit(0);
}

static int mount_in_namespace(struct setup *s, struct tv_err *err)
{
	tv_autowire struct tv_wire_message m = TV_WIRE_INIT;
	int pair[2];
	int r = tv_wire_pair(pair, err);
	if (r < 0)
		return r;
	s->holder = fork();
	if (s->holder == 0) {
		close(pair[0]);
		hold_mount(pair[1], s->mount.mountpoint);
	}
	close(pair[1]); /* pair[0] stays open: its end is the holder's */
	r = tv_wire_expect(pair[0], "device", &m, err);
	if (r < 0)
		return r;
	s->mount.fuse_fd = tv_steal_fd(&m.fds[0]);
	s->mount.mountpoint = NULL;
	return 0;
}

int main(int argc, char **argv)
{
	struct tv_err err = TV_ERR_INIT;
	struct setup s = { .commit = TV_COMMIT_INIT, .misses = -1 };
	struct tv_store *store = NULL;
	struct tv_rev rev;

	s.mount = (struct tv_mount){ .fuse_fd = -1,
				     .overlay_dirfd = -1,
				     .data_dirfd = -1,
				     .stats_fd = -1,
				     .uid = getuid(),
				     .gid = getgid(),
				     .fsname = "tvfs:test",
				     .commit = &s.commit,
				     .routes = s.routes,
				     .ready = tell_ready,
				     .route_miss = note_miss,
				     .route_arg = &s };
	parse(&s, argc, argv);
	if (argc - optind != 3)
		return 2;
	s.mount.mountpoint = argv[optind + 2];
	s.mount.ready_arg = &s;
	int r = s.namespaced ? mount_in_namespace(&s, &err) : 0;
	if (r == 0)
		r = tv_store_open(argv[optind], &store, &err);
	if (r == 0)
		r = tv_rev_resolve(store, argv[optind + 1], &rev, &err);
	if (r == 0)
		r = tv_commit_get(store, &rev.commit, &s.commit, &err);
	s.mount.store = store;
	if (r == 0)
		r = tv_mount_serve(&s.mount, &err);
	if (r < 0)
		fprintf(stderr, "helper-serve: %s\n", err.text);
	tv_commit_free(&s.commit);
	tv_store_close(store);
	return tv_err_exit_code(r);
}
