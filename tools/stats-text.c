#include <inttypes.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "tools/cli.h"
#include "tools/run/record.h"
#include "tools/stats.h"

#define SPAN_TEXT 32

/* "850 ns", "12.3 us", "3 min 20 s": as much as a reader can use. */
static void span(double seconds, char out[SPAN_TEXT])
{
	uint64_t s = (uint64_t)seconds;
	if (seconds < 1e-6)
		snprintf(out, SPAN_TEXT, "%.0f ns", seconds * 1e9);
	else if (seconds < 1e-3)
		snprintf(out, SPAN_TEXT, "%.1f us", seconds * 1e6);
	else if (seconds < 1)
		snprintf(out, SPAN_TEXT, "%.1f ms", seconds * 1e3);
	else if (s < 60)
		snprintf(out, SPAN_TEXT, "%.1f s", seconds);
	else if (s < 3600)
		snprintf(out, SPAN_TEXT, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, SPAN_TEXT, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
	else
		snprintf(out, SPAN_TEXT, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s / 3600 % 24);
}

struct sizes {
	char of[TV_FIGURE_COUNT][16];
};

static void print_process(FILE *out, const struct tv_stats_row *r, const struct sizes *size)
{
	const uint64_t *n = r->figures.numbers;
	const cJSON *pid = cJSON_GetObjectItemCaseSensitive(r->entry, "pid");
	char up[SPAN_TEXT];
	span(r->figures.uptime, up);
	fprintf(out,
		"  daemon       pid %d, up %s, %" PRIu64 " threads, %" PRIu64
		" descriptors, %s in memory (%s its own)\n",
		cJSON_IsNumber(pid) ? pid->valueint : 0, up, n[TV_FIGURE_THREADS],
		n[TV_FIGURE_DESCRIPTORS], size->of[TV_FIGURE_RESIDENT_BYTES],
		size->of[TV_FIGURE_PRIVATE_BYTES]);
	if (strcmp(r->figures.passthrough, "on") == 0)
		fprintf(out,
			"  passthrough  on: %" PRIu64 " opens passed to the kernel, %" PRIu64
			" plain; it refused %" PRIu64 "\n",
			n[TV_FIGURE_PASSED_OPENS], n[TV_FIGURE_PLAIN_OPENS],
			n[TV_FIGURE_FALLBACKS]);
	else
		fprintf(out, "  passthrough  off (%s): %" PRIu64 " plain opens\n",
			r->figures.passthrough, n[TV_FIGURE_PLAIN_OPENS]);
}

static void print_numbers(FILE *out, const uint64_t *n, const struct sizes *size)
{
	uint64_t asked = n[TV_FIGURE_NODE_HITS] + n[TV_FIGURE_NODE_MISSES];
	fprintf(out, "  bytes        %s read, %s written, %s copied between files\n",
		size->of[TV_FIGURE_READ_BYTES], size->of[TV_FIGURE_WRITTEN_BYTES],
		size->of[TV_FIGURE_RANGE_BYTES]);
	fprintf(out, "  copied up    %" PRIu64 " files and folders, %s\n", n[TV_FIGURE_COPY_UPS],
		size->of[TV_FIGURE_COPIED_BYTES]);
	fprintf(out, "  inodes       %" PRIu64 " in memory, %s\n", n[TV_FIGURE_INODES],
		size->of[TV_FIGURE_INODE_BYTES]);
	fprintf(out, "  tree nodes   %" PRIu64 " in memory, %s; ", n[TV_FIGURE_NODES],
		size->of[TV_FIGURE_NODE_BYTES]);
	fprintf(out, "%.1f %% of %" PRIu64 " reads found them there\n",
		asked ? 100 * (double)n[TV_FIGURE_NODE_HITS] / (double)asked : 0, asked);
	fprintf(out, "  overlay      %" PRIu64 " names of %" PRIu64 " folders in memory, %s\n",
		n[TV_FIGURE_NAMES], n[TV_FIGURE_NAME_SETS], size->of[TV_FIGURE_NAME_BYTES]);
	fprintf(out,
		"  open         %" PRIu64 " files, %" PRIu64 " folders; %" PRIu64
		" backing ids, %" PRIu64 " of them kept for the next open\n",
		n[TV_FIGURE_OPEN_FILES], n[TV_FIGURE_OPEN_FOLDERS], n[TV_FIGURE_BACKING_IDS],
		n[TV_FIGURE_IDLE_IDS]);
}

static void print_operations(FILE *out, const struct tv_figures *f)
{
	char p50[SPAN_TEXT], p99[SPAN_TEXT], max[SPAN_TEXT], total[SPAN_TEXT];
	fprintf(out, "  %-16s %10s %8s %10s %10s %10s %12s\n", "OPERATION", "COUNT", "ERRORS",
		"P50", "P99", "MAX", "TOTAL");
	for (size_t i = 0; i < TV_OP_COUNT; i++) {
		const struct tv_op_figures *op = &f->ops[i];
		if (!op->begun)
			continue;
		span((double)tv_histogram_quantile(&op->latency, 0.50) / 1e9, p50);
		span((double)tv_histogram_quantile(&op->latency, 0.99) / 1e9, p99);
		span((double)op->latency.max / 1e9, max);
		span((double)op->latency.total / 1e9, total);
		fprintf(out, "  %-16s %10" PRIu64 " %8" PRIu64 " %10s %10s %10s %12s\n",
			tv_op_name((enum tv_op)i), op->begun, op->errors, p50, p99, max, total);
	}
}

static void print_row(FILE *out, const struct tv_stats_row *r)
{
	const char *run_id = tv_record_text(r->entry, "run_id");
	bool mount = strcmp(tv_record_text(r->entry, "kind"), "mount") == 0;
	tv_autofree char *path = tv_cli_quote(tv_record_text(r->entry, "path"));
	struct sizes size;

	for (size_t i = 0; i < TV_FIGURE_COUNT; i++)
		tv_cli_size(r->figures.numbers[i], size.of[i]);
	if (!mount)
		fprintf(out, "run %s\n  path         %s\n", run_id, path ? path : "?");
	else
		fprintf(out, "mount %s\n", path ? path : "?");
	if (mount && *run_id)
		fprintf(out, "  run          %s\n", run_id);
	fprintf(out, "  foundation   %s\n", tv_record_text(r->entry, "foundation_hash"));
	print_process(out, r, &size);
	print_numbers(out, r->figures.numbers, &size);
	print_operations(out, &r->figures);
}

void tv_stats_text(FILE *out, const struct tv_stats_rows *rows)
{
	bool any = false;
	for (size_t i = 0; i < rows->len; i++) {
		if (!rows->row[i]->answered)
			continue;
		fputs(any ? "\n" : "", out);
		print_row(out, rows->row[i]);
		any = true;
	}
	if (any)
		fputs("\nWhat the kernel does by itself is in none of these figures: passthrough "
		      "reads and writes, cached look-ups.\n",
		      out);
}
