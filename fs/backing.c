/*
 * Backing ids of blobs that nobody has open any more, kept for the next open.
 *
 * Registering a blob costs as much as the rest of an open: a path walk, two ioctls, two closes. The
 * kernel holds the file meanwhile, so there is a bound. When it is reached the oldest goes if it
 * has been idle for a while; else nothing more is kept, because a loop over more files than the
 * bound would replace each one just before it is wanted.
 */
#include <stdlib.h>
#include <time.h>

#include "fs/view-priv.h"

#define IDLE_MAX 16384
#define IDLE_OLD_SECONDS 30

static int64_t seconds_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec;
}

static void take_out(struct tv_view *v, struct tv_open *o)
{
	*(o->newer ? &o->newer->older : &v->idle.newest) = o->older;
	*(o->older ? &o->older->newer : &v->idle.oldest) = o->newer;
	o->newer = o->older = NULL;
	o->idle = false;
	v->idle.count--;
}

static void forget(struct tv_view *v, struct tv_open *o)
{
	take_out(v, o);
	v->backing.close(v->backing.arg, o->backing_id);
	v->backing_ids--;
	o->backing_id = 0;
	o->backing_frozen = false;
}

void tv_idle_take(struct tv_view *v, struct tv_inode *inode)
{
	if (inode->open && inode->open->idle)
		take_out(v, inode->open);
}

void tv_idle_forget(struct tv_view *v, struct tv_inode *inode)
{
	if (inode->open && inode->open->idle)
		forget(v, inode->open);
}

static bool make_room(struct tv_view *v, int64_t now)
{
	struct tv_open *oldest = v->idle.oldest;
	if (v->idle.count < IDLE_MAX)
		return true;
	if (now - oldest->idle_since < IDLE_OLD_SECONDS)
		return false;
	struct tv_inode *inode = oldest->inode;
	forget(v, oldest);
	tv_open_settle(inode); /* no successor: detached inodes are not kept */
	return true;
}

bool tv_idle_keep(struct tv_view *v, struct tv_inode *inode)
{
	struct tv_open *o = inode->open;
	int64_t now = seconds_now();

	if (!o->backing_frozen || o->successor || !make_room(v, now))
		return false;
	o->inode = inode;
	o->idle = true;
	o->idle_since = now;
	o->newer = NULL;
	o->older = v->idle.newest;
	*(o->older ? &o->older->newer : &v->idle.oldest) = o;
	v->idle.newest = o;
	v->idle.count++;
	return true;
}
