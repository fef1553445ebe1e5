// One endpoint: its message, and whether it takes mTLS.
#include <string.h>

#include "base/addr.h"
#include "base/str.h"
#include "discovery/cluster/dest_rule.h"
#include "discovery/endpoint/endpoint.h"

// ---- mTLS ----------------------------------------------------------------------------------------------------------------

// Here a port's entry without tls does not hide the rule's: only what is said counts.
static const Istio__ClientTLSSettings *policy_tls(const Istio__TrafficPolicy *p, uint32_t port)
{
	for (size_t i = 0; p && i < p->n_port_level_settings; i++) {
		const Istio__TrafficPolicy__PortTrafficPolicy *entry = p->port_level_settings[i];
		if (entry->port && entry->port->number == port && entry->tls)
			return entry->tls;
	}
	return p ? p->tls : NULL;
}

struct endpoint_mtls pd_endpoint_mtls_of(const struct endpoint_query *q)
{
	const Istio__ClientTLSSettings *tls = NULL;
	if (q->dr) {
		const Istio__Subset *subset = *q->subset ? pd_dest_rule_subset(q->dr, q->subset) : NULL;
		if (subset)
			tls = policy_tls(subset->traffic_policy, q->port->port);
		if (!tls && (subset || !*q->subset))
			tls = policy_tls(q->dr->spec->traffic_policy, q->port->port);
	}
	return (struct endpoint_mtls){
		.by_rule = tls != NULL,
		.rule_allows = tls && tls->mode == ISTIO__CLIENT_TLSSETTINGS__TLSMODE__ISTIO_MUTUAL,
	};
}

bool pd_endpoint_has_mtls(struct pd_tx *tx, const struct endpoint_mtls *m, const struct pd_endpoint *e)
{
	if (!e->workload->tls_istio)
		return false;
	if (m->by_rule)
		return m->rule_allows;
	return tx_workload_mtls(tx, e->workload->ns, &e->workload->labels, e->port) != PD_MTLS_DISABLE;
}

// ---- messages ------------------------------------------------------------------------------------------------------------

EnvoyAddress *pd_endpoint_address(struct pd_arena *a, const char *address, uint32_t port)
{
	EnvoyAddress *out = PB_NEW(a, EnvoyAddress, envoy__config__core__v3__address);
	if (*address == '/' || *address == '@' || pd_has_prefix(address, "unix://")) {
		Envoy__Config__Core__V3__Pipe *pipe =
			PB_NEW(a, Envoy__Config__Core__V3__Pipe, envoy__config__core__v3__pipe);
		pipe->path = (char *)(pd_has_prefix(address, "unix://") ? address + strlen("unix://") : address);
		out->address_case = ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE;
		out->pipe = pipe;
		return out;
	}
	EnvoySocketAddress *socket = PB_NEW(a, EnvoySocketAddress, envoy__config__core__v3__socket_address);
	socket->address = (char *)address;
	socket->port_specifier_case = ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE;
	socket->port_value = port;
	out->address_case = ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS;
	out->socket_address = socket;
	return out;
}

static void add_metadata(struct pd_arena *a, EnvoyMetadata *m, const char *key, const char *field, const char *value)
{
	Envoy__Config__Core__V3__Metadata__FilterMetadataEntry *e =
		pb_new(a, &envoy__config__core__v3__metadata__filter_metadata_entry__descriptor);
	e->key = (char *)key;
	e->value = pb_struct_new(a);
	pb_struct_set_string(a, e->value, field, value);
	PB_PUSH(a, m, filter_metadata, e);
}

// "workload;namespace;canonical-name;canonical-revision;cluster": what telemetry says of a server that says nothing itself.
static const char *workload_label(struct pd_arena *a, const struct pd_workload *w)
{
	const char *revision = pd_streq(w->canonical_revision, "latest") ? "" : w->canonical_revision;
	return pd_arena_printf(a, "%s;%s;%s;%s;%s", w->workload_name, w->ns, w->canonical_name, revision, w->cluster);
}

static Envoy__Config__Core__V3__HealthStatus health_of(const struct pd_endpoint *e)
{
	switch (e->health) {
	case PD_HEALTHY:
		return ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__HEALTHY;
	case PD_UNHEALTHY:
		return ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__UNHEALTHY;
	case PD_DRAINING:
		return ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__DRAINING;
	default:
		return ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__UNKNOWN;
	}
}

EnvoyLbEndpoint *pd_endpoint_message(struct pd_tx *tx, const struct pd_endpoint *e, bool mtls)
{
	struct pd_arena *a = tx->arena;
	const struct pd_workload *w = e->workload;
	Envoy__Config__Endpoint__V3__Endpoint *ep =
		PB_NEW(a, Envoy__Config__Endpoint__V3__Endpoint, envoy__config__endpoint__v3__endpoint);
	ep->address = pd_endpoint_address(a, e->address, e->port);
	for (size_t i = 0; tx->snap->settings->dual_stack && i < w->n_ips; i++) {
		if (pd_streq(w->ips[i], e->address))
			continue;
		Envoy__Config__Endpoint__V3__Endpoint__AdditionalAddress *more =
			pb_new(a, &envoy__config__endpoint__v3__endpoint__additional_address__descriptor);
		more->address = pd_endpoint_address(a, w->ips[i], e->port);
		PB_PUSH(a, ep, additional_addresses, more);
	}
	EnvoyLbEndpoint *out = PB_NEW(a, EnvoyLbEndpoint, envoy__config__endpoint__v3__lb_endpoint);
	out->host_identifier_case = ENVOY__CONFIG__ENDPOINT__V3__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT;
	out->endpoint = ep;
	out->health_status = health_of(e);
	out->load_balancing_weight = pb_u32(a, e->weight ? e->weight : 1);
	out->metadata = PB_NEW(a, EnvoyMetadata, envoy__config__core__v3__metadata);
	if (mtls)
		add_metadata(a, out->metadata, "envoy.transport_socket_match", "tlsMode", "istio");
	add_metadata(a, out->metadata, "istio", "workload", workload_label(a, w));
	return out;
}
