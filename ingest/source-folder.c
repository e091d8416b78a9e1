/* A folder of Parquet or CSV files, one a symbol. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ingest/bars-parquet.h"
#include "ingest/source-priv.h"
#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/path.h"

/* A name in the folder. NULL when out of memory. */
static char *name_of(const char *first, const char *middle, const char *last)
{
	char *name = NULL;
	return asprintf(&name, "%s%s%s", first, middle, last) < 0 ? NULL : name;
}

/* 1: the rows were read; 0: there is no such file. */
static int read_parquet(struct tv_duck *duck, int dir, const char *name, struct tv_bars *out,
			struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	tv_autobars struct tv_bars rows = TV_BARS_INIT;
	if (!tv_name_ok(name, strlen(name)))
		return tv_err_set(err, -EINVAL, "'%s' is not a file's name", name);
	if (faccessat(dir, name, F_OK, 0) < 0 && errno == ENOENT)
		return 0;
	if (!duck)
		return tv_err_set(err, -ENOSYS, "'%s' needs DuckDB", name);
	int r = tv_bars_load(duck, dir, name, &rows, &why);
	if (r < 0)
		return tv_err_set(err, r == -TV_E_GATE ? -EPROTO : r, "%s", why.text);
	r = tv_bars_append(out, &rows, 0, rows.n, err);
	return r < 0 ? r : 1;
}

static int read_csv(const struct tv_source *s, int dir, const char *own, const char *name,
		    struct tv_bars *out, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	tv_autofree char *body = NULL;
	size_t n = 0;
	int r = tv_io_read_file(dir, name, s->output_max, &body, &n, &why);
	if (r == -ENOENT)
		return tv_err_set(err, -TV_E_MISSING, "'%s' has neither %s nor a .parquet",
				  s->folder, name);
	if (r < 0)
		return tv_err_set(err, r, "%s", why.text);
	return s->kind->parse(s, own, body, n, out, err);
}

int tv_read_folder(const struct tv_source *s, struct tv_duck *duck, const char *symbol,
		   int64_t from, int64_t to, struct tv_bars *out, struct tv_err *err)
{
	tv_autofree char *own = NULL;
	(void)from;
	(void)to;
	int r = tv_source_own_symbol(s, symbol, &own, err);
	if (r < 0)
		return r;
	tv_autofree char *csv = name_of(own, "", ".csv"), *parquet = name_of(own, "", ".parquet");
	tv_autofree char *exchange = name_of(s->name, "_", symbol);
	tv_autofree char *bars = exchange ? name_of(exchange, "", "_1d.parquet") : NULL;
	if (!csv || !parquet || !bars)
		return tv_err_nomem(err);
	/* a symbol must not lead out of the folder */
	if (!tv_name_ok(csv, strlen(csv)))
		return tv_err_set(err, -EINVAL, "'%s' is not a file's name", csv);
	tv_autoclose int dir = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return tv_err_sys(err, -errno, "cannot open folder '%s'", s->folder);
	r = read_parquet(duck, dir, parquet, out, err);
	if (r == 0)
		r = read_parquet(duck, dir, bars, out, err);
	if (r == 0)
		return read_csv(s, dir, own, csv, out, err);
	return r < 0 ? r : 0;
}
