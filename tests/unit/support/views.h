/*
 * What the tests of fs/ share: a small frozen tree in memory, an overlay in a temp folder, a view of both,
 * and short ways to act on it by paths. Failures end the running test.
 */
#ifndef TV_TESTS_UNIT_SUPPORT_VIEWS_H
#define TV_TESTS_UNIT_SUPPORT_VIEWS_H

#include "fs/file.h"
#include "fs/folder.h"
#include "tests/unit/support/trees.h"

#define FROZEN_TIME INT64_C(1500000000123456789)
#define TEXTS_MAX 64

struct views {
	char dir[64];
	int overlay, data; /* descriptors; the folders dir/overlay and dir/data */
	struct mem_store nodes;
	struct tv_node_source source; /* nodes, unless node_error is set */
	int node_error;		      /* what reading a node gives; 0: the node */
	int blob_error;
	struct {
		struct tv_addr addr;
		const char *text;
	} texts[TEXTS_MAX];
	size_t n_texts;
	struct tv_entry root;
	struct tv_view *view;
	struct tv_view_config config; /* as the view was made */
	/* A stand-in for the kernel's passthrough. */
	int registered, live_ids, refuse; /* refuse: -errno that registering gives */
	int writable_blobs; /* registered while a writable open was asked for: must be 0 */
	/* How often it was told that attributes are stale, and whose. */
	_Atomic int stale;
	struct tv_inode *_Atomic last_stale;
};

/* a.txt, b.txt, exec (0755), private (0600), empty, bare/, d/{x,y,e/z}, link -> a.txt, routed.json, long
 * and odd names. All of FROZEN_TIME. */
int views_setup(void **state);
int views_teardown(void **state);
#define view_test(name) cmocka_unit_test_setup_teardown(name, views_setup, views_teardown)

/* Adds one file to the frozen tree; before a view is made. */
void freeze(struct views *f, const char *path, const char *text, uint16_t mode);

/* Makes the view with an overlay; or with what is in f->config, after views_config. */
void views_config(struct views *f); /* defaults */
void views_start(struct views *f);
void views_overlay(struct views *f); /* both */
void views_restart(struct views *f);
void use_passthrough(struct views *f);

extern const struct tv_caller me;

/* The inode at a path, with one look-up: forget it. NULL: absent. */
struct tv_inode *at(struct views *f, const char *path);
struct tv_inode *at_stat(struct views *f, const char *path, struct stat *st);
void let_go(struct views *f, struct tv_inode *inode);
/* The inode of a path's folder (with a look-up), and its last name. */
struct tv_inode *folder_of(struct views *f, const char *path, const char **name);
bool is_there(struct views *f, const char *path);
uint64_t ino_of(struct views *f, const char *path);

int do_open(struct views *f, const char *path, int flags, struct tv_file **out);
int do_write(struct views *f, const char *path, const char *text); /* makes it, or truncates it */
int do_mkdir_at(struct views *f, const char *path, mode_t mode);
int do_unlink(struct views *f, const char *path);
int do_rmdir(struct views *f, const char *path);
int do_rename(struct views *f, const char *from, const char *to, unsigned flags);
int do_link(struct views *f, const char *from, const char *to);
int do_chmod(struct views *f, const char *path, mode_t mode);
int do_truncate(struct views *f, const char *path, off_t size);
/* Contents in a static buffer. */
const char *text_at(struct views *f, const char *path);
const char *text_of(struct views *f, struct tv_file *file);
/* Names of a folder, sorted, joined by spaces, without "." and ".."; a static buffer. */
const char *names_at(struct views *f, const char *path);
/* The same of a folder on disk below dir: "overlay", "overlay/d". */
const char *disk_at(struct views *f, const char *path);
void disk_write(struct views *f, const char *path, const char *text);
char *disk_path(struct views *f, const char *path); /* a static buffer */

#endif
