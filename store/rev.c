#include "store/rev.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/ref.h"

#define CANDIDATES_MAX 8
#define PREFIX_MIN 8

/* --- hash prefixes --------------------------------------------------------------------------- */

struct candidate {
	bool is_foundation;
	struct tv_sha hash, commit; /* commit: what it means */
};

struct search {
	char prefix[TV_SHA_HEX]; /* lower case */
	struct tv_sha low;	 /* the first hash that it can begin */
	struct candidate found[CANDIDATES_MAX];
	size_t len;
	bool more;
};

static bool matches(const struct search *s, const struct tv_sha *hash)
{
	char hex[TV_SHA_HEX];
	tv_sha_hex(hash, hex);
	return strncmp(hex, s->prefix, strlen(s->prefix)) == 0;
}

static void add_candidate(struct search *s, bool is_foundation, const struct tv_sha *hash,
			  const struct tv_sha *commit)
{
	if (s->len == CANDIDATES_MAX)
		s->more = true;
	else
		s->found[s->len++] = (struct candidate){ is_foundation, *hash, *commit };
}

static int search_commits(struct tv_kv_cursor *c, struct search *s, struct tv_err *err)
{
	struct tv_bytes key, value;
	struct tv_sha id;
	int r = tv_kv_cursor_from(c, tv_bytes(s->low.b, 32), &key, &value, err);
	for (; r == 1 && key.len == 32; r = tv_kv_cursor_next(c, &key, &value, err)) {
		memcpy(id.b, key.data, 32);
		if (!matches(s, &id))
			return 0;
		add_candidate(s, false, &id, &id);
	}
	return r < 0 ? r : 0;
}

/* A foundation's newest commit stands in its last row: one look at it, then on to the next. */
static int search_foundations(struct tv_kv_cursor *c, struct search *s, struct tv_err *err)
{
	struct tv_bytes key, value;
	struct tv_sha hash, commit;
	uint8_t end[41];
	int r = tv_kv_cursor_from(c, tv_bytes(s->low.b, 32), &key, &value, err);
	while (r == 1 && key.len == 40) {
		memcpy(hash.b, key.data, 32);
		if (!matches(s, &hash))
			return 0;
		memcpy(end, hash.b, 32);
		memset(end + 32, 0xff, 8);
		end[40] = 0;
		r = tv_kv_cursor_before(c, tv_bytes(end, 41), &key, &value, err);
		if (r == 1 && value.len == 32) {
			memcpy(commit.b, value.data, 32);
			add_candidate(s, true, &hash, &commit);
		}
		if (r >= 0)
			r = tv_kv_cursor_from(c, tv_bytes(end, 41), &key, &value, err);
	}
	return r < 0 ? r : 0;
}

static int search_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct search *s = arg;
	struct tv_kv_cursor *c;
	s->len = 0;
	s->more = false;
	int r = tv_kv_cursor_open(t, TV_T_COMMITS, &c, err);
	if (r < 0)
		return r;
	r = search_commits(c, s, err);
	tv_kv_cursor_close(c);
	if (r == 0)
		r = tv_kv_cursor_open(t, TV_T_FOUNDATIONS, &c, err);
	if (r < 0)
		return r;
	r = search_foundations(c, s, err);
	tv_kv_cursor_close(c);
	return r;
}

static int ambiguous(const struct search *s, struct tv_err *err)
{
	tv_autobuf struct tv_buf list = TV_BUF_INIT;
	char hex[TV_SHA_HEX];
	for (size_t i = 0; i < s->len; i++) {
		tv_sha_hex(&s->found[i].hash, hex);
		tv_buf_addf(&list, "%s%s %s", i ? ", " : "",
			    s->found[i].is_foundation ? "foundation" : "commit", hex);
	}
	tv_buf_add_str(&list, s->more ? ", ..." : "");
	tv_buf_add_u8(&list, 0);
	if (list.failed)
		return tv_err_nomem(err);
	return tv_err_set(err, -TV_E_AMBIGUOUS, "'%s' is ambiguous: give more digits of one of %s",
			  s->prefix, (const char *)list.data);
}

/* Candidates that mean the same commit (its id, and the foundation of which it is the newest) are
 * no ambiguity. */
static int resolve_hash(struct tv_store *s, const char *digits, struct tv_rev *rev,
			struct tv_err *err)
{
	struct search search = { .len = 0 };
	char low[TV_SHA_HEX];
	memset(low, '0', sizeof(low) - 1);
	low[sizeof(low) - 1] = '\0';
	for (size_t i = 0; digits[i]; i++)
		low[i] = search.prefix[i] = (char)tolower(digits[i]);
	if (!tv_sha_from_hex(low, &search.low))
		return tv_err_set(err, -EINVAL, "'%s' is not a hash", digits);

	int r = tv_kv_read(tv_store_kv(s), search_body, &search, err);
	if (r < 0)
		return r;
	if (search.len == 0)
		return tv_err_set(err, -ENOENT,
				  "no foundation or commit begins with %s (tvfs log lists them)",
				  digits);
	for (size_t i = 1; i < search.len; i++)
		if (search.more || !tv_sha_eq(&search.found[i].commit, &search.found[0].commit))
			return ambiguous(&search, err);
	rev->commit = search.found[0].commit;
	rev->was_foundation = search.found[0].is_foundation;
	return 0;
}

/* --- refs ------------------------------------------------------------------------------------ */

struct names {
	struct tv_buf text;
	unsigned n;
};

static int add_name(void *arg, const struct tv_ref *r, struct tv_err *err)
{
	(void)err;
	struct names *names = arg;
	if (names->n < CANDIDATES_MAX)
		tv_buf_addf(&names->text, "%s%s", names->n ? ", " : "", r->name);
	else if (names->n == CANDIDATES_MAX)
		tv_buf_add_str(&names->text, ", ...");
	names->n++;
	return 0;
}

static int unknown(struct tv_store *s, const char *text, struct tv_err *err)
{
	struct names names = { .text = TV_BUF_INIT };
	int r = tv_ref_each(s, add_name, &names, err);
	tv_buf_add_u8(&names.text, 0);
	if (r < 0 || names.text.failed) {
		tv_buf_free(&names.text);
		return r < 0 ? r : tv_err_nomem(err);
	}
	size_t n = strlen(text);
	bool is_short = n < PREFIX_MIN && strspn(text, "0123456789abcdefABCDEF") == n;
	r = tv_err_set(err, -ENOENT, "unknown revision '%s'%s; refs here: %s", text,
		       is_short ? " (a hash needs 8 digits or more)" : "",
		       names.n ? (const char *)names.text.data : "none yet");
	tv_buf_free(&names.text);
	return r;
}

struct moment {
	int64_t time_ns;
	bool found;
	struct tv_ref_move move;
	bool any;
	int64_t first_ns;
};

static int find_moment(void *arg, const struct tv_ref_move *m, struct tv_err *err)
{
	(void)err;
	struct moment *at = arg;
	at->any = true;
	at->first_ns = m->time_ns;
	at->found = m->time_ns <= at->time_ns;
	at->move = *m;
	return at->found;
}

/* Where the ref stood, by its history: also of a ref that is deleted by now. */
static int resolve_moment(struct tv_store *s, const char *name, const char *time,
			  struct tv_rev *rev, struct tv_err *err)
{
	struct moment at = { .found = false };
	char text[TV_TIME_TEXT];
	int r = tv_time_parse(time, &at.time_ns, err);
	if (r < 0)
		return tv_err_wrap(err, r, "%s@{%s}", name, time);
	r = tv_ref_history(s, name, find_moment, &at, err);
	if (r < 0)
		return r;
	if (!at.any)
		return unknown(s, name, err);
	if (!at.found) {
		tv_time_format(at.first_ns, text);
		return tv_err_set(err, -TV_E_MISSING,
				  "ref '%s' did not exist at %s: it began at %s", name, time, text);
	}
	if (!at.move.has_new) {
		tv_time_format(at.move.time_ns, text);
		return tv_err_set(err, -TV_E_MISSING, "ref '%s' did not exist at %s: deleted at %s",
				  name, time, text);
	}
	rev->commit = at.move.new_commit;
	return 0;
}

static bool is_digits(const char *text)
{
	size_t n = strlen(text);
	return n >= PREFIX_MIN && n < TV_SHA_HEX && strspn(text, "0123456789abcdefABCDEF") == n;
}

static int resolve_ref(struct tv_store *s, const char *name, struct tv_rev *rev, struct tv_err *err)
{
	struct tv_ref ref;
	int r = tv_ref_get(s, name, &ref, err);
	if (r == -ENOENT)
		return unknown(s, name, err);
	if (r < 0)
		return r;
	rev->commit = ref.commit;
	memcpy(rev->ref, ref.name, sizeof(rev->ref));
	return 0;
}

/* --- the grammar ----------------------------------------------------------------------------- */

static int malformed(const char *text, struct tv_err *err)
{
	return tv_err_set(err, -EINVAL,
			  "'%s' is not a revision: a ref, a tag or 8 to 64 digits of a hash, then "
			  "@{TIME} or ~N",
			  text);
}

/* The length of the head: up to the first '~' or "@{". */
static size_t head_len(const char *text)
{
	size_t n = 0;
	while (text[n] && text[n] != '~' && !(text[n] == '@' && text[n + 1] == '{'))
		n++;
	return n;
}

/* Resolves the head with its "@{TIME}"; *rest is what follows. */
static int resolve_head(struct tv_store *s, const char *text, const char **rest, struct tv_rev *rev,
			struct tv_err *err)
{
	size_t n = head_len(text);
	tv_autofree char *head = strndup(text, n);
	if (!head)
		return tv_err_nomem(err);
	*rest = text + n;
	bool hash = is_digits(head);
	if (!hash && tv_ref_name_check(head, NULL) < 0)
		return malformed(text, err);
	if (**rest != '@')
		return hash ? resolve_hash(s, head, rev, err) : resolve_ref(s, head, rev, err);

	const char *end = strchr(*rest, '}');
	if (!end)
		return malformed(text, err);
	tv_autofree char *time = strndup(*rest + 2, (size_t)(end - *rest - 2));
	if (!time)
		return tv_err_nomem(err);
	*rest = end + 1;
	if (hash)
		return tv_err_set(err, -EINVAL, "'%s': only a ref has a history, not a hash", text);
	int r = resolve_moment(s, head, time, rev, err);
	if (r == 0)
		memcpy(rev->ref, head, n + 1);
	return r;
}

static int no_ancestor(const char *text, const struct tv_commit *c, struct tv_err *err)
{
	char hex[TV_SHA_HEX];
	tv_sha_hex(&c->id, hex);
	if (c->n_parents == 0)
		return tv_err_set(err, -ENOENT, "'%s': %.12s is the first commit", text, hex);
	return tv_err_set(err, -TV_E_MISSING,
			  "'%s': older commits than %.12s are not kept in this store", text, hex);
}

static int go_back(struct tv_store *s, const char *text, uint64_t steps, struct tv_rev *rev,
		   struct tv_err *err)
{
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	int r = tv_commit_get(s, &rev->commit, &c, err);
	for (; r == 0 && steps; steps--) {
		tv_autocommit struct tv_commit parent = TV_COMMIT_INIT;
		r = c.n_parents ? tv_commit_get(s, &c.parents[0], &parent, err) : -ENOENT;
		if (r == -ENOENT)
			return no_ancestor(text, &c, err);
		if (r < 0)
			return r;
		struct tv_commit swap = c;
		c = parent;
		parent = swap;
	}
	if (r == -ENOENT)
		return tv_err_set(err, -TV_E_MISSING,
				  "the commit that '%s' names is not kept in this store any more",
				  text);
	if (r < 0)
		return r;
	rev->commit = c.id;
	rev->foundation = c.root.sha;
	return 0;
}

/* Reads "~N" or "~" and moves on. */
static int take_steps(const char **rest, uint64_t *steps)
{
	char *end;
	if (**rest != '~')
		return -EINVAL;
	(*rest)++;
	if (!isdigit((unsigned char)**rest)) {
		*steps += 1;
		return 0;
	}
	errno = 0;
	unsigned long long n = strtoull(*rest, &end, 10);
	if (errno || n > UINT32_MAX)
		return -EINVAL;
	*steps += n;
	*rest = end;
	return 0;
}

int tv_rev_resolve(struct tv_store *s, const char *text, struct tv_rev *out, struct tv_err *err)
{
	struct tv_rev rev = { .ref = "" };
	const char *rest = text;
	uint64_t steps = 0;

	int r = resolve_head(s, text, &rest, &rev, err);
	while (r == 0 && *rest)
		if (take_steps(&rest, &steps) < 0)
			return malformed(text, err);
	if (r == 0)
		r = go_back(s, text, steps, &rev, err);
	if (r == 0)
		*out = rev;
	return r;
}

int tv_rev_split(const char *text, char **rev, char **path, struct tv_err *err)
{
	size_t n = 0;
	bool inside = false;
	for (; text[n] && (inside || text[n] != ':'); n++) {
		if (text[n] == '@' && text[n + 1] == '{')
			inside = true;
		else if (text[n] == '}')
			inside = false;
	}
	tv_autofree char *left = n ? strndup(text, n) : strdup("main");
	tv_autofree char *right = text[n] ? strdup(text + n + 1) : NULL;
	if (!left || (text[n] && !right))
		return tv_err_nomem(err);
	*rev = tv_steal_ptr(&left);
	*path = tv_steal_ptr(&right);
	return 0;
}
