#include "live.h"

#include <sched.h>
#include <sys/mount.h>

#include "store/base/clock.h"
#include "store/import-cache.h"
#include "store/listing.h"
#include "store/scan.h"

/* --- the racy rule ---------------------------------------------------------------------------- */

static void rows_are_believed_only_when_old_enough(void **state)
{
	const int64_t t = 1700000000123456789, ms = 1000000;
	struct tv_cache_row row = { .size = 5, .ino = 7, .mtime_ns = t, .ctime_ns = t };
	const struct tv_seen same = {
		.kind = TV_FILE, .size = 5, .ino = 7, .mtime_ns = t, .ctime_ns = t
	};
	(void)state;
	row.looked_ns = t + 11 * ms;
	assert_true(tv_cache_row_holds(&row, &same));
	row.looked_ns = t + 10 * ms;
	assert_false(tv_cache_row_holds(&row, &same));
	row.looked_ns = t - ms; /* the clock went back, or the mtime was set ahead */
	assert_false(tv_cache_row_holds(&row, &same));
	row.looked_ns = t + 1000 * ms;
	row.ctime_ns = t + 995 * ms;
	struct tv_seen seen = same;
	seen.ctime_ns = row.ctime_ns;
	assert_false(tv_cache_row_holds(&row, &seen));
	row.ctime_ns = t;
	for (unsigned i = 0; i < 5; i++) {
		seen = same;
		seen.size += i == 0;
		seen.ino += i == 1;
		seen.mtime_ns += i == 2;
		seen.ctime_ns += i == 3;
		seen.kind = i == 4 ? TV_DIR : TV_FILE;
		assert_false(tv_cache_row_holds(&row, &seen));
	}
	/* Times in whole seconds: a filesystem that has no better ones. */
	row.mtime_ns = row.ctime_ns = seen.mtime_ns = seen.ctime_ns = 1700000000000000000;
	seen.kind = TV_FILE;
	seen.size = 5;
	seen.ino = 7;
	row.looked_ns = row.mtime_ns + 1900 * ms;
	assert_false(tv_cache_row_holds(&row, &seen));
	row.looked_ns = row.mtime_ns + 2100 * ms;
	assert_true(tv_cache_row_holds(&row, &seen));
}

static void rows_are_kept_byte_for_byte(void **state)
{
	uint8_t bytes[TV_CACHE_ROW];
	struct tv_cache_row row = { 1, 2, -3, 4, -5, { { 6 } }, { { 7 } } }, back;
	(void)state;
	tv_cache_row_encode(&row, bytes);
	assert_true(tv_cache_row_decode(tv_bytes(bytes, sizeof(bytes)), &back));
	assert_memory_equal(&row, &back, sizeof(row));
	assert_false(tv_cache_row_decode(tv_bytes(bytes, sizeof(bytes) - 1), &back));
}

struct rows {
	uint8_t id[16];
	unsigned n;
};

static int put_rows(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct rows *r = arg;
	for (unsigned i = 0; i < r->n; i++) {
		char path[32];
		uint8_t key[TV_CACHE_KEY_MAX], value[TV_CACHE_ROW];
		struct tv_cache_row row = { .size = i };
		snprintf(path, sizeof(path), "d/n%06u", i);
		size_t n = tv_cache_key(r->id, path, key);
		tv_cache_row_encode(&row, value);
		int put = tv_kv_put(t, TV_T_IMPORT, tv_bytes(key, n),
				    tv_bytes(value, sizeof(value)), err);
		if (put < 0)
			return put;
	}
	return 0;
}

/* Across the ends of chunks, and not into the next folder. */
static void rows_of_one_folder_in_order(void **state)
{
	static const unsigned sizes[] = { 0, 1, 4095, 4096, 4097, 9000 };
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	for (size_t k = 0; k < TV_ARRAY_LEN(sizes); k++) {
		struct rows r = { .id = { (uint8_t)(k + 1) }, .n = sizes[k] };
		ok(tv_kv_write(tv_store_kv(f->store), put_rows, &r, &err));
	}
	for (size_t k = 0; k < TV_ARRAY_LEN(sizes); k++) {
		struct tv_cache_reader reader;
		const uint8_t id[16] = { (uint8_t)(k + 1) };
		const char *name;
		struct tv_bytes bytes;
		struct tv_cache_row row;
		unsigned n = 0;
		size_t len;
		tv_cache_reader_init(&reader, tv_store_kv(f->store));
		ok(tv_cache_reader_open(&reader, id, "d", &err));
		for (; tv_cache_reader_get(&reader, &name, &len, &bytes); n++) {
			is(tv_cache_row_decode(bytes, &row) && row.size == n && len == 7);
			ok(tv_cache_reader_next(&reader, &err));
		}
		is(n == sizes[k]);
		ok(tv_cache_reader_open(&reader, id, "e", &err));
		is(tv_cache_reader_get(&reader, &name, &len, &bytes) == 0);
		tv_cache_reader_free(&reader);
	}
}

/* --- listing ----------------------------------------------------------------------------------- */

static void names_in_byte_order(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_listing l = TV_LISTING_INIT;
	char path[400];
	/* Equal in their first bytes, prefixes of each other, bytes above 127, long ones. */
	static const char *const odd[] = {
		"a",
		"ab",
		"a-",
		"a\xff",
		"a\x7f",
		"prefix-aaaaaaaaaaaaaa",
		"prefix-aaaaaaaaaaaaab",
		"prefix-aaaaaaaaaaaaa",
		"Z",
		"z",
	};
	tv_autoclose int fd = open(f->dir, O_RDONLY | O_DIRECTORY);
	is(fd >= 0);
	for (size_t i = 0; i < TV_ARRAY_LEN(odd); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->dir, odd[i]);
		is(mkdir(path, 0700) == 0);
	}
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(path, sizeof(path), "%s/NASDAQ_%u_%u", f->dir, i * 7919 % 3000, i);
		is(mkdir(path, 0700) == 0);
	}
	ok(tv_listing_read(&l, fd, &err));
	is(l.len == 3000 + TV_ARRAY_LEN(odd) + 1); /* and the store */
	for (size_t i = 1; i < l.len; i++)
		is(strcmp(tv_listing_name(&l, i - 1), tv_listing_name(&l, i)) < 0);
	tv_listing_free(&l);
}

/* --- paths that are links ----------------------------------------------------------------------- */

static void nothing_is_opened_through_a_link(void **state)
{
	struct fixture *f = *state;
	char path[256];
	const char *name;
	struct tv_seen seen;
	tv_autoclose int root = open(f->dir, O_RDONLY | O_DIRECTORY);
	snprintf(path, sizeof(path), "%s/way", f->dir);
	is(root >= 0 && symlink("/etc", path) == 0);
	snprintf(path, sizeof(path), "%s/d", f->dir);
	is(mkdir(path, 0755) == 0);
	is(tv_beneath_open_dir(root, "way") == -ENOTDIR);
	is(tv_beneath_open_parent(root, "way/passwd", &name) == -ENOTDIR);
	is(tv_beneath_stat_path(root, "way/passwd", 0, &seen) == -ENOENT);
	is(tv_beneath_stat_path(root, "way", 0, &seen) == 0 && seen.kind == TV_SYMLINK);
	is(tv_beneath_open_dir(root, "none") == -ENOENT);
	tv_autoclose int d = tv_beneath_open_parent(root, "d/x", &name);
	is(d >= 0 && strcmp(name, "x") == 0);
	tv_autoclose int r = tv_beneath_open_dir(root, "");
	is(r >= 0);
}

/* --- what a scan finds --------------------------------------------------------------------------- */

static int count_rows(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct tv_kv_cursor *c;
	struct tv_bytes key, value;
	unsigned *n = arg;
	*n = 0;
	int r = tv_kv_cursor_open(t, TV_T_IMPORT, &c, err);
	if (r < 0)
		return r;
	for (r = tv_kv_cursor_from(c, tv_bytes(NULL, 0), &key, &value, err); r == 1;
	     r = tv_kv_cursor_next(c, &key, &value, err))
		++*n;
	tv_kv_cursor_close(c);
	return 0;
}

static unsigned cache_rows(struct tv_store *s)
{
	struct tv_err err = TV_ERR_INIT;
	unsigned n;
	ok(tv_kv_read(tv_store_kv(s), count_rows, &n, &err));
	return n;
}

/* The cache has a row a file, not more: also after folders and files went or changed kinds. */
static void rows_of_vanished_files_go(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	live_open(&l, *state);
	put(&l, "a", "1");
	put(&l, "d/b", "1");
	put(&l, "d/e/c", "1");
	put(&l, "x/y", "1");
	import_all(&l);
	is(cache_rows(l.f->store) == 4);
	drop(&l, "d");
	import_all(&l);
	is(cache_rows(l.f->store) == 2);
	drop(&l, "x");
	put(&l, "x", "a file now");
	drop(&l, "a");
	import_one(&l, "x");
	import_one(&l, "a");
	is(cache_rows(l.f->store) == 1);
	publish_more(l.f->store, "x", NULL);
	ok(sync_main(&l, false, NULL, &err));
	is(cache_rows(l.f->store) == 0);
	tv_worktree_close(&l.w);
}

/* Without its rows every file is read again, and nothing else happens. */
static void the_cache_is_only_a_hint(void **state)
{
	struct live l;
	live_open(&l, *state);
	put(&l, "a", "1");
	put(&l, "b", "2");
	import_all(&l);
	settle();
	struct tv_scan scan = { .kv = tv_store_kv(l.f->store),
				.worktree = l.w.id,
				.dirfd = l.w.dirfd,
				.nodes = tv_store_nodes(l.f->store),
				.base = &l.w.base_root };
	const uint8_t stranger[16] = { 1 };
	struct tv_err err = TV_ERR_INIT;
	ok(tv_scan_run(&scan, NULL, 0, &err));
	is(scan.files == 2);
	tv_scan_free(&scan);
	scan.worktree = stranger;
	ok(tv_scan_run(&scan, NULL, 0, &err));
	unsigned reads = 0;
	for (size_t i = 0; i < scan.len; i++)
		reads += scan.items[i].what == TV_SCAN_READ;
	is(reads == 2);
	tv_scan_free(&scan);
	tv_worktree_close(&l.w);
}

/* A mount point inside the folder is somebody else's. Needs a mount namespace. */
static int refuse_mount(void *arg)
{
	struct live l = *(struct live *)arg;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	char path[512], from[160];
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 77;
	live_path(&l, "m", path);
	snprintf(from, sizeof(from), "%s/from", l.f->dir);
	/* A bind mount of the same filesystem: device numbers do not tell. */
	if (mkdir(path, 0755) < 0 || mkdir(from, 0755) < 0 ||
	    mount(from, path, NULL, MS_BIND, NULL) < 0)
		return 77;
	ok(tv_store_open(l.f->folder, &l.f->store, &err));
	ok(tv_worktree_open(l.f->store, l.dir, &l.w, &err));
	fails(-EINVAL, import_paths(&l, NULL, 0, &out, NULL, NULL, &err));
	is(strstr(err.text, "'m' is a mount point"));
	const char *inside = "m/x";
	fails(-EINVAL, import_paths(&l, &inside, 1, &out, NULL, NULL, &err));
	return 0;
}

static void mount_points_are_refused(void **state)
{
	struct live l;
	live_open(&l, *state);
	put(&l, "a", "1");
	import_all(&l);
	tv_worktree_close(&l.w);
	close_store(l.f);
	int status = wait_child(fork_child(refuse_mount, &l));
	if (status == 77)
		cannot("mount in a namespace");
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_believed_only_when_old_enough),
		cmocka_unit_test(rows_are_kept_byte_for_byte),
		store_test(rows_of_one_folder_in_order),
		store_test(names_in_byte_order),
		store_test(nothing_is_opened_through_a_link),
		store_test(rows_of_vanished_files_go),
		store_test(the_cache_is_only_a_hint),
		store_test(mount_points_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
