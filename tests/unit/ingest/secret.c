#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ingest/secret.h"
#include "store/base/cleanup.h"

#define KEY "planted+key/1"

static struct tv_secrets *new_set(void)
{
	struct tv_secrets *s = NULL;
	assert_int_equal(tv_secrets_new(&s, NULL), 0);
	return s;
}

static void from_the_environment(void **state)
{
	(void)state;
	tv_auto(tv_secrets_free_p) struct tv_secrets *s = new_set();
	struct tv_err err = TV_ERR_INIT;
	setenv("PLANTED", KEY, 1);
	setenv("PLANTED_SHORT", "abc", 1);
	setenv("PLANTED_LINES", "abcd\r\nX: y", 1);
	assert_int_equal(tv_secrets_add_env(s, "k", "PLANTED", &err), 0);
	assert_string_equal(tv_secrets_get(s, "k"), KEY);
	assert_string_equal(tv_secrets_get_encoded(s, "k"), "planted%2Bkey%2F1");
	assert_null(tv_secrets_get(s, "other"));
	assert_int_equal(tv_secrets_add_env(s, "k", "PLANTED", &err), -EEXIST);
	assert_int_equal(tv_secrets_add_env(s, "a", "PLANTED_MISSING", &err), -TV_E_MISSING);
	assert_int_equal(tv_secrets_add_env(s, "b", "PLANTED_SHORT", &err), -EINVAL);
	assert_null(strstr(err.text, "abc"));
	assert_int_equal(tv_secrets_add_env(s, "c", "PLANTED_LINES", &err), -EINVAL);
}

static int add_file(struct tv_secrets *s, const char *name, const char *text, mode_t mode,
		    struct tv_err *err)
{
	char path[] = "/tmp/unit-secret-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	int r = tv_secrets_add_file(s, name, path, err);
	unlink(path);
	return r;
}

static void from_a_file(void **state)
{
	(void)state;
	static const mode_t open_modes[] = { 0640, 0620, 0604, 0602, 0644, 0666, 0610 };
	tv_auto(tv_secrets_free_p) struct tv_secrets *s = new_set();
	struct tv_err err = TV_ERR_INIT;
	assert_int_equal(add_file(s, "lines", KEY "\r\nsecond\n", 0600, &err), 0);
	assert_string_equal(tv_secrets_get(s, "lines"), KEY);
	assert_int_equal(add_file(s, "read-only", "abcd", 0400, &err), 0);
	for (size_t i = 0; i < TV_ARRAY_LEN(open_modes); i++) {
		assert_int_equal(add_file(s, "open", KEY, open_modes[i], &err), -EACCES);
		assert_non_null(strstr(err.text, "chmod 600"));
		assert_null(strstr(err.text, KEY));
	}
	assert_int_equal(add_file(s, "empty", "\n" KEY, 0600, &err), -EINVAL);
	assert_int_equal(tv_secrets_add_file(s, "folder", "/tmp", &err), -EACCES);
	assert_int_equal(tv_secrets_add_file(s, "none", "/tmp/unit-secret-none", &err), -ENOENT);
}

static void links_are_not_followed(void **state)
{
	(void)state;
	tv_auto(tv_secrets_free_p) struct tv_secrets *s = new_set();
	char folder[] = "/tmp/unit-secret-XXXXXX", path[64];
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/link", folder);
	assert_int_equal(symlink("/etc/hostname", path), 0);
	assert_int_equal(tv_secrets_add_file(s, "link", path, NULL), -ELOOP);
	unlink(path);
	rmdir(folder);
}

static void redaction(void **state)
{
	(void)state;
	static const struct {
		const char *text, *redacted;
	} cases[] = {
		{ "", "" },
		{ "nothing", "nothing" },
		{ "a " KEY " b", "a *** b" },
		{ KEY KEY, "******" },
		{ "x?k=planted%2Bkey%2F1&y", "x?k=***&y" },
		{ "planted+key", "***" },
		{ "planted-key", "planted-key" },
		{ "x?k=planted%2bkey%2f1&y", "x?k=***&y" },
		{ "{\"k\": \"planted+key\\/1\"}", "{\"k\": \"***\"}" },
		{ "planted\\u002Bkey\\u002f1.", "***." },
		{ "a text that was cut: planted+ke", "a text that was cut: ***" },
		{ "planted%2", "***" },
		{ "a plan", "a ***" },
		{ "a pla", "a pla" },
		{ "planted%2x", "planted%2x" },
		{ "planted\\", "***" },
	};
	tv_auto(tv_secrets_free_p) struct tv_secrets *s = new_set();
	setenv("PLANTED", KEY, 1);
	setenv("PLANTED_PART", "planted+key", 1);
	assert_int_equal(tv_secrets_add_env(s, "part", "PLANTED_PART", NULL), 0);
	assert_int_equal(tv_secrets_add_env(s, "whole", "PLANTED", NULL), 0);
	for (size_t i = 0; i < TV_ARRAY_LEN(cases); i++) {
		char text[128];
		snprintf(text, sizeof(text), "%s", cases[i].text);
		tv_secrets_redact(s, text);
		assert_string_equal(text, cases[i].redacted);
	}
	tv_secrets_redact(s, NULL);
	tv_secrets_redact(NULL, NULL);
}

/* Whether the mapping that holds the address has the flag in /proc/self/smaps. */
static bool has_flag(const void *address, const char *flag)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	char line[512];
	bool inside = false, found = false;
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		unsigned long from, to;
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = from <= (unsigned long)address && (unsigned long)address < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, flag) != NULL;
	}
	fclose(file);
	return found;
}

static void not_in_core_dumps(void **state)
{
	(void)state;
	tv_auto(tv_secrets_free_p) struct tv_secrets *s = new_set();
	setenv("PLANTED", KEY, 1);
	assert_int_equal(tv_secrets_add_env(s, "k", "PLANTED", NULL), 0);
	assert_true(has_flag(tv_secrets_get(s, "k"), " dd"));
	assert_true(has_flag(tv_secrets_get_encoded(s, "k"), " dd"));
	assert_true(has_flag(tv_secrets_get(s, "k"), " wf"));
}

static int in_child(struct tv_secrets *s)
{
	if (*tv_secrets_get(s, "k"))
		return 1; /* the key came along */
	if (tv_secrets_guard_process(NULL) < 0)
		return 2;
	return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : 3;
}

static void not_in_children(void **state)
{
	(void)state;
	tv_auto(tv_secrets_free_p) struct tv_secrets *s = new_set();
	setenv("PLANTED", KEY, 1);
	assert_int_equal(tv_secrets_add_env(s, "k", "PLANTED", NULL), 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(in_child(s));
	int status = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_the_environment),	  cmocka_unit_test(from_a_file),
		cmocka_unit_test(links_are_not_followed), cmocka_unit_test(redaction),
		cmocka_unit_test(not_in_core_dumps),	  cmocka_unit_test(not_in_children),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
