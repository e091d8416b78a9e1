/* Whole trees: listings, attributes, bytes, targets, extended attributes. */
#include "differential.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

/* Bytes of one file that are compared: sparse files may be of any size. */
#define COMPARED ((off_t)4 << 20)

/* Numbers seen in one walk, to find two files that the view takes for one. */
struct numbers {
	struct pair {
		uint64_t plain, view;
	} * of;
	size_t len, cap;
};

int list_names(int dirfd, const char *path, char ***names)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	int n = 0, cap = 0;

	*names = NULL;
	if (!d)
		return -1;
	for (struct dirent *e; errno = 0, (e = readdir(d));) {
		if (n == cap) {
			cap = cap ? cap * 2 : 32;
			*names = realloc(*names, (size_t)cap * sizeof(char *));
		}
		if (asprintf(&(*names)[n++], "%s%c%d", e->d_name, '\0', e->d_type) < 0)
			exit(2);
	}
	int code = errno;
	closedir(d);
	errno = code;
	return code ? -1 : n;
}

void free_names(char **names, int n)
{
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* --- one file ------------------------------------------------------------------------------ */

/* What a side that gave too little says when it is asked for the next byte. */
static const char *why_short(int fd, off_t at)
{
	char byte;
	return pread(fd, &byte, 1, at) < 0 ? strerrorname_np(errno) : "ok";
}

static void compare_piece(struct worker *w, const char *path, const int fd[SIDES], off_t at,
			  size_t n)
{
	long got[SIDES];
	int error[SIDES];
	EACH_SIDE(got, error, pread(fd[side], w->buffer[side], n, at))
	if (got[B] >= 0 && got[B] < got[A])
		differ(w, "short read to compare",
		       "read to compare: %s: the view gives %ld bytes of %ld, of the rest: %s",
		       path, got[B], got[A], why_short(fd[B], at + got[B]));
	if (!same(w, "read to compare", got, error) ||
	    memcmp(w->buffer[A], w->buffer[B], (size_t)got[A]) == 0)
		return;
	long i = 0;
	while (w->buffer[A][i] == w->buffer[B][i])
		i++;
	differ(w, "bytes", "%s: contents differ from byte %lld on", path, (long long)at + i);
}

/* Where a large file has data on this side, both are compared. */
static void compare_extents(struct worker *w, const char *path, const int fd[SIDES], int guide)
{
	off_t at = 0, done = 0, end;
	while (done < COMPARED && (at = lseek(fd[guide], at, SEEK_DATA)) >= 0) {
		end = lseek(fd[guide], at, SEEK_HOLE);
		while (at < end && done < COMPARED) {
			off_t n = end - at < BUFFER ? end - at : BUFFER;
			compare_piece(w, path, fd, at, (size_t)n);
			at += n;
			done += n;
		}
	}
}

static void compare_bytes(struct worker *w, const char *path)
{
	struct stat st;
	int fd[SIDES];

	if (!BOTH(w, "open to compare",
		  (fd[side] = openat(w->root[side], path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) < 0
			  ? -1
			  : 0))
		return;
	compare_piece(w, path, fd, 0, BUFFER);
	if (fstat(fd[A], &st) == 0 && st.st_size > BUFFER)
		for (int guide = A; guide < SIDES; guide++)
			compare_extents(w, path, fd, guide);
	close(fd[A]);
	close(fd[B]);
}

void compare_link(struct worker *w, const char *path)
{
	char target[SIDES][PATH_SIZE];
	long n[SIDES];
	if (BOTH(w, "readlink",
		 n[side] = readlinkat(w->base[side], path, target[side], sizeof(target[0]))) &&
	    memcmp(target[A], target[B], (size_t)n[A]) != 0)
		differ(w, "link target", "%s: link targets differ", path);
}

static bool listed(const char *names, long n, const char *wanted)
{
	for (long at = 0; at < n; at += (long)strlen(names + at) + 1)
		if (!strcmp(names + at, wanted))
			return true;
	return false;
}

static void compare_xattrs(struct worker *w, const char *path)
{
	char name[SIDES][PROC_SIZE], names[SIDES][2048];
	long n[SIDES];

	proc_path(name[A], w->root[A], path);
	proc_path(name[B], w->root[B], path);
	if (!BOTH(w, "listxattr", n[side] = llistxattr(name[side], names[side], sizeof(names[0]))))
		return;
	/* In any order: it tells where on the disk they are kept. */
	for (long at = 0; at < n[A]; at += (long)strlen(names[A] + at) + 1) {
		const char *one = names[A] + at;
		long len[SIDES];
		if (!listed(names[B], n[B], one))
			differ(w, "xattr list", "%s: attribute %s is not listed", path, one);
		if (BOTH(w, "getxattr",
			 len[side] = lgetxattr(name[side], one, w->buffer[side], DATA_MAX)) &&
		    memcmp(w->buffer[A], w->buffer[B], (size_t)len[A]) != 0)
			differ(w, "xattr value", "%s: attribute %s differs", path, one);
	}
}

/* --- folders ------------------------------------------------------------------------------- */

static void walk(struct worker *w, const char *path, struct numbers *numbers);

static void add_numbers(struct worker *w, const char *path, struct numbers *numbers)
{
	struct stat st[SIDES];
	for (int side = A; side < SIDES; side++)
		if (fstatat(w->root[side], path, &st[side], AT_SYMLINK_NOFOLLOW) < 0)
			return;
	if (numbers->len == numbers->cap) {
		numbers->cap = numbers->cap ? numbers->cap * 2 : 256;
		numbers->of = realloc(numbers->of, numbers->cap * sizeof(numbers->of[0]));
	}
	numbers->of[numbers->len++] = (struct pair){ st[A].st_ino, st[B].st_ino };
}

static void compare_entry(struct worker *w, const char *dir, const char *name,
			  struct numbers *numbers)
{
	char path[PATH_SIZE];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= PATH_SIZE)
		return;
	compare_stat(w, path, AT_SYMLINK_NOFOLLOW);
	compare_xattrs(w, path);
	if (fstatat(w->root[A], path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return; /* a folder that may be read and not entered: on both sides, as was just seen */
	add_numbers(w, path, numbers);
	if (S_ISDIR(st.st_mode))
		walk(w, path, numbers);
	else if (S_ISLNK(st.st_mode))
		compare_link(w, path);
	else if (S_ISREG(st.st_mode))
		compare_bytes(w, path);
}

/* Compares the names of a folder; those of the plain one are returned (-1: it cannot be listed). */
static int same_names(struct worker *w, const int dirfd[SIDES], const char *path, char ***out)
{
	char **names[SIDES] = { NULL, NULL };
	int n[SIDES];

	if (!BOTH(w, "list", n[side] = list_names(dirfd[side], path, &names[side])))
		return -1;
	for (int side = A; side < SIDES; side++) {
		if (names[side])
			qsort(names[side], (size_t)n[side], sizeof(char *), by_name);
		else
			n[side] = 0;
	}
	for (int i = 0; i < n[A] && i < n[B]; i++) {
		const char *a = names[A][i], *b = names[B][i];
		if (strcmp(a, b) != 0 || strcmp(a + strlen(a) + 1, b + strlen(b) + 1) != 0)
			differ(w, "names", "%s: lists '%s' (type %s) and '%s' (type %s)", path, a,
			       a + strlen(a) + 1, b, b + strlen(b) + 1);
	}
	free_names(names[B], n[B]);
	*out = names[A];
	return n[A];
}

static void walk(struct worker *w, const char *path, struct numbers *numbers)
{
	char **names;
	int n = same_names(w, w->root, path, &names);

	for (int i = 0; i < n; i++)
		if (strcmp(names[i], ".") != 0 && strcmp(names[i], "..") != 0)
			compare_entry(w, path, names[i], numbers);
	if (n >= 0)
		free_names(names, n);
}

void compare_list(struct worker *w, const char *path)
{
	char **names;
	int n = same_names(w, w->base, path, &names);
	if (n >= 0)
		free_names(names, n);
}

static int by_view(const void *a, const void *b)
{
	const struct pair *p = a, *q = b;
	return p->view < q->view ? -1 : p->view > q->view;
}

void compare_tree(struct worker *w)
{
	struct numbers numbers = { NULL, 0, 0 };
	int base[SIDES] = { w->base[A], w->base[B] };

	memcpy(w->base, w->root, sizeof(base));
	compare_stat(w, ".", 0);
	walk(w, ".", &numbers);
	memcpy(w->base, base, sizeof(base));
	if (numbers.len)
		qsort(numbers.of, numbers.len, sizeof(numbers.of[0]), by_view);
	for (size_t i = 1; i < numbers.len; i++)
		if (numbers.of[i].view == numbers.of[i - 1].view &&
		    numbers.of[i].plain != numbers.of[i - 1].plain)
			differ(w, "one st_ino", "two files have the st_ino %llx",
			       (unsigned long long)numbers.of[i].view);
	free(numbers.of);
}
