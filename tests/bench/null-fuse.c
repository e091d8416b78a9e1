/*
 * A FUSE server that does nothing but answer: the least that any server of a tree like fswork's costs.
 *
 *	null-fuse [-b FOLDER] MOUNTPOINT FILES FOLDERS SIZE
 *
 * Names, attributes and bytes come from arithmetic. Plain, it answers OPEN with ENOSYS, so that the
 * kernel opens by itself and keeps what it has read. With -b the file of the same name in FOLDER is
 * opened and handed to the kernel (passthrough), once for all who have it open at the time.
 */
#if TV_HAVE_FUSE_PASSTHROUGH
#define FUSE_USE_VERSION 317
#else
#define FUSE_USE_VERSION 314
#endif
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "EXCHANGE_SYM"
#define NAME PREFIX "%07" PRIu64 "_1d.parquet"
#define BYTES (2 << 20) /* of which each read shows a part */
#define FIRST_FOLDER (FUSE_ROOT_ID + 1)
#define FOR_EVER 1e9

struct backing {
	int id;
	unsigned opens;
};

struct null {
	uint64_t files, folders, each, size; /* each: files of a folder */
	char *bytes;
	int source; /* FOLDER, or -1 */
	pthread_mutex_t lock;
	struct backing *backing; /* one a file */
};

static struct null *null_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* Inode numbers: the root, then the folders, then the files. */
static fuse_ino_t first_file(const struct null *n)
{
	return FIRST_FOLDER + n->folders;
}

static void attributes(const struct null *n, fuse_ino_t ino, struct stat *st)
{
	bool file = ino >= first_file(n);
	*st = (struct stat){
		.st_ino = ino,
		.st_mode = file ? S_IFREG | 0444 : S_IFDIR | 0755,
		.st_nlink = 1,
		.st_size = file ? (off_t)n->size : 0,
		.st_blocks = file ? (blkcnt_t)(n->size / 512) : 0,
		.st_blksize = 4096,
		.st_mtim = { .tv_sec = 1700000000 },
	};
}

static struct fuse_entry_param entry_of(const struct null *n, fuse_ino_t ino)
{
	struct fuse_entry_param e = { .ino = ino,
				      .attr_timeout = FOR_EVER,
				      .entry_timeout = FOR_EVER };
	if (ino)
		attributes(n, ino, &e.attr);
	return e;
}

/* Which entries a folder shows: inode numbers from `*first` on, `*count` of them. */
static void entries(const struct null *n, fuse_ino_t folder, fuse_ino_t *first, uint64_t *count)
{
	uint64_t begin = folder == FUSE_ROOT_ID ? 0 : (folder - FIRST_FOLDER) * n->each;
	*first = first_file(n) + begin;
	*count = begin + n->each < n->files ? n->each : n->files - begin;
	if (folder == FUSE_ROOT_ID && n->folders) {
		*first = FIRST_FOLDER;
		*count = n->folders;
	}
}

static void name_of(const struct null *n, fuse_ino_t ino, char *out, size_t size)
{
	if (ino < first_file(n))
		snprintf(out, size, "D%04" PRIu64, (uint64_t)(ino - FIRST_FOLDER));
	else
		snprintf(out, size, NAME, (uint64_t)(ino - first_file(n)));
}

static fuse_ino_t find(const struct null *n, fuse_ino_t parent, const char *name)
{
	bool folders = parent == FUSE_ROOT_ID && n->folders;
	size_t skip = folders ? 1 : strlen(PREFIX);
	if (strncmp(name, folders ? "D" : PREFIX, skip) != 0)
		return 0;
	fuse_ino_t first;
	uint64_t count, number = strtoull(name + skip, NULL, 10);
	entries(n, parent, &first, &count);
	fuse_ino_t ino = (folders ? FIRST_FOLDER : first_file(n)) + number;
	return ino >= first && ino - first < count ? ino : 0;
}

/* --- requests ----------------------------------------------------------------------------------- */

static void null_init(void *userdata, struct fuse_conn_info *conn)
{
	struct null *n = userdata;
#if TV_HAVE_FUSE_PASSTHROUGH
	fuse_set_feature_flag(conn, FUSE_CAP_READDIRPLUS);
	fuse_unset_feature_flag(conn, FUSE_CAP_READDIRPLUS_AUTO);
	if (n->source >= 0)
		fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH);
	conn->no_interrupt = 1;
#else
	(void)n;
	conn->want &= ~FUSE_CAP_READDIRPLUS_AUTO;
#endif
	conn->max_write = 1 << 20; /* of which the largest read follows, too */
}

static void null_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct null *n = null_of(req);
	struct fuse_entry_param e = entry_of(n, find(n, parent, name));
	fuse_reply_entry(req, &e);
}

static void null_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;
	(void)fi;
	attributes(null_of(req), ino, &st);
	fuse_reply_attr(req, &st, FOR_EVER);
}

static void list(fuse_req_t req, fuse_ino_t folder, size_t size, off_t off, bool plus)
{
	const struct null *n = null_of(req);
	char *buffer = malloc(size), name[64];
	fuse_ino_t first;
	uint64_t count;
	size_t used = 0;
	if (!buffer) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	entries(n, folder, &first, &count);
	for (uint64_t i = (uint64_t)off; i < count; i++) {
		struct fuse_entry_param e = entry_of(n, first + i);
		name_of(n, first + i, name, sizeof(name));
		off_t next = (off_t)i + 1;
		size_t room = size - used, need;
		if (plus)
			need = fuse_add_direntry_plus(req, buffer + used, room, name, &e, next);
		else
			need = fuse_add_direntry(req, buffer + used, room, name, &e.attr, next);
		if (need > room)
			break;
		used += need;
	}
	fuse_reply_buf(req, buffer, used);
	free(buffer);
}

static void null_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			 struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, false);
}

static void null_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			     struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, true);
}

static void null_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		      struct fuse_file_info *fi)
{
	const struct null *n = null_of(req);
	uint64_t at = (uint64_t)off, left = at < n->size ? n->size - at : 0;
	(void)ino;
	(void)fi;
	fuse_reply_buf(req, n->bytes, left < size ? left : size);
}

/* The kernel then opens folders by itself and keeps what it has read of them. */
static void null_kernel_opens(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, ENOSYS);
}

#if TV_HAVE_FUSE_PASSTHROUGH
static int register_file(fuse_req_t req, fuse_ino_t ino)
{
	const struct null *n = null_of(req);
	uint64_t file = ino - first_file(n);
	char path[96] = "", *name = path;
	if (n->folders)
		name += snprintf(path, 16, "D%04" PRIu64 "/", file / n->each);
	name_of(n, ino, name, 64);
	int fd = openat(n->source, path, O_RDONLY | O_CLOEXEC);
	int id = fd < 0 ? 0 : fuse_passthrough_open(req, fd);
	if (fd >= 0)
		close(fd);
	return id;
}

static void null_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct null *n = null_of(req);
	if (n->source < 0) {
		fuse_reply_err(req, ENOSYS);
		return;
	}
	struct backing *b = &n->backing[ino - first_file(n)];
	pthread_mutex_lock(&n->lock);
	if (!b->opens)
		b->id = register_file(req, ino);
	int id = b->id;
	b->opens += id > 0;
	pthread_mutex_unlock(&n->lock);
	fi->backing_id = id;
	if (id > 0)
		fuse_reply_open(req, fi);
	else
		fuse_reply_err(req, EIO);
}

static void null_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct null *n = null_of(req);
	(void)fi;
	pthread_mutex_lock(&n->lock);
	struct backing *b = &n->backing[ino - first_file(n)];
	if (--b->opens == 0)
		fuse_passthrough_close(req, b->id);
	pthread_mutex_unlock(&n->lock);
	fuse_reply_err(req, 0);
}
#endif

static const struct fuse_lowlevel_ops operations = {
	.init = null_init,
	.lookup = null_lookup,
	.opendir = null_kernel_opens,
	.getattr = null_getattr,
	.readdir = null_readdir,
	.readdirplus = null_readdirplus,
	.read = null_read,
#if TV_HAVE_FUSE_PASSTHROUGH
	.open = null_open,
	.release = null_release,
#else
	.open = null_kernel_opens,
#endif
};

static int serve(struct null *n, const char *mountpoint)
{
	char name[] = "null-fuse", option[] = "-oro,default_permissions,fsname=null,subtype=null";
	char *words[] = { name, option, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(2, words);
	struct fuse_session *s = fuse_session_new(&args, &operations, sizeof(operations), n);
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int r = s && config && fuse_session_mount(s, mountpoint) == 0 ? 0 : 1;
	if (r == 0 && fuse_set_signal_handlers(s) == 0 && fuse_daemonize(0) == 0) {
		fuse_loop_cfg_set_max_threads(config, 8);
		r = fuse_session_loop_mt(s, config);
		fuse_remove_signal_handlers(s);
		fuse_session_unmount(s);
	}
	fuse_loop_cfg_destroy(config);
	if (s)
		fuse_session_destroy(s);
	fuse_opt_free_args(&args);
	return r != 0;
}

int main(int argc, char **argv)
{
	struct null n = { .source = -1, .lock = PTHREAD_MUTEX_INITIALIZER };
	for (int c; (c = getopt(argc, argv, "b:")) != -1;) {
		if (c != 'b')
			return 2;
		n.source = open(optarg, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (n.source < 0) {
			perror(optarg);
			return 1;
		}
	}
	if (argc - optind != 4)
		return 2;
	n.files = strtoull(argv[optind + 1], NULL, 10);
	n.folders = strtoull(argv[optind + 2], NULL, 10);
	n.size = strtoull(argv[optind + 3], NULL, 10);
	n.each = n.folders ? (n.files + n.folders - 1) / n.folders : n.files;
	n.bytes = calloc(1, BYTES);
	n.backing = calloc(n.files, sizeof(*n.backing));
	if (!n.bytes || !n.backing)
		return 1;
	return serve(&n, argv[optind]);
}
