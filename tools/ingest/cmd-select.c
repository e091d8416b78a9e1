#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/offline.h"
#include "ingest/select.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/base/json.h"
#include "store/base/path.h"
#include "store/lease.h"
#include "tools/ingest/commands.h"
#include "tools/ingest/cycle.h"
#include "tools/ingest/shared-list.h"
#include "tools/render.h"

#define SECOND INT64_C(1000000000)
#define SHOWN 200 /* candidates that cannot be had, as a table shows them */
#define RECORD_MAX ((size_t)16 << 20)

struct work {
	struct tv_cli *cli;
	char *run_dir;	 /* owned, absolute */
	char *lakehouse; /* owned: the folder that everybody shares, or the run's view of it; NULL */
	bool strict;
	struct tv_sha foundation;
	struct tv_commit commit; /* of a store */
	struct tv_lease lease;	 /* "" when there is none */
	struct tv_lakehouse *lake;
	int data;
	struct tv_candidates candidates;
	struct tv_selection selection;
	int64_t fresh_ns;
};

static void work_free(struct work *w)
{
	tv_selection_free(&w->selection);
	tv_candidates_free(&w->candidates);
	tv_close_p(&w->data);
	tv_lakehouse_free(w->lake);
	if (*w->lease.id)
		tv_lease_drop(w->cli->store, w->lease.id, NULL);
	tv_commit_free(&w->commit);
	free(w->lakehouse);
	free(w->run_dir);
}

static const char *env(const char *name)
{
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

/* --- which run, which foundation --------------------------------------------------------------- */

static int find_run(struct work *w)
{
	struct tv_err *err = &w->cli->err;
	const char *dir = tv_cli_option(w->cli, "run-dir");
	const char *strict = env("TV_STRICT_ISOLATION");
	dir = dir ? dir : env("TV_RUN_DIR");
	if (!dir)
		return tv_cli_usage(w->cli,
				    "which run? give --run-dir, or start it with 'tvfs run'");
	w->strict = strict && strcmp(strict, "0") != 0;
	w->run_dir = realpath(dir, NULL);
	return w->run_dir ? 0 : tv_err_sys(err, -errno, "cannot find the run directory '%s'", dir);
}

/* Whether this process is inside of that run: it has its view, and no store. */
static bool is_inside(const struct work *w)
{
	const char *own = env("TV_RUN_DIR");
	tv_autofree char *real = own ? realpath(own, NULL) : NULL;
	return real && strcmp(real, w->run_dir) == 0 && env("TV_FOUNDATION_HASH") &&
	       env("TV_LAKEHOUSE_DIR");
}

/* The project that a folder lies in, by its settings; else the folder itself, which has the defaults. */
static int load_settings(struct work *w)
{
	tv_autofree char *folder = strdup(w->run_dir);
	char *slash;
	if (!folder)
		return tv_err_nomem(&w->cli->err);
	for (; (slash = strrchr(folder, '/')) != NULL && slash != folder; *slash = '\0') {
		tv_autofree char *file = tv_path_join(folder, "tvfs.json");
		if (file && access(file, F_OK) == 0)
			break;
	}
	return tv_settings_load(slash && slash != folder ? folder : w->run_dir, &w->cli->settings,
				&w->cli->err);
}

static int open_view(struct work *w)
{
	struct tv_cli *cli = w->cli;
	const char *hex = env("TV_FOUNDATION_HASH");
	if (!tv_sha_from_hex(hex, &w->foundation))
		return tv_err_set(&cli->err, -EINVAL, "TV_FOUNDATION_HASH is '%s', no hash", hex);
	if (cli->n_args &&
	    (strlen(cli->args[0]) < 8 || strncmp(hex, cli->args[0], strlen(cli->args[0])) != 0))
		return tv_err_set(
			&cli->err, -EINVAL,
			"this run's foundation is %.12s, and not '%s'; a run has only its "
			"own",
			hex, cli->args[0]);
	int r = load_settings(w);
	w->lakehouse = strdup(env("TV_LAKEHOUSE_DIR"));
	if (r == 0 && !w->lakehouse)
		r = tv_err_nomem(&cli->err);
	return r < 0 ? r : tv_lakehouse_of_view(w->lakehouse, &w->foundation, &w->lake, &cli->err);
}

/* What the run's record says it is locked to. 1, 0 when there is no record. */
static int read_record(struct work *w, struct tv_rev *out)
{
	struct tv_err *err = &w->cli->err, why = TV_ERR_INIT;
	tv_autofree char *path = tv_path_join(w->run_dir, "config/run.json"), *text = NULL;
	tv_autojson cJSON *doc = NULL;
	size_t n;
	if (!path)
		return tv_err_nomem(err);
	int r = tv_io_read_file(-1, path, RECORD_MAX, &text, &n, &why);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return tv_err_set(err, r, "%s", why.text);
	r = tv_json_parse(text, n, &doc, err);
	if (r < 0)
		return tv_err_wrap(err, r, "'%s'", path);
	const char *commit = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(doc, "commit"));
	if (!commit || !tv_sha_from_hex(commit, &out->commit))
		return tv_err_set(err, -EINVAL, "'%s' names no commit", path);
	w->strict = w->strict ||
		    cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(doc, "strict_isolation"));
	return 1;
}

static int open_store(struct work *w)
{
	struct tv_cli *cli = w->cli;
	struct tv_store *s = cli->store;
	struct tv_rev asked, recorded;
	int r = read_record(w, &recorded);
	bool has_record = r == 1;
	if (r >= 0 && (cli->n_args || !has_record))
		r = tv_cli_rev(cli, cli->n_args ? cli->args[0] : NULL, &asked);
	if (r >= 0)
		r = tv_lease_take(s, has_record ? &recorded.commit : &asked.commit, "reader", "",
				  NULL, &w->lease, &cli->err);
	if (r == 0)
		r = tv_commit_get(s, &w->lease.commit, &w->commit, &cli->err);
	if (r < 0)
		return r;
	w->foundation = w->commit.root.sha;
	if (has_record && cli->n_args && !tv_sha_eq(&asked.foundation, &w->foundation))
		return tv_err_set(&cli->err, -EINVAL,
				  "the run in '%s' is locked to another foundation than '%s'",
				  w->run_dir, cli->args[0]);
	return tv_lakehouse_of_tree(s, tv_store_nodes(s), &w->commit.root, &w->lake, &cli->err);
}

static int open_foundation(struct work *w)
{
	struct tv_cli *cli = w->cli;
	struct tv_cycle settings = { .cli = cli };
	int r;
	if (is_inside(w)) {
		r = open_view(w);
	} else {
		r = tv_cli_open(cli);
		if (r == 0)
			r = open_store(w);
		w->lakehouse =
			r == 0 ? tv_path_join(cli->settings->project, cli->settings->lakehouse)
			       : NULL;
	}
	if (r == 0)
		r = tv_cycle_settings(&settings);
	w->fresh_ns = settings.fresh_ns;
	return r;
}

/* --- candidates -------------------------------------------------------------------------------- */

static int load_candidates(struct work *w)
{
	struct tv_cli *cli = w->cli;
	const char *path;
	int r = 0;
	for (unsigned i = 0; r == 0 && (path = tv_cli_option_at(cli, "candidates", i)); i++) {
		if (w->strict && w->lakehouse)
			r = tv_shared_list_refuse(w->lakehouse, path, &cli->err);
		if (r == 0)
			r = tv_candidates_load(&w->candidates, AT_FDCWD, path, &cli->err);
	}
	if (r == 0 && !w->candidates.n && !w->candidates.n_faults)
		r = tv_err_set(&cli->err, -EINVAL, "no list names a symbol");
	return r;
}

static int open_data(struct work *w)
{
	struct tv_err *err = &w->cli->err;
	tv_autofree char *path = tv_path_join(w->run_dir, "data");
	int r = path ? tv_io_mkdirs(AT_FDCWD, path, 0777, err) : tv_err_nomem(err);
	if (r < 0)
		return r;
	w->data = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return w->data < 0 ? tv_err_sys(err, -errno, "cannot open '%s'", path) : 0;
}

/* --- the report -------------------------------------------------------------------------------- */

static cJSON *document(const struct work *w, int r)
{
	const struct tv_selection *s = &w->selection;
	cJSON *doc = cJSON_CreateObject();
	tv_json_sha(doc, "foundation_hash", &w->foundation);
	if (r == 0) {
		tv_autofree char *data = tv_path_join(w->run_dir, "data");
		cJSON_AddNumberToObject(doc, "selected", (double)s->n);
		cJSON_AddNumberToObject(doc, "copied", (double)s->copied);
		tv_json_add_u64(doc, "bytes", s->bytes);
		cJSON_AddBoolToObject(doc, "unchanged", s->unchanged);
		tv_json_add_bytes(doc, "data", data ? data : "", data ? strlen(data) : 0);
		cJSON_AddStringToObject(doc, "list", TV_SELECTED_FILE);
		return doc;
	}
	cJSON *list = cJSON_AddArrayToObject(doc, "missing");
	for (size_t i = 0; i < s->n_faults; i++) {
		cJSON *o = cJSON_CreateObject();
		const struct tv_select_fault *f = &s->faults[i];
		tv_json_add_bytes(o, "symbol", f->symbol, strlen(f->symbol));
		tv_json_add_bytes(o, "reason", f->reason, strlen(f->reason));
		cJSON_AddItemToArray(list, o);
	}
	return doc;
}

static void print_faults(struct work *w)
{
	const struct tv_selection *s = &w->selection;
	FILE *out = tv_cli_errors(w->cli);
	for (size_t i = 0; i < s->n_faults && i < SHOWN; i++) {
		fputs("  ", out);
		tv_cli_put_name(out, s->faults[i].symbol);
		fputs(*s->faults[i].symbol ? "  " : "", out);
		tv_cli_put_name(out, s->faults[i].reason);
		fputc('\n', out);
	}
	if (s->n_faults > SHOWN)
		fprintf(out, "  and %zu more (--json has all)\n", s->n_faults - SHOWN);
}

static int tell(struct work *w, int r)
{
	struct tv_cli *cli = w->cli;
	const struct tv_selection *s = &w->selection;
	char size[16];
	if (cli->json) {
		cJSON *doc = document(w, r);
		if (r == 0)
			return tv_cli_json(cli, doc);
		cli->details = doc;
		return r;
	}
	if (r < 0) {
		print_faults(w);
		return r;
	}
	tv_cli_size(s->bytes, size);
	FILE *out = tv_cli_out(cli);
	fprintf(out, "%zu assets, %s, %zu copied%s\n%s/data/%s\n", s->n, size, s->copied,
		s->unchanged ? ", nothing changed" : "", w->run_dir, TV_SELECTED_FILE);
	return 0;
}

int tv_cmd_select(struct tv_cli *cli)
{
	tv_auto(work_free) struct work w = {
		.cli = cli, .commit = TV_COMMIT_INIT, .candidates = TV_CANDIDATES_INIT, .data = -1
	};
	if (!tv_cli_has(cli, "candidates"))
		return tv_cli_usage(cli, "which candidates? give --candidates");
	int r = tv_offline(&cli->err);
	if (r == 0)
		r = find_run(&w);
	if (r == 0)
		r = open_foundation(&w);
	if (r == 0)
		r = load_candidates(&w);
	if (r == 0)
		r = open_data(&w);
	if (r < 0)
		return r;
	const struct tv_select_how how = {
		.candidates = &w.candidates,
		.foundation = &w.foundation,
		.now_s = tv_now_ns() / SECOND,
		.fresh_s = w.fresh_ns / SECOND,
		.data = w.data,
		.progress = tv_cli_progress(cli),
	};
	r = tv_select(w.lake, &how, &w.selection, &cli->err);
	return r == 0 || r == -TV_E_MISSING ? tell(&w, r) : r;
}
