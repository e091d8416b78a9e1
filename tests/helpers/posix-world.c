/* The files that cases start with. */
#include "posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *words; /* any of which a script has to name; NULL: with the one before */
	const char *name;
	mode_t mode;	  /* with its type */
	const char *text; /* contents or target */
} things[] = {
	{ "f l ll", "f", S_IFREG | 0644, "0123456789" },
	{ "g", "g", S_IFREG | 0644, "gggg" },
	{ "e", "e", S_IFREG | 0644, "" },
	{ "x", "x", S_IFREG | 0755, "#!/bin/sh\nexit 7\n" },
	{ "n", "{n*255}", S_IFREG | 0644, "n" }, /* the longest name */
	{ "v", "{v*251}", S_IFREG | 0644, "v" }, /* the longest one with a prefix of four */
	{ "w", "{w*252}", S_IFREG | 0644, "w" },
	{ "prog", "prog", S_IFREG | 0755, NULL }, /* a copy of this program */
	{ "big", "big", S_IFREG | 0644, "{0123456789abcdef*1250}" },
	{ "l ll", "l", S_IFLNK, "f" },
	{ "ld", "ld", S_IFLNK, "d" },
	{ "ll", "ll", S_IFLNK, "l" },
	{ "lx", "lx", S_IFLNK, "no" },
	{ "lo", "lo", S_IFLNK, "lo" },
	{ "m", "m", S_IFDIR | 0755, NULL }, /* an empty folder */
	{ "m2", "m2", S_IFDIR | 0755, NULL },
	{ "d ld", "d", S_IFDIR | 0755, NULL },
	{ NULL, "d/f", S_IFREG | 0644, "inner" },
	{ NULL, "d/s", S_IFDIR | 0755, NULL },
	{ NULL, "d/s/f", S_IFREG | 0644, "deep" },
};
#define THINGS (sizeof(things) / sizeof(things[0]))

static bool part_of_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool names(const char *script, const char *words)
{
	for (const char *at = script; *at; at++) {
		size_t n = 0;
		if (!part_of_word(*at) || (at > script && part_of_word(at[-1])))
			continue;
		while (part_of_word(at[n]))
			n++;
		for (const char *w = words; *w; w += strcspn(w, " "), w += *w == ' ')
			if (n == strcspn(w, " ") && !strncmp(w, at, n))
				return true;
	}
	return false;
}

static int copy_self(int fd)
{
	static char buf[1 << 16];
	int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	ssize_t n;
	while ((n = read(self, buf, sizeof(buf))) > 0)
		if (write(fd, buf, (size_t)n) != n)
			return -1;
	close(self);
	return n < 0 ? -1 : 0;
}

static int lay(int dirfd, const char *name, mode_t mode, const char *text)
{
	if (S_ISDIR(mode))
		return mkdirat(dirfd, name, mode & 07777);
	if (S_ISLNK(mode) && text)
		return symlinkat(text, dirfd, name);
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode & 07777);
	if (fd < 0)
		return -1;
	size_t n = text ? strlen(text) : 0;
	int r = !text ? copy_self(fd) : write(fd, text, n) == (ssize_t)n ? 0 : -1;
	close(fd);
	return r;
}

static int date(int dirfd, const char *name)
{
	struct timespec old[2] = { { OLD_SEC, OLD_NSEC }, { OLD_SEC, OLD_NSEC } };
	return utimensat(dirfd, name, old, AT_SYMLINK_NOFOLLOW);
}

int lay_world(int dirfd, const char *script)
{
	bool wanted[THINGS], with = false;
	char *name[THINGS + 1][WORDS], *text[THINGS + 1][WORDS];

	for (size_t i = 0; i < THINGS; i++) {
		with = things[i].words ? names(script, things[i].words) : with;
		wanted[i] = with;
		if (!with)
			continue;
		const char *body = things[i].text;
		bool repeated = body && body[0] == '{';
		words_of(things[i].name, strlen(things[i].name), name[i]);
		if (repeated)
			words_of(body, strlen(body), text[i]);
		if (lay(dirfd, name[i][0], things[i].mode, repeated ? text[i][0] : body) < 0)
			return -1;
	}
	for (size_t i = THINGS; i-- > 0;)
		if (wanted[i] && date(dirfd, name[i][0]) < 0)
			return -1;
	return date(dirfd, ".");
}

static int copy_up(int dirfd, const char *name, unsigned char type)
{
	if (type == DT_REG) {
		int fd = openat(dirfd, name, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return -1;
		close(fd);
	} else if (type == DT_DIR) {
		int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		int r = fd < 0 ? -1 : copy_up_world(fd);
		if (r == 0)
			close(fd);
		return r;
	}
	return date(dirfd, name);
}

int copy_up_world(int dirfd)
{
	DIR *d = fdopendir(dup(dirfd));
	int r = d ? 0 : -1;
	for (struct dirent *e; r == 0 && (e = readdir(d));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = copy_up(dirfd, e->d_name, e->d_type);
	if (d)
		closedir(d);
	return r < 0 ? r : date(dirfd, ".");
}
