/*
 * The small transactional tables below the store. The only file that knows LMDB is kv.c.
 *
 * Many processes and threads may use one environment. A read transaction is begun and ended inside
 * one call of this module's callers and never outlives it; pointers into the map (tv_kv_get, cursors)
 * live until their transaction ends or, in a write transaction, until the next write: callers copy
 * what they keep. Writers queue on LMDB's own lock. A committed write transaction is durable.
 * The map grows by itself: tv_kv_write re-runs its body after growing, so bodies must have no
 * effect outside the transaction that they could not repeat. Stale readers are cleared.
 * A body uses its own transaction. A tv_kv_read that a body nevertheless reaches (through a node
 * source) joins the transaction of its thread, so it sees what that has written; a tv_kv_write
 * there is -EDEADLK. Bodies never wait for another thread or process.
 * An environment must not be used after fork().
 */
#ifndef TV_STORE_KV_H
#define TV_STORE_KV_H

#include <stddef.h>
#include <stdint.h>

#include "store/base/err.h"

/* The tables. Keys of every table are byte strings of at most 511 bytes, in memcmp order. */
enum tv_table {
	TV_T_META,		/* name -> bytes: version counters, gc epoch */
	TV_T_NODES,		/* address -> node bytes */
	TV_T_BLOBS,		/* address -> blob row */
	TV_T_COMMITS,		/* commit id -> commit bytes */
	TV_T_FOUNDATIONS,	/* foundation hash ++ sequence (be64) -> commit id */
	TV_T_SEQUENCE,		/* sequence (be64) -> commit id */
	TV_T_REFS,		/* name -> ref row */
	TV_T_REFLOG,		/* name NUL number (be64) -> reflog row */
	TV_T_LEASES,		/* lease id -> lease row */
	TV_T_RUNS,		/* run id -> run record (JSON) */
	TV_T_RUN_BY_FOUNDATION, /* foundation hash ++ run id -> nothing */
	TV_T_WORKTREES,		/* worktree id -> worktree row */
	TV_T_IMPORT,		/* worktree id ++ folder hash ++ name -> import cache row */
	TV_T_PATHS, /* path hash ++ sequence (be64) -> path version row; sequence (be64) ++ chunk
			 * (be32) -> path hashes of that commit's rows */
	TV_T_VERDICTS, /* blob address -> what its judges found; a hint. Stores may lack it: see below */
	TV_T_COUNT
};

struct tv_kv;	  /* an environment */
struct tv_kv_txn; /* a transaction; one thread */

struct tv_bytes {
	const void *data;
	size_t len;
};

static inline struct tv_bytes tv_bytes(const void *data, size_t len)
{
	return (struct tv_bytes){ data, len };
}

/* Makes the environment in folder `path` (made when absent: 0700, or 02770 when mode has group
 * bits) with its tables, all durable. mode: of the data and lock files, whatever the umask is. */
int tv_kv_create(const char *path, unsigned mode, struct tv_err *err);
/* The same with another initial size of the map: for tests of its growth. */
int tv_kv_create_sized(const char *path, unsigned mode, size_t map_bytes, struct tv_err *err);

/* A table that came after format 1 was fixed is made when an older store is opened. Where that cannot be
 * done (a full disk) it reads as empty, and tv_kv_put into it is -EOPNOTSUPP: it must hold hints only. */

/* Opens it. A second open in one process shares the first one's environment (LMDB's locks belong to
 * the process): close as often as open. -TV_E_DAMAGED when the data file is missing, cut or not
 * LMDB's; -TV_E_VERSION; -EROFS or -EACCES when its lock file cannot be written. */
int tv_kv_open(const char *path, unsigned mode, struct tv_kv **out, struct tv_err *err);
void tv_kv_close(struct tv_kv *kv);

/* Runs body in a read transaction and returns its value. */
int tv_kv_read(struct tv_kv *kv, int (*body)(struct tv_kv_txn *t, void *arg, struct tv_err *err),
	       void *arg, struct tv_err *err);

/* Runs body in the write transaction: commits (durably) when it returns 0, else aborts and returns
 * its value. Body may run more than once (map growth). When the commit itself fails nothing of it
 * is visible, and no further write is taken from this handle (-EIO): a failed sync is not retried. */
int tv_kv_write(struct tv_kv *kv, int (*body)(struct tv_kv_txn *t, void *arg, struct tv_err *err),
		void *arg, struct tv_err *err);

/* 1 found, 0 not found, -errno. */
int tv_kv_get(struct tv_kv_txn *t, enum tv_table table, struct tv_bytes key, struct tv_bytes *value,
	      struct tv_err *err);
int tv_kv_put(struct tv_kv_txn *t, enum tv_table table, struct tv_bytes key, struct tv_bytes value,
	      struct tv_err *err);
/* Puts only when the key is new: 1 put, 0 there already (nothing changed), -errno. */
int tv_kv_put_new(struct tv_kv_txn *t, enum tv_table table, struct tv_bytes key,
		  struct tv_bytes value, struct tv_err *err);
/* 1 deleted, 0 was not there, -errno. */
int tv_kv_del(struct tv_kv_txn *t, enum tv_table table, struct tv_bytes key, struct tv_err *err);

/* A cursor lives inside its transaction. */
struct tv_kv_cursor;
int tv_kv_cursor_open(struct tv_kv_txn *t, enum tv_table table, struct tv_kv_cursor **out,
		      struct tv_err *err);
void tv_kv_cursor_close(struct tv_kv_cursor *c);
/* First pair with key >= from (from.len 0: the first of all) / the next / the last pair whose key is
 * < before (before.len 0: the last of all) / the previous. 1, 0 at the end, -errno. */
int tv_kv_cursor_from(struct tv_kv_cursor *c, struct tv_bytes from, struct tv_bytes *key,
		      struct tv_bytes *value, struct tv_err *err);
int tv_kv_cursor_next(struct tv_kv_cursor *c, struct tv_bytes *key, struct tv_bytes *value,
		      struct tv_err *err);
int tv_kv_cursor_before(struct tv_kv_cursor *c, struct tv_bytes before, struct tv_bytes *key,
			struct tv_bytes *value, struct tv_err *err);
int tv_kv_cursor_prev(struct tv_kv_cursor *c, struct tv_bytes *key, struct tv_bytes *value,
		      struct tv_err *err);

/* Figures for doctor, fsck and stats. */
struct tv_kv_stat {
	uint64_t entries[TV_T_COUNT];
	uint64_t map_bytes, used_bytes;
	unsigned readers, max_readers;
};
int tv_kv_stat(struct tv_kv *kv, struct tv_kv_stat *out, struct tv_err *err);

/* Big-endian numbers for keys. */
void tv_be64_put(uint8_t out[8], uint64_t v);
uint64_t tv_be64_get(const uint8_t in[8]);

#endif
