/*
 * Keys of data sources. They come from the environment or from a file that nobody else may read,
 * never from arguments. They live in one mapping of their own that no core dump has, that a forked
 * child finds empty and that is wiped before it goes. Texts that leave the program pass
 * tv_secrets_redact. Not thread-safe while keys are added; reading may be shared afterwards.
 *
 * What a key is copied into on its way to the network (libcurl's buffers) is not in that mapping:
 * tv_secrets_guard_process is for that.
 */
#ifndef TV_INGEST_SECRET_H
#define TV_INGEST_SECRET_H

#include <stddef.h>

#include "store/base/err.h"

#define TV_SECRET_MIN 4	   /* bytes; a shorter one could not be told from ordinary text */
#define TV_SECRET_MAX 4096 /* bytes */
#define TV_SECRETS_MAX 32  /* keys in a set */

struct tv_secrets;

int tv_secrets_new(struct tv_secrets **out, struct tv_err *err);
void tv_secrets_free(struct tv_secrets *s); /* wipes; NULL is fine */

/* Adds a key under a name. -TV_E_MISSING when the variable is not set, -EINVAL for a value that is
 * too short or has control characters, -EEXIST for a name that is taken. */
int tv_secrets_add_env(struct tv_secrets *s, const char *name, const char *variable,
		       struct tv_err *err);

/* The same from a file's first line. -EACCES when others than its owner may read or write it, when
 * it belongs to somebody else or is not a regular file. Links are not followed. */
int tv_secrets_add_file(struct tv_secrets *s, const char *name, const char *path,
			struct tv_err *err);

/* The key, or NULL; and as it stands in a URL (percent-encoded). Valid until the set is freed. */
const char *tv_secrets_get(const struct tv_secrets *s, const char *name);
const char *tv_secrets_get_encoded(const struct tv_secrets *s, const char *name);

/* Replaces every key in the text by "***" in place (which never makes it longer): as it is, percent-encoded,
 * escaped as in JSON, and cut off by the text's end. Either may be NULL. */
void tv_secrets_redact(const struct tv_secrets *s, char *text);

/* The same for bytes that may hold NULs; the new length. */
size_t tv_secrets_redact_bytes(const struct tv_secrets *s, char *bytes, size_t n);

/* Makes this process undumpable: no core file, and no other process of the user can attach to it or
 * read its memory. Programs that it starts are not affected. */
int tv_secrets_guard_process(struct tv_err *err);

/* Wipes a string and frees it. NULL is fine. */
void tv_secret_free_text(char *text);

static inline void tv_secrets_free_p(struct tv_secrets **s)
{
	tv_secrets_free(*s);
}

#endif
