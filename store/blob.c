#include "store/blob.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"
#include "store/blob-priv.h"
#include "store/lease.h"
#include "store/store-priv.h"

#define ROW_BYTES 48

void tv_blob_path(const struct tv_addr *addr, char out[TV_BLOB_PATH])
{
	char hex[TV_ADDR_HEX];
	tv_addr_hex(addr, hex);
	snprintf(out, TV_BLOB_PATH, "%.2s/%s", hex, hex);
}

/* --- rows ------------------------------------------------------------------------------------ */

static struct tv_bytes addr_key(const struct tv_addr *addr)
{
	return tv_bytes(addr->b, sizeof(addr->b));
}

int tv_blob_row_decode(struct tv_bytes value, struct tv_blob_row *out, struct tv_err *err)
{
	const uint8_t *p = value.data;
	if (value.len != ROW_BYTES)
		return tv_err_set(err, -TV_E_DAMAGED, "a blob row has %zu bytes", value.len);
	memcpy(out->sha.b, p, 32);
	out->size = tv_le64(p + 32);
	out->condemned_ns = (int64_t)tv_le64(p + 40);
	return 0;
}

int tv_blob_row_get(struct tv_kv_txn *t, const struct tv_addr *addr, struct tv_blob_row *out,
		    struct tv_err *err)
{
	struct tv_bytes value;
	int r = tv_kv_get(t, TV_T_BLOBS, addr_key(addr), &value, err);
	if (r <= 0)
		return r;
	r = tv_blob_row_decode(value, out, err);
	return r < 0 ? r : 1;
}

int tv_blob_row_put(struct tv_kv_txn *t, const struct tv_addr *addr, const struct tv_blob_row *row,
		    struct tv_err *err)
{
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	tv_buf_add(&b, row->sha.b, sizeof(row->sha.b));
	tv_buf_add_le64(&b, row->size);
	tv_buf_add_le64(&b, (uint64_t)row->condemned_ns);
	if (b.failed)
		return tv_err_nomem(err);
	return tv_kv_put(t, TV_T_BLOBS, addr_key(addr), tv_bytes(b.data, b.len), err);
}

static struct tv_bytes epoch_key(void)
{
	return tv_bytes("gc-epoch", 8);
}

int tv_gc_epoch_get(struct tv_kv_txn *t, uint64_t *epoch, struct tv_err *err)
{
	struct tv_bytes value;
	int r = tv_kv_get(t, TV_T_META, epoch_key(), &value, err);
	if (r < 0)
		return r;
	if (r && value.len != 8)
		return tv_err_set(err, -TV_E_DAMAGED, "the gc epoch is damaged; run tvfs fsck");
	*epoch = r ? tv_be64_get(value.data) : 0;
	return 0;
}

int tv_gc_epoch_bump(struct tv_kv_txn *t, struct tv_err *err)
{
	uint64_t epoch = 0;
	uint8_t bytes[8];
	int r = tv_gc_epoch_get(t, &epoch, err);
	if (r < 0)
		return r;
	tv_be64_put(bytes, epoch + 1);
	return tv_kv_put(t, TV_T_META, epoch_key(), tv_bytes(bytes, 8), err);
}

struct row_read {
	const struct tv_addr *addr;
	struct tv_blob_row row;
};

static int read_row(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct row_read *read = arg;
	return tv_blob_row_get(t, read->addr, &read->row, err);
}

int tv_blob_row_read(struct tv_store *s, const struct tv_addr *addr, struct tv_blob_row *out,
		     struct tv_err *err)
{
	struct row_read read = { .addr = addr };
	int r = tv_kv_read(s->kv, read_row, &read, err);
	if (r == 1)
		*out = read.row;
	return r;
}

/* --- files - --------------------------------------------------------------------------------- */

int tv_blob_file_check(struct tv_store *s, const struct tv_addr *addr, uint64_t size,
		       struct tv_err *err)
{
	char path[TV_BLOB_PATH];
	struct stat st;
	tv_blob_path(addr, path);
	if (fstatat(s->blobs_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return tv_err_sys(err, -errno, "cannot stat blob %s", path + 3);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
		return tv_err_set(err, -TV_E_DAMAGED,
				  "blob %s has %lld bytes, not %" PRIu64 "; run tvfs fsck",
				  path + 3, (long long)st.st_size, size);
	return 0;
}

int tv_blob_open(struct tv_store *s, const struct tv_addr *addr, struct tv_err *err)
{
	char path[TV_BLOB_PATH];
	tv_blob_path(addr, path);
	int fd = openat(s->blobs_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		return tv_err_set(err, -TV_E_DAMAGED, "blob %s is missing; run tvfs fsck",
				  path + 3);
	return tv_err_sys(err, -errno, "cannot open blob %s", path + 3);
}

int tv_blob_info(struct tv_store *s, const struct tv_addr *addr, struct tv_blob *out,
		 struct tv_err *err)
{
	struct tv_blob_row row = { .size = 0 };
	int r = tv_blob_row_read(s, addr, &row, err);
	if (r < 0)
		return r;
	if (r == 0) {
		char hex[TV_ADDR_HEX];
		tv_addr_hex(addr, hex);
		return tv_err_set(err, -ENOENT, "the store has no blob %s", hex);
	}
	*out = (struct tv_blob){ .addr = *addr, .sha = row.sha, .size = row.size };
	return 0;
}

ssize_t tv_blob_read_chunk(int fd, uint8_t *buf, size_t cap)
{
	size_t n = 0;
	while (n < cap) {
		ssize_t got = read(fd, buf + n, cap - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return (ssize_t)n;
}

static int hash_fd(int fd, struct tv_blob *out, struct tv_err *err)
{
	tv_autofree uint8_t *buf = malloc(TV_BLOB_CHUNK);
	struct tv_hasher *h;
	if (!buf)
		return tv_err_nomem(err);
	int r = tv_hasher_new(&h, err);
	if (r < 0)
		return r;
	ssize_t n;
	out->size = 0;
	while (r == 0 && (n = tv_blob_read_chunk(fd, buf, TV_BLOB_CHUNK)) != 0) {
		r = n < 0 ? tv_err_sys(err, (int)n, "cannot read")
			  : tv_hasher_update(h, buf, (size_t)n, err);
		out->size += n < 0 ? 0 : (uint64_t)n;
	}
	if (r == 0)
		r = tv_hasher_final(h, &out->addr, &out->sha, err);
	tv_hasher_free(h);
	return r;
}

int tv_blob_verify(struct tv_store *s, const struct tv_addr *addr, struct tv_err *err)
{
	struct tv_blob want = { .size = 0 }, have = { .size = 0 };
	char hex[TV_ADDR_HEX];
	int r = tv_blob_info(s, addr, &want, err);
	if (r < 0)
		return r;
	tv_autoclose int fd = tv_blob_open(s, addr, err);
	if (fd < 0)
		return fd;
	tv_addr_hex(addr, hex);
	r = hash_fd(fd, &have, err);
	if (r < 0)
		return tv_err_wrap(err, r, "blob %s", hex);
	if (have.size != want.size)
		return tv_err_set(err, -TV_E_DIGEST, "blob %s has %" PRIu64 " bytes, not %" PRIu64,
				  hex, have.size, want.size);
	if (!tv_addr_eq(&have.addr, addr) || !tv_sha_eq(&have.sha, &want.sha))
		return tv_err_set(err, -TV_E_DIGEST, "blob %s does not match its digests", hex);
	return 0;
}

void tv_blob_temp_name(const struct tv_blobs *b, const char *nonce, char out[TV_BLOB_TEMP])
{
	snprintf(out, TV_BLOB_TEMP, "%d.%" PRIu64 ".%s", (int)b->self.pid, b->self.start_ticks,
		 nonce);
}

bool tv_blob_temp_stale(const char *name)
{
	struct tv_process owner = { .pid = 0 }, self;
	int pid, used = 0;
	if (sscanf(name, "%d.%" SCNu64 ".%n", &pid, &owner.start_ticks, &used) != 2 || !used ||
	    pid <= 0)
		return true;
	/* The name has no boot: one that this boot did not make is taken for its namesake. */
	if (tv_process_self(&self, NULL) < 0)
		return false;
	owner.pid = pid;
	memcpy(owner.boot_id, self.boot_id, sizeof(owner.boot_id));
	return !tv_process_alive(&owner);
}
