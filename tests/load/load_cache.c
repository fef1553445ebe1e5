#include "tests/load/load_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/hash.h"
#include "tests/load/load_wire.h"

static const struct {
	const char *url, *name;
} types[PD_LOAD_TYPES] = {
	[PD_LOAD_CDS] = {"type.googleapis.com/envoy.config.cluster.v3.Cluster", "CDS"},
	[PD_LOAD_EDS] = {"type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", "EDS"},
	[PD_LOAD_LDS] = {"type.googleapis.com/envoy.config.listener.v3.Listener", "LDS"},
	[PD_LOAD_RDS] = {"type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "RDS"},
};

const char *pd_load_type_url(enum pd_load_type t)
{
	return types[t].url;
}
const char *pd_load_type_name(enum pd_load_type t)
{
	return types[t].name;
}

enum pd_load_type pd_load_type_of(const void *url, size_t n)
{
	for (int t = 0; t < PD_LOAD_TYPES; t++)
		if (strlen(types[t].url) == n && memcmp(types[t].url, url, n) == 0)
			return (enum pd_load_type)t;
	return PD_LOAD_TYPES;
}

static size_t idmap_slot(const struct pd_idmap *m, uint64_t key)
{
	size_t i = key & (m->cap - 1);
	while (m->keys[i] != 0 && m->keys[i] != key)
		i = (i + 1) & (m->cap - 1);
	return i;
}

bool pd_idmap_get(const struct pd_idmap *m, uint64_t key, uint32_t *value)
{
	if (m->cap == 0)
		return false;
	size_t i = idmap_slot(m, key ? key : 1);
	if (m->keys[i] == 0)
		return false;
	*value = m->values[i];
	return true;
}

void pd_idmap_put(struct pd_idmap *m, uint64_t key, uint32_t value)
{
	if (m->n * 2 >= m->cap) {
		struct pd_idmap old = *m;
		m->cap = old.cap ? old.cap * 2 : 256;
		m->keys = pd_xcalloc(m->cap, sizeof(*m->keys));
		m->values = pd_xcalloc(m->cap, sizeof(*m->values));
		for (size_t i = 0; i < old.cap; i++) {
			if (old.keys[i] == 0)
				continue;
			size_t to = idmap_slot(m, old.keys[i]);
			m->keys[to] = old.keys[i];
			m->values[to] = old.values[i];
		}
		pd_idmap_free(&old);
	}
	size_t i = idmap_slot(m, key ? key : 1);
	PD_ASSERT(m->keys[i] == 0);
	m->keys[i] = key ? key : 1;
	m->values[i] = value;
	m->n++;
}

void pd_idmap_free(struct pd_idmap *m)
{
	free(m->keys);
	free(m->values);
	*m = (struct pd_idmap){0};
}

uint32_t pd_load_intern(struct pd_load_cache *c, struct pd_load_names *names, const void *p, size_t n)
{
	uint64_t h = pd_hash(p, n);
	uint32_t id = 0;
	if (pd_idmap_get(&names->by_hash, h, &id))
		return id;
	id = (uint32_t)names->text.n;
	PD_ASSERT(id < PD_LOAD_NAMES_MAX);
	pd_vec_push(&names->text, pd_arena_strndup(&c->arena, p, n));
	pd_idmap_put(&names->by_hash, h, id);
	return id;
}

static void add_ref(struct pd_load_cache *c, enum pd_load_type t, const struct pd_field *name)
{
	uint32_t id = pd_load_intern(c, &c->names[t], name->p, name->n);
	for (size_t i = 0; i < c->refs.n; i++)
		if (c->refs.v[i] == id)
			return;
	pd_vec_push(&c->refs, id);
}

// Cluster: name 1, type 2 (3 = EDS), eds_cluster_config 3 {service_name 2}.
static void cluster_refs(struct pd_load_cache *c, const void *p, size_t n, const struct pd_field *name)
{
	struct pd_scan s = pd_scan_of(p, n);
	struct pd_field f, service = *name;
	bool eds = false;
	while (pd_scan_next(&s, &f)) {
		struct pd_field sub;
		if (f.num == 2 && f.type == PD_WIRE_VARINT)
			eds = f.value == 3;
		else if (f.num == 3 && f.type == PD_WIRE_BYTES && pd_scan_find(f.p, f.n, 2, &sub) && sub.n > 0)
			service = sub;
	}
	if (eds)
		add_ref(c, PD_LOAD_EDS, &service);
}

// FilterChain: filters 3 {typed_config 4: Any {type_url 1, value 2}}; HttpConnectionManager: rds 3 {route_config_name 2}.
static void filter_chain_refs(struct pd_load_cache *c, const struct pd_field *chain)
{
	static const char hcm[] = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
	struct pd_scan s = pd_scan_of(chain->p, chain->n);
	struct pd_field f, any, url, value, rds, name;
	while (pd_scan_next(&s, &f)) {
		if (f.num != 3 || f.type != PD_WIRE_BYTES)
			continue;
		if (pd_scan_find(f.p, f.n, 4, &any) && pd_scan_find(any.p, any.n, 1, &url) && url.n >= sizeof(hcm) &&
		    memcmp(url.p + url.n - sizeof(hcm) + 1, hcm, sizeof(hcm) - 1) == 0 &&
		    pd_scan_find(any.p, any.n, 2, &value) && pd_scan_find(value.p, value.n, 3, &rds) &&
		    pd_scan_find(rds.p, rds.n, 2, &name))
			add_ref(c, PD_LOAD_RDS, &name);
	}
}

// Listener: filter_chains 3, default_filter_chain 25.
static void listener_refs(struct pd_load_cache *c, const void *p, size_t n)
{
	struct pd_scan s = pd_scan_of(p, n);
	struct pd_field f;
	while (pd_scan_next(&s, &f))
		if ((f.num == 3 || f.num == 25) && f.type == PD_WIRE_BYTES)
			filter_chain_refs(c, &f);
}

const struct pd_parsed *pd_load_parse(struct pd_load_cache *c, const struct pd_load_marker *marker, enum pd_load_type t,
				      const void *p, size_t n)
{
	uint64_t h = pd_hash_seed(p, n, (uint64_t)t + 1);
	uint32_t at = 0;
	if (pd_idmap_get(&c->by_content, h, &at))
		return c->contents.v[at];
	struct pd_field name;
	if (!pd_scan_find(p, n, 1, &name)) // all four types have their name in field 1
		return NULL;
	c->refs.n = 0;
	if (t == PD_LOAD_CDS)
		cluster_refs(c, p, n, &name);
	else if (t == PD_LOAD_LDS)
		listener_refs(c, p, n);
	size_t refs_size = c->refs.n * sizeof(c->refs.v[0]);
	struct pd_parsed *r = pd_arena_zalloc(&c->arena, sizeof(*r) + refs_size);
	r->name = pd_load_intern(c, &c->names[t], name.p, name.n);
	r->n_refs = (uint32_t)c->refs.n;
	if (refs_size)
		memcpy(r->refs, c->refs.v, refs_size);
	if (marker->seq != 0 && marker->type == t && memmem(p, n, marker->text, strlen(marker->text)))
		r->marker = marker->seq;
	PD_ASSERT(c->contents.n < PD_LOAD_CONTENTS_MAX);
	pd_idmap_put(&c->by_content, h, (uint32_t)c->contents.n);
	pd_vec_push(&c->contents, r);
	return r;
}

void pd_load_cache_free(struct pd_load_cache *c)
{
	for (int t = 0; t < PD_LOAD_TYPES; t++) {
		pd_vec_free(&c->names[t].text);
		pd_idmap_free(&c->names[t].by_hash);
	}
	pd_vec_free(&c->versions.text);
	pd_idmap_free(&c->versions.by_hash);
	pd_vec_free(&c->contents);
	pd_idmap_free(&c->by_content);
	pd_vec_free(&c->refs);
	pd_arena_free(&c->arena);
}
