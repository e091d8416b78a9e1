/* Tree nodes read through an open transaction: inside a write transaction nothing else may be used,
 * and what a read transaction sees stays the same. Nodes are decoded and checked on every get. */
#ifndef TV_STORE_TXN_NODES_H
#define TV_STORE_TXN_NODES_H

#include "store/kv.h"
#include "store/tree.h"

/* The source lives as long as the transaction. */
struct tv_node_source tv_txn_nodes(struct tv_kv_txn *t);

#endif
