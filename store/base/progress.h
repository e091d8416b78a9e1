/* How long work tells how far it is. Called from the thread that does the work, at most every few
 * milliseconds; a non-zero return asks the work to stop (-TV_E_INTERRUPTED). */
#ifndef TV_STORE_BASE_PROGRESS_H
#define TV_STORE_BASE_PROGRESS_H

#include <stdint.h>

struct tv_progress {
	/* phase: a short constant word ("reading"); total 0 when unknown; unit: "files", "bytes". */
	int (*step)(void *arg, const char *phase, uint64_t done, uint64_t total, const char *unit);
	void *arg;
};

/* Tolerates NULL. */
static inline int tv_progress_step(const struct tv_progress *p, const char *phase, uint64_t done,
				   uint64_t total, const char *unit)
{
	return p && p->step ? p->step(p->arg, phase, done, total, unit) : 0;
}

#endif
