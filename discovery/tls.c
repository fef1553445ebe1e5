#include "discovery/tls.h"

#include "base/str.h"
#include "discovery/provider.h"
#include "envoy/config/core/v3/grpc_service.pb-c.h"
#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb-c.h"
#include "envoy/type/matcher/v3/string.pb-c.h"

#define TLS(Type) ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__##Type
#define NEW(a, Type, name) PB_NEW((a), Type, envoy__extensions__transport_sockets__tls__v3__##name)

// ---- secrets -------------------------------------------------------------------------------------------------------

// A secret served by gRPC; `authority` may be NULL.
static EnvoySdsSecretConfig *grpc_secret(struct pd_arena *a, const char *name, const char *cluster,
					 const char *authority)
{
	Envoy__Config__Core__V3__GrpcService__EnvoyGrpc *grpc =
		PB_NEW(a, Envoy__Config__Core__V3__GrpcService__EnvoyGrpc,
		       envoy__config__core__v3__grpc_service__envoy_grpc);
	grpc->cluster_name = (char *)cluster;
	grpc->authority = (char *)authority;
	Envoy__Config__Core__V3__GrpcService *service =
		PB_NEW(a, Envoy__Config__Core__V3__GrpcService, envoy__config__core__v3__grpc_service);
	service->target_specifier_case = ENVOY__CONFIG__CORE__V3__GRPC_SERVICE__TARGET_SPECIFIER_ENVOY_GRPC;
	service->envoy_grpc = grpc;
	Envoy__Config__Core__V3__ApiConfigSource *api =
		PB_NEW(a, Envoy__Config__Core__V3__ApiConfigSource, envoy__config__core__v3__api_config_source);
	api->api_type = ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__GRPC;
	api->transport_api_version = ENVOY__CONFIG__CORE__V3__API_VERSION__V3;
	api->set_node_on_first_message_only = true;
	PB_PUSH(a, api, grpc_services, service);
	EnvoyConfigSource *source = PB_NEW(a, EnvoyConfigSource, envoy__config__core__v3__config_source);
	source->config_source_specifier_case =
		ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_API_CONFIG_SOURCE;
	source->api_config_source = api;
	source->resource_api_version = ENVOY__CONFIG__CORE__V3__API_VERSION__V3;
	EnvoySdsSecretConfig *sds = NEW(a, EnvoySdsSecretConfig, sds_secret_config);
	sds->name = pd_arena_strdup(a, name);
	sds->sds_config = source;
	return sds;
}

EnvoySdsSecretConfig *pd_tls_agent_secret(struct pd_arena *a, const char *name)
{
	EnvoySdsSecretConfig *sds = grpc_secret(a, name, "sds-grpc", NULL);
	if (pd_streq(name, PD_SDS_DEFAULT) || pd_streq(name, PD_SDS_ROOT))
		sds->sds_config->initial_fetch_timeout = pb_duration(a, 0, 0);
	return sds;
}

// Without a fetch timeout of its own: a credential may name a Secret that does not exist, which must not hold up a listener
// or cluster for ever.
static EnvoySdsSecretConfig *ads_secret(struct pd_arena *a, const char *name)
{
	EnvoyConfigSource *source = PB_NEW(a, EnvoyConfigSource, envoy__config__core__v3__config_source);
	source->config_source_specifier_case = ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_ADS;
	source->ads = PB_NEW(a, Envoy__Config__Core__V3__AggregatedConfigSource,
			     envoy__config__core__v3__aggregated_config_source);
	source->resource_api_version = ENVOY__CONFIG__CORE__V3__API_VERSION__V3;
	EnvoySdsSecretConfig *sds = NEW(a, EnvoySdsSecretConfig, sds_secret_config);
	sds->name = (char *)name;
	sds->sds_config = source;
	return sds;
}

static bool has_scheme(const char *credential)
{
	static const char *const schemes[] = {"kubernetes://", "kubernetes-gateway://", "configmap://", "invalid://"};
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (pd_has_prefix(credential, schemes[i]))
			return true;
	return false;
}

#define BUILTIN "builtin://"
#define EXTERNAL "sds://"

EnvoySdsSecretConfig *pd_tls_credential_secret(struct pd_arena *a, const char *credential)
{
	if (pd_streq(credential, BUILTIN))
		return pd_tls_agent_secret(a, PD_SDS_DEFAULT);
	if (pd_streq(credential, BUILTIN "-cacert"))
		return pd_tls_agent_secret(a, PD_SDS_ROOT);
	if (pd_has_prefix(credential, EXTERNAL))
		credential += sizeof(EXTERNAL) - 1;
	if (has_scheme(credential))
		return ads_secret(a, pd_arena_strdup(a, credential));
	return ads_secret(a, pd_arena_printf(a, "kubernetes://%s", credential));
}

EnvoySdsSecretConfig *pd_tls_credential_ca_secret(struct pd_arena *a, const char *credential)
{
	return pd_tls_credential_secret(a, pd_arena_printf(a, "%s-cacert", credential));
}

static const Istio__MeshConfig__ExtensionProvider__SDSProvider *secret_provider(struct pd_tx *tx)
{
	const Istio__MeshConfig *mesh = tx_mesh(tx);
	for (size_t i = 0; i < mesh->n_extension_providers; i++)
		if (mesh->extension_providers[i]->provider_case == ISTIO__MESH_CONFIG__EXTENSION_PROVIDER__PROVIDER_SDS)
			return mesh->extension_providers[i]->sds;
	return NULL;
}

EnvoySdsSecretConfig *pd_tls_server_secret(struct pd_tx *tx, const char *credential)
{
	const Istio__MeshConfig__ExtensionProvider__SDSProvider *p =
		pd_has_prefix(credential, EXTERNAL) ? secret_provider(tx) : NULL;
	struct pd_provider_target target = {.error = "none"};
	if (p)
		target = pd_provider_target(tx, p->service, p->port);
	if (target.error)
		return pd_tls_credential_secret(tx->arena, credential);
	return grpc_secret(tx->arena, credential + sizeof(EXTERNAL) - 1, target.cluster, target.host);
}

EnvoySdsSecretConfig *pd_tls_server_ca_secret(struct pd_tx *tx, const char *credential)
{
	return pd_tls_server_secret(tx, pd_arena_printf(tx->arena, "%s-cacert", credential));
}

// ---- parts of a context ----------------------------------------------------------------------------------------------

void pd_tls_add_san(struct pd_arena *a, EnvoyCertificateValidationContext *vc, const char *name, bool prefix)
{
	Envoy__Type__Matcher__V3__StringMatcher *m =
		PB_NEW(a, Envoy__Type__Matcher__V3__StringMatcher, envoy__type__matcher__v3__string_matcher);
	char *copy = pd_arena_strdup(a, name);
	if (prefix) {
		m->match_pattern_case = ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_PREFIX;
		m->prefix = copy;
	} else {
		m->match_pattern_case = ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_EXACT;
		m->exact = copy;
	}
	PB_PUSH(a, vc, match_subject_alt_names, m);
}

EnvoyCertificateValidationContext *pd_tls_set_validation(struct pd_arena *a, EnvoyCommonTlsContext *ctx,
							 EnvoySdsSecretConfig *roots, const char *const *sans, size_t n)
{
	EnvoyCertificateValidationContext *vc =
		NEW(a, EnvoyCertificateValidationContext, certificate_validation_context);
	for (size_t i = 0; i < n; i++)
		pd_tls_add_san(a, vc, sans[i], false);
	Envoy__Extensions__TransportSockets__Tls__V3__CommonTlsContext__CombinedCertificateValidationContext *both = pb_new(
		a,
		&envoy__extensions__transport_sockets__tls__v3__common_tls_context__combined_certificate_validation_context__descriptor);
	both->default_validation_context = vc;
	both->validation_context_sds_secret_config = roots;
	ctx->validation_context_type_case =
		TLS(COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_COMBINED_VALIDATION_CONTEXT);
	ctx->combined_validation_context = both;
	return vc;
}

void pd_tls_set_alpn(struct pd_arena *a, EnvoyCommonTlsContext *ctx, const char *list)
{
	ctx->n_alpn_protocols = 0;
	ctx->alpn_protocols = NULL;
	while (*list) {
		size_t n = strcspn(list, ",");
		PB_PUSH(a, ctx, alpn_protocols, pd_arena_strndup(a, list, n));
		list += n + (list[n] == ',');
	}
}

static EnvoyTlsParameters *tls_params(struct pd_arena *a, const Istio__MeshConfig__TLSConfig *config)
{
	EnvoyTlsParameters *p = NEW(a, EnvoyTlsParameters, tls_parameters);
	p->tls_minimum_protocol_version =
		config && config->min_protocol_version == ISTIO__MESH_CONFIG__TLSCONFIG__TLSPROTOCOL__TLSV1_3
			? TLS(TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_3)
			: TLS(TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_2);
	p->tls_maximum_protocol_version = TLS(TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_3);
	return p;
}

// ---- mesh mTLS -------------------------------------------------------------------------------------------------------

struct domain_list {
	struct pd_arena *arena;
	PD_VEC(const char *) v;
};

static void add_domain(struct domain_list *l, const char *domain)
{
	if (pd_empty(domain))
		return;
	const char *prefix = pd_arena_printf(l->arena, "spiffe://%s/", domain);
	for (size_t i = 0; i < l->v.n; i++)
		if (pd_streq(l->v.v[i], prefix))
			return;
	pd_vec_push_a(l->arena, &l->v, prefix);
}

struct pd_tls_domains pd_tls_trust_prefixes(struct pd_tx *tx)
{
	const Istio__MeshConfig *mesh = tx_mesh(tx);
	struct domain_list l = {.arena = tx->arena};
	add_domain(&l, mesh->trust_domain);
	for (size_t i = 0; i < mesh->n_trust_domain_aliases; i++)
		add_domain(&l, mesh->trust_domain_aliases[i]);
	for (size_t i = 0; i < mesh->n_ca_certificates; i++)
		for (size_t j = 0; j < mesh->ca_certificates[i]->n_trust_domains; j++)
			add_domain(&l, mesh->ca_certificates[i]->trust_domains[j]);
	return (struct pd_tls_domains){l.v.n, l.v.v};
}

static void add_ciphers(struct pd_arena *a, EnvoyTlsParameters *p, const Istio__MeshConfig__TLSConfig *config)
{
	static const char *const strong[] = {"ECDHE-ECDSA-AES256-GCM-SHA384",
					     "ECDHE-RSA-AES256-GCM-SHA384",
					     "ECDHE-ECDSA-AES128-GCM-SHA256",
					     "ECDHE-RSA-AES128-GCM-SHA256",
					     "AES256-GCM-SHA384",
					     "AES128-GCM-SHA256"};
	if (config && config->n_cipher_suites) {
		for (size_t i = 0; i < config->n_cipher_suites; i++)
			PB_PUSH(a, p, cipher_suites, pd_arena_strdup(a, config->cipher_suites[i]));
		return;
	}
	for (size_t i = 0; i < sizeof(strong) / sizeof(strong[0]); i++)
		PB_PUSH(a, p, cipher_suites, (char *)strong[i]);
}

EnvoyDownstreamTlsContext *pd_tls_downstream_mtls(struct pd_tx *tx, bool tcp)
{
	struct pd_arena *a = tx->arena;
	EnvoyCommonTlsContext *common = NEW(a, EnvoyCommonTlsContext, common_tls_context);
	common->tls_params = tls_params(a, tx_mesh(tx)->mesh_mtls);
	add_ciphers(a, common->tls_params, tx_mesh(tx)->mesh_mtls);
	PB_PUSH(a, common, tls_certificate_sds_secret_configs, pd_tls_agent_secret(a, PD_SDS_DEFAULT));
	EnvoyCertificateValidationContext *vc =
		pd_tls_set_validation(a, common, pd_tls_agent_secret(a, PD_SDS_ROOT), NULL, 0);
	struct pd_tls_domains domains = pd_tls_trust_prefixes(tx);
	for (size_t i = 0; i < domains.n; i++)
		pd_tls_add_san(a, vc, domains.v[i], true);
	// A peer that negotiates istio-peer-exchange sends a preamble that only the istio.metadata_exchange filter understands.
	bool exchange = tcp && (tx->key->caps & PD_CAP_METADATA_EXCHANGE_NETWORK);
	pd_tls_set_alpn(a, common, exchange ? "istio-peer-exchange,h2,http/1.1" : "h2,http/1.1");
	EnvoyDownstreamTlsContext *ctx = NEW(a, EnvoyDownstreamTlsContext, downstream_tls_context);
	ctx->common_tls_context = common;
	ctx->require_client_certificate = pb_bool(a, true);
	return ctx;
}

EnvoyUpstreamTlsContext *pd_tls_upstream(struct pd_arena *a)
{
	EnvoyUpstreamTlsContext *ctx = NEW(a, EnvoyUpstreamTlsContext, upstream_tls_context);
	ctx->common_tls_context = NEW(a, EnvoyCommonTlsContext, common_tls_context);
	ctx->common_tls_context->tls_params = tls_params(a, NULL);
	return ctx;
}

EnvoyUpstreamTlsContext *pd_tls_upstream_mtls(struct pd_tx *tx, const char *const *sans, size_t n)
{
	struct pd_arena *a = tx->arena;
	EnvoyUpstreamTlsContext *ctx = pd_tls_upstream(a);
	PB_PUSH(a, ctx->common_tls_context, tls_certificate_sds_secret_configs, pd_tls_agent_secret(a, PD_SDS_DEFAULT));
	pd_tls_set_validation(a, ctx->common_tls_context, pd_tls_agent_secret(a, PD_SDS_ROOT), sans, n);
	return ctx;
}

// ---- transport sockets -------------------------------------------------------------------------------------------------

static EnvoyTransportSocket *transport_socket(struct pd_arena *a, const char *name, const void *config)
{
	EnvoyTransportSocket *ts = PB_NEW(a, EnvoyTransportSocket, envoy__config__core__v3__transport_socket);
	ts->name = (char *)name;
	ts->config_type_case = ENVOY__CONFIG__CORE__V3__TRANSPORT_SOCKET__CONFIG_TYPE_TYPED_CONFIG;
	ts->typed_config = pb_any(a, config);
	return ts;
}

EnvoyTransportSocket *pd_tls_socket(struct pd_arena *a, const void *context)
{
	return transport_socket(a, "envoy.transport_sockets.tls", context);
}

EnvoyTransportSocket *pd_tls_raw_socket(struct pd_arena *a)
{
	return transport_socket(a, "envoy.transport_sockets.raw_buffer",
				pb_new(a,
				       &envoy__extensions__transport_sockets__raw_buffer__v3__raw_buffer__descriptor));
}
