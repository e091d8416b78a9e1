/* Calls as text, one a line: "WORKER OP ARGUMENT...", and the table of all ops. */
#include "differential.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define N_GROUPS 10

static const struct op *group(int i)
{
	const struct op *const all[N_GROUPS] = { ops_open,   ops_data, ops_copy,  ops_map,
						 ops_names,  ops_attr, ops_xattr, ops_lock,
						 ops_folder, ops_world };
	return all[i];
}

const struct op *op_next(const struct op *op)
{
	if (!op)
		return group(0);
	if (op[1].name)
		return op + 1;
	for (int i = 0; i + 1 < N_GROUPS; i++) {
		const struct op *last = group(i);
		while (last[1].name)
			last++;
		if (last == op)
			return group(i + 1);
	}
	return NULL;
}

const struct op *op_named(const char *name)
{
	for (const struct op *op = NULL; (op = op_next(op));)
		if (!strcmp(op->name, name))
			return op;
	return NULL;
}

/* --- paths as words ------------------------------------------------------------------------ */

static size_t put_path(char *out, size_t size, const char *path)
{
	size_t n = (size_t)snprintf(out, size, *path ? " " : " %%");
	for (; *path && n + 4 < size; path++) {
		unsigned char c = (unsigned char)*path;
		bool itself = isalnum(c) || strchr("._-/", c);
		n += (size_t)snprintf(out + n, size - n, itself ? "%c" : "%%%02x", c);
	}
	return n;
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

static int take_path(const char *word, char out[PATH_SIZE])
{
	size_t n = 0;
	if (!strcmp(word, "%"))
		word = "";
	for (; *word; word++) {
		int c = (unsigned char)*word;
		if (c == '%') {
			int high = hex_digit(word[1]), low = high < 0 ? -1 : hex_digit(word[2]);
			if (low < 0)
				return -1;
			c = high << 4 | low;
			word += 2;
		}
		if (n + 1 == PATH_SIZE)
			return -1;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return 0;
}

/* --- calls --------------------------------------------------------------------------------- */

void call_text(const struct call *c, char *out, size_t size)
{
	const int *slot = c->slot;
	const char(*path)[PATH_SIZE] = c->path;
	const long long *number = c->n;
	size_t n = (size_t)snprintf(out, size, "%d %s", c->worker, c->op->name);

	for (const char *form = c->op->form; *form && n < size; form++) {
		char *at = out + n;
		size_t room = size - n;
		switch (*form) {
		case 's':
			n += (size_t)snprintf(at, room, " %d", *slot++);
			break;
		case 'p':
			n += put_path(at, room, *path++);
			break;
		case 'o':
			n += (size_t)snprintf(at, room, " 0%llo", (unsigned long long)*number++);
			break;
		case 'x':
			n += (size_t)snprintf(at, room, " 0x%llx", (unsigned long long)*number++);
			break;
		default:
			n += (size_t)snprintf(at, room, " %lld", *number++);
		}
	}
}

/* What keeps a worker within its tables, whatever a script says. */
static bool index_ok(long long n, int limit)
{
	return n >= 0 && n < limit;
}

int call_parse(char *line, struct call *c)
{
	char *rest = line, *word = strsep(&rest, " \n");
	int slots = 0, paths = 0, numbers = 0;

	*c = (struct call){ .worker = (int)strtol(word, NULL, 10) };
	word = strsep(&rest, " \n");
	c->op = word ? op_named(word) : NULL;
	if (!c->op || !index_ok(c->worker, WORKERS))
		return -1;
	for (const char *form = c->op->form; *form; form++) {
		word = strsep(&rest, " \n");
		if (!word || !*word)
			return -1;
		if (*form == 'p') {
			if (take_path(word, c->path[paths++]) < 0)
				return -1;
		} else if (*form == 's') {
			c->slot[slots] = (int)strtol(word, NULL, 0);
			if (!index_ok(c->slot[slots++], SLOTS))
				return -1;
		} else {
			c->n[numbers++] = (long long)strtoull(word, NULL, 0);
		}
	}
	return 0;
}
