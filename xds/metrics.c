// Metrics of the xDS layer and the control loop. Where istiod has the same thing, its name is kept, so that dashboards go on working.
#include "xds/metrics.h"

#include "base/metrics.h"
#include "xds/server_impl.h"

enum metric {
	M_CONNECTED,
	M_PUSHES,
	M_REJECTS,
	M_TYPE_REJECTS_CDS,
	M_TYPE_REJECTS_EDS,
	M_TYPE_REJECTS_LDS,
	M_TYPE_REJECTS_RDS,
	M_EXPIRED_NONCE,
	M_PUSH_TIME,
	M_SEND_TIME,
	M_QUEUE_TIME,
	M_CONVERGENCE,
	M_SIZE,
	M_BYTES,
	M_REQUESTS,
	M_REFUSED,
	M_JOB_TIME,
	M_DEBOUNCE,
	M_APPLY,
	M_CHANGES,
	M_BATCHES,
	M_COUNT,
};

#define CHURN_PER_ANSWER 8192 // bytes that a response allocates and frees, roughly: most of it is shared

static const double seconds[] = {.0001, .0003, .001, .003, .01, .03, .1, .3, 1, 3, 5, 10, 20, 30};
static const double sizes[] = {1e3, 1e4, 1e5, 1e6, 4e6, 1e7, 4e7};
#define HISTOGRAM(b) .type = PD_HISTOGRAM, .buckets = (b), .n_buckets = sizeof(b) / sizeof(*(b))

// clang-format off
static struct pd_metric metrics[M_COUNT] = {
	[M_CONNECTED] = {.name = "pilot_xds", .help = "Proxies connected over xDS.",
			 .type = PD_GAUGE, .labels = {"version"}},
	[M_PUSHES] = {.name = "pilot_xds_pushes", .help = "Responses sent, and those that could not be sent, by type.",
		      .type = PD_COUNTER, .labels = {"type"}},
	[M_REJECTS] = {.name = "pilot_total_xds_rejects", .help = "Responses that a proxy refused, by type.",
		       .type = PD_COUNTER, .labels = {"type"}},
	[M_TYPE_REJECTS_CDS] = {.name = "pilot_xds_cds_reject", .help = "CDS responses that a proxy refused.", .type = PD_COUNTER},
	[M_TYPE_REJECTS_EDS] = {.name = "pilot_xds_eds_reject", .help = "EDS responses that a proxy refused.", .type = PD_COUNTER},
	[M_TYPE_REJECTS_LDS] = {.name = "pilot_xds_lds_reject", .help = "LDS responses that a proxy refused.", .type = PD_COUNTER},
	[M_TYPE_REJECTS_RDS] = {.name = "pilot_xds_rds_reject", .help = "RDS responses that a proxy refused.", .type = PD_COUNTER},
	[M_EXPIRED_NONCE] = {.name = "pilot_xds_expired_nonce", .help = "Requests that carried the nonce of an older response.",
			     .type = PD_COUNTER, .labels = {"type"}},
	[M_PUSH_TIME] = {.name = "pilot_xds_push_time", .help = "Seconds to put a response together, by type.",
			 .labels = {"type"}, HISTOGRAM(seconds)},
	[M_SEND_TIME] = {.name = "pilot_xds_send_time", .help = "Seconds from handing a response to grpc until its last byte left.",
			 HISTOGRAM(seconds)},
	[M_QUEUE_TIME] = {.name = "pilot_proxy_queue_time", .help = "Seconds that a stream waited for a worker.",
			  HISTOGRAM(seconds)},
	[M_CONVERGENCE] = {.name = "pilot_proxy_convergence_time",
			   .help = "Seconds from a change until the responses that it caused were handed to a connection.",
			   HISTOGRAM(seconds)},
	[M_SIZE] = {.name = "pilot_xds_config_size_bytes", .help = "Bytes of responses, by type.",
		    .labels = {"type"}, HISTOGRAM(sizes)},
	[M_BYTES] = {.name = "pilotd_xds_sent_bytes_total", .help = "Bytes of responses handed to clients' connections, by type.",
		     .type = PD_COUNTER, .labels = {"type"}},
	[M_REQUESTS] = {.name = "pilotd_xds_requests_total", .help = "Discovery requests by type and by what they were.",
			.type = PD_COUNTER, .labels = {"type", "kind"}},
	[M_REFUSED] = {.name = "pilotd_xds_refused_total", .help = "Streams refused or ended by us, by reason.",
		       .type = PD_COUNTER, .labels = {"reason"}},
	[M_JOB_TIME] = {.name = "pilotd_xds_job_time", .help = "Seconds a worker spends on a stream, by what it does.",
			.labels = {"kind"}, HISTOGRAM(seconds)},
	[M_DEBOUNCE] = {.name = "pilot_debounce_time",
			.help = "Seconds from the first of a batch of changes until the batch was applied.",
			HISTOGRAM(seconds)},
	[M_APPLY] = {.name = "pilotd_apply_time", .help = "Seconds to apply a batch of changes to the model.", HISTOGRAM(seconds)},
	[M_CHANGES] = {.name = "pilot_inbound_updates", .help = "Changes that sources handed in.", .type = PD_COUNTER},
	[M_BATCHES] = {.name = "pilot_push_triggers",
		       .help = "Batches applied, by whether anything had changed that somebody reads.",
		       .type = PD_COUNTER, .labels = {"type"}},
};
static const char *const type_labels[PD_TYPE_COUNT + 1] = {
	[PD_CDS] = "cds", [PD_EDS] = "eds", [PD_LDS] = "lds", [PD_RDS] = "rds", [PD_ECDS] = "ecds", [PD_SDS] = "sds",
	[PD_NDS] = "nds", [PD_TYPE_COUNT] = "other",
};
static const char *const refusal_labels[PD_REFUSALS] = {
	[PD_REFUSED_STREAMS] = "too_many_streams", [PD_REFUSED_RATE] = "stream_rate", [PD_REFUSED_NOT_READY] = "not_ready",
	[PD_REFUSED_UNAUTHENTICATED] = "unauthenticated", [PD_REFUSED_IDENTITY] = "identity",
	[PD_REFUSED_NODE] = "node", [PD_REFUSED_REQUEST] = "bad_request", [PD_REFUSED_REQUEST_RATE] = "request_rate",
	[PD_REFUSED_METHOD] = "unknown_method", [PD_REFUSED_TIMEOUT] = "send_timeout", [PD_REFUSED_DRAIN] = "draining",
};
static const char *const kind_labels[PD_REQ_KINDS] = {
	[PD_REQ_IGNORED] = "ignored", [PD_REQ_SUBSCRIBE] = "subscribe", [PD_REQ_ACK] = "ack", [PD_REQ_NACK] = "nack",
	[PD_REQ_STALE] = "stale", [PD_REQ_UNSUBSCRIBE] = "unsubscribe",
};
// clang-format on

void pd_xds_register_metrics(void)
{
	pd_metrics_register(metrics, M_COUNT);
}

void pd_count_refused(struct pd_xds *x, enum pd_refusal why)
{
	atomic_fetch_add(&x->refused, 1);
	pd_metric_inc(&metrics[M_REFUSED], refusal_labels[why]);
}

void pd_count_request(struct pd_xds *x, enum pd_type t, enum pd_request_kind kind)
{
	static const enum metric rejects[PD_TYPE_COUNT] = {
		[PD_CDS] = M_TYPE_REJECTS_CDS,
		[PD_EDS] = M_TYPE_REJECTS_EDS,
		[PD_LDS] = M_TYPE_REJECTS_LDS,
		[PD_RDS] = M_TYPE_REJECTS_RDS,
	};

	atomic_fetch_add(&x->requests[kind], 1);
	pd_metric_inc(&metrics[M_REQUESTS], type_labels[t], kind_labels[kind]);
	if (kind == PD_REQ_STALE)
		pd_metric_inc(&metrics[M_EXPIRED_NONCE], type_labels[t]);
	if (kind != PD_REQ_NACK)
		return;
	pd_metric_inc(&metrics[M_REJECTS], type_labels[t]);
	if (t <= PD_RDS)
		pd_metric_inc(&metrics[rejects[t]]);
}

void pd_count_connected(struct pd_xds *x, const struct pd_view *view, int change)
{
	if (change > 0)
		atomic_fetch_add(&x->connected, 1);
	else
		atomic_fetch_sub(&x->connected, 1);
	pd_metric_add(&metrics[M_CONNECTED], change, pd_or(view->istio_version, "unknown"));
}

void pd_count_answer(struct pd_xds *x, enum pd_type t, size_t bytes, uint64_t took_ns)
{
	pd_metric_observe(&metrics[M_PUSH_TIME], (double)took_ns / 1e9, type_labels[t]);
	pd_metric_observe(&metrics[M_SIZE], (double)bytes, type_labels[t]);
	pd_xds_note_churn(x, CHURN_PER_ANSWER);
}

void pd_count_sent(struct pd_xds *x, const struct pd_out *o, uint64_t started_ns, uint64_t now_ns)
{
	atomic_fetch_add(&x->responses, 1);
	atomic_fetch_add(&x->bytes, o->bytes);
	pd_metric_inc(&metrics[M_PUSHES], type_labels[o->type]);
	pd_metric_add(&metrics[M_BYTES], (double)o->bytes, type_labels[o->type]);
	pd_metric_observe(&metrics[M_SEND_TIME], (double)(now_ns - started_ns) / 1e9);
	if (o->changed_ns)
		pd_metric_observe(&metrics[M_CONVERGENCE], (double)(now_ns - o->changed_ns) / 1e9);
}

void pd_count_queued(uint64_t ns)
{
	pd_metric_observe(&metrics[M_QUEUE_TIME], (double)ns / 1e9);
}

void pd_count_pushed(enum pd_urgency u, uint64_t took_ns)
{
	pd_metric_observe(&metrics[M_JOB_TIME], (double)took_ns / 1e9, u == PD_JOB_PUSH ? "push" : "request");
}

void pd_count_batch(size_t n, size_t tokens, uint64_t waited_ns, uint64_t took_ns)
{
	pd_metric_add(&metrics[M_CHANGES], (double)n);
	pd_metric_inc(&metrics[M_BATCHES], tokens ? "config" : "none");
	pd_metric_observe(&metrics[M_DEBOUNCE], (double)waited_ns / 1e9);
	pd_metric_observe(&metrics[M_APPLY], (double)took_ns / 1e9);
}
