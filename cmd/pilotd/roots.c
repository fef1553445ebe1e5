#include "cmd/pilotd/roots.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "ca/flags.h"
#include "k8s/root_maps.h"

// ---- what the source says --------------------------------------------------------------------------------------------------

static void changes(struct pd_sink *sink, struct pd_change *v, size_t n, bool more)
{
	struct roots *r = (struct roots *)sink; // its first member

	for (size_t i = 0; i < n; i++)
		if (v[i].key.kind == PD_KIND_NAMESPACE)
			pd_k8s_root_maps_namespace(r->maps, v[i].key.name, v[i].next);
	r->next->changes(r->next, v, n, more);
}

static void synced(struct pd_sink *sink, const char *source)
{
	struct roots *r = (struct roots *)sink;

	r->next->synced(r->next, source);
}

// ---- what the authority says -----------------------------------------------------------------------------------------------

static void on_roots(void *arg)
{
	struct roots *r = arg;
	struct pd_ca_state *now = pd_authority_get(r->authority);

	pd_k8s_root_maps_set(r->maps, now->roots_pem);
	pd_ca_state_unref(&now);
}

// ---- start and stop --------------------------------------------------------------------------------------------------------

// What tells us from other replicas.
static char *own_name(void)
{
	const char *pod = getenv("POD_NAME");
	char host[256] = "pilotd";

	if (!pd_empty(pod))
		return pd_xstrdup(pod);
	gethostname(host, sizeof(host) - 1);
	return pd_xasprintf("%s_%d", host, (int)getpid());
}

int roots_start(struct roots *r, const struct roots_options *o, struct pd_buf *err)
{
	char *name = own_name();
	const struct pd_k8s_root_maps_options maps = {.client = o->client,
						      .name = pd_ca_settings.root_config_map,
						      .system_ns = o->system_ns,
						      .identity = name};
	int rc;

	*r = (struct roots){{changes, synced}, o->next, o->authority, NULL};
	rc = pd_k8s_root_maps_start(&maps, &r->maps);
	free(name);
	if (rc != PD_OK) {
		pd_buf_printf(err, "root certificates in Kubernetes: %s", pd_strerror(rc));
		return rc;
	}
	pd_authority_listen(r->authority, on_roots, r);
	on_roots(r);
	return PD_OK;
}

void roots_select(struct roots *r, const struct pd_mesh *mesh)
{
	if (r->maps)
		pd_k8s_root_maps_select(r->maps, mesh->config->discovery_selectors,
					mesh->config->n_discovery_selectors);
}

void roots_stop(struct roots *r)
{
	pd_k8s_root_maps_stop(&r->maps);
}
