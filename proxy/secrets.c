#include "proxy/secrets.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h"

typedef Envoy__Extensions__TransportSockets__Tls__V3__Secret Secret;
typedef Envoy__Extensions__TransportSockets__Tls__V3__TlsCertificate TlsCertificate;
typedef Envoy__Extensions__TransportSockets__Tls__V3__CertificateValidationContext ValidationContext;
typedef Envoy__Config__Core__V3__DataSource DataSource;

struct pd_secrets {
	pthread_mutex_t mu; // guards the list and the counter
	PD_VEC(struct entry {
		char *name;
		struct pd_secret *secret;
	})
	v;
	uint64_t started, changes; // what versions are made of

	pthread_mutex_t hook_mu; // guards fn and arg; held while fn runs
	void (*fn)(void *);
	void *arg;
};

void pd_secret_unref(struct pd_secret *s)
{
	if (s && pd_ref_drop(&s->ref))
		pd_free_secret(s, sizeof(*s) + s->n);
}

struct pd_secrets *pd_secrets_new(void)
{
	struct pd_secrets *s = pd_xcalloc(1, sizeof(*s));
	pthread_mutex_init(&s->mu, NULL);
	pthread_mutex_init(&s->hook_mu, NULL);
	s->started = (uint64_t)pd_wall_ns();
	return s;
}

void pd_secrets_free(struct pd_secrets **p)
{
	struct pd_secrets *s = *p;
	*p = NULL;
	if (!s)
		return;
	for (size_t i = 0; i < s->v.n; i++) {
		free(s->v.v[i].name);
		pd_secret_unref(s->v.v[i].secret);
	}
	pd_vec_free(&s->v);
	pthread_mutex_destroy(&s->mu);
	pthread_mutex_destroy(&s->hook_mu);
	free(s);
}

static struct entry *find(struct pd_secrets *s, const char *name)
{
	for (size_t i = 0; i < s->v.n; i++)
		if (strcmp(s->v.v[i].name, name) == 0)
			return &s->v.v[i];
	return NULL;
}

struct pd_secret *pd_secrets_get(struct pd_secrets *s, const char *name)
{
	pthread_mutex_lock(&s->mu);
	struct entry *e = find(s, name);
	struct pd_secret *secret = e ? e->secret : NULL;
	if (secret)
		pd_ref_take(&secret->ref);
	pthread_mutex_unlock(&s->mu);
	return secret;
}

void pd_secrets_on_change(struct pd_secrets *s, void (*fn)(void *), void *arg)
{
	pthread_mutex_lock(&s->hook_mu);
	s->fn = fn;
	s->arg = arg;
	pthread_mutex_unlock(&s->hook_mu);
}

static bool same_bytes(const struct pd_secret *a, const struct pd_secret *b)
{
	return a->n == b->n && CRYPTO_memcmp(a->bytes, b->bytes, a->n) == 0;
}

// True if the secret was taken and is something new. Else it is dropped.
static bool put(struct pd_secrets *s, const char *name, struct pd_secret *secret, int *rc)
{
	bool changed = false;
	*rc = PD_OK;
	pthread_mutex_lock(&s->mu);
	struct entry *e = find(s, name);
	if (e && same_bytes(e->secret, secret)) {
		pd_secret_unref(secret);
	} else if (!e && (s->v.n == PD_SECRETS_MAX || strlen(name) > PD_SECRET_NAME_MAX)) {
		pd_secret_unref(secret);
		*rc = PD_E_LIMIT;
	} else {
		snprintf(secret->version, sizeof(secret->version), "%llx-%llu", (unsigned long long)s->started,
			 (unsigned long long)++s->changes);
		changed = true;
		if (e) {
			pd_secret_unref(e->secret);
			e->secret = secret;
		} else {
			pd_vec_push(&s->v, (struct entry){pd_xstrdup(name), secret});
		}
	}
	pthread_mutex_unlock(&s->mu);
	return changed;
}

static int set(struct pd_secrets *s, const char *name, const Secret *m)
{
	int rc;
	size_t n = protobuf_c_message_get_packed_size(&m->base);
	struct pd_secret *secret = pd_xcalloc(1, sizeof(*secret) + n);
	pd_ref_init(&secret->ref);
	secret->n = n;
	protobuf_c_message_pack(&m->base, secret->bytes);
	if (put(s, name, secret, &rc)) {
		pthread_mutex_lock(&s->hook_mu);
		if (s->fn)
			s->fn(s->arg);
		pthread_mutex_unlock(&s->hook_mu);
	}
	return rc;
}

static DataSource bytes_of(const char *p, size_t n)
{
	DataSource d = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__INIT;
	d.specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_BYTES;
	d.inline_bytes = (ProtobufCBinaryData){n, (uint8_t *)p};
	return d;
}

int pd_secrets_set_certificate(struct pd_secrets *s, const char *name, const char *chain, size_t chain_n,
			       const char *key, size_t key_n)
{
	Secret m = ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__INIT;
	TlsCertificate c = ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__TLS_CERTIFICATE__INIT;
	DataSource chain_source = bytes_of(chain, chain_n), key_source = bytes_of(key, key_n);
	c.certificate_chain = &chain_source;
	c.private_key = &key_source;
	m.name = (char *)name;
	m.type_case = ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__TYPE_TLS_CERTIFICATE;
	m.tls_certificate = &c;
	return set(s, name, &m);
}

int pd_secrets_set_roots(struct pd_secrets *s, const char *name, const char *pem, size_t n)
{
	Secret m = ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__INIT;
	ValidationContext v = ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__CERTIFICATE_VALIDATION_CONTEXT__INIT;
	DataSource roots = bytes_of(pem, n);
	v.trusted_ca = &roots;
	m.name = (char *)name;
	m.type_case = ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__TYPE_VALIDATION_CONTEXT;
	m.validation_context = &v;
	return set(s, name, &m);
}
