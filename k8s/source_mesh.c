// The ConfigMap with the mesh configuration: one object, followed by a reflector of its own.
#include <stdlib.h>

#include "k8s/core.pb-c.h"
#include "k8s/source_impl.h"

static const char *value_of(const K8s__ConfigMap *c, const char *key)
{
	for (size_t i = 0; i < c->n_data; i++)
		if (pd_streq(c->data[i]->key, key))
			return pd_or(c->data[i]->value, "");
	return NULL;
}

// True if it is another text.
static bool replace(char **text, const char *with)
{
	if (*text && with ? pd_streq(*text, with) : !*text && !with)
		return false;
	free(*text);
	*text = with ? pd_xstrdup(with) : NULL;
	return true;
}

static void take(struct pd_k8s_source *s, const char *mesh, const char *networks)
{
	bool news = replace(&s->mesh_text, mesh);

	news |= replace(&s->networks_text, networks);
	if (news && s->mesh_done)
		s->cfg.mesh(s->cfg.arg, s->mesh_text, s->networks_text);
}

static int on_put(void *user, const struct pd_k8s_item *item, struct pd_k8s_wire_error *why)
{
	struct pd_k8s_source *s = user;
	struct pd_k8s_decode d = {PD_KIND_CONFIG_MAP, s->cluster, s->cfg.issues};
	const K8s__ConfigMap *c;
	struct pd_object *o;
	int rc = pd_k8s_item_decode(item, &d, &o, why);

	if (rc || !o)
		return rc;
	c = (const K8s__ConfigMap *)o->spec;
	take(s, value_of(c, "mesh"), value_of(c, "meshNetworks"));
	pd_obj_unref(o);
	return PD_OK;
}

static void on_remove(void *user, const char *ns, const char *name)
{
	(void)ns;
	(void)name;
	take(user, NULL, NULL);
}

static void on_flush(void *user, bool more)
{
	(void)user;
	(void)more;
}

// Posted behind what the callback may have posted.
static void proceed(void *user)
{
	struct pd_k8s_source *s = user;

	if (s->stopping)
		return;
	s->mesh_told = true;
	pd_k8s_source_advance(s);
}

static void done(struct pd_k8s_source *s)
{
	s->mesh_done = true;
	s->cfg.mesh(s->cfg.arg, s->mesh_text, s->networks_text);
	if (s->transport.post(s->transport.ctx, proceed, s) != PD_OK)
		s->stopping = true;
}

static void on_change(void *user)
{
	struct pd_k8s_source *s = user;
	const struct pd_k8s_reflector_status *r;

	if (s->mesh_done || !s->mesh) // it is being made
		return;
	r = pd_k8s_reflector_status(s->mesh);
	if (r->synced || r->phase == PD_K8S_FORBIDDEN || r->phase == PD_K8S_NOT_SERVED)
		done(s);
}

void pd_k8s_source_mesh_begin(struct pd_k8s_source *s)
{
	struct pd_k8s_reflector_config cfg = {.base = "/api/v1",
					      .resource = "configmaps",
					      .ns = s->cfg.mesh_namespace,
					      .accept = PD_K8S_PROTOBUF "," PD_K8S_JSON,
					      .transport = s->transport,
					      .handler = {s, on_put, on_remove, NULL, on_flush, on_change}};
	char *title, *selector;

	if (!s->cfg.mesh_name) {
		s->mesh_done = s->mesh_told = true;
		return;
	}
	title = pd_xasprintf("%s: configmap %s/%s", s->cluster, s->cfg.mesh_namespace, s->cfg.mesh_name);
	selector = pd_xasprintf("metadata.name=%s", s->cfg.mesh_name);
	cfg.title = title;
	cfg.field_selector = selector;
	s->mesh = pd_k8s_reflector_new(&cfg);
	free(selector);
	free(title);
}
