#include "base/rpc.h"

#include <string.h>

const char *pd_rpc_header(const struct pd_rpc_peer *p, const char *key)
{
	for (size_t i = 0; i < p->n_headers; i++)
		if (strcmp(p->headers[i].key, key) == 0)
			return p->headers[i].value;
	return NULL;
}
