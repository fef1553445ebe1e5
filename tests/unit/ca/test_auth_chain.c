// The chain of authenticators: order, reasons, and answers that come later.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/str.h"
#include "ca/auth.h"

// Answers at once, or when `release` is called.
struct fake {
	const char *identity, *why;
	enum pd_auth_fault fault;
	bool later, freed;
	int asked;
	pd_auth_done done;
	void *arg;
};

static void answer(struct fake *f)
{
	if (f->identity)
		f->done(pd_caller_new("fake", f->identity), PD_AUTH_NONE, NULL, f->arg);
	else
		f->done(NULL, f->fault, f->why, f->arg);
}

static void authenticate(void *self, const struct pd_rpc_peer *peer, pd_auth_done done, void *arg)
{
	struct fake *f = self;

	assert_string_equal(peer->address, "1.2.3.4:5");
	f->asked++;
	f->done = done;
	f->arg = arg;
	if (!f->later)
		answer(f);
}

static void release(void *self)
{
	((struct fake *)self)->freed = true;
}

struct outcome {
	char identity[64], why[256];
	enum pd_auth_fault fault;
	int times;
};

static void note(struct pd_caller *c, enum pd_auth_fault fault, const char *why, void *arg)
{
	struct outcome *o = arg;

	o->times++;
	o->fault = fault;
	snprintf(o->identity, sizeof(o->identity), "%s", c ? c->identities.v[0] : "");
	snprintf(o->why, sizeof(o->why), "%s", why ? why : "");
	pd_caller_free(&c);
}

static const struct pd_rpc_peer peer = {.address = "1.2.3.4:5"};

static void add(struct pd_auth_chain *chain, const char *name, struct fake *f)
{
	pd_auth_chain_add(chain, &(struct pd_authenticator){name, authenticate, release, f});
}

static void test_first_success_wins(void **state)
{
	struct fake a = {.why = "no certificate"}, b = {.identity = "spiffe://td/ns/a/sa/b"}, c = {.identity = "other"};
	struct pd_auth_chain chain = {0};
	struct outcome o = {0};
	(void)state;

	add(&chain, "A", &a);
	add(&chain, "B", &b);
	add(&chain, "C", &c);
	pd_auth_chain_run(&chain, &peer, note, &o);
	assert_int_equal(o.times, 1);
	assert_string_equal(o.identity, "spiffe://td/ns/a/sa/b");
	assert_int_equal(c.asked, 0);
	pd_auth_chain_free(&chain);
	assert_true(a.freed && b.freed && c.freed);
}

static void test_all_reasons(void **state)
{
	struct fake a = {.why = "no certificate", .fault = PD_AUTH_NONE};
	struct fake b = {.why = "cannot reach it", .fault = PD_AUTH_UNKNOWN};
	struct fake c = {.why = "expired", .fault = PD_AUTH_REFUSED, .later = true};
	struct pd_auth_chain chain = {0};
	struct outcome o = {0};
	(void)state;

	add(&chain, "A", &a);
	add(&chain, "B", &b);
	add(&chain, "C", &c);
	pd_auth_chain_run(&chain, &peer, note, &o);
	assert_int_equal(o.times, 0); // C has not answered
	answer(&c);
	assert_int_equal(o.times, 1);
	assert_string_equal(o.why, "A: no certificate; B: cannot reach it; C: expired");
	assert_int_equal(o.fault, PD_AUTH_UNKNOWN);
	pd_auth_chain_free(&chain);
}

static void test_empty_chain_refuses(void **state)
{
	struct pd_auth_chain chain = {0};
	struct outcome o = {0};
	(void)state;

	pd_auth_chain_run(&chain, &peer, note, &o);
	assert_int_equal(o.times, 1);
	assert_string_equal(o.identity, "");
	assert_string_equal(o.why, "no authenticator is configured");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_success_wins),
		cmocka_unit_test(test_all_reasons),
		cmocka_unit_test(test_empty_chain_refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
