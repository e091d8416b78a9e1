/* `tvfs audit`: every published asset judged again, and compared with what was published before. */
#include <fcntl.h>
#include <math.h>
#include <string.h>

#include "ingest/audit.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"
#include "tools/ingest/commands.h"
#include "tools/ingest/cycle.h"
#include "tools/render.h"

#define SHOWN 50 /* assets of a kind that the table shows */
#define SECOND INT64_C(1000000000)

struct work {
	struct tv_cycle cycle;
	struct tv_rev rev, against_rev;
	struct tv_lakehouse *against;
	const char *against_name; /* NULL: nothing is compared */
	struct tv_audit_report report;
	/* for tv_audit_about */
	char commit[TV_SHA_HEX], foundation[TV_SHA_HEX];
	char against_commit[TV_SHA_HEX], against_foundation[TV_SHA_HEX];
	char when[TV_TIME_TEXT];
	int64_t started, now;
};

static void work_free(struct work *w)
{
	tv_audit_report_free(&w->report);
	tv_lakehouse_free(w->against);
	tv_cycle_close(&w->cycle);
}

/* --- what is compared -------------------------------------------------------------------------- */

/* The commit before; none where history begins, or was forgotten. */
static int open_parent(struct work *w)
{
	struct tv_cli *cli = w->cycle.cli;
	tv_autocommit struct tv_commit now = TV_COMMIT_INIT, before = TV_COMMIT_INIT;
	struct tv_err why = TV_ERR_INIT;
	int r = tv_commit_get(cli->store, &w->rev.commit, &now, &cli->err);
	if (r < 0 || !now.n_parents)
		return r;
	r = tv_commit_get(cli->store, &now.parents[0], &before, &why);
	if (r == -ENOENT) {
		tv_cli_note(cli, "nothing is compared: the commit before was forgotten");
		return 0;
	}
	if (r < 0)
		return tv_err_set(&cli->err, r, "%s", why.text);
	w->against_rev.commit = before.id;
	w->against_rev.foundation = before.root.sha;
	w->against_name = "the commit before";
	return tv_lakehouse_of_commit(cli->store, &before.id, &w->against, &cli->err);
}

static int open_against(struct work *w)
{
	struct tv_cli *cli = w->cycle.cli;
	const char *text = tv_cli_option(cli, "against");
	if (!text)
		return w->cycle.folder ? 0 : open_parent(w);
	w->against_name = text;
	if (w->cycle.folder)
		return tv_lakehouse_of_folder(text, &w->against, &cli->err);
	int r = tv_cli_rev(cli, text, &w->against_rev);
	return r < 0 ? r
		     : tv_lakehouse_of_commit(cli->store, &w->against_rev.commit, &w->against,
					      &cli->err);
}

/* --- telling ----------------------------------------------------------------------------------- */

static struct tv_audit_about about(struct work *w)
{
	struct tv_audit_about out = {
		.folder = w->cycle.folder,
		.against = w->against_name,
		.when = w->when,
		.seconds = round((double)(tv_monotonic_ns() - w->started) / 1e6) / 1000,
	};
	tv_time_format(w->now / SECOND * SECOND, w->when);
	if (w->cycle.folder)
		return out;
	tv_sha_hex(&w->rev.commit, w->commit);
	tv_sha_hex(&w->rev.foundation, w->foundation);
	tv_sha_hex(&w->against_rev.commit, w->against_commit);
	tv_sha_hex(&w->against_rev.foundation, w->against_foundation);
	out.ref = w->cycle.ref;
	out.commit = w->commit;
	out.foundation = w->foundation;
	out.against_commit = w->against_name ? w->against_commit : NULL;
	out.against_foundation = w->against_name ? w->against_foundation : NULL;
	return out;
}

static void print_line(FILE *out, const char *kind, const struct tv_audited *item,
		       const char *reason)
{
	fprintf(out, "  %-12s ", kind);
	tv_cli_put_name(out, item->symbol ? item->symbol : item->file);
	fputs("  ", out);
	tv_cli_put_name(out, reason);
	fputc('\n', out);
}

static void print_more(FILE *out, const char *kind, size_t n)
{
	if (n > SHOWN)
		fprintf(out, "  %-12s and %zu more (--json has all)\n", kind, n - SHOWN);
}

static void print_kind(FILE *out, const struct tv_audit_report *report, unsigned kind)
{
	size_t shown = 0;
	for (size_t i = 0; i < report->n && report->times[kind]; i++) {
		const struct tv_audited *item = &report->items[i];
		for (size_t k = 0; k < item->n && !item->known; k++)
			if (item->findings[k].kind == kind && shown++ < SHOWN)
				print_line(out, tv_audit_kind_text(kind), item,
					   item->findings[k].reason);
	}
	print_more(out, tv_audit_kind_text(kind), shown);
}

static void print_quarantined(FILE *out, const struct tv_audit_report *report)
{
	size_t shown = 0;
	for (size_t i = 0; i < report->n; i++)
		if (report->items[i].known && shown++ < SHOWN)
			print_line(out, "quarantined", &report->items[i],
				   report->items[i].quarantine ? report->items[i].quarantine : "");
	print_more(out, "quarantined", shown);
}

static void print_recorded(FILE *out, const struct tv_audit_report *report)
{
	size_t n = 0;
	for (unsigned g = 0; g < TV_GATES; g++)
		if (report->recorded[g])
			fprintf(out, "%s%zu %s", n++ ? ", " : "recorded: ", report->recorded[g],
				tv_audit_kind_text(g));
	if (n)
		fputc('\n', out);
}

static void print_report(struct work *w, const struct tv_audit_about *about)
{
	const struct tv_audit_report *report = &w->report;
	FILE *out = tv_cli_out(w->cycle.cli);
	for (unsigned kind = 0; kind < TV_AUDIT_KINDS; kind++)
		print_kind(out, report, kind);
	print_quarantined(out, report);
	fprintf(out, "%zu assets, %zu with findings, %zu quarantined before\n", report->assets,
		report->found, report->quarantined);
	print_recorded(out, report);
	if (about->foundation)
		fprintf(out, "foundation %s\n", about->foundation);
	if (about->against) {
		fputs("against    ", out);
		tv_cli_put_name(out, about->against_foundation ? about->against_foundation
							       : about->against);
		fprintf(out, ": %zu assets are the same, %zu were compared\n", report->same,
			report->compared);
	} else {
		fputs("against    nothing\n", out);
	}
}

static int write_html(struct work *w, const char *path, const struct tv_audit_about *about)
{
	tv_autobuf struct tv_buf page = TV_BUF_INIT;
	struct tv_err *err = &w->cycle.cli->err;
	int r = tv_audit_html(&w->report, about, &page, err);
	return r < 0 ? r : tv_io_replace_file(AT_FDCWD, path, page.data, page.len, 0644, err);
}

static int tell(struct work *w)
{
	struct tv_cli *cli = w->cycle.cli;
	const struct tv_audit_about of = about(w);
	const char *path = tv_cli_option(cli, "html");
	int r = path ? write_html(w, path, &of) : 0;
	if (r == 0 && w->report.found)
		r = tv_err_set(&cli->err, -TV_E_GATE, "%zu assets have findings", w->report.found);
	if (!cli->json) {
		print_report(w, &of);
		return r;
	}
	cJSON *doc = tv_audit_json(&w->report, &of);
	if (!doc)
		return tv_err_nomem(&cli->err);
	if (r == 0)
		return tv_cli_json(cli, doc);
	cli->details = doc;
	return r;
}

/* --- the command ------------------------------------------------------------------------------- */

static int audit(struct work *w)
{
	struct tv_cli *cli = w->cycle.cli;
	const struct tv_audit_how how = {
		.lake = w->cycle.lake,
		.against = w->against,
		.duck = w->cycle.duck,
		.gates = cli->settings->gates,
		.now_s = w->now / SECOND,
		.fresh_s = w->cycle.fresh_ns / SECOND,
		.progress = tv_cli_progress(cli),
	};
	return tv_audit(&how, &w->report, &cli->err);
}

int tv_cmd_audit(struct tv_cli *cli)
{
	tv_auto(work_free) struct work w = { .report = TV_AUDIT_REPORT_INIT,
					     .started = tv_monotonic_ns(),
					     .now = tv_now_ns() };
	int r = tv_cycle_open_rev(cli, cli->n_args ? cli->args[0] : NULL, &w.cycle, &w.rev);
	if (r == 0)
		r = open_against(&w);
	if (r == 0)
		r = audit(&w);
	return r < 0 ? r : tell(&w);
}
