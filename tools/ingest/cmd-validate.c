#include <stdlib.h>
#include <string.h>

#include "ingest/catalog.h"
#include "ingest/duck.h"
#include "ingest/validate.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/lease.h"
#include "tools/ingest/commands.h"
#include "tools/render.h"

#define SECOND INT64_C(1000000000)
#define SHOWN 200 /* findings that a table shows */

struct work {
	struct tv_cli *cli;
	const char *folder; /* --folder, or NULL */
	const struct tv_setting_profile *profile;
	struct tv_rev rev;
	struct tv_commit commit;
	struct tv_lease lease;	   /* "" when there is none */
	struct tv_lakehouse *lake; /* of --folder */
	struct tv_duck *duck;
	struct tv_validate_file *files;
	struct tv_validated found;
};

static void work_free(struct work *w)
{
	tv_validated_free(&w->found);
	free(w->files);
	tv_duck_close(w->duck);
	tv_lakehouse_free(w->lake);
	if (*w->lease.id)
		tv_lease_drop(w->cli->store, w->lease.id, NULL);
	tv_commit_free(&w->commit);
}

static int open_rev(struct work *w)
{
	struct tv_cli *cli = w->cli;
	struct tv_store *s = cli->store;
	int r = tv_cli_rev(cli, cli->n_args ? cli->args[0] : NULL, &w->rev);
	if (r == 0)
		r = tv_lease_take(s, &w->rev.commit, "reader", "", NULL, &w->lease, &cli->err);
	return r < 0 ? r : tv_commit_get(s, &w->rev.commit, &w->commit, &cli->err);
}

static int open_all(struct work *w)
{
	struct tv_cli *cli = w->cli;
	const char *profile = tv_cli_option(cli, "profile");
	w->folder = tv_cli_option(cli, "folder");
	if (w->folder && cli->n_args)
		return tv_cli_usage(cli, "--folder and a revision exclude each other");
	int r = w->folder ? tv_settings_load(".", &cli->settings, &cli->err) : tv_cli_open(cli);
	if (r == 0)
		r = tv_settings_profile(cli->settings,
					profile ? profile : cli->settings->default_profile,
					&w->profile, &cli->err);
	if (r == 0)
		r = w->folder ? tv_lakehouse_of_folder(w->folder, &w->lake, &cli->err)
			      : open_rev(w);
	return r < 0 ? r : tv_duck_open(NULL, &w->duck, &cli->err);
}

static int take_files(struct work *w)
{
	const struct tv_setting_profile *p = w->profile;
	w->files = calloc(p->n_gates + 1, sizeof(*w->files));
	if (!w->files)
		return tv_err_nomem(&w->cli->err);
	for (size_t i = 0; i < p->n_gates; i++)
		w->files[i] = (struct tv_validate_file){ p->gates[i].file,
							 p->gates[i].max_age_ns / SECOND };
	return 0;
}

/* --- the report -------------------------------------------------------------------------------- */

static cJSON *document(const struct work *w, int r)
{
	const struct tv_validated *v = &w->found;
	cJSON *doc = cJSON_CreateObject();
	cJSON_AddBoolToObject(doc, "good", r == 0);
	cJSON_AddStringToObject(doc, "profile", w->profile->name);
	cJSON_AddNumberToObject(doc, "max_age", (double)w->profile->max_age_ns / 1e9);
	if (!w->folder) {
		tv_json_sha(doc, "foundation_hash", &w->commit.root.sha);
		tv_json_sha(doc, "commit", &w->commit.id);
	}
	cJSON_AddNumberToObject(doc, "assets", (double)v->assets);
	cJSON_AddNumberToObject(doc, "failing", (double)v->failing);
	cJSON_AddNumberToObject(doc, "old", (double)v->old);
	cJSON_AddNumberToObject(doc, "quarantined", (double)v->quarantined);
	cJSON_AddNumberToObject(doc, "judged", (double)v->judged);
	cJSON_AddNumberToObject(doc, "known", (double)v->known);
	if (v->newest_s != TV_CATALOG_UNKNOWN)
		tv_json_time(doc, "newest", v->newest_s * SECOND);
	cJSON *findings = tv_validated_json(v);
	if (!findings || !cJSON_AddItemToObject(doc, "findings", findings)) {
		cJSON_Delete(findings);
		cJSON_Delete(doc);
		return NULL;
	}
	return doc;
}

static void print(const struct work *w)
{
	const struct tv_validated *v = &w->found;
	FILE *out = tv_cli_out(w->cli);
	for (size_t i = 0; i < v->n && i < SHOWN; i++) {
		const struct tv_validate_finding *f = &v->findings[i];
		fputs("  ", out);
		tv_cli_put_name(out, f->subject);
		fprintf(out, "  %s: ", tv_check_text(f->check));
		tv_cli_put_name(out, f->reason);
		fputc('\n', out);
	}
	if (v->n > SHOWN)
		fprintf(out, "  and %zu more (--json has all)\n", v->n - SHOWN);
	fprintf(out, "%zu assets, %zu findings; %zu files judged, %zu known", v->assets, v->n,
		v->judged, v->known);
	if (v->quarantined)
		fprintf(out, "; %zu quarantined, an older version is in use", v->quarantined);
	if (v->old)
		fprintf(out, "; %zu not fetched of late", v->old);
	fputc('\n', out);
	if (!w->folder) {
		char hex[TV_SHA_HEX];
		tv_sha_hex(&w->commit.root.sha, hex);
		fprintf(out, "foundation %s\n", hex);
	}
}

static int tell(struct work *w, int r)
{
	struct tv_cli *cli = w->cli;
	if (!cli->json) {
		print(w);
		return r;
	}
	cJSON *doc = document(w, r);
	if (!doc)
		return tv_err_nomem(&cli->err);
	if (r == 0)
		return tv_cli_json(cli, doc);
	cli->details = doc;
	return r;
}

int tv_cmd_validate(struct tv_cli *cli)
{
	tv_auto(work_free) struct work w = { .cli = cli, .commit = TV_COMMIT_INIT };
	int r = open_all(&w);
	if (r == 0 && w.profile)
		r = take_files(&w);
	if (r < 0 || !w.profile)
		return r;
	const struct tv_validate_how how = {
		.gates = cli->settings->gates,
		.now_s = tv_now_ns() / SECOND,
		.max_age_s = w.profile->max_age_ns / SECOND,
		.cache = cli->store,
		.duck = w.duck,
		.files = w.files,
		.n_files = w.profile->n_gates,
		.progress = tv_cli_progress(cli),
	};
	r = w.lake ? tv_validate(w.lake, &how, &w.found, &cli->err)
		   : tv_validate_tree(cli->store, tv_store_nodes(cli->store), &w.commit.root, &how,
				      &w.found, &cli->err);
	return r == 0 || r == -TV_E_GATE || r == -TV_E_MISSING ? tell(&w, r) : r;
}
