/* The table of commands, in the order in which `tvfs help` lists them. */
#include "tools/cli.h"
#include "tools/commands.h"
#include "tools/run/commands.h"

static const struct tv_option init_options[] = {
	{ "group", 0, "GROUP", "a group that may write to the store too", false },
	{ NULL, 0, NULL, NULL, false },
};

static const struct tv_option commit_options[] = {
	{ "message", 'm', "MSG", "why", false },
	{ "ref", 0, "REF", "publish on this ref (default: the settings' ref)", false },
	{ "trace-id", 0, "ID", "what the commit belongs to (default: a new UUIDv7)", false },
	{ "author", 0, "NAME", "who (default: user@host)", false },
	{ "force", 0, NULL, "import broken Parquet and JSON files all the same", false },
	{ NULL, 0, NULL, NULL, false },
};

/* The end of each command's that publishes what it made. */
#define CYCLE_OPTIONS                                                                              \
	{ "onto", 0, "REF", "read from and publish on this ref (default: the settings' ref)",      \
	  false },                                                                                 \
		{ "folder", 0, "DIR", "work on a plain lakehouse folder, without a store",         \
		  false },                                                                         \
		{ "message", 'm', "MSG", "why", false },                                           \
		{ "trace-id", 0, "ID", "what the commit belongs to (default: a new UUIDv7)",       \
		  false },                                                                         \
		{ "author", 0, "NAME", "who (default: user@host)", false },                        \
	{                                                                                          \
		NULL, 0, NULL, NULL, false                                                         \
	}

static const struct tv_option ingest_options[] = {
	{ "fresh", 0, "DURATION", "skip what was fetched within this time (default: 12h)", false },
	{ "accept-restatement", 0, NULL, "publish history that the source has changed", false },
	{ "deadline", 0, "DURATION", "give up fetching after this time", false },
	CYCLE_OPTIONS,
};

static const struct tv_option features_options[] = {
	{ "last", 0, "N", "rows of a symbol in the features matrix, from its end (default: all)",
	  false },
	CYCLE_OPTIONS,
};

static const struct tv_option matrix_options[] = {
	{ "align", 0, "HOW", "inner: days that all symbols have (default); outer: any", false },
	{ "lookback", 0, "DAYS", "only so many days, up to the last (default: all)", false },
	CYCLE_OPTIONS,
};

static const struct tv_option repair_options[] = {
	{ "check", 0, NULL, "only tell the gaps", false },
	{ "max-fills", 0, "N", "fetch at most so many gaps (default: all)", false },
	CYCLE_OPTIONS,
};

static const struct tv_option validate_options[] = {
	{ "folder", 0, "DIR", "judge a plain lakehouse folder, without a store", false },
	{ "profile", 0, "NAME", "of the settings (default: theirs)", false },
	{ NULL, 0, NULL, NULL, false },
};

static const struct tv_option select_options[] = {
	{ "candidates", 0, "F", "a list of symbols, or a folder of lists; any number of times",
	  false },
	{ "run-dir", 0, "DIR", "the run's directory (default: TV_RUN_DIR)", false },
	{ "fresh", 0, "DURATION", "fetched longer ago is stale (default: 12h); 0: any age will do",
	  false },
	{ NULL, 0, NULL, NULL, false },
};

static const struct tv_option sync_options[] = {
	{ "force", 0, NULL, "overwrite what was changed in the live folder", false },
	{ NULL, 0, NULL, NULL, false },
};

static const struct tv_option status_options[] = {
	{ "ref", 0, "REF", "compare with this ref (default: the settings' ref)", false },
	{ NULL, 0, NULL, NULL, false },
};

static const struct tv_option ls_options[] = {
	{ "long", 'l', NULL, "mode, size and time too", false },
	{ "recursive", 'R', NULL, "everything below, too", false },
	{ "hash", 0, "ALGORITHM", "checksum lines: sha256 (default) or xxh128", true },
	{ "folders", 0, NULL, "with --hash, the foundation and folders on '#' lines", false },
	{ NULL, 0, NULL, NULL, false },
};

static const struct tv_option log_options[] = {
	{ "number", 'n', "N", "at most N", false },
	{ "oneline", 0, NULL, "one line each", false },
	{ NULL, 0, NULL, NULL, false },
};

static const struct tv_option diff_options[] = {
	{ "stat", 0, NULL, "only how many", false },
	{ "touched", 0, NULL, "files of which only time or mode changed, too", false },
	{ NULL, 0, NULL, NULL, false },
};

static const struct tv_option tag_options[] = {
	{ "list", 'l', NULL, "list the tags (default without a name)", false },
	{ "delete", 'd', NULL, "delete the tag", false },
	{ NULL, 0, NULL, NULL, false },
};

static const struct tv_option branch_options[] = {
	{ "list", 'l', NULL, "list the branches (default without a name)", false },
	{ "delete", 'd', NULL, "delete the branch", false },
	{ "force", 'f', NULL, "move a branch that exists", false },
	{ NULL, 0, NULL, NULL, false },
};

static const struct tv_option revert_options[] = {
	{ "message", 'm', "MSG", "why", false },
	{ "ref", 0, "REF", "publish on this ref (default: the settings' ref)", false },
	{ "trace-id", 0, "ID", "what the commit belongs to (default: a new UUIDv7)", false },
	{ "author", 0, "NAME", "who (default: user@host)", false },
	{ NULL, 0, NULL, NULL, false },
};

static const struct tv_option stats_options[] = {
	{ "prometheus", 0, NULL, "the sums of all, in Prometheus' text format", false },
	{ NULL, 0, NULL, NULL, false },
};

static const struct tv_option gc_options[] = {
	{ "delete", 0, NULL, "remove; without it, only say what would go", false },
	{ "grace", 0, "DURATION", "keep condemned blobs younger than this (default: 0)", false },
	{ NULL, 0, NULL, NULL, false },
};

static const struct tv_option forget_options[] = {
	{ "runs", 0, NULL, "forget runs", false },
	{ "commits", 0, NULL, "forget old commits of a ref", false },
	{ "ref", 0, "REF", "with --commits: of this ref (default: the settings' ref)", false },
	{ "keep-last", 0, "N", "keep the newest N", false },
	{ "keep-within", 0, "DURATION", "keep what is younger than this", false },
	{ "keep-tagged", 0, NULL, "keep what has a tag", false },
	{ "delete", 0, NULL, "forget; without it, only say what would be", false },
	{ NULL, 0, NULL, NULL, false },
};

static const struct tv_option fsck_options[] = {
	{ "read-data", 0, NULL, "read every blob and check its digests", false },
	{ NULL, 0, NULL, NULL, false },
};

static const struct tv_option flow_options[] = {
	{ "restart", 0, NULL, "throw away what an interrupted call has done", false },
	{ "makefile", 0, NULL, "tell where tvfs.mk is, for make's include", false },
	{ "fresh", 0, "DURATION", "as for tvfs ingest, and tvfs select", false },
	{ "accept-restatement", 0, NULL, "as for tvfs ingest", false },
	{ "deadline", 0, "DURATION", "as for tvfs ingest", false },
	{ "max-fills", 0, "N", "as for tvfs repair", false },
	{ "last", 0, "N", "as for tvfs features", false },
	{ "align", 0, "HOW", "as for tvfs matrix", false },
	{ "lookback", 0, "DAYS", "as for tvfs matrix", false },
	{ "profile", 0, "NAME", "as for tvfs validate", false },
	CYCLE_OPTIONS,
};

static const struct tv_option audit_options[] = {
	{ "against", 0, "REV", "compare with this revision (default: the commit before REV)",
	  false },
	{ "html", 0, "FILE", "write the report as a page of HTML, too", false },
	{ "folder", 0, "DIR", "judge a plain folder (--against: another one)", false },
	{ NULL, 0, NULL, NULL, false },
};

#define GROUP_STORE "Lakehouse and store"
#define GROUP_HISTORY "History"
#define GROUP_RUNS "Runs and mounts"
#define GROUP_DATA "Data"
#define GROUP_CARE "Care"

static const struct tv_command table[] = {
	{ "init", tv_cmd_init, "tvfs init [--group GROUP] [DIR]", "make a store and its settings",
	  init_options, 0, 1, false, false, GROUP_STORE },
	{ "commit", tv_cmd_commit,
	  "tvfs commit [-m MSG] [--ref REF] [--trace-id ID] [--author NAME] [--force] [PATH...]",
	  "import the live lakehouse and publish it", commit_options, 0, -1, false, false,
	  GROUP_STORE },
	{ "sync", tv_cmd_sync, "tvfs sync [--force] [REV]",
	  "bring the live lakehouse up to what is published", sync_options, 0, 1, false, false,
	  GROUP_STORE },
	{ "status", tv_cmd_status, "tvfs status [--ref REF]",
	  "what changed here, and what was published since", status_options, 0, 0, false, false,
	  GROUP_STORE },
	{ "ls", tv_cmd_ls, "tvfs ls [-l] [-R] [--hash[=ALGORITHM]] [--folders] [REV[:PATH]]",
	  "list a foundation, or its checksums", ls_options, 0, 1, false, false, GROUP_STORE },
	{ "cat", tv_cmd_cat, "tvfs cat REV:PATH...", "print a file of a foundation", NULL, 1, -1,
	  false, false, GROUP_STORE },
	{ "checkout", tv_cmd_checkout, "tvfs checkout REV DEST",
	  "write a foundation out as plain files", NULL, 2, 2, false, false, GROUP_STORE },

	{ "log", tv_cmd_log, "tvfs log [-n N] [--oneline] [REV | PATH | REV:PATH]",
	  "commits, or the versions of one path", log_options, 0, 1, false, false, GROUP_HISTORY },
	{ "show", tv_cmd_show, "tvfs show [REV]", "one commit and what it changed", NULL, 0, 1,
	  false, false, GROUP_HISTORY },
	{ "diff", tv_cmd_diff, "tvfs diff [--stat] [--touched] A [B [PATH]]",
	  "what differs between two foundations", diff_options, 1, 3, false, false, GROUP_HISTORY },
	{ "tag", tv_cmd_tag, "tvfs tag [--list] [--delete] [NAME [REV]]",
	  "give a commit a name that stays", tag_options, 0, 2, false, false, GROUP_HISTORY },
	{ "branch", tv_cmd_branch, "tvfs branch [--list] [--delete] [--force] [NAME [REV]]",
	  "names that move with what is published", branch_options, 0, 2, false, false,
	  GROUP_HISTORY },
	{ "revert", tv_cmd_revert,
	  "tvfs revert [-m MSG] [--ref REF] [--trace-id ID] [--author NAME] REV",
	  "publish an old state again", revert_options, 1, 1, false, false, GROUP_HISTORY },

	{ "run", tv_cmd_run,
	  "tvfs run [--run-id ID] [--foundation REV] [--profile NAME] [--publish REF] [OPTION...] [--] "
	  "COMMAND [ARG...]",
	  "run a command on a frozen lakehouse of its own", tv_run_options, 1, -1, true, false,
	  GROUP_RUNS },
	{ "seal", tv_cmd_seal, "tvfs seal RUN_ID", "end a run that was kept open", NULL, 1, 1,
	  false, false, GROUP_RUNS },
	{ "mount", tv_cmd_mount,
	  "tvfs mount [--foundation REV] [--run-id ID] [--read-only] [OPTION...] MOUNTPOINT",
	  "show a foundation at a folder", tv_mount_options, 1, 1, false, false, GROUP_RUNS },
	{ "umount", tv_cmd_umount, "tvfs umount [--lazy] MOUNTPOINT", "take a mount away",
	  tv_umount_options, 1, 1, false, false, GROUP_RUNS },
	{ "ps", tv_cmd_ps, "tvfs ps", "runs and mounts that are live, or died", NULL, 0, 0, false,
	  false, GROUP_RUNS },
	{ "stats", tv_cmd_stats, "tvfs stats [--prometheus] [MOUNTPOINT | RUN_ID]",
	  "what live runs and mounts have done, and how fast", stats_options, 0, 1, false, false,
	  GROUP_RUNS },
	{ "prune", tv_cmd_prune, "tvfs prune", "clean up after killed runs and mounts", NULL, 0, 0,
	  false, false, GROUP_RUNS },
	{ "serve", tv_cmd_serve, "tvfs serve LABEL", "what tvfs itself starts to serve a mount",
	  NULL, 1, 1, false, true, GROUP_RUNS },

	{ "ingest", tv_cli_ingest_tool, "tvfs ingest [OPTION...] CANDIDATES|SYMBOL...",
	  "fetch, judge and publish daily bars", ingest_options, 1, -1, false, false, GROUP_DATA },
	{ "features", tv_cli_ingest_tool, "tvfs features [OPTION...]",
	  "compute indicators and ratings of the published bars", features_options, 0, 0, false,
	  false, GROUP_DATA },
	{ "matrix", tv_cli_ingest_tool, "tvfs matrix [OPTION...]",
	  "compute the returns matrix of the published bars", matrix_options, 0, 0, false, false,
	  GROUP_DATA },
	{ "repair", tv_cli_ingest_tool, "tvfs repair [OPTION...]",
	  "fetch and fill the gaps in the published bars", repair_options, 0, 0, false, false,
	  GROUP_DATA },
	{ "validate", tv_cli_ingest_tool, "tvfs validate [--folder DIR] [--profile NAME] [REV]",
	  "whether a foundation is good enough to compute on", validate_options, 0, 1, false, false,
	  GROUP_DATA },
	{ "select", tv_cli_ingest_tool,
	  "tvfs select --candidates F [--run-dir DIR] [--fresh DURATION] [REV]",
	  "copy what the candidates need into the run", select_options, 0, 1, false, false,
	  GROUP_DATA },
	{ "audit", tv_cli_ingest_tool, "tvfs audit [OPTION...] [REV]",
	  "judge every published asset again", audit_options, 0, 1, false, false, GROUP_DATA },
	{ "schema", tv_cli_ingest_tool, "tvfs schema [FILE...]",
	  "the lakehouse's schema, or files against it", NULL, 0, -1, false, false, GROUP_DATA },
	{ "flow", tv_cmd_flow, "tvfs flow [OPTION...] [NAME [CANDIDATES|SYMBOL...]]",
	  "commands of the data cycle in order, as one transaction", flow_options, 0, -1, false,
	  false, GROUP_DATA },

	{ "gc", tv_cmd_gc, "tvfs gc [--delete] [--grace DURATION]", "remove what nobody needs",
	  gc_options, 0, 0, false, false, GROUP_CARE },
	{ "forget", tv_cmd_forget,
	  "tvfs forget --runs|--commits [--ref REF] [--keep-last N] [--keep-within DURATION] "
	  "[--keep-tagged] [--delete]",
	  "let old runs or commits go", forget_options, 0, 0, false, false, GROUP_CARE },
	{ "fsck", tv_cmd_fsck, "tvfs fsck [--read-data]", "check that the store is whole",
	  fsck_options, 0, 0, false, false, GROUP_CARE },
	{ "doctor", tv_cmd_doctor, "tvfs doctor",
	  "what this machine can do, and what is in the way", NULL, 0, 0, false, false,
	  GROUP_CARE },
	{ "help", tv_cmd_help, "tvfs help [COMMAND]", "the list of commands, or one of them", NULL,
	  0, 1, false, false, GROUP_CARE },
	{ "version", tv_cmd_version, "tvfs version", "versions of the program and its parts", NULL,
	  0, 0, false, false, GROUP_CARE },
	{ NULL, NULL, NULL, NULL, NULL, 0, 0, false, false, NULL },
};

const struct tv_command *tv_commands(void)
{
	return table;
}
