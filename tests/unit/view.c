/* The view without FUSE: what the mount tests cannot reach, above all failures underneath. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/overlay.h"
#include "fs/readers.h"
#include "fs/upper.h"
#include "store/base/cleanup.h"
#include "tests/unit/support/views.h"

static void test_frozen_tree(void **state)
{
	struct views *f = *state;
	struct stat st;
	views_start(f);
	assert_true(tv_view_read_only(f->view));
	struct tv_inode *inode = at_stat(f, "exec", &st);
	assert_int_equal(st.st_mode, S_IFREG | 0755);
	assert_int_equal(st.st_size, 2);
	assert_int_equal(st.st_mtim.tv_sec, FROZEN_TIME / 1000000000);
	assert_int_equal(st.st_mtim.tv_nsec, FROZEN_TIME % 1000000000);
	assert_int_equal(st.st_nlink, 1);
	let_go(f, inode);
	assert_string_equal(text_at(f, "d/e/z"), "z");
	assert_string_equal(names_at(f, "d"), "e x y");
	assert_string_equal(names_at(f, "bare"), "");
	assert_false(is_there(f, "nowhere"));
	assert_false(is_there(f, ".wh.a.txt"));
	char *target;
	inode = at(f, "link");
	assert_int_equal(tv_view_readlink(f->view, inode, &target), 0);
	assert_string_equal(target, "a.txt");
	free(target);
	let_go(f, inode);
	inode = at(f, "a.txt");
	assert_int_equal(tv_view_readlink(f->view, inode, &target), -EINVAL);
	let_go(f, inode);
}

static void test_names_of_all_kinds(void **state)
{
	struct views *f = *state;
	char name[300];
	views_overlay(f);
	static const char *const odd[] = { "new\nline", "back\\slash", "caf\xe9" };
	for (size_t i = 0; i < TV_ARRAY_LEN(odd); i++) {
		assert_true(is_there(f, odd[i]));
		assert_int_equal(do_write(f, odd[i], "written"), 0);
		assert_string_equal(text_at(f, odd[i]), "written");
		assert_int_equal(do_unlink(f, odd[i]), 0);
		assert_false(is_there(f, odd[i]));
		assert_int_equal(do_mkdir_at(f, odd[i], 0755), 0);
	}
	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	assert_true(is_there(f, name));
	assert_int_equal(do_unlink(f, name), 0);
	assert_false(is_there(f, name));
	views_restart(f);
	assert_false(is_there(f, name));
	assert_int_equal(do_write(f, name, "again"), 0);
	assert_string_equal(text_at(f, name), "again");
	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	assert_null(at(f, name));
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(do_mkdir_at(f, name, 0755), -ENAMETOOLONG);
	assert_int_equal(do_rename(f, "a.txt", name, 0), -ENAMETOOLONG);
}

static void test_reading_nodes_fails(void **state)
{
	struct views *f = *state;
	views_overlay(f);
	struct tv_inode *d = at(f, "d"), *root = tv_view_root(f->view);
	struct tv_found found;
	f->node_error = -EIO;
	assert_int_equal(tv_view_lookup(f->view, root, "a.txt", &me, &found), -EIO);
	assert_int_equal(tv_view_lookup(f->view, d, "x", &me, &found), -EIO);
	assert_int_equal(tv_view_mkdir(f->view, d, "new", 0755, &me, &found), -EIO);
	assert_int_equal(tv_view_unlink(f->view, d, "x"), -EIO);
	assert_int_equal(tv_view_rmdir(f->view, root, "d"), -EIO);
	assert_int_equal(tv_view_rename(f->view, root, "a.txt", root, "new", 0), -EIO);
	struct tv_folder *l;
	assert_int_equal(tv_folder_open(f->view, d, &l), 0);
	assert_int_equal(tv_folder_read(f->view, l, 0, true, NULL, NULL), -EIO);
	tv_folder_close(f->view, l);
	/* What is known already needs no node. */
	assert_int_equal(tv_view_getattr(f->view, d, NULL, &found), 0);
	f->node_error = 0;
	let_go(f, d);
	assert_string_equal(disk_at(f, "overlay"), ""); /* nothing was begun */
	assert_string_equal(names_at(f, "d"), "e x y");
	assert_int_equal(do_mkdir_at(f, "d/new", 0755), 0);
}

static void test_reading_blobs_fails(void **state)
{
	struct views *f = *state;
	struct tv_file *file;
	views_overlay(f);
	f->blob_error = -EMFILE;
	assert_int_equal(do_open(f, "a.txt", O_RDONLY, &file), -EMFILE);
	assert_int_equal(do_open(f, "a.txt", O_RDWR, &file), -EMFILE);
	assert_int_equal(do_chmod(f, "a.txt", 0600), -EMFILE);
	assert_int_equal(do_rename(f, "a.txt", "new", 0), -EMFILE);
	assert_int_equal(do_link(f, "a.txt", "new"), -EMFILE);
	assert_int_equal(do_truncate(f, "a.txt", 1), -EMFILE);
	assert_string_equal(disk_at(f, "overlay"), "");
	/* Where its bytes are not needed it can be done. */
	assert_int_equal(do_truncate(f, "a.txt", 0), 0);
	assert_int_equal(do_write(f, "b.txt", "new"), 0);
	assert_int_equal(do_chmod(f, "empty", 0600), 0);
	assert_int_equal(do_unlink(f, "private"), 0);
	f->blob_error = 0;
	assert_string_equal(text_at(f, "a.txt"), "");
	assert_string_equal(text_at(f, "b.txt"), "new");
}

/* A blob that is shorter than the tree says. */
static void test_short_blob(void **state)
{
	struct views *f = *state;
	views_overlay(f);
	for (size_t i = 0; i < f->n_texts; i++)
		if (!strcmp(f->texts[i].text, "two two"))
			f->texts[i].text = "tw";
	assert_int_equal(do_chmod(f, "b.txt", 0600), -EIO);
	assert_string_equal(disk_at(f, "overlay"), "");
	assert_int_equal(do_truncate(f, "b.txt", 2), 0);
	assert_string_equal(text_at(f, "b.txt"), "tw");
}

static void test_full_disk(void **state)
{
	struct views *f = *state;
	char name[32];
	static char big[9000];
	int r = 0, i;
	if (geteuid() != 0 ||
	    mount("small", disk_path(f, "overlay"), "tmpfs", 0, "size=128k,nr_inodes=20") < 0) {
		print_message("machine cannot: mount a tmpfs\n");
		skip();
	}
	close(f->overlay);
	f->overlay = open(disk_path(f, "overlay"), O_RDONLY | O_DIRECTORY);
	memset(big, 'x', sizeof(big) - 1);
	views_overlay(f);
	for (i = 0; r == 0 && i < 100; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		r = do_write(f, name, i < 3 ? "x" : "y");
	}
	assert_int_equal(r, -ENOSPC);
	assert_false(is_there(f, name));
	assert_int_equal(do_unlink(f, "a.txt"), -ENOSPC); /* a whiteout takes an inode */
	assert_string_equal(text_at(f, "a.txt"), "one");
	assert_int_equal(do_chmod(f, "d", 0700), -ENOSPC);
	assert_int_equal(do_rename(f, "d", "d2", 0), -ENOSPC);
	assert_string_equal(names_at(f, "d"), "e x y");
	assert_int_equal(do_unlink(f, "f0"), 0); /* no whiteout is needed: one inode is free */
	assert_int_equal(do_unlink(f, "a.txt"), 0);
	assert_false(is_there(f, "a.txt"));
	for (i = 1; i < 10; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		do_unlink(f, name);
	}
	r = 0;
	for (i = 0; r == 0 && i < 40; i++) {
		snprintf(name, sizeof(name), "big%d", i % 3);
		struct tv_file *file;
		r = i < 3 ? do_write(f, name, "") : do_open(f, name, O_WRONLY, &file);
		if (i >= 3 && r == 0) {
			ssize_t n = tv_file_write(f->view, file, big, 9000, (off_t)i * 9000, &me);
			r = n < 0 ? (int)n : 0; /* a short count first, as write(2) */
			tv_file_close(f->view, file);
		}
	}
	assert_int_equal(r, -ENOSPC);
	assert_int_equal(do_chmod(f, "b.txt", 0600), -ENOSPC);
	assert_string_equal(text_at(f, "b.txt"), "two two");
	assert_null(strstr(disk_at(f, "overlay"), ".wh..wh..tmp"));
	tv_view_free(f->view);
	f->view = NULL;
	close(f->overlay);
	f->overlay = -1;
	assert_int_equal(umount(disk_path(f, "overlay")), 0);
}

/* What a crash between two steps of a change leaves on disk. */
static void test_leftovers_of_crashes(void **state)
{
	struct views *f = *state;
	/* a copy-up or a folder that did not get its name yet */
	disk_write(f, "overlay/.wh..wh..tmp.aaaa", "half");
	mkdir(disk_path(f, "overlay/.wh..wh..tmp.bbbb"), 0700);
	/* a rename of d: prepared (copied up, with its redirect), not done */
	mkdir(disk_path(f, "overlay/d"), 0755);
	disk_write(f, "overlay/d/.wh..wh..redirect", "d");
	/* a replacement of b.txt: the whiteout stands, the new file has its name already */
	disk_write(f, "overlay/.wh.b.txt", "");
	disk_write(f, "overlay/b.txt", "new");
	/* a removal of private: hidden, but the overlay's own is still there */
	disk_write(f, "overlay/.wh.private", "");
	disk_write(f, "overlay/private", "own");
	views_overlay(f);
	assert_string_equal(names_at(f, "d"), "e x y");
	assert_string_equal(text_at(f, "d/x"), "x");
	assert_string_equal(text_at(f, "b.txt"), "new");
	assert_string_equal(text_at(f, "private"), "own");
	assert_null(strstr(names_at(f, ""), ".wh."));
	assert_int_equal(do_unlink(f, "private"), 0);
	assert_false(is_there(f, "private"));
	assert_int_equal(do_rename(f, "d", "moved", 0), 0);
	assert_false(is_there(f, "d"));
	assert_string_equal(names_at(f, "moved"), "e x y");
	views_restart(f);
	assert_false(is_there(f, "d"));
	assert_string_equal(names_at(f, "moved"), "e x y");
	/* and a folder that replaces a frozen one is not merged with it */
	assert_int_equal(do_mkdir_at(f, "d", 0755), 0);
	assert_string_equal(names_at(f, "d"), "");
	views_restart(f);
	assert_string_equal(names_at(f, "d"), "");
}

static void test_renames_of_folders(void **state)
{
	struct views *f = *state;
	views_overlay(f);
	uint64_t d = ino_of(f, "d"), z = ino_of(f, "d/e/z");
	assert_int_equal(do_rename(f, "d/e", "e", 0), 0);
	assert_int_equal(do_rename(f, "d", "e/d", 0), 0);
	assert_string_equal(names_at(f, "e"), "d z");
	assert_string_equal(names_at(f, "e/d"), "x y");
	assert_int_equal(ino_of(f, "e/d"), d);
	assert_int_equal(ino_of(f, "e/z"), z);
	assert_int_equal(do_rename(f, "e", "e/d/e", 0),
			 -EINVAL); /* the kernel refuses it first; so do we */
	views_restart(f);
	assert_string_equal(names_at(f, "e"), "d z");
	assert_string_equal(names_at(f, "e/d"), "x y");
	assert_int_equal(ino_of(f, "e/d"), d);
	assert_int_equal(ino_of(f, "e/z"), z);
	assert_int_equal(do_rename(f, "e/d", "bare", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(do_rename(f, "e", "bare", 0), 0); /* over an empty frozen folder */
	assert_string_equal(names_at(f, "bare"), "d z");
	assert_int_equal(do_rename(f, "bare/d", "link", RENAME_EXCHANGE), 0);
	assert_string_equal(names_at(f, "link"), "x y");
	views_restart(f);
	assert_string_equal(names_at(f, "link"), "x y");
	assert_string_equal(names_at(f, "bare"), "d z");
	assert_int_equal(do_rename(f, "nowhere", "x", 0), -ENOENT);
	assert_int_equal(do_rename(f, "link", "nowhere", RENAME_EXCHANGE), -ENOENT);
	assert_int_equal(do_rename(f, "link", "bare", 1 << 10), -EINVAL);
	assert_int_equal(do_rename(f, "link", "a.txt", 0), -ENOTDIR);
	assert_int_equal(do_rename(f, "a.txt", "link", 0), -EISDIR);
	assert_int_equal(do_rename(f, "link", "bare", 0), -ENOTEMPTY);
}

static void test_removal(void **state)
{
	struct views *f = *state;
	views_overlay(f);
	assert_int_equal(do_rmdir(f, "d"), -ENOTEMPTY);
	assert_int_equal(do_rmdir(f, "a.txt"), -ENOTDIR);
	assert_int_equal(do_unlink(f, "d"), -EISDIR);
	assert_int_equal(do_unlink(f, "nowhere"), -ENOENT);
	assert_int_equal(do_unlink(f, ".wh.x"), -EINVAL);
	struct tv_inode *d = at(f, "d"), *e = at(f, "d/e");
	assert_int_equal(do_unlink(f, "d/e/z"), 0);
	assert_int_equal(do_rmdir(f, "d/e"), 0);
	assert_int_equal(do_unlink(f, "d/x"), 0);
	assert_int_equal(do_unlink(f, "d/y"), 0);
	assert_int_equal(do_rmdir(f, "d"), 0);
	/* Both are still somebody's working folders. */
	struct tv_found found;
	assert_int_equal(tv_view_getattr(f->view, d, NULL, &found), 0);
	assert_int_equal(found.st.st_nlink, 0);
	assert_int_equal(tv_view_lookup(f->view, d, "x", &me, &found), 0);
	assert_null(found.inode);
	assert_int_equal(tv_view_mkdir(f->view, e, "new", 0755, &me, &found), -ENOENT);
	struct tv_file *file;
	assert_int_equal(tv_view_create(f->view, e, "new", 0644, O_RDWR, &me, &found, &file),
			 -ENOENT);
	assert_int_equal(tv_view_rename(f->view, tv_view_root(f->view), "a.txt", e, "new", 0),
			 -ENOENT);
	assert_int_equal(tv_view_tmpfile(f->view, e, 0600, O_RDWR, &me, &found, &file), -ENOENT);
	assert_int_equal(tv_view_fsync_dir(f->view, e, false), 0);
	let_go(f, d);
	let_go(f, e);
	assert_string_equal(disk_at(f, "overlay"), ".wh.d");
}

static void test_passthrough(void **state)
{
	struct views *f = *state;
	struct tv_view_figures figures;
	struct tv_file *a, *b, *w, *again;
	views_overlay(f);
	use_passthrough(f);
	assert_int_equal(do_open(f, "a.txt", O_RDONLY, &a), 0);
	assert_int_equal(do_open(f, "a.txt", O_RDONLY, &b), 0);
	assert_int_equal(tv_file_backing(a), tv_file_backing(b)); /* one id an inode */
	assert_int_equal(f->live_ids, 1);
	struct tv_inode *old = at(f, "a.txt");
	assert_int_equal(tv_file_open(f->view, old, O_RDWR, &me, &w), -ESTALE);
	assert_ptr_equal(f->last_stale, old);
	assert_int_equal(tv_file_open(f->view, old, O_RDWR, &me, &w),
			 -ESTALE); /* by /proc: for good */
	assert_int_equal(do_open(f, "a.txt", O_RDWR, &w), 0);
	assert_true(tv_file_backing(w) > 0 && tv_file_backing(w) != tv_file_backing(a));
	assert_int_equal(tv_file_write(f->view, w, "ONE", 3, 0, &me), 3);
	assert_string_equal(text_of(f, a), "one");
	size_t pages = 2 * (size_t)getpagesize();
	char *more = malloc(pages);
	assert_non_null(more);
	assert_int_equal(tv_file_read(f->view, a, more, pages, 0), -EAGAIN); /* readahead */
	free(more);
	assert_int_equal(do_open(f, "a.txt", O_RDONLY, &again), 0);
	assert_string_equal(text_of(f, again), "ONE");
	/* Attributes through the old inode are the file's; its size is that of its bytes. */
	struct tv_setattr set = { .which = TV_SET_MODE, .mode = 0640 };
	struct tv_found found;
	int told = f->stale;
	assert_int_equal(tv_view_setattr(f->view, old, NULL, &set, &me, &found), 0);
	assert_int_equal(f->stale, told + 1);
	assert_true(found.short_attr);
	assert_int_equal(found.st.st_mode & 0777, 0640);
	assert_int_equal(tv_file_write(f->view, w, "longer", 6, 0, &me), 6);
	assert_int_equal(tv_view_getattr(f->view, old, a, &found), 0);
	assert_int_equal(found.st.st_size, 3);
	set = (struct tv_setattr){ .which = TV_SET_SIZE, .size = 1 };
	assert_int_equal(tv_view_setattr(f->view, old, a, &set, &me, &found), -ESTALE);
	let_go(f, old);
	tv_view_figures(f->view, &figures);
	assert_true(figures.open_files == 4 && figures.backing_ids == 2);
	tv_file_close(f->view, a);
	tv_file_close(f->view, b);
	tv_file_close(f->view, w);
	tv_file_close(f->view, again);
	tv_file_close(f->view, NULL);
	assert_int_equal(f->live_ids, 0);
	tv_view_figures(f->view, &figures);
	assert_int_equal(figures.copy_ups, 1);
	assert_int_equal(figures.passed_opens, 4);
	assert_true(figures.open_files == 0 && figures.backing_ids == figures.idle_backings);
}

/* The id of a blob is kept for the next open, until the file is changed. */
static void test_idle_backing(void **state)
{
	struct views *f = *state;
	struct tv_view_figures figures;
	struct tv_file *a, *b;
	views_overlay(f);
	use_passthrough(f);
	assert_int_equal(do_open(f, "a.txt", O_RDONLY, &a), 0);
	int id = tv_file_backing(a);
	struct tv_inode *inode = at(f, "a.txt");
	tv_file_close(f->view, a);
	tv_view_figures(f->view, &figures);
	assert_int_equal(figures.idle_backings, 1);
	assert_int_equal(f->live_ids, 1);
	assert_int_equal(do_open(f, "a.txt", O_RDONLY, &a), 0);
	assert_int_equal(tv_file_backing(a), id);
	tv_view_figures(f->view, &figures);
	assert_int_equal(figures.idle_backings, 0);
	tv_file_close(f->view, a);
	/* nobody reads the blob, so the inode is not detached; its id must go all the same */
	assert_int_equal(do_open(f, "a.txt", O_RDWR, &b), 0);
	assert_true(tv_file_backing(b) > 0 && tv_file_backing(b) != id);
	assert_int_equal(f->live_ids, 1);
	struct tv_inode *same = at(f, "a.txt");
	assert_ptr_equal(same, inode);
	let_go(f, same);
	assert_int_equal(tv_file_write(f->view, b, "ONE", 3, 0, &me), 3);
	assert_int_equal(do_open(f, "a.txt", O_RDONLY, &a), 0);
	assert_string_equal(text_of(f, a), "ONE");
	tv_file_close(f->view, a);
	tv_file_close(f->view, b);
	assert_int_equal(f->live_ids, 0);
	let_go(f, inode);
	/* copied up by another way than an open */
	struct tv_setattr set = { .which = TV_SET_MODE, .mode = 0600 };
	struct tv_found found;
	assert_int_equal(do_open(f, "d/x", O_RDONLY, &a), 0);
	tv_file_close(f->view, a);
	inode = at(f, "d/x");
	assert_int_equal(tv_view_setattr(f->view, inode, NULL, &set, &me, &found), 0);
	assert_int_equal(do_open(f, "d/x", O_RDONLY, &a), 0);
	assert_int_equal(f->live_ids, 1);
	tv_file_close(f->view, a);
	assert_int_equal(f->live_ids, 0);
	/* forgotten by the kernel */
	let_go(f, inode);
	assert_int_equal(do_open(f, "d/e/z", O_RDONLY, &a), 0);
	tv_file_close(f->view, a);
	assert_int_equal(f->live_ids, 0);
}

/* A link made under readers: the first name must not stay with the frozen bytes. */
static void test_links_under_readers(void **state)
{
	struct views *f = *state;
	struct tv_found found;
	struct tv_file *a;
	views_overlay(f);
	use_passthrough(f);
	assert_int_equal(do_open(f, "a.txt", O_RDONLY, &a), 0);
	struct tv_inode *old = at(f, "a.txt"), *root = tv_view_root(f->view);
	assert_int_equal(tv_view_link(f->view, old, root, "second", &me, &found), -ESTALE);
	assert_int_equal(do_link(f, "a.txt", "second"), 0);
	assert_int_equal(do_write(f, "second", "changed"), 0);
	assert_string_equal(text_at(f, "a.txt"), "changed");
	assert_string_equal(text_of(f, a), "one");
	let_go(f, old);
	tv_file_close(f->view, a);
	assert_int_equal(do_link(f, "a.txt", "second"), -EEXIST);
	assert_int_equal(do_link(f, "a.txt", ".wh.x"), -EINVAL);
}

static void test_passthrough_refused(void **state)
{
	struct views *f = *state;
	struct tv_view_figures figures;
	struct tv_file *a;
	views_overlay(f);
	use_passthrough(f);
	f->refuse = -ELOOP;
	assert_int_equal(do_open(f, "a.txt", O_RDONLY, &a), 0);
	assert_int_equal(tv_file_backing(a), 0);
	assert_string_equal(text_of(f, a), "one");
	assert_int_equal(do_write(f, "a.txt", "changed"), 0);
	assert_string_equal(text_of(f, a), "changed"); /* plain handles follow */
	tv_file_close(f->view, a);
	f->refuse = 0;
	assert_int_equal(do_open(f, "empty", O_RDONLY, &a), 0);
	assert_int_equal(tv_file_backing(a), 0); /* nothing to pass */
	tv_file_close(f->view, a);
	tv_view_figures(f->view, &figures);
	assert_int_equal(figures.fallbacks, 1); /* later ones are plain because the first is */
}

/* A copy changes the times of status change of all folders down to it; of that the kernel knows nothing. */
static void test_folders_of_copies_are_told(void **state)
{
	struct views *f = *state;
	views_overlay(f);
	assert_int_equal(do_chmod(f, "d/e/z", 0600), 0);
	assert_int_equal(f->stale, 6); /* made: e, d; changed: the root, d, e; and the file */
	assert_int_equal(do_chmod(f, "d/e/z", 0640), 0);
	assert_int_equal(do_mkdir_at(f, "d/new", 0755), 0);
	assert_int_equal(f->stale, 6); /* this the kernel has seen itself */
}

/* Of a SQLite database, readers beside a writer must see what it writes: the kernel reads none by itself. */
static void test_databases_are_not_passed(void **state)
{
	struct views *f = *state;
	struct tv_file *a;
	freeze(f, "sqlite.db", "SQLite format 3 and so on", 0644);
	freeze(f, "sqlite.db-wal", "\x37\x7f\x06\x82 and so on", 0644);
	views_overlay(f);
	use_passthrough(f);
	assert_int_equal(do_open(f, "sqlite.db", O_RDONLY, &a), 0);
	assert_int_equal(tv_file_backing(a), 0);
	assert_int_equal(do_write(f, "sqlite.db", "changed"), 0);
	assert_string_equal(text_of(f, a), "changed");
	tv_file_close(f->view, a);
	assert_int_equal(do_open(f, "sqlite.db-wal", O_RDONLY, &a), 0);
	assert_int_equal(tv_file_backing(a), 0);
	tv_file_close(f->view, a);
}

static void test_nothing_is_lost_at_the_end(void **state)
{
	struct views *f = *state;
	struct tv_folder *l;
	struct tv_file *a;
	views_overlay(f);
	use_passthrough(f);
	assert_int_equal(do_open(f, "a.txt", O_RDONLY, &a), 0);
	assert_int_equal(do_open(f, "b.txt", O_RDWR, &a), 0);
	assert_int_equal(do_unlink(f, "b.txt"), 0);
	assert_int_equal(tv_folder_open(f->view, tv_view_root(f->view), &l), 0);
	at(f, "d/e/z");	       /* look-ups that are never forgotten, as at an unmount */
	tv_view_free(f->view); /* asan tells of what is not freed, the tear-down of ids */
	f->view = NULL;
	tv_view_free(NULL);
}

static void test_handles_and_their_limits(void **state)
{
	struct views *f = *state;
	struct tv_file *r, *w;
	char buf[16];
	views_overlay(f);
	assert_int_equal(do_open(f, "a.txt", O_RDONLY, &r), 0);
	assert_true(tv_file_keep_cache(f->view, r));
	assert_int_equal(tv_file_write(f->view, r, "x", 1, 0, &me), -EBADF);
	assert_int_equal(tv_file_fallocate(f->view, r, 0, 0, 10, &me), -EBADF);
	assert_int_equal(tv_file_fsync(f->view, r, true), 0);
	assert_int_equal(tv_file_seek(f->view, r, 0, SEEK_END), 3);
	assert_int_equal(tv_file_seek(f->view, r, 100, SEEK_DATA), -ENXIO);
	assert_int_equal(tv_file_read(f->view, r, buf, 2, 2), 1);
	assert_int_equal(tv_file_read(f->view, r, buf, 2, 200), 0);
	assert_int_equal(do_write(f, "new", ""), 0);
	assert_int_equal(do_open(f, "new", O_RDWR | O_APPEND | O_DSYNC, &w), 0);
	/* Between filesystems the kernel copies by itself when it is told so. */
	assert_int_equal(tv_file_copy(f->view, r, 0, w, 0, 3, &me), -EXDEV);
	assert_int_equal(tv_file_write(f->view, w, "one", 3, 0, &me), 3);
	assert_int_equal(tv_file_copy(f->view, w, 0, w, 3, 3, &me), 3);
	assert_string_equal(text_of(f, w), "oneone");
	assert_int_equal(tv_file_copy(f->view, w, 0, r, 0, 3, &me), -EBADF);
	assert_int_equal(tv_file_fallocate(f->view, w, 0, 0, 100, &me), 0);
	assert_int_equal(tv_file_fsync(f->view, w, false), 0);
	assert_int_equal(tv_file_seek(f->view, w, 0, SEEK_END), 100);
	tv_file_close(f->view, r);
	tv_file_close(f->view, w);
	assert_int_equal(do_open(f, "a.txt", O_RDONLY | O_TRUNC, &r), 0);
	assert_string_equal(text_at(f, "a.txt"), "");
	tv_file_close(f->view, r);
}

static void test_set_id_bits_go_with_a_write(void **state)
{
	struct views *f = *state;
	const struct tv_caller other = { 12345, 12345, 1 };
	struct tv_file *file;
	struct stat st;
	views_overlay(f);
	assert_int_equal(do_chmod(f, "exec", 06755), 0);
	assert_int_equal(do_open(f, "exec", O_RDWR, &file), 0);
	assert_int_equal(tv_file_write(f->view, file, "x", 1, 0, &me), 1);
	let_go(f, at_stat(f, "exec", &st));
	assert_int_equal(st.st_mode & 07777, 06755); /* root's write does not */
	assert_int_equal(tv_file_write(f->view, file, "x", 1, 0, &other), 1);
	let_go(f, at_stat(f, "exec", &st));
	assert_int_equal(st.st_mode & 07777, 0755);
	/* Of a group that the writer is not in, also where nobody may execute. */
	assert_int_equal(do_chmod(f, "exec", 02644), 0);
	assert_int_equal(tv_file_write(f->view, file, "x", 1, 0, &other), 1);
	let_go(f, at_stat(f, "exec", &st));
	assert_int_equal(st.st_mode & 07777, 0644);
	tv_file_close(f->view, file);
}

static void test_set_id_bits_go_with_other_changes(void **state)
{
	struct views *f = *state;
	const struct tv_caller other = { 12345, 12345, 1 };
	struct tv_file *file;
	struct stat st;
	views_overlay(f);
	assert_int_equal(do_open(f, "exec", O_RDWR, &file), 0);
	/* The size is set by the path or through an open file. */
	for (int open = 0; open < 2; open++) {
		const struct tv_setattr set = { .which = TV_SET_SIZE, .size = 2 };
		struct tv_found found;
		struct tv_inode *exec = at(f, "exec");
		assert_int_equal(do_chmod(f, "exec", 06755), 0);
		assert_int_equal(tv_view_setattr(f->view, exec, open ? file : NULL, &set, &other,
						 &found),
				 0);
		assert_int_equal(found.st.st_mode & 07777, 0755);
		let_go(f, exec);
	}
	/* Before it writes by itself the kernel asks for a change of nothing. */
	const struct tv_setattr nothing = { .which = 0 };
	struct tv_found changed;
	struct tv_inode *exec = at(f, "exec");
	assert_int_equal(do_chmod(f, "exec", 07165), 0);
	assert_int_equal(tv_view_setattr(f->view, exec, NULL, &nothing, &other, &changed), 0);
	assert_int_equal(changed.st.st_mode & 07777, 01165);
	let_go(f, exec);
	for (int copy = 0; copy < 2; copy++) {
		assert_int_equal(do_chmod(f, "exec", 06755), 0);
		if (copy)
			assert_int_equal(tv_file_copy(f->view, file, 0, file, 1, 1, &other), 1);
		else
			assert_int_equal(tv_file_fallocate(f->view, file, 0, 0, 9, &other), 0);
		let_go(f, at_stat(f, "exec", &st));
		assert_int_equal(st.st_mode & 07777, 0755);
	}
	tv_file_close(f->view, file);
}

static void test_read_only_and_denied(void **state)
{
	struct views *f = *state;
	for (int denied = 0; denied < 2; denied++) {
		struct tv_found found;
		struct tv_file *file;
		f->config.overlay_dirfd = denied ? f->overlay : -1;
		f->config.deny_lakehouse_writes = denied;
		if (denied)
			views_restart(f);
		else
			views_start(f);
		struct tv_inode *a = at(f, "a.txt"), *root = tv_view_root(f->view);
		assert_true(tv_view_read_only(f->view));
		assert_int_equal(do_write(f, "new", "x"), -EROFS);
		assert_int_equal(do_mkdir_at(f, "new", 0755), -EROFS);
		assert_int_equal(do_unlink(f, "a.txt"), -EROFS);
		assert_int_equal(do_rmdir(f, "bare"), -EROFS);
		assert_int_equal(do_rename(f, "a.txt", "b", 0), -EROFS);
		assert_int_equal(do_link(f, "a.txt", "b"), -EROFS);
		assert_int_equal(do_chmod(f, "a.txt", 0600), -EROFS);
		assert_int_equal(do_truncate(f, "a.txt", 1), -EROFS);
		assert_int_equal(tv_view_symlink(f->view, root, "l", "x", &me, &found), -EROFS);
		assert_int_equal(tv_view_mknod(f->view, root, "p", S_IFIFO | 0600, 0, &me, &found),
				 -EROFS);
		assert_int_equal(tv_view_tmpfile(f->view, root, 0600, O_RDWR, &me, &found, &file),
				 -EROFS);
		assert_int_equal(tv_file_open(f->view, a, O_RDWR, &me, &file), -EROFS);
		assert_int_equal(tv_file_settle(f->view, a), -EROFS);
		assert_int_equal(tv_view_setxattr(f->view, a, "user.x", "y", 1, 0), -EROFS);
		assert_int_equal(tv_view_removexattr(f->view, a, "user.x"), -EROFS);
		let_go(f, a);
	}
	assert_string_equal(disk_at(f, "overlay"), "");
}

static void test_attributes(void **state)
{
	struct views *f = *state;
	char value[128], list[256];
	views_overlay(f);
	struct tv_inode *a = at(f, "a.txt"), *root = tv_view_root(f->view);
	assert_int_equal(tv_view_getxattr(f->view, root, "user.tvfs.foundation", NULL, 0), 64);
	assert_int_equal(tv_view_getxattr(f->view, a, "user.tvfs.sha256", value, 10), -ERANGE);
	assert_int_equal(tv_view_getxattr(f->view, a, "user.tvfs.sha256", value, 64), 64);
	assert_int_equal(tv_view_getxattr(f->view, a, "user.tvfs.commit", value, 64), 6);
	assert_int_equal(tv_view_getxattr(f->view, a, "user.tvfs.layer", value, 64), 10);
	assert_int_equal(tv_view_getxattr(f->view, a, "user.tvfs.none", value, 64), -ENODATA);
	assert_int_equal(tv_view_getxattr(f->view, a, "user.x", value, 64), -ENODATA);
	assert_int_equal(tv_view_getxattr(f->view, a, "system.posix_acl_access", value, 64),
			 -EOPNOTSUPP);
	assert_int_equal(tv_view_getxattr(f->view, a, "user.", value, 64), -EINVAL);
	assert_int_equal(tv_view_getxattr(f->view, a, "nonsense", value, 64), -EOPNOTSUPP);
	assert_int_equal(tv_view_removexattr(f->view, a, "user.x"), -ENODATA);
	assert_int_equal(tv_view_setxattr(f->view, a, "user.x", "y", 1, XATTR_REPLACE), -ENODATA);
	assert_string_equal(disk_at(f, "overlay"), ""); /* none of this needed a copy */
	assert_int_equal(tv_view_setxattr(f->view, a, "user.tvfs.layer", "y", 1, 0), -EPERM);
	assert_int_equal(tv_view_setxattr(f->view, a, "system.posix_acl_access", "y", 1, 0),
			 -EOPNOTSUPP);
	assert_int_equal(tv_view_setxattr(f->view, a, "user.x", "yes", 3, 0), 0);
	assert_int_equal(tv_view_getxattr(f->view, a, "user.x", value, 64), 3);
	assert_memory_equal(value, "yes", 3);
	assert_int_equal(tv_view_listxattr(f->view, a, &me, NULL, 0), 7);
	assert_int_equal(tv_view_listxattr(f->view, a, &me, list, 3), -ERANGE);
	assert_int_equal(tv_view_listxattr(f->view, a, &me, list, sizeof(list)), 7);
	assert_string_equal(list, "user.x");
	const struct tv_caller other = { 12345, 12345, 1 };
	if (tv_view_setxattr(f->view, a, "trusted.t", "t", 1, 0) == 0) { /* we are root */
		assert_int_equal(tv_view_listxattr(f->view, a, &me, NULL, 0), 17);
		assert_int_equal(tv_view_listxattr(f->view, a, &other, NULL, 0), 7);
	}
	assert_int_equal(tv_view_getxattr(f->view, a, "user.tvfs.layer", value, 64), 7);
	assert_int_equal(tv_view_getxattr(f->view, a, "user.tvfs.sha256", value, 64), -ENODATA);
	let_go(f, a);
}

static void test_figures_of_the_filesystem(void **state)
{
	struct views *f = *state;
	struct statvfs frozen, disk;
	views_start(f);
	assert_int_equal(tv_view_statfs(f->view, tv_view_root(f->view), &frozen), 0);
	assert_int_equal(frozen.f_namemax, 255);
	assert_int_equal(frozen.f_files, 14);
	f->config.overlay_dirfd = f->overlay;
	views_restart(f);
	assert_int_equal(tv_view_statfs(f->view, tv_view_root(f->view), &frozen), 0);
	assert_int_equal(fstatvfs(f->overlay, &disk), 0);
	assert_int_equal(frozen.f_blocks, disk.f_blocks);
	assert_int_equal(tv_view_fsync_dir(f->view, tv_view_root(f->view), false), 0);
	struct tv_inode *d = at(f, "d");
	assert_int_equal(tv_view_fsync_dir(f->view, d, true), 0);
	let_go(f, d);
}

/* --- listings -------------------------------------------------------------------------------- */

struct page {
	size_t room;
	off_t next;
	char names[64][256];
	size_t n;
	bool found;
};

static int fill_page(void *arg, const struct tv_listed *e)
{
	struct page *p = arg;
	if (p->n == p->room)
		return 1;
	p->found = p->found || e->found;
	snprintf(p->names[p->n++], sizeof(p->names[0]), "%s", e->name);
	p->next = e->next;
	return 0;
}

static void check_pages(struct views *f, struct tv_inode *dir, bool plus, size_t room)
{
	struct tv_folder *l;
	char all[1024] = "";
	assert_int_equal(tv_folder_open(f->view, dir, &l), 0);
	for (off_t at_pos = 0;;) {
		struct page p = { .room = room, .next = at_pos };
		assert_int_equal(tv_folder_read(f->view, l, at_pos, plus, fill_page, &p), 0);
		for (size_t i = 0; i < p.n; i++)
			snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s ", p.names[i]);
		if (!p.n)
			break;
		at_pos = p.next;
	}
	assert_string_equal(all, ". .. e y own ");
	/* Back to a place in the middle, and beyond the end. */
	struct page p = { .room = 64 };
	assert_int_equal(tv_folder_read(f->view, l, 3, plus, fill_page, &p), 0);
	assert_string_equal(p.names[0], "y"); /* 3 is the place of x */
	p = (struct page){ .room = 64 };
	assert_int_equal(tv_folder_read(f->view, l, 1000, plus, fill_page, &p), 0);
	assert_int_equal(p.n, 1);
	assert_string_equal(p.names[0], "own");
	p = (struct page){ .room = 64 };
	assert_int_equal(tv_folder_read(f->view, l, INT64_MAX, plus, fill_page, &p), 0);
	assert_int_equal(p.n, 0);
	tv_folder_close(f->view, l);
	tv_folder_close(f->view, NULL);
}

static void test_pages_of_listings(void **state)
{
	struct views *f = *state;
	struct tv_view_figures before, after;
	views_overlay(f);
	assert_int_equal(do_unlink(f, "d/x"), 0);
	assert_int_equal(do_write(f, "d/own", "own"), 0);
	assert_int_equal(do_chmod(f, "d/y", 0600), 0);
	struct tv_inode *d = at(f, "d");
	assert_string_equal(disk_at(f, "overlay/d"), ".wh.x own y");
	/* The look-ups of entries that did not fit are taken back. */
	tv_view_figures(f->view, &before);
	struct page p = { .room = 3 };
	assert_int_equal(tv_folder_read_once(f->view, d, 0, true, fill_page, &p), 0);
	assert_true(p.found);
	tv_view_figures(f->view, &after);
	assert_int_equal(after.inodes, before.inodes + 1);
	tv_view_forget(f->view, at(f, "d/e"), 2);
	tv_view_figures(f->view, &after);
	assert_int_equal(after.inodes, before.inodes);
	for (size_t room = 1; room < 7; room++) {
		check_pages(f, d, false, room);
		check_pages(f, d, true, room);
	}
	let_go(f, d);
	assert_true(tv_folder_cacheable(f->view, tv_view_root(f->view)));
}

/* One entry that cannot be looked up does not hide the others. */
static void test_listing_with_a_broken_entry(void **state)
{
	struct views *f = *state;
	mkdir(disk_path(f, "overlay/broken"), 0755);
	disk_write(f, "overlay/broken/.wh..wh..redirect", "../..");
	views_overlay(f);
	assert_non_null(strstr(names_at(f, ""), "broken"));
	assert_non_null(strstr(names_at(f, ""), "a.txt"));
	assert_null(at(f, "broken"));
	assert_int_equal(errno, EINVAL);
}

/* --- inode numbers, links, threads ----------------------------------------------------------- */

static void test_numbers_stay(void **state)
{
	struct views *f = *state;
	static const char *const paths[] = { "a.txt", "exec", "d", "d/x", "link", "bare", "d/e/z" };
	uint64_t before[TV_ARRAY_LEN(paths)];
	views_overlay(f);
	for (size_t i = 0; i < TV_ARRAY_LEN(paths); i++)
		before[i] = ino_of(f, paths[i]);
	for (size_t i = 0; i < TV_ARRAY_LEN(paths); i++)
		if (i != 4)
			assert_int_equal(do_chmod(f, paths[i], 0700), 0);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < TV_ARRAY_LEN(paths); i++)
			assert_int_equal(ino_of(f, paths[i]), before[i]);
		views_restart(f);
	}
}

static void test_hard_links(void **state)
{
	struct views *f = *state;
	struct stat st;
	views_overlay(f);
	assert_int_equal(do_link(f, "a.txt", "d/second"), 0);
	let_go(f, at_stat(f, "a.txt", &st));
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(ino_of(f, "a.txt"), ino_of(f, "d/second"));
	assert_int_equal(do_rename(f, "a.txt", "d/second", 0), 0); /* one file: nothing to do */
	assert_true(is_there(f, "a.txt"));
	views_restart(f);
	assert_int_equal(ino_of(f, "a.txt"), ino_of(f, "d/second"));
	assert_int_equal(do_unlink(f, "a.txt"), 0);
	assert_string_equal(text_at(f, "d/second"), "one");
}

static void test_by_component(void **state)
{
	struct views *f = *state;
	f->config.by_component = true; /* as on kernels before openat2 */
	views_overlay(f);
	assert_int_equal(do_write(f, "d/e/new", "new"), 0);
	assert_string_equal(names_at(f, "d/e"), "new z");
	assert_int_equal(do_rename(f, "d", "moved", 0), 0);
	assert_string_equal(text_at(f, "moved/e/new"), "new");
}

static void test_too_long_paths(void **state)
{
	struct views *f = *state;
	struct tv_inode *dir;
	struct tv_found found;
	char name[201];
	int r = 0, made = 0;
	views_overlay(f);
	dir = tv_view_root(f->view);
	memset(name, 'z', 200);
	name[200] = '\0';
	while (made < 50) {
		r = tv_view_mkdir(f->view, dir, name, 0755, &me, &found);
		if (r < 0)
			break;
		let_go(f, dir);
		dir = found.inode;
		made++;
	}
	assert_int_equal(r, -ENAMETOOLONG);
	assert_int_equal(made, 20); /* 20 * 201 < PATH_MAX */
	let_go(f, dir);
}

struct job {
	struct views *f;
	int number;
	bool *stop;
};

static void *write_all(void *arg)
{
	struct job *job = arg;
	char name[32];
	for (int i = 0; i < 200; i++) {
		struct tv_file *file;
		if (do_open(job->f, "a.txt", O_RDWR, &file) == 0) {
			tv_file_write(job->f->view, file, "wwwwww", 6, 0, &me);
			tv_file_close(job->f->view, file);
		}
		snprintf(name, sizeof(name), "t%d", job->number);
		do_write(job->f, name, "mine");
		do_rename(job->f, name, "shared", 0);
		do_unlink(job->f, i % 2 ? "shared" : name);
		do_chmod(job->f, "d/x", 0600 + (mode_t)(i % 8));
	}
	return NULL;
}

static int count_entry(void *arg, const struct tv_listed *e)
{
	*(size_t *)arg += e->name[0] != '\0';
	return 0;
}

static void *read_all(void *arg)
{
	struct job *job = arg;
	for (int i = 0; i < 200; i++) {
		struct tv_file *file;
		char buf[8];
		size_t n = 0;
		if (do_open(job->f, i % 2 ? "a.txt" : "d/x", O_RDONLY, &file) == 0) {
			tv_file_read(job->f->view, file, buf, sizeof(buf), 0);
			tv_file_close(job->f->view, file);
		}
		tv_folder_read_once(job->f->view, tv_view_root(job->f->view), 0, false, count_entry,
				    &n);
	}
	return NULL;
}

/* Everything at once, with and without passthrough: for tsan, and for locks that never come back. */
static void test_threads(void **state)
{
	struct views *f = *state;
	for (int pass = 0; pass < 2; pass++) {
		pthread_t threads[6];
		struct job jobs[6];
		if (pass) {
			views_restart(f);
			use_passthrough(f);
		} else {
			views_overlay(f);
		}
		for (int i = 0; i < 6; i++) {
			jobs[i] = (struct job){ f, i, NULL };
			assert_int_equal(pthread_create(&threads[i], NULL,
							i % 2 ? read_all : write_all, &jobs[i]),
					 0);
		}
		for (int i = 0; i < 6; i++)
			pthread_join(threads[i], NULL);
		assert_string_equal(text_at(f, "a.txt"), "wwwwww");
		assert_string_equal(text_at(f, "d/x"), "x");
	}
}

static void test_readers(void **state)
{
	struct views *f = *state;
	struct tv_readers readers;
	char buf[16];
	views_start(f);
	tv_readers_init(&readers);
	struct tv_inode *a = at(f, "a.txt"), *b = at(f, "b.txt");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tv_readers_read(&readers, f->view, a, buf, 16, 0), 3);
		assert_memory_equal(buf, "one", 3);
		assert_int_equal(tv_readers_read(&readers, f->view, b, buf, 16, 4), 3);
		assert_memory_equal(buf, "two", 3);
	}
	struct tv_inode *x = at(f, "d/x");
	f->blob_error = -EIO;
	assert_int_equal(tv_readers_read(&readers, f->view, x, buf, 16, 0), -EIO);
	f->blob_error = 0;
	assert_int_equal(tv_readers_read(&readers, f->view, x, buf, 16, 0), 1);
	let_go(f, a);
	let_go(f, b);
	let_go(f, x);
	tv_readers_fini(&readers, f->view);
}

/* --- two volumes and routes ------------------------------------------------------------------ */

static char missed[64];

static void note_miss(void *arg, const char *name, bool fallback, pid_t pid)
{
	(void)arg;
	snprintf(missed, sizeof(missed), "%s %d %d", name, fallback, (int)pid);
}

static void start_routed(struct views *f, bool fallback)
{
	static const struct tv_route routes[] = { { "routed.json", "reports/r.json" } };
	mkdir(disk_path(f, "data/reports"), 0755);
	mkdir(disk_path(f, "data/lakehouse"), 0755);
	f->config.overlay_dirfd = f->overlay;
	f->config.data_dirfd = f->data;
	f->config.overlay_name = "lakehouse";
	f->config.routes = routes;
	f->config.n_routes = 1;
	f->config.route_fallback = fallback;
	f->config.route_miss = note_miss;
	views_start(f);
}

static void test_routes(void **state)
{
	struct views *f = *state;
	struct tv_found found;
	start_routed(f, false);
	assert_string_equal(names_at(f, ""), "data lakehouse");
	assert_string_equal(names_at(f, "data"), "reports");
	assert_false(is_there(f, "data/lakehouse"));
	assert_int_equal(do_mkdir_at(f, "data/lakehouse", 0755), -EACCES);
	assert_int_equal(do_mkdir_at(f, "third", 0755), -EROFS);
	missed[0] = '\0';
	assert_false(is_there(f, "lakehouse/routed.json"));
	assert_string_equal(missed, "routed.json 0 1");
	missed[0] = '\0';
	assert_false(is_there(f, "data/reports/r.json")); /* the data path is no miss */
	assert_string_equal(missed, "");
	struct tv_inode *lake = at(f, "lakehouse");
	assert_int_equal(tv_view_lookup(f->view, lake, "routed.json", &me, &found), 0);
	assert_true(!found.inode && found.short_entry); /* absent, and not to be remembered */
	assert_false(tv_folder_cacheable(f->view, lake));
	let_go(f, lake);
	assert_int_equal(do_write(f, "lakehouse/routed.json", "mine"), 0);
	assert_string_equal(text_at(f, "data/reports/r.json"), "mine");
	assert_int_equal(ino_of(f, "lakehouse/routed.json"), ino_of(f, "data/reports/r.json"));
	assert_non_null(strstr(names_at(f, "lakehouse"), "routed.json"));
	assert_string_equal(disk_at(f, "overlay"), "");
	assert_string_equal(disk_at(f, "data/reports"), "r.json");
	assert_int_equal(do_rename(f, "data/reports", "data/x", 0), -EBUSY);
	assert_int_equal(do_rmdir(f, "data/reports"), -EBUSY);
	assert_int_equal(do_rename(f, "lakehouse/a.txt", "data/a.txt", 0), -EXDEV);
	assert_int_equal(do_rename(f, "lakehouse/d", "lakehouse/routed.json", 0), -EXDEV);
	/* A dentry that is cached for ever must not end at a routed name: it is looked up first. */
	assert_int_equal(do_write(f, "lakehouse/temp", "next"), 0);
	struct tv_inode *temp = at(f, "lakehouse/temp"); /* as the kernel holds what it looked up */
	assert_int_equal(do_rename(f, "lakehouse/temp", "lakehouse/routed.json", 0), -ESTALE);
	assert_true(is_there(f, "lakehouse/temp"));
	assert_int_equal(do_rename(f, "lakehouse/temp", "lakehouse/routed.json", 0), 0);
	let_go(f, temp);
	assert_string_equal(text_at(f, "data/reports/r.json"), "next");
	assert_int_equal(do_unlink(f, "data/reports/r.json"), 0);
	assert_false(is_there(f, "lakehouse/routed.json"));
}

static void test_fallback(void **state)
{
	struct views *f = *state;
	start_routed(f, true);
	assert_string_equal(text_at(f, "lakehouse/routed.json"), "frozen");
	assert_string_equal(missed, "routed.json 1 1");
	assert_false(is_there(f, "data/reports/r.json"));
	assert_int_equal(do_chmod(f, "lakehouse/routed.json", 0600), 0);
	assert_string_equal(text_at(f, "data/reports/r.json"), "frozen");
	assert_string_equal(disk_at(f, "data/reports"), "r.json");
	assert_int_equal(do_unlink(f, "lakehouse/routed.json"), 0);
	assert_false(is_there(f, "lakehouse/routed.json")); /* not the frozen copy again */
	views_restart(f);
	assert_false(is_there(f, "lakehouse/routed.json"));
	assert_int_equal(do_write(f, "data/reports/r.json", "own"), 0);
	assert_string_equal(text_at(f, "lakehouse/routed.json"), "own");
}

static void test_bad_configurations(void **state)
{
	struct views *f = *state;
	static const struct tv_route nowhere[] = { { "routed.json", "no/folder/r.json" } };
	static const struct tv_route bad[] = { { "a/b", "x" } };
	struct tv_err err = TV_ERR_INIT;
	tv_autoclose int file = open("/dev/null", O_RDONLY);
	f->config.overlay_dirfd = file;
	assert_int_equal(tv_view_new(&f->config, &f->view, &err), -ENOTDIR);
	assert_non_null(strstr(err.text, "overlay"));
	tv_err_clear(&err);
	f->config.overlay_dirfd = f->overlay;
	f->config.routes = nowhere;
	f->config.n_routes = 1;
	assert_int_equal(tv_view_new(&f->config, &f->view, &err), -EINVAL); /* no data folder */
	tv_err_clear(&err);
	f->config.data_dirfd = f->data;
	assert_int_equal(tv_view_new(&f->config, &f->view, &err), -ENOENT);
	assert_non_null(strstr(err.text, "no/folder"));
	tv_err_clear(&err);
	f->config.routes = bad;
	assert_int_equal(tv_view_new(&f->config, &f->view, &err), -EINVAL);
	assert_null(f->view);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		view_test(test_frozen_tree),
		view_test(test_names_of_all_kinds),
		view_test(test_reading_nodes_fails),
		view_test(test_reading_blobs_fails),
		view_test(test_short_blob),
		view_test(test_full_disk),
		view_test(test_leftovers_of_crashes),
		view_test(test_renames_of_folders),
		view_test(test_removal),
		view_test(test_passthrough),
		view_test(test_idle_backing),
		view_test(test_links_under_readers),
		view_test(test_passthrough_refused),
		view_test(test_databases_are_not_passed),
		view_test(test_folders_of_copies_are_told),
		view_test(test_nothing_is_lost_at_the_end),
		view_test(test_handles_and_their_limits),
		view_test(test_set_id_bits_go_with_a_write),
		view_test(test_set_id_bits_go_with_other_changes),
		view_test(test_read_only_and_denied),
		view_test(test_attributes),
		view_test(test_figures_of_the_filesystem),
		view_test(test_pages_of_listings),
		view_test(test_listing_with_a_broken_entry),
		view_test(test_numbers_stay),
		view_test(test_hard_links),
		view_test(test_by_component),
		view_test(test_too_long_paths),
		view_test(test_threads),
		view_test(test_readers),
		view_test(test_routes),
		view_test(test_fallback),
		view_test(test_bad_configurations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
