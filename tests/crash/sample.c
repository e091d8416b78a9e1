/*
 * A small program with the same duties as a commit, to test recorder and replayer with: it publishes
 * a file and moves a reference to it in LMDB.
 *
 * usage: sample init | publish TEXT [WITHOUT] | check
 *
 * WITHOUT leaves one duty out: data (no fdatasync of the file), folder (no fsync of its folder),
 * order (the reference moves first), lmdb (LMDB without its syncs).
 */
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void need(int ok, const char *what)
{
	if (ok)
		return;
	printf("%s\n", what);
	exit(1);
}

static MDB_env *open_env(unsigned flags)
{
	MDB_env *env;

	need(mdb_env_create(&env) == 0 && mdb_env_open(env, "index", flags, 0600) == 0, "no index");
	return env;
}

static void put_ref(const char *text, unsigned flags)
{
	MDB_env *env = open_env(flags);
	MDB_val key = { 3, (void *)"ref" }, value = { strlen(text), (void *)text };
	MDB_txn *txn;
	MDB_dbi dbi;

	need(mdb_txn_begin(env, NULL, 0, &txn) == 0 && mdb_dbi_open(txn, NULL, 0, &dbi) == 0 &&
		     mdb_put(txn, dbi, &key, &value, 0) == 0 && mdb_txn_commit(txn) == 0,
	     "no transaction");
	mdb_env_close(env);
}

static void put_file(const char *text, const char *without)
{
	char path[300], contents[9000];
	int fd = open("tmp/new", O_WRONLY | O_CREAT | O_TRUNC, 0600), dir;

	snprintf(path, sizeof(path), "files/%s", text);
	memset(contents, text[0], sizeof(contents));
	need(fd >= 0 && write(fd, contents, sizeof(contents)) == (ssize_t)sizeof(contents),
	     "no file");
	if (strcmp(without, "data") != 0)
		need(fdatasync(fd) == 0, "no sync");
	close(fd);
	need(rename("tmp/new", path) == 0, "no rename");
	dir = open("files", O_RDONLY);
	if (strcmp(without, "folder") != 0)
		need(fsync(dir) == 0, "no sync");
	close(dir);
}

static int check(void)
{
	MDB_env *env = open_env(0);
	MDB_val key = { 3, (void *)"ref" }, value;
	MDB_txn *txn;
	MDB_dbi dbi;
	char path[300], contents[9000];
	int rc, fd;

	need(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0 &&
		     mdb_dbi_open(txn, NULL, 0, &dbi) == 0,
	     "cannot read the index");
	rc = mdb_get(txn, dbi, &key, &value);
	if (rc == MDB_NOTFOUND) {
		printf("- - -\n");
		return 0;
	}
	need(rc == 0, "cannot read the reference");
	snprintf(path, sizeof(path), "files/%.*s", (int)value.mv_size, (char *)value.mv_data);
	fd = open(path, O_RDONLY);
	need(fd >= 0, "the file is missing");
	need(read(fd, contents, sizeof(contents)) == (ssize_t)sizeof(contents),
	     "the file is short");
	for (size_t i = 0; i < sizeof(contents); i++)
		need(contents[i] == path[6], "the file is torn");
	printf("%s - %s\n", path + 6, path + 6);
	return 0;
}

int main(int argc, char **argv)
{
	const char *without = argc > 3 ? argv[3] : "";

	need(argc > 1, "usage");
	if (strcmp(argv[1], "init") == 0) {
		MDB_env *env;

		need(mkdir("index", 0700) == 0 && mkdir("tmp", 0700) == 0 &&
			     mkdir("files", 0700) == 0,
		     "no folders");
		env = open_env(0);
		mdb_env_close(env);
		sync();
		return 0;
	}
	if (strcmp(argv[1], "check") == 0)
		return check();
	need(argc > 2, "usage");
	if (strcmp(without, "order") != 0)
		put_file(argv[2], without);
	put_ref(argv[2], strcmp(without, "lmdb") == 0 ? MDB_NOSYNC : 0);
	if (strcmp(without, "order") == 0)
		put_file(argv[2], "");
	return 0;
}
