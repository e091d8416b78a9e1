/*
 * Messages between the processes of a run: one JSON object a message over a pair of Unix sockets,
 * with descriptors beside it where needed. The sockets keep message boundaries (SOCK_SEQPACKET), so
 * a reader gets a whole message or the end. Each socket is used by one thread of one process.
 *
 * Every message has "what"; the others of its keys are listed where it is sent. Who talks to whom
 * is drawn in docs/notes-run.md.
 */
#ifndef TV_TOOLS_RUN_WIRE_H
#define TV_TOOLS_RUN_WIRE_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "store/base/err.h"

#define TV_WIRE_FDS 8

struct tv_wire_message {
	cJSON *doc;	      /* owned */
	int fds[TV_WIRE_FDS]; /* owned; steal by setting to -1 */
	unsigned n_fds;
};

#define TV_WIRE_INIT ((struct tv_wire_message){ .doc = NULL })

/* A connected pair of sockets, both close-on-exec. */
int tv_wire_pair(int pair[2], struct tv_err *err);

/* Sends a message; the document is deleted in every case (NULL means that it could not be made:
 * -ENOMEM). The descriptors stay the caller's. -EPIPE when the other side is gone. */
int tv_wire_send(int sock, cJSON *doc, const int *fds, unsigned n_fds, struct tv_err *err);

/* {"what": what} with, if key is given, one string. For messages that need nothing more. */
int tv_wire_tell(int sock, const char *what, const char *key, const char *value,
		 struct tv_err *err);

/* {"what": "error", "code": errno, "text": ...}: how a failure travels. tv_wire_error reads it back
 * into err and returns its code. */
int tv_wire_send_error(int sock, const struct tv_err *what, struct tv_err *err);
int tv_wire_error(const struct tv_wire_message *m, struct tv_err *err);

/* 1 a message (freed with tv_wire_clear), 0 the other side is gone, -errno. Blocks. */
int tv_wire_receive(int sock, struct tv_wire_message *out, struct tv_err *err);

/* The same where only a message called `what` may come: an error message becomes that error, the
 * end of the connection -EPIPE, anything else -EPROTO. */
int tv_wire_expect(int sock, const char *what, struct tv_wire_message *out, struct tv_err *err);

void tv_wire_clear(struct tv_wire_message *m); /* releases document and descriptors */
#define tv_autowire __attribute__((cleanup(tv_wire_clear)))

bool tv_wire_is(const struct tv_wire_message *m, const char *what);
const char *tv_wire_text(const struct tv_wire_message *m, const char *key); /* "" when absent */
double tv_wire_number(const struct tv_wire_message *m, const char *key);    /* 0 when absent */

#endif
