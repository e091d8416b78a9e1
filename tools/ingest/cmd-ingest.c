#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ingest/catalog.h"
#include "ingest/ingest.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/json.h"
#include "tools/authored.h"
#include "tools/ingest/commands.h"
#include "tools/ingest/cycle.h"

#define SHOWN 50 /* symbols of an outcome that a table shows */

/* A word of the call: a file or folder of candidates, or EXCHANGE:SYMBOL. */
static int add_word(struct tv_cli *cli, struct tv_candidates *all, const char *word)
{
	tv_autofree char *list = NULL;
	if (!strchr(word, ':') || access(word, F_OK) == 0)
		return tv_candidates_load(all, AT_FDCWD, word, &cli->err);
	tv_autojson cJSON *one = cJSON_CreateStringArray(&word, 1);
	list = one ? cJSON_PrintUnformatted(one) : NULL;
	return list ? tv_candidates_add(all, word, list, strlen(list), &cli->err)
		    : tv_err_nomem(&cli->err);
}

static int load_candidates(struct tv_cli *cli, struct tv_candidates *out)
{
	for (int i = 0; i < cli->n_args; i++) {
		int r = add_word(cli, out, cli->args[i]);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < out->n_faults; i++)
		tv_cli_note(cli, "%s", out->faults[i].message);
	if (!out->n)
		return tv_err_set(&cli->err, -EINVAL, "no list names a symbol");
	return 0;
}

/* --- the report -------------------------------------------------------------------------------- */

static void print_item(FILE *out, const struct tv_ingested *item)
{
	char first[11] = "", last[11] = "";
	fprintf(out, "  %-11s ", tv_outcome_text(item->outcome));
	tv_cli_put_name(out, item->symbol);
	if (item->rows && tv_catalog_day(item->first_s, first, NULL) == 0 &&
	    tv_catalog_day(item->last_s, last, NULL) == 0)
		fprintf(out, "  %zu rows, %zu new, %s to %s, quality %.4g", item->rows, item->added,
			first, last, item->score);
	if (item->reason) {
		fputs(item->rows ? "; " : "  ", out);
		tv_cli_put_name(out, item->reason);
	}
	fputc('\n', out);
}

static void print_report(struct tv_cycle *c, const struct tv_ingest_report *report)
{
	FILE *out = tv_cli_out(c->cli);
	for (int outcome = 0; outcome < TV_OUTCOMES; outcome++) {
		size_t shown = 0;
		for (size_t i = 0; i < report->n && outcome != TV_SKIPPED; i++)
			if ((int)report->items[i].outcome == outcome && shown++ < SHOWN)
				print_item(out, &report->items[i]);
		if (shown > SHOWN)
			fprintf(out, "  %-11s and %zu more (--json has all)\n",
				tv_outcome_text(outcome), shown - SHOWN);
	}
	for (int outcome = 0; outcome < TV_OUTCOMES; outcome++)
		fprintf(out, "%s%zu %s", outcome ? ", " : "", report->times[outcome],
			tv_outcome_text(outcome));
	fputc('\n', out);
	if (report->published.unchanged)
		fputs("nothing to publish\n", out);
	else
		tv_cycle_print_published(c, &report->published);
}

static cJSON *report_json(const struct tv_cycle *c, const struct tv_ingest_report *report,
			  const char *trace_id)
{
	cJSON *doc = tv_ingest_report_json(report, true);
	if (!doc)
		return NULL;
	cJSON_AddBoolToObject(doc, "unchanged", report->published.unchanged);
	cJSON_AddBoolToObject(doc, "merged", report->published.merged);
	if (!report->published.unchanged)
		cJSON_AddStringToObject(doc, "trace_id", trace_id);
	cJSON *seconds = cJSON_AddObjectToObject(doc, "seconds");
	cJSON_AddNumberToObject(seconds, "storing", (double)report->storing_ns / 1e9);
	cJSON_AddNumberToObject(seconds, "publishing", (double)report->publishing_ns / 1e9);
	tv_cycle_add_published(c, &report->published, doc);
	return doc;
}

/* 13 when something was refused, 15 when something is missing. */
static int verdict(struct tv_cli *cli, const struct tv_ingest_report *report)
{
	if (report->times[TV_QUARANTINED])
		return tv_err_set(&cli->err, -TV_E_GATE, "%zu of %zu symbols were quarantined",
				  report->times[TV_QUARANTINED], report->n);
	if (report->times[TV_FAILED])
		return tv_err_set(&cli->err, -TV_E_MISSING,
				  "%zu of %zu symbols could not be fetched",
				  report->times[TV_FAILED], report->n);
	return 0;
}

static int tell(struct tv_cycle *c, const struct tv_ingest_report *report, const char *trace_id)
{
	struct tv_cli *cli = c->cli;
	int r = verdict(cli, report);
	if (!cli->json) {
		print_report(c, report);
		return r;
	}
	cJSON *doc = report_json(c, report, trace_id);
	if (!doc)
		return tv_err_nomem(&cli->err);
	if (r == 0)
		return tv_cli_json(cli, doc);
	cli->details = doc;
	return r;
}

/* --- the command ------------------------------------------------------------------------------- */

static int ingest(struct tv_cycle *c, const struct tv_candidates *candidates,
		  const struct tv_authored *by, struct tv_secrets *secrets,
		  struct tv_ingest_report *report)
{
	struct tv_cli *cli = c->cli;
	tv_autoclose int spool = tv_cycle_spool(c);
	if (spool < 0)
		return spool;
	const struct tv_ingest_how how = {
		.candidates = candidates,
		.sources = cli->settings->sources,
		.gates = cli->settings->gates,
		.exchanges = c->exchanges,
		.secrets = secrets,
		.limits = c->limits,
		.now_s = tv_now_ns() / 1000000000,
		.fresh_s = c->fresh_ns / 1000000000,
		.start_s = c->start_s,
		.overlap_days = c->overlap_days,
		.accept_restatement = tv_cli_has(cli, "accept-restatement"),
		.spool = spool,
		.author = by->author,
		.message = by->message,
		.trace_id = by->trace_id,
		.progress = tv_cli_progress(cli),
	};
	return tv_ingest(c->lake, c->duck, &how, report, &cli->err);
}

int tv_cmd_ingest(struct tv_cli *cli)
{
	tv_autocandidates struct tv_candidates candidates = TV_CANDIDATES_INIT;
	tv_auto(tv_secrets_free_p) struct tv_secrets *secrets = NULL;
	tv_auto_ingest_report struct tv_ingest_report report = TV_INGEST_REPORT_INIT;
	tv_autocycle struct tv_cycle c = { .cli = cli };
	struct tv_authored by = { .trace_id = "" };

	int r = tv_secrets_guard_process(&cli->err);
	if (r == 0)
		r = tv_authored(cli, "ingest", &by);
	if (r == 0)
		r = load_candidates(cli, &candidates);
	if (r == 0)
		r = tv_cycle_open(cli, &c);
	if (r == 0)
		r = tv_secrets_new(&secrets, &cli->err);
	if (r == 0)
		r = ingest(&c, &candidates, &by, secrets, &report);
	if (r == 0)
		r = tv_cycle_bring_live(&c, &report.published);
	return r < 0 ? r : tell(&c, &report, by.trace_id);
}
