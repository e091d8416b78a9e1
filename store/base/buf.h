/*
 * A growable byte buffer. Once an allocation fails the buffer is "failed" and further appends do
 * nothing, so a sequence of appends needs one check at its end. Not thread-safe.
 */
#ifndef TV_STORE_BASE_BUF_H
#define TV_STORE_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tv_buf {
	uint8_t *data; /* owned; NULL when empty */
	size_t len, cap;
	bool failed;
};

#define TV_BUF_INIT ((struct tv_buf){ NULL, 0, 0, false })

void tv_buf_free(struct tv_buf *b);  /* releases and makes it empty again; NULL is fine */
void tv_buf_clear(struct tv_buf *b); /* empties, keeps the memory */

void tv_buf_add(struct tv_buf *b, const void *bytes, size_t n);
void tv_buf_add_str(struct tv_buf *b, const char *s); /* without the NUL */
void tv_buf_add_u8(struct tv_buf *b, uint8_t v);
void tv_buf_add_le16(struct tv_buf *b, uint16_t v);
void tv_buf_add_le32(struct tv_buf *b, uint32_t v);
void tv_buf_add_le64(struct tv_buf *b, uint64_t v);
void tv_buf_addf(struct tv_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The contents as a NUL-terminated string, owned by the caller (free); NULL when the buffer
 * failed. The buffer is empty afterwards. */
char *tv_buf_steal_str(struct tv_buf *b);

#define tv_autobuf __attribute__((cleanup(tv_buf_free)))

static inline uint16_t tv_le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t tv_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t tv_le64(const uint8_t *p)
{
	return (uint64_t)tv_le32(p) | (uint64_t)tv_le32(p + 4) << 32;
}

#endif
