#include "live.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "store/base/clock.h"

static void first_commit_and_nothing_changed(void **state)
{
	struct live l;
	live_open(&l, *state);
	put(&l, "a", "one");
	put(&l, "d/b", "two");
	struct tv_published first = import_all(&l);
	is(!first.unchanged && !first.merged && first.root.files == 2);
	is(main_has(l.f->store, "a", "one") && main_has(l.f->store, "d/b", "two"));
	is(l.w.has_base && tv_sha_eq(&l.w.base, &first.commit));

	settle();
	struct tv_published again = import_all(&l);
	is(again.unchanged && tv_sha_eq(&again.commit, &first.commit));
	/* Only a folder's time: nothing changed. */
	put(&l, "d/x.lock", "");
	is(import_all(&l).unchanged);
	fsck_is_clean(l.f->store);
	tv_worktree_close(&l.w);
}

static void every_kind_of_change(void **state)
{
	struct live l;
	char path[512];
	live_open(&l, *state);
	put(&l, "same", "s");
	put(&l, "changed", "1");
	put(&l, "gone", "g");
	put(&l, "dir/gone", "g");
	put(&l, "to-dir", "file");
	put(&l, "to-file/x", "x");
	import_all(&l);

	put(&l, "changed", "2");
	drop(&l, "gone");
	drop(&l, "dir");
	drop(&l, "to-dir");
	put(&l, "to-dir/new", "n");
	drop(&l, "to-file");
	put(&l, "to-file", "f");
	live_path(&l, "link", path);
	is(symlink("same", path) == 0);
	live_path(&l, "empty", path);
	is(mkdir(path, 0700) == 0);
	struct tv_published out = import_all(&l);
	struct tv_store *s = l.f->store;
	is(!out.unchanged && out.root.files == 5);
	is(main_has(s, "same", "s") && main_has(s, "changed", "2") && main_has(s, "gone", NULL));
	is(main_has(s, "dir/gone", NULL) && main_has(s, "to-dir/new", "n"));
	is(main_has(s, "to-file", "f"));
	settle();
	is(import_all(&l).unchanged);

	live_path(&l, "same", path);
	is(chmod(path, 0755) == 0);
	struct tv_sha before = out.foundation;
	out = import_all(&l);
	is(!out.unchanged && !tv_sha_eq(&before, &out.foundation));
	/* A new mtime alone: a commit of the same foundation. */
	before = out.foundation;
	is(utimensat(AT_FDCWD, path, (struct timespec[]){ { 1, 2 }, { 3, 4 } }, 0) == 0);
	out = import_all(&l);
	is(!out.unchanged && tv_sha_eq(&before, &out.foundation));
	fsck_is_clean(s);
	tv_worktree_close(&l.w);
}

/* git's racy case: the same size, written within one tick of the clock after it was imported. */
static void racy_writes_are_seen(void **state)
{
	struct live l;
	live_open(&l, *state);
	char text[] = "0000";
	for (unsigned i = 0; i < 60; i++) {
		snprintf(text, sizeof(text), "%03u", i);
		put(&l, "f", text);
		import_all(&l);
		is(main_has(l.f->store, "f", text));
	}
	tv_worktree_close(&l.w);
}

static void only_the_paths_given(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	live_open(&l, *state);
	put(&l, "a", "1");
	put(&l, "b", "1");
	put(&l, "d/c", "1");
	import_all(&l);
	put(&l, "a", "2");
	put(&l, "b", "2");
	put(&l, "d/c", "2");
	put(&l, "n/e/w", "3");
	import_one(&l, "a");
	struct tv_store *s = l.f->store;
	is(main_has(s, "a", "2") && main_has(s, "b", "1") && main_has(s, "d/c", "1"));
	import_one(&l, "n/e/w");
	is(main_has(s, "n/e/w", "3") && main_has(s, "d/c", "1"));
	drop(&l, "b");
	const char *paths[] = { "d", "d/c", "b" };
	ok(import_paths(&l, paths, 3, &out, NULL, NULL, &err));
	is(main_has(s, "b", NULL) && main_has(s, "d/c", "2"));
	const char *nowhere = "no/where";
	fails(-ENOENT, import_paths(&l, &nowhere, 1, &out, NULL, NULL, &err));
	is(strstr(err.text, "no/where"));
	settle();
	is(import_all(&l).unchanged);
	fsck_is_clean(s);
	tv_worktree_close(&l.w);
}

/* --- what is refused ------------------------------------------------------------------------- */

static void special_names_and_files(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	char path[512];
	live_open(&l, *state);
	put(&l, "ok", "1");
	put(&l, "d/.wh.x", "");
	fails(-EINVAL, import_paths(&l, NULL, 0, &out, NULL, NULL, &err));
	is(strstr(err.text, "d/.wh.x"));
	drop(&l, "d/.wh.x");
	live_path(&l, "d/fifo", path);
	is(mkfifo(path, 0600) == 0);
	fails(-EINVAL, import_paths(&l, NULL, 0, &out, NULL, NULL, &err));
	is(strstr(err.text, "d/fifo"));
	drop(&l, "d/fifo");
	/* Ignored: not looked at. */
	live_path(&l, "x.lock", path);
	is(mkfifo(path, 0600) == 0);
	is(import_all(&l).root.files == 1);
	tv_worktree_close(&l.w);
}

static void half_written_files(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	struct tv_refused refused = { .files = NULL };
	live_open(&l, *state);
	put(&l, "good.json", "{\"x\": NaN}");
	put(&l, "bad.json", "{\"x\": ");
	put(&l, "d/empty.json", "");
	put(&l, "half.parquet", "PAR1 and then the writer was killed");
	put(&l, "whole.parquet", "PAR1....PAR1");
	fails(-TV_E_GATE, import_paths(&l, NULL, 0, &out, NULL, &refused, &err));
	is(refused.len == 3);
	is(strcmp(refused.files[0].path, "bad.json") == 0 &&
	   strstr(refused.files[0].reason, "JSON"));
	is(strcmp(refused.files[1].path, "d/empty.json") == 0);
	is(strcmp(refused.files[2].path, "half.parquet") == 0);
	tv_refused_free(&refused);
	struct tv_ref ref;
	is(tv_ref_get(l.f->store, "main", &ref, NULL) == -ENOENT);

	struct tv_import how = how_to_import();
	how.force = true;
	ok(tv_worktree_import(l.f->store, &l.w, &how, &out, NULL, NULL, &err));
	is(out.root.files == 5);
	tv_worktree_close(&l.w);
}

static void ignored_names_stay(void **state)
{
	struct live l;
	live_open(&l, *state);
	put(&l, "a", "1");
	import_all(&l);
	/* In the tree since somebody published it; not in the folder: not a removal. */
	publish_more(l.f->store, "kept.lock", "k");
	struct tv_err err = TV_ERR_INIT;
	ok(sync_main(&l, false, NULL, &err));
	is(holds(&l, "kept.lock", NULL));
	put(&l, "a", "2");
	put(&l, "other.tmp", "t");
	import_all(&l);
	is(main_has(l.f->store, "kept.lock", "k") && main_has(l.f->store, "other.tmp", NULL));
	tv_worktree_close(&l.w);
}

static void odd_names(void **state)
{
	struct live l;
	char longest[256];
	live_open(&l, *state);
	memset(longest, 'n', 255);
	longest[255] = 0;
	static const char *const names[] = { "new\nline", "back\\slash", "\xff\xfe",
					     " ",	  "-x",		 "a\tb" };
	for (size_t i = 0; i < TV_ARRAY_LEN(names); i++)
		put(&l, names[i], names[i]);
	put(&l, longest, "long");
	is(import_all(&l).root.files == TV_ARRAY_LEN(names) + 1);
	for (size_t i = 0; i < TV_ARRAY_LEN(names); i++)
		is(main_has(l.f->store, names[i], names[i]));
	is(main_has(l.f->store, longest, "long"));
	settle();
	is(import_all(&l).unchanged);
	fsck_is_clean(l.f->store);
	tv_worktree_close(&l.w);
}

/* --- files that change while they are read --------------------------------------------------- */

struct writer {
	const struct live *l;
	const char *path;
	atomic_bool stop;
	size_t n;
};

/* Rewrites in place, all bytes the same letter: a torn read would show two letters. The kernel stamps the
 * mtime when a write begins, so two stats around a read do not show a write that is under way. */
static void *rewrite(void *arg)
{
	struct writer *w = arg;
	char path[512];
	char *bytes = malloc(w->n);
	live_path(w->l, w->path, path);
	for (unsigned i = 0; !atomic_load(&w->stop); i++) {
		memset(bytes, 'a' + (int)(i % 26), w->n);
		int fd = open(path, O_WRONLY | O_CREAT, 0644);
		tv_io_write_all(fd, bytes, w->n);
		close(fd);
		usleep(45000);
	}
	free(bytes);
	return NULL;
}

static bool one_letter(struct tv_store *s, const struct tv_entry *e)
{
	struct tv_err err = TV_ERR_INIT;
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	tv_autoclose int fd = tv_blob_open(s, &e->addr, &err);
	is(fd >= 0);
	ok(tv_io_read_to_end(fd, 1 << 24, &b, &err));
	for (size_t i = 1; i < b.len; i++)
		if (b.data[i] != b.data[0])
			return false;
	return true;
}

static void never_a_file_that_changed_while_it_was_read(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	live_open(&l, *state);
	struct writer w = { .l = &l, .path = "hot", .n = 8000000 };
	put(&l, "cold", "c");
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, rewrite, &w), 0);
	unsigned imported = 0, busy = 0;
	int64_t until = tv_boottime_ns() + 3000000000;
	while (tv_boottime_ns() < until) {
		struct tv_published out;
		struct tv_import how = how_to_import();
		how.settle_ns = 20000000;
		int r = tv_worktree_import(l.f->store, &l.w, &how, &out, NULL, NULL, &err);
		busy += r == -EBUSY;
		if (r == -EBUSY)
			continue;
		check_at(r == 0, r, &err, "import", __FILE__, __LINE__);
		imported++;
		struct tv_entry e;
		r = tv_tree_lookup(tv_store_nodes(l.f->store), &out.root, "hot", &e, NULL, &err);
		is(r == -ENOENT || (r == 0 && (e.size < w.n || one_letter(l.f->store, &e))));
	}
	atomic_store(&w.stop, true);
	pthread_join(thread, NULL);
	print_message("%u imports, %u times busy\n", imported, busy);
	fsck_is_clean(l.f->store);
	tv_worktree_close(&l.w);
}

static void *write_late(void *arg)
{
	const struct live *l = arg;
	usleep(60000);
	put(l, "young", "second");
	return NULL;
}

static void young_files_are_looked_at_twice(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	live_open(&l, *state);
	put(&l, "young", "first");
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, write_late, &l), 0);
	struct tv_import how = how_to_import();
	how.settle_ns = 300000000;
	ok(tv_worktree_import(l.f->store, &l.w, &how, &out, NULL, NULL, &err));
	pthread_join(thread, NULL);
	is(main_has(l.f->store, "young", "second"));
	tv_worktree_close(&l.w);
}

/* A clock that was wrong, or `touch -d`: it is read once more and taken, and what is written to it is seen. */
static void a_time_in_the_future_is_no_obstacle(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	char path[512];
	live_open(&l, *state);
	put(&l, "later", "first");
	live_path(&l, "later", path);
	const struct timespec times[2] = { { .tv_sec = 4102444800 }, { .tv_sec = 4102444800 } };
	is(utimensat(AT_FDCWD, path, times, 0) == 0);
	struct tv_import how = how_to_import();
	how.settle_ns = 50000000;
	ok(tv_worktree_import(l.f->store, &l.w, &how, &out, NULL, NULL, &err));
	is(main_has(l.f->store, "later", "first"));
	put(&l, "later", "other");
	is(utimensat(AT_FDCWD, path, times, 0) == 0);
	ok(tv_worktree_import(l.f->store, &l.w, &how, &out, NULL, NULL, &err));
	is(main_has(l.f->store, "later", "other"));
	tv_worktree_close(&l.w);
}

/* --- what the folder and the ref did ---------------------------------------------------------- */

static void a_commit_never_undoes_what_was_published(void **state)
{
	struct live l;
	live_open(&l, *state);
	struct tv_store *s = l.f->store;
	put(&l, "mine", "1");
	put(&l, "theirs", "1");
	import_all(&l);
	publish_more(s, "theirs", "2");
	put(&l, "mine", "2");
	struct tv_published out = import_all(&l);
	is(out.merged && main_has(s, "mine", "2") && main_has(s, "theirs", "2"));
	/* The folder still has theirs=1: that is its base, not a change. */
	is(import_all(&l).unchanged && main_has(s, "theirs", "2"));
	gc_now(s);
	put(&l, "mine", "3");
	import_all(&l);
	is(main_has(s, "mine", "3") && main_has(s, "theirs", "2"));
	struct tv_err err = TV_ERR_INIT;
	ok(sync_main(&l, false, NULL, &err));
	is(holds(&l, "theirs", "2") && holds(&l, "mine", "3"));
	fsck_is_clean(s);
	tv_worktree_close(&l.w);
}

static void both_changed_one_path(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	struct tv_conflicts conflicts = { .paths = NULL };
	live_open(&l, *state);
	struct tv_store *s = l.f->store;
	put(&l, "p", "1");
	put(&l, "q", "1");
	import_all(&l);
	publish_more(s, "p", "theirs");
	put(&l, "p", "mine");
	put(&l, "q", "2");
	fails(-TV_E_CONFLICT, import_paths(&l, NULL, 0, &out, &conflicts, NULL, &err));
	is(conflicts.len == 1 && strcmp(conflicts.paths[0], "p") == 0);
	tv_conflicts_free(&conflicts);
	is(main_has(s, "p", "theirs") && main_has(s, "q", "1"));
	/* The other path alone is no conflict. */
	import_one(&l, "q");
	is(main_has(s, "p", "theirs") && main_has(s, "q", "2"));
	/* The same bytes as theirs are none either. */
	put(&l, "p", "theirs");
	import_all(&l);
	fsck_is_clean(s);
	tv_worktree_close(&l.w);
}

static int collect_change(void *arg, const struct tv_diff_item *item, struct tv_err *err)
{
	struct tv_buf *b = arg;
	(void)err;
	tv_buf_addf(b, "%c%s ", item->change, item->path);
	return 0;
}

static void changes_without_a_commit(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	char path[512];
	live_open(&l, *state);
	put(&l, "a", "1");
	put(&l, "d/b", "1");
	put(&l, "t", "1");
	import_all(&l);
	put(&l, "a", "2");
	drop(&l, "d/b");
	put(&l, "n", "new");
	put(&l, "n.tmp", "ignored");
	live_path(&l, "t", path);
	is(utimensat(AT_FDCWD, path, (struct timespec[]){ { 1, 2 }, { 3, 4 } }, 0) == 0);
	struct tv_import how = how_to_import();
	ok(tv_worktree_changes(l.f->store, &l.w, &how, collect_change, &b, NULL, &err));
	tv_buf_add_u8(&b, 0);
	assert_string_equal((char *)b.data, "~a -d/b +n .t ");
	tv_worktree_close(&l.w);
}

static void a_symlink_is_not_followed(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	char path[512], outside[160];
	live_open(&l, *state);
	snprintf(outside, sizeof(outside), "%s/outside", l.f->dir);
	is(mkdir(outside, 0755) == 0);
	live_path(&l, "../outside/secret", path);
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	is(fd >= 0);
	close(fd);
	live_path(&l, "way", path);
	is(symlink(outside, path) == 0);
	is(import_all(&l).root.files == 1);
	is(main_has(l.f->store, "way/secret", NULL));
	const char *inside = "way/secret";
	fails(-EINVAL, import_paths(&l, &inside, 1, &out, NULL, NULL, &err));
	tv_worktree_close(&l.w);
}

static void the_store_inside_is_left_out(void **state)
{
	struct live l = { .f = *state };
	struct tv_err err = TV_ERR_INIT;
	snprintf(l.dir, sizeof(l.dir), "%s", l.f->dir); /* the store's own parent */
	ok(tv_worktree_open(l.f->store, l.dir, &l.w, &err));
	put(&l, "a", "1");
	is(import_all(&l).root.files == 1);
	tv_worktree_close(&l.w);
}

static void cannot_open(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_worktree w;
	fails(-ENOENT, tv_worktree_open(f->store, "/no/such/folder", &w, &err));
	fails(-ENOTDIR, tv_worktree_open(f->store, "/etc/passwd", &w, &err));
}

/* --- many at once ---------------------------------------------------------------------------- */

struct child {
	struct live *l;
	unsigned n;
};

#define CHILDREN 16
#define ROUNDS 6

static int child_body(void *arg)
{
	const struct child *c = arg;
	struct tv_err err = TV_ERR_INIT;
	struct live l = *c->l;
	ok(tv_store_open(l.f->folder, &l.f->store, &err));
	ok(tv_worktree_open(l.f->store, l.dir, &l.w, &err));
	for (unsigned i = 0; i < ROUNDS; i++) {
		char path[64], text[64];
		struct tv_published out;
		const char *one = path;
		snprintf(path, sizeof(path), "d%u/f%u", c->n % 4, c->n);
		snprintf(text, sizeof(text), "child %u round %u", c->n, i);
		put(&l, path, text);
		ok(import_paths(&l, &one, 1, &out, NULL, NULL, &err));
	}
	tv_worktree_close(&l.w);
	tv_store_close(l.f->store);
	return 0;
}

static int count_commit(void *arg, const struct tv_commit *c, struct tv_err *err)
{
	unsigned *n = arg;
	(void)c;
	(void)err;
	++*n;
	return 0;
}

static void nothing_is_lost_among_many(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	struct child children[CHILDREN];
	pid_t pids[CHILDREN];
	live_open(&l, *state);
	put(&l, "first", "1");
	import_all(&l);
	tv_worktree_close(&l.w);
	close_store(l.f);
	for (unsigned i = 0; i < CHILDREN; i++) {
		children[i] = (struct child){ .l = &l, .n = i };
		pids[i] = fork_child(child_body, &children[i]);
	}
	for (unsigned i = 0; i < CHILDREN; i++)
		assert_int_equal(wait_child(pids[i]), 0);
	open_store(l.f);
	ok(tv_worktree_open(l.f->store, l.dir, &l.w, &err));
	struct tv_sha tip = tip_of(l.f->store, "main");
	unsigned commits = 0;
	ok(tv_commit_log(l.f->store, &tip, count_commit, &commits, &err));
	assert_int_equal(commits, 1 + CHILDREN * ROUNDS);
	/* Every child's base was moved beside the others': the folder has no change left. */
	settle();
	is(import_all(&l).unchanged);
	fsck_is_clean(l.f->store);
	tv_worktree_close(&l.w);
}

static void a_time_that_no_63_bits_hold(void **state)
{
	struct live l;
	char path[512];
	struct stat st;
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
				     { .tv_sec = 13569465600 } }; /* 2400 */
	live_open(&l, *state);
	put(&l, "a", "1");
	live_path(&l, "a", path);
	is(utimensat(AT_FDCWD, path, times, 0) == 0 && stat(path, &st) == 0);
	if (st.st_mtim.tv_sec != times[1].tv_sec)
		cannot("the filesystem does not know the year 2400");
	is(tv_ns_from_timespec(st.st_mtim) == INT64_MAX);
	times[1].tv_sec = -times[1].tv_sec;
	is(tv_ns_from_timespec(times[1]) == INT64_MIN);
	import_all(&l);
	is(import_all(&l).unchanged);
	tv_worktree_close(&l.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(first_commit_and_nothing_changed),
		store_test(every_kind_of_change),
		store_test(racy_writes_are_seen),
		store_test(only_the_paths_given),
		store_test(special_names_and_files),
		store_test(half_written_files),
		store_test(ignored_names_stay),
		store_test(odd_names),
		store_test(never_a_file_that_changed_while_it_was_read),
		store_test(young_files_are_looked_at_twice),
		store_test(a_time_in_the_future_is_no_obstacle),
		store_test(a_commit_never_undoes_what_was_published),
		store_test(both_changed_one_path),
		store_test(changes_without_a_commit),
		store_test(a_symlink_is_not_followed),
		store_test(the_store_inside_is_left_out),
		store_test(cannot_open),
		store_test(nothing_is_lost_among_many),
		store_test(a_time_that_no_63_bits_hold),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
