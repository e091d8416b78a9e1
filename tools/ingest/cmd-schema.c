#include <fcntl.h>
#include <string.h>

#include "ingest/json-span.h"
#include "ingest/schema.h"
#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/json.h"
#include "tools/ingest/commands.h"

struct job {
	struct tv_cli *cli;
	struct tv_duck *duck;
	struct tv_schema *schema;
	cJSON *doc;	 /* with --json: the list of files */
	cJSON *findings; /* of the file at hand */
	unsigned bad;	 /* files */
	unsigned told;	 /* findings, of all files */
};

/* Without a file: the schema itself. */
static int print_schema(struct tv_cli *cli)
{
	const char *text = tv_schema_text();
	if (!cli->json) {
		fputs(text, tv_cli_out(cli));
		return 0;
	}
	cJSON *doc = NULL;
	int r = tv_json_parse(text, strlen(text), &doc, &cli->err);
	return r < 0 ? r : tv_cli_json(cli, doc);
}

static int found(void *arg, const struct tv_schema_finding *f, struct tv_err *err)
{
	struct job *job = arg;
	(void)err;
	job->told++;
	if (job->findings) {
		cJSON *o = cJSON_CreateObject();
		if (f->column)
			tv_json_add_bytes(o, "column", f->column, strlen(f->column));
		if (f->row >= 0)
			cJSON_AddNumberToObject(o, "row", (double)f->row);
		tv_json_add_bytes(o, "what", f->what, strlen(f->what));
		cJSON_AddItemToArray(job->findings, o);
		return 0;
	}
	FILE *out = tv_cli_out(job->cli);
	tv_cli_put_name(out, f->file);
	if (f->column) {
		fputs(": ", out);
		tv_cli_put_name(out, f->column);
	}
	if (f->row >= 0)
		fprintf(out, ", row %lld", (long long)f->row);
	fprintf(out, ": %s\n", f->what);
	return 0;
}

static int check_parquet(struct job *job, const char *path, const struct tv_schema_file *schema)
{
	const struct tv_schema_findings findings = { found, job };
	struct tv_err *err = &job->cli->err;
	tv_autoclose int fd = tv_parquet_open(AT_FDCWD, path, err);
	const struct tv_parquet file = { job->duck, path, fd };
	return fd < 0 ? fd : tv_schema_check(schema, &file, &findings, err);
}

static int check_json(struct job *job, const char *path, const struct tv_schema_file *schema)
{
	const struct tv_schema_findings findings = { found, job };
	struct tv_err *err = &job->cli->err;
	tv_autofree char *text = NULL;
	size_t n;
	int r = tv_io_read_file(AT_FDCWD, path, TV_JSON_SPAN_BYTES, &text, &n, err);
	return r < 0 ? r : tv_schema_check_json(schema, path, text, n, &findings, err);
}

static int check(struct job *job, const char *path, const struct tv_schema_file *schema)
{
	struct tv_err *err = &job->cli->err;
	unsigned told = job->told;
	int r = schema->format == TV_SCHEMA_PARQUET ? check_parquet(job, path, schema)
						    : check_json(job, path, schema);
	if (r != -TV_E_GATE)
		return r;
	job->bad++;
	/* What cannot be read at all is a finding, too; the other files are looked at all the same. */
	const struct tv_schema_finding unread = { path, NULL, -1, err->text };
	r = job->told == told ? found(job, &unread, err) : 0;
	tv_err_clear(err);
	return r;
}

static int check_file(struct job *job, const char *path)
{
	const struct tv_schema_file *schema = tv_schema_find(job->schema, path);
	bool checked = schema && schema->format != TV_SCHEMA_PICKLE;
	if (job->doc) {
		cJSON *o = cJSON_CreateObject();
		tv_json_add_bytes(o, "path", path, strlen(path));
		cJSON_AddStringToObject(o, "kind", schema ? schema->name : "");
		cJSON_AddBoolToObject(o, "checked", checked);
		job->findings = cJSON_AddArrayToObject(o, "findings");
		cJSON_AddItemToArray(job->doc, o);
	}
	if (checked)
		return check(job, path, schema);
	tv_cli_note(job->cli, "'%s' is not checked: %s", path,
		    schema ? "it is a pickle" : "the schema has no such file");
	return 0;
}

static int check_files(struct job *job)
{
	struct tv_cli *cli = job->cli;
	int r = tv_schema_parse(tv_schema_text(), &job->schema, &cli->err);
	if (r == 0)
		r = tv_duck_open(NULL, &job->duck, &cli->err);
	for (int i = 0; i < cli->n_args && r == 0; i++)
		r = check_file(job, cli->args[i]);
	if (r == 0 && job->bad)
		r = tv_err_set(&cli->err, -TV_E_GATE, "%u of %d files do not follow the schema",
			       job->bad, cli->n_args);
	return r;
}

int tv_cmd_schema(struct tv_cli *cli)
{
	struct job job = { .cli = cli };
	if (!cli->n_args)
		return print_schema(cli);
	tv_autojson cJSON *doc = cli->json ? cJSON_CreateObject() : NULL;
	if (doc)
		job.doc = cJSON_AddArrayToObject(doc, "files");
	int r = check_files(&job);
	tv_duck_close(job.duck);
	tv_schema_free(job.schema);
	if (!doc)
		return r;
	if (r == 0)
		return tv_cli_json(cli, tv_steal_ptr(&doc));
	cli->details = tv_steal_ptr(&doc);
	return r;
}
