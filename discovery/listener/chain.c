// Chains of outbound listeners: what they match, whether two match the same, and the message.
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/hash.h"
#include "base/str.h"
#include "discovery/listener/listener.h"

static bool any_name(const struct names *n)
{
	for (size_t i = 0; i < n->n; i++)
		if (pd_streq(n->v[i], "*"))
			return true;
	return false;
}

bool pd_chain_matches_all(const struct chain *c)
{
	return (!c->sni.n || any_name(&c->sni)) && !c->detect_http && !c->cidrs.n;
}

// ---- conflicts: sets of names and of ranges, in any order --------------------------------------------------------------------

static int cmp_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static struct names sorted(struct pd_arena *a, const struct names *from)
{
	struct names out = {0};
	for (size_t i = 0; i < from->n; i++)
		pd_vec_push_a(a, &out, from->v[i]);
	if (out.n)
		qsort(out.v, out.n, sizeof(*out.v), cmp_text);
	return out;
}

static uint64_t hash_set(uint64_t h, const struct names *set)
{
	h = pd_hash_mix(h, set->n);
	for (size_t i = 0; i < set->n; i++)
		h = pd_hash_mix(h, pd_hash_str(set->v[i]));
	return h;
}

// Sorts, and drops what is there twice.
static struct names as_set(struct pd_arena *a, const struct names *from)
{
	struct names out = sorted(a, from);
	size_t n = 0;
	for (size_t i = 0; i < out.n; i++)
		if (!n || !pd_streq(out.v[n - 1], out.v[i]))
			out.v[n++] = out.v[i];
	out.n = n;
	return out;
}

void pd_chain_seal(struct pd_arena *a, struct chain *c)
{
	struct names sni = {0}, ranges = {0};
	for (size_t i = 0; i < c->sni.n; i++)
		if (!pd_streq(c->sni.v[i], "*"))
			pd_vec_push_a(a, &sni, c->sni.v[i]);
	for (size_t i = 0; i < c->cidrs.n; i++) { // "1.2.3.4/8" and "1.5.6.7/8" are one range
		struct pd_cidr range;
		char text[PD_IP_TEXT];
		if (pd_cidr_parse(c->cidrs.v[i], &range) != PD_OK || pd_ip_is_unspecified(&range.ip))
			continue;
		pd_cidr_mask(&range);
		pd_ip_format(&range.ip, text);
		pd_vec_push_a(a, &ranges, pd_arena_printf(a, "%s/%u", text, range.bits));
	}
	c->sni_set = as_set(a, &sni);
	c->range_set = as_set(a, &ranges);
	c->match_hash = hash_set(hash_set(c->detect_http, &c->sni_set), &c->range_set);
}

static bool same_set(const struct names *x, const struct names *y)
{
	if (x->n != y->n)
		return false;
	for (size_t i = 0; i < x->n; i++)
		if (!pd_streq(x->v[i], y->v[i]))
			return false;
	return true;
}

bool pd_chain_conflicts(const struct chain *x, const struct chain *y)
{
	return x->match_hash == y->match_hash && x->detect_http == y->detect_http &&
	       same_set(&x->sni_set, &y->sni_set) && same_set(&x->range_set, &y->range_set);
}

// ---- the message -------------------------------------------------------------------------------------------------------------

static void add_ranges(struct pd_arena *a, EnvoyFilterChainMatch *m, const struct names *cidrs)
{
	struct names list = sorted(a, cidrs);
	for (size_t i = 0; i < list.n; i++) {
		struct pd_cidr range;
		if (pd_cidr_parse(list.v[i], &range) != PD_OK || (range.ip.len == 4 && pd_ip_is_unspecified(&range.ip)))
			continue;
		Envoy__Config__Core__V3__CidrRange *r = pb_new(a, &envoy__config__core__v3__cidr_range__descriptor);
		r->address_prefix = pd_arena_alloc(a, PD_IP_TEXT);
		pd_ip_format(&range.ip, r->address_prefix);
		r->prefix_len = pb_u32(a, range.bits);
		PB_PUSH(a, m, prefix_ranges, r);
	}
}

static EnvoyFilterChainMatch *match_of(struct pd_tx *tx, const struct chain *c)
{
	struct pd_arena *a = tx->arena;
	if (pd_chain_matches_all(c))
		return NULL;
	EnvoyFilterChainMatch *m = pd_match_new(a);
	if (c->detect_http) {
		pd_match_set_alpn(a, m, pd_listener_plain_http(tx));
		m->transport_protocol = "raw_buffer";
	}
	if (!any_name(&c->sni)) {
		struct names list = sorted(a, &c->sni);
		for (size_t i = 0; i < list.n; i++)
			PB_PUSH(a, m, server_names, (char *)list.v[i]);
	}
	add_ranges(a, m, &c->cidrs);
	return m;
}

EnvoyFilterChain *pd_chain_build(struct pd_tx *tx, const struct chain *c)
{
	EnvoyFilterChain *fc = pb_new(tx->arena, &envoy__config__listener__v3__filter_chain__descriptor);
	fc->filter_chain_match = match_of(tx, c);
	fc->transport_socket_connect_timeout = pd_listener_handshake_timeout(tx->arena);
	if (c->config)
		fc->metadata = pd_config_metadata(tx->arena, c->config);
	for (size_t i = 0; i < c->filters.n; i++)
		PB_PUSH(tx->arena, fc, filters, c->filters.v[i]);
	return fc;
}
