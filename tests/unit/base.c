#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/err.h"
#include "store/base/hex.h"
#include "store/base/io.h"
#include "store/base/map16.h"
#include "store/base/path.h"
#include "store/base/progress.h"

static void errors(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	assert_int_equal(tv_err_set(&err, -EINVAL, "a %s", "b\nc"), -EINVAL);
	assert_string_equal(err.text, "a b?c");
	assert_int_equal(tv_err_wrap(&err, -EIO, "in '%s'", "x"), -EINVAL);
	assert_string_equal(err.text, "in 'x': a b?c");
	assert_int_equal(tv_err_sys(&err, -ENOENT, "open"), -ENOENT);
	assert_string_equal(err.text, "open: No such file or directory");
	assert_int_equal(tv_err_nomem(&err), -ENOMEM);
	tv_err_clear(&err);
	assert_int_equal(err.code, 0);
	assert_int_equal(tv_err_set(NULL, -EIO, "no one asks"), -EIO);
	assert_int_equal(tv_err_wrap(NULL, -EIO, "no one asks"), -EIO);

	/* too long a message is cut, never overrun */
	char big[3 * TV_ERR_TEXT];
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	tv_err_set(&err, -EIO, "%s", big);
	assert_int_equal(strlen(err.text), TV_ERR_TEXT - 1);
	tv_err_wrap(&err, -EIO, "%s", big);
	tv_err_sys(&err, -EIO, "%s", big);
	assert_int_equal(strlen(err.text), TV_ERR_TEXT - 1);

	assert_int_equal(tv_err_exit_code(0), 0);
	assert_int_equal(tv_err_exit_code(-EIO), 1);
	assert_int_equal(tv_err_exit_code(-TV_E_CONFLICT), 12);
	assert_int_equal(tv_err_exit_code(-TV_E_DAMAGED), 14);
	assert_int_equal(tv_err_exit_code(-TV_E_INTERRUPTED), 130);
}

static void buffers(void **state)
{
	(void)state;
	struct tv_buf b = TV_BUF_INIT;
	tv_buf_add_u8(&b, 1);
	tv_buf_add_le16(&b, 0x0302);
	tv_buf_add_le32(&b, 0x07060504);
	tv_buf_add_le64(&b, 0x0f0e0d0c0b0a0908u);
	assert_int_equal(b.len, 15);
	for (size_t i = 0; i < b.len; i++)
		assert_int_equal(b.data[i], i + 1);
	assert_int_equal(tv_le16(b.data + 1), 0x0302);
	assert_int_equal(tv_le32(b.data + 3), 0x07060504);
	assert_true(tv_le64(b.data + 7) == 0x0f0e0d0c0b0a0908u);
	tv_buf_clear(&b);
	tv_buf_addf(&b, "%0*d", 500, 7);
	tv_buf_add_str(&b, "!");
	tv_buf_add(&b, NULL, 0);
	char *s = tv_buf_steal_str(&b);
	assert_int_equal(strlen(s), 501);
	assert_string_equal(s + 499, "7!");
	free(s);
	assert_null(b.data);

	/* once failed, always failed, until it is freed */
	tv_buf_add(&b, "x", 1);
	tv_buf_add(&b, "x", SIZE_MAX - 5);
	assert_true(b.failed);
	tv_buf_add_u8(&b, 1);
	assert_int_equal(b.len, 1);
	assert_null(tv_buf_steal_str(&b));
	assert_false(b.failed);
	tv_buf_free(NULL);
}

static void hex_and_base64(void **state)
{
	(void)state;
	static const struct {
		const char *plain, *base64;
	} rfc4648[] = { { "", "" },
			{ "f", "Zg==" },
			{ "fo", "Zm8=" },
			{ "foo", "Zm9v" },
			{ "foob", "Zm9vYg==" },
			{ "fooba", "Zm9vYmE=" },
			{ "foobar", "Zm9vYmFy" } };
	for (size_t i = 0; i < TV_ARRAY_LEN(rfc4648); i++) {
		char *s = tv_base64_encode(rfc4648[i].plain, strlen(rfc4648[i].plain));
		assert_string_equal(s, rfc4648[i].base64);
		free(s);
	}
	char hex[9];
	uint8_t bytes[4] = { 0, 0x7f, 0x80, 0xff };
	tv_hex_encode(bytes, 4, hex);
	assert_string_equal(hex, "007f80ff");
	assert_true(tv_hex_decode("DEADbeef", 4, bytes));
	assert_int_equal(bytes[3], 0xef);
	assert_false(tv_hex_decode("deadbee", 4, bytes));
	assert_false(tv_hex_decode("deadbeef0", 4, bytes));
	assert_false(tv_hex_decode("deadbe:f", 4, bytes));
}

static void utf8(void **state)
{
	(void)state;
	static const char *const good[] = {
		"", "abc", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"
	};
	static const char *const bad[] = { "\x80",	   "\xc3",	   "\xc0\xaf",
					   "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
					   "\xff",	   "a\xe2\x82" };
	for (size_t i = 0; i < TV_ARRAY_LEN(good); i++)
		assert_true(tv_utf8_ok(good[i], strlen(good[i])));
	for (size_t i = 0; i < TV_ARRAY_LEN(bad); i++)
		assert_false(tv_utf8_ok(bad[i], strlen(bad[i])));
}

static void names(void **state)
{
	(void)state;
	char longest[256];
	memset(longest, 'n', sizeof(longest));
	assert_true(tv_name_ok(longest, 255));
	assert_false(tv_name_ok(longest, 256));
	assert_true(tv_name_ok("...", 3));
	assert_true(tv_name_ok("..a", 3));
	assert_false(tv_name_ok("", 0));
	assert_false(tv_name_ok(".", 1));
	assert_false(tv_name_ok("..", 2));
	assert_false(tv_name_ok("a/", 2));
	assert_false(tv_name_ok("a\0b", 3));
	assert_true(tv_name_reserved(".wh.", 4));
	assert_true(tv_name_reserved(".wh.a", 5));
	assert_false(tv_name_reserved(".wha", 4));
	assert_false(tv_name_reserved(".wh", 3));
}

static void paths(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out;
	} good[] = { { "", "" },
		     { ".", "" },
		     { "./a//b/./c/", "a/b/c" },
		     { "...", "..." },
		     { "a/..b", "a/..b" } };
	char *s = NULL;
	for (size_t i = 0; i < TV_ARRAY_LEN(good); i++) {
		assert_int_equal(tv_path_normalise(good[i].in, &s, NULL), 0);
		assert_string_equal(s, good[i].out);
		free(s);
	}
	s = NULL;
	assert_int_equal(tv_path_normalise("/a", &s, NULL), -EINVAL);
	assert_int_equal(tv_path_normalise("a/../b", &s, NULL), -EINVAL);
	char big[TV_PATH_MAX + 2];
	memset(big, 'x', sizeof(big));
	big[300] = '\0';
	assert_int_equal(tv_path_normalise(big, &s, NULL), -ENAMETOOLONG);
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = i % 2 ? '/' : 'x';
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(tv_path_normalise(big, &s, NULL), -ENAMETOOLONG);
	assert_null(s);

	assert_string_equal(tv_path_base("a/b"), "b");
	assert_string_equal(tv_path_base("b"), "b");
	assert_true(tv_path_under("a/b", "a"));
	assert_true(tv_path_under("a", "a"));
	assert_true(tv_path_under("a", ""));
	assert_false(tv_path_under("ab", "a"));
	assert_true(tv_path_under("/a", "/"));
	assert_true(tv_path_under("/", "/"));
	assert_false(tv_path_under("a", "/"));
	assert_true(tv_path_matches("*.lock", "a/b.lock"));
	assert_false(tv_path_matches("a/*.lock", "a/b/c.lock"));
	assert_true(tv_path_matches("a/*.lock", "a/b.lock"));
	s = tv_path_join("", "x");
	assert_string_equal(s, "x");
	free(s);
	s = tv_path_join("d", "x");
	assert_string_equal(s, "d/x");
	free(s);
}

static void times(void **state)
{
	(void)state;
	char text[TV_TIME_TEXT];
	int64_t ns = 0;
	tv_time_format(1768824000000000000, text);
	assert_string_equal(text, "2026-01-19T12:00:00Z");
	tv_time_format(-1, text);
	assert_string_equal(text, "1969-12-31T23:59:59.999999999Z");
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = { { "2026-01-19T12:00:00Z", 1768824000000000000 },
		     { "2026-01-19T13:30:00+01:30", 1768824000000000000 },
		     { "2026-01-19T12:00:00.25Z", 1768824000250000000 },
		     { "1970-01-02", 86400000000000 } };
	for (size_t i = 0; i < TV_ARRAY_LEN(good); i++) {
		assert_int_equal(tv_time_parse(good[i].text, &ns, NULL), 0);
		assert_true(ns == good[i].ns);
	}
	static const char *const bad[] = {
		"",
		"now",
		"2026-01-19T12:00:00",
		"2026-13-01",
		"2026-01-19T12:00:00.Z",
		"2026-01-19x",
		"2999-01-01",
		"0001-01-01",
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(bad); i++)
		assert_int_equal(tv_time_parse(bad[i], &ns, NULL), -EINVAL);
	assert_int_equal(tv_duration_parse("15m", &ns, NULL), 0);
	assert_true(ns == 900000000000);
	assert_int_equal(tv_duration_parse("1.5h", &ns, NULL), 0);
	assert_true(ns == 5400000000000);
	assert_int_equal(tv_duration_parse("-1s", &ns, NULL), -EINVAL);
	assert_int_equal(tv_duration_parse("1y", &ns, NULL), -EINVAL);
	assert_int_equal(tv_duration_parse("", &ns, NULL), -EINVAL);
}

static void times_on_both_sides_of_the_epoch(void **state)
{
	(void)state;
	static const int64_t all[] = { 0, 1, -1, -1000000000, -1000000001, 1234567890123456789 };
	for (size_t i = 0; i < TV_ARRAY_LEN(all); i++) {
		struct timespec ts = tv_timespec_from_ns(all[i]);
		assert_in_range(ts.tv_nsec, 0, 999999999);
		assert_true(tv_ns_from_timespec(ts) == all[i]);
	}
	assert_true(tv_boottime_ns() <= tv_boottime_ns());
	assert_true(tv_now_ns() > 1700000000000000000);
}

static void ids(void **state)
{
	(void)state;
	char a[TV_UUID_TEXT], b[TV_UUID_TEXT], hex[13];
	assert_int_equal(tv_uuid7(a, NULL), 0);
	assert_int_equal(tv_uuid7(b, NULL), 0);
	assert_int_equal(strlen(a), 36);
	assert_int_equal(a[14], '7');
	assert_non_null(strchr("89ab", a[19]));
	assert_string_not_equal(a, b);
	assert_true(strncmp(a, b, 13) <= 0); /* 48 bits of time come first */
	assert_int_equal(tv_random_hex(hex, 6, NULL), 0);
	assert_int_equal(strlen(hex), 12);
	assert_int_equal(tv_random_hex(hex, 33, NULL), -EINVAL);
}

static void map(void **state)
{
	(void)state;
	tv_automap16 struct tv_map16 m = TV_MAP16_INIT;
	uint8_t key[16] = { 0 };
	assert_null(tv_map16_get(&m, key));
	for (uint64_t i = 0; i < 10000; i++) {
		/* keys that collide in their hashed bytes, 16 by 16 */
		uint64_t low = i / 16;
		memcpy(key, &low, 8);
		key[15] = (uint8_t)(i % 16);
		assert_int_equal(tv_map16_put(&m, key, i), 1);
		assert_int_equal(tv_map16_put(&m, key, i + 1), 0);
	}
	assert_int_equal(m.len, 10000);
	for (uint64_t i = 0; i < 10000; i++) {
		uint64_t low = i / 16;
		memcpy(key, &low, 8);
		key[15] = (uint8_t)(i % 16);
		assert_true(*tv_map16_get(&m, key) == i + 1);
	}
	key[14] = 1;
	assert_null(tv_map16_get(&m, key));
}

static void cleanup_and_steal(void **state)
{
	(void)state;
	tv_autofree char *p = strdup("x");
	char *taken = tv_steal_ptr(&p);
	assert_null(p);
	free(taken);
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int kept = tv_steal_fd(&fd);
	assert_int_equal(fd, -1);
	errno = 5;
	tv_close_p(&kept);
	tv_close_p(&fd);
	assert_int_equal(errno, 5);
}

static int count_steps(void *arg, const char *phase, uint64_t done, uint64_t total,
		       const char *unit)
{
	(void)phase;
	(void)unit;
	++*(int *)arg;
	return done == total ? -TV_E_INTERRUPTED : 0;
}

static void progress(void **state)
{
	(void)state;
	int steps = 0;
	struct tv_progress p = { count_steps, &steps };
	assert_int_equal(tv_progress_step(NULL, "x", 1, 1, "files"), 0);
	assert_int_equal(tv_progress_step(&p, "x", 1, 2, "files"), 0);
	assert_int_equal(tv_progress_step(&p, "x", 2, 2, "files"), -TV_E_INTERRUPTED);
	assert_int_equal(steps, 2);
}

/* --- files --- */

static int make_folder(void **state)
{
	char template[] = "/tmp/tvfs-unit-base-XXXXXX";
	*state = strdup(mkdtemp(template));
	return *state ? 0 : -1;
}

static int remove_folder(void **state)
{
	int r = tv_io_remove_tree(AT_FDCWD, *state, NULL);
	free(*state);
	return r;
}

static void files(void **state)
{
	tv_autoclose int dir = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *text;
	size_t n;
	struct stat st;
	assert_int_equal(tv_io_replace_file(dir, "f", "one", 3, 0640, NULL), 0);
	assert_int_equal(tv_io_replace_file(dir, "f", "second", 6, 0640, NULL), 0);
	assert_int_equal(tv_io_read_file(dir, "f", 6, &text, &n, NULL), 0);
	assert_string_equal(text, "second");
	assert_int_equal(n, 6);
	free(text);
	assert_int_equal(tv_io_read_file(dir, "f", 5, &text, &n, NULL), -EFBIG);
	assert_int_equal(tv_io_read_file(dir, "none", 5, &text, &n, NULL), -ENOENT);
	assert_int_equal(tv_io_replace_file(dir, "no/f", "x", 1, 0600, NULL), -ENOENT);

	tv_autoclose int fd = openat(dir, "f", O_RDWR | O_CLOEXEC);
	char bytes[8];
	assert_int_equal(tv_io_pwrite_all(fd, "XY", 2, 2), 0);
	assert_int_equal(tv_io_pread_all(fd, bytes, 6, 0), 0);
	assert_memory_equal(bytes, "seXYnd", 6);
	assert_int_equal(tv_io_pread_all(fd, bytes, 7, 0), -EIO);

	assert_int_equal(tv_io_mkdirs(dir, "a/b/c", 0755, NULL), 0);
	assert_int_equal(tv_io_mkdirs(dir, "a/b/c", 0755, NULL), 0);
	assert_int_equal(fstatat(dir, "a/b/c", &st, 0), 0);
	assert_true(tv_io_mkdirs(dir, "f/x", 0755, NULL) < 0);
	assert_int_equal(tv_io_mkdirs(dir, "f", 0755, NULL), -ENOTDIR);
	assert_int_equal(tv_io_sync_dir(dir, "a", NULL), 0);
}

static void removing_follows_no_links(void **state)
{
	tv_autoclose int dir = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	assert_int_equal(tv_io_mkdirs(dir, "kept/x", 0755, NULL), 0);
	assert_int_equal(tv_io_mkdirs(dir, "gone/y", 0755, NULL), 0);
	assert_int_equal(symlinkat("../../kept", dir, "gone/y/link"), 0);
	assert_int_equal(tv_io_remove_tree(dir, "gone", NULL), 0);
	assert_int_equal(fstatat(dir, "gone", &st, 0), -1);
	assert_int_equal(fstatat(dir, "kept/x", &st, 0), 0);
	assert_int_equal(tv_io_remove_tree(dir, "gone", NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors),
		cmocka_unit_test(buffers),
		cmocka_unit_test(hex_and_base64),
		cmocka_unit_test(utf8),
		cmocka_unit_test(names),
		cmocka_unit_test(paths),
		cmocka_unit_test(times),
		cmocka_unit_test(times_on_both_sides_of_the_epoch),
		cmocka_unit_test(ids),
		cmocka_unit_test(map),
		cmocka_unit_test(cleanup_and_steal),
		cmocka_unit_test(progress),
		cmocka_unit_test_setup_teardown(files, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(removing_follows_no_links, make_folder,
						remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
