// Discovery requests as they come from the wire, both protocols.
//
// Not unpacked with protobuf-c: nearly all requests are ACKs that repeat a long list of names, and for those nothing needs to
// be allocated or looked at name by name (xds/names.h). The fields are found in one pass over the bytes; names are handed out
// only when somebody asks. Texts and names that are handed out were checked: well-formed, UTF-8 without NUL, within limits.
#ifndef XDS_REQUEST_H
#define XDS_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/pb.h"
#include "base/err.h"
#include "discovery/resource.h"
#include "xds/names.h"

#define PD_REQUEST_TEXT_MAX 256   // bytes of type_url, nonce and version_info
#define PD_REQUEST_ERROR_MAX 1024 // bytes of an error's text that are kept

struct pd_request {
	bool delta;
	enum pd_type type; // PD_TYPE_COUNT: none of ours
	struct pd_span type_url, nonce, version;
	bool has_node, has_error;
	struct pd_span node;  // encoded envoy.config.core.v3.Node; not looked into
	int32_t error_code;   // google.rpc.Code
	struct pd_span error; // text, cut at PD_REQUEST_ERROR_MAX; may be cut inside a character, or be no UTF-8 at all
	size_t n_names;       // resource_names, resource_names_subscribe
	size_t n_unsubscribe; // delta
	size_t n_initial;     // delta
	struct pd_span
		raw; // the encoded names, if they lie together in the message (they do unless somebody is playful)
	const uint8_t *bytes;
	size_t len;
};

// `bytes` are borrowed as long as the request is used. PD_E_PARSE: not a request; PD_E_LIMIT: a limit above.
int pd_request_parse(struct pd_request *r, bool delta, const void *bytes, size_t len, struct pb_error *err)
	PD_MUST_CHECK;

// The names, into `out` with room for the number that the request says. PD_E_PARSE: not UTF-8; PD_E_LIMIT: PD_NAME_LEN_MAX.
int pd_request_names(const struct pd_request *r, struct pd_span *out, struct pb_error *err) PD_MUST_CHECK;
int pd_request_unsubscribe(const struct pd_request *r, struct pd_span *out, struct pb_error *err) PD_MUST_CHECK;
// Keys and values of initial_resource_versions; both arrays have room for n_initial.
int pd_request_initial(const struct pd_request *r, struct pd_span *names, struct pd_span *versions,
		       struct pb_error *err) PD_MUST_CHECK;

#endif
