/* What recorder.c (the tracing) and record.c (what a call did to the disk) share. */
#ifndef TV_CRASH_RECORDER_H
#define TV_CRASH_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a system call does, and so where its arguments are. */
enum call_kind {
	CALL_DATA,  /* writes bytes to the descriptor in argument `fd` */
	CALL_CLONE, /* ioctl: FICLONE and FICLONERANGE */
	CALL_FSIZE, /* ftruncate, fallocate */
	CALL_SIZE,  /* truncate */
	CALL_OPEN,
	CALL_RENAME,
	CALL_LINK,
	CALL_SYMLINK,
	CALL_UNLINK,
	CALL_MKDIR,
	CALL_FMODE,
	CALL_MODE,
	CALL_OTHER, /* owners, times, attributes: counted, not replayed */
	CALL_FSYNC,
	CALL_FDATASYNC,
	CALL_SYNCFS,
	CALL_SYNC,
	CALL_MMAP,  /* only recorded, never counted */
	CALL_NEVER, /* asynchronous writes, which nobody here makes */
};

struct call_info {
	long nr;
	const char *name;
	enum call_kind kind;
	int fd;	      /* which argument is the descriptor (of CALL_DATA and the f… calls) */
	int at, path; /* which are the folder's descriptor (-1: none) and the path */
	int at2, path2;
};

/* A name in a folder of the recorded tree. */
struct place {
	bool ours; /* its folder is on the recorded filesystem */
	bool exists;
	uint64_t dir, ino;
	int64_t size;
	char name[256];
};

struct call {
	pid_t tid;
	int process;
	const struct call_info *info;
	uint64_t args[6];
	struct place place, place2; /* as they were when the call began */
	char target[4096];	    /* of a symlink */
};

const struct call_info *call_info_of(long nr);
size_t call_infos(const struct call_info **all);

/* True when this call would write (an open without O_CREAT or O_TRUNC does not). */
bool call_writes(const struct call *c);
/* What the call is about, for people: a path, or a descriptor's target. */
void call_describe(const struct call *c, char *out, size_t n);

/* Starts the log with everything below root. syncs: whether O_DSYNC means anything. */
int record_start(const char *log, const char *root, bool syncs);
void record_enter(struct call *c);
void record_exit(const struct call *c, int64_t result);
void record_end(int status);
int record_close(void);

#endif
