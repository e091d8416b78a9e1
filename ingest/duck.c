#include "ingest/duck.h"

#include <duckdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"

#define DEFAULT_MEMORY (256ULL << 20)

/* The rows of a feed that are waiting, and how it ended. */
struct feeding {
	const struct tv_duck_feed *feed;
	struct tv_duck_column *columns; /* owned */
	size_t at, n;			/* row `at` of the n given last is next */
	bool ended;
	struct tv_err err; /* of `more` */
};

struct tv_duck {
	duckdb_database database;
	duckdb_connection connection;
	struct tv_duck_options options;
	struct feeding feeding;
	bool knows_feeds;
};

/* All blocks of a result, each headed by the next one. */
struct tv_duck_memory {
	struct tv_duck_memory *next;
	max_align_t bytes[];
};

const char *tv_duck_version(void)
{
	return duckdb_library_version();
}

/* --- errors ------------------------------------------------------------------------------------ */

static int code_of(duckdb_error_type type, const char *message)
{
	bool system = strstr(message, "No space left on device") ||
		      strstr(message, "Input/output error") || strstr(message, "Disk quota");
	if (type == DUCKDB_ERROR_OUT_OF_MEMORY)
		return -ENOMEM;
	return system ? -EIO : -EINVAL;
}

/* DuckDB's message goes on with an excerpt of the statement, stack traces and hints. */
static int failed(struct tv_err *err, duckdb_error_type type, const char *message)
{
	if (!message)
		message = "no message";
	size_t n = strcspn(message, "\n");
	return tv_err_set(err, code_of(type, message), "DuckDB: %.*s", (int)(n > 600 ? 600 : n),
			  message);
}

/* --- opening ----------------------------------------------------------------------------------- */

static void let_go(struct tv_duck *duck)
{
	duckdb_disconnect(&duck->connection);
	duckdb_close(&duck->database);
	duck->knows_feeds = false;
}

/* Settings that a running database has to be given in this order: the last one makes them final. The
 * file cache knows files by path, size and time, but here one path means many files. */
static const char *const settings[] = {
	"SET allowed_directories = ['/proc/self/fd/']",
	"SET temp_directory = ''",
	"SET enable_external_file_cache = false",
	"SET enable_external_access = false",
	"SET TimeZone = 'UTC'",
	"SET lock_configuration = true",
};

static int set_up(struct tv_duck *duck, struct tv_err *err)
{
	for (size_t i = 0; i < TV_ARRAY_LEN(settings); i++) {
		int r = tv_duck_query(duck, settings[i], NULL, 0, NULL, err);
		/* The time zone belongs to an extension that a build may lack; it is UTC then. */
		if (r < 0 && strncmp(settings[i], "SET TimeZone", 12) != 0)
			return tv_err_wrap(err, r, "%s", settings[i]);
	}
	return 0;
}

static int open_database(struct tv_duck *duck, duckdb_config config, struct tv_err *err)
{
	char threads[16], memory[32];
	snprintf(threads, sizeof(threads), "%u", duck->options.threads);
	snprintf(memory, sizeof(memory), "%lluB", (unsigned long long)duck->options.memory_limit);
	const char *const words[][2] = {
		{ "threads", threads },
		{ "memory_limit", memory },
		{ "autoload_known_extensions", "false" },
		{ "autoinstall_known_extensions", "false" },
		{ "preserve_insertion_order", "true" },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(words); i++)
		if (duckdb_set_config(config, words[i][0], words[i][1]) != DuckDBSuccess)
			return tv_err_set(err, -EIO, "DuckDB does not know the setting '%s'",
					  words[i][0]);
	char *message = NULL;
	if (duckdb_open_ext(NULL, &duck->database, config, &message) != DuckDBSuccess) {
		int r = failed(err, DUCKDB_ERROR_INVALID, message);
		duckdb_free(message);
		return tv_err_wrap(err, r, "cannot make a database");
	}
	if (duckdb_connect(duck->database, &duck->connection) != DuckDBSuccess)
		return tv_err_set(err, -EIO, "DuckDB: cannot connect");
	return 0;
}

static int start(struct tv_duck *duck, struct tv_err *err)
{
	duckdb_config config = NULL;
	if (duckdb_create_config(&config) != DuckDBSuccess)
		return tv_err_nomem(err);
	int r = open_database(duck, config, err);
	duckdb_destroy_config(&config);
	if (r == 0)
		r = set_up(duck, err);
	if (r < 0)
		let_go(duck);
	return r;
}

int tv_duck_open(const struct tv_duck_options *options, struct tv_duck **out, struct tv_err *err)
{
	struct tv_duck *duck = calloc(1, sizeof(*duck));
	if (!duck)
		return tv_err_nomem(err);
	if (options)
		duck->options = *options;
	if (!duck->options.threads)
		duck->options.threads = 1;
	if (!duck->options.memory_limit)
		duck->options.memory_limit = DEFAULT_MEMORY;
	int r = start(duck, err);
	if (r < 0) {
		free(duck);
		return r;
	}
	*out = duck;
	return 0;
}

void tv_duck_close(struct tv_duck *duck)
{
	if (!duck)
		return;
	let_go(duck);
	free(duck->feeding.columns);
	free(duck);
}

/* After these DuckDB refuses everything; a damaged file can bring them about. */
static void recover(struct tv_duck *duck, duckdb_error_type type)
{
	if (type != DUCKDB_ERROR_FATAL && type != DUCKDB_ERROR_INTERNAL)
		return;
	let_go(duck);
	start(duck, NULL);
}

/* --- results: types ---------------------------------------------------------------------------- */

static const struct {
	duckdb_type type;
	const char *name;
	enum tv_duck_kind kind;
	int64_t per_second;
} types[] = {
	{ DUCKDB_TYPE_BOOLEAN, "bool", TV_DUCK_BOOL, 0 },
	{ DUCKDB_TYPE_TINYINT, "int8", TV_DUCK_INT64, 0 },
	{ DUCKDB_TYPE_SMALLINT, "int16", TV_DUCK_INT64, 0 },
	{ DUCKDB_TYPE_INTEGER, "int32", TV_DUCK_INT64, 0 },
	{ DUCKDB_TYPE_BIGINT, "int64", TV_DUCK_INT64, 0 },
	{ DUCKDB_TYPE_UTINYINT, "uint8", TV_DUCK_INT64, 0 },
	{ DUCKDB_TYPE_USMALLINT, "uint16", TV_DUCK_INT64, 0 },
	{ DUCKDB_TYPE_UINTEGER, "uint32", TV_DUCK_INT64, 0 },
	{ DUCKDB_TYPE_UBIGINT, "uint64", TV_DUCK_INT64, 0 },
	{ DUCKDB_TYPE_FLOAT, "float", TV_DUCK_DOUBLE, 0 },
	{ DUCKDB_TYPE_DOUBLE, "double", TV_DUCK_DOUBLE, 0 },
	{ DUCKDB_TYPE_VARCHAR, "text", TV_DUCK_TEXT, 0 },
	{ DUCKDB_TYPE_DATE, "date", TV_DUCK_TIMESTAMP, 1 },
	{ DUCKDB_TYPE_TIMESTAMP_S, "timestamp[s]", TV_DUCK_TIMESTAMP, 1 },
	{ DUCKDB_TYPE_TIMESTAMP_MS, "timestamp[ms]", TV_DUCK_TIMESTAMP, 1000 },
	{ DUCKDB_TYPE_TIMESTAMP, "timestamp[us]", TV_DUCK_TIMESTAMP, 1000000 },
	{ DUCKDB_TYPE_TIMESTAMP_TZ, "timestamp[us, UTC]", TV_DUCK_TIMESTAMP, 1000000 },
	{ DUCKDB_TYPE_TIMESTAMP_NS, "timestamp[ns]", TV_DUCK_TIMESTAMP, 1000000000 },
	{ DUCKDB_TYPE_HUGEINT, "int128", TV_DUCK_OTHER, 0 },
	{ DUCKDB_TYPE_DECIMAL, "decimal", TV_DUCK_OTHER, 0 },
	{ DUCKDB_TYPE_BLOB, "bytes", TV_DUCK_OTHER, 0 },
	{ DUCKDB_TYPE_TIME, "time", TV_DUCK_OTHER, 0 },
	{ DUCKDB_TYPE_LIST, "list", TV_DUCK_OTHER, 0 },
	{ DUCKDB_TYPE_STRUCT, "struct", TV_DUCK_OTHER, 0 },
	{ DUCKDB_TYPE_MAP, "map", TV_DUCK_OTHER, 0 },
	{ DUCKDB_TYPE_UUID, "uuid", TV_DUCK_OTHER, 0 },
};

static size_t size_of(enum tv_duck_kind kind)
{
	switch (kind) {
	case TV_DUCK_BOOL:
		return sizeof(bool);
	case TV_DUCK_TEXT:
		return sizeof(struct tv_duck_string);
	case TV_DUCK_INT64:
	case TV_DUCK_DOUBLE:
	case TV_DUCK_TIMESTAMP:
		return sizeof(int64_t);
	default:
		return 0;
	}
}

/* --- results: copying -------------------------------------------------------------------------- */

static void *block(struct tv_duck_result *result, size_t n)
{
	struct tv_duck_memory *memory = calloc(1, sizeof(*memory) + n);
	if (!memory)
		return NULL;
	memory->next = result->memory;
	result->memory = memory;
	return memory->bytes;
}

void tv_duck_result_free(struct tv_duck_result *result)
{
	if (!result)
		return;
	for (struct tv_duck_memory *m = result->memory; m;) {
		struct tv_duck_memory *next = m->next;
		free(m);
		m = next;
	}
	*result = TV_DUCK_RESULT_INIT;
}

static int describe(const char *name, duckdb_type type, idx_t at, struct tv_duck_result *to,
		    struct tv_err *err)
{
	struct tv_duck_column *column = &to->columns[at];
	size_t n = strlen(name) + 1;
	char *copy = block(to, n);
	if (!copy)
		return tv_err_nomem(err);
	column->name = memcpy(copy, name, n);
	column->type = "another type";
	for (size_t i = 0; i < TV_ARRAY_LEN(types); i++) {
		if (types[i].type != type)
			continue;
		column->type = types[i].name;
		column->kind = types[i].kind;
		column->per_second = types[i].per_second;
	}
	size_t size = size_of(column->kind);
	if (size)
		column->values = block(to, to->n_rows * size + 1);
	return size && !column->values ? tv_err_nomem(err) : 0;
}

/* Where a vector's values go: row `first` of the column on. */
struct slice {
	struct tv_duck_result *result;
	struct tv_duck_column *column;
	size_t first, n;
};

static int copy_nulls(const struct slice *to, uint64_t *valid, struct tv_err *err)
{
	struct tv_duck_column *column = to->column;
	for (size_t i = 0; valid && i < to->n; i++) {
		if (duckdb_validity_row_is_valid(valid, i))
			continue;
		if (!column->null)
			column->null = block(to->result, to->result->n_rows * sizeof(bool));
		if (!column->null)
			return tv_err_nomem(err);
		((bool *)(uintptr_t)column->null)[to->first + i] = true;
	}
	return 0;
}

/* One block of memory a vector: lengths first, then bytes. */
static int copy_text(const struct slice *to, duckdb_string_t *from, struct tv_err *err)
{
	struct tv_duck_string *out =
		(struct tv_duck_string *)(uintptr_t)to->column->text + to->first;
	const bool *null = to->column->null ? to->column->null + to->first : NULL;
	size_t total = 0;
	for (size_t i = 0; i < to->n; i++)
		total += null && null[i] ? 0 : duckdb_string_t_length(from[i]) + 1;
	char *bytes = block(to->result, total);
	if (!bytes)
		return tv_err_nomem(err);
	for (size_t i = 0; i < to->n; i++) {
		if (null && null[i])
			continue;
		out[i] = (struct tv_duck_string){ bytes, duckdb_string_t_length(from[i]) };
		memcpy(bytes, duckdb_string_t_data(&from[i]), out[i].n);
		bytes += out[i].n + 1;
	}
	return 0;
}

#define WIDEN(from_type, to_type, into)                                                            \
	do {                                                                                       \
		for (size_t i = 0; i < to->n; i++)                                                 \
			(into)[i] = (to_type)((const from_type *)from)[i];                         \
		return 0;                                                                          \
	} while (0)

static int copy_uint64(const struct slice *to, const uint64_t *from, int64_t *out,
		       struct tv_err *err)
{
	const bool *null = to->column->null ? to->column->null + to->first : NULL;
	for (size_t i = 0; i < to->n; i++) {
		if (from[i] > INT64_MAX && !(null && null[i]))
			return tv_err_set(err, -ERANGE, "column '%s', row %zu: %llu does not fit",
					  to->column->name, to->first + i,
					  (unsigned long long)from[i]);
		out[i] = (int64_t)from[i];
	}
	return 0;
}

static int copy_values(const struct slice *to, duckdb_type type, void *from, struct tv_err *err)
{
	void *start = (void *)(uintptr_t)to->column->values;
	int64_t *i64 = (int64_t *)start + to->first;
	double *f64 = (double *)start + to->first;
	switch (type) {
	case DUCKDB_TYPE_BOOLEAN:
		memcpy((bool *)start + to->first, from, to->n * sizeof(bool));
		return 0;
	case DUCKDB_TYPE_TINYINT:
		WIDEN(int8_t, int64_t, i64);
	case DUCKDB_TYPE_SMALLINT:
		WIDEN(int16_t, int64_t, i64);
	case DUCKDB_TYPE_INTEGER:
		WIDEN(int32_t, int64_t, i64);
	case DUCKDB_TYPE_UTINYINT:
		WIDEN(uint8_t, int64_t, i64);
	case DUCKDB_TYPE_USMALLINT:
		WIDEN(uint16_t, int64_t, i64);
	case DUCKDB_TYPE_UINTEGER:
		WIDEN(uint32_t, int64_t, i64);
	case DUCKDB_TYPE_UBIGINT:
		return copy_uint64(to, from, i64, err);
	case DUCKDB_TYPE_FLOAT:
		WIDEN(float, double, f64);
	case DUCKDB_TYPE_DATE:
		for (size_t i = 0; i < to->n; i++)
			i64[i] = ((const int32_t *)from)[i] * (int64_t)86400;
		return 0;
	case DUCKDB_TYPE_VARCHAR:
		return copy_text(to, from, err);
	default:
		if (to->column->kind != TV_DUCK_OTHER)
			memcpy(i64, from, to->n * sizeof(int64_t));
		return 0;
	}
}

static int copy_chunk(duckdb_result *from, duckdb_data_chunk chunk, size_t first,
		      struct tv_duck_result *to, struct tv_err *err)
{
	int r = 0;
	for (idx_t c = 0; c < to->n_columns && r == 0; c++) {
		duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, c);
		struct slice slice = { to, &to->columns[c], first,
				       duckdb_data_chunk_get_size(chunk) };
		r = copy_nulls(&slice, duckdb_vector_get_validity(vector), err);
		if (r == 0)
			r = copy_values(&slice, duckdb_column_type(from, c),
					duckdb_vector_get_data(vector), err);
	}
	return r;
}

/* Columns and room for n rows. What was made is in *to also after an error. */
static int describe_all(duckdb_result *from, size_t n, struct tv_duck_result *to,
			struct tv_err *err)
{
	to->n_columns = duckdb_column_count(from);
	to->n_rows = n;
	to->columns = block(to, to->n_columns * sizeof(*to->columns));
	if (!to->columns)
		return tv_err_nomem(err);
	int r = 0;
	for (idx_t c = 0; c < to->n_columns && r == 0; c++)
		r = describe(duckdb_column_name(from, c), duckdb_column_type(from, c), c, to, err);
	return r;
}

static int copy_result(duckdb_result *from, struct tv_duck_result *out, struct tv_err *err)
{
	tv_auto_duck_result struct tv_duck_result to = TV_DUCK_RESULT_INIT;
	int r = describe_all(from, duckdb_row_count(from), &to, err);
	for (size_t first = 0; first < to.n_rows && r == 0;) {
		duckdb_data_chunk chunk = duckdb_fetch_chunk(*from);
		size_t n = chunk ? duckdb_data_chunk_get_size(chunk) : 0;
		if (!n || n > to.n_rows - first)
			r = tv_err_set(err, -EIO, "DuckDB: rows are missing");
		else
			r = copy_chunk(from, chunk, first, &to, err);
		first += n;
		duckdb_destroy_data_chunk(&chunk);
	}
	if (r < 0)
		return r;
	*out = to;
	to = TV_DUCK_RESULT_INIT;
	return 0;
}

/* Where the rows of a statement go: all into *out (may be NULL), or some at a time to a function. */
struct sink {
	struct tv_duck_result *out;
	tv_duck_rows rows;
	void *arg;
	tv_duck_look look; /* at the columns first, or NULL */
	void *look_arg;
};

static int pass_on(duckdb_result *from, const struct sink *sink, struct tv_err *err)
{
	duckdb_data_chunk chunk;
	int r = 0;
	while (r == 0 && (chunk = duckdb_fetch_chunk(*from)) != NULL) {
		tv_auto_duck_result struct tv_duck_result to = TV_DUCK_RESULT_INIT;
		r = describe_all(from, duckdb_data_chunk_get_size(chunk), &to, err);
		if (r == 0)
			r = copy_chunk(from, chunk, 0, &to, err);
		duckdb_destroy_data_chunk(&chunk);
		if (r == 0)
			r = sink->rows(sink->arg, &to, err);
	}
	return r;
}

/* --- statements -------------------------------------------------------------------------------- */

static void file_path(int fd, char out[32])
{
	snprintf(out, 32, "/proc/self/fd/%d", fd);
}

static duckdb_state bind(duckdb_prepared_statement statement, idx_t at,
			 const struct tv_duck_value *value)
{
	char path[32];
	switch (value->kind) {
	case TV_DUCK_BOOL:
		return duckdb_bind_boolean(statement, at, value->boolean);
	case TV_DUCK_INT64:
		return duckdb_bind_int64(statement, at, value->i64);
	case TV_DUCK_DOUBLE:
		return duckdb_bind_double(statement, at, value->f64);
	case TV_DUCK_TEXT:
		return duckdb_bind_varchar(statement, at, value->text);
	case TV_DUCK_TIMESTAMP:
		return duckdb_bind_timestamp(statement, at, (duckdb_timestamp){ value->i64 });
	case TV_DUCK_FILE:
		file_path(value->fd, path);
		return duckdb_bind_varchar(statement, at, path);
	default:
		return duckdb_bind_null(statement, at);
	}
}

static int execute(struct tv_duck *duck, duckdb_prepared_statement statement,
		   const struct sink *sink, struct tv_err *err)
{
	duckdb_result result = { 0 };
	duckdb_error_type type = DUCKDB_ERROR_INVALID;
	int r = 0;
	duckdb_state state = sink->rows ? duckdb_execute_prepared_streaming(statement, &result)
					: duckdb_execute_prepared(statement, &result);
	if (state == DuckDBSuccess && sink->rows)
		r = pass_on(&result, sink, err);
	else if (state == DuckDBSuccess && sink->out)
		r = copy_result(&result, sink->out, err);
	/* A stream may also end with an error. */
	const char *message = duckdb_result_error(&result);
	bool bad = state != DuckDBSuccess || (r == 0 && message && *message);
	if (bad) {
		type = duckdb_result_error_type(&result);
		r = duck->feeding.err.code
			    ? tv_err_set(err, duck->feeding.err.code, "%s", duck->feeding.err.text)
			    : failed(err, type, message);
	}
	duckdb_destroy_result(&result);
	duckdb_destroy_prepare(&statement);
	if (bad)
		recover(duck, type);
	return r;
}

/* What a statement is going to return. */
static int foresee(duckdb_prepared_statement statement, const struct sink *sink, struct tv_err *err)
{
	tv_auto_duck_result struct tv_duck_result to = TV_DUCK_RESULT_INIT;
	int r = 0;
	to.n_columns = duckdb_prepared_statement_column_count(statement);
	to.columns = block(&to, to.n_columns * sizeof(*to.columns) + 1);
	if (!to.columns)
		return tv_err_nomem(err);
	for (idx_t c = 0; c < to.n_columns && r == 0; c++) {
		const char *name = duckdb_prepared_statement_column_name(statement, c);
		r = name ? describe(name, duckdb_prepared_statement_column_type(statement, c), c,
				    &to, err)
			 : tv_err_nomem(err);
		duckdb_free((void *)name);
	}
	return r == 0 ? sink->look(sink->look_arg, &to, err) : r;
}

static int run(struct tv_duck *duck, const char *sql, const struct tv_duck_value *values,
	       size_t n_values, const struct sink *sink, struct tv_err *err)
{
	duckdb_prepared_statement statement = NULL;
	int r = 0;
	if (!duck->connection)
		return tv_err_set(err, -EIO, "DuckDB: the database could not be made anew");
	if (duckdb_prepare(duck->connection, sql, &statement) != DuckDBSuccess) {
		r = failed(err, DUCKDB_ERROR_INVALID, duckdb_prepare_error(statement));
	} else if (duckdb_nparams(statement) != n_values) {
		r = tv_err_set(err, -EINVAL, "DuckDB: %zu values for %llu places", n_values,
			       (unsigned long long)duckdb_nparams(statement));
	}
	if (r == 0 && sink->look)
		r = foresee(statement, sink, err);
	for (size_t i = 0; i < n_values && r == 0; i++)
		if (bind(statement, i + 1, &values[i]) != DuckDBSuccess)
			r = failed(err, DUCKDB_ERROR_INVALID, duckdb_prepare_error(statement));
	if (r == 0)
		return execute(duck, statement, sink, err);
	duckdb_destroy_prepare(&statement);
	return r;
}

int tv_duck_query(struct tv_duck *duck, const char *sql, const struct tv_duck_value *values,
		  size_t n_values, struct tv_duck_result *out, struct tv_err *err)
{
	return run(duck, sql, values, n_values, &(struct sink){ .out = out }, err);
}

int tv_duck_stream(struct tv_duck *duck, const char *sql, const struct tv_duck_value *values,
		   size_t n_values, tv_duck_rows rows, void *arg, struct tv_err *err)
{
	return run(duck, sql, values, n_values, &(struct sink){ .rows = rows, .arg = arg }, err);
}

int tv_duck_read_parquet(struct tv_duck *duck, int fd, tv_duck_look look, void *arg,
			 struct tv_duck_result *out, struct tv_err *err)
{
	char path[32], sql[160];
	file_path(fd, path);
	/* As a value the file would be looked into once more, when it is known. */
	snprintf(
		sql, sizeof(sql),
		"SELECT * FROM read_parquet('%s', hive_partitioning = false, union_by_name = false)",
		path);
	return run(duck, sql, NULL, 0, &(struct sink){ .out = out, .look = look, .look_arg = arg },
		   err);
}

/* --- tables ------------------------------------------------------------------------------------ */

static const struct {
	duckdb_type type;
	const char *sql;
} stored[] = {
	[TV_DUCK_BOOL] = { DUCKDB_TYPE_BOOLEAN, "BOOLEAN" },
	[TV_DUCK_INT64] = { DUCKDB_TYPE_BIGINT, "BIGINT" },
	[TV_DUCK_DOUBLE] = { DUCKDB_TYPE_DOUBLE, "DOUBLE" },
	[TV_DUCK_TEXT] = { DUCKDB_TYPE_VARCHAR, "VARCHAR" },
	[TV_DUCK_TIMESTAMP] = { DUCKDB_TYPE_TIMESTAMP_TZ, "TIMESTAMPTZ" },
};

char *tv_duck_quote(const char *name)
{
	tv_autobuf struct tv_buf out = TV_BUF_INIT;
	tv_buf_add_u8(&out, '"');
	for (const char *p = name; *p; p++) {
		tv_buf_add_u8(&out, (uint8_t)*p);
		if (*p == '"')
			tv_buf_add_u8(&out, '"');
	}
	tv_buf_add_u8(&out, '"');
	return tv_buf_steal_str(&out);
}

static int create_table(struct tv_duck *duck, const char *table,
			const struct tv_duck_column *columns, size_t n, struct tv_err *err)
{
	tv_autobuf struct tv_buf sql = TV_BUF_INIT;
	tv_autofree char *quoted = tv_duck_quote(table);
	tv_buf_addf(&sql, "CREATE OR REPLACE TABLE %s (", quoted ? quoted : "");
	for (size_t i = 0; i < n; i++) {
		if (columns[i].kind == TV_DUCK_OTHER || columns[i].kind == TV_DUCK_FILE)
			return tv_err_set(err, -EINVAL, "column '%s' has no type", columns[i].name);
		tv_autofree char *name = tv_duck_quote(columns[i].name);
		tv_buf_addf(&sql, "%s%s %s", i ? ", " : "", name ? name : "",
			    stored[columns[i].kind].sql);
	}
	tv_buf_add_str(&sql, ")");
	tv_autofree char *text = tv_buf_steal_str(&sql);
	return text && quoted ? tv_duck_query(duck, text, NULL, 0, NULL, err) : tv_err_nomem(err);
}

/* Rows [first, first + n) of a column become those from `at` on of a vector without nulls. */
static void fill(duckdb_vector vector, const struct tv_duck_column *column, size_t first, size_t at,
		 size_t n)
{
	char *to = duckdb_vector_get_data(vector);
	const bool *null = column->null ? column->null + first : NULL;
	size_t size = size_of(column->kind);
	if (null)
		duckdb_vector_ensure_validity_writable(vector);
	uint64_t *valid = null ? duckdb_vector_get_validity(vector) : NULL;
	for (size_t i = 0; null && i < n; i++)
		if (null[i])
			duckdb_validity_set_row_invalid(valid, at + i);
	if (column->kind != TV_DUCK_TEXT) {
		memcpy(to + at * size, (const char *)column->values + first * size, n * size);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const struct tv_duck_string *s = &column->text[first + i];
		if (!null || !null[i])
			duckdb_vector_assign_string_element_len(vector, at + i, s->bytes, s->n);
	}
}

static int append_rows(duckdb_appender appender, duckdb_data_chunk chunk,
		       const struct tv_duck_column *columns, size_t n_columns, size_t n_rows,
		       struct tv_err *err)
{
	size_t most = duckdb_vector_size();
	bool good = true;
	for (size_t first = 0; first < n_rows && good; first += most) {
		size_t n = n_rows - first < most ? n_rows - first : most;
		duckdb_data_chunk_reset(chunk);
		for (size_t c = 0; c < n_columns; c++)
			fill(duckdb_data_chunk_get_vector(chunk, c), &columns[c], first, 0, n);
		duckdb_data_chunk_set_size(chunk, n);
		good = duckdb_append_data_chunk(appender, chunk) == DuckDBSuccess;
	}
	if (good && duckdb_appender_close(appender) == DuckDBSuccess)
		return 0;
	duckdb_error_data data = duckdb_appender_error_data(appender);
	int r = failed(err, duckdb_error_data_error_type(data), duckdb_error_data_message(data));
	duckdb_destroy_error_data(&data);
	return r;
}

static duckdb_data_chunk make_chunk(const struct tv_duck_column *columns, size_t n)
{
	tv_autofree duckdb_logical_type *logical = calloc(n, sizeof(*logical));
	for (size_t i = 0; i < n && logical; i++)
		logical[i] = duckdb_create_logical_type(stored[columns[i].kind].type);
	duckdb_data_chunk chunk = logical ? duckdb_create_data_chunk(logical, n) : NULL;
	for (size_t i = 0; i < n && logical; i++)
		duckdb_destroy_logical_type(&logical[i]);
	return chunk;
}

int tv_duck_table(struct tv_duck *duck, const char *table, const struct tv_duck_column *columns,
		  size_t n_columns, size_t n_rows, struct tv_err *err)
{
	duckdb_appender appender = NULL;
	int r = create_table(duck, table, columns, n_columns, err);
	if (r < 0)
		return r;
	duckdb_data_chunk chunk = make_chunk(columns, n_columns);
	if (!chunk)
		r = tv_err_nomem(err);
	else if (duckdb_appender_create(duck->connection, NULL, table, &appender) != DuckDBSuccess)
		r = failed(err, DUCKDB_ERROR_INVALID, duckdb_appender_error(appender));
	else
		r = append_rows(appender, chunk, columns, n_columns, n_rows, err);
	duckdb_appender_destroy(&appender);
	duckdb_destroy_data_chunk(&chunk);
	return r;
}

/* --- feeds ------------------------------------------------------------------------------------- */

static void feed_bind(duckdb_bind_info info)
{
	const struct tv_duck *duck = duckdb_bind_get_extra_info(info);
	const struct tv_duck_feed *feed = duck->feeding.feed;
	if (!feed) {
		duckdb_bind_set_error(info, "no feed is set");
		return;
	}
	for (size_t i = 0; i < feed->n_columns; i++) {
		duckdb_logical_type type =
			duckdb_create_logical_type(stored[feed->columns[i].kind].type);
		duckdb_bind_add_result_column(info, feed->columns[i].name, type);
		duckdb_destroy_logical_type(&type);
	}
}

static void feed_init(duckdb_init_info info)
{
	duckdb_init_set_max_threads(info, 1);
}

/* The next portion; at its end, or after an error, the feed has ended. */
static void feed_more(struct feeding *f)
{
	f->at = f->n = 0;
	int r = f->feed->more(f->feed->arg, f->columns, &f->n, &f->err);
	if (r < 0 && !f->err.code)
		tv_err_set(&f->err, r, "no more rows can be had");
	f->ended = r < 0 || f->n == 0;
}

/* A vector is filled up, whatever portions the rows come in. */
static void feed_rows(duckdb_function_info info, duckdb_data_chunk chunk)
{
	struct tv_duck *duck = duckdb_function_get_extra_info(info);
	struct feeding *f = &duck->feeding;
	size_t most = duckdb_vector_size(), filled = 0;
	if (f->feed->chunk && f->feed->chunk < most)
		most = f->feed->chunk;
	while (filled < most && !f->ended) {
		if (f->at >= f->n) {
			feed_more(f);
			continue;
		}
		size_t n = f->n - f->at < most - filled ? f->n - f->at : most - filled;
		for (size_t c = 0; c < f->feed->n_columns; c++)
			fill(duckdb_data_chunk_get_vector(chunk, c), &f->columns[c], f->at, filled,
			     n);
		f->at += n;
		filled += n;
	}
	if (f->err.code)
		duckdb_function_set_error(info, f->err.text);
	duckdb_data_chunk_set_size(chunk, f->err.code ? 0 : filled);
}

static int know_feeds(struct tv_duck *duck, struct tv_err *err)
{
	if (duck->knows_feeds)
		return 0;
	if (!duck->connection)
		return tv_err_set(err, -EIO, "DuckDB: the database could not be made anew");
	duckdb_table_function function = duckdb_create_table_function();
	duckdb_table_function_set_name(function, "tv_feed");
	duckdb_table_function_set_extra_info(function, duck, NULL);
	duckdb_table_function_set_bind(function, feed_bind);
	duckdb_table_function_set_init(function, feed_init);
	duckdb_table_function_set_function(function, feed_rows);
	duckdb_state state = duckdb_register_table_function(duck->connection, function);
	duckdb_destroy_table_function(&function);
	if (state != DuckDBSuccess)
		return tv_err_set(err, -EIO, "DuckDB: it takes no function");
	duck->knows_feeds = true;
	return 0;
}

static int columns_of(const struct tv_duck_feed *feed, struct tv_duck_column **out,
		      struct tv_err *err)
{
	if (!feed->n_columns)
		return tv_err_set(err, -EINVAL, "a feed needs columns");
	for (size_t i = 0; i < feed->n_columns; i++)
		if (feed->columns[i].kind == TV_DUCK_OTHER || feed->columns[i].kind == TV_DUCK_FILE)
			return tv_err_set(err, -EINVAL, "column '%s' has no type",
					  feed->columns[i].name);
	struct tv_duck_column *columns = calloc(feed->n_columns, sizeof(*columns));
	if (!columns)
		return tv_err_nomem(err);
	memcpy(columns, feed->columns, feed->n_columns * sizeof(*columns));
	*out = columns;
	return 0;
}

int tv_duck_set_feed(struct tv_duck *duck, const struct tv_duck_feed *feed, struct tv_err *err)
{
	struct tv_duck_column *columns = NULL;
	int r = feed ? columns_of(feed, &columns, err) : 0;
	if (r == 0 && feed)
		r = know_feeds(duck, err);
	if (r < 0) {
		free(columns);
		return r;
	}
	free(duck->feeding.columns);
	duck->feeding = (struct feeding){ .feed = feed, .columns = columns };
	return 0;
}

/* --- Parquet ----------------------------------------------------------------------------------- */

/* What pandas reads from a file's metadata: the index, and its type (pandas.pydata.org, "Storing pandas
 * DataFrame objects in Apache Parquet format"). Other columns are what they are. */
#define PANDAS                                                                                     \
	", KV_METADATA {pandas: '{\"index_columns\": [\"%1$s\"], \"column_indexes\": "             \
	"[{\"name\": null, \"field_name\": null, \"pandas_type\": \"unicode\", "                   \
	"\"numpy_type\": \"object\", \"metadata\": {\"encoding\": \"UTF-8\"}}], \"columns\": "     \
	"[{\"name\": \"%1$s\", \"field_name\": \"%1$s\", \"pandas_type\": \"datetimetz\", "        \
	"\"numpy_type\": \"datetime64[us]\", \"metadata\": {\"timezone\": \"UTC\"}}], "            \
	"\"pandas_version\": \"2.0.0\"}'}"

/* No dictionaries: DuckDB looks values up in them by ==, and would write 0.0 for -0.0. */
int tv_duck_write_layout(struct tv_duck *duck, const char *select,
			 const struct tv_duck_layout *layout, int fd, struct tv_err *err)
{
	char path[32];
	const char *index = layout->index;
	unsigned rows = layout->row_group ? layout->row_group : TV_DUCK_ROW_GROUP;
	tv_autobuf struct tv_buf sql = TV_BUF_INIT;
	file_path(fd, path);
	tv_buf_addf(&sql,
		    "COPY (%s) TO '%s' (FORMAT parquet, PARQUET_VERSION v1, COMPRESSION snappy, "
		    "ROW_GROUP_SIZE %u, DICTIONARY_SIZE_LIMIT 0, USE_TMP_FILE false",
		    select, path, rows);
	if (index && index[strcspn(index, "'\"\\")])
		return tv_err_set(err, -EINVAL, "'%s' cannot be an index", index);
	if (index)
		tv_buf_addf(&sql, PANDAS, index);
	tv_buf_add_str(&sql, ")");
	tv_autofree char *text = tv_buf_steal_str(&sql);
	return text ? tv_duck_query(duck, text, NULL, 0, NULL, err) : tv_err_nomem(err);
}

int tv_duck_write_parquet(struct tv_duck *duck, const char *select, int fd, struct tv_err *err)
{
	return tv_duck_write_layout(duck, select, &(struct tv_duck_layout){ NULL, 0 }, fd, err);
}
