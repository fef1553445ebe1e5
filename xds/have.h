// Which version of each name of a set (xds/names.h) a client was sent.
//
// A thousand proxies that subscribe to the same thousand clusters were mostly sent the same versions. So the versions are an
// array that streams share, plus the few changes in which one stream differs from it at the moment; arrays that come out
// equal are one. A stream that was sent nothing has no array at all.
#ifndef XDS_HAVE_H
#define XDS_HAVE_H

#include "base/vec.h"
#include "xds/names.h"

#define PD_HAVE_NOTHING 0u         // never sent, or to be sent again
#define PD_HAVE_REMOVED UINT64_MAX // told that there is no such resource
#define PD_HAVE_CHANGES_MAX 16     // beyond it a stream gets an array of its own, until pd_have_settle
#define PD_HAVE_SEARCH_MAX 64      // shared arrays of a set among which an equal one is looked for

struct pd_have_base; // shared, immutable
struct pd_have {     // all-zero: nothing of anything
	struct pd_have_base *base;
	uint64_t *own; // instead of base and changes
	PD_VEC(struct pd_have_change {
		size_t i;
		uint64_t version;
	})
	changes;
	uint64_t sum; // over names and versions, independent of order: the version of what the client has
};
uint64_t pd_have_get(const struct pd_have *, size_t i);
void pd_have_set(struct pd_have *, const struct pd_names *, size_t i, uint64_t version);
// Shares what can be shared. After a number of changes, when there is time.
void pd_have_settle(struct pd_have *, struct pd_names_table *, struct pd_names *);
// Back to nothing.
void pd_have_clear(struct pd_have *, struct pd_names_table *);
uint64_t pd_weight(const char *interned, uint64_t version); // what a name with a version adds to a sum

#endif
