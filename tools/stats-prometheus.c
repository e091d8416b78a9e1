#include <inttypes.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "tools/run/record.h"
#include "tools/stats.h"

/* The bounds of the histograms: powers of two from 512 ns to 8.6 s, which are bounds of our own buckets, too. */
#define FIRST_BOUND 9
#define LAST_BOUND 33

#define COUNTER "counter"
#define GAUGE "gauge"

static const struct {
	const char *name, *type, *help;
} metrics[TV_FIGURE_COUNT] = {
	[TV_FIGURE_PASSED_OPENS] = { "tvfs_passed_opens_total", COUNTER,
				     "Opens of files that the kernel then reads and writes by itself." },
	[TV_FIGURE_PLAIN_OPENS] = { "tvfs_plain_opens_total", COUNTER,
				    "Opens of files that are read and written through the daemon." },
	[TV_FIGURE_FALLBACKS] = { "tvfs_passthrough_fallbacks_total", COUNTER,
				  "Files that were to be passed, and the kernel refused." },
	[TV_FIGURE_COPY_UPS] = { "tvfs_copy_ups_total", COUNTER,
				 "Files and folders copied into an overlay to be changed." },
	[TV_FIGURE_COPIED_BYTES] = { "tvfs_copied_up_bytes_total", COUNTER,
				     "Bytes of files copied into an overlay." },
	[TV_FIGURE_READ_BYTES] = { "tvfs_read_bytes_total", COUNTER,
				   "Bytes read through the daemon." },
	[TV_FIGURE_WRITTEN_BYTES] = { "tvfs_written_bytes_total", COUNTER,
				      "Bytes written through the daemon." },
	[TV_FIGURE_RANGE_BYTES] = { "tvfs_copy_range_bytes_total", COUNTER,
				    "Bytes that copy_file_range copied between files." },
	[TV_FIGURE_INODES] = { "tvfs_inodes", GAUGE, "Inodes in memory." },
	[TV_FIGURE_INODE_BYTES] = { "tvfs_inodes_bytes", GAUGE,
				    "Memory of the inodes, their names and tables." },
	[TV_FIGURE_NODES] = { "tvfs_node_cache_entries", GAUGE, "Tree nodes in memory." },
	[TV_FIGURE_NODE_BYTES] = { "tvfs_node_cache_bytes", GAUGE, "Memory of the tree nodes." },
	[TV_FIGURE_NODE_HITS] = { "tvfs_node_cache_hits_total", COUNTER,
				  "Tree nodes that were wanted, and in memory." },
	[TV_FIGURE_NODE_MISSES] = { "tvfs_node_cache_misses_total", COUNTER,
				    "Tree nodes that were wanted, and not in memory." },
	[TV_FIGURE_NAME_SETS] = { "tvfs_overlay_name_sets", GAUGE,
				  "Folders whose names in the overlay are in memory." },
	[TV_FIGURE_NAMES] = { "tvfs_overlay_names", GAUGE, "Names of overlays in memory." },
	[TV_FIGURE_NAME_BYTES] = { "tvfs_overlay_names_bytes", GAUGE,
				   "Memory of the names of overlays." },
	[TV_FIGURE_OPEN_FILES] = { "tvfs_open_files", GAUGE, "Files that are open." },
	[TV_FIGURE_OPEN_FOLDERS] = { "tvfs_open_folders", GAUGE, "Folders that are open." },
	[TV_FIGURE_BACKING_IDS] = { "tvfs_backing_ids", GAUGE,
				    "Files that the kernel may read and write by itself now." },
	[TV_FIGURE_IDLE_IDS] = { "tvfs_idle_backing_ids", GAUGE,
				 "Of them, those that are not open, and kept for the next open." },
	[TV_FIGURE_RESIDENT_BYTES] = { "tvfs_resident_memory_bytes", GAUGE,
				       "Memory of the daemons, shared pages included." },
	[TV_FIGURE_PRIVATE_BYTES] = { "tvfs_private_memory_bytes", GAUGE,
				      "Memory that is the daemons' own." },
	[TV_FIGURE_THREADS] = { "tvfs_threads", GAUGE, "Threads of the daemons." },
	[TV_FIGURE_DESCRIPTORS] = { "tvfs_open_descriptors", GAUGE,
				    "Descriptors that the daemons have open." },
};

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: backslash, quote and newline are escaped. */
static void put_label(FILE *out, const char *value)
{
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			putc('\\', out);
		if (*value == '\n')
			fputs("\\n", out);
		else
			putc(*value, out);
	}
}

static const char *kind_of(const struct tv_stats_row *r)
{
	return strcmp(tv_record_text(r->entry, "kind"), "run") == 0 ? "run" : "mount";
}

static const char *state_of(const struct tv_stats_row *r)
{
	return strcmp(r->figures.passthrough, "on") == 0 ? "on" : "off";
}

static size_t count_live(const struct tv_stats_rows *rows, const char *kind, const char *state)
{
	size_t n = 0;
	for (size_t i = 0; i < rows->len; i++)
		n += rows->row[i]->answered && strcmp(kind_of(rows->row[i]), kind) == 0 &&
		     strcmp(state_of(rows->row[i]), state) == 0;
	return n;
}

/* True for the first of all rows that say the same of passthrough. */
static bool says_it_first(const struct tv_stats_rows *rows, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (rows->row[i]->answered && strcmp(rows->row[i]->figures.passthrough,
						     rows->row[at]->figures.passthrough) == 0)
			return false;
	return rows->row[at]->answered;
}

static void print_states(FILE *out, const struct tv_stats_rows *rows)
{
	static const char *const kinds[] = { "mount", "run" }, *const states[] = { "off", "on" };
	size_t silent = 0;

	head(out, "tvfs_info", GAUGE, "The program that wrote this.");
	fputs("tvfs_info{version=\"" TVFS_VERSION "\"} 1\n", out);
	head(out, "tvfs_live", GAUGE, "Live mounts and runs whose daemons answered.");
	for (size_t k = 0; k < TV_ARRAY_LEN(kinds); k++)
		for (size_t s = 0; s < TV_ARRAY_LEN(states); s++)
			fprintf(out, "tvfs_live{kind=\"%s\",passthrough=\"%s\"} %zu\n", kinds[k],
				states[s], count_live(rows, kinds[k], states[s]));
	head(out, "tvfs_passthrough_info", GAUGE, "Whether passthrough is used, and why not.");
	for (size_t i = 0; i < rows->len; i++) {
		const struct tv_stats_row *r = rows->row[i];
		silent += !r->answered;
		if (!says_it_first(rows, i))
			continue;
		bool on = strcmp(state_of(r), "on") == 0;
		fprintf(out, "tvfs_passthrough_info{passthrough=\"%s\",reason=\"", state_of(r));
		put_label(out, on ? "" : r->figures.passthrough);
		fputs("\"} 1\n", out);
	}
	head(out, "tvfs_unanswered", GAUGE, "Live mounts and runs whose daemons did not answer.");
	fprintf(out, "tvfs_unanswered %zu\n", silent);
}

/* Those that never happened have no histogram; the counters above have them all. */
static void print_histogram(FILE *out, const char *op, const struct tv_histogram *h)
{
	static const char name[] = "tvfs_operation_duration_seconds";
	uint64_t all = tv_histogram_count(h), below = 0;
	size_t at = 0;

	if (!all)
		return;
	for (unsigned i = FIRST_BOUND; i <= LAST_BOUND; i++) {
		uint64_t bound = (uint64_t)1 << i;
		for (; tv_histogram_bound(at) <= bound; at++)
			below += h->buckets[at];
		fprintf(out, "%s_bucket{op=\"%s\",le=\"%.10g\"} %" PRIu64 "\n", name, op,
			(double)bound / 1e9, below);
	}
	fprintf(out, "%s_bucket{op=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", name, op, all);
	fprintf(out, "%s_sum{op=\"%s\"} %.9f\n", name, op, (double)h->total / 1e9);
	fprintf(out, "%s_count{op=\"%s\"} %" PRIu64 "\n", name, op, all);
}

static void print_operations(FILE *out, const struct tv_op_figures *ops)
{
	head(out, "tvfs_operations_total", COUNTER, "Requests of the kernel.");
	for (size_t i = 0; i < TV_OP_COUNT; i++)
		fprintf(out, "tvfs_operations_total{op=\"%s\"} %" PRIu64 "\n",
			tv_op_name((enum tv_op)i), ops[i].begun);
	head(out, "tvfs_operation_errors_total", COUNTER, "Requests that failed.");
	for (size_t i = 0; i < TV_OP_COUNT; i++)
		fprintf(out, "tvfs_operation_errors_total{op=\"%s\"} %" PRIu64 "\n",
			tv_op_name((enum tv_op)i), ops[i].errors);
	head(out, "tvfs_operation_duration_seconds", "histogram",
	     "Time from a request's arrival in the daemon until its answer was ready.");
	for (size_t i = 0; i < TV_OP_COUNT; i++)
		print_histogram(out, tv_op_name((enum tv_op)i), &ops[i].latency);
	head(out, "tvfs_operation_duration_max_seconds", GAUGE, "The longest time of all.");
	for (size_t i = 0; i < TV_OP_COUNT; i++)
		if (tv_histogram_count(&ops[i].latency))
			fprintf(out, "tvfs_operation_duration_max_seconds{op=\"%s\"} %.9f\n",
				tv_op_name((enum tv_op)i), (double)ops[i].latency.max / 1e9);
}

int tv_stats_prometheus(FILE *out, const struct tv_stats_rows *rows)
{
	tv_autofree struct tv_figures *sum = calloc(1, sizeof(*sum));
	if (!sum)
		return -ENOMEM;
	for (size_t i = 0; i < rows->len; i++)
		if (rows->row[i]->answered)
			tv_figures_add(sum, &rows->row[i]->figures);
	print_states(out, rows);
	head(out, "tvfs_uptime_seconds", GAUGE, "For how long the oldest daemon has served.");
	fprintf(out, "tvfs_uptime_seconds %.3f\n", sum->uptime);
	print_operations(out, sum->ops);
	for (size_t i = 0; i < TV_FIGURE_COUNT; i++) {
		head(out, metrics[i].name, metrics[i].type, metrics[i].help);
		fprintf(out, "%s %" PRIu64 "\n", metrics[i].name, sum->numbers[i]);
	}
	return 0;
}
