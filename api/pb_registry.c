#include <string.h>

#include "api/pb_internal.h"

const ProtobufCMessageDescriptor *const *pb_types(size_t *n)
{
	*n = pb_registry_count;
	return pb_registry_table;
}

const ProtobufCMessageDescriptor *pb_find(const char *name)
{
	size_t lo = 0, hi = pb_registry_count;

	if (!name)
		return NULL;
	const char *slash = strrchr(name, '/');
	if (slash)
		name = slash + 1;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = strcmp(pb_registry_table[mid]->name, name);
		if (c == 0)
			return pb_registry_table[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}
