/* What the commands of the data cycle share: settings, the lakehouse they work on, what comes after a
 * publishing. */
#ifndef TV_TOOLS_INGEST_CYCLE_H
#define TV_TOOLS_INGEST_CYCLE_H

#include "ingest/fetch.h"
#include "ingest/lakehouse.h"
#include "tools/cli.h"

struct tv_cycle {
	struct tv_cli *cli;
	struct tv_duck *duck;
	struct tv_lakehouse *lake;
	const char *folder; /* --folder, or NULL: the store */
	const char *ref;    /* of a store: --onto, else the settings' */

	/* The member "ingest" of the settings (docs/ingest.md). */
	int64_t fresh_ns, start_s;
	unsigned overlap_days;
	struct tv_fetch_limits limits;
	const cJSON *exchanges; /* or NULL */
};

/*
 * Opens DuckDB and the lakehouse that --folder or --onto name, and reads the settings: of the project
 * that the store belongs to, with --folder of the working directory (defaults when there are none).
 * -EINVAL names the setting.
 */
int tv_cycle_open(struct tv_cli *cli, struct tv_cycle *out);

/*
 * The same for reading alone: the commit of a revision (NULL: the settings' ref), which *rev is then; or what
 * --folder names, with which there is no revision (-TV_E_USAGE).
 */
int tv_cycle_open_rev(struct tv_cli *cli, const char *text, struct tv_cycle *out,
		      struct tv_rev *rev);

/* Only the settings, which cycle->cli has already, and --fresh and --deadline. */
int tv_cycle_settings(struct tv_cycle *cycle);

void tv_cycle_close(struct tv_cycle *cycle);
#define tv_autocycle __attribute__((cleanup(tv_cycle_close)))

/* A folder for what was fetched and is not published yet: its descriptor. */
int tv_cycle_spool(struct tv_cycle *cycle);

/* Brings the live folder to what was published, when it was published on the ref that it follows. Changes
 * that were made there stay: then a note says what to do. */
int tv_cycle_bring_live(struct tv_cycle *cycle, const struct tv_lakehouse_published *done);

/* Where the lakehouse stands now: lines of a table, or members of --json's document. A folder has neither. */
void tv_cycle_print_published(const struct tv_cycle *cycle,
			      const struct tv_lakehouse_published *done);
void tv_cycle_add_published(const struct tv_cycle *cycle, const struct tv_lakehouse_published *done,
			    cJSON *doc);

/* An option that is a whole number of at least 1; 0 when it is absent. */
int tv_cycle_count_option(struct tv_cli *cli, const char *name, unsigned long *out);

#endif
