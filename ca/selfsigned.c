#include "ca/selfsigned.h"

#include <errno.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ca/pem.h"

#define TRIES 5    // to write the store when others write it too
#define RETRY_S 10 // after a failed check
#define GLANCE_S 1 // how often the thread looks whether there is something to remember
#define SECOND 1000000000ll

struct pd_selfsigned {
	struct pd_selfsigned_config config;

	pthread_mutex_t mu; // one check at a time; guards, down to the next comment:
	char *published;    // version of the store that the authority has
	int64_t overlap_until_s;
	int64_t longest_ttl_s; // as stored

	pthread_t thread;
	bool running;
	pthread_mutex_t wake_mu;
	pthread_cond_t wake;
	bool stop; // under wake_mu
};

// What the store holds, read.
struct state {
	struct pd_signer *root; // without the cross certificate
	struct pd_certs previous, cross;
	int64_t overlap_until_s, longest_ttl_s;
};

static void state_free(struct state *st)
{
	pd_signer_unref(&st->root);
	pd_certs_free(&st->previous);
	pd_certs_free(&st->cross);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

// ---- reading ---------------------------------------------------------------------------------------------------------------

static int read_certs(const struct pd_secret *data, const char *key, struct pd_certs *out, struct pd_buf *why)
{
	const char *pem = pd_secret_get(data, key);
	int rc = pem ? pd_certs_from_pem(pem, strlen(pem), out, why) : PD_OK;

	if (rc != PD_OK)
		pd_buf_printf(why, " (%s)", key);
	return rc;
}

// That the root has expired is no error: it is replaced.
static int read_root(const struct pd_secret *data, int64_t now_s, struct state *st, struct pd_buf *why)
{
	const char *key_pem = pd_or(pd_secret_get(data, "ca-key.pem"), "");
	struct pd_certs certs = {0};
	EVP_PKEY *key = NULL;
	int rc = read_certs(data, "ca-cert.pem", &certs, why);

	if (rc == PD_OK && certs.v.n != 1) {
		pd_buf_printf(why, "there are %zu certificates in ca-cert.pem, not one", certs.v.n);
		rc = PD_E_INVALID;
	}
	if (rc == PD_OK)
		rc = pd_key_from_pem(key_pem, strlen(key_pem), &key, why);
	if (rc == PD_OK)
		rc = pd_cert_check_key(certs.v.v[0], key, why);
	if (rc == PD_OK)
		rc = pd_cert_check_ca(certs.v.v[0], earlier(now_s, pd_cert_not_after(certs.v.v[0])), why);
	if (rc == PD_OK)
		st->root = pd_signer_new(certs.v.v[0], key, &(struct pd_certs){0});
	EVP_PKEY_free(key);
	pd_certs_free(&certs);
	return rc;
}

static int read_overlap(const struct pd_secret *data, struct state *st, struct pd_buf *why)
{
	const char *until = pd_secret_get(data, "overlap-until"), *longest = pd_secret_get(data, "longest-ttl");
	int64_t ns;

	if (longest)
		st->longest_ttl_s = strtoll(longest, NULL, 10);
	if (!until)
		return PD_OK;
	if (pd_parse_time(until, &ns) != PD_OK) {
		pd_buf_adds(why, "overlap-until is not a time");
		return PD_E_INVALID;
	}
	st->overlap_until_s = ns / SECOND;
	int rc = read_certs(data, "previous-ca-cert.pem", &st->previous, why);
	return rc == PD_OK ? read_certs(data, "cross-cert.pem", &st->cross, why) : rc;
}

static int read_state(const struct pd_secret *data, int64_t now_s, struct state *st, struct pd_buf *why)
{
	int rc = read_root(data, now_s, st, why);

	return rc == PD_OK ? read_overlap(data, st, why) : rc;
}

// ---- changing --------------------------------------------------------------------------------------------------------------

static void set_certs(struct pd_secret *data, const char *key, const struct pd_certs *certs)
{
	struct pd_buf pem = {0};

	pd_certs_to_pem(certs, &pem);
	pd_secret_set(data, key, pem.p);
	pd_buf_free(&pem);
}

static void set_cert(struct pd_secret *data, const char *key, X509 *cert)
{
	struct pd_certs one = {0};

	pd_certs_add(&one, cert);
	set_certs(data, key, &one);
	pd_certs_free(&one);
}

// Puts a new root in; NULL `old`: the first one.
static void make_root(const struct pd_selfsigned_config *c, struct pd_secret *data, const struct pd_signer *old,
		      int64_t now_s)
{
	EVP_PKEY *key = c->rsa_bits ? pd_key_generate(PD_KEY_RSA, c->rsa_bits) : pd_key_generate(PD_KEY_P256, 0);
	X509 *root = pd_root_new(key, c->organization, c->ca_ttl_s, now_s), *cross;
	struct pd_buf pem = {0};

	if (old) {
		cross = pd_root_cross(root, old, now_s);
		set_cert(data, "cross-cert.pem", cross);
		set_cert(data, "previous-ca-cert.pem", old->cert);
		X509_free(cross);
	}
	set_cert(data, "ca-cert.pem", root);
	pd_key_to_pem(key, &pem);
	pd_secret_set(data, "ca-key.pem", pem.p);
	pd_pem_wipe(&pem);
	// istiod expects these entries, and expects them empty.
	pd_secret_set(data, "cert-chain.pem", "");
	pd_secret_set(data, "key.pem", "");
	pd_secret_set(data, "root-cert.pem", "");
	X509_free(root);
	EVP_PKEY_free(key);
}

static void set_number(struct pd_secret *data, const char *key, int64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)v);
	pd_secret_set(data, key, text);
}

static int64_t longest(const struct pd_selfsigned *s, const struct state *st)
{
	int64_t granted = pd_authority_longest_ttl(s->config.authority), v = st->longest_ttl_s;

	v = v > s->config.leaf_ttl_s ? v : s->config.leaf_ttl_s;
	return v > granted ? v : granted;
}

static void begin_overlap(const struct pd_selfsigned *s, struct pd_secret *data, const struct state *st, int64_t now_s)
{
	int64_t until = now_s + longest(s, st) + PD_CLOCK_SKEW_S, end = pd_cert_not_after(st->root->cert);
	char text[36];

	// What the old root signed ends with it.
	pd_format_time(earlier(until, end) * SECOND, text);
	make_root(&s->config, data, st->root, now_s);
	pd_secret_set(data, "overlap-until", text);
}

static void end_overlap(struct pd_secret *data)
{
	pd_secret_set(data, "overlap-until", NULL);
	pd_secret_set(data, "previous-ca-cert.pem", NULL);
	pd_secret_set(data, "cross-cert.pem", NULL);
}

static bool in_grace(const struct pd_selfsigned *s, const struct state *st, int64_t now_s)
{
	int64_t begin = pd_cert_not_before(st->root->cert), end = pd_cert_not_after(st->root->cert);

	return now_s >= end - (end - begin) * (int64_t)s->config.grace_percent / 100;
}

// Does to the data what is due. False: nothing is.
static bool change(const struct pd_selfsigned *s, struct pd_secret *data, const struct state *st, int64_t now_s,
		   bool rotate, const char **what)
{
	bool any = false;

	if (longest(s, st) > st->longest_ttl_s) {
		set_number(data, "longest-ttl", longest(s, st));
		*what = "longer certificates have been granted";
		any = true;
	}
	if (now_s > pd_cert_not_after(st->root->cert)) {
		end_overlap(data);
		make_root(&s->config, data, NULL, now_s);
		*what = "the root has expired: a new one was made";
		any = true;
	} else if (st->overlap_until_s && now_s >= st->overlap_until_s) {
		end_overlap(data);
		*what = "the previous root is not trusted any more";
		any = true;
	} else if (!st->overlap_until_s && (rotate || in_grace(s, st, now_s))) {
		begin_overlap(s, data, st, now_s);
		*what = "a new root signs; the previous one stays trusted";
		any = true;
	}
	return any;
}

// ---- a check ---------------------------------------------------------------------------------------------------------------

static void publish(struct pd_selfsigned *s, const struct pd_secret *data, const struct state *st)
{
	struct pd_certs roots = {0};
	struct pd_signer *signer;

	s->overlap_until_s = st->overlap_until_s;
	s->longest_ttl_s = st->longest_ttl_s;
	if (pd_streq(s->published, data->version))
		return;
	free(s->published);
	s->published = pd_xstrdup(data->version);
	signer = pd_signer_new(st->root->cert, st->root->key, &st->cross);
	pd_certs_add(&roots, st->root->cert);
	for (size_t i = 0; i < st->previous.v.n; i++)
		pd_certs_add(&roots, st->previous.v.v[i]);
	pd_authority_publish(s->config.authority, signer, &roots);
	pd_certs_free(&roots);
	pd_signer_unref(&signer);
}

// Loads, changes what is due, saves. PD_E_AGAIN: somebody else was faster. *more: the store was changed and must be read again.
static int step(struct pd_selfsigned *s, int64_t now_s, bool *rotate, bool *more, struct pd_buf *why)
{
	const struct pd_secret_store *store = s->config.store;
	const char *what = "a root was made";
	struct pd_secret data = {0};
	struct state st = {0};
	int rc = store->load(store->self, &data, why);

	*more = false;
	if (rc == PD_E_NOTFOUND) {
		make_root(&s->config, &data, NULL, now_s);
		set_number(&data, "longest-ttl", longest(s, &st));
		*more = true;
		rc = PD_OK;
	} else if (rc == PD_OK) {
		rc = read_state(&data, now_s, &st, why);
		if (rc == PD_OK)
			*more = change(s, &data, &st, now_s, *rotate, &what);
	}
	if (rc == PD_OK && *more) {
		rc = store->save(store->self, &data, why);
		if (rc == PD_OK) {
			pd_info("ca", "%s: %s", store->name, what);
			*rotate = false;
		}
	} else if (rc == PD_OK) {
		publish(s, &data, &st);
	}
	state_free(&st);
	pd_secret_free(&data);
	return rc;
}

static int check_locked(struct pd_selfsigned *s, int64_t now_s, bool rotate, struct pd_buf *why)
{
	bool more = true;
	int rc = PD_OK;

	for (int i = 0; i < TRIES && more; i++) {
		pd_buf_reset(why);
		rc = step(s, now_s, &rotate, &more, why);
		if (rc != PD_OK && rc != PD_E_AGAIN)
			break;
	}
	return rc;
}

int pd_selfsigned_check(struct pd_selfsigned *s, int64_t now_s, struct pd_buf *why)
{
	int rc;

	pthread_mutex_lock(&s->mu);
	rc = check_locked(s, now_s, false, why);
	pthread_mutex_unlock(&s->mu);
	return rc;
}

int pd_selfsigned_rotate(struct pd_selfsigned *s, int64_t now_s, struct pd_buf *why)
{
	int rc;

	pthread_mutex_lock(&s->mu);
	rc = check_locked(s, now_s, false, why);
	if (rc == PD_OK && s->overlap_until_s) {
		pd_buf_adds(why, "the last rotation is not over yet");
		rc = PD_E_AGAIN;
	}
	if (rc == PD_OK)
		rc = check_locked(s, now_s, true, why);
	pthread_mutex_unlock(&s->mu);
	return rc;
}

int64_t pd_selfsigned_overlap_until(struct pd_selfsigned *s)
{
	int64_t v;

	pthread_mutex_lock(&s->mu);
	v = s->overlap_until_s;
	pthread_mutex_unlock(&s->mu);
	return v;
}

// ---- the thread ------------------------------------------------------------------------------------------------------------

static int64_t now_s(void)
{
	return pd_wall_ns() / SECOND;
}

// Waits a little. False: stop.
static bool nap(struct pd_selfsigned *s)
{
	uint64_t at = pd_now_ns() + GLANCE_S * SECOND;
	struct timespec until = {.tv_sec = (time_t)(at / SECOND), .tv_nsec = (long)(at % SECOND)};
	bool going;

	pthread_mutex_lock(&s->wake_mu);
	if (!s->stop)
		pthread_cond_timedwait(&s->wake, &s->wake_mu, &until);
	going = !s->stop;
	pthread_mutex_unlock(&s->wake_mu);
	return going;
}

// Is there something to do before the next regular check?
static bool urgent(struct pd_selfsigned *s)
{
	bool yes;

	pthread_mutex_lock(&s->mu);
	yes = pd_authority_longest_ttl(s->config.authority) > s->longest_ttl_s ||
	      (s->overlap_until_s && now_s() >= s->overlap_until_s);
	pthread_mutex_unlock(&s->mu);
	return yes;
}

static int64_t first_delay(const struct pd_selfsigned_config *c)
{
	uint32_t random = 0;

	if (c->jitter)
		PD_ASSERT(RAND_bytes((unsigned char *)&random, sizeof(random)) == 1);
	return c->check_interval_s + (int64_t)((double)c->check_interval_s * random / UINT32_MAX);
}

static void *thread_main(void *arg)
{
	struct pd_selfsigned *s = arg;
	uint64_t next = pd_now_ns() + (uint64_t)(first_delay(&s->config) * SECOND), retry = 0;
	struct pd_buf why = {0};

	while (nap(s)) {
		uint64_t now = pd_now_ns();
		if (now < retry || (now < next && !urgent(s)))
			continue;
		next = now + (uint64_t)(s->config.check_interval_s * SECOND);
		if (pd_selfsigned_check(s, now_s(), &why) == PD_OK)
			continue;
		pd_warn("ca", "%s: %s", s->config.store->name, why.p);
		next = retry = now + RETRY_S * SECOND;
	}
	pd_buf_free(&why);
	return NULL;
}

int pd_selfsigned_open(const struct pd_selfsigned_config *c, int64_t now, struct pd_selfsigned **out,
		       struct pd_buf *why)
{
	struct pd_selfsigned *s = pd_xcalloc(1, sizeof(*s));
	pthread_condattr_t monotonic;
	int rc;

	s->config = *c;
	pthread_mutex_init(&s->mu, NULL);
	pthread_mutex_init(&s->wake_mu, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	rc = pd_selfsigned_check(s, now, why);
	*out = s;
	if (rc != PD_OK)
		pd_selfsigned_close(out);
	return rc;
}

void pd_selfsigned_start(struct pd_selfsigned *s)
{
	PD_ASSERT(!s->running);
	PD_ASSERT(pthread_create(&s->thread, NULL, thread_main, s) == 0);
	s->running = true;
}

void pd_selfsigned_close(struct pd_selfsigned **sp)
{
	struct pd_selfsigned *s = *sp;

	if (!s)
		return;
	*sp = NULL;
	pthread_mutex_lock(&s->wake_mu);
	s->stop = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->wake_mu);
	if (s->running)
		pthread_join(s->thread, NULL);
	pthread_mutex_destroy(&s->mu);
	pthread_mutex_destroy(&s->wake_mu);
	pthread_cond_destroy(&s->wake);
	free(s->published);
	free(s);
}
