#include "ca/store.h"

#include <stdlib.h>

#include "base/mem.h"

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
