#include <stdlib.h>

#include "base/hash.h"
#include "tests/load/load_proxy.h"

static void put_value_str(struct pd_buf *b, struct pd_buf *tmp, const char *key, const char *value)
{
	tmp->n = 0;
	struct pd_buf v = {0};
	pd_put_str(&v, 3, value); // Value.string_value
	pd_put_str(tmp, 1, key);
	pd_put_bytes(tmp, 2, v.p, v.n);
	pd_put_bytes(b, 1, tmp->p, tmp->n); // Struct.fields
	pd_buf_free(&v);
}

// The metadata of an injected sidecar, as far as a control plane reads it.
static void put_metadata(struct pd_buf *b, const struct pd_load_proxy *p, const char *app, const char *pod,
			 const char *ns, const char *ip)
{
	(void)p;
	struct pd_buf tmp = {0}, labels = {0}, value = {0};
	put_value_str(&labels, &tmp, "app", app);
	put_value_str(&labels, &tmp, "version", "v1");
	put_value_str(&labels, &tmp, "service.istio.io/canonical-name", app);
	put_value_str(&labels, &tmp, "service.istio.io/canonical-revision", "v1");
	put_value_str(&labels, &tmp, "security.istio.io/tlsMode", "istio");
	put_value_str(b, &tmp, "NAME", pod);
	put_value_str(b, &tmp, "NAMESPACE", ns);
	put_value_str(b, &tmp, "CLUSTER_ID", "Kubernetes");
	put_value_str(b, &tmp, "MESH_ID", "cluster.local");
	put_value_str(b, &tmp, "ISTIO_VERSION", "1.31.0");
	put_value_str(b, &tmp, "INSTANCE_IPS", ip);
	put_value_str(b, &tmp, "INTERCEPTION_MODE", "REDIRECT");
	put_value_str(b, &tmp, "SERVICE_ACCOUNT", app);
	put_value_str(b, &tmp, "WORKLOAD_NAME", app);
	put_value_str(b, &tmp, "NODE_NAME", "n1");
	pd_put_bytes(&value, 5, labels.p, labels.n); // Value.struct_value
	tmp.n = 0;
	pd_put_str(&tmp, 1, "LABELS");
	pd_put_bytes(&tmp, 2, value.p, value.n);
	pd_put_bytes(b, 1, tmp.p, tmp.n);
	pd_buf_free(&tmp);
	pd_buf_free(&labels);
	pd_buf_free(&value);
}

// Node: id 1, cluster 2, metadata 3, user_agent_name 6. Only the first request of a stream carries it.
static void put_node(struct pd_buf *b, struct pd_load_proxy *p, uint32_t field)
{
	const struct pd_world *world = p->worker->shared->world;
	uint32_t service = p->index % world->services, pod = p->index / world->services;
	char app[PD_WORLD_NAME], name[PD_WORLD_NAME], ns[PD_WORLD_NAME], ip[PD_WORLD_NAME];
	struct pd_buf node = {0}, text = {0};
	if (p->node_sent)
		return;
	p->node_sent = true;
	pd_world_service(service, app);
	pd_world_pod(service, pod, name);
	pd_world_namespace(service, ns);
	pd_world_pod_ip(world, service, pod, ip);
	pd_buf_printf(&text, "sidecar~%s~%s.%s~%s.svc.cluster.local", ip, name, ns, ns);
	pd_put_str(&node, 1, text.p);
	pd_buf_reset(&text);
	pd_buf_printf(&text, "%s.%s", app, ns);
	pd_put_str(&node, 2, text.p);
	pd_buf_reset(&text);
	put_metadata(&text, p, app, name, ns, ip);
	pd_put_bytes(&node, 3, text.p, text.n);
	pd_put_str(&node, 6, "envoy");
	pd_put_bytes(b, field, node.p, node.n);
	pd_buf_free(&node);
	pd_buf_free(&text);
}

static void put_names(struct pd_load_proxy *p, enum pd_load_type t, struct pd_buf *b, uint32_t field,
		      const uint32_t *names, size_t n)
{
	const struct pd_load_names *all = &p->worker->cache.names[t];
	for (size_t i = 0; i < n; i++)
		pd_put_str(b, field, all->text.v[names[i]]);
}

// All subscribed names, encoded as field 3 (of both kinds of request). Proxies with the same subscription share the bytes.
static grpc_slice nameset(struct pd_load_proxy *p, enum pd_load_type t)
{
	struct pd_load_worker *w = p->worker;
	struct pd_type_state *ts = &p->types[t];
	struct pd_buf b = {0};
	uint32_t at = 0;
	if (ts->wanted == 0)
		return grpc_empty_slice();
	if (pd_idmap_get(&w->nameset_by_hash[t], ts->set_hash, &at))
		return grpc_slice_ref(w->namesets.v[at]);
	for (uint32_t i = 0; i < ts->slots.n; i++)
		if (ts->slots.v[i].subscribed)
			put_names(p, t, &b, 3, &i, 1);
	grpc_slice s = grpc_slice_from_copied_buffer(b.p, b.n);
	pd_buf_free(&b);
	pd_idmap_put(&w->nameset_by_hash[t], ts->set_hash, (uint32_t)w->namesets.n);
	pd_vec_push(&w->namesets, s);
	return grpc_slice_ref(s);
}

// head and tail are emptied; `names` is taken over.
static grpc_byte_buffer *assemble(struct pd_buf *head, grpc_slice names, struct pd_buf *tail)
{
	grpc_slice s[3] = {grpc_slice_from_copied_buffer(head->p ? head->p : "", head->n), names,
			   grpc_slice_from_copied_buffer(tail->p ? tail->p : "", tail->n)};
	grpc_byte_buffer *bb = grpc_raw_byte_buffer_create(s, 3);
	for (int i = 0; i < 3; i++)
		grpc_slice_unref(s[i]);
	head->n = tail->n = 0;
	return bb;
}

// DiscoveryRequest: version_info 1, node 2, resource_names 3, type_url 4, response_nonce 5.
grpc_byte_buffer *pd_request_sotw(struct pd_load_proxy *p, enum pd_load_type t)
{
	struct pd_load_worker *w = p->worker;
	struct pd_type_state *ts = &p->types[t];
	struct pd_buf *head = &w->buf, *tail = &w->buf2;
	if (ts->version[0])
		pd_put_str(head, 1, ts->version);
	put_node(head, p, 2);
	pd_put_str(tail, 4, pd_load_type_url(t));
	if (ts->nonce[0])
		pd_put_str(tail, 5, ts->nonce);
	return assemble(head, nameset(p, t), tail);
}

// DeltaDiscoveryRequest: node 1, type_url 2, resource_names_subscribe 3, resource_names_unsubscribe 4,
// initial_resource_versions 5 (map), response_nonce 6.
grpc_byte_buffer *pd_request_delta(struct pd_load_proxy *p, enum pd_load_type t, const char *nonce)
{
	struct pd_load_worker *w = p->worker;
	struct pd_buf *head = &w->buf, *tail = &w->buf2;
	put_node(head, p, 1);
	pd_put_str(head, 2, pd_load_type_url(t));
	put_names(p, t, head, 3, w->added.v, w->added.n);
	put_names(p, t, tail, 4, w->dropped.v, w->dropped.n);
	if (nonce)
		pd_put_str(tail, 6, nonce);
	return assemble(head, grpc_empty_slice(), tail);
}

grpc_byte_buffer *pd_request_delta_first(struct pd_load_proxy *p, enum pd_load_type t)
{
	struct pd_load_worker *w = p->worker;
	const struct pd_type_state *ts = &p->types[t];
	struct pd_buf *head = &w->buf, *tail = &w->buf2, entry = {0};
	put_node(head, p, 1);
	pd_put_str(head, 2, pd_load_type_url(t));
	for (uint32_t i = 0; i < ts->slots.n; i++) {
		const struct pd_slot *s = &ts->slots.v[i];
		if (!s->parsed || s->version == 0)
			continue;
		entry.n = 0;
		pd_put_str(&entry, 1, w->cache.names[t].text.v[i]);
		pd_put_str(&entry, 2, w->cache.versions.text.v[s->version]);
		pd_put_bytes(tail, 5, entry.p, entry.n);
	}
	pd_buf_free(&entry);
	return assemble(head, nameset(p, t), tail);
}
