/* What the files source*.c share. */
#ifndef TV_INGEST_SOURCE_PRIV_H
#define TV_INGEST_SOURCE_PRIV_H

#include "ingest/source.h"

enum tv_column { TV_TIMESTAMP, TV_OPEN, TV_HIGH, TV_LOW, TV_CLOSE, TV_VOLUME, TV_COLUMNS };

enum tv_time_form { TV_TIME_AUTO, TV_TIME_SECONDS, TV_TIME_MILLISECONDS, TV_TIME_TEXT_DATE };

/* How a CSV or JSON answer of a declared source is read. */
struct tv_layout {
	char *columns[TV_COLUMNS]; /* owned: a header's name or a path; NULL: the usual names */
	char *rows;		   /* owned: path to the rows of JSON, or NULL: the document */
	enum tv_time_form time;
	char delimiter;
	bool by_column;	  /* JSON: an array for each column, not an object for each row */
	bool volume_none; /* there is none: 0 */
	bool volume_optional;
};

/* What a folder or a program has of a symbol. */
struct tv_source_body {
	struct tv_buf bytes;
	char name[256]; /* for messages */
	bool parquet;	/* else text, which the kind parses */
};

struct tv_source_kind {
	const char *name;
	const char *base;   /* the public API's, or NULL where settings say it */
	const char *path;   /* template behind the base */
	const char *symbol; /* template of its own name of a symbol */
	unsigned page_days; /* 0: any number in one request */
	int (*parse)(const struct tv_source *s, const char *symbol, const char *body, size_t n,
		     struct tv_bars *out, struct tv_err *err);
	/* The bytes of a source that is not HTTP. */
	int (*read)(const struct tv_source *s, const struct tv_source_ask *ask, const char *own,
		    struct tv_source_body *out, struct tv_err *err);
};

struct tv_source {
	const struct tv_source_kind *kind;
	const struct tv_secrets *secrets; /* borrowed */
	char *name, *base;		  /* owned, as all below */
	char *url;			  /* template of the whole */
	char *symbol;			  /* template */
	cJSON *symbols;			  /* exceptions from it, or NULL */
	char **headers;			  /* templates, NULL-terminated, or NULL */
	struct tv_layout layout;
	unsigned page_days;
	bool has_keys;
	char *folder; /* kind folder */
	char **argv;  /* kind exec: templates, NULL-terminated */
	char **env;   /* NAME (passed on) or NAME=VALUE (a template) */
	bool to_file; /* it writes to {output}, not to its standard output */
	int64_t deadline_ns;
	size_t output_max;
};

struct tv_source_words {
	const char *symbol; /* the source's own */
	const char *plain;  /* the exchange's */
	const char *output; /* or NULL */
	int64_t from, to;
	bool encode; /* for a URL */
};

/* Expands {symbol}, {from}, {to_date} and so on (docs/sources.md). -EINVAL for an unknown word. */
int tv_source_expand(const struct tv_source *s, const char *text,
		     const struct tv_source_words *words, char **out, struct tv_err *err);

/* The source's own name of a symbol. */
int tv_source_own_symbol(const struct tv_source *s, const char *symbol, char **out,
			 struct tv_err *err);

/* A timestamp in text: Unix seconds or milliseconds, YYYYMMDD, a date, or a date and time, which is UTC
 * when it names no zone. */
int tv_source_time(const char *text, enum tv_time_form form, int64_t *seconds, struct tv_err *err);
int tv_source_number(const char *text, double *out, struct tv_err *err); /* finite decimal */

int tv_source_value_time(const cJSON *value, enum tv_time_form form, int64_t *seconds,
			 struct tv_err *err);
int tv_source_value_number(const cJSON *value, double *out, struct tv_err *err);

/* Parses JSON; HTML and other text get an error of their own. */
int tv_source_document(const char *body, size_t n, cJSON **out, struct tv_err *err);

/* The code that a source's own message of an error means. */
int tv_source_complaint(const char *text, struct tv_err *err);

const char *tv_column_name(enum tv_column column);

int tv_parse_binance(const struct tv_source *s, const char *symbol, const char *body, size_t n,
		     struct tv_bars *out, struct tv_err *err);
int tv_parse_coinbase(const struct tv_source *s, const char *symbol, const char *body, size_t n,
		      struct tv_bars *out, struct tv_err *err);
int tv_parse_kraken(const struct tv_source *s, const char *symbol, const char *body, size_t n,
		    struct tv_bars *out, struct tv_err *err);
int tv_parse_yahoo(const struct tv_source *s, const char *symbol, const char *body, size_t n,
		   struct tv_bars *out, struct tv_err *err);
int tv_parse_csv(const struct tv_source *s, const char *symbol, const char *body, size_t n,
		 struct tv_bars *out, struct tv_err *err);
int tv_parse_json(const struct tv_source *s, const char *symbol, const char *body, size_t n,
		  struct tv_bars *out, struct tv_err *err);
int tv_read_folder(const struct tv_source *s, const struct tv_source_ask *ask, const char *own,
		   struct tv_source_body *out, struct tv_err *err);
int tv_read_exec(const struct tv_source *s, const struct tv_source_ask *ask, const char *own,
		 struct tv_source_body *out, struct tv_err *err);

#define TV_COLUMN_ABSENT (-1)

/* Which of the names is which column: those of the settings, else the usual ones. -EPROTO when one is
 * missing, or is there twice. */
int tv_source_columns(const struct tv_layout *layout, char *const *names, int n, int at[TV_COLUMNS],
		      struct tv_err *err);

/* Appends the rows of a Parquet file; its columns are found as those of CSV. -ENOSYS without DuckDB. */
int tv_parse_parquet(const struct tv_source *s, struct tv_duck *duck,
		     const struct tv_source_body *body, struct tv_bars *out, struct tv_err *err);

/* A number that is a time, as JSON has it. */
int tv_source_whole_seconds(double v, enum tv_time_form form, int64_t *seconds, struct tv_err *err);

/* Fills the layout, folder, argv and so on of a source from its settings. */
int tv_source_settings(struct tv_source *s, const cJSON *settings, struct tv_secrets *secrets,
		       struct tv_err *err);
void tv_source_strings_free(char **strings);

#endif
