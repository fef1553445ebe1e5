// Connection pool, circuit breakers, keepalive, HTTP/2 upgrade, outlier detection.
#include <limits.h>

#include "discovery/cluster/cluster.h"
#include "envoy/config/cluster/v3/circuit_breaker.pb-c.h"
#include "envoy/config/cluster/v3/outlier_detection.pb-c.h"
#include "envoy/config/common/matcher/v3/matcher.pb-c.h"

enum { RETRY_BUDGET_PERCENT = 20, RETRY_BUDGET_CONCURRENCY = 3, ENFORCE_ALWAYS = 100 };

typedef Istio__ConnectionPoolSettings__TCPSettings TcpSettings;
typedef Istio__ConnectionPoolSettings__HTTPSettings HttpSettings;
typedef Envoy__Type__V3__Percent Percent;

static Percent *percent(struct pd_arena *a, double value)
{
	Percent *p = PB_NEW(a, Percent, envoy__type__v3__percent);
	p->value = value;
	return p;
}

// ---- keepalive ---------------------------------------------------------------------------------------------------------

// An empty keepalive turns it on with the values of the operating system.
static void apply_keepalive(struct cluster *c, const Istio__ConnectionPoolSettings__TCPSettings__TcpKeepalive *k)
{
	struct pd_arena *a = c->tx->arena;
	if (!k)
		return;
	if (!c->msg->upstream_connection_options) {
		c->msg->upstream_connection_options = PB_NEW(a, Envoy__Config__Cluster__V3__UpstreamConnectionOptions,
							     envoy__config__cluster__v3__upstream_connection_options);
		c->msg->upstream_connection_options->tcp_keepalive =
			PB_NEW(a, Envoy__Config__Core__V3__TcpKeepalive, envoy__config__core__v3__tcp_keepalive);
	}
	Envoy__Config__Core__V3__TcpKeepalive *out = c->msg->upstream_connection_options->tcp_keepalive;
	if (k->probes)
		out->keepalive_probes = pb_u32(a, k->probes);
	if (k->time)
		out->keepalive_time = pb_u32(a, (uint32_t)k->time->seconds);
	if (k->interval)
		out->keepalive_interval = pb_u32(a, (uint32_t)k->interval->seconds);
}

// ---- circuit breakers ----------------------------------------------------------------------------------------------------

// 0 in a rule means the default: no limit.
static Google__Protobuf__UInt32Value *limit(struct pd_arena *a, int32_t v)
{
	return pb_u32(a, v > 0 ? (uint32_t)v : UINT32_MAX);
}

static void apply_thresholds(struct cluster *c, const TcpSettings *tcp, const HttpSettings *http,
			     const Istio__TrafficPolicy__RetryBudget *budget)
{
	struct pd_arena *a = c->tx->arena;
	EnvoyThresholds *t = PB_NEW(a, EnvoyThresholds, envoy__config__cluster__v3__circuit_breakers__thresholds);
	t->max_connections = limit(a, tcp ? tcp->max_connections : 0);
	t->max_pending_requests = limit(a, http ? http->http1_max_pending_requests : 0);
	t->max_requests = limit(a, http ? http->http2_max_requests : 0);
	t->max_retries = limit(a, http ? http->max_retries : 0);
	t->track_remaining = !c->tx->snap->settings->disable_track_remaining;
	if (budget) {
		Envoy__Config__Cluster__V3__CircuitBreakers__Thresholds__RetryBudget *b =
			pb_new(a, &envoy__config__cluster__v3__circuit_breakers__thresholds__retry_budget__descriptor);
		b->budget_percent = percent(a, budget->percent ? budget->percent->value : RETRY_BUDGET_PERCENT);
		b->min_retry_concurrency = pb_u32(a, budget->min_retry_concurrency ? budget->min_retry_concurrency
										   : RETRY_BUDGET_CONCURRENCY);
		t->retry_budget = b;
	}
	c->msg->circuit_breakers =
		PB_NEW(a, Envoy__Config__Cluster__V3__CircuitBreakers, envoy__config__cluster__v3__circuit_breakers);
	PB_PUSH(a, c->msg->circuit_breakers, thresholds, t);
}

// ---- HTTP options ----------------------------------------------------------------------------------------------------------

static void apply_http_options(struct cluster *c, const TcpSettings *tcp, const HttpSettings *http)
{
	struct pd_arena *a = c->tx->arena;
	Google__Protobuf__Duration *idle = http ? http->idle_timeout : NULL;
	Google__Protobuf__Duration *life = tcp ? tcp->max_connection_duration : NULL;
	if (!idle && tcp)
		idle = tcp->idle_timeout;
	uint32_t requests = http ? (uint32_t)http->max_requests_per_connection : 0;
	uint32_t streams = http ? (uint32_t)http->max_concurrent_streams : 0;
	const Istio__ConnectionPoolSettings__HTTPSettings__ConnectionKeepalive *keepalive =
		http ? http->http2_keep_alive : NULL;
	if (!idle && !life && !requests && !streams && !keepalive)
		return;
	EnvoyHttpProtocolOptions *o = pd_cluster_http(c);
	if (!o->common_http_protocol_options)
		o->common_http_protocol_options = PB_NEW(a, Envoy__Config__Core__V3__HttpProtocolOptions,
							 envoy__config__core__v3__http_protocol_options);
	if (idle)
		o->common_http_protocol_options->idle_timeout = idle;
	if (life)
		o->common_http_protocol_options->max_connection_duration = life;
	if (requests)
		o->common_http_protocol_options->max_requests_per_connection = pb_u32(a, requests);
	Envoy__Config__Core__V3__Http2ProtocolOptions *http2 = pd_cluster_http2_options(c);
	if (http2 && streams)
		http2->max_concurrent_streams = pb_u32(a, streams);
	if (http2 && keepalive) {
		http2->connection_keepalive = PB_NEW(a, Envoy__Config__Core__V3__KeepaliveSettings,
						     envoy__config__core__v3__keepalive_settings);
		http2->connection_keepalive->interval = keepalive->interval;
		http2->connection_keepalive->timeout = keepalive->timeout;
	}
}

void pd_cluster_apply_pool(struct cluster *c, const Istio__ConnectionPoolSettings *pool,
			   const Istio__TrafficPolicy__RetryBudget *budget)
{
	const TcpSettings *tcp = pool ? pool->tcp : NULL;
	const HttpSettings *http = pool ? pool->http : NULL;
	c->msg->connect_timeout = tx_mesh(c->tx)->connect_timeout;
	if (tcp && tcp->connect_timeout)
		c->msg->connect_timeout = tcp->connect_timeout;
	apply_keepalive(c, tx_mesh(c->tx)->tcp_keepalive);
	if (tcp)
		apply_keepalive(c, tcp->tcp_keepalive);
	apply_thresholds(c, tcp, http, budget);
	apply_http_options(c, tcp, http);
	if (http && http->use_client_protocol)
		pd_cluster_set_downstream_protocol(c);
}

void pd_cluster_apply_h2_upgrade(struct cluster *c, const Istio__ConnectionPoolSettings *pool)
{
	const HttpSettings *http = pool ? pool->http : NULL;
	if (http && http->use_client_protocol)
		return;
	// A rule that asks for it knows what the port speaks; the mesh's wish holds for ports that are declared HTTP.
	bool upgrade = pd_protocol_is_http(c->port->protocol) &&
		       tx_mesh(c->tx)->h2_upgrade_policy == ISTIO__MESH_CONFIG__H2_UPGRADE_POLICY__UPGRADE;
	if (http &&
	    http->h2_upgrade_policy == ISTIO__CONNECTION_POOL_SETTINGS__HTTPSETTINGS__H2_UPGRADE_POLICY__UPGRADE)
		upgrade = true;
	if (http &&
	    http->h2_upgrade_policy == ISTIO__CONNECTION_POOL_SETTINGS__HTTPSETTINGS__H2_UPGRADE_POLICY__DO_NOT_UPGRADE)
		upgrade = false;
	if (upgrade)
		pd_cluster_set_http2(c);
}

// ---- outlier detection -----------------------------------------------------------------------------------------------------

typedef Envoy__Config__Common__Matcher__V3__MatchPredicate Predicate;

static Predicate *status_predicate(struct pd_arena *a, uint32_t code)
{
	Envoy__Type__Matcher__V3__StringMatcher *text =
		PB_NEW(a, Envoy__Type__Matcher__V3__StringMatcher, envoy__type__matcher__v3__string_matcher);
	text->match_pattern_case = ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_EXACT;
	text->exact = pd_arena_printf(a, "%u", code);
	Envoy__Config__Route__V3__HeaderMatcher *header =
		PB_NEW(a, Envoy__Config__Route__V3__HeaderMatcher, envoy__config__route__v3__header_matcher);
	header->name = ":status";
	header->header_match_specifier_case =
		ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_STRING_MATCH;
	header->string_match = text;
	Envoy__Config__Common__Matcher__V3__HttpHeadersMatch *headers =
		PB_NEW(a, Envoy__Config__Common__Matcher__V3__HttpHeadersMatch,
		       envoy__config__common__matcher__v3__http_headers_match);
	PB_PUSH(a, headers, headers, header);
	Predicate *p = PB_NEW(a, Predicate, envoy__config__common__matcher__v3__match_predicate);
	p->rule_case = ENVOY__CONFIG__COMMON__MATCHER__V3__MATCH_PREDICATE__RULE_HTTP_RESPONSE_HEADERS_MATCH;
	p->http_response_headers_match = headers;
	return p;
}

// These status codes count as errors, instead of all 5xx.
static void apply_error_codes(struct cluster *c, const uint32_t *codes, size_t n)
{
	struct pd_arena *a = c->tx->arena;
	if (!n)
		return;
	Predicate *p = status_predicate(a, codes[0]);
	if (n > 1) {
		Envoy__Config__Common__Matcher__V3__MatchPredicate__MatchSet *any =
			pb_new(a, &envoy__config__common__matcher__v3__match_predicate__match_set__descriptor);
		for (size_t i = 0; i < n; i++)
			PB_PUSH(a, any, rules, status_predicate(a, codes[i]));
		p = PB_NEW(a, Predicate, envoy__config__common__matcher__v3__match_predicate);
		p->rule_case = ENVOY__CONFIG__COMMON__MATCHER__V3__MATCH_PREDICATE__RULE_OR_MATCH;
		p->or_match = any;
	}
	EnvoyHttpProtocolOptions *o = pd_cluster_http(c);
	o->outlier_detection =
		pb_new(a,
		       &envoy__extensions__upstreams__http__v3__http_protocol_options__outlier_detection__descriptor);
	o->outlier_detection->error_matcher = p;
}

static Google__Protobuf__UInt32Value *enforcing(struct pd_arena *a, uint32_t threshold)
{
	return pb_u32(a, threshold ? ENFORCE_ALWAYS : 0);
}

void pd_cluster_apply_outlier(struct cluster *c, const Istio__OutlierDetection *o)
{
	struct pd_arena *a = c->tx->arena;
	if (!o)
		return;
	Envoy__Config__Cluster__V3__OutlierDetection *out =
		PB_NEW(a, Envoy__Config__Cluster__V3__OutlierDetection, envoy__config__cluster__v3__outlier_detection);
	out->enforcing_success_rate = pb_u32(a, 0);
	if (o->consecutive_5xx_errors) {
		out->consecutive_5xx = pb_u32(a, o->consecutive_5xx_errors->value);
		out->enforcing_consecutive_5xx = enforcing(a, o->consecutive_5xx_errors->value);
	}
	if (o->consecutive_gateway_errors) {
		out->consecutive_gateway_failure = pb_u32(a, o->consecutive_gateway_errors->value);
		out->enforcing_consecutive_gateway_failure = enforcing(a, o->consecutive_gateway_errors->value);
	}
	out->interval = o->interval;
	out->base_ejection_time = o->base_ejection_time;
	if (o->max_ejection_percent > 0)
		out->max_ejection_percent = pb_u32(a, (uint32_t)o->max_ejection_percent);
	if (o->split_external_local_origin_errors) {
		out->split_external_local_origin_errors = true;
		if (o->consecutive_local_origin_failures && o->consecutive_local_origin_failures->value) {
			out->consecutive_local_origin_failure = pb_u32(a, o->consecutive_local_origin_failures->value);
			out->enforcing_consecutive_local_origin_failure = pb_u32(a, ENFORCE_ALWAYS);
		}
		out->enforcing_local_origin_success_rate = pb_u32(a, 0);
	}
	c->msg->outlier_detection = out;
	// Said even when it is 0: Envoy's default of 50 would send traffic to endpoints that are not ready. Services with a traffic
	// distribution spill over by health and never panic.
	if (c->msg->common_lb_config && o->min_health_percent >= 0)
		c->msg->common_lb_config->healthy_panic_threshold =
			percent(a, c->svc && c->svc->traffic_distribution ? 0 : o->min_health_percent);
	apply_error_codes(c, o->outlier_detection_http_error_codes, o->n_outlier_detection_http_error_codes);
}
