#include "ingest/exchanges.h"

#include <string.h>

enum { EXCHANGE, TIMEZONE, IS_CRYPTO, COUNTRY, DESCRIPTION, UPDATED_AT, N_COLUMNS };

static const struct tv_rows_column columns[N_COLUMNS] = {
	{ "exchange", TV_DUCK_TEXT, false },   { "timezone", TV_DUCK_TEXT, false },
	{ "is_crypto", TV_DUCK_BOOL, false },  { "country", TV_DUCK_TEXT, true },
	{ "description", TV_DUCK_TEXT, true }, { "updated_at", TV_DUCK_TIMESTAMP, false },
};

static const struct tv_rows_shape shape = { columns, N_COLUMNS, 0, UPDATED_AT };

const struct tv_rows_shape *tv_exchanges_shape(void)
{
	return &shape;
}

static struct tv_cell text_cell(const char *text)
{
	return (struct tv_cell){ .known = text != NULL, .text = text };
}

/* Puts into empty cells (with `over` into all) what is told. */
static void tell(struct tv_cell row[N_COLUMNS], const struct tv_exchange *from, bool over)
{
	if (!from)
		return;
	const struct tv_cell told[N_COLUMNS] = {
		[TIMEZONE] = text_cell(from->timezone),
		[IS_CRYPTO] = { .known = from->is_crypto >= 0, .boolean = from->is_crypto > 0 },
		[COUNTRY] = text_cell(from->country),
		[DESCRIPTION] = text_cell(from->description),
	};
	for (size_t c = 0; c < N_COLUMNS; c++)
		if (told[c].known && (over || !row[c].known))
			row[c] = told[c];
}

static int update(struct tv_rows *exchanges, size_t at, struct tv_cell row[N_COLUMNS], int64_t now,
		  struct tv_err *err)
{
	const struct tv_cell *old = tv_rows_at(exchanges, at);
	bool same = true;
	int r = 0;
	for (size_t c = 0; c < N_COLUMNS; c++)
		same = same && tv_cell_equal(columns[c].kind, &old[c], &row[c]);
	if (same)
		return 0;
	exchanges->changed = true;
	row[UPDATED_AT] = (struct tv_cell){ .known = true, .i64 = now };
	for (size_t c = 0; c < N_COLUMNS && r == 0; c++)
		r = tv_rows_set(exchanges, at, c, &row[c], err);
	return r;
}

int tv_exchanges_see(struct tv_rows *exchanges, const char *name, const struct tv_exchange *said,
		     int64_t now, struct tv_err *err)
{
	struct tv_cell row[N_COLUMNS] = { [EXCHANGE] = text_cell(name) };
	size_t at, end;
	bool here = tv_rows_find(exchanges, name, &at, &end);
	if (here)
		memcpy(row, tv_rows_at(exchanges, at), sizeof(row));
	tell(row, said, true);
	/* What is built in fills a new row; it does not touch what somebody left empty. */
	if (here)
		return update(exchanges, at, row, now, err);
	tell(row, tv_exchange_known(name), false);
	if (!row[TIMEZONE].known || !row[IS_CRYPTO].known)
		return tv_err_set(
			err, -ENOENT,
			"exchange '%s' is not known: its entry in the settings has to say "
			"timezone and is_crypto",
			name);
	row[UPDATED_AT] = (struct tv_cell){ .known = true, .i64 = now };
	exchanges->changed = true;
	int r = tv_rows_add(exchanges, row, err);
	return r < 0 ? r : tv_rows_sort(exchanges, err);
}

int tv_exchanges_is_crypto(const struct tv_rows *exchanges, const char *name)
{
	const struct tv_exchange *known = tv_exchange_known(name);
	size_t at, end;
	if (exchanges && tv_rows_find(exchanges, name, &at, &end))
		return tv_rows_at(exchanges, at)[IS_CRYPTO].boolean;
	return known ? known->is_crypto : -1;
}

const char *tv_exchanges_timezone(const struct tv_rows *exchanges, const char *name)
{
	const struct tv_exchange *known = tv_exchange_known(name);
	size_t at, end;
	if (exchanges && tv_rows_find(exchanges, name, &at, &end))
		return tv_rows_at(exchanges, at)[TIMEZONE].text;
	return known ? known->timezone : NULL;
}
