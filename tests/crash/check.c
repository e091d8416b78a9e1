#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "check.h"
#include "store/base/cleanup.h"
#include "store/blob.h"
#include "store/commit.h"
#include "store/fsck.h"
#include "store/ref.h"
#include "store/store.h"
#include "store/worktree.h"

/* --- files -------------------------------------------------------------------------------------- */

/* Emptying a tmpfs takes longer than having a new one. */
static int fresh_mount(const char *root)
{
	umount2(root, MNT_DETACH); /* the last state's, if there was one */
	return mount("replayer", root, "tmpfs", 0, "mode=0755") ? -errno : 0;
}

static int write_file(int dirfd, const char *name, const uint8_t *data, size_t n, mode_t mode)
{
	tv_autoclose int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	while (n) {
		ssize_t put = write(fd, data, n);

		if (put < 0)
			return -errno;
		data += put;
		n -= (size_t)put;
	}
	return fchmod(fd, mode) ? -errno : 0;
}

static int write_dir(struct model *m, int dirfd, int dir, const char *only, bool files);

static bool has_names(const struct model *m, const struct node *dir)
{
	for (size_t i = 0; i < dir->n_slots; i++)
		if (m->slots[dir->slots[i]].now >= 0)
			return true;
	return false;
}

static int write_slot(struct model *m, int dirfd, const struct slot *s, const char *only,
		      bool files)
{
	const struct node *n = &m->nodes[s->now];
	mode_t mode = n->mode & 07777;
	size_t size;
	const uint8_t *data = model_data(m, s->now, &size);

	if (S_ISLNK(n->mode)) {
		char target[4096];

		snprintf(target, sizeof(target), "%.*s", (int)size, (const char *)data);
		return symlinkat(target, dirfd, s->name) ? -errno : 0;
	}
	if (S_ISREG(n->mode))
		return files ? write_file(dirfd, s->name, data, size, mode) : 0;
	if (!S_ISDIR(n->mode)) /* sockets of a mount that is no more */
		return 0;
	if (mkdirat(dirfd, s->name, 0700))
		return -errno;
	if (mode != 0700 && fchmodat(dirfd, s->name, mode, 0))
		return -errno;
	if (!has_names(m, n))
		return 0;
	tv_autoclose int fd = openat(dirfd, s->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write_dir(m, fd, s->now, NULL, files || (only && strcmp(only, s->name) == 0));
}

static int write_dir(struct model *m, int dirfd, int dir, const char *only, bool files)
{
	const struct node *d = &m->nodes[dir];

	for (size_t i = 0; i < d->n_slots; i++) {
		const struct slot *s = &m->slots[d->slots[i]];
		int rc = s->now < 0 ? 0 : write_slot(m, dirfd, s, only, files);

		if (rc)
			return rc;
	}
	return 0;
}

int check_write(struct model *m, const char *root, const char *only)
{
	int rc = fresh_mount(root);
	if (rc)
		return rc;
	tv_autoclose int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write_dir(m, fd, model_root(), only, !only);
}

/* --- the store ---------------------------------------------------------------------------------- */

struct first_damage {
	char text[400];
};

static int found(void *arg, const struct tv_finding *f)
{
	struct first_damage *d = arg;

	if (f->severity == TV_DAMAGE && !d->text[0])
		snprintf(d->text, sizeof(d->text), "fsck: %.300s%s%.80s", f->what,
			 f->path ? " " : "", f->path ? f->path : "");
	return 0;
}

static int read_entry(void *arg, const char *path, const struct tv_entry *e, struct tv_err *err)
{
	if (e->kind != TV_FILE)
		return 0;
	int rc = tv_blob_verify(arg, &e->addr, err);
	return rc ? tv_err_wrap(err, rc, "%s", path) : 0;
}

static int look_at_ref(struct tv_store *s, struct facts *out, struct tv_err *err)
{
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	struct tv_ref ref;
	int rc = tv_ref_get(s, "main", &ref, err);

	if (rc == -ENOENT)
		return 0;
	if (rc)
		return rc;
	tv_sha_hex(&ref.commit, out->ref);
	rc = tv_commit_get(s, &ref.commit, &c, err);
	if (rc)
		return rc;
	tv_sha_hex(&c.root.sha, out->foundation);
	return tv_tree_walk(tv_store_nodes(s), &c.root, read_entry, s, err);
}

static int look_at_live(struct tv_store *s, const char *live, struct facts *out, struct tv_err *err)
{
	struct tv_worktree w = { .dirfd = -1 };
	int rc = tv_worktree_open(s, live, &w, err);

	if (rc)
		return rc;
	if (w.has_base)
		tv_sha_hex(&w.base, out->base);
	tv_worktree_close(&w);
	return 0;
}

struct digest {
	XXH3_state_t *state;
};

/* Of a ref only its kind and commit count, of a commit its id, of what is in `meta` where history ends. */
static void add_row(struct digest *d, enum tv_table table, struct tv_bytes key,
		    struct tv_bytes value)
{
	if (table == TV_T_META && (key.len < 8 || memcmp(key.data, "shallow/", 8) != 0))
		return;
	XXH3_64bits_update(d->state, key.data, key.len);
	if (table == TV_T_REFS)
		XXH3_64bits_update(d->state, value.data, 33);
}

static int digest_rows(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	static const enum tv_table tables[] = { TV_T_REFS, TV_T_COMMITS, TV_T_META };

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		struct tv_bytes key, value;
		struct tv_kv_cursor *c;
		int rc = tv_kv_cursor_open(t, tables[i], &c, err);

		if (rc)
			return rc;
		rc = tv_kv_cursor_from(c, tv_bytes(NULL, 0), &key, &value, err);
		for (; rc == 1; rc = tv_kv_cursor_next(c, &key, &value, err))
			add_row(arg, tables[i], key, value);
		tv_kv_cursor_close(c);
		if (rc)
			return rc;
	}
	return 0;
}

static int look_at_history(struct tv_store *s, struct facts *out, struct tv_err *err)
{
	struct digest d = { XXH3_createState() };
	int rc;

	if (!d.state || XXH3_64bits_reset(d.state))
		return tv_err_nomem(err);
	rc = tv_kv_read(tv_store_kv(s), digest_rows, &d, err);
	snprintf(out->history, sizeof(out->history), "%016llx",
		 (unsigned long long)XXH3_64bits_digest(d.state));
	XXH3_freeState(d.state);
	return rc;
}

/* A blob's name promises its bytes, with or without a row: another publisher may be about to rely on a
 * file that this one has just put over its own. */
static int look_at_blob(int dirfd, const char *name, struct tv_err *err)
{
	uint8_t bytes[1 << 17];
	char hex[TV_ADDR_HEX];
	tv_autoclose int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));
	struct tv_addr addr = tv_addr_of(bytes, n < 0 ? 0 : (size_t)n);

	if (n < 0 || n == (ssize_t)sizeof(bytes))
		return tv_err_sys(err, -errno, "cannot read blob file %s", name);
	tv_addr_hex(&addr, hex);
	return strcmp(hex, name) == 0 ? 0 : tv_err_set(err, -EIO, "blob file %s is torn", name);
}

static int look_at_blobs(struct tv_store *s, struct tv_err *err)
{
	for (int i = 0; i < 256; i++) {
		char name[16];
		struct dirent *e;
		DIR *d;
		int fd, rc = 0;

		snprintf(name, sizeof(name), "blobs/%02x", (unsigned)i);
		fd = openat(tv_store_dirfd(s), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		d = fd < 0 ? NULL : fdopendir(fd);
		while (d && rc == 0 && (e = readdir(d)))
			if (strlen(e->d_name) == TV_ADDR_HEX - 1)
				rc = look_at_blob(dirfd(d), e->d_name, err);
		if (d)
			closedir(d);
		if (rc)
			return rc;
	}
	return 0;
}

static int look(struct tv_store *s, const char *live, struct facts *out, struct tv_err *err)
{
	struct first_damage damage = { "" };
	struct tv_fsck how = { .read_data = true, .found = found, .arg = &damage };
	struct tv_fsck_figures figures = { 0 };
	int rc = tv_fsck(s, &how, &figures, err);

	if (damage.text[0])
		return tv_err_set(err, -TV_E_DAMAGED, "%s", damage.text);
	if (rc)
		return tv_err_wrap(err, rc, "fsck");
	rc = look_at_ref(s, out, err);
	if (rc)
		return tv_err_wrap(err, rc, "main");
	rc = look_at_history(s, out, err);
	if (rc)
		return tv_err_wrap(err, rc, "history");
	rc = look_at_blobs(s, err);
	if (rc)
		return rc;
	rc = look_at_live(s, live, out, err);
	return rc ? tv_err_wrap(err, rc, "live folder") : 0;
}

static void no_facts(struct facts *out)
{
	memcpy(out->ref, "-", 2);
	memcpy(out->base, "-", 2);
	memcpy(out->foundation, "-", 2);
	memcpy(out->history, "-", 2);
}

int check_store(const char *root, const char *live, struct facts *out, char *message, size_t n)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_store *s = NULL;
	char folder[4200], folder2[4200];
	int rc;

	no_facts(out);
	snprintf(folder, sizeof(folder), "%s/.tvfs", root);
	snprintf(folder2, sizeof(folder2), "%s/%s", root, live);
	rc = tv_store_open(folder, &s, &err);
	if (rc) {
		snprintf(message, n, "the store does not open: %s", err.text);
		return -1;
	}
	rc = look(s, folder2, out, &err);
	if (rc)
		snprintf(message, n, "%s", err.text);
	tv_store_close(s);
	return rc ? -1 : 0;
}

int check_command(const char *root, const char *command, struct facts *out, char *message, size_t n)
{
	char line[8192], text[512], more[512];
	const char *last = text;
	FILE *f;
	size_t got;
	int status;

	no_facts(out);
	snprintf(line, sizeof(line), "cd '%s' && { %s; } 2>&1", root, command);
	f = popen(line, "re"); /* NOLINT(cert-env33-c): a test's own command */
	if (!f)
		return -1;
	got = fread(text, 1, sizeof(text) - 1, f);
	text[got] = '\0';
	/* to the end: the command would fail if nobody read what it says */
	while ((got = fread(more, 1, sizeof(more) - 1, f)) > 0) {
		more[got] = '\0';
		last = more;
	}
	status = pclose(f);
	if (status) {
		snprintf(message, n, "status %d: %s", status, last);
		return -1;
	}
	sscanf(text, "%79s %79s %79s", out->ref, out->base, out->foundation);
	return 0;
}
