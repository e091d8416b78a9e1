/*
 * Descriptors on frozen bytes.
 *
 * Where the kernel reads frozen files by itself (passthrough), a descriptor opened for reading before the file
 * was first written keeps the frozen bytes. Whether it does cannot be seen from outside at once: it
 * shares the fate of the other descriptors that are open, and a close takes effect some time after it
 * returned. So what it may answer is the file's bytes or those of the moment when it was opened, all
 * of them; the first answer that fits only one of the two decides, for ever.
 */
#include "differential.h"

#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#define SETTLED_MS 1000 /* a close has certainly taken effect */

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void count_open(const struct shared *s, uint32_t known, int count[3])
{
	const struct open_file *all = &s->slots[0][0];
	for (int i = 0; i < WORKERS * SLOTS; i++)
		if (all[i].known == known)
			count[all[i].class]++;
	all = &s->maps[0][0];
	for (int i = 0; i < WORKERS * MAPS; i++)
		if (all[i].known == known)
			count[all[i].class]++;
}

/* Locks meet only on one node, so not where a descriptor stands for the frozen file and another one
 * for its copy. All that were opened while it was frozen are alike. */
static void judge_locks(struct shared *s, uint32_t known)
{
	int count[3] = { 0, 0, 0 };
	count_open(s, known, count);
	if (!count[ON_FILE] && !count[ON_FROZEN] && !count[ON_EITHER])
		s->known[known - 1].locks_apart = false;
	else if (count[ON_EITHER] || (count[ON_FILE] && count[ON_FROZEN]))
		s->known[known - 1].locks_apart = true;
}

bool locks_comparable(const struct worker *w, const struct slot *s)
{
	uint32_t known = w->shared->slots[w->id][s - w->slots].known;
	const struct open_file *maps = &w->shared->maps[0][0];

	/* With passthrough a mapping holds on to the file below and not to the descriptor's open file: when that
	 * is closed its locks go, which ext4 keeps until the unmapping (docs/notes-fs.md). */
	for (int i = 0; known && w->options->frozen && i < WORKERS * MAPS; i++)
		if (maps[i].known == known)
			return false;
	return !known || !w->shared->known[known - 1].locks_apart;
}

static enum class class_of(const struct worker *w, const struct slot *s, int flags,
			   uint32_t known) {
	const struct known *k = &w->shared->known[known - 1]; int count[3] = { 0, 0, 0 };
	char layer[16] = "";

	if (!w->options->frozen || (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) ||
	    s->type != S_IFREG) return ON_FILE;
	if (fgetxattr(s->fd[B], "user.tvfs.layer", layer, sizeof(layer)) > 0 &&
	    !strncmp(layer, "foundation", 10)) return ON_FROZEN;
	count_open(w->shared, known, count);
	if (count[ON_FROZEN] || count[ON_EITHER] ||
	    now_ms() - k->frozen_closed_ms < SETTLED_MS) return ON_EITHER;
	return ON_FILE;
}

/* What was there when it was opened. */
static void take_bytes(struct worker *w, struct slot *s)
{
	ssize_t n = pread(s->fd[B], w->buffer[B], BUFFER, 0);
	if (n <= 0 || n == BUFFER)
		return; /* nothing is passed of an empty file, and no frozen one is so large */
	s->frozen = (struct frozen){ EITHER, n, malloc((size_t)n) };
	memcpy(s->frozen.bytes, w->buffer[B], (size_t)n);
}

void note_open(struct worker *w, struct slot *s, int flags)
{
	struct open_file *f = &w->shared->slots[w->id][s - w->slots];
	if (flags & O_PATH)
		return; /* stands for a place, and is not open */
	uint32_t known = (uint32_t)(known_of(w, s->fd[A]) - w->shared->known) + 1;
	enum class class = class_of(w, s, flags, known);
	if (class != ON_FILE)
		take_bytes(w, s);
	*f = (struct open_file){ known, s->frozen.bytes ? class : ON_FILE, false };
	judge_locks(w->shared, known);
}

void note_closed(struct worker *w, struct open_file *f)
{
	uint32_t known = f->known;
	if (!known)
		return;
	if (f->class != ON_FILE)
		w->shared->known[known - 1].frozen_closed_ms = now_ms();
	*f = (struct open_file){ .known = 0 };
	judge_locks(w->shared, known);
}

void frozen_copy(struct frozen *to, const struct frozen *from)
{
	*to = *from;
	if (from->bytes) {
		to->bytes = malloc((size_t)from->len);
		memcpy(to->bytes, from->bytes, (size_t)from->len);
	}
}

void frozen_free(struct frozen *f)
{
	free(f->bytes);
	*f = (struct frozen){ .reads = LIVE };
}

bool reads_right(struct frozen *f, const char *plain, ssize_t plain_n, const char *view,
		 ssize_t view_n, off_t at, size_t wanted)
{
	bool live = plain_n == view_n && !memcmp(plain, view, (size_t)plain_n);
	if (f->reads == LIVE)
		return live;
	ssize_t n = at < f->len ? f->len - at : 0;
	if (n > (ssize_t)wanted)
		n = (ssize_t)wanted;
	bool frozen = n == view_n && (n == 0 || !memcmp(f->bytes + at, view, (size_t)n));
	if (f->reads == FROZEN)
		return frozen;
	if (live != frozen)
		f->reads = live ? LIVE : FROZEN;
	return live || frozen;
}
