#include "k8s/reflector_known.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"

#define MIN_INDEX 16u

// Interned strings are equal when their addresses are.
static size_t home(const struct pd_k8s_known *k, const char *ns, const char *name)
{
	return (size_t)pd_hash_mix((uint64_t)(uintptr_t)ns, (uint64_t)(uintptr_t)name) & (k->index_cap - 1);
}

static size_t home_of(const struct pd_k8s_known *k, uint32_t slot)
{
	return home(k, k->v[slot - 1].ns, k->v[slot - 1].name);
}

// The slot that holds the entry, or the free one where it would be.
static size_t slot_of(const struct pd_k8s_known *k, const char *ns, const char *name)
{
	size_t at = home(k, ns, name);

	while (k->index[at] && (k->v[k->index[at] - 1].ns != ns || k->v[k->index[at] - 1].name != name))
		at = (at + 1) & (k->index_cap - 1);
	return at;
}

struct pd_k8s_known_entry *pd_k8s_known_get(const struct pd_k8s_known *k, const char *ns, const char *name)
{
	size_t at;

	if (!k->n)
		return NULL;
	at = slot_of(k, ns, name);
	return k->index[at] ? &k->v[k->index[at] - 1] : NULL;
}

static void rebuild(struct pd_k8s_known *k, size_t cap)
{
	free(k->index);
	k->index = pd_xcalloc(cap, sizeof(k->index[0]));
	k->index_cap = cap;
	for (size_t i = 0; i < k->n; i++)
		k->index[slot_of(k, k->v[i].ns, k->v[i].name)] = (uint32_t)i + 1;
}

struct pd_k8s_known_entry *pd_k8s_known_add(struct pd_k8s_known *k, const char *ns, const char *name)
{
	PD_ASSERT(k->n < PD_K8S_KNOWN_MAX);
	if (k->n == k->cap) { // by a quarter: the array is the larger part
		k->cap += k->cap < MIN_INDEX ? MIN_INDEX : k->cap / 4;
		k->v = pd_xrealloc(k->v, k->cap * sizeof(k->v[0]));
	}
	if (4 * (k->n + 1) > 3 * k->index_cap)
		rebuild(k, k->index_cap ? 2 * k->index_cap : MIN_INDEX);
	k->v[k->n] = (struct pd_k8s_known_entry){.ns = pd_intern_ref(ns), .name = pd_intern_ref(name)};
	k->index[slot_of(k, ns, name)] = (uint32_t)k->n + 1;
	return &k->v[k->n++];
}

// Closes the gap at `at`: entries behind it that could not have their home move up (Knuth 6.4, algorithm R).
static void close_gap(struct pd_k8s_known *k, size_t at)
{
	size_t mask = k->index_cap - 1;

	for (size_t next = (at + 1) & mask; k->index[next]; next = (next + 1) & mask) {
		size_t distance = (next - home_of(k, k->index[next])) & mask;

		if (distance < ((next - at) & mask))
			continue;
		k->index[at] = k->index[next];
		at = next;
	}
	k->index[at] = 0;
}

void pd_k8s_known_remove(struct pd_k8s_known *k, struct pd_k8s_known_entry *e)
{
	size_t at = (size_t)(e - k->v), last = k->n - 1;
	const char *ns = e->ns, *name = e->name;

	close_gap(k, slot_of(k, ns, name));
	if (at != last) {
		k->index[slot_of(k, k->v[last].ns, k->v[last].name)] = (uint32_t)at + 1;
		k->v[at] = k->v[last];
	}
	k->n--;
	pd_unintern(ns);
	pd_unintern(name);
	if (!k->n)
		pd_k8s_known_free(k);
}

void pd_k8s_known_free(struct pd_k8s_known *k)
{
	for (size_t i = 0; i < k->n; i++) {
		pd_unintern(k->v[i].ns);
		pd_unintern(k->v[i].name);
	}
	free(k->v);
	free(k->index);
	*k = (struct pd_k8s_known){0};
}

size_t pd_k8s_known_memory(const struct pd_k8s_known *k)
{
	return k->cap * sizeof(k->v[0]) + k->index_cap * sizeof(k->index[0]);
}
