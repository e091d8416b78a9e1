/* Writing a state out as files, and what a store in it says. */
#ifndef TV_CRASH_CHECK_H
#define TV_CRASH_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "model.h"

struct facts {
	char ref[80];	     /* the commit that main stands at, or "-" */
	char base[80];	     /* the commit that the live folder was synced to, or "-" */
	char foundation[80]; /* main's, or "-" */
	char history
		[80]; /* a digest of all refs, of which commits there are, and where history ends */
};

/* Mounts a tmpfs over `root` and makes it what the current state says. With `only`, other top folders
 * than that one get no files. 0 or -errno. */
int check_write(struct model *m, const char *root, const char *only);

/* Opens <root>/.tvfs, runs fsck with all data, reads every blob that main's commit names. 0, or -1
 * and a message. */
int check_store(const char *root, const char *live, struct facts *out, char *message, size_t n);

/* Asks a shell command, run in root, that prints ref, base and foundation. The same results. */
int check_command(const char *root, const char *command, struct facts *out, char *message,
		  size_t n);

#endif
