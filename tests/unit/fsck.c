#include "live.h"

#include <signal.h>
#include <sys/prctl.h>

#include "store/lease.h"
#include "store/runrec.h"

/* What a store is made of before something is broken in it: three commits of a tree in which one blob
 * stands at two paths, a tag, a run, a live folder. */
struct sample {
	struct live l;
	struct tv_sha first, last;
	struct tv_entry root, shared; /* of the last commit; the blob at "a" and "d/copy" */
	struct tv_entry dir;	      /* "d" */
};

static void make_sample(struct sample *m, struct fixture *f)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_sha foundation;
	live_open(&m->l, f);
	put(&m->l, "a", "shared");
	put(&m->l, "d/copy", "shared");
	put(&m->l, "d/other", "other");
	m->first = import_all(&m->l).commit;
	put(&m->l, "e", "2");
	import_all(&m->l);
	put(&m->l, "e", "3");
	struct tv_published out = import_all(&m->l);
	m->last = out.commit;
	m->root = out.root;
	foundation = out.foundation;
	ok(tv_tree_lookup(tv_store_nodes(f->store), &m->root, "a", &m->shared, NULL, &err));
	ok(tv_tree_lookup(tv_store_nodes(f->store), &m->root, "d", &m->dir, NULL, &err));
	ok(tv_ref_move(f->store, "v1", TV_REF_TAG, NULL, &m->first, "a", "", &err));
	ok(tv_run_create(f->store, "run-1", &m->last, &foundation, NULL, NULL, &err));
}

/* --- ways to break it -------------------------------------------------------------------------- */

struct change {
	enum tv_table table;
	struct tv_bytes key;
	const void *value; /* NULL: delete */
	size_t n;
};

static int change_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct change *c = arg;
	if (c->value)
		return tv_kv_put(t, c->table, c->key, tv_bytes(c->value, c->n), err);
	int r = tv_kv_del(t, c->table, c->key, err);
	return r < 0 ? r : r == 1 ? 0 : -ENOENT;
}

static void change_row(struct tv_store *s, enum tv_table table, const void *key, size_t n,
		       const void *value, size_t value_len)
{
	struct tv_err err = TV_ERR_INIT;
	struct change c = { table, tv_bytes(key, n), value, value_len };
	ok(tv_kv_write(tv_store_kv(s), change_body, &c, &err));
}

struct copy {
	enum tv_table table;
	const void *key;
	size_t n;
	uint8_t bytes[4096];
	size_t len;
};

static int copy_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct copy *c = arg;
	struct tv_bytes value;
	int r = tv_kv_get(t, c->table, tv_bytes(c->key, c->n), &value, err);
	is(r == 1 && value.len <= sizeof(c->bytes));
	memcpy(c->bytes, value.data, value.len);
	c->len = value.len;
	return 0;
}

/* Turns one bit of a row's value. */
static void flip_row(struct tv_store *s, enum tv_table table, const void *key, size_t n, size_t at)
{
	struct tv_err err = TV_ERR_INIT;
	struct copy c = { .table = table, .key = key, .n = n };
	ok(tv_kv_read(tv_store_kv(s), copy_body, &c, &err));
	c.bytes[at < c.len ? at : c.len - 1] ^= 1;
	change_row(s, table, key, n, c.bytes, c.len);
}

static void blob_file(const struct sample *m, char out[256])
{
	char path[TV_BLOB_PATH];
	tv_blob_path(&m->shared.addr, path);
	snprintf(out, 256, "%s/blobs/%s", m->l.f->folder, path);
}

static void blob_gone(struct sample *m)
{
	char path[256];
	blob_file(m, path);
	is(unlink(path) == 0);
}

static void blob_cut(struct sample *m)
{
	char path[256];
	blob_file(m, path);
	is(chmod(path, 0600) == 0 && truncate(path, 3) == 0 && chmod(path, 0400) == 0);
}

static void blob_rotten(struct sample *m)
{
	char path[256];
	blob_file(m, path);
	is(chmod(path, 0600) == 0);
	int fd = open(path, O_WRONLY);
	is(fd >= 0 && pwrite(fd, "S", 1, 0) == 1);
	close(fd);
	is(chmod(path, 0400) == 0);
}

static void blob_writable(struct sample *m)
{
	char path[256];
	blob_file(m, path);
	is(chmod(path, 0644) == 0);
}

static void blob_link(struct sample *m)
{
	char path[256];
	blob_file(m, path);
	is(unlink(path) == 0 && symlink("/etc/passwd", path) == 0);
}

static void blob_row_gone(struct sample *m)
{
	change_row(m->l.f->store, TV_T_BLOBS, m->shared.addr.b, 16, NULL, 0);
}

static void blob_row_flipped(struct sample *m)
{
	flip_row(m->l.f->store, TV_T_BLOBS, m->shared.addr.b, 16, 0);
}

static void blob_row_cut(struct sample *m)
{
	change_row(m->l.f->store, TV_T_BLOBS, m->shared.addr.b, 16, "x", 1);
}

static void blob_condemned(struct sample *m)
{
	struct tv_err err = TV_ERR_INIT;
	struct copy c = { .table = TV_T_BLOBS, .key = m->shared.addr.b, .n = 16 };
	ok(tv_kv_read(tv_store_kv(m->l.f->store), copy_body, &c, &err));
	c.bytes[40] = 1;
	change_row(m->l.f->store, TV_T_BLOBS, m->shared.addr.b, 16, c.bytes, c.len);
}

static void node_gone(struct sample *m)
{
	change_row(m->l.f->store, TV_T_NODES, m->dir.addr.b, 16, NULL, 0);
}

static void node_flipped(struct sample *m)
{
	flip_row(m->l.f->store, TV_T_NODES, m->dir.addr.b, 16, 60);
}

static void root_gone(struct sample *m)
{
	change_row(m->l.f->store, TV_T_NODES, m->root.addr.b, 16, NULL, 0);
}

static void commit_flipped(struct sample *m)
{
	flip_row(m->l.f->store, TV_T_COMMITS, m->last.b, 32, 100);
}

static void parent_gone(struct sample *m)
{
	change_row(m->l.f->store, TV_T_COMMITS, m->first.b, 32, NULL, 0);
}

static void foundation_row_gone(struct sample *m)
{
	uint8_t key[40];
	memcpy(key, m->root.sha.b, 32);
	tv_be64_put(key + 32, 3);
	change_row(m->l.f->store, TV_T_FOUNDATIONS, key, 40, NULL, 0);
}

static void foundation_row_extra(struct sample *m)
{
	uint8_t key[40] = { 9 };
	change_row(m->l.f->store, TV_T_FOUNDATIONS, key, 40, m->last.b, 32);
}

static void sequence_row_gone(struct sample *m)
{
	uint8_t key[8];
	tv_be64_put(key, 2);
	change_row(m->l.f->store, TV_T_SEQUENCE, key, 8, NULL, 0);
}

static void sequence_row_extra(struct sample *m)
{
	uint8_t key[8], id[32] = { 1 };
	tv_be64_put(key, 77);
	change_row(m->l.f->store, TV_T_SEQUENCE, key, 8, id, 32);
}

static void counter_behind(struct sample *m)
{
	uint8_t value[8];
	tv_be64_put(value, 1);
	change_row(m->l.f->store, TV_T_META, "sequence", 8, value, 8);
}

static void ref_astray(struct sample *m)
{
	flip_row(m->l.f->store, TV_T_REFS, "v1", 2, 1);
}

static void ref_malformed(struct sample *m)
{
	change_row(m->l.f->store, TV_T_REFS, "v1", 2, "?", 1);
}

static void run_malformed(struct sample *m)
{
	change_row(m->l.f->store, TV_T_RUNS, "run-1", 5, "{", 1);
}

static void run_index_gone(struct sample *m)
{
	tv_autobuf struct tv_buf key = TV_BUF_INIT;
	tv_buf_add(&key, m->root.sha.b, 32);
	tv_buf_add_str(&key, "run-1");
	change_row(m->l.f->store, TV_T_RUN_BY_FOUNDATION, key.data, key.len, NULL, 0);
}

static void run_index_extra(struct sample *m)
{
	const uint8_t elsewhere[32] = { 1 };
	tv_autobuf struct tv_buf key = TV_BUF_INIT;
	tv_buf_add(&key, elsewhere, sizeof(elsewhere));
	tv_buf_add_str(&key, "run-9");
	change_row(m->l.f->store, TV_T_RUN_BY_FOUNDATION, key.data, key.len, "", 0);
}

static void folder_malformed(struct sample *m)
{
	change_row(m->l.f->store, TV_T_WORKTREES, m->l.w.id, 16, "?", 1);
}

static void folder_astray(struct sample *m)
{
	flip_row(m->l.f->store, TV_T_WORKTREES, m->l.w.id, 16, 5);
}

static void path_key(const char *path, uint64_t sequence, uint8_t key[24])
{
	struct tv_addr hash = tv_addr_of(path, strlen(path));
	memcpy(key, hash.b, 16);
	tv_be64_put(key + 16, sequence);
}

static void path_row_gone(struct sample *m)
{
	uint8_t key[24];
	path_key("d/other", 1, key);
	change_row(m->l.f->store, TV_T_PATHS, key, 24, NULL, 0);
}

static void path_row_malformed(struct sample *m)
{
	uint8_t key[24];
	path_key("d/other", 1, key);
	change_row(m->l.f->store, TV_T_PATHS, key, 24, "???", 3);
}

static void path_row_of_nobody(struct sample *m)
{
	uint8_t key[24];
	path_key("nobody", 0, key);
	tv_be64_put(key + 16, 0);
	key[23] = 0;
	change_row(m->l.f->store, TV_T_PATHS, key, 24, "", 0);
}

static void orphan(struct sample *m)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/blobs/ab/%s", m->l.f->folder,
		 "ab000000000000000000000000000000");
	int fd = open(path, O_CREAT | O_WRONLY, 0400);
	is(fd >= 0);
	close(fd);
}

static void temp(struct sample *m)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/tmp/999999.1.x", m->l.f->folder);
	int fd = open(path, O_CREAT | O_WRONLY, 0400);
	is(fd >= 0);
	close(fd);
}

static void garbage_node(struct sample *m)
{
	uint8_t key[16] = { 1, 2, 3 };
	change_row(m->l.f->store, TV_T_NODES, key, 16, "no node", 7);
}

static const struct plant {
	const char *name;
	void (*plant)(struct sample *m);
	const char *says; /* in the finding */
	const char *paths[3];
	enum tv_severity severity;
	bool read_data;
} plants[] = {
	{ "blob gone", blob_gone, "is missing", { "a", "d/copy" }, TV_DAMAGE, false },
	{ "blob cut", blob_cut, "another size", { "a", "d/copy" }, TV_DAMAGE, false },
	{ "blob rotten", blob_rotten, "digests", { "a", "d/copy" }, TV_DAMAGE, true },
	{ "blob writable", blob_writable, "mode", { "a", "d/copy" }, TV_DAMAGE, false },
	{ "blob a link", blob_link, "not a plain file", { "a", "d/copy" }, TV_DAMAGE, false },
	{ "blob row gone", blob_row_gone, "not in the index", { "a", "d/copy" }, TV_DAMAGE, false },
	{ "blob row flipped",
	  blob_row_flipped,
	  "another size or hash",
	  { "a", "d/copy" },
	  TV_DAMAGE,
	  false },
	{ "blob row cut", blob_row_cut, "row of blob", { "a", "d/copy" }, TV_DAMAGE, false },
	{ "blob condemned", blob_condemned, "condemned", { "a", "d/copy" }, TV_DAMAGE, false },
	{ "node gone", node_gone, "is missing", { "d" }, TV_DAMAGE, false },
	{ "node flipped", node_flipped, "is damaged", { "d" }, TV_DAMAGE, false },
	{ "root gone", root_gone, "is missing", { "." }, TV_DAMAGE, false },
	{ "commit flipped", commit_flipped, "does not match its id", { NULL }, TV_DAMAGE, false },
	{ "parent gone", parent_gone, "is missing", { NULL }, TV_DAMAGE, false },
	{ "foundation row gone",
	  foundation_row_gone,
	  "index of foundations",
	  { NULL },
	  TV_DAMAGE,
	  false },
	{ "foundation row extra", foundation_row_extra, "index row", { NULL }, TV_DAMAGE, false },
	{ "sequence row gone", sequence_row_gone, "sequence numbers", { NULL }, TV_DAMAGE, false },
	{ "sequence row extra", sequence_row_extra, "index row", { NULL }, TV_DAMAGE, false },
	{ "counter behind", counter_behind, "counter", { NULL }, TV_DAMAGE, false },
	{ "ref astray", ref_astray, "ref 'v1' points", { NULL }, TV_DAMAGE, false },
	{ "ref malformed", ref_malformed, "ref 'v1' is damaged", { NULL }, TV_DAMAGE, false },
	{ "run malformed", run_malformed, "run 'run-1' is damaged", { NULL }, TV_DAMAGE, false },
	{ "run index gone", run_index_gone, "index of runs", { NULL }, TV_DAMAGE, false },
	{ "run index extra", run_index_extra, "index of runs", { NULL }, TV_DAMAGE, false },
	{ "folder malformed",
	  folder_malformed,
	  "live folder is damaged",
	  { NULL },
	  TV_DAMAGE,
	  false },
	{ "folder astray", folder_astray, "points to a commit", { NULL }, TV_DAMAGE, false },
	{ "path row gone", path_row_gone, "path index", { NULL }, TV_DAMAGE, false },
	{ "path row malformed", path_row_malformed, "path index", { NULL }, TV_DAMAGE, false },
	{ "path row of nobody", path_row_of_nobody, "commit number", { NULL }, TV_DAMAGE, false },
	{ "orphan", orphan, "has no row", { NULL }, TV_NOTE, false },
	{ "temp file", temp, "temp file", { NULL }, TV_NOTE, false },
	{ "garbage node", garbage_node, "nothing needs it", { NULL }, TV_NOTE, false },
};

struct seen {
	const struct plant *p;
	const struct sample *m;
	bool found, hit[3];
	unsigned foundations;
};

static int look(void *arg, const struct tv_finding *f)
{
	struct seen *s = arg;
	if (!strstr(f->what, s->p->says) || f->severity != s->p->severity)
		return 0;
	s->found = true;
	for (unsigned i = 0; i < 3; i++)
		if (s->p->paths[i] && f->path && strcmp(f->path, s->p->paths[i]) == 0) {
			s->hit[i] = true;
			s->foundations +=
				f->foundation && tv_sha_eq(f->foundation, &s->m->root.sha);
		}
	return 0;
}

static void each_damage_is_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < TV_ARRAY_LEN(plants); i++) {
		const struct plant *p = &plants[i];
		struct tv_err err = TV_ERR_INIT;
		struct tv_fsck_figures figures;
		struct sample m;
		void *fixture = NULL;
		unsigned paths = 0;
		is(store_setup(&fixture) == 0);
		make_sample(&m, fixture);
		fsck_is_clean(m.l.f->store);
		p->plant(&m);
		close_store(m.l.f); /* and with it what is cached */
		open_store(m.l.f);
		struct seen s = { .p = p, .m = &m };
		struct tv_fsck how = { .read_data = p->read_data, .found = look, .arg = &s };
		int r = tv_fsck(m.l.f->store, &how, &figures, &err);
		for (unsigned k = 0; k < 3; k++) {
			paths += p->paths[k] != NULL;
			if (p->paths[k] && !s.hit[k])
				fail_msg("%s: path %s is not named", p->name, p->paths[k]);
		}
		if (!s.found || r != (p->severity == TV_DAMAGE ? -TV_E_DAMAGED : 0) ||
		    s.foundations != paths)
			fail_msg("%s: found %d, %d (%s), %u foundations", p->name, s.found, r,
				 err.text, s.foundations);
		tv_worktree_close(&m.l.w);
		is(dir_teardown(&fixture) == 0);
	}
}

static void a_clean_store(void **state)
{
	struct sample m;
	struct tv_err err = TV_ERR_INIT;
	struct tv_fsck_figures figures;
	struct tv_fsck how = { .read_data = true };
	make_sample(&m, *state);
	ok(tv_fsck(m.l.f->store, &how, &figures, &err));
	is(figures.commits == 3 && figures.blobs == 4 && figures.bytes_read == 13);
	is(!figures.damages && !figures.notes && figures.nodes >= 4);
	tv_worktree_close(&m.l.w);
}

static int count(void *arg, const struct tv_finding *f)
{
	unsigned *n = arg;
	n[0] += f->path != NULL;
	n[1] += strstr(f->what, "more paths") != NULL;
	n[2] += strstr(f->what, "in 12 commits") != NULL;
	return 0;
}

/* One blob at many paths in many commits: one damage, the paths once, not more than can be read. */
static void a_shared_blob_is_told_once(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	struct tv_fsck_figures figures;
	char path[256], text[16], blob[TV_BLOB_PATH];
	live_open(&l, *state);
	for (unsigned i = 0; i < 50; i++) {
		snprintf(path, sizeof(path), "d%u/f%u", i % 3, i);
		put(&l, path, "the same");
	}
	for (unsigned i = 0; i < 12; i++) {
		snprintf(text, sizeof(text), "%u", i);
		put(&l, "changing", text);
		import_all(&l);
	}
	struct tv_entry e;
	ok(tv_tree_lookup(tv_store_nodes(l.f->store), &l.w.base_root, "d0/f0", &e, NULL, &err));
	tv_blob_path(&e.addr, blob);
	snprintf(path, sizeof(path), "%s/blobs/%s", l.f->folder, blob);
	is(unlink(path) == 0);
	unsigned n[3] = { 0 };
	struct tv_fsck how = { .found = count, .arg = n };
	is(tv_fsck(l.f->store, &how, &figures, &err) == -TV_E_DAMAGED);
	is(figures.damages == 1);
	is(n[0] == 20 && n[1] == 1 && n[2] == 20);
	tv_worktree_close(&l.w);
}

static int enough(void *arg, const struct tv_finding *f)
{
	(void)arg;
	(void)f;
	return 1;
}

static void can_be_stopped(void **state)
{
	struct sample m;
	struct tv_err err = TV_ERR_INIT;
	struct tv_fsck_figures figures;
	struct tv_fsck how = { .found = enough };
	make_sample(&m, *state);
	blob_gone(&m);
	is(tv_fsck(m.l.f->store, &how, &figures, &err) == -TV_E_INTERRUPTED);
	tv_worktree_close(&m.l.w);
}

/* --- commits that come while it runs ----------------------------------------------------------- */

enum { MANY = 7000 }; /* more than fsck lists in one transaction */

static int many_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct fixture *f = arg;
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	struct tv_ref ref;
	int r = tv_ref_get_in(t, "main", &ref, err);
	if (r == 0)
		r = tv_commit_get_in(t, &ref.commit, &c, err);
	if (r < 0)
		return r;
	free(c.parents);
	c.parents = malloc(sizeof(*c.parents));
	c.n_parents = 1;
	c.parents[0] = c.id;
	for (unsigned i = 0; r == 0 && i < MANY; i++) {
		c.time_ns++;
		r = tv_commit_put(f->store, t, tv_store_nodes(f->store), &c, err);
		c.parents[0] = c.id;
	}
	return r == 0 ? tv_ref_move_in(t, "main", TV_REF_BRANCH, &ref.commit, &c.id, "a", "", err)
		      : r;
}

static int publish_for_ever(void *arg)
{
	struct fixture *f = arg;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	open_store(f);
	char text[16];
	for (unsigned i = 0; i < 1000000; i++) {
		snprintf(text, sizeof(text), "%u", i);
		publish_more(f->store, "f", text);
	}
	return 0;
}

static void commits_that_come_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	publish_one(f->store, NULL, "f", "first");
	ok(tv_kv_write(tv_store_kv(f->store), many_body, f, &err));
	close_store(f);
	pid_t child = fork_child(publish_for_ever, f);
	open_store(f);
	for (unsigned i = 0; i < 8; i++)
		fsck_is_clean(f->store);
	kill(child, SIGKILL);
	is(wait_child(child) == -SIGKILL);
	fsck_is_clean(f->store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(a_clean_store),
		cmocka_unit_test(each_damage_is_found),
		store_test(a_shared_blob_is_told_once),
		store_test(can_be_stopped),
		store_test(commits_that_come_meanwhile),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
