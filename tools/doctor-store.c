#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "store/base/cleanup.h"
#include "store/base/path.h"
#include "store/lease.h"
#include "tools/doctor.h"
#include "tools/live.h"

#define LOW_SPACE (UINT64_C(1) << 30)

void tv_doctor_store(struct tv_doctor *d, struct tv_doctor_result *r)
{
	if (d->opened == 0)
		tv_doctor_say(r, TV_DOCTOR_OK, NULL, "%s", tv_store_folder(d->cli->store));
	else if (d->opened == -TV_E_NOSTORE)
		tv_doctor_say(r, TV_DOCTOR_WARN, "make one with 'tvfs init', or give --store DIR",
			      "none here");
	else
		tv_doctor_say(r, TV_DOCTOR_FAIL, NULL, "%s", d->why_not.text);
}

/* The type of the filesystem with that device number, from mountinfo: fields 3 and, behind the
 * hyphen, the type. */
static void filesystem_type(dev_t dev, char *out, size_t n)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	tv_autofree char *line = NULL;
	size_t room = 0;
	snprintf(out, n, "unknown");
	while (f && getline(&line, &room, f) > 0) {
		unsigned id, parent, major_, minor_;
		char type[64];
		const char *dash = strstr(line, " - ");
		if (dash && sscanf(line, "%u %u %u:%u", &id, &parent, &major_, &minor_) == 4 &&
		    makedev(major_, minor_) == dev && sscanf(dash, " - %63s", type) == 1)
			snprintf(out, n, "%s", type);
	}
	if (f)
		fclose(f);
}

void tv_doctor_filesystem(struct tv_doctor *d, struct tv_doctor_result *r)
{
	struct stat st;
	struct statvfs fs;
	char type[64], size[16];
	if (!d->cli->store)
		return;
	int fd = tv_store_dirfd(d->cli->store);
	if (fstat(fd, &st) < 0 || fstatvfs(fd, &fs) < 0) {
		tv_doctor_say(r, TV_DOCTOR_FAIL, NULL, "cannot be looked at: %s", strerror(errno));
		return;
	}
	uint64_t space = (uint64_t)fs.f_bavail * fs.f_frsize;
	filesystem_type(st.st_dev, type, sizeof(type));
	tv_cli_size(space, size);
	if (space < LOW_SPACE)
		tv_doctor_say(r, TV_DOCTOR_WARN, "'tvfs forget' and 'tvfs gc --delete' free space",
			      "%s, only %s free", type, size);
	else
		tv_doctor_say(r, TV_DOCTOR_OK, NULL, "%s, %s free", type, size);
}

void tv_doctor_index(struct tv_doctor *d, struct tv_doctor_result *r)
{
	struct tv_kv_stat s;
	struct tv_err err = TV_ERR_INIT;
	char used[16], map[16];
	if (!d->cli->store)
		return;
	if (tv_kv_stat(tv_store_kv(d->cli->store), &s, &err) < 0) {
		tv_doctor_say(r, TV_DOCTOR_FAIL, "see 'tvfs fsck'", "%s", err.text);
		return;
	}
	tv_cli_size(s.used_bytes, used);
	tv_cli_size(s.map_bytes, map);
	bool crowded = s.readers * 10 > s.max_readers * 9;
	tv_doctor_say(r, crowded ? TV_DOCTOR_WARN : TV_DOCTOR_OK,
		      crowded ? "many processes read at once; end some" : NULL,
		      "%s used of a map of %s (it grows by itself), %u of %u readers, %" PRIu64
		      " commits, %" PRIu64 " blobs",
		      used, map, s.readers, s.max_readers, s.entries[TV_T_COMMITS],
		      s.entries[TV_T_BLOBS]);
}

struct counts {
	unsigned alive, stale;
};

static int on_lease(void *arg, const struct tv_lease *l, bool alive, struct tv_err *err)
{
	struct counts *c = arg;
	(void)l;
	(void)err;
	if (alive)
		c->alive++;
	else
		c->stale++;
	return 0;
}

void tv_doctor_leases(struct tv_doctor *d, struct tv_doctor_result *r)
{
	struct counts c = { 0, 0 };
	struct tv_err err = TV_ERR_INIT;
	if (!d->cli->store)
		return;
	if (tv_lease_each(d->cli->store, on_lease, &c, &err) < 0)
		tv_doctor_say(r, TV_DOCTOR_FAIL, "see 'tvfs fsck'", "%s", err.text);
	else
		tv_doctor_say(r, c.stale ? TV_DOCTOR_WARN : TV_DOCTOR_OK,
			      c.stale ? "'tvfs prune' removes what dead processes left" : NULL,
			      "%u in use, %u stale", c.alive, c.stale);
}

void tv_doctor_lakehouse(struct tv_doctor *d, struct tv_doctor_result *r)
{
	tv_autoworktree struct tv_worktree live = TV_WORKTREE_CLOSED;
	if (!d->cli->settings)
		return;
	int e = tv_live_open(d->cli, false, &live);
	if (e == 0)
		tv_doctor_say(r, TV_DOCTOR_OK, NULL, "%s", live.path);
	else
		tv_doctor_say(r, e == -TV_E_MISSING ? TV_DOCTOR_WARN : TV_DOCTOR_FAIL, NULL, "%s",
			      d->cli->err.text);
	tv_err_clear(&d->cli->err);
}
