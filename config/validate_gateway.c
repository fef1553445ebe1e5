// Gateway, ServiceEntry, Service, EndpointSlice: ports and hosts.
#include <strings.h>

#include "config/validate_impl.h"
#include "istio/networking/gateway.pb-c.h"
#include "istio/networking/service_entry.pb-c.h"
#include "k8s/core.pb-c.h"
#include "k8s/discovery.pb-c.h"

// ---- Gateway --------------------------------------------------------------------------------------------------------

static void check_server_tls(struct pd_validation *v, const struct pd_at *at, const Istio__Server *s)
{
	const Istio__ServerTLSSettings *t = s->tls;
	bool credential;

	if (!t) {
		if (s->port && pd_is_tls_protocol(s->port->protocol))
			pd_find_error(v, at, "TLS settings are required for protocol %s", s->port->protocol);
		return;
	}
	credential = !pd_empty(t->credential_name) || t->n_credential_names || t->n_tls_certificates;
	if (t->mode != ISTIO__SERVER_TLSSETTINGS__TLSMODE__SIMPLE &&
	    t->mode != ISTIO__SERVER_TLSSETTINGS__TLSMODE__MUTUAL &&
	    t->mode != ISTIO__SERVER_TLSSETTINGS__TLSMODE__OPTIONAL_MUTUAL)
		return;
	if (credential)
		return;
	if (pd_empty(t->server_certificate))
		pd_find_error(v, PD_AT(at, "serverCertificate"), "required without credentialName");
	if (pd_empty(t->private_key))
		pd_find_error(v, PD_AT(at, "privateKey"), "required without credentialName");
	if (t->mode != ISTIO__SERVER_TLSSETTINGS__TLSMODE__SIMPLE && pd_empty(t->ca_certificates))
		pd_find_error(v, PD_AT(at, "caCertificates"), "required for mutual TLS without credentialName");
}

// HOST or NAMESPACE/HOST.
static void check_gateway_host(struct pd_validation *v, const struct pd_at *at, const char *host)
{
	const char *slash = strchr(host, '/');

	if (slash && (slash == host || strchr(slash + 1, '/')))
		pd_find_error(v, at, "\"%.80s\" is not HOST or NAMESPACE/HOST", host);
	else
		pd_check_host(v, at, slash ? slash + 1 : host, true);
}

void pd_validate_gateway(const ProtobufCMessage *spec_message, struct pd_validation *v)
{
	const Istio__Gateway *gw = (const Istio__Gateway *)spec_message;
	const struct pd_at *spec = PD_AT(NULL, "spec");

	if (!gw->n_servers)
		pd_find_error(v, PD_AT(spec, "servers"), "a server is required");
	for (size_t i = 0; i < gw->n_servers; i++) {
		const Istio__Server *s = gw->servers[i];
		const struct pd_at *at = PD_AT_I(spec, "servers", i), *port = PD_AT(at, "port");

		if (!s->port) {
			pd_find_error(v, port, "a port is required");
		} else {
			pd_check_port(v, PD_AT(port, "number"), s->port->number);
			pd_check_protocol(v, PD_AT(port, "protocol"), s->port->protocol);
			if (pd_empty(s->port->name))
				pd_find_error(v, PD_AT(port, "name"), "a port name is required");
		}
		for (size_t j = 0; s->port && !pd_empty(s->port->name) && j < i; j++)
			if (gw->servers[j]->port && pd_streq(gw->servers[j]->port->name, s->port->name)) {
				pd_find_error(v, PD_AT(port, "name"), "port names must differ, servers[%zu] has it too",
					      j);
				break;
			}
		if (!s->n_hosts)
			pd_find_error(v, PD_AT(at, "hosts"), "a host is required");
		for (size_t h = 0; h < s->n_hosts; h++)
			check_gateway_host(v, PD_AT_I(at, "hosts", h), s->hosts[h]);
		check_server_tls(v, PD_AT(at, "tls"), s);
	}
}

// ---- ServiceEntry ---------------------------------------------------------------------------------------------------

static bool has_port(const Istio__ServiceEntry *se, const char *name)
{
	for (size_t i = 0; i < se->n_ports; i++)
		if (pd_streq(se->ports[i]->name, name))
			return true;
	return false;
}

static void check_entry_ports(struct pd_validation *v, const struct pd_at *spec, const Istio__ServiceEntry *se)
{
	for (size_t i = 0; i < se->n_ports; i++) {
		const struct pd_at *at = PD_AT_I(spec, "ports", i);
		const Istio__ServicePort *p = se->ports[i];

		pd_check_port(v, PD_AT(at, "number"), p->number);
		if (p->target_port)
			pd_check_port(v, PD_AT(at, "targetPort"), p->target_port);
		if (pd_empty(p->name))
			pd_find_error(v, PD_AT(at, "name"), "a port name is required");
		if (!pd_empty(p->protocol))
			pd_check_protocol(v, PD_AT(at, "protocol"), p->protocol);
		for (size_t j = 0; j < i; j++) {
			if (se->ports[j]->number == p->number)
				pd_find_error(v, PD_AT(at, "number"), "ports[%zu] has number %u too", j, p->number);
			if (!pd_empty(p->name) && pd_streq(se->ports[j]->name, p->name))
				pd_find_error(v, PD_AT(at, "name"), "ports[%zu] has the name \"%.60s\" too", j,
					      p->name);
		}
	}
}

static void check_entry_endpoint(struct pd_validation *v, const struct pd_at *at, const Istio__ServiceEntry *se,
				 const Istio__WorkloadEntry *e)
{
	bool unix_path = pd_has_prefix(e->address, "unix://");

	for (size_t i = 0; i < e->n_ports; i++) {
		if (!has_port(se, e->ports[i]->key))
			pd_find_error(v, PD_AT(at, "ports"), "\"%.60s\" is no port of this entry", e->ports[i]->key);
		pd_check_port(v, PD_AT(at, "ports"), e->ports[i]->value);
	}
	if (se->resolution == ISTIO__SERVICE_ENTRY__RESOLUTION__STATIC && !unix_path && !pd_empty(e->address) &&
	    !pd_is_ip(e->address))
		pd_find_error(v, PD_AT(at, "address"), "\"%.80s\" is not an IP address, as resolution STATIC needs",
			      e->address);
	if (pd_empty(e->address) && pd_empty(e->network))
		pd_find_error(v, PD_AT(at, "address"), "an address is required (or a network)");
}

static void check_resolution(struct pd_validation *v, const struct pd_at *spec, const Istio__ServiceEntry *se)
{
	bool dns = se->resolution == ISTIO__SERVICE_ENTRY__RESOLUTION__DNS ||
		   se->resolution == ISTIO__SERVICE_ENTRY__RESOLUTION__DNS_ROUND_ROBIN;

	if (se->resolution == ISTIO__SERVICE_ENTRY__RESOLUTION__NONE && se->n_endpoints)
		pd_find_error(v, PD_AT(spec, "endpoints"), "resolution NONE takes no endpoints");
	if (se->n_endpoints && se->workload_selector)
		pd_find_error(v, PD_AT(spec, "workloadSelector"), "excludes endpoints");
	for (size_t i = 0; dns && !se->n_endpoints && !se->workload_selector && i < se->n_hosts; i++)
		if (strchr(se->hosts[i], '*'))
			pd_find_error(v, PD_AT_I(spec, "hosts", i),
				      "a wildcard cannot be resolved by DNS without endpoints");
	if (se->resolution == ISTIO__SERVICE_ENTRY__RESOLUTION__DNS_ROUND_ROBIN && se->n_endpoints > 1)
		pd_find_error(v, PD_AT(spec, "endpoints"), "resolution DNS_ROUND_ROBIN takes one endpoint");
}

void pd_validate_service_entry(const ProtobufCMessage *spec_message, struct pd_validation *v)
{
	const Istio__ServiceEntry *se = (const Istio__ServiceEntry *)spec_message;
	const struct pd_at *spec = PD_AT(NULL, "spec");

	if (!se->n_hosts)
		pd_find_error(v, PD_AT(spec, "hosts"), "a host is required");
	for (size_t i = 0; i < se->n_hosts; i++) {
		pd_check_host(v, PD_AT_I(spec, "hosts", i), se->hosts[i], true);
		if (!strcmp(se->hosts[i], "*"))
			pd_find_error(v, PD_AT_I(spec, "hosts", i), "\"*\" alone is not possible");
	}
	for (size_t i = 0; i < se->n_addresses; i++)
		if (!pd_is_cidr(se->addresses[i]))
			pd_find_error(v, PD_AT_I(spec, "addresses", i), "\"%.60s\" is not an address or CIDR",
				      se->addresses[i]);
	check_entry_ports(v, spec, se);
	check_resolution(v, spec, se);
	for (size_t i = 0; i < se->n_endpoints; i++)
		check_entry_endpoint(v, PD_AT_I(spec, "endpoints", i), se, se->endpoints[i]);
}

// ---- Kubernetes -----------------------------------------------------------------------------------------------------

void pd_validate_service(const ProtobufCMessage *object, struct pd_validation *v)
{
	const K8s__ServiceSpec *s = ((const K8s__Service *)object)->spec;
	const struct pd_at *spec = PD_AT(NULL, "spec");

	for (size_t i = 0; s && i < s->n_ports; i++) {
		const struct pd_at *at = PD_AT_I(spec, "ports", i);

		pd_check_port(v, PD_AT(at, "port"), s->ports[i]->port < 0 ? 0 : (uint32_t)s->ports[i]->port);
		if (s->ports[i]->targetport && s->ports[i]->targetport->type == 0 &&
		    (s->ports[i]->targetport->intval < 0 || s->ports[i]->targetport->intval > 65535))
			pd_find_error(v, PD_AT(at, "targetPort"), "%d is not in 1..65535",
				      s->ports[i]->targetport->intval);
	}
	if (s && !pd_empty(s->clusterip) && strcmp(s->clusterip, "None") && !pd_is_ip(s->clusterip))
		pd_find_error(v, PD_AT(spec, "clusterIP"), "\"%.60s\" is neither an IP address nor None", s->clusterip);
	for (size_t i = 0; s && i < s->n_clusterips; i++)
		if (strcmp(s->clusterips[i], "None") && !pd_is_ip(s->clusterips[i]))
			pd_find_error(v, PD_AT_I(spec, "clusterIPs", i), "\"%.60s\" is neither an IP address nor None",
				      s->clusterips[i]);
}

void pd_validate_endpoint_slice(const ProtobufCMessage *object, struct pd_validation *v)
{
	const K8s__EndpointSlice *s = (const K8s__EndpointSlice *)object;
	bool fqdn = pd_streq(s->addresstype, "FQDN");

	for (size_t i = 0; i < s->n_endpoints; i++) {
		const struct pd_at *at = PD_AT_I(NULL, "endpoints", i);

		if (!s->endpoints[i]->n_addresses)
			pd_find_error(v, PD_AT(at, "addresses"), "an address is required");
		for (size_t j = 0; !fqdn && j < s->endpoints[i]->n_addresses; j++)
			if (!pd_is_ip(s->endpoints[i]->addresses[j]))
				pd_find_error(v, PD_AT_I(at, "addresses", j), "\"%.60s\" is not an IP address",
					      s->endpoints[i]->addresses[j]);
	}
	for (size_t i = 0; i < s->n_ports; i++)
		if (s->ports[i]->has_port && (s->ports[i]->port < 1 || s->ports[i]->port > 65535))
			pd_find_error(v, PD_AT(PD_AT_I(NULL, "ports", i), "port"), "%d is not in 1..65535",
				      s->ports[i]->port);
}
