/*
 * Races that are decided by hand: this program answers some system calls itself, so that what others
 * do comes at just the wrong moment.
 */
#include "live.h"

#include <dirent.h>
#include <sys/syscall.h>

/* --- a listing that misses a name ------------------------------------------------------------ */

static const char *hidden; /* from listings, not from stat */

/* Btrfs does this by itself: a name that was renamed over since the folder was opened. */
ssize_t getdents64(int fd, void *buf, size_t n)
{
	ssize_t len = syscall(SYS_getdents64, fd, buf, n);
	for (ssize_t at = 0; hidden && at < len;) {
		struct dirent64 *d = (void *)((char *)buf + at);
		size_t size = d->d_reclen;
		if (strcmp(d->d_name, hidden) != 0) {
			at += (ssize_t)size;
			continue;
		}
		memmove(d, (char *)d + size, (size_t)(len - at) - size);
		len -= (ssize_t)size;
	}
	return len;
}

static void a_name_that_a_listing_missed_is_there(void **state)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	struct live l;
	live_open(&l, *state);
	put(&l, "a", "1");
	put(&l, "b", "1");
	put(&l, "c", "1");
	put(&l, "d/x", "1");
	settle();
	import_all(&l);
	for (size_t i = 0; i < TV_ARRAY_LEN(names); i++) {
		hidden = names[i];
		is(import_all(&l).unchanged);
	}
	hidden = "b";
	put(&l, "b", "2");
	import_all(&l);
	is(main_has(l.f->store, "b", "2"));
	drop(&l, "b");
	import_all(&l);
	is(main_has(l.f->store, "b", NULL) && main_has(l.f->store, "c", "1"));
	hidden = NULL;
	is(import_all(&l).unchanged);
	fsck_is_clean(l.f->store);
	tv_worktree_close(&l.w);
}

/* --- gc on a full disk ----------------------------------------------------------------------- */

static struct {
	bool on, full;
	struct tv_blobs *blobs; /* placed when gc has seen the orphan */
} disk;

int fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	int r = (int)syscall(SYS_newfstatat, dirfd, path, st, flags);
	if (r == 0 && disk.on && disk.blobs && strlen(path) == 35) {
		struct tv_err err = TV_ERR_INIT;
		st->st_ctim.tv_sec -= 3600;
		ok(tv_blobs_place(disk.blobs, &err));
		disk.blobs = NULL;
	}
	return r;
}

int unlinkat(int dirfd, const char *path, int flags)
{
	disk.full |= disk.on;
	return (int)syscall(SYS_unlinkat, dirfd, path, flags);
}

int fdatasync(int fd)
{
	if (!disk.full)
		return (int)syscall(SYS_fdatasync, fd);
	errno = ENOSPC;
	return -1;
}

static int register_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	return tv_blobs_register(arg, t, err);
}

static void a_blob_placed_over_an_orphan(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_gc how = { .delete_ = true };
	struct tv_gc_figures figures;
	struct tv_blobs *left, *b;
	struct tv_blob blob;
	ok(tv_blobs_begin(f->store, &left, &err));
	ok(tv_blobs_add_bytes(left, "text", 4, &blob, &err));
	ok(tv_blobs_place(left, &err));
	tv_blobs_free(left); /* never registered: an orphan */
	ok(tv_blobs_begin(f->store, &b, &err));
	ok(tv_blobs_add_bytes(b, "text", 4, &blob, &err));
	disk.on = true;
	disk.blobs = b;
	int r = tv_gc(f->store, &how, &figures, &err);
	is(r == 0 || r == -ENOSPC);
	disk.on = disk.full = false;
	is(!disk.blobs);
	/* Either the file is there, or the publisher is told that it is not. */
	r = tv_kv_write(tv_store_kv(f->store), register_body, b, &err);
	is(r == 0 || r == -EAGAIN);
	if (r == 0)
		ok(tv_blob_verify(f->store, &blob.addr, &err));
	tv_blobs_free(b);
	fsck_is_clean(f->store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(a_name_that_a_listing_missed_is_there),
		store_test(a_blob_placed_over_an_orphan),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
