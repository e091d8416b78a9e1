/*
 * What all commands share: the table, the words of the call, output, errors, progress.
 *
 * A command is one file cmd-<name>.c with one `int tv_cmd_<name>(struct tv_cli *)`, listed in
 * tools/commands.c. It returns 0 or a negative errno with cli->err set; the caller prints
 * "tvfs NAME: message" once on stderr (with --json: {"error": …} on stdout as well) and turns it
 * into the exit code. A command that has to end with another status sets cli->status.
 */
#ifndef TV_TOOLS_CLI_H
#define TV_TOOLS_CLI_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>

#include "store/base/progress.h"
#include "store/rev.h"
#include "tools/settings.h"

/* One option of a command. Every command also has -h/--help, --json, --store DIR, --quiet. */
struct tv_option {
	const char *name;  /* "foundation" for --foundation */
	char letter;	   /* or 0 */
	const char *value; /* the value's name in the help ("REV"), NULL: a switch */
	const char *help;
	bool optional_value; /* --hash or --hash=sha256 */
};

struct tv_cli;

struct tv_command {
	const char *name;
	int (*run)(struct tv_cli *cli);
	const char *synopsis;		 /* "tvfs ls [-l] [-R] [--hash[=ALGORITHM]] [REV[:PATH]]" */
	const char *summary;		 /* one line */
	const struct tv_option *options; /* ends with name NULL; NULL: none */
	int min_args, max_args;		 /* positional; max -1: any number */
	bool rest_is_command;		 /* options end at "--" or at the first positional */
	bool hidden;
	const char *group; /* heading in `tvfs help` */
};

/* Commands that the program at hand does itself, in place of what the table says. */
struct tv_handler {
	const char *name; /* NULL: the end */
	int (*run)(struct tv_cli *cli);
};

struct tv_cli {
	const struct tv_command *command;
	const struct tv_handler *handlers; /* or NULL */
	char **argv;			   /* the whole call, with argv[0] */
	char **args;			   /* positional */
	int n_args;
	struct tv_value *values; /* of options, private to cli.c */
	bool json, quiet, color, progress_bar;
	bool out_given; /* stdout is the command's that was started: nothing of ours goes there */
	const char *store_option; /* --store or TVFS_STORE, or NULL */
	struct tv_store *store;	  /* opened by tv_cli_open; closed by the caller of the command */
	struct tv_settings *settings;
	struct tv_err err;
	int status;	       /* -1: from the return value */
	const char *called_as; /* last name of argv[0] */
	bool mount_helper; /* called as mount.fuse.tvfs: args are all the words, options not parsed */
	cJSON *details;	   /* with --json, members added to the document of an error; owned */
	struct tv_cli_bar *bar; /* private to cli-progress.c */
};

/* --NAME's last value ("" for a switch that is given, or an omitted optional value), NULL when absent;
 * all values of a repeatable one in order by index. */
const char *tv_cli_option(const struct tv_cli *cli, const char *name);
const char *tv_cli_option_at(const struct tv_cli *cli, const char *name, unsigned index);
bool tv_cli_has(const struct tv_cli *cli, const char *name);

/* Finds and opens store and settings (--store, TVFS_STORE, or upwards from the working directory). */
int tv_cli_open(struct tv_cli *cli);

/* Resolves a revision (NULL: the settings' ref) and, on a terminal or without --json, says on stderr
 * what was chosen when that is not obvious from the words. */
int tv_cli_rev(struct tv_cli *cli, const char *text, struct tv_rev *out);

/* One usage error: "message; see 'tvfs NAME --help'", -TV_E_USAGE. */
int tv_cli_usage(struct tv_cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The document of --json: printed compactly with a newline; deleted. -ENOMEM, -EIO. */
int tv_cli_json(struct tv_cli *cli, cJSON *doc);

/* Progress for long work: a bar on a terminal's stderr after the first second, nothing elsewhere;
 * SIGINT asks to stop. Pointer lives as long as cli. */
const struct tv_progress *tv_cli_progress(struct tv_cli *cli);

/* Where a command prints: stdout, after a progress bar was taken off the screen. A failed write is
 * noticed at the end; a long stream asks tv_cli_out_failed now and then and stops. */
FILE *tv_cli_out(struct tv_cli *cli);
bool tv_cli_out_failed(const struct tv_cli *cli);

/* The same for stderr, for lists that belong to an error. */
FILE *tv_cli_errors(struct tv_cli *cli);

/* A line on stderr unless --quiet ("note: …"). */
void tv_cli_note(struct tv_cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Text helpers: "1.2 GB", names for people (odd bytes escaped as \ooo), who ("user@host"). */
void tv_cli_size(uint64_t bytes, char out[16]);
char *tv_cli_quote(const char *name);
void tv_cli_put_name(FILE *out, const char *name); /* the same, written */
int tv_cli_who(char *out, size_t n, struct tv_err *err);

/* Runs a program name and its arguments (argv[0] may be a link such as tvfs-ls). The exit status. */
int tv_cli_main(int argc, char **argv);

/* The same in another program than tvfs, which has some commands of its own. */
int tv_cli_main_with(const struct tv_handler *handlers, int argc, char **argv);

/* A command of the table that another program does: becomes that program, in libexec, with the same
 * words. -ENOSYS when it is not there. */
int tv_cli_ingest_tool(struct tv_cli *cli);

/* The table (commands.c), ending with name NULL. */
const struct tv_command *tv_commands(void);

#endif
