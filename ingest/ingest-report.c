#include <stdlib.h>
#include <string.h>

#include "ingest/catalog.h"
#include "ingest/ingest.h"

const char *tv_outcome_text(enum tv_outcome outcome)
{
	static const char *const texts[TV_OUTCOMES] = {
		"fetched", "confirmed", "skipped", "quarantined", "failed", "outrun",
	};
	return texts[outcome];
}

void tv_ingest_report_free(struct tv_ingest_report *report)
{
	if (!report)
		return;
	for (size_t i = 0; i < report->n; i++) {
		free(report->items[i].reason);
		free(report->items[i].file);
		cJSON_Delete(report->items[i].findings);
		cJSON_Delete(report->items[i].restatement);
	}
	free(report->items);
	*report = TV_INGEST_REPORT_INIT;
}

static void add_bars(cJSON *o, const struct tv_ingested *item)
{
	char first[11], last[11];
	cJSON_AddNumberToObject(o, "rows", (double)item->rows);
	cJSON_AddNumberToObject(o, "added", (double)item->added);
	if (tv_catalog_day(item->first_s, first, NULL) == 0 &&
	    tv_catalog_day(item->last_s, last, NULL) == 0) {
		cJSON_AddStringToObject(o, "start_date", first);
		cJSON_AddStringToObject(o, "end_date", last);
	}
	cJSON_AddNumberToObject(o, "data_quality_score", item->score);
}

static cJSON *item_json(const struct tv_ingested *item)
{
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "symbol", item->symbol);
	cJSON_AddStringToObject(o, "outcome", tv_outcome_text(item->outcome));
	if (item->reason)
		tv_json_add_bytes(o, "reason", item->reason, strlen(item->reason));
	if (item->rows)
		add_bars(o, item);
	if (item->tries)
		cJSON_AddNumberToObject(o, "tries", item->tries);
	if (item->spooled)
		cJSON_AddBoolToObject(o, "resumed", true);
	if (item->findings)
		cJSON_AddItemToObject(o, "findings", cJSON_Duplicate(item->findings, true));
	if (item->restatement)
		cJSON_AddItemToObject(o, "restatement", cJSON_Duplicate(item->restatement, true));
	return o;
}

cJSON *tv_ingest_report_json(const struct tv_ingest_report *report, bool all)
{
	cJSON *doc = cJSON_CreateObject(), *list;
	cJSON_AddStringToObject(doc, "kind", "ingest");
	for (int i = 0; i < TV_OUTCOMES; i++)
		cJSON_AddNumberToObject(doc, tv_outcome_text(i), (double)report->times[i]);
	list = cJSON_AddArrayToObject(doc, "symbols");
	for (size_t i = 0; i < report->n && list; i++) {
		const struct tv_ingested *item = &report->items[i];
		bool notable = item->outcome >= TV_QUARANTINED || item->restatement;
		if (all || notable)
			cJSON_AddItemToArray(list, item_json(item));
	}
	if (!list) {
		cJSON_Delete(doc);
		return NULL;
	}
	return doc;
}
