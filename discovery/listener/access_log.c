#include "discovery/listener/access_log.h"

#include <string.h>

#include "api/codec.h"
#include "base/str.h"
#include "discovery/listener/constants.h"
#include "envoy/config/core/v3/extension.pb-c.h"
#include "envoy/config/core/v3/grpc_service.pb-c.h"
#include "envoy/config/core/v3/substitution_format_string.pb-c.h"
#include "envoy/extensions/access_loggers/file/v3/file.pb-c.h"
#include "envoy/extensions/access_loggers/grpc/v3/als.pb-c.h"

typedef Envoy__Config__Core__V3__SubstitutionFormatString Format;
typedef Envoy__Extensions__AccessLoggers__Grpc__V3__CommonGrpcAccessLogConfig CommonGrpc;

enum log_kind { LOG_HTTP, LOG_TCP, LOG_LISTENER };

// ---- formats: istiod's, so that what reads logs today keeps working -------------------------------------------------------

static const char default_text[] =
	"[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% "
	"%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" "
	"%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" "
	"\"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% "
	"%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% "
	"%ROUTE_NAME%\n";

static const char *const default_json[][2] = {
	{"authority", "%REQ(:AUTHORITY)%"},
	{"bytes_received", "%BYTES_RECEIVED%"},
	{"bytes_sent", "%BYTES_SENT%"},
	{"connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"},
	{"downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"},
	{"downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"},
	{"duration", "%DURATION%"},
	{"method", "%REQ(:METHOD)%"},
	{"path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"},
	{"protocol", "%PROTOCOL%"},
	{"request_id", "%REQ(X-REQUEST-ID)%"},
	{"requested_server_name", "%REQUESTED_SERVER_NAME%"},
	{"response_code", "%RESPONSE_CODE%"},
	{"response_code_details", "%RESPONSE_CODE_DETAILS%"},
	{"response_flags", "%RESPONSE_FLAGS%"},
	{"route_name", "%ROUTE_NAME%"},
	{"start_time", "%START_TIME%"},
	{"upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"},
	{"upstream_host", "%UPSTREAM_HOST%"},
	{"upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"},
	{"upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"},
	{"upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"},
	{"user_agent", "%REQ(USER-AGENT)%"},
	{"x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"},
};

// An operator that only an extension knows.
static bool needs_query_formatter(const char *text)
{
	return text && strstr(text, "%REQ_WITHOUT_QUERY");
}

static void add_query_formatter(struct pd_arena *a, Format *f)
{
	Envoy__Config__Core__V3__TypedExtensionConfig *x =
		pb_new(a, &envoy__config__core__v3__typed_extension_config__descriptor);
	x->name = (char *)pd_constant_name(PD_EXTENSION_REQ_WITHOUT_QUERY);
	x->typed_config = pd_constant_any(a, PD_EXTENSION_REQ_WITHOUT_QUERY);
	PB_PUSH(a, f, formatters, x);
}

static Format *text_format(struct pd_arena *a, const char *text)
{
	Format *f = pb_new(a, &envoy__config__core__v3__substitution_format_string__descriptor);
	if (pd_empty(text))
		text = default_text;
	else if (!pd_has_suffix(text, "\n"))
		text = pd_arena_printf(a, "%s\n", text);
	f->format_case = ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT_SOURCE;
	f->text_format_source = pb_new(a, &envoy__config__core__v3__data_source__descriptor);
	f->text_format_source->specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_STRING;
	f->text_format_source->inline_string = (char *)text;
	if (needs_query_formatter(text))
		add_query_formatter(a, f);
	return f;
}

static Google__Protobuf__Struct *json_fields(struct pd_arena *a, const char *text)
{
	struct pd_codec codec = {.arena = a, .policy = PD_CODEC_LENIENT};
	void *s = NULL;
	if (!pd_empty(text) &&
	    pd_codec_decode_text(&codec, text, strlen(text), &google__protobuf__struct__descriptor, &s) == PD_OK)
		return s;
	Google__Protobuf__Struct *fields = pb_struct_new(a);
	for (size_t i = 0; i < sizeof(default_json) / sizeof(default_json[0]); i++)
		pb_struct_set_string(a, fields, default_json[i][0], default_json[i][1]);
	return fields;
}

static Format *json_format(struct pd_arena *a, const char *text)
{
	Format *f = pb_new(a, &envoy__config__core__v3__substitution_format_string__descriptor);
	f->format_case = ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_JSON_FORMAT;
	f->json_format = json_fields(a, text);
	f->json_format_options = pb_new(a, &envoy__config__core__v3__json_format_options__descriptor);
	for (size_t i = 0; i < f->json_format->n_fields; i++) {
		const Google__Protobuf__Value *v = f->json_format->fields[i]->value;
		if (v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE &&
		    needs_query_formatter(v->string_value)) {
			add_query_formatter(a, f);
			break;
		}
	}
	return f;
}

// ---- loggers ---------------------------------------------------------------------------------------------------------------

static EnvoyAccessLog *access_log(struct pd_arena *a, const char *name, const void *config)
{
	EnvoyAccessLog *l = pb_new(a, &envoy__config__accesslog__v3__access_log__descriptor);
	l->name = (char *)name;
	l->config_type_case = ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG__CONFIG_TYPE_TYPED_CONFIG;
	l->typed_config = pb_any(a, config);
	return l;
}

static EnvoyAccessLog *file_log(struct pd_arena *a, const Istio__MeshConfig *mesh)
{
	Envoy__Extensions__AccessLoggers__File__V3__FileAccessLog *file =
		pb_new(a, &envoy__extensions__access_loggers__file__v3__file_access_log__descriptor);
	file->path = mesh->access_log_file;
	file->access_log_format_case =
		ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_LOG_FORMAT;
	file->log_format = mesh->access_log_encoding == ISTIO__MESH_CONFIG__ACCESS_LOG_ENCODING__JSON
				   ? json_format(a, mesh->access_log_format)
				   : text_format(a, mesh->access_log_format);
	return access_log(a, "envoy.access_loggers.file", file);
}

static CommonGrpc *grpc_common(struct pd_arena *a, const char *log_name)
{
	static const char *const state[] = {"upstream_peer",         "downstream_peer",      "wasm.upstream_peer",
					    "wasm.upstream_peer_id", "wasm.downstream_peer", "wasm.downstream_peer_id"};
	CommonGrpc *c =
		pb_new(a, &envoy__extensions__access_loggers__grpc__v3__common_grpc_access_log_config__descriptor);
	c->log_name = (char *)log_name;
	c->grpc_service = pb_new(a, &envoy__config__core__v3__grpc_service__descriptor);
	c->grpc_service->target_specifier_case = ENVOY__CONFIG__CORE__V3__GRPC_SERVICE__TARGET_SPECIFIER_ENVOY_GRPC;
	c->grpc_service->envoy_grpc = pb_new(a, &envoy__config__core__v3__grpc_service__envoy_grpc__descriptor);
	c->grpc_service->envoy_grpc->cluster_name = "envoy_accesslog_service"; // of the proxy's bootstrap
	c->transport_api_version = ENVOY__CONFIG__CORE__V3__API_VERSION__V3;
	for (size_t i = 0; i < sizeof(state) / sizeof(state[0]); i++)
		PB_PUSH(a, c, filter_state_objects_to_log, (char *)state[i]);
	return c;
}

static EnvoyAccessLog *grpc_log(struct pd_arena *a, enum log_kind kind)
{
	if (kind == LOG_HTTP) {
		Envoy__Extensions__AccessLoggers__Grpc__V3__HttpGrpcAccessLogConfig *http =
			pb_new(a,
			       &envoy__extensions__access_loggers__grpc__v3__http_grpc_access_log_config__descriptor);
		http->common_config = grpc_common(a, "http_envoy_accesslog");
		return access_log(a, "envoy.access_loggers.http_grpc", http);
	}
	Envoy__Extensions__AccessLoggers__Grpc__V3__TcpGrpcAccessLogConfig *tcp =
		pb_new(a, &envoy__extensions__access_loggers__grpc__v3__tcp_grpc_access_log_config__descriptor);
	tcp->common_config = grpc_common(a, kind == LOG_TCP ? "tcp_envoy_accesslog" : "listener_envoy_accesslog");
	return access_log(a, "envoy.tcp_grpc_access_log", tcp);
}

// No filter chain fits: nothing else would log such a connection.
static Envoy__Config__Accesslog__V3__AccessLogFilter *no_chain_filter(struct pd_arena *a)
{
	Envoy__Config__Accesslog__V3__AccessLogFilter *f =
		pb_new(a, &envoy__config__accesslog__v3__access_log_filter__descriptor);
	f->filter_specifier_case =
		ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_RESPONSE_FLAG_FILTER;
	f->response_flag_filter = pb_new(a, &envoy__config__accesslog__v3__response_flag_filter__descriptor);
	PB_PUSH(a, f->response_flag_filter, flags, "NR");
	return f;
}

static struct pd_access_logs mesh_logs(struct pd_tx *tx, enum log_kind kind)
{
	const Istio__MeshConfig *mesh = tx_mesh(tx);
	struct pd_access_logs out = {0};
	if (pd_empty(mesh->access_log_file) && !mesh->enable_envoy_access_log_service)
		return out;
	out.v = pd_arena_alloc(tx->arena, 2 * sizeof(*out.v));
	if (!pd_empty(mesh->access_log_file))
		out.v[out.n++] = file_log(tx->arena, mesh);
	if (mesh->enable_envoy_access_log_service)
		out.v[out.n++] = grpc_log(tx->arena, kind);
	for (size_t i = 0; kind == LOG_LISTENER && i < out.n; i++)
		out.v[i]->filter = no_chain_filter(tx->arena);
	return out;
}

struct pd_access_logs pd_access_logs_http(struct pd_tx *tx, enum pd_listener_class class)
{
	(void)class; // the mesh's setting is one for all
	return mesh_logs(tx, LOG_HTTP);
}

struct pd_access_logs pd_access_logs_tcp(struct pd_tx *tx, enum pd_listener_class class)
{
	(void)class;
	return mesh_logs(tx, LOG_TCP);
}

void pd_access_log_listener(struct pd_tx *tx, EnvoyListener *l, enum pd_listener_class class)
{
	(void)class;
	if (tx_mesh(tx)->disable_envoy_listener_log)
		return;
	struct pd_access_logs logs = mesh_logs(tx, LOG_LISTENER);
	l->access_log = logs.v;
	l->n_access_log = logs.n;
}
