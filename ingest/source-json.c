/* Declared JSON: a path to the rows, and a path to each column, in each row or beside the others. */
#include <stdlib.h>
#include <string.h>

#include "ingest/source-priv.h"
#include "store/base/cleanup.h"

#define PART_MAX 128

/* Follows "a.b.0.c": names in objects, numbers in arrays. NULL when there is nothing. */
static const cJSON *follow(const cJSON *at, const char *path)
{
	char part[PART_MAX];
	while (path && *path && at) {
		size_t n = strcspn(path, ".");
		if (n >= sizeof(part))
			return NULL;
		memcpy(part, path, n);
		part[n] = '\0';
		if (cJSON_IsArray(at))
			at = part[strspn(part, "0123456789")] || n > 6
				     ? NULL
				     : cJSON_GetArrayItem(at, (int)strtol(part, NULL, 10));
		else
			at = cJSON_GetObjectItemCaseSensitive(at, part);
		path += n + (path[n] == '.');
	}
	return at;
}

static const char *path_of(const struct tv_layout *layout, int c)
{
	return layout->columns[c] ? layout->columns[c] : tv_column_name(c);
}

static int read_cells(const struct tv_layout *layout, const cJSON *const cells[TV_COLUMNS],
		      struct tv_bar *row, struct tv_err *err)
{
	double *values[TV_COLUMNS] = { NULL,	  &row->open,  &row->high,
				       &row->low, &row->close, &row->volume };
	for (int c = 0; c < TV_COLUMNS; c++) {
		int r = 0;
		if (c == TV_VOLUME && layout->volume_none)
			row->volume = 0;
		else if (c == TV_TIMESTAMP)
			r = tv_source_value_time(cells[c], layout->time, &row->timestamp, err);
		else
			r = tv_source_value_number(cells[c], values[c], err);
		if (r < 0)
			return tv_err_wrap(err, r, "%s", path_of(layout, c));
	}
	return 0;
}

static int by_row(const struct tv_layout *layout, const cJSON *rows, struct tv_bars *out,
		  struct tv_err *err)
{
	const cJSON *item;
	size_t number = 0;
	cJSON_ArrayForEach(item, rows) {
		struct tv_bar row = { 0 };
		const cJSON *cells[TV_COLUMNS];
		for (int c = 0; c < TV_COLUMNS; c++)
			cells[c] = follow(item, path_of(layout, c));
		int r = read_cells(layout, cells, &row, err);
		if (r < 0)
			return tv_err_wrap(err, r, "row %zu", number);
		r = tv_bars_add(out, &row, err);
		if (r < 0)
			return r;
		number++;
	}
	return 0;
}

static int by_column(const struct tv_layout *layout, const cJSON *rows, struct tv_bars *out,
		     struct tv_err *err)
{
	const cJSON *cells[TV_COLUMNS] = { NULL };
	int n = -1;
	for (int c = 0; c < TV_COLUMNS; c++) {
		if (c == TV_VOLUME && layout->volume_none)
			continue;
		const cJSON *column = follow(rows, path_of(layout, c));
		if (!cJSON_IsArray(column) || (n >= 0 && cJSON_GetArraySize(column) != n))
			return tv_err_set(err, -EPROTO,
					  "'%s' is not an array as long as the others",
					  path_of(layout, c));
		n = cJSON_GetArraySize(column);
		cells[c] = column->child;
	}
	for (int i = 0; i < n; i++) {
		struct tv_bar row = { 0 };
		int r = read_cells(layout, cells, &row, err);
		if (r < 0)
			return tv_err_wrap(err, r, "row %d", i);
		r = tv_bars_add(out, &row, err);
		if (r < 0)
			return r;
		for (int c = 0; c < TV_COLUMNS; c++)
			cells[c] = cells[c] ? cells[c]->next : NULL;
	}
	return 0;
}

int tv_parse_json(const struct tv_source *s, const char *symbol, const char *body, size_t n,
		  struct tv_bars *out, struct tv_err *err)
{
	(void)symbol;
	tv_autojson cJSON *doc = NULL;
	int r = tv_source_document(body, n, &doc, err);
	if (r < 0)
		return r;
	const cJSON *rows = follow(doc, s->layout.rows);
	if (s->layout.by_column ? !cJSON_IsObject(rows) : !cJSON_IsArray(rows))
		return tv_err_set(err, -EPROTO, "no %s at '%s'",
				  s->layout.by_column ? "columns" : "rows",
				  s->layout.rows ? s->layout.rows : "");
	return s->layout.by_column ? by_column(&s->layout, rows, out, err)
				   : by_row(&s->layout, rows, out, err);
}
