#include "k8s/root_maps.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/json.h"
#include "base/hash.h"
#include "base/log.h"
#include "k8s/leader.h"
#include "k8s/source_impl.h"
#include "k8s/write_impl.h"
#include "k8s/write_objects.h"

#define KEY "root-cert.pem"
#define LABEL "istio.io/config"

// What the map of a namespace holds, as last seen.
struct seen {
	char *ns;
	uint64_t hash; // of its roots; 0 = not as it should be, whatever the roots are
	UT_hash_handle hh;
};

struct pd_k8s_root_maps {
	struct pd_k8s_client *client;
	struct pd_k8s_writer *writer;
	struct pd_k8s_reflector *reflector; // the loop's, as is
	uint64_t again;                     // the timer, 0 = not set
	uint64_t lists;                     // that were acted upon
	uint32_t again_ms;
	char *name;

	pthread_mutex_t lock; // guards what follows
	struct pd_k8s_leader *leader;
	struct pd_k8s_namespaces namespaces;
	struct seen *seen;
	char *pem; // NULL = nothing to write
	uint64_t hash;
	bool synced; // what was seen is all there is
	bool stopping;
};

static uint64_t hash_of(const char *pem)
{
	uint64_t h = pd_hash_str(pem);

	return h ? h : 1;
}

// ---- what there should be against what there is; all under the lock ----------------------------------------------------------

static bool excluded(const char *ns)
{
	static const char *const names[] = {"kube-public", "kube-node-lease", "local-path-storage"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(ns, names[i]) == 0)
			return true;
	return false;
}

static bool is_right(const struct pd_k8s_root_maps *r, const char *ns)
{
	const struct seen *e;

	HASH_FIND_STR(r->seen, ns, e);
	return e && e->hash == r->hash;
}

static void written(void *user, const struct pd_k8s_result *);

static void ensure(struct pd_k8s_root_maps *r, const struct pd_k8s_ns *ns)
{
	const char *const data[] = {KEY, r->pem, NULL};
	static const char *const labels[] = {LABEL, "true", NULL};
	struct pd_k8s_config_map map = {.name = r->name, .data = data, .labels = labels, .on_done = written, .user = r};

	if (r->stopping || !r->synced || !r->pem || !ns->selected || !pd_k8s_leader_is(r->leader))
		return;
	map.ns = ns->object->key.name;
	map.leader = r->leader;
	if (excluded(map.ns) || is_right(r, map.ns))
		return;
	if (pd_k8s_put_config_map(r->writer, &map) != PD_OK)
		r->stopping = true; // the client is
}

static void ensure_name(struct pd_k8s_root_maps *r, const char *name)
{
	const struct pd_k8s_ns *ns;

	HASH_FIND_STR(r->namespaces.table, name, ns);
	if (ns)
		ensure(r, ns);
}

static void ensure_all(struct pd_k8s_root_maps *r)
{
	for (const struct pd_k8s_ns *ns = r->namespaces.table; ns; ns = ns->hh.next)
		ensure(r, ns);
}

static void forget(struct pd_k8s_root_maps *r, struct seen *e)
{
	HASH_DEL(r->seen, e);
	free(e->ns);
	free(e);
}

// ---- writes, on the loop -----------------------------------------------------------------------------------------------------

static void try_again(void *user)
{
	struct pd_k8s_root_maps *r = user;

	r->again = 0;
	pthread_mutex_lock(&r->lock);
	ensure_all(r);
	pthread_mutex_unlock(&r->lock);
}

static void written(void *user, const struct pd_k8s_result *result)
{
	struct pd_k8s_root_maps *r = user;
	bool lost = result->err == PD_E_CLOSED || (result->err == PD_E_DENIED && !result->code); // not ours any more

	if (result->err == PD_OK || lost)
		return;
	pd_warn("k8s", "configmap %s: %s", r->name, result->status.message);
	if (!r->again)
		r->again = pd_k8s_after(r->client, r->again_ms, try_again, r);
}

static void on_leadership(void *user, bool leads)
{
	struct pd_k8s_root_maps *r = user;

	pd_info("k8s", "configmap %s: %s", r->name, leads ? "written by us from now on" : "not written by us any more");
	pthread_mutex_lock(&r->lock);
	if (leads)
		ensure_all(r);
	pthread_mutex_unlock(&r->lock);
}

// ---- the watch, on the loop --------------------------------------------------------------------------------------------------

static int on_put(void *user, const struct pd_k8s_item *item, struct pd_k8s_wire_error *why)
{
	struct pd_k8s_root_maps *r = user;
	const char *pem, *label;
	struct pd_json *root;
	struct seen *e;

	if (pd_json_parse(item->arena, item->p, item->n, &root, NULL) != PD_OK) {
		snprintf(why->text, sizeof(why->text), "it is not JSON");
		return PD_E_PARSE;
	}
	pem = pd_json_get_string(pd_json_get(root, "data"), KEY);
	label = pd_json_get_string(pd_json_get(pd_json_get(root, "metadata"), "labels"), LABEL);
	pthread_mutex_lock(&r->lock);
	HASH_FIND_STR(r->seen, item->ns, e);
	if (!e) {
		e = pd_xcalloc(1, sizeof(*e));
		e->ns = pd_xstrdup(item->ns);
		HASH_ADD_KEYPTR(hh, r->seen, e->ns, strlen(e->ns), e);
	}
	e->hash = pem && pd_streq(label, "true") ? hash_of(pem) : 0;
	ensure_name(r, e->ns);
	pthread_mutex_unlock(&r->lock);
	return PD_OK;
}

static void on_remove(void *user, const char *ns, const char *name)
{
	struct pd_k8s_root_maps *r = user;
	struct seen *e;

	(void)name;
	pthread_mutex_lock(&r->lock);
	HASH_FIND_STR(r->seen, ns, e);
	if (e)
		forget(r, e);
	ensure_name(r, ns);
	pthread_mutex_unlock(&r->lock);
}

static void on_flush(void *user, bool more)
{
	(void)user;
	(void)more;
}

static void on_change(void *user)
{
	struct pd_k8s_root_maps *r = user;

	const struct pd_k8s_reflector_status *s = r->reflector ? pd_k8s_reflector_status(r->reflector) : NULL;

	if (!s || !s->synced || s->phase != PD_K8S_WATCHING || s->lists == r->lists) // NULL: it is being made
		return;
	r->lists = s->lists;
	pthread_mutex_lock(&r->lock);
	r->synced = true;
	ensure_all(r); // with what was deleted between two lists, which no event told
	pthread_mutex_unlock(&r->lock);
}

// ---- life --------------------------------------------------------------------------------------------------------------------

static void begin(void *user)
{
	struct pd_k8s_root_maps *r = user;
	char *selector = pd_xasprintf("metadata.name=%s", r->name);
	char *title = pd_xasprintf("%s: configmaps %s", pd_k8s_client_name(r->client), r->name);
	struct pd_k8s_reflector_config cfg = {.title = title,
					      .base = "/api/v1",
					      .resource = "configmaps",
					      .field_selector = selector,
					      .no_stream = true, // they are few and small
					      .transport = pd_k8s_transport_of(r->client),
					      .handler = {r, on_put, on_remove, NULL, on_flush, on_change}};

	r->reflector = pd_k8s_reflector_new(&cfg);
	free(selector);
	free(title);
}

static void end(void *user)
{
	struct pd_k8s_root_maps *r = user;

	pthread_mutex_lock(&r->lock);
	r->stopping = true;
	pthread_mutex_unlock(&r->lock);
	pd_k8s_reflector_free(&r->reflector, false);
	pd_k8s_timer_cancel(r->client, r->again);
}

static void release(struct pd_k8s_root_maps *r)
{
	while (r->seen)
		forget(r, r->seen);
	pd_k8s_ns_free(&r->namespaces);
	pthread_mutex_destroy(&r->lock);
	free(r->pem);
	free(r->name);
	free(r);
}

int pd_k8s_root_maps_start(const struct pd_k8s_root_maps_options *o, struct pd_k8s_root_maps **out)
{
	struct pd_k8s_root_maps *r = pd_xcalloc(1, sizeof(*r));
	struct pd_k8s_leader_options leader = {.client = o->client,
					       .ns = o->system_ns,
					       .name = PD_K8S_LOCK_NAMESPACES,
					       .identity = o->identity,
					       .config_map = true,
					       .on_change = on_leadership,
					       .user = r};
	int rc;

	pthread_mutex_init(&r->lock, NULL);
	r->client = o->client;
	r->name = pd_xstrdup(o->name);
	r->again_ms = o->again_ms ? o->again_ms : PD_K8S_ROOT_MAPS_AGAIN_MS;
	pthread_mutex_lock(&r->lock); // the loop has to wait until `leader` is set
	rc = pd_k8s_leader_new(&leader, &r->leader);
	pthread_mutex_unlock(&r->lock);
	if (rc != PD_OK) {
		release(r);
		return rc;
	}
	r->writer = pd_k8s_writer_new(&(struct pd_k8s_writer_options){.client = r->client});
	pd_k8s_run_wait(r->client, begin, r);
	*out = r;
	return PD_OK;
}

void pd_k8s_root_maps_stop(struct pd_k8s_root_maps **rp)
{
	struct pd_k8s_root_maps *r = *rp;

	*rp = NULL;
	if (!r)
		return;
	pd_k8s_run_wait(r->client, end, r);
	pd_k8s_writer_free(&r->writer); // its writes look at the leader
	pd_k8s_leader_free(&r->leader);
	release(r);
}

// ---- what there should be ----------------------------------------------------------------------------------------------------

void pd_k8s_root_maps_set(struct pd_k8s_root_maps *r, const char *pem)
{
	pthread_mutex_lock(&r->lock);
	free(r->pem);
	r->pem = pd_empty(pem) ? NULL : pd_xstrdup(pem);
	r->hash = hash_of(pem);
	ensure_all(r);
	pthread_mutex_unlock(&r->lock);
}

void pd_k8s_root_maps_select(struct pd_k8s_root_maps *r, Istio__LabelSelector *const *selectors, size_t n)
{
	struct pd_k8s_ns_names in = {0};

	pthread_mutex_lock(&r->lock);
	pd_k8s_ns_select(&r->namespaces, selectors, n, &in);
	for (size_t i = 0; i < in.list.n; i++)
		ensure_name(r, in.list.v[i]);
	pthread_mutex_unlock(&r->lock);
	pd_vec_free(&in.list);
}

void pd_k8s_root_maps_namespace(struct pd_k8s_root_maps *r, const char *name, const struct pd_object *o)
{
	pthread_mutex_lock(&r->lock);
	if (o) {
		pd_k8s_ns_put(&r->namespaces, o);
		ensure_name(r, name);
	} else {
		pd_k8s_ns_remove(&r->namespaces, name);
	}
	pthread_mutex_unlock(&r->lock);
}
