#include "live.h"

#include <signal.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>

#include "store/base/clock.h"
#include "store/base/hex.h"

#define sync_ok(l) ok(sync_main((l), false, NULL, &err))

static void brings_every_kind_of_change(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	live_open(&l, *state);
	struct tv_store *s = l.f->store;
	put(&l, "same", "s");
	put(&l, "changed", "1");
	put(&l, "gone", "g");
	put(&l, "d/gone", "g");
	put(&l, "to-dir", "file");
	put(&l, "to-file/x", "x");
	import_all(&l);
	const struct file files[] = {
		{ "changed", "2", 5 * A_TIME / 4 },
		{ "gone", NULL, 0 },
		{ "d", NULL, 0 },
		{ "to-dir", NULL, 0 },
		{ "to-dir/new", "n", 0 },
		{ "to-file", NULL, 0 },
		{ "new/er", "n", 0 },
	};
	struct tv_sha tip = tip_of(s, "main");
	ok(publish_files(s, "main", &tip, files, TV_ARRAY_LEN(files), &out, &err));
	publish_more(s, "to-file", "f");
	sync_ok(&l);
	is(holds(&l, "same", "s") && holds(&l, "changed", "2") && holds(&l, "gone", NULL));
	is(holds(&l, "to-dir/new", "n") && holds(&l, "to-file", "f") && holds(&l, "new/er", "n"));
	struct stat st;
	char path[512];
	live_path(&l, "d", path);
	is(stat(path, &st) < 0 && errno == ENOENT);
	live_path(&l, "changed", path);
	is(stat(path, &st) == 0 && tv_ns_from_timespec(st.st_mtim) == 5 * A_TIME / 4);
	is((st.st_mode & 07777) == 0644);
	tip = tip_of(s, "main");
	is(tv_sha_eq(&l.w.base, &tip));
	/* Nothing to import afterwards, and what was written is known to the cache. */
	is(import_all(&l).unchanged);
	fsck_is_clean(s);
	tv_worktree_close(&l.w);
}

static void an_empty_folder_gets_everything(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	live_open(&l, *state);
	struct tv_sha first = publish_one(l.f->store, NULL, "a/b/c", "1");
	publish_one(l.f->store, &first, "x", "2");
	sync_ok(&l);
	is(holds(&l, "a/b/c", "1") && holds(&l, "x", "2"));
	settle();
	is(import_all(&l).unchanged);
	tv_worktree_close(&l.w);
}

/* Links with targets, modes, and a folder of mode 0500. */
static void links_and_modes(void **state)
{
	struct live l, other;
	struct tv_err err = TV_ERR_INIT;
	char path[512], target[32] = "";
	struct stat st;
	live_open(&l, *state);
	put(&l, "bin/tool", "#!");
	live_path(&l, "bin/tool", path);
	is(chmod(path, 0751) == 0);
	live_path(&l, "latest", path);
	is(symlink("bin/tool", path) == 0);
	import_all(&l);
	other = l;
	snprintf(other.dir, sizeof(other.dir), "%s/other", l.f->dir);
	is(mkdir(other.dir, 0755) == 0);
	ok(tv_worktree_open(l.f->store, other.dir, &other.w, &err));
	sync_ok(&other);
	live_path(&other, "latest", path);
	is(readlink(path, target, sizeof(target)) == 8 && memcmp(target, "bin/tool", 8) == 0);
	live_path(&other, "bin/tool", path);
	is(stat(path, &st) == 0 && (st.st_mode & 0777) == 0751 && st.st_nlink == 1);
	tv_worktree_close(&other.w);
	tv_worktree_close(&l.w);
}

static void refuses_local_changes(void **state)
{
	static const struct {
		const char *what, *before, *local, *target;
		bool conflict;
	} cases[] = {
		{ "changed in both", "0", "mine", "theirs", true },
		{ "changed alike", "0", "same", "same", false },
		{ "removed here, changed there", "0", NULL, "theirs", true },
		{ "changed here, removed there", "0", "mine", NULL, true },
		{ "removed in both", "0", NULL, NULL, false },
		{ "added in both", NULL, "mine", "theirs", true },
		{ "added alike", NULL, "same", "same", false },
		{ "added here only", NULL, "mine", NULL, false },
		{ "changed here only", "0", "mine", "0", false },
		{ "changed there only", "0", "0", "theirs", false },
	};
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	for (size_t i = 0; i < TV_ARRAY_LEN(cases); i++) {
		struct tv_conflicts conflicts = { .paths = NULL };
		live_open(&l, *state);
		put(&l, "keep", "k");
		if (cases[i].before)
			put(&l, "p", cases[i].before);
		else
			drop(&l, "p");
		if (i == 0)
			import_all(&l);
		else
			ok(sync_main(&l, true, NULL, &err));
		struct tv_sha tip = tip_of(l.f->store, "main");
		publish_one(l.f->store, &tip, "p", cases[i].before);
		ok(sync_main(&l, true, NULL, &err));

		publish_more(l.f->store, "p", cases[i].target);
		publish_more(l.f->store, "other", cases[i].what);
		if (cases[i].local)
			put(&l, "p", cases[i].local);
		else
			drop(&l, "p");
		print_message("%s\n", cases[i].what);
		if (cases[i].conflict) {
			fails(-TV_E_CONFLICT, sync_main(&l, false, &conflicts, &err));
			is(conflicts.len == 1 && strcmp(conflicts.paths[0], "p") == 0);
			tv_conflicts_free(&conflicts);
			/* Nothing was changed, not the other path either. */
			is(holds(&l, "p", cases[i].local) && !holds(&l, "other", cases[i].what));
			ok(sync_main(&l, true, NULL, &err));
			is(holds(&l, "p", cases[i].target));
		} else {
			sync_ok(&l);
			bool stays =
				!cases[i].target ||
				(cases[i].before && strcmp(cases[i].target, cases[i].before) == 0);
			is(holds(&l, "p", stays ? cases[i].local : cases[i].target));
		}
		is(holds(&l, "other", cases[i].what));
		tv_worktree_close(&l.w);
	}
	fsck_is_clean(((struct fixture *)*state)->store);
}

static void kinds_in_the_way(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	char path[512];
	live_open(&l, *state);
	put(&l, "d/x", "1");
	put(&l, "f", "1");
	import_all(&l);
	/* A folder that is to become a file, with somebody's own file in it. */
	struct tv_sha tip = tip_of(l.f->store, "main");
	publish_one(l.f->store, &tip, "d", NULL);
	publish_more(l.f->store, "d", "now a file");
	put(&l, "d/own", "mine");
	fails(-TV_E_CONFLICT, sync_main(&l, false, NULL, &err));
	is(holds(&l, "d/own", "mine") && holds(&l, "d/x", "1"));
	drop(&l, "d/own");
	sync_ok(&l);
	is(holds(&l, "d", "now a file"));
	/* A symbolic link in a folder's place leads nowhere. */
	publish_more(l.f->store, "e/in", "1");
	live_path(&l, "e", path);
	is(symlink("/tmp", path) == 0);
	fails(-TV_E_CONFLICT, sync_main(&l, false, NULL, &err));
	is(unlink(path) == 0);
	/* A folder that goes stays while it holds something of somebody's own. */
	sync_ok(&l);
	publish_more(l.f->store, "e", NULL);
	put(&l, "e/own.tmp", "mine");
	sync_ok(&l);
	is(holds(&l, "e/own.tmp", "mine") && holds(&l, "e/in", NULL));
	tv_worktree_close(&l.w);
}

/* --- publish, commit and sync in every order --------------------------------------------------- */

/* The steps: P somebody publishes, C the folder is committed, S it is synced. After any order of them
 * and then "CS", the folder and the ref are one, and have what each side did last. */
static void one_order(struct fixture *f, const char *order, bool same_path)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	char mine[16] = "0", theirs[16] = "0";
	const char *my_path = "mine", *their_path = same_path ? "mine" : "theirs";
	unsigned n = 0;
	bool conflict = false, pending = false, behind = false;
	live_open(&l, f);
	put(&l, my_path, mine);
	put(&l, "theirs", "0");
	put(&l, "untouched", order);
	import_all(&l);
	/* A local change before each order: what must never be lost. */
	snprintf(mine, sizeof(mine), "m%u", n);
	put(&l, my_path, mine);
	pending = true;
	for (const char *step = order; *step; step++) {
		struct tv_published out;
		int r = 0;
		n++;
		if (*step == 'P') {
			snprintf(theirs, sizeof(theirs), "t%u", n);
			publish_more(f->store, their_path, theirs);
			behind = true;
		} else if (*step == 'C') {
			r = import_paths(&l, NULL, 0, &out, NULL, NULL, &err);
			if (r == 0)
				pending = false;
		} else {
			r = sync_main(&l, false, NULL, &err);
			if (r == 0)
				behind = false;
		}
		is(r == 0 || r == -TV_E_CONFLICT);
		/* Only the same path, changed here and there since they last met, is a conflict. */
		conflict = r == -TV_E_CONFLICT;
		is(conflict == (*step != 'P' && same_path && pending && behind));
		is(pending ? holds(&l, my_path, mine) : true);
		if (!same_path)
			is(main_has(f->store, "theirs", theirs));
	}
	if (same_path && pending && behind) {
		ok(sync_main(&l, true, NULL, &err));
		is(holds(&l, my_path, theirs));
	}
	import_all(&l);
	sync_ok(&l);
	is(import_all(&l).unchanged);
	if (!same_path)
		is(holds(&l, "mine", mine) && holds(&l, "theirs", theirs) &&
		   main_has(f->store, "mine", mine) && main_has(f->store, "theirs", theirs));
	tv_worktree_close(&l.w);
}

static const char *const orders[] = { "PCS", "PSC",   "CPS",   "CSP",	"SPC",	 "SCP",
				      "PPC", "PCPCS", "CPCPS", "PSPCS", "SPSCPS" };

static void in_every_order_on_disjoint_paths(void **state)
{
	for (size_t i = 0; i < TV_ARRAY_LEN(orders); i++)
		one_order(*state, orders[i], false);
	gc_now(((struct fixture *)*state)->store);
	fsck_is_clean(((struct fixture *)*state)->store);
}

static void in_every_order_on_one_path(void **state)
{
	for (size_t i = 0; i < TV_ARRAY_LEN(orders); i++)
		one_order(*state, orders[i], true);
	gc_now(((struct fixture *)*state)->store);
	fsck_is_clean(((struct fixture *)*state)->store);
}

/* A partial commit moves the base at its paths only. */
static void a_partial_commit_then_a_sync(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	live_open(&l, *state);
	struct tv_store *s = l.f->store;
	put(&l, "a", "1");
	put(&l, "b", "1");
	import_all(&l);
	put(&l, "a", "2");
	put(&l, "b", "2");
	publish_more(s, "c", "theirs");
	is(import_one(&l, "a").merged);
	sync_ok(&l);
	is(holds(&l, "a", "2") && holds(&l, "b", "2") && holds(&l, "c", "theirs"));
	is(main_has(s, "b", "1"));
	publish_more(s, "b", "theirs");
	fails(-TV_E_CONFLICT, sync_main(&l, false, NULL, &err));
	import_one(&l, "a");
	gc_now(s);
	is(main_has(s, "b", "theirs") && holds(&l, "b", "2"));
	fsck_is_clean(s);
	tv_worktree_close(&l.w);
}

/* --- killed in the middle ----------------------------------------------------------------------- */

#define FILES 300 /* more than a batch */

struct kill_at {
	struct live *l;
	unsigned changed, stop; /* dies when this many paths have been told */
};

static void die_at(void *arg, const char *path, enum tv_change change)
{
	struct kill_at *k = arg;
	(void)path;
	(void)change;
	if (++k->changed == k->stop)
		raise(SIGKILL);
}

static int sync_and_die(void *arg)
{
	struct kill_at *k = arg;
	struct tv_err err = TV_ERR_INIT;
	struct live l = *k->l;
	ok(tv_store_open(l.f->folder, &l.f->store, &err));
	ok(tv_worktree_open(l.f->store, l.dir, &l.w, &err));
	struct tv_sha tip = tip_of(l.f->store, "main");
	struct tv_sync how = { .changed = die_at, .arg = k };
	ok(tv_worktree_sync(l.f->store, &l.w, &tip, &how, NULL, &err));
	return 0;
}

static void publish_round(struct tv_store *s, unsigned round)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	struct file files[FILES];
	char paths[FILES][32], texts[FILES][32];
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(paths[i], sizeof(paths[i]), "d%u/f%u", i % 7, i);
		snprintf(texts[i], sizeof(texts[i]), "file %u round %u", i, round);
		bool gone = (i + round) % 5 == 0;
		files[i] = (struct file){ paths[i], gone ? NULL : texts[i],
					  A_TIME + (int64_t)round * 1000000000 };
	}
	struct tv_ref ref;
	bool first = tv_ref_get(s, "main", &ref, NULL) < 0;
	ok(publish_files(s, "main", first ? NULL : &ref.commit, files, FILES, &out, &err));
}

static void a_killed_sync_is_repeated(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	live_open(&l, *state);
	publish_round(l.f->store, 0);
	sync_ok(&l);
	for (unsigned round = 1; round <= 12; round++) {
		struct kill_at k = { .l = &l, .stop = 1 + round * 41 % 330 };
		publish_round(l.f->store, round);
		put(&l, "d0/own", "mine"); /* a local change beside it */
		tv_worktree_close(&l.w);
		close_store(l.f);
		int status = wait_child(fork_child(sync_and_die, &k));
		is(status == 0 || status == -SIGKILL);
		open_store(l.f);
		ok(tv_worktree_open(l.f->store, l.dir, &l.w, &err));
		gc_now(l.f->store);
		/* Others publish on top before it is repeated; or it is committed first. */
		if (round % 3 == 0)
			publish_round(l.f->store, round + 100);
		if (round % 2 == 0)
			import_all(&l);
		sync_ok(&l);
		is(holds(&l, "d0/own", "mine"));
		import_all(&l);
		sync_ok(&l);
		is(import_all(&l).unchanged);
		is(main_has(l.f->store, "d0/own", "mine"));
		unsigned last = round % 3 == 0 ? round + 100 : round;
		char text[32];
		snprintf(text, sizeof(text), "file 1 round %u", last);
		is(holds(&l, "d1/f1", (1 + last) % 5 ? text : NULL));
		fsck_is_clean(l.f->store);
	}
	tv_worktree_close(&l.w);
}

/* Holds the folder's lock as a sync of another process would. */
static int hold_lock(void *arg)
{
	const struct live *l = arg;
	char path[160], hex[33];
	tv_hex_encode(l->w.id, 16, hex);
	snprintf(path, sizeof(path), "%s/sync-%s.lock", l->f->folder, hex);
	int fd = open(path, O_RDWR);
	is(fd >= 0 && flock(fd, LOCK_EX) == 0);
	usleep(300000);
	return 0;
}

static void a_commit_waits_for_a_sync(void **state)
{
	struct live l;
	live_open(&l, *state);
	put(&l, "a", "1");
	import_all(&l);
	pid_t pid = fork_child(hold_lock, &l);
	usleep(100000);
	int64_t begun = tv_boottime_ns();
	put(&l, "a", "2");
	import_all(&l);
	is(tv_boottime_ns() - begun > 100000000);
	assert_int_equal(wait_child(pid), 0);
	tv_worktree_close(&l.w);
}

static int write_into(void *arg, const char *phase, uint64_t done, uint64_t total, const char *unit)
{
	(void)done;
	(void)total;
	(void)unit;
	if (strcmp(phase, "checking") == 0)
		put(arg, "d/new", "mine");
	return 0;
}

static void a_file_that_came_into_a_folder_which_goes(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	char names[70][8];
	struct file files[72] = { { "d/x", NULL, 0 }, { "d", "a file", 0 } };
	struct tv_published out;
	live_open(&l, *state);
	put(&l, "d/x", "1");
	put(&l, "d/sub/y", "1");
	import_all(&l);
	struct tv_sha tip = tip_of(l.f->store, "main");
	const struct file gone = { "d", NULL, 0 };
	ok(publish_files(l.f->store, "main", &tip, &gone, 1, &out, &err));
	files[0] = (struct file){ "d", "a file", 0 };
	for (size_t i = 0; i < 70; i++) {
		snprintf(names[i], sizeof(names[i]), "z%zu", i);
		files[i + 1] = (struct file){ names[i], "z", 0 };
	}
	tip = tip_of(l.f->store, "main");
	ok(publish_files(l.f->store, "main", &tip, files, 71, &out, &err));
	tip = tip_of(l.f->store, "main");
	const struct tv_progress progress = { .step = write_into, .arg = &l };
	struct tv_sync how = { .progress = &progress };
	fails(-EBUSY, tv_worktree_sync(l.f->store, &l.w, &tip, &how, NULL, &err));
	is(holds(&l, "d/new", "mine"));
	/* Now it is known: a conflict, until it has gone. */
	fails(-TV_E_CONFLICT, sync_main(&l, false, NULL, &err));
	is(holds(&l, "d/new", "mine"));
	drop(&l, "d/new");
	ok(sync_main(&l, false, NULL, &err));
	is(holds(&l, "d", "a file"));
	is(import_all(&l).unchanged);
	fsck_is_clean(l.f->store);
	tv_worktree_close(&l.w);
}

static void an_ignored_file_in_a_folder_which_goes(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	live_open(&l, *state);
	put(&l, "d/x", "1");
	import_all(&l);
	publish_more(l.f->store, "d/x.tmp", "a run published it");
	ok(sync_main(&l, false, NULL, &err));
	put(&l, "d/x.tmp", "mine");
	struct tv_sha tip = tip_of(l.f->store, "main");
	const struct file gone = { "d", NULL, 0 };
	struct tv_published out;
	ok(publish_files(l.f->store, "main", &tip, &gone, 1, &out, &err));
	publish_more(l.f->store, "d", "a file");
	fails(-TV_E_CONFLICT, sync_main(&l, false, NULL, &err));
	is(holds(&l, "d/x.tmp", "mine") && holds(&l, "d/x", "1"));
	ok(sync_main(&l, true, NULL, &err));
	is(holds(&l, "d", "a file"));
	tv_worktree_close(&l.w);
}

/* In a namespace of its own: nothing of it outlives the process. */
static int force_over_a_mount(void *arg)
{
	struct fixture *f = arg;
	struct tv_err err = TV_ERR_INIT;
	struct live l;
	char path[512], disk[512];
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 77;
	open_store(f);
	live_open(&l, f);
	put(&l, "d/x", "1");
	put(&l, "e/f/x", "1");
	import_all(&l);
	publish_more(f->store, "d", NULL);
	publish_more(f->store, "d", "a file");
	publish_more(f->store, "e", NULL);
	publish_more(f->store, "e", "a file");
	snprintf(disk, sizeof(disk), "%s/disk", f->dir);
	is(mkdir(disk, 0755) == 0);
	snprintf(path, sizeof(path), "%s/disk/precious", f->dir);
	is(mknod(path, S_IFREG | 0644, 0) == 0);
	live_path(&l, "d", path);
	is(mount(disk, path, NULL, MS_BIND, NULL) == 0);
	fails(-TV_E_CONFLICT, sync_main(&l, false, NULL, &err));
	fails(-EBUSY, sync_main(&l, true, NULL, &err));
	is(holds(&l, "d/precious", "") && holds(&l, "e/f/x", "1"));
	is(umount(path) == 0);
	live_path(&l, "e/f", path);
	is(mount(disk, path, NULL, MS_BIND, NULL) == 0);
	fails(-TV_E_CONFLICT, sync_main(&l, false, NULL, &err));
	is(sync_main(&l, true, NULL, &err) < 0);
	is(holds(&l, "e/f/precious", ""));
	is(umount(path) == 0);
	ok(sync_main(&l, true, NULL, &err));
	is(holds(&l, "d", "a file") && holds(&l, "e", "a file"));
	tv_worktree_close(&l.w);
	close_store(f);
	return 0;
}

static void a_mount_point_is_never_emptied(void **state)
{
	struct fixture *f = *state;
	close_store(f);
	int status = wait_child(fork_child(force_over_a_mount, f));
	if (status == 77)
		cannot("no right to mount");
	is(status == 0);
}

static void what_a_sync_leaves_is_no_change(void **state)
{
	struct live l;
	struct tv_err err = TV_ERR_INIT;
	char path[512];
	live_open(&l, *state);
	put(&l, "a", "1");
	put(&l, "d/e/x", "1");
	import_all(&l);
	/* Ignored files keep folders that others removed; a commit does not bring these back. */
	put(&l, "d/e/x.lock", "mine");
	struct tv_sha tip = tip_of(l.f->store, "main");
	const struct file gone = { "d", NULL, 0 };
	struct tv_published out;
	ok(publish_files(l.f->store, "main", &tip, &gone, 1, &out, &err));
	ok(sync_main(&l, false, NULL, &err));
	is(holds(&l, "d/e/x.lock", "mine") && holds(&l, "d/e/x", NULL));
	is(import_all(&l).unchanged);
	/* An empty folder is content, and so is one that holds anything else. */
	live_path(&l, "d/empty", path);
	is(mkdir(path, 0755) == 0);
	out = import_all(&l);
	is(!out.unchanged && out.root.files == 1);
	struct tv_entry e;
	const struct tv_node_source *nodes = tv_store_nodes(l.f->store);
	ok(tv_tree_lookup(nodes, &out.root, "d/empty", &e, NULL, &err));
	fails(-ENOENT, tv_tree_lookup(nodes, &out.root, "d/e", &e, NULL, &err));
	put(&l, "d/e/f/g", "1");
	out = import_all(&l);
	is(main_has(l.f->store, "d/e/f/g", "1") && out.root.files == 2);
	fsck_is_clean(l.f->store);
	tv_worktree_close(&l.w);
}

static int commit_slowly(void *arg)
{
	struct fixture *f = arg;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	struct live l;
	open_store(f);
	live_open(&l, f);
	put(&l, "a", "2");
	struct tv_import how = how_to_import();
	how.settle_ns = 1000000000;
	ok(tv_worktree_import(f->store, &l.w, &how, &out, NULL, NULL, &err));
	tv_worktree_close(&l.w);
	close_store(f);
	return 0;
}

/* A sync that waits for a commit of its folder does not take the folder back behind it. */
static void goes_to_where_the_ref_is(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct live l;
	live_open(&l, f);
	put(&l, "a", "1");
	import_all(&l);
	tv_worktree_close(&l.w);
	close_store(f);
	pid_t child = fork_child(commit_slowly, f);
	open_store(f);
	live_open(&l, f);
	struct tv_sha tip = tip_of(f->store, "main"), at = tip;
	struct tv_sync how = { .ref = "main", .at = &at };
	usleep(400000); /* by now it has the lock */
	ok(tv_worktree_sync(f->store, &l.w, &tip, &how, NULL, &err));
	is(wait_child(child) == 0);
	is(holds(&l, "a", "2") && main_has(f->store, "a", "2"));
	tip = tip_of(f->store, "main");
	is(tv_sha_eq(&tip, &at) && tv_sha_eq(&l.w.base, &at));
	tv_worktree_close(&l.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(brings_every_kind_of_change),
		store_test(an_empty_folder_gets_everything),
		store_test(links_and_modes),
		store_test(refuses_local_changes),
		store_test(kinds_in_the_way),
		store_test(in_every_order_on_disjoint_paths),
		store_test(in_every_order_on_one_path),
		store_test(a_partial_commit_then_a_sync),
		store_test(a_killed_sync_is_repeated),
		store_test(a_commit_waits_for_a_sync),
		store_test(a_file_that_came_into_a_folder_which_goes),
		store_test(an_ignored_file_in_a_folder_which_goes),
		store_test(a_mount_point_is_never_emptied),
		store_test(what_a_sync_leaves_is_no_change),
		store_test(goes_to_where_the_ref_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
