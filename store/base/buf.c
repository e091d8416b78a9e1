#include "store/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(struct tv_buf *b, size_t more)
{
	if (b->failed)
		return false;
	if (more <= b->cap - b->len)
		return true;
	size_t want = b->len + more;
	size_t cap = b->cap ? b->cap : 64;
	while (cap < want && cap <= SIZE_MAX / 2)
		cap *= 2;
	uint8_t *grown = want < b->len || cap < want ? NULL : realloc(b->data, cap);
	if (!grown) {
		b->failed = true;
		return false;
	}
	b->data = grown;
	b->cap = cap;
	return true;
}

void tv_buf_free(struct tv_buf *b)
{
	if (!b)
		return;
	free(b->data);
	*b = (struct tv_buf)TV_BUF_INIT;
}

void tv_buf_clear(struct tv_buf *b)
{
	b->len = 0;
	b->failed = false;
}

void tv_buf_add(struct tv_buf *b, const void *bytes, size_t n)
{
	if (n && reserve(b, n)) {
		memcpy(b->data + b->len, bytes, n);
		b->len += n;
	}
}

void tv_buf_add_str(struct tv_buf *b, const char *s)
{
	tv_buf_add(b, s, strlen(s));
}

void tv_buf_add_u8(struct tv_buf *b, uint8_t v)
{
	tv_buf_add(b, &v, 1);
}

static void add_le(struct tv_buf *b, uint64_t v, size_t n)
{
	uint8_t bytes[8];
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(v >> (8 * i));
	tv_buf_add(b, bytes, n);
}

void tv_buf_add_le16(struct tv_buf *b, uint16_t v)
{
	add_le(b, v, 2);
}

void tv_buf_add_le32(struct tv_buf *b, uint32_t v)
{
	add_le(b, v, 4);
}

void tv_buf_add_le64(struct tv_buf *b, uint64_t v)
{
	add_le(b, v, 8);
}

void tv_buf_addf(struct tv_buf *b, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n >= 0 && reserve(b, (size_t)n + 1)) {
		vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	} else {
		b->failed = true;
	}
	va_end(again);
}

char *tv_buf_steal_str(struct tv_buf *b)
{
	tv_buf_add_u8(b, 0);
	if (b->failed) {
		tv_buf_free(b);
		return NULL;
	}
	char *s = (char *)b->data;
	*b = (struct tv_buf)TV_BUF_INIT;
	return s;
}
