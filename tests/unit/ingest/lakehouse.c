/* A lakehouse in a store and in a folder: the same calls, the same results. */
#include <sys/mman.h>

#include "ingest/lakehouse.h"
#include "store/lease.h"
#include "tests/unit/support.h"

enum kind { STORE, FOLDER, KINDS };

static void folder_of(const struct fixture *f, char out[96])
{
	snprintf(out, 96, "%s/lake", f->dir);
	mkdir(out, 0755);
}

static struct tv_lakehouse *opened(struct fixture *f, enum kind kind)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_lakehouse *l = NULL;
	char folder[96];
	folder_of(f, folder);
	ok(kind == STORE ? tv_lakehouse_of_store(f->store, "main", &l, &err)
			 : tv_lakehouse_of_folder(folder, &l, &err));
	return l;
}

static int memory_of(const char *text)
{
	int fd = memfd_create("text", MFD_CLOEXEC);
	is(fd >= 0 && tv_io_write_all(fd, text, strlen(text)) == 0);
	return fd;
}

static void put(struct tv_lakehouse *l, const char *path, const char *text, bool different)
{
	struct tv_err err = TV_ERR_INIT;
	tv_autoclose int fd = memory_of(text);
	struct tv_sha sha, want;
	bool changed = !different;
	ok(tv_lakehouse_put(l, path, fd, &sha, &changed, &err));
	ok(tv_sha_of(text, strlen(text), &want, &err));
	is(tv_sha_eq(&sha, &want));
	is(changed == different);
}

static void put_table(struct tv_lakehouse *l, const char *path, const char *text, bool different)
{
	struct tv_err err = TV_ERR_INIT;
	bool changed = !different;
	ok(tv_lakehouse_put_bytes(l, path, text, strlen(text), &changed, &err));
	is(changed == different);
}

/* What a descriptor has to read is this text; "" for one that could not be opened. Closes it. */
static void reads(int fd, const char *text)
{
	char got[256] = "";
	if (fd >= 0) {
		is(pread(fd, got, sizeof(got) - 1, 0) >= 0);
		close(fd);
	} else {
		is(fd == -ENOENT);
	}
	is(strcmp(got, text) == 0);
}

static struct tv_lakehouse_published publish(struct tv_lakehouse *l)
{
	struct tv_err err = TV_ERR_INIT;
	const struct tv_lakehouse_publish how = {
		.author = "a", .message = "m", .trace_id = "t", .meta = "{\"k\":1}"
	};
	struct tv_lakehouse_published done;
	ok(tv_lakehouse_publish(l, &how, &done, &err));
	return done;
}

static int collect(void *arg, const char *name, struct tv_err *err)
{
	(void)err;
	add_word(arg, name);
	return 0;
}

static void list_is(struct tv_lakehouse *l, const char *want)
{
	struct tv_err err = TV_ERR_INIT;
	struct words w = { "" };
	ok(tv_lakehouse_each(l, collect, &w, &err));
	is(strcmp(w.text, want) == 0);
}

static void life(void **state)
{
	struct fixture *f = *state;
	for (enum kind kind = STORE; kind < KINDS; kind++) {
		struct tv_err err = TV_ERR_INIT;
		struct tv_lakehouse *l = opened(f, kind);
		list_is(l, "");
		put(l, "B_1d.parquet", "bars of B", true);
		put(l, "A_1d.parquet", "bars of A", true);
		put(l, "A_1d.parquet", "other bars of A", true);
		put(l, "features/x.parquet", "features", true);
		put_table(l, "catalog.json", "{}", true);
		ok(tv_lakehouse_remove(l, "gone", &err));
		is(tv_lakehouse_staged(l) == 4);
		reads(tv_lakehouse_open(l, "A_1d.parquet", &err), "");
		is(!publish(l).unchanged);
		tv_lakehouse_free(l);

		l = opened(f, kind);
		list_is(l, "A_1d.parquet B_1d.parquet catalog.json features ");
		reads(tv_lakehouse_open(l, "A_1d.parquet", &err), "other bars of A");
		reads(tv_lakehouse_open(l, "features/x.parquet", &err), "features");
		reads(tv_lakehouse_open_table(l, "catalog.json", &err), "{}");
		fails(-EINVAL, tv_lakehouse_open(l, "features", &err));
		put(l, "A_1d.parquet", "other bars of A", false);
		put_table(l, "catalog.json", "{}", false);
		is(tv_lakehouse_staged(l) == 0);
		is(publish(l).unchanged);
		tv_lakehouse_free(l);

		l = opened(f, kind);
		ok(tv_lakehouse_remove(l, "B_1d.parquet", &err));
		put(l, "C_1d.parquet", "bars of C", true);
		tv_lakehouse_drop(l, "C_1d.parquet");
		tv_lakehouse_drop(l, "D_1d.parquet");
		is(tv_lakehouse_staged(l) == 1);
		publish(l);
		tv_lakehouse_free(l);
		l = opened(f, kind);
		list_is(l, "A_1d.parquet catalog.json features ");
		tv_lakehouse_free(l);
	}
}

/* Nothing that was staged is left behind. */
static void given_up(void **state)
{
	struct fixture *f = *state;
	for (enum kind kind = STORE; kind < KINDS; kind++) {
		struct tv_lakehouse *l = opened(f, kind);
		put(l, "A_1d.parquet", "bars", true);
		put_table(l, "catalog.json", "{}", true);
		tv_lakehouse_free(l);
		l = opened(f, kind);
		list_is(l, "");
		tv_lakehouse_free(l);
	}
}

/* Other files do not meet; of the same table both lines stay, by `rebase`; of the same bars the first
 * publisher's stay. */
struct meeting {
	unsigned calls;
	bool bars;
};

static char *text_of(int fd)
{
	char *text = calloc(1, 256);
	is(text);
	if (fd >= 0) {
		is(pread(fd, text, 255, 0) >= 0);
		close(fd);
	}
	return text;
}

static int meet(void *arg, struct tv_lakehouse *l, char *const *paths, size_t n, struct tv_err *err)
{
	struct meeting *m = arg;
	m->calls++;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(paths[i], "catalog.json") == 0) {
			tv_autofree char *before =
				text_of(tv_lakehouse_open_before(l, paths[i], err));
			tv_autofree char *now = text_of(tv_lakehouse_open_table(l, paths[i], err));
			char both[300];
			is(strcmp(before, "base,") == 0);
			snprintf(both, sizeof(both), "%sours,", now);
			put_table(l, paths[i], both, true);
		} else {
			is(strcmp(paths[i], "A_1d.parquet") == 0);
			m->bars = true;
			tv_lakehouse_drop(l, paths[i]);
		}
	}
	return 0;
}

static void others_first(void **state)
{
	struct fixture *f = *state;
	for (enum kind kind = STORE; kind < KINDS; kind++) {
		struct tv_err err = TV_ERR_INIT;
		struct tv_lakehouse *l = opened(f, kind), *other;
		struct meeting m = { 0 };
		put_table(l, "catalog.json", "base,", true);
		publish(l);
		tv_lakehouse_free(l);

		l = opened(f, kind);
		tv_autofree char *seen = text_of(tv_lakehouse_open_table(l, "catalog.json", &err));
		put(l, "A_1d.parquet", "our A", true);
		put(l, "B_1d.parquet", "our B", true);
		put_table(l, "catalog.json", "base,ours,", true);

		other = opened(f, kind);
		put(other, "A_1d.parquet", "their A", true);
		put(other, "C_1d.parquet", "their C", true);
		put_table(other, "catalog.json", "base,theirs,", true);
		publish(other);
		tv_lakehouse_free(other);

		const struct tv_lakehouse_publish alone = { .author = "a" };
		const struct tv_lakehouse_publish how = { .author = "a",
							  .rebase = meet,
							  .arg = &m };
		struct tv_lakehouse_published done;
		if (kind == STORE)
			fails(-TV_E_CONFLICT, tv_lakehouse_publish(l, &alone, &done, &err));
		tv_err_clear(&err);
		ok(tv_lakehouse_publish(l, &how, &done, &err));
		is(m.calls == 1 && m.bars && done.merged && !done.unchanged);
		tv_lakehouse_free(l);

		l = opened(f, kind);
		reads(tv_lakehouse_open(l, "A_1d.parquet", &err), "their A");
		reads(tv_lakehouse_open(l, "B_1d.parquet", &err), "our B");
		reads(tv_lakehouse_open(l, "C_1d.parquet", &err), "their C");
		reads(tv_lakehouse_open(l, "catalog.json", &err), "base,theirs,ours,");
		tv_lakehouse_free(l);
	}
}

static void conflict_in_a_folder(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_lakehouse *l = opened(f, FOLDER), *other = opened(f, FOLDER);
	const struct tv_lakehouse_publish alone = { .author = "a" };
	struct tv_lakehouse_published done;
	put(l, "A_1d.parquet", "our A", true);
	put(other, "A_1d.parquet", "their A", true);
	publish(other);
	tv_lakehouse_free(other);
	fails(-TV_E_CONFLICT, tv_lakehouse_publish(l, &alone, &done, &err));
	tv_lakehouse_free(l);
	l = opened(f, FOLDER);
	list_is(l, "A_1d.parquet ");
	reads(tv_lakehouse_open(l, "A_1d.parquet", &err), "their A");
	tv_lakehouse_free(l);
}

static int count_lease(void *arg, const struct tv_lease *l, bool alive, struct tv_err *err)
{
	(void)l;
	(void)err;
	*(int *)arg += alive;
	return 0;
}

static int leases_of(struct fixture *f)
{
	struct tv_err err = TV_ERR_INIT;
	int n = 0;
	ok(tv_lease_each(f->store, count_lease, &n, &err));
	return n;
}

/* The commit that is read stays, and no lease outlives the lakehouse. */
static void leases(void **state)
{
	struct fixture *f = *state;
	publish_one(f->store, NULL, "A_1d.parquet", "bars");
	struct tv_lakehouse *l = opened(f, STORE);
	is(leases_of(f) == 1);
	tv_lakehouse_free(l);
	is(leases_of(f) == 0);
}

static void modes_stay(void **state)
{
	struct fixture *f = *state;
	char folder[96], path[128];
	struct stat st;
	folder_of(f, folder);
	snprintf(path, sizeof(path), "%s/A_1d.parquet", folder);
	struct tv_lakehouse *l = opened(f, FOLDER);
	put(l, "A_1d.parquet", "bars", true);
	publish(l);
	tv_lakehouse_free(l);
	is(chmod(path, 0640) == 0);
	l = opened(f, FOLDER);
	put(l, "A_1d.parquet", "new bars", true);
	publish(l);
	tv_lakehouse_free(l);
	is(stat(path, &st) == 0 && (st.st_mode & 07777) == 0640);
}

/* A commit is read as it was, kept from gc meanwhile, and never written. */
static void of_a_commit(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_lakehouse *l = opened(f, STORE), *old = NULL;
	put(l, "A_1d.parquet", "old bars", true);
	struct tv_sha first = publish(l).commit, none = { .b = { 1 } };
	tv_lakehouse_free(l);
	l = opened(f, STORE);
	put(l, "A_1d.parquet", "new bars", true);
	publish(l);
	tv_lakehouse_free(l);
	ok(tv_lakehouse_of_commit(f->store, &first, &old, &err));
	is(leases_of(f) == 1);
	reads(tv_lakehouse_open(old, "A_1d.parquet", &err), "old bars");
	list_is(old, "A_1d.parquet ");
	const struct tv_lakehouse_publish how = { .author = "a" };
	struct tv_lakehouse_published done;
	put(old, "A_1d.parquet", "others", true);
	fails(-EROFS, tv_lakehouse_publish(old, &how, &done, &err));
	tv_lakehouse_free(old);
	is(leases_of(f) == 0);
	fails(-ENOENT, tv_lakehouse_of_commit(f->store, &none, &old, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(life),	  store_test(given_up),
		store_test(others_first), store_test(conflict_in_a_folder),
		store_test(leases),	  store_test(modes_stay),
		store_test(of_a_commit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
