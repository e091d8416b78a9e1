#include "fs/inode.h"

#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define LOOKUPS_MAX UINT32_MAX
#define FIRST_BUCKETS 256
#define TRIM_AFTER 4096

uint64_t tv_ino_frozen(uint64_t parent_ino, const char *name, size_t n)
{
	uint64_t ino = XXH3_64bits_withSeed(name, n, parent_ino) & ~((uint64_t)1 << 63);
	return ino > TV_INO_TOP ? ino : ino + TV_INO_TOP + 1;
}

static uint32_t name_hash(const struct tv_inode *parent, const char *name, size_t n)
{
	return (uint32_t)XXH3_64bits_withSeed(name, n, (uintptr_t)parent);
}

static size_t upper_bucket(const struct tv_inodes *t, uint64_t upper_ino)
{
	return (size_t)(upper_ino * 0x9e3779b97f4a7c15u >> 20) & (t->upper_buckets - 1);
}

int tv_inodes_init(struct tv_inodes *t)
{
	memset(t, 0, sizeof(*t));
	t->by_name = calloc(FIRST_BUCKETS, sizeof(void *));
	t->by_upper = calloc(FIRST_BUCKETS, sizeof(void *));
	if (!t->by_name || !t->by_upper) {
		free(t->by_name);
		free(t->by_upper);
		return -ENOMEM;
	}
	t->name_buckets = t->upper_buckets = FIRST_BUCKETS;
	pthread_mutex_init(&t->lock, NULL);
	return 0;
}

/* Tables double when they are full; when there is no memory for it they get slower, no more. */
static void grow_names(struct tv_inodes *t)
{
	size_t buckets = t->name_buckets * 2;
	struct tv_link **grown;

	if (t->names < t->name_buckets || !(grown = calloc(buckets, sizeof(void *))))
		return;
	for (size_t i = 0; i < t->name_buckets; i++) {
		for (struct tv_link *l = t->by_name[i], *next; l; l = next) {
			next = l->chain;
			l->chain = grown[l->hash & (buckets - 1)];
			grown[l->hash & (buckets - 1)] = l;
		}
	}
	free(t->by_name);
	t->by_name = grown;
	t->name_buckets = buckets;
}

static void grow_uppers(struct tv_inodes *t)
{
	size_t old = t->upper_buckets;
	struct tv_inode **from = t->by_upper, **grown;

	if (t->uppers < old || !(grown = calloc(old * 2, sizeof(void *))))
		return;
	t->by_upper = grown;
	t->upper_buckets = old * 2;
	for (size_t i = 0; i < old; i++) {
		for (struct tv_inode *inode = from[i], *next; inode; inode = next) {
			next = inode->upper_chain;
			size_t b = upper_bucket(t, inode->upper_ino);
			inode->upper_chain = grown[b];
			grown[b] = inode;
		}
	}
	free(from);
}

static struct tv_link *find_link(struct tv_inodes *t, const struct tv_inode *parent,
				 const char *name, size_t n, uint32_t hash)
{
	struct tv_link *l = t->by_name[hash & (t->name_buckets - 1)];
	for (; l; l = l->chain)
		if (l->hash == hash && l->parent == parent && !strncmp(l->name, name, n) &&
		    l->name[n] == '\0')
			return l;
	return NULL;
}

/* The memory of an inode with room for a first name of n bytes. */
static size_t inode_bytes(size_t n)
{
	size_t size = offsetof(struct tv_inode, first_name) + n + 1;
	return size > sizeof(struct tv_inode) ? size : sizeof(struct tv_inode);
}

/* A second name and those after it; the first is at the beginning of its inode, and needs no pointer. */
struct further_link {
	struct tv_link link;
	struct tv_inode *inode;
};

static struct tv_inode *inode_of(struct tv_link *l)
{
	return l->further ? ((struct further_link *)l)->inode : (struct tv_inode *)l;
}

static bool has_first_name(struct tv_link *l)
{
	return l->name == inode_of(l)->first_name;
}

/* What a link takes besides the inode. */
static size_t link_bytes(struct tv_link *l)
{
	return (l->further ? sizeof(struct further_link) : 0) +
	       (has_first_name(l) ? 0 : strlen(l->name) + 1);
}

static void chain_link(struct tv_inodes *t, struct tv_link *l)
{
	grow_names(t);
	struct tv_link **bucket = &t->by_name[l->hash & (t->name_buckets - 1)];
	l->chain = *bucket;
	*bucket = l;
	t->names++;
	t->bytes += link_bytes(l);
}

static void unchain_link(struct tv_inodes *t, struct tv_link *l)
{
	struct tv_link **at = &t->by_name[l->hash & (t->name_buckets - 1)];
	while (*at != l)
		at = &(*at)->chain;
	*at = l->chain;
	t->names--;
	t->bytes -= link_bytes(l);
}

static void unchain_upper(struct tv_inodes *t, struct tv_inode *inode)
{
	if (!inode->upper_ino)
		return;
	struct tv_inode **at = &t->by_upper[upper_bucket(t, inode->upper_ino)];
	while (*at != inode)
		at = &(*at)->upper_chain;
	*at = inode->upper_chain;
	inode->upper_ino = 0;
	t->uppers--;
}

static void chain_upper(struct tv_inodes *t, struct tv_inode *inode, uint64_t upper_ino)
{
	inode->upper_ino = upper_ino;
	if (!upper_ino)
		return;
	grow_uppers(t);
	struct tv_inode **bucket = &t->by_upper[upper_bucket(t, upper_ino)];
	inode->upper_chain = *bucket;
	*bucket = inode;
	t->uppers++;
}

static void list_nameless(struct tv_inodes *t, struct tv_inode *inode)
{
	struct tv_link *l = &inode->link;
	*l = (struct tv_link){ .chain = t->nameless };
	if (l->chain)
		l->chain->more = l;
	t->nameless = l;
}

static void unlist_nameless(struct tv_inodes *t, struct tv_inode *inode)
{
	struct tv_link *l = &inode->link;
	*(l->more ? &l->more->chain : &t->nameless) = l->chain;
	if (l->chain)
		l->chain->more = l->more;
	l->chain = l->more = NULL;
}

/* Fills a link and puts it in its bucket. The name becomes the link's. */
static void set_link(struct tv_inodes *t, struct tv_link *l, struct tv_inode *inode,
		     struct tv_inode *parent, char *name, uint32_t hash)
{
	if (l == &inode->link)
		unlist_nameless(t, inode);
	else
		((struct further_link *)l)->inode = inode;
	l->further = l != &inode->link;
	l->parent = parent;
	l->name = name;
	l->hash = hash;
	l->short_wanted = l->short_given = false;
	parent->refs++;
	chain_link(t, l);
}

/* With room for its first name. */
static struct tv_inode *make(struct tv_inodes *t, const struct tv_inode *proto, size_t n)
{
	struct tv_inode *inode = malloc(inode_bytes(n));
	if (!inode)
		return NULL;
	*inode = *proto;
	inode->upper_chain = NULL;
	inode->open = NULL;
	inode->nlookup = 0;
	inode->refs = 1;
	inode->copying = false;
	inode->first_name[0] = '\0';
	chain_upper(t, inode, proto->upper_ino);
	list_nameless(t, inode);
	t->count++;
	t->bytes += inode_bytes(n);
	return inode;
}

/* Drops a reference; returns the inode when it was the last one, out of all tables. */
static struct tv_inode *drop(struct tv_inodes *t, struct tv_inode *inode)
{
	if (!inode || --inode->refs)
		return NULL;
	unchain_upper(t, inode);
	if (!inode->link.name)
		unlist_nameless(t, inode);
	t->count--;
	t->bytes -= inode_bytes(strlen(inode->first_name));
	t->untrimmed++;
	return inode;
}

/* malloc keeps what is freed. It is told to give it back when the kernel has forgotten much: as many
 * inodes as are left, so that forgetting a million does it some eight times. */
static bool worth_trimming(struct tv_inodes *t)
{
	if (t->untrimmed < TRIM_AFTER || t->untrimmed < t->count)
		return false;
	t->untrimmed = 0;
	return true;
}

static void free_name(struct tv_link *l)
{
	if (!has_first_name(l))
		free(l->name);
}

static void free_links(struct tv_inode *inode)
{
	for (struct tv_link *l = &inode->link, *more; l; l = more) {
		more = l->more;
		free_name(l);
		if (l != &inode->link)
			free(l);
	}
}

/* Frees an inode that drop() returned, and the parents that only it held; they wait in lists through
 * upper_chain, which the dead have no use for. The lock is released while `gone` runs, since that
 * may close descriptors; by then none of them can be found any more. */
static void bury(struct tv_inodes *t, struct tv_inode *dead)
{
	struct tv_inode *named = dead, *nameless = NULL;

	if (!dead)
		return;
	dead->upper_chain = NULL;
	while ((dead = named)) {
		named = dead->upper_chain;
		for (struct tv_link *l = &dead->link; l; l = l->more) {
			if (!l->name)
				continue;
			unchain_link(t, l);
			struct tv_inode *parent = drop(t, l->parent);
			if (parent) {
				parent->upper_chain = named;
				named = parent;
			}
		}
		dead->upper_chain = nameless;
		nameless = dead;
	}
	pthread_mutex_unlock(&t->lock);
	while ((dead = nameless)) {
		nameless = dead->upper_chain;
		if (t->gone)
			t->gone(t->gone_arg, dead);
		free_links(dead);
		free(dead);
	}
	pthread_mutex_lock(&t->lock);
}

void tv_inodes_fini(struct tv_inodes *t)
{
	if (!t->by_name)
		return;
	/* The kernel does not forget when it unmounts: everything that is left goes, whatever its
	 * counts. */
	t->closing = true;
	/* Those with names are made nameless; then all are in one list. */
	for (size_t i = 0; i < t->name_buckets; i++) {
		while (t->by_name[i]) {
			struct tv_inode *inode = inode_of(t->by_name[i]);
			struct tv_link *l = &inode->link;
			do
				unchain_link(t, l);
			while ((l = l->more));
			free_links(inode);
			list_nameless(t, inode);
		}
	}
	for (struct tv_link *l = t->nameless, *next; l; l = next) {
		next = l->chain;
		if (t->gone)
			t->gone(t->gone_arg, inode_of(l));
		free(inode_of(l));
	}
	free(t->by_name);
	free(t->by_upper);
	t->by_name = NULL;
	t->by_upper = NULL;
	pthread_mutex_destroy(&t->lock);
}

size_t tv_inodes_count(struct tv_inodes *t)
{
	pthread_mutex_lock(&t->lock);
	size_t n = t->count;
	pthread_mutex_unlock(&t->lock);
	return n;
}

size_t tv_inodes_bytes(struct tv_inodes *t)
{
	pthread_mutex_lock(&t->lock);
	size_t n = t->bytes + (t->name_buckets + t->upper_buckets) * sizeof(void *);
	pthread_mutex_unlock(&t->lock);
	return n;
}

int tv_inode_new(struct tv_inodes *t, const struct tv_inode *proto, struct tv_inode **out)
{
	pthread_mutex_lock(&t->lock);
	struct tv_inode *inode = make(t, proto, 0);
	pthread_mutex_unlock(&t->lock);
	if (!inode)
		return -ENOMEM;
	*out = inode;
	return 0;
}

struct tv_inode *tv_inode_find(struct tv_inodes *t, struct tv_inode *parent, const char *name,
			       size_t n)
{
	uint32_t hash = name_hash(parent, name, n);
	pthread_mutex_lock(&t->lock);
	struct tv_link *l = find_link(t, parent, name, n, hash);
	struct tv_inode *inode = l ? inode_of(l) : NULL;
	if (inode)
		inode->refs++;
	pthread_mutex_unlock(&t->lock);
	return inode;
}

struct tv_inode *tv_inode_find_upper(struct tv_inodes *t, uint64_t upper_ino)
{
	pthread_mutex_lock(&t->lock);
	struct tv_inode *inode = t->by_upper[upper_bucket(t, upper_ino)];
	while (inode && inode->upper_ino != upper_ino)
		inode = inode->upper_chain;
	if (inode)
		inode->refs++;
	pthread_mutex_unlock(&t->lock);
	return inode;
}

int tv_inode_add(struct tv_inodes *t, struct tv_inode *parent, const char *name, size_t n,
		 const struct tv_inode *proto, struct tv_inode **out)
{
	uint32_t hash = name_hash(parent, name, n);

	pthread_mutex_lock(&t->lock);
	struct tv_link *l = find_link(t, parent, name, n, hash);
	struct tv_inode *inode = l ? inode_of(l) : make(t, proto, n);
	if (l) {
		inode->refs++;
	} else if (inode) {
		memcpy(inode->first_name, name, n);
		inode->first_name[n] = '\0';
		set_link(t, &inode->link, inode, parent, inode->first_name, hash);
	}
	pthread_mutex_unlock(&t->lock);
	if (!inode)
		return -ENOMEM;
	*out = inode;
	return 0;
}

int tv_inode_link(struct tv_inodes *t, struct tv_inode *inode, struct tv_inode *parent,
		  const char *name, size_t n)
{
	uint32_t hash = name_hash(parent, name, n);
	char *copy = strndup(name, n);
	struct further_link *further = calloc(1, sizeof(*further));

	if (!copy || !further) {
		free(copy);
		free(further);
		return -ENOMEM;
	}
	pthread_mutex_lock(&t->lock);
	if (!find_link(t, parent, name, n, hash)) {
		if (!inode->link.name) {
			set_link(t, &inode->link, inode, parent, copy, hash);
		} else {
			set_link(t, &further->link, inode, parent, copy, hash);
			further->link.more = inode->link.more;
			inode->link.more = &further->link;
			further = NULL;
		}
		copy = NULL;
	}
	pthread_mutex_unlock(&t->lock);
	free(copy);
	free(further);
	return 0;
}

struct tv_link *tv_inode_link_of(struct tv_inodes *t, struct tv_inode *inode,
				 struct tv_inode *parent, const char *name, size_t n)
{
	uint32_t hash = name_hash(parent, name, n);
	pthread_mutex_lock(&t->lock);
	struct tv_link *l = find_link(t, parent, name, n, hash);
	pthread_mutex_unlock(&t->lock);
	return l && inode_of(l) == inode ? l : NULL;
}

/* Moves what a further link says into the first one, which is embedded in the inode. */
static void promote(struct tv_inodes *t, struct tv_inode *inode)
{
	struct tv_link *l = inode->link.more;
	if (!l) {
		list_nameless(t, inode);
		return;
	}
	unchain_link(t, l);
	inode->link = *l;
	inode->link.further = false;
	chain_link(t, &inode->link);
	free(l);
}

void tv_inode_unlink(struct tv_inodes *t, struct tv_inode *inode, struct tv_inode *parent,
		     const char *name, size_t n)
{
	uint32_t hash = name_hash(parent, name, n);
	pthread_mutex_lock(&t->lock);
	struct tv_link *l = find_link(t, parent, name, n, hash);
	if (!l || inode_of(l) != inode) {
		pthread_mutex_unlock(&t->lock);
		return;
	}
	unchain_link(t, l);
	free_name(l);
	if (l == &inode->link) {
		promote(t, inode);
	} else {
		struct tv_link **at = &inode->link.more;
		while (*at != l)
			at = &(*at)->more;
		*at = l->more;
		free(l);
	}
	bury(t, drop(t, parent));
	pthread_mutex_unlock(&t->lock);
}

int tv_inode_hand_over(struct tv_inodes *t, struct tv_inode *from, struct tv_inode *to)
{
	char *copy = NULL;

	pthread_mutex_lock(&t->lock);
	/* A first name stays where it is. */
	if (from->link.name == from->first_name && !(copy = strdup(from->first_name))) {
		pthread_mutex_unlock(&t->lock);
		return -ENOMEM;
	}
	if (from->link.name) {
		unlist_nameless(t, to);
		unchain_link(t, &from->link);
		to->link = from->link;
		to->link.name = copy ? copy : from->link.name;
		chain_link(t, &to->link);
		for (struct tv_link *l = to->link.more; l; l = l->more)
			((struct further_link *)l)->inode = to;
		list_nameless(t, from);
	}
	uint64_t upper_ino = from->upper_ino;
	unchain_upper(t, from);
	unchain_upper(t, to);
	chain_upper(t, to, upper_ino);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

void tv_inode_set_upper(struct tv_inodes *t, struct tv_inode *inode, uint64_t upper_ino)
{
	pthread_mutex_lock(&t->lock);
	unchain_upper(t, inode);
	chain_upper(t, inode, upper_ino);
	pthread_mutex_unlock(&t->lock);
}

struct tv_inode *tv_inode_ref(struct tv_inodes *t, struct tv_inode *inode)
{
	pthread_mutex_lock(&t->lock);
	inode->refs++;
	pthread_mutex_unlock(&t->lock);
	return inode;
}

void tv_inode_put(struct tv_inodes *t, struct tv_inode *inode)
{
	if (!inode || t->closing)
		return;
	pthread_mutex_lock(&t->lock);
	bury(t, drop(t, inode));
	pthread_mutex_unlock(&t->lock);
}

void tv_inode_looked_up(struct tv_inodes *t, struct tv_inode *inode)
{
	pthread_mutex_lock(&t->lock);
	if (inode->nlookup == 0)
		inode->refs++;
	inode->nlookup += inode->nlookup < LOOKUPS_MAX;
	pthread_mutex_unlock(&t->lock);
}

void tv_inode_forget(struct tv_inodes *t, struct tv_inode *inode, uint64_t n)
{
	pthread_mutex_lock(&t->lock);
	/* The kernel never forgets more than it was told; a count that says so is not trusted. */
	n = n < inode->nlookup ? n : inode->nlookup;
	if (inode->nlookup == LOOKUPS_MAX)
		n = 0;
	inode->nlookup -= (uint32_t)n;
	if (n && inode->nlookup == 0)
		bury(t, drop(t, inode));
	bool trim = worth_trimming(t);
	pthread_mutex_unlock(&t->lock);
	if (trim)
		malloc_trim(0);
}

const char *tv_inode_path(const struct tv_inode *inode, char *buf, size_t size)
{
	char *at = buf + size - 1;

	*at = '\0';
	for (; !(inode->state & TV_INODE_ROOT); inode = inode->link.parent) {
		if (!inode->link.name) {
			errno = ENOENT;
			return NULL;
		}
		size_t n = strlen(inode->link.name);
		bool last = *at == '\0';
		if ((size_t)(at - buf) < n + !last) {
			errno = ENAMETOOLONG;
			return NULL;
		}
		if (!last)
			*--at = '/';
		at -= n;
		memcpy(at, inode->link.name, n);
	}
	return at;
}
