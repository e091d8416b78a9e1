/*
 * Errors: one convention for the whole program.
 *
 * A function that can fail returns 0 or a negative errno and takes a last, nullable
 * `struct tv_err *err` that the caller owns. The first failing function sets the message (what,
 * where, what to do next); callers may only put context in front of it (tv_err_wrap). Outputs are
 * untouched on failure. A struct is used by one thread at a time; there is no global state.
 */
#ifndef TV_STORE_BASE_ERR_H
#define TV_STORE_BASE_ERR_H

#include <errno.h>
#include <stdarg.h>

/* Errors that have a fixed meaning here, and the exit code that the tools give them. */
#define TV_E_NOSTORE ENOMEDIUM	     /* no store was found                       exit 10 */
#define TV_E_LOCKED ENOLCK	     /* somebody else holds what is needed       exit 11 */
#define TV_E_CONFLICT EREMCHG	     /* two sides changed the same thing         exit 12 */
#define TV_E_GATE EKEYREJECTED	     /* a check refused the data                 exit 13 */
#define TV_E_DIGEST EBADMSG	     /* bytes do not match their digest          exit 14 */
#define TV_E_DAMAGED EUCLEAN	     /* the store is damaged                     exit 14 */
#define TV_E_MISSING ENODATA	     /* stale or missing data                    exit 15 */
#define TV_E_AMBIGUOUS ENOTUNIQ	     /* a prefix has several meanings            exit 1  */
#define TV_E_VERSION EPROTONOSUPPORT /* a format newer than this program       exit 1  */
#define TV_E_USAGE EDOM		     /* the words of the call are off            exit 2  */
#define TV_E_INTERRUPTED EINTR	     /* the user asked to stop                   exit 130 */

#define TV_ERR_TEXT 1024

struct tv_err {
	int code;		/* 0, or the negative errno that was returned */
	char text[TV_ERR_TEXT]; /* one line, no final full stop, no newline */
};

#define TV_ERR_INIT ((struct tv_err){ 0, "" })

/* Sets code (given negative) and message; returns code. err may be NULL. */
int tv_err_set(struct tv_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As tv_err_set, and appends ": " and strerror of the code. */
int tv_err_sys(struct tv_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the message already there; returns the code kept in err, or
 * `code` when err is NULL. */
int tv_err_wrap(struct tv_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* -ENOMEM with its message. */
int tv_err_nomem(struct tv_err *err);

/* Forgets what err holds. */
void tv_err_clear(struct tv_err *err);

/* The program's exit code for a negative errno (table above; 1 for all others, 0 for 0). */
int tv_err_exit_code(int code);

/* clang-tidy looks at one file at a time: this tells it that what reports an error does not return
 * 0, or it would follow every failed call as if it had succeeded. */
#ifdef __clang_analyzer__
#define TV_ERR_NEGATIVE(call)                                                                      \
	(__extension__({                                                                           \
		int tv_err_code = (call);                                                          \
		if (tv_err_code >= 0)                                                              \
			__builtin_unreachable();                                                   \
		tv_err_code;                                                                       \
	}))
#define tv_err_set(...) TV_ERR_NEGATIVE(tv_err_set(__VA_ARGS__))
#define tv_err_sys(...) TV_ERR_NEGATIVE(tv_err_sys(__VA_ARGS__))
#define tv_err_wrap(...) TV_ERR_NEGATIVE(tv_err_wrap(__VA_ARGS__))
#define tv_err_nomem(...) TV_ERR_NEGATIVE(tv_err_nomem(__VA_ARGS__))
#endif

#endif
