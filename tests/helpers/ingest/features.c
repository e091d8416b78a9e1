/*
 * Writes features or returns of the symbols that stdin lists, "SYMBOL<tab>SECTOR<tab>FILE" a line (an empty sector is
 * none), or of made-up ones. Prints "ok PEAK-KIB", or the code of the error and its message.
 *
 * usage: helper-features technicals OUT
 *        helper-features matrix OUT LAST
 *        helper-features returns OUT inner|outer LOOKBACK
 *        ... made-up SYMBOLS ROWS: no stdin
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/bars-parquet.h"
#include "ingest/features.h"
#include "ingest/matrix.h"
#include "store/base/cleanup.h"

struct list {
	struct tv_symbol *symbols;
	char **files;
	size_t n, rows; /* rows: of made-up symbols */
	struct tv_duck *duck;
};

static int bars_of_file(void *arg, size_t i, struct tv_bars *out, struct tv_err *err)
{
	const struct list *list = arg;
	return tv_bars_load(list->duck, AT_FDCWD, list->files[i], out, err);
}

static int made_up_bars(void *arg, size_t i, struct tv_bars *out, struct tv_err *err)
{
	const struct list *list = arg;
	uint64_t x = 88172645463325252 + i;
	double price = 50;
	int r = tv_bars_reserve(out, list->rows, err);
	for (size_t k = 0; k < list->rows && r == 0; k++) {
		x ^= x << 13; /* xorshift64 (Marsaglia, 2003) */
		x ^= x >> 7;
		x ^= x << 17;
		double part = (double)(x >> 11) / (double)(1ULL << 53);
		price *= 0.97 + 0.06 * part;
		struct tv_bar bar = { (int64_t)k * TV_DAY_SECONDS,
				      price,
				      price * 1.01,
				      price * 0.98,
				      price,
				      1000 * part };
		r = tv_bars_add(out, &bar, err);
	}
	return r;
}

static void add(struct list *list, const char *symbol, const char *sector, const char *file)
{
	list->symbols = reallocarray(list->symbols, list->n + 1, sizeof(*list->symbols));
	list->files = reallocarray(list->files, list->n + 1, sizeof(*list->files));
	if (!list->symbols || !list->files)
		abort();
	list->symbols[list->n] =
		(struct tv_symbol){ strdup(symbol), *sector ? strdup(sector) : NULL };
	list->files[list->n++] = strdup(file);
}

static void read_list(struct list *list)
{
	tv_autofree char *line = NULL;
	size_t cap = 0;
	while (getline(&line, &cap, stdin) > 0) {
		char *rest = line;
		line[strcspn(line, "\n")] = 0;
		char *symbol = strsep(&rest, "\t"), *sector = strsep(&rest, "\t");
		if (sector && rest)
			add(list, symbol, sector, rest);
	}
}

static void make_up(struct list *list, size_t n, size_t rows)
{
	char name[32];
	list->rows = rows;
	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "X:S%05zu", i);
		add(list, name, i % 3 ? "Technology" : "", "");
	}
}

static void list_free(struct list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free((char *)(uintptr_t)list->symbols[i].symbol);
		free((char *)(uintptr_t)list->symbols[i].sector);
		free(list->files[i]);
	}
	free(list->symbols);
	free(list->files);
	tv_duck_close(list->duck);
}

static int write_file(const struct tv_symbol_source *source, char **words, struct tv_err *err)
{
	struct tv_features_options features = { 0, 0 };
	struct tv_matrix_options returns = { TV_MATRIX_INNER, 0, 0 };
	if (strcmp(words[0], "technicals") == 0)
		return tv_technicals_save(source, NULL, AT_FDCWD, words[1], err);
	if (strcmp(words[0], "matrix") == 0) {
		features.last = strtoul(words[2], NULL, 10);
		return tv_features_matrix_save(source, &features, AT_FDCWD, words[1], err);
	}
	if (strcmp(words[2], "outer") == 0)
		returns.alignment = TV_MATRIX_OUTER;
	returns.lookback = (unsigned)strtoul(words[3], NULL, 10);
	return tv_matrix_save(source, &returns, AT_FDCWD, words[1], err);
}

/* getrusage would count what the parent had before exec. */
static long peak_kib(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	char line[128];
	long kib = -1;
	while (status && fgets(line, sizeof(line), status))
		if (strncmp(line, "VmHWM:", 6) == 0)
			kib = strtol(line + 6, NULL, 10);
	if (status)
		fclose(status);
	return kib;
}

int main(int argc, char **argv)
{
	struct tv_err err = TV_ERR_INIT;
	struct list list = { 0 };
	bool made_up = argc > 5 && strcmp(argv[argc - 3], "made-up") == 0;
	if (argc < 3 || tv_duck_open(NULL, &list.duck, &err) < 0)
		return 1;
	if (made_up)
		make_up(&list, strtoul(argv[argc - 2], NULL, 10),
			strtoul(argv[argc - 1], NULL, 10));
	else
		read_list(&list);
	const struct tv_symbol_source source = { list.symbols, list.n,
						 made_up ? made_up_bars : bars_of_file, &list };
	int r = write_file(&source, argv + 1, &err);
	if (r == 0)
		printf("ok %ld\n", peak_kib());
	else
		printf("%d %s\n", tv_err_exit_code(r), err.text);
	list_free(&list);
	return 0;
}
