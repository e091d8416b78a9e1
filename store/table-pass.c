#include "store/table-pass.h"

#include <stdbool.h>
#include <string.h>

#define ROWS 4096 /* a transaction */
#define KEY_MAX 511

struct pass {
	enum tv_table table;
	int (*row)(void *arg, struct tv_bytes key, struct tv_bytes value, struct tv_err *err);
	void *arg;
	uint8_t from[KEY_MAX + 1]; /* where the next transaction begins */
	size_t from_len;
	bool end;
};

static void come_back(struct pass *p, struct tv_bytes key)
{
	memcpy(p->from, key.data, key.len);
	p->from_len = key.len;
}

static int rows(struct pass *p, struct tv_kv_cursor *c, struct tv_err *err)
{
	struct tv_bytes key, value;
	int res = tv_kv_cursor_from(c, tv_bytes(p->from, p->from_len), &key, &value, err);
	for (unsigned n = 0; res == 1; n++) {
		if (n == ROWS) {
			come_back(p, key);
			return 0;
		}
		res = p->row(p->arg, key, value, err);
		if (res != 0)
			return res;
		res = tv_kv_cursor_next(c, &key, &value, err);
	}
	p->end = res == 0;
	return res;
}

static int pass_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct pass *p = arg;
	struct tv_kv_cursor *c;
	int res = tv_kv_cursor_open(t, p->table, &c, err);
	if (res < 0)
		return res;
	res = rows(p, c, err);
	tv_kv_cursor_close(c);
	return res;
}

int tv_table_pass(struct tv_kv *kv, enum tv_table table,
		  int (*row)(void *arg, struct tv_bytes key, struct tv_bytes value,
			     struct tv_err *err),
		  void *arg, struct tv_err *err)
{
	struct pass p = { .table = table, .row = row, .arg = arg };
	int res = 0;
	while (res == 0 && !p.end)
		res = tv_kv_read(kv, pass_body, &p, err);
	return res;
}
