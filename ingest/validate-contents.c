/* What follows from a file's bytes alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/bars-parquet.h"
#include "ingest/validate-priv.h"
#include "store/base/cleanup.h"
#include "store/base/io.h"

/* Raised when the same bytes and rules may get another verdict than from the version before. */
#define JUDGE_VERSION 1
#define ROW_VERSION 1
#define TOLD 20			       /* faults of one file that are kept */
#define JSON_MAX ((size_t)64 << 20)    /* bytes, as docs/lakehouse_schema_registry.md says */
#define SYMBOLS_MAX ((size_t)16 << 20) /* bytes of the names in a matrix that are kept */

void tv_contents_free(struct tv_contents *c)
{
	free(c->faults);
	free(c->symbols);
	*c = (struct tv_contents){ .faults = NULL };
}

/* --- faults ------------------------------------------------------------------------------------ */

struct faults {
	struct tv_buf lines;
	size_t n;
};

/* A line: nothing in it may end it. */
static void add_fault(struct faults *to, enum tv_check check, const char *text)
{
	if (to->n++ >= TOLD)
		return;
	tv_buf_addf(&to->lines, "%d", (int)check);
	for (const char *p = text; *p; p++)
		tv_buf_add_u8(&to->lines, *p == '\n' ? ' ' : (uint8_t)*p);
	tv_buf_add_u8(&to->lines, '\n');
}

static int found(void *arg, const struct tv_schema_finding *f, struct tv_err *err)
{
	tv_autobuf struct tv_buf text = TV_BUF_INIT;
	if (f->column)
		tv_buf_addf(&text, "column '%s', ", f->column);
	if (f->row >= 0)
		tv_buf_addf(&text, "row %lld, ", (long long)f->row);
	if (text.len)
		text.data[text.len - 2] = ':';
	tv_buf_add_str(&text, f->what);
	tv_autofree char *line = tv_buf_steal_str(&text);
	if (!line)
		return tv_err_nomem(err);
	add_fault(arg, TV_CHECK_SCHEMA, line);
	return 0;
}

#define THE_FILE                                                                                   \
	"the file" /* what readers call it in their messages; its name is no part of a verdict */

/* A message of a reader without the name, and without the path by which DuckDB knows it. */
static const char *plain(char *text)
{
	static const char descriptor[] = " '/proc/self/fd/", name[] = "'" THE_FILE "' ";
	char *at = strstr(text, descriptor);
	char *end = at ? strchr(at + sizeof(descriptor) - 1, '\'') : NULL;
	if (end)
		memmove(at, end + 1, strlen(end));
	return strncmp(text, name, sizeof(name) - 1) == 0 ? text + sizeof(name) - 1 : text;
}

/* What tv_schema_check* returned: its findings were told, or the file cannot be read at all. */
static int schema_result(struct faults *to, size_t before, int r, struct tv_err *why,
			 struct tv_err *err)
{
	if (r == 0)
		return 0;
	if (r != -TV_E_GATE && r != -EFBIG && r != -EINVAL)
		return tv_err_set(err, r, "%s", why->text);
	if (to->n == before)
		add_fault(to, TV_CHECK_SCHEMA, plain(why->text));
	return 0;
}

static int finish(struct faults *faults, struct tv_contents *out, struct tv_err *err)
{
	if (faults->n > TOLD) {
		char more[64];
		size_t n = faults->n - TOLD;
		faults->n = 0;
		snprintf(more, sizeof(more), "and %zu more", n);
		add_fault(faults, TV_CHECK_BARS, more);
	}
	tv_buf_add(&faults->lines, "", 0);
	out->faults = tv_buf_steal_str(&faults->lines);
	if (!out->symbols)
		out->symbols = strdup("");
	return out->faults && out->symbols ? 0 : tv_err_nomem(err);
}

/* --- bars -------------------------------------------------------------------------------------- */

/* What would not have been published, of bars that are. Times of fetching are another matter. */
static int judge_bars(const struct tv_subject *s, const struct tv_bars *bars, struct faults *faults,
		      struct tv_err *err)
{
	tv_autofindings struct tv_findings f = TV_FINDINGS_INIT;
	tv_autojudged struct tv_judged judged = TV_JUDGED_INIT;
	int r = tv_gates_judge(bars, &s->rules, TV_GATES_NO_TIME, &f, &judged, err);
	for (size_t i = 0; i < f.n && r == 0; i++) {
		char line[TV_FINDING_TEXT + 64];
		if (f.told[i].severity == TV_RECORD)
			continue;
		snprintf(line, sizeof(line), "%s: %s", tv_gate_text(f.told[i].gate),
			 f.told[i].text);
		add_fault(faults, TV_CHECK_BARS, line);
	}
	return r;
}

static int read_bars(const struct tv_subject *s, const struct tv_parquet *file,
		     struct faults *faults, struct tv_contents *out, struct tv_err *err)
{
	tv_auto_duck_result struct tv_duck_result rows = TV_DUCK_RESULT_INIT;
	const struct tv_schema_findings findings = { found, faults };
	tv_autobars struct tv_bars bars = TV_BARS_INIT;
	struct tv_err why = TV_ERR_INIT;
	int r = tv_parquet_query(file, "SELECT * FROM read_parquet($1, hive_partitioning = false)",
				 &rows, &why);
	if (r == 0)
		r = tv_schema_check_rows(s->schema, file->name, &rows, &findings, &why);
	if (r < 0)
		return schema_result(faults, 0, r, &why, err);
	r = tv_bars_take(file->name, &rows, &bars, &why);
	if (r < 0)
		return schema_result(faults, 0, r, &why, err);
	out->rows = bars.n;
	if (bars.n) {
		out->first_s = bars.timestamp[0];
		out->last_s = bars.timestamp[bars.n - 1];
	}
	return judge_bars(s, &bars, faults, err);
}

/* --- matrices ---------------------------------------------------------------------------------- */

static int take_span(const struct tv_parquet *file, struct tv_contents *out, struct tv_err *err)
{
	tv_auto_duck_result struct tv_duck_result span = TV_DUCK_RESULT_INIT;
	int r = tv_parquet_query(
		file,
		"SELECT count(*), epoch_us(min(timestamp)), epoch_us(max(timestamp)) FROM "
		"read_parquet($1, hive_partitioning = false)",
		&span, err);
	if (r < 0)
		return r;
	out->rows = (uint64_t)span.columns[0].i64[0];
	if (out->rows) {
		out->first_s = span.columns[1].i64[0] / 1000000;
		out->last_s = span.columns[2].i64[0] / 1000000;
	}
	return 0;
}

static void add_symbol(struct tv_buf *to, const char *bytes, size_t n)
{
	if (memchr(bytes, '\n', n) || to->len + n > SYMBOLS_MAX)
		return;
	tv_buf_add(to, bytes, n);
	tv_buf_add_u8(to, '\n');
}

static int take_symbols(const struct tv_subject *s, const struct tv_parquet *file,
			struct tv_contents *out, struct tv_err *err)
{
	tv_auto_duck_result struct tv_duck_result got = TV_DUCK_RESULT_INIT;
	tv_autobuf struct tv_buf names = TV_BUF_INIT;
	bool columns = strcmp(s->path, TV_RETURNS_FILE) == 0;
	int r = columns ? tv_parquet_columns(file, &got, err)
			: tv_parquet_query(file,
					   "SELECT DISTINCT symbol FROM read_parquet($1, "
					   "hive_partitioning = false) ORDER BY symbol",
					   &got, err);
	for (size_t i = 0; r == 0 && columns && i < got.n_columns; i++)
		if (strcmp(got.columns[i].name, "timestamp") != 0)
			add_symbol(&names, got.columns[i].name, strlen(got.columns[i].name));
	for (size_t i = 0; r == 0 && !columns && i < got.n_rows; i++)
		add_symbol(&names, got.columns[0].text[i].bytes, got.columns[0].text[i].n);
	if (r < 0)
		return r;
	out->symbols = tv_buf_steal_str(&names);
	return out->symbols ? 0 : tv_err_nomem(err);
}

static int read_table(const struct tv_subject *s, const struct tv_parquet *file,
		      struct faults *faults, struct tv_contents *out, struct tv_err *err)
{
	const struct tv_schema_findings findings = { found, faults };
	struct tv_err why = TV_ERR_INIT;
	int r = tv_schema_check(s->schema, file, &findings, &why);
	if (r < 0)
		return schema_result(faults, 0, r, &why, err);
	bool matrix =
		strcmp(s->path, TV_RETURNS_FILE) == 0 || strcmp(s->path, TV_FEATURES_FILE) == 0;
	if (!matrix)
		return 0;
	r = take_span(file, out, err);
	return r < 0 ? r : take_symbols(s, file, out, err);
}

static int read_json(const struct tv_subject *s, int fd, struct faults *faults, struct tv_err *err)
{
	const struct tv_schema_findings findings = { found, faults };
	tv_autobuf struct tv_buf text = TV_BUF_INIT;
	struct tv_err why = TV_ERR_INIT;
	int r = tv_io_read_to_end(fd, JSON_MAX, &text, &why);
	if (r == 0)
		r = tv_schema_check_json(s->schema, THE_FILE, (const char *)text.data, text.len,
					 &findings, &why);
	return r < 0 ? schema_result(faults, 0, r, &why, err) : 0;
}

int tv_contents_judge(const struct tv_subject *s, struct tv_duck *duck, int fd,
		      struct tv_contents *out, struct tv_err *err)
{
	const struct tv_parquet file = { duck, THE_FILE, fd };
	struct faults faults = { TV_BUF_INIT, 0 };
	struct tv_contents c = { .first_s = 1 };
	int r;
	if (s->schema->format == TV_SCHEMA_JSON_TEXT)
		r = read_json(s, fd, &faults, err);
	else if (s->bars)
		r = read_bars(s, &file, &faults, &c, err);
	else
		r = read_table(s, &file, &faults, &c, err);
	if (r == 0)
		r = finish(&faults, &c, err);
	tv_buf_free(&faults.lines);
	if (r < 0) {
		tv_contents_free(&c);
		return tv_err_wrap(err, r, "%s", s->name);
	}
	*out = c;
	return 0;
}

/* --- kept -------------------------------------------------------------------------------------- */

#define HEAD (1 + 8 + 8 + 8 + 4)

int tv_contents_encode(const struct tv_contents *c, struct tv_buf *out, struct tv_err *err)
{
	size_t n = strlen(c->faults);
	tv_buf_add_u8(out, ROW_VERSION);
	tv_buf_add_le64(out, c->rows);
	tv_buf_add_le64(out, (uint64_t)c->first_s);
	tv_buf_add_le64(out, (uint64_t)c->last_s);
	tv_buf_add_le32(out, (uint32_t)n);
	tv_buf_add(out, c->faults, n);
	tv_buf_add_str(out, c->symbols);
	return out->failed ? tv_err_nomem(err) : 0;
}

bool tv_contents_decode(struct tv_bytes bytes, struct tv_contents *out)
{
	const uint8_t *p = bytes.data;
	if (bytes.len < HEAD || p[0] != ROW_VERSION || tv_le32(p + 25) > bytes.len - HEAD)
		return false;
	size_t faults = tv_le32(p + 25), symbols = bytes.len - HEAD - faults;
	struct tv_contents c = {
		.rows = tv_le64(p + 1),
		.first_s = (int64_t)tv_le64(p + 9),
		.last_s = (int64_t)tv_le64(p + 17),
		.faults = strndup((const char *)p + HEAD, faults),
		.symbols = strndup((const char *)p + HEAD + faults, symbols),
	};
	if (!c.faults || !c.symbols) {
		tv_contents_free(&c);
		return false;
	}
	*out = c;
	return true;
}

static void add_rules(struct tv_buf *to, const struct tv_gates_rules *r)
{
	tv_buf_addf(to, "calendar %u %u\n", r->calendar->open, r->calendar->counted);
	tv_buf_addf(to, "toxic %.17g %.17g ohlc %.17g\n", r->toxic_return, r->toxic_fall,
		    r->ohlc_tolerance);
	tv_buf_addf(to, "padding %.17g %zu gap %zu told %zu\n", r->padding_share, r->padding_run,
		    r->gap_sessions, r->told);
}

struct tv_addr tv_contents_rules(const struct tv_subject *s, struct tv_err *err)
{
	tv_autobuf struct tv_buf text = TV_BUF_INIT;
	const char *schema = tv_schema_text();
	struct tv_addr none = { { 0 } }, registry = tv_addr_of(schema, strlen(schema));
	tv_buf_addf(&text, "judge %d file %s\n", JUDGE_VERSION, s->schema->name);
	tv_buf_add(&text, registry.b, sizeof(registry.b));
	if (s->bars)
		add_rules(&text, &s->rules);
	if (text.failed) {
		tv_err_nomem(err);
		return none;
	}
	return tv_addr_of(text.data, text.len);
}
