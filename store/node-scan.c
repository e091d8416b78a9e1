#include "store/node-priv.h"

#include <limits.h>

#define PROJECTION_MAGIC "TVH1"
#define PROJECTION_COUNT 5 /* where the count stands: it is known last */

static unsigned rank_of(const struct tv_sha *sha)
{
	unsigned zeros = 0;
	for (size_t i = 0; i < sizeof(sha->b); i++, zeros += CHAR_BIT)
		if (sha->b[i])
			return (zeros + (unsigned)__builtin_clz(sha->b[i]) - 24) / TV_RANK_BITS;
	return zeros / TV_RANK_BITS;
}

unsigned tv_name_rank(const char *name, size_t n)
{
	struct tv_sha sha;
	return tv_sha_of(name, n, &sha, NULL) < 0 ? UINT_MAX : rank_of(&sha);
}

void tv_node_scan_init_plain(struct tv_node_scan *s, unsigned level)
{
	*s = (struct tv_node_scan){ .level = level, .projection = TV_BUF_INIT };
}

int tv_node_scan_init(struct tv_node_scan *s, unsigned level, struct tv_err *err)
{
	tv_node_scan_init_plain(s, level);
	int r = tv_hasher_new(&s->hasher, err);
	if (r == 0)
		tv_node_scan_reset(s);
	return r;
}

void tv_node_scan_free(struct tv_node_scan *s)
{
	tv_hasher_free(s->hasher);
	tv_buf_free(&s->projection);
}

void tv_node_scan_reset(struct tv_node_scan *s)
{
	s->len = 0;
	s->sum = (struct tv_ref_entry){ 0 };
	s->last_len = 0;
	tv_buf_clear(&s->projection);
	tv_buf_add_str(&s->projection, PROJECTION_MAGIC);
	tv_buf_add_u8(&s->projection, (uint8_t)s->level);
	tv_buf_add_le32(&s->projection, 0);
}

bool tv_node_scan_ended(const struct tv_node_scan *s)
{
	return s->len && s->last_rank > s->level;
}

static int ascending(const struct tv_node_scan *s, const char *name, size_t n)
{
	size_t common = n < s->last_len ? n : s->last_len;
	int c = memcmp(s->last, name, common);
	return c < 0 || (c == 0 && s->last_len < n);
}

static const char *name_fault(const struct tv_node_scan *s, const char *name, size_t n)
{
	if (!tv_name_ok(name, n))
		return "a name is not valid";
	if (tv_name_reserved(name, n))
		return "a name begins with '.wh.', which belongs to overlays";
	if (s->len && !ascending(s, name, n))
		return "names are not in ascending order";
	if (!s->hasher)
		return NULL;
	if (tv_node_scan_ended(s))
		return "a name that ends a node stands inside one";
	/* All references but the last are to nodes that were ended by their last names. */
	if (s->len && s->last_rank < s->level)
		return "a reference ends with a name that ends no node";
	return NULL;
}

static const char *symlink_fault(const struct tv_entry *e, size_t target_len)
{
	if (e->mode != 0777 || e->files || !tv_addr_is_zero(&e->addr))
		return "a symlink has a mode, a count or an address";
	if (!target_len || target_len > TV_TARGET_MAX || e->size != target_len)
		return "a symlink's target has a wrong length";
	if (!e->target || memchr(e->target, '\0', target_len))
		return "a symlink's target is not valid";
	return NULL;
}

static const char *entry_fault(const struct tv_entry *e, size_t target_len)
{
	if (e->mode & ~0777u)
		return "a mode has bits outside 0777";
	switch (e->kind) {
	case TV_FILE:
		return e->files || target_len ? "a file has a count or a target" : NULL;
	case TV_DIR:
		if (target_len || tv_addr_is_zero(&e->addr))
			return "a directory has a target or no address";
		return NULL;
	case TV_SYMLINK:
		return symlink_fault(e, target_len);
	}
	return "an entry is of an unknown kind";
}

static int invalid(struct tv_err *err, const char *name, size_t n, const char *fault)
{
	return tv_err_set(err, -EINVAL, "'%.*s': %s", (int)(n < TV_NAME_MAX ? n : TV_NAME_MAX),
			  name, fault);
}

/* Sums stay in 63 bits, so that no reader has to think of overflow. */
static int add_sums(struct tv_node_scan *s, uint64_t count, uint64_t size, uint64_t files,
		    struct tv_err *err)
{
	struct tv_ref_entry sum = s->sum;
	if (count > INT64_MAX - sum.count || size > INT64_MAX - sum.size ||
	    files > INT64_MAX - sum.files)
		return tv_err_set(err, -EOVERFLOW, "a directory is larger than 2^63-1");
	sum.count += count;
	sum.size += size;
	sum.files += files;
	s->sum = sum;
	return 0;
}

static void keep_last(struct tv_node_scan *s, const char *name, size_t n, const struct tv_sha *sha)
{
	memcpy(s->last, name, n);
	s->last_len = n;
	s->last_rank = s->hasher ? rank_of(sha) : 0;
	s->len++;
}

/* The digest that decides whether a name ends a node; not needed by a pass without digests. */
static int hash_name(struct tv_node_scan *s, const char *name, size_t n, struct tv_sha *sha,
		     struct tv_err *err)
{
	return s->hasher ? tv_hasher_sha(s->hasher, name, n, sha, err) : 0;
}

static int check_target(struct tv_node_scan *s, const struct tv_entry *e, size_t n,
			struct tv_err *err)
{
	struct tv_sha sha;
	if (!s->hasher)
		return 0;
	int r = tv_hasher_sha(s->hasher, e->target, n, &sha, err);
	if (r == 0 && !tv_sha_eq(&sha, &e->sha))
		r = tv_err_set(err, -EINVAL, "a symlink's hash is not that of its target");
	return r;
}

int tv_node_scan_entry(struct tv_node_scan *s, const char *name, size_t n, const struct tv_entry *e,
		       size_t target_len, struct tv_err *err)
{
	struct tv_sha name_sha;
	const char *fault = name_fault(s, name, n);
	if (!fault)
		fault = entry_fault(e, target_len);
	if (fault)
		return invalid(err, name, n, fault);
	int r = e->kind == TV_SYMLINK ? check_target(s, e, target_len, err) : 0;
	if (r == 0)
		r = hash_name(s, name, n, &name_sha, err);
	if (r == 0)
		r = add_sums(s, 1, e->size, e->kind == TV_DIR ? e->files : 1, err);
	if (r < 0)
		return r;
	keep_last(s, name, n, &name_sha);
	if (!s->hasher)
		return 0;

	struct tv_buf *p = &s->projection;
	tv_buf_add_u8(p, (uint8_t)e->kind);
	tv_buf_add_u8(p, tv_entry_exec(e));
	tv_buf_add_le16(p, (uint16_t)n);
	tv_buf_add(p, name, n);
	tv_buf_add_le64(p, e->kind == TV_DIR ? 0 : e->size);
	tv_buf_add(p, e->sha.b, sizeof(e->sha.b));
	return p->failed ? tv_err_nomem(err) : 0;
}

int tv_node_scan_child(struct tv_node_scan *s, const char *last, size_t n,
		       const struct tv_ref_entry *ref, struct tv_err *err)
{
	struct tv_sha name_sha;
	const char *fault = name_fault(s, last, n);
	if (!fault && (!ref->count || tv_addr_is_zero(&ref->addr)))
		fault = "a reference to an empty node";
	if (fault)
		return invalid(err, last, n, fault);
	int r = hash_name(s, last, n, &name_sha, err);
	if (r == 0)
		r = add_sums(s, ref->count, ref->size, ref->files, err);
	if (r < 0)
		return r;
	keep_last(s, last, n, &name_sha);
	if (!s->hasher)
		return 0;

	struct tv_buf *p = &s->projection;
	tv_buf_add_le16(p, (uint16_t)n);
	tv_buf_add(p, last, n);
	tv_buf_add_le64(p, ref->count);
	tv_buf_add(p, ref->sha.b, sizeof(ref->sha.b));
	return p->failed ? tv_err_nomem(err) : 0;
}

int tv_node_scan_hash(struct tv_node_scan *s, struct tv_sha *out, struct tv_err *err)
{
	if (s->level && !s->len)
		return tv_err_set(err, -EINVAL, "a node of references has none");
	if (s->projection.failed)
		return tv_err_nomem(err);
	tv_put_le32(s->projection.data + PROJECTION_COUNT, s->len);
	return tv_hasher_sha(s->hasher, s->projection.data, s->projection.len, out, err);
}
