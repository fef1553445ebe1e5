// Which Gateways apply to a proxy, and on which of its ports.
#include <stdlib.h>

#include "base/str.h"
#include "discovery/gateway/gateway.h"

#define SERVICE_KEY "internal.istio.io/gateway-service"
#define PARENT_NS_KEY "internal.istio.io/parent-namespace"
#define SEMANTICS_KEY "internal.istio.io/gateway-semantics"
#define ACCOUNT_KEY "internal.istio.io/service-account-name"
#define NO_TRANSLATION_LABEL "experimental.istio.io/disable-gateway-port-translation"

struct gateway_set {
	const struct pd_object **v;
	size_t n, cap;
};

static void collect(struct pd_tx *tx, struct gateway_set *set, const char *key)
{
	const struct pd_posting *p = tx_posting(tx, PD_IX_GATEWAY_BY_SELECTOR, key);
	for (size_t i = 0; i < p->n; i++)
		pd_vec_push_a(tx->arena, set, p->v[i]);
}

static int cmp_age(const void *x, const void *y)
{
	return pd_object_cmp_age(*(const struct pd_object *const *)x, *(const struct pd_object *const *)y);
}

// Made of Gateway API objects: they name their service in the selector too (discovery/gwapi), so that a proxy need not look
// at all of them.
static struct gateway_set candidates(struct pd_tx *tx, const struct tx_service_targets *services)
{
	const struct pd_labels *labels = &tx->view->labels;
	struct gateway_set set = {0};
	collect(tx, &set, "");
	for (size_t i = 0; i < labels->n; i++)
		collect(tx, &set, pd_arena_printf(tx->arena, "%s=%s", labels->v[i].key, labels->v[i].value));
	for (size_t i = 0; i < services->n; i++)
		collect(tx, &set, pd_arena_printf(tx->arena, SERVICE_KEY "=%s", services->v[i]->host));
	if (set.n)
		qsort(set.v, set.n, sizeof(set.v[0]), cmp_age);
	return set;
}

static bool selects_labels(const Istio__Gateway *g, const struct pd_labels *labels)
{
	for (size_t i = 0; i < g->n_selector; i++) {
		const char *v = pd_labels_get(labels, g->selector[i]->key);
		if (!v || !pd_streq(v, g->selector[i]->value))
			return false;
	}
	return true;
}

// Whether `host` is one of the names in a comma-separated list.
static bool listed(const char *list, const char *host)
{
	size_t n = strlen(host);
	for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
		if (strcspn(p, ",") == n && memcmp(p, host, n) == 0)
			return true;
	return false;
}

static struct tx_service_targets named_services(struct pd_tx *tx, const struct pd_object *gateway, const char *list,
						const struct tx_service_targets *all)
{
	const char *ns = pd_or(pd_object_annotation(gateway, PARENT_NS_KEY), gateway->key.ns);
	struct tx_service_targets out = {0};
	out.v = pd_arena_alloc(tx->arena, (all->n + 1) * sizeof(*out.v));
	for (size_t i = 0; i < all->n; i++)
		if (pd_streq(all->v[i]->ns, ns) && listed(list, all->v[i]->host))
			out.v[out.n++] = all->v[i];
	return out;
}

static void pick(struct pd_tx *tx, const struct pd_object *gateway, const struct tx_service_targets *services,
		 struct pd_gateway_picks *out)
{
	struct pd_gateway_pick p = {.gateway = gateway, .spec = (const Istio__Gateway *)gateway->spec};
	const char *list = pd_object_annotation(gateway, SERVICE_KEY);
	if (list) {
		p.services = named_services(tx, gateway, list, services);
		if (!p.services.n)
			return;
	} else {
		if (!selects_labels(p.spec, &tx->view->labels))
			return;
		p.by_labels = true;
		p.services = *services;
	}
	pd_vec_push_a(tx->arena, out, p);
}

// ---- strict merging ------------------------------------------------------------------------------------------------------

static bool is_gateway_api(const struct pd_object *gateway)
{
	return pd_streq(pd_object_annotation(gateway, SEMANTICS_KEY), "gateway");
}

static bool is_managed(const struct pd_object *gateway)
{
	return is_gateway_api(gateway) && !pd_empty(pd_object_annotation(gateway, ACCOUNT_KEY));
}

static bool beside_managed(const struct pd_gateway_picks *picks, const char *ns)
{
	for (size_t i = 0; i < picks->n; i++)
		if (is_managed(picks->v[i].gateway) && picks->v[i].gateway->key.ns == ns)
			return true;
	return false;
}

static bool any_managed(const struct pd_gateway_picks *picks)
{
	for (size_t i = 0; i < picks->n; i++)
		if (is_managed(picks->v[i].gateway))
			return true;
	return false;
}

// Where a managed gateway of the Gateway API is at work, somebody else's plain Gateway of another namespace must not get at
// its certificates by selecting its Pods.
static struct pd_gateway_picks without_strangers(struct pd_tx *tx, const struct pd_gateway_picks *picks)
{
	struct pd_gateway_picks out = {0};
	if (!any_managed(picks))
		return *picks;
	for (size_t i = 0; i < picks->n; i++) {
		const struct pd_object *g = picks->v[i].gateway;
		if (is_gateway_api(g) || beside_managed(picks, g->key.ns))
			pd_vec_push_a(tx->arena, &out, picks->v[i]);
		else
			tx_issue(tx, g, "spec.selector",
				 "selects a managed gateway of another namespace: ignored there");
	}
	return out;
}

struct pd_gateway_picks pd_gateway_select(struct pd_tx *tx)
{
	struct tx_service_targets services = tx_service_targets(tx);
	struct gateway_set set = candidates(tx, &services);
	struct pd_gateway_picks picks = {0};
	for (size_t i = 0; i < set.n; i++)
		if (i == 0 || set.v[i] != set.v[i - 1])
			pick(tx, set.v[i], &services, &picks);
	return without_strangers(tx, &picks);
}

// ---- ports ---------------------------------------------------------------------------------------------------------------

// A named target port is what the Pods say it is: the endpoints of the service know.
static uint32_t target_port(struct pd_tx *tx, const struct pd_service *svc, const struct pd_port *port)
{
	if (!port->target_name)
		return port->target_port ? port->target_port : port->port;
	const struct pd_endpoints *eps = tx_endpoints(tx, svc->host);
	for (size_t i = 0; eps && i < eps->n; i++)
		if (pd_streq(eps->v[i].port_name, port->name))
			return eps->v[i].port;
	return 0;
}

static void add_number(struct pd_tx *tx, struct pd_gateway_numbers *out, uint32_t number)
{
	for (size_t i = 0; i < out->n; i++)
		if (out->v[i] == number)
			return;
	if (number)
		pd_vec_push_a(tx->arena, out, number);
}

struct pd_gateway_numbers pd_gateway_ports(struct pd_tx *tx, const struct pd_gateway_pick *pick, uint32_t number)
{
	struct pd_gateway_numbers out = {0};
	for (size_t i = 0; i < pick->services.n; i++) {
		const struct pd_service *svc = pick->services.v[i];
		if (pick->by_labels && pd_labels_get(&svc->labels, NO_TRANSLATION_LABEL))
			continue;
		const struct pd_port *port = pd_service_port(svc, number);
		if (port)
			add_number(tx, &out, target_port(tx, svc, port));
		if (port && pick->by_labels && out.n)
			return out; // the first service decides: two target ports for one Gateway would be a guess
	}
	if (!out.n && pick->by_labels)
		add_number(tx, &out, number);
	return out;
}
