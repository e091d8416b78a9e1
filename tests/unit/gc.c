#include "live.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/mman.h>

#include "store/gc-files.h"
#include "store/lease.h"
#include "store/runrec.h"

static struct tv_gc_figures gc_dry(struct tv_store *s)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_gc how = { .delete_ = false };
	struct tv_gc_figures figures;
	memset(&figures, 0, sizeof(figures));
	ok(tv_gc(s, &how, &figures, &err));
	return figures;
}

static bool has_commit(struct tv_store *s, const struct tv_sha *id)
{
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	return tv_commit_get(s, id, &c, NULL) == 0;
}

/* A commit that only a draft keeps; the draft is deleted: garbage. */
static struct tv_sha make_garbage(struct tv_store *s, const char *text)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	const struct file files[] = { { "garbage", text, 0 }, { "g/h", text, 0 } };
	ok(publish_files(s, "draft/g", NULL, files, 2, &out, &err));
	ok(tv_ref_delete(s, "draft/g", "a", &err));
	return out.commit;
}

static void nothing_to_do(void **state)
{
	struct fixture *f = *state;
	struct tv_gc_figures g = gc_now(f->store);
	is(!g.commits && !g.nodes && !g.blobs && !g.kept_commits);
	publish_one(f->store, NULL, "a", "1");
	g = gc_now(f->store);
	is(!g.commits && !g.nodes && !g.blobs && !g.orphans && !g.temps);
	is(g.kept_commits == 1 && g.kept_blobs == 1 && g.kept_bytes == 1);
}

static void unreachable_things_go(void **state)
{
	struct fixture *f = *state;
	struct tv_sha kept = publish_one(f->store, NULL, "a", "1");
	struct tv_sha gone = make_garbage(f->store, "some garbage");
	struct tv_gc_figures g = gc_dry(f->store);
	is(g.commits == 1 && g.nodes == 2 && g.blobs == 1 && g.blob_bytes == 12);
	is(has_commit(f->store, &gone));
	g = gc_now(f->store);
	is(g.commits == 1 && g.nodes == 2 && g.blobs == 1 && g.blob_bytes == 12);
	is(!has_commit(f->store, &gone) && has_commit(f->store, &kept));
	g = gc_now(f->store);
	is(!g.commits && !g.nodes && !g.blobs);
	fsck_is_clean(f->store);
	/* What went can come again. */
	make_garbage(f->store, "some garbage");
	fsck_is_clean(f->store);
}

static void young_condemned_blobs_stay(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_gc how = { .delete_ = true, .grace_ns = 3600000000000 };
	struct tv_gc_figures g;
	make_garbage(f->store, "text");
	ok(tv_gc(f->store, &how, &g, &err));
	is(g.commits == 1 && g.blobs == 0);
	/* Condemned counts as absent: written again, it lives again. */
	publish_one(f->store, NULL, "again", "text");
	is(gc_now(f->store).blobs == 0);
	fsck_is_clean(f->store);
}

static void every_root_keeps(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_lease lease;
	struct tv_sha foundation = { { 1 } };
	struct tv_sha a = make_garbage(f->store, "leased");
	ok(tv_lease_take(f->store, &a, "mount", "", NULL, &lease, &err));
	struct tv_sha b = make_garbage(f->store, "of a run");
	ok(tv_run_create(f->store, "run-1", &b, &foundation, NULL, NULL, &err));
	struct tv_sha c = make_garbage(f->store, "tagged");
	ok(tv_ref_move(f->store, "v1", TV_REF_TAG, NULL, &c, "a", "", &err));
	struct tv_sha d = make_garbage(f->store, "nobody's");
	is(gc_now(f->store).commits == 1);
	is(has_commit(f->store, &a) && has_commit(f->store, &b) && has_commit(f->store, &c));
	is(!has_commit(f->store, &d));
	ok(tv_lease_drop(f->store, lease.id, &err));
	ok(tv_run_forget(f->store, "run-1", &err));
	is(gc_now(f->store).commits == 2);
	is(!has_commit(f->store, &a) && !has_commit(f->store, &b) && has_commit(f->store, &c));
	fsck_is_clean(f->store);
}

static int take_lease(void *arg)
{
	struct fixture *f = arg;
	struct tv_err err = TV_ERR_INIT;
	struct tv_lease lease;
	struct tv_store *s;
	ok(tv_store_open(f->folder, &s, &err));
	struct tv_sha tip = tip_of(s, "draft/x");
	ok(tv_lease_take(s, &tip, "mount", "", NULL, &lease, &err));
	return 0;
}

static void the_lease_of_a_dead_process_keeps_nothing(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	const struct file file = { "x", "x", 0 };
	ok(publish_files(f->store, "draft/x", NULL, &file, 1, &out, &err));
	close_store(f);
	assert_int_equal(wait_child(fork_child(take_lease, f)), 0);
	open_store(f);
	ok(tv_ref_delete(f->store, "draft/x", "a", &err));
	is(gc_now(f->store).commits == 1);
}

/* "Ours" of a merged import is no commit's tree, and yet a root. */
static void the_base_of_a_live_folder_keeps_its_nodes(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	live_open(&l, *state);
	struct tv_store *s = l.f->store;
	put(&l, "a", "1");
	import_all(&l);
	publish_more(s, "b", "2");
	put(&l, "a", "3");
	is(import_all(&l).merged);
	gc_now(s);
	fsck_is_clean(s);
	struct tv_entry e;
	ok(tv_tree_lookup(tv_store_nodes(s), &l.w.base_root, "a", &e, NULL, &err));
	is(tv_tree_lookup(tv_store_nodes(s), &l.w.base_root, "b", &e, NULL, NULL) == -ENOENT);
	tv_worktree_close(&l.w);
}

static void leftovers(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	char path[256];
	/* A temp file of a process that is gone, and one of our own that is not. */
	snprintf(path, sizeof(path), "%s/tmp/999999.12345.abc", f->folder);
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	is(fd >= 0);
	close(fd);
	struct tv_blobs *blobs;
	struct tv_blob blob;
	ok(tv_blobs_begin(f->store, &blobs, &err));
	ok(tv_blobs_add_bytes(blobs, "in flight", 9, &blob, &err));
	is(gc_dry(f->store).temps == 1);
	is(gc_now(f->store).temps == 1);
	is(access(path, F_OK) < 0);
	ok(tv_blobs_place(blobs, &err));
	/* Placed and not registered: an orphan, but a young one. */
	is(gc_now(f->store).orphans == 0);
	tv_blobs_free(blobs);
}

static int lock_and_wait(void *arg)
{
	struct fixture *f = arg;
	char path[256];
	snprintf(path, sizeof(path), "%s/" TV_GC_LOCK, f->folder);
	int fd = open(path, O_RDWR);
	is(fd >= 0 && flock(fd, LOCK_EX) == 0);
	usleep(500000);
	return 0;
}

static void one_gc_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_gc how = { .delete_ = true };
	struct tv_gc_figures g;
	gc_now(f->store);
	pid_t pid = fork_child(lock_and_wait, f);
	usleep(150000);
	fails(-TV_E_LOCKED, tv_gc(f->store, &how, &g, &err));
	assert_int_equal(wait_child(pid), 0);
	gc_now(f->store);
}

static int drop_root_node(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct tv_sha *id = arg;
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	int r = tv_commit_get_in(t, id, &c, err);
	if (r == 0)
		r = tv_kv_del(t, TV_T_NODES, tv_bytes(c.root.addr.b, 16), err);
	return r < 0 ? r : 0;
}

static void a_damaged_store_is_left_alone(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_gc how = { .delete_ = true };
	struct tv_gc_figures g;
	struct tv_sha kept = publish_one(f->store, NULL, "a", "1");
	struct tv_sha garbage = make_garbage(f->store, "g");
	ok(tv_kv_write(tv_store_kv(f->store), drop_root_node, &kept, &err));
	close_store(f); /* its nodes are cached */
	open_store(f);
	fails(-TV_E_DAMAGED, tv_gc(f->store, &how, &g, &err));
	is(has_commit(f->store, &garbage));
}

static void many_rows_in_batches(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	enum { N = 2500 };
	struct file *files = calloc(N, sizeof(*files));
	char(*texts)[24] = calloc(N, sizeof(*texts));
	for (unsigned i = 0; i < N; i++) {
		snprintf(texts[i], sizeof(texts[i]), "d%u/file-%u", i % 40, i);
		files[i] = (struct file){ texts[i], texts[i], 0 };
	}
	ok(publish_files(f->store, "draft/g", NULL, files, N, &out, &err));
	ok(tv_ref_delete(f->store, "draft/g", "a", &err));
	struct tv_gc_figures g = gc_now(f->store);
	is(g.commits == 1 && g.blobs == N && g.nodes > 40);
	struct tv_kv_stat stat;
	ok(tv_kv_stat(tv_store_kv(f->store), &stat, &err));
	is(!stat.entries[TV_T_NODES] && !stat.entries[TV_T_BLOBS] && !stat.entries[TV_T_COMMITS]);
	is(!stat.entries[TV_T_PATHS] && !stat.entries[TV_T_SEQUENCE]);
	fsck_is_clean(f->store);
	free(files);
	free(texts);
}

/* --- gc in a loop beside importing processes --------------------------------------------------- */

#define CHILDREN 16
#define ROUNDS 12

struct beside {
	char folder[80], dir[64];
	unsigned n;
	atomic_uint *left;
};

/* Each has a live folder of its own, publishes, makes garbage, and shares contents with others: what one
 * drops another one needs. */
static int importer(void *arg)
{
	const struct beside *b = arg;
	struct tv_err err = TV_ERR_INIT;
	struct fixture f = { .store = NULL };
	struct live l = { .f = &f };
	ok(tv_store_open(b->folder, &f.store, &err));
	snprintf(l.dir, sizeof(l.dir), "%s/live%u", b->dir, b->n % 4);
	mkdir(l.dir, 0755);
	ok(tv_worktree_open(f.store, l.dir, &l.w, &err));
	for (unsigned i = 0; i < ROUNDS; i++) {
		char path[64], text[64], draft[64];
		struct tv_published out;
		const char *one = path;
		snprintf(path, sizeof(path), "p%u", b->n);
		snprintf(text, sizeof(text), "shared %u", (b->n + i) % 5);
		put(&l, path, text);
		ok(import_paths(&l, &one, 1, &out, NULL, NULL, &err));
		snprintf(draft, sizeof(draft), "draft/%u", b->n);
		/* Only drafts have these, and those go at once: condemned and wanted again all the time. */
		snprintf(text, sizeof(text), "loose %u", (b->n + i) % 6);
		const struct file file = { "x", text, 0 };
		int r;
		do /* as publishers do */
			r = publish_files(f.store, draft, NULL, &file, 1, &out, &err);
		while (r == -EAGAIN);
		check_at(r == 0, r, &err, "publish", __FILE__, __LINE__);
		ok(tv_ref_delete(f.store, draft, "a", &err));
	}
	tv_worktree_close(&l.w);
	tv_store_close(f.store);
	atomic_fetch_sub(b->left, 1);
	return 0;
}

static int collector(void *arg)
{
	const struct beside *b = arg;
	struct tv_err err = TV_ERR_INIT;
	struct tv_store *s;
	unsigned runs = 0;
	uint64_t blobs = 0;
	ok(tv_store_open(b->folder, &s, &err));
	while (atomic_load(b->left)) {
		struct tv_gc_figures g = gc_now(s);
		blobs += g.blobs;
		runs++;
	}
	print_message("%u runs of gc removed %lu blobs\n", runs, (unsigned long)blobs);
	tv_store_close(s);
	return 0;
}

static void beside_importing_processes(void **state)
{
	struct fixture *f = *state;
	struct beside all[CHILDREN + 1];
	pid_t pids[CHILDREN + 1];
	atomic_uint *left =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	atomic_store(left, CHILDREN);
	close_store(f);
	for (unsigned i = 0; i <= CHILDREN; i++) {
		all[i] = (struct beside){ .n = i, .left = left };
		memcpy(all[i].folder, f->folder, sizeof(all[i].folder));
		memcpy(all[i].dir, f->dir, sizeof(all[i].dir));
		pids[i] = fork_child(i < CHILDREN ? importer : collector, &all[i]);
	}
	bool good = true;
	for (unsigned i = 0; i <= CHILDREN; i++) {
		int status = wait_child(pids[i]);
		if (status != 0 && i < CHILDREN)
			atomic_fetch_sub(left, 1);
		good &= status == 0;
	}
	munmap(left, 4096);
	is(good);
	open_store(f);
	fsck_is_clean(f->store);
	for (unsigned i = 0; i < CHILDREN; i++) {
		char path[64], text[64];
		snprintf(path, sizeof(path), "p%u", i);
		snprintf(text, sizeof(text), "shared %u", (i + ROUNDS - 1) % 5);
		is(main_has(f->store, path, text));
	}
	gc_now(f->store);
	fsck_is_clean(f->store);
}

/* --- others, while a new ref is made --- */

struct others {
	struct live *l;
	bool done;
};

/* Another import of the folder moves its base, and gc takes what only the old one needed. */
static int move_base(void *arg, const struct tv_node_source *nodes, const struct tv_entry *merged,
		     struct tv_err *err)
{
	struct others *o = arg;
	struct live other;
	(void)nodes;
	(void)merged;
	(void)err;
	if (o->done)
		return 0;
	o->done = true;
	live_open(&other, o->l->f);
	put(&other, "d/x", "3");
	import_one(&other, "d/x");
	gc_now(other.f->store);
	tv_worktree_close(&other.w);
	return 0;
}

static void a_new_ref_has_all_of_its_tree(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	live_open(&l, *state);
	put(&l, "d/x", "1");
	put(&l, "d/y", "1");
	import_all(&l);
	publish_more(l.f->store, "d/z", "of others");
	put(&l, "d/x", "2");
	import_all(&l); /* merged: no commit has the folder d of the base */
	put(&l, "t", "1");
	struct others o = { .l = &l };
	const char *path = "t";
	struct tv_import how = how_to_import();
	how.ref = "new";
	how.paths = &path;
	how.n_paths = 1;
	how.gate = move_base;
	how.gate_arg = &o;
	ok(tv_worktree_import(l.f->store, &l.w, &how, &out, NULL, NULL, &err));
	is(o.done);
	close_store(l.f);
	open_store(l.f);
	fsck_is_clean(l.f->store);
	tv_worktree_close(&l.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(nothing_to_do),
		store_test(unreachable_things_go),
		store_test(young_condemned_blobs_stay),
		store_test(every_root_keeps),
		store_test(the_lease_of_a_dead_process_keeps_nothing),
		store_test(the_base_of_a_live_folder_keeps_its_nodes),
		store_test(leftovers),
		store_test(one_gc_at_a_time),
		store_test(a_damaged_store_is_left_alone),
		store_test(many_rows_in_batches),
		store_test(beside_importing_processes),
		store_test(a_new_ref_has_all_of_its_tree),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
