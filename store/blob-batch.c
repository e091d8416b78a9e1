#include "store/blob-priv.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/store-priv.h"

/* What one thread needs while it adds. Kept by the batch between adds. */
struct tv_blob_scratch {
	struct tv_blob_scratch *next;
	struct tv_hasher *hasher;
	uint8_t buf[TV_BLOB_CHUNK];
};

int tv_blob_other_sha(const struct tv_addr *addr, struct tv_err *err)
{
	char hex[TV_ADDR_HEX];
	tv_addr_hex(addr, hex);
	return tv_err_set(
		err, -TV_E_DIGEST,
		"address %s is taken by other bytes (a forged file, or a damaged row: run "
		"tvfs fsck)",
		hex);
}

static int read_epoch(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	return tv_gc_epoch_get(t, arg, err);
}

int tv_blobs_begin(struct tv_store *s, struct tv_blobs **out, struct tv_err *err)
{
	struct tv_blobs *b = calloc(1, sizeof(*b));
	if (!b)
		return tv_err_nomem(err);
	b->store = s;
	pthread_mutex_init(&b->lock, NULL);
	b->sync_fd = openat(s->tmp_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = b->sync_fd < 0 ? tv_err_sys(err, -errno, "cannot open 'tmp' in the store") : 0;
	if (r == 0)
		r = tv_process_self(&b->self, err);
	if (r == 0)
		r = tv_kv_read(s->kv, read_epoch, &b->epoch, err);
	if (r < 0) {
		tv_blobs_free(b);
		return r;
	}
	*out = b;
	return 0;
}

static void free_scratch(struct tv_blob_scratch *sc)
{
	tv_hasher_free(sc->hasher);
	free(sc);
}

static void remove_temp(const struct tv_blobs *b, const char *nonce)
{
	char name[TV_BLOB_TEMP];
	tv_blob_temp_name(b, nonce, name);
	unlinkat(b->store->tmp_fd, name, 0);
}

void tv_blobs_free(struct tv_blobs *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->len; i++) {
		tv_close_p(&b->items[i].fd);
		if (!b->items[i].placed)
			remove_temp(b, b->items[i].nonce);
	}
	while (b->spare) {
		struct tv_blob_scratch *next = b->spare->next;
		free_scratch(b->spare);
		b->spare = next;
	}
	tv_close_p(&b->sync_fd);
	tv_map16_free(&b->by_addr);
	tv_map16_free(&b->relied);
	pthread_mutex_destroy(&b->lock);
	free(b->items);
	free(b);
}

static struct tv_blob_scratch *new_scratch(struct tv_err *err)
{
	struct tv_blob_scratch *sc = malloc(sizeof(*sc));
	if (!sc)
		tv_err_nomem(err);
	else if (tv_hasher_new(&sc->hasher, err) == 0)
		return sc;
	free(sc);
	return NULL;
}

/* NULL, and err set, without memory. */
static struct tv_blob_scratch *take_scratch(struct tv_blobs *b, struct tv_err *err)
{
	pthread_mutex_lock(&b->lock);
	struct tv_blob_scratch *sc = b->spare;
	if (sc)
		b->spare = sc->next;
	pthread_mutex_unlock(&b->lock);
	if (!sc)
		return new_scratch(err);
	if (tv_hasher_reset(sc->hasher, err) == 0)
		return sc;
	free_scratch(sc);
	return NULL;
}

static void put_scratch(struct tv_blobs *b, struct tv_blob_scratch *sc)
{
	pthread_mutex_lock(&b->lock);
	sc->next = b->spare;
	b->spare = sc;
	pthread_mutex_unlock(&b->lock);
}

static int note_relied(struct tv_blobs *b, const struct tv_addr *addr, struct tv_err *err)
{
	pthread_mutex_lock(&b->lock);
	int r = tv_map16_put(&b->relied, addr->b, 1);
	pthread_mutex_unlock(&b->lock);
	return r < 0 ? tv_err_nomem(err) : 0;
}

/* A row whose file is missing or cut is no reason not to write the file (again): that heals it. */
static bool usable(struct tv_store *s, const struct tv_addr *addr, const struct tv_blob_row *row)
{
	return !row->condemned_ns && tv_blob_file_check(s, addr, row->size, NULL) == 0;
}

int tv_blobs_rely(struct tv_blobs *b, const struct tv_addr *addr, struct tv_err *err)
{
	struct tv_blob_row row;
	int r = tv_blob_row_read(b->store, addr, &row, err);
	if (r <= 0 || !usable(b->store, addr, &row))
		return r < 0 ? r : 0;
	r = note_relied(b, addr, err);
	return r < 0 ? r : 1;
}

/* Under the lock. 1 when these bytes are in the batch, 0 when not, -TV_E_DIGEST. */
static int in_batch(const struct tv_blobs *b, const struct tv_blob *blob, struct tv_err *err)
{
	const uint64_t *at = tv_map16_get(&b->by_addr, blob->addr.b);
	if (!at)
		return 0;
	const struct tv_blob *other = &b->items[*at].blob;
	if (other->size != blob->size || !tv_sha_eq(&other->sha, &blob->sha))
		return tv_blob_other_sha(&blob->addr, err);
	return 1;
}

/* 1 when the batch or the store has these bytes already (then they are relied on), 0 when not. */
static int known(struct tv_blobs *b, const struct tv_blob *blob, struct tv_err *err)
{
	pthread_mutex_lock(&b->lock);
	int r = in_batch(b, blob, err);
	pthread_mutex_unlock(&b->lock);
	if (r != 0)
		return r;

	struct tv_blob_row row;
	r = tv_blob_row_read(b->store, &blob->addr, &row, err);
	if (r <= 0)
		return r;
	if (!tv_blob_row_is(&row, blob))
		return tv_blob_other_sha(&blob->addr, err);
	if (!usable(b->store, &blob->addr, &row))
		return 0;
	r = note_relied(b, &blob->addr, err);
	return r < 0 ? r : 1;
}

/* --- adding ---------------------------------------------------------------------------------- */

/* A file on its way in; removed at the end of its scope unless the batch took it over. */
struct temp {
	const struct tv_blobs *batch;
	char nonce[TV_BLOB_NONCE];
	int fd;
};

static void temp_drop(struct temp *t)
{
	if (t->nonce[0])
		remove_temp(t->batch, t->nonce);
	tv_close_p(&t->fd);
}

static int temp_open(struct tv_blobs *b, struct temp *t, struct tv_err *err)
{
	char name[TV_BLOB_TEMP], nonce[TV_BLOB_NONCE];
	const struct tv_store *s = b->store;
	int r = tv_random_hex(nonce, sizeof(nonce) / 2, err);
	if (r < 0)
		return r;
	tv_blob_temp_name(b, nonce, name);
	t->fd = openat(s->tmp_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, s->blob_mode);
	if (t->fd < 0)
		return tv_err_sys(err, -errno, "cannot make a file in the store");
	memcpy(t->nonce, nonce, sizeof(nonce));
	r = tv_store_give(s, t->fd);
	if (r == 0 && fchmod(t->fd, s->blob_mode) < 0)
		r = -errno;
	return r < 0 ? tv_err_sys(err, r, "cannot set owner and mode of a blob") : 0;
}

static int temp_write(struct temp *t, const void *bytes, size_t n, struct tv_err *err)
{
	int r = tv_io_write_all(t->fd, bytes, n);
	return r < 0 ? tv_err_sys(err, r, "cannot write to the store") : 0;
}

static int grow_items(struct tv_blobs *b)
{
	if (b->len < b->cap)
		return 0;
	size_t cap = b->cap ? b->cap * 2 : 64;
	struct tv_blob_item *items = realloc(b->items, cap * sizeof(*items));
	if (!items)
		return -ENOMEM;
	b->items = items;
	b->cap = cap;
	return 0;
}

/* Under the lock. Descriptors stay open only as long as the blobs may be synced one by one. */
static int insert_item(struct tv_blobs *b, struct temp *t, const struct tv_blob *blob)
{
	if (grow_items(b) < 0 || tv_map16_put(&b->by_addr, blob->addr.b, b->len) < 0)
		return -ENOMEM;
	struct tv_blob_item *it = &b->items[b->len++];
	*it = (struct tv_blob_item){ .blob = *blob, .fd = -1 };
	memcpy(it->nonce, t->nonce, sizeof(it->nonce));
	t->nonce[0] = '\0';
	b->bytes += blob->size;
	if (b->len <= TV_BLOB_SYNC_SINGLY)
		it->fd = tv_steal_fd(&t->fd);
	else if (b->len == TV_BLOB_SYNC_SINGLY + 1)
		for (size_t i = 0; i < TV_BLOB_SYNC_SINGLY; i++)
			tv_blob_item_close(&b->items[i]);
	return 0;
}

static int keep_temp(struct tv_blobs *b, struct temp *t, const struct tv_blob *blob,
		     struct tv_err *err)
{
	pthread_mutex_lock(&b->lock);
	/* Another thread may have added the same bytes since known() looked. */
	int r = in_batch(b, blob, err);
	if (r == 0 && insert_item(b, t, blob) < 0)
		r = tv_err_nomem(err);
	pthread_mutex_unlock(&b->lock);
	return r < 0 ? r : 0;
}

static void note_edges(struct tv_blob_edges *e, const uint8_t *buf, size_t n)
{
	size_t room = sizeof(e->head) - e->head_len;
	size_t take = n < room ? n : room;
	memcpy(e->head + e->head_len, buf, take);
	e->head_len += (unsigned)take;

	if (n >= sizeof(e->tail)) {
		memcpy(e->tail, buf + n - sizeof(e->tail), sizeof(e->tail));
		e->tail_len = sizeof(e->tail);
		return;
	}
	size_t keep = sizeof(e->tail) - n;
	if (keep > e->tail_len)
		keep = e->tail_len;
	memmove(e->tail, e->tail + e->tail_len - keep, keep);
	memcpy(e->tail + keep, buf, n);
	e->tail_len = (unsigned)(keep + n);
}

/* Reads everything: hashes it, and writes it to the temp file once there is more than a chunk. The
 * first chunk of a small file stays in the buffer (t->fd stays -1). */
static int take_in(struct tv_blobs *b, int fd, struct tv_blob_scratch *sc, struct temp *t,
		   struct tv_blob *blob, struct tv_blob_edges *edges, struct tv_err *err)
{
	for (;;) {
		ssize_t n = tv_blob_read_chunk(fd, sc->buf, TV_BLOB_CHUNK);
		if (n < 0)
			return tv_err_sys(err, (int)n, "cannot read the file");
		int r = tv_hasher_update(sc->hasher, sc->buf, (size_t)n, err);
		bool small = blob->size == 0 && (size_t)n < TV_BLOB_CHUNK;
		if (r == 0 && !small && t->fd < 0)
			r = temp_open(b, t, err);
		if (r == 0 && !small)
			r = temp_write(t, sc->buf, (size_t)n, err);
		if (r < 0)
			return r;
		note_edges(edges, sc->buf, (size_t)n);
		blob->size += (uint64_t)n;
		if ((size_t)n < TV_BLOB_CHUNK)
			return tv_hasher_final(sc->hasher, &blob->addr, &blob->sha, err);
	}
}

/* Hashed: into the batch, unless it is known. `bytes`: what is not in the temp file yet. */
static int settle(struct tv_blobs *b, struct temp *t, const void *bytes, size_t n,
		  const struct tv_blob *blob, struct tv_err *err)
{
	if (b->failed || b->placed_ns)
		return tv_err_set(err, -EINVAL, "nothing can be added to a placed batch of blobs");
	int r = known(b, blob, err);
	if (r != 0)
		return r < 0 ? r : 0;
	if (t->fd < 0) {
		r = temp_open(b, t, err);
		if (r == 0)
			r = temp_write(t, bytes, n, err);
	}
	return r == 0 ? keep_temp(b, t, blob, err) : r;
}

int tv_blobs_add_fd(struct tv_blobs *b, int fd, struct tv_blob *out, struct tv_blob_edges *edges,
		    struct tv_err *err)
{
	tv_auto(temp_drop) struct temp t = { .batch = b, .fd = -1 };
	struct tv_blob blob = { .size = 0 };
	struct tv_blob_edges seen = { .head_len = 0 };
	struct tv_blob_scratch *sc = take_scratch(b, err);
	if (!sc)
		return -ENOMEM;

	int r = take_in(b, fd, sc, &t, &blob, &seen, err);
	if (r == 0)
		r = settle(b, &t, sc->buf, (size_t)blob.size, &blob, err);
	put_scratch(b, sc);
	if (r < 0)
		return r;
	*out = blob;
	if (edges)
		*edges = seen;
	return 0;
}

/* --- taking over ------------------------------------------------------------------------------- */

/* Gives a file without a name one among the temp files. False: it is not such a file, or not here. */
static bool temp_link(struct tv_blobs *b, struct temp *t, int fd, struct tv_err *err)
{
	char name[TV_BLOB_TEMP], nonce[TV_BLOB_NONCE], path[32];
	const struct tv_store *s = b->store;
	if (tv_random_hex(nonce, sizeof(nonce) / 2, err) < 0)
		return false;
	tv_blob_temp_name(b, nonce, name);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	t->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (t->fd < 0 || linkat(AT_FDCWD, path, s->tmp_fd, name, AT_SYMLINK_FOLLOW) < 0)
		return false;
	memcpy(t->nonce, nonce, sizeof(nonce));
	return tv_store_give(s, t->fd) == 0 && fchmod(t->fd, s->blob_mode) == 0;
}

static int digest(int fd, struct tv_blob_scratch *sc, struct tv_blob *blob, struct tv_err *err)
{
	for (;;) {
		ssize_t n = tv_blob_read_chunk(fd, sc->buf, TV_BLOB_CHUNK);
		if (n < 0)
			return tv_err_sys(err, (int)n, "cannot read the file");
		int r = tv_hasher_update(sc->hasher, sc->buf, (size_t)n, err);
		if (r < 0)
			return r;
		blob->size += (uint64_t)n;
		if ((size_t)n < TV_BLOB_CHUNK)
			return tv_hasher_final(sc->hasher, &blob->addr, &blob->sha, err);
	}
}

/* 1: it is in the batch, or known; 0: it has to be copied. */
static int adopt(struct tv_blobs *b, int fd, struct tv_blob_scratch *sc, struct tv_blob *blob,
		 struct tv_err *err)
{
	tv_auto(temp_drop) struct temp t = { .batch = b, .fd = -1 };
	if (b->failed || b->placed_ns)
		return tv_err_set(err, -EINVAL, "nothing can be added to a placed batch of blobs");
	int r = digest(fd, sc, blob, err);
	if (r == 0)
		r = known(b, blob, err);
	if (r != 0)
		return r;
	if (!temp_link(b, &t, fd, NULL))
		return 0;
	r = keep_temp(b, &t, blob, err);
	return r < 0 ? r : 1;
}

int tv_blobs_adopt_fd(struct tv_blobs *b, int fd, struct tv_blob *out, struct tv_err *err)
{
	struct tv_blob blob = { .size = 0 };
	struct tv_blob_scratch *sc = take_scratch(b, err);
	if (!sc)
		return -ENOMEM;
	off_t start = lseek(fd, 0, SEEK_CUR);
	int r = adopt(b, fd, sc, &blob, err);
	put_scratch(b, sc);
	if (r == 0 && (start < 0 || lseek(fd, start, SEEK_SET) < 0))
		r = tv_err_sys(err, -errno, "cannot read the file once more");
	if (r == 0)
		return tv_blobs_add_fd(b, fd, out, NULL, err);
	if (r < 0)
		return r;
	*out = blob;
	return 0;
}

int tv_blobs_add_bytes(struct tv_blobs *b, const void *bytes, size_t n, struct tv_blob *out,
		       struct tv_err *err)
{
	tv_auto(temp_drop) struct temp t = { .batch = b, .fd = -1 };
	struct tv_blob blob = { .addr = tv_addr_of(bytes, n), .size = n };
	int r = tv_sha_of(bytes, n, &blob.sha, err);
	if (r == 0)
		r = settle(b, &t, bytes, n, &blob, err);
	if (r == 0)
		*out = blob;
	return r;
}

void tv_blobs_figures(const struct tv_blobs *b, uint64_t *count, uint64_t *bytes)
{
	*count = b->len;
	*bytes = b->bytes;
}
