/*
 * Reading an overlay back: the walk. At each folder the overlay's names are sorted and compared with
 * the frozen folder that lies below, name by name; of the frozen side only those names are looked up.
 */
#include "fs/overlay.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/upper.h"
#include "store/base/io.h"
#include "store/base/path.h"

struct name {
	char *text; /* owned */
	bool upper, whiteout;
};

struct names {
	struct name *of;
	size_t len, cap;
};

struct walk {
	const struct tv_node_source *nodes;
	const struct tv_entry *root;
	const char *const *exclude;
	size_t n_exclude;
	int (*visit)(void *arg, const struct tv_overlay_change *c, struct tv_err *err);
	void *arg;
};

/* One folder of the overlay. */
struct level {
	const struct walk *w;
	int fd;
	const char *path;
	const struct tv_entry *frozen; /* what lies below it; NULL: nothing */
	bool covers;		       /* nothing of that shows through */
};

static void free_names(struct names *n)
{
	for (size_t i = 0; i < n->len; i++)
		free(n->of[i].text);
	free(n->of);
}

static int add_name(struct names *to, const char *text, size_t n, bool upper, bool whiteout)
{
	if (to->len == to->cap) {
		size_t cap = to->cap ? to->cap * 2 : 32;
		struct name *grown = reallocarray(to->of, cap, sizeof(grown[0]));
		if (!grown)
			return -ENOMEM;
		to->of = grown;
		to->cap = cap;
	}
	char *copy = strndup(text, n);
	if (!copy)
		return -ENOMEM;
	to->of[to->len++] = (struct name){ copy, upper, whiteout };
	return 0;
}

struct collecting {
	struct names *names;
	bool opaque;
};

static int collect(void *arg, const struct tv_upper_name *e)
{
	struct collecting *c = arg;
	c->opaque = c->opaque || e->mark == TV_MARK_OPAQUE;
	if (e->mark != TV_MARK_NONE && e->mark != TV_MARK_WHITEOUT)
		return 0;
	bool whiteout = e->mark == TV_MARK_WHITEOUT;
	return add_name(c->names, e->name, strlen(e->name), !whiteout, whiteout);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

/* Sorts, and makes one of a name and its whiteout. */
static void merge_names(struct names *n)
{
	size_t kept = 0;

	if (n->len)
		qsort(n->of, n->len, sizeof(n->of[0]), by_text);
	for (size_t i = 0; i < n->len; i++) {
		struct name *last = kept ? &n->of[kept - 1] : NULL;
		if (last && !strcmp(last->text, n->of[i].text)) {
			last->upper |= n->of[i].upper;
			last->whiteout |= n->of[i].whiteout;
			free(n->of[i].text);
		} else {
			n->of[kept++] = n->of[i];
		}
	}
	n->len = kept;
}

/* Where a folder covers what lies below it, each frozen name counts as hidden. */
static int add_covered(const struct level *l, struct names *names, struct tv_err *err)
{
	struct tv_dir_cursor c;
	struct tv_entry e;
	const char *name;
	size_t n;

	int r = tv_dir_cursor_open(&c, l->w->nodes, &l->frozen->addr, err);
	if (r < 0)
		return r;
	while (r == 0 && tv_dir_cursor_get(&c, &name, &n, &e) > 0) {
		r = add_name(names, name, n, false, true);
		if (r == 0)
			r = tv_dir_cursor_next(&c, err);
	}
	tv_dir_cursor_close(&c);
	return r;
}

static bool excluded(const struct level *l, const char *name)
{
	for (size_t i = 0; !*l->path && i < l->w->n_exclude; i++)
		if (!strcmp(l->w->exclude[i], name))
			return true;
	return false;
}

static int walk_level(struct level *l, struct tv_err *err);

static int tell(const struct level *l, struct tv_overlay_change c, struct tv_err *err)
{
	return l->w->visit(l->w->arg, &c, err);
}

static bool dir_touched(const struct stat *st, const struct tv_entry *e)
{
	return (st->st_mode & 0777) != e->mode || tv_ns_from_timespec(st->st_mtim) != e->mtime_ns;
}

/* The frozen folder a redirect names, or none. 1, 0. */
static int redirected(const struct level *l, const char *name, struct tv_entry *e,
		      struct tv_err *err)
{
	tv_autofree char *path = NULL;
	int r = tv_redirect_read(l->fd, name, &path);
	if (r < 0)
		return tv_err_sys(err, r, "cannot read the redirect of folder '%s'", name);
	if (r == 0)
		return 0;
	r = tv_tree_lookup(l->w->nodes, l->w->root, path, e, NULL, err);
	if (r == -ENOENT || r == -ENOTDIR || (r == 0 && e->kind != TV_DIR)) {
		tv_err_clear(err);
		return 0; /* it names nothing, so nothing shows through: as the view has it */
	}
	return r < 0 ? r : 1;
}

/* A folder: itself, then what is in it. `below` (nullable) is the frozen entry of its name. */
static int walk_dir(const struct level *l, const struct name *n, const char *path,
		    const struct stat *st, const struct tv_entry *below, struct tv_err *err)
{
	struct tv_entry origin;
	int moved = redirected(l, n->text, &origin, err);
	if (moved < 0)
		return moved;
	bool below_dir = below && below->kind == TV_DIR, covers = n->whiteout || l->covers;
	/* A folder that was made ready to be renamed, and was not, is where it was. */
	if (moved && below_dir && tv_addr_eq(&origin.addr, &below->addr))
		moved = covers = false;

	struct tv_overlay_change c = {
		.path = path, .st = st, .disk_path = path, .change = below ? TV_CHANGED : TV_ADDED
	};
	if (moved) {
		c.frozen = &origin;
		c.disk_path = NULL;
	} else if (below_dir) {
		c.change = TV_TOUCHED;
	}
	int r = c.change != TV_TOUCHED || dir_touched(st, below) ? tell(l, c, err) : 0;
	if (r)
		return r;
	tv_autoclose int fd =
		openat(l->fd, n->text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return tv_err_sys(err, -errno, "cannot open folder '%s' of the overlay", path);
	struct level inner = { .w = l->w,
			       .fd = fd,
			       .path = path,
			       .frozen = moved	     ? &origin
					 : below_dir ? below
						     : NULL,
			       .covers = !moved && covers };
	return walk_level(&inner, err);
}

static int walk_name(const struct level *l, const struct name *n, struct tv_err *err)
{
	tv_autofree char *path = tv_path_join(l->path, n->text);
	struct tv_entry below = { .kind = TV_FILE };
	struct stat st;

	if (!path)
		return tv_err_nomem(err);
	int r = l->frozen ? tv_dir_lookup(l->w->nodes, &l->frozen->addr, n->text, strlen(n->text),
					  &below, NULL, err)
			  : -ENOENT;
	if (r < 0 && r != -ENOENT)
		return r;
	bool is_below = r == 0;
	tv_err_clear(err);
	if (!n->upper)
		return is_below ? tell(l,
				       (struct tv_overlay_change){ .path = path,
								   .change = TV_REMOVED },
				       err)
				: 0;
	if (fstatat(l->fd, n->text, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return tv_err_sys(err, -errno, "cannot stat '%s' of the overlay", path);
	tv_upper_true_mode(l->fd, n->text, &st);
	if (S_ISDIR(st.st_mode))
		return walk_dir(l, n, path, &st, is_below ? &below : NULL, err);
	return tell(l,
		    (struct tv_overlay_change){ .path = path,
						.st = &st,
						.disk_path = path,
						.change = is_below ? TV_CHANGED : TV_ADDED },
		    err);
}

static int walk_level(struct level *l, struct tv_err *err)
{
	tv_auto(free_names) struct names names = { NULL, 0, 0 };
	struct collecting c = { &names, false };

	int r = tv_upper_list(l->fd, "", collect, &c);
	if (r < 0)
		return tv_err_sys(err, r, "cannot list folder '%s' of the overlay", l->path);
	l->covers = l->covers || c.opaque;
	if (l->covers && l->frozen)
		r = add_covered(l, &names, err);
	if (r < 0)
		return r;
	merge_names(&names);
	for (size_t i = 0; i < names.len && r == 0; i++)
		if (!excluded(l, names.of[i].text))
			r = walk_name(l, &names.of[i], err);
	return r;
}

int tv_overlay_walk(int overlay_dirfd, const struct tv_node_source *nodes,
		    const struct tv_entry *frozen_root, const char *const *exclude,
		    size_t n_exclude,
		    int (*visit)(void *arg, const struct tv_overlay_change *c, struct tv_err *err),
		    void *arg, struct tv_err *err)
{
	struct walk w = { nodes, frozen_root, exclude, n_exclude, visit, arg };
	struct level top = { .w = &w, .fd = overlay_dirfd, .path = "", .frozen = frozen_root };
	return walk_level(&top, err);
}
