/* Hostile tree nodes: the bytes always have the address that is asked for. */
#include "store/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tv_addr addr = tv_addr_of(data, size);
	struct tv_node *node = NULL;
	if (tv_node_decode(data, size, &addr, &node, NULL) == 0)
		tv_node_unref(node);
	return 0;
}
