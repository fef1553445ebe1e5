// VirtualServices: what is put together, how it is named, what is written on it. (reference: gateway-api.md §8)
#include <stdlib.h>

#include "api/pb.h"
#include "base/hash.h"
#include "base/str.h"
#include "discovery/gwapi/gwapi.h"

const char *pd_gw_object_name(struct pd_arena *a, const char *name)
{
	enum { HASH_DIGITS = 16, KEPT = PD_NAME_MAX - HASH_DIGITS - 1 };
	if (strlen(name) <= PD_NAME_MAX)
		return name;
	return pd_arena_printf(a, "%.*s~%016llx", KEPT, name, (unsigned long long)pd_hash_str(name));
}

int pd_gw_cmp_age(const struct pd_object *a, const struct pd_object *b)
{
	if (a->created_ns != b->created_ns)
		return a->created_ns < b->created_ns ? -1 : 1;
	int c = strcmp(a->key.ns, b->key.ns);
	return c ? c : strcmp(a->key.name, b->key.name);
}

void pd_gw_annotate(struct pd_arena *a, K8s__ObjectMeta *meta, const char *key, const char *value)
{
	K8s__ObjectMeta__AnnotationsEntry *e = pb_new(a, &k8s__object_meta__annotations_entry__descriptor);
	e->key = (char *)key;
	e->value = (char *)value;
	PB_PUSH(a, meta, annotations, e);
}

K8s__ObjectMeta *pd_gw_meta(struct pd_arena *a, const struct pd_object *source, const char *ns, const char *name)
{
	K8s__ObjectMeta *meta = pb_new(a, &k8s__object_meta__descriptor);
	meta->name = (char *)name;
	meta->namespace_ = (char *)ns;
	meta->creationtimestamp = pd_object_created(source, a);
	return meta;
}

static const char *parent_text(struct pd_arena *a, const struct pd_object *o)
{
	return pd_arena_printf(a, "%s/%s.%s", pd_kind_info(o->key.kind)->kind, o->key.name, o->key.ns);
}

static Istio__VirtualService *new_service(struct pd_arena *a, const struct gw_binding *b)
{
	Istio__VirtualService *out = pb_new(a, &istio__virtual_service__descriptor);
	PB_PUSH(a, out, hosts, (char *)b->host);
	PB_PUSH(a, out, gateways, (char *)b->gateway);
	if (b->consumer)
		PB_PUSH(a, out, export_to, ".");
	return out;
}

static struct pd_object *build(struct gw_pass *p, const struct pd_object *source, const char *name, const char *parents,
			       Istio__VirtualService *spec)
{
	struct pd_arena *a = p->arena;
	const struct pd_key key = {PD_KIND_VIRTUAL_SERVICE, p->settings->cluster, source->key.ns,
				   pd_gw_object_name(a, name)};
	K8s__ObjectMeta *meta = pd_gw_meta(a, source, key.ns, key.name);
	pd_gw_annotate(a, meta, GW_PARENTS_ANNOTATION, parents);
	pd_gw_annotate(a, meta, GW_ROUTE_SEMANTICS_ANNOTATION, "gateway");
	return pd_object_build(&key, meta, &spec->base, NULL, source->origin);
}

// A route for one port of a service only. The original is shared.
static Istio__HTTPRoute *for_port(struct pd_arena *a, const Istio__HTTPRoute *route, uint32_t port)
{
	Istio__HTTPRoute *out = pb_new(a, &istio__httproute__descriptor);
	Istio__HTTPMatchRequest *m = pb_new(a, &istio__httpmatch_request__descriptor);
	*out = *route;
	if (route->n_match)
		*m = *route->match[0];
	m->port = port;
	out->n_match = 0;
	out->match = NULL;
	PB_PUSH(a, out, match, m);
	return out;
}

struct pd_object *pd_gw_http_virtual_service(struct gw_pass *p, const char *key, const struct gw_part *parts, size_t n)
{
	struct pd_arena *a = p->arena;
	struct gw_http_routes routes = {0};
	const char *parents = NULL;
	const struct gw_part *oldest = NULL;
	for (size_t i = 0; i < n; i++) {
		if (!parts[i].n_routes)
			continue;
		oldest = oldest ? oldest : &parts[i];
		parents = parents ? pd_arena_printf(a, "%s,%s", parents, parent_text(a, parts[i].object))
				  : parent_text(a, parts[i].object);
		for (size_t k = 0; k < parts[i].n_routes; k++) {
			uint32_t port = parts[i].binding->port;
			pd_vec_push_a(a, &routes, port ? for_port(a, parts[i].routes[k], port) : parts[i].routes[k]);
		}
	}
	if (!oldest)
		return NULL;
	pd_gw_sort_http(a, routes.v, routes.n);
	Istio__VirtualService *spec = new_service(a, oldest->binding);
	spec->http = routes.v;
	spec->n_http = routes.n;
	char *name = pd_arena_strdup(a, key);
	for (char *c = name; *c; c++)
		if (*c == '/')
			*c = '~';
	return build(p, oldest->object, name, parents, spec);
}

struct pd_object *pd_gw_l4_virtual_service(struct gw_pass *p, const struct gw_route *r, const struct gw_binding *b,
					   size_t index)
{
	struct pd_arena *a = p->arena;
	Istio__VirtualService *spec = new_service(a, b);
	if (!pd_gw_convert_l4(p, r, b, spec))
		return NULL;
	const char *name = pd_arena_printf(a, "%s~%s~%zu~" GW_SUFFIX, r->object->key.name,
					   r->kind == GW_TLS ? "tls" : "tcp", index);
	return build(p, r->object, name, parent_text(a, r->object), spec);
}
