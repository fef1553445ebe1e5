#include "cmd/pilotd/authn.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ca/auth_cert.h"
#include "ca/auth_kube.h"
#include "ca/auth_xfcc.h"
#include "ca/flags.h"
#include "ca/oidc.h"
#include "k8s/token_review.h"
#include "xds/flags.h"

// ---- authenticators --------------------------------------------------------------------------------------------------------

// Takes the rule.
static int add_oidc(struct authn *a, const struct pd_oidc_rule *rule, struct pd_buf *err)
{
	struct pd_oidc_config c = {.rule = *rule, .trust = a->trust};
	struct pd_authenticator oidc;
	int rc;

	if (!a->fetcher)
		a->fetcher = pd_fetcher_new(&(struct pd_fetch_options){.files = true});
	c.fetcher = a->fetcher;
	rc = pd_oidc_new(&c, &oidc, err);
	if (rc == PD_OK)
		pd_auth_chain_add(&a->chain, &oidc);
	return rc;
}

static int add_jwt_rule(struct authn *a, const char *text, struct pd_buf *err)
{
	struct pd_oidc_rule rule;
	struct pd_buf why = {0};
	int rc = pd_oidc_rule_parse(text, &rule, &why);

	if (rc == PD_OK)
		rc = add_oidc(a, &rule, &why);
	if (rc != PD_OK)
		pd_buf_printf(err, "JWT_RULE: %s", why.p);
	pd_buf_free(&why);
	return rc;
}

// Outside of a cluster, the tokens of one may be verified with its published keys.
static int add_token_issuer(struct authn *a, const char *issuer, struct pd_buf *err)
{
	struct pd_oidc_rule rule = {.issuer = pd_xstrdup(issuer)};

	for (size_t i = 0; i < pd_ca_settings.token_audiences.n; i++)
		pd_vec_push(&rule.audiences, pd_xstrdup(pd_ca_settings.token_audiences.v[i]));
	return add_oidc(a, &rule, err);
}

static void add_kubernetes(struct authn *a, const struct authn_options *o)
{
	const struct pd_flag_list *audiences = &pd_ca_settings.token_audiences;
	struct pd_authenticator kube;

	a->reviewer = pd_k8s_reviewer_new(o->kubernetes, o->cluster);
	kube = pd_auth_kube(&(struct pd_auth_kube_config){
		.reviewer = pd_k8s_reviewer_interface(a->reviewer),
		.trust = a->trust,
		.audiences = (const char *const *)audiences->v,
		.n_audiences = audiences->n,
		.cluster = o->cluster,
	});
	pd_auth_chain_add(&a->chain, &kube);
}

static int add_gateways(struct authn *a, const char *cidrs, struct pd_buf *err)
{
	struct pd_auth_cidrs trusted;
	struct pd_authenticator xfcc;
	struct pd_buf why = {0};
	int rc = pd_auth_cidrs_parse(cidrs, &trusted, &why);

	if (rc == PD_OK) {
		xfcc = pd_auth_xfcc(&trusted, a->trust);
		pd_auth_chain_add(&a->chain, &xfcc);
	} else {
		pd_buf_printf(err, "TRUSTED_GATEWAY_CIDR: %s", why.p);
	}
	pd_buf_free(&why);
	return rc;
}

int authn_start(struct authn *a, const struct authn_options *o, struct pd_buf *err)
{
	const struct pd_ca_settings *s = &pd_ca_settings;
	struct pd_authenticator cert;
	int rc = PD_OK;

	a->trust = pd_trust_new(o->mesh->trust_domain, NULL, 0);
	authn_mesh(a, o->mesh);
	pd_auth_register_metrics();
	cert = pd_auth_cert(a->trust);
	pd_auth_chain_add(&a->chain, &cert);
	if (*s->jwt_rule)
		rc = add_jwt_rule(a, s->jwt_rule, err);
	if (rc == PD_OK && o->kubernetes)
		add_kubernetes(a, o);
	if (rc == PD_OK && *s->gateway_cidrs)
		rc = add_gateways(a, s->gateway_cidrs, err);
	if (rc == PD_OK && *s->token_issuer && pd_empty(getenv("KUBERNETES_SERVICE_HOST")))
		rc = add_token_issuer(a, s->token_issuer, err);
	return rc;
}

void authn_mesh(struct authn *a, const struct pd_mesh *mesh)
{
	pd_trust_set(a->trust, mesh->trust_domain, (const char *const *)mesh->config->trust_domain_aliases,
		     mesh->config->n_trust_domain_aliases);
}

void authn_stop(struct authn *a)
{
	pd_auth_chain_free(&a->chain);
	pd_k8s_reviewer_free(&a->reviewer);
	pd_fetcher_free(&a->fetcher);
	pd_trust_free(&a->trust);
}

// ---- streams ---------------------------------------------------------------------------------------------------------------

struct question {
	pd_xds_authenticated done;
	void *stream;
};

static void answered(struct pd_caller *caller, enum pd_auth_fault fault, const char *why, void *arg)
{
	struct pd_xds_identity v[PD_CALLER_IDENTITIES];
	struct pd_spiffe id[PD_CALLER_IDENTITIES];
	struct question *q = arg;
	size_t n = 0;

	(void)fault;
	for (; caller && n < caller->identities.n; n++) {
		v[n] = (struct pd_xds_identity){.name = caller->identities.v[n]};
		if (pd_spiffe_parse(v[n].name, &id[n]) == PD_OK) {
			v[n].namespace_ = id[n].namespace_;
			v[n].service_account = id[n].service_account;
		}
	}
	q->done(q->stream, v, n, why);
	pd_caller_free(&caller);
	free(q);
}

static void authenticate(void *arg, const struct pd_rpc_peer *peer, pd_xds_authenticated done, void *stream)
{
	struct question *q = pd_xcalloc(1, sizeof(*q));
	struct authn *a = arg;

	*q = (struct question){done, stream};
	pd_auth_chain_run(&a->chain, peer, answered, q);
}

void authn_streams(struct authn *a, struct pd_xds *xds)
{
	struct pd_xds_auth auth = {.arg = a};

	if (pd_xds_auth_settings(&auth))
		auth.authenticate = authenticate;
	pd_xds_set_auth(xds, &auth);
}
