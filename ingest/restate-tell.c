/* A restatement in findings and in JSON. */
#include <math.h>
#include <stdio.h>

#include "ingest/restate.h"
#include "store/base/cleanup.h"

#define GUESS_TEXT 64

/* What makes such a factor: N new shares for M old ones, or a dividend that is taken out of prices. */
static void guess(double factor, char out[GUESS_TEXT])
{
	double ratio = factor < 1 ? 1 / factor : factor;
	out[0] = '\0';
	for (int old = 1; old <= 2 && ratio > 1.4; old++) {
		double news = round(ratio * old);
		if (fabs(ratio * old - news) > 0.005 * ratio * old)
			continue;
		snprintf(out, GUESS_TEXT, ", as after a split of %.0f to %.0f",
			 factor < 1 ? news : old, factor < 1 ? old : news);
		return;
	}
	if (factor < 1 && factor > 0.8)
		snprintf(out, GUESS_TEXT, ", as after a dividend of %.2g %%", (1 - factor) * 100);
}

static struct tv_finding at(const struct tv_restated *row, bool accepted)
{
	bool is_gone = row->kind == TV_RESTATE_VANISHED;
	return (struct tv_finding){
		.gate = TV_GATE_RESTATEMENT,
		.severity = row->beyond && !accepted ? TV_REFUSE : TV_RECORD,
		.row = row->row,
		.rows = 1,
		.timestamp = is_gone ? row->before.timestamp : row->after.timestamp,
	};
}

static int tell_row(const struct tv_restated *row, bool accepted, struct tv_findings *f,
		    struct tv_err *err)
{
	struct tv_finding where = at(row, accepted);
	const struct tv_bar *a = &row->before, *b = &row->after;
	const char *yes = row->beyond && accepted ? " (accepted)" : "";
	if (row->kind == TV_RESTATE_VANISHED)
		return tv_findings_add(f, &where, err, "is gone; its close was %.10g%s", a->close,
				       yes);
	if (row->kind == TV_RESTATE_ADDED)
		return tv_findings_add(f, &where, err, "is new in the past; its close is %.10g",
				       b->close);
	const struct {
		const char *name;
		double was, is;
	} columns[] = { { "close", a->close, b->close },
			{ "open", a->open, b->open },
			{ "high", a->high, b->high },
			{ "low", a->low, b->low },
			{ "volume", a->volume, b->volume } };
	size_t c = 0;
	while (c + 1 < TV_ARRAY_LEN(columns) && columns[c].was == columns[c].is)
		c++;
	return tv_findings_add(f, &where, err, "%s is %.10g and was %.10g, %+.4g %%%s",
			       columns[c].name, columns[c].is, columns[c].was,
			       (columns[c].is / columns[c].was - 1) * 100, yes);
}

/* All rows that are scaled, as one finding. */
static int tell_scaled(const struct tv_restatement *r, const struct tv_restated *first,
		       bool accepted, struct tv_findings *f, struct tv_err *err)
{
	char why[GUESS_TEXT];
	struct tv_finding where = at(first, accepted);
	where.severity = accepted ? TV_RECORD : TV_REFUSE;
	where.rows = r->scaled;
	guess(r->factor, why);
	return tv_findings_add(f, &where, err, "the prices of %zu rows are multiplied by %.6g%s%s",
			       r->scaled, r->factor, why, accepted ? " (accepted)" : "");
}

int tv_restate_tell(const struct tv_restatement *r, bool accepted, struct tv_findings *f,
		    struct tv_err *err)
{
	bool accept = accepted && !r->needs_all, told = false;
	int code = 0;
	for (size_t i = 0; i < r->n && code == 0; i++) {
		const struct tv_restated *row = &r->rows[i];
		bool scaled = r->factor > 0 && row->kind == TV_RESTATE_CHANGED && row->change > 0;
		if (!scaled)
			code = tell_row(row, accept, f, err);
		else if (!told)
			code = tell_scaled(r, row, accept, f, err);
		told = told || scaled;
	}
	for (size_t i = 0; i < r->n && code == 0 && r->needs_all; i++) {
		if (!r->rows[i].beyond)
			continue;
		struct tv_finding where = at(&r->rows[i], false);
		where.rows = 0;
		return tv_findings_add(
			f, &where, err,
			"older rows may be others, too, and were not fetched: accept this "
			"with all history fetched anew");
	}
	return code;
}

/* --- JSON --------------------------------------------------------------------------------------- */

static bool add_bar(cJSON *item, const char *key, const struct tv_bar *bar)
{
	const double values[] = { bar->open, bar->high, bar->low, bar->close, bar->volume };
	cJSON *list = cJSON_CreateDoubleArray(values, TV_BARS_VALUES);
	if (cJSON_AddItemToObject(item, key, list))
		return true;
	cJSON_Delete(list);
	return false;
}

static bool add_row(cJSON *list, const struct tv_restated *row)
{
	char day[TV_DAY_TEXT];
	cJSON *item = cJSON_CreateObject();
	if (!cJSON_AddItemToArray(list, item)) {
		cJSON_Delete(item);
		return false;
	}
	tv_calendar_day_text(at(row, false).timestamp, day);
	return cJSON_AddStringToObject(item, "day", day) &&
	       cJSON_AddStringToObject(item, "kind", tv_restate_kind_text(row->kind)) &&
	       cJSON_AddBoolToObject(item, "beyond", row->beyond) &&
	       (row->kind == TV_RESTATE_ADDED || add_bar(item, "before", &row->before)) &&
	       (row->kind == TV_RESTATE_VANISHED || add_bar(item, "after", &row->after));
}

cJSON *tv_restatement_json(const struct tv_restatement *r)
{
	tv_autojson cJSON *object = cJSON_CreateObject();
	bool good = object && tv_json_add_u64(object, "compared", r->compared);
	for (int k = 0; k < TV_RESTATE_KINDS && good; k++)
		good = tv_json_add_u64(object, tv_restate_kind_text((enum tv_restate_kind)k),
				       r->times[k]);
	good = good && tv_json_add_u64(object, "beyond", r->beyond) &&
	       cJSON_AddBoolToObject(object, "needs_all", r->needs_all);
	if (good && r->factor > 0)
		good = cJSON_AddNumberToObject(object, "factor", r->factor) &&
		       tv_json_add_u64(object, "scaled", r->scaled);
	cJSON *rows = good ? cJSON_AddArrayToObject(object, "rows") : NULL;
	good = rows != NULL;
	for (size_t i = 0; i < r->n && good; i++)
		good = add_row(rows, &r->rows[i]);
	return good ? tv_steal_ptr(&object) : NULL;
}
