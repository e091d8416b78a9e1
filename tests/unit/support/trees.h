/*
 * What the tests of nodes, trees, diff and merge share: a store in memory, a naive model of a tree
 * that knows nothing of nodes, and random edits for both. Failures end the running test.
 */
#ifndef TV_TESTS_UNIT_SUPPORT_TREES_H
#define TV_TESTS_UNIT_SUPPORT_TREES_H

#include "store/base/map16.h"
#include "store/tree.h"

/* Random numbers from a printed seed; TV_SEED=<number> repeats a run. */
struct rng {
	uint64_t state;
};
struct rng rng_new(void);
uint64_t rng_next(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n);

/* Prints and fails when a call gave an error. */
#define check(expr, err) check_result((expr), (err), #expr, __FILE__, __LINE__)
void check_result(int r, const struct tv_err *err, const char *expr, const char *file, int line);

double now_s(void);

/* Node bytes by address. Each get decodes, with all checks, and is counted. */
struct mem_store {
	struct tv_node_source source;
	struct tv_map16 index;
	struct tv_node **nodes;
	size_t len;
	uint64_t gets;
};
void mem_store_init(struct mem_store *m);
void mem_store_free(struct mem_store *m);
/* Keeps what tv_node_batch_each gives. */
void mem_store_keep(struct mem_store *m, const struct tv_node_batch *b, const struct tv_addr *root);

/* tv_tree_edit over a memory store, its new nodes kept in it. */
struct tv_entry edit_stored(struct mem_store *m, const struct tv_entry *root,
			    const struct tv_edit *edits, size_t n);
struct tv_entry empty_stored(struct mem_store *m);

/* Valid entries. A file's contents are `text`; only its digests are kept. */
struct tv_entry file_entry(const char *text, uint16_t mode, int64_t mtime);
struct tv_entry link_entry(const char *target, int64_t mtime); /* target is borrowed */
struct tv_entry dir_entry(uint16_t mode, int64_t mtime);       /* for an edit: no address */

/* A list of paths, edited by the letter of tree.h. */
struct model {
	struct tv_edit *v; /* all sets; sorted; path and target owned */
	size_t len, cap;
};
void model_free(struct model *m);
void model_copy(const struct model *from, struct model *to);
void model_apply(struct model *m, const struct tv_edit *edits, size_t n);
const struct tv_edit *model_find(const struct model *m, const char *path);
/* The root that the model has when built from nothing, with the given root's mtime and mode. */
struct tv_entry model_build(const struct model *m, struct mem_store *store);

/* n random edits (valid together) in storage of their own. */
struct random_edits {
	struct tv_edit v[64];
	char paths[64][128];
	char targets[64][32];
	size_t n;
};
void random_edits(struct random_edits *e, struct rng *r, size_t n);

void assert_same_root(const struct tv_entry *a, const struct tv_entry *b);

/* Edits that make a flat directory of n files, in name order. Free with flat_free. */
struct flat {
	struct tv_edit *edits;
	char (*names)[32];
	size_t n;
};
void flat_init(struct flat *f, size_t n);
void flat_free(struct flat *f);

/* 1,000,000; fewer where a sanitizer makes that slow. */
size_t big_count(void);

#endif
