/*
 * What may be on the disk after a power cut.
 *
 * The log's changes are cut into atoms, each of which is on the disk whole or not at all: one change
 * of a folder's names (a rename is one), one page's part of one write, a change of size, a change of
 * mode. An atom is kept only together with those it stands on: earlier ones of the same name, of the
 * same page, the truncation before a write, the emptying before an rmdir. A sync forces atoms to the
 * disk: fsync of a file its pages, size and mode; fdatasync its pages and size; fsync of a folder the
 * names in it (a rename: the names of the folder it moved into); syncfs everything; a write
 * through O_DSYNC itself. A file's own fsync does not force its name, and syncing the folder that a
 * file was moved out of does not force the move.
 */
#ifndef TV_CRASH_MODEL_H
#define TV_CRASH_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

enum atom_kind { ATOM_NAME, ATOM_PAGE, ATOM_SIZE, ATOM_MODE };

struct atom {
	enum atom_kind kind;
	uint32_t op; /* its record */
	uint32_t first_pred, n_preds;
	uint32_t forced_at; /* the first sync that covers it, or UINT32_MAX */
	int node;	    /* of pages, sizes, modes */
	int slot, slot2;    /* of names */
	int64_t at;	    /* ATOM_PAGE: where in the file … */
	uint32_t from, len; /* … goes which part of the record's data */
};

struct op {
	struct log_record r;
	const char *name, *name2;
	const uint8_t *data;
	int node; /* of r.ino; -1: not in the tree */
};

/* An inode. */
struct node {
	uint32_t mode, base_mode;
	const uint8_t *base; /* contents at the start (of a symlink: its target) */
	size_t base_size;
	uint64_t base_hash;
	uint8_t *data; /* contents in the current state, when touched */
	size_t size, room;
	bool touched;
	int *slots; /* of a folder: the names that ever stand in it */
	size_t n_slots;
	int *pages; /* while loading: the last atom of each page */
	size_t n_pages;
	int last_size, last_mode;
};

/* A name in a folder. */
struct slot {
	int dir;
	const char *name;
	int base, now; /* which node it shows; -1: none */
	int last;      /* while loading: the last atom that changed it */
};

struct model {
	uint8_t *bytes;
	struct op *ops;
	size_t n_ops, room_ops;
	struct atom *atoms;
	size_t n_atoms, room_atoms;
	uint32_t *preds;
	size_t n_preds, room_preds;
	struct node *nodes;
	size_t n_nodes, room_nodes;
	struct slot *slots;
	size_t n_slots, room_slots;
	uint64_t *inos; /* inode number -> node, open addressing */
	int *ino_nodes;
	size_t n_base;	  /* ops before the first change */
	size_t exit_at;	  /* the LOG_EXIT record; n_ops: none */
	char mapped[256]; /* a file other than lock.mdb mapped shared and writable, or "" */
};

/* Which syncs are to count for nothing. */
enum {
	DROP_FILE = 1,	   /* fsync of files */
	DROP_FOLDER = 2,   /* fsync of folders */
	DROP_DATA = 4,	   /* fdatasync */
	DROP_ALL = 8,	   /* syncfs, sync */
	DROP_DURABLE = 16, /* O_DSYNC */
};

int model_load(struct model *m, const char *path);
/* Says which sync forces what; one: a single record to drop, or -1. */
void model_force(struct model *m, unsigned drop, long one);

/* How an atom fares in a state. */
enum { LOST = 0, KEPT = 1, ZEROS = 2 /* the size grew, the bytes did not come */ };

/* Builds the state after `cut` records from the fates of all atoms (those that are forced are kept
 * whatever it says; those that stand on a lost one are lost). */
void model_build(struct model *m, size_t cut, const uint8_t *fate);
/* One number for the whole state. */
uint64_t model_hash(struct model *m);
/* The same for what stands at a path; 0: nothing. */
uint64_t model_hash_at(struct model *m, const char *path);
/* Contents of a node in the current state. */
const uint8_t *model_data(const struct model *m, int node, size_t *size);
uint64_t model_data_hash(struct model *m, int node);
/* The node at a path below the root in the current state, -1. */
int model_lookup(const struct model *m, const char *path);
int model_root(void);
/* The path under which a node was first seen, for messages. */
void model_path(const struct model *m, int node, char *out, size_t n);

#endif
