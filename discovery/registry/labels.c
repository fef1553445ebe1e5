#include "discovery/registry/internal.h"

// ---- under construction -----------------------------------------------------------------------------------------------

static size_t place(const struct reg_labels *l, const char *key, bool *found)
{
	int c = 1;
	size_t i;

	for (i = l->n; i > 0; i--) {
		c = strcmp(l->v[i - 1].key, key);
		if (c <= 0)
			break;
	}
	*found = i && !c;
	return *found ? i - 1 : i;
}

void pd_reg_labels_set(struct pd_arena *a, struct reg_labels *l, const char *key, const char *value)
{
	struct pd_label label = {key, value};
	bool found;
	size_t at = place(l, key, &found);

	if (!found) {
		pd_vec_push_a(a, l, label);
		memmove(&l->v[at + 1], &l->v[at], (l->n - 1 - at) * sizeof(l->v[0]));
	}
	l->v[at] = label;
}

void pd_reg_labels_add(struct pd_arena *a, struct reg_labels *l, const struct pd_label_entry *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		pd_reg_labels_set(a, l, pd_or(v[i]->key, ""), pd_or(v[i]->value, ""));
}

void pd_reg_labels_add_kept(struct pd_arena *a, struct reg_labels *l, struct pd_labels kept)
{
	for (size_t i = 0; i < kept.n; i++)
		pd_reg_labels_set(a, l, kept.v[i].key, kept.v[i].value);
}

const char *pd_reg_labels_get(const struct reg_labels *l, const char *key)
{
	struct pd_labels view = {l->n, l->v};

	return pd_labels_get(&view, key);
}

// ---- in records ---------------------------------------------------------------------------------------------------------

struct pd_labels pd_reg_labels_keep(struct reg_block *record, const struct pd_labels *l)
{
	struct pd_label *v = reg_block_take(record, l->n * sizeof(*v));

	for (size_t i = 0; i < l->n; i++)
		v[i] = (struct pd_label){pd_intern(l->v[i].key), pd_intern(l->v[i].value)};
	return (struct pd_labels){l->n, v};
}

void pd_reg_labels_drop(const struct pd_labels *l)
{
	for (size_t i = 0; i < l->n; i++) {
		pd_unintern(l->v[i].key);
		pd_unintern(l->v[i].value);
	}
}

uint64_t pd_reg_labels_hash(uint64_t h, const struct pd_labels *l)
{
	h = pd_hash_mix(h, l->n);
	for (size_t i = 0; i < l->n; i++)
		h = reg_hash_str(reg_hash_str(h, l->v[i].key), l->v[i].value);
	return h;
}

const char *const *pd_reg_strings_keep(struct reg_block *record, const char *const *v, size_t n)
{
	const char **kept = reg_block_take(record, n * sizeof(*kept));

	for (size_t i = 0; i < n; i++)
		kept[i] = pd_intern(v[i]);
	return kept;
}

void pd_reg_strings_drop(const char *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		pd_unintern(v[i]);
}

uint64_t pd_reg_strings_hash(uint64_t h, const char *const *v, size_t n)
{
	h = pd_hash_mix(h, n);
	for (size_t i = 0; i < n; i++)
		h = reg_hash_str(h, v[i]);
	return h;
}

// ---- selecting ------------------------------------------------------------------------------------------------------------

const char *pd_reg_first_pair(struct pd_arena *a, const char *ns, const struct pd_labels *selector)
{
	return selector->n ? pd_arena_printf(a, "%s/%s=%s", ns, selector->v[0].key, selector->v[0].value) : NULL;
}

static const char *find_pair(const struct pd_label_entry *const *v, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (pd_streq(v[i]->key, key))
			return v[i]->value;
	return NULL;
}

// Of a WorkloadEntry's labels those in its metadata win.
static const char *own_label(const struct pd_object *o, const char *key)
{
	const Istio__WorkloadEntry *e = (const Istio__WorkloadEntry *)o->spec;
	const char *v = pd_object_label(o, key);

	return v || o->key.kind != PD_KIND_WORKLOAD_ENTRY ? v
							  : find_pair(PD_LABEL_ENTRIES(e->labels), e->n_labels, key);
}

bool pd_reg_selects(const struct pd_labels *selector, const struct pd_object *o)
{
	for (size_t i = 0; i < selector->n; i++) {
		const char *v = own_label(o, selector->v[i].key);

		if (!v || !pd_streq(v, selector->v[i].value))
			return false;
	}
	return true;
}

struct scan {
	struct reg_pass *p;
	const char *ns;
	struct {
		const struct pd_object **v;
		size_t n, cap;
	} found;
};

static bool scan_one(const struct pd_object *o, void *arg)
{
	struct scan *s = arg;

	if (pd_streq(o->key.ns, s->ns))
		pd_vec_push_a(s->p->a, &s->found, o);
	return true;
}

static int cmp_age(const void *a, const void *b)
{
	return pd_object_cmp_age(*(const struct pd_object *const *)a, *(const struct pd_object *const *)b);
}

struct reg_candidates pd_reg_candidates(struct reg_pass *p, unsigned index, enum pd_kind kind, const char *ns,
					const struct pd_labels *selector)
{
	struct scan s = {.p = p, .ns = ns};

	for (size_t i = 0; i < selector->n; i++) {
		const struct pd_label *l = &selector->v[i];

		if (pd_label_indexed(l->key)) {
			const struct pd_posting *posting =
				pd_config_posting(p->snap, index,
						  pd_arena_printf(p->a, "%s/%s=%s", ns, l->key, l->value));

			return (struct reg_candidates){posting->n, posting->v};
		}
	}
	pd_config_each(p->snap, kind, scan_one, &s);
	if (s.found.n)
		qsort(s.found.v, s.found.n, sizeof(s.found.v[0]), cmp_age);
	return (struct reg_candidates){s.found.n, s.found.v};
}
