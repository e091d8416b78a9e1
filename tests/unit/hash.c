#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/hash.h"

static void known_answers(void **state)
{
	(void)state;
	/* XXH3-128 of nothing and "abc" with seed 0, from xxhsum -H128; FIPS 180-2, B.1 */
	char addr[TV_ADDR_HEX], sha[TV_SHA_HEX];
	struct tv_sha s;
	struct tv_addr a = tv_addr_of("", 0);
	tv_addr_hex(&a, addr);
	assert_string_equal(addr, "99aa06d3014798d86001c324468d497f");
	a = tv_addr_of("abc", 3);
	tv_addr_hex(&a, addr);
	assert_string_equal(addr, "06b05ab6733a618578af5f94892f3950");
	assert_int_equal(tv_sha_of("abc", 3, &s, NULL), 0);
	tv_sha_hex(&s, sha);
	assert_string_equal(sha,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void hex_is_strict(void **state)
{
	(void)state;
	struct tv_addr a, kept = { { 7 } }, b = kept;
	struct tv_sha s;
	assert_true(tv_addr_from_hex("000102030405060708090a0b0c0D0E0F", &a));
	for (int i = 0; i < 16; i++)
		assert_int_equal(a.b[i], i);
	assert_false(tv_addr_from_hex("000102030405060708090a0b0c0d0e0", &b));
	assert_false(tv_addr_from_hex("000102030405060708090a0b0c0d0e0f0", &b));
	assert_false(tv_addr_from_hex("000102030405060708090a0b0c0d0e0g", &b));
	assert_true(tv_addr_eq(&kept, &b));
	assert_false(tv_sha_from_hex("", &s));
	assert_false(tv_addr_is_zero(&a));
	assert_true(tv_addr_is_zero(&(struct tv_addr){ { 0 } }));
}

/* Whatever the pieces, a running pair of digests is that of the whole. */
static void pieces_make_no_difference(void **state)
{
	(void)state;
	uint8_t bytes[5000];
	struct tv_hasher *h;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 + (i >> 8));
	assert_int_equal(tv_hasher_new(&h, NULL), 0);
	for (size_t piece = 1; piece < sizeof(bytes); piece = piece * 3 + 1) {
		struct tv_addr addr, want_addr = tv_addr_of(bytes, sizeof(bytes));
		struct tv_sha sha, want_sha;
		assert_int_equal(tv_hasher_reset(h, NULL), 0);
		for (size_t at = 0; at < sizeof(bytes); at += piece) {
			size_t n = sizeof(bytes) - at < piece ? sizeof(bytes) - at : piece;
			assert_int_equal(tv_hasher_update(h, bytes + at, n, NULL), 0);
		}
		assert_int_equal(tv_hasher_final(h, &addr, &sha, NULL), 0);
		assert_int_equal(tv_sha_of(bytes, sizeof(bytes), &want_sha, NULL), 0);
		assert_true(tv_addr_eq(&addr, &want_addr));
		assert_true(tv_sha_eq(&sha, &want_sha));
	}
	tv_hasher_free(h);
	tv_hasher_free(NULL);
}

static void one_hasher_for_many_inputs(void **state)
{
	(void)state;
	struct tv_hasher *h;
	struct tv_sha sha, want;
	struct tv_addr addr;
	assert_int_equal(tv_hasher_new(&h, NULL), 0);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(tv_hasher_sha(h, &i, (size_t)i % 5, &sha, NULL), 0);
		assert_int_equal(tv_sha_of(&i, (size_t)i % 5, &want, NULL), 0);
		assert_true(tv_sha_eq(&sha, &want));
	}
	/* and a running digest works again after a reset */
	assert_int_equal(tv_hasher_reset(h, NULL), 0);
	assert_int_equal(tv_hasher_update(h, "abc", 3, NULL), 0);
	assert_int_equal(tv_hasher_final(h, &addr, &sha, NULL), 0);
	assert_int_equal(tv_sha_of("abc", 3, &want, NULL), 0);
	assert_true(tv_sha_eq(&sha, &want));
	tv_hasher_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers),
		cmocka_unit_test(hex_is_strict),
		cmocka_unit_test(pieces_make_no_difference),
		cmocka_unit_test(one_hasher_for_many_inputs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
