/*
 * Clean-up on scope exit. The attributes keep errno, tolerate NULL and -1, and go with the steal
 * helpers that hand ownership on.
 */
#ifndef TV_STORE_BASE_CLEANUP_H
#define TV_STORE_BASE_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static inline void tv_free_p(void *p)
{
	int saved = errno;
	free(*(void **)p);
	errno = saved;
}

static inline void tv_close_p(int *fd)
{
	int saved = errno;
	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

static inline void tv_closedir_p(DIR **d)
{
	int saved = errno;
	if (*d)
		closedir(*d);
	errno = saved;
}

/* Frees memory when the variable goes out of scope. */
#define tv_autofree __attribute__((cleanup(tv_free_p)))
/* Closes a descriptor (>= 0) when the variable goes out of scope. */
#define tv_autoclose __attribute__((cleanup(tv_close_p)))
/* Closes a DIR when the variable goes out of scope. */
#define tv_autoclosedir __attribute__((cleanup(tv_closedir_p)))
/* For other types: tv_auto(tv_node_put_p). The function gets the variable's address. */
#define tv_auto(fn) __attribute__((cleanup(fn)))

/* Takes the value out of an owning variable and leaves NULL / -1 in it. */
#define tv_steal_ptr(p)                                                                            \
	(__extension__({                                                                           \
		__auto_type tv_steal_from = (p);                                                   \
		__auto_type tv_stolen = *tv_steal_from;                                            \
		*tv_steal_from = NULL;                                                             \
		tv_stolen;                                                                         \
	}))

static inline int tv_steal_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

#define TV_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
