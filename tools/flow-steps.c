#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "tools/flow.h"

#define LIST_BYTES_MAX (256u << 20)

/* --- tables ------------------------------------------------------------------------------------ */

#define ONTO (TV_STEP_ONTO | TV_STEP_COMMITS)

#define STEP_INGEST                                                                                \
	{                                                                                          \
		"ingest", "ingest", NULL, ONTO | TV_STEP_CANDIDATES | TV_STEP_PARTIAL              \
	}
#define STEP_REPAIR                                                                                \
	{                                                                                          \
		"repair", "repair", NULL, ONTO | TV_STEP_PARTIAL                                   \
	}
#define STEP_CHECK                                                                                 \
	{                                                                                          \
		"repair check", "repair", "--check", TV_STEP_ONTO                                  \
	}
#define STEPS_MADE                                                                                 \
	{ "features", "features", NULL, ONTO }, { "matrix", "matrix", NULL, ONTO },                \
	{                                                                                          \
		"validate", "validate", NULL, TV_STEP_REV                                          \
	}
#define END                                                                                        \
	{                                                                                          \
		NULL, NULL, NULL, 0                                                                \
	}

static const struct tv_flow flows[] = {
	{ "data",
	  "fetch, check for gaps, make features and matrix, validate, publish",
	  true,
	  1,
	  -1,
	  NULL,
	  { STEP_INGEST, STEP_CHECK, STEPS_MADE, END } },
	{ "production",
	  "validate what is published for production, and select candidates",
	  false,
	  0,
	  -1,
	  "production",
	  { { "validate", "validate", NULL, TV_STEP_REV },
	    { "select", "select", NULL, TV_STEP_REV | TV_STEP_LISTS },
	    END } },
	{ "repair",
	  "fetch what is missing, make features and matrix, validate, publish",
	  true,
	  0,
	  0,
	  NULL,
	  { STEP_REPAIR, STEPS_MADE, END } },
	{ "audit",
	  "judge every published asset, and write a page of it",
	  false,
	  0,
	  0,
	  NULL,
	  { { "audit", "audit", NULL, TV_STEP_REV | TV_STEP_PAGE }, END } },
	{ NULL, NULL, false, 0, 0, NULL, { END } },
};

/* Options of the flow that are a step's. */
static const struct {
	const char *word, *command;
} passed[] = {
	{ "--fresh", "ingest" },
	{ "--fresh", "select" },
	{ "--accept-restatement", "ingest" },
	{ "--deadline", "ingest" },
	{ "--max-fills", "repair" },
	{ "--last", "features" },
	{ "--align", "matrix" },
	{ "--lookback", "matrix" },
	{ "--profile", "validate" },
};

/* Options that change what is asked for, and are no step's. */
static const char *const asked_too[] = { "message", "trace-id", "author" };

const struct tv_flow *tv_flows(void)
{
	return flows;
}

const struct tv_flow *tv_flow_find(const char *name)
{
	for (const struct tv_flow *f = flows; f->name; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

/* --- words of a step --------------------------------------------------------------------------- */

struct words {
	const char **items;
	size_t n;
};

static void add(struct words *w, const char *word)
{
	w->items[w->n++] = word;
}

static void add_pair(struct words *w, const char *option, const char *value)
{
	if (!value)
		return;
	add(w, option);
	add(w, value);
}

static void add_passed(struct words *w, struct tv_cli *cli, const struct tv_flow_step *step)
{
	for (size_t i = 0; i < TV_ARRAY_LEN(passed); i++) {
		const char *value = tv_cli_option(cli, passed[i].word + 2);
		if (!value || strcmp(step->command, passed[i].command) != 0 || step->word)
			continue;
		add(w, passed[i].word);
		if (*value)
			add(w, value);
	}
}

static void add_candidates(struct words *w, struct tv_cli *cli, const struct tv_flow_step *step)
{
	for (int i = 1; i < cli->n_args; i++) {
		if (step->takes & TV_STEP_LISTS)
			add(w, "--candidates");
		if (step->takes & (TV_STEP_LISTS | TV_STEP_CANDIDATES))
			add(w, cli->args[i]);
	}
}

int tv_flow_words(struct tv_cli *cli, const struct tv_flow *flow, const struct tv_flow_step *step,
		  const struct tv_flow_place *place, const char ***out, struct tv_err *err)
{
	size_t room = 32 + 2 * TV_ARRAY_LEN(passed) + 2 * (size_t)cli->n_args;
	struct words w = { calloc(room, sizeof(*w.items)), 0 };
	if (!w.items)
		return tv_err_nomem(err);
	add(&w, "tvfs");
	add(&w, step->command);
	if (step->word)
		add(&w, step->word);
	add_pair(&w, "--store", place->store);
	if (!(step->takes & TV_STEP_LISTS)) /* it looks at the run's foundation by itself */
		add_pair(&w, "--folder", place->folder);
	if (step->takes & TV_STEP_ONTO)
		add_pair(&w, "--onto", place->onto);
	if (step->takes & TV_STEP_COMMITS) {
		add_pair(&w, "--trace-id", place->trace_id);
		add_pair(&w, "--author", place->author);
	}
	if (step->takes & TV_STEP_PAGE)
		add_pair(&w, "--html", place->page);
	add_passed(&w, cli, step);
	if (strcmp(step->command, "validate") == 0 && !tv_cli_has(cli, "profile"))
		add_pair(&w, "--profile", flow->profile);
	if (cli->json)
		add(&w, "--json");
	if (cli->quiet)
		add(&w, "--quiet");
	/* What follows are words, whatever they look like. */
	if (!(step->takes & TV_STEP_LISTS))
		add(&w, "--");
	add_candidates(&w, cli, step);
	if (step->takes & TV_STEP_REV && place->onto)
		add(&w, place->onto);
	*out = w.items;
	return 0;
}

/* --- what was asked ---------------------------------------------------------------------------- */

static void add_text(struct tv_buf *b, const char *text)
{
	tv_buf_add(b, text, strlen(text) + 1);
}

static int add_file(struct tv_buf *b, int dirfd, const char *name, struct tv_err *err)
{
	tv_autofree char *text = NULL;
	struct tv_sha sha;
	size_t n;
	int r = tv_io_read_file(dirfd, name, LIST_BYTES_MAX, &text, &n, err);
	if (r == 0)
		r = tv_sha_of(text, n, &sha, err);
	if (r < 0)
		return r;
	add_text(b, name);
	tv_buf_add(b, sha.b, sizeof(sha.b));
	return 0;
}

static int is_list(const struct dirent *d)
{
	const char *dot = strrchr(d->d_name, '.');
	return dot && strcmp(dot, ".json") == 0;
}

static int add_folder(struct tv_buf *b, const char *path, struct tv_err *err)
{
	struct dirent **names = NULL;
	tv_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int n = fd < 0 ? -1 : scandirat(fd, ".", &names, is_list, alphasort);
	if (n < 0)
		return tv_err_sys(err, -errno, "cannot read '%s'", path);
	int r = 0;
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = add_file(b, fd, names[i]->d_name, err);
		free(names[i]);
	}
	free(names);
	return r;
}

/* A word may also be a symbol, or a mistake that the step will tell. */
static int add_candidate(struct tv_buf *b, const char *word, struct tv_err *err)
{
	struct stat st;
	add_text(b, word);
	if (stat(word, &st) < 0)
		return 0;
	return S_ISDIR(st.st_mode)   ? add_folder(b, word, err)
	       : S_ISREG(st.st_mode) ? add_file(b, AT_FDCWD, word, err)
				     : 0;
}

static void add_option(struct tv_buf *b, struct tv_cli *cli, const char *name)
{
	const char *value = tv_cli_option(cli, name);
	if (!value)
		return;
	add_text(b, name);
	add_text(b, value);
}

int tv_flow_asked(struct tv_cli *cli, const struct tv_flow *flow, const char *target,
		  char out[TV_SHA_HEX], struct tv_err *err)
{
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	struct tv_sha sha;
	int r = 0;
	add_text(&b, flow->name);
	add_text(&b, target);
	for (size_t i = 0; i < TV_ARRAY_LEN(passed); i++)
		add_option(&b, cli, passed[i].word + 2);
	for (size_t i = 0; i < TV_ARRAY_LEN(asked_too); i++)
		add_option(&b, cli, asked_too[i]);
	for (int i = 1; i < cli->n_args && r == 0; i++)
		r = add_candidate(&b, cli->args[i], err);
	if (r == 0 && b.failed)
		r = tv_err_nomem(err);
	if (r == 0)
		r = tv_sha_of(b.data, b.len, &sha, err);
	if (r == 0)
		tv_sha_hex(&sha, out);
	return r;
}
