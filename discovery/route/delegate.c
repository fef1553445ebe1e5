// Delegates: a route of a VirtualService may hand its requests to another VirtualService, one without hosts. (reference: §11)
//
// The route is replaced by those of the delegate. Matches are combined pairwise: what the delegate asks for must be within
// what the root asks for, or the pair drops out; a route that loses all of its matches so is dropped. Of everything else the
// delegate's fields win and the root's fill. Names are joined: "root-delegate".
#include <stdlib.h>

#include "base/str.h"
#include "discovery/route/route.h"

typedef Istio__HTTPMatchRequest Match;
typedef Istio__HTTPRoute Route;

// ---- conflicts -----------------------------------------------------------------------------------------------------------

static const char *exact_of(const Istio__StringMatch *m)
{
	return m->match_type_case == ISTIO__STRING_MATCH__MATCH_TYPE_EXACT ? pd_or(m->exact, "") : "";
}

static const char *prefix_of(const Istio__StringMatch *m)
{
	return m->match_type_case == ISTIO__STRING_MATCH__MATCH_TYPE_PREFIX ? pd_or(m->prefix, "") : "";
}

// Whether `leaf` may match what `root` does not. Regular expressions cannot be compared: they conflict with everything.
static bool conflicts(const Istio__StringMatch *root, const Istio__StringMatch *leaf)
{
	if (!root || !leaf)
		return false;
	if (*exact_of(root))
		return !pd_streq(exact_of(root), exact_of(leaf));
	if (*prefix_of(root)) {
		const char *text = *prefix_of(leaf) ? prefix_of(leaf) : exact_of(leaf);
		return !*text || !pd_has_prefix(text, prefix_of(root));
	}
	return true;
}

// All maps from names to string matches have entries of this layout.
struct named_match {
	ProtobufCMessage base;
	char *key;
	Istio__StringMatch *value;
} __attribute__((may_alias));

static bool maps_conflict(struct named_match *const *root, size_t n_root, struct named_match *const *leaf,
			  size_t n_leaf)
{
	for (size_t i = 0; i < n_leaf; i++)
		for (size_t k = 0; k < n_root; k++)
			if (pd_streq(leaf[i]->key, root[k]->key) && conflicts(root[k]->value, leaf[i]->value))
				return true;
	return false;
}

static bool labels_conflict(const Match *root, const Match *leaf)
{
	for (size_t i = 0; i < leaf->n_source_labels; i++)
		for (size_t k = 0; k < root->n_source_labels; k++)
			if (pd_streq(leaf->source_labels[i]->key, root->source_labels[k]->key) &&
			    !pd_streq(leaf->source_labels[i]->value, root->source_labels[k]->value))
				return true;
	return false;
}

static bool has_gateway(const Match *m, const char *name)
{
	for (size_t i = 0; i < m->n_gateways; i++)
		if (pd_streq(m->gateways[i], name))
			return true;
	return false;
}

static bool gateways_conflict(const Match *root, const Match *leaf)
{
	if (root->n_gateways && root->n_gateways < leaf->n_gateways)
		return true;
	for (size_t i = 0; root->n_gateways && i < leaf->n_gateways; i++)
		if (!has_gateway(root, leaf->gateways[i]))
			return true;
	return false;
}

#define MAP(m, field) (struct named_match *const *)(m)->field, (m)->n_##field

static bool matches_conflict(const Match *root, const Match *leaf)
{
	return conflicts(root->uri, leaf->uri) || conflicts(root->scheme, leaf->scheme) ||
	       conflicts(root->method, leaf->method) || conflicts(root->authority, leaf->authority) ||
	       maps_conflict(MAP(root, headers), MAP(leaf, headers)) ||
	       maps_conflict(MAP(root, without_headers), MAP(leaf, without_headers)) ||
	       maps_conflict(MAP(root, query_params), MAP(leaf, query_params)) ||
	       root->ignore_uri_case != leaf->ignore_uri_case ||
	       (root->port && leaf->port && root->port != leaf->port) ||
	       (!pd_empty(root->source_namespace) && !pd_streq(root->source_namespace, leaf->source_namespace)) ||
	       labels_conflict(root, leaf) || gateways_conflict(root, leaf);
}

// ---- merging ---------------------------------------------------------------------------------------------------------------

static char *join_names(struct pd_arena *a, char *root, char *leaf)
{
	if (pd_empty(leaf))
		return root;
	return pd_empty(root) ? leaf : pd_arena_printf(a, "%s-%s", root, leaf);
}

// Any map entry: the key is its first field.
struct entry {
	ProtobufCMessage base;
	char *key;
} __attribute__((may_alias));

static int cmp_entry(const void *x, const void *y)
{
	return pd_strcmp((*(struct entry *const *)x)->key, (*(struct entry *const *)y)->key);
}

// The union by key: `leaf` wins. The entries are shared with the sources.
static struct entry **merge_maps(struct pd_arena *a, struct entry *const *root, size_t n_root,
				 struct entry *const *leaf, size_t n_leaf, size_t *n)
{
	struct entry **out = pd_arena_alloc(a, (n_root + n_leaf + 1) * sizeof(struct entry *));
	for (*n = 0; *n < n_leaf; (*n)++)
		out[*n] = leaf[*n];
	for (size_t i = 0; i < n_root; i++) {
		bool known = false;
		for (size_t k = 0; k < n_leaf && !known; k++)
			known = pd_streq(leaf[k]->key, root[i]->key);
		if (!known)
			out[(*n)++] = root[i];
	}
	pd_sort(out, *n, sizeof(struct entry *), cmp_entry);
	return out;
}

#define MERGE_MAP(field)                                                                                               \
	out->field = (__typeof__(out->field))merge_maps(a, (struct entry *const *)root->field, root->n_##field,        \
							(struct entry *const *)leaf->field, leaf->n_##field,           \
							&out->n_##field)
#define FILL(field) out->field = out->field ? out->field : root->field

static Match *merge_match(struct pd_arena *a, const Match *root, const Match *leaf)
{
	Match *out = pd_arena_alloc(a, sizeof(*out));
	*out = *leaf;
	out->name = join_names(a, root->name, leaf->name);
	FILL(uri);
	FILL(scheme);
	FILL(method);
	FILL(authority);
	FILL(port);
	MERGE_MAP(headers);
	MERGE_MAP(without_headers);
	MERGE_MAP(query_params);
	MERGE_MAP(source_labels);
	if (pd_empty(out->source_namespace))
		out->source_namespace = root->source_namespace;
	if (pd_empty(out->stat_prefix))
		out->stat_prefix = root->stat_prefix;
	if (!out->n_gateways) {
		out->n_gateways = root->n_gateways;
		out->gateways = root->gateways;
	}
	return out;
}

// False: some match of the delegate lies outside of everything that the root matches.
static bool merge_matches(struct pd_arena *a, const Route *root, const Route *leaf, Route *out)
{
	if (!root->n_match || !leaf->n_match) {
		out->n_match = root->n_match ? root->n_match : leaf->n_match;
		out->match = root->n_match ? root->match : leaf->match;
		return true;
	}
	out->match = pd_arena_alloc(a, root->n_match * leaf->n_match * sizeof(*out->match));
	out->n_match = 0;
	for (size_t i = 0; i < leaf->n_match; i++) {
		size_t before = out->n_match;
		for (size_t k = 0; k < root->n_match; k++)
			if (!matches_conflict(root->match[k], leaf->match[i]))
				out->match[out->n_match++] = merge_match(a, root->match[k], leaf->match[i]);
		if (out->n_match == before)
			return false;
	}
	return true;
}

static Route *merge_route(struct pd_arena *a, const Route *root, const Route *leaf)
{
	Route *out = pd_arena_alloc(a, sizeof(*out));
	*out = *leaf;
	if (!merge_matches(a, root, leaf, out))
		return NULL;
	out->delegate = NULL;
	out->name = join_names(a, root->name, leaf->name);
	FILL(rewrite);
	FILL(direct_response);
	FILL(timeout);
	FILL(retries);
	FILL(fault);
	FILL(mirror);
	FILL(mirror_percent);
	FILL(mirror_percentage);
	FILL(cors_policy);
	FILL(headers);
	if (!out->n_mirrors) {
		out->n_mirrors = root->n_mirrors;
		out->mirrors = root->mirrors;
	}
	return out;
}

// ---- names: short ones mean something else in each namespace ------------------------------------------------------------------

struct names {
	struct pd_arena *arena;
	const char *ns, *domain;
};

static Istio__Destination *expand_destination(const struct names *x, const Istio__Destination *d)
{
	if (!d)
		return NULL;
	Istio__Destination *out = pd_arena_alloc(x->arena, sizeof(*out));
	*out = *d;
	out->host = (char *)pd_expand_host(x->arena, d->host, x->ns, x->domain);
	return out;
}

static void expand_destinations(const struct names *x, Route *r)
{
	Istio__HTTPRouteDestination **v = pd_arena_alloc(x->arena, (r->n_route + 1) * sizeof(*v));
	for (size_t i = 0; i < r->n_route; i++) {
		v[i] = pd_arena_alloc(x->arena, sizeof(**v));
		*v[i] = *r->route[i];
		v[i]->destination = expand_destination(x, r->route[i]->destination);
	}
	r->route = v;
}

static void expand_mirrors(const struct names *x, Route *r)
{
	Istio__HTTPMirrorPolicy **v = pd_arena_alloc(x->arena, (r->n_mirrors + 1) * sizeof(*v));
	for (size_t i = 0; i < r->n_mirrors; i++) {
		v[i] = pd_arena_alloc(x->arena, sizeof(**v));
		*v[i] = *r->mirrors[i];
		v[i]->destination = expand_destination(x, r->mirrors[i]->destination);
	}
	r->mirrors = v;
	r->mirror = expand_destination(x, r->mirror);
}

static void expand_matches(const struct names *x, Route *r)
{
	Match **v = pd_arena_alloc(x->arena, (r->n_match + 1) * sizeof(*v));
	for (size_t i = 0; i < r->n_match; i++) {
		v[i] = pd_arena_alloc(x->arena, sizeof(**v));
		*v[i] = *r->match[i];
		v[i]->gateways = pd_arena_alloc(x->arena, (v[i]->n_gateways + 1) * sizeof(char *));
		for (size_t k = 0; k < v[i]->n_gateways; k++)
			v[i]->gateways[k] = (char *)pd_expand_gateway(x->arena, r->match[i]->gateways[k], x->ns);
	}
	r->match = v;
}

// A copy with full names, which stay what they are when they are expanded again for the root's namespace.
static Route *expanded(struct pd_tx *tx, const Route *r, const char *ns)
{
	struct names x = {tx->arena, ns, tx->snap->settings->domain_suffix};
	Route *out = pd_arena_alloc(tx->arena, sizeof(*out));
	*out = *r;
	expand_matches(&x, out);
	expand_destinations(&x, out);
	expand_mirrors(&x, out);
	return out;
}

// ---- finding the delegate -------------------------------------------------------------------------------------------------------

static bool exported_to(struct pd_tx *tx, const struct pd_object *o, const char *ns)
{
	const Istio__VirtualService *spec = (const Istio__VirtualService *)o->spec;
	const Istio__MeshConfig *mesh = tx_mesh(tx);
	char **to = spec->n_export_to ? spec->export_to : mesh->default_virtual_service_export_to;
	size_t n = spec->n_export_to ? spec->n_export_to : mesh->n_default_virtual_service_export_to;
	for (size_t i = 0; i < n; i++)
		if (pd_streq(to[i], "*") || pd_streq(pd_streq(to[i], ".") ? o->key.ns : to[i], ns))
			return true;
	return !n;
}

// NULL: there is none that this route may use, which is reported.
static const struct pd_object *find(struct pd_tx *tx, const struct pd_object *root, const Istio__Delegate *d)
{
	static const char field[] = "spec.http.delegate";
	const char *ns = pd_or(d->namespace_, root->key.ns);
	const struct pd_object *o = tx_object(tx, PD_KIND_VIRTUAL_SERVICE, ns, d->name);
	if (!o) {
		tx_issue(tx, root, field, "there is no VirtualService %s/%s: the route is left out", ns, d->name);
	} else if (((const Istio__VirtualService *)o->spec)->n_hosts) {
		tx_issue(tx, root, field, "%s/%s has hosts, so it is no delegate: the route is left out", ns, d->name);
	} else if (!exported_to(tx, o, root->key.ns)) {
		tx_issue(tx, root, field, "%s/%s is not exported to %s: the route is left out", ns, d->name,
			 root->key.ns);
	} else {
		return o;
	}
	return NULL;
}

struct route_list {
	Route **v;
	size_t n, cap;
};

static void add_delegated(struct pd_tx *tx, const struct pd_object *root, const Route *r, struct route_list *out)
{
	const struct pd_object *o = find(tx, root, r->delegate);
	if (!o)
		return;
	const Istio__VirtualService *spec = (const Istio__VirtualService *)o->spec;
	const Route *full = expanded(tx, r, root->key.ns);
	tx_use(tx, o);
	for (size_t i = 0; i < spec->n_http; i++) {
		if (spec->http[i]->delegate) {
			tx_issue(tx, o, "spec.http.delegate", "a delegate cannot delegate: the route is left out");
			continue;
		}
		Route *merged = merge_route(tx->arena, full, expanded(tx, spec->http[i], o->key.ns));
		if (merged)
			pd_vec_push_a(tx->arena, out, merged);
		else
			tx_issue(tx, o, "spec.http.match",
				 "http[%zu] matches what %s/%s does not hand over: the route is left out", i,
				 root->key.ns, root->key.name);
	}
}

struct pd_http_routes pd_vs_http_routes(struct pd_tx *tx, const struct pd_vs *vs)
{
	const Istio__VirtualService *spec = vs->spec;
	struct route_list out = {0};
	bool any = false;
	for (size_t i = 0; i < spec->n_http; i++)
		any |= spec->http[i]->delegate != NULL;
	if (!any)
		return (struct pd_http_routes){spec->n_http, spec->http};
	for (size_t i = 0; i < spec->n_http; i++) {
		if (spec->http[i]->delegate)
			add_delegated(tx, vs->object, spec->http[i], &out);
		else
			pd_vec_push_a(tx->arena, &out, spec->http[i]);
	}
	return (struct pd_http_routes){out.n, out.v};
}
