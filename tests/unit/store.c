/* store/store.c, node-cache.c, pidns.c: making, opening, finding a store; its nodes. */
#include "tests/unit/support.h"

#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>

#include "store/node-cache.h"
#include "store/pidns.h"

static mode_t mode_of(struct fixture *f, const char *name)
{
	char path[160];
	struct stat st;
	snprintf(path, sizeof(path), "%s/%s", f->folder, name);
	return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static void write_text(struct fixture *f, const char *name, const char *text)
{
	char path[160];
	snprintf(path, sizeof(path), "%s/%s", f->folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(tv_io_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static int open_code(struct fixture *f)
{
	struct tv_store *s = NULL;
	struct tv_err err = TV_ERR_INIT;
	int r = tv_store_open(f->folder, &s, &err);
	is(r == err.code && (r == 0 || err.text[0]));
	tv_store_close(s);
	return r;
}

/* --- making ---------------------------------------------------------------------------------- */

static void layout(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(mode_of(f, "."), 0700);
	assert_int_equal(mode_of(f, "format"), 0600);
	assert_int_equal(mode_of(f, "index/data.mdb"), 0600);
	assert_int_equal(mode_of(f, "index/lock.mdb"), 0600);
	assert_int_equal(mode_of(f, "blobs/00"), 0700);
	assert_int_equal(mode_of(f, "blobs/ff"), 0700);
	assert_int_equal(mode_of(f, "tmp"), 0700);
	assert_int_equal(mode_of(f, "live"), 0700);
	assert_string_equal(tv_store_folder(f->store), f->folder);
}

static void group_store(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	mode_t before = umask(077);
	ok(tv_store_create(f->folder, (int)getegid(), &err));
	umask(before);
	assert_int_equal(mode_of(f, "."), 02770);
	assert_int_equal(mode_of(f, "format"), 0660);
	assert_int_equal(mode_of(f, "pidns"), 0660);
	assert_int_equal(mode_of(f, "index"), 02770);
	assert_int_equal(mode_of(f, "index/data.mdb"), 0660);
	assert_int_equal(mode_of(f, "index/lock.mdb"), 0660);
	assert_int_equal(mode_of(f, "blobs/7f"), 02770);
	assert_int_equal(open_code(f), 0);
}

static void create_twice(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	fails(-EEXIST, tv_store_create(f->folder, -1, &err));
	fails(-ENOTEMPTY, tv_store_create(f->dir, -1, &err));
}

static int create_child(void *arg)
{
	struct fixture *f = arg;
	struct tv_err err = TV_ERR_INIT;
	int r = tv_store_create(f->folder, -1, &err);
	is(r == 0 || r == -EEXIST);
	return open_code(f) == 0 && r == 0;
}

static void create_at_once(void **state)
{
	pid_t pids[6];
	int made = 0;
	for (int i = 0; i < 6; i++)
		pids[i] = fork_child(create_child, *state);
	for (int i = 0; i < 6; i++) {
		int r = wait_child(pids[i]);
		assert_in_range(r, 0, 1);
		made += r;
	}
	assert_int_equal(made, 1);
}

/* What a killed creation leaves is no store, and no obstacle. */
static void creation_killed(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	for (int i = 0; i < 12; i++) {
		pid_t pid = fork_child(create_child, f);
		usleep(300 + 700 * (useconds_t)i);
		kill(pid, SIGKILL);
		wait_child(pid);
		int r = open_code(f);
		assert_true(r == 0 || r == -TV_E_NOSTORE);
		r = tv_store_create(f->folder, -1, &err);
		assert_true(r == 0 || r == -EEXIST);
		assert_int_equal(open_code(f), 0);
		assert_int_equal(tv_io_remove_tree(AT_FDCWD, f->folder, &err), 0);
	}
}

/* --- opening --------------------------------------------------------------------------------- */

static void formats(void **state)
{
	struct fixture *f = *state;
	close_store(f);
	static const struct {
		const char *text;
		int code;
	} table[] = {
		{ "tvfs store\nformat 1\n", 0 },
		{ "tvfs store\nformat 2\n", -TV_E_VERSION },
		{ "tvfs store\nformat 99\nmore\n", -TV_E_VERSION },
		{ "tvfs store\nformat 0\n", -TV_E_DAMAGED },
		{ "tvfs store\nformat x\n", -TV_E_DAMAGED },
		{ "tvfs store\n", -TV_E_DAMAGED },
		{ "", -TV_E_DAMAGED },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(table); i++) {
		write_text(f, "format", table[i].text);
		assert_int_equal(open_code(f), table[i].code);
	}
	char path[160];
	snprintf(path, sizeof(path), "%s/format", f->folder);
	unlink(path);
	assert_int_equal(open_code(f), -TV_E_NOSTORE);
}

static void parts_missing(void **state)
{
	struct fixture *f = *state;
	char path[160];
	close_store(f);
	snprintf(path, sizeof(path), "%s/tmp", f->folder);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(open_code(f), -TV_E_DAMAGED);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(open_code(f), 0);
	snprintf(path, sizeof(path), "%s/index/data.mdb", f->folder);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(open_code(f), -TV_E_DAMAGED);
}

static void no_store(void **state)
{
	struct fixture *f = *state;
	struct tv_store *s;
	struct tv_err err = TV_ERR_INIT;
	assert_int_equal(open_code(f), -TV_E_NOSTORE);
	fails(-TV_E_NOSTORE, tv_store_open("/dev/null", &s, &err));
	fails(-TV_E_NOSTORE, tv_store_open(f->dir, &s, &err));
}

static void found_upwards(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	char deep[160];
	snprintf(deep, sizeof(deep), "%s/a/b/c", f->dir);
	ok(tv_io_mkdirs(AT_FDCWD, deep, 0700, &err));
	tv_autofree char *found = NULL;
	ok(tv_store_find(deep, &found, &err));
	assert_string_equal(found, f->folder);
	tv_autofree char *none = NULL;
	fails(-TV_E_NOSTORE, tv_store_find("/proc", &none, &err));
	fails(-TV_E_NOSTORE, tv_store_find("/", &none, &err));
	fails(-ENOENT, tv_store_find("/does/not/exist", &none, &err));
}

/* LMDB would go on without reader locks; a store must not. */
static int read_only_child(void *arg)
{
	struct fixture *f = arg;
	struct tv_store *s;
	struct tv_err err = TV_ERR_INIT;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(f->folder, f->folder, NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, f->folder, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
		return 77;
	fails(-EROFS, tv_store_open(f->folder, &s, &err));
	return 0;
}

static void read_only_bind(void **state)
{
	close_store(*state);
	int r = wait_child(fork_child(read_only_child, *state));
	if (r == 77)
		cannot("make a private mount (not root)");
	assert_int_equal(r, 0);
}

/* --- PID namespaces -------------------------------------------------------------------------- */

static int try_open(void *arg)
{
	return -open_code(arg);
}

static int other_namespace_child(void *arg)
{
	if (unshare(CLONE_NEWPID | CLONE_NEWNS) < 0)
		return 77;
	/* /proc must show the namespace itself, as it does in a container. */
	pid_t pid = fork();
	if (pid == 0) {
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
		if (mount("proc", "/proc", "proc", 0, NULL) < 0)
			_exit(77);
		_exit(try_open(arg));
	}
	int status;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static void other_pid_namespace(void **state)
{
	struct fixture *f = *state;
	int r = wait_child(fork_child(other_namespace_child, f));
	if (r == 77)
		cannot("make a PID namespace (not root)");
	assert_int_equal(r, TV_E_LOCKED);
	/* Once nobody of ours has it open it is theirs to use, and then ours again. */
	close_store(f);
	assert_int_equal(wait_child(fork_child(other_namespace_child, f)), 0);
	open_store(f);
}

static void another_boot(void **state)
{
	struct fixture *f = *state;
	close_store(f);
	write_text(f, "pidns", "00000000-0000-0000-0000-000000000000 4026531836\n");
	pid_t pids[8];
	for (int i = 0; i < 8; i++)
		pids[i] = fork_child(try_open, f);
	for (int i = 0; i < 8; i++)
		assert_int_equal(wait_child(pids[i]), 0);
}

/* --- nodes ----------------------------------------------------------------------------------- */

static struct tv_node *make_node(const char *name)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_node_builder *b;
	struct tv_node *node = NULL;
	struct tv_entry e = { .kind = TV_FILE, .mode = 0644 };
	ok(tv_node_builder_new(0, &b, &err));
	ok(tv_node_builder_entry(b, name, strlen(name), &e, &err));
	ok(tv_node_builder_finish(b, &node, NULL, &err));
	tv_node_builder_free(b);
	return node;
}

static void cache_is_bounded(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_node_cache *c;
	enum { MAX = 64 << 10 };
	ok(tv_node_cache_new(MAX, &c, &err));
	struct tv_node *first = make_node("first");
	tv_node_cache_put(c, first);
	tv_node_cache_put(c, first);
	for (int i = 0; i < 2000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "n%d", i);
		struct tv_node *node = make_node(name);
		tv_node_cache_put(c, node);
		struct tv_node *again = tv_node_cache_get(c, tv_node_addr(node));
		assert_ptr_equal(again, node);
		tv_node_unref(again);
		tv_node_unref(node);
		/* what is used stays */
		again = tv_node_cache_get(c, tv_node_addr(first));
		assert_ptr_equal(again, first);
		tv_node_unref(again);
		struct tv_node_cache_figures f;
		tv_node_cache_figures(c, &f);
		assert_true(f.bytes && f.bytes <= MAX && f.entries && f.entries < 1000);
		assert_true(f.hits == 2 * (uint64_t)(i + 1) && f.misses == 0);
	}
	/* a smaller bound holds from the next one on, in the part where it is kept */
	tv_node_cache_limit(c, MAX / 4);
	for (int i = 0; i < 2000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "m%d", i);
		struct tv_node *node = make_node(name);
		tv_node_cache_put(c, node);
		tv_node_unref(node);
	}
	struct tv_node_cache_figures f;
	tv_node_cache_figures(c, &f);
	assert_true(f.bytes && f.bytes <= MAX / 4);
	tv_node_cache_free(c);
	ok(tv_node_cache_new(MAX, &c, &err));
	assert_null(tv_node_cache_get(c, tv_node_addr(first)));
	tv_node_cache_figures(c, &f);
	assert_true(f.misses == 1 && f.hits + f.entries + f.bytes == 0);
	tv_node_unref(first);
	tv_node_cache_free(c);
}

struct planted {
	struct tv_addr addr;
	const void *bytes;
	size_t n;
};

static int plant(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct planted *p = arg;
	return tv_kv_put(t, TV_T_NODES, tv_bytes(p->addr.b, 16), tv_bytes(p->bytes, p->n), err);
}

/* A batch with the top directory of a commit. */
struct put {
	struct tv_store *store;
	struct tv_node_batch *batch;
	struct tv_addr root;
};

static int put_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct put *p = arg;
	return tv_store_put_nodes(p->store, t, p->batch, &p->root, err);
}

static void damaged_nodes(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_sha id = publish_one(f->store, NULL, "a", "1");
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	struct tv_node *node;
	const void *bytes;

	ok(tv_commit_get(f->store, &id, &c, &err));
	const struct tv_node_source *src = tv_store_nodes(f->store);
	ok(src->get(src->arg, &c.root.addr, &node, &err));
	size_t n = tv_node_bytes(node, &bytes);
	tv_autofree uint8_t *bad = malloc(n);
	memcpy(bad, bytes, n);
	bad[n / 2] ^= 1;
	struct planted p = { c.root.addr, bad, n };
	ok(tv_kv_write(tv_store_kv(f->store), plant, &p, &err));

	close_store(f); /* which empties the cache */
	open_store(f);
	src = tv_store_nodes(f->store);
	struct tv_node *other;
	fails(-TV_E_DIGEST, src->get(src->arg, &c.root.addr, &other, &err));
	p.addr.b[0] ^= 1;
	fails(-TV_E_DAMAGED, src->get(src->arg, &p.addr, &other, &err));

	/* Whoever puts the same node again heals it. */
	struct put put = { .store = f->store, .root = c.root.addr };
	ok(tv_node_batch_new(src, &put.batch, &err));
	ok(tv_node_batch_add(put.batch, node, &err));
	ok(tv_kv_write(tv_store_kv(f->store), put_body, &put, &err));
	ok(src->get(src->arg, &c.root.addr, &other, &err));
	tv_node_unref(other);
	tv_node_unref(node);
	tv_node_batch_free(put.batch);
}

static void *read_tree(void *arg)
{
	struct fixture *f = arg;
	struct tv_err err = TV_ERR_INIT;
	struct tv_ref ref;
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	ok(tv_ref_get(f->store, "main", &ref, &err));
	ok(tv_commit_get(f->store, &ref.commit, &c, &err));
	for (int i = 0; i < 200; i++) {
		struct tv_entry e;
		char path[16];
		snprintf(path, sizeof(path), "f%d", i);
		ok(tv_tree_lookup(tv_store_nodes(f->store), &c.root, path, &e, NULL, &err));
	}
	return NULL;
}

static void nodes_from_many_threads(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct file files[200];
	static char names[200][16];
	struct tv_published out;
	for (int i = 0; i < 200; i++) {
		snprintf(names[i], sizeof(names[i]), "f%d", i);
		files[i] = (struct file){ .path = names[i], .text = names[i] };
	}
	ok(publish_files(f->store, "main", NULL, files, 200, &out, &err));
	close_store(f);
	open_store(f);
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_tree, f), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(layout),
		dir_test(group_store),
		store_test(create_twice),
		dir_test(create_at_once),
		dir_test(creation_killed),
		store_test(formats),
		store_test(parts_missing),
		dir_test(no_store),
		store_test(found_upwards),
		store_test(read_only_bind),
		store_test(other_pid_namespace),
		store_test(another_boot),
		cmocka_unit_test(cache_is_bounded),
		store_test(damaged_nodes),
		store_test(nodes_from_many_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
