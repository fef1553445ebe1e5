#include "tests/unit/xds/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "envoy/service/discovery/v3/discovery.pb-c.h"

static void on_invalidate(const struct pd_invalidation *inv, void *arg)
{
	struct rig *r = arg;

	for (size_t i = 0; i < inv->n_views; i++)
		for (enum pd_type t = 0; t < PD_TYPE_COUNT; t++)
			if (inv->views[i].view == r->view && inv->views[i].types & 1u << t)
				pd_session_mark_type(&r->s, t);
	for (size_t i = 0; i < inv->n_names; i++)
		pd_session_mark_name(&r->s, inv->names[i].type, inv->names[i].name);
}

static void open_session(struct rig *r, bool delta)
{
	Envoy__Config__Core__V3__Node node;
	char err[100];

	envoy__config__core__v3__node__init(&node);
	node.id = "sidecar~1.1.1.1~a.default~default.svc.cluster.local";
	PD_ASSERT(pd_engine_view(r->engine, &node, "", &r->view, err, sizeof(err)) == PD_OK);
	pd_session_init(&r->s, &r->env, r->view, delta, r);
}

static void close_session(struct rig *r)
{
	pd_session_free(&r->s);
	pd_view_unref(r->engine, r->view);
	memset(r->nonce, 0, sizeof(r->nonce));
	memset(r->version, 0, sizeof(r->version));
}

void rig_open(struct rig *r, bool delta)
{
	memset(r, 0, sizeof(*r));
	r->engine = pd_engine_new(NULL, NULL);
	pd_engine_listen(r->engine, on_invalidate, r);
	pd_session_env_init(&r->env, r->engine);
	open_session(r, delta);
}

void rig_reconnect(struct rig *r)
{
	bool delta = r->s.delta;

	close_session(r);
	open_session(r, delta);
}

void rig_close(struct rig *r)
{
	close_session(r);
	pd_session_env_free(&r->env);
	pd_engine_free(&r->engine);
}

static size_t split(char *text, char **v)
{
	size_t n = 0;

	for (char *save, *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save))
		v[n++] = w;
	return n;
}

void rig_config(struct rig *r, const char *what)
{
	char *text = pd_xstrdup(what), *v[64], *eq;
	size_t n = split(text, v);
	enum pd_type t = PD_TYPE_COUNT;

	for (size_t i = 0; i < n; i++) {
		for (enum pd_type k = 0; k < PD_TYPE_COUNT; k++) {
			if (strcmp(v[i], pd_types[k].short_name) == 0) {
				t = k;
				v[i] = NULL;
				break;
			}
		}
		if (!v[i])
			continue;
		eq = strchr(v[i], '=');
		if (eq)
			*eq = 0;
		fake_set(r->engine, t, v[i], eq ? eq + 1 : NULL);
	}
	fake_publish(r->engine);
	free(text);
}

static int give(struct rig *r, bool delta, const ProtobufCMessage *m)
{
	size_t n = protobuf_c_message_get_packed_size(m);
	uint8_t *bytes = pd_xmalloc(n + 1);
	struct pd_request req;
	int rc;

	protobuf_c_message_pack(m, bytes);
	rc = pd_request_parse(&req, delta, bytes, n, &r->err);
	if (!rc)
		rc = pd_session_request(&r->s, &req, &r->kind, &r->err);
	free(bytes);
	return rc;
}

int rig_sotw(struct rig *r, enum pd_type t, const char *names, const char *nonce, const char *error)
{
	Envoy__Service__Discovery__V3__DiscoveryRequest m = ENVOY__SERVICE__DISCOVERY__V3__DISCOVERY_REQUEST__INIT;
	Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
	char *text = pd_xstrdup(names), *v[256];
	int rc;

	m.n_resource_names = split(text, v);
	m.resource_names = v;
	m.type_url = (char *)pd_types[t].type_url;
	m.response_nonce = (char *)(nonce ? nonce : r->nonce[t]);
	m.version_info = r->version[t];
	status.code = 13;
	status.message = (char *)pd_or(error, "");
	m.error_detail = error ? &status : NULL;
	rc = give(r, false, &m.base);
	free(text);
	return rc;
}

uint64_t rig_version(enum pd_type t, const char *name, const char *text)
{
	struct pd_resource *r = fake_resource(t, name, text);
	uint64_t v = r->version;

	pd_resource_unref(r);
	return v;
}

int rig_delta(struct rig *r, enum pd_type t, const char *add, const char *del, const char *initial)
{
	Envoy__Service__Discovery__V3__DeltaDiscoveryRequest m =
		ENVOY__SERVICE__DISCOVERY__V3__DELTA_DISCOVERY_REQUEST__INIT;
	Envoy__Service__Discovery__V3__DeltaDiscoveryRequest__InitialResourceVersionsEntry entry[64], *entries[64];
	char *a = pd_xstrdup(add), *d = pd_xstrdup(del), *i = pd_xstrdup(initial), *va[256], *vd[64], *vi[64], *eq;
	char version[64][17];
	int rc;

	m.n_resource_names_subscribe = split(a, va);
	m.resource_names_subscribe = va;
	m.n_resource_names_unsubscribe = split(d, vd);
	m.resource_names_unsubscribe = vd;
	m.type_url = (char *)pd_types[t].type_url;
	m.n_initial_resource_versions = split(i, vi);
	m.initial_resource_versions = entries;
	for (size_t k = 0; k < m.n_initial_resource_versions; k++) {
		eq = strchr(vi[k], '=');
		*eq = 0;
		pd_version_text(rig_version(t, vi[k], eq + 1), version[k]);
		envoy__service__discovery__v3__delta_discovery_request__initial_resource_versions_entry__init(
			&entry[k]);
		entry[k].key = vi[k];
		entry[k].value = version[k];
		entries[k] = &entry[k];
	}
	rc = give(r, true, &m.base);
	free(a);
	free(d);
	free(i);
	return rc;
}

int rig_delta_ack(struct rig *r, enum pd_type t, const char *nonce, const char *error)
{
	Envoy__Service__Discovery__V3__DeltaDiscoveryRequest m =
		ENVOY__SERVICE__DISCOVERY__V3__DELTA_DISCOVERY_REQUEST__INIT;
	Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;

	m.type_url = (char *)pd_types[t].type_url;
	m.response_nonce = (char *)(nonce ? nonce : r->nonce[t]);
	status.code = 13;
	status.message = (char *)pd_or(error, "");
	m.error_detail = error ? &status : NULL;
	return give(r, true, &m.base);
}

int rig_ack(struct rig *r, enum pd_type t)
{
	const struct pd_watch *w = r->s.watch[t];
	struct pd_buf names = {0};
	int rc;

	if (r->s.delta)
		return rig_delta_ack(r, t, NULL, NULL);
	for (size_t i = 0; w->names && i < w->names->n; i++)
		pd_buf_printf(&names, "%s ", w->names->v[i]);
	rc = rig_sotw(r, t, names.p ? names.p : "", NULL, NULL);
	pd_buf_free(&names);
	return rc;
}

// A StringValue: tag, length (two bytes from 128 on), text.
static void show_resource(struct pd_buf *b, const struct pd_resource *r)
{
	size_t n, skip;
	uint8_t *v = pd_resource_value(r, &n);

	skip = v[1] & 0x80 ? 3 : 2;
	pd_buf_printf(b, "%.*s,", (int)(n - skip), (char *)v + skip);
	free(v);
}

static void show(struct rig *r, struct pd_buf *b, const struct pd_answer *a)
{
	pd_buf_printf(b, "%s%s{", b->n ? " " : "", pd_types[a->type].short_name);
	for (int k = 0; a->full && k < PD_SET_SEGMENTS; k++)
		for (size_t i = 0; a->set->seg[k] && i < a->set->seg[k]->n; i++)
			show_resource(b, a->set->seg[k]->v[i]);
	for (size_t i = 0; i < a->res.n; i++)
		show_resource(b, a->res.v[i]);
	for (size_t i = 0; i < a->removed.n; i++)
		pd_buf_printf(b, "-%s,", a->removed.v[i]);
	if (b->p[b->n - 1] == ',')
		b->n--;
	pd_buf_addc(b, '}');
	pd_version_text(a->version, r->version[a->type]);
}

const char *rig_pass(struct rig *r)
{
	struct pd_buf b = {0};
	struct pd_pass pass;

	pd_pass_run(&r->s, &pass);
	for (size_t i = 0; i < pass.n; i++) {
		uint64_t nonce = pd_session_commit(&r->s, &pass.v[i]);

		if (!pass.v[i].send) {
			PD_ASSERT(!nonce);
			continue;
		}
		show(r, &b, &pass.v[i]);
		pd_nonce_text(&r->env, nonce, r->nonce[pass.v[i].type]);
	}
	pd_pass_free(&pass);
	snprintf(r->text, sizeof(r->text), "%s", b.p ? b.p : "");
	pd_buf_free(&b);
	return r->text;
}
