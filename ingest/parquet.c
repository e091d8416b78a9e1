#include "ingest/parquet.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/path.h"

int tv_parquet_open(int dirfd, const char *path, struct tv_err *err)
{
	struct stat st;
	/* O_NONBLOCK: a fifo must not hold us up. */
	tv_autoclose int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return tv_err_sys(err, -errno, "cannot open '%s'", path);
	if (fstat(fd, &st) < 0)
		return tv_err_sys(err, -errno, "cannot stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return tv_err_set(err, -EINVAL, "'%s' is not a file", path);
	return tv_steal_fd(&fd);
}

/* DuckDB knows the file by its descriptor, which says nothing and is another one each time: takes
 * " '/proc/self/fd/N'" out. */
static void hide_descriptor(char *text)
{
	static const char path[] = "/proc/self/fd/";
	char *at;
	while ((at = strstr(text, path))) {
		char *end = at + strlen(path) + strspn(at + strlen(path), "0123456789");
		bool quoted = at > text && strchr("'\"", at[-1]) && *end == at[-1];
		at -= quoted;
		end += quoted;
		at -= at > text && at[-1] == ' ';
		memmove(at, end, strlen(end) + 1);
	}
}

static int blame(const struct tv_parquet *file, int r, struct tv_err *own, struct tv_err *err)
{
	hide_descriptor(own->text);
	if (r == -EINVAL || r == -ERANGE)
		return tv_err_set(err, -TV_E_GATE, "'%s' cannot be read as Parquet: %s", file->name,
				  own->text);
	return r < 0 ? tv_err_set(err, r, "'%s': %s", file->name, own->text) : 0;
}

int tv_parquet_query(const struct tv_parquet *file, const char *sql, struct tv_duck_result *out,
		     struct tv_err *err)
{
	struct tv_duck_value value = { .kind = TV_DUCK_FILE, .fd = file->fd };
	struct tv_err own = TV_ERR_INIT;
	return blame(file, tv_duck_query(file->duck, sql, &value, 1, out, &own), &own, err);
}

/* What the receiver returned must not be taken for the file's fault. */
struct receiver {
	tv_duck_rows rows;
	void *arg;
	int r;
	struct tv_err *err;
};

static int receive(void *arg, const struct tv_duck_result *rows, struct tv_err *err)
{
	struct receiver *to = arg;
	(void)err;
	to->r = to->rows(to->arg, rows, to->err);
	return to->r;
}

int tv_parquet_stream(const struct tv_parquet *file, const char *sql, tv_duck_rows rows, void *arg,
		      struct tv_err *err)
{
	struct tv_duck_value value = { .kind = TV_DUCK_FILE, .fd = file->fd };
	struct tv_err own = TV_ERR_INIT;
	struct receiver to = { rows, arg, 0, err };
	int r = tv_duck_stream(file->duck, sql, &value, 1, receive, &to, &own);
	return to.r ? to.r : blame(file, r, &own, err);
}

/* The same for one who looks at the columns. */
struct looker {
	tv_duck_look look;
	void *arg;
	int r;
	struct tv_err *err;
};

static int look(void *arg, const struct tv_duck_result *columns, struct tv_err *err)
{
	struct looker *to = arg;
	(void)err;
	to->r = to->look(to->arg, columns, to->err);
	return to->r;
}

int tv_parquet_read(const struct tv_parquet *file, tv_duck_look columns, void *arg,
		    struct tv_duck_result *out, struct tv_err *err)
{
	struct tv_err own = TV_ERR_INIT;
	struct looker to = { columns, arg, 0, err };
	int r = tv_duck_read_parquet(file->duck, file->fd, columns ? look : NULL, &to, out, &own);
	return to.r ? to.r : blame(file, r, &own, err);
}

int tv_parquet_columns(const struct tv_parquet *file, struct tv_duck_result *out,
		       struct tv_err *err)
{
	return tv_parquet_query(file,
				"SELECT * FROM read_parquet($1, hive_partitioning = false) LIMIT 0",
				out, err);
}

/* The folder of a path, "." when there is none; owned by the caller. */
static char *folder_of(const char *path)
{
	const char *base = tv_path_base(path);
	return base == path ? strdup(".") : strndup(path, (size_t)(base - path));
}

struct content {
	const char *select;
	const struct tv_duck_layout *layout;
};

static int write_temp(struct tv_duck *duck, const struct content *content, int fd,
		      const struct stat *old, struct tv_err *err)
{
	if (old && fchmod(fd, old->st_mode & 07777) < 0)
		return tv_err_sys(err, -errno, "cannot set the mode");
	int r = tv_duck_write_layout(duck, content->select, content->layout, fd, err);
	if (r == 0 && fdatasync(fd) < 0)
		r = tv_err_sys(err, -errno, "cannot sync");
	return r;
}

int tv_parquet_save_layout(struct tv_duck *duck, const char *select,
			   const struct tv_duck_layout *layout, int dirfd, const char *path,
			   struct tv_err *err)
{
	const struct content content = { select, layout };
	uint64_t nonce = 0;
	struct stat old;
	tv_autofree char *temp = NULL, *folder = folder_of(path);
	if (getrandom(&nonce, sizeof(nonce), 0) < 0)
		return tv_err_sys(err, -errno, "no random bytes");
	if (!folder || asprintf(&temp, "%s.%016llx.tmp", path, (unsigned long long)nonce) < 0)
		return tv_err_nomem(err);
	bool exists = fstatat(dirfd, path, &old, 0) == 0;
	tv_autoclose int fd = openat(dirfd, temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return tv_err_sys(err, -errno, "cannot write '%s'", path);
	int r = write_temp(duck, &content, fd, exists ? &old : NULL, err);
	if (r == 0 && renameat(dirfd, temp, dirfd, path) < 0)
		r = tv_err_sys(err, -errno, "cannot rename");
	if (r < 0) {
		unlinkat(dirfd, temp, 0);
		return tv_err_wrap(err, r, "cannot write '%s'", path);
	}
	return tv_io_sync_dir(dirfd, folder, err);
}

int tv_parquet_save(struct tv_duck *duck, const char *select, int dirfd, const char *path,
		    struct tv_err *err)
{
	const struct tv_duck_layout usual = { NULL, 0 };
	return tv_parquet_save_layout(duck, select, &usual, dirfd, path, err);
}
