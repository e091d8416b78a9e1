#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/inode.h"
#include "store/base/cleanup.h"

static _Atomic size_t gone;

static void count_gone(void *arg, struct tv_inode *inode)
{
	(void)arg;
	(void)inode;
	gone++;
}

struct table {
	struct tv_inodes t;
	struct tv_inode *root;
};

static int setup(void **state)
{
	struct table *f = calloc(1, sizeof(*f));
	struct tv_inode proto = { .ino = TV_INO_FROZEN_ROOT,
				  .kind = TV_DIR,
				  .state = TV_INODE_ROOT };
	gone = 0;
	if (!f || tv_inodes_init(&f->t) < 0 || tv_inode_new(&f->t, &proto, &f->root) < 0)
		return -1;
	f->t.gone = count_gone;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct table *f = *state;
	/* What was added up for the dead was taken off again, whatever way their names went. */
	bool right = f->t.count != 1 || f->t.bytes == sizeof(struct tv_inode);
	tv_inodes_fini(&f->t);
	tv_inodes_fini(&f->t); /* a second time is fine */
	free(f);
	return right ? 0 : -1;
}

#define inode_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static struct tv_inode *add(struct table *f, struct tv_inode *parent, const char *name,
			    uint8_t kind)
{
	struct tv_inode proto = { .kind = kind }, *out;
	proto.ino = tv_ino_frozen(parent->ino, name, strlen(name));
	assert_int_equal(tv_inode_add(&f->t, parent, name, strlen(name), &proto, &out), 0);
	return out;
}

static struct tv_inode *find(struct table *f, struct tv_inode *parent, const char *name)
{
	return tv_inode_find(&f->t, parent, name, strlen(name));
}

static void test_found_by_name(void **state)
{
	struct table *f = *state;
	struct tv_inode *a = add(f, f->root, "a", TV_FILE);
	assert_null(find(f, f->root, "b"));
	assert_null(tv_inode_find(&f->t, f->root, "ab", 2));
	assert_ptr_equal(find(f, f->root, "a"), a);
	assert_ptr_equal(tv_inode_find(&f->t, f->root, "abc", 1), a); /* only n bytes count */
	assert_ptr_equal(add(f, f->root, "a", TV_FILE), a);	      /* the first one made stays */
	assert_int_equal(a->refs, 4);
	assert_int_equal(tv_inodes_count(&f->t), 2);
	for (int i = 0; i < 4; i++)
		tv_inode_put(&f->t, a);
	assert_int_equal(gone, 1);
	assert_null(find(f, f->root, "a"));
	tv_inode_put(&f->t, NULL);
}

static void test_memory(void **state)
{
	struct table *f = *state;
	size_t one = sizeof(struct tv_inode), alone = tv_inodes_bytes(&f->t);
	struct tv_inode *a = add(f, f->root, "a", TV_FILE);
	assert_int_equal(tv_inodes_bytes(&f->t), alone + one); /* there is room for a short name */
	struct tv_inode *b = add(f, f->root, "a longer name", TV_FILE);
	size_t long_one = tv_inodes_bytes(&f->t) - alone - one;
	assert_true(long_one > one && long_one < one + 14);
	assert_int_equal(tv_inode_link(&f->t, b, f->root, "c", 1), 0);
	assert_int_equal(tv_inodes_bytes(&f->t),
			 alone + one + long_one + sizeof(struct tv_link) + sizeof(void *) + 2);
	tv_inode_put(&f->t, a);
	tv_inode_unlink(&f->t, b, f->root, "a longer name", 13);
	assert_int_equal(tv_inodes_bytes(&f->t), alone + long_one + 2); /* "c" */
	tv_inode_put(&f->t, b);
	assert_int_equal(tv_inodes_bytes(&f->t), alone);
}

static void test_children_hold_their_parents(void **state)
{
	struct table *f = *state;
	struct tv_inode *d = add(f, f->root, "d", TV_DIR), *e = add(f, d, "e", TV_DIR),
			*z = add(f, e, "z", TV_FILE);
	tv_inode_put(&f->t, d);
	tv_inode_put(&f->t, e);
	assert_int_equal(gone, 0);
	assert_int_equal(tv_inodes_count(&f->t), 4);
	tv_inode_put(&f->t, z);
	assert_int_equal(gone, 3); /* the whole chain */
	assert_int_equal(tv_inodes_count(&f->t), 1);
	assert_int_equal(f->root->refs, 1);
}

static void look_for_parent(void *arg, struct tv_inode *inode)
{
	struct table *f = arg;
	(void)inode;
	assert_null(find(f, f->root, "d"));
	gone++;
}

/* Parents that die with their child are not found while it is put away: the lock is not held then. */
static void test_the_dead_are_not_found(void **state)
{
	struct table *f = *state;
	f->t.gone = look_for_parent;
	f->t.gone_arg = f;
	struct tv_inode *d = add(f, f->root, "d", TV_DIR), *x = add(f, d, "x", TV_FILE);
	tv_inode_put(&f->t, d);
	tv_inode_put(&f->t, x);
	assert_int_equal(gone, 2);
}

static void test_look_ups(void **state)
{
	struct table *f = *state;
	struct tv_inode *a = add(f, f->root, "a", TV_FILE);
	for (int i = 0; i < 3; i++)
		tv_inode_looked_up(&f->t, a);
	assert_int_equal(a->refs, 2); /* one for all of them */
	tv_inode_put(&f->t, a);
	tv_inode_forget(&f->t, a, 2);
	assert_int_equal(gone, 0);
	tv_inode_forget(&f->t, a, 100); /* more than there were: not trusted */
	assert_int_equal(gone, 1);
	tv_inode_forget(&f->t, f->root, 5); /* never looked up */
	assert_int_equal(f->root->refs, 1);
	/* A count that went over is not known any more: the inode stays. */
	a = add(f, f->root, "a", TV_FILE);
	tv_inode_looked_up(&f->t, a);
	a->nlookup = UINT32_MAX - 1;
	tv_inode_looked_up(&f->t, a);
	tv_inode_looked_up(&f->t, a);
	tv_inode_forget(&f->t, a, UINT64_MAX);
	assert_int_equal(a->nlookup, UINT32_MAX);
	tv_inode_put(&f->t, a);
	assert_ptr_equal(find(f, f->root, "a"), a);
	tv_inode_put(&f->t, a);
	assert_int_equal(gone, 1);
}

static void test_paths(void **state)
{
	struct table *f = *state;
	struct tv_inode *d = add(f, f->root, "d", TV_DIR), *z = add(f, d, "z z", TV_FILE);
	char buf[64], small[6];
	assert_string_equal(tv_inode_path(f->root, buf, sizeof(buf)), "");
	assert_string_equal(tv_inode_path(d, buf, sizeof(buf)), "d");
	assert_string_equal(tv_inode_path(z, buf, sizeof(buf)), "d/z z");
	assert_string_equal(tv_inode_path(z, small, 6), "d/z z"); /* just fits */
	assert_null(tv_inode_path(z, small, 5));
	assert_int_equal(errno, ENAMETOOLONG);
	tv_inode_unlink(&f->t, z, d, "z z", 3);
	assert_true(tv_inode_nameless(z));
	assert_null(tv_inode_path(z, buf, sizeof(buf)));
	assert_int_equal(errno, ENOENT);
	assert_false(tv_inode_nameless(f->root));
	tv_inode_put(&f->t, z);
	tv_inode_put(&f->t, d);
	assert_int_equal(gone, 2);
}

static void test_many_names(void **state)
{
	struct table *f = *state;
	struct tv_inode *d = add(f, f->root, "d", TV_DIR), *a = add(f, f->root, "a", TV_FILE);
	assert_int_equal(tv_inode_link(&f->t, a, d, "b", 1), 0);
	assert_int_equal(tv_inode_link(&f->t, a, d, "c", 1), 0);
	assert_int_equal(tv_inode_link(&f->t, a, d, "c", 1), 0); /* has it already */
	assert_ptr_equal(find(f, d, "b"), a);
	assert_ptr_equal(find(f, d, "c"), a);
	assert_non_null(tv_inode_link_of(&f->t, a, d, "c", 1));
	assert_null(tv_inode_link_of(&f->t, a, f->root, "c", 1));
	assert_null(tv_inode_link_of(&f->t, d, d, "c", 1)); /* another inode's */
	tv_inode_unlink(&f->t, a, f->root, "a", 1); /* the first goes: another takes its place */
	assert_null(find(f, f->root, "a"));
	assert_ptr_equal(find(f, d, "b"), a);
	tv_inode_unlink(&f->t, a, f->root, "a", 1); /* not its name any more */
	tv_inode_unlink(&f->t, d, d, "b", 1);	    /* another inode's name */
	tv_inode_unlink(&f->t, a, d, "c", 1);
	assert_ptr_equal(find(f, d, "b"), a);
	tv_inode_unlink(&f->t, a, d, "b", 1);
	assert_true(tv_inode_nameless(a));
	assert_int_equal(d->refs, 1);
	while (a->refs > 1)
		tv_inode_put(&f->t, a);
	tv_inode_put(&f->t, a);
	tv_inode_put(&f->t, d);
	assert_int_equal(gone, 2);
}

static void test_known_by_the_disks_number(void **state)
{
	struct table *f = *state;
	struct tv_inode *a = add(f, f->root, "a", TV_FILE);
	assert_null(tv_inode_find_upper(&f->t, 77));
	tv_inode_set_upper(&f->t, a, 77);
	struct tv_inode *same = tv_inode_find_upper(&f->t, 77);
	assert_ptr_equal(same, a);
	tv_inode_put(&f->t, same);
	tv_inode_set_upper(&f->t, a, 78);
	assert_null(tv_inode_find_upper(&f->t, 77));
	tv_inode_set_upper(&f->t, a, 0);
	assert_null(tv_inode_find_upper(&f->t, 78));
	tv_inode_set_upper(&f->t, a, 79);
	tv_inode_put(&f->t, a);
	assert_null(tv_inode_find_upper(&f->t, 79)); /* went with the inode */
}

static void test_hand_over(void **state)
{
	struct table *f = *state;
	struct tv_inode *a = add(f, f->root, "a", TV_FILE), *next;
	struct tv_inode proto = { .kind = TV_FILE, .ino = a->ino };
	tv_inode_set_upper(&f->t, a, 5);
	assert_int_equal(tv_inode_link(&f->t, a, f->root, "b", 1), 0);
	assert_int_equal(tv_inode_new(&f->t, &proto, &next), 0);
	assert_int_equal(tv_inode_hand_over(&f->t, a, next), 0);
	assert_true(tv_inode_nameless(a));
	for (const char *name = "a"; name; name = *name == 'a' ? "b" : NULL) {
		struct tv_inode *found = find(f, f->root, name);
		assert_ptr_equal(found, next);
		tv_inode_put(&f->t, found);
	}
	struct tv_inode *upper = tv_inode_find_upper(&f->t, 5);
	assert_ptr_equal(upper, next);
	tv_inode_put(&f->t, upper);
	tv_inode_put(&f->t, a);
	assert_int_equal(gone, 1);
	tv_inode_put(&f->t, next);
	assert_int_equal(gone, 2);
	assert_int_equal(f->root->refs, 1);
}

static void test_tables_grow(void **state)
{
	struct table *f = *state;
	enum { N = 5000 };
	static struct tv_inode *made[N];
	char name[16];
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		made[i] = add(f, f->root, name, TV_FILE);
		tv_inode_set_upper(&f->t, made[i], (uint64_t)i + 1000);
	}
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		assert_ptr_equal(find(f, f->root, name), made[i]);
		assert_ptr_equal(tv_inode_find_upper(&f->t, (uint64_t)i + 1000), made[i]);
		for (int k = 0; k < 3; k++)
			tv_inode_put(&f->t, made[i]);
	}
	assert_int_equal(gone, N);
	assert_int_equal(f->t.names, 0);
	assert_int_equal(f->t.uppers, 0);
}

/* Threads that find, name and drop the same few inodes: run under tsan. */
static void *churn(void *arg)
{
	struct table *f = arg;
	for (int i = 0; i < 20000; i++) {
		char name[2] = { (char)('a' + i % 5), 0 };
		struct tv_inode *inode = add(f, f->root, name, TV_FILE);
		tv_inode_looked_up(&f->t, inode);
		tv_inode_ref(&f->t, inode);
		tv_inode_put(&f->t, inode);
		tv_inode_put(&f->t, inode);
		struct tv_inode *again = find(f, f->root, name);
		tv_inode_put(&f->t, again);
		tv_inode_forget(&f->t, inode, 1);
		struct tv_inode *d = add(f, f->root, "d", TV_DIR), *x = add(f, d, name, TV_FILE);
		tv_inode_put(&f->t, d);
		tv_inode_put(&f->t, x);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct table *f = *state;
	pthread_t threads[4];
	for (size_t i = 0; i < TV_ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, f), 0);
	for (size_t i = 0; i < TV_ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(tv_inodes_count(&f->t), 1);
}

static void test_numbers(void **state)
{
	(void)state;
	uint64_t a = tv_ino_frozen(1, "a", 1);
	assert_true(a == tv_ino_frozen(1, "a", 1) && a != tv_ino_frozen(1, "b", 1));
	assert_true(a != tv_ino_frozen(2, "a", 1));
	assert_true(a > TV_INO_TOP && !(a >> 63));
	assert_true(TV_INO_BORN(5) >> 63); /* never that of a frozen file */
	/* For ever: overlays keep these numbers. */
	assert_int_equal(tv_ino_frozen(TV_INO_FROZEN_ROOT, "a.txt", 5), 0x1a0fcd66f030de75);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		inode_test(test_found_by_name),
		inode_test(test_memory),
		inode_test(test_children_hold_their_parents),
		inode_test(test_the_dead_are_not_found),
		inode_test(test_look_ups),
		inode_test(test_paths),
		inode_test(test_many_names),
		inode_test(test_known_by_the_disks_number),
		inode_test(test_hand_over),
		inode_test(test_tables_grow),
		inode_test(test_threads),
		cmocka_unit_test(test_numbers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
