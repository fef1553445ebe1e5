// SDS: certificates and roots from Secrets and ConfigMaps, for proxies that may have them (reference: §8).
//
// Who may have what. Nobody without a proven identity. "kubernetes-gateway://NS/NAME": a proxy that a Gateway selects which
// names it, if the Gateway is in that namespace or a ReferenceGrant there allows it. "kubernetes://[NS/]NAME": proxies of the
// namespace whose service account may read Secrets (roots: any of the namespace). "configmap://NS/NAME": anyone, it is no secret.
#include "api/pb.h"
#include "base/log.h"
#include "base/str.h"
#include "discovery/build.h"
#include "discovery/credential.h"
#include "discovery/gateway/gateway.h"
#include "discovery/grant.h"

#define CA_SUFFIX "-cacert"
#define GATEWAY "kubernetes-gateway://"
#define KUBERNETES "kubernetes://"
#define CONFIG_MAP "configmap://"

struct credential {
	const char *full; // as asked for
	enum { FROM_GATEWAY, FROM_NAMESPACE, FROM_CONFIG_MAP } from;
	const char *ns, *name;
	bool roots; // "-cacert": the roots that belong to it
};

static bool parse(struct pd_tx *tx, const char *full, struct credential *c)
{
	static const char *const schemes[] = {GATEWAY, KUBERNETES, CONFIG_MAP};
	*c = (struct credential){.full = full, .ns = tx->key->ns};
	while (c->from < 3 && !pd_has_prefix(full, schemes[c->from]))
		c->from++;
	if (c->from == 3)
		return false;
	const char *rest = full + strlen(schemes[c->from]), *slash = strchr(rest, '/');
	if (slash) {
		c->ns = pd_arena_strndup(tx->arena, rest, (size_t)(slash - rest));
		rest = slash + 1;
	} else if (c->from != FROM_NAMESPACE) {
		return false;
	}
	c->name = rest;
	c->roots = c->from == FROM_CONFIG_MAP || pd_has_suffix(rest, CA_SUFFIX);
	return *c->ns && *c->name && !strchr(c->name, '/') && strlen(c->name) <= PD_NAME_MAX &&
	       strlen(c->ns) <= PD_NAMESPACE_MAX;
}

static const char *without_suffix(struct pd_tx *tx, const char *name)
{
	return pd_has_suffix(name, CA_SUFFIX) ? pd_arena_strndup(tx->arena, name, strlen(name) - strlen(CA_SUFFIX))
					      : name;
}

// ---- permission ----------------------------------------------------------------------------------------------------------

static bool granted(struct pd_tx *tx, const char *from_ns, const struct credential *c)
{
	static const char *const kinds[] = {"Gateway", "ListenerSet"};
	const struct pd_posting *grants = tx_posting(tx, PD_IX_GRANT_BY_NS, c->ns);
	struct pd_reference r = {.cluster = tx->snap->settings->cluster,
				 .from_ns = from_ns,
				 .to_group = "",
				 .to_kind = "Secret",
				 .to_name = without_suffix(tx, c->name)};
	for (size_t i = 0; i < 2 * grants->n; i++) {
		r.from_kind = kinds[i % 2];
		if (pd_grant_allows(grants->v[i / 2], &r))
			return true;
	}
	return false;
}

static bool is_named(struct pd_tx *tx, const char *credential, const struct credential *c)
{
	return !pd_empty(credential) && (pd_streq(credential, c->full) ||
					 pd_streq(pd_arena_printf(tx->arena, "%s" CA_SUFFIX, credential), c->full));
}

static bool server_names(struct pd_tx *tx, const Istio__ServerTLSSettings *tls, const struct credential *c)
{
	bool found = tls && (is_named(tx, tls->credential_name, c) || is_named(tx, tls->ca_cert_credential_name, c));
	for (size_t i = 0; tls && i < tls->n_credential_names; i++)
		found |= is_named(tx, tls->credential_names[i], c);
	return found;
}

static bool gateway_may(struct pd_tx *tx, const struct credential *c)
{
	struct pd_gateway_picks picks = pd_gateway_select(tx);
	for (size_t i = 0; i < picks.n; i++) {
		const struct pd_gateway_pick *p = &picks.v[i];
		bool names = false;
		for (size_t k = 0; k < p->spec->n_servers && !names; k++)
			names = server_names(tx, p->spec->servers[k]->tls, c);
		if (names && (pd_streq(p->gateway->key.ns, c->ns) || granted(tx, p->gateway->key.ns, c))) {
			tx_use(tx, p->gateway);
			return true;
		}
	}
	return false;
}

static bool permitted(struct pd_tx *tx, const struct credential *c, const char **why)
{
	*why = "the proxy has no proven identity (it is not connected by TLS)";
	if (!*tx->view->verified_account)
		return false;
	if (c->from == FROM_CONFIG_MAP)
		return true;
	if (c->from == FROM_GATEWAY) {
		*why = "no Gateway of the proxy names it, or without permission";
		return tx->key->type == PD_NODE_ROUTER && gateway_may(tx, c);
	}
	*why = "it is in another namespace";
	if (!pd_streq(c->ns, tx->key->ns))
		return false;
	*why = "its service account may not read Secrets";
	return c->roots || tx_may_read_secrets(tx);
}

// ---- messages ------------------------------------------------------------------------------------------------------------

static Envoy__Config__Core__V3__DataSource *inline_bytes(struct pd_arena *a, struct pd_pem pem)
{
	Envoy__Config__Core__V3__DataSource *d =
		PB_NEW(a, Envoy__Config__Core__V3__DataSource, envoy__config__core__v3__data_source);
	d->specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_BYTES;
	d->inline_bytes = (ProtobufCBinaryData){pem.n, (uint8_t *)pem.p};
	return d;
}

static EnvoySecret *secret_new(struct pd_arena *a, const char *name)
{
	EnvoySecret *s = PB_NEW(a, EnvoySecret, envoy__extensions__transport_sockets__tls__v3__secret);
	s->name = (char *)name;
	return s;
}

static EnvoySecret *roots_message(struct pd_arena *a, const char *name, const struct pd_roots *r)
{
	EnvoySecret *s = secret_new(a, name);
	s->type_case = ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__TYPE_VALIDATION_CONTEXT;
	s->validation_context = PB_NEW(a, EnvoyCertificateValidationContext,
				       envoy__extensions__transport_sockets__tls__v3__certificate_validation_context);
	s->validation_context->trusted_ca = inline_bytes(a, r->roots);
	if (r->crl.p)
		s->validation_context->crl = inline_bytes(a, r->crl);
	return s;
}

static EnvoySecret *pair_message(struct pd_arena *a, const char *name, const struct pd_key_pair *p)
{
	EnvoySecret *s = secret_new(a, name);
	s->type_case = ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__TYPE_TLS_CERTIFICATE;
	s->tls_certificate = pb_new(a, &envoy__extensions__transport_sockets__tls__v3__tls_certificate__descriptor);
	s->tls_certificate->certificate_chain = inline_bytes(a, p->certificates);
	s->tls_certificate->private_key = inline_bytes(a, p->key);
	if (p->staple.p)
		s->tls_certificate->ocsp_staple = inline_bytes(a, p->staple);
	return s;
}

static EnvoySecret *roots_of(struct pd_tx *tx, const struct credential *c)
{
	enum pd_kind kind = c->from == FROM_CONFIG_MAP ? PD_KIND_CONFIG_MAP : PD_KIND_SECRET;
	const struct pd_object *o = tx_object(tx, kind, c->ns, c->name);
	if (!o) // roots may lie beside the key pair
		o = tx_object(tx, kind, c->ns, without_suffix(tx, c->name));
	if (!o)
		return NULL;
	tx_use(tx, o);
	struct pd_roots r = pd_credential_roots(o);
	return r.roots.p ? roots_message(tx->arena, c->full, &r) : NULL;
}

static EnvoySecret *pair_of(struct pd_tx *tx, const struct credential *c)
{
	const struct pd_object *o = tx_object(tx, PD_KIND_SECRET, c->ns, c->name);
	if (!o)
		return NULL;
	tx_use(tx, o);
	struct pd_key_pair p = pd_credential_key_pair(o);
	return p.key.p ? pair_message(tx->arena, c->full, &p) : NULL;
}

EnvoySecret *pd_build_secret(struct pd_tx *tx, const char *name)
{
	struct credential c;
	const char *why;
	if (!parse(tx, name, &c))
		return NULL; // "invalid://" stands for a reference that was refused before
	if (!permitted(tx, &c, &why)) {
		pd_warn("sds", "%s is not given to proxies of %s in namespace %s: %s", name,
			pd_or(tx->view->workload_name, "?"), tx->key->ns, why);
		return NULL;
	}
	EnvoySecret *s = c.roots ? roots_of(tx, &c) : pair_of(tx, &c);
	if (!s)
		pd_warn("sds", "%s is asked for by proxies of %s in namespace %s: there is no such certificate", name,
			pd_or(tx->view->workload_name, "?"), tx->key->ns);
	return s;
}
