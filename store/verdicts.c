#include "store/verdicts.h"

#include <string.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"

#define ROWS 10000 /* a transaction */

struct reading {
	const struct tv_verdict_key *keys;
	size_t n;
	int (*found)(void *arg, size_t i, struct tv_bytes verdict, struct tv_err *err);
	void *arg;
};

static struct tv_bytes key_of(const struct tv_verdict_key *key)
{
	return tv_bytes(key->blob.b, sizeof(key->blob.b));
}

static int read_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct reading *what = arg;
	const size_t head = sizeof(what->keys->rules.b);
	for (size_t i = 0; i < what->n; i++) {
		struct tv_bytes value;
		int r = tv_kv_get(t, TV_T_VERDICTS, key_of(&what->keys[i]), &value, err);
		if (r < 0)
			return r;
		if (r == 0 || value.len < head ||
		    memcmp(value.data, what->keys[i].rules.b, head) != 0)
			continue;
		r = what->found(what->arg, i,
				tv_bytes((const char *)value.data + head, value.len - head), err);
		if (r != 0)
			return r;
	}
	return 0;
}

int tv_verdicts_read(struct tv_store *s, const struct tv_verdict_key *keys, size_t n,
		     int (*found)(void *arg, size_t i, struct tv_bytes verdict, struct tv_err *err),
		     void *arg, struct tv_err *err)
{
	struct reading what = { keys, n, found, arg };
	return tv_kv_read(tv_store_kv(s), read_body, &what, err);
}

struct writing {
	const struct tv_verdict_key *keys;
	const struct tv_bytes *verdicts;
	size_t n;
};

static int write_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct writing *what = arg;
	tv_autobuf struct tv_buf value = TV_BUF_INIT;
	int r = 0;
	for (size_t i = 0; i < what->n && r == 0; i++) {
		value.len = 0;
		tv_buf_add(&value, what->keys[i].rules.b, sizeof(what->keys[i].rules.b));
		tv_buf_add(&value, what->verdicts[i].data, what->verdicts[i].len);
		r = value.failed ? tv_err_nomem(err)
				 : tv_kv_put(t, TV_T_VERDICTS, key_of(&what->keys[i]),
					     tv_bytes(value.data, value.len), err);
	}
	return r;
}

int tv_verdicts_write(struct tv_store *s, const struct tv_verdict_key *keys,
		      const struct tv_bytes *verdicts, size_t n, struct tv_err *err)
{
	int r = 0;
	for (size_t done = 0; done < n && r == 0; done += ROWS) {
		size_t some = n - done < ROWS ? n - done : ROWS;
		struct writing what = { keys + done, verdicts + done, some };
		r = tv_kv_write(tv_store_kv(s), write_body, &what, err);
	}
	return r;
}
