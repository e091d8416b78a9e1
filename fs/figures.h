/*
 * The figures of a mount as one document: what its daemon answers on the stats socket, and what the
 * tools make of the answer.
 *
 * The document is a JSON object. Version 1 had `operations`, `errors`, `passthrough` and some numbers;
 * version 2 says so in `version`, and adds `tvfs_version`, `operation_errors`, `latencies` and the
 * rest of the numbers. Who reads it takes what is absent for 0 and leaves alone what it does not
 * know, so old and new programs understand each other.
 */
#ifndef TV_FS_FIGURES_H
#define TV_FS_FIGURES_H

#include <cjson/cJSON.h>

#include "fs/histogram.h"

#define TV_FIGURES_VERSION 2

enum tv_op {
	TV_OP_LOOKUP,
	TV_OP_FORGET,
	TV_OP_GETATTR,
	TV_OP_SETATTR,
	TV_OP_READLINK,
	TV_OP_MKNOD,
	TV_OP_MKDIR,
	TV_OP_UNLINK,
	TV_OP_RMDIR,
	TV_OP_SYMLINK,
	TV_OP_RENAME,
	TV_OP_LINK,
	TV_OP_OPEN,
	TV_OP_READ,
	TV_OP_WRITE,
	TV_OP_RELEASE,
	TV_OP_FSYNC,
	TV_OP_OPENDIR,
	TV_OP_READDIR,
	TV_OP_RELEASEDIR,
	TV_OP_FSYNCDIR,
	TV_OP_STATFS,
	TV_OP_SETXATTR,
	TV_OP_GETXATTR,
	TV_OP_LISTXATTR,
	TV_OP_REMOVEXATTR,
	TV_OP_CREATE,
	TV_OP_TMPFILE,
	TV_OP_FALLOCATE,
	TV_OP_LSEEK,
	TV_OP_COPY,
	TV_OP_COUNT
};

enum tv_figure {
	TV_FIGURE_PASSED_OPENS,
	TV_FIGURE_PLAIN_OPENS,
	TV_FIGURE_FALLBACKS, /* files that the kernel was to serve, and refused */
	TV_FIGURE_COPY_UPS,
	TV_FIGURE_COPIED_BYTES,
	TV_FIGURE_READ_BYTES, /* through the daemon, as the next two */
	TV_FIGURE_WRITTEN_BYTES,
	TV_FIGURE_RANGE_BYTES, /* copy_file_range */
	TV_FIGURE_INODES,
	TV_FIGURE_INODE_BYTES,
	TV_FIGURE_NODES, /* in the store's cache of tree nodes */
	TV_FIGURE_NODE_BYTES,
	TV_FIGURE_NODE_HITS,
	TV_FIGURE_NODE_MISSES,
	TV_FIGURE_NAME_SETS, /* of what the overlay holds (names.h) */
	TV_FIGURE_NAMES,
	TV_FIGURE_NAME_BYTES,
	TV_FIGURE_OPEN_FILES,
	TV_FIGURE_OPEN_FOLDERS,
	TV_FIGURE_BACKING_IDS,
	TV_FIGURE_IDLE_IDS,	  /* of them, those kept for the next open */
	TV_FIGURE_RESIDENT_BYTES, /* of the process, as the rest */
	TV_FIGURE_PRIVATE_BYTES,
	TV_FIGURE_THREADS,
	TV_FIGURE_DESCRIPTORS,
	TV_FIGURE_COUNT
};

struct tv_op_figures {
	uint64_t begun, errors;
	struct tv_histogram latency; /* of those that were answered */
};

struct tv_figures {
	struct tv_op_figures ops[TV_OP_COUNT];
	uint64_t numbers[TV_FIGURE_COUNT];
	double uptime;	       /* seconds */
	char passthrough[200]; /* "on", or why not */
	char program[64];      /* the daemon's version of tvfs */
};

const char *tv_op_name(enum tv_op op);

/* Sums one kind of operation: of a thread to a mount's, or of a mount to several's. */
void tv_op_figures_add(struct tv_op_figures *sum, const struct tv_op_figures *from);

/* The document, the caller's. NULL: out of memory. */
cJSON *tv_figures_json(const struct tv_figures *f);
/* What a document says. */
void tv_figures_parse(const cJSON *doc, struct tv_figures *out);
/* Takes the buckets out of a document; what is left is short enough to be kept. */
void tv_figures_shorten(cJSON *doc);

/* Adds up operations and numbers; the longer uptime; the texts stay as they are. */
void tv_figures_add(struct tv_figures *sum, const struct tv_figures *from);

#endif
