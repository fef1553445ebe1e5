// NDS: the name table of an agent's DNS proxy. (reference: §2, §12)
//
// Every visible service with addresses answers to its host name; Kubernetes services also carry their short name and
// namespace, from which the agent makes the names of the client's search domains. A headless service answers with its
// endpoints, and each Pod that has a host name in it with its own address.
#include "api/pb.h"
#include "base/addr.h"
#include "base/str.h"
#include "discovery/build.h"
#include "discovery/listener/proxy.h"
#include "wire/nds.pb-c.h"

typedef Istio__NameTable__NameInfo NameInfo;

static NameInfo *add_entry(struct pd_tx *tx, Istio__NameTable *t, const struct pd_service *svc, const char *host,
			   const char *short_name)
{
	struct pd_arena *a = tx->arena;
	NameInfo *info = PB_NEW(a, NameInfo, istio__name_table__name_info);
	info->registry = svc->kubernetes ? "Kubernetes" : "External";
	if (svc->kubernetes) {
		info->shortname = (char *)short_name;
		info->namespace_ = (char *)svc->ns;
	}
	Istio__NameTable__TableEntry *e = PB_NEW(a, Istio__NameTable__TableEntry, istio__name_table__table_entry);
	e->key = (char *)host;
	e->value = info;
	PB_PUSH(a, t, table, e);
	return info;
}

// A CIDR is no answer, and neither is an address that the client cannot reach.
static bool usable(struct pd_tx *tx, const char *ip)
{
	return pd_is_ip(ip) && (strchr(ip, ':') ? tx->key->ipv6 : tx->key->ipv4);
}

static void add_ip(struct pd_tx *tx, NameInfo *info, const char *ip)
{
	for (size_t i = 0; i < info->n_ips; i++)
		if (pd_streq(info->ips[i], ip))
			return;
	PB_PUSH(tx->arena, info, ips, (char *)ip);
}

static void add_vips(struct pd_tx *tx, Istio__NameTable *t, const struct pd_service *svc)
{
	bool automatic = !svc->n_vips && pd_proxy_uses_auto_vips(tx);
	size_t n = automatic ? svc->n_auto_vips : svc->n_vips;
	const char *const *vips = automatic ? svc->auto_vips : svc->vips;
	NameInfo *info = NULL;
	for (size_t i = 0; i < n; i++) {
		if (!usable(tx, vips[i]))
			continue;
		if (!info)
			info = add_entry(tx, t, svc, svc->host, svc->name);
		add_ip(tx, info, vips[i]);
	}
}

// ---- headless ------------------------------------------------------------------------------------------------------------

static bool answers(struct pd_tx *tx, const struct pd_service *svc, const struct pd_endpoint *e)
{
	const struct pd_workload *w = e->workload;
	bool reachable = pd_empty(tx->key->network) || pd_empty(w->network) || pd_streq(tx->key->network, w->network);
	return usable(tx, e->address) && reachable && (svc->publish_not_ready || e->health == PD_HEALTHY);
}

// "POD.SUBDOMAIN.NS.svc.DOMAIN" of a Pod with a host name of its own.
static void add_pod(struct pd_tx *tx, Istio__NameTable *t, const struct pd_service *svc, const struct pd_endpoint *e)
{
	const char *rest = strchr(svc->host, '.');
	if (pd_empty(e->workload->subdomain) || !rest)
		return;
	const char *short_name =
		pd_arena_printf(tx->arena, "%s.%s", pd_or(e->workload->hostname, ""), e->workload->subdomain);
	const char *host = pd_arena_printf(tx->arena, "%s%s", short_name, rest);
	for (size_t i = t->n_table; i-- && pd_has_suffix(t->table[i]->key, rest);) { // another port or family of it
		if (pd_streq(t->table[i]->key, host)) {
			add_ip(tx, t->table[i]->value, e->address);
			return;
		}
	}
	add_ip(tx, add_entry(tx, t, svc, host, short_name), e->address);
}

static void add_endpoints(struct pd_tx *tx, Istio__NameTable *t, const struct pd_service *svc)
{
	const struct pd_endpoints *eps = tx_endpoints(tx, svc->host);
	NameInfo *info = NULL;
	for (size_t i = 0; eps && svc->n_ports && i < eps->n; i++) {
		const struct pd_endpoint *e = &eps->v[i];
		// As the cluster's own DNS would answer: endpoints of other clusters are not known there.
		if (!answers(tx, svc, e) || !pd_streq(e->workload->cluster, tx->key->cluster))
			continue;
		if (!info)
			info = add_entry(tx, t, svc, svc->host, svc->name);
		add_ip(tx, info, e->address);
	}
	for (size_t i = 0; eps && svc->n_ports && i < eps->n; i++)
		if (answers(tx, svc, &eps->v[i]))
			add_pod(tx, t, svc, &eps->v[i]);
}

static void add_service(struct pd_tx *tx, const struct pd_service *svc, void *arg)
{
	Istio__NameTable *t = arg;
	if (svc->resolution == PD_RES_PASSTHROUGH && !svc->n_vips)
		add_endpoints(tx, t, svc);
	else
		add_vips(tx, t, svc);
}

ProtobufCMessage *pd_build_name_table(struct pd_tx *tx)
{
	if (!tx->key->dns_capture)
		return NULL;
	Istio__NameTable *t = PB_NEW(tx->arena, Istio__NameTable, istio__name_table);
	tx_each_service(tx, add_service, t);
	pb_canonicalise(t);
	return &t->base;
}
