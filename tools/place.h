/* "REV", "REV:PATH": the place in a foundation that a user means. */
#ifndef TV_TOOLS_PLACE_H
#define TV_TOOLS_PLACE_H

#include "tools/cli.h"

struct tv_place {
	struct tv_rev rev;
	char *rev_text, *path; /* owned; path is normalised, "" for the whole */
	struct tv_entry entry;
	struct tv_node *node; /* keeps entry.target alive; or NULL */
};

#define TV_PLACE_INIT ((struct tv_place){ .path = NULL })

/* Resolves text (NULL: the settings' ref). -ENOENT when the path is not there. */
int tv_place_find(struct tv_cli *cli, const char *text, struct tv_place *out);
void tv_place_free(struct tv_place *p);
#define tv_autoplace __attribute__((cleanup(tv_place_free)))

#endif
