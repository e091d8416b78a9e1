/* Reads each IN as a file of bars and writes its rows to OUT, with one database for all. A line a pair:
 * "ok ROWS", or the code of the error and its message.
 *
 * usage: helper-bars IN OUT [IN OUT...] */
#include <fcntl.h>
#include <stdio.h>

#include "ingest/bars-parquet.h"

static void copy(struct tv_duck *duck, const char *from, const char *to)
{
	struct tv_err err = TV_ERR_INIT;
	tv_autobars struct tv_bars bars = TV_BARS_INIT;
	int r = tv_bars_load(duck, AT_FDCWD, from, &bars, &err);
	if (r == 0)
		r = tv_bars_save(duck, &bars, AT_FDCWD, to, &err);
	if (r == 0)
		printf("ok %zu\n", bars.n);
	else
		printf("%d %s\n", tv_err_exit_code(r), err.text);
}

int main(int argc, char **argv)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_duck *duck = NULL;
	if (tv_duck_open(NULL, &duck, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	for (int i = 1; i + 1 < argc; i += 2)
		copy(duck, argv[i], argv[i + 1]);
	tv_duck_close(duck);
	return 0;
}
