#include <stdlib.h>

#include "store/node-priv.h"

struct tv_node_builder {
	struct tv_node_scan scan;
	struct tv_buf offsets; /* from the first record on; finish adds what stands before */
	struct tv_buf records;
};

int tv_node_builder_new(unsigned level, struct tv_node_builder **out, struct tv_err *err)
{
	if (level > TV_LEVEL_MAX)
		return tv_err_set(err, -EOVERFLOW, "a directory needs more than %d levels",
				  TV_LEVEL_MAX);
	struct tv_node_builder *b = calloc(1, sizeof(*b));
	if (!b)
		return tv_err_nomem(err);
	int r = tv_node_scan_init(&b->scan, level, err);
	if (r < 0) {
		tv_node_builder_free(b);
		return r;
	}
	*out = b;
	return 0;
}

void tv_node_builder_free(struct tv_node_builder *b)
{
	if (!b)
		return;
	tv_node_scan_free(&b->scan);
	tv_buf_free(&b->offsets);
	tv_buf_free(&b->records);
	free(b);
}

uint32_t tv_node_builder_len(const struct tv_node_builder *b)
{
	return b->scan.len;
}

bool tv_node_builder_ends(const struct tv_node_builder *b)
{
	return tv_node_scan_ended(&b->scan);
}

/* True when a record of n more bytes keeps the node within its 32-bit offsets. */
static bool fits(const struct tv_node_builder *b, size_t n)
{
	return TV_NODE_HEADER + b->offsets.len + 4 + b->records.len + n <= UINT32_MAX;
}

static int too_big(struct tv_err *err)
{
	return tv_err_set(err, -EFBIG, "a tree node grows over 4 GiB");
}

static int added(const struct tv_node_builder *b, struct tv_err *err)
{
	return b->offsets.failed || b->records.failed ? tv_err_nomem(err) : 0;
}

int tv_node_builder_entry(struct tv_node_builder *b, const char *name, size_t n,
			  const struct tv_entry *e, struct tv_err *err)
{
	size_t target_len = e->target ? strlen(e->target) : 0;
	if (b->scan.level != 0)
		return tv_err_set(err, -EINVAL, "an entry in a node of level %u", b->scan.level);
	if (!fits(b, TV_REC_FIXED + n + target_len + 1))
		return too_big(err);
	int r = tv_node_scan_entry(&b->scan, name, n, e, target_len, err);
	if (r < 0)
		return r;

	struct tv_buf *rec = &b->records;
	tv_buf_add_le32(&b->offsets, (uint32_t)rec->len);
	tv_buf_add_u8(rec, (uint8_t)e->kind);
	tv_buf_add_u8(rec, 0);
	tv_buf_add_le16(rec, e->mode);
	tv_buf_add_le16(rec, (uint16_t)n);
	tv_buf_add_le16(rec, (uint16_t)target_len);
	tv_buf_add_le64(rec, (uint64_t)e->mtime_ns);
	tv_buf_add_le64(rec, e->size);
	tv_buf_add_le64(rec, e->files);
	tv_buf_add(rec, e->addr.b, sizeof(e->addr.b));
	tv_buf_add(rec, e->sha.b, sizeof(e->sha.b));
	tv_buf_add(rec, name, n);
	if (target_len)
		tv_buf_add(rec, e->target, target_len + 1);
	return added(b, err);
}

int tv_node_builder_child(struct tv_node_builder *b, const char *last_name, size_t n,
			  const struct tv_ref_entry *r, struct tv_err *err)
{
	if (b->scan.level == 0)
		return tv_err_set(err, -EINVAL, "a reference in a node of level 0");
	if (!fits(b, TV_REC_FIXED + n))
		return too_big(err);
	int res = tv_node_scan_child(&b->scan, last_name, n, r, err);
	if (res < 0)
		return res;

	struct tv_buf *rec = &b->records;
	tv_buf_add_le32(&b->offsets, (uint32_t)rec->len);
	tv_buf_add_le16(rec, (uint16_t)n);
	tv_buf_add_le16(rec, 0);
	tv_buf_add_le32(rec, 0);
	tv_buf_add_le64(rec, r->count);
	tv_buf_add_le64(rec, r->size);
	tv_buf_add_le64(rec, r->files);
	tv_buf_add(rec, r->addr.b, sizeof(r->addr.b));
	tv_buf_add(rec, r->sha.b, sizeof(r->sha.b));
	tv_buf_add(rec, last_name, n);
	return added(b, err);
}

static void encode(const struct tv_node_builder *b, const struct tv_sha *sha, struct tv_node *node)
{
	uint8_t *p = node->bytes;
	memcpy(p, TV_NODE_MAGIC, sizeof(TV_NODE_MAGIC));
	memset(p + TV_NODE_LEVEL, 0, 4);
	p[TV_NODE_LEVEL] = (uint8_t)b->scan.level;
	tv_put_le32(p + TV_NODE_COUNT, b->scan.len);
	tv_put_le32(p + TV_NODE_TOTAL, node->n);
	memcpy(p + TV_NODE_SHA, sha->b, sizeof(sha->b));
	p += TV_NODE_HEADER;

	uint32_t first = TV_NODE_HEADER + (uint32_t)b->offsets.len;
	for (size_t at = 0; at < b->offsets.len; at += 4)
		tv_put_le32(p + at, first + tv_le32(b->offsets.data + at));
	if (b->records.len)
		memcpy(p + b->offsets.len, b->records.data, b->records.len);
}

int tv_node_builder_finish(struct tv_node_builder *b, struct tv_node **out,
			   struct tv_ref_entry *self, struct tv_err *err)
{
	struct tv_sha sha;
	int r = added(b, err);
	if (r == 0)
		r = tv_node_scan_hash(&b->scan, &sha, err);
	if (r < 0)
		return r;
	size_t n = TV_NODE_HEADER + b->offsets.len + b->records.len;
	struct tv_node *node = tv_node_alloc((uint32_t)n);
	if (!node)
		return tv_err_nomem(err);
	encode(b, &sha, node);
	node->level = b->scan.level;
	node->len = b->scan.len;
	node->self = b->scan.sum;
	node->self.sha = sha;
	node->self.addr = tv_addr_of(node->bytes, n);

	tv_node_scan_reset(&b->scan);
	tv_buf_clear(&b->offsets);
	tv_buf_clear(&b->records);
	if (self)
		*self = node->self;
	*out = node;
	return 0;
}
