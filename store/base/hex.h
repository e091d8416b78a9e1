/* Lower-case hexadecimal, and base64 for names that are not UTF-8. */
#ifndef TV_STORE_BASE_HEX_H
#define TV_STORE_BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes 2n digits and a NUL to out. */
void tv_hex_encode(const uint8_t *bytes, size_t n, char *out);

/* Reads exactly 2n digits (either case); false on anything else. */
bool tv_hex_decode(const char *hex, size_t n, uint8_t *bytes);

/* Standard base64 with padding; owned by the caller, NULL when out of memory. */
char *tv_base64_encode(const void *bytes, size_t n);

/* True when the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no over-long forms). */
bool tv_utf8_ok(const char *s, size_t n);

#endif
