#include "proxy/sds_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "envoy/service/discovery/v3/discovery.pb-c.h"
#include "xds/request.h"

typedef Envoy__Service__Discovery__V3__DiscoveryResponse DiscoveryResponse;
typedef Envoy__Service__Discovery__V3__DeltaDiscoveryResponse DeltaDiscoveryResponse;
typedef Envoy__Service__Discovery__V3__Resource Resource;

#define NONCE_TEXT 24

void pd_sds_session_free(struct pd_sds_session *s)
{
	for (size_t i = 0; i < s->subs.n; i++)
		free(s->subs.v[i].name);
	pd_vec_free(&s->subs);
}

static struct pd_sds_sub *find(struct pd_sds_session *s, struct pd_span name)
{
	for (size_t i = 0; i < s->subs.n; i++)
		if (pd_span_is(name, s->subs.v[i].name, strlen(s->subs.v[i].name)))
			return &s->subs.v[i];
	return NULL;
}

static int add(struct pd_sds_session *s, struct pd_span name, struct pd_buf *why)
{
	if (name.n > PD_SECRET_NAME_MAX || s->subs.n == PD_SECRETS_MAX) {
		pd_buf_adds(why, name.n > PD_SECRET_NAME_MAX ? "name too long" : "too many names");
		return PD_E_LIMIT;
	}
	char *copy = pd_xstrndup(name.p, name.n);
	if (s->wanted)
		s->wanted(copy, s->arg);
	pd_vec_push(&s->subs, (struct pd_sds_sub){.name = copy});
	return PD_OK;
}

static void drop(struct pd_sds_session *s, struct pd_sds_sub *sub)
{
	free(sub->name);
	*sub = s->subs.v[--s->subs.n];
}

static void nonce_text(uint64_t nonce, char *out)
{
	out[0] = 0;
	if (nonce)
		snprintf(out, NONCE_TEXT, "%llu", (unsigned long long)nonce);
}

static bool contains(const struct pd_span *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (pd_span_is(names[i], name, strlen(name)))
			return true;
	return false;
}

// State of the world: the request's names are the whole subscription.
static int replace_names(struct pd_sds_session *s, const struct pd_span *names, size_t n, struct pd_buf *why)
{
	for (size_t i = s->subs.n; i-- > 0;)
		if (!contains(names, n, s->subs.v[i].name))
			drop(s, &s->subs.v[i]);
	for (size_t i = 0; i < n; i++) {
		if (find(s, names[i]))
			continue;
		int rc = add(s, names[i], why);
		if (rc != PD_OK)
			return rc;
		s->answer = true;
	}
	return PD_OK;
}

static int subscribe(struct pd_sds_session *s, const struct pd_span *names, size_t n, struct pd_buf *why)
{
	for (size_t i = 0; i < n; i++) {
		struct pd_sds_sub *sub = find(s, names[i]);
		if (sub) { // asked for again: it is sent again
			sub->sent[0] = 0;
			continue;
		}
		int rc = add(s, names[i], why);
		if (rc != PD_OK)
			return rc;
	}
	return PD_OK;
}

// Delta: what the client says it has from an earlier stream.
static void believe(struct pd_sds_session *s, const struct pd_span *names, const struct pd_span *versions, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct pd_sds_sub *sub = find(s, names[i]);
		if (sub && versions[i].n < sizeof(sub->sent))
			snprintf(sub->sent, sizeof(sub->sent), "%.*s", (int)versions[i].n, versions[i].p);
	}
}

static int apply_delta(struct pd_sds_session *s, const struct pd_request *r, struct pd_span *names,
		       struct pd_span *more, struct pb_error *err, struct pd_buf *why)
{
	int rc = pd_request_names(r, names, err);
	if (rc == PD_OK)
		rc = subscribe(s, names, r->n_names, why);
	if (rc == PD_OK)
		rc = pd_request_unsubscribe(r, names, err);
	if (rc == PD_OK)
		for (size_t i = 0; i < r->n_unsubscribe; i++) {
			struct pd_sds_sub *sub = find(s, names[i]);
			if (sub)
				drop(s, sub);
		}
	if (rc == PD_OK)
		rc = pd_request_initial(r, names, more, err);
	if (rc == PD_OK)
		believe(s, names, more, r->n_initial);
	return rc;
}

static int apply(struct pd_sds_session *s, const struct pd_request *r, struct pb_error *err, struct pd_buf *why)
{
	size_t room = r->n_names + r->n_unsubscribe + r->n_initial + 1;
	struct pd_span *names = pd_xcalloc(room, sizeof(*names)), *more = pd_xcalloc(room, sizeof(*more));
	int rc;
	if (s->delta) {
		rc = apply_delta(s, r, names, more, err, why);
	} else {
		rc = pd_request_names(r, names, err);
		if (rc == PD_OK)
			rc = replace_names(s, names, r->n_names, why);
	}
	free(names);
	free(more);
	return rc;
}

int pd_sds_request(struct pd_sds_session *s, const void *bytes, size_t n, struct pd_buf *why)
{
	struct pd_request r;
	struct pb_error err = {0};
	char nonce[NONCE_TEXT];
	int rc = pd_request_parse(&r, s->delta, bytes, n, &err);
	if (rc == PD_OK && r.type_url.n && !pd_span_is(r.type_url, PD_SECRET_TYPE_URL, strlen(PD_SECRET_TYPE_URL))) {
		pd_buf_adds(why, "this server has nothing but secrets");
		return PD_E_PARSE;
	}
	if (rc == PD_OK && r.has_error)
		pd_warn("sds", "Envoy rejected a secret: %.*s", (int)r.error.n, r.error.p);
	nonce_text(s->nonce, nonce);
	// An old nonce of the state of the world: a newer request is on its way. (The incremental protocol has no such rule.)
	if (rc == PD_OK && !s->delta && r.nonce.n && !pd_span_is(r.nonce, nonce, strlen(nonce)))
		return PD_OK;
	if (rc == PD_OK)
		rc = apply(s, &r, &err, why);
	if (rc != PD_OK && !why->n)
		pd_buf_adds(why, err.text[0] ? err.text : pd_strerror(rc));
	return rc;
}

// What is due: every changed name; with the state of the world all names if one of them is, because a response replaces the
// one before it. `current` gets references.
static size_t collect(struct pd_sds_session *s, struct pd_secret **current, size_t *which)
{
	size_t n = 0;
	bool changed = s->answer;
	for (size_t i = 0; i < s->subs.n; i++) {
		struct pd_secret *secret = pd_secrets_get(s->secrets, s->subs.v[i].name);
		if (!secret)
			continue;
		bool differs = strcmp(secret->version, s->subs.v[i].sent) != 0;
		if (s->delta && !differs) {
			pd_secret_unref(secret);
			continue;
		}
		changed |= differs;
		current[n] = secret;
		which[n++] = i;
	}
	if (s->delta || changed)
		return n;
	while (n)
		pd_secret_unref(current[--n]);
	return 0;
}

static uint8_t *pack(const ProtobufCMessage *m, size_t *n)
{
	*n = protobuf_c_message_get_packed_size(m);
	uint8_t *bytes = pd_xmalloc(*n + 1);
	protobuf_c_message_pack(m, bytes);
	return bytes;
}

static uint8_t *pack_sotw(Google__Protobuf__Any **any, size_t n, char *version, char *nonce, size_t *len)
{
	DiscoveryResponse m = ENVOY__SERVICE__DISCOVERY__V3__DISCOVERY_RESPONSE__INIT;
	m.version_info = version;
	m.nonce = nonce;
	m.type_url = (char *)PD_SECRET_TYPE_URL;
	m.resources = any;
	m.n_resources = n;
	return pack(&m.base, len);
}

static uint8_t *pack_delta(const struct pd_sds_session *s, Google__Protobuf__Any **any, const size_t *which, size_t n,
			   char *version, char *nonce, size_t *len)
{
	DeltaDiscoveryResponse m = ENVOY__SERVICE__DISCOVERY__V3__DELTA_DISCOVERY_RESPONSE__INIT;
	Resource *list = pd_xcalloc(n, sizeof(*list)), **v = pd_xcalloc(n, sizeof(*v));
	for (size_t i = 0; i < n; i++) {
		envoy__service__discovery__v3__resource__init(&list[i]);
		list[i].name = s->subs.v[which[i]].name;
		list[i].version = (char *)s->subs.v[which[i]].sent;
		list[i].resource = any[i];
		v[i] = &list[i];
	}
	m.system_version_info = version;
	m.nonce = nonce;
	m.type_url = (char *)PD_SECRET_TYPE_URL;
	m.resources = v;
	m.n_resources = n;
	uint8_t *bytes = pack(&m.base, len);
	free(list);
	free(v);
	return bytes;
}

uint8_t *pd_sds_response(struct pd_sds_session *s, size_t *len)
{
	struct pd_secret *current[PD_SECRETS_MAX];
	size_t which[PD_SECRETS_MAX], n = collect(s, current, which);
	Google__Protobuf__Any any[PD_SECRETS_MAX], *v[PD_SECRETS_MAX];
	char nonce[NONCE_TEXT];
	uint8_t *bytes;
	if (!n)
		return NULL;
	s->answer = false;
	nonce_text(++s->nonce, nonce);
	for (size_t i = 0; i < n; i++) {
		google__protobuf__any__init(&any[i]);
		any[i].type_url = (char *)PD_SECRET_TYPE_URL;
		any[i].value = (ProtobufCBinaryData){current[i]->n, current[i]->bytes};
		v[i] = &any[i];
		memcpy(s->subs.v[which[i]].sent, current[i]->version, PD_SECRET_VERSION);
	}
	// The nonce is a fine version of the whole: both change with every response.
	bytes = s->delta ? pack_delta(s, v, which, n, nonce, nonce, len) : pack_sotw(v, n, nonce, nonce, len);
	while (n)
		pd_secret_unref(current[--n]);
	return bytes;
}
