/*
 * Parquet files of the lakehouse, whoever wrote them: opened once, asked with SQL, replaced atomically.
 * Every message begins with the name that the caller gave the file.
 *
 * Codes: -ENOENT and the like when it cannot be opened; -TV_E_GATE when what is in it is no Parquet
 * that can be read; -ENOMEM, -EIO when the machine is at fault.
 */
#ifndef TV_INGEST_PARQUET_H
#define TV_INGEST_PARQUET_H

#include "ingest/duck.h"

/* Where SQL finds the file: SELECT ... FROM TV_PARQUET_ROWS. The file is the value $1. Rows are
 * numbered from 0 in the column file_row_number. */
#define TV_PARQUET_ROWS                                                                            \
	"read_parquet($1, hive_partitioning = false, union_by_name = false, file_row_number = true)"

/* A file to be read. The descriptor is the opener's. */
struct tv_parquet {
	struct tv_duck *duck;
	const char *name; /* for messages; not copied */
	int fd;
};

/* Opens dirfd/path for reading: a regular file, links are followed. The descriptor, or -errno. */
int tv_parquet_open(int dirfd, const char *path, struct tv_err *err);

/* The columns, in the file's order: names and types, no rows. A name that occurs twice comes with a
 * number the second time. Free with tv_duck_result_free. */
int tv_parquet_columns(const struct tv_parquet *file, struct tv_duck_result *out,
		       struct tv_err *err);

/* All columns and rows, see tv_duck_read_parquet; what `look` returns is returned as it is. */
int tv_parquet_read(const struct tv_parquet *file, tv_duck_look look, void *arg,
		    struct tv_duck_result *out, struct tv_err *err);

/* Rows of a statement with TV_PARQUET_ROWS in it, and no other value. */
int tv_parquet_query(const struct tv_parquet *file, const char *sql, struct tv_duck_result *out,
		     struct tv_err *err);

/* The same, some rows at a time: see tv_duck_stream. What `rows` returns is returned as it is. */
int tv_parquet_stream(const struct tv_parquet *file, const char *sql, tv_duck_rows rows, void *arg,
		      struct tv_err *err);

/* Writes the rows of `select` (see tv_duck_write_parquet) to dirfd/path, atomically and durably: a temp
 * file beside it, fdatasync, rename, fsync of the folder. After a failure the old file is there, and
 * no temp file. A new file has mode 0666 less the umask, a replaced one keeps its mode. */
int tv_parquet_save(struct tv_duck *duck, const char *select, int dirfd, const char *path,
		    struct tv_err *err);

/* The same with another layout, see tv_duck_write_layout. */
int tv_parquet_save_layout(struct tv_duck *duck, const char *select,
			   const struct tv_duck_layout *layout, int dirfd, const char *path,
			   struct tv_err *err);

#endif
