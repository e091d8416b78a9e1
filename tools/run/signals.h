/* How a front process handles signals: all through one descriptor, none by handlers. */
#ifndef TV_TOOLS_RUN_SIGNALS_H
#define TV_TOOLS_RUN_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "store/base/err.h"

struct tv_signals {
	int fd;	       /* readable when one has come */
	sigset_t mask; /* as it was before, for the command */
};

/* Blocks what is passed on and opens the descriptor. SIGCHLD is set to its default: where it is
 * ignored, nobody can be waited for. */
int tv_signals_open(struct tv_signals *s, struct tv_err *err);

/* Gives the old mask back and closes. */
void tv_signals_close(struct tv_signals *s);

/* Handles one signal: those that a process sent with kill(2) go on to the child (0: there is none);
 * those of the terminal reach it anyway. A stop signal, or a stop of the child when there is a terminal,
 * stops this process, too, and what continues it continues the child. Returns true when it
 * asks to end (TERM, INT, HUP, QUIT). */
bool tv_signals_pass(struct tv_signals *s, pid_t child);

#endif
