#include "fs/figures.h"

#include <stdio.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"

static const char *const op_names[TV_OP_COUNT] = {
	[TV_OP_LOOKUP] = "lookup",
	[TV_OP_FORGET] = "forget",
	[TV_OP_GETATTR] = "getattr",
	[TV_OP_SETATTR] = "setattr",
	[TV_OP_READLINK] = "readlink",
	[TV_OP_MKNOD] = "mknod",
	[TV_OP_MKDIR] = "mkdir",
	[TV_OP_UNLINK] = "unlink",
	[TV_OP_RMDIR] = "rmdir",
	[TV_OP_SYMLINK] = "symlink",
	[TV_OP_RENAME] = "rename",
	[TV_OP_LINK] = "link",
	[TV_OP_OPEN] = "open",
	[TV_OP_READ] = "read",
	[TV_OP_WRITE] = "write",
	[TV_OP_RELEASE] = "release",
	[TV_OP_FSYNC] = "fsync",
	[TV_OP_OPENDIR] = "opendir",
	[TV_OP_READDIR] = "readdir",
	[TV_OP_RELEASEDIR] = "releasedir",
	[TV_OP_FSYNCDIR] = "fsyncdir",
	[TV_OP_STATFS] = "statfs",
	[TV_OP_SETXATTR] = "setxattr",
	[TV_OP_GETXATTR] = "getxattr",
	[TV_OP_LISTXATTR] = "listxattr",
	[TV_OP_REMOVEXATTR] = "removexattr",
	[TV_OP_CREATE] = "create",
	[TV_OP_TMPFILE] = "tmpfile",
	[TV_OP_FALLOCATE] = "fallocate",
	[TV_OP_LSEEK] = "lseek",
	[TV_OP_COPY] = "copy_file_range",
};

static const char *const keys[TV_FIGURE_COUNT] = {
	[TV_FIGURE_PASSED_OPENS] = "passthrough_opens",
	[TV_FIGURE_PLAIN_OPENS] = "plain_opens",
	[TV_FIGURE_FALLBACKS] = "passthrough_fallbacks",
	[TV_FIGURE_COPY_UPS] = "copy_ups",
	[TV_FIGURE_COPIED_BYTES] = "copied_up_bytes",
	[TV_FIGURE_READ_BYTES] = "read_bytes",
	[TV_FIGURE_WRITTEN_BYTES] = "written_bytes",
	[TV_FIGURE_RANGE_BYTES] = "copy_range_bytes",
	[TV_FIGURE_INODES] = "inodes",
	[TV_FIGURE_INODE_BYTES] = "inode_bytes",
	[TV_FIGURE_NODES] = "node_cache_entries",
	[TV_FIGURE_NODE_BYTES] = "node_cache_bytes",
	[TV_FIGURE_NODE_HITS] = "node_cache_hits",
	[TV_FIGURE_NODE_MISSES] = "node_cache_misses",
	[TV_FIGURE_NAME_SETS] = "overlay_name_sets",
	[TV_FIGURE_NAMES] = "overlay_names",
	[TV_FIGURE_NAME_BYTES] = "overlay_name_bytes",
	[TV_FIGURE_OPEN_FILES] = "open_files",
	[TV_FIGURE_OPEN_FOLDERS] = "open_folders",
	[TV_FIGURE_BACKING_IDS] = "backing_ids",
	[TV_FIGURE_IDLE_IDS] = "idle_backing_ids",
	[TV_FIGURE_RESIDENT_BYTES] = "resident_bytes",
	[TV_FIGURE_PRIVATE_BYTES] = "private_bytes",
	[TV_FIGURE_THREADS] = "threads",
	[TV_FIGURE_DESCRIPTORS] = "descriptors",
};

const char *tv_op_name(enum tv_op op)
{
	return op_names[op];
}

void tv_op_figures_add(struct tv_op_figures *sum, const struct tv_op_figures *from)
{
	/* In the other order than they are counted in, so never more answered than begun. */
	tv_histogram_merge(&sum->latency, &from->latency);
	sum->errors += tv_counted(&from->errors);
	sum->begun += tv_counted(&from->begun);
}

void tv_figures_add(struct tv_figures *sum, const struct tv_figures *from)
{
	for (size_t i = 0; i < TV_OP_COUNT; i++)
		tv_op_figures_add(&sum->ops[i], &from->ops[i]);
	for (size_t i = 0; i < TV_FIGURE_COUNT; i++)
		sum->numbers[i] += from->numbers[i];
	if (from->uptime > sum->uptime)
		sum->uptime = from->uptime;
}

/* --- writing ------------------------------------------------------------------------------- */

/* [bound, how many]; the last bucket's bound is null. */
static bool add_buckets(cJSON *o, const struct tv_histogram *h)
{
	cJSON *list = cJSON_AddArrayToObject(o, "buckets");
	for (size_t i = 0; list && i < TV_HISTOGRAM_BUCKETS; i++) {
		uint64_t bound = tv_histogram_bound(i);
		if (!h->buckets[i])
			continue;
		tv_autojson cJSON *pair = cJSON_CreateArray();
		cJSON *last = bound == UINT64_MAX ? cJSON_CreateNull()
						  : cJSON_CreateNumber((double)bound);
		cJSON *count = cJSON_CreateNumber((double)h->buckets[i]);
		if (!cJSON_AddItemToArray(pair, last))
			cJSON_Delete(last);
		if (!cJSON_AddItemToArray(pair, count))
			cJSON_Delete(count);
		if (cJSON_GetArraySize(pair) != 2 || !cJSON_AddItemToArray(list, pair))
			return false;
		tv_steal_ptr(&pair);
	}
	return list;
}

static bool add_latency(cJSON *latencies, const char *name, const struct tv_histogram *h)
{
	cJSON *o = cJSON_AddObjectToObject(latencies, name);
	return o && tv_json_add_u64(o, "count", tv_histogram_count(h)) &&
	       tv_json_add_u64(o, "total_ns", h->total) && tv_json_add_u64(o, "max_ns", h->max) &&
	       tv_json_add_u64(o, "p50_ns", tv_histogram_quantile(h, 0.50)) &&
	       tv_json_add_u64(o, "p99_ns", tv_histogram_quantile(h, 0.99)) && add_buckets(o, h);
}

/* Every kind is counted; errors and latencies are there for those that had some. */
static bool add_operations(cJSON *doc, const struct tv_figures *f)
{
	cJSON *counts = cJSON_AddObjectToObject(doc, "operations");
	cJSON *errors = cJSON_AddObjectToObject(doc, "operation_errors");
	cJSON *latencies = cJSON_AddObjectToObject(doc, "latencies");
	uint64_t all_errors = 0;

	for (size_t i = 0; i < TV_OP_COUNT; i++) {
		const struct tv_op_figures *op = &f->ops[i];
		if (!tv_json_add_u64(counts, op_names[i], op->begun) ||
		    (op->errors && !tv_json_add_u64(errors, op_names[i], op->errors)) ||
		    (tv_histogram_count(&op->latency) &&
		     !add_latency(latencies, op_names[i], &op->latency)))
			return false;
		all_errors += op->errors;
	}
	return errors && latencies && tv_json_add_u64(doc, "errors", all_errors);
}

cJSON *tv_figures_json(const struct tv_figures *f)
{
	tv_autojson cJSON *doc = cJSON_CreateObject();

	if (!doc || !tv_json_add_u64(doc, "version", TV_FIGURES_VERSION) ||
	    !cJSON_AddStringToObject(doc, "tvfs_version", f->program) || !add_operations(doc, f) ||
	    !cJSON_AddStringToObject(doc, "passthrough", f->passthrough))
		return NULL;
	for (size_t i = 0; i < TV_FIGURE_COUNT; i++)
		if (!tv_json_add_u64(doc, keys[i], f->numbers[i]))
			return NULL;
	if (!cJSON_AddNumberToObject(doc, "uptime_seconds", f->uptime))
		return NULL;
	return tv_steal_ptr(&doc);
}

/* --- reading ------------------------------------------------------------------------------- */

static double number(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
	return cJSON_IsNumber(item) && item->valuedouble > 0 ? item->valuedouble : 0;
}

static uint64_t whole(double v)
{
	return v >= 0x1p64 ? UINT64_MAX : (uint64_t)v;
}

static void take_text(const cJSON *doc, const char *key, char *out, size_t size)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(doc, key));
	snprintf(out, size, "%s", text ? text : "");
}

static void take_latency(const cJSON *o, struct tv_histogram *h)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(o, "buckets"), *pair;

	h->total = whole(number(o, "total_ns"));
	h->max = whole(number(o, "max_ns"));
	cJSON_ArrayForEach(pair, list) {
		const cJSON *bound = cJSON_GetArrayItem(pair, 0), *n = cJSON_GetArrayItem(pair, 1);
		if (!bound || !cJSON_IsNumber(n) || n->valuedouble < 0)
			continue;
		size_t at = cJSON_IsNumber(bound) && bound->valuedouble >= 0
				    ? tv_histogram_bucket(whole(bound->valuedouble))
				    : TV_HISTOGRAM_BUCKETS - 1;
		h->buckets[at] += whole(n->valuedouble);
	}
}

void tv_figures_parse(const cJSON *doc, struct tv_figures *out)
{
	const cJSON *counts = cJSON_GetObjectItemCaseSensitive(doc, "operations");
	const cJSON *errors = cJSON_GetObjectItemCaseSensitive(doc, "operation_errors");
	const cJSON *latencies = cJSON_GetObjectItemCaseSensitive(doc, "latencies");

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < TV_OP_COUNT; i++) {
		out->ops[i].begun = whole(number(counts, op_names[i]));
		out->ops[i].errors = whole(number(errors, op_names[i]));
		take_latency(cJSON_GetObjectItemCaseSensitive(latencies, op_names[i]),
			     &out->ops[i].latency);
	}
	for (size_t i = 0; i < TV_FIGURE_COUNT; i++)
		out->numbers[i] = whole(number(doc, keys[i]));
	out->uptime = number(doc, "uptime_seconds");
	take_text(doc, "passthrough", out->passthrough, sizeof(out->passthrough));
	take_text(doc, "tvfs_version", out->program, sizeof(out->program));
}

void tv_figures_shorten(cJSON *doc)
{
	cJSON *one;
	cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(doc, "latencies"))
		cJSON_DeleteItemFromObjectCaseSensitive(one, "buckets");
}
