/*
 * What the files of the node module share: the layout of a node's bytes, and the one place that
 * says which records may stand in a node (node-scan.c). The decoder and the builder both put every
 * record through it, so what one makes the other accepts, and nothing else.
 */
#ifndef TV_STORE_NODE_PRIV_H
#define TV_STORE_NODE_PRIV_H

#include <stdatomic.h>

#include "store/base/path.h"
#include "store/node.h"

/* Offsets in a node. */
enum {
	TV_NODE_LEVEL = 4,
	TV_NODE_COUNT = 8,
	TV_NODE_TOTAL = 12,
	TV_NODE_SHA = 16,
	TV_NODE_HEADER = 48, /* its length; record offsets follow */
};

/* Offsets in a record. Both kinds have a fixed part of the same length, then the name. */
enum {
	TV_REC_KIND = 0,       /* level 0 */
	TV_REC_MODE = 2,       /* level 0 */
	TV_REC_NAME_LEN = 4,   /* level 0 */
	TV_REC_TARGET_LEN = 6, /* level 0 */
	TV_REC_MTIME = 8,      /* level 0 */
	TV_REC_LAST_LEN = 0,   /* level > 0 */
	TV_REC_BELOW = 8,      /* level > 0: entries */
	TV_REC_SIZE = 16,
	TV_REC_FILES = 24,
	TV_REC_ADDR = 32,
	TV_REC_SHA = 48,
	TV_REC_FIXED = 80,
};

static const uint8_t TV_NODE_MAGIC[4] = { 'T', 'V', 'N', '1' };
#define TV_TARGET_MAX 4095 /* PATH_MAX without its NUL */

struct tv_node {
	atomic_uint refs;
	unsigned level;
	uint32_t len;
	uint32_t n; /* bytes */
	struct tv_ref_entry self;
	uint8_t bytes[];
};

static inline void tv_put_le32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

/* A node with room for n bytes and one reference; nothing else is set. NULL without memory. */
struct tv_node *tv_node_alloc(uint32_t n);

/* A pass over the records of a node: checks each, sums up, collects the projection. */
struct tv_node_scan {
	unsigned level;
	uint32_t len;
	struct tv_ref_entry sum; /* count, size and files so far */
	unsigned last_rank;
	size_t last_len;
	char last[TV_NAME_MAX];
	struct tv_buf projection;
	struct tv_hasher *hasher; /* NULL: a pass without digests */
};

/* A pass that computes no SHA-256: everything is checked but the places of node boundaries and the
 * hashes of symlink targets, and there is no projection. */
void tv_node_scan_init_plain(struct tv_node_scan *s, unsigned level);
int tv_node_scan_init(struct tv_node_scan *s, unsigned level, struct tv_err *err);
void tv_node_scan_free(struct tv_node_scan *s);
void tv_node_scan_reset(struct tv_node_scan *s);

/* The next record: -EINVAL (and the scan is unchanged) when it may not stand there. The target is
 * e->target, of target_len bytes. */
int tv_node_scan_entry(struct tv_node_scan *s, const char *name, size_t n, const struct tv_entry *e,
		       size_t target_len, struct tv_err *err);
int tv_node_scan_child(struct tv_node_scan *s, const char *last, size_t n,
		       const struct tv_ref_entry *ref, struct tv_err *err);

/* True when the last name ends a node of this level. */
bool tv_node_scan_ended(const struct tv_node_scan *s);

/* The hash of the node that these records make. -EINVAL: no node is made of these. */
int tv_node_scan_hash(struct tv_node_scan *s, struct tv_sha *out, struct tv_err *err);

#endif
