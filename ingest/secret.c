#include "ingest/secret.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/io.h"

/* Each key stands twice in the mapping, as it is and percent-encoded (at most three times as long). */
#define ARENA_BYTES ((size_t)TV_SECRETS_MAX * (4 * TV_SECRET_MAX + 2))

#define CUT_MIN 4 /* characters of a key at a text's end that give it away */

struct secret {
	char *name; /* owned */
	char *text, *encoded;
};

struct tv_secrets {
	struct secret items[TV_SECRETS_MAX];
	size_t len;
	char *arena; /* a mapping of ARENA_BYTES */
	size_t used;
};

int tv_secrets_new(struct tv_secrets **out, struct tv_err *err)
{
	struct tv_secrets *s = calloc(1, sizeof(*s));
	if (!s)
		return tv_err_nomem(err);
	s->arena =
		mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s->arena == MAP_FAILED) {
		int code = -errno;
		free(s);
		return tv_err_sys(err, code, "no memory for keys");
	}
	if (madvise(s->arena, ARENA_BYTES, MADV_DONTDUMP) < 0 ||
	    madvise(s->arena, ARENA_BYTES, MADV_WIPEONFORK) < 0) {
		int code = -errno;
		tv_secrets_free(s);
		return tv_err_sys(err, code, "keys cannot be kept out of core dumps");
	}
	*out = s;
	return 0;
}

void tv_secrets_free(struct tv_secrets *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->len; i++)
		free(s->items[i].name);
	explicit_bzero(s->arena, s->used);
	munmap(s->arena, ARENA_BYTES);
	free(s);
}

static const struct secret *find(const struct tv_secrets *s, const char *name)
{
	for (size_t i = 0; s && i < s->len; i++)
		if (strcmp(s->items[i].name, name) == 0)
			return &s->items[i];
	return NULL;
}

const char *tv_secrets_get(const struct tv_secrets *s, const char *name)
{
	const struct secret *found = find(s, name);
	return found ? found->text : NULL;
}

const char *tv_secrets_get_encoded(const struct tv_secrets *s, const char *name)
{
	const struct secret *found = find(s, name);
	return found ? found->encoded : NULL;
}

/* What RFC 3986, section 2.3, leaves as it is. */
static bool unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

static char *keep(struct tv_secrets *s, const char *bytes, size_t n)
{
	char *at = s->arena + s->used;
	memcpy(at, bytes, n);
	at[n] = '\0';
	s->used += n + 1;
	return at;
}

static char *keep_encoded(struct tv_secrets *s, const char *bytes, size_t n)
{
	static const char digits[] = "0123456789ABCDEF";
	char *at = s->arena + s->used, *p = at;
	for (size_t i = 0; i < n; i++) {
		if (unreserved(bytes[i])) {
			*p++ = bytes[i];
			continue;
		}
		*p++ = '%';
		*p++ = digits[(unsigned char)bytes[i] >> 4];
		*p++ = digits[(unsigned char)bytes[i] & 15];
	}
	*p++ = '\0';
	s->used += (size_t)(p - at);
	return at;
}

static int add(struct tv_secrets *s, const char *name, const char *text, size_t n, const char *from,
	       struct tv_err *err)
{
	if (find(s, name))
		return tv_err_set(err, -EEXIST, "key '%s' is there twice", name);
	if (s->len == TV_SECRETS_MAX)
		return tv_err_set(err, -ENOSPC, "more than %d keys", TV_SECRETS_MAX);
	if (n < TV_SECRET_MIN || n > TV_SECRET_MAX)
		return tv_err_set(err, -EINVAL, "key '%s' from %s has not %d to %d characters",
				  name, from, TV_SECRET_MIN, TV_SECRET_MAX);
	/* A line break in a header would begin another one. */
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] < 0x21 || text[i] == 0x7f)
			return tv_err_set(err, -EINVAL,
					  "key '%s' from %s has a space or a control character",
					  name, from);
	char *copy = strdup(name);
	if (!copy)
		return tv_err_nomem(err);
	struct secret *item = &s->items[s->len++];
	item->name = copy;
	item->text = keep(s, text, n);
	item->encoded = keep_encoded(s, text, n);
	return 0;
}

int tv_secrets_add_env(struct tv_secrets *s, const char *name, const char *variable,
		       struct tv_err *err)
{
	const char *value = getenv(variable);
	if (!value || !*value)
		return tv_err_set(err, -TV_E_MISSING, "key '%s': the variable %s is not set", name,
				  variable);
	return add(s, name, value, strlen(value), variable, err);
}

static int check_private(int fd, const char *path, struct tv_err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return tv_err_sys(err, -errno, "cannot stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return tv_err_set(err, -EACCES, "'%s' is not a regular file", path);
	if (st.st_uid != geteuid())
		return tv_err_set(err, -EACCES, "'%s' belongs to another user", path);
	if (st.st_mode & 077)
		return tv_err_set(err, -EACCES,
				  "'%s' can be read or written by others (mode %04o); "
				  "chmod 600 it, and change the key if they had time to read it",
				  path, (unsigned)(st.st_mode & 07777));
	return 0;
}

int tv_secrets_add_file(struct tv_secrets *s, const char *name, const char *path,
			struct tv_err *err)
{
	tv_autoclose int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return tv_err_sys(err, -errno, "key '%s': cannot open '%s'", name, path);
	int r = check_private(fd, path, err);
	if (r < 0)
		return tv_err_wrap(err, r, "key '%s'", name);
	/* read() with a buffer of our own: no copy stays behind in one of the library's */
	char bytes[TV_SECRET_MAX + 2];
	size_t n = 0;
	ssize_t got = 0;
	while (n < sizeof(bytes) && (got = read(fd, bytes + n, sizeof(bytes) - n)) > 0)
		n += (size_t)got;
	if (got < 0) {
		r = tv_err_sys(err, -errno, "key '%s': cannot read '%s'", name, path);
	} else {
		const char *end = memchr(bytes, '\n', n);
		if (end)
			n = (size_t)(end - bytes);
		if (n && bytes[n - 1] == '\r')
			n--;
		r = add(s, name, bytes, n, path, err);
	}
	explicit_bzero(bytes, sizeof(bytes));
	return r;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* Whether the bytes begin with the two hexadecimal digits of a character. */
static bool is_hex_of(char c, const char *bytes, size_t n)
{
	return n >= 2 && hex_digit(bytes[0]) == (unsigned char)c >> 4 &&
	       hex_digit(bytes[1]) == ((unsigned char)c & 15);
}

/* How many bytes a key has that stands at their beginning: as it is, or with any of its characters
 * percent-encoded or escaped as in JSON (servers write \/ for /). 0: none. *end: the bytes ended
 * within it, behind CUT_MIN characters of it or more. */
static size_t key_length(const char *key, const char *bytes, size_t n, size_t seen, bool *end)
{
	if (!*key)
		return 0;
	if (!n || (*bytes == '%' && n < 3) || (*bytes == '\\' && n < 6))
		*end = *end || seen >= CUT_MIN;
	if (!n)
		return 0;
	const size_t forms[] = {
		bytes[0] == *key ? 1 : 0,
		bytes[0] == '%' && is_hex_of(*key, bytes + 1, n - 1) ? 3 : 0,
		bytes[0] == '\\' && *key != '\\' && n > 1 && bytes[1] == *key ? 2 : 0,
		n > 5 && memcmp(bytes, "\\u00", 4) == 0 && is_hex_of(*key, bytes + 4, n - 4) ? 6
											     : 0,
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(forms); i++) {
		if (!forms[i])
			continue;
		if (!key[1])
			return forms[i];
		size_t rest = key_length(key + 1, bytes + forms[i], n - forms[i], seen + 1, end);
		if (rest)
			return forms[i] + rest;
	}
	return 0;
}

/* The length of the longest key that the bytes begin with: one may be a part of another. */
static size_t key_at(const struct tv_secrets *s, const char *bytes, size_t n, bool *end)
{
	size_t longest = 0;
	for (size_t i = 0; i < s->len; i++) {
		const char *key = s->items[i].text;
		if (bytes[0] != *key && bytes[0] != '%' && bytes[0] != '\\')
			continue;
		size_t len = key_length(key, bytes, n, 0, end);
		if (len > longest)
			longest = len;
	}
	return longest;
}

size_t tv_secrets_redact_bytes(const struct tv_secrets *s, char *bytes, size_t n)
{
	static const char stars[] = { '*', '*', '*' }; /* a key has TV_SECRET_MIN bytes or more */
	size_t to = 0;
	if (!s || !s->len)
		return n;
	for (size_t from = 0; from < n;) {
		bool end = false;
		size_t len = key_at(s, bytes + from, n - from, &end);
		if (!len && end) /* somebody cut the text within a key */
			len = n - from;
		if (len) {
			memcpy(bytes + to, stars, sizeof(stars));
			to += sizeof(stars);
			from += len;
		} else {
			bytes[to++] = bytes[from++];
		}
	}
	return to;
}

void tv_secrets_redact(const struct tv_secrets *s, char *text)
{
	if (text)
		text[tv_secrets_redact_bytes(s, text, strlen(text))] = '\0';
}

int tv_secrets_guard_process(struct tv_err *err)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return tv_err_sys(err, -errno, "core dumps cannot be switched off");
	return 0;
}

void tv_secret_free_text(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}
