// DestinationRule.
#include "config/validate_impl.h"
#include "istio/networking/destination_rule.pb-c.h"

static void check_pool(struct pd_validation *v, const struct pd_at *at, const Istio__ConnectionPoolSettings *p)
{
	const struct pd_at *tcp = PD_AT(at, "tcp"), *http = PD_AT(at, "http");

	if (!p)
		return;
	if (p->tcp) {
		pd_check_not_negative(v, PD_AT(tcp, "maxConnections"), p->tcp->max_connections);
		pd_check_duration(v, PD_AT(tcp, "connectTimeout"), p->tcp->connect_timeout, true);
		pd_check_duration(v, PD_AT(tcp, "maxConnectionDuration"), p->tcp->max_connection_duration, true);
		pd_check_duration(v, PD_AT(tcp, "idleTimeout"), p->tcp->idle_timeout, false);
	}
	if (p->http) {
		pd_check_not_negative(v, PD_AT(http, "http1MaxPendingRequests"), p->http->http1_max_pending_requests);
		pd_check_not_negative(v, PD_AT(http, "http2MaxRequests"), p->http->http2_max_requests);
		pd_check_not_negative(v, PD_AT(http, "maxRequestsPerConnection"), p->http->max_requests_per_connection);
		pd_check_not_negative(v, PD_AT(http, "maxRetries"), p->http->max_retries);
		pd_check_not_negative(v, PD_AT(http, "maxConcurrentStreams"), p->http->max_concurrent_streams);
		pd_check_duration(v, PD_AT(http, "idleTimeout"), p->http->idle_timeout, false);
		if (p->http->use_client_protocol &&
		    p->http->h2_upgrade_policy ==
			    ISTIO__CONNECTION_POOL_SETTINGS__HTTPSETTINGS__H2_UPGRADE_POLICY__UPGRADE)
			pd_find_error(v, PD_AT(http, "useClientProtocol"), "excludes h2UpgradePolicy UPGRADE");
	}
}

static void check_outlier(struct pd_validation *v, const struct pd_at *at, const Istio__OutlierDetection *o)
{
	if (!o)
		return;
	pd_check_duration(v, PD_AT(at, "interval"), o->interval, true);
	pd_check_duration(v, PD_AT(at, "baseEjectionTime"), o->base_ejection_time, true);
	pd_check_percent(v, PD_AT(at, "maxEjectionPercent"), o->max_ejection_percent);
	pd_check_percent(v, PD_AT(at, "minHealthPercent"), o->min_health_percent);
	if (o->consecutive_errors)
		pd_find_warning(v, PD_AT(at, "consecutiveErrors"), "no longer read; use consecutive5xxErrors");
}

static void check_distribute(struct pd_validation *v, const struct pd_at *at,
			     const Istio__LocalityLoadBalancerSetting__Distribute *d)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < d->n_to; i++)
		sum += d->to[i]->value;
	if (sum != 100)
		pd_find_error(v, PD_AT(at, "to"), "the weights add up to %llu, not 100", (unsigned long long)sum);
}

static void check_locality(struct pd_validation *v, const struct pd_at *at, const Istio__LocalityLoadBalancerSetting *l)
{
	if (!l)
		return;
	if ((l->n_distribute > 0) + (l->n_failover > 0) + (l->n_failover_priority > 0) > 1 &&
	    !(l->n_failover && l->n_failover_priority && !l->n_distribute))
		pd_find_error(v, at, "distribute and failover exclude each other");
	for (size_t i = 0; i < l->n_distribute; i++)
		check_distribute(v, PD_AT_I(at, "distribute", i), l->distribute[i]);
	for (size_t i = 0; i < l->n_failover; i++)
		if (pd_streq(l->failover[i]->from, l->failover[i]->to))
			pd_find_error(v, PD_AT_I(at, "failover", i), "from and to are the same");
}

static void check_lb(struct pd_validation *v, const struct pd_at *at, const Istio__LoadBalancerSettings *lb)
{
	if (!lb)
		return;
	if (lb->lb_policy_case == ISTIO__LOAD_BALANCER_SETTINGS__LB_POLICY_CONSISTENT_HASH) {
		const Istio__LoadBalancerSettings__ConsistentHashLB *h = lb->consistent_hash;
		const struct pd_at *here = PD_AT(at, "consistentHash");

		if (h->hash_key_case == ISTIO__LOAD_BALANCER_SETTINGS__CONSISTENT_HASH_LB__HASH_KEY_HTTP_COOKIE) {
			if (pd_empty(h->http_cookie->name))
				pd_find_error(v, PD_AT(PD_AT(here, "httpCookie"), "name"), "a name is required");
			pd_check_duration(v, PD_AT(PD_AT(here, "httpCookie"), "ttl"), h->http_cookie->ttl, false);
		} else if (h->hash_key_case == ISTIO__LOAD_BALANCER_SETTINGS__CONSISTENT_HASH_LB__HASH_KEY__NOT_SET) {
			pd_find_error(v, here,
				      "one of httpHeaderName, httpCookie, useSourceIp and "
				      "httpQueryParameterName is required");
		}
	}
	check_locality(v, PD_AT(at, "localityLbSetting"), lb->locality_lb_setting);
	pd_check_duration(v, PD_AT(at, "warmupDurationSecs"), lb->warmup_duration_secs, false);
}

static void check_tls(struct pd_validation *v, const struct pd_at *at, const Istio__ClientTLSSettings *t)
{
	if (!t || t->mode != ISTIO__CLIENT_TLSSETTINGS__TLSMODE__MUTUAL || !pd_empty(t->credential_name))
		return;
	if (pd_empty(t->client_certificate))
		pd_find_error(v, PD_AT(at, "clientCertificate"), "required for MUTUAL without credentialName");
	if (pd_empty(t->private_key))
		pd_find_error(v, PD_AT(at, "privateKey"), "required for MUTUAL without credentialName");
}

static void check_policy(struct pd_validation *v, const struct pd_at *at, const Istio__TrafficPolicy *p)
{
	if (!p)
		return;
	check_pool(v, PD_AT(at, "connectionPool"), p->connection_pool);
	check_outlier(v, PD_AT(at, "outlierDetection"), p->outlier_detection);
	check_lb(v, PD_AT(at, "loadBalancer"), p->load_balancer);
	check_tls(v, PD_AT(at, "tls"), p->tls);
	if (p->tunnel)
		pd_check_port(v, PD_AT(PD_AT(at, "tunnel"), "targetPort"), p->tunnel->target_port);
	for (size_t i = 0; i < p->n_port_level_settings; i++) {
		const Istio__TrafficPolicy__PortTrafficPolicy *s = p->port_level_settings[i];
		const struct pd_at *here = PD_AT_I(at, "portLevelSettings", i);

		if (s->port)
			pd_check_port(v, PD_AT(PD_AT(here, "port"), "number"), s->port->number);
		else
			pd_find_error(v, PD_AT(here, "port"), "a port is required");
		check_pool(v, PD_AT(here, "connectionPool"), s->connection_pool);
		check_outlier(v, PD_AT(here, "outlierDetection"), s->outlier_detection);
		check_lb(v, PD_AT(here, "loadBalancer"), s->load_balancer);
		check_tls(v, PD_AT(here, "tls"), s->tls);
	}
}

static bool valid_subset(const char *name)
{
	size_t n = strlen(name);

	if (!n || n > 63)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = name[i];
		bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		if (!alnum && ((c != '-' && c != '.' && c != '_') || !i || i + 1 == n))
			return false;
	}
	return true;
}

void pd_validate_destination_rule(const ProtobufCMessage *spec_message, struct pd_validation *v)
{
	const Istio__DestinationRule *dr = (const Istio__DestinationRule *)spec_message;
	const struct pd_at *spec = PD_AT(NULL, "spec");

	pd_check_host(v, PD_AT(spec, "host"), dr->host, true);
	check_policy(v, PD_AT(spec, "trafficPolicy"), dr->traffic_policy);
	for (size_t i = 0; i < dr->n_subsets; i++) {
		const struct pd_at *at = PD_AT_I(spec, "subsets", i);

		if (!valid_subset(dr->subsets[i]->name))
			pd_find_error(v, PD_AT(at, "name"), "\"%.64s\" is not a subset name", dr->subsets[i]->name);
		for (size_t j = 0; j < i; j++)
			if (pd_streq(dr->subsets[i]->name, dr->subsets[j]->name)) {
				pd_find_error(v, PD_AT(at, "name"), "duplicate of subsets[%zu]", j);
				break;
			}
		check_policy(v, PD_AT(at, "trafficPolicy"), dr->subsets[i]->traffic_policy);
	}
}
