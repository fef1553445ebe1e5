#include "base/secret_store.h"

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
