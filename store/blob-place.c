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
#include "store/base/hex.h"
#include "store/base/io.h"
#include "store/store-priv.h"

/* A batch placed longer ago than this is looked at again: a program that slept for so long may have
 * been overtaken by what no epoch tells, such as somebody who tidied up by hand. */
#define TRUST_NS (5 * 60 * INT64_C(1000000000))

/* --- placing --------------------------------------------------------------------------------- */

static int sync_all(struct tv_blobs *b, struct tv_err *err)
{
	if (syncfs(b->sync_fd) < 0)
		return tv_err_sys(err, -errno, "cannot write the blobs to disk");
	return 0;
}

static int sync_data(struct tv_blobs *b, struct tv_err *err)
{
	if (b->len > TV_BLOB_SYNC_SINGLY)
		return sync_all(b, err);
	for (size_t i = 0; i < b->len; i++)
		if (fdatasync(b->items[i].fd) < 0)
			return tv_err_sys(err, -errno, "cannot write a blob to disk");
	return 0;
}

/* The folders are made with the store; one may be missing from a restored copy. */
static int make_folder(struct tv_store *s, const char *name, struct tv_err *err)
{
	if (mkdirat(s->blobs_fd, name, 0700) < 0 && errno != EEXIST)
		return tv_err_sys(err, -errno, "cannot make 'blobs/%s'", name);
	tv_autoclose int fd = openat(s->blobs_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return tv_err_sys(err, -errno, "cannot open 'blobs/%s'", name);
	int r = tv_store_give(s, fd);
	if (r == 0 && fchmod(fd, s->folder_mode) < 0)
		r = -errno;
	if (r < 0)
		return tv_err_sys(err, r, "cannot set the mode of 'blobs/%s'", name);
	return tv_io_sync_dir(s->blobs_fd, ".", err);
}

/* Over a file of that name: an orphan, a condemned blob, or what another process placed just now;
 * the same bytes in any case, and those here are known to be on disk. */
static int place_item(struct tv_blobs *b, struct tv_blob_item *it, struct tv_err *err)
{
	struct tv_store *s = b->store;
	char path[TV_BLOB_PATH], folder[3], temp[TV_BLOB_TEMP];
	tv_blob_temp_name(b, it->nonce, temp);
	tv_blob_path(&it->blob.addr, path);
	snprintf(folder, sizeof(folder), "%.2s", path);

	int r = renameat(s->tmp_fd, temp, s->blobs_fd, path) < 0 ? -errno : 0;
	if (r == -ENOENT) {
		r = make_folder(s, folder, err);
		if (r < 0)
			return r;
		r = renameat(s->tmp_fd, temp, s->blobs_fd, path) < 0 ? -errno : 0;
	}
	if (r < 0)
		return tv_err_sys(err, r, "cannot place blob '%s'", path);
	it->placed = true;
	return 0;
}

/* Right after the first one, a second syncfs has little to wait for: measured at 2 to 15 ms, where
 * up to 256 syncs of folders took 70 to 900. */
static int sync_folders(struct tv_blobs *b, struct tv_err *err)
{
	char name[3];
	int r = 0;
	if (b->len > TV_BLOB_SYNC_SINGLY)
		return sync_all(b, err);
	for (size_t i = 0; r == 0 && i < b->len; i++) {
		tv_hex_encode(b->items[i].blob.addr.b, 1, name);
		r = tv_io_sync_dir(b->store->blobs_fd, name, err);
	}
	return r;
}

static int by_address(const void *a, const void *b)
{
	const struct tv_blob_item *x = a, *y = b;
	return memcmp(x->blob.addr.b, y->blob.addr.b, sizeof(x->blob.addr.b));
}

int tv_blobs_place(struct tv_blobs *b, struct tv_err *err)
{
	if (b->failed || b->placed_ns)
		return tv_err_set(err, -EINVAL, "a batch of blobs is placed only once");
	b->failed = true; /* until all is done: a failed sync must not be tried again */
	tv_map16_free(&b->by_addr);
	if (b->len)
		qsort(b->items, b->len, sizeof(*b->items), by_address);
	int r = sync_data(b, err);
	for (size_t i = 0; r == 0 && i < b->len; i++) {
		tv_blob_item_close(&b->items[i]);
		r = place_item(b, &b->items[i], err);
	}
	if (r == 0)
		r = sync_folders(b, err);
	if (r < 0)
		return r;
	b->failed = false;
	b->placed_ns = tv_boottime_ns();
	return 0;
}

/* --- registering ----------------------------------------------------------------------------- */

static int gone(const struct tv_addr *addr, struct tv_err *err)
{
	char hex[TV_ADDR_HEX];
	tv_addr_hex(addr, hex);
	return tv_err_set(err, -EAGAIN, "gc removed blob %s meanwhile; try again", hex);
}

/* -EAGAIN when the file has gone. */
static int check_file(struct tv_store *s, const struct tv_addr *addr, uint64_t size,
		      struct tv_err *err)
{
	int r = tv_blob_file_check(s, addr, size, err);
	return r == -ENOENT ? gone(addr, err) : r;
}

static int register_item(struct tv_blobs *b, struct tv_kv_txn *t, const struct tv_blob_item *it,
			 bool look, struct tv_err *err)
{
	struct tv_blob_row row;
	int r = tv_blob_row_get(t, &it->blob.addr, &row, err);
	if (r < 0)
		return r;
	if (r && !tv_blob_row_is(&row, &it->blob))
		return tv_blob_other_sha(&it->blob.addr, err);
	if (look || (r && row.condemned_ns)) {
		int seen = check_file(b->store, &it->blob.addr, it->blob.size, err);
		if (seen < 0)
			return seen;
	}
	if (r && !row.condemned_ns)
		return 0;
	row = (struct tv_blob_row){ .sha = it->blob.sha, .size = it->blob.size };
	return tv_blob_row_put(t, &it->blob.addr, &row, err);
}

/* A blob condemned since it was relied on is revived: the commit will reach it. */
static int register_relied(struct tv_blobs *b, struct tv_kv_txn *t, const struct tv_addr *addr,
			   bool look, struct tv_err *err)
{
	struct tv_blob_row row;
	int r = tv_blob_row_get(t, addr, &row, err);
	if (r <= 0)
		return r < 0 ? r : gone(addr, err);
	if (look || row.condemned_ns) {
		r = check_file(b->store, addr, row.size, err);
		if (r < 0)
			return r;
	}
	if (!row.condemned_ns)
		return 0;
	row.condemned_ns = 0;
	return tv_blob_row_put(t, addr, &row, err);
}

int tv_blobs_register(struct tv_blobs *b, struct tv_kv_txn *t, struct tv_err *err)
{
	uint64_t epoch;
	if (!b->placed_ns)
		return tv_err_set(err, -EINVAL,
				  "a batch of blobs is registered after it was placed");
	int r = tv_gc_epoch_get(t, &epoch, err);
	if (r < 0)
		return r;
	bool look = epoch != b->epoch || tv_boottime_ns() - b->placed_ns > TRUST_NS;

	for (size_t i = 0; r == 0 && i < b->len; i++)
		r = register_item(b, t, &b->items[i], look, err);
	for (size_t i = 0; r == 0 && i < b->relied.cap; i++) {
		struct tv_addr addr;
		if (!b->relied.slots[i].used)
			continue;
		memcpy(addr.b, b->relied.slots[i].key, sizeof(addr.b));
		r = register_relied(b, t, &addr, look, err);
	}
	return r;
}
