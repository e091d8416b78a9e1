#include <stdio.h>
#include <string.h>

#include "ingest/schema-priv.h"
#include "store/base/buf.h"
#include "store/base/cleanup.h"

static int tell(struct tv_schema_teller *to, const struct tv_schema_finding *finding,
		struct tv_err *err)
{
	tv_autobuf struct tv_buf place = TV_BUF_INIT;
	tv_buf_addf(&place, "'%s'", to->file);
	if (finding->column)
		tv_buf_addf(&place, ", column '%s'", finding->column);
	if (finding->row >= 0)
		tv_buf_addf(&place, ", row %lld", (long long)finding->row);
	tv_autofree char *text = tv_buf_steal_str(&place);
	if (!text)
		return tv_err_nomem(err);
	if (!to->first.code)
		tv_err_set(&to->first, -TV_E_GATE, "%s: %s", text, finding->what);
	return to->findings && to->findings->found
		       ? to->findings->found(to->findings->arg, finding, err)
		       : 0;
}

int tv_schema_tell(struct tv_schema_teller *to, const char *column, int64_t row, struct tv_err *err,
		   const char *fmt, ...)
{
	char what[512];
	va_list args;
	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	return tell(to, &(struct tv_schema_finding){ to->file, column, row, what }, err);
}

int tv_schema_verdict(const struct tv_schema_teller *told, struct tv_err *err)
{
	return told->first.code ? tv_err_set(err, told->first.code, "%s", told->first.text) : 0;
}

const struct tv_schema_column *tv_schema_column_of(const struct tv_schema_file *schema,
						   const char *name)
{
	for (size_t i = 0; i < schema->n_columns; i++)
		if (strcmp(schema->columns[i].name, name) == 0)
			return &schema->columns[i];
	return schema->others ? &schema->other : NULL;
}
