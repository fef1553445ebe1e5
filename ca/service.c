#include "ca/service.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/pb.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ca/metrics.h"
#include "ca/pool.h"
#include "wire/ca.pb-c.h"

#define METHOD "/istio.v1.auth.IstioCertificateService/CreateCertificate"
#define THREADS_MAX 4

struct pd_ca_service {
	struct pd_ca_config config;
	struct pd_rpc_method method;
	struct pd_pool *pool;
	char *accounts[PD_TRUSTED_ACCOUNTS_MAX]; // "namespace/account"
	size_t n_accounts;
	atomic_size_t waiting;
};

// Who goes on after the authenticators: whoever of the two comes second, the worker that asked or the answer.
enum { ASKING, ASKED, ANSWERED };

struct job {
	struct pd_pool_job job; // first
	struct pd_ca_service *s;
	struct pd_rpc_call *call;
	struct pd_arena arena;
	uint64_t since_ns;
	atomic_int auth;
	// What the authenticators said; written before `auth` becomes ANSWERED.
	struct pd_caller *caller;
	enum pd_auth_fault fault;
	char *why;
	// What is wanted.
	IstioCa__IstioCertificateRequest *request;
	struct pd_csr csr;
};

// ---- answers ---------------------------------------------------------------------------------------------------------------

// Forgets the job, then answers: once the last call is answered, the service may be freed.
static struct pd_rpc_call *finish(struct job *j)
{
	struct pd_rpc_call *call = j->call;

	pd_ca_observe_time((double)(pd_now_ns() - j->since_ns) / 1e9);
	pd_caller_free(&j->caller);
	pd_csr_free(&j->csr);
	free(j->why);
	pd_arena_free(&j->arena);
	atomic_fetch_sub(&j->s->waiting, 1);
	free(j);
	return call;
}

// `text` must not be the job's.
static void refuse(struct job *j, const char *reason, enum pd_rpc_status status, const char *text, const char *why)
{
	const char *who = j->caller ? j->caller->identities.v[0] : "nobody known";

	pd_ca_count_refused(reason);
	pd_warn("ca", "no certificate for %s (%s): %s: %s", who, pd_or(j->call->peer.address, "unknown address"),
		reason, why);
	pd_rpc_fail(finish(j), status, text);
}

static void refuse_signing(struct job *j, const char *reason, enum pd_signing_fault fault, const char *why)
{
	enum pd_rpc_status status =
		fault == PD_SIGNING_CSR || fault == PD_SIGNING_TTL ? PD_RPC_INVALID_ARGUMENT : PD_RPC_INTERNAL;
	struct pd_buf text = {0};

	pd_ca_count_fault(fault);
	pd_buf_printf(&text, "CSR signing error (%s)", why);
	refuse(j, reason, status, text.p, why);
	pd_buf_free(&text);
}

static void issued(enum pd_signing_fault fault, const char *const *chain, size_t n, const char *why, void *arg)
{
	IstioCa__IstioCertificateResponse response = ISTIO_CA__ISTIO_CERTIFICATE_RESPONSE__INIT;
	struct job *j = arg;
	size_t len;
	uint8_t *bytes;

	if (fault) {
		refuse_signing(j, pd_signing_fault_name(fault), fault, why);
		return;
	}
	response.cert_chain = (char **)chain;
	response.n_cert_chain = n;
	len = pb_packed_size(&response);
	bytes = pd_xmalloc(len);
	pb_pack(&response, bytes);
	pd_ca_count(PD_CA_ISSUED);
	pd_rpc_reply(finish(j), bytes, len);
	free(bytes);
}

// ---- impersonation ---------------------------------------------------------------------------------------------------------

static const char *metadata(const struct job *j, const char *key)
{
	const Google__Protobuf__Struct *m = j->request->metadata;

	for (size_t i = 0; m && i < m->n_fields; i++) {
		const Google__Protobuf__Value *v = m->fields[i]->value;
		if (pd_streq(m->fields[i]->key, key) && v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE)
			return v->string_value;
	}
	return "";
}

static bool trusted(const struct pd_ca_service *s, const struct pd_caller *c)
{
	struct pd_buf name = {0};
	bool found = false;

	if (!c->namespace_ || !c->service_account)
		return false;
	pd_buf_printf(&name, "%s/%s", c->namespace_, c->service_account);
	for (size_t i = 0; i < s->n_accounts && !found; i++)
		found = strcmp(s->accounts[i], name.p) == 0;
	pd_buf_free(&name);
	return found;
}

static int may_impersonate(const struct job *j, const char *wanted, struct pd_buf *why)
{
	const struct pd_node_authorizer *nodes = &j->s->config.nodes;
	struct pd_spiffe id;

	if (!nodes->check || !j->s->n_accounts) {
		pd_buf_adds(why, "no account is trusted to act for others");
		return PD_E_DENIED;
	}
	if (!trusted(j->s, j->caller)) {
		pd_buf_printf(why, "account %s/%s is not trusted to act for others", pd_or(j->caller->namespace_, "?"),
			      pd_or(j->caller->service_account, "?"));
		return PD_E_DENIED;
	}
	if (pd_spiffe_parse(wanted, &id) != PD_OK) {
		pd_buf_printf(why, "\"%.200s\" is not a workload's identity", wanted);
		return PD_E_DENIED;
	}
	if (!j->caller->pod_name) {
		pd_buf_adds(why, "the caller's token names no pod");
		return PD_E_DENIED;
	}
	return nodes->check(nodes->self, j->caller, &id, why);
}

// ---- signing ---------------------------------------------------------------------------------------------------------------

static void sign(struct job *j, const char *const *sans, size_t n_sans)
{
	const struct pd_issuer *issuer = j->s->config.issuer;
	const char *pem = pd_or(j->request->csr, "");
	struct pd_signing issue = {
		.csr = &j->csr,
		.csr_pem = pem,
		.csr_pem_len = strlen(pem),
		.sans = sans,
		.n_sans = n_sans,
		.ttl_s = j->request->validity_duration,
		.signer = metadata(j, "CertSigner"),
		.holder = pd_arena_strdup(&j->arena, pd_or(j->call->peer.address, "")),
	};
	char *port = strrchr(issue.holder, ':');
	struct pd_buf why = {0};

	if (port) // a replica keeps its address, not its port
		*port = '\0';
	if (pd_csr_parse(pem, issue.csr_pem_len, &j->csr, &why) != PD_OK) {
		pd_ca_count(PD_CA_BAD_CSR);
		refuse_signing(j, "csr", PD_SIGNING_CSR, why.p);
	} else {
		struct pd_signing *kept = pd_arena_alloc(&j->arena, sizeof(*kept)); // an issuer may answer later
		*kept = issue;
		issuer->issue(issuer->self, kept, issued, j);
	}
	pd_buf_free(&why);
}

static void serve(struct job *j)
{
	const char *wanted, **one;
	struct pb_error err;
	struct pd_buf why = {0};
	void *msg;

	if (pb_unpack(&j->arena, &istio_ca__istio_certificate_request__descriptor, j->call->request,
		      j->call->request_len, &msg, &err) != PD_OK) {
		refuse(j, "malformed", PD_RPC_INVALID_ARGUMENT, err.text, err.text);
		return;
	}
	j->request = msg;
	wanted = metadata(j, "ImpersonatedIdentity");
	if (!*wanted) {
		sign(j, (const char *const *)j->caller->identities.v, j->caller->identities.n);
		return;
	}
	if (may_impersonate(j, wanted, &why) != PD_OK) {
		pd_ca_count(PD_CA_AUTH_FAILED);
		refuse(j, "impersonation", PD_RPC_UNAUTHENTICATED, "request impersonation authentication failure",
		       pd_or(why.p, "refused"));
	} else {
		one = pd_arena_alloc(&j->arena, sizeof(*one));
		*one = wanted;
		sign(j, one, 1);
	}
	pd_buf_free(&why);
}

// ---- authentication --------------------------------------------------------------------------------------------------------

static void proceed(struct job *j)
{
	static const char *const reasons[] = {
		[PD_AUTH_NONE] = "no_credential",
		[PD_AUTH_REFUSED] = "credential",
		[PD_AUTH_UNKNOWN] = "cannot_authenticate",
	};

	if (!j->caller) {
		pd_ca_count(PD_CA_AUTH_FAILED);
		refuse(j, reasons[j->fault], PD_RPC_UNAUTHENTICATED, "request authenticate failure", j->why);
	} else {
		serve(j);
	}
}

static void run_proceed(struct pd_pool_job *p)
{
	proceed((struct job *)p);
}

static void authenticated(struct pd_caller *caller, enum pd_auth_fault fault, const char *why, void *arg)
{
	struct job *j = arg;

	if (caller && !caller->identities.n) {
		pd_ca_count(PD_CA_NO_IDENTITY);
		pd_caller_free(&caller);
		fault = PD_AUTH_REFUSED;
		why = "the caller has no identity";
	}
	j->caller = caller;
	j->fault = fault;
	j->why = why ? pd_xstrdup(why) : NULL;
	if (atomic_exchange(&j->auth, ANSWERED) == ASKED) {
		j->job.run = run_proceed;
		pd_pool_push(j->s->pool, &j->job);
	}
}

static void run_authenticate(struct pd_pool_job *p)
{
	struct job *j = (struct job *)p;
	int asking = ASKING;

	pd_auth_chain_run(j->s->config.auth, &j->call->peer, authenticated, j);
	if (!atomic_compare_exchange_strong(&j->auth, &asking, ASKED))
		proceed(j); // the answer was there at once
}

static void handle(struct pd_rpc_call *call, void *arg)
{
	struct pd_ca_service *s = arg;
	struct job *j;

	pd_ca_count(PD_CA_REQUEST);
	if (atomic_fetch_add(&s->waiting, 1) >= s->config.max_waiting) {
		atomic_fetch_sub(&s->waiting, 1);
		pd_ca_count_refused("busy");
		pd_debug("ca", "no certificate for %s: too many wait", pd_or(call->peer.address, "unknown address"));
		pd_rpc_fail(call, PD_RPC_RESOURCE_EXHAUSTED, "too many requests wait for a certificate");
		return;
	}
	j = pd_xcalloc(1, sizeof(*j));
	j->job.run = run_authenticate;
	j->s = s;
	j->call = call;
	j->arena.first_chunk = 2048;
	j->since_ns = pd_now_ns();
	pd_pool_push(s->pool, &j->job);
}

// ---- life ------------------------------------------------------------------------------------------------------------------

static bool account_ok(const char *s)
{
	const char *slash = strchr(s, '/');

	return slash && slash != s && slash[1] && !strchr(slash + 1, '/');
}

static int read_accounts(struct pd_ca_service *s, const char *list, struct pd_buf *why)
{
	char *text = pd_xstrdup(pd_or(list, "")), *save, *word;
	int rc = PD_OK;

	for (word = strtok_r(text, ", ", &save); word && rc == PD_OK; word = strtok_r(NULL, ", ", &save)) {
		if (!account_ok(word) || s->n_accounts == PD_TRUSTED_ACCOUNTS_MAX) {
			pd_buf_printf(why, "trusted node accounts: \"%s\" is not namespace/account, or one too many",
				      word);
			rc = PD_E_INVALID;
		} else {
			s->accounts[s->n_accounts++] = pd_xstrdup(word);
		}
	}
	free(text);
	return rc;
}

static unsigned default_threads(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus < 1 ? 1 : cpus > THREADS_MAX ? THREADS_MAX : (unsigned)cpus;
}

int pd_ca_service_new(const struct pd_ca_config *c, struct pd_ca_service **out, struct pd_buf *why)
{
	struct pd_ca_service *s = pd_xcalloc(1, sizeof(*s));
	int rc;

	s->config = *c;
	if (!s->config.max_waiting)
		s->config.max_waiting = PD_CA_WAITING_MAX;
	s->method = (struct pd_rpc_method){METHOD, PD_CA_REQUEST_MAX, handle, s};
	s->pool = pd_pool_new(c->threads ? c->threads : default_threads());
	rc = read_accounts(s, c->trusted_accounts, why);
	*out = s;
	if (rc != PD_OK)
		pd_ca_service_free(out);
	return rc;
}

const struct pd_rpc_method *pd_ca_service_methods(const struct pd_ca_service *s, size_t *n)
{
	*n = 1;
	return &s->method;
}

void pd_ca_service_free(struct pd_ca_service **sp)
{
	struct pd_ca_service *s = *sp;

	if (!s)
		return;
	*sp = NULL;
	pd_pool_free(&s->pool);
	PD_ASSERT(atomic_load(&s->waiting) == 0);
	for (size_t i = 0; i < s->n_accounts; i++)
		free(s->accounts[i]);
	free(s);
}
