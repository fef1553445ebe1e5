#include "tests/unit/ca/auth_outcome.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"

#define WAIT_S 20

// Peers live as long as their questions; the last of each outcome is kept.
struct peer {
	struct pd_arena arena;
	struct pd_rpc_header headers[3];
	struct pd_rpc_peer peer;
	struct auth_outcome *outcome;
};

static void answered(struct pd_caller *c, enum pd_auth_fault fault, const char *why, void *arg)
{
	struct peer *p = arg;
	struct auth_outcome *o = p->outcome;

	pd_arena_free(&p->arena); // whoever reads the credentials later is found out
	free(p);
	pthread_mutex_lock(&o->lock);
	o->times++;
	o->fault = fault;
	snprintf(o->identity, sizeof(o->identity), "%s", c ? c->identities.v[0] : "");
	snprintf(o->why, sizeof(o->why), "%s", why ? why : "");
	pd_caller_free(&o->caller);
	o->caller = c;
	pthread_cond_signal(&o->changed);
	pthread_mutex_unlock(&o->lock);
}

void auth_begin(const struct pd_authenticator *a, const struct auth_ask *q, struct auth_outcome *o)
{
	struct peer *p = pd_xcalloc(1, sizeof(*p));
	size_t n = 0;

	*o = (struct auth_outcome){0};
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->changed, NULL);
	p->outcome = o;
	if (q->bearer)
		p->headers[n++] =
			(struct pd_rpc_header){"authorization", pd_arena_printf(&p->arena, "Bearer %s", q->bearer)};
	if (q->cluster)
		p->headers[n++] = (struct pd_rpc_header){"clusterid", pd_arena_strdup(&p->arena, q->cluster)};
	if (q->xfcc)
		p->headers[n++] =
			(struct pd_rpc_header){"x-forwarded-client-cert", pd_arena_strdup(&p->arena, q->xfcc)};
	p->peer = (struct pd_rpc_peer){.address = q->address,
				       .tls = true,
				       .cert_pem = q->cert_pem ? pd_arena_strdup(&p->arena, q->cert_pem) : NULL,
				       .headers = p->headers,
				       .n_headers = n};
	a->authenticate(a->self, &p->peer, answered, p);
}

void auth_wait(struct auth_outcome *o)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	pthread_mutex_lock(&o->lock);
	while (!o->times)
		assert_int_equal(pthread_cond_timedwait(&o->changed, &o->lock, &until), 0);
	assert_int_equal(o->times, 1);
	pthread_mutex_unlock(&o->lock);
}

void auth_end(struct auth_outcome *o)
{
	pd_caller_free(&o->caller);
	pthread_mutex_destroy(&o->lock);
	pthread_cond_destroy(&o->changed);
}

const char *auth_ask(const struct pd_authenticator *a, const struct auth_ask *q)
{
	static const char *const faults[] = {"none", "refused", "unknown"};
	static char text[1024];
	struct auth_outcome o;

	auth_begin(a, q, &o);
	auth_wait(&o);
	if (*o.identity)
		snprintf(text, sizeof(text), "%s", o.identity);
	else
		snprintf(text, sizeof(text), "%s: %s", faults[o.fault], o.why);
	auth_end(&o);
	return text;
}
