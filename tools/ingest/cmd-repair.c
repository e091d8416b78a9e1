#include <string.h>

#include "ingest/repair.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "tools/authored.h"
#include "tools/ingest/commands.h"
#include "tools/ingest/cycle.h"

#define SHOWN 100 /* ranges of an outcome that a table shows */

struct call {
	struct tv_cycle cycle;
	struct tv_authored by;
	struct tv_secrets *secrets;
	struct tv_repair_report report;
	bool check;
	size_t max_open; /* gaps, with --check */
};

static void call_free(struct call *call)
{
	tv_repair_report_free(&call->report);
	tv_cycle_close(&call->cycle);
	tv_secrets_free(call->secrets);
}

/* --- the report -------------------------------------------------------------------------------- */

static void print_range(FILE *out, const struct tv_repair_range *range)
{
	char first[TV_DAY_TEXT], last[TV_DAY_TEXT];
	fprintf(out, "  %-11s ", tv_repair_outcome_text(range->outcome));
	tv_cli_put_name(out, range->symbol);
	if (!range->whole) {
		tv_calendar_day_text(range->gap.first * TV_DAY_SECONDS, first);
		tv_calendar_day_text(range->gap.last * TV_DAY_SECONDS, last);
		fprintf(out, "  %s to %s  %zu sessions", first, last, range->gap.sessions);
	}
	if (range->added)
		fprintf(out, ", %zu rows added", range->added);
	if (range->reason) {
		fputs(range->whole ? "  " : "; ", out);
		tv_cli_put_name(out, range->reason);
	}
	fputc('\n', out);
}

static void print_report(const struct call *call)
{
	const struct tv_repair_report *report = &call->report;
	FILE *out = tv_cli_out(call->cycle.cli);
	for (int outcome = 0; outcome < TV_REPAIR_OUTCOMES; outcome++) {
		size_t shown = 0;
		for (size_t i = 0; i < report->n; i++)
			if ((int)report->ranges[i].outcome == outcome && shown++ < SHOWN)
				print_range(out, &report->ranges[i]);
		if (shown > SHOWN)
			fprintf(out, "  %-11s and %zu more (--json has all)\n",
				tv_repair_outcome_text(outcome), shown - SHOWN);
	}
	fprintf(out, "%zu symbols: ", report->symbols);
	for (int outcome = 0; outcome < TV_REPAIR_OUTCOMES; outcome++)
		if (report->times[outcome])
			fprintf(out, "%zu %s, ", report->times[outcome],
				tv_repair_outcome_text(outcome));
	fprintf(out, "%zu permanent before, %zu rows added\n", report->permanent, report->added);
	if (!report->published.unchanged)
		tv_cycle_print_published(&call->cycle, &report->published);
	else if (!call->check)
		fputs("nothing to publish\n", out);
}

static cJSON *report_json(const struct call *call)
{
	const struct tv_repair_report *report = &call->report;
	cJSON *doc = tv_repair_report_json(report, true);
	if (!doc)
		return NULL;
	cJSON_AddBoolToObject(doc, "check", call->check);
	cJSON_AddBoolToObject(doc, "unchanged", report->published.unchanged);
	cJSON_AddBoolToObject(doc, "merged", report->published.merged);
	if (!report->published.unchanged)
		cJSON_AddStringToObject(doc, "trace_id", call->by.trace_id);
	if (!call->check)
		tv_cycle_add_published(&call->cycle, &report->published, doc);
	return doc;
}

/* 13 when something was refused, or more is open than the settings let pass; 15 when something is missing. */
static int verdict(const struct call *call)
{
	const struct tv_repair_report *report = &call->report;
	struct tv_err *err = &call->cycle.cli->err;
	size_t open = report->times[TV_REPAIR_OPEN];
	if (report->times[TV_REPAIR_QUARANTINED])
		return tv_err_set(err, -TV_E_GATE, "what came for %zu of %zu gaps was quarantined",
				  report->times[TV_REPAIR_QUARANTINED], report->n);
	if (call->check && open > call->max_open)
		return tv_err_set(err, -TV_E_GATE,
				  "%zu gaps are open, and gates.max_open_gaps is %zu; "
				  "'tvfs repair' fetches them",
				  open, call->max_open);
	if (report->times[TV_REPAIR_FAILED])
		return tv_err_set(err, -TV_E_MISSING, "%zu of %zu gaps could not be %s",
				  report->times[TV_REPAIR_FAILED], report->n,
				  call->check ? "looked for" : "fetched");
	return 0;
}

static int tell(struct call *call)
{
	struct tv_cli *cli = call->cycle.cli;
	int r = verdict(call);
	if (!cli->json) {
		print_report(call);
		return r;
	}
	cJSON *doc = report_json(call);
	if (!doc)
		return tv_err_nomem(&cli->err);
	if (r == 0)
		return tv_cli_json(cli, doc);
	cli->details = doc;
	return r;
}

/* --- the command ------------------------------------------------------------------------------- */

static int repair(struct call *call, size_t max_fills)
{
	const struct tv_cycle *c = &call->cycle;
	struct tv_cli *cli = c->cli;
	const struct tv_repair_how how = {
		.ingest = {
			.sources = cli->settings->sources,
			.gates = cli->settings->gates,
			.exchanges = c->exchanges,
			.secrets = call->secrets,
			.limits = c->limits,
			.now_s = tv_now_ns() / 1000000000,
			.spool = -1,
			.author = call->by.author,
			.message = call->by.message,
			.trace_id = call->by.trace_id,
			.progress = tv_cli_progress(cli),
		},
		.max_fills = max_fills,
		.check = call->check,
	};
	return tv_repair(c->lake, c->duck, &how, &call->report, &cli->err);
}

static int read_max_open(struct call *call)
{
	struct tv_cli *cli = call->cycle.cli;
	struct tv_gates_rules rules;
	int r = tv_gates_rules_read(cli->settings->gates, "", TV_CRYPTO_UNKNOWN, &rules, &cli->err);
	if (r == 0)
		call->max_open = rules.max_open_gaps;
	return r;
}

int tv_cmd_repair(struct tv_cli *cli)
{
	tv_auto(call_free) struct call call = {
		.cycle = { .cli = cli },
		.by = { .trace_id = "" },
		.report = TV_REPAIR_REPORT_INIT,
		.check = tv_cli_has(cli, "check"),
	};
	unsigned long fills = 0;
	int r = tv_secrets_guard_process(&cli->err);
	if (r == 0)
		r = tv_cycle_count_option(cli, "max-fills", &fills);
	if (r == 0)
		r = tv_authored(cli, "repair", &call.by);
	if (r == 0)
		r = tv_cycle_open(cli, &call.cycle);
	if (r == 0)
		r = read_max_open(&call);
	if (r == 0)
		r = tv_secrets_new(&call.secrets, &cli->err);
	if (r == 0)
		r = repair(&call, fills ? fills : SIZE_MAX);
	if (r == 0)
		r = tv_cycle_bring_live(&call.cycle, &call.report.published);
	return r < 0 ? r : tell(&call);
}
