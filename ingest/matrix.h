/*
 * The returns matrix: a row a day, a column a symbol, simple returns of close. docs/features.md says what
 * is in it, and how days are aligned.
 *
 * In memory are 8 bytes a bar while it is made, 4 more where neighbours have other days, and DuckDB's buffers:
 * about 480 MB in all for 5,000 symbols with 2,500 bars. Columns ascend by symbol (bytes);
 * equal bars give the same bytes, with the same tv_duck_version(). pandas reads the column `timestamp` as
 * the index.
 */
#ifndef TV_INGEST_MATRIX_H
#define TV_INGEST_MATRIX_H

#include "ingest/symbol-bars.h"

enum tv_matrix_alignment {
	TV_MATRIX_INNER, /* the days that all symbols have; from each of them to the next */
	TV_MATRIX_OUTER, /* the days that any symbol has; from each of its own bars to the next */
};

struct tv_matrix_options {
	enum tv_matrix_alignment alignment;
	unsigned lookback;     /* only the last so many calendar days, up to the last row; 0: all */
	uint64_t memory_limit; /* of DuckDB; 0: its default here */
};

/*
 * Writes into an open descriptor, see tv_duck_write_parquet; or atomically and durably to dirfd/path,
 * see tv_parquet_save. -TV_E_MISSING: no row comes about (the message says which symbol leaves the
 * fewest days); else as tv_symbols_sort, tv_symbols_bars and DuckDB.
 */
int tv_matrix_write(const struct tv_symbol_source *source, const struct tv_matrix_options *options,
		    int fd, struct tv_err *err);
int tv_matrix_save(const struct tv_symbol_source *source, const struct tv_matrix_options *options,
		   int dirfd, const char *path, struct tv_err *err);

#endif
