#include "xds/names.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

#define uthash_fatal(msg) abort()
#include <uthash.h>

struct pd_names_entry { // of the table of sets; keyed by the pointers of the names
	struct pd_names set;
	struct raw *raws[PD_NAMES_RAWS];
	unsigned n_raws, next_raw;
	UT_hash_handle hh;
};

struct raw {
	struct pd_raw_key key;
	struct pd_names_entry *entry;
	UT_hash_handle hh;
};

struct pd_names_table {
	pthread_mutex_t lock;
	struct pd_names_entry *sets;
	struct raw *raws;
	uint64_t secret[2];
};

struct pd_names_table *pd_names_table_new(void)
{
	struct pd_names_table *t = pd_xcalloc(1, sizeof(*t));

	pthread_mutex_init(&t->lock, NULL);
	PD_ASSERT(getrandom(t->secret, sizeof(t->secret), 0) == sizeof(t->secret));
	return t;
}

void pd_names_table_free(struct pd_names_table **tp)
{
	struct pd_names_table *t = *tp;

	if (!t)
		return;
	PD_ASSERT(!t->sets);
	pthread_mutex_destroy(&t->lock);
	free(t);
	*tp = NULL;
}

size_t pd_names_table_count(struct pd_names_table *t)
{
	size_t n;

	pthread_mutex_lock(&t->lock);
	n = HASH_COUNT(t->sets);
	pthread_mutex_unlock(&t->lock);
	return n;
}

// ---- one set ---------------------------------------------------------------------------------------------------------

long pd_names_index(const struct pd_names *s, const char *interned)
{
	uint64_t hash = pd_intern_hash(interned);

	for (uint32_t i = (uint32_t)hash & s->mask; s->slots[i].place; i = (i + 1) & s->mask)
		if (s->slots[i].tag == hash >> 32 && s->v[s->slots[i].place - 1] == interned)
			return (long)s->slots[i].place - 1;
	return -1;
}

static bool is_text(const char *name, struct pd_span t)
{
	return strncmp(name, t.p, t.n) == 0 && !name[t.n];
}

long pd_names_find(const struct pd_names *s, struct pd_span text)
{
	uint64_t hash = pd_hash(text.p, text.n);

	for (uint32_t i = (uint32_t)hash & s->mask; s->slots[i].place; i = (i + 1) & s->mask)
		if (s->slots[i].tag == hash >> 32 && is_text(s->v[s->slots[i].place - 1], text))
			return (long)s->slots[i].place - 1;
	return -1;
}

static void fill_slots(struct pd_names *s)
{
	uint32_t size = 4;

	while (size < 2 * s->n)
		size *= 2;
	s->mask = size - 1;
	s->slots = pd_xcalloc(size, sizeof(*s->slots));
	for (size_t k = 0; k < s->n; k++) {
		uint64_t hash = pd_intern_hash(s->v[k]);
		uint32_t i = (uint32_t)hash & s->mask;

		while (s->slots[i].place)
			i = (i + 1) & s->mask;
		s->slots[i] = (struct pd_names_slot){(uint32_t)(hash >> 32), (uint32_t)k + 1};
	}
}

// ---- lists of names on their way to a set ------------------------------------------------------------------------------

struct list {
	const char **v; // interned, one reference each
	size_t n;
};

static int by_text(const void *x, const void *y)
{
	const char *a = *(const char *const *)x, *b = *(const char *const *)y;

	return a == b ? 0 : strcmp(a, b);
}

static void sort_distinct(struct list *l)
{
	size_t out = 0;

	qsort(l->v, l->n, sizeof(*l->v), by_text);
	for (size_t i = 0; i < l->n; i++) {
		if (out && l->v[out - 1] == l->v[i])
			pd_unintern(l->v[i]);
		else
			l->v[out++] = l->v[i];
	}
	l->n = out;
}

static struct list list_of(const struct pd_span *v, size_t n)
{
	struct list l = {.v = pd_xmalloc((n + 1) * sizeof(*l.v)), .n = n};

	for (size_t i = 0; i < n; i++)
		l.v[i] = pd_intern_n(v[i].p, v[i].n);
	sort_distinct(&l);
	return l;
}

static void list_free(struct list *l)
{
	for (size_t i = 0; i < l->n; i++)
		pd_unintern(l->v[i]);
	free(l->v);
}

// `a` with `add` and without `del`; new references.
static struct list list_edit(const struct pd_names *a, const struct list *add, const struct list *del)
{
	size_t na = a ? a->n : 0, i = 0, j = 0, d = 0;
	struct list out = {.v = pd_xmalloc((na + add->n + 1) * sizeof(*out.v))};

	while (i < na || j < add->n) {
		int c = i == na ? 1 : j == add->n ? -1 : by_text(&a->v[i], &add->v[j]);
		const char *name = c <= 0 ? a->v[i] : add->v[j];

		i += c <= 0;
		j += c >= 0;
		while (d < del->n && by_text(&del->v[d], &name) < 0)
			d++;
		if (d == del->n || del->v[d] != name)
			out.v[out.n++] = pd_intern_ref(name);
	}
	return out;
}

// Takes the list over.
static int intern_set(struct pd_names_table *t, struct list *l, struct pd_names **out)
{
	struct pd_names_entry *e = NULL;
	size_t bytes = l->n * sizeof(*l->v);
	uint64_t hash = pd_hash_seed(l->v, bytes, t->secret[0]);
	unsigned hashv = (unsigned)hash;
	bool known;

	if (l->n > PD_NAMES_MAX) {
		list_free(l);
		return PD_E_LIMIT;
	}
	pthread_mutex_lock(&t->lock);
	HASH_FIND_BYHASHVALUE(hh, t->sets, l->v, bytes, hashv, e);
	known = e != NULL;
	if (known) {
		e->set.refs++;
	} else {
		e = pd_xcalloc(1, sizeof(*e));
		e->set.hash = hash;
		e->set.n = l->n;
		e->set.v = l->v;
		e->set.refs = 1;
		e->set.entry = e;
		fill_slots(&e->set);
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, t->sets, e->set.v, bytes, hashv, e);
	}
	pthread_mutex_unlock(&t->lock);
	if (known)
		list_free(l);
	*out = &e->set;
	return PD_OK;
}

int pd_names_get(struct pd_names_table *t, const struct pd_span *v, size_t n, struct pd_names **out)
{
	struct list l;

	if (n > PD_NAMES_MAX)
		return PD_E_LIMIT;
	l = list_of(v, n);
	return intern_set(t, &l, out);
}

int pd_names_edit(struct pd_names_table *t, const struct pd_names *old, const struct pd_span *add, size_t n_add,
		  const struct pd_span *del, size_t n_del, struct pd_names **out)
{
	struct list a, d, l;

	if (n_add > PD_NAMES_MAX || n_del > PD_NAMES_MAX)
		return PD_E_LIMIT;
	a = list_of(add, n_add);
	d = list_of(del, n_del);
	l = list_edit(old, &a, &d);
	list_free(&a);
	list_free(&d);
	return intern_set(t, &l, out);
}

struct pd_names *pd_names_ref(struct pd_names_table *t, struct pd_names *s)
{
	pthread_mutex_lock(&t->lock);
	s->refs++;
	pthread_mutex_unlock(&t->lock);
	return s;
}

void pd_names_unref(struct pd_names_table *t, struct pd_names *s)
{
	struct pd_names_entry *e;
	struct list l;

	if (!s)
		return;
	pthread_mutex_lock(&t->lock);
	if (--s->refs) {
		pthread_mutex_unlock(&t->lock);
		return;
	}
	PD_ASSERT(!s->subscribers && !s->bases);
	e = s->entry;
	HASH_DEL(t->sets, e);
	for (unsigned i = 0; i < e->n_raws; i++) {
		HASH_DEL(t->raws, e->raws[i]);
		free(e->raws[i]);
	}
	pthread_mutex_unlock(&t->lock);
	l = (struct list){.v = s->v, .n = s->n};
	list_free(&l);
	free(s->slots);
	free(e);
}

// ---- raw lists ---------------------------------------------------------------------------------------------------------

struct pd_raw_key pd_names_raw_key(struct pd_names_table *t, const void *bytes, size_t len)
{
	return (struct pd_raw_key){pd_hash_seed(bytes, len, t->secret[0]), pd_hash_seed(bytes, len, t->secret[1])};
}

struct pd_names *pd_names_find_raw(struct pd_names_table *t, struct pd_raw_key key)
{
	struct pd_names *s = NULL;
	struct raw *r;

	pthread_mutex_lock(&t->lock);
	HASH_FIND(hh, t->raws, &key, sizeof(key), r);
	if (r) {
		s = &r->entry->set;
		s->refs++;
	}
	pthread_mutex_unlock(&t->lock);
	return s;
}

void pd_names_remember_raw(struct pd_names_table *t, struct pd_names *s, struct pd_raw_key key)
{
	struct pd_names_entry *e = s->entry;
	struct raw *r, *there;

	pthread_mutex_lock(&t->lock);
	HASH_FIND(hh, t->raws, &key, sizeof(key), there);
	if (!there) {
		if (e->n_raws < PD_NAMES_RAWS) {
			r = e->raws[e->n_raws++] = pd_xcalloc(1, sizeof(*r));
		} else { // the oldest spelling makes room
			r = e->raws[e->next_raw];
			e->next_raw = (e->next_raw + 1) % PD_NAMES_RAWS;
			HASH_DEL(t->raws, r);
		}
		r->key = key;
		r->entry = e;
		HASH_ADD(hh, t->raws, key, sizeof(r->key), r);
	}
	pthread_mutex_unlock(&t->lock);
}

// ---- subscribers -------------------------------------------------------------------------------------------------------

void pd_subscriber_link(struct pd_subscriber **head, struct pd_subscriber *s)
{
	PD_ASSERT(!s->link);
	s->next = *head;
	if (s->next)
		s->next->link = &s->next;
	s->link = head;
	*head = s;
}

void pd_subscriber_unlink(struct pd_subscriber *s)
{
	if (!s->link)
		return;
	*s->link = s->next;
	if (s->next)
		s->next->link = s->link;
	s->next = NULL;
	s->link = NULL;
}

void pd_names_subscribe(struct pd_names_table *t, struct pd_names *set, struct pd_subscriber *s)
{
	pthread_mutex_lock(&t->lock);
	pd_subscriber_link(&set->subscribers, s);
	pthread_mutex_unlock(&t->lock);
}

void pd_names_unsubscribe(struct pd_names_table *t, struct pd_subscriber *s)
{
	pthread_mutex_lock(&t->lock);
	pd_subscriber_unlink(s);
	pthread_mutex_unlock(&t->lock);
}

size_t pd_names_visit(struct pd_names_table *t, const char *interned, void (*fn)(void *owner, void *arg), void *arg)
{
	struct pd_names_entry *e, *tmp;
	size_t n = 0;

	pthread_mutex_lock(&t->lock);
	HASH_ITER(hh, t->sets, e, tmp)
	{
		if (!e->set.subscribers || pd_names_index(&e->set, interned) < 0)
			continue;
		for (struct pd_subscriber *s = e->set.subscribers; s; s = s->next, n++)
			fn(s->owner, arg);
	}
	pthread_mutex_unlock(&t->lock);
	return n;
}

void pd_names_lock(struct pd_names_table *t)
{
	pthread_mutex_lock(&t->lock);
}

void pd_names_unlock(struct pd_names_table *t)
{
	pthread_mutex_unlock(&t->lock);
}
