#include "live.h"

#include <sys/file.h>

#include "store/checkout.h"

/* Whether a name in the folder contains the word. */
static bool holds_part(const char *folder, const char *word)
{
	tv_autoclosedir DIR *d = opendir(folder);
	is(d);
	for (const struct dirent *e; (e = readdir(d));)
		if (strstr(e->d_name, word))
			return true;
	return false;
}

static void writes_the_whole_tree(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	char path[512], dest[160], target[16] = "";
	struct stat st;
	live_open(&l, *state);
	put(&l, "a", "1");
	put(&l, "d/e/b", "22");
	put(&l, "d/ro", "3");
	put(&l, "empty.txt", "");
	live_path(&l, "d/ro", path);
	is(chmod(path, 0440) == 0);
	live_path(&l, "link", path);
	is(symlink("d/ro", path) == 0);
	live_path(&l, "d/e", path);
	is(utimensat(AT_FDCWD, path, (struct timespec[]){ { 1, 0 }, { 1700000000, 123456789 } },
		     0) == 0);
	struct tv_published out = import_all(&l);

	snprintf(dest, sizeof(dest), "%s/out", l.f->dir);
	ok(tv_checkout(l.f->store, &out.root, dest, NULL, &err));
	struct live o = { .f = l.f };
	snprintf(o.dir, sizeof(o.dir), "%s/out", l.f->dir);
	is(holds(&o, "a", "1") && holds(&o, "d/e/b", "22") && holds(&o, "d/ro", "3"));
	is(holds(&o, "empty.txt", ""));
	live_path(&o, "link", path);
	is(readlink(path, target, sizeof(target)) == 4);
	live_path(&o, "d/e", path);
	is(stat(path, &st) == 0 && st.st_mtim.tv_sec == 1700000000 &&
	   st.st_mtim.tv_nsec == 123456789);
	live_path(&o, "d/ro", path);
	is(stat(path, &st) == 0 && (st.st_mode & 07777) == 0440 && st.st_nlink == 1);
	/* No link to a blob: writing to it leaves the store as it is. */
	live_path(&o, "a", path);
	int fd = open(path, O_WRONLY);
	is(fd >= 0 && write(fd, "X", 1) == 1);
	close(fd);
	fsck_is_clean(l.f->store);

	fails(-ENOTEMPTY, tv_checkout(l.f->store, &out.root, dest, NULL, &err));
	fails(-EEXIST, tv_checkout(l.f->store, &out.root, path, NULL, &err));
	snprintf(dest, sizeof(dest), "%s/empty/", l.f->dir);
	is(mkdir(dest, 0700) == 0);
	ok(tv_checkout(l.f->store, &out.root, dest, NULL, &err));
	fails(-ENOENT, tv_checkout(l.f->store, &out.root, "/no/such/place", NULL, &err));
	fails(-EINVAL, tv_checkout(l.f->store, &out.root, "..", NULL, &err));
	tv_worktree_close(&l.w);
}

/* All or nothing: a blob that is missing leaves no half of a folder behind. */
static void fails_whole(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	char path[512], dest[160];
	live_open(&l, *state);
	put(&l, "a", "1");
	put(&l, "z", "last");
	struct tv_published out = import_all(&l);
	struct tv_entry e;
	char blob[TV_BLOB_PATH];
	ok(tv_tree_lookup(tv_store_nodes(l.f->store), &out.root, "z", &e, NULL, &err));
	tv_blob_path(&e.addr, blob);
	snprintf(path, sizeof(path), "%s/blobs/%s", l.f->folder, blob);
	is(unlink(path) == 0);
	snprintf(dest, sizeof(dest), "%s/out", l.f->dir);
	fails(-TV_E_DAMAGED, tv_checkout(l.f->store, &out.root, dest, NULL, &err));
	is(strstr(err.text, "'z'"));
	is(access(dest, F_OK) < 0);
	is(!holds_part(l.f->dir, "tvfs-checkout"));
	/* A blob of another length is not written out either. */
	snprintf(path, sizeof(path), "%s/blobs/%s", l.f->folder, blob);
	int fd = open(path, O_WRONLY | O_CREAT, 0400);
	is(fd >= 0);
	close(fd);
	fails(-TV_E_DAMAGED, tv_checkout(l.f->store, &out.root, dest, NULL, &err));
	tv_worktree_close(&l.w);
}

/* What a killed one left goes, when it is old and nobody has it locked. */
static void removes_left(void **state)
{
	static const struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	static const char *const names[] = { "left", "locked", "young" };
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	char path[3][160], dest[160];
	live_open(&l, *state);
	put(&l, "a", "1");
	struct tv_published out = import_all(&l);
	for (int i = 0; i < 3; i++) {
		snprintf(path[i], sizeof(path[i]), "%s/.tvfs-checkout.%s", l.f->dir, names[i]);
		is(mkdir(path[i], 0700) == 0);
		is(i == 2 || utimensat(AT_FDCWD, path[i], old, 0) == 0);
	}
	int fd = open(path[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	is(flock(fd, LOCK_EX) == 0);
	snprintf(dest, sizeof(dest), "%s/out", l.f->dir);
	ok(tv_checkout(l.f->store, &out.root, dest, NULL, &err));
	is(access(path[0], F_OK) < 0 && access(path[1], F_OK) == 0 && access(path[2], F_OK) == 0);
	close(fd);
	tv_worktree_close(&l.w);
}

static int stop_at_once(void *arg, const char *phase, uint64_t done, uint64_t total,
			const char *unit)
{
	(void)arg;
	(void)phase;
	(void)done;
	(void)total;
	(void)unit;
	return 1;
}

static void can_be_interrupted(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	char path[64], dest[160];
	const struct tv_progress stop = { .step = stop_at_once };
	live_open(&l, *state);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), "f%u", i);
		put(&l, path, path);
	}
	struct tv_published out = import_all(&l);
	snprintf(dest, sizeof(dest), "%s/out", l.f->dir);
	fails(-TV_E_INTERRUPTED, tv_checkout(l.f->store, &out.root, dest, &stop, &err));
	is(access(dest, F_OK) < 0);
	tv_worktree_close(&l.w);
}

static void one_large_file(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_blobs *blobs;
	struct tv_blob blob;
	const size_t n = 3 << 20;
	char *bytes = malloc(n), *back = malloc(n), path[160];
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(i * 31 / 7);
	ok(tv_blobs_begin(f->store, &blobs, &err));
	ok(tv_blobs_add_bytes(blobs, bytes, n, &blob, &err));
	ok(tv_blobs_place(blobs, &err));
	snprintf(path, sizeof(path), "%s/big", f->dir);
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	struct tv_entry e = { .kind = TV_FILE, .size = n, .addr = blob.addr };
	ok(tv_checkout_file(f->store, &e, fd, &err));
	is(tv_io_pread_all(fd, back, n, 0) == 0 && memcmp(bytes, back, n) == 0);
	close(fd);
	tv_blobs_free(blobs);
	free(bytes);
	free(back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(writes_the_whole_tree), store_test(fails_whole),
		store_test(removes_left),	   store_test(can_be_interrupted),
		store_test(one_large_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
