#include "ca/auth.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"

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
