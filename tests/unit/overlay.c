/* Reading an overlay back: the walk, and the edits that a publish makes of it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/overlay.h"
#include "fs/upper.h"
#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/blob.h"
#include "store/store.h"
#include "tests/unit/support/views.h"

static char seen[4096];

static int note_change(void *arg, const struct tv_overlay_change *c, struct tv_err *err)
{
	size_t n = strlen(seen);
	(void)err;
	snprintf(seen + n, sizeof(seen) - n, "%s%c%s%s", n ? " " : "", c->change, c->path,
		 c->frozen			    ? "(moved)"
		 : c->st && S_ISDIR(c->st->st_mode) ? "/"
						    : "");
	assert_true(!c->st == (c->change == TV_REMOVED));
	assert_true(!c->disk_path == (c->frozen || c->change == TV_REMOVED));
	return arg && strstr(seen, arg) ? 7 : 0;
}

static int walk_with(struct views *f, const char *const *exclude, size_t n, void *arg)
{
	struct tv_err err = TV_ERR_INIT;
	seen[0] = '\0';
	int r = tv_overlay_walk(f->overlay, &f->source, &f->root, exclude, n, note_change, arg,
				&err);
	if (r < 0)
		assert_true(err.text[0]);
	return r;
}

static const char *changes(struct views *f)
{
	assert_int_equal(walk_with(f, NULL, 0, NULL), 0);
	return seen;
}

static void test_nothing(void **state)
{
	struct views *f = *state;
	assert_string_equal(changes(f), "");
	disk_write(f, "overlay/.wh..wh..tmp.123", "left");
	disk_write(f, "overlay/.wh..wh.x", "");
	disk_write(f, "overlay/.wh.never-there", "");
	assert_string_equal(changes(f), "");
}

static void test_files(void **state)
{
	struct views *f = *state;
	views_overlay(f);
	do_write(f, "new", "x");
	do_write(f, "a.txt", "x");
	do_unlink(f, "b.txt");
	do_unlink(f, "private");
	do_write(f, "private", "again");
	do_chmod(f, "d/e/z", 0600);
	do_write(f, "d/new", "x");
	assert_string_equal(changes(f), "~a.txt -b.txt .d/ ~d/e/z +d/new +new ~private");
	const char *const exclude[] = { "new", "d" };
	assert_int_equal(walk_with(f, exclude, 2, NULL), 0);
	assert_string_equal(seen, "~a.txt -b.txt ~private");
}

static void test_folders(void **state)
{
	struct views *f = *state;
	views_overlay(f);
	do_chmod(f, "bare", 0700); /* touched; one that was only copied up is not told */
	do_write(f, "d/e/new", "x");
	do_mkdir_at(f, "fresh", 0755);
	do_write(f, "fresh/x", "x");
	assert_string_equal(changes(f), ".bare/ .d/e/ +d/e/new +fresh/ +fresh/x");
	do_unlink(f, "d/e/new");
	do_unlink(f, "d/e/z");
	do_rmdir(f, "d/e");
	assert_string_equal(changes(f), ".bare/ .d/ -d/e +fresh/ +fresh/x");
	do_mkdir_at(f, "d/e", 0755); /* made again: it covers what was there */
	assert_string_equal(changes(f), ".bare/ .d/ .d/e/ -d/e/z +fresh/ +fresh/x");
	do_rmdir(f, "d/e");
	do_write(f, "d/e", "a file now");
	assert_string_equal(changes(f), ".bare/ .d/ ~d/e +fresh/ +fresh/x");
}

static void test_renamed_folders(void **state)
{
	struct views *f = *state;
	views_overlay(f);
	do_rename(f, "d", "moved", 0);
	assert_string_equal(changes(f), "-d +moved(moved)");
	do_unlink(f, "moved/x");
	do_write(f, "moved/new", "x");
	assert_string_equal(changes(f), "-d +moved(moved) +moved/new -moved/x");
	do_rename(f, "moved/e", "d", 0);
	assert_string_equal(changes(f), "~d(moved) +moved(moved) -moved/e +moved/new -moved/x");
	/* Made ready to be renamed when the daemon was killed: it is where it was. */
	mkdir(disk_path(f, "overlay/bare"), 0750);
	disk_write(f, "overlay/bare/.wh..wh..redirect", "bare");
	disk_write(f, "overlay/bare/in", "x");
	assert_non_null(strstr(changes(f), "+bare/in"));
	assert_null(strstr(seen, "bare(moved)"));
}

static void test_marks_of_others(void **state)
{
	struct views *f = *state;
	mkdir(disk_path(f, "overlay/d"), 0755);
	disk_write(f, "overlay/d/.wh..wh..opq", "");
	disk_write(f, "overlay/d/x", "mine");
	assert_string_equal(changes(f), ".d/ -d/e ~d/x -d/y");
	mkdir(disk_path(f, "overlay/dangling"), 0755);
	disk_write(f, "overlay/dangling/.wh..wh..redirect", "no/such/folder");
	assert_string_equal(changes(f), ".d/ -d/e ~d/x -d/y +dangling/");
	disk_write(f, "overlay/dangling/.wh..wh..redirect", "a.txt"); /* a file */
	assert_string_equal(changes(f), ".d/ -d/e ~d/x -d/y +dangling/");
	disk_write(f, "overlay/dangling/.wh..wh..redirect", "../..");
	assert_int_equal(walk_with(f, NULL, 0, NULL), -EINVAL);
	unlink(disk_path(f, "overlay/dangling/.wh..wh..redirect"));
	disk_write(f, "overlay/.wh..wh..opq", ""); /* of the root: all else is gone */
	assert_non_null(strstr(changes(f), "-a.txt"));
	assert_non_null(strstr(seen, "-link"));
}

static void test_ends(void **state)
{
	struct views *f = *state;
	static char b[] = "b.txt";
	views_overlay(f);
	do_write(f, "a.txt", "x");
	do_write(f, "b.txt", "x");
	do_write(f, "empty", "x");
	assert_int_equal(walk_with(f, NULL, 0, b), 7); /* what visit returns */
	assert_string_equal(seen, "~a.txt ~b.txt");
	f->node_error = -EIO;
	assert_int_equal(walk_with(f, NULL, 0, NULL), -EIO);
	f->node_error = 0;
}

/* What is hidden by a mode that only the user's view knows (upper.h). */
static void test_owner_bits(void **state)
{
	struct views *f = *state;
	uint8_t bits = 5;
	mkdir(disk_path(f, "overlay/bare"), 0750);
	if (setxattr(disk_path(f, "overlay/bare"), TV_XATTR_OWNER_BITS, &bits, 1, 0) < 0) {
		print_message("machine cannot: keep attributes in /tmp\n");
		skip();
	}
	views_overlay(f);
	struct stat st;
	let_go(f, at_stat(f, "bare", &st));
	assert_int_equal(st.st_mode & 0777, 0550);
	assert_string_equal(changes(f), ".bare/");
}

/* --- edits: with a real store, for blobs ----------------------------------------------------- */

struct publishing {
	char store_dir[96];
	struct tv_store *store;
	struct tv_blobs *blobs;
};

static void begin(struct views *f, struct publishing *p)
{
	struct tv_err err = TV_ERR_INIT;
	snprintf(p->store_dir, sizeof(p->store_dir), "%s/store", f->dir);
	check(tv_store_create(p->store_dir, -1, &err), &err);
	check(tv_store_open(p->store_dir, &p->store, &err), &err);
	check(tv_blobs_begin(p->store, &p->blobs, &err), &err);
}

static void end(struct publishing *p)
{
	tv_blobs_free(p->blobs);
	tv_store_close(p->store);
}

static int edits_of(struct views *f, struct publishing *p, struct tv_overlay_edits *out,
		    struct tv_err *err)
{
	tv_err_clear(err);
	return tv_overlay_edits(f->overlay, &f->source, &f->root, NULL, 0, p->blobs, out, err);
}

/* The edits, applied to the frozen tree, give what the view shows. */
static void test_edits_make_what_is_seen(void **state)
{
	struct views *f = *state;
	struct publishing p;
	struct tv_overlay_edits edits;
	struct tv_err err = TV_ERR_INIT;
	struct tv_entry e;
	begin(f, &p);
	views_overlay(f);
	do_write(f, "a.txt", "published");
	do_unlink(f, "b.txt");
	do_rename(f, "d", "moved", 0);
	do_unlink(f, "moved/x");
	do_write(f, "moved/new", "new");
	do_mkdir_at(f, "fresh", 0700);
	struct tv_found found;
	assert_int_equal(tv_view_symlink(f->view, tv_view_root(f->view), "sym", "a.txt", &me,
					 &found),
			 0);
	let_go(f, found.inode);
	check(edits_of(f, &p, &edits, &err), &err);
	struct tv_entry root = edit_stored(&f->nodes, &f->root, edits.edits, edits.len);
	tv_overlay_edits_free(&edits);
	tv_overlay_edits_free(NULL);
	static const char *const there[] = { "a.txt",	"moved/e/z", "moved/new",
					     "moved/y", "sym",	     "exec" };
	static const char *const gone[] = { "b.txt", "d", "d/x", "moved/x" };
	for (size_t i = 0; i < TV_ARRAY_LEN(there); i++)
		check(tv_tree_lookup(&f->nodes.source, &root, there[i], &e, NULL, &err), &err);
	for (size_t i = 0; i < TV_ARRAY_LEN(gone); i++)
		assert_int_equal(tv_tree_lookup(&f->nodes.source, &root, gone[i], &e, NULL, NULL),
				 -ENOENT);
	check(tv_tree_lookup(&f->nodes.source, &root, "a.txt", &e, NULL, &err), &err);
	assert_int_equal(e.size, 9);
	struct tv_addr addr = tv_addr_of("published", 9);
	assert_memory_equal(&e.addr, &addr, sizeof(addr));
	check(tv_tree_lookup(&f->nodes.source, &root, "fresh", &e, NULL, &err), &err);
	assert_int_equal(e.mode, 0700);
	end(&p);
}

static void test_what_cannot_be_published(void **state)
{
	struct views *f = *state;
	struct publishing p;
	struct tv_overlay_edits edits;
	struct tv_err err = TV_ERR_INIT;
	begin(f, &p);
	assert_int_equal(mkfifo(disk_path(f, "overlay/pipe"), 0600), 0);
	assert_int_equal(edits_of(f, &p, &edits, &err), -EINVAL);
	assert_non_null(strstr(err.text, "'pipe' is a special file"));
	unlink(disk_path(f, "overlay/pipe"));
	disk_write(f, "overlay/a.txt", "x");
	check(edits_of(f, &p, &edits, &err), &err);
	assert_int_equal(edits.len, 1);
	tv_overlay_edits_free(&edits);
	tv_autoclose int file = open("/dev/null", O_RDONLY);
	assert_true(tv_overlay_edits(file, &f->source, &f->root, NULL, 0, p.blobs, &edits, &err) <
		    0);
	end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		view_test(test_nothing),
		view_test(test_files),
		view_test(test_folders),
		view_test(test_renamed_folders),
		view_test(test_marks_of_others),
		view_test(test_ends),
		view_test(test_owner_bits),
		view_test(test_edits_make_what_is_seen),
		view_test(test_what_cannot_be_published),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
