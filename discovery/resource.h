// xDS resources: encoded once, immutable, shared by every proxy that gets them.
//
// Wire layout. A resource is kept as the bytes of field 2 of a DeltaDiscoveryResponse *and* of a DiscoveryResponse at once:
//
//     12 len(Resource)  1A name  0A version  12 len(Any)  Any{type_url, value}
//     └ delta frame ───────────────────────┘└ state-of-the-world frame ─────┘
//
// In DeltaDiscoveryResponse `resources` is field 2 (a Resource, whose `resource` is again field 2); in DiscoveryResponse
// `resources` is field 2 as well (an Any). So the SotW frame is a suffix of the delta frame: one buffer serves both
// protocols and a response is a header plus a list of references to such buffers.
//
// Ropes. The bytes may be in several parts: a RouteConfiguration of 10,000 virtual hosts is one head of its own and the
// virtual hosts' blobs, each encoded once and shared by all RouteConfigurations that hold it (a protobuf message is the
// concatenation of its fields).
//
// The version is the hash of the value's bytes: equal in every process, so a client that comes back with the versions it has
// gets nothing that did not change.
#ifndef DISCOVERY_RESOURCE_H
#define DISCOVERY_RESOURCE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/hamt.h"
#include "config/object.h"

// Resource types in push order (make before break).
enum pd_type { PD_CDS, PD_EDS, PD_LDS, PD_RDS, PD_ECDS, PD_SDS, PD_NDS, PD_TYPE_COUNT };
struct pd_type_info {
	const char *type_url;   // "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	const char *short_name; // "CDS"
	bool wildcard;          // an empty subscription means everything (CDS, LDS, NDS)
};
extern const struct pd_type_info pd_types[PD_TYPE_COUNT];
// PD_TYPE_COUNT if the URL is none of ours.
enum pd_type pd_type_find(const char *type_url);

// Which configuration objects a resource came from: sorted, distinct. Immutable, reference-counted.
struct pd_provenance {
	struct pd_obj obj;
	uint64_t hash; // of long ones, which are shared process-wide; 0 = a short one
	size_t n;
	struct pd_key keys[];
};

bool pd_provenance_equal(const struct pd_provenance *a, const struct pd_provenance *b);

struct pd_resource {
	struct pd_obj obj;
	const char *name; // interned, one reference
	enum pd_type type;
	uint64_t version;           // content hash; on the wire as 16 hex digits
	struct pd_provenance *prov; // never NULL
	uint32_t delta_len;         // bytes of the delta frame: all parts together
	uint32_t sotw_off;          // where the SotW frame begins; always inside parts[0]
	uint32_t n_parts;           // >= 1
	struct pd_blob *parts[];    // one reference each
};
static inline struct pd_resource *pd_resource_ref(const struct pd_resource *r)
{
	return pd_obj_ref((void *)r);
}
static inline void pd_resource_unref(const struct pd_resource *r)
{
	pd_obj_unref((void *)r);
}

// Encodes `msg`. `prov` is borrowed (a reference is taken). One reference for the caller.
struct pd_resource *pd_resource_new(enum pd_type type, const char *name, const ProtobufCMessage *msg,
				    struct pd_provenance *prov);
// A resource whose value is the fields of `head` followed by `children` (whole encoded fields, tag included: pd_field_blob)
// followed by `tail_field`s if not NULL. References to the children are taken.
struct pd_resource *pd_resource_new_rope(enum pd_type type, const char *name, const ProtobufCMessage *head,
					 struct pd_blob *const *children, size_t n, const ProtobufCMessage *tail,
					 struct pd_provenance *prov);
// `msg` as length-delimited field `field` of some parent: tag, length, bytes.
struct pd_blob *pd_field_blob(uint32_t field, const ProtobufCMessage *msg);
// The bytes of the Any's value, copied together (debug pages, tests). Caller frees.
uint8_t *pd_resource_value(const struct pd_resource *r, size_t *len);

// Encoders of the framing, exposed for the xDS server and tests.
size_t pd_varint_len(uint64_t v);
uint8_t *pd_put_varint(uint8_t *p, uint64_t v);
void pd_version_text(uint64_t version, char out[17]);

#endif
