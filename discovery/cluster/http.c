// HTTP options of a cluster: which protocol it speaks.
#include "discovery/cluster/cluster.h"
#include "discovery/listener/proxy.h"

typedef Envoy__Config__Core__V3__Http1ProtocolOptions Http1Options;
typedef Envoy__Config__Core__V3__Http2ProtocolOptions Http2Options;
typedef Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions__ExplicitHttpConfig ExplicitConfig;
typedef Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions__UseDownstreamHttpConfig DownstreamConfig;

#define PROTOCOL_CASE(name)                                                                                            \
	ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_##name
#define EXPLICIT_CASE(name)                                                                                            \
	ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_##name

enum { PASSTHROUGH_IDLE_S = 300 };

EnvoyHttpProtocolOptions *pd_cluster_http(struct cluster *c)
{
	if (!c->http)
		c->http = PB_NEW(c->tx->arena, EnvoyHttpProtocolOptions,
				 envoy__extensions__upstreams__http__v3__http_protocol_options);
	return c->http;
}

static Http1Options *http1_options(struct pd_arena *a)
{
	return PB_NEW(a, Http1Options, envoy__config__core__v3__http1_protocol_options);
}

static Http2Options *http2_options(struct pd_arena *a)
{
	return PB_NEW(a, Http2Options, envoy__config__core__v3__http2_protocol_options);
}

static ExplicitConfig *explicit_config(struct cluster *c)
{
	EnvoyHttpProtocolOptions *o = pd_cluster_http(c);
	o->upstream_protocol_options_case = PROTOCOL_CASE(EXPLICIT_HTTP_CONFIG);
	o->explicit_http_config = pb_new(
		c->tx->arena,
		&envoy__extensions__upstreams__http__v3__http_protocol_options__explicit_http_config__descriptor);
	return o->explicit_http_config;
}

void pd_cluster_set_http2(struct cluster *c)
{
	if (pd_cluster_http(c)->upstream_protocol_options_case != 0)
		return;
	ExplicitConfig *x = explicit_config(c);
	x->protocol_config_case = EXPLICIT_CASE(HTTP2_PROTOCOL_OPTIONS);
	x->http2_protocol_options = http2_options(c->tx->arena);
}

Http2Options *pd_cluster_http2_options(const struct cluster *c)
{
	const EnvoyHttpProtocolOptions *o = c->http;
	if (!o || o->upstream_protocol_options_case != PROTOCOL_CASE(EXPLICIT_HTTP_CONFIG) ||
	    o->explicit_http_config->protocol_config_case != EXPLICIT_CASE(HTTP2_PROTOCOL_OPTIONS))
		return NULL;
	return o->explicit_http_config->http2_protocol_options;
}

void pd_cluster_set_downstream_protocol(struct cluster *c)
{
	EnvoyHttpProtocolOptions *o = pd_cluster_http(c);
	Http1Options *http1 = NULL;
	if (o->upstream_protocol_options_case == PROTOCOL_CASE(EXPLICIT_HTTP_CONFIG) &&
	    o->explicit_http_config->protocol_config_case == EXPLICIT_CASE(HTTP_PROTOCOL_OPTIONS))
		http1 = o->explicit_http_config->http_protocol_options;
	DownstreamConfig *d = pb_new(
		c->tx->arena,
		&envoy__extensions__upstreams__http__v3__http_protocol_options__use_downstream_http_config__descriptor);
	d->http_protocol_options = http1 ? http1 : http1_options(c->tx->arena);
	d->http2_protocol_options = http2_options(c->tx->arena);
	o->upstream_protocol_options_case = PROTOCOL_CASE(USE_DOWNSTREAM_PROTOCOL_CONFIG);
	o->use_downstream_protocol_config = d;
}

// ---- header case ---------------------------------------------------------------------------------------------------------

// HTTP/1 headers as the application wrote them.
static bool preserves_case(struct pd_tx *tx)
{
	const Istio__ProxyConfig__ProxyHeaders *h = pd_proxy_config(tx)->proxy_headers;
	return h && h->preserve_http1_header_case && h->preserve_http1_header_case->value;
}

static Http1Options *preserving_options(struct pd_arena *a)
{
	Envoy__Config__Core__V3__TypedExtensionConfig *formatter =
		PB_NEW(a, Envoy__Config__Core__V3__TypedExtensionConfig,
		       envoy__config__core__v3__typed_extension_config);
	formatter->name = "preserve_case";
	formatter->typed_config =
		pb_any_bytes(a, "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig",
			     NULL, 0);
	Envoy__Config__Core__V3__Http1ProtocolOptions__HeaderKeyFormat *format =
		pb_new(a, &envoy__config__core__v3__http1_protocol_options__header_key_format__descriptor);
	format->header_format_case =
		ENVOY__CONFIG__CORE__V3__HTTP1_PROTOCOL_OPTIONS__HEADER_KEY_FORMAT__HEADER_FORMAT_STATEFUL_FORMATTER;
	format->stateful_formatter = formatter;
	Http1Options *o = http1_options(a);
	o->header_key_format = format;
	return o;
}

// ---- by protocol -----------------------------------------------------------------------------------------------------------

void pd_cluster_set_protocol(struct cluster *c)
{
	enum pd_protocol p = c->port->protocol;
	if (pd_protocol_is_http2(p)) {
		pd_cluster_set_http2(c);
		return;
	}
	bool sniffed = p == PD_PROTO_SNIFF;
	if ((sniffed || pd_protocol_is_http(p)) && preserves_case(c->tx)) {
		ExplicitConfig *x = explicit_config(c);
		x->protocol_config_case = EXPLICIT_CASE(HTTP_PROTOCOL_OPTIONS);
		x->http_protocol_options = preserving_options(c->tx->arena);
	}
	// Not on gateways: their clients negotiate HTTP/2 with the gateway, which says nothing about the service behind it.
	if (sniffed && (c->tx->key->type == PD_NODE_SIDECAR || c->tx->key->type == PD_NODE_WAYPOINT))
		pd_cluster_set_downstream_protocol(c);
}

void pd_cluster_set_passthrough_http(struct cluster *c)
{
	struct pd_arena *a = c->tx->arena;
	EnvoyHttpProtocolOptions *o = pd_cluster_http(c);
	o->common_http_protocol_options =
		PB_NEW(a, Envoy__Config__Core__V3__HttpProtocolOptions, envoy__config__core__v3__http_protocol_options);
	o->common_http_protocol_options->idle_timeout = pb_duration(a, PASSTHROUGH_IDLE_S, 0);
	pd_cluster_set_downstream_protocol(c);
	if (preserves_case(c->tx))
		o->use_downstream_protocol_config->http_protocol_options = preserving_options(a);
}
