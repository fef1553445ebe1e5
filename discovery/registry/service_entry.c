// Services made of ServiceEntries: one for each host.
#include "discovery/registry/internal.h"

// "192.0.2.1", "192.0.2.1/32" (the same) or a range, which is kept as it is; NULL for anything else.
static const char *address_of(struct pd_arena *a, const char *text)
{
	size_t n = strcspn(text, "/");
	struct pd_cidr range;

	if (pd_cidr_parse(text, &range) != PD_OK)
		return NULL;
	return text[n] && range.bits == range.ip.len * 8 ? pd_arena_strndup(a, text, n) : text;
}

static void add_vips(struct reg_pass *p, struct pd_service *s, const Istio__ServiceEntry *se)
{
	const char **v = PD_NEWN(&p->r->tmp, const char *, se->n_addresses);

	for (size_t i = 0; i < se->n_addresses; i++) {
		v[s->n_vips] = address_of(&p->r->tmp, se->addresses[i]);
		s->n_vips += v[s->n_vips] != NULL;
	}
	s->vips = v;
}

// What was allocated for the host, by whoever writes the status. A label turns it off.
static void add_auto_vips(struct reg_pass *p, struct pd_service *s, const struct pd_object *o)
{
	const Istio__ServiceEntry *se = (const Istio__ServiceEntry *)o->spec;
	const Istio__ServiceEntryStatus *status = (const Istio__ServiceEntryStatus *)o->status;
	const char *enabled = pd_object_label(o, "networking.istio.io/enable-autoallocate-ip");
	const char **v;

	if (!status || se->n_addresses || s->resolution == PD_RES_PASSTHROUGH ||
	    (enabled && !strcasecmp(enabled, "false")))
		return;
	v = PD_NEWN(&p->r->tmp, const char *, status->n_addresses);
	for (size_t i = 0; i < status->n_addresses; i++)
		if (pd_streq(status->addresses[i]->host, s->host) &&
		    address_of(&p->r->tmp, status->addresses[i]->value))
			v[s->n_auto_vips++] = status->addresses[i]->value;
	s->auto_vips = v;
}

static enum pd_resolution resolution_of(const Istio__ServiceEntry *se)
{
	switch (se->resolution) {
	case ISTIO__SERVICE_ENTRY__RESOLUTION__STATIC:
		return PD_RES_EDS;
	case ISTIO__SERVICE_ENTRY__RESOLUTION__DNS:
		return PD_RES_DNS;
	case ISTIO__SERVICE_ENTRY__RESOLUTION__DNS_ROUND_ROBIN:
		return PD_RES_DNS_RR;
	case ISTIO__SERVICE_ENTRY__RESOLUTION__DYNAMIC_DNS:
		return PD_RES_DYNAMIC_DNS;
	default:
		return PD_RES_PASSTHROUGH;
	}
}

static void add_ports(struct pd_arena *a, struct pd_service *s, const Istio__ServiceEntry *se)
{
	struct pd_port *v = PD_NEWN(a, struct pd_port, se->n_ports);

	for (size_t i = 0; i < se->n_ports; i++) {
		v[i].name = pd_or(se->ports[i]->name, "");
		v[i].port = se->ports[i]->number;
		v[i].target_port = se->ports[i]->target_port;
		v[i].protocol = pd_protocol_parse(se->ports[i]->protocol);
	}
	s->ports = v;
	s->n_ports = se->n_ports;
}

struct pd_service pd_reg_service_of_entry(struct reg_pass *p, const struct pd_object *o, const char *host)
{
	const Istio__ServiceEntry *se = (const Istio__ServiceEntry *)o->spec;
	struct pd_arena *a = &p->r->tmp;
	struct reg_labels labels = {0}, selector = {0};
	struct pd_service s = {
		.host = host,
		.name = host,
		.ns = o->key.ns,
		.cluster = o->key.cluster,
		.created_ns = o->created_ns,
		.mesh_external = se->location == ISTIO__SERVICE_ENTRY__LOCATION__MESH_EXTERNAL,
		.resolution = resolution_of(se),
		.sans = (const char *const *)se->subject_alt_names,
		.n_sans = se->n_subject_alt_names,
		.traffic_distribution = pd_reg_traffic_distribution(p, o, NULL),
		.source = o,
	};

	pd_reg_labels_add_kept(a, &labels, pd_object_labels(o));
	if (se->workload_selector)
		pd_reg_labels_add(a, &selector, PD_LABEL_ENTRIES(se->workload_selector->labels),
				  se->workload_selector->n_labels);
	s.labels = reg_labels_view(&labels);
	s.selector = reg_labels_view(&selector);
	s.drains = pd_reg_drains(&s.labels);
	add_vips(p, &s, se);
	add_auto_vips(p, &s, o);
	add_ports(a, &s, se);
	s.export_to = pd_reg_export(p, s.ns, (const char *const *)se->export_to, se->n_export_to);
	s.aliases = pd_reg_aliases_of(p, host, &s.n_aliases);
	return s;
}
