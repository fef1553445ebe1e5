// The HTTP connection manager. See http_manager.h.
#include "discovery/listener/http_manager.h"

#include "base/str.h"
#include "discovery/build.h"
#include "discovery/listener/access_log.h"
#include "discovery/listener/constants.h"
#include "discovery/listener/http_filters.h"
#include "discovery/listener/proxy.h"
#include "discovery/listener/tcp_filters.h"
#include "discovery/listener/tracing.h"

#define HCM(name) ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__##name
#define NEW_HCM(a, name)                                                                                               \
	pb_new((a), &envoy__extensions__filters__network__http_connection_manager__v3__##name##__descriptor)

typedef Istio__ProxyConfig__ProxyHeaders ProxyHeaders;
typedef Istio__ProxyConfig__ConnectionSettings ConnectionSettings;

static bool on(const Google__Protobuf__BoolValue *v)
{
	return v && v->value;
}

// ---- routes ----------------------------------------------------------------------------------------------------------------

static void set_routes(struct pd_arena *a, EnvoyHttpManager *hcm, const struct pd_http_manager *m)
{
	if (!m->route_name) {
		hcm->route_specifier_case = HCM(ROUTE_SPECIFIER_ROUTE_CONFIG);
		hcm->route_config = m->route_config;
		return;
	}
	EnvoyConfigSource *source = pb_new(a, &envoy__config__core__v3__config_source__descriptor);
	source->config_source_specifier_case = ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_ADS;
	source->ads = pb_new(a, &envoy__config__core__v3__aggregated_config_source__descriptor);
	source->initial_fetch_timeout = pb_duration(a, 0, 0); // wait: no routes would mean 404 for everything
	source->resource_api_version = ENVOY__CONFIG__CORE__V3__API_VERSION__V3;
	hcm->route_specifier_case = HCM(ROUTE_SPECIFIER_RDS);
	hcm->rds = NEW_HCM(a, rds);
	hcm->rds->config_source = source;
	hcm->rds->route_config_name = (char *)m->route_name;
}

// ---- headers that the proxy sets or keeps -----------------------------------------------------------------------------------

static void set_client_cert(struct pd_tx *tx, EnvoyHttpManager *hcm, const struct pd_http_manager *m,
			    const Istio__ProxyConfig *pc)
{
	// Both enums count the same modes; ours begins with "undefined".
	Istio__ForwardClientCertDetails mode;
	const Istio__ProxyConfig__ProxyHeaders__SetCurrentClientCertDetails *d = NULL;
	bool gateway = m->class == PD_CLASS_GATEWAY;
	if (gateway) {
		mode = pc->gateway_topology ? pc->gateway_topology->forward_client_cert_details
					    : ISTIO__FORWARD_CLIENT_CERT_DETAILS__UNDEFINED;
		if (!mode)
			mode = ISTIO__FORWARD_CLIENT_CERT_DETAILS__SANITIZE_SET;
	} else {
		mode = pc->proxy_headers ? pc->proxy_headers->forwarded_client_cert
					 : ISTIO__FORWARD_CLIENT_CERT_DETAILS__UNDEFINED;
		if (!mode)
			mode = ISTIO__FORWARD_CLIENT_CERT_DETAILS__APPEND_FORWARD;
		d = pc->proxy_headers ? pc->proxy_headers->set_current_client_cert_details : NULL;
	}
	hcm->forward_client_cert_details = mode - 1;
	if (gateway && mode != ISTIO__FORWARD_CLIENT_CERT_DETAILS__APPEND_FORWARD &&
	    mode != ISTIO__FORWARD_CLIENT_CERT_DETAILS__SANITIZE_SET)
		return; // Envoy would not look at the details
	hcm->set_current_client_cert_details =
		NEW_HCM(tx->arena, http_connection_manager__set_current_client_cert_details);
	hcm->set_current_client_cert_details->subject = pb_bool(tx->arena, !d || !d->subject || d->subject->value);
	hcm->set_current_client_cert_details->uri = !d || !d->uri || d->uri->value;
	hcm->set_current_client_cert_details->dns = !d || !d->dns || d->dns->value;
	hcm->set_current_client_cert_details->cert = gateway || (d && on(d->cert));
	hcm->set_current_client_cert_details->chain = d && on(d->chain);
}

static Envoy__Config__Core__V3__Http1ProtocolOptions *http1_options(struct pd_arena *a, EnvoyHttpManager *hcm)
{
	if (!hcm->http_protocol_options)
		hcm->http_protocol_options = pb_new(a, &envoy__config__core__v3__http1_protocol_options__descriptor);
	return hcm->http_protocol_options;
}

static void preserve_case(struct pd_arena *a, EnvoyHttpManager *hcm)
{
	Envoy__Config__Core__V3__Http1ProtocolOptions__HeaderKeyFormat *format =
		pb_new(a, &envoy__config__core__v3__http1_protocol_options__header_key_format__descriptor);
	format->header_format_case =
		ENVOY__CONFIG__CORE__V3__HTTP1_PROTOCOL_OPTIONS__HEADER_KEY_FORMAT__HEADER_FORMAT_STATEFUL_FORMATTER;
	format->stateful_formatter = pb_new(a, &envoy__config__core__v3__typed_extension_config__descriptor);
	format->stateful_formatter->name = (char *)pd_constant_name(PD_EXTENSION_PRESERVE_CASE);
	format->stateful_formatter->typed_config = pd_constant_any(a, PD_EXTENSION_PRESERVE_CASE);
	http1_options(a, hcm)->header_key_format = format;
}

static void set_headers(struct pd_tx *tx, EnvoyHttpManager *hcm, const struct pd_http_manager *m,
			const Istio__ProxyConfig *pc)
{
	const ProxyHeaders *h = pc->proxy_headers;
	struct pd_arena *a = tx->arena;
	// Outbound says "envoy", which is Envoy's own default.
	if (m->class != PD_CLASS_SIDECAR_OUTBOUND)
		hcm->server_name = "istio-envoy";
	if (m->class != PD_CLASS_SIDECAR_OUTBOUND)
		set_client_cert(tx, hcm, m, pc);
	if (!h)
		return;
	if (h->server && on(h->server->disabled)) {
		hcm->server_name = "";
		hcm->server_header_transformation = HCM(SERVER_HEADER_TRANSFORMATION__PASS_THROUGH);
	} else if (h->server && !pd_empty(h->server->value)) {
		hcm->server_name = h->server->value;
	}
	if (h->request_id && on(h->request_id->disabled))
		hcm->generate_request_id = pb_bool(a, false);
	hcm->append_x_forwarded_port = h->x_forwarded_port && on(h->x_forwarded_port->enabled);
	if (on(h->preserve_http1_header_case))
		preserve_case(a, hcm);
}

// ---- paths -----------------------------------------------------------------------------------------------------------------

static void set_normalization(struct pd_tx *tx, EnvoyHttpManager *hcm)
{
	const Istio__MeshConfig__ProxyPathNormalization *p = tx_mesh(tx)->path_normalization;
	Istio__MeshConfig__ProxyPathNormalization__NormalizationType type =
		p ? p->normalization : ISTIO__MESH_CONFIG__PROXY_PATH_NORMALIZATION__NORMALIZATION_TYPE__DEFAULT;
	bool decode =
		type == ISTIO__MESH_CONFIG__PROXY_PATH_NORMALIZATION__NORMALIZATION_TYPE__DECODE_AND_MERGE_SLASHES;
	hcm->normalize_path =
		pb_bool(tx->arena, type != ISTIO__MESH_CONFIG__PROXY_PATH_NORMALIZATION__NORMALIZATION_TYPE__NONE);
	hcm->merge_slashes =
		decode || type == ISTIO__MESH_CONFIG__PROXY_PATH_NORMALIZATION__NORMALIZATION_TYPE__MERGE_SLASHES;
	hcm->path_with_escaped_slashes_action = decode ? HCM(PATH_WITH_ESCAPED_SLASHES_ACTION__UNESCAPE_AND_FORWARD)
						       : HCM(PATH_WITH_ESCAPED_SLASHES_ACTION__KEEP_UNCHANGED);
}

// ---- connection settings: what the user says beats what was set before ------------------------------------------------------

static Envoy__Config__Core__V3__HttpProtocolOptions *common_options(struct pd_arena *a, EnvoyHttpManager *hcm)
{
	if (!hcm->common_http_protocol_options)
		hcm->common_http_protocol_options =
			pb_new(a, &envoy__config__core__v3__http_protocol_options__descriptor);
	return hcm->common_http_protocol_options;
}

static Google__Protobuf__UInt32Value *unsigned_value(struct pd_arena *a, const Google__Protobuf__Int32Value *v)
{
	return v && v->value >= 0 ? pb_u32(a, (uint32_t)v->value) : NULL;
}

static void apply_http2(struct pd_arena *a, EnvoyHttpManager *hcm, const ConnectionSettings *s)
{
	if (!s->http_max_concurrent_streams && !s->http2_initial_stream_window_size &&
	    !s->http2_initial_connection_window_size)
		return;
	if (!hcm->http2_protocol_options)
		hcm->http2_protocol_options = pb_new(a, &envoy__config__core__v3__http2_protocol_options__descriptor);
	Envoy__Config__Core__V3__Http2ProtocolOptions *o = hcm->http2_protocol_options;
	o->max_concurrent_streams = unsigned_value(a, s->http_max_concurrent_streams);
	o->initial_stream_window_size = unsigned_value(a, s->http2_initial_stream_window_size);
	o->initial_connection_window_size = unsigned_value(a, s->http2_initial_connection_window_size);
}

static void set_if(Google__Protobuf__Duration **to, Google__Protobuf__Duration *from)
{
	if (from)
		*to = from;
}

static void apply_settings(struct pd_arena *a, EnvoyHttpManager *hcm, const ConnectionSettings *s)
{
	if (s->http_idle_timeout || s->http_max_connection_duration || s->http_max_stream_duration) {
		Envoy__Config__Core__V3__HttpProtocolOptions *o = common_options(a, hcm);
		set_if(&o->idle_timeout, s->http_idle_timeout);
		set_if(&o->max_connection_duration, s->http_max_connection_duration);
		set_if(&o->max_stream_duration, s->http_max_stream_duration);
	}
	set_if(&hcm->stream_idle_timeout, s->http_stream_idle_timeout);
	set_if(&hcm->request_timeout, s->http_request_timeout);
	set_if(&hcm->request_headers_timeout, s->http_request_headers_timeout);
	set_if(&hcm->drain_timeout, s->http_drain_timeout);
	apply_http2(a, hcm, s);
	if (s->http_headers_with_underscores_action) // both enums count the same actions; ours begins with "unspecified"
		common_options(a, hcm)->headers_with_underscores_action = s->http_headers_with_underscores_action - 1;
	if (s->http_merge_slashes)
		hcm->merge_slashes = s->http_merge_slashes->value;
	if (s->http_path_with_escaped_slashes_action)
		hcm->path_with_escaped_slashes_action =
			(int)s->http_path_with_escaped_slashes_action; // the same numbers
}

// ---- all of it -------------------------------------------------------------------------------------------------------------

static void set_protocols(struct pd_tx *tx, EnvoyHttpManager *hcm, const struct pd_http_manager *m)
{
	struct pd_arena *a = tx->arena;
	if (m->class == PD_CLASS_GATEWAY)
		http1_options(a, hcm); // always there
	if (pd_proxy_http10(tx))
		http1_options(a, hcm)->accept_http_10 = true;
	if (m->absolute_url)
		http1_options(a, hcm)->allow_absolute_url = pb_bool(a, true);
	if (m->class == PD_CLASS_SIDECAR_INBOUND && pd_protocol_is_http2(m->protocol))
		hcm->http2_protocol_options = pb_new(a, &envoy__config__core__v3__http2_protocol_options__descriptor);
	Google__Protobuf__Duration *idle = pd_proxy_idle_timeout(tx);
	if (idle)
		common_options(a, hcm)->idle_timeout = idle;
	hcm->stream_idle_timeout = pb_duration(a, 0, 0); // streams may be quiet for as long as they like
}

EnvoyHttpManager *pd_http_manager(struct pd_tx *tx, const struct pd_http_manager *m)
{
	struct pd_arena *a = tx->arena;
	const Istio__ProxyConfig *pc = pd_proxy_config(tx);
	EnvoyHttpManager *hcm = NEW_HCM(a, http_connection_manager);
	PD_ASSERT(tx->view);
	hcm->stat_prefix = (char *)m->stat_prefix;
	hcm->proxy_100_continue = true;
	hcm->use_remote_address = pb_bool(a, m->class == PD_CLASS_GATEWAY);
	if (m->class == PD_CLASS_GATEWAY && pc->gateway_topology)
		hcm->xff_num_trusted_hops = pc->gateway_topology->num_trusted_proxies;
	set_protocols(tx, hcm, m);
	set_headers(tx, hcm, m, pc);
	set_normalization(tx, hcm);
	const ConnectionSettings *settings = pd_connection_settings(tx, pc);
	if (settings)
		apply_settings(a, hcm, settings);
	Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager__UpgradeConfig
		*websocket = NEW_HCM(a, http_connection_manager__upgrade_config);
	websocket->upgrade_type = "websocket";
	PB_PUSH(a, hcm, upgrade_configs, websocket);
	set_routes(a, hcm, m);
	struct pd_access_logs logs = pd_access_logs_http(tx, m->class);
	hcm->access_log = logs.v;
	hcm->n_access_log = logs.n;
	pd_http_tracing(tx, pc, hcm);
	pd_http_filters(tx, m, pc, hcm);
	hcm->request_id_extension = NEW_HCM(a, request_idextension);
	hcm->request_id_extension->typed_config = pd_constant_any(a, PD_EXTENSION_REQUEST_ID);
	return hcm;
}

EnvoyNetworkFilter *pd_http_manager_filter(struct pd_tx *tx, const struct pd_http_manager *m)
{
	return pd_network_filter(tx->arena, PD_HTTP_MANAGER_NAME, pd_http_manager(tx, m));
}

Google__Protobuf__Any *pd_build_http_filter(struct pd_tx *tx, const struct pd_http_slot *slot)
{
	struct pd_http_manager m = {
		.class = PD_CLASS_SIDECAR_OUTBOUND,
		.stat_prefix = slot->stat_prefix,
		.route_name = slot->route_name,
		.protocol = slot->protocol,
		.port = slot->port,
	};
	return pb_any(tx->arena, pd_http_manager(tx, &m));
}
