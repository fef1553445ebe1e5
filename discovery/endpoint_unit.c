// Endpoint units: ClusterLoadAssignments, made when a proxy first asks for the name and again when they are stale.
//
// An entry exists for each name that was asked for, also for one that no service has (yet): its tokens say when to look
// again. An entry that became stale and that nobody asked for since is dropped by the sweep after the next change, because
// whoever is subscribed asks at once.
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "discovery/engine_impl.h"

static bool slot_has(const struct slot_set *s, uint32_t slot)
{
	if (slot < 64)
		return s->first >> slot & 1;
	uint32_t word = slot / 64 - 1;
	return word < s->n_more && (s->more[word] >> slot % 64 & 1);
}

static void slot_put(struct slot_set *s, uint32_t slot, bool in)
{
	uint64_t bit = 1ull << slot % 64, *word = &s->first;
	if (slot >= 64) {
		uint32_t need = slot / 64;
		if (need > s->n_more) {
			s->more = pd_xrealloc(s->more, need * sizeof(*s->more));
			memset(s->more + s->n_more, 0, (need - s->n_more) * sizeof(*s->more));
			s->n_more = need;
		}
		word = &s->more[need - 1];
	}
	*word = in ? *word | bit : *word & ~bit;
}

static bool slot_none(const struct slot_set *s)
{
	uint64_t any = s->first;
	for (uint32_t i = 0; i < s->n_more; i++)
		any |= s->more[i];
	return !any;
}

static void result_free(struct endpoint_result *r)
{
	free(r->scopes.more);
	pd_unintern(r->locality);
	pd_unintern(r->node);
	pd_resource_unref(r->resource);
}

static void entry_free_locked(struct pd_engine *e, struct endpoint_entry *entry)
{
	for (size_t i = 0; i < entry->results.n; i++)
		result_free(&entry->results.v[i]);
	pd_vec_free(&entry->results);
	pd_deps_clear(e->deps, &entry->unit.deps);
	HASH_DEL(e->endpoints, entry);
	pd_unintern(entry->name);
	free(entry);
}

void pd_endpoints_stale_locked(struct pd_engine *e, struct endpoint_entry *entry)
{
	pd_deps_clear(e->deps, &entry->unit.deps);
	for (size_t i = 0; i < entry->results.n; i++)
		result_free(&entry->results.v[i]);
	entry->results.n = 0;
	if (!entry->idle) {
		entry->idle = true;
		pd_vec_push(&e->idle_endpoints, pd_intern_ref(entry->name));
	}
}

void pd_endpoints_sweep_locked(struct pd_engine *e)
{
	for (size_t i = 0; i < e->idle_endpoints.n; i++) {
		struct endpoint_entry *entry;
		HASH_FIND_PTR(e->endpoints, &e->idle_endpoints.v[i], entry);
		if (entry && entry->idle)
			entry_free_locked(e, entry);
		pd_unintern(e->idle_endpoints.v[i]);
	}
	e->idle_endpoints.n = 0;
}

void pd_endpoints_drop_scope_locked(struct pd_engine *e, const struct scope *s)
{
	struct endpoint_entry *entry, *next;
	HASH_ITER(hh, e->endpoints, entry, next)
	{
		size_t n = 0;
		for (size_t i = 0; i < entry->results.n; i++) {
			struct endpoint_result *r = &entry->results.v[i];
			if (slot_has(&r->scopes, s->slot))
				slot_put(&r->scopes, s->slot, false);
			if (slot_none(&r->scopes))
				result_free(r);
			else
				entry->results.v[n++] = *r;
		}
		entry->results.n = n;
		if (!n)
			entry_free_locked(e, entry);
	}
}

void pd_endpoints_free_all_locked(struct pd_engine *e)
{
	struct endpoint_entry *entry, *next;
	HASH_ITER(hh, e->endpoints, entry, next)
	entry_free_locked(e, entry);
	for (size_t i = 0; i < e->idle_endpoints.n; i++)
		pd_unintern(e->idle_endpoints.v[i]);
	pd_vec_free(&e->idle_endpoints);
}

// NULL when the limit on entries is reached.
static struct endpoint_entry *entry_get_locked(struct pd_engine *e, const char *name)
{
	struct endpoint_entry *entry;
	HASH_FIND_PTR(e->endpoints, &name, entry);
	if (!entry && HASH_COUNT(e->endpoints) < ENGINE_ENDPOINT_ENTRIES_MAX) {
		entry = pd_xcalloc(1, sizeof(*entry));
		entry->unit.kind = UNIT_ENDPOINTS;
		entry->name = pd_intern_ref(name);
		HASH_ADD_PTR(e->endpoints, name, entry);
	}
	if (entry)
		entry->idle = false;
	return entry;
}

static struct pd_resource *find_result(const struct endpoint_entry *entry, const struct scope *s,
				       const struct pd_proxy_key *key)
{
	for (size_t i = 0; entry && i < entry->results.n; i++) {
		const struct endpoint_result *r = &entry->results.v[i];
		if (slot_has(&r->scopes, s->slot) && (!r->locality || r->locality == key->locality) &&
		    (!r->node || r->node == key->node))
			return r->resource;
	}
	return NULL;
}

// Keeps the result for the scope; equal bytes are shared with other scopes and localities. Returns a reference to what is kept.
static struct pd_resource *keep(struct endpoint_entry *entry, const struct scope *s, const struct pd_tx *tx,
				struct pd_resource *r)
{
	const char *locality = tx->read_locality ? tx->key->locality : NULL,
		   *node = tx->read_node ? tx->key->node : NULL;
	for (size_t i = 0; i < entry->results.n; i++) {
		struct endpoint_result *other = &entry->results.v[i];
		if (other->resource->version != r->version)
			continue;
		pd_resource_unref(r);
		r = pd_resource_ref(other->resource);
		if (other->locality == locality && other->node == node) {
			slot_put(&other->scopes, s->slot, true);
			return r;
		}
	}
	struct endpoint_result now = {.locality = pd_intern_ref(locality),
				      .node = pd_intern_ref(node),
				      .resource = pd_resource_ref(r)};
	slot_put(&now.scopes, s->slot, true);
	pd_vec_reserve(&entry->results, entry->results.n + 1); // nearly always the only one
	pd_vec_push(&entry->results, now);
	return r;
}

static struct pd_resource *build(struct pd_engine *e, struct pass *p, struct pd_tx *tx, const struct pd_proxy_key *key,
				 const char *name)
{
	pd_engine_pass_tx(e, p, key, NULL, tx);
	Envoy__Config__Endpoint__V3__ClusterLoadAssignment *cla = pd_build_endpoints(tx, name);
	struct pd_provenance *prov = tx_provenance(tx);
	struct pd_resource *r = pd_resource_new(PD_EDS, name, &cla->base, prov);
	pd_obj_unref(prov);
	return r;
}

static struct pd_proxy_key key_of(const struct view_state *vs)
{
	struct pd_proxy_key key = vs->scope->key;
	key.locality = vs->view->key.locality;
	key.node = vs->view->key.node;
	return key;
}

void pd_endpoints_get_cached(struct pd_engine *e, struct view_state *vs, const char *const *names, size_t n,
			     struct pd_resource **out)
{
	struct pd_proxy_key key = key_of(vs);
	pthread_mutex_lock(&e->lock);
	for (size_t i = 0; i < n; i++) {
		struct endpoint_entry *entry;
		HASH_FIND_PTR(e->endpoints, &names[i], entry);
		out[i] = pd_obj_ref(find_result(entry, vs->scope, &key));
		if (out[i])
			entry->idle = false;
	}
	pthread_mutex_unlock(&e->lock);
}

struct pd_resource *pd_endpoints_get(struct pd_engine *e, struct view_state *vs, const char *name)
{
	const char *interned = pd_intern(name);
	struct pd_proxy_key key = key_of(vs);
	struct pd_resource *r = NULL;
	pthread_mutex_lock(&e->lock);
	while (!r) { // again if a change came between: whoever asks later relies on being told of the next one
		struct endpoint_entry *entry = entry_get_locked(e, interned);
		r = pd_obj_ref(find_result(entry, vs->scope, &key));
		if (r)
			break;
		struct pass p;
		struct pd_tx tx;
		pd_engine_pass_begin_locked(e, &p);
		pthread_mutex_unlock(&e->lock);
		r = build(e, &p, &tx, &key, name);
		pthread_mutex_lock(&e->lock);
		entry = entry_get_locked(e, interned);
		if (entry && !find_result(entry, vs->scope, &key)) {
			bool stale = pd_deps_record(e->deps, &entry->unit.deps, tx.tokens.v, tx.tokens.n,
						    p.snap->generation);
			if (!stale) {
				r = keep(entry, vs->scope, &tx, r);
			} else {
				pd_resource_unref(r);
				r = NULL;
			}
		}
		pd_engine_pass_end_locked(e, &p);
		pthread_mutex_unlock(&e->lock);
		pd_engine_pass_free(&p);
		pthread_mutex_lock(&e->lock);
	}
	pthread_mutex_unlock(&e->lock);
	pd_unintern(interned);
	return r;
}
