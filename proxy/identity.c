#include "proxy/identity.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "ca/cert.h"
#include "ca/pem.h"
#include "proxy/csr.h"
#include "proxy/files.h"
#include "proxy/ticker.h"

#define KEY_PEM_MAX 8192 // bytes of an RSA key of PD_RSA_BITS_MAX as PEM, and more

struct pd_identity {
	struct pd_identity_config cfg;
	struct pd_ticker ticker;
	pthread_t thread;
	struct pd_file_mark root; // as it was when the certificate in force was asked for
	uint64_t renew_ms;        // clock of pd_now_ms
	bool hurry;               // renew_ms was set because the root file changed
};

static _Atomic int64_t expires_s; // of the certificate in force; 0 = there is none

static void collect_expiry(struct pd_metric_out *out, void *arg)
{
	const char *name = PD_SECRET_WORKLOAD;
	int64_t at = expires_s;
	(void)arg;
	if (at)
		pd_metric_emit(out, (double)(at - time(NULL)), &name, 1);
}

enum { REQUESTS, FAILURES, EXPIRY };
static struct pd_metric metrics[] = {
	[REQUESTS] = {.name = "istio_agent_num_outgoing_requests",
		      .help = "Requests for a certificate.",
		      .type = PD_COUNTER,
		      .labels = {"request_type"}},
	[FAILURES] = {.name = "istio_agent_num_failed_outgoing_requests",
		      .help = "Requests for a certificate that failed.",
		      .type = PD_COUNTER,
		      .labels = {"request_type"}},
	[EXPIRY] = {.name = "istio_agent_cert_expiry_seconds",
		    .help = "Seconds until the certificate that Envoy has expires; negative if it has.",
		    .type = PD_GAUGE,
		    .labels = {"resource_name"},
		    .collect = collect_expiry},
};

void pd_identity_register_metrics(void)
{
	pd_metrics_register(metrics, sizeof(metrics) / sizeof(metrics[0]));
}

uint64_t pd_identity_renewal_ms(uint64_t lifetime_ms, double ratio, double jitter, double unit)
{
	double part = 1 - ratio + jitter * (2 * unit - 1);
	return part <= 0 ? 0 : (uint64_t)((double)lifetime_ms * (part < 1 ? part : 1));
}

static double random_unit(void)
{
	return arc4random() / 4294967296.0;
}

// ---- one certificate -------------------------------------------------------------------------------------------------------

// What the CA gave, checked and joined.
struct issued {
	struct pd_buf key, chain, roots;
	int64_t not_after;
};

static void wipe(struct issued *i)
{
	pd_pem_wipe(&i->key);
	pd_buf_free(&i->chain);
	pd_buf_free(&i->roots);
}

// Leaf and intermediates one after the other; the last element apart.
static int join(const struct pd_ca_chain *chain, EVP_PKEY *key, struct issued *out, struct pd_buf *why)
{
	struct pd_certs certs = {0}, roots = {0};
	for (size_t i = 0; i + 1 < chain->v.n; i++) {
		pd_buf_adds(&out->chain, chain->v.v[i]);
		if (!pd_has_suffix(chain->v.v[i], "\n"))
			pd_buf_addc(&out->chain, '\n');
	}
	pd_buf_adds(&out->roots, chain->v.v[chain->v.n - 1]);
	int rc = pd_certs_from_pem(out->chain.p, out->chain.n, &certs, why);
	if (rc == PD_OK)
		rc = pd_certs_from_pem(out->roots.p, out->roots.n, &roots, why);
	if (rc == PD_OK)
		rc = pd_cert_check_key(certs.v.v[0], key, why);
	if (rc == PD_OK) {
		out->not_after = pd_cert_not_after(certs.v.v[0]);
		if (out->not_after <= time(NULL)) {
			pd_buf_adds(why, "the CA's certificate has expired already");
			rc = PD_E_INVALID;
		}
	}
	pd_certs_free(&certs);
	pd_certs_free(&roots);
	return rc;
}

static int ask(struct pd_identity *id, struct issued *out, struct pd_buf *why)
{
	const struct pd_identity_config *c = &id->cfg;
	struct pd_ca_chain chain = {0};
	struct pd_buf csr = {0};
	EVP_PKEY *key = pd_key_generate(c->key_type, c->rsa_bits);
	pd_csr_write(key, c->spiffe_id, &csr);
	pd_metric_inc(&metrics[REQUESTS], "csr");
	int rc = pd_ca_client_sign(&c->ca, csr.p, c->ttl_s, &chain, why);
	if (rc == PD_OK)
		rc = join(&chain, key, out, why);
	if (rc == PD_OK) {
		out->key =
			(struct pd_buf){pd_xmalloc(KEY_PEM_MAX), 0, KEY_PEM_MAX}; // never grows: no copy is left behind
		pd_key_to_pem(key, &out->key);
	}
	EVP_PKEY_free(key);
	pd_buf_free(&csr);
	pd_ca_chain_free(&chain);
	return rc;
}

static void write_files(const char *folder, const struct issued *i)
{
	const struct {
		const char *name;
		const struct pd_buf *text;
	} files[] = {{"key.pem", &i->key}, {"cert-chain.pem", &i->chain}, {"root-cert.pem", &i->roots}};
	for (size_t f = 0; f < sizeof(files) / sizeof(files[0]); f++) {
		struct pd_buf why = {0};
		char *path = pd_xasprintf("%s/%s", folder, files[f].name);
		if (pd_make_folder_of(path, &why) != PD_OK ||
		    pd_file_write(path, files[f].text->p, files[f].text->n, &why) != PD_OK)
			pd_error("ca", "certificate not written: %s", why.p);
		pd_buf_free(&why);
		free(path);
	}
}

static void hand_over(struct pd_identity *id, const struct issued *i)
{
	struct pd_secrets *s = id->cfg.secrets;
	// Roots first: the peers' certificates may be of a new root already, ours will be.
	int rc = pd_secrets_set_roots(s, PD_SECRET_ROOTS, i->roots.p, i->roots.n);
	if (rc == PD_OK)
		rc = pd_secrets_set_certificate(s, PD_SECRET_WORKLOAD, i->chain.p, i->chain.n, i->key.p, i->key.n);
	PD_ASSERT(rc == PD_OK); // two short names; files leave room for them (PD_FILES_MAX)
	if (*id->cfg.output)
		write_files(id->cfg.output, i);
	expires_s = i->not_after;
}

// A certificate asked for and handed over. Sets when it is to be renewed.
static int renew(struct pd_identity *id)
{
	struct issued i = {0};
	struct pd_buf why = {0};
	char expires[36];
	id->root = pd_file_mark(id->cfg.ca.root_file);
	int rc = ask(id, &i, &why);
	if (rc == PD_OK) {
		int64_t left_ms = i.not_after * 1000 - pd_wall_ns() / 1000000;
		uint64_t in_ms = pd_identity_renewal_ms(left_ms > 0 ? (uint64_t)left_ms : 0, id->cfg.grace_ratio,
							id->cfg.grace_jitter, random_unit());
		if (in_ms < PD_IDENTITY_BACKOFF_FIRST_MS)
			in_ms = PD_IDENTITY_BACKOFF_FIRST_MS; // a CA that gives seconds is not to be asked without pause
		hand_over(id, &i);
		id->renew_ms = pd_now_ms() + in_ms;
		id->hurry = false;
		pd_format_time(i.not_after * 1000000000, expires);
		pd_info("ca", "certificate for %s, valid until %s, renewed in %llu s", id->cfg.spiffe_id, expires,
			(unsigned long long)in_ms / 1000);
	} else if (rc != PD_E_CLOSED) {
		pd_metric_inc(&metrics[FAILURES], "csr");
		pd_warn("ca", "no certificate from %s: %s", id->cfg.ca.address, why.p ? why.p : pd_strerror(rc));
	}
	wipe(&i);
	pd_buf_free(&why);
	return rc;
}

// ---- the thread ------------------------------------------------------------------------------------------------------------

static void look_at_root(struct pd_identity *id)
{
	if (!*id->cfg.ca.root_file || id->hurry)
		return;
	struct pd_file_mark now = pd_file_mark(id->cfg.ca.root_file);
	if (pd_file_mark_equal(&now, &id->root) || !now.ino)
		return;
	uint64_t soon = pd_now_ms() + (uint64_t)(random_unit() * (double)id->cfg.root_change_ms);
	pd_info("ca", "%s has changed: the certificate is renewed soon", id->cfg.ca.root_file);
	id->hurry = true;
	if (soon < id->renew_ms)
		id->renew_ms = soon;
}

static uint64_t until(uint64_t then_ms)
{
	uint64_t now = pd_now_ms();
	return then_ms > now ? then_ms - now : 0;
}

static void *run(void *arg)
{
	struct pd_identity *id = arg;
	unsigned failures = 0;
	uint64_t wait;
	do {
		look_at_root(id);
		if (!until(id->renew_ms)) {
			failures = renew(id) == PD_OK ? 0 : failures + 1;
			if (failures)
				id->renew_ms = pd_now_ms() + pd_backoff_ms(failures, PD_IDENTITY_BACKOFF_FIRST_MS,
									   PD_IDENTITY_BACKOFF_LAST_MS);
		}
		wait = until(id->renew_ms);
	} while (pd_ticker_wait(&id->ticker, wait < PD_IDENTITY_LOOK_MS ? wait : PD_IDENTITY_LOOK_MS));
	return NULL;
}

struct pd_identity *pd_identity_start(const struct pd_identity_config *cfg)
{
	struct pd_identity *id = pd_xcalloc(1, sizeof(*id));
	id->cfg = *cfg;
	pd_ticker_init(&id->ticker);
	id->cfg.ca.stop = &id->ticker.stopped;
	id->root = pd_file_mark(cfg->ca.root_file);
	PD_ASSERT(pthread_create(&id->thread, NULL, run, id) == 0);
	return id;
}

void pd_identity_stop(struct pd_identity **p)
{
	struct pd_identity *id = *p;
	*p = NULL;
	if (!id)
		return;
	pd_ticker_stop(&id->ticker);
	pthread_join(id->thread, NULL);
	pd_ticker_destroy(&id->ticker);
	free(id);
}
