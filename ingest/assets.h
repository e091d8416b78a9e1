/*
 * The symbols whose daily bars are published in a lakehouse: what features, matrices and audits go over.
 */
#ifndef TV_INGEST_ASSETS_H
#define TV_INGEST_ASSETS_H

#include "ingest/ahead.h"
#include "ingest/lakehouse.h"
#include "ingest/symbol-bars.h"
#include "ingest/tables.h"
#include "store/base/progress.h"

struct tv_asset {
	char *symbol; /* owned: EXCHANGE:SYMBOL */
	char *file;   /* owned: its name in the lakehouse */
	char *sector; /* owned; NULL: not known */
};

struct tv_assets {
	size_t n, cap;
	struct tv_asset *items; /* by file */
	struct tv_lakehouse *lake;
	struct tv_duck *duck;
	const struct tv_progress *progress; /* may be set after loading */
	size_t given;			    /* bars so far, for progress */
	size_t *order;			    /* owned, as what follows: of the source's symbols */
	size_t at;			    /* in that order: the next one that is read ahead */
	struct tv_ahead *ahead;		    /* NULL: nothing was asked for yet */
};

void tv_assets_free(struct tv_assets *assets); /* empties them; NULL is fine */
#define tv_autoassets __attribute__((cleanup(tv_assets_free)))

/* All files EXCHANGE_SYMBOL_1d.parquet at the top of the lakehouse. A symbol of symbols.parquet or the catalog is called
 * as there; of others the first '_' stands for the ':'. lake and duck must live as long. */
int tv_assets_load(struct tv_lakehouse *lake, struct tv_duck *duck, const struct tv_tables *tables,
		   struct tv_assets *out, struct tv_err *err);

/* The bars of one. -TV_E_GATE: the file is not what it should be. */
int tv_assets_bars(struct tv_assets *assets, size_t i, struct tv_bars *out, struct tv_err *err);

/* All of them as a source, which threads read ahead of its user, by name: until the assets are freed or
 * tv_assets_rest nobody else may use the lakehouse. *symbols is owned by the caller and must live as long as *out. */
int tv_assets_source(struct tv_assets *assets, struct tv_symbol **symbols,
		     struct tv_symbol_source *out, struct tv_err *err);

/* Ends reading ahead. Bars that are asked for later begin it anew. */
void tv_assets_rest(struct tv_assets *assets);

#endif
