/* `tvfs features` and `tvfs matrix`: files that are made from the published bars. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/assets.h"
#include "ingest/features.h"
#include "ingest/matrix.h"
#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "tools/authored.h"
#include "tools/ingest/commands.h"
#include "tools/ingest/cycle.h"

struct work {
	struct tv_cycle cycle;
	struct tv_authored by;
	struct tv_tables tables;
	struct tv_assets assets;
	struct tv_symbol *symbols;
	struct tv_symbol_source source;
	struct tv_features_options features;
	struct tv_matrix_options matrix;
	struct tv_lakehouse_published done;
};

static void work_free(struct work *w)
{
	free(w->symbols);
	tv_assets_free(&w->assets);
	tv_tables_free(&w->tables);
	tv_cycle_close(&w->cycle);
}

static int begin(struct tv_cli *cli, struct work *w, const char *message)
{
	int r = tv_authored(cli, message, &w->by);
	if (r == 0)
		r = tv_cycle_open(cli, &w->cycle);
	if (r == 0)
		r = tv_tables_load(w->cycle.lake, w->cycle.duck, &w->tables, &cli->err);
	if (r == 0)
		r = tv_assets_load(w->cycle.lake, w->cycle.duck, &w->tables, &w->assets, &cli->err);
	if (r == 0 && !w->assets.n)
		r = tv_err_set(&cli->err, -TV_E_MISSING,
			       "the lakehouse has no files of daily bars (*_1d.parquet)");
	if (r == 0)
		r = tv_assets_source(&w->assets, &w->symbols, &w->source, &cli->err);
	w->assets.progress = tv_cli_progress(cli);
	return r;
}

/* A nameless file, as it may be large. */
static int make_file(struct work *w)
{
	tv_autoclose int spool = tv_cycle_spool(&w->cycle);
	if (spool < 0)
		return spool;
	int fd = openat(spool, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd < 0 ? tv_err_sys(&w->cycle.cli->err, -errno, "cannot make a file") : fd;
}

static int make_features(struct work *w)
{
	struct tv_err *err = &w->cycle.cli->err;
	tv_autoclose int technicals = make_file(w);
	tv_autoclose int matrix = technicals < 0 ? -1 : make_file(w);
	if (technicals < 0 || matrix < 0)
		return technicals < 0 ? technicals : matrix;
	int r = tv_features_write_both(&w->source, &w->features, technicals, matrix, err);
	tv_assets_rest(&w->assets);
	if (r == 0)
		r = tv_lakehouse_give(w->cycle.lake, "features/tv_technicals_1d.parquet",
				      technicals, err);
	return r < 0 ? r : tv_lakehouse_give(w->cycle.lake, "features_matrix.parquet", matrix, err);
}

static int make_matrix(struct work *w)
{
	struct tv_err *err = &w->cycle.cli->err;
	tv_autoclose int fd = make_file(w);
	if (fd < 0)
		return fd;
	int r = tv_matrix_write(&w->source, &w->matrix, fd, err);
	tv_assets_rest(&w->assets);
	return r < 0 ? r : tv_lakehouse_give(w->cycle.lake, "returns_matrix.parquet", fd, err);
}

/* Nobody can merge two versions of one such file: who was first is told. */
static int publish(struct work *w)
{
	const struct tv_lakehouse_publish how = {
		.author = w->by.author,
		.message = w->by.message,
		.trace_id = w->by.trace_id,
	};
	int r = tv_lakehouse_publish(w->cycle.lake, &how, &w->done, &w->cycle.cli->err);
	return r < 0 ? r : tv_cycle_bring_live(&w->cycle, &w->done);
}

static int tell(struct tv_cli *cli, struct work *w)
{
	if (cli->json) {
		cJSON *doc = cJSON_CreateObject();
		cJSON_AddNumberToObject(doc, "symbols", (double)w->assets.n);
		cJSON_AddBoolToObject(doc, "unchanged", w->done.unchanged);
		tv_cycle_add_published(&w->cycle, &w->done, doc);
		return tv_cli_json(cli, doc);
	}
	FILE *out = tv_cli_out(cli);
	fprintf(out, "%zu symbols%s\n", w->assets.n, w->done.unchanged ? ", nothing changed" : "");
	tv_cycle_print_published(&w->cycle, &w->done);
	return 0;
}

int tv_cmd_features(struct tv_cli *cli)
{
	tv_auto(work_free) struct work w = { .tables = TV_TABLES_INIT, .by = { .trace_id = "" } };
	unsigned long last = 0;
	int r = tv_cycle_count_option(cli, "last", &last);
	w.features.last = last;
	if (r == 0)
		r = begin(cli, &w, "features");
	if (r == 0)
		r = make_features(&w);
	if (r == 0)
		r = publish(&w);
	return r < 0 ? r : tell(cli, &w);
}

int tv_cmd_matrix(struct tv_cli *cli)
{
	tv_auto(work_free) struct work w = { .tables = TV_TABLES_INIT, .by = { .trace_id = "" } };
	const char *align = tv_cli_option(cli, "align");
	unsigned long lookback = 0;
	int r = tv_cycle_count_option(cli, "lookback", &lookback);
	w.matrix.lookback = (unsigned)lookback;
	if (r == 0 && align && strcmp(align, "inner") != 0 && strcmp(align, "outer") != 0)
		r = tv_cli_usage(cli, "--align takes inner or outer");
	w.matrix.alignment =
		align && strcmp(align, "outer") == 0 ? TV_MATRIX_OUTER : TV_MATRIX_INNER;
	if (r == 0)
		r = begin(cli, &w, "returns matrix");
	if (r == 0)
		r = make_matrix(&w);
	if (r == 0)
		r = publish(&w);
	return r < 0 ? r : tell(cli, &w);
}
