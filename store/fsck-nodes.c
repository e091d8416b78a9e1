/* Nodes and blobs: do they decode, do they agree with each other, are the files there. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/blob.h"
#include "store/fsck-priv.h"
#include "store/store-priv.h"
#include "store/table-pass.h"

static int keep_node(struct tv_fsck_run *run, const struct tv_node *node, struct tv_err *err)
{
	if (run->n_nodes == run->cap_nodes) {
		size_t cap = run->cap_nodes ? run->cap_nodes * 2 : 1024;
		void *grown = reallocarray(run->nodes, cap, sizeof(*run->nodes));
		if (!grown)
			return tv_err_nomem(err);
		run->nodes = grown;
		run->cap_nodes = cap;
	}
	struct tv_fsck_node *n = &run->nodes[run->n_nodes];
	n->self = *tv_node_self(node);
	n->level = tv_node_level(node);
	if (tv_map16_put(&run->node_at, n->self.addr.b, run->n_nodes) < 0)
		return tv_err_nomem(err);
	run->n_nodes++;
	return 0;
}

/* 1 and *out; 0 when the row is no node (then it is noted as bad); -errno. */
static int decode(struct tv_fsck_run *run, struct tv_bytes key, struct tv_bytes value,
		  struct tv_node **out, struct tv_err *err)
{
	struct tv_addr addr;
	struct tv_err why = TV_ERR_INIT;
	char hex[TV_ADDR_HEX];
	if (key.len != sizeof(addr.b)) {
		int res =
			tv_fsck_tellf(run, TV_DAMAGE, NULL, err, "a node row has a malformed key");
		return res < 0 ? res : 0;
	}
	memcpy(addr.b, key.data, sizeof(addr.b));
	int res = tv_node_decode(value.data, value.len, &addr, out, &why);
	if (res == 0)
		return 1;
	if (res == -ENOMEM)
		return tv_err_nomem(err);
	tv_addr_hex(&addr, hex);
	res = tv_fsck_add_bad(run, &addr, err, "tree node %s is damaged (%s)", hex, why.text);
	return res < 0 ? res : 0;
}

static int learn_row(void *arg, struct tv_bytes key, struct tv_bytes value, struct tv_err *err)
{
	struct tv_fsck_run *run = arg;
	struct tv_node *node;
	int res = decode(run, key, value, &node, err);
	if (res == 1) {
		res = keep_node(run, node, err);
		tv_node_unref(node);
	}
	run->figures.nodes++;
	return res < 0 ? res : tv_fsck_step(run, "nodes", run->figures.nodes, 0, err);
}

/* What is said of a node by another one: is it so? */
static int check_reference(struct tv_fsck_run *run, const struct tv_node *from,
			   const struct tv_ref_entry *says, bool whole_dir, struct tv_err *err)
{
	struct tv_fsck_node node;
	char hex[TV_ADDR_HEX];
	int found = tv_fsck_find_node(run, &says->addr, &node, err);
	if (found < 0)
		return found;
	if (!found) {
		tv_addr_hex(&says->addr, hex);
		return tv_fsck_add_bad(run, &says->addr, err, "tree node %s is missing", hex);
	}
	bool agrees = tv_sha_eq(&node.self.sha, &says->sha) && node.self.size == says->size &&
		      node.self.files == says->files &&
		      (whole_dir ||
		       (node.self.count == says->count && node.level + 1 == tv_node_level(from)));
	if (agrees)
		return 0;
	tv_addr_hex(tv_node_addr(from), hex);
	return tv_fsck_add_bad(run, tv_node_addr(from), err,
			       "tree node %s does not agree with what is below it", hex);
}

struct row_get {
	const struct tv_addr *addr;
	struct tv_blob_row row;
};

static int row_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct row_get *g = arg;
	return tv_blob_row_get(t, g->addr, &g->row, err);
}

static int check_file_entry(struct tv_fsck_run *run, const struct tv_entry *e, struct tv_err *err)
{
	struct row_get g = { .addr = &e->addr };
	struct tv_err why = TV_ERR_INIT;
	char hex[TV_ADDR_HEX];
	int res = tv_kv_read(run->s->kv, row_body, &g, &why);
	if (res == 1 && !g.row.condemned_ns && g.row.size == e->size &&
	    tv_sha_eq(&g.row.sha, &e->sha))
		return 0;
	tv_addr_hex(&e->addr, hex);
	if (res == 0)
		return tv_fsck_add_bad(run, &e->addr, err, "blob %s is not in the index", hex);
	if (res == 1 && g.row.condemned_ns)
		return tv_fsck_add_bad(run, &e->addr, err, "blob %s is condemned by gc", hex);
	if (res == 1)
		return tv_fsck_add_bad(run, &e->addr, err,
				       "blob %s has another size or hash in the index", hex);
	return res == -TV_E_DAMAGED ? 0 : tv_err_set(err, res, "%s", why.text);
}

static int compare_row(void *arg, struct tv_bytes key, struct tv_bytes value, struct tv_err *err)
{
	struct tv_fsck_run *run = arg;
	struct tv_node *node;
	int res = decode(run, key, value, &node, err);
	if (res != 1)
		return res;
	res = 0;
	for (uint32_t i = 0; res == 0 && i < tv_node_len(node); i++) {
		struct tv_ref_entry child;
		struct tv_entry e = { .kind = 0 };
		if (tv_node_level(node) > 0) {
			tv_node_child(node, i, &child);
			res = check_reference(run, node, &child, false, err);
			continue;
		}
		tv_node_entry(node, i, &e);
		child = (struct tv_ref_entry){
			.addr = e.addr, .sha = e.sha, .size = e.size, .files = e.files
		};
		if (e.kind == TV_DIR)
			res = check_reference(run, node, &child, true, err);
		else if (e.kind == TV_FILE)
			res = check_file_entry(run, &e, err);
	}
	tv_node_unref(node);
	return res;
}

int tv_fsck_nodes(struct tv_fsck_run *run, struct tv_err *err)
{
	int res = tv_table_pass(run->s->kv, TV_T_NODES, learn_row, run, err);
	return res < 0 ? res : tv_table_pass(run->s->kv, TV_T_NODES, compare_row, run, err);
}

/* --- blobs ----------------------------------------------------------------------------------- */

/* NULL, or what is wrong with a blob's file. */
static const char *file_flaw(const struct tv_store *s, const struct tv_addr *addr,
			     const struct tv_blob_row *row)
{
	char path[TV_BLOB_PATH];
	struct stat st;
	tv_blob_path(addr, path);
	if (fstatat(s->blobs_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? "is missing" : "cannot be looked at";
	if (!S_ISREG(st.st_mode))
		return "is not a plain file";
	if ((uint64_t)st.st_size != row->size)
		return "has another size than the index says";
	if (st.st_mode & 0337)
		return "has a mode that lets others read or anyone write it";
	return NULL;
}

static int verify(struct tv_fsck_run *run, const struct tv_addr *addr, uint64_t size,
		  struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	int res = tv_blob_verify(run->s, addr, &why);
	run->figures.bytes_read += size;
	if (res == 0)
		return 0;
	if (res == -ENOMEM)
		return tv_err_nomem(err);
	return tv_fsck_add_bad(run, addr, err, "%s", why.text);
}

struct tv_blob_check {
	struct tv_addr addr;
	struct tv_blob_row row;
};

/* Rows are collected a chunk at a time and their files looked at outside of any transaction. */
struct blob_chunk {
	struct tv_fsck_run *run;
	struct tv_blob_check *list;
	size_t len, cap;
};

static int collect_row(void *arg, struct tv_bytes key, struct tv_bytes value, struct tv_err *err)
{
	struct blob_chunk *c = arg;
	struct tv_blob_check check;
	struct tv_err why = TV_ERR_INIT;
	if (key.len != sizeof(check.addr.b))
		return tv_fsck_tellf(c->run, TV_DAMAGE, NULL, err,
				     "a blob row has a malformed key");
	memcpy(check.addr.b, key.data, sizeof(check.addr.b));
	if (tv_blob_row_decode(value, &check.row, &why) < 0) {
		char hex[TV_ADDR_HEX];
		tv_addr_hex(&check.addr, hex);
		return tv_fsck_add_bad(c->run, &check.addr, err, "the row of blob %s is damaged",
				       hex);
	}
	if (c->len == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 1024;
		void *grown = reallocarray(c->list, cap, sizeof(*c->list));
		if (!grown)
			return tv_err_nomem(err);
		c->list = grown;
		c->cap = cap;
	}
	c->list[c->len++] = check;
	return 0;
}

/* gc may run beside: a blob that is flawed is looked up once more before it counts. */
static int check_blob(struct tv_fsck_run *run, const struct tv_blob_check *check,
		      struct tv_err *err)
{
	char hex[TV_ADDR_HEX];
	struct row_get g = { .addr = &check->addr };
	/* A condemned blob counts as absent: its file may have gone with a gc that was killed. */
	if (check->row.condemned_ns)
		return 0;
	const char *flaw = file_flaw(run->s, &check->addr, &check->row);
	if (!flaw)
		return run->how->read_data ? verify(run, &check->addr, check->row.size, err) : 0;
	int res = tv_kv_read(run->s->kv, row_body, &g, err);
	if (res != 1 || g.row.condemned_ns)
		return res < 0 ? res : 0;
	tv_addr_hex(&check->addr, hex);
	return tv_fsck_add_bad(run, &check->addr, err, "blob %s %s", hex, flaw);
}

int tv_fsck_blobs(struct tv_fsck_run *run, struct tv_err *err)
{
	struct blob_chunk c = { .run = run };
	int res = tv_table_pass(run->s->kv, TV_T_BLOBS, collect_row, &c, err);
	for (size_t i = 0; res == 0 && i < c.len; i++) {
		run->figures.blobs++;
		res = check_blob(run, &c.list[i], err);
		if (res == 0)
			res = tv_fsck_step(run, "blobs", i, c.len, err);
	}
	free(c.list);
	return res;
}
