/* CSV (RFC 4180) with a header line: Stooq, declared sources, files of a folder, what programs print. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ingest/source-priv.h"
#include "store/base/cleanup.h"

#define FIELDS_MAX 128

/* A record's fields, NUL-terminated in a copy of the body. */
struct record {
	char *fields[FIELDS_MAX];
	int len;
};

struct reader {
	char *p, *end;
	size_t line; /* of the record that is read next, from 1 */
	char delimiter;
};

static int field_error(const struct reader *r, const char *what, struct tv_err *err)
{
	return tv_err_set(err, -EPROTO, "line %zu: %s", r->line, what);
}

/* Unquotes in place. *next is the byte that ended the field, '\0' at the end of the body. */
static int quoted(struct reader *r, char **field, char *next, struct tv_err *err)
{
	char *to = ++r->p;
	*field = to;
	for (;; r->p++) {
		if (r->p == r->end)
			return field_error(r, "a quoted field does not end", err);
		if (*r->p == '\n')
			return field_error(r, "a field has more than one line", err);
		if (*r->p == '"') {
			if (r->p + 1 == r->end || r->p[1] != '"')
				break;
			r->p++;
		}
		*to++ = *r->p;
	}
	r->p++;
	if (r->p < r->end && *r->p == '\r')
		r->p++;
	*next = r->p < r->end ? *r->p : '\0';
	*to = '\0';
	return 0;
}

static void bare(struct reader *r, char **field, char *next)
{
	*field = r->p;
	while (r->p < r->end && *r->p != r->delimiter && *r->p != '\n')
		r->p++;
	*next = r->p < r->end ? *r->p : '\0';
	char *last = r->p;
	while (last > *field && (last[-1] == ' ' || last[-1] == '\t' || last[-1] == '\r'))
		last--;
	*last = '\0'; /* the body has a NUL behind its end */
	while (**field == ' ' || **field == '\t')
		(*field)++;
}

/* 1 and a record, 0 at the end. Empty lines are passed over. */
static int next_record(struct reader *r, struct record *out, struct tv_err *err)
{
	while (r->p < r->end && (*r->p == '\n' || *r->p == '\r')) {
		r->line += *r->p == '\n';
		r->p++;
	}
	out->len = 0;
	for (char next = r->delimiter; r->p < r->end && next == r->delimiter;) {
		int code = 0;
		if (out->len == FIELDS_MAX)
			return field_error(r, "too many fields", err);
		if (*r->p == '"')
			code = quoted(r, &out->fields[out->len++], &next, err);
		else
			bare(r, &out->fields[out->len++], &next);
		if (code < 0)
			return code;
		if (next && next != r->delimiter && next != '\n')
			return field_error(r, "something stands behind a quoted field", err);
		r->p += next != '\0';
		/* a delimiter at the very end has an empty field behind it */
		if (next == r->delimiter && r->p == r->end && out->len < FIELDS_MAX)
			out->fields[out->len++] = r->end;
	}
	return out->len > 0;
}

/* The usual names of a column, when the settings name none. */
static bool is_usual(const char *name, enum tv_column column)
{
	static const char *const others[][2] = {
		{ "time", "t" },      { "date", "t" },	    { "datetime", "t" },
		{ "data", "t" },      { "vol", "v" },	    { "otwarcie", "o" },
		{ "najwyzszy", "h" }, { "najnizszy", "l" }, { "zamkniecie", "c" },
		{ "wolumen", "v" },
	};
	if (strcasecmp(name, tv_column_name(column)) == 0)
		return true;
	for (size_t i = 0; i < TV_ARRAY_LEN(others); i++)
		if (strcasecmp(name, others[i][0]) == 0)
			return *others[i][1] == *tv_column_name(column);
	return false;
}

int tv_source_columns(const struct tv_layout *layout, char *const *names, int n, int at[TV_COLUMNS],
		      struct tv_err *err)
{
	for (int c = 0; c < TV_COLUMNS; c++) {
		const char *wanted = layout->columns[c];
		at[c] = TV_COLUMN_ABSENT;
		if (c == TV_VOLUME && layout->volume_none)
			continue;
		for (int i = 0; i < n; i++) {
			if (wanted ? strcasecmp(names[i], wanted) != 0 : !is_usual(names[i], c))
				continue;
			if (at[c] != TV_COLUMN_ABSENT)
				return tv_err_set(err, -EPROTO, "the column %s is there twice",
						  tv_column_name(c));
			at[c] = i;
		}
		if (at[c] == TV_COLUMN_ABSENT && !(c == TV_VOLUME && layout->volume_optional))
			return tv_err_set(err, -EPROTO, "there is no column %s",
					  wanted ? wanted : tv_column_name(c));
	}
	return 0;
}

static int read_record(const struct tv_layout *layout, const struct record *record,
		       const int at[TV_COLUMNS], struct tv_bar *row, struct tv_err *err)
{
	double *values[TV_COLUMNS] = { NULL,	  &row->open,  &row->high,
				       &row->low, &row->close, &row->volume };
	for (int c = 0; c < TV_COLUMNS; c++) {
		int r = 0;
		if (at[c] == TV_COLUMN_ABSENT)
			row->volume = 0;
		else if (c == TV_TIMESTAMP)
			r = tv_source_time(record->fields[at[c]], layout->time, &row->timestamp,
					   err);
		else
			r = tv_source_number(record->fields[at[c]], values[c], err);
		if (r < 0)
			return tv_err_wrap(err, r, "%s", tv_column_name(c));
	}
	return 0;
}

static int read_records(const struct tv_layout *layout, struct reader *reader, struct tv_bars *out,
			struct tv_err *err)
{
	struct record record;
	int at[TV_COLUMNS];
	int r = next_record(reader, &record, err);
	if (r <= 0)
		return r < 0 ? r : tv_err_set(err, -EPROTO, "an empty answer");
	const int width = record.len;
	/* Stooq and others say what is wrong in a line of plain text */
	if (width == 1)
		return tv_source_complaint(record.fields[0], err);
	r = tv_source_columns(layout, record.fields, record.len, at, err);
	while (r == 0) {
		struct tv_bar row = { 0 };
		reader->line++;
		r = next_record(reader, &record, err);
		if (r <= 0)
			return r;
		if (record.len != width)
			return tv_err_set(err, -EPROTO, "line %zu: %d fields, and %d in the header",
					  reader->line, record.len, width);
		r = read_record(layout, &record, at, &row, err);
		if (r < 0)
			return tv_err_wrap(err, r, "line %zu", reader->line);
		r = tv_bars_add(out, &row, err);
	}
	return r;
}

int tv_parse_csv(const struct tv_source *s, const char *symbol, const char *body, size_t n,
		 struct tv_bars *out, struct tv_err *err)
{
	(void)symbol;
	size_t mark = n >= 3 && memcmp(body, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	size_t blank = mark;
	while (blank < n && strchr(" \t\r\n", body[blank]) && body[blank])
		blank++;
	if (blank < n && body[blank] == '<')
		return tv_err_set(err, -EPROTO, "HTML instead of CSV");
	if (n && memchr(body, '\0', n))
		return tv_err_set(err, -EPROTO, "not text: it has NUL bytes");
	tv_autofree char *copy = malloc(n + 1);
	if (!copy)
		return tv_err_nomem(err);
	if (n)
		memcpy(copy, body, n);
	copy[n] = '\0';
	struct reader reader = { copy + mark, copy + n, 1, s->layout.delimiter };
	return read_records(&s->layout, &reader, out, err);
}
