// TLS on the servers of a gateway. (reference: §7, the table of modes)
#include "base/str.h"
#include "discovery/gateway/gateway.h"
#include "discovery/tls.h"

#define MODE(name) ISTIO__SERVER_TLSSETTINGS__TLSMODE__##name
#define PROTOCOL(name) ISTIO__SERVER_TLSSETTINGS__TLSPROTOCOL__##name
#define TLS(name) ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__##name

// What Envoy would refuse.
static bool known_cipher(const char *s)
{
	static const char *const known[] = {
		"ECDHE-ECDSA-AES128-GCM-SHA256",
		"ECDHE-RSA-AES128-GCM-SHA256",
		"ECDHE-ECDSA-AES256-GCM-SHA384",
		"ECDHE-RSA-AES256-GCM-SHA384",
		"ECDHE-ECDSA-CHACHA20-POLY1305",
		"ECDHE-RSA-CHACHA20-POLY1305",
		"ECDHE-ECDSA-AES128-SHA",
		"ECDHE-RSA-AES128-SHA",
		"ECDHE-ECDSA-AES256-SHA",
		"ECDHE-RSA-AES256-SHA",
		"AES128-GCM-SHA256",
		"AES256-GCM-SHA384",
		"AES128-SHA",
		"AES256-SHA",
		"DES-CBC3-SHA",
	};
	if (!*s || pd_streq(s, "ALL") || strchr("[-+!@", *s)) // an expression of BoringSSL
		return true;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (pd_streq(s, known[i]))
			return true;
	return false;
}

static bool has_text(char *const *v, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (pd_streq(v[i], s))
			return true;
	return false;
}

static EnvoyTlsParameters *params(struct pd_arena *a, EnvoyCommonTlsContext *ctx)
{
	if (!ctx->tls_params)
		ctx->tls_params =
			PB_NEW(a, EnvoyTlsParameters, envoy__extensions__transport_sockets__tls__v3__tls_parameters);
	return ctx->tls_params;
}

static void set_ciphers(struct pd_arena *a, EnvoyCommonTlsContext *ctx, char *const *v, size_t n)
{
	EnvoyTlsParameters *p = NULL;
	for (size_t i = 0; i < n; i++) {
		if (!known_cipher(v[i]) || (p && has_text(p->cipher_suites, p->n_cipher_suites, v[i])))
			continue;
		if (!p) {
			p = params(a, ctx);
			p->n_cipher_suites = 0;
			p->cipher_suites = NULL;
		}
		PB_PUSH(a, p, cipher_suites, v[i]);
	}
}

static void apply_mesh_defaults(struct pd_tx *tx, EnvoyCommonTlsContext *ctx)
{
	struct pd_arena *a = tx->arena;
	const Istio__MeshConfig__TLSConfig *d = tx_mesh(tx)->tls_defaults;
	if (!d)
		return;
	for (size_t i = 0; i < d->n_ecdh_curves; i++)
		PB_PUSH(a, params(a, ctx), ecdh_curves, d->ecdh_curves[i]);
	set_ciphers(a, ctx, d->cipher_suites, d->n_cipher_suites);
	if (d->min_protocol_version != ISTIO__MESH_CONFIG__TLSCONFIG__TLSPROTOCOL__TLS_AUTO)
		params(a, ctx)->tls_minimum_protocol_version =
			d->min_protocol_version == ISTIO__MESH_CONFIG__TLSCONFIG__TLSPROTOCOL__TLSV1_3
				? TLS(TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_3)
				: TLS(TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_2);
}

// The numbers of the versions are the same on both sides.
static void apply_server(struct pd_arena *a, EnvoyCommonTlsContext *ctx, const Istio__ServerTLSSettings *s)
{
	if (s->min_protocol_version != PROTOCOL(TLS_AUTO))
		params(a, ctx)->tls_minimum_protocol_version = (int)s->min_protocol_version;
	if (s->max_protocol_version != PROTOCOL(TLS_AUTO))
		params(a, ctx)->tls_maximum_protocol_version = (int)s->max_protocol_version;
	set_ciphers(a, ctx, s->cipher_suites, s->n_cipher_suites);
}

static bool validates_client(const Istio__ServerTLSSettings *s)
{
	return s->mode == MODE(MUTUAL) || s->mode == MODE(ISTIO_MUTUAL) || s->mode == MODE(OPTIONAL_MUTUAL);
}

static EnvoyCertificateValidationContext *validate(struct pd_arena *a, EnvoyCommonTlsContext *ctx,
						   const Istio__ServerTLSSettings *s, EnvoySdsSecretConfig *roots)
{
	EnvoyCertificateValidationContext *vc =
		pd_tls_set_validation(a, ctx, roots, (const char *const *)s->subject_alt_names, s->n_subject_alt_names);
	if (s->insecure_skip_verify && s->insecure_skip_verify->value)
		vc->trust_chain_verification =
			TLS(CERTIFICATE_VALIDATION_CONTEXT__TRUST_CHAIN_VERIFICATION__ACCEPT_UNTRUSTED);
	return vc;
}

// Certificates that the control plane serves.
static void apply_credentials(struct pd_tx *tx, EnvoyCommonTlsContext *ctx, const Istio__ServerTLSSettings *s)
{
	struct pd_arena *a = tx->arena;
	const char *first = s->n_credential_names ? s->credential_names[0] : s->credential_name;
	if (!s->n_credential_names)
		PB_PUSH(a, ctx, tls_certificate_sds_secret_configs, pd_tls_server_secret(tx, first));
	for (size_t i = 0; i < s->n_credential_names; i++)
		PB_PUSH(a, ctx, tls_certificate_sds_secret_configs, pd_tls_server_secret(tx, s->credential_names[i]));
	if (validates_client(s)) {
		EnvoySdsSecretConfig *roots = pd_empty(s->ca_cert_credential_name)
						      ? pd_tls_server_ca_secret(tx, first)
						      : pd_tls_server_secret(tx, s->ca_cert_credential_name);
		EnvoyCertificateValidationContext *vc = validate(a, ctx, s, roots);
		for (size_t i = 0; i < s->n_verify_certificate_spki; i++)
			PB_PUSH(a, vc, verify_certificate_spki, s->verify_certificate_spki[i]);
		for (size_t i = 0; i < s->n_verify_certificate_hash; i++)
			PB_PUSH(a, vc, verify_certificate_hash, s->verify_certificate_hash[i]);
	} else if (s->n_subject_alt_names) {
		EnvoyCertificateValidationContext *vc =
			PB_NEW(a, EnvoyCertificateValidationContext,
			       envoy__extensions__transport_sockets__tls__v3__certificate_validation_context);
		for (size_t i = 0; i < s->n_subject_alt_names; i++)
			pd_tls_add_san(a, vc, s->subject_alt_names[i], false);
		ctx->validation_context_type_case = TLS(COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_VALIDATION_CONTEXT);
		ctx->validation_context = vc;
	}
}

static EnvoySdsSecretConfig *file_certificate(struct pd_arena *a, const char *cert, const char *key)
{
	if (pd_empty(cert) || pd_empty(key))
		return pd_tls_agent_secret(a, PD_SDS_DEFAULT);
	return pd_tls_agent_secret(a, pd_arena_printf(a, "file-cert:%s~%s", cert, key));
}

// Certificates that the proxy's agent serves: files in the Pod, or with ISTIO_MUTUAL its own identity.
static void apply_files(struct pd_arena *a, EnvoyCommonTlsContext *ctx, const Istio__ServerTLSSettings *s)
{
	bool own = s->mode == MODE(ISTIO_MUTUAL);
	const char *ca = own ? NULL : s->ca_certificates;
	for (size_t i = 0; !own && i < s->n_tls_certificates; i++)
		PB_PUSH(a, ctx, tls_certificate_sds_secret_configs,
			file_certificate(a, s->tls_certificates[i]->server_certificate,
					 s->tls_certificates[i]->private_key));
	if (own || !s->n_tls_certificates)
		PB_PUSH(a, ctx, tls_certificate_sds_secret_configs,
			file_certificate(a, own ? NULL : s->server_certificate, own ? NULL : s->private_key));
	if (!validates_client(s))
		return;
	EnvoySdsSecretConfig *roots =
		pd_tls_agent_secret(a, pd_empty(ca) ? PD_SDS_ROOT : pd_arena_printf(a, "file-root:%s", ca));
	EnvoyCertificateValidationContext *vc = validate(a, ctx, s, roots);
	if (!pd_empty(s->ca_crl)) {
		vc->crl = PB_NEW(a, Envoy__Config__Core__V3__DataSource, envoy__config__core__v3__data_source);
		vc->crl->specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_FILENAME;
		vc->crl->filename = s->ca_crl;
	}
}

static const char *alpn(struct pd_tx *tx, const struct pd_gateway_server *s)
{
	bool tcp = !pd_protocol_is_http(s->protocol) && s->protocol != PD_PROTO_HTTPS;
	// Only the istio.metadata_exchange filter understands what a peer sends after istio-peer-exchange.
	if (tcp && s->spec->tls->mode == MODE(ISTIO_MUTUAL) && (tx->key->caps & PD_CAP_METADATA_EXCHANGE_NETWORK))
		return "istio-peer-exchange,h2,http/1.1";
	return "h2,http/1.1";
}

EnvoyDownstreamTlsContext *pd_gateway_tls_context(struct pd_tx *tx, const struct pd_gateway_server *server)
{
	struct pd_arena *a = tx->arena;
	const Istio__ServerTLSSettings *s = server->spec->tls;
	EnvoyDownstreamTlsContext *ctx = PB_NEW(a, EnvoyDownstreamTlsContext,
						envoy__extensions__transport_sockets__tls__v3__downstream_tls_context);
	EnvoyCommonTlsContext *common =
		PB_NEW(a, EnvoyCommonTlsContext, envoy__extensions__transport_sockets__tls__v3__common_tls_context);
	ctx->common_tls_context = common;
	ctx->require_client_certificate = pb_bool(a, s->mode == MODE(MUTUAL) || s->mode == MODE(ISTIO_MUTUAL));
	pd_tls_set_alpn(a, common, alpn(tx, server));
	if (s->mode != MODE(ISTIO_MUTUAL) && (s->n_credential_names || !pd_empty(s->credential_name)))
		apply_credentials(tx, common, s);
	else
		apply_files(a, common, s);
	if (s->mode == MODE(ISTIO_MUTUAL))
		return ctx;
	apply_mesh_defaults(tx, common);
	apply_server(a, common, s);
	return ctx;
}
