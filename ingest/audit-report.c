#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/audit-priv.h"
#include "store/base/cleanup.h"

const char *tv_audit_kind_text(unsigned kind)
{
	static const char *const texts[] = { "unreadable", "schema", "catalog", "shrunk",
					     "distribution" };
	return kind < TV_GATES ? tv_gate_text((enum tv_gate)kind) : texts[kind - TV_GATES];
}

static void finding_free(struct tv_audit_finding *f)
{
	for (size_t i = 0; i < f->n_told; i++)
		free(f->told[i]);
	free(f->told);
	free(f->reason);
	free(f->closes);
}

void tv_audited_free(struct tv_audited *item)
{
	for (size_t i = 0; i < item->n; i++)
		finding_free(&item->findings[i]);
	free(item->findings);
	free(item->quarantine);
	free(item->symbol);
	free(item->file);
	*item = (struct tv_audited){ .file = NULL };
}

void tv_audit_report_free(struct tv_audit_report *report)
{
	if (!report)
		return;
	for (size_t i = 0; i < report->n; i++)
		tv_audited_free(&report->items[i]);
	free(report->items);
	*report = TV_AUDIT_REPORT_INIT;
}

/* --- adding ------------------------------------------------------------------------------------ */

int tv_audit_add(struct tv_audited *item, unsigned kind, struct tv_audit_finding **out,
		 struct tv_err *err, const char *fmt, ...)
{
	va_list args;
	if (item->n == item->cap) {
		size_t cap = item->cap ? 2 * item->cap : 2;
		struct tv_audit_finding *grown = reallocarray(item->findings, cap, sizeof(*grown));
		if (!grown)
			return tv_err_nomem(err);
		item->findings = grown;
		item->cap = cap;
	}
	struct tv_audit_finding *f = &item->findings[item->n];
	*f = (struct tv_audit_finding){ .kind = kind, .times = 1 };
	va_start(args, fmt);
	int n = vasprintf(&f->reason, fmt, args);
	va_end(args);
	if (n < 0)
		return tv_err_nomem(err);
	item->n++;
	if (out)
		*out = f;
	return 0;
}

int tv_audit_tell(struct tv_audit_finding *f, const char *text, struct tv_err *err)
{
	if (f->n_told == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 4;
		char **grown = reallocarray(f->told, cap, sizeof(*grown));
		if (!grown)
			return tv_err_nomem(err);
		f->told = grown;
		f->cap = cap;
	}
	f->told[f->n_told] = strdup(text);
	if (!f->told[f->n_told])
		return tv_err_nomem(err);
	f->n_told++;
	return 0;
}

int tv_audit_keep_closes(struct tv_audit_finding *f, const struct tv_bars *bars, size_t row,
			 struct tv_err *err)
{
	size_t half = TV_AUDIT_CLOSES / 2, first = row > half ? row - half : 0;
	size_t end = bars->n - first < TV_AUDIT_CLOSES ? bars->n : first + TV_AUDIT_CLOSES;
	if (row >= bars->n || f->closes)
		return 0;
	f->closes = calloc(TV_AUDIT_CLOSES, sizeof(*f->closes));
	if (!f->closes)
		return tv_err_nomem(err);
	memcpy(f->closes, bars->close + first, (end - first) * sizeof(*f->closes));
	f->n_closes = end - first;
	f->at = row - first;
	return 0;
}

/* --- JSON -------------------------------------------------------------------------------------- */

static void add_text(cJSON *o, const char *key, const char *text)
{
	if (text)
		tv_json_add_bytes(o, key, text, strlen(text));
}

static void add_names(cJSON *o, const struct tv_audited *item)
{
	add_text(o, "symbol", item->symbol);
	add_text(o, "file", item->file);
}

static cJSON *finding_json(const struct tv_audited *item, const struct tv_audit_finding *f)
{
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "kind", tv_audit_kind_text(f->kind));
	add_names(o, item);
	tv_json_add_u64(o, "times", f->times);
	if (f->rows)
		tv_json_add_u64(o, "rows", f->rows);
	add_text(o, "reason", f->reason);
	cJSON *told = f->n_told ? cJSON_AddArrayToObject(o, "told") : NULL;
	for (size_t i = 0; i < f->n_told; i++)
		cJSON_AddItemToArray(told, cJSON_CreateString(f->told[i]));
	return o;
}

static cJSON *quarantined_json(const struct tv_audited *item)
{
	cJSON *o = cJSON_CreateObject();
	add_names(o, item);
	add_text(o, "reason", item->quarantine);
	cJSON *list = item->n ? cJSON_AddArrayToObject(o, "findings") : NULL;
	for (size_t i = 0; i < item->n; i++)
		cJSON_AddItemToArray(list, finding_json(item, &item->findings[i]));
	return o;
}

static void add_about(cJSON *doc, const struct tv_audit_about *about)
{
	add_text(doc, "folder", about->folder);
	add_text(doc, "ref", about->ref);
	add_text(doc, "commit", about->commit);
	add_text(doc, "foundation_hash", about->foundation);
	if (about->against) {
		cJSON *o = cJSON_AddObjectToObject(doc, "against");
		add_text(o, "name", about->against);
		add_text(o, "commit", about->against_commit);
		add_text(o, "foundation_hash", about->against_foundation);
	} else {
		cJSON_AddNullToObject(doc, "against");
	}
	add_text(doc, "when", about->when);
	cJSON_AddNumberToObject(doc, "seconds", about->seconds);
}

static void add_counts(cJSON *doc, const struct tv_audit_report *report)
{
	tv_json_add_u64(doc, "assets", report->assets);
	tv_json_add_u64(doc, "compared", report->compared);
	tv_json_add_u64(doc, "same", report->same);
	tv_json_add_u64(doc, "assets_with_findings", report->found);
	cJSON *counts = cJSON_AddObjectToObject(doc, "counts");
	for (unsigned k = 0; k < TV_AUDIT_KINDS; k++)
		if (report->times[k])
			tv_json_add_u64(counts, tv_audit_kind_text(k), report->times[k]);
	cJSON *recorded = cJSON_AddObjectToObject(doc, "recorded");
	for (unsigned g = 0; g < TV_GATES; g++)
		if (report->recorded[g])
			tv_json_add_u64(recorded, tv_audit_kind_text(g), report->recorded[g]);
}

cJSON *tv_audit_json(const struct tv_audit_report *report, const struct tv_audit_about *about)
{
	cJSON *doc = cJSON_CreateObject();
	cJSON_AddStringToObject(doc, "kind", "audit");
	add_about(doc, about);
	add_counts(doc, report);
	cJSON *findings = cJSON_AddArrayToObject(doc, "findings");
	cJSON *quarantined = cJSON_AddArrayToObject(doc, "quarantined");
	for (size_t i = 0; i < report->n; i++) {
		const struct tv_audited *item = &report->items[i];
		for (size_t k = 0; k < item->n && !item->known; k++)
			cJSON_AddItemToArray(findings, finding_json(item, &item->findings[k]));
		if (item->known)
			cJSON_AddItemToArray(quarantined, quarantined_json(item));
	}
	if (quarantined)
		return doc;
	cJSON_Delete(doc);
	return NULL;
}
