/* A folder of CSV files, one a symbol. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/source-priv.h"
#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/path.h"

int tv_read_folder(const struct tv_source *s, const char *symbol, int64_t from, int64_t to,
		   struct tv_bars *out, struct tv_err *err)
{
	tv_autofree char *own = NULL, *name = NULL, *body = NULL;
	size_t n = 0;
	(void)from;
	(void)to;
	int r = tv_source_own_symbol(s, symbol, &own, err);
	if (r < 0)
		return r;
	if (asprintf(&name, "%s.csv", own) < 0) {
		name = NULL;
		return tv_err_nomem(err);
	}
	/* a symbol must not lead out of the folder */
	if (!tv_name_ok(name, strlen(name)))
		return tv_err_set(err, -EINVAL, "'%s' is not a file's name", name);
	tv_autoclose int dir = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return tv_err_sys(err, -errno, "cannot open folder '%s'", s->folder);
	r = tv_io_read_file(dir, name, s->output_max, &body, &n, err);
	if (r == -ENOENT) {
		tv_err_clear(err);
		return tv_err_set(err, -TV_E_MISSING, "'%s' has no %s", s->folder, name);
	}
	return r < 0 ? r : s->kind->parse(s, own, body, n, out, err);
}
