/* tvfs mount [OPTION...] MOUNTPOINT; and as mount.fuse.tvfs what mount(8) starts. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "tools/cli.h"
#include "tools/commands.h"
#include "tools/run/commands.h"
#include "tools/run/locked.h"
#include "tools/run/mounting.h"
#include "tools/run/record.h"

const struct tv_option tv_mount_options[] = {
	{ "foundation", 0, "REV", "what is frozen (default: the settings' ref)", false },
	{ "run-id", 0, "ID", "show this run's writes, and take more of them", false },
	{ "read-only", 'r', NULL, "refuse all writes (always so without --run-id)", false },
	{ "foreground", 'f', NULL, "serve in this process until the unmount", false },
	{ "allow-other", 0, NULL, "let other users in", false },
	{ "passthrough", 0, "WHEN", "auto, off, or require kernel passthrough", false },
	{ NULL, 0, NULL, NULL, false },
};

static void tell_ready(void *arg, const char *mountpoint)
{
	struct tv_cli *cli = arg;
	if (cli->mount_helper)
		return;
	if (cli->json) {
		cJSON *doc = cJSON_CreateObject();
		if (doc && tv_record_set(doc, "mountpoint", tv_record_string(mountpoint)))
			tv_cli_json(cli, doc);
		else
			cJSON_Delete(doc);
	} else {
		tv_cli_note(cli, "mounted on %s", mountpoint);
	}
	fflush(stdout);
}

/* --- as mount.fuse.tvfs SOURCE MOUNTPOINT [-sfnv] [-t TYPE] [-o OPTION,...] ----------------------- */

struct helper {
	const char *source, *mountpoint, *foundation, *run_id, *passthrough;
	bool fake, read_only, allow_other;
};

/* Options of fstab that are mount(8)'s, systemd's or the kernel's business. */
static bool is_foreign(const char *word)
{
	static const char *const words[] = {
		"auto",	      "noauto",	  "nofail",	"_netdev",    "user",	     "nouser",
		"users",      "owner",	  "group",	"defaults",   "exec",	     "noexec",
		"suid",	      "nosuid",	  "dev",	"nodev",      "async",	     "sync",
		"atime",      "noatime",  "relatime",	"norelatime", "strictatime", "diratime",
		"nodiratime", "lazytime", "nolazytime", "silent",     "loud",	     "remount",
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(words); i++)
		if (strcmp(word, words[i]) == 0)
			return true;
	return strcmp(word, "default_permissions") == 0 || strncmp(word, "x-", 2) == 0 ||
	       strncmp(word, "X-", 2) == 0 || strncmp(word, "comment=", 8) == 0 ||
	       strncmp(word, "uhelper=", 8) == 0 || strncmp(word, "helper=", 7) == 0 ||
	       strncmp(word, "user=", 5) == 0 || strncmp(word, "fsname=", 7) == 0 ||
	       strncmp(word, "subtype=", 8) == 0;
}

static int take_word(struct tv_cli *cli, struct helper *h, char *word)
{
	const struct {
		const char *name;
		const char **value;
	} valued[] = { { "foundation=", &h->foundation },
		       { "run-id=", &h->run_id },
		       { "passthrough=", &h->passthrough },
		       { "store=", &cli->store_option } };
	for (size_t i = 0; i < TV_ARRAY_LEN(valued); i++) {
		size_t n = strlen(valued[i].name);
		if (strncmp(word, valued[i].name, n) == 0) {
			*valued[i].value = word + n;
			return 0;
		}
	}
	if (strcmp(word, "ro") == 0)
		h->read_only = true;
	else if (strcmp(word, "allow_other") == 0)
		h->allow_other = true;
	else if (*word && strcmp(word, "rw") != 0 && !is_foreign(word))
		return tv_err_set(&cli->err, -TV_E_USAGE, "there is no mount option '%s'", word);
	return 0;
}

static int take_words(struct tv_cli *cli, struct helper *h, char *words)
{
	int r = 0;
	for (char *word = words, *next; r == 0 && word; word = next) {
		next = strchr(word, ',');
		if (next)
			*next++ = '\0';
		r = take_word(cli, h, word);
	}
	return r;
}

/* The words as getopt wants them, with a name in front. Options may stand before and behind. */
static int read_helper(struct tv_cli *cli, struct helper *h)
{
	char name[] = "mount.fuse.tvfs";
	tv_autofree char **argv = calloc((size_t)cli->n_args + 2, sizeof(*argv));
	int r = argv ? 0 : tv_err_nomem(&cli->err), c;
	if (r < 0)
		return r;
	argv[0] = name;
	memcpy(argv + 1, cli->args, (size_t)cli->n_args * sizeof(*argv));
	optind = 0;
	while (r == 0 && (c = getopt(cli->n_args + 1, argv, "sfnvt:N:o:")) != -1) {
		if (c == 'o')
			r = take_words(cli, h, optarg);
		else if (c == 'f')
			h->fake = true;
		else if (c == '?')
			r = -TV_E_USAGE;
	}
	if (r == 0 && cli->n_args + 1 - optind == 2) {
		h->source = argv[optind];
		h->mountpoint = argv[optind + 1];
		return 0;
	}
	if (cli->err.text[0])
		return r;
	return tv_err_set(&cli->err, -TV_E_USAGE,
			  "usage: mount.fuse.tvfs PROJECT MOUNTPOINT [-sfnv] [-o OPTION,...]");
}

/* --- both --------------------------------------------------------------------------------------- */

static int mount_it(struct tv_cli *cli, struct tv_mounting *m)
{
	struct tv_rev rev;
	int r = tv_locked_rev(cli, m->run_id, &rev);
	if (r < 0)
		return r;
	m->settings = cli->settings;
	m->rev = &rev;
	m->ready = tell_ready;
	m->arg = cli;
	return tv_mounting_start(&cli->store, m, &cli->err);
}

static int helper_rev(struct tv_cli *cli, const struct helper *h, struct tv_rev *rev)
{
	if (h->foundation || !h->run_id)
		return tv_cli_rev(cli, h->foundation, rev);
	return tv_locked_rev(cli, h->run_id, rev);
}

static int mount_helper(struct tv_cli *cli)
{
	struct helper h = { .source = NULL };
	struct tv_rev rev;
	struct tv_mounting m = { .ready = tell_ready, .arg = cli };
	int r = read_helper(cli, &h);
	if (r < 0) {
		cli->status = 1; /* mount(8): incorrect invocation */
		return r;
	}
	cli->status = 32; /* mount(8): mount failure */
	if (!cli->store_option)
		cli->store_option = h.source;
	r = tv_plan_passthrough(h.passthrough, &m.passthrough, &cli->err);
	if (r == 0)
		r = tv_cli_open(cli);
	if (r == 0)
		r = helper_rev(cli, &h, &rev);
	m.settings = cli->settings;
	m.rev = &rev;
	m.run_id = h.run_id;
	m.mountpoint = h.mountpoint;
	m.read_only = h.read_only;
	m.allow_other = h.allow_other;
	if (r == 0 && !h.fake)
		r = tv_mounting_start(&cli->store, &m, &cli->err);
	if (r == 0)
		cli->status = 0;
	return r;
}

int tv_cmd_mount(struct tv_cli *cli)
{
	if (cli->mount_helper)
		return mount_helper(cli);
	struct tv_mounting m = { .run_id = tv_cli_option(cli, "run-id"),
				 .mountpoint = cli->args[0],
				 .read_only = tv_cli_has(cli, "read-only"),
				 .foreground = tv_cli_has(cli, "foreground"),
				 .allow_other = tv_cli_has(cli, "allow-other") };
	int r = tv_plan_passthrough(tv_cli_option(cli, "passthrough"), &m.passthrough, &cli->err);
	if (r == 0)
		r = tv_cli_open(cli);
	return r < 0 ? r : mount_it(cli, &m);
}
