#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "api/pb.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "config/jwks_impl.h"
#include "pilotd/jwks.pb-c.h"

enum { FETCH_OK, FETCH_FAILED };
static struct pd_metric metrics[] = {
	[FETCH_OK] = {.name = "pilot_jwks_resolver_network_fetch_success_total",
		      .help = "Key sets fetched.",
		      .type = PD_COUNTER},
	[FETCH_FAILED] = {.name = "pilot_jwks_resolver_network_fetch_fail_total",
			  .help = "Key sets that could not be fetched.",
			  .type = PD_COUNTER},
};

void pd_jwks_register_metrics(void)
{
	pd_metrics_register(metrics, sizeof(metrics) / sizeof(metrics[0]));
}

// ---- delivery ------------------------------------------------------------------------------------------------------------

// `keys` NULL: there are none any more.
static void deliver(struct jwks_doc *d, const char *keys)
{
	struct pd_jwks_source *s = d->source;
	struct pd_change change = {
		.key = {PD_KIND_JSON_WEB_KEY_SET, pd_intern(s->config.cluster), pd_intern(""), pd_intern(d->name)}};
	struct pd_key key = change.key;
	struct pd_arena a = {0};
	if (keys) {
		Pilotd__JsonWebKeySet *set = PB_NEW(&a, Pilotd__JsonWebKeySet, pilotd__json_web_key_set);
		K8s__ObjectMeta *meta = PB_NEW(&a, K8s__ObjectMeta, k8s__object_meta);
		set->issuer = pd_arena_strdup(&a, d->issuer);
		set->uri = pd_arena_strdup(&a, d->uri);
		set->keys = pd_arena_strdup(&a, keys);
		meta->name = pd_arena_strdup(&a, d->name);
		change.next = pd_object_build(&key, meta, &set->base, NULL, "fetched");
	}
	s->config.sink->changes(s->config.sink, &change, 1, false);
	pd_unintern(key.cluster);
	pd_unintern(key.ns);
	pd_unintern(key.name);
	pd_arena_free(&a);
}

static void doc_free(struct jwks_doc *d)
{
	HASH_DEL(d->source->docs, d);
	free(d->name);
	free(d->issuer);
	free(d->uri);
	free(d->keys);
	free(d);
}

// ---- asking --------------------------------------------------------------------------------------------------------------

static void on_answer(const struct pd_fetch_result *r, void *arg);

// Asks for the document, or for where it is, after a while.
static void ask(struct jwks_doc *d, uint64_t delay_ms)
{
	static const char well_known[] = "/.well-known/openid-configuration";
	size_t n = strlen(d->issuer);
	d->resolving = !*d->uri;
	char *url = d->resolving
			    ? pd_xasprintf("%.*s%s", (int)(n - (n && d->issuer[n - 1] == '/')), d->issuer, well_known)
			    : pd_xstrdup(d->uri);
	pd_fetch(d->source->fetcher, url, delay_ms, on_answer, d);
	free(url);
}

static uint64_t retry_delay(const struct jwks_doc *d)
{
	uint64_t delay = d->keys ? PD_JWKS_RETRY_KEPT_MIN_MS : PD_JWKS_RETRY_MIN_MS;
	uint64_t max = d->keys ? PD_JWKS_RETRY_KEPT_MAX_MS : PD_JWKS_RETRY_MAX_MS;
	for (unsigned i = 1; i < d->failures && delay < max; i++)
		delay *= 2;
	return delay < max ? delay : max;
}

static void failed(struct jwks_doc *d, const char *why)
{
	struct pd_arena a = {0};
	struct pd_jwks_place place;
	const char *uri = *d->uri ? d->uri : d->issuer;
	d->failures++;
	pd_metric_inc(&metrics[FETCH_FAILED]);
	if (d->keys && pd_now_ns() - d->fetched_ns > (uint64_t)PD_JWKS_KEEP_S * 1000000000) {
		free(d->keys);
		d->keys = NULL;
		deliver(d, NULL);
	}
	if (pd_jwks_place(&a, uri, &place) != PD_OK)
		place.host = "a URI that is none";
	// Not the URI: it may hold a secret.
	pd_warn("jwks", "keys of issuer \"%s\" from %s: %s: %s", d->issuer, place.host, why,
		d->keys ? "the last ones stay in force" : "no token is accepted");
	pd_arena_free(&a);
	ask(d, retry_delay(d));
}

static void fetched(struct jwks_doc *d, const char *keys)
{
	d->failures = 0;
	d->fetched_ns = pd_now_ns();
	pd_metric_inc(&metrics[FETCH_OK]);
	if (!pd_streq(d->keys, keys)) {
		free(d->keys);
		d->keys = pd_xstrdup(keys);
		deliver(d, keys);
	}
	ask(d, d->source->config.refresh_ms);
}

// Where the keys are, by the OpenID configuration (OpenID Connect Discovery 1.0, section 3). NULL: it does not say.
static char *keys_uri(const struct pd_fetch_result *r)
{
	struct pd_arena a = {0};
	struct pd_json *root;
	const struct pd_json *uri = NULL;
	if (pd_json_parse(&a, r->body, r->n, &root, NULL) == PD_OK && root->type == PD_JSON_OBJECT)
		uri = pd_json_get(root, "jwks_uri");
	char *out = uri && uri->type == PD_JSON_STRING ? pd_xstrdup(uri->s) : NULL;
	pd_arena_free(&a);
	return out;
}

// False: this only said where to ask on.
static bool answered(struct jwks_doc *d, const struct pd_fetch_result *r)
{
	if (r->err) {
		failed(d, r->text);
	} else if (d->resolving) {
		char *uri = keys_uri(r);
		if (uri) {
			d->resolving = false;
			pd_fetch(d->source->fetcher, uri, 0, on_answer, d);
			free(uri);
			return false;
		}
		failed(d, "the issuer's OpenID configuration names no jwks_uri");
	} else if (pd_jwks_ok(r->body, r->n)) {
		fetched(d, r->body);
	} else {
		failed(d, "what is there is no key set");
	}
	return true;
}

static void on_answer(const struct pd_fetch_result *r, void *arg)
{
	struct jwks_doc *d = arg;
	struct pd_jwks_source *s = d->source;
	if (r->err == PD_E_CLOSED)
		return; // pd_jwks_docs_free comes next
	pthread_mutex_lock(&s->lock);
	if (!d->wanted) {
		doc_free(d);
	} else if (answered(d, r) && !d->attempted) {
		d->attempted = true;
		pd_jwks_attempted(s);
	}
	pthread_mutex_unlock(&s->lock);
}

// ---- who wants them ------------------------------------------------------------------------------------------------------

static struct jwks_doc *doc_new(struct pd_jwks_source *s, const char *name, const char *issuer, const char *uri)
{
	if (HASH_COUNT(s->docs) >= PD_JWKS_DOCS_MAX) {
		pd_warn("jwks", "%d key sets are being fetched: those of issuer \"%s\" are one too many",
			PD_JWKS_DOCS_MAX, issuer);
		return NULL;
	}
	struct jwks_doc *d = pd_xcalloc(1, sizeof(*d));
	d->source = s;
	d->name = pd_xstrdup(name);
	d->issuer = pd_xstrdup(issuer);
	d->uri = pd_xstrdup(uri);
	HASH_ADD_KEYPTR(hh, s->docs, d->name, strlen(d->name), d);
	ask(d, 0);
	return d;
}

struct jwks_doc *pd_jwks_doc_want(struct pd_jwks_source *s, const char *issuer, const char *uri)
{
	struct pd_arena a = {0};
	struct jwks_doc *d;
	const char *name = pd_jwks_name(&a, issuer, uri);
	HASH_FIND_STR(s->docs, name, d);
	if (!d)
		d = doc_new(s, name, issuer, uri);
	pd_arena_free(&a);
	if (d && !d->wanted++ && d->keys)
		deliver(d, d->keys); // it was on its way out
	return d;
}

void pd_jwks_doc_drop(struct jwks_doc *d)
{
	if (!--d->wanted && d->keys)
		deliver(d, NULL);
}

void pd_jwks_docs_free(struct pd_jwks_source *s)
{
	struct jwks_doc *d, *next;
	HASH_ITER(hh, s->docs, d, next)
	doc_free(d);
}
