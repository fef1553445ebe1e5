// Who the client of a stream is: judged by others (struct pd_xds_auth) before the first request is read, compared with what the
// client says of itself when it has said it.
//
// Until the answer comes, the stream holds the client's credentials, and the question holds a reference to the stream. The
// client may vanish meanwhile: then the answer changes nothing.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "xds/peer.h"
#include "xds/server_impl.h"

struct pd_knock {
	struct pd_arena arena; // erased when freed: it holds a token
	struct pd_rpc_peer peer;
};

static void knock_free(struct pd_knock **kp)
{
	struct pd_knock *k = *kp;

	if (!k)
		return;
	*kp = NULL;
	pd_arena_free(&k->arena);
	free(k);
}

static void forget_identities(struct pd_stream *s)
{
	for (size_t i = 0; i < s->identities.n; i++) {
		free((char *)s->identities.v[i].name);
		free((char *)s->identities.v[i].namespace_);
		free((char *)s->identities.v[i].service_account);
	}
	pd_vec_free(&s->identities);
}

void pd_identity_free(struct pd_stream *s)
{
	knock_free(&s->knock);
	forget_identities(s);
	free(s->identity);
	free(s->account);
}

void pd_identity_prepare(struct pd_stream *s, const grpc_metadata_array *headers)
{
	const struct pd_xds_auth *auth = &s->x->auth;
	struct pd_knock *k;

	if (!auth->authenticate)
		return;
	k = pd_xcalloc(1, sizeof(*k));
	k->arena.secret = true;
	pd_peer_read(&k->peer, &k->arena, s->call, headers);
	if (k->peer.tls || auth->plaintext)
		s->knock = k;
	else
		knock_free(&k);
}

static char *copy_of(const char *s)
{
	return s ? pd_xstrdup(s) : NULL;
}

static void answered(void *stream, const struct pd_xds_identity *v, size_t n, const char *why)
{
	struct pd_stream *s = stream;

	PD_ASSERT(s->knock && n <= PD_XDS_IDENTITIES_MAX);
	if (why) {
		pd_count_refused(s->x, PD_REFUSED_UNAUTHENTICATED);
		pd_warn("ads", "stream %llu from %s refused: authentication failure: %s", (unsigned long long)s->id,
			s->peer, why);
	} else {
		for (size_t i = 0; i < n; i++)
			pd_vec_push(&s->identities,
				    (struct pd_xds_identity){pd_xstrdup(v[i].name), copy_of(v[i].namespace_),
							     copy_of(v[i].service_account)});
		s->authenticated = true;
	}
	knock_free(&s->knock);
	if (why)
		pd_stream_end(s, GRPC_STATUS_UNAUTHENTICATED, "authentication failure");
	else
		pd_stream_begin(s);
	pd_stream_unref(s);
}

void pd_identity_ask(struct pd_stream *s)
{
	pd_stream_ref(s);
	s->x->auth.authenticate(s->x->auth.arg, &s->knock->peer, answered, s);
}

// istiod's rule: the namespace must be that of the identity; so must the service account, but only if the node names one.
static bool matches(const struct pd_xds_identity *id, const struct pd_view *v)
{
	if (!id->namespace_ || !id->service_account)
		return false;
	return (pd_empty(v->key.ns) || strcmp(id->namespace_, v->key.ns) == 0) &&
	       (pd_empty(v->service_account) || strcmp(id->service_account, v->service_account) == 0);
}

bool pd_identity_check(struct pd_stream *s, const struct pd_view *v, char *text, size_t text_len)
{
	struct pd_buf names = {0};

	for (size_t i = 0; i < s->identities.n && !s->identity; i++)
		if (matches(&s->identities.v[i], v)) {
			s->identity = pd_xstrdup(s->identities.v[i].name);
			s->account = pd_xstrdup(s->identities.v[i].service_account);
		}
	if (!s->identity && s->authenticated && s->x->auth.check_node) {
		for (size_t i = 0; i < s->identities.n; i++)
			pd_buf_printf(&names, "%s%s", i ? " " : "", s->identities.v[i].name);
		snprintf(text, text_len, "authorization failed: no identities ([%s]) matched %s/%s", pd_or(names.p, ""),
			 pd_or(v->key.ns, ""), pd_or(v->service_account, ""));
		pd_buf_free(&names);
		return false;
	}
	forget_identities(s);
	return true;
}

const char *pd_identity_account(const struct pd_stream *s, const struct pd_view *v)
{
	if (!s->identity && s->x->auth.secrets_for_all) // it is taken at its word
		return pd_empty(v->service_account) ? "default" : v->service_account;
	return s->account;
}
