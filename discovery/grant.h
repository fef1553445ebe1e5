// ReferenceGrants of the Gateway API: who may refer to objects of another namespace.
#ifndef DISCOVERY_GRANT_H
#define DISCOVERY_GRANT_H

#include <stdbool.h>

#include "config/object.h"

// A reference, from a Gateway API object of our own cluster to an object in the grant's namespace.
struct pd_reference {
	const char *cluster; // our own: grants of others count for nothing
	const char *from_kind, *from_ns;
	const char *to_group, *to_kind, *to_name;
};
// `grant`: a ReferenceGrant of the namespace that is referred to.
bool pd_grant_allows(const struct pd_object *grant, const struct pd_reference *r);

#endif
