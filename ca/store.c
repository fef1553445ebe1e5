#include "ca/store.h"

#include <stdlib.h>

#include "base/mem.h"

static void erase(struct pd_secret_entry *e)
{
	free(e->key);
	pd_free_secret(e->value, e->n);
}

void pd_secret_free(struct pd_secret *s)
{
	for (size_t i = 0; i < s->entries.n; i++)
		erase(&s->entries.v[i]);
	pd_vec_free(&s->entries);
	free(s->version);
	s->version = NULL;
}

static struct pd_secret_entry *find(const struct pd_secret *s, const char *key)
{
	for (size_t i = 0; i < s->entries.n; i++)
		if (strcmp(s->entries.v[i].key, key) == 0)
			return &s->entries.v[i];
	return NULL;
}

const char *pd_secret_get(const struct pd_secret *s, const char *key)
{
	const struct pd_secret_entry *e = find(s, key);

	return e && e->n ? e->value : NULL;
}

void pd_secret_set(struct pd_secret *s, const char *key, const char *value)
{
	struct pd_secret_entry *e = find(s, key);

	if (e) {
		erase(e);
		*e = s->entries.v[--s->entries.n];
	}
	if (value) {
		PD_ASSERT(s->entries.n < PD_SECRET_ENTRIES_MAX);
		pd_vec_push(&s->entries, (struct pd_secret_entry){pd_xstrdup(key), pd_xstrdup(value), strlen(value)});
	}
}

// ---- memory ----------------------------------------------------------------------------------------------------------------

struct memory_store {
	struct pd_secret data;
	unsigned long version;
};

static void copy(const struct pd_secret *from, struct pd_secret *to)
{
	for (size_t i = 0; i < from->entries.n; i++)
		pd_secret_set(to, from->entries.v[i].key, from->entries.v[i].value);
	to->version = pd_xstrdup(from->version);
}

static int memory_load(void *self, struct pd_secret *out, struct pd_buf *why)
{
	struct memory_store *m = self;
	(void)why;

	if (!m->data.version)
		return PD_E_NOTFOUND;
	copy(&m->data, out);
	return PD_OK;
}

static int memory_save(void *self, struct pd_secret *s, struct pd_buf *why)
{
	struct memory_store *m = self;

	if (!pd_streq(s->version, m->data.version)) {
		pd_buf_adds(why, "somebody else wrote it meanwhile");
		return PD_E_AGAIN;
	}
	free(s->version);
	s->version = pd_xasprintf("%lu", ++m->version);
	pd_secret_free(&m->data);
	copy(s, &m->data);
	return PD_OK;
}

void pd_memory_store_init(struct pd_secret_store *s)
{
	*s = (struct pd_secret_store){"memory", memory_load, memory_save, pd_xcalloc(1, sizeof(struct memory_store))};
}

void pd_memory_store_free(struct pd_secret_store *s)
{
	struct memory_store *m = s->self;

	if (m)
		pd_secret_free(&m->data);
	free(m);
	*s = (struct pd_secret_store){0};
}
