/* The overlay's form on disk, and the set of names that stands in front of it. */
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

#include "fs/names.h"
#include "fs/overlay.h"
#include "fs/upper.h"
#include "store/base/io.h"
#include "store/base/path.h"
#include "store/hash.h"

static char folder[64];
static int root = -1;

static int setup(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/tv-upper-XXXXXX");
	root = mkdtemp(folder) ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	return root < 0;
}

static int teardown(void **state)
{
	(void)state;
	close(root);
	return tv_io_remove_tree(AT_FDCWD, folder, NULL);
}

#define upper_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void put(const char *name, const char *text)
{
	tv_autoclose int fd = openat(root, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void check_opening(bool by_component)
{
	tv_autodirfd struct tv_dirfd dir = TV_DIRFD_INIT;
	struct tv_upper u;
	assert_int_equal(tv_upper_init(&u, root, by_component), 0);
	assert_true(u.by_component || !by_component);
	assert_int_equal(tv_upper_dir(&u, "", &dir), 0);
	assert_int_equal(dir.fd, root);
	assert_false(dir.owned);
	assert_int_equal(tv_upper_dir(&u, "d/e", &dir), 0);
	assert_true(dir.owned && dir.fd != root);
	int before = dir.fd;
	assert_int_equal(tv_upper_dir(&u, "nowhere", &dir), -ENOENT);
	assert_int_equal(dir.fd, before); /* untouched on failure */
	assert_int_equal(tv_upper_dir(&u, "file", &dir), -ENOTDIR);
	int r = tv_upper_dir(&u, "link", &dir);
	assert_true(r == -ELOOP || r == -ENOTDIR);
	r = tv_upper_dir(&u, "link/e", &dir);
	assert_true(r == -ELOOP || r == -ENOTDIR);
	r = tv_upper_dir(&u, "out", &dir);
	assert_true(r == -ELOOP || r == -ENOTDIR);
}

static void test_folders_are_never_reached_through_links(void **state)
{
	(void)state;
	mkdirat(root, "d", 0700);
	mkdirat(root, "d/e", 0700);
	put("file", "x");
	assert_int_equal(symlinkat("d", root, "link"), 0);
	assert_int_equal(symlinkat("/", root, "out"), 0);
	check_opening(false);
	check_opening(true);
	tv_autoclose int fd = openat(root, "file", O_RDONLY);
	struct tv_upper u;
	assert_int_equal(tv_upper_init(&u, fd, false), -ENOTDIR);
	assert_int_equal(tv_upper_init(&u, -1, false), -EBADF);
}

static void test_marks(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		enum tv_mark mark;
		const char *hidden;
	} cases[] = {
		{ "a", TV_MARK_NONE, "a" },
		{ ".w", TV_MARK_NONE, ".w" },
		{ ".whatever", TV_MARK_NONE, ".whatever" },
		{ ".wh.a", TV_MARK_WHITEOUT, "a" },
		{ ".wh. ", TV_MARK_WHITEOUT, " " },
		{ ".wh..hidden", TV_MARK_WHITEOUT, ".hidden" },
		{ ".wh..wh..opq", TV_MARK_OPAQUE, NULL },
		{ ".wh..wh..redirect", TV_MARK_REDIRECT, NULL },
		{ ".wh..wh..long.0123", TV_MARK_LONG, NULL },
		{ ".wh..wh..tmp.0123", TV_MARK_LEFTOVER, NULL },
		{ ".wh..wh.a", TV_MARK_LEFTOVER, NULL },
		{ ".wh..wh..new", TV_MARK_LEFTOVER, NULL },
		{ ".wh.", TV_MARK_LEFTOVER, NULL },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(cases); i++) {
		const char *hidden;
		assert_int_equal(tv_mark_of(cases[i].name, &hidden), cases[i].mark);
		if (cases[i].hidden)
			assert_string_equal(hidden, cases[i].hidden);
	}
}

static void test_whiteouts(void **state)
{
	(void)state;
	char name[256], disk[TV_UPPER_NAME];
	for (size_t n = 245; n <= 255; n++) {
		memset(name, 'x', n);
		name[n] = '\0';
		tv_whiteout_name(name, n, disk);
		assert_true(strlen(disk) <= 255);
		assert_int_equal(!strncmp(disk, TV_WH_LONG, strlen(TV_WH_LONG)), n > 251);
		assert_int_equal(tv_whiteout_there(root, name, n), 0);
		assert_int_equal(tv_whiteout_make(root, name, n), 0);
		assert_int_equal(tv_whiteout_make(root, name, n), 0);
		assert_int_equal(tv_whiteout_there(root, name, n), 1);
		char back[TV_UPPER_NAME];
		if (n > 251) {
			assert_int_equal(tv_whiteout_long(root, disk, back), 0);
			assert_string_equal(back, name);
		}
	}
	/* Contents that are not what the name says are believed by nobody. */
	put(disk, "something else");
	assert_int_equal(tv_whiteout_long(root, disk, name), -EINVAL);
	put(disk, "");
	assert_int_equal(tv_whiteout_long(root, disk, name), -EINVAL);
	assert_int_equal(tv_whiteout_long(root, "nowhere", name), -ENOENT);
	assert_int_equal(tv_whiteout_make(-1, "a", 1), -EBADF);
}

static void test_opaque_and_redirect(void **state)
{
	(void)state;
	tv_autofree char *path = NULL;
	mkdirat(root, "d", 0700);
	assert_int_equal(tv_opaque_there(root, "d"), 0);
	assert_int_equal(tv_opaque_there(root, "nowhere"), 0);
	put("d/" TV_OVERLAY_OPAQUE, "");
	assert_int_equal(tv_opaque_there(root, "d"), 1);
	assert_int_equal(tv_opaque_there(root, ""), 0);

	assert_int_equal(tv_redirect_read(root, "d", &path), 0);
	struct stat before, after;
	assert_int_equal(fstatat(root, "d", &before, 0), 0);
	assert_int_equal(tv_redirect_write(root, "d", "some/where else"), 0);
	assert_int_equal(fstatat(root, "d", &after, 0), 0);
	assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof(before.st_mtim));
	assert_int_equal(tv_redirect_read(root, "d", &path), 1);
	assert_string_equal(path, "some/where else");
	static const char *const bad[] = { "/etc", "../x", "a/../../x" };
	for (size_t i = 0; i < TV_ARRAY_LEN(bad); i++) {
		tv_autofree char *none = NULL;
		put("d/" TV_OVERLAY_REDIRECT, bad[i]);
		assert_int_equal(tv_redirect_read(root, "d", &none), -EINVAL);
		assert_null(none);
	}
	assert_int_equal(tv_redirect_write(root, "nowhere", "x"), -ENOENT);
	unlinkat(root, "d/" TV_OVERLAY_REDIRECT, 0);
	assert_int_equal(symlinkat("/etc/passwd", root, "d/" TV_OVERLAY_REDIRECT), 0);
	tv_autofree char *none = NULL;
	assert_int_equal(tv_redirect_read(root, "d", &none), -ELOOP);
}

static int note_name(void *arg, const struct tv_upper_name *e)
{
	char *text = arg;
	snprintf(text + strlen(text), 200 - strlen(text), "%d:%s ", e->mark,
		 e->mark <= TV_MARK_WHITEOUT ? e->name : "");
	assert_true(e->ino > 0);
	return e->mark == TV_MARK_REDIRECT ? 42 : 0;
}

static void test_listing(void **state)
{
	(void)state;
	char text[200] = "";
	assert_int_equal(tv_upper_list(root, "", note_name, text), 0);
	assert_string_equal(text, "");
	mkdirat(root, "d", 0700);
	put("d/.wh.gone", "");
	assert_int_equal(tv_upper_list(root, "d", note_name, text), 0);
	assert_string_equal(text, "1:gone ");
	put("d/" TV_OVERLAY_REDIRECT, "x");
	assert_int_equal(tv_upper_list(root, "d", note_name, text), 42); /* what visit says */
	assert_int_equal(tv_upper_list(root, "nowhere", note_name, text), -ENOENT);
	put("file", "");
	assert_int_equal(tv_upper_list(root, "file", note_name, text), -ENOTDIR);
	/* A long whiteout whose contents are wrong is a leftover. */
	mkdirat(root, "l", 0700);
	put("l/" TV_WH_LONG "00112233445566778899aabbccddeeff", "name");
	text[0] = '\0';
	assert_int_equal(tv_upper_list(root, "l", note_name, text), 0);
	assert_string_equal(text, "5: ");
}

static void test_clearing_marks(void **state)
{
	(void)state;
	mkdirat(root, "d", 0700);
	put("d/.wh.a", "");
	put("d/" TV_OVERLAY_OPAQUE, "");
	put("d/" TV_WH_TMP "1", "");
	mkdirat(root, "d/" TV_WH_TMP "2", 0700);
	put("d/" TV_WH_TMP "2/x", "");
	assert_int_equal(tv_upper_clear_marks(root, "d"), 0);
	assert_int_equal(unlinkat(root, "d", AT_REMOVEDIR), 0);
	mkdirat(root, "d", 0700);
	put("d/kept", "");
	assert_int_equal(tv_upper_clear_marks(root, "d"), -ENOTEMPTY);
	assert_int_equal(faccessat(root, "d/kept", F_OK, 0), 0);
	assert_int_equal(tv_upper_clear_marks(root, "nowhere"), -ENOENT);
}

static void test_temp_files_get_names(void **state)
{
	(void)state;
	char temp[TV_UPPER_NAME];
	int fd = tv_upper_temp(root, temp);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(tv_upper_linkfd(fd, root, "named"), 0);
	assert_int_equal(faccessat(root, "named", F_OK, 0), 0);
	assert_int_equal(tv_upper_linkfd(fd, root, "named"), -EEXIST);
	assert_int_equal(unlinkat(root, "named", 0), 0);
	if (*temp)
		unlinkat(root, temp, 0);
	close(fd);
	char other[TV_UPPER_NAME];
	tv_upper_temp_name(temp);
	tv_upper_temp_name(other);
	assert_string_not_equal(temp, other);
	const char *hidden;
	assert_int_equal(tv_mark_of(temp, &hidden), TV_MARK_LEFTOVER);
	assert_int_equal(tv_upper_temp(-1, temp), -EBADF);
}

static void test_kept_numbers(void **state)
{
	(void)state;
	put("f", "");
	tv_autoclose int fd = openat(root, "f", O_RDWR);
	if (fsetxattr(fd, "user.probe", "", 0, 0) < 0) {
		print_message("machine cannot: keep attributes in /tmp\n");
		skip();
	}
	assert_int_equal(tv_upper_ino_get(root, "f"), 0);
	tv_upper_ino_set(fd, 0x1122334455667788);
	assert_int_equal(tv_upper_ino_get(root, "f"), 0x1122334455667788);
	assert_int_equal(tv_upper_ino_get(fd, ""), 0x1122334455667788);
	tv_upper_ino_set(fd, UINT64_MAX); /* no frozen file's: not believed */
	assert_int_equal(tv_upper_ino_get(root, "f"), 0);
	fsetxattr(fd, TV_XATTR_INO, "short", 5, 0);
	assert_int_equal(tv_upper_ino_get(root, "f"), 0);
	assert_int_equal(tv_upper_ino_get(root, "nowhere"), 0);
}

static void test_modes(void **state)
{
	(void)state;
	struct stat st;
	put("f", "");
	assert_int_equal(symlinkat("f", root, "link"), 0);
	assert_int_equal(tv_upper_chmod(root, "f", 0640), 0);
	assert_int_equal(fstatat(root, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_true(tv_upper_chmod(root, "link", 0777) < 0); /* never through it */
	assert_int_equal(fstatat(root, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	tv_autoclose int fd = openat(root, "f", O_PATH);
	assert_int_equal(tv_upper_chmod(fd, "", 0600), 0);
	assert_int_equal(tv_upper_chmod(root, "nowhere", 0600), -ENOENT);
}

/* As root the mode is simply set; what an ordinary daemon left is corrected, and only narrowed. */
static void test_owner_bits(void **state)
{
	(void)state;
	struct stat st;
	uint8_t bits = 5;
	mkdirat(root, "d", 0755);
	assert_int_equal(tv_upper_chmod_dir(root, "d", 0555), 0);
	assert_int_equal(fstatat(root, "d", &st, 0), 0);
	tv_upper_true_mode(root, "d", &st);
	assert_int_equal(st.st_mode & 07777, 0555);

	assert_int_equal(tv_upper_chmod_dir(root, "d", 0755), 0);
	char path[128];
	snprintf(path, sizeof(path), "%s/d", folder);
	if (setxattr(path, TV_XATTR_OWNER_BITS, &bits, 1, 0) < 0) {
		print_message("machine cannot: keep attributes in /tmp\n");
		skip();
	}
	assert_int_equal(fstatat(root, "d", &st, 0), 0);
	tv_upper_true_mode(root, "d", &st);
	assert_int_equal(st.st_mode & 07777, 0555);
	tv_autoclose int fd = openat(root, "d", O_PATH);
	assert_int_equal(fstat(fd, &st), 0);
	tv_upper_true_mode(fd, "", &st);
	assert_int_equal(st.st_mode & 07777, 0555);
	bits = 200;
	setxattr(path, TV_XATTR_OWNER_BITS, &bits, 1, 0);
	assert_int_equal(fstat(fd, &st), 0);
	tv_upper_true_mode(fd, "", &st);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(tv_upper_chmod_dir(root, "d", 0700), 0);
	assert_int_equal(getxattr(path, TV_XATTR_OWNER_BITS, &bits, 1), -1);
}

static void test_set_of_names(void **state)
{
	(void)state;
	struct tv_names *s = NULL;
	struct tv_names_total total = { 0 };
	char name[16];
	put("own", "");
	put(".wh.hidden", "");
	put(TV_OVERLAY_OPAQUE, "");
	assert_int_equal(tv_names_load(root, "", &total, &s), 0);
	assert_true(tv_names_maybe(s, "own", 3) && tv_names_maybe(s, "hidden", 6));
	assert_false(tv_names_maybe(s, "other", 5));
	assert_false(tv_names_maybe(s, "ow", 2));
	for (int i = 0; i < 10000; i++)
		tv_names_add(s, name, (size_t)snprintf(name, sizeof(name), "n%d", i));
	for (int i = 0; i < 10000; i++)
		assert_true(
			tv_names_maybe(s, name, (size_t)snprintf(name, sizeof(name), "n%d", i)));
	tv_names_add(s, "n5", 2);
	assert_int_equal(s->len, 10002); /* once each */
	assert_false(s->all);
	assert_true(total.sets == 1 && total.names == 10002);
	assert_int_equal(total.bytes, sizeof(*s) + s->cap * sizeof(s->slots[0]));
	tv_names_free(s);
	assert_true(total.sets + total.names + total.bytes == 0);
	tv_names_free(NULL);
	tv_names_add(NULL, "x", 1);
	assert_int_equal(tv_names_load(root, "nowhere", &total, &s), -ENOENT);

	total = (struct tv_names_total){ 1, TV_NAMES_MAX, sizeof(*s) + 16 * sizeof(uint64_t) };
	struct tv_names full = { .total = &total, .len = TV_NAMES_MAX, .cap = 16 };
	full.slots = calloc(16, sizeof(uint64_t));
	tv_names_add(&full, "x", 1);
	assert_true(full.all && tv_names_maybe(&full, "whatever", 8)); /* gave up: always right */
	tv_names_add(&full, "y", 1);
	assert_true(total.sets == 1 && total.names == 0 && total.bytes == sizeof(*s));
	free(full.slots);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		upper_test(test_folders_are_never_reached_through_links),
		upper_test(test_marks),
		upper_test(test_whiteouts),
		upper_test(test_opaque_and_redirect),
		upper_test(test_listing),
		upper_test(test_clearing_marks),
		upper_test(test_temp_files_get_names),
		upper_test(test_kept_numbers),
		upper_test(test_modes),
		upper_test(test_owner_bits),
		upper_test(test_set_of_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
