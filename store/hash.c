#include "store/hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <xxhash.h>

#include "store/base/hex.h"

void tv_addr_hex(const struct tv_addr *a, char out[TV_ADDR_HEX])
{
	tv_hex_encode(a->b, sizeof(a->b), out);
}

void tv_sha_hex(const struct tv_sha *s, char out[TV_SHA_HEX])
{
	tv_hex_encode(s->b, sizeof(s->b), out);
}

bool tv_addr_from_hex(const char *hex, struct tv_addr *out)
{
	struct tv_addr parsed;
	if (!tv_hex_decode(hex, sizeof(parsed.b), parsed.b))
		return false;
	*out = parsed;
	return true;
}

bool tv_sha_from_hex(const char *hex, struct tv_sha *out)
{
	struct tv_sha parsed;
	if (!tv_hex_decode(hex, sizeof(parsed.b), parsed.b))
		return false;
	*out = parsed;
	return true;
}

static struct tv_addr addr_from(XXH128_hash_t hash)
{
	XXH128_canonical_t canonical;
	struct tv_addr a;
	XXH128_canonicalFromHash(&canonical, hash);
	memcpy(a.b, canonical.digest, sizeof(a.b));
	return a;
}

struct tv_addr tv_addr_of(const void *bytes, size_t n)
{
	return addr_from(XXH3_128bits(bytes, n));
}

static int crypto_failed(struct tv_err *err)
{
	return tv_err_set(err, -ENOMEM, "libcrypto could not compute a SHA-256 (out of memory?)");
}

/* Reading the machine's openssl.cnf costs a millisecond and says nothing about SHA-256. Only the first
 * call in a process does anything. */
static void init_crypto(void)
{
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
}

int tv_sha_of(const void *bytes, size_t n, struct tv_sha *out, struct tv_err *err)
{
	struct tv_sha sha;
	init_crypto();
	if (!EVP_Q_digest(NULL, "SHA256", NULL, bytes, n, sha.b, NULL))
		return crypto_failed(err);
	*out = sha;
	return 0;
}

struct tv_addr_sum {
	XXH3_state_t *xxh;
};

struct tv_addr_sum *tv_addr_sum_new(void)
{
	struct tv_addr_sum *s = calloc(1, sizeof(*s));
	if (s && (s->xxh = XXH3_createState())) {
		XXH3_128bits_reset(s->xxh);
		return s;
	}
	free(s);
	return NULL;
}

void tv_addr_sum_free(struct tv_addr_sum *s)
{
	if (s)
		XXH3_freeState(s->xxh);
	free(s);
}

void tv_addr_sum_update(struct tv_addr_sum *s, const void *bytes, size_t n)
{
	XXH3_128bits_update(s->xxh, bytes, n);
}

struct tv_addr tv_addr_sum_final(const struct tv_addr_sum *s)
{
	return addr_from(XXH3_128bits_digest(s->xxh));
}

struct tv_hasher {
	XXH3_state_t *xxh;
	EVP_MD *md; /* fetched once: an implicit fetch costs more than hashing a short input */
	EVP_MD_CTX *sha;
};

int tv_hasher_new(struct tv_hasher **out, struct tv_err *err)
{
	init_crypto();
	struct tv_hasher *h = calloc(1, sizeof(*h));
	if (!h)
		return tv_err_nomem(err);
	h->xxh = XXH3_createState();
	h->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	h->sha = EVP_MD_CTX_new();
	if (!h->xxh || !h->md || !h->sha || !EVP_DigestInit_ex2(h->sha, h->md, NULL)) {
		tv_hasher_free(h);
		return crypto_failed(err);
	}
	XXH3_128bits_reset(h->xxh);
	*out = h;
	return 0;
}

void tv_hasher_free(struct tv_hasher *h)
{
	if (!h)
		return;
	XXH3_freeState(h->xxh);
	EVP_MD_CTX_free(h->sha);
	EVP_MD_free(h->md);
	free(h);
}

/* Without a type the context starts again with the one it has, and no allocation. */
static int restart_sha(struct tv_hasher *h, struct tv_err *err)
{
	return EVP_DigestInit_ex2(h->sha, NULL, NULL) ? 0 : crypto_failed(err);
}

int tv_hasher_reset(struct tv_hasher *h, struct tv_err *err)
{
	XXH3_128bits_reset(h->xxh);
	return restart_sha(h, err);
}

int tv_hasher_update(struct tv_hasher *h, const void *bytes, size_t n, struct tv_err *err)
{
	XXH3_128bits_update(h->xxh, bytes, n);
	return EVP_DigestUpdate(h->sha, bytes, n) ? 0 : crypto_failed(err);
}

static int finish_sha(struct tv_hasher *h, struct tv_sha *out, struct tv_err *err)
{
	struct tv_sha sha;
	if (!EVP_DigestFinal_ex(h->sha, sha.b, NULL))
		return crypto_failed(err);
	*out = sha;
	return 0;
}

int tv_hasher_final(struct tv_hasher *h, struct tv_addr *addr, struct tv_sha *sha,
		    struct tv_err *err)
{
	int r = finish_sha(h, sha, err);
	if (r == 0)
		*addr = addr_from(XXH3_128bits_digest(h->xxh));
	return r;
}

int tv_hasher_sha(struct tv_hasher *h, const void *bytes, size_t n, struct tv_sha *out,
		  struct tv_err *err)
{
	int r = restart_sha(h, err);
	if (r < 0)
		return r;
	if (!EVP_DigestUpdate(h->sha, bytes, n))
		return crypto_failed(err);
	return finish_sha(h, out, err);
}
