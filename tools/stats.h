/* What `tvfs stats` has found out, and the two forms in which it is printed besides JSON. */
#ifndef TV_TOOLS_STATS_H
#define TV_TOOLS_STATS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>

#include "fs/figures.h"

/* A live run or mount. */
struct tv_stats_row {
	cJSON *entry; /* who and where, as `ps` tells it; owned */
	int sock;     /* the answer comes here; -1 */
	bool answered;
	char why_not[256]; /* it did not answer because … */
	struct tv_figures figures;
};

struct tv_stats_rows {
	struct tv_stats_row **row; /* owned, as each of them */
	size_t len;
};

void tv_stats_text(FILE *out, const struct tv_stats_rows *rows);

/* The text exposition format of Prometheus, version 0.0.4. No label says which run or mount it was: labels
 * whose values never end would fill the database that reads them. So several are summed. -ENOMEM. */
int tv_stats_prometheus(FILE *out, const struct tv_stats_rows *rows);

#endif
