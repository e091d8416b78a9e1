#include "store/node.h"

#include <stdlib.h>

#include "store/base/cleanup.h"
#include "store/node-priv.h"

bool tv_entry_same_content(const struct tv_entry *a, const struct tv_entry *b)
{
	return a->kind == b->kind && tv_entry_exec(a) == tv_entry_exec(b) &&
	       tv_sha_eq(&a->sha, &b->sha) && (a->kind != TV_FILE || a->size == b->size);
}

bool tv_entry_same(const struct tv_entry *a, const struct tv_entry *b)
{
	return tv_entry_same_content(a, b) && a->mtime_ns == b->mtime_ns && a->mode == b->mode &&
	       (a->kind != TV_DIR || tv_addr_eq(&a->addr, &b->addr));
}

struct tv_node *tv_node_alloc(uint32_t n)
{
	struct tv_node *node = malloc(sizeof(*node) + n);
	if (node) {
		atomic_init(&node->refs, 1);
		node->n = n;
	}
	return node;
}

struct tv_node *tv_node_ref(struct tv_node *node)
{
	atomic_fetch_add_explicit(&node->refs, 1, memory_order_relaxed);
	return node;
}

void tv_node_unref(struct tv_node *node)
{
	/* Release and acquire: whoever frees has seen all other holders' reads end. */
	if (node && atomic_fetch_sub_explicit(&node->refs, 1, memory_order_acq_rel) == 1)
		free(node);
}

unsigned tv_node_level(const struct tv_node *node)
{
	return node->level;
}

uint32_t tv_node_len(const struct tv_node *node)
{
	return node->len;
}

const struct tv_addr *tv_node_addr(const struct tv_node *node)
{
	return &node->self.addr;
}

const struct tv_sha *tv_node_sha(const struct tv_node *node)
{
	return &node->self.sha;
}

const struct tv_ref_entry *tv_node_self(const struct tv_node *node)
{
	return &node->self;
}

size_t tv_node_bytes(const struct tv_node *node, const void **bytes)
{
	*bytes = node->bytes;
	return node->n;
}

static const uint8_t *record(const struct tv_node *node, uint32_t i)
{
	return node->bytes + tv_le32(node->bytes + TV_NODE_HEADER + 4 * (size_t)i);
}

static size_t name_len(const struct tv_node *node, const uint8_t *rec)
{
	return tv_le16(rec + (node->level ? TV_REC_LAST_LEN : TV_REC_NAME_LEN));
}

const char *tv_node_name(const struct tv_node *node, uint32_t i, size_t *n)
{
	const uint8_t *rec = record(node, i);
	*n = name_len(node, rec);
	return (const char *)rec + TV_REC_FIXED;
}

void tv_node_entry(const struct tv_node *node, uint32_t i, struct tv_entry *out)
{
	const uint8_t *rec = record(node, i);
	size_t target = TV_REC_FIXED + (size_t)tv_le16(rec + TV_REC_NAME_LEN);

	out->kind = (enum tv_kind)rec[TV_REC_KIND];
	out->mode = tv_le16(rec + TV_REC_MODE);
	out->mtime_ns = (int64_t)tv_le64(rec + TV_REC_MTIME);
	out->size = tv_le64(rec + TV_REC_SIZE);
	out->files = tv_le64(rec + TV_REC_FILES);
	memcpy(out->addr.b, rec + TV_REC_ADDR, sizeof(out->addr.b));
	memcpy(out->sha.b, rec + TV_REC_SHA, sizeof(out->sha.b));
	out->target = tv_le16(rec + TV_REC_TARGET_LEN) ? (const char *)rec + target : NULL;
}

void tv_node_child(const struct tv_node *node, uint32_t i, struct tv_ref_entry *out)
{
	const uint8_t *rec = record(node, i);
	memcpy(out->addr.b, rec + TV_REC_ADDR, sizeof(out->addr.b));
	memcpy(out->sha.b, rec + TV_REC_SHA, sizeof(out->sha.b));
	out->count = tv_le64(rec + TV_REC_BELOW);
	out->size = tv_le64(rec + TV_REC_SIZE);
	out->files = tv_le64(rec + TV_REC_FILES);
}

static int compare(const char *a, size_t an, const char *b, size_t bn)
{
	int c = memcmp(a, b, an < bn ? an : bn);
	return c ? c : (an > bn) - (an < bn);
}

uint32_t tv_node_search(const struct tv_node *node, const char *name, size_t n)
{
	uint32_t lo = 0, hi = node->len;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		size_t have_n;
		const char *have = tv_node_name(node, mid, &have_n);
		if (compare(have, have_n, name, n) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int damaged(struct tv_err *err, const char *fault)
{
	return tv_err_set(err, -TV_E_DAMAGED, "tree node: %s", fault);
}

/* Sets level and len, which the accessors need. */
static int check_header(struct tv_node *node, struct tv_err *err)
{
	const uint8_t *p = node->bytes;
	if (node->n < TV_NODE_HEADER || memcmp(p, TV_NODE_MAGIC, sizeof(TV_NODE_MAGIC)) != 0)
		return damaged(err, "not a node of format version 1");
	node->level = p[TV_NODE_LEVEL];
	node->len = tv_le32(p + TV_NODE_COUNT);
	if (node->level > TV_LEVEL_MAX || p[5] || p[6] || p[7])
		return damaged(err, "the level or the reserved bytes are off");
	if (tv_le32(p + TV_NODE_TOTAL) != node->n ||
	    node->len > (node->n - TV_NODE_HEADER) / (4 + TV_REC_FIXED))
		return damaged(err, "the length or the count does not fit");
	return 0;
}

/* The part of a record that the accessors do not show: what must be zero. */
static bool padding_ok(const struct tv_node *node, const uint8_t *rec, size_t size)
{
	if (node->level)
		return tv_le16(rec + 2) == 0 && tv_le32(rec + 4) == 0;
	return rec[1] == 0 && (tv_le16(rec + TV_REC_TARGET_LEN) == 0 || rec[size - 1] == 0);
}

/* Checks record i, which must begin at *at, and moves *at behind it. */
static int check_record(const struct tv_node *node, uint32_t i, size_t *at,
			struct tv_node_scan *scan, struct tv_err *err)
{
	size_t room = node->n - *at;
	if (tv_le32(node->bytes + TV_NODE_HEADER + 4 * (size_t)i) != *at || room < TV_REC_FIXED)
		return damaged(err, "a record is out of its place");
	const uint8_t *rec = node->bytes + *at;
	size_t n = name_len(node, rec);
	size_t target_len = node->level ? 0 : tv_le16(rec + TV_REC_TARGET_LEN);
	size_t size = TV_REC_FIXED + n + (target_len ? target_len + 1 : 0);
	if (size > room || !padding_ok(node, rec, size))
		return damaged(err, "a record is too long or not padded with zeros");
	*at += size;

	const char *name = (const char *)rec + TV_REC_FIXED;
	if (node->level) {
		struct tv_ref_entry ref;
		tv_node_child(node, i, &ref);
		return tv_node_scan_child(scan, name, n, &ref, err);
	}
	struct tv_entry e;
	tv_node_entry(node, i, &e);
	return tv_node_scan_entry(scan, name, n, &e, target_len, err);
}

static int check_records(struct tv_node *node, struct tv_node_scan *scan, struct tv_err *err)
{
	size_t at = TV_NODE_HEADER + 4 * (size_t)node->len;
	for (uint32_t i = 0; i < node->len; i++) {
		int r = check_record(node, i, &at, scan, err);
		if (r < 0)
			return r;
	}
	if (at != node->n)
		return damaged(err, "bytes follow the last record");
	struct tv_addr addr = node->self.addr;
	node->self = scan->sum;
	node->self.addr = addr;
	memcpy(node->self.sha.b, node->bytes + TV_NODE_SHA, sizeof(node->self.sha.b));
	return 0;
}

static int check_hash(const struct tv_node *node, struct tv_node_scan *scan, struct tv_err *err)
{
	struct tv_sha sha;
	int r = tv_node_scan_hash(scan, &sha, err);
	if (r == 0 && !tv_sha_eq(&sha, &node->self.sha))
		r = damaged(err, "its hash is not that of its entries");
	return r;
}

static int check_node(struct tv_node *node, bool digests, struct tv_err *err)
{
	int r = check_header(node, err);
	if (r < 0)
		return r;
	tv_auto(tv_node_scan_free) struct tv_node_scan scan;
	tv_node_scan_init_plain(&scan, node->level);
	if (digests)
		r = tv_node_scan_init(&scan, node->level, err);
	if (r == 0)
		r = check_records(node, &scan, err);
	if (r == 0 && digests)
		r = check_hash(node, &scan, err);
	/* What the builder calls an invalid argument is damage in bytes that came from a store. */
	if (r == -EINVAL || r == -EOVERFLOW) {
		if (err)
			err->code = -TV_E_DAMAGED;
		r = tv_err_wrap(err, -TV_E_DAMAGED, "tree node");
	}
	return r;
}

static int decode(const void *bytes, size_t n, const struct tv_addr *addr, bool digests,
		  struct tv_node **out, struct tv_err *err)
{
	struct tv_addr have = tv_addr_of(bytes, n);
	if (!tv_addr_eq(&have, addr)) {
		char hex[TV_ADDR_HEX];
		tv_addr_hex(addr, hex);
		return tv_err_set(err, -TV_E_DIGEST, "tree node %s: its bytes are not those", hex);
	}
	if (n > UINT32_MAX)
		return damaged(err, "over 4 GiB");
	struct tv_node *node = tv_node_alloc((uint32_t)n);
	if (!node)
		return tv_err_nomem(err);
	if (n)
		memcpy(node->bytes, bytes, n);
	node->self.addr = have;
	int r = check_node(node, digests, err);
	if (r < 0) {
		tv_node_unref(node);
		return r;
	}
	*out = node;
	return 0;
}

int tv_node_decode(const void *bytes, size_t n, const struct tv_addr *addr, struct tv_node **out,
		   struct tv_err *err)
{
	return decode(bytes, n, addr, true, out, err);
}

int tv_node_load(const void *bytes, size_t n, const struct tv_addr *addr, struct tv_node **out,
		 struct tv_err *err)
{
	return decode(bytes, n, addr, false, out, err);
}
