#include "ca/auth.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "base/str.h"
#include "ca/spiffe.h"

#define ACCOUNT_PREFIX "system:serviceaccount:"

static struct pd_metric metrics[] = {
	{.name = "pilotd_authentication_refused_total",
	 .help = "Credentials that an authenticator did not accept, by authenticator and reason.",
	 .type = PD_COUNTER,
	 .labels = {"authenticator", "reason"}},
};

struct pd_caller *pd_caller_new(const char *authenticator, const char *identity)
{
	struct pd_caller *c = pd_xcalloc(1, sizeof(*c));

	c->authenticator = authenticator;
	pd_vec_push(&c->identities, pd_xstrdup(identity));
	return c;
}

void pd_caller_free(struct pd_caller **cp)
{
	struct pd_caller *c = *cp;

	if (!c)
		return;
	*cp = NULL;
	for (size_t i = 0; i < c->identities.n; i++)
		free(c->identities.v[i]);
	pd_vec_free(&c->identities);
	free(c->cluster);
	free(c->namespace_);
	free(c->service_account);
	free(c->pod_name);
	free(c->pod_uid);
	free(c->node_name);
	free(c);
}

struct pd_caller *pd_caller_of_account(const char *authenticator, const char *trust_domain, const char *namespace_,
				       const char *service_account)
{
	char *id = pd_spiffe_format(trust_domain, namespace_, service_account);
	struct pd_spiffe parsed;
	struct pd_caller *c = NULL;

	if (pd_spiffe_parse(id, &parsed) == PD_OK) {
		c = pd_caller_new(authenticator, id);
		c->namespace_ = pd_xstrdup(parsed.namespace_);
		c->service_account = pd_xstrdup(parsed.service_account);
	}
	free(id);
	return c;
}

struct pd_caller *pd_caller_of_subject(const char *authenticator, const char *trust_domain, const char *subject)
{
	const char *ns = subject + strlen(ACCOUNT_PREFIX), *sa;
	struct pd_caller *c;
	char *copy;

	if (!pd_has_prefix(subject, ACCOUNT_PREFIX) || !(sa = strchr(ns, ':')))
		return NULL;
	copy = pd_xstrndup(ns, (size_t)(sa - ns));
	c = pd_caller_of_account(authenticator, trust_domain, copy, sa + 1);
	free(copy);
	return c;
}

static char *copy_of(const char *s)
{
	return s ? pd_xstrdup(s) : NULL;
}

struct pd_caller *pd_caller_copy(const struct pd_caller *from)
{
	struct pd_caller *c = pd_xcalloc(1, sizeof(*c));

	c->authenticator = from->authenticator;
	for (size_t i = 0; i < from->identities.n; i++)
		pd_vec_push(&c->identities, pd_xstrdup(from->identities.v[i]));
	c->cluster = copy_of(from->cluster);
	c->namespace_ = copy_of(from->namespace_);
	c->service_account = copy_of(from->service_account);
	c->pod_name = copy_of(from->pod_name);
	c->pod_uid = copy_of(from->pod_uid);
	c->node_name = copy_of(from->node_name);
	return c;
}

const char *pd_auth_bearer(const struct pd_rpc_peer *p)
{
	const char *s = pd_rpc_header(p, "authorization");

	if (!s || strncasecmp(s, "Bearer ", 7) != 0)
		return NULL;
	s += 7;
	while (*s == ' ')
		s++;
	return *s ? s : NULL;
}

void pd_auth_refuse(const char *authenticator, enum pd_auth_fault fault, const char *label, const char *why,
		    pd_auth_done done, void *arg)
{
	if (fault != PD_AUTH_NONE)
		pd_metric_inc(&metrics[0], authenticator, label);
	done(NULL, fault, why, arg);
}

void pd_auth_register_metrics(void)
{
	pd_metrics_register(metrics, sizeof(metrics) / sizeof(metrics[0]));
}

void pd_auth_chain_add(struct pd_auth_chain *chain, const struct pd_authenticator *a)
{
	pd_vec_push(&chain->v, *a);
}

void pd_auth_chain_free(struct pd_auth_chain *chain)
{
	for (size_t i = 0; i < chain->v.n; i++)
		if (chain->v.v[i].free)
			chain->v.v[i].free(chain->v.v[i].self);
	pd_vec_free(&chain->v);
}

// One run through a chain. The authenticators answer one at a time, so nothing is locked.
struct run {
	const struct pd_auth_chain *chain;
	const struct pd_rpc_peer *peer;
	pd_auth_done done;
	void *arg;
	size_t at;
	enum pd_auth_fault gravest;
	struct pd_buf why;
};

static void finish(struct run *r, struct pd_caller *caller)
{
	if (caller)
		r->done(caller, PD_AUTH_NONE, NULL, r->arg);
	else
		r->done(NULL, r->gravest, r->why.n ? r->why.p : "no authenticator is configured", r->arg);
	pd_buf_free(&r->why);
	free(r);
}

static void ask(struct run *r);

static void answered(struct pd_caller *caller, enum pd_auth_fault fault, const char *why, void *arg)
{
	struct run *r = arg;

	if (caller) {
		finish(r, caller);
		return;
	}
	pd_buf_printf(&r->why, "%s%s: %s", r->why.n ? "; " : "", r->chain->v.v[r->at].name, why);
	if (fault > r->gravest)
		r->gravest = fault;
	r->at++;
	ask(r);
}

static void ask(struct run *r)
{
	const struct pd_authenticator *a;

	if (r->at == r->chain->v.n) {
		finish(r, NULL);
		return;
	}
	a = &r->chain->v.v[r->at];
	a->authenticate(a->self, r->peer, answered, r);
}

void pd_auth_chain_run(const struct pd_auth_chain *chain, const struct pd_rpc_peer *peer, pd_auth_done done, void *arg)
{
	struct run *r = pd_xcalloc(1, sizeof(*r));

	*r = (struct run){.chain = chain, .peer = peer, .done = done, .arg = arg};
	ask(r);
}
