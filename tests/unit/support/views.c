#include "tests/unit/support/views.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/path.h"

const struct tv_caller me = { 0, 0, 1 };

static int get_node(void *arg, const struct tv_addr *addr, struct tv_node **out, struct tv_err *err)
{
	struct views *f = arg;
	if (f->node_error)
		return tv_err_set(err, f->node_error, "as the test wants");
	/* Not through the memory store's own source, which counts and so belongs to one thread. */
	const uint64_t *at_index = tv_map16_get(&f->nodes.index, addr->b);
	const void *bytes;
	if (!at_index)
		return tv_err_set(err, -TV_E_DAMAGED, "node is missing");
	size_t n = tv_node_bytes(f->nodes.nodes[*at_index], &bytes);
	return tv_node_load(bytes, n, addr, out, err);
}

/* A blob as the store has it: a file that was opened for reading only. */
static int open_blob(void *arg, const struct tv_addr *addr)
{
	struct views *f = arg;
	char proc[32];

	if (f->blob_error)
		return f->blob_error;
	for (size_t i = 0; i < f->n_texts; i++) {
		if (!tv_addr_eq(&f->texts[i].addr, addr))
			continue;
		tv_autoclose int fd = memfd_create("blob", MFD_CLOEXEC);
		size_t n = strlen(f->texts[i].text);
		assert_int_equal(write(fd, f->texts[i].text, n), n);
		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
		return open(proc, O_RDONLY | O_CLOEXEC);
	}
	return -EIO;
}

void freeze(struct views *f, const char *path, const char *text, uint16_t mode)
{
	struct tv_edit edit = { .path = path, .entry = file_entry(text, mode, FROZEN_TIME) };
	assert_true(f->n_texts < TEXTS_MAX);
	f->texts[f->n_texts].addr = edit.entry.addr;
	f->texts[f->n_texts++].text = text;
	f->root = edit_stored(&f->nodes, &f->root, &edit, 1);
}

static void freeze_rest(struct views *f)
{
	struct tv_edit rest[] = {
		{ .path = "bare", .entry = dir_entry(0750, FROZEN_TIME) },
		{ .path = "d", .entry = dir_entry(0755, FROZEN_TIME) },
		{ .path = "d/e", .entry = dir_entry(0755, FROZEN_TIME) },
		{ .path = "link", .entry = link_entry("a.txt", FROZEN_TIME) },
	};
	f->root = edit_stored(&f->nodes, &f->root, rest, TV_ARRAY_LEN(rest));
	f->root.mtime_ns = FROZEN_TIME;
}

int views_setup(void **state)
{
	static char longest[256];
	struct views *f = calloc(1, sizeof(*f));
	char path[96];

	snprintf(f->dir, sizeof(f->dir), "/tmp/tv-view-XXXXXX");
	if (!f || !mkdtemp(f->dir))
		return -1;
	umask(0); /* as in the daemon */
	snprintf(path, sizeof(path), "%s/overlay", f->dir);
	if (mkdir(path, 0755) < 0 || (f->overlay = open(path, O_RDONLY | O_DIRECTORY)) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/data", f->dir);
	if (mkdir(path, 0755) < 0 || (f->data = open(path, O_RDONLY | O_DIRECTORY)) < 0)
		return -1;
	mem_store_init(&f->nodes);
	f->source = (struct tv_node_source){ get_node, f };
	f->root = empty_stored(&f->nodes);
	memset(longest, 'n', 255);
	freeze(f, "a.txt", "one", 0644);
	freeze(f, "b.txt", "two two", 0644);
	freeze(f, "exec", "#!", 0755);
	freeze(f, "private", "secret", 0600);
	freeze(f, "empty", "", 0644);
	freeze(f, "d/x", "x", 0644);
	freeze(f, "d/y", "y", 0644);
	freeze(f, "d/e/z", "z", 0644);
	freeze(f, "routed.json", "frozen", 0644);
	freeze(f, longest, "long", 0644);
	freeze(f, "new\nline", "newline", 0644);
	freeze(f, "back\\slash", "backslash", 0644);
	freeze(f, "caf\xe9", "latin", 0644);
	freeze_rest(f);
	views_config(f);
	*state = f;
	return 0;
}

int views_teardown(void **state)
{
	struct views *f = *state;
	tv_view_free(f->view);
	assert_int_equal(f->live_ids, 0);
	assert_int_equal(f->writable_blobs, 0);
	mem_store_free(&f->nodes);
	close(f->overlay);
	close(f->data);
	int r = tv_io_remove_tree(AT_FDCWD, f->dir, NULL);
	free(f);
	return r;
}

void views_config(struct views *f)
{
	f->config = (struct tv_view_config){
		.nodes = &f->source,
		.root = &f->root,
		.commit = "c0ffee",
		.blobs = { open_blob, f },
		.overlay_dirfd = -1,
		.data_dirfd = -1,
		.uid = geteuid(),
		.gid = getegid(),
	};
}

static void note_stale(void *arg, struct tv_inode *inode)
{
	struct views *f = arg;
	f->stale++;
	f->last_stale = inode;
}

void views_start(struct views *f)
{
	struct tv_err err = TV_ERR_INIT;
	check(tv_view_new(&f->config, &f->view, &err), &err);
	tv_view_use_teller(f->view, &(struct tv_teller){ .stale = note_stale, .arg = f });
}

void views_overlay(struct views *f)
{
	f->config.overlay_dirfd = f->overlay;
	views_start(f);
}

void views_restart(struct views *f)
{
	tv_view_free(f->view);
	f->view = NULL;
	views_start(f);
}

/* --- passthrough ----------------------------------------------------------------------------- */

static int backing_open(void *arg, int fd)
{
	struct views *f = arg;
	char proc[32], target[64] = "";

	if (f->refuse)
		return f->refuse;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	assert_true(readlink(proc, target, sizeof(target) - 1) > 0);
	if (strstr(target, "memfd:blob") && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY)
		f->writable_blobs++;
	f->live_ids++;
	return ++f->registered;
}

static void backing_close(void *arg, int id)
{
	struct views *f = arg;
	assert_true(id > 0 && id <= f->registered);
	f->live_ids--;
}

void use_passthrough(struct views *f)
{
	struct tv_backing backing = { backing_open, backing_close, f };
	tv_view_use_backing(f->view, &backing);
}

/* --- by paths -------------------------------------------------------------------------------- */

void let_go(struct views *f, struct tv_inode *inode)
{
	if (inode && inode != tv_view_root(f->view))
		tv_view_forget(f->view, inode, 1);
}

/* One step; the folder is let go. */
static int step(struct views *f, struct tv_inode *dir, const char *name, struct tv_found *found)
{
	int r = tv_view_lookup(f->view, dir, name, &me, found);
	let_go(f, dir);
	return r;
}

static int walk(struct views *f, const char *path, struct tv_found *found)
{
	const char *rest = path, *part;
	char name[4096];
	size_t n;

	found->inode = tv_view_root(f->view);
	int r = tv_view_getattr(f->view, found->inode, NULL, found);
	found->inode = tv_view_root(f->view);
	while (r == 0 && found->inode && tv_path_next(&rest, &part, &n)) {
		memcpy(name, part, n);
		name[n] = '\0';
		r = step(f, found->inode, name, found);
	}
	return r;
}

struct tv_inode *at_stat(struct views *f, const char *path, struct stat *st)
{
	struct tv_found found;
	int r = walk(f, path, &found);
	if (r < 0) {
		errno = -r;
		return NULL;
	}
	errno = ENOENT;
	if (st)
		*st = found.st;
	return found.inode;
}

struct tv_inode *at(struct views *f, const char *path)
{
	return at_stat(f, path, NULL);
}

bool is_there(struct views *f, const char *path)
{
	struct tv_inode *inode = at(f, path);
	let_go(f, inode);
	return inode;
}

uint64_t ino_of(struct views *f, const char *path)
{
	struct stat st = { .st_ino = 0 };
	let_go(f, at_stat(f, path, &st));
	return st.st_ino;
}

struct tv_inode *folder_of(struct views *f, const char *path, const char **name)
{
	*name = tv_path_base(path);
	tv_autofree char *folder = strndup(path, *name > path ? (size_t)(*name - path) - 1 : 0);
	struct tv_inode *dir = at(f, folder);
	assert_non_null(dir);
	return dir;
}

int do_open(struct views *f, const char *path, int flags, struct tv_file **out)
{
	int r = -ESTALE;
	for (int tries = 0; r == -ESTALE && tries < 3; tries++) { /* as the kernel does */
		struct tv_inode *inode = at(f, path);
		if (!inode)
			return -errno;
		r = tv_file_open(f->view, inode, flags, &me, out);
		let_go(f, inode);
	}
	return r;
}

int do_write(struct views *f, const char *path, const char *text)
{
	struct tv_found found;
	struct tv_file *file;
	const char *name;
	struct tv_inode *dir = folder_of(f, path, &name);
	int r = tv_view_create(f->view, dir, name, 0644, O_CREAT | O_WRONLY | O_TRUNC, &me, &found,
			       &file);
	let_go(f, dir);
	if (r < 0)
		return r;
	ssize_t n = tv_file_write(f->view, file, text, strlen(text), 0, &me);
	tv_file_close(f->view, file);
	let_go(f, found.inode);
	return n < 0 ? (int)n : 0;
}

int do_mkdir_at(struct views *f, const char *path, mode_t mode)
{
	struct tv_found found;
	const char *name;
	struct tv_inode *dir = folder_of(f, path, &name);
	int r = tv_view_mkdir(f->view, dir, name, mode, &me, &found);
	let_go(f, dir);
	if (r == 0)
		let_go(f, found.inode);
	return r;
}

int do_unlink(struct views *f, const char *path)
{
	const char *name;
	struct tv_inode *dir = folder_of(f, path, &name);
	int r = tv_view_unlink(f->view, dir, name);
	let_go(f, dir);
	return r;
}

int do_rmdir(struct views *f, const char *path)
{
	const char *name;
	struct tv_inode *dir = folder_of(f, path, &name);
	int r = tv_view_rmdir(f->view, dir, name);
	let_go(f, dir);
	return r;
}

int do_rename(struct views *f, const char *from, const char *to, unsigned flags)
{
	const char *name, *new_name;
	struct tv_inode *a = folder_of(f, from, &name), *b = folder_of(f, to, &new_name);
	int r = tv_view_rename(f->view, a, name, b, new_name, flags);
	let_go(f, a);
	let_go(f, b);
	return r;
}

int do_link(struct views *f, const char *from, const char *to)
{
	int r = -ESTALE;
	for (int tries = 0; r == -ESTALE && tries < 3; tries++) {
		struct tv_found found;
		const char *name;
		struct tv_inode *inode = at(f, from), *dir = folder_of(f, to, &name);
		assert_non_null(inode);
		r = tv_view_link(f->view, inode, dir, name, &me, &found);
		let_go(f, inode);
		let_go(f, dir);
		if (r == 0)
			let_go(f, found.inode);
	}
	return r;
}

static int do_set(struct views *f, const char *path, const struct tv_setattr *set)
{
	int r = -ESTALE;
	for (int tries = 0; r == -ESTALE && tries < 3; tries++) {
		struct tv_found found;
		struct tv_inode *inode = at(f, path);
		assert_non_null(inode);
		r = tv_view_setattr(f->view, inode, NULL, set, &me, &found);
		let_go(f, inode);
	}
	return r;
}

int do_chmod(struct views *f, const char *path, mode_t mode)
{
	return do_set(f, path, &(struct tv_setattr){ .which = TV_SET_MODE, .mode = mode });
}

int do_truncate(struct views *f, const char *path, off_t size)
{
	return do_set(f, path, &(struct tv_setattr){ .which = TV_SET_SIZE, .size = size });
}

const char *text_of(struct views *f, struct tv_file *file)
{
	static char text[4096 + 1]; /* of a passed handle a page is given and no more */
	ssize_t n = tv_file_read(f->view, file, text, sizeof(text) - 1, 0);
	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

const char *text_at(struct views *f, const char *path)
{
	struct tv_file *file = NULL;
	int r = do_open(f, path, O_RDONLY, &file);
	if (r < 0)
		return "(cannot be opened)";
	const char *text = text_of(f, file);
	tv_file_close(f->view, file);
	return text;
}

/* --- listings -------------------------------------------------------------------------------- */

struct listing {
	char names[512][256];
	size_t n;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static const char *joined(struct listing *l)
{
	static char text[65536];
	size_t at_byte = 0;
	qsort(l->names, l->n, sizeof(l->names[0]), by_text);
	text[0] = '\0';
	for (size_t i = 0; i < l->n; i++)
		at_byte += (size_t)snprintf(text + at_byte, sizeof(text) - at_byte, "%s%s",
					    i ? " " : "", l->names[i]);
	return text;
}

static int take(void *arg, const struct tv_listed *e)
{
	struct listing *l = arg;
	if (!strcmp(e->name, ".") || !strcmp(e->name, ".."))
		return 0;
	assert_true(l->n < TV_ARRAY_LEN(l->names));
	snprintf(l->names[l->n++], sizeof(l->names[0]), "%s", e->name);
	return 0;
}

const char *names_at(struct views *f, const char *path)
{
	static struct listing l;
	struct tv_inode *dir = at(f, path);
	l.n = 0;
	assert_non_null(dir);
	assert_int_equal(tv_folder_read_once(f->view, dir, 0, false, take, &l), 0);
	let_go(f, dir);
	return joined(&l);
}

char *disk_path(struct views *f, const char *path)
{
	static char full[512];
	snprintf(full, sizeof(full), "%s/%s", f->dir, path);
	return full;
}

const char *disk_at(struct views *f, const char *path)
{
	static struct listing l;
	tv_autoclosedir DIR *d = opendir(disk_path(f, path));
	l.n = 0;
	for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			snprintf(l.names[l.n++], sizeof(l.names[0]), "%s", e->d_name);
	return joined(&l);
}

void disk_write(struct views *f, const char *path, const char *text)
{
	tv_autoclose int fd = open(disk_path(f, path), O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}
