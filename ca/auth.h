// Who is calling? Authenticators behind one interface, tried in order: the first that accepts a caller decides.
//
//   struct pd_rpc_peer (verified certificate, headers, address) ──► pd_auth_chain_run ──► struct pd_caller, or why not
//
// An authenticator may have to ask somebody (TokenReview, JWKS), so the answer comes through a callback, at once or later, on
// any thread. It must come in bounded time: whoever waits has no timeout of its own.
#ifndef CA_AUTH_H
#define CA_AUTH_H

#include <stddef.h>

#include "base/rpc.h"
#include "base/vec.h"

#define PD_CALLER_IDENTITIES 16 // identities of one caller; a certificate with more names is refused
#define PD_IDENTITY_MAX 2048    // bytes of one, with its NUL (a SPIFFE ID may have 2048)

// An authenticated caller. Strings are owned; NULL = not known. Free with pd_caller_free.
struct pd_caller {
	const char *authenticator; // name of who accepted it; static
	// What a certificate for this caller says in its SAN: "spiffe://TD/ns/NS/sa/SA"; from a client certificate also DNS
	// names and IP addresses, in the order of the certificate. At least one.
	PD_VEC(char *) identities;
	char *cluster;            // whose token it is (metadata `clusterid` resolved); NULL from a certificate
	char *namespace_;         // of the Kubernetes service account, or of a SPIFFE ID of that form
	char *service_account;    // likewise
	char *pod_name, *pod_uid; // of the pod that the token is bound to
	char *node_name;          // where that pod runs, if the token says so
};
// NULL is fine. Clears the pointer.
void pd_caller_free(struct pd_caller **);
// A caller with one identity, which is copied.
struct pd_caller *pd_caller_new(const char *authenticator, const char *identity);
// A caller with the SPIFFE ID of a service account. NULL: the names cannot be part of one.
struct pd_caller *pd_caller_of_account(const char *authenticator, const char *trust_domain, const char *namespace_,
				       const char *service_account);
// The same for "system:serviceaccount:NS:SA", as tokens and their reviews name an account. NULL: not of that form.
struct pd_caller *pd_caller_of_subject(const char *authenticator, const char *trust_domain, const char *subject);
struct pd_caller *pd_caller_copy(const struct pd_caller *);

enum pd_auth_fault {
	PD_AUTH_NONE,    // no credential of this authenticator's kind was given
	PD_AUTH_REFUSED, // given, and not acceptable
	PD_AUTH_UNKNOWN, // given, and could not be checked: the one to ask cannot be reached, overload
};

// Exactly once per question. Accepted: `caller` is handed over, `why` is NULL. Otherwise `caller` is NULL and `why` (borrowed
// during the call, for logs, never holds a credential) tells the reason: "token has expired".
typedef void (*pd_auth_done)(struct pd_caller *caller, enum pd_auth_fault fault, const char *why, void *arg);

struct pd_authenticator {
	const char *name; // "ClientCertificate", "KubernetesJWT", "OIDC", "XFCC"; static
	// `peer` is borrowed until `done` is called. Must not block: it is called on threads that do I/O.
	void (*authenticate)(void *self, const struct pd_rpc_peer *peer, pd_auth_done done, void *arg);
	// May be NULL. No question is open then.
	void (*free)(void *self);
	void *self;
};

// For authenticators: the token of "authorization: Bearer TOKEN" (RFC 6750; the scheme in any case), borrowed; NULL = none.
const char *pd_auth_bearer(const struct pd_rpc_peer *);
// For authenticators: answers with a refusal and counts it (pilotd_authentication_refused_total) by authenticator and `label`,
// a constant word: "expired". PD_AUTH_NONE is not counted: most callers bring one kind of credential out of several.
void pd_auth_refuse(const char *authenticator, enum pd_auth_fault, const char *label, const char *why,
		    pd_auth_done done, void *arg);
// Registers the metrics of all authenticators; once per process.
void pd_auth_register_metrics(void);

// All-zero accepts nobody.
struct pd_auth_chain {
	PD_VEC(struct pd_authenticator) v;
};
// Takes `self`.
void pd_auth_chain_add(struct pd_auth_chain *, const struct pd_authenticator *);
void pd_auth_chain_free(struct pd_auth_chain *);

// Asks one after the other. If all refuse, `why` has the reasons of all ("ClientCertificate: no certificate; KubernetesJWT:
// token has expired") and the fault is the gravest of theirs. Chain and peer are borrowed until `done` is called.
void pd_auth_chain_run(const struct pd_auth_chain *, const struct pd_rpc_peer *, pd_auth_done done, void *arg);

#endif
