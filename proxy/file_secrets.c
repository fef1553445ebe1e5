#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/vec.h"
#include "ca/cert.h"
#include "ca/key.h"
#include "ca/pem.h"
#include "proxy/files.h"
#include "proxy/ticker.h"

struct followed {
	char *name, *cert, *key; // key NULL: roots
	struct pd_file_mark marks[2];
	bool looked_at;
};

struct pd_file_secrets {
	struct pd_secrets *secrets;
	struct pd_ticker ticker;
	pthread_t thread;
	pthread_mutex_t mu;          // guards the list; what an entry's marks say is the thread's alone
	PD_VEC(struct followed *) v; // entries are never removed
};

static struct pd_metric failures = {.name = "istio_agent_num_file_secret_failures_total",
				    .help = "Secrets that could not be read from files.",
				    .type = PD_COUNTER};

void pd_file_secrets_register_metrics(void)
{
	pd_metrics_register(&failures, 1);
}

// ---- loading ---------------------------------------------------------------------------------------------------------------

static int check_pair(const struct pd_buf *cert, const struct pd_buf *key, struct pd_buf *why)
{
	struct pd_certs certs = {0};
	EVP_PKEY *k = NULL;
	int rc = pd_certs_from_pem(cert->p, cert->n, &certs, why);
	if (rc == PD_OK)
		rc = pd_key_from_pem(key->p, key->n, &k, why);
	if (rc == PD_OK)
		rc = pd_cert_check_key(certs.v.v[0], k, why);
	EVP_PKEY_free(k);
	pd_certs_free(&certs);
	return rc;
}

static int load_pair(struct pd_file_secrets *fs, const struct followed *f, struct pd_buf *why)
{
	struct pd_buf cert = {0}, key = {0};
	int rc = pd_file_read(f->cert, &cert, why);
	if (rc == PD_OK)
		rc = pd_file_read(f->key, &key, why);
	if (rc == PD_OK)
		rc = check_pair(&cert, &key, why);
	if (rc == PD_OK)
		rc = pd_secrets_set_certificate(fs->secrets, f->name, cert.p, cert.n, key.p, key.n);
	pd_buf_free(&cert);
	pd_pem_wipe(&key);
	return rc;
}

static int load_roots(struct pd_file_secrets *fs, const struct followed *f, struct pd_buf *why)
{
	struct pd_buf pem = {0};
	struct pd_certs certs = {0};
	int rc = pd_file_read(f->cert, &pem, why);
	if (rc == PD_OK)
		rc = pd_certs_from_pem(pem.p, pem.n, &certs, why);
	if (rc == PD_OK)
		rc = pd_secrets_set_roots(fs->secrets, f->name, pem.p, pem.n);
	pd_certs_free(&certs);
	pd_buf_free(&pem);
	return rc;
}

static void look_at(struct pd_file_secrets *fs, struct followed *f)
{
	struct pd_file_mark marks[2] = {pd_file_mark(f->cert)};
	if (f->key)
		marks[1] = pd_file_mark(f->key);
	if (f->looked_at && pd_file_mark_equal(&marks[0], &f->marks[0]) && pd_file_mark_equal(&marks[1], &f->marks[1]))
		return;
	struct pd_buf why = {0};
	memcpy(f->marks, marks, sizeof(marks));
	f->looked_at = true;
	int rc = f->key ? load_pair(fs, f, &why) : load_roots(fs, f, &why);
	if (rc == PD_OK) {
		pd_info("sds", "read %s from %s", f->name, f->cert);
	} else {
		pd_metric_inc(&failures);
		pd_error("sds", "%s: %s", f->name, why.p ? why.p : pd_strerror(rc));
	}
	pd_buf_free(&why);
}

static struct followed *at(struct pd_file_secrets *fs, size_t i)
{
	pthread_mutex_lock(&fs->mu);
	struct followed *f = i < fs->v.n ? fs->v.v[i] : NULL;
	pthread_mutex_unlock(&fs->mu);
	return f;
}

static void *run(void *arg)
{
	struct pd_file_secrets *fs = arg;
	do {
		struct followed *f;
		for (size_t i = 0; (f = at(fs, i)); i++)
			look_at(fs, f);
	} while (pd_ticker_wait(&fs->ticker, PD_FILES_PERIOD_MS));
	return NULL;
}

// ---- what to follow --------------------------------------------------------------------------------------------------------

void pd_file_secrets_follow(struct pd_file_secrets *fs, const char *name, const char *cert, const char *key)
{
	bool known = false, full;
	pthread_mutex_lock(&fs->mu);
	for (size_t i = 0; i < fs->v.n; i++)
		known |= strcmp(fs->v.v[i]->name, name) == 0;
	full = fs->v.n == PD_FILES_MAX;
	if (!known && !full) {
		struct followed *f = pd_xcalloc(1, sizeof(*f));
		f->name = pd_xstrdup(name);
		f->cert = pd_xstrdup(cert);
		f->key = key ? pd_xstrdup(key) : NULL;
		pd_vec_push(&fs->v, f);
	}
	pthread_mutex_unlock(&fs->mu);
	if (!known && full)
		pd_error("sds", "%s: %d secrets from files are the limit", name, PD_FILES_MAX);
	else if (!known)
		pd_ticker_wake(&fs->ticker);
}

// Where distributions keep the roots of public authorities: Debian, Fedora, Alpine.
static const char *system_roots(void)
{
	static const char *const places[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
					     "/etc/ssl/cert.pem"};
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (access(places[i], R_OK) == 0)
			return places[i];
	return places[0];
}

void pd_file_secrets_want(struct pd_file_secrets *fs, const char *name)
{
	static const char cert[] = "file-cert:", root[] = "file-root:";
	if (pd_has_prefix(name, root)) {
		const char *path = name + strlen(root);
		pd_file_secrets_follow(fs, name, strcmp(path, "system") == 0 ? system_roots() : path, NULL);
	} else if (pd_has_prefix(name, cert)) {
		char *path = pd_xstrdup(name + strlen(cert)), *key = strchr(path, '~');
		if (key) {
			*key++ = 0;
			pd_file_secrets_follow(fs, name, path, key);
		} else {
			pd_error("sds", "%s: no '~' between certificate and key", name);
		}
		free(path);
	}
}

struct pd_file_secrets *pd_file_secrets_new(struct pd_secrets *secrets)
{
	struct pd_file_secrets *fs = pd_xcalloc(1, sizeof(*fs));
	fs->secrets = secrets;
	pthread_mutex_init(&fs->mu, NULL);
	pd_ticker_init(&fs->ticker);
	PD_ASSERT(pthread_create(&fs->thread, NULL, run, fs) == 0);
	return fs;
}

void pd_file_secrets_free(struct pd_file_secrets **p)
{
	struct pd_file_secrets *fs = *p;
	*p = NULL;
	if (!fs)
		return;
	pd_ticker_stop(&fs->ticker);
	pthread_join(fs->thread, NULL);
	pd_ticker_destroy(&fs->ticker);
	for (size_t i = 0; i < fs->v.n; i++) {
		free(fs->v.v[i]->name);
		free(fs->v.v[i]->cert);
		free(fs->v.v[i]->key);
		free(fs->v.v[i]);
	}
	pd_vec_free(&fs->v);
	pthread_mutex_destroy(&fs->mu);
	free(fs);
}
