/*
 * One mount from start to end: the FUSE session, its threads, and how it stops.
 */
#include "fs/ops-common.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "fs/attach.h"
#include "fs/mount.h"
#include "fs/passthrough.h"
#include "store/base/cleanup.h"
#include "store/blob.h"

#define REQUEST_BYTES (1 << 20)

/* --- what is asked of the kernel ----------------------------------------------------------- */

/* The kernel's offers and our wishes moved to 64 bits in libfuse 3.17. */
#if FUSE_USE_VERSION >= 317
static bool want(struct fuse_conn_info *conn, uint64_t flag)
{
	return fuse_set_feature_flag(conn, flag);
}

static void spurn(struct fuse_conn_info *conn, uint64_t flag)
{
	fuse_unset_feature_flag(conn, flag);
}

static bool offered(const struct fuse_conn_info *conn, uint64_t flag)
{
	return conn->capable_ext & flag;
}
#else
static bool offered(const struct fuse_conn_info *conn, unsigned flag)
{
	return conn->capable & flag;
}

static bool want(struct fuse_conn_info *conn, unsigned flag)
{
	conn->want |= conn->capable & flag;
	return offered(conn, flag);
}

static void spurn(struct fuse_conn_info *conn, unsigned flag)
{
	conn->want &= ~flag;
}
#endif

static void want_passthrough(struct tv_session *s, struct fuse_conn_info *conn)
{
#if TV_HAVE_FUSE_PASSTHROUGH
	const struct tv_mount *m = s->mount;
	char why_not[200];

	if (m->passthrough == TV_PASSTHROUGH_OFF) {
		s->stats.passthrough = "switched off";
	} else if (tv_passthrough_possible(why_not, sizeof(why_not)) < 0) {
		s->stats.passthrough = "not allowed: kernel before 6.9, or not root";
	} else if (!want(conn, FUSE_CAP_PASSTHROUGH)) {
		s->stats.passthrough = "the kernel does not offer it";
	} else {
		s->can_pass = true;
		/* 1 lets the files lie on overlayfs, 0 lets an overlayfs lie on the mount. */
		bool stacked = tv_passthrough_stacked(tv_store_dirfd(m->store)) ||
			       tv_passthrough_stacked(m->overlay_dirfd) ||
			       tv_passthrough_stacked(m->data_dirfd);
		conn->max_backing_stack_depth =
			stacked ? FUSE_BACKING_STACKED_OVER : FUSE_BACKING_STACKED_UNDER;
	}
#else
	(void)conn;
	s->stats.passthrough = "built with a libfuse that lacks it";
#endif
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct tv_session *s = userdata;

	want_passthrough(s, conn);
	want(conn, FUSE_CAP_PARALLEL_DIROPS);
	want(conn, FUSE_CAP_READDIRPLUS);
	spurn(conn, FUSE_CAP_READDIRPLUS_AUTO); /* a walk without it looks up name by name */
	want(conn, FUSE_CAP_ATOMIC_O_TRUNC);
	want(conn, FUSE_CAP_ASYNC_READ);
#ifdef FUSE_CAP_CACHE_SYMLINKS
	want(conn, FUSE_CAP_CACHE_SYMLINKS);
#endif
#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2
	/* Else each write(2) asks for security.capability first. */
	want(conn, FUSE_CAP_HANDLE_KILLPRIV_V2);
#endif
	/* Nothing changes but through this kernel, so what it has cached is right. */
	spurn(conn, FUSE_CAP_AUTO_INVAL_DATA);
	spurn(conn, FUSE_CAP_WRITEBACK_CACHE); /* would disable passthrough without a word */
	spurn(conn, FUSE_CAP_SPLICE_READ);
	spurn(conn, FUSE_CAP_SPLICE_WRITE);
	spurn(conn, FUSE_CAP_SPLICE_MOVE);
	conn->max_write = REQUEST_BYTES;
#if FUSE_USE_VERSION >= 317
	conn->no_interrupt = 1;
#endif
	s->may_no_open = offered(conn, FUSE_CAP_NO_OPEN_SUPPORT);
	s->may_no_opendir = offered(conn, FUSE_CAP_NO_OPENDIR_SUPPORT);
	s->inited = true;
}

/* --- passthrough --------------------------------------------------------------------------- */

static int backing_open(void *arg, int fd)
{
	struct tv_session *s = arg;
	return tv_backing_register(fuse_session_fd(s->fuse), fd);
}

static void backing_close(void *arg, int id)
{
	struct tv_session *s = arg;
	tv_backing_release(fuse_session_fd(s->fuse), id);
}

static void takes_long(void *arg)
{
	struct tv_session *s = arg;
	tv_loop_leave(&s->loop);
}

static void attributes_stale(void *arg, struct tv_inode *inode)
{
	struct tv_session *s = arg;
	fuse_ino_t id = inode == tv_view_root(s->view) ? FUSE_ROOT_ID : (uintptr_t)inode;
	fuse_lowlevel_notify_inval_inode(s->fuse, id, -1, 0);
}

/* The kernel agreed; whether it accepts our files is found out by registering one. */
static int try_passthrough(struct tv_session *s, struct tv_err *err)
{
	s->backing = (struct tv_backing){ backing_open, backing_close, s };
	if (s->can_pass) {
		tv_autoclose int fd =
			openat(tv_store_dirfd(s->mount->store), "format", O_RDONLY | O_CLOEXEC);
		int id = fd < 0 ? -errno : backing_open(s, fd);
		if (id > 0) {
			backing_close(s, id);
			tv_view_use_backing(s->view, &s->backing);
			s->stats.passthrough = "on";
			return 0;
		}
		s->can_pass = false;
		s->stats.passthrough = id == -ELOOP ? "the store's filesystem is stacked too deep"
						    : "the kernel refused the store's files";
	}
	if (s->mount->passthrough == TV_PASSTHROUGH_REQUIRE)
		return tv_err_set(err, -EOPNOTSUPP, "passthrough was required: %s",
				  s->stats.passthrough);
	/* Only where the kernel itself refuses to open for writing, as it does where we mounted: else
	 * such opens, and truncating ones, would not come here any more, and would seem to succeed. */
	s->no_open = s->may_no_open && tv_view_read_only(s->view) && s->mount->fuse_fd < 0;
	return 0;
}

/* --- the session --------------------------------------------------------------------------- */

static int open_blob(void *arg, const struct tv_addr *addr)
{
	return tv_blob_open(arg, addr, NULL);
}

static int make_view(struct tv_session *s, struct tv_err *err)
{
	const struct tv_mount *m = s->mount;
	char commit[TV_SHA_HEX];
	tv_sha_hex(&m->commit->id, commit);
	struct tv_view_config c = {
		.nodes = tv_store_nodes(m->store),
		.root = &m->commit->root,
		.commit = commit,
		.blobs = { open_blob, m->store },
		.overlay_dirfd = m->overlay_dirfd,
		.data_dirfd = m->data_dirfd,
		.overlay_name = m->overlay_name,
		.deny_lakehouse_writes = m->deny_lakehouse_writes,
		.route_fallback = m->route_fallback,
		.routes = m->routes,
		.n_routes = m->n_routes,
		.uid = m->uid,
		.gid = m->gid,
		.route_miss = m->route_miss,
		.route_arg = m->route_arg,
	};
	return tv_view_new(&c, &s->view, err);
}

/* Mount options; *out is owned by the caller. A comma in a value would end it. */
static int mount_options(const struct tv_mount *m, bool read_only, char **out, struct tv_err *err)
{
	tv_autobuf struct tv_buf b = TV_BUF_INIT;

	tv_buf_add_str(&b, "default_permissions,nosuid,nodev,subtype=tvfs,fsname=");
	for (const char *p = m->fsname ? m->fsname : "tvfs"; *p; p++) {
		if (*p == ',' || *p == '\\')
			tv_buf_add_u8(&b, '\\');
		tv_buf_add_u8(&b, (uint8_t)*p);
	}
	tv_buf_add_str(&b, m->allow_other ? ",allow_other" : "");
	tv_buf_add_str(&b, read_only ? ",ro" : "");
	tv_buf_add_str(&b, m->debug ? ",debug" : "");
	*out = tv_buf_steal_str(&b);
	return *out ? 0 : tv_err_nomem(err);
}

static void drop_message(enum fuse_log_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
}

static int make_session(struct tv_session *s, struct tv_err *err)
{
	struct fuse_lowlevel_ops ops = { .init = op_init };
	tv_autofree char *options = NULL;
	char name[] = "tvfs", flag[] = "-o";

	tv_ops_dir(&ops);
	tv_ops_file(&ops);
	tv_ops_attr(&ops);
	int r = mount_options(s->mount, tv_view_read_only(s->view), &options, err);
	if (r < 0)
		return r;
	char *argv[] = { name, flag, options };
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);
	if (!s->mount->debug)
		fuse_set_log_func(drop_message); /* errors are returned, with our words */
	s->fuse = fuse_session_new(&args, &ops, sizeof(ops), s);
	fuse_opt_free_args(&args);
	if (!s->fuse)
		return tv_err_set(err, -EINVAL, "libfuse refused the options '%s'", options);
	tv_view_use_teller(s->view, &(struct tv_teller){ attributes_stale, takes_long, s });
	return 0;
}

static int attach(struct tv_session *s, struct tv_err *err)
{
	const struct tv_mount *m = s->mount;
	char fd_path[32];
	int fd = m->fuse_fd;

	if (fd < 0) {
		fd = tv_attach_device(err);
		if (fd < 0)
			return fd;
		s->mounted = tv_attach_mount(m, fd, tv_view_read_only(s->view)) == 0;
		if (!s->mounted)
			close(tv_steal_fd(&fd));
	}
	if (fd >= 0) {
		snprintf(fd_path, sizeof(fd_path), "/dev/fd/%d", fd);
		if (fuse_session_mount(s->fuse, fd_path) == 0)
			return 0;
		if (s->mounted)
			tv_attach_undo(m, fd);
		return tv_err_set(err, -EBADF, "the given /dev/fuse cannot be used");
	}
	errno = 0;
	if (fuse_session_mount(s->fuse, m->mountpoint) == 0)
		return 0;
	if (geteuid() != 0 && access("/usr/bin/fusermount3", X_OK) < 0)
		return tv_err_set(err, -EACCES,
				  "cannot mount at '%s': users other than root need fusermount3 "
				  "(package fuse3)",
				  m->mountpoint);
	return tv_err_sys(
		err, errno ? -errno : -EACCES, "cannot mount at '%s'%s", m->mountpoint,
		geteuid() != 0 && m->allow_other
			? " (users other than root may let others in when /etc/fuse.conf has "
			  "user_allow_other)"
			: "");
}

static void detach(struct tv_session *s)
{
	if (s->mounted)
		tv_attach_undo(s->mount, fuse_session_fd(s->fuse));
	else
		fuse_session_unmount(s->fuse);
}

/* --- running ------------------------------------------------------------------------------- */

/* Handles requests one by one until INIT has been answered. */
static int handshake(struct tv_session *s, struct tv_err *err)
{
	struct fuse_buf buf = { .mem = NULL };
	int r = 0;

	while (!s->inited && !fuse_session_exited(s->fuse)) {
		r = fuse_session_receive_buf(s->fuse, &buf);
		if (r == -EINTR)
			continue;
		if (r <= 0)
			break;
		fuse_session_process_buf(s->fuse, &buf);
	}
	free(buf.mem);
	if (s->inited && !fuse_session_exited(s->fuse))
		return 0;
	return tv_err_set(err, r < 0 ? r : -ECONNABORTED, "the mount ended before it began");
}

/* Waits for a signal and then keeps nudging the loop until it has seen it: a nudge that arrives between a
 * thread's check and its sleep is lost. */
struct stopper {
	struct tv_session *s;
	pthread_t thread;
	sigset_t signals;
	_Atomic bool done;
};

static void *wait_for_signal(void *arg)
{
	struct stopper *stop = arg;
	const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
	int which;

	sigwait(&stop->signals, &which);
	while (!stop->done) {
		fuse_session_exit(stop->s->fuse);
		tv_loop_nudge(&stop->s->loop);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void nudged(int which)
{
	(void)which;
}

static int start_stopper(struct stopper *stop, struct tv_session *s, struct tv_err *err)
{
	struct sigaction action = { .sa_handler = nudged }; /* no SA_RESTART: it is to interrupt */

	*stop = (struct stopper){ .s = s };
	sigaction(SIGUSR1, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
	sigaction(SIGXFSZ, &action, NULL); /* a limit of file sizes is the writer's error (EFBIG) */
	sigemptyset(&stop->signals);
	sigaddset(&stop->signals, SIGTERM);
	sigaddset(&stop->signals, SIGINT);
	sigaddset(&stop->signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &stop->signals, NULL);
	int r = pthread_create(&stop->thread, NULL, wait_for_signal, stop);
	return r ? tv_err_sys(err, -r, "cannot start a thread") : 0;
}

static void end_stopper(struct stopper *stop)
{
	stop->done = true;
	/* NOLINTNEXTLINE: it is blocked everywhere and waited for; this is in case none came */
	pthread_kill(stop->thread, SIGTERM);
	pthread_join(stop->thread, NULL);
}

/* Every nameless file that is still in use costs a descriptor. */
static void raise_limits(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int run(struct tv_session *s, struct tv_err *err)
{
	struct stopper stop;

	int r = handshake(s, err);
	if (r == 0)
		r = try_passthrough(s, err);
	if (r == 0)
		r = start_stopper(&stop, s, err);
	if (r < 0)
		return r;
	r = tv_stats_start(&s->stats, s->view, s->mount->store, s->mount->stats_fd);
	if (r == 0) {
		if (s->mount->ready)
			s->mount->ready(s->mount->ready_arg);
		r = tv_loop_run(&s->loop, s->fuse);
		tv_stats_stop(&s->stats);
	}
	end_stopper(&stop);
	return r < 0 ? tv_err_sys(err, r, "the mount ended") : 0;
}

int tv_mount_serve(const struct tv_mount *m, struct tv_err *err)
{
	tv_autofree struct tv_session *s = calloc(1, sizeof(*s));
	if (!s)
		return tv_err_nomem(err);
	s->mount = m;
	s->stats.passthrough = "not asked yet";
	raise_limits();
	umask(0); /* the kernel has applied the caller's */
	int r = make_view(s, err);
	if (r < 0)
		return r;
	tv_readers_init(&s->readers);
	r = tv_stats_init(&s->stats);
	bool counting = r == 0;
	if (r == 0)
		r = tv_loop_init(&s->loop);
	bool looping = r == 0;
	r = r < 0 ? tv_err_sys(err, r, "cannot start") : make_session(s, err);
	if (r == 0)
		r = attach(s, err);
	if (r == 0) {
		r = run(s, err);
		detach(s);
	}
	tv_readers_fini(&s->readers, s->view);
	tv_view_free(s->view); /* gives backing ids back, so the connection is closed after it */
	if (s->fuse)
		fuse_session_destroy(s->fuse);
	if (looping)
		tv_loop_fini(&s->loop);
	if (counting)
		tv_stats_fini(&s->stats);
	return r;
}

void tv_mount_abilities(struct tv_mount_abilities *out)
{
	tv_autoclose int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	*out = (struct tv_mount_abilities){
		.libfuse_version = fuse_pkgversion(),
		.built_with_passthrough = TV_HAVE_FUSE_PASSTHROUGH,
		.dev_fuse = fd >= 0,
	};
	if (!out->built_with_passthrough)
		snprintf(out->why_not, sizeof(out->why_not),
			 "built with libfuse %s; passthrough needs 3.17", out->libfuse_version);
	else
		out->can_passthrough =
			tv_passthrough_possible(out->why_not, sizeof(out->why_not)) == 0;
}
