// Host patterns of servers and VirtualServices.
#include <stdlib.h>

#include "base/hash.h"
#include "base/str.h"
#include "discovery/gateway/gateway.h"

void pd_hosts_add(struct pd_arena *a, struct pd_hosts *h, const char *host)
{
	pd_vec_push_a(a, h, host);
}

bool pd_hosts_has(const struct pd_hosts *h, const char *host)
{
	for (size_t i = 0; i < h->n; i++)
		if (pd_streq(h->v[i], host))
			return true;
	return false;
}

// Where `text` is, or would be. There is always a free entry.
static size_t slot(const struct pd_text_set *s, const char *text)
{
	size_t i = pd_hash_str(text) & (s->cap - 1);
	while (s->v[i] && !pd_streq(s->v[i], text))
		i = (i + 1) & (s->cap - 1);
	return i;
}

bool pd_text_set_has(const struct pd_text_set *s, const char *text)
{
	return s->cap && s->v[slot(s, text)];
}

void pd_text_set_add(struct pd_arena *a, struct pd_text_set *s, const char *text)
{
	enum { FIRST_CAP = 16 };
	if (s->n * 2 >= s->cap) {
		struct pd_text_set more = {.cap = s->cap ? s->cap * 2 : FIRST_CAP};
		more.v = PD_NEWN(a, const char *, more.cap);
		for (size_t i = 0; i < s->cap; i++)
			if (s->v[i])
				more.v[slot(&more, s->v[i])] = s->v[i];
		more.n = s->n;
		*s = more;
	}
	size_t at = slot(s, text);
	s->n += !s->v[at];
	s->v[at] = text;
}

int pd_host_cmp_specific(const void *x, const void *y)
{
	const char *a = *(const char *const *)x, *b = *(const char *const *)y;
	bool a_wild = a[0] == '*', b_wild = b[0] == '*';
	if (a_wild != b_wild)
		return a_wild ? 1 : -1;
	size_t a_len = strlen(a), b_len = strlen(b);
	if (a_len != b_len)
		return a_len > b_len ? -1 : 1;
	return strcmp(a, b);
}

bool pd_host_overlaps(const char *a, const char *b)
{
	return pd_host_covers(a, b) || pd_host_covers(b, a);
}

// The host of a server's entry if it is open to namespace `ns`, else NULL.
static const char *open_to(const char *entry, const char *ns)
{
	const char *slash = strchr(entry, '/');
	if (!slash)
		return entry;
	size_t n = (size_t)(slash - entry);
	bool open = (n == 1 && entry[0] == '*') || (strlen(ns) == n && memcmp(entry, ns, n) == 0);
	return open ? slash + 1 : NULL;
}

struct pd_hosts pd_hosts_common(struct pd_arena *a, const struct pd_hosts *server, const char *ns,
				char *const *vs_hosts, size_t n_vs_hosts)
{
	struct pd_hosts out = {0};
	for (size_t i = 0; i < server->n; i++) {
		const char *mine = open_to(server->v[i], ns);
		for (size_t k = 0; mine && k < n_vs_hosts; k++) {
			const char *narrow = pd_host_covers(vs_hosts[k], mine)   ? mine
					     : pd_host_covers(mine, vs_hosts[k]) ? vs_hosts[k]
										 : NULL;
			if (narrow && !pd_hosts_has(&out, narrow))
				pd_hosts_add(a, &out, narrow);
		}
	}
	return out;
}
