// Node → view: check, reduce to what rules read, canonicalise. Everything in a Node is from outside and bounded here.
#include "discovery/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/codec.h"
#include "api/pb.h"
#include "base/addr.h"
#include "base/hash.h"
#include "base/str.h"
#include "discovery/snapshot.h"

struct parse {
	const struct pd_snapshot *snap;
	const Google__Protobuf__Struct *meta;
	struct pd_view *view;
	struct pd_arena *a;
	char *err;
	size_t err_len;
};

static int fail(struct parse *p, const char *fmt, const char *arg)
{
	snprintf(p->err, p->err_len, fmt, arg);
	return PD_E_INVALID;
}

static const char *meta_string(const struct parse *p, const char *key)
{
	return pb_struct_get_string(p->meta, key);
}

// Booleans are strings in node metadata ("true", "1"); a JSON boolean is taken too, which harms nobody.
static bool meta_bool(const struct parse *p, const char *key)
{
	const Google__Protobuf__Value *v = pb_struct_get(p->meta, key);
	if (!v)
		return false;
	if (v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE)
		return v->bool_value;
	const char *s = pb_struct_get_string(p->meta, key);
	return s && (pd_streq(s, "1") || pd_streq(s, "t") || pd_streq(s, "T") || pd_streq(s, "true") ||
		     pd_streq(s, "TRUE") || pd_streq(s, "True"));
}

static uint32_t meta_port(const struct parse *p, const char *key)
{
	const Google__Protobuf__Value *v = pb_struct_get(p->meta, key);
	double n = 0;
	if (v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE)
		n = v->number_value;
	else if (v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE)
		n = strtod(v->string_value, NULL);
	return n > 0 && n < 65536 ? (uint32_t)n : 0;
}

static const char *copy_interned(const char *s)
{
	return pd_intern(pd_or(s, ""));
}

static int parse_type(struct parse *p, const char *s, size_t n)
{
	static const struct {
		const char *name;
		enum pd_node_type type;
	} types[] = {{"sidecar", PD_NODE_SIDECAR},
		     {"router", PD_NODE_ROUTER},
		     {"waypoint", PD_NODE_WAYPOINT},
		     {"ztunnel", PD_NODE_ZTUNNEL}};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strlen(types[i].name) == n && memcmp(types[i].name, s, n) == 0) {
			p->view->key.type = types[i].type;
			return PD_OK;
		}
	}
	return fail(p, "invalid node type %s", pd_arena_strndup(p->a, s, n));
}

static bool is_ip(const char *s)
{
	return pd_is_ip(s);
}

// INSTANCE_IPS first, the id's second field only as a fallback.
static int parse_ips(struct parse *p, const char *id_ip)
{
	PD_VEC(const char *) ips = {0};
	const char *list = meta_string(p, "INSTANCE_IPS");
	for (const char *s = list; s && *s;) {
		size_t n = strcspn(s, ",");
		const char *ip = pd_arena_strndup(p->a, s, n);
		if (is_ip(ip))
			pd_vec_push_a(p->a, &ips, ip);
		s += n + (s[n] == ',');
	}
	if (!ips.n && is_ip(id_ip))
		pd_vec_push_a(p->a, &ips, id_ip);
	if (!ips.n)
		return fail(p, "no valid IP address in the node id or metadata INSTANCE_IPS (%s)", id_ip);
	for (size_t i = 0; i < ips.n; i++) {
		p->view->key.ipv4 |= pd_is_ipv4(ips.v[i]);
		p->view->key.ipv6 |= pd_is_ipv6(ips.v[i]);
	}
	p->view->ips = ips.v;
	p->view->n_ips = ips.n;
	return PD_OK;
}

// "<type>~<ip>~<id>~<domain>"
static int parse_id(struct parse *p, const char *id)
{
	const char *f[4], *s = id;
	size_t len[4];
	for (int i = 0; i < 4; i++) {
		f[i] = s;
		len[i] = i < 3 ? strcspn(s, "~") : strlen(s);
		if ((i < 3) != (s[len[i]] == '~') || memchr(s, '~', len[i]))
			return fail(p, "missing parts in the service node %s", id);
		s += len[i] + 1;
	}
	int rc = parse_type(p, f[0], len[0]);
	if (rc == PD_OK)
		rc = parse_ips(p, pd_arena_strndup(p->a, f[1], len[1]));
	p->view->key.dns_domain = pd_intern_n(f[3], len[3]);
	const char *ns = meta_string(p, "NAMESPACE");
	p->view->key.ns = ns && *ns ? pd_intern(ns) : pd_intern_n(f[3], strcspn(f[3], "."));
	return rc;
}

static int cmp_label(const void *x, const void *y)
{
	return strcmp(((const struct pd_label *)x)->key, ((const struct pd_label *)y)->key);
}

static int labels_from_struct(struct parse *p, const Google__Protobuf__Struct *s)
{
	if (!s)
		return PD_OK;
	if (s->n_fields > PD_NODE_LABELS_MAX)
		return fail(p, "too many %s in node metadata", "LABELS");
	struct pd_label *v = PD_NEWN(p->a, struct pd_label, s->n_fields + 1);
	size_t n = 0;
	for (size_t i = 0; i < s->n_fields; i++) {
		const Google__Protobuf__Value *value = s->fields[i]->value;
		if (value && value->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE)
			v[n++] = (struct pd_label){pd_intern(s->fields[i]->key), pd_intern(value->string_value)};
	}
	qsort(v, n, sizeof(*v), cmp_label);
	p->view->labels = (struct pd_labels){n, v};
	return PD_OK;
}

// The labels of the registry win over what the proxy says of itself.
static int parse_labels(struct parse *p, const Envoy__Config__Core__V3__Node *node)
{
	const struct pd_workload *w = pd_registry_get(p->snap->derived, PD_IX_WORKLOAD, p->view->ips[0]);
	struct pd_view *v = p->view;
	if (w && pd_streq(w->ns, v->key.ns) && pd_streq(w->cluster, v->key.cluster)) {
		struct pd_label *copy = PD_NEWN(p->a, struct pd_label, w->labels.n + 1);
		for (size_t i = 0; i < w->labels.n; i++)
			copy[i] = (struct pd_label){pd_intern_ref(w->labels.v[i].key),
						    pd_intern_ref(w->labels.v[i].value)};
		v->labels = (struct pd_labels){w->labels.n, copy};
		v->key.locality = copy_interned(w->locality);
		return PD_OK;
	}
	const Envoy__Config__Core__V3__Locality *l = node->locality;
	v->key.locality =
		copy_interned(l && l->region && *l->region ? pd_arena_printf(p->a, "%s/%s/%s", l->region,
									     pd_or(l->zone, ""), pd_or(l->sub_zone, ""))
							   : "");
	return labels_from_struct(p, pb_struct_get_struct(p->meta, "LABELS"));
}

static const char *first_label(const struct pd_labels *l, const char *const *keys, const char *otherwise)
{
	for (; *keys; keys++) {
		const char *v = pd_labels_get(l, *keys);
		if (v && *v)
			return v;
	}
	return otherwise;
}

static void parse_canonical(struct parse *p)
{
	static const char *const name_keys[] = {"service.istio.io/canonical-name", "app.kubernetes.io/name", "app",
						NULL};
	static const char *const revision_keys[] = {"service.istio.io/canonical-revision", "app.kubernetes.io/version",
						    "version", NULL};
	struct pd_view *v = p->view;
	v->canonical_name = copy_interned(first_label(&v->labels, name_keys, v->workload_name));
	v->canonical_revision = copy_interned(first_label(&v->labels, revision_keys, "latest"));
}

// The headless services that select the proxy are the one rule that reads a proxy's own address: without them replicas
// need not be told apart.
static bool reads_own_address(const struct parse *p)
{
	const struct pd_labels *l = &p->view->labels;
	for (size_t i = 0; i < l->n; i++) {
		const char *key = pd_arena_printf(p->a, "%s/%s=%s", p->view->key.ns, l->v[i].key, l->v[i].value);
		const struct pd_service_list *list = pd_registry_get(p->snap->derived, PD_IX_TARGETS, key);
		for (size_t j = 0; list && j < list->n; j++)
			if (list->v[j]->resolution == PD_RES_PASSTHROUGH && pd_labels_match(&list->v[j]->selector, l))
				return true;
	}
	return false;
}

static uint32_t parse_capabilities(const struct parse *p, const Envoy__Config__Core__V3__Node *node)
{
	static const struct {
		const char *name;
		uint32_t bits;
	} known[] = {
		{"istio.metadata_exchange", PD_CAP_METADATA_EXCHANGE_HTTP | PD_CAP_METADATA_EXCHANGE_NETWORK},
		{"envoy.filters.http.peer_metadata", PD_CAP_METADATA_EXCHANGE_HTTP},
		{"envoy.filters.network.metadata_exchange", PD_CAP_METADATA_EXCHANGE_NETWORK},
		{"istio.alpn", PD_CAP_ALPN},
		{"istio.stats", PD_CAP_STATS},
		{"envoy.filters.network.mongo_proxy", PD_CAP_MONGO},
		{"envoy.filters.network.mysql_proxy", PD_CAP_MYSQL},
		{"envoy.filters.network.redis_proxy", PD_CAP_REDIS},
	};
	if (!node->n_extensions)
		return meta_string(p, "ISTIO_VERSION") ? PD_CAP_ALL : PD_CAP_MONGO | PD_CAP_REDIS;
	uint32_t caps = 0;
	for (size_t i = 0; i < node->n_extensions; i++)
		for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
			if (pd_streq(node->extensions[i]->name, known[k].name))
				caps |= known[k].bits;
	return caps;
}

static int parse_proxy_config(struct parse *p)
{
	const Google__Protobuf__Struct *s = pb_struct_get_struct(p->meta, "PROXY_CONFIG");
	if (!s || !s->n_fields) {
		p->view->key.proxy_config = pd_intern("");
		return PD_OK;
	}
	struct pd_buf b = {0};
	int rc = pd_codec_encode(&b, s, 0);
	if (rc == PD_OK)
		p->view->key.proxy_config = pd_intern(b.p);
	else
		rc = fail(p, "PROXY_CONFIG in node metadata is nested too deeply%s", "");
	pd_buf_free(&b);
	return rc;
}

static int parse_metadata(struct parse *p, const Envoy__Config__Core__V3__Node *node)
{
	static const char *const port_keys[] = {"ENVOY_STATUS_PORT", "ENVOY_PROMETHEUS_PORT",
						"ENVOY_SECURE_METRICS_PORT", "ENVOY_SECURE_MERGED_METRICS_PORT"};
	struct pd_view *v = p->view;
	v->key.cluster = copy_interned(pd_or(meta_string(p, "CLUSTER_ID"), p->snap->settings->cluster));
	v->key.network = copy_interned(meta_string(p, "NETWORK"));
	v->key.network_view = copy_interned(meta_string(p, "REQUESTED_NETWORK_VIEW"));
	const char *mode = meta_string(p, "INTERCEPTION_MODE");
	v->key.interception = pd_streq(mode, "TPROXY") ? PD_INTERCEPT_TPROXY
			      : pd_streq(mode, "NONE") ? PD_INTERCEPT_NONE
						       : PD_INTERCEPT_REDIRECT;
	v->key.caps = parse_capabilities(p, node);
	v->service_account = copy_interned(meta_string(p, "SERVICE_ACCOUNT"));
	v->mesh_id = copy_interned(meta_string(p, "MESH_ID"));
	v->istio_version = copy_interned(meta_string(p, "ISTIO_VERSION"));
	v->key.node = copy_interned(meta_string(p, "NODE_NAME"));
	v->workload_name = copy_interned(meta_string(p, "WORKLOAD_NAME"));
	v->key.unprivileged_pod = meta_bool(p, "UNPRIVILEGED_POD");
	v->key.http10 = meta_bool(p, "HTTP10");
	v->key.dns_capture = meta_bool(p, "DNS_CAPTURE");
	v->key.dns_auto_allocate = !pb_struct_get(p->meta, "DNS_AUTO_ALLOCATE") || meta_bool(p, "DNS_AUTO_ALLOCATE");
	const char *idle = meta_string(p, "IDLE_TIMEOUT");
	v->key.idle_timeout = copy_interned(idle);
	for (size_t i = 0; i < sizeof(port_keys) / sizeof(port_keys[0]); i++)
		v->key.reserved_ports[i] = meta_port(p, port_keys[i]);
	int rc = parse_proxy_config(p);
	if (rc == PD_OK)
		rc = parse_labels(p, node);
	if (rc != PD_OK)
		return rc;
	parse_canonical(p);
	if (!reads_own_address(p)) {
		v->ips = NULL;
		v->n_ips = 0;
	}
	return PD_OK;
}

// ---- identity of a view: one canonical text, compared and hashed -------------------------------------------------------

static void canonical(const struct pd_view *v, struct pd_buf *b)
{
	const struct pd_proxy_key *k = &v->key;
	pd_buf_printf(b, "%d|%s|%s|%s|%s|%s|%s|%u|%d%d%d|", k->type, k->ns, k->dns_domain, k->cluster, k->network,
		      k->network_view, k->locality, k->caps, k->ipv4, k->ipv6, k->interception);
	pd_buf_printf(b, "%s|%s|%s|%s|%s|%s|%s|%d%d%d%d|%s|", v->service_account, v->mesh_id, v->istio_version,
		      v->key.node, v->workload_name, v->canonical_name, v->canonical_revision, v->key.unprivileged_pod,
		      v->key.http10, v->key.dns_capture, v->key.dns_auto_allocate, v->key.idle_timeout);
	for (size_t i = 0; i < sizeof(v->key.reserved_ports) / sizeof(v->key.reserved_ports[0]); i++)
		pd_buf_printf(b, "%u,", v->key.reserved_ports[i]);
	for (size_t i = 0; i < v->n_ips; i++)
		pd_buf_printf(b, "|ip=%s", v->ips[i]);
	for (size_t i = 0; i < v->labels.n; i++)
		pd_buf_printf(b, "|%s=%s", v->labels.v[i].key, v->labels.v[i].value);
	pd_buf_printf(b, "|%s|%s|%s", v->verified_account, v->key.proxy_config, pd_or(v->metadata, ""));
}

bool pd_view_equal(const struct pd_view *a, const struct pd_view *b)
{
	if (a->hash != b->hash)
		return false;
	struct pd_buf x = {0}, y = {0};
	canonical(a, &x);
	canonical(b, &y);
	bool same = pd_streq(x.p, y.p);
	pd_buf_free(&x);
	pd_buf_free(&y);
	return same;
}

static void view_release(struct pd_obj *o)
{
	struct pd_view *v = (struct pd_view *)o;
	const char *interned[] = {v->key.ns,           v->key.dns_domain, v->key.cluster,        v->key.network,
				  v->key.network_view, v->key.locality,   v->key.idle_timeout,   v->key.proxy_config,
				  v->service_account,  v->mesh_id,        v->istio_version,      v->key.node,
				  v->workload_name,    v->canonical_name, v->canonical_revision, v->verified_account};
	for (size_t i = 0; i < sizeof(interned) / sizeof(interned[0]); i++)
		pd_unintern(interned[i]);
	for (size_t i = 0; i < v->labels.n; i++) {
		pd_unintern(v->labels.v[i].key);
		pd_unintern(v->labels.v[i].value);
	}
	pd_arena_free(&v->arena);
	free(v);
}

int pd_view_from_node(const struct pd_snapshot *snap, const Envoy__Config__Core__V3__Node *node,
		      const char *verified_account, struct pd_view **out, char *err, size_t err_len)
{
	struct pd_view *v = pd_xcalloc(1, sizeof(*v));
	pd_obj_init(&v->obj, view_release);
	v->arena.first_chunk = 512;
	struct parse p = {snap, node->metadata, v, &v->arena, err, err_len};
	int rc;
	if (pd_empty(node->id))
		rc = fail(&p, "missing node information: Node.id is empty%s", "");
	else if (strlen(node->id) > PD_NODE_ID_MAX)
		rc = fail(&p, "Node.id is too long%s", "");
	else if (node->metadata && pb_packed_size(node->metadata) > PD_NODE_METADATA_MAX)
		rc = fail(&p, "Node.metadata is too large%s", "");
	else
		rc = parse_id(&p, node->id);
	if (rc == PD_OK)
		rc = parse_metadata(&p, node);
	v->verified_account = pd_intern(verified_account);
	if (rc != PD_OK) {
		pd_obj_unref(v);
		return rc;
	}
	struct pd_buf b = {0};
	canonical(v, &b);
	v->hash = pd_hash(b.p, b.n);
	pd_buf_free(&b);
	*out = v;
	return PD_OK;
}
