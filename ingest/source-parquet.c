/* Parquet as a source has it: whatever columns, the six found by their names. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ingest/bars-parquet.h"
#include "ingest/source-priv.h"
#include "store/base/cleanup.h"
#include "store/base/io.h"

#define COLUMNS_MAX 1000
#define NO_NAME TV_PANDAS_INDEX "0__"

/* The names that the columns are looked up by. The index without a name is the time, if nothing else is. */
static void name_columns(const struct tv_source *s, const struct tv_duck_result *head, char **names)
{
	static const char time_name[] = "timestamp";
	struct tv_err unused = TV_ERR_INIT;
	int at[TV_COLUMNS], n = (int)head->n_columns;
	for (int i = 0; i < n; i++)
		names[i] = (char *)(uintptr_t)head->columns[i].name;
	if (s->layout.columns[TV_TIMESTAMP] ||
	    tv_source_columns(&s->layout, names, n, at, &unused) == 0)
		return;
	for (int i = 0; i < n; i++)
		if (at[TV_TIMESTAMP] == TV_COLUMN_ABSENT && strcmp(names[i], NO_NAME) == 0)
			names[i] = (char *)(uintptr_t)time_name;
}

/* *stamped: the time is no number, but a date or a time. */
static int find(const struct tv_source *s, const struct tv_duck_result *head,
		const char *found[TV_COLUMNS], bool *stamped, struct tv_err *err)
{
	char *names[COLUMNS_MAX];
	int at[TV_COLUMNS];
	if (head->n_columns > COLUMNS_MAX)
		return tv_err_set(err, -EPROTO, "more than %d columns", COLUMNS_MAX);
	name_columns(s, head, names);
	int r = tv_source_columns(&s->layout, names, (int)head->n_columns, at, err);
	for (int c = 0; c < TV_COLUMNS && r == 0; c++)
		found[c] = at[c] == TV_COLUMN_ABSENT ? NULL : head->columns[at[c]].name;
	*stamped = r == 0 && head->columns[at[TV_TIMESTAMP]].kind == TV_DUCK_TIMESTAMP;
	return r;
}

/* Numbers may be milliseconds. */
static int whole_seconds(const struct tv_source *s, struct tv_bars *rows, struct tv_err *err)
{
	for (size_t i = 0; i < rows->n; i++) {
		int r = tv_source_whole_seconds((double)rows->timestamp[i], s->layout.time,
						&rows->timestamp[i], err);
		if (r < 0)
			return tv_err_wrap(err, r, "row %zu: timestamp", i);
	}
	return 0;
}

static int read_rows(const struct tv_source *s, const struct tv_parquet *file, struct tv_bars *rows,
		     struct tv_err *err)
{
	tv_auto_duck_result struct tv_duck_result head = TV_DUCK_RESULT_INIT;
	const char *found[TV_COLUMNS];
	bool stamped;
	int r = tv_parquet_columns(file, &head, err);
	if (r < 0)
		return r;
	r = find(s, &head, found, &stamped, err);
	if (r < 0)
		return tv_err_wrap(err, r, "%s", file->name);
	r = tv_bars_read_named(file, found, rows, err);
	return r == 0 && !stamped ? whole_seconds(s, rows, err) : r;
}

int tv_parse_parquet(const struct tv_source *s, struct tv_duck *duck,
		     const struct tv_source_body *body, struct tv_bars *out, struct tv_err *err)
{
	tv_autobars struct tv_bars rows = TV_BARS_INIT;
	struct tv_err why = TV_ERR_INIT;
	if (!duck)
		return tv_err_set(err, -ENOSYS, "%s needs DuckDB", body->name);
	tv_autoclose int fd = memfd_create("tvfs-source", MFD_CLOEXEC);
	if (fd < 0)
		return tv_err_sys(err, -errno, "no memory file");
	int r = tv_io_write_all(fd, body->bytes.data, body->bytes.len);
	if (r < 0)
		return tv_err_sys(err, r, "cannot fill a memory file");
	const struct tv_parquet file = { duck, body->name, fd };
	r = read_rows(s, &file, &rows, &why);
	if (r < 0)
		return tv_err_set(err, r == -TV_E_GATE ? -EPROTO : r, "%s", why.text);
	return tv_bars_append(out, &rows, 0, rows.n, err);
}
