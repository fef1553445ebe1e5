// How a cluster reaches its servers: mesh mTLS (found out or asked for), TLS of the user's, PROXY protocol.
#include "base/str.h"
#include "discovery/cluster/cluster.h"
#include "discovery/tls.h"
#include "envoy/config/core/v3/proxy_protocol.pb-c.h"
#include "envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.pb-c.h"

#define TLS_MODE(name) ISTIO__CLIENT_TLSSETTINGS__TLSMODE__##name

typedef Istio__ClientTLSSettings Settings;

static bool skips_verify(const Settings *s)
{
	return s && s->insecure_skip_verify && s->insecure_skip_verify->value;
}

// ---- mesh mTLS -------------------------------------------------------------------------------------------------------------

// The list tells a server's sniffing chains what comes. istio-proxy's istio.alpn filter says more for each request; without
// it a cluster of a known protocol says it itself, or the server would take its requests for plain TCP.
static const char *mesh_alpn(const struct cluster *c)
{
	bool exchange = c->tx->key->caps & PD_CAP_METADATA_EXCHANGE_NETWORK;
	bool http2 = pd_cluster_http2_options(c) != NULL;
	if (!(c->tx->key->caps & PD_CAP_ALPN) && c->port && pd_protocol_is_http(c->port->protocol)) {
		bool downstream = c->http && !http2 && c->http->upstream_protocol_options_case != 0;
		if (http2)
			return "istio-h2,istio,h2";
		if (!downstream)
			return "istio-http/1.1,istio,http/1.1";
	}
	if (http2)
		return exchange ? "istio-peer-exchange,istio,h2" : "istio,h2";
	return exchange ? "istio-peer-exchange,istio" : "istio";
}

static void set_auto_names(struct cluster *c, const Settings *s)
{
	bool sni = !s || pd_empty(s->sni);
	bool skip = skips_verify(s);
	bool san = !skip && (c->dynamic || (sni && (!s || !s->n_subject_alt_names)));
	if (c->dynamic && (skip || !sni || !san))
		pd_cluster_dynamic_proxy_insecure(c);
	if (!sni && !san)
		return;
	EnvoyHttpProtocolOptions *o = pd_cluster_http(c);
	if (!o->upstream_http_protocol_options)
		o->upstream_http_protocol_options =
			PB_NEW(c->tx->arena, Envoy__Config__Core__V3__UpstreamHttpProtocolOptions,
			       envoy__config__core__v3__upstream_http_protocol_options);
	if (sni)
		o->upstream_http_protocol_options->auto_sni = true;
	if (san)
		o->upstream_http_protocol_options->auto_san_validation = true;
}

static EnvoyTransportSocket *mesh_socket(struct cluster *c, const struct upstream_tls *t)
{
	const Settings *s = t->settings;
	const char *const *sans = t->sans;
	size_t n = t->n_sans;
	if (s && s->n_subject_alt_names) {
		sans = (const char *const *)s->subject_alt_names;
		n = s->n_subject_alt_names;
	}
	EnvoyUpstreamTlsContext *ctx = pd_tls_upstream_mtls(c->tx, sans, n);
	const char *sni = s && !pd_empty(s->sni) ? s->sni : t->sni;
	if (pd_empty(sni) && !c->dynamic)
		sni = c->msg->name;
	ctx->sni = (char *)pd_or(sni, "");
	pd_tls_set_alpn(c->tx->arena, ctx->common_tls_context, mesh_alpn(c));
	if (c->dynamic)
		set_auto_names(c, s);
	return pd_tls_socket(c->tx->arena, ctx);
}

static void add_match(struct cluster *c, const char *name, const char *tls_mode, EnvoyTransportSocket *socket)
{
	struct pd_arena *a = c->tx->arena;
	Envoy__Config__Cluster__V3__Cluster__TransportSocketMatch *m =
		pb_new(a, &envoy__config__cluster__v3__cluster__transport_socket_match__descriptor);
	m->name = (char *)name;
	m->match = pb_struct_new(a);
	if (tls_mode)
		pb_struct_set_string(a, m->match, "tlsMode", tls_mode);
	m->transport_socket = socket;
	PB_PUSH(a, c->msg, transport_socket_matches, m);
}

// What no rule says is found out by endpoint: plaintext stays possible. Where the connection itself says the endpoint there is
// no telling them apart.
static void set_auto_mtls(struct cluster *c, const struct upstream_tls *t)
{
	EnvoyTransportSocket *socket = mesh_socket(c, t);
	if (pd_cluster_is(c, CLUSTER_TYPE(ORIGINAL_DST))) {
		c->msg->transport_socket = socket;
		return;
	}
	add_match(c, "tlsMode-istio", "istio", socket);
	add_match(c, "tlsMode-disabled", NULL, pd_tls_raw_socket(c->tx->arena));
}

// ---- TLS of the user's -------------------------------------------------------------------------------------------------------

static void set_no_validation(struct cluster *c, EnvoyCommonTlsContext *ctx)
{
	ctx->validation_context_type_case =
		ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_VALIDATION_CONTEXT;
	ctx->validation_context = PB_NEW(c->tx->arena, EnvoyCertificateValidationContext,
					 envoy__extensions__transport_sockets__tls__v3__certificate_validation_context);
}

struct names {
	const char *const *v;
	size_t n;
};

static void use_credential(struct cluster *c, const Settings *s, const struct names *sans, EnvoyCommonTlsContext *ctx)
{
	struct pd_arena *a = c->tx->arena;
	if (s->mode == TLS_MODE(MUTUAL))
		PB_PUSH(a, ctx, tls_certificate_sds_secret_configs, pd_tls_credential_secret(a, s->credential_name));
	if (!skips_verify(s))
		pd_tls_set_validation(a, ctx, pd_tls_credential_ca_secret(a, s->credential_name), sans->v, sans->n);
}

static void use_files(struct cluster *c, const Settings *s, const struct names *sans, EnvoyCommonTlsContext *ctx)
{
	struct pd_arena *a = c->tx->arena;
	if (s->mode == TLS_MODE(MUTUAL)) {
		const char *name = pd_arena_printf(a, "file-cert:%s~%s", s->client_certificate, s->private_key);
		PB_PUSH(a, ctx, tls_certificate_sds_secret_configs, pd_tls_agent_secret(a, name));
	}
	if (skips_verify(s)) {
		set_no_validation(c, ctx);
		return;
	}
	const char *root = pd_empty(s->ca_certificates) ? PD_SDS_SYSTEM_ROOT
							: pd_arena_printf(a, "file-root:%s", s->ca_certificates);
	EnvoyCertificateValidationContext *vc =
		pd_tls_set_validation(a, ctx, pd_tls_agent_secret(a, root), sans->v, sans->n);
	if (!pd_empty(s->ca_crl)) {
		vc->crl = PB_NEW(a, Envoy__Config__Core__V3__DataSource, envoy__config__core__v3__data_source);
		vc->crl->specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_FILENAME;
		vc->crl->filename = s->ca_crl;
	}
}

static void apply_mesh_tls_defaults(struct cluster *c, EnvoyTlsParameters *p)
{
	struct pd_arena *a = c->tx->arena;
	const Istio__MeshConfig__TLSConfig *d = tx_mesh(c->tx)->tls_defaults;
	for (size_t i = 0; d && i < d->n_ecdh_curves; i++)
		PB_PUSH(a, p, ecdh_curves, d->ecdh_curves[i]);
	for (size_t i = 0; d && i < d->n_cipher_suites; i++)
		PB_PUSH(a, p, cipher_suites, d->cipher_suites[i]);
}

// A Secret is read with the proxy's own rights: a rule for all sidecars of a mesh would hold up those that may not read it. So
// such a rule means no TLS there, unless it selects its workloads.
static bool credential_withheld(struct cluster *c, const struct upstream_tls *t)
{
	const Settings *s = t->settings;
	bool selected = t->rule && t->rule->spec->workload_selector;
	if (pd_empty(s->credential_name) || pd_has_prefix(s->credential_name, "configmap://") ||
	    c->tx->key->type != PD_NODE_SIDECAR || selected)
		return false;
	if (t->rule)
		tx_issue(c->tx, t->rule->object, "spec.trafficPolicy.tls.credentialName",
			 "sidecars do not use it, and no TLS either, unless the rule has a workloadSelector");
	return true;
}

static void set_user_tls(struct cluster *c, const struct upstream_tls *t)
{
	const Settings *s = t->settings;
	if (credential_withheld(c, t))
		return;
	bool files = pd_empty(s->credential_name);
	if (files && s->mode == TLS_MODE(MUTUAL) && (pd_empty(s->client_certificate) || pd_empty(s->private_key)))
		return;
	EnvoyUpstreamTlsContext *ctx = pd_tls_upstream(c->tx->arena);
	ctx->sni = s->sni;
	set_auto_names(c, s);
	struct names sans = {(const char *const *)s->subject_alt_names, s->n_subject_alt_names};
	if (!sans.n && c->svc && !c->svc->kubernetes)
		sans = (struct names){t->sans, t->n_sans};
	(files ? use_files : use_credential)(c, s, &sans, ctx->common_tls_context);
	apply_mesh_tls_defaults(c, ctx->common_tls_context->tls_params);
	if (pd_cluster_http2_options(c))
		pd_tls_set_alpn(c->tx->arena, ctx->common_tls_context, "h2");
	c->msg->transport_socket = pd_tls_socket(c->tx->arena, ctx);
}

void pd_cluster_apply_tls(struct cluster *c, const struct upstream_tls *t)
{
	if (t->settings) {
		if (t->settings->mode == TLS_MODE(ISTIO_MUTUAL))
			c->msg->transport_socket = mesh_socket(c, t);
		else if (t->settings->mode != TLS_MODE(DISABLE))
			set_user_tls(c, t);
		return;
	}
	const Istio__MeshConfig *mesh = tx_mesh(c->tx);
	bool enabled = mesh->enable_auto_mtls && mesh->enable_auto_mtls->value;
	if (enabled && t->server_known && t->server != PD_MTLS_DISABLE)
		set_auto_mtls(c, t);
}

// ---- PROXY protocol ------------------------------------------------------------------------------------------------------------

static EnvoyTransportSocket *wrap(struct cluster *c, const Istio__TrafficPolicy__ProxyProtocol *p,
				  EnvoyTransportSocket *inner)
{
	struct pd_arena *a = c->tx->arena;
	Envoy__Extensions__TransportSockets__ProxyProtocol__V3__ProxyProtocolUpstreamTransport *t = pb_new(
		a,
		&envoy__extensions__transport_sockets__proxy_protocol__v3__proxy_protocol_upstream_transport__descriptor);
	t->config =
		PB_NEW(a, Envoy__Config__Core__V3__ProxyProtocolConfig, envoy__config__core__v3__proxy_protocol_config);
	t->config->version = (Envoy__Config__Core__V3__ProxyProtocolConfig__Version)p->version;
	t->transport_socket = inner;
	EnvoyTransportSocket *out = PB_NEW(a, EnvoyTransportSocket, envoy__config__core__v3__transport_socket);
	out->name = "envoy.transport_sockets.upstream_proxy_protocol";
	out->config_type_case = ENVOY__CONFIG__CORE__V3__TRANSPORT_SOCKET__CONFIG_TYPE_TYPED_CONFIG;
	out->typed_config = pb_any(a, t);
	return out;
}

void pd_cluster_apply_proxy_protocol(struct cluster *c, const Istio__TrafficPolicy__ProxyProtocol *p)
{
	if (!p)
		return;
	if (!c->msg->transport_socket && !c->msg->n_transport_socket_matches) {
		c->msg->transport_socket = wrap(c, p, pd_tls_raw_socket(c->tx->arena));
		return;
	}
	if (c->msg->transport_socket)
		c->msg->transport_socket = wrap(c, p, c->msg->transport_socket);
	for (size_t i = 0; i < c->msg->n_transport_socket_matches; i++) {
		EnvoyTransportSocket **s = &c->msg->transport_socket_matches[i]->transport_socket;
		*s = wrap(c, p, *s);
	}
}
