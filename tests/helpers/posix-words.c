#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

void bad(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fputs("helper-posix: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	_exit(2);
}

void say(struct run *r, const char *fmt, ...)
{
	va_list ap;
	if (r->quiet)
		return;
	if (r->len && r->len + 1 < sizeof(r->out))
		r->out[r->len++] = ' ';
	va_start(ap, fmt);
	int n = vsnprintf(r->out + r->len, sizeof(r->out) - r->len, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(r->out) - r->len)
		bad("a case tells too much");
	r->len += (size_t)n;
}

const char *name_of_error(int code)
{
	const char *name = strerrorname_np(code);
	return name ? name : "?";
}

/* "{x*9}" */
static char *expand(const char *word, size_t n)
{
	const char *open = memchr(word, '{', n), *star = open ? strchr(open, '*') : NULL;
	const char *end = star ? strchr(star, '}') : NULL;
	if (!end)
		return strndup(word, n);
	size_t times = strtoul(star + 1, NULL, 10), part = (size_t)(star - open - 1);
	size_t before = (size_t)(open - word), after = n - (size_t)(end + 1 - word);
	char *out = malloc(before + times * part + after + 1), *at = out;
	if (!out)
		bad("no memory");
	at = mempcpy(at, word, before);
	for (size_t i = 0; i < times; i++)
		at = mempcpy(at, open + 1, part);
	at = mempcpy(at, end + 1, after);
	*at = '\0';
	return out;
}

void words_of(const char *step, size_t n, char *w[WORDS])
{
	const char *end = step + n;
	int count = 0;
	while (step < end) {
		size_t len = strcspn(step, " \n\t;");
		if (step + len > end)
			len = (size_t)(end - step);
		if (len) {
			if (count == WORDS - 1)
				bad("too many words in '%.*s'", (int)n, step);
			w[count++] = expand(step, len);
		}
		step += len + 1;
	}
	w[count] = NULL;
}

long long number(const char *word)
{
	static const char units[] = "KMGTPE";
	char *end;
	long long n = strtoll(word, &end, 0);
	const char *unit = *end ? strchr(units, *end) : NULL;
	if (end == word || (*end && (!unit || end[1])))
		bad("'%s' is no number", word);
	return unit ? n * (1LL << 10 * (unit - units + 1)) : n;
}

/* Users and groups that need not exist. */
unsigned id_of(const char *word)
{
	return !strcmp(word, "a")   ? 60001
	       : !strcmp(word, "b") ? 60002
	       : !strcmp(word, "g") ? 60009
				    : (unsigned)number(word);
}

static const struct {
	const char *name;
	int value;
} constants[] = {
	{ "RDONLY", O_RDONLY },
	{ "WRONLY", O_WRONLY },
	{ "RDWR", O_RDWR },
	{ "CREAT", O_CREAT },
	{ "EXCL", O_EXCL },
	{ "TRUNC", O_TRUNC },
	{ "APPEND", O_APPEND },
	{ "DIRECTORY", O_DIRECTORY },
	{ "NOFOLLOW", O_NOFOLLOW },
	{ "PATH", O_PATH },
	{ "TMPFILE", O_TMPFILE },
	{ "NONBLOCK", O_NONBLOCK },
	{ "NOATIME", O_NOATIME },
	{ "DSYNC", O_DSYNC },
	{ "CLOEXEC", O_CLOEXEC },
	{ "SELF", AT_SYMLINK_NOFOLLOW }, /* the link itself */
	{ "FOLLOW", AT_SYMLINK_FOLLOW },
	{ "EMPTYPATH", AT_EMPTY_PATH },
	{ "EACCESS", AT_EACCESS },
	{ "REMOVEDIR", AT_REMOVEDIR },
	{ "NOREPLACE", RENAME_NOREPLACE },
	{ "EXCHANGE", RENAME_EXCHANGE },
	{ "WHITEOUT", RENAME_WHITEOUT },
	{ "KEEP", FALLOC_FL_KEEP_SIZE },
	{ "PUNCH", FALLOC_FL_PUNCH_HOLE },
	{ "ZERO", FALLOC_FL_ZERO_RANGE },
	{ "COLLAPSE", FALLOC_FL_COLLAPSE_RANGE },
	{ "INSERT", FALLOC_FL_INSERT_RANGE },
	{ "SET", SEEK_SET },
	{ "CUR", SEEK_CUR },
	{ "END", SEEK_END },
	{ "DATA", SEEK_DATA },
	{ "HOLE", SEEK_HOLE },
	{ "ONLYNEW", XATTR_CREATE },
	{ "ONLYOLD", XATTR_REPLACE },
	{ "SH", LOCK_SH },
	{ "EX", LOCK_EX },
	{ "UN", LOCK_UN },
	{ "NB", LOCK_NB },
	{ "RDLCK", F_RDLCK },
	{ "WRLCK", F_WRLCK },
	{ "UNLCK", F_UNLCK },
	{ "REG", S_IFREG },
	{ "FIFO", S_IFIFO },
	{ "SOCK", S_IFSOCK },
	{ "CHR", S_IFCHR },
	{ "BLK", S_IFBLK },
	{ "DIR", S_IFDIR },
	{ "LNK", S_IFLNK },
	{ "READ", PROT_READ },
	{ "WRITE", PROT_WRITE },
	{ "SHARED", MAP_SHARED },
	{ "PRIVATE", MAP_PRIVATE },
	{ "R", R_OK },
	{ "W", W_OK },
	{ "X", X_OK },
	{ "F", F_OK },
};

int flags(const char *word)
{
	int all = 0;
	for (const char *at = word; at && *at;) {
		size_t n = strcspn(at, "|"), i = 0;
		while (i < sizeof(constants) / sizeof(constants[0]) &&
		       (strncmp(constants[i].name, at, n) != 0 || constants[i].name[n]))
			i++;
		if (i < sizeof(constants) / sizeof(constants[0]))
			all |= constants[i].value;
		else
			all |= (int)number(word);
		at += n + (at[n] == '|');
	}
	return all;
}

int *slot(struct run *r, const char *word)
{
	if (word[0] != '@' || word[1] < 'A' || word[1] >= 'A' + SLOTS)
		bad("'%s' is no descriptor", word);
	return &r->slot[word[1] - 'A'];
}

struct where where(struct run *r, const char *word)
{
	if (!strcmp(word, "EMPTY"))
		return (struct where){ AT_FDCWD, "", false };
	if (word[0] != '@')
		return (struct where){ AT_FDCWD, word, false };
	const char *colon = strchr(word, ':');
	size_t n = colon ? (size_t)(colon - word) : strlen(word);
	int fd = n == 4 && !strncmp(word, "@bad", n)	? -1
		 : n == 5 && !strncmp(word, "@none", n) ? 9999
		 : n == 4 && !strncmp(word, "@cwd", n)	? AT_FDCWD
							: *slot(r, word);
	return (struct where){ fd, colon ? colon + 1 : "", !colon };
}

/* "now", "omit" or SECONDS[.NANOSECONDS] */
struct timespec time_of(const char *word)
{
	if (!strcmp(word, "now"))
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	if (!strcmp(word, "omit"))
		return (struct timespec){ .tv_nsec = UTIME_OMIT };
	char *end;
	long long seconds = strtoll(word, &end, 10);
	return (struct timespec){ .tv_sec = seconds,
				  .tv_nsec = *end == '.' ? strtol(end + 1, NULL, 10) : 0 };
}
