// Terms of RBAC policies. A policy has two halves with the same logic and different messages: permissions (what is done: the
// operation and the place it is done to) and principals (who does it). A term is an opaque Permission or Principal.
#ifndef DISCOVERY_POLICY_AUTHZ_TERMS_H
#define DISCOVERY_POLICY_AUTHZ_TERMS_H

#include <stdbool.h>

#include "discovery/policy/trust_domain.h"
#include "envoy/config/rbac/v3/rbac.pb-c.h"

enum authz_half { AUTHZ_PERMISSION, AUTHZ_PRINCIPAL };

struct terms {
	void **v; // in the arena; all of one half
	size_t n, cap;
};
void *pd_authz_any(struct pd_arena *a, enum authz_half half);
void *pd_authz_not(struct pd_arena *a, enum authz_half half, void *term);
void *pd_authz_and(struct pd_arena *a, enum authz_half half, const struct terms *t);
void *pd_authz_or(struct pd_arena *a, enum authz_half half, const struct terms *t);

// Whose rules are translated, and into what.
struct authz_context {
	struct pd_arena *arena;
	bool tcp;              // for a chain that knows connections only
	bool peer_in_state;    // the peer's identity is in filter state, not in the TLS connection
	const char *policy_ns; // of the policy
	struct pd_trust_domains domains;
};

// What a rule can say something about: fields of a source or an operation, keys of conditions.
struct authz_attribute {
	const char *key; // of a condition; of what no condition names, the field
	bool bracket;    // the key goes on, with a name in brackets at the end: "request.headers[x-user]"
	bool http_only;
	enum { AUTHZ_TRUST_NONE, AUTHZ_TRUST_PRINCIPALS, AUTHZ_TRUST_DOMAINS } trust; // how values are expanded first
	enum authz_half half;
	// A term for one value, or for all values at once: exactly one of them. `key` is the condition's whole key. NULL: the value
	// (or key) cannot be expressed.
	void *(*one)(const struct authz_context *c, const char *key, const char *value);
	void *(*all)(const struct authz_context *c, const char *key, const struct pd_texts *values);
};
enum authz_attribute_id {
	AUTHZ_HOST, // fields of an operation that no condition names
	AUTHZ_METHOD,
	AUTHZ_PATH,
	AUTHZ_DESTINATION_IP, // keys of conditions from here on
	AUTHZ_DESTINATION_PORT,
	AUTHZ_SNI,
	AUTHZ_ENVOY_FILTER,
	AUTHZ_SOURCE_IP,
	AUTHZ_REMOTE_IP,
	AUTHZ_SOURCE_NAMESPACE,
	AUTHZ_SOURCE_TRUST_DOMAIN,
	AUTHZ_SOURCE_ACCOUNT,
	AUTHZ_SOURCE_PRINCIPAL,
	AUTHZ_REQUEST_PRINCIPAL,
	AUTHZ_REQUEST_AUDIENCES,
	AUTHZ_REQUEST_PRESENTER,
	AUTHZ_REQUEST_HEADER,
	AUTHZ_REQUEST_CLAIMS,
	AUTHZ_ATTRIBUTES
};
extern const struct authz_attribute pd_authz_attributes[AUTHZ_ATTRIBUTES];
// NULL if there is no such condition.
const struct authz_attribute *pd_authz_condition(const char *key);

#endif
