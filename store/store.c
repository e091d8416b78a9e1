#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/path.h"
#include "store/pidns.h"
#include "store/store-priv.h"

#define CACHE_BYTES ((size_t)64 << 20)
#define FORMAT_MAGIC "tvfs store\nformat "

/* LMDB's shared map and locks are not to be trusted there. */
static int check_filesystem(int fd, const char *folder, struct tv_err *err)
{
	static const struct {
		unsigned long magic;
		const char *name;
	} refused[] = {
		{ 0x6969, "NFS" },	  { 0x517B, "SMB" },	  { 0xFF534D42, "CIFS" },
		{ 0xFE534D42, "SMB2" },	  { 0x65735546, "FUSE" }, { 0x01021997, "9p" },
		{ 0x5346414F, "AFS" },	  { 0x6B414653, "AFS" },  { 0x00C36400, "Ceph" },
		{ 0x0BD00BD0, "Lustre" }, { 0x73757245, "Coda" }, { 0x01161970, "GFS2" },
		{ 0x7461636F, "OCFS2" },  { 0x47504653, "GPFS" }, { 0x19830326, "BeeGFS" },
	};
	struct statfs st;
	if (fstatfs(fd, &st) < 0)
		return tv_err_sys(err, -errno, "cannot tell the filesystem of '%s'", folder);
	/* Only 32 bits of f_type mean something; where it is signed they arrive extended. */
	unsigned long magic = (unsigned long)st.f_type & 0xFFFFFFFF;
	for (size_t i = 0; i < TV_ARRAY_LEN(refused); i++)
		if (magic == refused[i].magic)
			return tv_err_set(err, -EOPNOTSUPP,
					  "'%s' is on %s, where shared memory and locks between "
					  "processes do not work; put the store on a local disk",
					  folder, refused[i].name);
	return 0;
}

/* --- making ---------------------------------------------------------------------------------- */

struct layout {
	int fd;
	mode_t folder_mode, file_mode;
};

/* The umask is the process's: modes are set, not asked for. */
static int make_folder(const struct layout *l, const char *name, struct tv_err *err)
{
	if (mkdirat(l->fd, name, 0700) < 0 && errno != EEXIST)
		return tv_err_sys(err, -errno, "cannot make '%s' in the store", name);
	if (fchmodat(l->fd, name, l->folder_mode, 0) < 0)
		return tv_err_sys(err, -errno, "cannot set the mode of '%s' in the store", name);
	return 0;
}

static int make_blob_folders(const struct layout *l, struct tv_err *err)
{
	char name[16];
	int r = make_folder(l, "blobs", err);
	for (int i = 0; r == 0 && i < 256; i++) {
		snprintf(name, sizeof(name), "blobs/%02x", i);
		r = make_folder(l, name, err);
	}
	return r == 0 ? tv_io_sync_dir(l->fd, "blobs", err) : r;
}

/* Last of all: what has no format file is no store. */
static int write_format(const struct layout *l, struct tv_err *err)
{
	char text[64];
	int n = snprintf(text, sizeof(text), FORMAT_MAGIC "%d\n", TV_STORE_FORMAT);
	int r = tv_io_sync_dir(l->fd, ".", err);
	if (r == 0)
		r = tv_io_replace_file(l->fd, "format", text, (size_t)n, l->file_mode, err);
	if (r == 0 && fchmodat(l->fd, "format", l->file_mode, 0) < 0)
		r = tv_err_sys(err, -errno, "cannot set the mode of 'format' in the store");
	return r;
}

/* Empty, or what a creation that died left behind, which is made anew. */
static int check_empty(int dirfd, const char *folder, struct tv_err *err)
{
	static const char *const ours[] = { ".", "..", "index", "blobs", "tmp", "live", "pidns" };
	if (faccessat(dirfd, "format", F_OK, 0) == 0)
		return tv_err_set(err, -EEXIST, "there is a store in '%s' already", folder);

	int own = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	tv_autoclosedir DIR *d = own < 0 ? NULL : fdopendir(own);
	if (!d)
		return tv_err_sys(err, -errno, "cannot list '%s'", folder);
	for (struct dirent *e; (e = readdir(d));) {
		bool known = strncmp(e->d_name, "format.", 7) == 0;
		for (size_t i = 0; i < TV_ARRAY_LEN(ours); i++)
			known |= strcmp(e->d_name, ours[i]) == 0;
		if (!known)
			return tv_err_set(err, -ENOTEMPTY, "'%s' is not empty (it has '%s')",
					  folder, e->d_name);
	}
	return tv_io_remove_tree(dirfd, "index", err);
}

static int set_owner(const struct layout *l, int group, struct tv_err *err)
{
	if (group >= 0 && fchown(l->fd, (uid_t)-1, (gid_t)group) < 0)
		return tv_err_sys(err, -errno, "cannot give the store to group %d", group);
	if (fchmod(l->fd, l->folder_mode) < 0)
		return tv_err_sys(err, -errno, "cannot set the mode of the store");
	return 0;
}

static int fill(const struct layout *l, const char *folder, struct tv_err *err)
{
	tv_autofree char *index = tv_path_join(folder, "index");
	if (!index)
		return tv_err_nomem(err);
	int r = tv_kv_create(index, l->file_mode, err);
	if (r == 0)
		r = make_blob_folders(l, err);
	if (r == 0)
		r = make_folder(l, "tmp", err);
	if (r == 0)
		r = make_folder(l, "live", err);
	if (r < 0)
		return r;
	tv_autoclose int pidns = -1;
	r = tv_pidns_enter(l->fd, l->file_mode, &pidns, err);
	return r == 0 ? write_format(l, err) : r;
}

int tv_store_create(const char *folder, int group, struct tv_err *err)
{
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return tv_err_sys(err, -errno, "cannot make '%s'", folder);
	tv_autoclose int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return tv_err_sys(err, -errno, "cannot open '%s'", folder);
	/* Two that create at once: the second finds a store. */
	if (flock(fd, LOCK_EX) < 0)
		return tv_err_sys(err, -errno, "cannot lock '%s'", folder);

	struct layout l = {
		.fd = fd,
		.folder_mode = group >= 0 ? 02770 : 0700,
		.file_mode = group >= 0 ? 0660 : 0600,
	};
	int r = check_filesystem(fd, folder, err);
	if (r == 0)
		r = check_empty(fd, folder, err);
	if (r == 0)
		r = set_owner(&l, group, err);
	if (r == 0)
		r = fill(&l, folder, err);
	return r == 0 ? tv_io_sync_dir(fd, "..", err) : r;
}

/* --- opening --------------------------------------------------------------------------------- */

static int check_format(const struct tv_store *s, struct tv_err *err)
{
	tv_autofree char *text = NULL;
	size_t n;
	unsigned long format;
	char *end;

	int r = tv_io_read_file(s->dirfd, "format", 4096, &text, &n, err);
	if (r == -ENOENT)
		return tv_err_set(err, -TV_E_NOSTORE,
				  "'%s' is not a tvfs store (tvfs init makes one)", s->folder);
	if (r < 0)
		return tv_err_wrap(err, r, "%s", s->folder);
	if (strncmp(text, FORMAT_MAGIC, strlen(FORMAT_MAGIC)) != 0)
		return tv_err_set(err, -TV_E_DAMAGED, "'%s/format' is damaged", s->folder);
	const char *digits = text + strlen(FORMAT_MAGIC);
	format = strtoul(digits, &end, 10);
	if (end == digits || *end != '\n' || format == 0)
		return tv_err_set(err, -TV_E_DAMAGED, "'%s/format' is damaged", s->folder);
	if (format > TV_STORE_FORMAT)
		return tv_err_set(
			err, -TV_E_VERSION,
			"store '%s' has format %lu, this tvfs knows up to %d: use a newer tvfs",
			s->folder, format, TV_STORE_FORMAT);
	return 0;
}

static int open_folder(struct tv_store *s, const char *folder, struct tv_err *err)
{
	s->folder = realpath(folder, NULL);
	if (s->folder)
		s->dirfd = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dirfd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return tv_err_set(err, -TV_E_NOSTORE, "there is no store at '%s'", folder);
	if (s->dirfd < 0)
		return tv_err_sys(err, -errno, "cannot open the store at '%s'", folder);

	struct stat st;
	if (fstat(s->dirfd, &st) < 0)
		return tv_err_sys(err, -errno, "cannot stat '%s'", s->folder);
	bool group = (st.st_mode & S_ISGID) && (st.st_mode & 070);
	s->owner = st.st_uid;
	s->folder_mode = group ? 02770 : 0700;
	s->file_mode = group ? 0660 : 0600;
	s->blob_mode = group ? 0440 : 0400;
	return 0;
}

static int open_sub(const struct tv_store *s, const char *name, int *fd, struct tv_err *err)
{
	*fd = openat(s->dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*fd >= 0)
		return 0;
	return tv_err_sys(err, errno == ENOENT ? -TV_E_DAMAGED : -errno,
			  "cannot open '%s' in store '%s'", name, s->folder);
}

static int open_index(struct tv_store *s, struct tv_err *err)
{
	tv_autofree char *index = tv_path_join(s->folder, "index");
	if (!index)
		return tv_err_nomem(err);
	int r = tv_kv_open(index, s->file_mode, &s->kv, err);
	return r < 0 ? tv_err_wrap(err, r, "store '%s'", s->folder) : 0;
}

struct node_read {
	const struct tv_addr *addr;
	struct tv_node *node;
};

static int read_node(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct node_read *read = arg;
	struct tv_bytes bytes;
	char hex[TV_ADDR_HEX];

	int r = tv_kv_get(t, TV_T_NODES, tv_bytes(read->addr->b, sizeof(read->addr->b)), &bytes,
			  err);
	if (r < 0)
		return r;
	tv_addr_hex(read->addr, hex);
	if (r == 0)
		return tv_err_set(err, -TV_E_DAMAGED, "tree node %s is missing; run tvfs fsck",
				  hex);
	r = tv_node_load(bytes.data, bytes.len, read->addr, &read->node, err);
	return r < 0 ? tv_err_wrap(err, r, "tree node %s", hex) : 0;
}

static int nodes_get(void *arg, const struct tv_addr *addr, struct tv_node **out,
		     struct tv_err *err)
{
	struct tv_store *s = arg;
	struct node_read read = { .addr = addr };

	read.node = tv_node_cache_get(s->cache, addr);
	if (!read.node) {
		int r = tv_kv_read(s->kv, read_node, &read, err);
		if (r < 0)
			return r;
		tv_node_cache_put(s->cache, read.node);
	}
	*out = read.node;
	return 0;
}

static int open_all(struct tv_store *s, const char *folder, struct tv_err *err)
{
	int r = open_folder(s, folder, err);
	if (r == 0)
		r = check_format(s, err);
	if (r == 0)
		r = check_filesystem(s->dirfd, s->folder, err);
	if (r == 0)
		r = tv_pidns_enter(s->dirfd, s->file_mode, &s->pidns_fd, err);
	if (r == 0)
		r = open_index(s, err);
	if (r == 0)
		r = open_sub(s, "blobs", &s->blobs_fd, err);
	if (r == 0)
		r = open_sub(s, "tmp", &s->tmp_fd, err);
	if (r == 0)
		r = tv_node_cache_new(CACHE_BYTES, &s->cache, err);
	return r;
}

int tv_store_open(const char *folder, struct tv_store **out, struct tv_err *err)
{
	struct tv_store *s = calloc(1, sizeof(*s));
	if (!s)
		return tv_err_nomem(err);
	s->dirfd = s->blobs_fd = s->tmp_fd = s->pidns_fd = -1;
	s->nodes = (struct tv_node_source){ .get = nodes_get, .arg = s };
	int r = open_all(s, folder, err);
	if (r < 0) {
		tv_store_close(s);
		return r;
	}
	*out = s;
	return 0;
}

void tv_store_close(struct tv_store *s)
{
	if (!s)
		return;
	tv_node_cache_free(s->cache);
	tv_kv_close(s->kv);
	tv_close_p(&s->tmp_fd);
	tv_close_p(&s->blobs_fd);
	tv_close_p(&s->pidns_fd); /* after the index: the lock says that it is in use */
	tv_close_p(&s->dirfd);
	free(s->folder);
	free(s);
}

/* A folder that may not be looked into counts: opening it says why. */
static bool is_store(const char *folder)
{
	tv_autofree char *format = tv_path_join(folder, "format");
	return format && (access(format, F_OK) == 0 || errno == EACCES);
}

int tv_store_find(const char *start, char **folder, struct tv_err *err)
{
	tv_autofree char *at = realpath(start ? start : ".", NULL);
	if (!at)
		return tv_err_sys(err, -errno, "cannot look for a store from '%s'",
				  start ? start : ".");
	tv_autofree char *from = strdup(at);
	for (;;) {
		tv_autofree char *found = tv_path_join(*at ? at : "/", TV_STORE_FOLDER);
		if (!found || !from)
			return tv_err_nomem(err);
		if (is_store(found)) {
			*folder = tv_steal_ptr(&found);
			return 0;
		}
		char *slash = strrchr(at, '/');
		if (!slash)
			break;
		*slash = '\0';
	}
	return tv_err_set(err, -TV_E_NOSTORE,
			  "no store (" TV_STORE_FOLDER ") in '%s' or above it; tvfs init makes one",
			  from);
}

/* --- the handle ------------------------------------------------------------------------------ */

const char *tv_store_folder(const struct tv_store *s)
{
	return s->folder;
}

int tv_store_dirfd(const struct tv_store *s)
{
	return s->dirfd;
}

struct tv_kv *tv_store_kv(struct tv_store *s)
{
	return s->kv;
}

const struct tv_node_source *tv_store_nodes(struct tv_store *s)
{
	return &s->nodes;
}

void tv_store_limit_cache(struct tv_store *s, size_t bytes)
{
	tv_node_cache_limit(s->cache, bytes);
}

void tv_store_cache_figures(struct tv_store *s, struct tv_node_cache_figures *out)
{
	tv_node_cache_figures(s->cache, out);
}

int tv_store_give(const struct tv_store *s, int fd)
{
	if (geteuid() != 0 || s->owner == 0)
		return 0;
	return fchown(fd, s->owner, (gid_t)-1) < 0 ? -errno : 0;
}

struct node_write {
	struct tv_kv_txn *t;
	struct tv_err *err;
};

/* A row is there: the same node, a damaged one (replaced by the good bytes at hand), or, which no
 * honest data makes, another node with this address. */
static int put_again(struct node_write *w, struct tv_bytes key, struct tv_bytes bytes)
{
	struct tv_bytes old;
	int r = tv_kv_get(w->t, TV_T_NODES, key, &old, w->err);
	if (r < 0)
		return r;
	if (r == 1 && old.len == bytes.len && memcmp(old.data, bytes.data, old.len) == 0)
		return 0;
	struct tv_addr addr = r == 1 ? tv_addr_of(old.data, old.len) : (struct tv_addr){ { 0 } };
	if (memcmp(addr.b, key.data, sizeof(addr.b)) != 0)
		return tv_kv_put(w->t, TV_T_NODES, key, bytes, w->err);
	char hex[TV_ADDR_HEX];
	tv_addr_hex(&addr, hex);
	return tv_err_set(w->err, -TV_E_DIGEST, "two different tree nodes have the address %s",
			  hex);
}

static int put_node(void *arg, struct tv_node *node)
{
	struct node_write *w = arg;
	const void *data;
	size_t n = tv_node_bytes(node, &data);
	struct tv_bytes key = tv_bytes(tv_node_addr(node)->b, sizeof(struct tv_addr));
	int r = tv_kv_put_new(w->t, TV_T_NODES, key, tv_bytes(data, n), w->err);
	if (r < 0)
		return r;
	return r == 1 ? 0 : put_again(w, key, tv_bytes(data, n));
}

int tv_store_put_nodes(struct tv_store *s, struct tv_kv_txn *t, const struct tv_node_batch *batch,
		       const struct tv_addr *root, struct tv_err *err)
{
	(void)s;
	struct node_write w = { .t = t, .err = err };
	return tv_node_batch_each(batch, root, put_node, &w, err);
}
