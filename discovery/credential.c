#include "discovery/credential.h"

#include <string.h>

#include "base/str.h"
#include "k8s/core.pb-c.h"

// PEM text with at least one block whose label ends as given.
static bool has_pem(const uint8_t *data, size_t n, const char *label_end)
{
	const char *at = memmem(data, n, "-----BEGIN ", 11);
	if (!at)
		return false;
	size_t left = n - (size_t)(at - (const char *)data);
	const char *dashes = memmem(at + 11, left - 11, "-----", 5);
	size_t label = strlen(label_end);
	return dashes && (size_t)(dashes - at) >= 11 + label && memcmp(dashes - label, label_end, label) == 0 &&
	       memmem(dashes, left - (size_t)(dashes - at), "-----END ", 9);
}

static struct pd_pem value_of(const struct pd_object *o, const char *key)
{
	if (o->key.kind == PD_KIND_SECRET) {
		const K8s__Secret *s = (const K8s__Secret *)o->spec;
		for (size_t i = 0; i < s->n_data; i++)
			if (pd_streq(s->data[i]->key, key) && s->data[i]->has_value)
				return (struct pd_pem){s->data[i]->value.data, s->data[i]->value.len};
		return (struct pd_pem){0};
	}
	const K8s__ConfigMap *m = (const K8s__ConfigMap *)o->spec;
	for (size_t i = 0; i < m->n_data; i++)
		if (pd_streq(m->data[i]->key, key) && m->data[i]->value)
			return (struct pd_pem){(const uint8_t *)m->data[i]->value, strlen(m->data[i]->value)};
	return (struct pd_pem){0};
}

static struct pd_pem pem_of(const struct pd_object *o, const char *key, const char *label_end)
{
	struct pd_pem pem = value_of(o, key);
	return pem.p && has_pem(pem.p, pem.n, label_end) ? pem : (struct pd_pem){0};
}

struct pd_key_pair pd_credential_key_pair(const struct pd_object *o)
{
	static const char *const keys[][2] = {{"cert", "key"}, {"tls.crt", "tls.key"}};
	for (size_t i = 0; i < 2; i++) {
		struct pd_key_pair pair = {.certificates = pem_of(o, keys[i][0], "CERTIFICATE"),
					   .key = pem_of(o, keys[i][1], "PRIVATE KEY")};
		if (!pair.certificates.p || !pair.key.p)
			continue;
		pair.staple = value_of(o, "tls.ocsp-staple");
		return pair;
	}
	return (struct pd_key_pair){0};
}

struct pd_roots pd_credential_roots(const struct pd_object *o)
{
	static const char *const keys[][2] = {{"cacert", "crl"}, {"ca.crt", "ca.crl"}};
	for (size_t i = o->key.kind == PD_KIND_SECRET ? 0 : 1; i < 2; i++) {
		struct pd_roots r = {.roots = pem_of(o, keys[i][0], "CERTIFICATE")};
		if (!r.roots.p)
			continue;
		r.crl = pem_of(o, keys[i][1], "X509 CRL");
		return r;
	}
	return (struct pd_roots){0};
}
