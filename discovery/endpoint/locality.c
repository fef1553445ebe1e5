// Locality load balancing: which endpoints come first for a proxy, by where both are.
//
// Priorities are worked out as sparse numbers and then made dense (0, 1, 2, ...), as Envoy wants them.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "discovery/endpoint/endpoint.h"

// Names of labels that stand for a place.
#define LABEL_NETWORK "topology.istio.io/network"
#define LABEL_CLUSTER "topology.istio.io/cluster"
#define LABEL_REGION "topology.kubernetes.io/region"
#define LABEL_ZONE "topology.kubernetes.io/zone"
#define LABEL_SUBZONE "topology.istio.io/subzone"
#define LABEL_HOSTNAME "kubernetes.io/hostname"

typedef Istio__LocalityLoadBalancerSetting LocalitySetting;
typedef Istio__ZoneAwareLoadBalancerSetting ZoneAwareSetting;

// ---- places ----------------------------------------------------------------------------------------------------------------

struct place {
	const char *region, *zone, *subzone; // never NULL
};

static struct place place_of(struct pd_arena *a, const char *label)
{
	struct place p = {"", "", ""};
	const char **part[] = {&p.region, &p.zone, &p.subzone};
	for (size_t i = 0; i < 3 && *label; i++) {
		size_t n = strcspn(label, "/");
		*part[i] = pd_arena_strndup(a, label, n);
		label += n + (label[n] == '/');
	}
	return p;
}

Envoy__Config__Core__V3__Locality *pd_locality_message(struct pd_arena *a, const char *label)
{
	struct place p = place_of(a, label);
	Envoy__Config__Core__V3__Locality *m =
		PB_NEW(a, Envoy__Config__Core__V3__Locality, envoy__config__core__v3__locality);
	m->region = (char *)p.region;
	m->zone = (char *)p.zone;
	m->sub_zone = (char *)p.subzone;
	return m;
}

static bool part_matches(const char *rule, const char *part, bool empty_is_any)
{
	return pd_streq(rule, "*") || (empty_is_any && !*rule) || pd_streq(rule, part);
}

// "region/zone/*" and the like.
static bool place_matches(struct pd_arena *a, const struct place *p, const char *rule)
{
	struct place r = place_of(a, rule);
	return part_matches(r.region, p->region, false) && part_matches(r.zone, p->zone, true) &&
	       part_matches(r.subzone, p->subzone, true);
}

// 0: same subzone, 1: same zone, 2: same region, 3: elsewhere.
static uint32_t distance(const struct place *a, const struct place *b)
{
	if (!pd_streq(a->region, b->region))
		return 3;
	if (!pd_streq(a->zone, b->zone))
		return 2;
	return pd_streq(a->subzone, b->subzone) ? 0 : 1;
}

// ---- which setting -----------------------------------------------------------------------------------------------------------

bool pd_zone_aware_enabled(const ZoneAwareSetting *z)
{
	return !z->enabled || z->enabled->value;
}

static const LocalitySetting *by_labels(struct pd_arena *a, const char *const *labels, size_t n)
{
	LocalitySetting *s = PB_NEW(a, LocalitySetting, istio__locality_load_balancer_setting);
	for (size_t i = 0; i < n; i++)
		PB_PUSH(a, s, failover_priority, (char *)labels[i]);
	return s;
}

struct locality_lb pd_locality_lb_of(struct pd_tx *tx, const struct pd_service *svc,
				     const Istio__LoadBalancerSettings *lb)
{
	static const char *const nearest[] = {LABEL_NETWORK, LABEL_REGION, LABEL_ZONE, LABEL_SUBZONE, LABEL_HOSTNAME};
	struct locality_lb out = {0};
	const LocalitySetting *locality = lb ? lb->locality_lb_setting : NULL;
	const Istio__MeshConfig *mesh = tx_mesh(tx);
	if (lb && lb->zone_aware_lb_setting) {
		out.zone_aware = lb->zone_aware_lb_setting;
	} else if (!locality && svc && svc->traffic_distribution) {
		bool node = pd_streq(svc->traffic_distribution, "PreferSameNode");
		out.locality = by_labels(tx->arena, nearest, node ? 5 : 3);
		out.force = true;
	} else if (!locality && mesh->zone_aware_lb_setting) {
		out.zone_aware = mesh->zone_aware_lb_setting;
	} else {
		if (!locality)
			locality = mesh->locality_lb_setting;
		if (locality && (!locality->enabled || locality->enabled->value))
			out.locality = locality;
	}
	return out;
}

// ---- priorities --------------------------------------------------------------------------------------------------------------

static int cmp_u32(const void *x, const void *y)
{
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
	return (a > b) - (a < b);
}

static void make_dense(struct pd_arena *a, struct endpoint_groups *g)
{
	uint32_t *seen = PD_NEWN(a, uint32_t, g->n + 1);
	size_t n = 0;
	for (size_t i = 0; i < g->n; i++)
		seen[i] = g->v[i].msg->priority;
	qsort(seen, g->n, sizeof(seen[0]), cmp_u32);
	for (size_t i = 0; i < g->n; i++)
		if (!n || seen[n - 1] != seen[i])
			seen[n++] = seen[i];
	for (size_t i = 0; i < g->n; i++) {
		uint32_t *p = &g->v[i].msg->priority;
		*p = (uint32_t)((uint32_t *)bsearch(p, seen, n, sizeof(seen[0]), cmp_u32) - seen);
	}
}

struct failover {
	const char *from, *to;
};

// The `to` that is said for a region; NULL if none is.
static const char *failover_to(const struct failover *f, size_t n, const char *region)
{
	for (size_t i = 0; i < n; i++)
		if (pd_streq(f[i].from, region))
			return f[i].to;
	return NULL;
}

// `ranks`: how many different values `rank` gives; ranks refine the priorities that are already there.
static void add_rank(struct endpoint_group *g, uint32_t rank, uint32_t ranks)
{
	g->msg->priority = g->msg->priority * ranks + rank;
}

static void by_distance(struct pd_tx *tx, const struct failover *f, size_t n, struct endpoint_groups *g)
{
	enum { RANKS = 5, NOT_THE_CHOSEN = 4 };
	struct place proxy = place_of(tx->arena, tx_locality(tx));
	const char *to = failover_to(f, n, proxy.region);
	for (size_t i = 0; i < g->n; i++) {
		struct place p = place_of(tx->arena, g->v[i].locality);
		uint32_t rank = distance(&proxy, &p);
		if (rank == 3 && to && !pd_streq(p.region, to))
			rank = NOT_THE_CHOSEN;
		add_rank(&g->v[i], rank, RANKS);
	}
	make_dense(tx->arena, g);
}

// Envoy itself balances between the zones of priority 0: only regions are told apart.
static void by_region(struct pd_tx *tx, const struct failover *f, size_t n, struct endpoint_groups *g)
{
	enum { RANKS = 3, SAME = 0, CHOSEN = 1, OTHER = 2 };
	struct place proxy = place_of(tx->arena, tx_locality(tx));
	const char *to = failover_to(f, n, proxy.region);
	for (size_t i = 0; i < g->n; i++) {
		struct place p = place_of(tx->arena, g->v[i].locality);
		uint32_t rank = pd_streq(p.region, proxy.region) ? SAME : OTHER;
		if (rank == OTHER && to && pd_streq(p.region, to))
			rank = CHOSEN;
		add_rank(&g->v[i], rank, RANKS);
	}
	make_dense(tx->arena, g);
}

// ---- priority by labels --------------------------------------------------------------------------------------------------------

// A label of the proxy. A scope has those that rules name, and those that stand for a place.
static const char *proxy_label(struct pd_tx *tx, const char *key)
{
	const char *own = pd_labels_get(tx->view ? &tx->view->labels : &tx->key->labels, key);
	if (own)
		return own;
	if (pd_streq(key, LABEL_NETWORK))
		return pd_or(tx->key->network, "");
	if (pd_streq(key, LABEL_CLUSTER))
		return pd_or(tx->key->cluster, "");
	if (pd_streq(key, LABEL_HOSTNAME))
		return tx_node(tx);
	if (!pd_streq(key, LABEL_REGION) && !pd_streq(key, LABEL_ZONE) && !pd_streq(key, LABEL_SUBZONE))
		return "";
	struct place p = place_of(tx->arena, tx_locality(tx));
	if (pd_streq(key, LABEL_REGION))
		return p.region;
	return pd_streq(key, LABEL_ZONE) ? p.zone : p.subzone;
}

struct label_rule {
	const char *key, *value; // value: what the proxy has, or what the rule says it is to be
};

static struct label_rule *label_rules(struct pd_tx *tx, char *const *list, size_t n)
{
	struct label_rule *out = PD_NEWN(tx->arena, struct label_rule, n + 1);
	for (size_t i = 0; i < n; i++) {
		const char *eq = strchr(list[i], '=');
		if (eq && !strchr(eq + 1, '=')) {
			out[i].key = pd_arena_strndup(tx->arena, list[i], (size_t)(eq - list[i]));
			out[i].value = eq + 1;
		} else {
			out[i].key = eq ? pd_arena_strndup(tx->arena, list[i], (size_t)(eq - list[i])) : list[i];
			out[i].value = proxy_label(tx, out[i].key);
		}
	}
	return out;
}

// The more of the labels agree, from the first on, the lower the number. A different network does not end the comparison: it
// puts the endpoint behind all of the same network.
static uint32_t label_rank(const struct label_rule *rules, size_t n, const struct pd_endpoint *e)
{
	uint32_t penalty = 0;
	for (size_t i = 0; i < n; i++) {
		if (pd_streq(rules[i].value, pd_or(pd_labels_get(&e->workload->labels, rules[i].key), "")))
			continue;
		if (i == 0 && pd_streq(rules[i].key, LABEL_NETWORK)) {
			penalty = (uint32_t)n;
			continue;
		}
		return penalty + (uint32_t)(n - i);
	}
	return penalty;
}

static void split_group(struct pd_arena *a, const struct endpoint_group *g, const uint32_t *ranks, uint32_t max,
			struct endpoint_groups *out)
{
	for (uint32_t rank = 0; rank <= max; rank++) {
		struct endpoint_group part = {.locality = g->locality};
		uint32_t weight = 0;
		for (size_t i = 0; i < g->from.n; i++) {
			if (ranks[i] != rank)
				continue;
			if (!part.msg) {
				part.msg = PB_NEW(a, EnvoyLocalityLbEndpoints,
						  envoy__config__endpoint__v3__locality_lb_endpoints);
				part.msg->locality = g->msg->locality;
				part.msg->priority = rank;
			}
			EnvoyLbEndpoint *e = g->msg->lb_endpoints[i];
			PB_PUSH(a, part.msg, lb_endpoints, e);
			pd_vec_push_a(a, &part.from, g->from.v[i]);
			weight += e->load_balancing_weight->value;
		}
		if (!part.msg)
			continue;
		part.msg->load_balancing_weight = pb_u32(a, weight);
		pd_vec_push_a(a, out, part);
	}
}

static void by_priority_labels(struct pd_tx *tx, char *const *list, size_t n, struct endpoint_groups *g)
{
	struct label_rule *rules = label_rules(tx, list, n);
	struct endpoint_groups out = {0};
	for (size_t i = 0; i < g->n; i++) {
		const struct endpoint_group *group = &g->v[i];
		uint32_t *ranks = PD_NEWN(tx->arena, uint32_t, group->from.n + 1);
		for (size_t k = 0; k < group->from.n; k++)
			ranks[k] = label_rank(rules, n, group->from.v[k]);
		split_group(tx->arena, group, ranks, 2 * (uint32_t)n, &out);
	}
	*g = out;
	make_dense(tx->arena, g);
}

// ---- distribution --------------------------------------------------------------------------------------------------------------

static int by_specificity(const void *x, const void *y)
{
	const Istio__LocalityLoadBalancerSetting__Distribute__ToEntry *a = *(void *const *)x, *b = *(void *const *)y;
	size_t na = strlen(a->key), nb = strlen(b->key);
	return na != nb ? (na < nb ? 1 : -1) : strcmp(a->key, b->key);
}

static uint32_t weight_of(const struct endpoint_group *g)
{
	return g->msg->load_balancing_weight ? g->msg->load_balancing_weight->value : 1;
}

// Gives the groups that `rule` matches its share, by their own weights. `taken` groups belong to another rule.
static void give_share(struct pd_tx *tx, const char *rule, uint32_t share, struct endpoint_groups *g, bool *taken)
{
	bool *mine = PD_NEWN(tx->arena, bool, g->n + 1);
	uint64_t total = 0;
	for (size_t i = 0; i < g->n; i++) {
		struct place p = place_of(tx->arena, g->v[i].locality);
		mine[i] = !taken[i] && place_matches(tx->arena, &p, rule);
		if (mine[i])
			total += weight_of(&g->v[i]);
	}
	for (size_t i = 0; i < g->n; i++) {
		if (!mine[i])
			continue;
		taken[i] = true;
		double weight = (double)weight_of(&g->v[i]) * share / (double)total;
		if (weight > 0)
			g->v[i].msg->load_balancing_weight = pb_u32(tx->arena, (uint32_t)ceil(weight));
	}
}

static void distribute(struct pd_tx *tx, const LocalitySetting *s, struct endpoint_groups *g)
{
	struct place proxy = place_of(tx->arena, tx_locality(tx));
	for (size_t i = 0; i < s->n_distribute; i++) {
		const Istio__LocalityLoadBalancerSetting__Distribute *d = s->distribute[i];
		if (!place_matches(tx->arena, &proxy, d->from))
			continue;
		bool *taken = PD_NEWN(tx->arena, bool, g->n + 1);
		// A map has no order; the longest pattern first gives each place to the rule that names it best.
		void **to = PD_NEWN(tx->arena, void *, d->n_to + 1);
		for (size_t k = 0; k < d->n_to; k++)
			to[k] = d->to[k];
		qsort(to, d->n_to, sizeof(to[0]), by_specificity);
		for (size_t k = 0; k < d->n_to; k++) {
			const Istio__LocalityLoadBalancerSetting__Distribute__ToEntry *e = to[k];
			give_share(tx, e->key, e->value, g, taken);
		}
		for (size_t k = 0; k < g->n; k++)
			if (!taken[k])
				g->v[k].msg->n_lb_endpoints = 0;
		return;
	}
}

// ---- all of it -----------------------------------------------------------------------------------------------------------------

static void prioritise_by_locality(struct pd_tx *tx, const LocalitySetting *s, bool failover, struct endpoint_groups *g)
{
	if (s->n_distribute) {
		distribute(tx, s, g);
		return;
	}
	if (!failover)
		return;
	struct failover *f = PD_NEWN(tx->arena, struct failover, s->n_failover + 1);
	for (size_t i = 0; i < s->n_failover; i++)
		f[i] = (struct failover){s->failover[i]->from, s->failover[i]->to};
	if (s->n_failover_priority)
		by_priority_labels(tx, s->failover_priority, s->n_failover_priority, g);
	if (s->n_failover || !s->n_failover_priority)
		by_distance(tx, f, s->n_failover, g);
}

void pd_locality_prioritise(struct pd_tx *tx, const struct locality_lb *lb, bool outlier, struct endpoint_groups *g)
{
	if (!g->n)
		return;
	if (lb->locality) {
		prioritise_by_locality(tx, lb->locality, outlier || lb->force, g);
		return;
	}
	const ZoneAwareSetting *z = lb->zone_aware;
	if (!z || !pd_zone_aware_enabled(z) || tx->key->type == PD_NODE_WAYPOINT)
		return;
	struct failover *f = PD_NEWN(tx->arena, struct failover, z->n_failover + 1);
	for (size_t i = 0; i < z->n_failover; i++)
		f[i] = (struct failover){z->failover[i]->from, z->failover[i]->to};
	if (z->n_failover_priority)
		by_priority_labels(tx, z->failover_priority, z->n_failover_priority, g);
	by_region(tx, f, z->n_failover, g);
}
