// Domains of a service's virtual host: how clients may call it. (reference: §5, "Domains")
#include "discovery/route/domains.h"

#include "api/pb.h"
#include "base/addr.h"
#include "base/str.h"

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

static size_t labels_of(struct pd_arena *a, const char *host, const char ***out)
{
	struct name_list l = {.a = a};
	for (const char *s = host;; s++) {
		size_t n = strcspn(s, ".");
		pd_vec_push_a(a, &l, pd_arena_strndup(a, s, n));
		s += n;
		if (!*s)
			break;
	}
	*out = l.v;
	return l.n;
}

static const char *join(struct pd_arena *a, const char **v, size_t n)
{
	const char *out = n ? v[0] : "";
	for (size_t i = 1; i < n; i++)
		out = pd_arena_printf(a, "%s.%s", out, v[i]);
	return out;
}

// Names by what host and the proxy's own domain share at the end: what a resolver with the pod's search list accepts.
static void add_shared_suffix(struct name_list *l, const char *host, const char *domain)
{
	const char **h, **d;
	size_t nh = labels_of(l->a, host, &h), nd = labels_of(l->a, domain, &d), shared = 0;
	while (shared < nh && shared < nd && pd_streq(h[nh - 1 - shared], d[nd - 1 - shared]))
		shared++;
	if (!shared)
		return;
	if (shared == nh) // the domain itself, or one above it
		return;
	size_t unique = nh - shared;
	for (size_t k = 0; k < shared; k++)
		add(l, join(l->a, h, unique + k));
}

// "svc.ns.svc.SUFFIX" with the proxy in "X.svc.SUFFIX": short forms by namespace.
static bool add_kubernetes(struct name_list *l, const char *host, const char *domain)
{
	const char *suffix = strstr(domain, ".svc.");
	if (!suffix || !pd_has_suffix(host, suffix))
		return false;
	size_t n = strlen(host) - strlen(suffix);
	const char *head = pd_arena_strndup(l->a, host, n), *dot = strchr(head, '.');
	if (!dot || strchr(dot + 1, '.'))
		return false;
	size_t domain_ns = (size_t)(suffix - domain);
	if (strlen(dot + 1) == domain_ns && strncmp(dot + 1, domain, domain_ns) == 0)
		add(l, pd_arena_strndup(l->a, head, (size_t)(dot - head)));
	add(l, head);
	add(l, pd_arena_printf(l->a, "%s.svc", head));
	return true;
}

static void add_host(struct name_list *l, const char *host, const char *domain)
{
	add(l, host);
	add(l, pd_arena_printf(l->a, "%s.", host));
	if (host[0] != '*' && !add_kubernetes(l, host, domain))
		add_shared_suffix(l, host, domain);
}

static const char *bracketed(struct pd_arena *a, const char *ip)
{
	return strchr(ip, ':') ? pd_arena_printf(a, "[%s]", ip) : ip;
}

void pd_service_domains(struct pd_tx *tx, const struct pd_service *svc, Envoy__Config__Route__V3__VirtualHost *vh)
{
	struct name_list l = {.a = tx->arena};
	add_host(&l, svc->host, tx->key->dns_domain);
	for (size_t i = 0; i < svc->n_aliases; i++)
		add_host(&l, svc->aliases[i], tx->key->dns_domain);
	if (svc->kubernetes &&
	    svc->resolution == PD_RES_PASSTHROUGH) { // headless: each pod has a name below the service's
		size_t n = l.n;
		for (size_t i = 0; i < n; i++)
			add(&l, pd_arena_printf(tx->arena, "*.%s", l.v[i]));
	}
	// Without dual stack a service is known by its first address only.
	for (size_t i = 0; i < svc->n_vips && (i == 0 || tx->snap->settings->dual_stack); i++)
		if (pd_is_ip(svc->vips[i]) && !pd_streq(svc->vips[i], "0.0.0.0"))
			add(&l, bracketed(tx->arena, svc->vips[i]));
	for (size_t i = 0; i < l.n; i++)
		PB_PUSH(tx->arena, vh, domains, (char *)l.v[i]);
}
