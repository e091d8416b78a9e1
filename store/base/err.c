#include "store/base/err.h"

#include <stdio.h>
#include <string.h>

/* The header's notes for clang-tidy. */
#undef tv_err_set
#undef tv_err_sys
#undef tv_err_wrap
#undef tv_err_nomem

/* A message is one line: bytes that would break it (names may hold anything) become '?'. */
static void flatten(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

static void set_text(struct tv_err *err, int code, const char *fmt, va_list ap)
{
	err->code = code;
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	flatten(err->text);
}

int tv_err_set(struct tv_err *err, int code, const char *fmt, ...)
{
	if (err) {
		va_list ap;
		va_start(ap, fmt);
		set_text(err, code, fmt, ap);
		va_end(ap);
	}
	return code;
}

int tv_err_sys(struct tv_err *err, int code, const char *fmt, ...)
{
	if (err) {
		va_list ap;
		va_start(ap, fmt);
		set_text(err, code, fmt, ap);
		va_end(ap);
		size_t used = strlen(err->text);
		char reason[128];
		snprintf(err->text + used, sizeof(err->text) - used, ": %s",
			 strerror_r(-code, reason, sizeof(reason)));
	}
	return code;
}

int tv_err_wrap(struct tv_err *err, int code, const char *fmt, ...)
{
	if (!err)
		return code;
	char context[TV_ERR_TEXT];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(context, sizeof(context), fmt, ap);
	va_end(ap);
	flatten(context);

	char whole[2 * TV_ERR_TEXT + 2];
	int n = snprintf(whole, sizeof(whole), "%s: %s", context, err->text);
	size_t keep = n < TV_ERR_TEXT ? (size_t)n : TV_ERR_TEXT - 1;
	memcpy(err->text, whole, keep);
	err->text[keep] = '\0';
	if (!err->code)
		err->code = code;
	return err->code;
}

int tv_err_nomem(struct tv_err *err)
{
	return tv_err_set(err, -ENOMEM, "out of memory");
}

void tv_err_clear(struct tv_err *err)
{
	if (err) {
		err->code = 0;
		err->text[0] = '\0';
	}
}

int tv_err_exit_code(int code)
{
	static const struct {
		int code, status;
	} table[] = {
		{ 0, 0 },
		{ -TV_E_NOSTORE, 10 },
		{ -TV_E_LOCKED, 11 },
		{ -TV_E_CONFLICT, 12 },
		{ -TV_E_GATE, 13 },
		{ -TV_E_DIGEST, 14 },
		{ -TV_E_DAMAGED, 14 },
		{ -TV_E_MISSING, 15 },
		{ -TV_E_USAGE, 2 },
		{ -TV_E_INTERRUPTED, 130 },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].code == code)
			return table[i].status;
	return 1;
}
