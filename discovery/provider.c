#include "discovery/provider.h"

#include "base/str.h"
#include "discovery/build.h"

#define PORT_MAX 65535

static struct pd_provider_target failure(const char *why)
{
	return (struct pd_provider_target){.error = why};
}

static bool in_several_namespaces(const struct pd_service_list *l)
{
	for (size_t i = 1; i < l->n; i++)
		if (!pd_streq(l->v[i]->ns, l->v[0]->ns))
			return true;
	return false;
}

static bool in_namespace(const struct pd_service_list *l, const char *ns)
{
	for (size_t i = 0; i < l->n; i++)
		if (pd_streq(l->v[i]->ns, ns))
			return true;
	return false;
}

struct pd_provider_target pd_provider_target(struct pd_tx *tx, const char *service, uint32_t port)
{
	struct pd_arena *a = tx->arena;
	const char *slash = strchr(service, '/'), *host = slash ? slash + 1 : service;
	if (!port || port > PORT_MAX)
		return failure("its port is not between 1 and 65535");
	if (!*host)
		return failure("it names no service");
	tx_depend(tx, pd_token_make(PD_IX_SERVICE, host));
	const struct pd_service_list *l = pd_registry_get(tx->snap->derived, PD_IX_SERVICE, host);
	if (!l || !l->n || (slash && !in_namespace(l, pd_arena_strndup(a, service, (size_t)(slash - service)))))
		return failure(pd_arena_printf(a, "there is no service %s", service));
	if (!slash && in_several_namespaces(l))
		return failure(
			pd_arena_printf(a, "several namespaces have service %s: NAMESPACE/HOST is needed", host));
	return (struct pd_provider_target){
		.host = l->v[0]->host,
		.cluster = pd_cluster_name(a, "outbound", port, NULL, l->v[0]->host),
	};
}
