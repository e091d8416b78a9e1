/* What the parts of a selection share. Only ingest/select*.c include this. */
#ifndef TV_INGEST_SELECT_PRIV_H
#define TV_INGEST_SELECT_PRIV_H

#include "ingest/catalog.h"
#include "ingest/select.h"

struct tv_selected {
	char *symbol, *file; /* owned */
	struct tv_lakehouse_file at;
	struct tv_catalog_entry entry;
	bool there;    /* the folder has it already */
	bool replaced; /* another file of this name stands there */
	bool moved;    /* it has its name (or has taken the other's place) */
};

/* The document of the list; owned by the caller. */
int tv_select_list(const struct tv_selection *s, const struct tv_sha *foundation, char **out,
		   struct tv_err *err);

/* Puts everything into the folder. */
int tv_select_copy(struct tv_lakehouse *l, const struct tv_select_how *how, struct tv_selection *s,
		   struct tv_err *err);

#endif
