#include "store/runrec.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"

static bool part_ok(const char *part, size_t n)
{
	if (n == 0 || part[0] == '.' || part[0] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isascii(part[i]) || (!isalnum(part[i]) && !strchr("._+:@=-", part[i])))
			return false;
	return true;
}

int tv_run_id_check(const char *id, bool child_ok, struct tv_err *err)
{
	size_t n = strlen(id);
	bool ok = n > 0 && n <= TV_RUN_ID_MAX;
	for (const char *part = id; ok; part++) {
		size_t len = child_ok ? strcspn(part, "/") : strlen(part);
		ok = part_ok(part, len);
		part += len;
		if (!*part)
			break;
	}
	if (ok)
		return 0;
	return tv_err_set(
		err, -EINVAL,
		"'%s' is not a run id: 1 to %d letters, digits and ._+:@=-, not beginning "
		"with '.' or '-'",
		id, TV_RUN_ID_MAX);
}

/* --- rows ------------------------------------------------------------------------------------ */

#define INDEX_KEY (32 + TV_RUN_ID_MAX)

static struct tv_bytes id_key(const char *id)
{
	return tv_bytes(id, strlen(id));
}

static struct tv_bytes index_key(const struct tv_sha *foundation, const char *id,
				 uint8_t key[INDEX_KEY])
{
	struct tv_bytes tail = id_key(id);
	memcpy(key, foundation->b, 32);
	memcpy(key + 32, tail.data, tail.len);
	return tv_bytes(key, 32 + tail.len);
}

static int parse(const char *id, struct tv_bytes row, cJSON **out, struct tv_err *err)
{
	tv_autojson cJSON *doc = NULL;
	int r = tv_json_parse(row.data, row.len, &doc, NULL);
	if (r == -ENOMEM)
		return tv_err_nomem(err);
	if (r < 0 || !cJSON_IsObject(doc))
		return tv_err_set(err, -TV_E_DAMAGED, "the record of run '%s' is damaged", id);
	*out = tv_steal_ptr(&doc);
	return 0;
}

/* 1 found, 0 not, -errno. */
static int look_up(struct tv_kv_txn *t, const char *id, cJSON **out, struct tv_err *err)
{
	struct tv_bytes row;
	int r = tv_kv_get(t, TV_T_RUNS, id_key(id), &row, err);
	if (r <= 0)
		return r;
	r = parse(id, row, out, err);
	return r < 0 ? r : 1;
}

static int get_in(struct tv_kv_txn *t, const char *id, cJSON **out, struct tv_err *err)
{
	int r = tv_run_id_check(id, true, err);
	if (r < 0)
		return r;
	r = look_up(t, id, out, err);
	if (r == 0)
		return tv_err_set(err, -ENOENT, "there is no run '%s'", id);
	return r < 0 ? r : 0;
}

/* Keys stay in the order in which they were added, so the same steps make the same bytes. */
static int put_doc(struct tv_kv_txn *t, const char *id, const cJSON *doc, struct tv_err *err)
{
	tv_autofree char *text = cJSON_PrintUnformatted(doc);
	if (!text)
		return tv_err_nomem(err);
	return tv_kv_put(t, TV_T_RUNS, id_key(id), tv_bytes(text, strlen(text)), err);
}

/* --- creating -------------------------------------------------------------------------------- */

/* What a run is locked to stands first in the document, whatever the caller gives for it. */
static int with_lock(const char *id, const struct tv_sha *commit, const struct tv_sha *foundation,
		     const cJSON *doc, cJSON **out, struct tv_err *err)
{
	char commit_hex[TV_SHA_HEX], foundation_hex[TV_SHA_HEX];
	tv_sha_hex(commit, commit_hex);
	tv_sha_hex(foundation, foundation_hex);
	const struct {
		const char *key, *value;
	} locked[] = {
		{ "run_id", id },
		{ "commit", commit_hex },
		{ "foundation_hash", foundation_hex },
	};
	tv_autojson cJSON *whole = cJSON_CreateObject();
	bool ok = whole != NULL;
	for (size_t i = 0; i < TV_ARRAY_LEN(locked); i++)
		ok = ok && cJSON_AddStringToObject(whole, locked[i].key, locked[i].value);
	for (const cJSON *item = doc ? doc->child : NULL; item && ok; item = item->next) {
		if (cJSON_GetObjectItemCaseSensitive(whole, item->string))
			continue;
		cJSON *copy = cJSON_Duplicate(item, true);
		ok = copy && cJSON_AddItemToObject(whole, item->string, copy);
		if (!ok)
			cJSON_Delete(copy);
	}
	if (!ok)
		return tv_err_nomem(err);
	*out = tv_steal_ptr(&whole);
	return 0;
}

struct create {
	const char *id;
	const struct tv_sha *commit, *foundation;
	const cJSON *doc;
	cJSON *existing;
};

static int create_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct create *c = arg;
	uint8_t key[INDEX_KEY];
	/* The body may run again. */
	cJSON_Delete(tv_steal_ptr(&c->existing));

	int r = look_up(t, c->id, &c->existing, err);
	if (r < 0)
		return r;
	if (r == 1)
		return tv_err_set(err, -EEXIST, "run '%s' exists already", c->id);
	r = tv_kv_get(t, TV_T_COMMITS, tv_bytes(c->commit->b, 32), NULL, err);
	if (r == 0)
		r = tv_err_set(err, -ENOENT, "the commit of run '%s' is gone", c->id);
	if (r < 0)
		return r;
	r = put_doc(t, c->id, c->doc, err);
	if (r < 0)
		return r;
	return tv_kv_put(t, TV_T_RUN_BY_FOUNDATION, index_key(c->foundation, c->id, key),
			 tv_bytes("", 0), err);
}

int tv_run_create(struct tv_store *s, const char *id, const struct tv_sha *commit,
		  const struct tv_sha *foundation, const cJSON *doc, cJSON **out,
		  struct tv_err *err)
{
	tv_autojson cJSON *whole = NULL;
	struct create c = { .id = id, .commit = commit, .foundation = foundation };
	int r = tv_run_id_check(id, true, err);
	if (r == 0)
		r = with_lock(id, commit, foundation, doc, &whole, err);
	if (r < 0)
		return r;
	c.doc = whole;
	r = tv_kv_write(tv_store_kv(s), create_body, &c, err);
	if (out && r == 0)
		*out = tv_steal_ptr(&whole);
	else if (out && r == -EEXIST)
		*out = tv_steal_ptr(&c.existing);
	cJSON_Delete(c.existing);
	return r;
}

/* --- reading and changing -------------------------------------------------------------------- */

struct get {
	const char *id;
	cJSON *doc;
};

static int get_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct get *g = arg;
	return get_in(t, g->id, &g->doc, err);
}

int tv_run_get(struct tv_store *s, const char *id, cJSON **out, struct tv_err *err)
{
	struct get g = { .id = id };
	int r = tv_kv_read(tv_store_kv(s), get_body, &g, err);
	if (r == 0)
		*out = g.doc;
	return r;
}

struct update {
	const char *id;
	int (*change)(void *arg, cJSON *doc, struct tv_err *err);
	void *arg;
};

static int check_locked(const cJSON *before, const cJSON *after, struct tv_err *err)
{
	static const char *const locked[] = { "run_id", "commit", "foundation_hash" };
	for (size_t i = 0; i < TV_ARRAY_LEN(locked); i++)
		if (!cJSON_Compare(cJSON_GetObjectItemCaseSensitive(before, locked[i]),
				   cJSON_GetObjectItemCaseSensitive(after, locked[i]), true))
			return tv_err_set(err, -EPERM, "'%s' of a run cannot be changed",
					  locked[i]);
	return 0;
}

static int update_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct update *u = arg;
	tv_autojson cJSON *before = NULL;
	tv_autojson cJSON *doc = NULL;

	int r = get_in(t, u->id, &doc, err);
	if (r < 0)
		return r;
	before = cJSON_Duplicate(doc, true);
	if (!before)
		return tv_err_nomem(err);
	r = u->change(u->arg, doc, err);
	if (r != 0)
		return r;
	r = check_locked(before, doc, err);
	return r < 0 ? r : put_doc(t, u->id, doc, err);
}

int tv_run_update(struct tv_store *s, const char *id,
		  int (*change)(void *arg, cJSON *doc, struct tv_err *err), void *arg,
		  struct tv_err *err)
{
	struct update u = { id, change, arg };
	return tv_kv_write(tv_store_kv(s), update_body, &u, err);
}

/* The foundation that the index row stands under. */
static int foundation_of(const char *id, const cJSON *doc, struct tv_sha *out, struct tv_err *err)
{
	const char *hex =
		cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(doc, "foundation_hash"));
	if (!hex || !tv_sha_from_hex(hex, out))
		return tv_err_set(err, -TV_E_DAMAGED, "the record of run '%s' has no foundation",
				  id);
	return 0;
}

int tv_run_forget_in(struct tv_kv_txn *t, const char *id, struct tv_err *err)
{
	tv_autojson cJSON *doc = NULL;
	struct tv_sha foundation;
	uint8_t key[INDEX_KEY];

	int r = get_in(t, id, &doc, err);
	if (r == 0)
		r = foundation_of(id, doc, &foundation, err);
	if (r == 0)
		r = tv_kv_del(t, TV_T_RUN_BY_FOUNDATION, index_key(&foundation, id, key), err);
	if (r >= 0)
		r = tv_kv_del(t, TV_T_RUNS, id_key(id), err);
	return r < 0 ? r : 0;
}

static int forget_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	return tv_run_forget_in(t, arg, err);
}

int tv_run_forget(struct tv_store *s, const char *id, struct tv_err *err)
{
	tv_autofree char *copy = strdup(id);
	return copy ? tv_kv_write(tv_store_kv(s), forget_body, copy, err) : tv_err_nomem(err);
}

/* --- listing --------------------------------------------------------------------------------- */

/* The next run after `id`, in a transaction of its own: visits may take long. */
struct step {
	const struct tv_sha *foundation; /* only this one's; NULL: all */
	char id[TV_RUN_ID_MAX + 1];
	cJSON *doc; /* of all */
};

static int next_key(struct step *s, struct tv_kv_cursor *c, struct tv_bytes *id,
		    struct tv_bytes *row, struct tv_err *err)
{
	uint8_t from[INDEX_KEY + 1];
	struct tv_bytes key = id_key(s->id);
	size_t prefix = s->foundation ? 32 : 0;
	if (s->foundation)
		memcpy(from, s->foundation->b, 32);
	memcpy(from + prefix, key.data, key.len);
	from[prefix + key.len] = '\0'; /* the first key that can follow */
	int r = tv_kv_cursor_from(c, tv_bytes(from, prefix + key.len + 1), &key, row, err);
	if (r <= 0)
		return r;
	if (prefix && (key.len <= prefix || memcmp(key.data, from, prefix) != 0))
		return 0;
	*id = tv_bytes((const uint8_t *)key.data + prefix, key.len - prefix);
	return id->len > TV_RUN_ID_MAX ? tv_err_set(err, -TV_E_DAMAGED, "a run row is damaged") : 1;
}

static int step_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct step *s = arg;
	struct tv_kv_cursor *c;
	struct tv_bytes id, row;
	enum tv_table table = s->foundation ? TV_T_RUN_BY_FOUNDATION : TV_T_RUNS;

	int r = tv_kv_cursor_open(t, table, &c, err);
	if (r < 0)
		return r;
	r = next_key(s, c, &id, &row, err);
	if (r == 1) {
		memcpy(s->id, id.data, id.len);
		s->id[id.len] = '\0';
		if (!s->foundation)
			r = parse(s->id, row, &s->doc, err);
		r = r < 0 ? r : 1;
	}
	tv_kv_cursor_close(c);
	return r;
}

int tv_run_each(struct tv_store *s, int (*visit)(void *arg, const cJSON *doc, struct tv_err *err),
		void *arg, struct tv_err *err)
{
	struct step step = { .foundation = NULL };
	int r = 0;
	while (r == 0) {
		r = tv_kv_read(tv_store_kv(s), step_body, &step, err);
		if (r <= 0)
			return r;
		r = visit(arg, step.doc, err);
		cJSON_Delete(tv_steal_ptr(&step.doc));
	}
	return r;
}

int tv_run_each_of(struct tv_store *s, const struct tv_sha *foundation,
		   int (*visit)(void *arg, const char *id, struct tv_err *err), void *arg,
		   struct tv_err *err)
{
	struct step step = { .foundation = foundation };
	int r = 0;
	while (r == 0) {
		r = tv_kv_read(tv_store_kv(s), step_body, &step, err);
		if (r <= 0)
			return r;
		r = visit(arg, step.id, err);
	}
	return r;
}
