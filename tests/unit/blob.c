/* store/blob*.c: adding, placing, registering, reading blobs; what gc and damage do to that. */
#include <sys/mman.h>

#include "tests/unit/support.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>

#include "store/lease.h"

static unsigned files_in(struct fixture *f, const char *name)
{
	char path[160];
	unsigned n = 0;
	snprintf(path, sizeof(path), "%s/%s", f->folder, name);
	tv_autoclosedir DIR *d = opendir(path);
	for (struct dirent *e; d && (e = readdir(d));)
		n += e->d_name[0] != '.';
	return n;
}

static void blob_file(struct fixture *f, const struct tv_addr *addr, char path[160])
{
	char rel[TV_BLOB_PATH];
	tv_blob_path(addr, rel);
	snprintf(path, 160, "%s/blobs/%s", f->folder, rel);
}

static int register_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	return tv_blobs_register(arg, t, err);
}

static int do_register(struct fixture *f, struct tv_blobs *b, struct tv_err *err)
{
	return tv_kv_write(tv_store_kv(f->store), register_body, b, err);
}

static struct tv_blobs *begin(struct fixture *f)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_blobs *b = NULL;
	ok(tv_blobs_begin(f->store, &b, &err));
	return b;
}

static struct tv_blob store_text(struct fixture *f, const char *text)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_blobs *b = begin(f);
	struct tv_blob blob = { .size = 0 };
	ok(tv_blobs_add_bytes(b, text, strlen(text), &blob, &err));
	ok(tv_blobs_place(b, &err));
	ok(do_register(f, b, &err));
	tv_blobs_free(b);
	return blob;
}

struct row_edit {
	struct tv_addr addr;
	struct tv_blob_row row;
	bool del, bump;
};

static int edit_row(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct row_edit *e = arg;
	int r = e->bump ? tv_gc_epoch_bump(t, err) : 0;
	if (r < 0)
		return r;
	if (!e->del)
		return tv_blob_row_put(t, &e->addr, &e->row, err);
	r = tv_kv_del(t, TV_T_BLOBS, tv_bytes(e->addr.b, 16), err);
	return r < 0 ? r : 0;
}

static void change_row(struct fixture *f, struct row_edit e)
{
	struct tv_err err = TV_ERR_INIT;
	ok(tv_kv_write(tv_store_kv(f->store), edit_row, &e, &err));
}

/* What gc does in its second transaction. */
static void remove_blob(struct fixture *f, const struct tv_addr *addr)
{
	char path[160];
	blob_file(f, addr, path);
	change_row(f, (struct row_edit){ .addr = *addr, .del = true, .bump = true });
	assert_int_equal(unlink(path), 0);
}

static void condemn(struct fixture *f, const struct tv_blob *blob)
{
	struct tv_blob_row row = { .sha = blob->sha, .size = blob->size, .condemned_ns = 5 };
	change_row(f, (struct row_edit){ .addr = blob->addr, .row = row });
}

static int get_row(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct row_edit *e = arg;
	return tv_blob_row_get(t, &e->addr, &e->row, err);
}

static int row_of(struct fixture *f, const struct tv_addr *addr, struct tv_blob_row *row)
{
	struct tv_err err = TV_ERR_INIT;
	struct row_edit e = { .addr = *addr };
	int r = tv_kv_read(tv_store_kv(f->store), get_row, &e, &err);
	*row = e.row;
	return r;
}

/* --- adding ---------------------------------------------------------------------------------- */

static void fill(uint8_t *bytes, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)((i * 2654435761u + seed) >> 13);
}

static void sizes_and_edges(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	static const size_t sizes[] = { 0,	1,	15,	16,	17,	31,
					262143, 262144, 262145, 524288, 3000007 };
	tv_autofree uint8_t *bytes = malloc(3000007);
	struct tv_blobs *b = begin(f);
	struct tv_blob blobs[TV_ARRAY_LEN(sizes)];

	for (size_t i = 0; i < TV_ARRAY_LEN(sizes); i++) {
		struct tv_blob_edges edges;
		struct tv_sha sha;
		size_t n = sizes[i], few = n < 16 ? n : 16;
		fill(bytes, n, (unsigned)i);
		FILE *file = tmpfile();
		assert_int_equal(fwrite(bytes, 1, n, file), n);
		assert_int_equal(fseek(file, 0, SEEK_SET), 0);
		ok(tv_blobs_add_fd(b, fileno(file), &blobs[i], &edges, &err));
		fclose(file);
		struct tv_addr addr = tv_addr_of(bytes, n);
		ok(tv_sha_of(bytes, n, &sha, &err));
		assert_int_equal(blobs[i].size, n);
		assert_true(tv_addr_eq(&blobs[i].addr, &addr) && tv_sha_eq(&blobs[i].sha, &sha));
		assert_int_equal(edges.head_len, few);
		assert_int_equal(edges.tail_len, few);
		assert_memory_equal(edges.head, bytes, few);
		assert_memory_equal(edges.tail, bytes + n - few, few);
	}
	assert_int_equal(files_in(f, "tmp"), TV_ARRAY_LEN(sizes));
	ok(tv_blobs_place(b, &err));
	assert_int_equal(files_in(f, "tmp"), 0);
	fails(-ENOENT, tv_blob_info(f->store, &blobs[3].addr, &blobs[3], &err));
	ok(do_register(f, b, &err));
	tv_blobs_free(b);
	for (size_t i = 0; i < TV_ARRAY_LEN(sizes); i++) {
		char path[160];
		struct stat st;
		ok(tv_blob_verify(f->store, &blobs[i].addr, &err));
		blob_file(f, &blobs[i].addr, path);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0400);
	}
}

/* From a pipe: short reads, and the tail across chunks. */
static int feed(void *arg)
{
	static const char line[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	int fd = *(int *)arg;
	for (int i = 0; i < 20000; i++)
		if (tv_io_write_all(fd, line, (size_t)(1 + i % 36)) < 0)
			return 1;
	return tv_io_write_all(fd, "THE-END.", 8) < 0;
}

static void short_reads(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_blob blob;
	struct tv_blob_edges edges;
	int fds[2];
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid_t pid = fork_child(feed, &fds[1]);
	close(fds[1]);
	struct tv_blobs *b = begin(f);
	ok(tv_blobs_add_fd(b, fds[0], &blob, &edges, &err));
	assert_int_equal(wait_child(pid), 0);
	close(fds[0]);
	assert_memory_equal(edges.tail + 8, "THE-END.", 8);
	ok(tv_blobs_place(b, &err));
	ok(do_register(f, b, &err));
	ok(tv_blob_verify(f->store, &blob.addr, &err));
	tv_blobs_free(b);
}

/* A nameless file becomes the blob itself; one that has a name, or is no file, is copied. */
static void taken_over(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_blob blob, copied;
	struct stat before, after;
	struct tv_blobs *b = begin(f);
	tv_autoclose int fd = open(f->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	is(fd >= 0);
	assert_int_equal(write(fd, "nameless", 8), 8);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	ok(tv_blobs_adopt_fd(b, fd, &blob, &err));
	tv_autoclose int memory = memfd_create("memory", MFD_CLOEXEC);
	assert_int_equal(pwrite(memory, "elsewhere", 9, 0), 9);
	ok(tv_blobs_adopt_fd(b, memory, &copied, &err));
	assert_int_equal(copied.size, 9);
	ok(tv_blobs_adopt_fd(b, memory, &copied, &err)); /* at its end: nothing */
	assert_int_equal(copied.size, 0);
	ok(tv_blobs_place(b, &err));
	ok(do_register(f, b, &err));
	ok(tv_blob_verify(f->store, &blob.addr, &err));
	tv_autoclose int stored = tv_blob_open(f->store, &blob.addr, &err);
	assert_int_equal(fstat(fd, &before), 0);
	assert_int_equal(fstat(stored, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	struct tv_blob other = store_text(f, "as others are stored");
	tv_autoclose int usual = tv_blob_open(f->store, &other.addr, &err);
	assert_int_equal(fstat(usual, &before), 0);
	assert_int_equal(before.st_mode, after.st_mode);
	tv_blobs_free(b);
}

static void known_bytes_are_not_written(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_blob old = store_text(f, "known"), blob;
	struct tv_blobs *b = begin(f);
	uint64_t count, bytes;
	ok(tv_blobs_add_bytes(b, "known", 5, &blob, &err));
	assert_true(tv_addr_eq(&old.addr, &blob.addr));
	ok(tv_blobs_add_bytes(b, "new", 3, &blob, &err));
	ok(tv_blobs_add_bytes(b, "new", 3, &blob, &err));
	tv_blobs_figures(b, &count, &bytes);
	assert_int_equal(count, 1);
	assert_int_equal(bytes, 3);
	assert_int_equal(files_in(f, "tmp"), 1);
	tv_blobs_free(b); /* never placed */
	assert_int_equal(files_in(f, "tmp"), 0);
}

static void unreadable(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_blobs *b = begin(f);
	struct tv_blob blob = { .size = 77 };
	int fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fails(-EISDIR, tv_blobs_add_fd(b, fd, &blob, NULL, &err));
	assert_int_equal(blob.size, 77);
	close(fd);
	tv_blobs_free(b);
}

static void out_of_order(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_blob blob;
	struct tv_blobs *b = begin(f);
	fails(-EINVAL, do_register(f, b, &err));
	ok(tv_blobs_place(b, &err));
	fails(-EINVAL, tv_blobs_place(b, &err));
	fails(-EINVAL, tv_blobs_add_bytes(b, "x", 1, &blob, &err));
	tv_blobs_free(b);
}

struct worker {
	struct tv_blobs *b;
	unsigned seed;
};

static void *add_many(void *arg)
{
	struct worker *w = arg;
	struct tv_err err = TV_ERR_INIT;
	for (unsigned i = 0; i < 60; i++) {
		struct tv_blob blob;
		char text[32];
		/* half of them are the same in all threads */
		int n = snprintf(text, sizeof(text), "%u-%u", i % 2 ? w->seed : 99, i);
		ok(tv_blobs_add_bytes(w->b, text, (size_t)n, &blob, &err));
	}
	return NULL;
}

static void many_threads(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_blobs *b = begin(f);
	struct worker w[4];
	pthread_t threads[4];
	uint64_t count, bytes;
	for (unsigned i = 0; i < 4; i++) {
		w[i] = (struct worker){ b, i };
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, &w[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	tv_blobs_figures(b, &count, &bytes);
	assert_int_equal(count, 4 * 30 + 30);
	assert_int_equal(files_in(f, "tmp"), count);
	ok(tv_blobs_place(b, &err));
	ok(do_register(f, b, &err));
	tv_blobs_free(b);
}

/* --- collisions and damage ------------------------------------------------------------------- */

static void another_sha_under_the_address(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_blob blob = { .size = 0 };
	struct tv_blobs *early = begin(f);
	ok(tv_blobs_add_bytes(early, "bytes", 5, &blob, &err));
	ok(tv_blobs_place(early, &err));

	struct tv_blob_row row = { .size = 5 };
	memset(row.sha.b, 0xab, sizeof(row.sha.b));
	change_row(f, (struct row_edit){ .addr = blob.addr, .row = row });
	struct tv_blobs *b = begin(f);
	fails(-TV_E_DIGEST, tv_blobs_add_bytes(b, "bytes", 5, &blob, &err));
	tv_blobs_free(b);
	/* and one that was added before the other came */
	fails(-TV_E_DIGEST, do_register(f, early, &err));
	tv_blobs_free(early);
}

static void damaged_blobs(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_blob blob = store_text(f, "some bytes of a blob");
	char path[160];
	blob_file(f, &blob.addr, path);
	assert_int_equal(chmod(path, 0600), 0);

	int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "X", 1, 3), 1);
	fails(-TV_E_DIGEST, tv_blob_verify(f->store, &blob.addr, &err));
	assert_int_equal(ftruncate(fd, 4), 0);
	close(fd);
	fails(-TV_E_DIGEST, tv_blob_verify(f->store, &blob.addr, &err));
	assert_int_equal(unlink(path), 0);
	fails(-TV_E_DAMAGED, tv_blob_open(f->store, &blob.addr, &err));
	fails(-TV_E_DAMAGED, tv_blob_verify(f->store, &blob.addr, &err));
	/* Whoever adds the bytes again heals it. */
	struct tv_blobs *b = begin(f);
	assert_int_equal(tv_blobs_rely(b, &blob.addr, &err), 0);
	tv_blobs_free(b);
	store_text(f, "some bytes of a blob");
	ok(tv_blob_verify(f->store, &blob.addr, &err));

	blob.addr.b[0] ^= 1;
	fails(-ENOENT, tv_blob_verify(f->store, &blob.addr, &err));
	struct tv_bytes torn = tv_bytes("short", 5);
	struct tv_blob_row row;
	fails(-TV_E_DAMAGED, tv_blob_row_decode(torn, &row, &err));
}

static void missing_folder_is_made(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_addr addr = tv_addr_of("q", 1);
	char path[160];
	blob_file(f, &addr, path);
	*strrchr(path, '/') = '\0';
	assert_int_equal(rmdir(path), 0);
	struct tv_blob blob = store_text(f, "q");
	ok(tv_blob_verify(f->store, &blob.addr, &err));
}

/* --- beside gc ------------------------------------------------------------------------------- */

static void condemned_counts_as_absent(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_blob blob = store_text(f, "old");
	struct tv_blob_row row;
	condemn(f, &blob);
	struct tv_blobs *b = begin(f);
	uint64_t count, bytes;
	assert_int_equal(tv_blobs_rely(b, &blob.addr, &err), 0);
	ok(tv_blobs_add_bytes(b, "old", 3, &blob, &err));
	tv_blobs_figures(b, &count, &bytes);
	assert_int_equal(count, 1);
	ok(tv_blobs_place(b, &err));
	ok(do_register(f, b, &err));
	tv_blobs_free(b);
	assert_int_equal(row_of(f, &blob.addr, &row), 1);
	assert_true(row.condemned_ns == 0);
}

static void condemned_while_relied_on(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_blob blob = store_text(f, "old");
	struct tv_blob_row row;
	struct tv_blobs *b = begin(f);
	assert_int_equal(tv_blobs_rely(b, &blob.addr, &err), 1);
	ok(tv_blobs_place(b, &err));
	condemn(f, &blob);
	ok(do_register(f, b, &err));
	assert_int_equal(row_of(f, &blob.addr, &row), 1);
	assert_true(row.condemned_ns == 0);
	tv_blobs_free(b);
}

static void removed_while_relied_on(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_blob blob = store_text(f, "old");
	struct tv_blobs *b = begin(f);
	assert_int_equal(tv_blobs_rely(b, &blob.addr, &err), 1);
	ok(tv_blobs_place(b, &err));
	remove_blob(f, &blob.addr);
	fails(-EAGAIN, do_register(f, b, &err));
	tv_blobs_free(b);
}

static void removed_after_it_was_placed(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_blob blob = { .size = 0 };
	struct tv_blobs *b = begin(f);
	ok(tv_blobs_add_bytes(b, "orphan", 6, &blob, &err));
	ok(tv_blobs_place(b, &err));
	remove_blob(f, &blob.addr); /* a file without a row */
	fails(-EAGAIN, do_register(f, b, &err));
	tv_blobs_free(b);
	store_text(f, "orphan");
	ok(tv_blob_verify(f->store, &blob.addr, &err));
}

static void gc_elsewhere_is_no_obstacle(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_blob blob, other = store_text(f, "other");
	struct tv_blobs *b = begin(f);
	ok(tv_blobs_add_bytes(b, "mine", 4, &blob, &err));
	ok(tv_blobs_place(b, &err));
	remove_blob(f, &other.addr);
	ok(do_register(f, b, &err));
	tv_blobs_free(b);
}

static int place_for_ever(void *arg)
{
	struct fixture *f = arg;
	struct tv_err err = TV_ERR_INIT;
	open_store(f);
	for (unsigned i = 0; i < 100000; i++) {
		struct tv_blob blob;
		struct tv_blobs *b = NULL;
		char text[32];
		ok(tv_blobs_begin(f->store, &b, &err));
		for (unsigned k = 0; k < 3; k++) {
			int n = snprintf(text, sizeof(text), "%u %u", i % 50, k);
			ok(tv_blobs_add_bytes(b, text, (size_t)n, &blob, &err));
		}
		ok(tv_blobs_place(b, &err));
		ok(tv_kv_write(tv_store_kv(f->store), register_body, b, &err));
		tv_blobs_free(b);
	}
	return 0;
}

static int verify_row(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct fixture *f = arg;
	struct tv_kv_cursor *c;
	struct tv_bytes k, v;
	int r = tv_kv_cursor_open(t, TV_T_BLOBS, &c, err);
	if (r < 0)
		return r;
	for (r = tv_kv_cursor_from(c, tv_bytes(NULL, 0), &k, &v, err); r == 1;
	     r = tv_kv_cursor_next(c, &k, &v, err)) {
		struct tv_addr addr;
		memcpy(addr.b, k.data, 16);
		int good = tv_blob_verify(f->store, &addr, err);
		if (good < 0)
			r = good;
		if (r < 0)
			break;
	}
	tv_kv_cursor_close(c);
	return r;
}

/* Whatever a killed writer leaves: each row has its file, temps are told as stale. */
static void killed_writers(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	close_store(f);
	for (unsigned i = 0; i < 12; i++) {
		pid_t pid = fork_child(place_for_ever, f);
		usleep(4000 + 2300 * i);
		kill(pid, SIGKILL);
		assert_int_equal(wait_child(pid), -SIGKILL);
		open_store(f);
		ok(tv_kv_read(tv_store_kv(f->store), verify_row, f, &err));
		close_store(f);
	}
	char path[160];
	snprintf(path, sizeof(path), "%s/tmp", f->folder);
	tv_autoclosedir DIR *d = opendir(path);
	for (struct dirent *e; (e = readdir(d));)
		assert_true(e->d_name[0] == '.' || tv_blob_temp_stale(e->d_name));
}

static void stale_temps(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_process self;
	char name[64];
	ok(tv_process_self(&self, &err));
	snprintf(name, sizeof(name), "%d.%llu.abc", (int)self.pid,
		 (unsigned long long)self.start_ticks);
	assert_false(tv_blob_temp_stale(name));
	snprintf(name, sizeof(name), "%d.%llu.abc", (int)self.pid,
		 (unsigned long long)self.start_ticks + 1);
	assert_true(tv_blob_temp_stale(name));
	assert_true(tv_blob_temp_stale("junk"));
	assert_true(tv_blob_temp_stale("0.1.x"));
	assert_true(tv_blob_temp_stale("-1.1.x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(sizes_and_edges),
		store_test(short_reads),
		store_test(taken_over),
		store_test(known_bytes_are_not_written),
		store_test(unreadable),
		store_test(out_of_order),
		store_test(many_threads),
		store_test(another_sha_under_the_address),
		store_test(damaged_blobs),
		store_test(missing_folder_is_made),
		store_test(condemned_counts_as_absent),
		store_test(condemned_while_relied_on),
		store_test(removed_while_relied_on),
		store_test(removed_after_it_was_placed),
		store_test(gc_elsewhere_is_no_obstacle),
		store_test(killed_writers),
		cmocka_unit_test(stale_temps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
