/* A folder of Parquet or CSV files, one a symbol. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/source-priv.h"
#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/path.h"

/* 1: it was read; 0: there is no such file. */
static int take(const struct tv_source *s, int dir, const char *name, struct tv_source_body *out,
		struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	tv_autofree char *bytes = NULL;
	size_t n = 0;
	/* a symbol must not lead out of the folder */
	if (!tv_name_ok(name, strlen(name)))
		return tv_err_set(err, -EINVAL, "'%s' is not a file's name", name);
	int r = tv_io_read_file(dir, name, s->output_max, &bytes, &n, &why);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return tv_err_set(err, r, "%s", why.text);
	snprintf(out->name, sizeof(out->name), "%s", name);
	out->parquet = tv_path_matches("*.parquet", name);
	tv_buf_add(&out->bytes, bytes, n);
	return out->bytes.failed ? tv_err_nomem(err) : 1;
}

int tv_read_folder(const struct tv_source *s, const struct tv_source_ask *ask, const char *own,
		   struct tv_source_body *out, struct tv_err *err)
{
	const char *const forms[][4] = {
		{ own, "", "", ".parquet" },
		{ s->name, "_", ask->symbol, "_1d.parquet" },
		{ own, "", "", ".csv" },
	};
	tv_autoclose int dir = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return tv_err_sys(err, -errno, "cannot open folder '%s'", s->folder);
	for (size_t i = 0; i < TV_ARRAY_LEN(forms); i++) {
		tv_autofree char *name = NULL;
		if (asprintf(&name, "%s%s%s%s", forms[i][0], forms[i][1], forms[i][2],
			     forms[i][3]) < 0) {
			name = NULL;
			return tv_err_nomem(err);
		}
		int r = take(s, dir, name, out, err);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return tv_err_set(err, -TV_E_MISSING, "'%s' has neither %s.csv nor a .parquet", s->folder,
			  own);
}
