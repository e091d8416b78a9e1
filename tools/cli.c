#include "tools/cli.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/base/path.h"
#include "tools/cli-help.h"
#include "tools/cli-private.h"

const struct tv_command *tv_cli_find(const char *name)
{
	for (const struct tv_command *c = tv_commands(); c->name; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

/* --store may name the store itself or the folder that holds it. */
static int store_given(const char *given, char **folder, struct tv_err *err)
{
	tv_autofree char *below = tv_path_join(given, TV_STORE_FOLDER);
	if (!below)
		return tv_err_nomem(err);
	const char *chosen = access(below, F_OK) == 0 ? below : given;
	char *real = realpath(chosen, NULL);
	if (!real && errno == ENOENT)
		return tv_err_set(err, -TV_E_NOSTORE,
				  "there is no store at '%s'; make one with 'tvfs init'", given);
	if (!real)
		return tv_err_sys(err, -errno, "cannot open the store '%s'", given);
	*folder = real;
	return 0;
}

int tv_cli_open(struct tv_cli *cli)
{
	tv_autofree char *folder = NULL;
	int r = cli->store_option ? store_given(cli->store_option, &folder, &cli->err)
				  : tv_store_find(NULL, &folder, &cli->err);
	if (r == 0)
		r = tv_store_open(folder, &cli->store, &cli->err);
	if (r < 0)
		return r;
	tv_autofree char *project = strdup(tv_store_folder(cli->store));
	char *slash = project ? strrchr(project, '/') : NULL;
	if (!slash)
		return tv_err_nomem(&cli->err);
	slash[slash == project] = '\0';
	return tv_settings_load(project, &cli->settings, &cli->err);
}

int tv_cli_rev(struct tv_cli *cli, const char *text, struct tv_rev *out)
{
	char foundation[TV_SHA_HEX], commit[TV_SHA_HEX];
	const char *words = text ? text : cli->settings->ref;
	int r = tv_rev_resolve(cli->store, words, out, &cli->err);
	if (r < 0)
		return r;
	bool obvious = !out->was_foundation && !strpbrk(words, "~@");
	if (obvious || (cli->json && !isatty(STDERR_FILENO)))
		return 0;
	tv_sha_hex(&out->commit, commit);
	tv_sha_hex(&out->foundation, foundation);
	tv_cli_note(cli, "%s is commit %.12s (foundation %.12s)", words, commit, foundation);
	return 0;
}

static void print_error(struct tv_cli *cli, int code)
{
	char name[64] = "tvfs";
	if (cli->command)
		snprintf(name, sizeof(name), "tvfs %s", cli->command->name);
	if (!cli->err.text[0] && code == -TV_E_INTERRUPTED)
		tv_err_set(&cli->err, code, "interrupted; nothing was lost");
	else if (!cli->err.text[0])
		tv_err_sys(&cli->err, code, "failed");
	fprintf(tv_cli_errors(cli), "%s: %s\n", name, cli->err.text);
}

/* {"error": {"code": "ENOENT", "exit": 1, "message": …}, …details} */
static void print_json_error(struct tv_cli *cli, int code, int status)
{
	cJSON *doc = cli->details ? tv_steal_ptr(&cli->details) : cJSON_CreateObject();
	cJSON *error = cJSON_AddObjectToObject(doc, "error");
	const char *name = strerrorname_np(-code);
	cJSON_AddStringToObject(error, "code", name ? name : "");
	cJSON_AddNumberToObject(error, "exit", status);
	tv_json_add_bytes(error, "message", cli->err.text, strlen(cli->err.text));
	if (!cli->out_given) {
		tv_cli_json(cli, doc);
		return;
	}
	tv_autofree char *text = cJSON_PrintUnformatted(doc);
	fprintf(tv_cli_errors(cli), "%s\n", text ? text : "");
	cJSON_Delete(doc);
}

/* A reader that had enough (`| head`) is not worth a message. */
static bool reader_left(void)
{
	struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };
	return poll(&out, 1, 0) > 0 && (out.revents & POLLERR);
}

/* Reports the error of a command and gives the exit status. */
static int finish(struct tv_cli *cli, int code)
{
	tv_cli_progress_clear(cli);
	int status = cli->status >= 0 ? cli->status : tv_err_exit_code(code);
	if (code < 0 && code != -EPIPE) {
		print_error(cli, code);
		if (cli->json)
			print_json_error(cli, code, status);
	}
	bool lost = fflush(stdout) != 0 || ferror(stdout);
	if (lost && !reader_left())
		fputs("tvfs: the output could not be written\n", stderr);
	return lost && status == 0 ? 1 : status;
}

static int run_handler(struct tv_cli *cli)
{
	for (const struct tv_handler *h = cli->handlers; h && h->name; h++)
		if (strcmp(h->name, cli->command->name) == 0)
			return h->run(cli);
	return cli->command->run(cli);
}

static int run_command(struct tv_cli *cli, int argc, char **argv)
{
	const struct tv_command *c = cli->command;
	if (cli->mount_helper) {
		cli->args = argv;
		cli->n_args = argc;
		return c->run(cli);
	}
	int r = tv_cli_parse(cli, argc, argv);
	/* Until here it was a guess; the word may have been one of the command to start. */
	if (r == 0)
		cli->json = tv_cli_has(cli, "json");
	if (r == 0 && tv_cli_has(cli, "help")) {
		tv_cli_help_command(stdout, c);
		return 0;
	}
	if (r == 0)
		r = tv_cli_check_args(cli);
	/* Output that nobody reads ends a command at its own pace, not in the middle of its work; a
	 * command that is started keeps the usual disposition. */
	if (r == 0 && !c->rest_is_command)
		signal(SIGPIPE, SIG_IGN);
	return r < 0 ? r : run_handler(cli);
}

static bool wants_json(int argc, char **argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--json") == 0)
			return true;
	return false;
}

/* `tvfs [OPTION…] COMMAND …`: finds the command and moves options that stand before its name behind
 * it. *words and *n_words are what is left. */
static int find_command(struct tv_cli *cli, int argc, char **argv, char **words, int *n_words)
{
	int at = 0;
	while (at < argc && argv[at][0] == '-' && argv[at][1])
		at += strcmp(argv[at], "--store") == 0 && at + 1 < argc ? 2 : 1;
	const char *name = at < argc ? argv[at] : NULL;
	for (int i = 0; i < at; i++) {
		if (strcmp(argv[i], "--version") == 0)
			name = "version";
		else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			name = "help";
		else
			words[(*n_words)++] = argv[i];
	}
	if (!name)
		return tv_cli_usage(cli, "a command is needed");
	cli->command = tv_cli_find(name);
	if (!cli->command)
		return tv_cli_usage(cli, "there is no command '%s'", name);
	for (int i = at + 1; i < argc; i++)
		words[(*n_words)++] = argv[i];
	return 0;
}

static int dispatch(struct tv_cli *cli, int argc, char **argv, char **words)
{
	int n = 0;
	if (strcmp(cli->called_as, "mount.fuse.tvfs") == 0) {
		cli->mount_helper = true;
		cli->command = tv_cli_find("mount");
	} else if (strncmp(cli->called_as, "tvfs-", 5) == 0) {
		cli->command = tv_cli_find(cli->called_as + 5);
	}
	if (!cli->command && cli->mount_helper)
		return tv_err_set(&cli->err, -ENOSYS, "this build has no mount");
	if (cli->command)
		return run_command(cli, argc - 1, argv + 1);
	int r = find_command(cli, argc - 1, argv + 1, words, &n);
	return r < 0 ? r : run_command(cli, n, words);
}

/* A standard descriptor that the caller closed stays closed for whoever reads or writes it, but its
 * number is taken: else the store's own files would get it, and what is printed would land in them. */
static int guard_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/", O_PATH | O_CLOEXEC) != fd)
			return -1;
	return 0;
}

int tv_cli_main(int argc, char **argv)
{
	return tv_cli_main_with(NULL, argc, argv);
}

int tv_cli_main_with(const struct tv_handler *handlers, int argc, char **argv)
{
	struct tv_cli cli = { .status = -1, .handlers = handlers, .argv = argv };
	const char *store = getenv("TVFS_STORE"), *no_color = getenv("NO_COLOR");

	/* mount(8) and some wrappers start programs with no words at all. */
	if (argc < 1)
		return 2;
	if (guard_streams() < 0)
		return 1;
	tv_autofree char **words = calloc((size_t)argc + 1, sizeof(*words));
	if (!words)
		return 1;
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	cli.called_as = tv_path_base(argv[0]);
	cli.store_option = store && *store ? store : NULL;
	cli.color = isatty(STDOUT_FILENO) && !(no_color && *no_color);
	cli.progress_bar = isatty(STDERR_FILENO);
	cli.json = strcmp(cli.called_as, "mount.fuse.tvfs") != 0 && wants_json(argc, argv);

	int status = finish(&cli, dispatch(&cli, argc, argv, words));
	tv_cli_progress_free(&cli);
	cJSON_Delete(cli.details);
	tv_settings_free(cli.settings);
	tv_store_close(cli.store);
	if (!cli.mount_helper)
		free(cli.args);
	free(cli.values);
	return status;
}
