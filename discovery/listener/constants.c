#include "discovery/listener/constants.h"

#include <pthread.h>
#include <string.h>

#include "api/codec.h"

#define TYPE(name) "{\"@type\":\"" PB_TYPE_PREFIX name "\""
#define EXCHANGE(fields)                                                                                               \
	TYPE("udpa.type.v1.TypedStruct")                                                                               \
	",\"type_url\":\"" PB_TYPE_PREFIX "io.istio.http.peer_metadata.Config\",\"value\":{" fields "}}"
#define DISCOVERY "[{\"istio_headers\":{}},{\"workload_discovery\":{}}]"

static const struct {
	const char *name;
	const char *config; // JSON of an Any
} sources[PD_CONSTANT_COUNT] = {
	[PD_HTTP_EXCHANGE_INBOUND] = {"istio.metadata_exchange",
				      EXCHANGE("\"downstream_discovery\":" DISCOVERY
					       ",\"downstream_propagation\":[{\"istio_headers\":{}}]")},
	[PD_HTTP_EXCHANGE_OUTBOUND] = {"istio.metadata_exchange",
				       EXCHANGE("\"upstream_discovery\":" DISCOVERY
						",\"upstream_propagation\":[{\"istio_headers\":{}}]")},
	[PD_HTTP_EXCHANGE_IN_MESH] =
		{"istio.metadata_exchange",
		 EXCHANGE("\"upstream_discovery\":" DISCOVERY
			  ",\"upstream_propagation\":[{\"istio_headers\":{\"skip_external_clusters\":true}}]")},
	[PD_HTTP_GRPC_WEB] = {"envoy.filters.http.grpc_web",
			      TYPE("envoy.extensions.filters.http.grpc_web.v3.GrpcWeb") "}"},
	[PD_HTTP_GRPC_STATS] =
		{"envoy.filters.http.grpc_stats",
		 TYPE("envoy.extensions.filters.http.grpc_stats.v3.FilterConfig") ",\"emitFilterState\":true,\"statsForAllMethods\":false}"},
	[PD_HTTP_ALPN] =
		{"istio.alpn",
		 TYPE("istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig") ",\"alpnOverride\":["
										   "{\"upstreamProtocol\":\"HTTP10\",\"alpnOverride\":[\"istio-http/1.0\",\"istio\",\"http/1.0\"]},"
										   "{\"upstreamProtocol\":\"HTTP11\",\"alpnOverride\":[\"istio-http/1.1\",\"istio\",\"http/1.1\"]},"
										   "{\"upstreamProtocol\":\"HTTP2\",\"alpnOverride\":[\"istio-h2\",\"istio\",\"h2\"]}]}"},
	[PD_HTTP_FAULT] = {"envoy.filters.http.fault", TYPE("envoy.extensions.filters.http.fault.v3.HTTPFault") "}"},
	[PD_HTTP_CORS] = {"envoy.filters.http.cors", TYPE("envoy.extensions.filters.http.cors.v3.Cors") "}"},
	[PD_HTTP_ROUTER] = {"envoy.filters.http.router", TYPE("envoy.extensions.filters.http.router.v3.Router") "}"},
	[PD_HTTP_ROUTER_QUIET] =
		{"envoy.filters.http.router",
		 TYPE("envoy.extensions.filters.http.router.v3.Router") ",\"suppressEnvoyHeaders\":true}"},
	[PD_NETWORK_EXCHANGE] =
		{"istio.metadata_exchange",
		 TYPE("udpa.type.v1.TypedStruct") ",\"type_url\":\"" PB_TYPE_PREFIX
						  "envoy.tcp.metadataexchange.config.MetadataExchange\",\"value\":"
						  "{\"enable_discovery\":true,\"protocol\":\"istio-peer-exchange\"}}"},
	[PD_LISTENER_ORIGINAL_DST] = {"envoy.filters.listener.original_dst",
				      TYPE("envoy.extensions.filters.listener.original_dst.v3.OriginalDst") "}"},
	[PD_LISTENER_ORIGINAL_SRC] =
		{"envoy.filters.listener.original_src",
		 TYPE("envoy.extensions.filters.listener.original_src.v3.OriginalSrc") ",\"mark\":1337}"},
	[PD_LISTENER_TLS_INSPECTOR] =
		{"envoy.filters.listener.tls_inspector",
		 TYPE("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector") ",\"initialReadBufferSize\":512}"},
	[PD_LISTENER_HTTP_INSPECTOR] = {"envoy.filters.listener.http_inspector",
					TYPE("envoy.extensions.filters.listener.http_inspector.v3.HttpInspector") "}"},
	[PD_LISTENER_PROXY_PROTOCOL] = {"envoy.filters.listener.proxy_protocol",
					TYPE("envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol") "}"},
	[PD_EXTENSION_REQUEST_ID] =
		{"",
		 TYPE("envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig") ",\"useRequestIdForTraceSampling\":true}"},
	[PD_EXTENSION_PRESERVE_CASE] =
		{"preserve_case",
		 TYPE("envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig") "}"},
	[PD_EXTENSION_REQ_WITHOUT_QUERY] =
		{"envoy.formatter.req_without_query",
		 TYPE("envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery") "}"},
};

static Google__Protobuf__Any *decoded[PD_CONSTANT_COUNT];

static void decode_all(void)
{
	static struct pd_arena arena; // lives as long as the process
	for (int i = 0; i < PD_CONSTANT_COUNT; i++) {
		struct pd_codec codec = {.arena = &arena, .policy = PD_CODEC_STRICT};
		void *any = NULL;
		if (pd_codec_decode_text(&codec, sources[i].config, strlen(sources[i].config),
					 &google__protobuf__any__descriptor, &any) != PD_OK)
			PD_UNREACHABLE();
		decoded[i] = any;
	}
}

const char *pd_constant_name(enum pd_constant c)
{
	return sources[c].name;
}

Google__Protobuf__Any *pd_constant_any(struct pd_arena *a, enum pd_constant c)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, decode_all);
	Google__Protobuf__Any *any = PD_NEW(a, Google__Protobuf__Any);
	*any = *decoded[c];
	return any;
}

EnvoyHttpFilter *pd_constant_http_filter(struct pd_arena *a, enum pd_constant c)
{
	EnvoyHttpFilter *f =
		pb_new(a, &envoy__extensions__filters__network__http_connection_manager__v3__http_filter__descriptor);
	f->name = (char *)sources[c].name;
	f->config_type_case =
		ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_FILTER__CONFIG_TYPE_TYPED_CONFIG;
	f->typed_config = pd_constant_any(a, c);
	return f;
}

EnvoyNetworkFilter *pd_constant_network_filter(struct pd_arena *a, enum pd_constant c)
{
	EnvoyNetworkFilter *f = pb_new(a, &envoy__config__listener__v3__filter__descriptor);
	f->name = (char *)sources[c].name;
	f->config_type_case = ENVOY__CONFIG__LISTENER__V3__FILTER__CONFIG_TYPE_TYPED_CONFIG;
	f->typed_config = pd_constant_any(a, c);
	return f;
}

EnvoyListenerFilter *pd_constant_listener_filter(struct pd_arena *a, enum pd_constant c)
{
	EnvoyListenerFilter *f = pb_new(a, &envoy__config__listener__v3__listener_filter__descriptor);
	f->name = (char *)sources[c].name;
	f->config_type_case = ENVOY__CONFIG__LISTENER__V3__LISTENER_FILTER__CONFIG_TYPE_TYPED_CONFIG;
	f->typed_config = pd_constant_any(a, c);
	return f;
}
