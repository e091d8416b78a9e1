/*
 * Tree nodes: the immutable pieces of a directory.
 *
 * A directory is a sorted map name -> entry, kept as a Merkle B-tree whose node boundaries depend
 * on names alone (a "prolly tree"; the idea is that of Noms and Dolt). Level 0 nodes hold entries,
 * a node of level L > 0 holds references to nodes of level L-1. docs/format.md defines every byte.
 *
 * The rank of a name is the number of leading zero bits of SHA-256(name), divided by
 * TV_RANK_BITS and rounded down. The entry (or reference) with the last name n ends its node of
 * level L exactly when rank(n) > L; the last node of each level ends where the directory ends. The
 * root is the first level that has exactly one node. So a directory's shape is a function of its
 * set of names, whatever the order in which it was edited.
 *
 * A node has two digests: its address (XXH3-128 of its bytes) and its hash (SHA-256 of its
 * projection: the bytes without mtimes, mode bits and addresses). A directory's hash is its root
 * node's hash, and the foundation hash is that of the top directory.
 *
 * Nodes are reference-counted and read-only after decoding; all functions are thread-safe.
 */
#ifndef TV_STORE_NODE_H
#define TV_STORE_NODE_H

#include <stdint.h>

#include "store/base/buf.h"
#include "store/hash.h"

#define TV_RANK_BITS 6 /* one entry in 64 ends a node; part of the hash's definition for ever */
#define TV_LEVEL_MAX 10

enum tv_kind {
	TV_FILE = 1,
	TV_DIR = 2,
	TV_SYMLINK = 3,
};

/* What a name stands for. A plain value; `target` is the only pointer. */
struct tv_entry {
	enum tv_kind kind;
	uint16_t mode;	     /* permission bits, 0777 at most; symlinks 0777 */
	int64_t mtime_ns;    /* since the epoch */
	uint64_t size;	     /* file: bytes; symlink: target's length; dir: total bytes below */
	uint64_t files;	     /* dir: number of files and symlinks below, at any depth; else 0 */
	struct tv_addr addr; /* file: its blob; dir: its root node; symlink: zero */
	struct tv_sha sha;   /* file: contents; symlink: target; dir: its hash */
	const char *target;  /* symlink: NUL-terminated, lives as long as its node; else NULL */
};

/* The executable bit that is part of identity: the owner's, of a file. */
static inline bool tv_entry_exec(const struct tv_entry *e)
{
	return e->kind == TV_FILE && (e->mode & 0100);
}

/* True when both count as the same content: kind, executable bit, hash, size of files. */
bool tv_entry_same_content(const struct tv_entry *a, const struct tv_entry *b);

/* True when mtime and permission bits are equal too. For directories this also compares root
 * addresses, so it is false when anything below differs in mtime or mode. */
bool tv_entry_same(const struct tv_entry *a, const struct tv_entry *b);

/* A reference to a child node, as nodes of level > 0 hold it. */
struct tv_ref_entry {
	struct tv_addr addr;
	struct tv_sha sha;
	uint64_t count; /* entries below, in this directory */
	uint64_t size;	/* sum of tv_entry.size below */
	uint64_t files; /* 1 a file or symlink, tv_entry.files a dir, summed */
};

/* UINT_MAX when out of memory. */
unsigned tv_name_rank(const char *name, size_t n);

struct tv_node;

/* Decodes and checks bytes (copied): magic, version, level, bounds, strictly ascending valid
 * names, kinds, modes, symlink targets without NUL, node boundaries in their places, the hash in
 * the header. `addr` is what the bytes must hash to. -TV_E_DIGEST, -TV_E_DAMAGED, -ENOMEM. */
int tv_node_decode(const void *bytes, size_t n, const struct tv_addr *addr, struct tv_node **out,
		   struct tv_err *err);

/* The same for bytes that this store has once accepted (it decodes all it is given before it writes
 * it): the address is compared, and everything is checked that reading relies on, but no SHA-256 is
 * computed again, which is nine tenths of the work. */
int tv_node_load(const void *bytes, size_t n, const struct tv_addr *addr, struct tv_node **out,
		 struct tv_err *err);

struct tv_node *tv_node_ref(struct tv_node *node);
void tv_node_unref(struct tv_node *node); /* NULL is fine */

unsigned tv_node_level(const struct tv_node *node);
uint32_t tv_node_len(const struct tv_node *node); /* entries or references in this node */
const struct tv_addr *tv_node_addr(const struct tv_node *node);
const struct tv_sha *tv_node_sha(const struct tv_node *node);
size_t tv_node_bytes(const struct tv_node *node, const void **bytes); /* the encoded form */
/* The reference that a parent holds: both digests, and the sums of what this node's records say. */
const struct tv_ref_entry *tv_node_self(const struct tv_node *node);

/* Name of entry i (level 0), or last name below reference i. Not NUL-terminated. */
const char *tv_node_name(const struct tv_node *node, uint32_t i, size_t *n);
/* Entry i (level 0) / reference i (level > 0). */
void tv_node_entry(const struct tv_node *node, uint32_t i, struct tv_entry *out);
void tv_node_child(const struct tv_node *node, uint32_t i, struct tv_ref_entry *out);

/* Index of the first name >= the given one; tv_node_len() when there is none. */
uint32_t tv_node_search(const struct tv_node *node, const char *name, size_t n);

/* Encoding: collect entries or references in order, then finish into a decoded node. What
 * tv_node_decode would reject is -EINVAL and leaves the builder as it was; after any other error it
 * can only be freed. A sum over 2^63-1 is -EOVERFLOW, a node over 4 GiB -EFBIG. */
struct tv_node_builder;
int tv_node_builder_new(unsigned level, struct tv_node_builder **out, struct tv_err *err);
void tv_node_builder_free(struct tv_node_builder *b);
uint32_t tv_node_builder_len(const struct tv_node_builder *b);
int tv_node_builder_entry(struct tv_node_builder *b, const char *name, size_t n,
			  const struct tv_entry *e, struct tv_err *err);
int tv_node_builder_child(struct tv_node_builder *b, const char *last_name, size_t n,
			  const struct tv_ref_entry *r, struct tv_err *err);
/* True when the last name added ends the node, so that nothing more may be added. */
bool tv_node_builder_ends(const struct tv_node_builder *b);
/* Makes the node (and, when `self` is not NULL, the reference its parent will hold) and empties
 * the builder. */
int tv_node_builder_finish(struct tv_node_builder *b, struct tv_node **out,
			   struct tv_ref_entry *self, struct tv_err *err);

#endif
