#include "ingest/symbols.h"

#include <stdlib.h>
#include <string.h>

#include "ingest/bars.h"
#include "ingest/exchanges.h"
#include "store/base/cleanup.h"
#include "store/base/hex.h"

enum {
	SYMBOL,
	EXCHANGE,
	FIRST_FACT,
	ACTIVE = FIRST_FACT + TV_FACTS,
	VALID_FROM,
	VALID_UNTIL,
	UPDATED_AT,
	N_COLUMNS,
};

static const struct tv_rows_column columns[N_COLUMNS] = {
	{ "symbol", TV_DUCK_TEXT, false },
	{ "exchange", TV_DUCK_TEXT, false },
	{ "base", TV_DUCK_TEXT, true },
	{ "quote", TV_DUCK_TEXT, true },
	{ "type", TV_DUCK_TEXT, true },
	{ "subtype", TV_DUCK_TEXT, true },
	{ "profile", TV_DUCK_TEXT, true },
	{ "description", TV_DUCK_TEXT, true },
	{ "sector", TV_DUCK_TEXT, true },
	{ "industry", TV_DUCK_TEXT, true },
	{ "country", TV_DUCK_TEXT, true },
	{ "pricescale", TV_DUCK_INT64, true },
	{ "minmov", TV_DUCK_INT64, true },
	{ "tick_size", TV_DUCK_DOUBLE, true },
	{ "timezone", TV_DUCK_TEXT, true },
	{ "session", TV_DUCK_TEXT, true },
	{ "active", TV_DUCK_BOOL, false },
	{ "valid_from", TV_DUCK_TIMESTAMP, false },
	{ "valid_until", TV_DUCK_TIMESTAMP, true },
	{ "updated_at", TV_DUCK_TIMESTAMP, false },
};

static const struct tv_rows_shape shape = { columns, N_COLUMNS, VALID_FROM, UPDATED_AT };

const struct tv_rows_shape *tv_symbols_shape(void)
{
	return &shape;
}

const struct tv_rows_column *tv_fact_column(size_t fact)
{
	return &columns[FIRST_FACT + fact];
}

ptrdiff_t tv_fact_named(const char *name)
{
	for (size_t fact = 0; fact < TV_FACTS; fact++)
		if (strcmp(tv_fact_column(fact)->name, name) == 0)
			return (ptrdiff_t)fact;
	return -1;
}

int tv_symbol_check(const char *symbol, struct tv_err *err)
{
	tv_autofree char *file = NULL;
	bool good = tv_utf8_ok(symbol, strlen(symbol));
	for (const char *p = symbol; *p && good; p++)
		good = (unsigned char)*p > ' ' && *p != 0x7f;
	if (!good)
		return tv_err_set(
			err, -EINVAL,
			"a symbol with a space or a control character in it, or not UTF-8");
	return tv_bars_file_name(symbol, &file, err);
}

/* --- looking up -------------------------------------------------------------------------------- */

ptrdiff_t tv_symbols_find(const struct tv_rows *symbols, const char *symbol)
{
	size_t first, end;
	if (!tv_rows_find(symbols, symbol, &first, &end))
		return -1;
	while (end > first)
		if (!tv_rows_at(symbols, --end)[VALID_UNTIL].known)
			return (ptrdiff_t)end;
	return -1;
}

const char *tv_symbols_sector(const struct tv_rows *symbols, const char *symbol)
{
	ptrdiff_t at = tv_symbols_find(symbols, symbol);
	size_t sector = FIRST_FACT + (size_t)tv_fact_named("sector");
	const struct tv_cell *cell = at < 0 ? NULL : &tv_rows_at(symbols, (size_t)at)[sector];
	return cell && cell->known ? cell->text : NULL;
}

int tv_symbols_active(const struct tv_rows *symbols, struct tv_name_list *out, struct tv_err *err)
{
	int r = 0;
	for (size_t i = 0; i < symbols->n && r == 0; i++) {
		const struct tv_cell *row = tv_rows_at(symbols, i);
		if (row[ACTIVE].boolean &&
		    tv_symbols_find(symbols, row[SYMBOL].text) == (ptrdiff_t)i)
			r = tv_name_list_add(out, row[SYMBOL].text, err);
	}
	return r;
}

bool tv_symbols_is_retired(const struct tv_rows *symbols, const char *symbol)
{
	size_t first, end;
	if (!tv_rows_find(symbols, symbol, &first, &end))
		return false;
	ptrdiff_t at = tv_symbols_find(symbols, symbol);
	return at < 0 || !tv_rows_at(symbols, (size_t)at)[ACTIVE].boolean;
}

/* --- changing ---------------------------------------------------------------------------------- */

static struct tv_cell text_cell(const char *text)
{
	return (struct tv_cell){ .known = text != NULL, .text = text };
}

static struct tv_cell time_cell(int64_t us)
{
	return (struct tv_cell){ .known = true, .i64 = us };
}

/* The row as the news has it. False when that is as it was. */
static bool renew(struct tv_cell row[N_COLUMNS], const struct tv_symbol_news *news)
{
	bool differs = row[ACTIVE].boolean != news->active;
	row[ACTIVE] = (struct tv_cell){ .known = true, .boolean = news->active };
	for (size_t fact = 0; fact < TV_FACTS; fact++) {
		struct tv_cell *cell = &row[FIRST_FACT + fact];
		const struct tv_cell *told = &news->facts.cells[fact];
		if (!told->known || tv_cell_equal(tv_fact_column(fact)->kind, cell, told))
			continue;
		*cell = *told;
		differs = true;
	}
	return differs;
}

static int add_first(struct tv_rows *fresh, const struct tv_symbol_news *news, int64_t now,
		     struct tv_err *err)
{
	struct tv_cell row[N_COLUMNS] = { { .known = false } };
	tv_autofree char *exchange = strndup(news->symbol, strcspn(news->symbol, ":"));
	if (!exchange)
		return tv_err_nomem(err);
	const struct tv_exchange *known = tv_exchange_known(exchange);
	row[SYMBOL] = text_cell(news->symbol);
	row[EXCHANGE] = text_cell(exchange);
	row[FIRST_FACT + tv_fact_named("timezone")] = text_cell(known ? known->timezone : NULL);
	row[VALID_FROM] = row[UPDATED_AT] = time_cell(now);
	renew(row, news);
	return tv_rows_add(fresh, row, err);
}

static int correct(struct tv_rows *symbols, size_t at, const struct tv_cell row[N_COLUMNS],
		   struct tv_err *err)
{
	int r = 0;
	for (size_t c = FIRST_FACT; c < N_COLUMNS && r == 0; c++)
		r = tv_rows_set(symbols, at, c, &row[c], err);
	return r;
}

static int apply(struct tv_rows *symbols, struct tv_rows *fresh, const struct tv_symbol_news *news,
		 int64_t now, struct tv_err *err)
{
	struct tv_cell row[N_COLUMNS];
	ptrdiff_t at = tv_symbols_find(symbols, news->symbol);
	if (at < 0) {
		symbols->changed = true;
		return add_first(fresh, news, now, err);
	}
	struct tv_cell *holds = tv_rows_at(symbols, (size_t)at);
	memcpy(row, holds, sizeof(row));
	if (!renew(row, news))
		return 0;
	symbols->changed = true;
	row[UPDATED_AT] = time_cell(now);
	if (holds[VALID_FROM].i64 >= now)
		return correct(symbols, (size_t)at, row, err);
	row[VALID_FROM] = holds[VALID_UNTIL] = holds[UPDATED_AT] = time_cell(now);
	return tv_rows_add(fresh, row, err);
}

static int by_symbol(const void *a, const void *b)
{
	return strcmp((*(const struct tv_symbol_news *const *)a)->symbol,
		      (*(const struct tv_symbol_news *const *)b)->symbol);
}

static int check_news(const struct tv_symbol_news *news, size_t n, struct tv_err *err)
{
	tv_autofree const struct tv_symbol_news **order = calloc(n + 1, sizeof(*order));
	int r = order ? 0 : tv_err_nomem(err);
	for (size_t i = 0; i < n && r == 0; i++) {
		order[i] = &news[i];
		r = tv_symbol_check(news[i].symbol, err);
	}
	if (r < 0)
		return r;
	qsort(order, n, sizeof(*order), by_symbol);
	for (size_t i = 1; i < n; i++)
		if (by_symbol(&order[i - 1], &order[i]) == 0)
			return tv_err_set(err, -EINVAL, "'%s' has two pieces of news at once",
					  order[i]->symbol);
	return 0;
}

int tv_symbols_apply(struct tv_rows *symbols, const struct tv_symbol_news *news, size_t n,
		     int64_t now, struct tv_err *err)
{
	/* New rows stand aside until the end, as look-ups need the others in order. */
	tv_autorows struct tv_rows fresh = TV_ROWS_INIT(symbols->shape);
	int r = check_news(news, n, err);
	for (size_t i = 0; i < n && r == 0; i++)
		r = apply(symbols, &fresh, &news[i], now, err);
	for (size_t i = 0; i < fresh.n && r == 0; i++)
		r = tv_rows_add(symbols, tv_rows_at(&fresh, i), err);
	return r < 0 || !fresh.n ? r : tv_rows_sort(symbols, err);
}
