#include "ca/tls.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ca/pem.h"
#include "ca/watch.h"
#include "config/file.h"

// One pair that can be served. Immutable.
struct identity {
	char *cert_pem; // leaf, then intermediates
	struct pd_buf key_pem;
	int64_t renew_at_s; // 0 = never (files)
	uint64_t trust;     // version of the trust that signed it
};

struct pd_tls {
	struct pd_authority *authority;
	char *names[PD_TLS_NAMES_MAX];
	size_t n_names;
	int64_t ttl_s;
	char *cert_file, *key_file, *ca_file;
	grpc_server_credentials *creds;
	struct pd_watch *watch;
	pthread_t thread;
	bool running;

	pthread_mutex_t mu; // guards, down to the next comment:
	pthread_cond_t wake;
	bool stop;
	struct identity *identity;
	struct pd_certs file_roots;
	uint64_t version;                      // of identity and file_roots
	uint64_t served_version, served_trust; // what grpc has
};

static void identity_free(struct identity *i)
{
	if (!i)
		return;
	free(i->cert_pem);
	pd_pem_wipe(&i->key_pem);
	free(i);
}

// Takes the identity.
static void put(struct pd_tls *t, struct identity *i)
{
	struct identity *old;

	pthread_mutex_lock(&t->mu);
	old = t->identity;
	t->identity = i;
	t->version++;
	pthread_mutex_unlock(&t->mu);
	identity_free(old);
}

// ---- a certificate of our own ----------------------------------------------------------------------------------------------

// RSA only if the CA has it, as istiod does.
static EVP_PKEY *new_key(const struct pd_signer *s)
{
	bool rsa = pd_key_type(s->key) == PD_KEY_RSA;

	return rsa ? pd_key_generate(PD_KEY_RSA, 2048) : pd_key_generate(PD_KEY_P256, 0);
}

static int sign_own(struct pd_tls *t, const struct pd_ca_state *trust, int64_t now_s, struct pd_buf *why)
{
	struct pd_leaf leaf = {(const char *const *)t->names, t->n_names, t->ttl_s, now_s, false};
	struct pd_buf cert = {0};
	struct identity *i;
	EVP_PKEY *key;
	int64_t end;
	int rc;

	if (!trust->signer) {
		pd_buf_adds(why, "there is no CA to sign the server's certificate");
		return PD_E_INVALID;
	}
	key = new_key(trust->signer);
	rc = pd_signer_issue_own(trust->signer, key, &leaf, &cert, &end, why);
	if (rc == PD_OK) {
		for (size_t k = 0; k < trust->n_chain; k++)
			pd_buf_adds(&cert, trust->chain[k]);
		i = pd_xcalloc(1, sizeof(*i));
		i->cert_pem = cert.p;
		pd_key_to_pem(key, &i->key_pem);
		i->renew_at_s = now_s + (end - now_s) / 2;
		i->trust = trust->version;
		put(t, i);
		pd_info("tls", "a certificate was signed for %s and %zu further names", t->names[0], t->n_names - 1);
	} else {
		pd_buf_free(&cert);
	}
	EVP_PKEY_free(key);
	return rc;
}

static bool due(struct pd_tls *t, const struct pd_ca_state *trust, int64_t now_s)
{
	bool yes;

	pthread_mutex_lock(&t->mu);
	yes = !t->identity ||
	      (t->identity->renew_at_s && (now_s >= t->identity->renew_at_s || t->identity->trust != trust->version));
	pthread_mutex_unlock(&t->mu);
	return yes;
}

void pd_tls_refresh(struct pd_tls *t, int64_t now_s)
{
	struct pd_ca_state *trust = pd_authority_get(t->authority);
	struct pd_buf why = {0};

	if (due(t, trust, now_s) && sign_own(t, trust, now_s, &why) != PD_OK)
		pd_warn("tls", "the server's certificate cannot be renewed: %s", why.p);
	pd_buf_free(&why);
	pd_ca_state_unref(&trust);
}

// ---- files -----------------------------------------------------------------------------------------------------------------

static int read_file(const char *path, char **text, size_t *len, struct pd_buf *why)
{
	struct stat st;
	int rc = pd_file_read(path, PD_PEM_INPUT_MAX, text, len, &st);

	if (rc != PD_OK)
		pd_buf_printf(why, "%s: %s", path, rc == PD_E_IO ? strerror(errno) : pd_strerror(rc));
	return rc;
}

static int read_certs(const char *path, struct pd_certs *out, char **pem, struct pd_buf *why)
{
	size_t len;
	int rc = read_file(path, pem, &len, why);

	if (rc == PD_OK && (rc = pd_certs_from_pem(*pem, len, out, why)) != PD_OK) {
		pd_buf_printf(why, " (%s)", path);
		free(*pem);
		*pem = NULL;
	}
	return rc;
}

static int read_pair(const struct pd_tls *t, struct identity *i, struct pd_buf *why)
{
	struct pd_certs certs = {0};
	EVP_PKEY *key = NULL;
	char *key_text = NULL;
	size_t len = 0;
	int rc = read_certs(t->cert_file, &certs, &i->cert_pem, why);

	if (rc == PD_OK)
		rc = read_file(t->key_file, &key_text, &len, why);
	if (rc == PD_OK && (rc = pd_key_from_pem(key_text, len, &key, why)) != PD_OK)
		pd_buf_printf(why, " (%s)", t->key_file);
	if (rc == PD_OK)
		rc = pd_cert_check_key(certs.v.v[0], key, why);
	if (rc == PD_OK)
		pd_key_to_pem(key, &i->key_pem);
	EVP_PKEY_free(key);
	pd_free_secret(key_text, len);
	pd_certs_free(&certs);
	return rc;
}

static int load_files(struct pd_tls *t, struct pd_buf *why)
{
	struct identity *i = pd_xcalloc(1, sizeof(*i));
	struct pd_certs roots = {0}, old;
	char *pem = NULL;
	int rc = read_pair(t, i, why);

	if (rc == PD_OK && !pd_empty(t->ca_file))
		rc = read_certs(t->ca_file, &roots, &pem, why);
	free(pem);
	if (rc != PD_OK) {
		identity_free(i);
		return rc;
	}
	pthread_mutex_lock(&t->mu);
	old = t->file_roots;
	t->file_roots = roots;
	pthread_mutex_unlock(&t->mu);
	pd_certs_free(&old);
	put(t, i);
	return PD_OK;
}

static void files_changed(void *arg)
{
	struct pd_tls *t = arg;
	struct pd_buf why = {0};

	if (load_files(t, &why) == PD_OK)
		pd_info("tls", "%s was read again", t->cert_file);
	else
		pd_warn("tls", "the server's certificate stays as it was: %s", why.p);
	pd_buf_free(&why);
}

// ---- grpc ------------------------------------------------------------------------------------------------------------------

static void add_roots(const struct pd_tls *t, const struct pd_ca_state *trust, struct pd_buf *out)
{
	pd_buf_adds(out, trust->roots_pem);
	pd_certs_to_pem(&t->file_roots, out);
}

// Called by grpc when the port opens and at every handshake.
static grpc_ssl_certificate_config_reload_status fetch(void *arg, grpc_ssl_server_certificate_config **out)
{
	struct pd_tls *t = arg;
	struct pd_ca_state *trust = pd_authority_get(t->authority);
	grpc_ssl_pem_key_cert_pair pair;
	struct pd_buf roots = {0};
	bool changed;

	pthread_mutex_lock(&t->mu);
	changed = t->served_version != t->version || t->served_trust != trust->version;
	if (changed) {
		t->served_version = t->version;
		t->served_trust = trust->version;
		add_roots(t, trust, &roots);
		pair = (grpc_ssl_pem_key_cert_pair){t->identity->key_pem.p, t->identity->cert_pem};
		*out = grpc_ssl_server_certificate_config_create(roots.n ? roots.p : NULL, &pair, 1);
	}
	pthread_mutex_unlock(&t->mu);
	pd_buf_free(&roots);
	pd_ca_state_unref(&trust);
	return changed ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
}

static void make_credentials(struct pd_tls *t)
{
	grpc_ssl_server_credentials_options *o = grpc_ssl_server_credentials_create_options_using_config_fetcher(
		GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY, fetch, t);

	t->creds = grpc_ssl_server_credentials_create_with_options(o);
	PD_ASSERT(t->creds);
}

grpc_server_credentials *pd_tls_credentials(struct pd_tls *t)
{
	return t->creds;
}

char *pd_tls_certificate(struct pd_tls *t)
{
	char *pem;

	pthread_mutex_lock(&t->mu);
	pem = pd_xstrdup(t->identity->cert_pem);
	pthread_mutex_unlock(&t->mu);
	return pem;
}

// ---- life ------------------------------------------------------------------------------------------------------------------

static bool nap(struct pd_tls *t)
{
	uint64_t at = pd_now_ns() + 1000000000;
	struct timespec until = {.tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000)};
	bool going;

	pthread_mutex_lock(&t->mu);
	if (!t->stop)
		pthread_cond_timedwait(&t->wake, &t->mu, &until);
	going = !t->stop;
	pthread_mutex_unlock(&t->mu);
	return going;
}

static void *renew(void *arg)
{
	while (nap(arg))
		pd_tls_refresh(arg, pd_wall_ns() / 1000000000);
	return NULL;
}

static int open_files(struct pd_tls *t, const struct pd_tls_config *c, struct pd_buf *why)
{
	const char *paths[] = {c->cert_file, c->key_file, c->ca_file};
	int rc;

	t->cert_file = pd_xstrdup(c->cert_file);
	t->key_file = pd_xstrdup(c->key_file);
	t->ca_file = pd_xstrdup(pd_or(c->ca_file, ""));
	rc = load_files(t, why);
	if (rc == PD_OK)
		t->watch = pd_watch_start(paths, pd_empty(c->ca_file) ? 2 : 3, files_changed, t);
	return rc;
}

static int open_own(struct pd_tls *t, const struct pd_tls_config *c, struct pd_buf *why)
{
	struct pd_ca_state *trust = pd_authority_get(t->authority);
	int rc;

	PD_ASSERT(c->n_names && c->n_names <= PD_TLS_NAMES_MAX);
	for (; t->n_names < c->n_names; t->n_names++)
		t->names[t->n_names] = pd_xstrdup(c->names[t->n_names]);
	t->ttl_s = c->ttl_s ? c->ttl_s : PD_TLS_TTL_S;
	rc = sign_own(t, trust, pd_wall_ns() / 1000000000, why);
	pd_ca_state_unref(&trust);
	if (rc == PD_OK) {
		PD_ASSERT(pthread_create(&t->thread, NULL, renew, t) == 0);
		t->running = true;
	}
	return rc;
}

int pd_tls_new(const struct pd_tls_config *c, struct pd_tls **out, struct pd_buf *why)
{
	struct pd_tls *t = pd_xcalloc(1, sizeof(*t));
	bool files = !pd_empty(c->cert_file) || !pd_empty(c->key_file);
	pthread_condattr_t monotonic;
	int rc;

	t->authority = c->authority;
	pthread_mutex_init(&t->mu, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&t->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (files && (pd_empty(c->cert_file) || pd_empty(c->key_file))) {
		pd_buf_adds(why, "a certificate file needs a key file, and the reverse");
		rc = PD_E_INVALID;
	} else {
		rc = files ? open_files(t, c, why) : open_own(t, c, why);
	}
	if (rc == PD_OK)
		make_credentials(t);
	*out = t;
	if (rc != PD_OK)
		pd_tls_free(out);
	return rc;
}

void pd_tls_free(struct pd_tls **tp)
{
	struct pd_tls *t = *tp;

	if (!t)
		return;
	*tp = NULL;
	pd_watch_stop(&t->watch);
	pthread_mutex_lock(&t->mu);
	t->stop = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->mu);
	if (t->running)
		pthread_join(t->thread, NULL);
	if (t->creds)
		grpc_server_credentials_release(t->creds);
	identity_free(t->identity);
	pd_certs_free(&t->file_roots);
	for (size_t i = 0; i < t->n_names; i++)
		free(t->names[i]);
	free(t->cert_file);
	free(t->key_file);
	free(t->ca_file);
	pthread_mutex_destroy(&t->mu);
	pthread_cond_destroy(&t->wake);
	free(t);
}
