#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "tools/cli-private.h"

static const struct tv_option options[] = {
	{ "long", 'l', NULL, "", false },     { "recursive", 'R', NULL, "", false },
	{ "message", 'm', "MSG", "", false }, { "hash", 0, "ALGORITHM", "", true },
	{ NULL, 0, NULL, NULL, false },
};

static const struct tv_command plain = {
	.name = "plain", .synopsis = "tvfs plain", .options = options, .min_args = 1, .max_args = 2
};
static const struct tv_command starter = {
	.name = "starter", .options = options, .max_args = -1, .rest_is_command = true
};

/* Parses words that end with NULL. */
static int parse(struct tv_cli *cli, const struct tv_command *command, const char *const *words)
{
	int n = 0;
	while (words[n])
		n++;
	*cli = (struct tv_cli){ .command = command, .status = -1 };
	return tv_cli_parse(cli, n, (char **)words);
}

static void done(struct tv_cli *cli)
{
	free(cli->args);
	free(cli->values);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* The length of a value is no count of options. */
static void a_long_value(void **state)
{
	(void)state;
	struct tv_cli cli;
	char message[4096] = "--message=";
	memset(message + 10, 'm', sizeof(message) - 11);
	assert_int_equal(parse(&cli, &plain, WORDS(message)), 0);
	assert_int_equal(strlen(tv_cli_option(&cli, "message")), sizeof(message) - 11);
	done(&cli);
}

static void words(void **state)
{
	(void)state;
	struct tv_cli cli;
	assert_int_equal(parse(&cli, &plain,
			       WORDS("-lR", "a", "--message=x=y", "-mz", "--hash", "--", "-b")),
			 0);
	assert_true(tv_cli_has(&cli, "long") && tv_cli_has(&cli, "recursive"));
	assert_string_equal(tv_cli_option(&cli, "message"), "z");
	assert_string_equal(tv_cli_option_at(&cli, "message", 0), "x=y");
	assert_string_equal(tv_cli_option_at(&cli, "message", 1), "z");
	assert_null(tv_cli_option_at(&cli, "message", 2));
	assert_string_equal(tv_cli_option(&cli, "hash"), "");
	assert_null(tv_cli_option(&cli, "json"));
	assert_int_equal(cli.n_args, 2);
	assert_string_equal(cli.args[0], "a");
	assert_string_equal(cli.args[1], "-b");
	assert_int_equal(tv_cli_check_args(&cli), 0);
	done(&cli);

	assert_int_equal(parse(&cli, &plain,
			       WORDS("--hash=xxh128", "-", "--store", "/s", "-q", "--json")),
			 0);
	assert_string_equal(tv_cli_option(&cli, "hash"), "xxh128");
	assert_string_equal(cli.args[0], "-");
	assert_string_equal(cli.store_option, "/s");
	assert_true(cli.quiet && cli.json);
	done(&cli);
}

static void commands_to_start(void **state)
{
	(void)state;
	struct tv_cli cli;
	assert_int_equal(parse(&cli, &starter, WORDS("-l", "python3", "-m", "json", "--json")), 0);
	assert_int_equal(cli.n_args, 4);
	assert_string_equal(cli.args[1], "-m");
	assert_true(tv_cli_has(&cli, "long") && !cli.json);
	done(&cli);
	assert_int_equal(parse(&cli, &starter, WORDS("--", "-x", "--", "y")), 0);
	assert_int_equal(cli.n_args, 3);
	assert_string_equal(cli.args[1], "--");
	done(&cli);
}

static void mistakes(void **state)
{
	(void)state;
	static const struct {
		const char *word, *message;
	} cases[] = {
		{ "--nope", "there is no option '--nope'; see 'tvfs plain --help'" },
		{ "--mess=x", "there is no option '--mess'; see 'tvfs plain --help'" },
		{ "-x", "there is no option '-x'; see 'tvfs plain --help'" },
		{ "--long=1", "option '--long' takes no value; see 'tvfs plain --help'" },
		{ "--message", "option '--message' needs a value (MSG); see 'tvfs plain --help'" },
		{ "-lm", "option '-m' needs a value (MSG); see 'tvfs plain --help'" },
	};
	struct tv_cli cli;
	for (size_t i = 0; i < TV_ARRAY_LEN(cases); i++) {
		assert_int_equal(parse(&cli, &plain, WORDS(cases[i].word)), -TV_E_USAGE);
		assert_string_equal(cli.err.text, cases[i].message);
		done(&cli);
	}
	assert_int_equal(parse(&cli, &plain, WORDS("-l")), 0);
	assert_int_equal(tv_cli_check_args(&cli), -TV_E_USAGE);
	done(&cli);
	assert_int_equal(parse(&cli, &plain, WORDS("a", "b", "c")), 0);
	assert_int_equal(tv_cli_check_args(&cli), -TV_E_USAGE);
	done(&cli);
}

static void sizes(void **state)
{
	(void)state;
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0 B" },	       { 999, "999 B" },	  { 1000, "1.0 kB" },
		{ 1249, "1.2 kB" },    { 999949, "999.9 kB" },	  { 999950, "1.0 MB" },
		{ 1500000, "1.5 MB" }, { UINT64_MAX, "18.4 EB" },
	};
	char out[16];
	for (size_t i = 0; i < TV_ARRAY_LEN(cases); i++) {
		tv_cli_size(cases[i].bytes, out);
		assert_string_equal(out, cases[i].text);
	}
}

static void quoting(void **state)
{
	(void)state;
	static const struct {
		const char *name, *text;
	} cases[] = {
		{ "plain name.json", "plain name.json" },
		{ "a\nb\tc\x7f", "a\\012b\\011c\\177" },
		{ "back\\slash", "back\\\\slash" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "\xff\xfex\xc3", "\\377\\376x\\303" },
		{ "\xc2\x9b[31m", "\\302\\233[31m" },
		{ "\033[31m", "\\033[31m" },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(cases); i++) {
		tv_autofree char *text = tv_cli_quote(cases[i].name);
		assert_string_equal(text, cases[i].text);
	}
}

/* Sends stderr to a file while `cli` works; the caller reads and closes it. */
static int capture_stderr(int *saved)
{
	int fd = memfd_create("stderr", MFD_CLOEXEC);
	fflush(stderr);
	*saved = dup(STDERR_FILENO);
	assert_true(fd >= 0 && *saved >= 0 && dup2(fd, STDERR_FILENO) >= 0);
	return fd;
}

static char *release_stderr(int fd, int saved)
{
	char *text;
	fflush(stderr);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	assert_int_equal(tv_io_read_to_end(fd, 1 << 20, &b, NULL), 0);
	close(fd);
	text = tv_buf_steal_str(&b);
	assert_non_null(text);
	return text;
}

static void progress_bar(void **state)
{
	(void)state;
	struct tv_cli cli = { .progress_bar = true };
	const struct tv_progress *p = tv_cli_progress(&cli);
	int saved, fd = capture_stderr(&saved);
	int r = tv_progress_step(p, "reading", 1000, 4000, "files"); /* too early for a bar */
	usleep(1050000);
	r |= tv_progress_step(p, "reading", 2000, 4000, "files");
	r |= tv_progress_step(p, "reading", 2001, 4000, "files"); /* too soon after the last */
	tv_cli_progress_free(&cli);
	tv_autofree char *text = release_stderr(fd, saved);
	assert_int_equal(r, 0);
	assert_non_null(
		strstr(text, "\rreading [############............]  50%  2,000/4,000 files"));
	assert_non_null(strstr(text, "ETA 1s"));
	assert_null(strstr(text, "1,000"));
	assert_null(strstr(text, "2,001"));
	assert_string_equal(text + strlen(text) - 4, "\r\033[K");
}

static int one_step(const struct tv_progress *p)
{
	return tv_progress_step(p, "reading", 1, 2, "files");
}

/* The first is told at every step from then on, the second ends the program. */
static void interrupt(void **state)
{
	(void)state;
	pid_t child = fork();
	if (child == 0) {
		struct tv_cli cli = { .progress_bar = false };
		signal(SIGINT, SIG_DFL);
		const struct tv_progress *p = tv_cli_progress(&cli);
		int before = one_step(p);
		raise(SIGINT);
		if (before != 0 || one_step(p) != -TV_E_INTERRUPTED ||
		    one_step(p) != -TV_E_INTERRUPTED)
			_exit(1);
		raise(SIGINT);
		_exit(2);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
}

static void interrupt_of_the_next(void **state)
{
	(void)state;
	signal(SIGINT, SIG_DFL);
	for (int i = 0; i < 2; i++) {
		struct tv_cli cli = { .progress_bar = false };
		const struct tv_progress *p = tv_cli_progress(&cli);
		assert_int_equal(one_step(p), 0);
		raise(SIGINT);
		assert_int_equal(one_step(p), -TV_E_INTERRUPTED);
		tv_cli_progress_free(&cli);
	}
}

/* A shell starts its background jobs so: ^C at the terminal is not meant for them. */
static void interrupt_ignored(void **state)
{
	(void)state;
	struct tv_cli cli = { .progress_bar = false };
	signal(SIGINT, SIG_IGN);
	const struct tv_progress *p = tv_cli_progress(&cli);
	raise(SIGINT);
	assert_int_equal(one_step(p), 0);
	tv_cli_progress_free(&cli);
	assert_ptr_equal(signal(SIGINT, SIG_DFL), SIG_IGN);
}

/* What the parser and the help rely on. */
static void table(void **state)
{
	(void)state;
	const struct tv_option *common = tv_cli_common_options();
	for (const struct tv_command *c = tv_commands(); c->name; c++) {
		char start[64];
		snprintf(start, sizeof(start), "tvfs %s", c->name);
		assert_int_equal(strncmp(c->synopsis, start, strlen(start)), 0);
		assert_non_null(c->run);
		assert_non_null(c->summary);
		assert_ptr_equal(tv_cli_find(c->name), c);
		for (const struct tv_option *o = c->options; o && o->name; o++) {
			for (const struct tv_option *p = common; p->name; p++)
				assert_string_not_equal(o->name, p->name);
			for (const struct tv_option *p = c->options; p < o; p++)
				assert_true(strcmp(o->name, p->name) != 0 &&
					    (!o->letter || o->letter != p->letter));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(a_long_value),
		cmocka_unit_test(commands_to_start),
		cmocka_unit_test(mistakes),
		cmocka_unit_test(sizes),
		cmocka_unit_test(quoting),
		cmocka_unit_test(table),
		cmocka_unit_test(progress_bar),
		cmocka_unit_test(interrupt),
		cmocka_unit_test(interrupt_of_the_next),
		cmocka_unit_test(interrupt_ignored),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
