#include "discovery/endpoint/target_port.h"

#include "base/str.h"

static bool same_labels(const struct pd_labels *own, const struct pd_labels *workload)
{
	// The workload's may have more: those of its place.
	return pd_labels_match(own, workload);
}

// Names are resolved where the endpoints are made: by Pod, or by WorkloadEntry. Proxies of one view have equal labels, and so
// have the workloads that they stand for.
static uint32_t by_endpoint(struct pd_tx *tx, const struct pd_service *svc, const struct pd_port *port)
{
	const struct pd_endpoints *all = tx_endpoints(tx, svc->host);
	uint32_t any = 0;
	for (size_t i = 0; all && i < all->n; i++) {
		const struct pd_endpoint *e = &all->v[i];
		if (!pd_streq(e->source->key.ns, svc->ns) || !pd_streq(e->port_name, port->name))
			continue;
		if (same_labels(&tx->view->labels, &e->workload->labels))
			return e->port;
		if (!any)
			any = e->port;
	}
	return any;
}

uint32_t pd_target_port(struct pd_tx *tx, const struct pd_service *svc, const struct pd_port *port)
{
	PD_ASSERT(tx->view);
	uint32_t fixed = port->target_port ? port->target_port : port->port;
	if (svc->kubernetes)
		return port->target_name ? by_endpoint(tx, svc, port) : fixed;
	uint32_t own = by_endpoint(tx, svc, port);
	return own ? own : fixed;
}
