// CreateCertificate from the request's bytes to the answer's, with authenticators and an issuer that the test holds in its hand.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <cmocka.h>

#include "api/pb.h"
#include "base/log.h"
#include "ca/service.h"
#include "tests/unit/ca/fixtures.h"
#include "wire/ca.pb-c.h"

#define ME "spiffe://cluster.local/ns/foo/sa/me"
#define POD "spiffe://cluster.local/ns/bar/sa/pod"

// ---- a call as the server would make it ------------------------------------------------------------------------------------

struct call {
	struct pd_rpc_call rpc; // first
	pthread_mutex_t mu;
	pthread_cond_t answered;
	int times;
	enum pd_rpc_status status;
	struct pd_buf text, bytes;
	struct pd_buf request;
};

static void on_done(struct pd_rpc_call *rpc, enum pd_rpc_status status, const void *bytes, size_t n, const char *text)
{
	struct call *c = (struct call *)rpc;

	pthread_mutex_lock(&c->mu);
	c->times++;
	c->status = status;
	pd_buf_add(&c->bytes, bytes ? bytes : "", n);
	pd_buf_adds(&c->text, text ? text : "");
	pthread_cond_signal(&c->answered);
	pthread_mutex_unlock(&c->mu);
}

struct wish {
	const char *csr;
	int64_t ttl;
	const char *key, *value; // of the metadata; NULL = none
};

static void pack(const struct wish *w, struct pd_buf *out)
{
	struct pd_arena a = {0};
	IstioCa__IstioCertificateRequest *r =
		PB_NEW(&a, IstioCa__IstioCertificateRequest, istio_ca__istio_certificate_request);
	size_t n;

	r->csr = (char *)w->csr;
	r->validity_duration = w->ttl;
	if (w->key) {
		r->metadata = PB_NEW(&a, Google__Protobuf__Struct, google__protobuf__struct);
		Google__Protobuf__Struct__FieldsEntry *e =
			PB_NEW(&a, Google__Protobuf__Struct__FieldsEntry, google__protobuf__struct__fields_entry);
		e->key = (char *)w->key;
		e->value = PB_NEW(&a, Google__Protobuf__Value, google__protobuf__value);
		e->value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
		e->value->string_value = (char *)w->value;
		PB_PUSH(&a, r->metadata, fields, e);
	}
	n = pb_packed_size(r);
	uint8_t *bytes = pd_arena_alloc(&a, n);
	pb_pack(r, bytes);
	pd_buf_add(out, bytes, n);
	pd_arena_free(&a);
}

static struct call *new_call(const char *address)
{
	struct call *c = calloc(1, sizeof(*c));

	pthread_mutex_init(&c->mu, NULL);
	pthread_cond_init(&c->answered, NULL);
	c->rpc.done = on_done;
	c->rpc.peer.address = address;
	return c;
}

static void free_call(struct call *c)
{
	assert_int_equal(c->times, 1);
	pd_buf_free(&c->text);
	pd_buf_free(&c->bytes);
	pd_buf_free(&c->request);
	pthread_mutex_destroy(&c->mu);
	pthread_cond_destroy(&c->answered);
	free(c);
}

// ---- what the test holds in its hand ---------------------------------------------------------------------------------------

struct rig {
	struct pd_signer *root;
	struct pd_authority *authority;
	struct pd_issuer issuer;
	struct pd_auth_chain chain;
	struct pd_ca_service *service;
	struct pd_rpc_method method;
	EVP_PKEY *key;
	char *csr;
	// the authenticator
	const char *identity, *refusal;
	bool with_pod, later;
	pthread_mutex_t mu;
	pthread_cond_t asked;
	pd_auth_done waiting[64];
	void *arg[64];
	size_t n_waiting;
	// the node authorizer
	int allowed;
	char wanted[512];
};

static struct pd_caller *caller(struct rig *r)
{
	struct pd_caller *c = pd_caller_new("test", r->identity);

	c->namespace_ = pd_xstrdup("istio-system");
	c->service_account = pd_xstrdup("ztunnel");
	if (r->with_pod)
		c->pod_name = pd_xstrdup("ztunnel-1");
	return c;
}

static void authenticate(void *self, const struct pd_rpc_peer *peer, pd_auth_done done, void *arg)
{
	struct rig *r = self;

	assert_non_null(peer->address);
	if (r->later) {
		pthread_mutex_lock(&r->mu);
		r->waiting[r->n_waiting] = done;
		r->arg[r->n_waiting++] = arg;
		pthread_cond_signal(&r->asked);
		pthread_mutex_unlock(&r->mu);
	} else if (r->identity) {
		done(caller(r), PD_AUTH_NONE, NULL, arg);
	} else {
		done(NULL, PD_AUTH_REFUSED, r->refusal, arg);
	}
}

static void wait_asked(struct rig *r, size_t n)
{
	pthread_mutex_lock(&r->mu);
	while (r->n_waiting < n)
		pthread_cond_wait(&r->asked, &r->mu);
	pthread_mutex_unlock(&r->mu);
}

static void answer_all(struct rig *r)
{
	for (size_t i = 0; i < r->n_waiting; i++)
		r->waiting[i](caller(r), PD_AUTH_NONE, NULL, r->arg[i]);
	r->n_waiting = 0;
}

static int allow(void *self, const struct pd_caller *c, const struct pd_spiffe *wanted, struct pd_buf *why)
{
	struct rig *r = self;

	assert_string_equal(c->pod_name, "ztunnel-1");
	snprintf(r->wanted, sizeof(r->wanted), "%s/%s", wanted->namespace_, wanted->service_account);
	if (r->allowed != PD_OK)
		pd_buf_adds(why, "no such pod on the node");
	return r->allowed;
}

static void open_rig(struct rig *r, size_t max_waiting, const char *trusted)
{
	struct pd_ca_config c = {.auth = &r->chain,
				 .issuer = &r->issuer,
				 .threads = 2,
				 .max_waiting = max_waiting,
				 .trusted_accounts = trusted,
				 .nodes = {allow, r}};
	struct pd_certs roots = {0};
	struct pd_buf why = {0};
	size_t n;

	assert_int_equal(pd_log_set_levels("none"), PD_OK);
	*r = (struct rig){.root = fix_root("cluster.local"), .identity = ME};
	pthread_mutex_init(&r->mu, NULL);
	pthread_cond_init(&r->asked, NULL);
	r->key = pd_key_generate(PD_KEY_P256, 0);
	r->csr = fix_csr_of(r->key);
	r->authority = pd_authority_new(&(struct pd_ttl_rules){PD_DEFAULT_TTL_S, PD_MAX_TTL_S});
	pd_certs_add(&roots, r->root->cert);
	pd_authority_publish(r->authority, r->root, &roots);
	pd_certs_free(&roots);
	pd_authority_issuer(r->authority, &r->issuer);
	pd_auth_chain_add(&r->chain, &(struct pd_authenticator){"test", authenticate, NULL, r});
	assert_int_equal(pd_ca_service_new(&c, &r->service, &why), PD_OK);
	r->method = *pd_ca_service_methods(r->service, &n);
	assert_int_equal(n, 1);
	assert_string_equal(r->method.path, "/istio.v1.auth.IstioCertificateService/CreateCertificate");
}

static void close_rig(struct rig *r)
{
	pd_ca_service_free(&r->service);
	pd_auth_chain_free(&r->chain);
	pd_authority_free(&r->authority);
	pd_signer_unref(&r->root);
	EVP_PKEY_free(r->key);
	free(r->csr);
	pthread_mutex_destroy(&r->mu);
	pthread_cond_destroy(&r->asked);
}

static struct call *send_bytes(struct rig *r, const void *bytes, size_t n)
{
	struct call *c = new_call("10.1.2.3:4567");

	pd_buf_add(&c->request, bytes, n);
	c->rpc.request = (const uint8_t *)c->request.p;
	c->rpc.request_len = n;
	r->method.handle(&c->rpc, r->method.arg);
	return c;
}

static struct call *start(struct rig *r, const struct wish *w)
{
	struct pd_buf request = {0};
	struct call *c;

	pack(w, &request);
	c = send_bytes(r, request.p, request.n);
	pd_buf_free(&request);
	return c;
}

static void wait_answer(struct call *c)
{
	pthread_mutex_lock(&c->mu);
	while (!c->times)
		pthread_cond_wait(&c->answered, &c->mu);
	pthread_mutex_unlock(&c->mu);
}

static void expect_fail(struct call *c, enum pd_rpc_status status, const char *text)
{
	wait_answer(c);
	if (c->status != status || !strstr(c->text.p, text))
		fail_msg("%d \"%s\", not %d \"%s\"", c->status, c->text.p, status, text);
	free_call(c);
}

// The leaf is for this key and this name, and the chain ends with the root.
static void expect_chain(struct rig *r, struct call *c, const char *san, int64_t ttl)
{
	struct pd_arena a = {0};
	IstioCa__IstioCertificateResponse *response;
	struct pb_error err;
	void *msg;
	char *root = fix_pem(r->root->cert);

	wait_answer(c);
	if (c->status)
		fail_msg("%d %s", c->status, c->text.p);
	assert_int_equal(pb_unpack(&a, &istio_ca__istio_certificate_response__descriptor, c->bytes.p, c->bytes.n, &msg,
				   &err),
			 PD_OK);
	response = msg;
	assert_int_equal(response->n_cert_chain, 2);
	assert_string_equal(response->cert_chain[1], root);
	X509 *leaf = fix_cert(response->cert_chain[0]);
	char *want = pd_xasprintf("URI:%s", san);
	assert_string_equal(fix_sans(leaf), want);
	assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(leaf), r->key), 1);
	assert_int_equal(pd_cert_not_after(leaf) - pd_cert_not_before(leaf), ttl + PD_CLOCK_SKEW_S);
	X509_free(leaf);
	free(want);
	free(root);
	pd_arena_free(&a);
	free_call(c);
}

// ---- tests -----------------------------------------------------------------------------------------------------------------

static void test_issued(void **state)
{
	struct rig r;
	(void)state;

	open_rig(&r, 0, NULL);
	expect_chain(&r, start(&r, &(struct wish){r.csr, 0, NULL, NULL}), ME, PD_DEFAULT_TTL_S);
	expect_chain(&r, start(&r, &(struct wish){r.csr, 3600, NULL, NULL}), ME, 3600);
	expect_chain(&r, start(&r, &(struct wish){r.csr, -1, "CertSigner", ""}), ME, PD_DEFAULT_TTL_S);
	expect_chain(&r, start(&r, &(struct wish){r.csr, PD_MAX_TTL_S, "Other", "x"}), ME, PD_MAX_TTL_S);
	close_rig(&r);
}

static void test_not_authenticated(void **state)
{
	struct rig r;
	(void)state;

	open_rig(&r, 0, NULL);
	r.identity = NULL;
	r.refusal = "token has expired";
	// the reason is ours, not the client's
	expect_fail(start(&r, &(struct wish){r.csr, 0, NULL, NULL}), PD_RPC_UNAUTHENTICATED,
		    "request authenticate failure");
	expect_fail(send_bytes(&r, "\xff\xff", 2), PD_RPC_UNAUTHENTICATED, "request authenticate failure");
	close_rig(&r);
}

static void test_bad_requests(void **state)
{
	EVP_PKEY *other = pd_key_generate(PD_KEY_P256, 0);
	struct rig r;
	char *forged, *twice, *big;
	(void)state;

	open_rig(&r, 0, NULL);
	forged = fix_csr(&(struct fix_csr){.key = other, .signer = r.key});
	twice = pd_xasprintf("%s%s", r.csr, r.csr);
	big = malloc(PD_CSR_PEM_MAX + 2);
	memset(big, 'A', PD_CSR_PEM_MAX + 1);
	big[PD_CSR_PEM_MAX + 1] = '\0';
	expect_fail(send_bytes(&r, "\xff\xff", 2), PD_RPC_INVALID_ARGUMENT, "");
	expect_fail(start(&r, &(struct wish){"", 0, NULL, NULL}), PD_RPC_INVALID_ARGUMENT, "CSR signing error (");
	expect_fail(start(&r, &(struct wish){forged, 0, NULL, NULL}), PD_RPC_INVALID_ARGUMENT, "does not verify");
	expect_fail(start(&r, &(struct wish){twice, 0, NULL, NULL}), PD_RPC_INVALID_ARGUMENT, "something besides");
	expect_fail(start(&r, &(struct wish){big, 0, NULL, NULL}), PD_RPC_INVALID_ARGUMENT, "limit");
	expect_fail(start(&r, &(struct wish){r.csr, PD_MAX_TTL_S + 1, NULL, NULL}), PD_RPC_INVALID_ARGUMENT, "maximum");
	expect_fail(start(&r, &(struct wish){r.csr, 0, "CertSigner", "example.com/x"}), PD_RPC_INTERNAL, "no signer");
	expect_chain(&r, start(&r, &(struct wish){r.csr, 0, NULL, NULL}), ME, PD_DEFAULT_TTL_S);
	free(forged);
	free(twice);
	free(big);
	EVP_PKEY_free(other);
	close_rig(&r);
}

static void test_no_signer(void **state)
{
	struct rig r;
	(void)state;

	open_rig(&r, 0, NULL);
	pd_authority_publish(r.authority, NULL, &(struct pd_certs){0});
	expect_fail(start(&r, &(struct wish){r.csr, 0, NULL, NULL}), PD_RPC_INTERNAL, "no signing key");
	close_rig(&r);
}

static const struct wish *impersonate(struct rig *r, const char *who)
{
	static struct wish w;

	w = (struct wish){r->csr, 0, "ImpersonatedIdentity", who};
	return &w;
}

static void test_impersonation(void **state)
{
	static const char refused[] = "request impersonation authentication failure";
	struct rig r;
	(void)state;

	open_rig(&r, 0, "istio-system/ztunnel, kube-system/other");
	r.with_pod = true;
	expect_chain(&r, start(&r, impersonate(&r, POD)), POD, PD_DEFAULT_TTL_S);
	assert_string_equal(r.wanted, "bar/pod");
	r.allowed = PD_E_DENIED;
	expect_fail(start(&r, impersonate(&r, POD)), PD_RPC_UNAUTHENTICATED, refused);
	r.allowed = PD_OK;
	expect_fail(start(&r, impersonate(&r, "spiffe://cluster.local/ns/bar")), PD_RPC_UNAUTHENTICATED, refused);
	expect_fail(start(&r, impersonate(&r, "istiod.istio-system.svc")), PD_RPC_UNAUTHENTICATED, refused);
	r.with_pod = false; // a token that is bound to no pod
	expect_fail(start(&r, impersonate(&r, POD)), PD_RPC_UNAUTHENTICATED, refused);
	expect_chain(&r, start(&r, impersonate(&r, "")), ME, PD_DEFAULT_TTL_S);
	close_rig(&r);

	open_rig(&r, 0, "istio-system/another");
	r.with_pod = true;
	expect_fail(start(&r, impersonate(&r, POD)), PD_RPC_UNAUTHENTICATED, refused);
	close_rig(&r);
	open_rig(&r, 0, "");
	r.with_pod = true;
	expect_fail(start(&r, impersonate(&r, POD)), PD_RPC_UNAUTHENTICATED, refused);
	close_rig(&r);
}

static void test_bad_accounts(void **state)
{
	static const char *const bad[] = {"a", "a/", "/b", "a/b/c", "a/b,c"};
	struct pd_auth_chain chain = {0};
	struct pd_issuer issuer = {0};
	struct pd_ca_service *s;
	(void)state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct pd_ca_config c = {.auth = &chain, .issuer = &issuer, .threads = 1, .trusted_accounts = bad[i]};
		struct pd_buf why = {0};
		assert_int_equal(pd_ca_service_new(&c, &s, &why), PD_E_INVALID);
		assert_null(s);
		assert_non_null(strstr(why.p, "namespace/account"));
		pd_buf_free(&why);
	}
}

// Authenticators that take their time hold no worker; more calls than may wait are refused at once, the others are served.
static void test_later_and_busy(void **state)
{
	struct call *calls[10];
	struct rig r;
	(void)state;

	open_rig(&r, 10, NULL);
	r.later = true;
	for (int i = 0; i < 10; i++)
		calls[i] = start(&r, &(struct wish){r.csr, 0, NULL, NULL});
	wait_asked(&r, 10); // two workers, ten open questions
	expect_fail(start(&r, &(struct wish){r.csr, 0, NULL, NULL}), PD_RPC_RESOURCE_EXHAUSTED, "too many");
	answer_all(&r);
	for (int i = 0; i < 10; i++)
		expect_chain(&r, calls[i], ME, PD_DEFAULT_TTL_S);
	r.later = false;
	expect_chain(&r, start(&r, &(struct wish){r.csr, 0, NULL, NULL}), ME, PD_DEFAULT_TTL_S);
	close_rig(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_issued),         cmocka_unit_test(test_not_authenticated),
		cmocka_unit_test(test_bad_requests),   cmocka_unit_test(test_no_signer),
		cmocka_unit_test(test_impersonation),  cmocka_unit_test(test_bad_accounts),
		cmocka_unit_test(test_later_and_busy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
