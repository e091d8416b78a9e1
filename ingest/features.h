/*
 * Features: indicators and ratings of daily bars, a row a bar; for one symbol in memory, for many into
 * `features/tv_technicals_1d.parquet` and `features_matrix.parquet`. docs/features.md says what each column is.
 *
 * Symbols come one after another, so memory is that of one of them and of DuckDB's row group (about
 * 150 MB together, 250 MB for both files, however many symbols there are). A database of its own writes the files: the source's
 * callback may use the caller's. Rows ascend by symbol (bytes) and time. Equal bars and sectors give the
 * same bytes, with the same tv_duck_version().
 */
#ifndef TV_INGEST_FEATURES_H
#define TV_INGEST_FEATURES_H

#include "ingest/symbol-bars.h"

/* --- one symbol -------------------------------------------------------------------------------- */

/* The columns, in the files' order. */
enum tv_feature {
	TV_RECOMMEND_MA,
	TV_RECOMMEND_OTHER,
	TV_RECOMMEND_ALL,
	TV_SMA_10,
	TV_SMA_20,
	TV_SMA_30,
	TV_SMA_50,
	TV_SMA_100,
	TV_SMA_200,
	TV_EMA_10,
	TV_EMA_20,
	TV_EMA_30,
	TV_EMA_50,
	TV_EMA_100,
	TV_EMA_200,
	TV_RSI,
	TV_STOCH_K,
	TV_STOCH_D,
	TV_CCI,
	TV_ADX,
	TV_PLUS_DI,
	TV_MINUS_DI,
	TV_AO,
	TV_MOM,
	TV_MACD,
	TV_MACD_SIGNAL,
	TV_STOCH_RSI_K,
	TV_STOCH_RSI_D,
	TV_WILLIAMS_R,
	TV_BULL_POWER,
	TV_BEAR_POWER,
	TV_UO,
	TV_ICHIMOKU_BASE,
	TV_VWMA,
	TV_HULL_MA,
	TV_ATR,
	TV_FEATURES,
};

/* "recommend_ma", ... */
const char *tv_feature_name(enum tv_feature feature);

struct tv_features {
	size_t n, cap;
	double *memory; /* owned */
};

#define TV_FEATURES_INIT ((struct tv_features){ 0, 0, NULL })

void tv_features_free(struct tv_features *features); /* empties them; NULL is fine */
#define tv_autofeatures __attribute__((cleanup(tv_features_free)))

/* Row i of each feature, from rows 0 to i of the bars. NaN: there is none. Memory is used again. -ENOMEM:
 * the features are as they were. */
int tv_features_compute(struct tv_features *features, const struct tv_bars *bars,
			struct tv_err *err);

/* n values; they live until the next tv_features_compute. */
const double *tv_features_values(const struct tv_features *features, enum tv_feature feature);

/* --- many symbols ------------------------------------------------------------------------------ */

struct tv_features_options {
	size_t last;	       /* rows of a symbol in the matrix, from its end; 0: all */
	uint64_t memory_limit; /* of DuckDB; 0: its default here */
};

/*
 * Writes the one file or the other into an open descriptor, see tv_duck_write_parquet. options may be
 * NULL. -TV_E_MISSING: there are no bars at all; else as tv_symbols_sort, tv_symbols_bars and DuckDB.
 */
int tv_technicals_write(const struct tv_symbol_source *source,
			const struct tv_features_options *options, int fd, struct tv_err *err);
int tv_features_matrix_write(const struct tv_symbol_source *source,
			     const struct tv_features_options *options, int fd, struct tv_err *err);

/* Both at once, each symbol read and computed once, in two threads, of which either may call the source (never both at
 * once). */
int tv_features_write_both(const struct tv_symbol_source *source,
			   const struct tv_features_options *options, int technicals_fd,
			   int matrix_fd, struct tv_err *err);

/* The same atomically and durably to dirfd/path, see tv_parquet_save. */
int tv_technicals_save(const struct tv_symbol_source *source,
		       const struct tv_features_options *options, int dirfd, const char *path,
		       struct tv_err *err);
int tv_features_matrix_save(const struct tv_symbol_source *source,
			    const struct tv_features_options *options, int dirfd, const char *path,
			    struct tv_err *err);

#endif
