#include "store/lease.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/commit.h"

/* --- processes ------------------------------------------------------------------------------- */

static int boot_id(char out[37], struct tv_err *err)
{
	tv_autofree char *text = NULL;
	size_t n;
	int r = tv_io_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &text, &n, err);
	if (r < 0)
		return tv_err_wrap(err, r, "is /proc mounted?");
	if (n < 36)
		return tv_err_set(err, -EIO, "the kernel's boot id is malformed");
	memcpy(out, text, 36);
	out[36] = '\0';
	return 0;
}

/* Start time from /proc/PID/stat. -ESRCH when there is no such process, or only its remains: a
 * zombie holds nothing any more, unless it is a main thread that ended before the others. */
static int start_ticks(pid_t pid, uint64_t *ticks)
{
	tv_autofree char *text = NULL;
	char path[32], state;
	long threads;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int r = tv_io_read_file(AT_FDCWD, path, 8192, &text, NULL, NULL);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	/* The name stands in parentheses and may contain anything. Fields are numbered from 1. */
	const char *rest = strrchr(text, ')');
	if (!rest || sscanf(rest + 1,
			    " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
			    "%ld %*s %" SCNu64,
			    &state, &threads, ticks) != 3)
		return -EIO;
	return (state == 'Z' || state == 'X') && threads <= 1 ? -ESRCH : 0;
}

int tv_process_of(pid_t pid, struct tv_process *out, struct tv_err *err)
{
	struct tv_process p = { .pid = pid };
	int r = boot_id(p.boot_id, err);
	if (r < 0)
		return r;
	r = start_ticks(pid, &p.start_ticks);
	if (r < 0)
		return tv_err_sys(err, r, "cannot look at process %d", (int)pid);
	*out = p;
	return 0;
}

int tv_process_self(struct tv_process *out, struct tv_err *err)
{
	return tv_process_of(getpid(), out, err);
}

bool tv_process_alive(const struct tv_process *p)
{
	char boot[37];
	uint64_t ticks;

	if (p->pid <= 0 || (boot_id(boot, NULL) == 0 && strcmp(boot, p->boot_id) != 0))
		return false;
	int r = start_ticks(p->pid, &ticks);
	if (r == 0)
		return ticks == p->start_ticks;
	if (r != -ESRCH)
		return true; /* in doubt it lives: what it holds is kept */
	/* /proc may hide other users' processes (hidepid). A zombie of our own also answers to
	 * kill, but then we may look. */
	return kill(p->pid, 0) < 0 && errno == EPERM;
}

/* --- rows ------------------------------------------------------------------------------------ */

#define LEASE_FIXED 92 /* commit, pid, start ticks, boot id, time */

static void encode(struct tv_buf *b, const struct tv_lease *l)
{
	tv_buf_add(b, l->commit.b, sizeof(l->commit.b));
	tv_buf_add_le64(b, (uint64_t)l->owner.pid);
	tv_buf_add_le64(b, l->owner.start_ticks);
	tv_buf_add(b, l->owner.boot_id, 36);
	tv_buf_add_le64(b, (uint64_t)l->time_ns);
	tv_buf_add_u8(b, (uint8_t)strlen(l->kind));
	tv_buf_add_str(b, l->kind);
	tv_buf_add_str(b, l->run_id);
}

static int decode(struct tv_bytes key, struct tv_bytes row, struct tv_lease *out,
		  struct tv_err *err)
{
	const uint8_t *p = row.data;
	size_t kind = row.len > LEASE_FIXED ? p[LEASE_FIXED] : SIZE_MAX;
	struct tv_lease l = { .time_ns = 0 };

	if (key.len >= sizeof(l.id) || kind >= sizeof(l.kind) || row.len < LEASE_FIXED + 1 + kind ||
	    row.len - LEASE_FIXED - 1 - kind >= sizeof(l.run_id))
		return tv_err_set(err, -TV_E_DAMAGED, "a lease is damaged; run tvfs fsck");
	memcpy(l.id, key.data, key.len);
	memcpy(l.commit.b, p, 32);
	l.owner.pid = (pid_t)tv_le64(p + 32);
	l.owner.start_ticks = tv_le64(p + 40);
	memcpy(l.owner.boot_id, p + 48, 36);
	l.time_ns = (int64_t)tv_le64(p + 84);
	memcpy(l.kind, p + LEASE_FIXED + 1, kind);
	memcpy(l.run_id, p + LEASE_FIXED + 1 + kind, row.len - LEASE_FIXED - 1 - kind);
	*out = l;
	return 0;
}

static struct tv_bytes id_key(const char *id)
{
	return tv_bytes(id, strlen(id));
}

static int take_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct tv_lease *l = arg;
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;

	int r = tv_commit_get_in(t, &l->commit, &c, err);
	if (r < 0)
		return r;
	encode(&b, l);
	if (b.failed)
		return tv_err_nomem(err);
	return tv_kv_put(t, TV_T_LEASES, id_key(l->id), tv_bytes(b.data, b.len), err);
}

int tv_lease_take(struct tv_store *s, const struct tv_sha *commit, const char *kind,
		  const char *run_id, const struct tv_process *owner, struct tv_lease *out,
		  struct tv_err *err)
{
	struct tv_lease l = { .commit = *commit, .time_ns = tv_now_ns() };
	run_id = run_id ? run_id : "";
	if (strlen(kind) >= sizeof(l.kind) || strlen(run_id) >= sizeof(l.run_id))
		return tv_err_set(err, -EINVAL, "a lease's kind or run id is too long");
	memcpy(l.kind, kind, strlen(kind));
	memcpy(l.run_id, run_id, strlen(run_id));

	int r = tv_uuid7(l.id, err);
	if (r == 0 && owner)
		l.owner = *owner;
	else if (r == 0)
		r = tv_process_self(&l.owner, err);
	if (r == 0)
		r = tv_kv_write(tv_store_kv(s), take_body, &l, err);
	if (r == 0 && out)
		*out = l;
	return r;
}

static int drop_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	int r = tv_kv_del(t, TV_T_LEASES, id_key(arg), err);
	return r < 0 ? r : 0;
}

int tv_lease_drop(struct tv_store *s, const char *id, struct tv_err *err)
{
	char copy[TV_SHA_HEX];
	size_t n = strlen(id);
	if (n == 0 || n >= sizeof(copy))
		return 0;
	memcpy(copy, id, n + 1);
	return tv_kv_write(tv_store_kv(s), drop_body, copy, err);
}

/* --- listing --------------------------------------------------------------------------------- */

struct leases {
	struct tv_lease *leases;
	size_t len, cap;
};

static int add_lease(struct leases *all, struct tv_bytes key, struct tv_bytes row,
		     struct tv_err *err)
{
	if (all->len == all->cap) {
		size_t cap = all->cap ? all->cap * 2 : 16;
		struct tv_lease *grown = realloc(all->leases, cap * sizeof(*grown));
		if (!grown)
			return tv_err_nomem(err);
		all->leases = grown;
		all->cap = cap;
	}
	int r = decode(key, row, &all->leases[all->len], err);
	if (r == 0)
		all->len++;
	return r;
}

static int list_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct leases *all = arg;
	struct tv_kv_cursor *c;
	struct tv_bytes key, row;

	int r = tv_kv_cursor_open(t, TV_T_LEASES, &c, err);
	if (r < 0)
		return r;
	r = tv_kv_cursor_from(c, tv_bytes(NULL, 0), &key, &row, err);
	while (r == 1) {
		r = add_lease(all, key, row, err);
		if (r == 0)
			r = tv_kv_cursor_next(c, &key, &row, err);
	}
	tv_kv_cursor_close(c);
	return r;
}

int tv_lease_each(struct tv_store *s,
		  int (*visit)(void *arg, const struct tv_lease *l, bool alive, struct tv_err *err),
		  void *arg, struct tv_err *err)
{
	struct leases all = { .leases = NULL };
	int r = tv_kv_read(tv_store_kv(s), list_body, &all, err);
	for (size_t i = 0; r == 0 && i < all.len; i++) {
		const struct tv_lease *l = &all.leases[i];
		r = visit(arg, l, tv_process_alive(&l->owner), err);
	}
	free(all.leases);
	return r;
}

/* Dead processes do not come back, so what each_ found to be stale still is. */
static int drop_stale_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct leases *stale = arg;
	int r = 0;
	for (size_t i = 0; r >= 0 && i < stale->len; i++)
		r = tv_kv_del(t, TV_T_LEASES, id_key(stale->leases[i].id), err);
	return r < 0 ? r : 0;
}

int tv_lease_prune(struct tv_store *s, unsigned *dropped, struct tv_err *err)
{
	struct leases all = { .leases = NULL };
	int r = tv_kv_read(tv_store_kv(s), list_body, &all, err);
	size_t stale = 0;
	for (size_t i = 0; i < all.len; i++)
		if (!tv_process_alive(&all.leases[i].owner))
			all.leases[stale++] = all.leases[i];
	all.len = stale;
	if (r == 0 && stale)
		r = tv_kv_write(tv_store_kv(s), drop_stale_body, &all, err);
	if (r == 0 && dropped)
		*dropped = (unsigned)stale;
	free(all.leases);
	return r;
}
