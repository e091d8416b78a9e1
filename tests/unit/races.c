/*
 * Races that are decided by hand: this program answers some system calls itself, so that what others
 * do comes at just the wrong moment.
 */
#include "live.h"

#include <dirent.h>
#include <sys/syscall.h>

/* --- a listing that misses a name ------------------------------------------------------------ */

static const char *hidden; /* from listings, not from stat */

/* Btrfs does this by itself: a name that was renamed over since the folder was opened. */
ssize_t getdents64(int fd, void *buf, size_t n)
{
	ssize_t len = syscall(SYS_getdents64, fd, buf, n);
	for (ssize_t at = 0; hidden && at < len;) {
		struct dirent64 *d = (void *)((char *)buf + at);
		size_t size = d->d_reclen;
		if (strcmp(d->d_name, hidden) != 0) {
			at += (ssize_t)size;
			continue;
		}
		memmove(d, (char *)d + size, (size_t)(len - at) - size);
		len -= (ssize_t)size;
	}
	return len;
}

static void a_name_that_a_listing_missed_is_there(void **state)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	struct live l;
	live_open(&l, *state);
	put(&l, "a", "1");
	put(&l, "b", "1");
	put(&l, "c", "1");
	put(&l, "d/x", "1");
	settle();
	import_all(&l);
	for (size_t i = 0; i < TV_ARRAY_LEN(names); i++) {
		hidden = names[i];
		is(import_all(&l).unchanged);
	}
	hidden = "b";
	put(&l, "b", "2");
	import_all(&l);
	is(main_has(l.f->store, "b", "2"));
	drop(&l, "b");
	import_all(&l);
	is(main_has(l.f->store, "b", NULL) && main_has(l.f->store, "c", "1"));
	hidden = NULL;
	is(import_all(&l).unchanged);
	fsck_is_clean(l.f->store);
	tv_worktree_close(&l.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(a_name_that_a_listing_missed_is_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
