/* Going over a whole table without a long transaction: some thousand rows each, then on from the key
 * behind the last one. Rows that come or go meanwhile may be seen or not. */
#ifndef TV_STORE_TABLE_PASS_H
#define TV_STORE_TABLE_PASS_H

#include "store/kv.h"

/* row's bytes live until it returns; a non-zero return ends the pass and is returned. Inside a
 * transaction of the same thread the pass is a part of it. */
int tv_table_pass(struct tv_kv *kv, enum tv_table table,
		  int (*row)(void *arg, struct tv_bytes key, struct tv_bytes value,
			     struct tv_err *err),
		  void *arg, struct tv_err *err);

#endif
