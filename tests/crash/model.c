#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "model.h"

enum { PAGE = 4096, INOS = 1 << 17 };

int model_root(void)
{
	return 0;
}

static void *grow(void *array, size_t n, size_t *room, size_t item)
{
	if (n < *room)
		return array;
	*room = *room ? 2 * *room : 256;
	array = realloc(array, *room * item);
	if (!array)
		abort();
	return array;
}

/* --- inodes and names --------------------------------------------------------------------------- */

static size_t ino_at(const struct model *m, uint64_t ino)
{
	size_t at = (ino * 0x9e3779b97f4a7c15ULL) % INOS;

	while (m->inos[at] && m->inos[at] != ino)
		at = (at + 1) % INOS;
	return at;
}

static int node_of(const struct model *m, uint64_t ino)
{
	size_t at = ino_at(m, ino);

	return m->inos[at] == ino && ino ? m->ino_nodes[at] : -1;
}

/* A new inode; one with the same number is forgotten. */
static int node_new(struct model *m, uint64_t ino, uint32_t mode, const uint8_t *data, size_t n)
{
	size_t at = ino_at(m, ino);

	m->nodes = grow(m->nodes, m->n_nodes, &m->room_nodes, sizeof(*m->nodes));
	m->nodes[m->n_nodes] = (struct node){ .mode = mode,
					      .base_mode = mode,
					      .base = data,
					      .base_size = n,
					      .base_hash = XXH3_64bits(data ? data : (void *)"", n),
					      .last_size = -1,
					      .last_mode = -1 };
	m->inos[at] = ino;
	m->ino_nodes[at] = (int)m->n_nodes;
	return (int)m->n_nodes++;
}

static int slot_of(struct model *m, int dir, const char *name)
{
	struct node *d = &m->nodes[dir];
	size_t room;

	for (size_t i = 0; i < d->n_slots; i++)
		if (strcmp(m->slots[d->slots[i]].name, name) == 0)
			return d->slots[i];
	m->slots = grow(m->slots, m->n_slots, &m->room_slots, sizeof(*m->slots));
	m->slots[m->n_slots] =
		(struct slot){ .dir = dir, .name = name, .base = -1, .now = -1, .last = -1 };
	room = d->n_slots + 1;
	d->slots = realloc(d->slots, room * sizeof(*d->slots));
	if (!d->slots)
		abort();
	d->slots[d->n_slots++] = (int)m->n_slots;
	return (int)m->n_slots++;
}

void model_path(const struct model *m, int node, char *out, size_t n)
{
	char below[4096] = "", joined[4096 + 260];

	while (node > 0) {
		size_t i;

		for (i = 0; i < m->n_slots; i++)
			if (m->slots[i].last == -2 - node || m->slots[i].base == node)
				break;
		if (i == m->n_slots)
			break;
		snprintf(joined, sizeof(joined), "%s%s%s", m->slots[i].name, below[0] ? "/" : "",
			 below);
		snprintf(below, sizeof(below), "%.4095s", joined);
		node = m->slots[i].dir;
	}
	snprintf(out, n, "%s", below);
}

/* --- atoms -------------------------------------------------------------------------------------- */

static void stand_on(struct model *m, uint32_t atom, int pred)
{
	if (pred < 0 || (uint32_t)pred == atom)
		return;
	m->preds = grow(m->preds, m->n_preds, &m->room_preds, sizeof(*m->preds));
	m->preds[m->n_preds++] = (uint32_t)pred;
	m->atoms[atom].n_preds++;
}

static uint32_t atom_new(struct model *m, enum atom_kind kind, uint32_t op, int node)
{
	m->atoms = grow(m->atoms, m->n_atoms, &m->room_atoms, sizeof(*m->atoms));
	m->atoms[m->n_atoms] = (struct atom){ .kind = kind,
					      .op = op,
					      .node = node,
					      .slot = -1,
					      .slot2 = -1,
					      .first_pred = (uint32_t)m->n_preds };
	return (uint32_t)m->n_atoms++;
}

static void name_atom(struct model *m, uint32_t op, int node, int slot, int slot2)
{
	uint32_t a = atom_new(m, ATOM_NAME, op, node);
	int victim;

	m->atoms[a].slot = slot;
	m->atoms[a].slot2 = slot2;
	stand_on(m, a, m->slots[slot].last);
	if (slot2 >= 0)
		stand_on(m, a, m->slots[slot2].last);
	/* a folder goes only when it is empty */
	victim = slot2 >= 0 ? m->slots[slot2].now : m->slots[slot].now;
	if (victim >= 0 && m->ops[op].r.op != LOG_CREATE && S_ISDIR(m->nodes[victim].mode) &&
	    (m->ops[op].r.op == LOG_UNLINK || slot2 >= 0))
		for (size_t i = 0; i < m->nodes[victim].n_slots; i++)
			stand_on(m, a, m->slots[m->nodes[victim].slots[i]].last);
	m->slots[slot].last = (int)a;
	if (slot2 >= 0)
		m->slots[slot2].last = (int)a;
}

static void page_atoms(struct model *m, uint32_t op, int node)
{
	const struct log_record *r = &m->ops[op].r;
	struct node *n = &m->nodes[node];
	uint32_t from = 0;

	while (from < r->data_len) {
		int64_t at = r->offset + from;
		size_t page = (size_t)(at / PAGE);
		uint32_t len = (uint32_t)(PAGE - at % PAGE), a;

		if (len > r->data_len - from)
			len = r->data_len - from;
		if (page >= n->n_pages) {
			n->pages = realloc(n->pages, (page + 64) * sizeof(*n->pages));
			if (!n->pages)
				abort();
			for (; n->n_pages < page + 64; n->n_pages++)
				n->pages[n->n_pages] = -1;
		}
		a = atom_new(m, ATOM_PAGE, op, node);
		m->atoms[a].at = at;
		m->atoms[a].from = from;
		m->atoms[a].len = len;
		stand_on(m, a, n->pages[page]);
		stand_on(m, a, n->last_size);
		n->pages[page] = (int)a;
		from += len;
	}
}

/* Carries a name change out, for the loader and for states. */
static void move_names(struct model *m, const struct op *o, const struct atom *a)
{
	struct slot *s = &m->slots[a->slot];
	int other;

	switch (o->r.op) {
	case LOG_CREATE:
	case LOG_LINK:
		s->now = a->node;
		break;
	case LOG_UNLINK:
		s->now = -1;
		break;
	default:
		other = m->slots[a->slot2].now;
		m->slots[a->slot2].now = a->node;
		s->now = o->r.size ? other : -1;
	}
}

/* --- loading ------------------------------------------------------------------------------------ */

static void load_base(struct model *m, const struct op *o)
{
	int node = node_new(m, o->r.ino, o->r.mode, o->data, o->r.data_len);
	int dir = node_of(m, o->r.dir), slot;

	if (o->r.dir == 0)
		return;
	slot = slot_of(m, dir, o->name);
	m->slots[slot].base = m->slots[slot].now = node;
}

static void load_names(struct model *m, uint32_t op)
{
	struct op *o = &m->ops[op];
	int dir = node_of(m, o->r.dir), slot, slot2 = -1;

	if (o->r.op == LOG_CREATE && (dir >= 0 || !o->r.dir))
		o->node = node_new(m, o->r.ino, o->r.mode, o->data, o->r.data_len);
	if (dir < 0 || o->node < 0)
		return;
	slot = slot_of(m, dir, o->name);
	if (o->r.op == LOG_RENAME) {
		int dir2 = node_of(m, o->r.dir2);

		if (dir2 < 0)
			return;
		slot2 = slot_of(m, dir2, o->name2);
		if (m->slots[slot2].now == o->node) /* two names of one file: nothing happens */
			return;
	}
	name_atom(m, op, o->node, slot, slot2);
	move_names(m, o, &m->atoms[m->n_atoms - 1]);
}

static void check_mapped(struct model *m, int node)
{
	for (size_t i = 0; i < m->n_slots; i++)
		if (m->slots[i].now == node && strcmp(m->slots[i].name, "lock.mdb") != 0)
			snprintf(m->mapped, sizeof(m->mapped), "%.255s", m->slots[i].name);
}

static void load_op(struct model *m, uint32_t op)
{
	struct op *o = &m->ops[op];
	struct node *n;
	uint32_t a;

	o->node = node_of(m, o->r.ino);
	switch (o->r.op) {
	case LOG_CREATE:
	case LOG_LINK:
	case LOG_UNLINK:
	case LOG_RENAME:
		load_names(m, op);
		return;
	case LOG_EXIT:
		m->exit_at = op;
		return;
	default:
		break;
	}
	if (o->node < 0)
		return;
	n = &m->nodes[o->node];
	switch (o->r.op) {
	case LOG_WRITE:
		page_atoms(m, op, o->node);
		break;
	case LOG_SIZE:
		a = atom_new(m, ATOM_SIZE, op, o->node);
		stand_on(m, a, n->last_size);
		n->last_size = (int)a;
		break;
	case LOG_MODE:
		a = atom_new(m, ATOM_MODE, op, o->node);
		stand_on(m, a, n->last_mode);
		n->last_mode = (int)a;
		break;
	case LOG_MAPPED:
		check_mapped(m, o->node);
		break;
	default:
		break;
	}
}

static int read_log(struct model *m, const char *path, size_t *size)
{
	FILE *f = fopen(path, "re");
	struct stat st;

	if (!f || fstat(fileno(f), &st))
		return -errno;
	*size = (size_t)st.st_size;
	m->bytes = malloc(*size + 1);
	if (!m->bytes || fread(m->bytes, 1, *size, f) != *size)
		return -EIO;
	fclose(f);
	return *size < sizeof(LOG_MAGIC) || memcmp(m->bytes, LOG_MAGIC, sizeof(LOG_MAGIC)) != 0
		       ? -EINVAL
		       : 0;
}

static const char *take_name(const uint8_t **p, uint32_t n)
{
	char *name = strndup((const char *)*p, n);

	*p += n;
	return name;
}

int model_load(struct model *m, const char *path)
{
	const uint8_t *p, *end;
	size_t size = 0;
	int rc;

	*m = (struct model){ .n_ops = 0 };
	rc = read_log(m, path, &size);
	if (rc)
		return rc;
	m->inos = calloc(INOS, sizeof(*m->inos));
	m->ino_nodes = calloc(INOS, sizeof(*m->ino_nodes));
	if (!m->inos || !m->ino_nodes)
		return -ENOMEM;
	p = m->bytes + sizeof(LOG_MAGIC);
	end = m->bytes + size;
	while (p < end) {
		struct op *o;

		m->ops = grow(m->ops, m->n_ops, &m->room_ops, sizeof(*m->ops));
		o = &m->ops[m->n_ops];
		memcpy(&o->r, p, sizeof(o->r));
		p += sizeof(o->r);
		o->name = take_name(&p, o->r.name_len);
		o->name2 = take_name(&p, o->r.name2_len);
		o->data = p;
		p += o->r.data_len;
		if (o->r.op == LOG_BASE) {
			load_base(m, o);
			continue; /* not an operation */
		}
		m->n_ops++;
	}
	m->exit_at = m->n_ops;
	for (uint32_t i = 0; i < m->n_ops; i++)
		load_op(m, i);
	/* for model_path: where each node stands in the end */
	for (size_t i = 0; i < m->n_slots; i++)
		m->slots[i].last = m->slots[i].now >= 0 ? -2 - m->slots[i].now : -1;
	return 0;
}

/* --- syncs -------------------------------------------------------------------------------------- */

static bool covers(const struct model *m, const struct op *sync, const struct atom *a)
{
	if (sync->r.op == LOG_SYNC_ALL)
		return true;
	if (sync->node < 0)
		return false;
	if (a->kind == ATOM_NAME)
		return m->slots[a->slot2 >= 0 ? a->slot2 : a->slot].dir == sync->node;
	if (a->kind == ATOM_MODE && sync->r.op == LOG_DATASYNC)
		return false;
	return a->node == sync->node;
}

static unsigned drop_class(const struct model *m, const struct op *o)
{
	switch (o->r.op) {
	case LOG_SYNC:
		return o->node >= 0 && S_ISDIR(m->nodes[o->node].base_mode) ? DROP_FOLDER
									    : DROP_FILE;
	case LOG_DATASYNC:
		return DROP_DATA;
	case LOG_SYNC_ALL:
		return DROP_ALL;
	default:
		return 0;
	}
}

void model_force(struct model *m, unsigned drop, long one)
{
	for (size_t i = 0; i < m->n_atoms; i++) {
		const struct op *o = &m->ops[m->atoms[i].op];
		bool durable = o->r.op == LOG_WRITE && (o->r.flags & LOG_DURABLE) &&
			       !(drop & DROP_DURABLE) && one != (long)m->atoms[i].op;

		m->atoms[i].forced_at = durable ? m->atoms[i].op : UINT32_MAX;
	}
	for (uint32_t j = 0; j < m->n_ops; j++) {
		unsigned class = drop_class(m, &m->ops[j]);

		if (!class || (class & drop) || one == (long)j)
			continue;
		for (size_t i = 0; i < m->n_atoms && m->atoms[i].op < j; i++)
			if (m->atoms[i].forced_at > j && covers(m, &m->ops[j], &m->atoms[i]))
				m->atoms[i].forced_at = j;
	}
	/* what a forced atom stands on is forced with it */
	for (size_t i = m->n_atoms; i-- > 0;)
		for (uint32_t p = 0; p < m->atoms[i].n_preds; p++) {
			struct atom *pred = &m->atoms[m->preds[m->atoms[i].first_pred + p]];

			if (pred->forced_at > m->atoms[i].forced_at)
				pred->forced_at = m->atoms[i].forced_at;
		}
}

/* --- states ------------------------------------------------------------------------------------- */

static void touch(struct node *n, size_t size)
{
	size_t old = n->touched ? n->size : n->base_size;

	if (n->room < size || n->room < old) {
		n->room = (size > old ? size : old) * 3 / 2 + PAGE;
		n->data = realloc(n->data, n->room);
		if (!n->data)
			abort();
	}
	if (!n->touched && old)
		memcpy(n->data, n->base, old);
	if (size > old)
		memset(n->data + old, 0, size - old);
	n->touched = true;
	n->size = old;
}

static void apply(struct model *m, const struct atom *a, int fate)
{
	const struct op *o = &m->ops[a->op];
	struct node *n = &m->nodes[a->node];
	size_t end = (size_t)(a->at + a->len);

	switch (a->kind) {
	case ATOM_NAME:
		move_names(m, o, a);
		break;
	case ATOM_PAGE:
		touch(n, end);
		if (n->size < end)
			n->size = end;
		if (fate == KEPT)
			memcpy(n->data + a->at, o->data + a->from, a->len);
		break;
	case ATOM_SIZE:
		touch(n, (size_t)o->r.size);
		n->size = (size_t)o->r.size;
		break;
	case ATOM_MODE:
		n->mode = (n->mode & S_IFMT) | (o->r.mode & 07777);
		break;
	}
}

void model_build(struct model *m, size_t cut, const uint8_t *fate)
{
	static uint8_t *kept;
	static size_t room;

	if (room < m->n_atoms) {
		room = m->n_atoms;
		kept = realloc(kept, room);
		if (!kept)
			abort();
	}
	for (size_t i = 0; i < m->n_nodes; i++) {
		m->nodes[i].touched = false;
		m->nodes[i].mode = m->nodes[i].base_mode;
	}
	for (size_t i = 0; i < m->n_slots; i++)
		m->slots[i].now = m->slots[i].base;
	for (size_t i = 0; i < m->n_atoms && m->atoms[i].op < cut; i++) {
		const struct atom *a = &m->atoms[i];

		kept[i] = a->forced_at < cut ? KEPT : fate[i];
		for (uint32_t p = 0; p < a->n_preds && kept[i]; p++)
			if (kept[m->preds[a->first_pred + p]] != KEPT)
				kept[i] = LOST;
		if (kept[i] == ZEROS && a->kind != ATOM_PAGE)
			kept[i] = LOST;
		if (kept[i])
			apply(m, a, kept[i]);
	}
}

const uint8_t *model_data(const struct model *m, int node, size_t *size)
{
	const struct node *n = &m->nodes[node];

	*size = n->touched ? n->size : n->base_size;
	return n->touched ? n->data : n->base;
}

uint64_t model_data_hash(struct model *m, int node)
{
	const struct node *n = &m->nodes[node];

	return n->touched ? XXH3_64bits(n->data, n->size) : n->base_hash;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	uint64_t both[2] = { h, v };

	return XXH3_64bits(both, sizeof(both));
}

static uint64_t hash_dir(struct model *m, int dir, uint64_t h)
{
	const struct node *d = &m->nodes[dir];

	for (size_t i = 0; i < d->n_slots; i++) {
		int node = m->slots[d->slots[i]].now;

		if (node < 0)
			continue;
		h = mix(mix(h, (uint64_t)d->slots[i]), m->nodes[node].mode);
		h = S_ISDIR(m->nodes[node].mode) ? hash_dir(m, node, h)
						 : mix(h, model_data_hash(m, node));
	}
	return mix(h, (uint64_t)dir);
}

uint64_t model_hash(struct model *m)
{
	return hash_dir(m, model_root(), 1);
}

int model_lookup(const struct model *m, const char *path)
{
	int node = model_root();

	while (node >= 0 && *path) {
		size_t n = strcspn(path, "/"), i;
		const struct node *d = &m->nodes[node];

		node = -1;
		for (i = 0; i < d->n_slots; i++) {
			const struct slot *s = &m->slots[d->slots[i]];

			if (strncmp(s->name, path, n) == 0 && !s->name[n])
				node = s->now;
		}
		path += n;
		path += *path == '/';
	}
	return node;
}

uint64_t model_hash_at(struct model *m, const char *path)
{
	int node = model_lookup(m, path);

	if (node < 0)
		return 0;
	return (S_ISDIR(m->nodes[node].mode) ? hash_dir(m, node, m->nodes[node].mode)
					     : model_data_hash(m, node)) |
	       1;
}
