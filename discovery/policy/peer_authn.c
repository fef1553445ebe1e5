// PeerAuthentication: which mTLS mode a server's port is in.
//
// Three levels: the mesh (root namespace, no selector), the namespace (no selector), the workload (selector, not in the root
// namespace). On each the oldest policy counts alone; UNSET takes the level above; nothing at all means PERMISSIVE.
#include "base/str.h"
#include "discovery/policy/selector.h"
#include "discovery/tx.h"
#include "istio/security/peer_authentication.pb-c.h"

typedef Istio__PeerAuthentication PeerAuthentication;

static enum pd_mtls mode_of(const Istio__PeerAuthentication__MutualTLS *mtls, enum pd_mtls inherited)
{
	switch (mtls ? mtls->mode : ISTIO__PEER_AUTHENTICATION__MUTUAL_TLS__MODE__UNSET) {
	case ISTIO__PEER_AUTHENTICATION__MUTUAL_TLS__MODE__DISABLE:
		return PD_MTLS_DISABLE;
	case ISTIO__PEER_AUTHENTICATION__MUTUAL_TLS__MODE__PERMISSIVE:
		return PD_MTLS_PERMISSIVE;
	case ISTIO__PEER_AUTHENTICATION__MUTUAL_TLS__MODE__STRICT:
		return PD_MTLS_STRICT;
	default:
		return inherited;
	}
}

// What the policy for a whole namespace says. Postings are ordered by age.
static enum pd_mtls namespace_level(struct pd_tx *tx, const char *ns, enum pd_mtls inherited)
{
	const struct pd_posting *p = tx_posting(tx, PD_IX_PEER_AUTHN_BY_NS, ns);
	for (size_t i = 0; i < p->n; i++) {
		const PeerAuthentication *pa = (const PeerAuthentication *)p->v[i]->spec;
		if (pd_selector_empty(pa->selector)) {
			tx_use(tx, p->v[i]);
			return mode_of(pa->mtls, inherited);
		}
	}
	return inherited;
}

enum pd_mtls tx_namespace_mtls(struct pd_tx *tx, const char *ns)
{
	const char *root = tx_mesh(tx)->root_namespace;
	enum pd_mtls mode = namespace_level(tx, root, PD_MTLS_PERMISSIVE);
	return pd_streq(ns, root) ? mode : namespace_level(tx, ns, mode);
}

static const struct pd_object *workload_policy(struct pd_tx *tx, const char *ns, const struct pd_labels *labels)
{
	const struct pd_posting *p = tx_posting(tx, PD_IX_PEER_AUTHN_BY_NS, ns);
	for (size_t i = 0; i < p->n; i++) {
		const PeerAuthentication *pa = (const PeerAuthentication *)p->v[i]->spec;
		if (!pd_selector_empty(pa->selector) && pd_selector_matches(pa->selector, labels))
			return p->v[i];
	}
	return NULL;
}

enum pd_mtls tx_workload_mtls(struct pd_tx *tx, const char *ns, const struct pd_labels *labels, uint32_t port)
{
	enum pd_mtls mode = tx_namespace_mtls(tx, ns);
	if (pd_streq(ns, tx_mesh(tx)->root_namespace))
		return mode;
	const struct pd_object *o = workload_policy(tx, ns, labels);
	if (!o)
		return mode;
	tx_use(tx, o);
	const PeerAuthentication *pa = (const PeerAuthentication *)o->spec;
	mode = mode_of(pa->mtls, mode);
	for (size_t i = 0; port && i < pa->n_port_level_mtls; i++)
		if (pa->port_level_mtls[i]->key == port)
			return mode_of(pa->port_level_mtls[i]->value, mode);
	return mode;
}
