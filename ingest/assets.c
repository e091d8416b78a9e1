#include "ingest/assets.h"

#include <stdlib.h>
#include <string.h>

#include "ingest/bars-parquet.h"
#include "store/base/cleanup.h"

#define SUFFIX "_1d.parquet"

void tv_assets_free(struct tv_assets *assets)
{
	if (!assets)
		return;
	tv_ahead_free(assets->ahead);
	for (size_t i = 0; i < assets->n; i++) {
		free(assets->items[i].symbol);
		free(assets->items[i].file);
		free(assets->items[i].sector);
	}
	free(assets->order);
	free(assets->items);
	*assets = (struct tv_assets){ .items = NULL };
}

static int add(void *arg, const char *name, struct tv_err *err)
{
	struct tv_assets *assets = arg;
	size_t n = strlen(name), suffix = strlen(SUFFIX);
	const char *cut = strchr(name, '_');
	if (n <= suffix || strcmp(name + n - suffix, SUFFIX) != 0 || cut == name ||
	    cut >= name + n - suffix - 1)
		return 0;
	if (!assets->items || assets->n == assets->cap) {
		size_t cap = assets->cap ? 2 * assets->cap : 64;
		struct tv_asset *grown = reallocarray(assets->items, cap, sizeof(*grown));
		if (!grown)
			return tv_err_nomem(err);
		assets->items = grown;
		assets->cap = cap;
	}
	struct tv_asset *a = &assets->items[assets->n++];
	*a = (struct tv_asset){ .symbol = strndup(name, n - suffix), .file = strdup(name) };
	if (!a->symbol || !a->file)
		return tv_err_nomem(err);
	a->symbol[cut - name] = ':';
	return 0;
}

static struct tv_asset *by_file(const struct tv_assets *assets, const char *file)
{
	size_t low = 0, high = assets->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(assets->items[middle].file, file);
		if (order == 0)
			return &assets->items[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* A known symbol's file is called after it. */
static int name_it(struct tv_assets *assets, const char *symbol, const char *sector,
		   struct tv_err *err)
{
	tv_autofree char *file = NULL;
	if (tv_bars_file_name(symbol, &file, NULL) < 0)
		return 0;
	struct tv_asset *a = by_file(assets, file);
	if (!a)
		return 0;
	char *name = strdup(symbol), *copy = sector ? strdup(sector) : NULL;
	if (!name || (sector && !copy)) {
		free(name);
		free(copy);
		return tv_err_nomem(err);
	}
	free(a->symbol);
	free(a->sector);
	a->symbol = name;
	a->sector = copy;
	return 0;
}

int tv_assets_load(struct tv_lakehouse *lake, struct tv_duck *duck, const struct tv_tables *tables,
		   struct tv_assets *out, struct tv_err *err)
{
	*out = (struct tv_assets){ .lake = lake, .duck = duck };
	int r = tv_lakehouse_each(lake, add, out, err);
	for (size_t i = 0; i < tv_symbol_map_count(tables->catalog) && r == 0; i++)
		r = name_it(out, tv_symbol_map_name(tables->catalog, i), NULL, err);
	tv_autonamelist struct tv_name_list active = TV_NAME_LIST_INIT;
	if (r == 0)
		r = tv_symbols_active(&tables->symbols, &active, err);
	for (size_t i = 0; i < active.n && r == 0; i++)
		r = name_it(out, active.items[i],
			    tv_symbols_sector(&tables->symbols, active.items[i]), err);
	return r;
}

int tv_assets_bars(struct tv_assets *assets, size_t i, struct tv_bars *out, struct tv_err *err)
{
	const char *file = assets->items[i].file;
	tv_autoclose int fd = tv_lakehouse_open(assets->lake, file, err);
	if (fd < 0)
		return fd;
	const struct tv_parquet parquet = { assets->duck, file, fd };
	return tv_bars_read(&parquet, out, err);
}

/* --- as a source ------------------------------------------------------------------------------- */

static int open_file(void *arg, size_t i, struct tv_err *err)
{
	const struct tv_assets *assets = arg;
	return tv_lakehouse_open(assets->lake, assets->items[assets->order[i]].file, err);
}

static const char *name_file(void *arg, size_t i)
{
	const struct tv_assets *assets = arg;
	return assets->items[assets->order[i]].file;
}

void tv_assets_rest(struct tv_assets *assets)
{
	tv_ahead_free(assets->ahead);
	assets->ahead = NULL;
	assets->at = 0;
}

/* Whoever asks in the order of names gets what was read ahead, from the start on each time. */
static int give(void *arg, size_t i, struct tv_bars *out, struct tv_err *err)
{
	struct tv_assets *assets = arg;
	const struct tv_ahead_files files = { assets->n, open_file, name_file, assets };
	if (tv_progress_step(assets->progress, "reading", assets->given++, 0, "symbols"))
		return tv_err_set(err, -TV_E_INTERRUPTED, "stopped");
	bool is_next = assets->at < assets->n && assets->order[assets->at] == i;
	if (!is_next || !assets->ahead)
		tv_assets_rest(assets);
	while (assets->order[assets->at] != i)
		assets->at++;
	if (!assets->ahead) {
		int r = tv_ahead_new(&files, assets->at, &assets->ahead, err);
		if (r < 0)
			return r;
	}
	assets->at++;
	return tv_ahead_next(assets->ahead, out, err);
}

int tv_assets_source(struct tv_assets *assets, struct tv_symbol **symbols,
		     struct tv_symbol_source *out, struct tv_err *err)
{
	*symbols = calloc(assets->n + 1, sizeof(**symbols));
	if (!*symbols)
		return tv_err_nomem(err);
	for (size_t i = 0; i < assets->n; i++)
		(*symbols)[i] =
			(struct tv_symbol){ assets->items[i].symbol, assets->items[i].sector };
	*out = (struct tv_symbol_source){ *symbols, assets->n, give, assets };
	tv_assets_rest(assets);
	free(assets->order);
	assets->order = NULL;
	return tv_symbols_sort(out, false, &assets->order, err);
}
