/*
 * Lists of symbols: which symbols somebody wants, and what the lists tell of them.
 *
 * A document is a list, or an object whose member `data` is one (a scanner's export: {meta, data}). An
 * element is a text "EXCHANGE:SYMBOL", or an object. Its symbol is its `symbol`; if that has no exchange,
 * its `exchange` and that; else its `physical_symbol`. Symbols are taken to the letter, case and all.
 * Members that are facts (see tv_fact_named) are kept, also by the names that scanners and selections
 * use: currency is the quote, base_currency the base, asset_class the profile.
 *
 * A symbol may come many times: it stands where it came first, with all its places; of a fact the first
 * that is told counts. An element that is no good is not taken and noted as a fault; the others are.
 *
 * Not thread-safe.
 */
#ifndef TV_INGEST_CANDIDATES_H
#define TV_INGEST_CANDIDATES_H

#include "ingest/symbols.h"

struct tv_candidate_place {
	const char *file; /* the name that it was added by */
	size_t index;	  /* of the element, from 0 */
};

struct tv_candidate {
	char *symbol;
	struct tv_facts facts;
	size_t n_places;
	struct tv_candidate_place *places;
	struct tv_candidate_text *texts; /* private */
};

/* "'F', candidate 3: its symbol 'AAPL' is not EXCHANGE:SYMBOL" */
struct tv_candidate_fault {
	struct tv_candidate_place place;
	char *message; /* the whole line */
};

struct tv_candidates {
	size_t n, n_faults;
	struct tv_candidate **items;
	struct tv_candidate_fault *faults;
	struct tv_name_list files;
	void *by_symbol; /* private */
};

#define TV_CANDIDATES_INIT ((struct tv_candidates){ 0, 0, NULL, NULL, TV_NAME_LIST_INIT, NULL })

void tv_candidates_free(struct tv_candidates *candidates); /* empties them; NULL is fine */
#define tv_autocandidates __attribute__((cleanup(tv_candidates_free)))

/* Adds a document's symbols. -EINVAL: "'F' ...": no valid JSON, or of another shape; -EFBIG, -ENOMEM. What
 * was added before stays in all cases. */
int tv_candidates_add(struct tv_candidates *candidates, const char *name, const char *text,
		      size_t n, struct tv_err *err);

/* Adds a file, or each *.json of a folder (not its folders) by name; links are followed. -EINVAL also:
 * a folder without any; -errno when something cannot be read. */
int tv_candidates_load(struct tv_candidates *candidates, int dirfd, const char *path,
		       struct tv_err *err);

/* The symbol's candidate, NULL. */
const struct tv_candidate *tv_candidates_find(const struct tv_candidates *candidates,
					      const char *symbol);

#endif
