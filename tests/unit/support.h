/*
 * What the unit tests of store/ share: a temp folder with a store in it, small trees, children.
 * A child made by fork_child opens its own store; when one of its checks fails it exits with 99.
 */
#ifndef TV_TESTS_UNIT_SUPPORT_H
#define TV_TESTS_UNIT_SUPPORT_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/path.h"
#include "store/publish.h"
#include "store/store.h"

struct fixture {
	char dir[64];
	char folder[80]; /* of the store */
	struct tv_store *store;
};

/* The process that cmocka runs in; set by the set-up. */
static pid_t support_parent;

static inline void check_at(bool good, int r, const struct tv_err *err, const char *what,
			    const char *file, int line)
{
	if (good)
		return;
	fprintf(stderr, "%s:%d: %s: %d (%s)\n", file, line, what, r, err ? err->text : "");
	if (getpid() != support_parent)
		_exit(99);
	_fail(file, line);
	abort(); /* it does not come back, but its declaration does not say so */
}

/* Works in children too, where cmocka's own checks do not. */
#define is(condition) check_at((condition), 0, NULL, #condition, __FILE__, __LINE__)

/* The call succeeds / fails with this code and says something. They use a variable `err`. */
#define ok(call)                                                                                   \
	do {                                                                                       \
		int ok_r = (call);                                                                 \
		check_at(ok_r >= 0, ok_r, &err, #call, __FILE__, __LINE__);                        \
	} while (0)
#define fails(want, call)                                                                          \
	do {                                                                                       \
		tv_err_clear(&err);                                                                \
		int fails_r = (call);                                                              \
		check_at(fails_r == (want) && err.code == (want) && err.text[0], fails_r, &err,    \
			 #call " is " #want, __FILE__, __LINE__);                                  \
	} while (0)

/* A test that cannot run here: says why, is counted as skipped. */
#define cannot(...)                                                                                \
	do {                                                                                       \
		print_message("machine cannot: " __VA_ARGS__);                                     \
		print_message("\n");                                                               \
		skip();                                                                            \
	} while (0)

static inline int dir_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *tmp = getenv("TMPDIR");
	if (!f)
		return -1;
	if (!tmp || strlen(tmp) > 32)
		tmp = "/tmp";
	snprintf(f->dir, sizeof(f->dir), "%s/tv-unit-XXXXXX", tmp);
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->folder, sizeof(f->folder), "%s/" TV_STORE_FOLDER, f->dir);
	support_parent = getpid();
	*state = f;
	return 0;
}

static inline int dir_teardown(void **state)
{
	struct fixture *f = *state;
	tv_store_close(f->store);
	int r = tv_io_remove_tree(AT_FDCWD, f->dir, NULL);
	free(f);
	return r;
}

static inline int store_setup(void **state)
{
	struct tv_err err = TV_ERR_INIT;
	if (dir_setup(state) < 0)
		return -1;
	struct fixture *f = *state;
	if (tv_store_create(f->folder, -1, &err) == 0 &&
	    tv_store_open(f->folder, &f->store, &err) == 0)
		return 0;
	print_error("%s\n", err.text);
	return -1;
}

#define store_test(name) cmocka_unit_test_setup_teardown(name, store_setup, dir_teardown)
#define dir_test(name) cmocka_unit_test_setup_teardown(name, dir_setup, dir_teardown)

/* --- children -------------------------------------------------------------------------------- */

static inline pid_t fork_child(int (*body)(void *arg), void *arg)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		_exit(body(arg));
	}
	assert_true(pid > 0);
	return pid;
}

static inline int wait_child(pid_t pid)
{
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Children open the store themselves: no handle may be carried over fork. */
static inline void close_store(struct fixture *f)
{
	tv_store_close(f->store);
	f->store = NULL;
}

static inline void open_store(struct fixture *f)
{
	struct tv_err err = TV_ERR_INIT;
	ok(tv_store_open(f->folder, &f->store, &err));
}

/* --- small trees ----------------------------------------------------------------------------- */

#define A_TIME INT64_C(1700000000000000000)

/* What visitors note, each with a space behind it. */
struct words {
	char text[256];
};

static inline void add_word(struct words *w, const char *word)
{
	size_t used = strlen(w->text);
	snprintf(w->text + used, sizeof(w->text) - used, "%s ", word);
}

struct file {
	const char *path, *text; /* text NULL: remove */
	int64_t mtime_ns;	 /* 0: A_TIME */
};

static inline int add_file(struct tv_blobs *blobs, const struct file *f, struct tv_edit *edit,
			   struct tv_err *err)
{
	struct tv_blob blob;
	*edit = (struct tv_edit){ .path = f->path, .remove = !f->text };
	if (!f->text)
		return 0;
	int r = tv_blobs_add_bytes(blobs, f->text, strlen(f->text), &blob, err);
	edit->entry = (struct tv_entry){ .kind = TV_FILE, .mode = 0644 };
	edit->entry.mtime_ns = f->mtime_ns ? f->mtime_ns : A_TIME;
	edit->entry.size = blob.size;
	edit->entry.addr = blob.addr;
	edit->entry.sha = blob.sha;
	return r;
}

/* What a publisher does: the base's tree with these files changed, then publish `p` with it, its
 * nodes and blobs. */
static inline int publish_with(struct tv_store *s, const struct tv_publish *p,
			       const struct file *files, size_t n, struct tv_published *out,
			       struct tv_conflicts *conflicts, struct tv_err *err)
{
	struct tv_publish whole = *p;
	struct tv_node_batch *nodes = NULL;
	struct tv_blobs *blobs = NULL;
	struct tv_entry root, ours;
	tv_autocommit struct tv_commit base = TV_COMMIT_INIT;
	tv_autofree struct tv_edit *edits = calloc(n + 1, sizeof(*edits));

	int r = tv_node_batch_new(tv_store_nodes(s), &nodes, err);
	if (r == 0)
		r = p->base ? tv_commit_get(s, p->base, &base, err)
			    : tv_tree_empty(nodes, &root, err);
	if (r == 0)
		r = tv_blobs_begin(s, &blobs, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = add_file(blobs, &files[i], &edits[i], err);
	if (r == 0)
		r = tv_blobs_place(blobs, err);
	if (r == 0)
		r = tv_tree_edit(nodes, p->base ? &base.root : &root, edits, n, &ours, err);
	whole.ref_kind = p->ref_kind ? p->ref_kind : TV_REF_BRANCH;
	whole.ours = &ours;
	whole.nodes = nodes;
	whole.blobs = blobs;
	if (r == 0)
		r = tv_publish(s, &whole, out, conflicts, err);
	tv_blobs_free(blobs);
	tv_node_batch_free(nodes);
	return r;
}

static inline int publish_files(struct tv_store *s, const char *ref, const struct tv_sha *base,
				const struct file *files, size_t n, struct tv_published *out,
				struct tv_err *err)
{
	struct tv_publish p = { .ref = ref, .base = base, .author = "a", .message = "m" };
	return publish_with(s, &p, files, n, out, NULL, err);
}

/* publish_one(s, base or NULL, path, text): a commit on main; its id. */
static inline struct tv_sha publish_one(struct tv_store *s, const struct tv_sha *base,
					const char *path, const char *text)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	struct file f = { .path = path, .text = text };
	memset(&out, 0, sizeof(out));
	ok(publish_files(s, "main", base, &f, 1, &out, &err));
	return out.commit;
}

#endif
