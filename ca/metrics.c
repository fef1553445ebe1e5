#include "ca/metrics.h"

#include "base/clock.h"
#include "base/metrics.h"
#include "ca/authority.h"
#include "ca/service.h"

enum {
	M_FAULTS = PD_CA_EVENTS,
	M_REFUSED,
	M_TIME,
	M_ROOT_EXPIRY,
	M_ROOT_SECONDS,
	M_CHAIN_EXPIRY,
	M_CHAIN_SECONDS,
	M_HOLDERS,
	M_RENEWED,
	M_COUNT
};

static const double seconds[] = {.0001, .0003, .001, .003, .01, .03, .1, .3, 1, 3, 10, 30};

static double now_s(void)
{
	return (double)pd_wall_ns() / 1e9;
}

static double chain_end(void *arg)
{
	struct pd_ca_state *t = pd_authority_get(arg);
	double end = t->signer ? (double)t->signer->chain_not_after : 0;

	pd_ca_state_unref(&t);
	return end;
}

static double root_end(void *arg)
{
	struct pd_ca_state *t = pd_authority_get(arg);
	double end = t->roots.v.n ? (double)pd_cert_not_after(t->roots.v.v[0]) : 0;

	pd_ca_state_unref(&t);
	return end;
}

static double chain_left(void *arg)
{
	return chain_end(arg) - now_s();
}

static double root_left(void *arg)
{
	return root_end(arg) - now_s();
}

static double holders(void *arg)
{
	struct pd_renewal r;

	pd_authority_renewal(arg, (int64_t)now_s(), &r);
	return (double)r.holders;
}

static double renewed(void *arg)
{
	struct pd_renewal r;

	pd_authority_renewal(arg, (int64_t)now_s(), &r);
	return r.percent;
}

// clang-format off
static struct pd_metric metrics[M_COUNT] = {
	[PD_CA_REQUEST] = {.name = "citadel_server_csr_count", .help = "Requests for a certificate.", .type = PD_COUNTER},
	[PD_CA_AUTH_FAILED] = {.name = "citadel_server_authentication_failure_count",
			       .help = "Requests whose caller was not authenticated.", .type = PD_COUNTER},
	[PD_CA_NO_IDENTITY] = {.name = "citadel_server_id_extraction_err_count",
			       .help = "Requests whose caller has no identity.", .type = PD_COUNTER},
	[PD_CA_BAD_CSR] = {.name = "citadel_server_csr_parsing_err_count",
			   .help = "Requests with a certificate signing request that was refused.", .type = PD_COUNTER},
	[PD_CA_ISSUED] = {.name = "citadel_server_success_cert_issuance_count", .help = "Certificates issued.", .type = PD_COUNTER},
	[M_FAULTS] = {.name = "citadel_server_csr_sign_err_count", .help = "Requests that could not be signed, by kind of error.",
		      .type = PD_COUNTER, .labels = {"error"}},
	[M_REFUSED] = {.name = "pilotd_ca_refused_total", .help = "Requests for a certificate that were refused, by reason.",
		       .type = PD_COUNTER, .labels = {"reason"}},
	[M_TIME] = {.name = "pilotd_ca_request_seconds", .help = "Seconds from a request's arrival to its answer.",
		    .type = PD_HISTOGRAM, .buckets = seconds, .n_buckets = sizeof(seconds) / sizeof(*seconds)},
	[M_ROOT_EXPIRY] = {.name = "citadel_server_root_cert_expiry_timestamp", .help = "When the root ends, Unix time.",
			   .type = PD_GAUGE, .read = root_end},
	[M_ROOT_SECONDS] = {.name = "citadel_server_root_cert_expiry_seconds", .help = "Seconds until the root ends.",
			    .type = PD_GAUGE, .read = root_left},
	[M_CHAIN_EXPIRY] = {.name = "citadel_server_cert_chain_expiry_timestamp", .help = "When the signing chain ends, Unix time.",
			    .type = PD_GAUGE, .read = chain_end},
	[M_CHAIN_SECONDS] = {.name = "citadel_server_cert_chain_expiry_seconds", .help = "Seconds until the signing chain ends.",
			     .type = PD_GAUGE, .read = chain_left},
	[M_HOLDERS] = {.name = "pilotd_ca_certificate_holders", .help = "Workloads that hold a certificate of this process.",
		       .type = PD_GAUGE, .read = holders},
	[M_RENEWED] = {.name = "pilotd_ca_renewed_percent",
		       .help = "Of these, those with one of the signing key of now: 100 when a rotation has reached all.",
		       .type = PD_GAUGE, .read = renewed},
};
// clang-format on

void pd_ca_count(enum pd_ca_event e)
{
	pd_metric_inc(&metrics[e]);
}

void pd_ca_count_fault(enum pd_signing_fault f)
{
	pd_metric_inc(&metrics[M_FAULTS], pd_signing_fault_name(f));
}

void pd_ca_count_refused(const char *reason)
{
	pd_metric_inc(&metrics[M_REFUSED], reason);
}

void pd_ca_observe_time(double s)
{
	pd_metric_observe(&metrics[M_TIME], s);
}

void pd_ca_register_metrics(struct pd_authority *a)
{
	for (int i = M_ROOT_EXPIRY; i < M_COUNT; i++)
		metrics[i].arg = a;
	pd_metrics_register(metrics, M_COUNT);
}
