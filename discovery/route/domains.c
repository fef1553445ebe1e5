// Domains of a service's virtual host: how clients may call it. (reference: §5, "Domains")
#include "discovery/route/domains.h"

#include "api/pb.h"
#include "base/addr.h"
#include "base/str.h"
#include "discovery/listener/proxy.h"

typedef Envoy__Config__Route__V3__VirtualHost EnvVirtualHost;

struct name_list {
	struct pd_arena *a;
	const char **v;
	size_t n, cap;
};

static void add(struct name_list *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (pd_streq(l->v[i], name))
			return;
	pd_vec_push_a(l->a, l, name);
}

static void add_n(struct name_list *l, const char *name, size_t n)
{
	add(l, pd_arena_strndup(l->a, name, n));
}

// ---- by the name of the host -----------------------------------------------------------------------------------------------

// SVC.NS.svc.SUFFIX for a client in X.svc.SUFFIX: resolvers try NS.svc.SUFFIX, svc.SUFFIX and SUFFIX in turn.
static void add_kubernetes(struct name_list *l, const char *host, const char *domain, size_t domain_ns)
{
	const char *svc = strstr(host, ".svc."), *dot = strchr(host, '.');
	if (!svc || dot >= svc)
		return;
	size_t ns = (size_t)(svc - dot - 1);
	// "*" alone, of a wildcard in the own namespace, would stand for every host there is.
	if (ns == domain_ns && strncmp(dot + 1, domain, ns) == 0 && !(host[0] == '*' && dot == host + 1))
		add_n(l, host, (size_t)(dot - host));
	add_n(l, host, (size_t)(svc - host));
	add_n(l, host, (size_t)(svc - host) + strlen(".svc"));
}

static size_t count_labels(const char *s, size_t n)
{
	size_t labels = n > 0;
	for (size_t i = 0; i < n; i++)
		labels += s[i] == '.';
	return labels;
}

// Where the labels begin that both names end with: an offset in `host`, strlen(host) if there are none.
static size_t shared_suffix(const char *host, const char *domain)
{
	size_t h = strlen(host), d = strlen(domain), from = h, same = 0;
	while (same < h && same < d && host[h - 1 - same] == domain[d - 1 - same]) {
		same++;
		bool host_label = same == h || host[h - 1 - same] == '.';
		bool domain_label = same == d || domain[d - 1 - same] == '.';
		if (host_label && domain_label)
			from = h - same;
	}
	return from;
}

// Elsewhere: the labels that are the host's own; with two (so one of them may be a namespace) also one of the shared ones.
static void add_unshared(struct name_list *l, const char *host, const char *domain)
{
	size_t from = shared_suffix(host, domain);
	if (from == 0 || !host[from])
		return;
	add_n(l, host, from - 1);
	if (count_labels(host, from - 1) == 2)
		add_n(l, host, from + strcspn(host + from, "."));
}

static void add_host(struct name_list *l, const char *host, const char *domain)
{
	const char *svc = strstr(domain, ".svc.");
	add(l, host);
	if (pd_is_ip(host))
		return;
	add(l, pd_arena_printf(l->a, "%s.", host));
	// In a cluster, short forms of other names than those of its services could be taken for services.
	if (!svc)
		add_unshared(l, host, domain);
	else if (pd_has_suffix(host, svc))
		add_kubernetes(l, host, domain, (size_t)(svc - domain));
}

// ---- by address ------------------------------------------------------------------------------------------------------------

static bool family_fits(const struct pd_tx *tx, const char *ip)
{
	return strchr(ip, ':') ? tx->key->ipv6 : tx->key->ipv4;
}

static void add_address(struct name_list *l, const char *ip)
{
	if (!pd_streq(ip, "0.0.0.0"))
		add(l, ip);
}

static void add_addresses(struct pd_tx *tx, const struct pd_service *svc, struct name_list *l)
{
	if (svc->n_vips && !svc->kubernetes) { // each address makes a service of its own; the last has the virtual host
		add_address(l, svc->vips[svc->n_vips - 1]);
		return;
	}
	// Without dual stack a service is known by its first address only.
	for (size_t i = 0; i < svc->n_vips && (i == 0 || tx->snap->settings->dual_stack); i++)
		if (family_fits(tx, svc->vips[i]))
			add_address(l, svc->vips[i]);
	for (size_t i = 0; !svc->n_vips && pd_proxy_uses_auto_vips(tx) && i < svc->n_auto_vips; i++) {
		if (family_fits(tx, svc->auto_vips[i])) {
			add_address(l, svc->auto_vips[i]);
			return;
		}
	}
}

// ---- together --------------------------------------------------------------------------------------------------------------

static struct name_list names_of(struct pd_tx *tx, const struct pd_service *svc)
{
	struct name_list l = {.a = tx->arena};
	add_host(&l, svc->host, tx->key->dns_domain);
	for (size_t i = 0; i < svc->n_aliases; i++)
		add_host(&l, svc->aliases[i], tx->key->dns_domain);
	if (svc->kubernetes && svc->resolution == PD_RES_PASSTHROUGH) { // headless: pods have names below the service's
		size_t n = l.n;
		for (size_t i = 0; i < n; i++)
			add(&l, pd_arena_printf(tx->arena, "*.%s", l.v[i]));
	}
	add_addresses(tx, svc, &l);
	return l;
}

char *pd_host_port(struct pd_arena *a, const char *host, uint32_t port)
{
	return pd_arena_printf(a, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}

void pd_bare_domain(struct pd_tx *tx, const char *host, EnvVirtualHost *vh)
{
	PB_PUSH(tx->arena, vh, domains, strchr(host, ':') ? pd_arena_printf(tx->arena, "[%s]", host) : (char *)host);
}

void pd_service_domains(struct pd_tx *tx, const struct pd_service *svc, EnvVirtualHost *vh)
{
	struct name_list l = names_of(tx, svc);
	for (size_t i = 0; i < l.n; i++)
		pd_bare_domain(tx, l.v[i], vh);
}

void pd_service_domains_with_port(struct pd_tx *tx, const struct pd_service *svc, uint32_t port, bool bare,
				  EnvVirtualHost *vh)
{
	struct name_list l = names_of(tx, svc);
	for (size_t i = 0; i < l.n; i++) {
		if (bare)
			pd_bare_domain(tx, l.v[i], vh);
		PB_PUSH(tx->arena, vh, domains, pd_host_port(tx->arena, l.v[i], port));
	}
}
