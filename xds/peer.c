#include "xds/peer.h"

#include <grpc/grpc_security.h>
#include <grpc/grpc_security_constants.h>
#include <grpc/support/alloc.h>
#include <string.h>

#include "base/str.h"

char *pd_peer_address(struct pd_arena *a, grpc_call *call)
{
	char *p = grpc_call_get_peer(call), *out;

	// "ipv4:10.1.2.3:4567", "ipv6:%5B::1%5D:4567", "unix:..."
	if (pd_has_prefix(p, "ipv4:"))
		out = pd_arena_strdup(a, p + 5);
	else if (pd_has_prefix(p, "ipv6:%5B") && strstr(p, "%5D"))
		out = pd_arena_printf(a, "[%.*s]%s", (int)(strstr(p, "%5D") - p - 8), p + 8, strstr(p, "%5D") + 3);
	else
		out = pd_arena_strdup(a, p);
	gpr_free(p);
	return out;
}

// The first value of a property, or NULL; borrowed from the context.
static const grpc_auth_property *property(const grpc_auth_context *ctx, const char *name)
{
	grpc_auth_property_iterator it = grpc_auth_context_find_properties_by_name(ctx, name);

	return grpc_auth_property_iterator_next(&it);
}

static const char *copy_of(struct pd_arena *a, const grpc_auth_property *p)
{
	return p && p->value_length ? pd_arena_strndup(a, p->value, p->value_length) : NULL;
}

static void read_tls(struct pd_rpc_peer *p, struct pd_arena *a, grpc_call *call)
{
	grpc_auth_context *ctx = grpc_call_auth_context(call);
	const grpc_auth_property *kind;

	if (!ctx)
		return;
	kind = property(ctx, GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME);
	p->tls = kind && (pd_streq(kind->value, GRPC_SSL_TRANSPORT_SECURITY_TYPE) ||
			  pd_streq(kind->value, GRPC_TLS_TRANSPORT_SECURITY_TYPE));
	if (p->tls && grpc_auth_context_peer_is_authenticated(ctx)) {
		p->cert_pem = copy_of(a, property(ctx, GRPC_X509_PEM_CERT_PROPERTY_NAME));
		p->chain_pem = copy_of(a, property(ctx, GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME));
	}
	grpc_auth_context_release(ctx);
}

static const char *text_of(struct pd_arena *a, grpc_slice s)
{
	return pd_arena_strndup(a, (const char *)GRPC_SLICE_START_PTR(s), GRPC_SLICE_LENGTH(s));
}

static void read_headers(struct pd_rpc_peer *p, struct pd_arena *a, const grpc_metadata_array *m)
{
	size_t n = m->count < PD_PEER_HEADERS ? m->count : PD_PEER_HEADERS;
	struct pd_rpc_header *v = PD_NEWN(a, struct pd_rpc_header, n);

	for (size_t i = 0; i < n; i++) {
		v[p->n_headers].key = text_of(a, m->metadata[i].key);
		if (pd_has_suffix(v[p->n_headers].key, "-bin"))
			continue;
		v[p->n_headers++].value = text_of(a, m->metadata[i].value);
	}
	p->headers = v;
}

void pd_peer_read(struct pd_rpc_peer *p, struct pd_arena *a, grpc_call *call, const grpc_metadata_array *headers)
{
	*p = (struct pd_rpc_peer){.address = pd_peer_address(a, call)};
	read_tls(p, a, call);
	if (headers)
		read_headers(p, a, headers);
}
