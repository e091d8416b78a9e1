#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/repair-priv.h"
#include "store/base/cleanup.h"

/* One asset that is looked at. */
struct look {
	struct tv_repair_job *job;
	const struct tv_asset *asset;
	const struct tv_source *source;
	size_t number;	/* of the asset */
	char *hopeless; /* owned: why no gap of it can be filled, or NULL */
	struct tv_err *err;
};

static int grow(struct tv_repair_job *job, struct tv_err *err)
{
	struct tv_repair_report *report = job->report;
	if (!report->ranges || report->n == report->cap) {
		size_t cap = report->cap ? 2 * report->cap : 64;
		struct tv_repair_range *ranges = reallocarray(report->ranges, cap, sizeof(*ranges));
		if (!ranges)
			return tv_err_nomem(err);
		report->ranges = ranges;
		report->cap = cap;
	}
	if (!job->work || report->n == job->cap_work) {
		struct tv_repair_work *work = reallocarray(job->work, report->cap, sizeof(*work));
		if (!work)
			return tv_err_nomem(err);
		job->work = work;
		job->cap_work = report->cap;
	}
	return 0;
}

/* Adds a range to the report; gap NULL: the symbol as a whole. */
static int add_range(const struct look *look, const struct tv_gap *gap,
		     enum tv_repair_outcome outcome, const char *reason)
{
	struct tv_repair_job *job = look->job;
	int r = grow(job, look->err);
	if (r < 0)
		return r;
	struct tv_repair_range *range = &job->report->ranges[job->report->n];
	*range = (struct tv_repair_range){ .symbol = strdup(look->asset->symbol), .whole = !gap };
	if (gap)
		range->gap = *gap;
	job->work[job->report->n++] =
		(struct tv_repair_work){ .item = TV_REPAIR_NO_ITEM, .rows = TV_BARS_INIT };
	return range->symbol ? tv_repair_end(range, outcome, reason, look->err)
			     : tv_err_nomem(look->err);
}

/* The item of the symbol that is looked at: the last one, or a new one behind it. */
static int item_of(const struct look *look, size_t *item)
{
	struct tv_repair_job *job = look->job;
	struct tv_ingest_report *items = &job->items;
	if (items->n && items->items[items->n - 1].symbol == look->asset->symbol) {
		*item = items->n - 1;
		return 0;
	}
	if (!items->items || items->n == job->cap_items) {
		size_t cap = job->cap_items ? 2 * job->cap_items : 64;
		struct tv_ingested *grown = reallocarray(items->items, cap, sizeof(*grown));
		if (!grown)
			return tv_err_nomem(look->err);
		items->items = grown;
		job->cap_items = cap;
	}
	*item = items->n;
	items->items[items->n++] = (struct tv_ingested){
		.symbol = look->asset->symbol,
		.file = strdup(look->asset->file),
		.source = tv_source_name(look->source),
		.outcome = TV_CONFIRMED,
	};
	return items->items[*item].file ? 0 : tv_err_nomem(look->err);
}

/* An open gap: told, failed, left for another call, or asked for. */
static int take_gap(const struct look *look, const struct tv_gap *gap)
{
	struct tv_repair_job *job = look->job;
	if (job->how->check)
		return add_range(look, gap, TV_REPAIR_OPEN, NULL);
	if (look->hopeless)
		return add_range(look, gap, TV_REPAIR_FAILED, look->hopeless);
	int r = add_range(look, gap, TV_REPAIR_LEFT, NULL);
	if (r < 0 || job->n_asked >= job->how->max_fills)
		return r;
	job->n_asked++;
	return item_of(look, &job->work[job->report->n - 1].item);
}

/* Why nothing can be filled into the published bars, whatever comes: they would not be published as they
 * are. */
static int find_fault(struct look *look, const struct tv_bars *bars,
		      const struct tv_gates_rules *rules)
{
	tv_autofindings struct tv_findings found = TV_FINDINGS_INIT;
	tv_autojudged struct tv_judged judged = TV_JUDGED_INIT;
	char reason[2 * TV_FINDING_TEXT];
	look->source = tv_ingest_source_of(&look->job->ingest, look->asset->symbol);
	if (!look->source) {
		look->hopeless = strdup("no source serves its exchange; add one to \"sources\"");
		return look->hopeless ? 0 : tv_err_nomem(look->err);
	}
	int r = tv_gates_judge(bars, rules, TV_GATES_NO_TIME, &found, &judged, look->err);
	if (r < 0)
		return r;
	tv_findings_reason(&found, reason, sizeof(reason));
	if (judged.n_cut && !*reason)
		snprintf(reason, sizeof(reason), "%zu rows would be cut", judged.n_cut);
	if (*reason &&
	    asprintf(&look->hopeless, "the published bars do not pass the gates: %s", reason) < 0) {
		look->hopeless = NULL;
		return tv_err_nomem(look->err);
	}
	return 0;
}

static int look_at_gaps(struct look *look, const struct tv_bars *bars,
			const struct tv_gates_rules *rules)
{
	tv_autogaps struct tv_gaps gaps = TV_GAPS_INIT;
	int r = tv_gaps_find(bars, rules, &gaps, look->err);
	bool judged = look->job->how->check;
	for (size_t i = 0; i < gaps.n && r == 0; i++) {
		const struct tv_gap *gap = &gaps.items[i];
		if (tv_gaps_cover(rules->permanent, gap->first, gap->last)) {
			look->job->report->permanent++;
			continue;
		}
		if (!judged)
			r = find_fault(look, bars, rules);
		judged = true;
		if (r == 0)
			r = take_gap(look, gap);
	}
	return r;
}

static int look_at(struct look *look)
{
	struct tv_repair_job *job = look->job;
	tv_autobars struct tv_bars bars = TV_BARS_INIT;
	tv_autogaps struct tv_gaps permanent = TV_GAPS_INIT;
	struct tv_gates_rules rules;
	struct tv_err why = TV_ERR_INIT;
	int r = tv_ingest_rules(&job->ingest, look->asset->symbol, &permanent, &rules, look->err);
	if (r < 0)
		return r;
	r = tv_assets_bars(&job->assets, look->number, &bars, &why);
	/* A file that cannot be read is this symbol's trouble alone. */
	if (r == -TV_E_GATE || r == -TV_E_DAMAGED || r == -TV_E_DIGEST)
		return add_range(look, NULL, TV_REPAIR_FAILED, why.text);
	if (r < 0)
		return tv_err_set(look->err, r, "%s: %s", look->asset->symbol, why.text);
	return look_at_gaps(look, &bars, &rules);
}

int tv_repair_plan(struct tv_repair_job *job, struct tv_err *err)
{
	const struct tv_assets *assets = &job->assets;
	int r = 0;
	for (size_t i = 0; i < assets->n && r == 0; i++) {
		if (tv_progress_step(job->how->ingest.progress, "looking for gaps", i, assets->n,
				     "symbols"))
			return tv_err_set(err, -TV_E_INTERRUPTED,
					  "stopped before anything was fetched");
		struct look look = {
			.job = job, .asset = &assets->items[i], .number = i, .err = err
		};
		if (tv_symbols_is_retired(&job->ingest.tables.symbols, look.asset->symbol))
			continue;
		job->report->symbols++;
		r = look_at(&look);
		free(look.hopeless);
	}
	return r;
}
