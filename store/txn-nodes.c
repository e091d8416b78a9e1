#include "store/txn-nodes.h"

static int get(void *arg, const struct tv_addr *addr, struct tv_node **out, struct tv_err *err)
{
	struct tv_bytes value;
	int res = tv_kv_get(arg, TV_T_NODES, tv_bytes(addr->b, sizeof(addr->b)), &value, err);
	if (res == 1)
		return tv_node_decode(value.data, value.len, addr, out, err);
	if (res < 0)
		return res;
	char hex[TV_ADDR_HEX];
	tv_addr_hex(addr, hex);
	return tv_err_set(err, -TV_E_DAMAGED, "tree node %s is missing", hex);
}

struct tv_node_source tv_txn_nodes(struct tv_kv_txn *t)
{
	return (struct tv_node_source){ .get = get, .arg = t };
}
