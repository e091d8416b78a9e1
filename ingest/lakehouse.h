/*
 * A lakehouse as the data cycle sees it: a ref of a store, or a plain folder. What is put into it is
 * staged, and shows only when all of it is published.
 *
 * A store: files are read as they stood when it was opened; everything staged is one commit (publish.h). Others may publish meanwhile: paths that only
 * one side changed are merged; for the rest `rebase` is asked.
 *
 * A folder: each file is replaced atomically, tables (put as bytes) after all other files, so that a
 * kill leaves a table that is older than the files, never one that tells of files that are not there.
 * Publishers take turns by flock on the folder; what changed since it was opened is asked of
 * `rebase`, too.
 *
 * Not thread-safe. Paths are normalised and relative to the lakehouse.
 */
#ifndef TV_INGEST_LAKEHOUSE_H
#define TV_INGEST_LAKEHOUSE_H

#include <stdbool.h>
#include <stddef.h>

#include "store/ref.h"

struct tv_lakehouse;

/* Where a ref stands; one that does not exist yet is an empty lakehouse, and is made by the first
 * publishing. A lease keeps the commit from gc until the lakehouse is freed. */
int tv_lakehouse_of_store(struct tv_store *store, const char *ref, struct tv_lakehouse **out,
			  struct tv_err *err);

/* A commit, for reading: publishing into it is -EROFS. A lease keeps it, as above. -ENOENT. */
int tv_lakehouse_of_commit(struct tv_store *store, const struct tv_sha *commit,
			   struct tv_lakehouse **out, struct tv_err *err);

/* -ENOENT, -ENOTDIR. */
int tv_lakehouse_of_folder(const char *path, struct tv_lakehouse **out, struct tv_err *err);

/* A foundation by its top entry, for reading: what a commit holds, or what is about to be published.
 * Nothing keeps it from gc but what the caller holds; store and nodes must live as long. */
int tv_lakehouse_of_tree(struct tv_store *store, const struct tv_node_source *nodes,
			 const struct tv_entry *root, struct tv_lakehouse **out,
			 struct tv_err *err);

/* The foundation that a run's view at `path` shows, for reading, from inside of the run, where there is no
 * store. What the run itself has written is not there (-ENOENT). -EINVAL: `path` shows no view, or one of
 * another foundation. */
int tv_lakehouse_of_view(const char *path, const struct tv_sha *foundation,
			 struct tv_lakehouse **out, struct tv_err *err);

/* Drops what is staged and not published. NULL is fine. */
void tv_lakehouse_free(struct tv_lakehouse *l);
static inline void tv_lakehouse_free_p(struct tv_lakehouse **l)
{
	tv_lakehouse_free(*l);
}

/* --- reading ----------------------------------------------------------------------------------- */

/* A file, open for reading; the caller closes. What is staged is not seen. -ENOENT. */
int tv_lakehouse_open(struct tv_lakehouse *l, const char *path, struct tv_err *err);

/* The same for a table that is going to be put (put_bytes): how it is now is remembered. */
int tv_lakehouse_open_table(struct tv_lakehouse *l, const char *path, struct tv_err *err);

/* Within `rebase`: a table as it was before others published. -ENOENT. */
int tv_lakehouse_open_before(struct tv_lakehouse *l, const char *path, struct tv_err *err);

struct tv_lakehouse_file {
	uint64_t size;
	int64_t mtime_ns;
	bool stored; /* what follows is known */
	struct tv_addr blob;
	struct tv_sha sha;
};

/* What is known of a file without looking into it. -ENOENT; -EINVAL: no file. */
int tv_lakehouse_stat(struct tv_lakehouse *l, const char *path, struct tv_lakehouse_file *out,
		      struct tv_err *err);

/* The digest of a file's bytes; of a folder's file it is computed. -ENOENT. */
int tv_lakehouse_sha(struct tv_lakehouse *l, const char *path, struct tv_sha *out,
		     struct tv_err *err);

/* The names in the lakehouse's top folder, in byte order. visit's non-zero return ends. */
int tv_lakehouse_each(struct tv_lakehouse *l,
		      int (*visit)(void *arg, const char *name, struct tv_err *err), void *arg,
		      struct tv_err *err);

/* --- staging ----------------------------------------------------------------------------------- */

/* A lakehouse that is only for reading refuses all that follows: -EROFS. */

/* Stages all bytes of a descriptor (from its start) as a file. *sha (nullable) gets their digest. Bytes
 * that the file has already stage nothing; *changed (nullable) is false then. Staging again replaces. */
int tv_lakehouse_put(struct tv_lakehouse *l, const char *path, int fd, struct tv_sha *sha,
		     bool *changed, struct tv_err *err);

/* The same for a file that was made with O_TMPFILE, and that nobody writes to any more: in a store it becomes the blob
 * without a copy. */
int tv_lakehouse_give(struct tv_lakehouse *l, const char *path, int fd, struct tv_err *err);

/* The same for a table that several ingestions write: kept in memory, published last. */
int tv_lakehouse_put_bytes(struct tv_lakehouse *l, const char *path, const void *bytes, size_t n,
			   bool *changed, struct tv_err *err);

/* Stages a removal; of a file that is not there, nothing. */
int tv_lakehouse_remove(struct tv_lakehouse *l, const char *path, struct tv_err *err);

/* Forgets what is staged for a path. */
void tv_lakehouse_drop(struct tv_lakehouse *l, const char *path);

size_t tv_lakehouse_staged(const struct tv_lakehouse *l); /* how many paths */

/* --- publishing -------------------------------------------------------------------------------- */

struct tv_lakehouse_publish {
	const char *author, *message, *trace_id; /* NULL: "" */
	const char *meta; /* a JSON object, or NULL; a folder has no place for it */
	/* Others changed `paths`, which are staged. It stages anew what can be merged and drops what
	 * cannot; reading sees their files now. It may be called several times. Negative ends. */
	int (*rebase)(void *arg, struct tv_lakehouse *l, char *const *paths, size_t n,
		      struct tv_err *err);
	void *arg;
};

struct tv_lakehouse_published {
	bool unchanged; /* nothing was staged, or nothing different: nothing was done */
	bool merged;	/* others had published meanwhile */
	struct tv_sha commit, foundation; /* of a store */
};

/* Publishes what is staged. Afterwards the lakehouse can only be freed. -TV_E_CONFLICT when there is no
 * `rebase`; -TV_E_LOCKED when others keep winning; a folder that fails half-way says what was done. */
int tv_lakehouse_publish(struct tv_lakehouse *l, const struct tv_lakehouse_publish *how,
			 struct tv_lakehouse_published *out, struct tv_err *err);

#endif
