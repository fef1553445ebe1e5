#include "cmd/pilotd/kube.h"

#include <stdlib.h>

#include "base/log.h"
#include "cmd/pilotd/debug.h"
#include "discovery/engine.h"
#include "k8s/access_review.h"
#include "k8s/client.h"
#include "k8s/config.h"
#include "k8s/source.h"
#include "xds/control.h"

#define MESH_CONFIG_MAP "istio"

bool kube_wanted(const struct options *o)
{
	return *o->kubeconfig || *o->context || !*o->config_dir;
}

// ---- mesh configuration --------------------------------------------------------------------------------------------------

// Each key is an origin of its own: what is good in one must not clear the issues of the other.
static void part(struct kube *k, enum pd_mesh_part which, const char *key, const char *text)
{
	char *origin = pd_xasprintf("%s, key %s", k->map, key);
	pd_mesh_input_text(k->mesh, which, PD_MESH_FROM_CLUSTER, text, text ? strlen(text) : 0, origin);
	free(origin);
}

static void on_mesh(void *arg, const char *mesh, const char *networks)
{
	struct kube *k = arg;
	part(k, PD_MESH_CONFIG, "mesh", mesh);
	part(k, PD_MESH_NETWORKS, "meshNetworks", networks);
	if (!k->told)
		pd_mesh_input_ready(k->mesh);
	k->told = true;
}

void kube_select(struct kube *k, const struct pd_mesh *mesh)
{
	if (k->source)
		pd_k8s_source_select(k->source, mesh->config->discovery_selectors, mesh->config->n_discovery_selectors);
}

// ---- who may read Secrets --------------------------------------------------------------------------------------------------

static void ask(void *arg, const char *ns, const char *account)
{
	struct kube *k = arg;
	pd_k8s_review_access(k->access, ns, account);
}

static void answered(void *arg, const char *ns, const char *account, bool allowed)
{
	struct kube *k = arg;
	pthread_mutex_lock(&k->access_lock);
	if (k->control)
		pd_control_access(k->control, ns, account, allowed);
	pthread_mutex_unlock(&k->access_lock);
}

void kube_ask_access(struct kube *k, struct pd_engine *engine, struct pd_control *control)
{
	pthread_mutex_init(&k->access_lock, NULL);
	k->control = control;
	k->access = pd_k8s_access_reviewer_new(k->client, answered, k);
	pd_engine_ask_access(engine, ask, k);
}

// ---- start and stop ------------------------------------------------------------------------------------------------------

int kube_connect(struct kube *k, const struct options *o, struct pd_buf *err)
{
	const struct pd_k8s_config_options where = {.kubeconfig = o->kubeconfig, .context = o->context};
	struct pd_k8s_client_options client = {.name = o->settings.cluster, .user_agent = "pilotd/" PD_VERSION};
	int rc = pd_k8s_config_load(&where, &client.config, err);
	if (rc == PD_E_NOTFOUND && !*o->kubeconfig)
		pd_buf_adds(err, ": --kubeconfig or --configDir is needed");
	if (rc != PD_OK)
		return rc;
	rc = pd_k8s_client_new(&client, &k->client);
	if (rc != PD_OK)
		pd_buf_printf(err, "client of Kubernetes: %s", pd_strerror(rc));
	return rc;
}

int kube_start(struct kube *k, const struct options *o, struct pd_sink *sink, struct pd_issues *issues,
	       struct pd_mesh_input *mesh, struct pd_buf *err)
{
	// Certificates of gateways.
	static const enum pd_kind more[] = {PD_KIND_SECRET, PD_KIND_CONFIG_MAP};
	int rc;
	k->mesh = mesh;
	k->map = pd_xasprintf("configmap %s/%s", o->settings.system_ns, MESH_CONFIG_MAP);
	const struct pd_k8s_source_config cfg = {.client = k->client,
						 .cluster = o->settings.cluster,
						 .sink = sink,
						 .issues = issues,
						 .more = more,
						 .n_more = sizeof(more) / sizeof(more[0]),
						 .mesh_namespace = o->settings.system_ns,
						 .mesh_name = MESH_CONFIG_MAP,
						 .mesh = on_mesh,
						 .arg = k};
	pd_info("k8s", "%s: %s", o->settings.cluster, pd_k8s_client_server(k->client));
	rc = pd_k8s_source_start(&cfg, &k->source);
	if (rc != PD_OK)
		pd_buf_printf(err, "source Kubernetes: %s", pd_strerror(rc));
	k->running = rc == PD_OK;
	return rc;
}

void kube_stop(struct kube *k)
{
	pd_k8s_source_stop(&k->source, false);
	if (k->access) {
		pthread_mutex_lock(&k->access_lock);
		k->control = NULL; // it goes before the client does
		pthread_mutex_unlock(&k->access_lock);
	}
	free(k->map);
	k->map = NULL;
}

void kube_disconnect(struct kube *k)
{
	pd_k8s_client_free(&k->client);
	if (k->access)
		pthread_mutex_destroy(&k->access_lock);
	pd_k8s_access_reviewer_free(&k->access);
}

// ---- debug ---------------------------------------------------------------------------------------------------------------

static const char *phase_name(const struct pd_k8s_kind_status *s)
{
	static const char *const names[] = {[PD_K8S_SYNCING] = "Syncing",
					    [PD_K8S_WATCHING] = "Watching",
					    [PD_K8S_WAITING] = "Waiting",
					    [PD_K8S_FORBIDDEN] = "Forbidden",
					    [PD_K8S_NOT_SERVED] = "NotServed"};
	return s->version ? names[s->reflector.phase] : names[PD_K8S_NOT_SERVED];
}

static void add_kind(struct pd_buf *b, const struct pd_k8s_kind_status *s)
{
	const struct pd_k8s_reflector_status *r = &s->reflector;
	const struct pd_kind_info *info = pd_kind_info(s->kind);
	const struct {
		const char *name;
		uint64_t value;
	} counts[] = {{"objects", r->objects},       {"lists", r->lists},         {"pages", r->pages},
		      {"watches", r->watches},       {"events", r->events},       {"bookmarks", r->bookmarks},
		      {"repeated", r->repeated},     {"unchanged", r->unchanged}, {"expired", r->expired},
		      {"failures", r->failures},     {"broken", r->broken},       {"skipped", r->skipped},
		      {"knownBytes", s->known_bytes}};
	pd_buf_printf(b, "{\"group\":\"%s\",\"kind\":\"%s\",\"version\":\"%s\",\"phase\":\"%s\",\"synced\":%s",
		      info->group, info->kind, pd_or(s->version, ""), phase_name(s), r->synced ? "true" : "false");
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		pd_buf_printf(b, ",\"%s\":%llu", counts[i].name, (unsigned long long)counts[i].value);
	pd_buf_adds(b, ",\"resourceVersion\":");
	pd_buf_json(b, r->rv);
	pd_buf_adds(b, ",\"error\":");
	pd_buf_json(b, r->error);
	pd_buf_addc(b, '}');
}

static void kubernetesz(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct kube *k = arg;
	struct pd_k8s_source_stats *s;
	struct pd_k8s_client_stats client;
	if (!k->running) {
		pd_http_error(out, 404, "Kubernetes is no source of this pilotd");
		return;
	}
	s = pd_xmalloc(sizeof(*s));
	pd_k8s_source_stats(k->source, s);
	pd_k8s_client_stats(k->client, &client);
	pd_buf_printf(&out->body,
		      "{\"server\":\"%s\",\"synced\":%s,\"changes\":%llu,\"batches\":%llu,\"namespaces\":%llu,"
		      "\"selectedNamespaces\":%llu,\"connections\":%llu,\"bytes\":%llu,\"kinds\":[",
		      pd_k8s_client_server(k->client), s->synced ? "true" : "false", (unsigned long long)s->changes,
		      (unsigned long long)s->batches, (unsigned long long)s->namespaces,
		      (unsigned long long)s->selected, (unsigned long long)client.open,
		      (unsigned long long)client.bytes);
	for (size_t i = 0; i < s->n; i++) {
		if (i)
			pd_buf_addc(&out->body, ',');
		add_kind(&out->body, &s->v[i]);
	}
	pd_buf_adds(&out->body, "]}");
	free(s);
	debug_send_json(r, out);
}

static const struct pd_http_route routes[] = {
	{.path = "/debug/kubernetesz", .handler = kubernetesz, .help = "how each kind is followed at the API server"},
};

void kube_add_debug(struct pd_http *h, struct kube *k)
{
	pd_http_add_routes(h, routes, sizeof(routes) / sizeof(routes[0]), k);
}
