/*
 * The four tables that ingestions share: catalog.json, foundation_health.json, symbols.parquet,
 * exchanges.parquet; read from a lakehouse, changed here, staged again, and merged symbol by symbol when
 * others have published meanwhile. Tables that did not change stage nothing.
 */
#ifndef TV_INGEST_TABLES_H
#define TV_INGEST_TABLES_H

#include "ingest/catalog.h"
#include "ingest/exchanges.h"
#include "ingest/gaps.h"
#include "ingest/lakehouse.h"
#include "ingest/symbols.h"

struct tv_tables {
	struct tv_symbol_map *catalog, *health;
	struct tv_rows symbols, exchanges;
};

#define TV_TABLES_INIT                                                                             \
	((struct tv_tables){ NULL, NULL, TV_ROWS_INIT(tv_symbols_shape()),                         \
			     TV_ROWS_INIT(tv_exchanges_shape()) })

void tv_tables_free(struct tv_tables *t); /* empties them; NULL is fine */
#define tv_autotables __attribute__((cleanup(tv_tables_free)))

/* Reads them; one that is not there is empty. -EINVAL, -TV_E_GATE: a file is not what it should be. */
int tv_tables_load(struct tv_lakehouse *l, struct tv_duck *duck, struct tv_tables *out,
		   struct tv_err *err);

/* The same, whatever the files are: of one that is not what it should be `bad` gets name and reason, and
 * it is empty. A non-zero return of `bad` ends. */
int tv_tables_load_any(struct tv_lakehouse *l, struct tv_duck *duck, struct tv_tables *out,
		       int (*bad)(void *arg, const char *file, const struct tv_err *why,
				  struct tv_err *err),
		       void *arg, struct tv_err *err);

/* The rules for a symbol: of the settings (`gates`, or NULL), of its exchange's row, and with the gaps that are
 * permanent, which are added to *permanent and must live as long as the rules. */
int tv_tables_rules(const struct tv_tables *t, const cJSON *gates, const char *symbol,
		    struct tv_gaps *permanent, struct tv_gates_rules *out, struct tv_err *err);

/* Stages those that changed. */
int tv_tables_stage(struct tv_lakehouse *l, struct tv_duck *duck, const struct tv_tables *t,
		    struct tv_err *err);

/* Within a rebase: puts our changes on what others have published. Of `lost` symbols, and of those that
 * both changed (which are added to `conflicts`), theirs is taken. */
int tv_tables_rebase(struct tv_lakehouse *l, struct tv_duck *duck, struct tv_tables *ours,
		     const struct tv_name_list *lost, struct tv_name_list *conflicts,
		     struct tv_err *err);

#endif
