#include "fs/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "fs/view-priv.h"

/* A name of the overlay; names live in the listing's buffer. */
struct upper_name {
	uint64_t order; /* a hash of the name; of one that is not in place, its position */
	uint32_t at;
	unsigned char type;
	bool in_place; /* the frozen folder has the name too */
};

struct tv_folder {
	struct tv_inode *dir; /* a reference */
	pthread_mutex_t lock;
	bool started, unchanged;
	struct tv_buf names;	  /* NUL-terminated, one after the other */
	struct upper_name *upper; /* owned; those in place first, each part by `order` */
	size_t n_upper, cap_upper, n_in_place;
	struct tv_names hidden; /* frozen names that are not listed as frozen */
	struct tv_dir_cursor cursor;
	bool cursor_open;
	struct tv_folder *next, **prev; /* list of all */
};

#define TV_INO_UNKNOWN 0xffffffff /* as libfuse has it */
#define FIRST_FROZEN 2		  /* behind "." and ".." */
#define FIRST_BORN ((off_t)1 << 62)

int tv_folder_open(struct tv_view *v, struct tv_inode *dir, struct tv_folder **out)
{
	struct tv_folder *l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	pthread_mutex_init(&l->lock, NULL);
	l->dir = tv_inode_ref(&v->inodes, dir);
	l->hidden.unbounded = true;
	l->unchanged = __atomic_exchange_n(&dir->listed, true, __ATOMIC_ACQ_REL);
	pthread_mutex_lock(&v->opens);
	l->next = v->folders;
	l->prev = &v->folders;
	if (l->next)
		l->next->prev = &l->next;
	v->folders = l;
	v->open_folders++;
	pthread_mutex_unlock(&v->opens);
	*out = l;
	return 0;
}

static void reset(struct tv_folder *l)
{
	if (l->cursor_open)
		tv_dir_cursor_close(&l->cursor);
	tv_buf_free(&l->names);
	free(l->upper);
	free(l->hidden.slots);
	l->upper = NULL;
	l->n_upper = l->cap_upper = l->n_in_place = 0;
	l->hidden = (struct tv_names){ .unbounded = true };
	l->cursor_open = l->started = false;
}

void tv_folder_close(struct tv_view *v, struct tv_folder *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&v->opens);
	*l->prev = l->next;
	if (l->next)
		l->next->prev = l->prev;
	v->open_folders--;
	pthread_mutex_unlock(&v->opens);
	reset(l);
	pthread_mutex_destroy(&l->lock);
	tv_inode_put(&v->inodes, l->dir);
	free(l);
}

void tv_folders_fini(struct tv_view *v)
{
	while (v->folders)
		tv_folder_close(v, v->folders);
}

bool tv_folder_cacheable(const struct tv_view *v, const struct tv_inode *dir)
{
	(void)v;
	return !(dir->state & TV_INODE_ROUTES);
}

bool tv_folder_unchanged(const struct tv_folder *l)
{
	return l->unchanged;
}

/* --- the snapshot -------------------------------------------------------------------------- */

static int add_upper(struct tv_folder *l, const char *name, unsigned char type)
{
	if (l->n_upper == l->cap_upper) {
		size_t cap = l->cap_upper ? l->cap_upper * 2 : 32;
		struct upper_name *grown = reallocarray(l->upper, cap, sizeof(grown[0]));
		if (!grown)
			return -ENOMEM;
		l->upper = grown;
		l->cap_upper = cap;
	}
	l->upper[l->n_upper++] = (struct upper_name){ .order = XXH3_64bits(name, strlen(name)) >> 3,
						      .at = (uint32_t)l->names.len,
						      .type = type };
	tv_buf_add(&l->names, name, strlen(name) + 1);
	return l->names.failed ? -ENOMEM : 0;
}

struct snapshot {
	struct tv_view *v;
	struct tv_folder *l;
};

static int take_name(void *arg, const struct tv_upper_name *e)
{
	const struct snapshot *s = arg;
	struct tv_inode *dir = s->l->dir;
	const char *name = e->name;
	struct tv_spot spot;

	if (dir->volume == TV_VOL_DATA) {
		name = e->disk_name; /* no marks there: all names are just names */
	} else if (e->mark == TV_MARK_WHITEOUT) {
		tv_names_add(&s->l->hidden, name, strlen(name));
		return 0;
	} else if (e->mark != TV_MARK_NONE) {
		return 0;
	}
	if (tv_spot_at(s->v, dir, name, &spot) < 0)
		return 0; /* the overlay's own folder in the data folder */
	if (dir == s->v->volume[TV_VOL_LAKEHOUSE] && spot.route)
		return 0;
	if (dir->state & TV_INODE_FROZEN)
		tv_names_add(&s->l->hidden, name, strlen(name));
	return add_upper(s->l, name, e->type);
}

/* Routed names at the top of the lakehouse: shown when they exist where they are routed to. */
static int take_routes(struct tv_view *v, struct tv_folder *l)
{
	for (size_t i = 0; i < v->routes.len; i++) {
		const char *name = v->routes.of[i].lakehouse_name;
		struct tv_spot spot;
		struct tv_place place;

		tv_names_add(&l->hidden, name, strlen(name));
		int r = tv_spot_at(v, l->dir, name, &spot);
		if (r == 0)
			r = tv_spot_look(v, &spot, &place);
		if (r == 0 && place.where != TV_ABSENT)
			r = add_upper(l, name,
				      place.where == TV_IN_FROZEN ? DT_REG
								  : IFTODT(place.st.st_mode));
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_top(struct tv_view *v, struct tv_folder *l)
{
	static const char *const names[] = { "lakehouse", "data" };
	int r = 0;
	for (size_t i = 0; i < TV_ARRAY_LEN(names) && r == 0; i++)
		if (v->volume[i])
			r = add_upper(l, names[i], DT_DIR);
	return r;
}

static const char *name_of(const struct tv_folder *l, const struct upper_name *u)
{
	return (const char *)l->names.data + u->at;
}

static int by_place(const void *a, const void *b, void *arg)
{
	const struct upper_name *p = a, *q = b;
	if (p->in_place != q->in_place)
		return p->in_place ? -1 : 1;
	if (p->order != q->order)
		return p->order < q->order ? -1 : 1;
	return strcmp(name_of(arg, p), name_of(arg, q));
}

/* Gives each of the overlay's names its position. */
static int sort_upper(struct tv_view *v, struct tv_folder *l)
{
	struct tv_entry e;
	int r = 0;

	for (size_t i = 0; i < l->n_upper && r == 0; i++) {
		struct upper_name *u = &l->upper[i];
		const char *name = name_of(l, u);
		if (!(l->dir->state & TV_INODE_FROZEN))
			continue;
		r = tv_dir_lookup(v->nodes, &l->dir->addr, name, strlen(name), &e, NULL, NULL);
		u->in_place = r == 0;
		l->n_in_place += u->in_place;
		r = r == -ENOENT ? 0 : r;
	}
	if (r == 0 && l->n_upper)
		qsort_r(l->upper, l->n_upper, sizeof(l->upper[0]), by_place, l);
	/* Two names of one hash: the second moves on by one. */
	for (size_t i = l->n_in_place + 1; i < l->n_upper; i++)
		if (l->upper[i].order <= l->upper[i - 1].order)
			l->upper[i].order = l->upper[i - 1].order + 1;
	return r;
}

static int start(struct tv_view *v, struct tv_folder *l)
{
	tv_autodirfd struct tv_dirfd fd = TV_DIRFD_INIT;
	struct snapshot s = { v, l };
	int r = 0;

	reset(l);
	if (l->dir->volume == TV_VOL_TOP) {
		r = take_top(v, l);
	} else if (tv_inode_nameless(l->dir)) {
		/* removed: nothing in it */
	} else if (l->dir->state & TV_INODE_UPPER) {
		r = tv_inode_dir(v, l->dir, &fd);
		if (r == 0)
			r = tv_upper_list(fd.fd, "", take_name, &s);
	}
	if (r == 0 && l->dir == v->volume[TV_VOL_LAKEHOUSE])
		r = take_routes(v, l);
	if (r == 0)
		r = sort_upper(v, l);
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): an open listing has its folder */
	if (r == 0 && (l->dir->state & TV_INODE_FROZEN) && !tv_inode_nameless(l->dir)) {
		r = tv_dir_cursor_open(&l->cursor, v->nodes, &l->dir->addr, NULL);
		l->cursor_open = r == 0;
	}
	/* Hashes must not stand for names here: a set that gave up would hide everything. */
	if (r == 0 && l->hidden.all)
		r = -ENOMEM;
	l->started = r == 0;
	return r;
}

/* --- reading ------------------------------------------------------------------------------- */

/* Emits one entry that a look-up knows; 1 when the buffer is full. */
static int emit_found(struct tv_view *v, const struct tv_spot *spot, struct tv_inode *inode,
		      const struct stat *st, struct tv_listed *e,
		      int (*emit)(void *arg, const struct tv_listed *e), void *arg)
{
	struct tv_found found;
	tv_found_fill(v, spot, inode, st, &found);
	e->found = &found;
	e->st = *st;
	if (!emit(arg, e))
		return 0;
	tv_inode_forget(&v->inodes, inode, 1);
	return 1;
}

static int emit_upper(struct tv_view *v, struct tv_folder *l, const struct upper_name *u, bool plus,
		      struct tv_listed *e, int (*emit)(void *arg, const struct tv_listed *e),
		      void *arg)
{
	struct tv_inode *inode = NULL;
	struct tv_spot spot;
	struct stat st;

	e->name = name_of(l, u);
	int r = tv_spot_at(v, l->dir, e->name, &spot);
	if (r == 0)
		r = tv_spot_inode(v, &spot, &inode, &st);
	if (r == -ENOENT)
		return 0; /* it went since the start */
	if (r == -ENOMEM)
		return r;
	if (r < 0) { /* whoever looks this name up meets the error; the others are listed */
		e->found = NULL;
		e->st = (struct stat){ .st_ino = TV_INO_UNKNOWN, .st_mode = DTTOIF(u->type) };
		return emit(arg, e) != 0;
	}
	if (plus)
		return emit_found(v, &spot, inode, &st, e, emit, arg);
	e->found = NULL;
	e->st = st;
	tv_inode_put(&v->inodes, inode);
	return emit(arg, e) != 0;
}

/* A frozen entry; what the overlay did to it after the start is looked up. */
static int emit_frozen(struct tv_view *v, struct tv_folder *l, const char *name, size_t n,
		       const struct tv_entry *entry, bool plus, struct tv_listed *e,
		       int (*emit)(void *arg, const struct tv_listed *e), void *arg)
{
	struct tv_inode *inode = NULL;
	char text[TV_UPPER_NAME];
	struct tv_spot spot;
	struct stat st;

	memcpy(text, name, n);
	text[n] = '\0';
	e->name = text;
	if (!plus) {
		static const mode_t types[] = {
			[TV_FILE] = S_IFREG, [TV_DIR] = S_IFDIR, [TV_SYMLINK] = S_IFLNK
		};
		e->found = NULL;
		e->st = (struct stat){ .st_ino = tv_ino_frozen(l->dir->ino, name, n),
				       .st_mode = types[entry->kind] };
		int full = emit(arg, e) != 0;
		e->name = NULL; /* it was text */
		return full;
	}
	int r = tv_spot_at(v, l->dir, text, &spot);
	if (r == 0)
		r = tv_upper_maybe(v, l->dir, text, n);
	if (r == 0)
		r = tv_frozen_child(v, &spot, entry, &inode);
	else if (r > 0)
		r = tv_spot_inode(v, &spot, &inode, NULL);
	if (r == 0)
		r = tv_inode_stat(v, inode, &st);
	if (r < 0) {
		tv_inode_put(&v->inodes, inode);
		e->name = NULL;
		return r == -ENOENT ? 0 : r;
	}
	r = emit_found(v, &spot, inode, &st, e, emit, arg);
	e->name = NULL;
	return r;
}

static int emit_dots(struct tv_view *v, struct tv_folder *l, off_t at, struct tv_listed *e,
		     int (*emit)(void *arg, const struct tv_listed *e), void *arg)
{
	const struct tv_inode *parent = l->dir->link.parent;

	(void)v;
	e->name = at ? ".." : ".";
	e->found = NULL;
	e->st = (struct stat){ .st_ino = at && parent ? parent->ino : l->dir->ino,
			       .st_mode = S_IFDIR };
	e->next = at + 1;
	return emit(arg, e) != 0;
}

/* The first of the overlay's names from `from` up to `to` whose order is not below the given one. */
static size_t first_from(const struct tv_folder *l, size_t from, size_t to, uint64_t order)
{
	while (from < to) {
		size_t mid = from + (to - from) / 2;
		if (l->upper[mid].order < order)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

/* What the overlay has in the place of a frozen name, or NULL. */
static const struct upper_name *in_place(const struct tv_folder *l, const char *name, size_t n)
{
	uint64_t order = XXH3_64bits(name, n) >> 3;
	size_t i = first_from(l, 0, l->n_in_place, order);
	for (; i < l->n_in_place && l->upper[i].order == order; i++)
		if (!strncmp(name_of(l, &l->upper[i]), name, n) && !name_of(l, &l->upper[i])[n])
			return &l->upper[i];
	return NULL;
}

static int read_frozen(struct tv_view *v, struct tv_folder *l, off_t at, bool plus,
		       int (*emit)(void *arg, const struct tv_listed *e), void *arg)
{
	struct tv_entry entry;
	const char *name;
	size_t n;
	int r = 0;

	if (!l->cursor_open)
		return 0;
	if (l->cursor.position != (uint64_t)(at - FIRST_FROZEN))
		r = tv_dir_cursor_seek(&l->cursor, (uint64_t)(at - FIRST_FROZEN), NULL);
	while (r == 0 && tv_dir_cursor_get(&l->cursor, &name, &n, &entry) > 0) {
		struct tv_listed e = { .next = FIRST_FROZEN + (off_t)l->cursor.position + 1 };
		bool hidden = tv_names_maybe(&l->hidden, name, n);
		const struct upper_name *own = hidden ? in_place(l, name, n) : NULL;
		if (own)
			r = emit_upper(v, l, own, plus, &e, emit, arg);
		else if (!hidden)
			r = emit_frozen(v, l, name, n, &entry, plus, &e, emit, arg);
		if (r)
			break; /* full: the cursor stays on the entry that did not fit */
		r = tv_dir_cursor_next(&l->cursor, NULL);
	}
	return r;
}

static int read_born(struct tv_view *v, struct tv_folder *l, off_t at, bool plus,
		     int (*emit)(void *arg, const struct tv_listed *e), void *arg)
{
	size_t i = first_from(l, l->n_in_place, l->n_upper, (uint64_t)(at - FIRST_BORN));
	int r = 0;

	for (; r == 0 && i < l->n_upper; i++) {
		struct tv_listed e = { .next = FIRST_BORN + (off_t)l->upper[i].order + 1 };
		r = emit_upper(v, l, &l->upper[i], plus, &e, emit, arg);
	}
	return r;
}

static int read_locked(struct tv_view *v, struct tv_folder *l, off_t at, bool plus,
		       int (*emit)(void *arg, const struct tv_listed *e), void *arg)
{
	int r = at == 0 || !l->started ? start(v, l) : 0;
	for (; r == 0 && at < FIRST_FROZEN; at++) {
		struct tv_listed e = { .next = at + 1 };
		r = emit_dots(v, l, at, &e, emit, arg);
	}
	if (r == 0 && at < FIRST_BORN) {
		r = read_frozen(v, l, at, plus, emit, arg);
		at = FIRST_BORN;
	}
	return r ? r : read_born(v, l, at, plus, emit, arg);
}

int tv_folder_read(struct tv_view *v, struct tv_folder *l, off_t at, bool plus,
		   int (*emit)(void *arg, const struct tv_listed *e), void *arg)
{
	pthread_mutex_lock(&l->lock);
	tv_ns_read(v);
	int r = read_locked(v, l, at, plus, emit, arg);
	tv_ns_done(v);
	pthread_mutex_unlock(&l->lock);
	return r < 0 ? r : 0;
}

int tv_folder_read_once(struct tv_view *v, struct tv_inode *dir, off_t at, bool plus,
			int (*emit)(void *arg, const struct tv_listed *e), void *arg)
{
	struct tv_folder *l;
	int r = tv_folder_open(v, dir, &l);
	if (r < 0)
		return r;
	r = tv_folder_read(v, l, at, plus, emit, arg);
	tv_folder_close(v, l);
	return r;
}
