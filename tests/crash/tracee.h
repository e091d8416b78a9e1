/* Looking into a stopped process: its memory and its descriptors. */
#ifndef TV_CRASH_TRACEE_H
#define TV_CRASH_TRACEE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* linux/fs.h cannot be included beside sys/mount.h everywhere. */
#define TV_FICLONE 0x40049409UL
#define TV_FICLONERANGE 0x4020940dUL

bool tracee_read(pid_t tid, uint64_t address, void *out, size_t n);
void tracee_string(pid_t tid, uint64_t address, char *out, size_t n); /* cut when longer */

/* The text of /proc/TID/fd/FD; "" when there is none. */
void tracee_fd_target(pid_t tid, int fd, char *out, size_t n);
bool tracee_fd_stat(pid_t tid, int fd, struct stat *st);
/* Position and flags of an open descriptor. */
bool tracee_fd_info(pid_t tid, int fd, int64_t *pos, unsigned *flags);
/* Opens the same file anew. -1. */
int tracee_fd_open(pid_t tid, int fd, int flags);
/* Opens the folder that a call's path starts from (fd -100: the working directory), O_PATH. */
int tracee_start_dir(pid_t tid, int fd);
pid_t tracee_tgid(pid_t tid);

#endif
