// Header operations: set before add, each sorted by name.
#include <stdlib.h>
#include <strings.h>

#include "api/pb.h"
#include "base/str.h"
#include "discovery/route/route.h"

static bool is_authority(const char *name)
{
	return strcasecmp(name, ":authority") == 0 || strcasecmp(name, "host") == 0;
}

// Pseudo headers and Host are Envoy's own business; it refuses to touch them.
static bool is_internal(const char *name)
{
	return name[0] == ':' || strcasecmp(name, "host") == 0;
}

struct pair {
	const char *key, *value;
};

static int cmp_pair(const void *x, const void *y)
{
	return strcmp(((const struct pair *)x)->key, ((const struct pair *)y)->key);
}

static void append(struct pd_arena *a, struct pd_header_ops *out, struct pair *v, size_t n, int action)
{
	pd_sort(v, n, sizeof(*v), cmp_pair);
	for (size_t i = 0; i < n; i++) {
		EnvHeaderValueOption *o = pb_new(a, &envoy__config__core__v3__header_value_option__descriptor);
		o->header = pb_new(a, &envoy__config__core__v3__header_value__descriptor);
		o->header->key = (char *)v[i].key;
		o->header->value = (char *)v[i].value;
		o->append_action = action;
		out->add[out->n_add++] = o;
	}
}

// Every map<string, string> of protobuf-c has entries of this layout.
struct entry {
	ProtobufCMessage base;
	const char *key, *value;
} __attribute__((may_alias));

// Returns what is for the authority instead, or NULL.
static const char *add_all(struct pd_arena *a, struct pd_header_ops *out, struct entry *const *v, size_t n, int action)
{
	struct pair *pairs = pd_arena_alloc(a, (n + 1) * sizeof(*pairs));
	const char *authority = NULL;
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		if (is_authority(v[i]->key))
			authority = v[i]->value;
		else if (!is_internal(v[i]->key))
			pairs[kept++] = (struct pair){v[i]->key, v[i]->value};
	}
	append(a, out, pairs, kept, action);
	return authority;
}

struct pd_header_ops pd_route_header_ops(struct pd_arena *a, const Istio__Headers__HeaderOperations *ops)
{
	struct pd_header_ops out = {0};
	if (!ops)
		return out;
	out.add = pd_arena_alloc(a, (ops->n_set + ops->n_add + 1) * sizeof(*out.add));
	const char *set =
		add_all(a, &out, (struct entry *const *)ops->set, ops->n_set,
			ENVOY__CONFIG__CORE__V3__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__OVERWRITE_IF_EXISTS_OR_ADD);
	const char *added =
		add_all(a, &out, (struct entry *const *)ops->add, ops->n_add,
			ENVOY__CONFIG__CORE__V3__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__APPEND_IF_EXISTS_OR_ADD);
	out.authority = pd_empty(set) ? added : set;
	out.remove = pd_arena_alloc(a, (ops->n_remove + 1) * sizeof(*out.remove));
	for (size_t i = 0; i < ops->n_remove; i++)
		if (!is_internal(ops->remove[i]))
			out.remove[out.n_remove++] = ops->remove[i];
	return out;
}
