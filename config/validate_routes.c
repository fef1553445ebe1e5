// VirtualService.
#include <strings.h>

#include "config/validate_impl.h"
#include "istio/networking/virtual_service.pb-c.h"

static void check_destination(struct pd_validation *v, const struct pd_at *at, const Istio__Destination *d)
{
	if (!d || pd_empty(d->host)) {
		pd_find_error(v, d ? PD_AT(at, "host") : at, "a destination host is required");
		return;
	}
	if (!pd_is_ip(d->host))
		pd_check_host(v, PD_AT(at, "host"), d->host, false);
	if (d->port && d->port->number)
		pd_check_port(v, PD_AT(PD_AT(at, "port"), "number"), d->port->number);
}

// ---- headers --------------------------------------------------------------------------------------------------------

static void check_header_name(struct pd_validation *v, const struct pd_at *at, const char *name, bool authority)
{
	if (pd_empty(name))
		pd_find_error(v, at, "a header name must not be empty");
	else if (*name == ':' && !(authority && !strcasecmp(name, ":authority")))
		pd_find_error(v, at, "\"%.40s\" cannot be changed as a header", name);
	else if (strpbrk(name, " \t\r\n()<>@,;\\\"/[]?={}"))
		pd_find_error(v, at, "\"%.40s\" is not a header name", name);
}

static void check_header_ops(struct pd_validation *v, const struct pd_at *at,
			     const Istio__Headers__HeaderOperations *ops)
{
	if (!ops)
		return;
	for (size_t i = 0; i < ops->n_set; i++)
		check_header_name(v, PD_AT(at, "set"), ops->set[i]->key, true);
	for (size_t i = 0; i < ops->n_add; i++)
		check_header_name(v, PD_AT(at, "add"), ops->add[i]->key, false);
	for (size_t i = 0; i < ops->n_remove; i++)
		check_header_name(v, PD_AT_I(at, "remove", i), ops->remove[i], false);
}

static void check_headers(struct pd_validation *v, const struct pd_at *at, const Istio__Headers *h)
{
	if (!h)
		return;
	check_header_ops(v, PD_AT(PD_AT(at, "headers"), "request"), h->request);
	check_header_ops(v, PD_AT(PD_AT(at, "headers"), "response"), h->response);
}

// ---- parts of an HTTP route -----------------------------------------------------------------------------------------

static void check_match(struct pd_validation *v, const struct pd_at *at, const Istio__HTTPMatchRequest *m)
{
	for (size_t i = 0; i < m->n_headers; i++)
		if (pd_empty(m->headers[i]->key))
			pd_find_error(v, PD_AT(at, "headers"), "a header name must not be empty");
	for (size_t i = 0; i < m->n_without_headers; i++)
		if (pd_empty(m->without_headers[i]->key))
			pd_find_error(v, PD_AT(at, "withoutHeaders"), "a header name must not be empty");
	if (m->port)
		pd_check_port(v, PD_AT(at, "port"), m->port);
}

static void check_percentage(struct pd_validation *v, const struct pd_at *at, const Istio__Percent *p)
{
	if (p)
		pd_check_percent(v, PD_AT(PD_AT(at, "percentage"), "value"), p->value);
}

static void check_fault(struct pd_validation *v, const struct pd_at *at, const Istio__HTTPFaultInjection *f)
{
	if (!f)
		return;
	if (f->delay) {
		const struct pd_at *here = PD_AT(at, "delay");

		check_percentage(v, here, f->delay->percentage);
		pd_check_percent(v, PD_AT(here, "percent"), f->delay->percent);
		if (f->delay->http_delay_type_case == ISTIO__HTTPFAULT_INJECTION__DELAY__HTTP_DELAY_TYPE_FIXED_DELAY)
			pd_check_duration(v, PD_AT(here, "fixedDelay"), f->delay->fixed_delay, true);
	}
	if (f->abort) {
		const struct pd_at *here = PD_AT(at, "abort");

		check_percentage(v, here, f->abort->percentage);
		if (f->abort->error_type_case == ISTIO__HTTPFAULT_INJECTION__ABORT__ERROR_TYPE_HTTP_STATUS &&
		    (f->abort->http_status < 200 || f->abort->http_status > 599))
			pd_find_error(v, PD_AT(here, "httpStatus"), "%d is not in 200..599", f->abort->http_status);
		if (f->abort->error_type_case == ISTIO__HTTPFAULT_INJECTION__ABORT__ERROR_TYPE__NOT_SET)
			pd_find_error(v, here, "one of httpStatus and grpcStatus is required");
	}
}

static void check_redirect(struct pd_validation *v, const struct pd_at *at, const Istio__HTTPRedirect *r)
{
	switch (r->redirect_code) {
	case 0:
	case 301:
	case 302:
	case 303:
	case 307:
	case 308:
		break;
	default:
		pd_find_error(v, PD_AT(at, "redirectCode"), "%u is none of 301, 302, 303, 307, 308", r->redirect_code);
	}
	if (r->redirect_port_case == ISTIO__HTTPREDIRECT__REDIRECT_PORT_PORT)
		pd_check_port(v, PD_AT(at, "port"), r->port);
}

static void check_mirrors(struct pd_validation *v, const struct pd_at *at, const Istio__HTTPRoute *r)
{
	if (r->mirror)
		check_destination(v, PD_AT(at, "mirror"), r->mirror);
	if (r->mirror && r->n_mirrors)
		pd_find_error(v, PD_AT(at, "mirrors"), "mirror and mirrors exclude each other");
	if (r->mirror_percent)
		pd_check_percent(v, PD_AT(at, "mirrorPercent"), r->mirror_percent->value);
	if (r->mirror_percentage)
		pd_check_percent(v, PD_AT(PD_AT(at, "mirrorPercentage"), "value"), r->mirror_percentage->value);
	for (size_t i = 0; i < r->n_mirrors; i++) {
		const struct pd_at *here = PD_AT_I(at, "mirrors", i);

		check_destination(v, PD_AT(here, "destination"), r->mirrors[i]->destination);
		check_percentage(v, here, r->mirrors[i]->percentage);
	}
}

static void check_retries(struct pd_validation *v, const struct pd_at *at, const Istio__HTTPRetry *r)
{
	if (!r)
		return;
	pd_check_not_negative(v, PD_AT(at, "attempts"), r->attempts);
	if (r->attempts == 0 && (r->per_try_timeout || !pd_empty(r->retry_on)))
		pd_find_warning(v, PD_AT(at, "attempts"),
				"0 attempts turn retries off: the other settings have no effect");
	pd_check_duration(v, PD_AT(at, "perTryTimeout"), r->per_try_timeout, true);
	pd_check_duration(v, PD_AT(at, "backoff"), r->backoff, true);
}

// Weights of one list of destinations.
struct weights {
	int64_t total;
	size_t n;
};

static void add_weight(struct pd_validation *v, const struct pd_at *at, struct weights *w, int32_t weight)
{
	pd_check_not_negative(v, PD_AT(at, "weight"), weight);
	w->total += weight;
	w->n++;
}

static void check_weights(struct pd_validation *v, const struct pd_at *at, const struct weights *w)
{
	if (w->n > 1 && w->total == 0)
		pd_find_error(v, PD_AT(at, "route"), "the weights of several destinations must not all be 0");
	if (w->total > UINT32_MAX)
		pd_find_error(v, PD_AT(at, "route"), "the sum of the weights is too large");
}

// What the route does: exactly one of route, redirect, direct response, delegate.
static void check_action(struct pd_validation *v, const struct pd_at *at, const Istio__HTTPRoute *r)
{
	unsigned actions = (r->n_route > 0) + !!r->redirect + !!r->direct_response + !!r->delegate;

	if (!actions)
		pd_find_error(v, at, "one of route, redirect, directResponse and delegate is required");
	else if (actions > 1)
		pd_find_error(v, at, "route, redirect, directResponse and delegate exclude each other");
	if (r->redirect)
		check_redirect(v, PD_AT(at, "redirect"), r->redirect);
	if (r->direct_response && (r->direct_response->status < 200 || r->direct_response->status > 599))
		pd_find_error(v, PD_AT(PD_AT(at, "directResponse"), "status"), "%u is not in 200..599",
			      r->direct_response->status);
	if (r->rewrite && r->redirect)
		pd_find_error(v, PD_AT(at, "rewrite"), "a redirect cannot be rewritten");
	if (r->rewrite && r->rewrite->uri_regex_rewrite && !pd_empty(r->rewrite->uri))
		pd_find_error(v, PD_AT(at, "rewrite"), "uri and uriRegexRewrite exclude each other");
	if (r->fault && r->redirect)
		pd_find_error(v, PD_AT(at, "fault"), "a redirect cannot have faults");
}

static void check_http(struct pd_validation *v, const struct pd_at *at, const Istio__HTTPRoute *r)
{
	struct weights w = {0};

	check_action(v, at, r);
	for (size_t i = 0; i < r->n_match; i++)
		check_match(v, PD_AT_I(at, "match", i), r->match[i]);
	for (size_t i = 0; i < r->n_route; i++) {
		const struct pd_at *here = PD_AT_I(at, "route", i);

		check_destination(v, PD_AT(here, "destination"), r->route[i]->destination);
		check_headers(v, here, r->route[i]->headers);
		add_weight(v, here, &w, r->route[i]->weight);
	}
	check_weights(v, at, &w);
	pd_check_duration(v, PD_AT(at, "timeout"), r->timeout, false);
	check_retries(v, PD_AT(at, "retries"), r->retries);
	check_fault(v, PD_AT(at, "fault"), r->fault);
	check_mirrors(v, at, r);
	check_headers(v, at, r->headers);
	if (r->cors_policy)
		pd_check_duration(v, PD_AT(PD_AT(at, "corsPolicy"), "maxAge"), r->cors_policy->max_age, false);
}

// ---- TLS and TCP ----------------------------------------------------------------------------------------------------

static void check_l4_route(struct pd_validation *v, const struct pd_at *at, Istio__RouteDestination *const *route,
			   size_t n)
{
	struct weights w = {0};

	if (!n)
		pd_find_error(v, PD_AT(at, "route"), "a destination is required");
	for (size_t i = 0; i < n; i++) {
		check_destination(v, PD_AT(PD_AT_I(at, "route", i), "destination"), route[i]->destination);
		add_weight(v, PD_AT_I(at, "route", i), &w, route[i]->weight);
	}
	check_weights(v, at, &w);
}

static void check_subnets(struct pd_validation *v, const struct pd_at *at, char *const *subnets, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!pd_is_cidr(subnets[i]))
			pd_find_error(v, PD_AT_I(at, "destinationSubnets", i), "\"%.60s\" is not an address or CIDR",
				      subnets[i]);
}

static void check_tls(struct pd_validation *v, const struct pd_at *at, const Istio__TLSRoute *r)
{
	if (!r->n_match)
		pd_find_error(v, PD_AT(at, "match"), "a match is required");
	for (size_t i = 0; i < r->n_match; i++) {
		const struct pd_at *here = PD_AT_I(at, "match", i);
		const Istio__TLSMatchAttributes *m = r->match[i];

		if (!m->n_sni_hosts)
			pd_find_error(v, PD_AT(here, "sniHosts"), "an SNI host is required");
		for (size_t h = 0; h < m->n_sni_hosts; h++)
			pd_check_host(v, PD_AT_I(here, "sniHosts", h), m->sni_hosts[h], true);
		check_subnets(v, here, m->destination_subnets, m->n_destination_subnets);
		if (m->port)
			pd_check_port(v, PD_AT(here, "port"), m->port);
	}
	check_l4_route(v, at, r->route, r->n_route);
}

static void check_tcp(struct pd_validation *v, const struct pd_at *at, const Istio__TCPRoute *r)
{
	for (size_t i = 0; i < r->n_match; i++) {
		const struct pd_at *here = PD_AT_I(at, "match", i);

		check_subnets(v, here, r->match[i]->destination_subnets, r->match[i]->n_destination_subnets);
		if (r->match[i]->port)
			pd_check_port(v, PD_AT(here, "port"), r->match[i]->port);
	}
	check_l4_route(v, at, r->route, r->n_route);
}

// ---- the object -----------------------------------------------------------------------------------------------------

static bool on_mesh(const Istio__VirtualService *vs)
{
	for (size_t i = 0; i < vs->n_gateways; i++)
		if (!strcmp(vs->gateways[i], "mesh"))
			return true;
	return !vs->n_gateways;
}

static void check_hosts(struct pd_validation *v, const struct pd_at *spec, const Istio__VirtualService *vs)
{
	for (size_t i = 0; i < vs->n_hosts; i++) {
		const struct pd_at *at = PD_AT_I(spec, "hosts", i);

		if (!pd_is_ip(vs->hosts[i]))
			pd_check_host(v, at, vs->hosts[i], true);
		if (!strcmp(vs->hosts[i], "*") && on_mesh(vs))
			pd_find_error(v, at, "\"*\" is not possible for sidecars (gateway \"mesh\")");
		for (size_t j = 0; j < i; j++)
			if (!strcasecmp(vs->hosts[i], vs->hosts[j])) {
				pd_find_error(v, at, "duplicate of hosts[%zu]", j);
				break;
			}
	}
}

void pd_validate_virtual_service(const ProtobufCMessage *spec_message, struct pd_validation *v)
{
	const Istio__VirtualService *vs = (const Istio__VirtualService *)spec_message;
	const struct pd_at *spec = PD_AT(NULL, "spec");

	if (!vs->n_hosts && (vs->n_gateways || vs->n_tls || vs->n_tcp))
		pd_find_error(v, PD_AT(spec, "hosts"),
			      "a host is required (a delegate without hosts has HTTP routes only and no gateways)");
	if (!vs->n_http && !vs->n_tls && !vs->n_tcp)
		pd_find_error(v, spec, "one of http, tls and tcp is required");
	check_hosts(v, spec, vs);
	for (size_t i = 0; i < vs->n_gateways; i++)
		if (pd_empty(vs->gateways[i]))
			pd_find_error(v, PD_AT_I(spec, "gateways", i), "a gateway name must not be empty");
	for (size_t i = 0; i < vs->n_http; i++)
		check_http(v, PD_AT_I(spec, "http", i), vs->http[i]);
	for (size_t i = 0; i < vs->n_tls; i++)
		check_tls(v, PD_AT_I(spec, "tls", i), vs->tls[i]);
	for (size_t i = 0; i < vs->n_tcp; i++)
		check_tcp(v, PD_AT_I(spec, "tcp", i), vs->tcp[i]);
}
