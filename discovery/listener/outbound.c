// Outbound listeners of one service port: each service in order of age joins a listener of its address, or gets its own.
//
// Services meet where they have no address of their own (or where listeners are bound to localhost). The first decides what
// kind of listener it is; HTTP and TCP on one listener are told apart by looking at the first bytes; what would match the
// same connections as something older is left out.
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/hash.h"
#include "base/str.h"
#include "discovery/listener/listener.h"

struct entry { // one listener in the making
	struct pd_addresses binds;
	enum pd_protocol protocol; // of the first service; SNIFF once there are HTTP and TCP
	struct chain_vec chains;
};

struct build {
	struct pd_tx *tx;
	uint32_t port;
	bool bind_to_port; // nothing is intercepted: clients call localhost
	struct {
		struct entry *v;
		size_t n, cap;
	} entries;
	uint32_t *index; // by hash of the first address: entry + 1; 0 = free
	size_t index_mask;
};

static bool is_tcp(enum pd_protocol p)
{
	return pd_protocol_is_tcp(p) || pd_protocol_is_tls(p);
}

// ---- listeners by address: a port may have thousands ----------------------------------------------------------------------------

static void index_put(struct build *b, size_t entry)
{
	size_t i = pd_hash_str(b->entries.v[entry].binds.v[0]) & b->index_mask;
	while (b->index[i])
		i = (i + 1) & b->index_mask;
	b->index[i] = (uint32_t)entry + 1;
}

static void add_entry(struct build *b, const struct entry *e)
{
	pd_vec_push_a(b->tx->arena, &b->entries, *e);
	if (b->entries.n * 2 <= b->index_mask) {
		index_put(b, b->entries.n - 1);
		return;
	}
	b->index_mask = b->index_mask ? b->index_mask * 2 + 1 : 15;
	b->index = PD_NEWN(b->tx->arena, uint32_t, b->index_mask + 1);
	for (size_t i = 0; i < b->entries.n; i++)
		index_put(b, i);
}

static struct entry *find(struct build *b, const char *bind)
{
	for (size_t i = pd_hash_str(bind) & b->index_mask; b->index && b->index[i]; i = (i + 1) & b->index_mask)
		if (pd_streq(b->entries.v[b->index[i] - 1].binds.v[0], bind))
			return &b->entries.v[b->index[i] - 1];
	return NULL;
}

// ---- chains of one service -----------------------------------------------------------------------------------------------------

static void http_chain(const struct outbound *o, struct chain_vec *out)
{
	bool wildcard = pd_streq(o->binds.v[0], pd_proxy_wildcards(o->tx).v[0]);
	bool own_route = o->port->protocol == PD_PROTO_SNIFF && !wildcard;
	struct chain c = {.protocol = o->port->protocol};
	// A detected service has its listener, and routes, for itself; declared ones share those of the port.
	c.route_name = own_route ? pd_arena_printf(o->tx->arena, "%s:%u", o->svc->host, o->port->port)
				 : pd_arena_printf(o->tx->arena, "%u", o->port->port);
	// Leave the rest to chains for TCP: other traffic than the service's may have the port.
	c.detect_http = o->port->protocol == PD_PROTO_SNIFF || (wildcard && o->port->protocol != PD_PROTO_HTTP_PROXY);
	pd_vec_push_a(o->tx->arena, out, c);
}

// `http`: with the chain for HTTP, where the protocol can be that.
static void service_chains(const struct outbound *o, bool http, struct chain_vec *out)
{
	if (!pd_protocol_is_http(o->port->protocol))
		pd_outbound_tcp_chains(o, out);
	if (!is_tcp(o->port->protocol) && http)
		http_chain(o, out);
	for (size_t i = 0; i < out->n; i++)
		pd_chain_seal(o->tx->arena, &out->v[i]);
}

// ---- meeting on one listener ---------------------------------------------------------------------------------------------------

// Looking at the first bytes stalls protocols in which the server speaks first.
static bool must_be_alone(enum pd_protocol p)
{
	return p == PD_PROTO_MONGO || p == PD_PROTO_MYSQL;
}

static void merge(const struct outbound *o, struct entry *e, const struct chain_vec *incoming)
{
	for (size_t i = 0; i < incoming->n; i++) {
		bool conflict = false;
		for (size_t k = 0; k < e->chains.n && !conflict; k++)
			conflict = pd_chain_conflicts(&e->chains.v[k], &incoming->v[i]);
		if (!conflict)
			pd_vec_push_a(o->tx->arena, &e->chains, incoming->v[i]);
		else
			tx_issue(o->tx, o->svc->source, "spec.ports",
				 "port %u: an older service listens on %s for the same connections", o->port->port,
				 e->binds.v[0]);
	}
}

static void join(const struct outbound *o, struct entry *e)
{
	enum pd_protocol incoming = o->port->protocol, existing = e->protocol;
	struct chain_vec chains = {0};
	if (pd_protocol_is_http(incoming) && !is_tcp(existing))
		return; // one chain serves all: the hosts are in the routes
	if (incoming != existing && (must_be_alone(incoming) || must_be_alone(existing))) {
		tx_issue(o->tx, o->svc->source, "spec.ports", "port %u: an older service has %s for another protocol",
			 o->port->port, e->binds.v[0]);
		return;
	}
	bool has_http = incoming == PD_PROTO_SNIFF && existing == PD_PROTO_SNIFF;
	service_chains(o, !has_http, &chains);
	if (incoming == PD_PROTO_SNIFF && pd_protocol_is_http(existing)) {
		e->chains = chains;
		e->protocol = PD_PROTO_SNIFF;
		return;
	}
	merge(o, e, &chains);
	if (!is_tcp(incoming) || !is_tcp(existing))
		e->protocol = PD_PROTO_SNIFF;
}

static void add_service(struct build *b, const struct outbound *o)
{
	struct entry *e = find(b, o->binds.v[0]);
	if (e) {
		join(o, e);
		return;
	}
	struct entry fresh = {.binds = o->binds, .protocol = o->port->protocol};
	service_chains(o, true, &fresh.chains);
	if (fresh.chains.v[0].detect_http)
		fresh.protocol = PD_PROTO_SNIFF;
	add_entry(b, &fresh);
}

// ---- addresses of a service ----------------------------------------------------------------------------------------------------

static bool family_fits(const struct pd_tx *tx, const char *address)
{
	return strchr(address, ':') ? tx->key->ipv6 : tx->key->ipv4;
}

static struct pd_addresses addresses(const struct names *n)
{
	return (struct pd_addresses){n->n, n->v};
}

// What a Kubernetes Service, or one with automatic addresses, is known by: its first address that the proxy can use, with
// dual stack the others too.
static struct names cluster_addresses(struct pd_tx *tx, const struct pd_service *svc)
{
	struct pd_arena *a = tx->arena;
	struct names out = {0};
	bool automatic = !svc->n_vips && pd_proxy_uses_auto_vips(tx);
	bool several = automatic || tx->snap->settings->dual_stack;
	size_t n = automatic ? svc->n_auto_vips : svc->n_vips;
	const char *const *v = automatic ? svc->auto_vips : svc->vips;
	for (size_t i = 0; i < n && (several || !out.n); i++)
		if (family_fits(tx, v[i]))
			pd_vec_push_a(a, &out, v[i]);
	if (!out.n && svc->n_vips) // of another family: better than none
		pd_vec_push_a(a, &out, svc->vips[0]);
	return out;
}

static void on_addresses(struct build *b, struct outbound *o, const struct names *known)
{
	struct pd_addresses wildcards = pd_proxy_wildcards(b->tx);
	bool any_http = pd_protocol_is_http(o->port->protocol), range = known->n && strchr(known->v[0], '/');
	o->cidrs = (struct names){0};
	o->address = known->n ? known->v[0] : o->svc->kubernetes ? "0.0.0.0" : wildcards.v[0];
	if (b->bind_to_port) {
		o->binds = pd_proxy_localhosts(b->tx);
	} else if (any_http) {
		o->binds = wildcards;
	} else if (range) {
		o->binds = wildcards;
		o->cidrs = *known;
	} else if (known->n) {
		o->binds = addresses(known);
	} else {
		struct names one = {0};
		pd_vec_push_a(b->tx->arena, &one, o->address);
		o->binds = o->svc->kubernetes ? addresses(&one) : wildcards;
	}
	add_service(b, o);
}

// Each pod of a headless service is called by its own address. Where endpoints cannot be known (a host that clients resolve
// themselves) all addresses have to do.
static void on_endpoints(struct build *b, struct outbound *o)
{
	const struct pd_endpoints *all = tx_endpoints(b->tx, o->svc->host);
	size_t n = 0;
	o->address = "0.0.0.0";
	for (size_t i = 0; all && i < all->n; i++) {
		const struct pd_endpoint *e = &all->v[i];
		if (!pd_streq(e->port_name, o->port->name) || e->source->key.ns != o->svc->ns)
			continue;
		n++;
		if (!pd_is_ip(e->address))
			continue;
		struct names one = {0};
		pd_vec_push_a(b->tx->arena, &one, pd_arena_strdup(b->tx->arena, e->address));
		o->binds = addresses(&one);
		add_service(b, o);
	}
	struct names none = {0};
	if (!n && !o->svc->kubernetes && !o->svc->selector.n)
		on_addresses(b, o, &none);
}

static void add_port(struct build *b, const struct pd_service *svc, const struct pd_port *port)
{
	struct outbound o = {.tx = b->tx, .svc = svc, .port = port};
	if (svc->resolution == PD_RES_ALIAS || port->protocol == PD_PROTO_UDP)
		return;
	const char *bind = b->bind_to_port ? pd_proxy_localhosts(b->tx).v[0] : "";
	if (!pd_proxy_can_bind(b->tx, bind, port->port, pd_protocol_is_http(port->protocol), b->bind_to_port, true))
		return;
	tx_use(b->tx, svc->source);
	if (!svc->kubernetes && svc->n_vips) {                // each address of a ServiceEntry is a service of its own
		size_t n = b->bind_to_port ? 1 : svc->n_vips; // on localhost all are one
		for (size_t i = 0; i < n; i++) {
			struct names one = {0};
			pd_vec_push_a(b->tx->arena, &one, svc->vips[i]);
			on_addresses(b, &o, &one);
		}
		return;
	}
	struct names known = cluster_addresses(b->tx, svc);
	if (!b->bind_to_port && !known.n && svc->resolution == PD_RES_PASSTHROUGH &&
	    !pd_protocol_is_http(port->protocol) && !pd_protocol_is_tls(port->protocol))
		on_endpoints(b, &o);
	else
		on_addresses(b, &o, &known);
}

// ---- messages ------------------------------------------------------------------------------------------------------------------

static void add_listener_filters(struct build *b, EnvoyListener *l, const struct entry *e)
{
	struct pd_arena *a = b->tx->arena;
	bool tls = false, http = false;
	for (size_t i = 0; i < e->chains.n; i++) {
		tls |= e->chains.v[i].sni.n || e->chains.v[i].needs_sni;
		http |= e->chains.v[i].detect_http;
	}
	if (tls)
		pd_listener_add_filter(a, l, PD_LISTENER_TLS_INSPECTOR);
	if (http)
		pd_listener_add_filter(a, l, PD_LISTENER_HTTP_INSPECTOR);
	// A server that speaks first must not wait for the client; only detection may be given a time.
	l->listener_filters_timeout = http ? tx_mesh(b->tx)->protocol_detection_timeout : pb_duration(a, 0, 0);
}

static EnvoyFilterChain *passthrough_chain(struct build *b)
{
	EnvoyFilterChain *fc = pb_new(b->tx->arena, &envoy__config__listener__v3__filter_chain__descriptor);
	struct pd_filter_vec filters = {0};
	pd_tcp_filters_plain(b->tx, PD_CLASS_SIDECAR_OUTBOUND, pd_proxy_catch_all_cluster(b->tx), &filters);
	fc->name = "PassthroughFilterChain";
	fc->filter_chain_match = pd_match_new(b->tx->arena);
	for (size_t i = 0; i < filters.n; i++)
		PB_PUSH(b->tx->arena, fc, filters, filters.v[i]);
	return fc;
}

// A place for a connection manager, which depends on the view.
static void add_slot(struct build *b, struct pd_listener_template *t, EnvoyFilterChain *fc, uint32_t index,
		     const struct chain *c)
{
	EnvoyNetworkFilter *f = pb_new(b->tx->arena, &envoy__config__listener__v3__filter__descriptor);
	f->name = PD_HTTP_MANAGER_NAME;
	t->http[t->n_http++] = (struct pd_http_slot){
		.chain = index,
		.filter = (uint32_t)fc->n_filters,
		.route_name = c->route_name,
		.stat_prefix = pd_arena_printf(b->tx->arena, "outbound_%s;", t->msg->name),
		.protocol = c->protocol,
		.port = b->port,
	};
	PB_PUSH(b->tx->arena, fc, filters, f);
}

// A chain that matches everything would beat more specific ones that fit in part: it becomes the default chain.
static void add_chains(struct build *b, struct pd_listener_template *t, const struct entry *e)
{
	EnvoyListener *l = t->msg;
	struct pd_arena *a = b->tx->arena;
	const struct chain *all = NULL;
	for (size_t i = 0; i < e->chains.n; i++)
		if (pd_chain_matches_all(&e->chains.v[i]))
			all = &e->chains.v[i];
	for (size_t i = 0; i < e->chains.n; i++) {
		const struct chain *c = &e->chains.v[i];
		if (pd_chain_matches_all(c))
			continue;
		EnvoyFilterChain *fc = pd_chain_build(b->tx, c);
		if (c->route_name)
			add_slot(b, t, fc, (uint32_t)l->n_filter_chains, c);
		PB_PUSH(a, l, filter_chains, fc);
	}
	if (!all) {
		l->default_filter_chain = passthrough_chain(b);
		return;
	}
	EnvoyFilterChain *fc = pd_chain_build(b->tx, all);
	if (all->route_name)
		add_slot(b, t, fc, l->n_filter_chains ? UINT32_MAX : 0, all);
	if (l->n_filter_chains)
		l->default_filter_chain = fc;
	else
		PB_PUSH(a, l, filter_chains, fc);
}

static struct pd_listener_template template_of(struct build *b, const struct entry *e)
{
	struct pd_arena *a = b->tx->arena;
	const char *name = pd_listener_name(a, e->binds.v[0], b->port);
	EnvoyListener *l = pd_listener_new(b->tx, name, e->binds, b->port);
	struct pd_listener_template t = {.msg = l, .http = PD_NEWN(a, struct pd_http_slot, e->chains.n)};
	l->traffic_direction = ENVOY__CONFIG__CORE__V3__TRAFFIC_DIRECTION__OUTBOUND;
	l->continue_on_listener_filters_timeout = true;
	if (b->bind_to_port)
		pd_listener_accept_evenly(a, l);
	else
		l->bind_to_port = pb_bool(a, false);
	add_listener_filters(b, l, e);
	add_chains(b, &t, e);
	return t;
}

void pd_build_port_listeners(struct pd_tx *tx, uint32_t port, const struct pd_service *const *svcs, size_t n,
			     struct pd_template_vec *out)
{
	struct build b = {.tx = tx, .port = port, .bind_to_port = tx->key->interception == PD_INTERCEPT_NONE};
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < svcs[i]->n_ports; k++)
			if (svcs[i]->ports[k].port == port)
				add_port(&b, svcs[i], &svcs[i]->ports[k]);
	for (size_t i = 0; i < b.entries.n; i++)
		pd_vec_push_a(tx->arena, out, template_of(&b, &b.entries.v[i]));
}
