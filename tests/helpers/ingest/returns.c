/* Reads each FILE as bars and compares the returns at the end of its first 1, 1 + STEP, 1 + 2 STEP ... rows with
 * those before them. A line each time that is possible: rows, the two scales, distance, critical distance, whether
 * it is shifted.
 *
 * usage: helper-returns STEP FILE... */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "ingest/bars-parquet.h"
#include "ingest/distribution.h"

static int tell(struct tv_duck *duck, const char *path, size_t step, struct tv_err *err)
{
	tv_autobars struct tv_bars bars = TV_BARS_INIT;
	int r = tv_bars_load(duck, AT_FDCWD, path, &bars, err);
	for (size_t n = 1; n <= bars.n && r == 0; n += step) {
		struct tv_bars first = bars;
		struct tv_returns_shift s;
		first.n = n;
		tv_returns_compare(&first, &first, &s);
		if (s.judged)
			printf("%zu %.17g %.17g %.17g %.17g %d\n", n, s.scale_now, s.scale_before,
			       s.distance, s.critical, s.shifted);
	}
	printf("end\n");
	return r;
}

int main(int argc, char **argv)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_duck *duck = NULL;
	int r = tv_duck_open(NULL, &duck, &err);
	size_t step = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	for (int i = 2; i < argc && r == 0 && step; i++)
		r = tell(duck, argv[i], step, &err);
	if (r < 0)
		fprintf(stderr, "%s\n", err.text);
	tv_duck_close(duck);
	return r < 0;
}
