#include "ingest/tables.h"

#include <string.h>
#include <sys/mman.h>

#include "store/base/cleanup.h"
#include "store/base/io.h"

#define MAP_MAX ((size_t)256 << 20) /* bytes of a JSON table */

void tv_tables_free(struct tv_tables *t)
{
	if (!t)
		return;
	tv_symbol_map_free(t->catalog);
	tv_symbol_map_free(t->health);
	tv_rows_free(&t->symbols);
	tv_rows_free(&t->exchanges);
	*t = TV_TABLES_INIT;
}

static struct tv_tables taken(struct tv_tables *t)
{
	struct tv_tables whole = *t;
	*t = TV_TABLES_INIT;
	return whole;
}

/* --- reading ----------------------------------------------------------------------------------- */

typedef int open_table(struct tv_lakehouse *l, const char *path, struct tv_err *err);

/* The table's descriptor, -1 when there is no such file. */
static int open_or_none(struct tv_lakehouse *l, open_table *how, const char *path, int *fd,
			struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	*fd = how(l, path, &why);
	if (*fd == -ENOENT)
		*fd = -1;
	else if (*fd < 0)
		return tv_err_set(err, *fd, "%s", why.text);
	return 0;
}

static int load_map(struct tv_lakehouse *l, open_table *how, const char *path,
		    struct tv_symbol_map **out, struct tv_err *err)
{
	tv_autoclose int fd = -1;
	tv_autobuf struct tv_buf text = TV_BUF_INIT;
	int r = open_or_none(l, how, path, &fd, err);
	if (r == 0 && fd >= 0)
		r = tv_io_read_to_end(fd, MAP_MAX, &text, err);
	return r < 0 ? r : tv_symbol_map_parse(path, (const char *)text.data, text.len, out, err);
}

static int load_rows(struct tv_lakehouse *l, struct tv_duck *duck, open_table *how,
		     const char *path, struct tv_rows *out, struct tv_err *err)
{
	tv_autoclose int fd = -1;
	int r = open_or_none(l, how, path, &fd, err);
	if (r < 0 || fd < 0)
		return r;
	const struct tv_parquet file = { duck, path, fd };
	return tv_rows_read(&file, out, err);
}

static int load(struct tv_lakehouse *l, struct tv_duck *duck, open_table *how,
		struct tv_tables *out, struct tv_err *err)
{
	tv_autotables struct tv_tables t = TV_TABLES_INIT;
	int r = load_map(l, how, TV_CATALOG_FILE, &t.catalog, err);
	if (r == 0)
		r = load_map(l, how, TV_HEALTH_FILE, &t.health, err);
	if (r == 0)
		r = load_rows(l, duck, how, TV_SYMBOLS_FILE, &t.symbols, err);
	if (r == 0)
		r = load_rows(l, duck, how, TV_EXCHANGES_FILE, &t.exchanges, err);
	if (r < 0)
		return r;
	*out = taken(&t);
	return 0;
}

int tv_tables_load(struct tv_lakehouse *l, struct tv_duck *duck, struct tv_tables *out,
		   struct tv_err *err)
{
	return load(l, duck, tv_lakehouse_open_table, out, err);
}

struct any {
	int (*bad)(void *arg, const char *file, const struct tv_err *why, struct tv_err *err);
	void *arg;
};

/* What is the file's fault goes to `bad`; 1: it did. */
static int forgive(const struct any *any, const char *file, int r, const struct tv_err *why,
		   struct tv_err *err)
{
	if (r == 0)
		return 0;
	if (r == -ENOMEM || r == -TV_E_INTERRUPTED)
		return tv_err_set(err, r, "%s", why->text);
	int said = any->bad(any->arg, file, why, err);
	return said ? said : 1;
}

static int load_any_map(const struct any *any, struct tv_lakehouse *l, const char *path,
			struct tv_symbol_map **out, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	int r = load_map(l, tv_lakehouse_open_table, path, out, &why);
	r = forgive(any, path, r, &why, err);
	return r == 1 ? tv_symbol_map_parse(path, "", 0, out, err) : r;
}

static int load_any_rows(const struct any *any, struct tv_lakehouse *l, struct tv_duck *duck,
			 const char *path, struct tv_rows *out, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	int r = load_rows(l, duck, tv_lakehouse_open_table, path, out, &why);
	r = forgive(any, path, r, &why, err);
	return r == 1 ? 0 : r;
}

int tv_tables_load_any(struct tv_lakehouse *l, struct tv_duck *duck, struct tv_tables *out,
		       int (*bad)(void *arg, const char *file, const struct tv_err *why,
				  struct tv_err *err),
		       void *arg, struct tv_err *err)
{
	tv_autotables struct tv_tables t = TV_TABLES_INIT;
	const struct any any = { bad, arg };
	int r = load_any_map(&any, l, TV_CATALOG_FILE, &t.catalog, err);
	if (r == 0)
		r = load_any_map(&any, l, TV_HEALTH_FILE, &t.health, err);
	if (r == 0)
		r = load_any_rows(&any, l, duck, TV_SYMBOLS_FILE, &t.symbols, err);
	if (r == 0)
		r = load_any_rows(&any, l, duck, TV_EXCHANGES_FILE, &t.exchanges, err);
	if (r < 0)
		return r;
	*out = taken(&t);
	return 0;
}

int tv_tables_rules(const struct tv_tables *t, const cJSON *gates, const char *symbol,
		    struct tv_gaps *permanent, struct tv_gates_rules *out, struct tv_err *err)
{
	tv_autofree char *exchange = strndup(symbol, strcspn(symbol, ":"));
	if (!exchange)
		return tv_err_nomem(err);
	int crypto = tv_exchanges_is_crypto(&t->exchanges, exchange);
	int r = tv_gaps_permanent(t->health, symbol, permanent, err);
	if (r == 0)
		r = tv_gates_rules_read(gates, symbol,
					crypto < 0 ? TV_CRYPTO_UNKNOWN
					: crypto   ? TV_CRYPTO_YES
						   : TV_CRYPTO_NO,
					out, err);
	if (r == 0)
		out->permanent = permanent;
	return r;
}

/* --- writing ----------------------------------------------------------------------------------- */

static int stage_map(struct tv_lakehouse *l, const char *path, const struct tv_symbol_map *map,
		     struct tv_err *err)
{
	tv_autobuf struct tv_buf text = TV_BUF_INIT;
	if (!tv_symbol_map_changed(map)) {
		tv_lakehouse_drop(l, path);
		return 0;
	}
	int r = tv_symbol_map_print(map, &text, err);
	return r < 0 ? r : tv_lakehouse_put_bytes(l, path, text.data, text.len, NULL, err);
}

static int stage_rows(struct tv_lakehouse *l, struct tv_duck *duck, const char *path,
		      const struct tv_rows *rows, struct tv_err *err)
{
	tv_autobuf struct tv_buf bytes = TV_BUF_INIT;
	if (!rows->changed) {
		tv_lakehouse_drop(l, path);
		return 0;
	}
	tv_autoclose int fd = memfd_create(path, MFD_CLOEXEC);
	if (fd < 0)
		return tv_err_sys(err, -errno, "no memory file for '%s'", path);
	int r = tv_rows_write(duck, rows, fd, err);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = tv_err_sys(err, -errno, "'%s'", path);
	if (r == 0)
		r = tv_io_read_to_end(fd, MAP_MAX, &bytes, err);
	return r < 0 ? r : tv_lakehouse_put_bytes(l, path, bytes.data, bytes.len, NULL, err);
}

int tv_tables_stage(struct tv_lakehouse *l, struct tv_duck *duck, const struct tv_tables *t,
		    struct tv_err *err)
{
	int r = stage_map(l, TV_CATALOG_FILE, t->catalog, err);
	if (r == 0)
		r = stage_map(l, TV_HEALTH_FILE, t->health, err);
	if (r == 0)
		r = stage_rows(l, duck, TV_SYMBOLS_FILE, &t->symbols, err);
	if (r == 0)
		r = stage_rows(l, duck, TV_EXCHANGES_FILE, &t->exchanges, err);
	return r;
}

/* --- others were first ------------------------------------------------------------------------- */

/* What neither base nor ours has is theirs. */
static void give_up(struct tv_tables *base, struct tv_tables *ours, const struct tv_name_list *lost)
{
	for (size_t i = 0; i < lost->n; i++) {
		tv_symbol_map_remove(base->catalog, lost->items[i]);
		tv_symbol_map_remove(ours->catalog, lost->items[i]);
		tv_symbol_map_remove(base->health, lost->items[i]);
		tv_symbol_map_remove(ours->health, lost->items[i]);
	}
}

int tv_tables_rebase(struct tv_lakehouse *l, struct tv_duck *duck, struct tv_tables *ours,
		     const struct tv_name_list *lost, struct tv_name_list *conflicts,
		     struct tv_err *err)
{
	tv_autotables struct tv_tables base = TV_TABLES_INIT, theirs = TV_TABLES_INIT;
	tv_autotables struct tv_tables merged = TV_TABLES_INIT;
	int r = load(l, duck, tv_lakehouse_open_before, &base, err);
	if (r == 0)
		r = load(l, duck, tv_lakehouse_open_table, &theirs, err);
	if (r == 0)
		give_up(&base, ours, lost);
	if (r == 0)
		r = tv_symbol_map_merge(base.catalog, theirs.catalog, ours->catalog,
					&merged.catalog, conflicts, err);
	if (r == 0)
		r = tv_symbol_map_merge(base.health, theirs.health, ours->health, &merged.health,
					conflicts, err);
	if (r == 0)
		r = tv_rows_merge(&base.symbols, &theirs.symbols, &ours->symbols, &merged.symbols,
				  conflicts, err);
	/* An exchange's row is what the settings and the built-in table say: no conflict is one. */
	tv_autonamelist struct tv_name_list exchanges = TV_NAME_LIST_INIT;
	if (r == 0)
		r = tv_rows_merge(&base.exchanges, &theirs.exchanges, &ours->exchanges,
				  &merged.exchanges, &exchanges, err);
	if (r < 0)
		return r;
	tv_tables_free(ours);
	*ours = taken(&merged);
	return 0;
}
