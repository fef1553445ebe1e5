#include "xds/server_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <grpc/grpc_security.h>
#include <grpc/support/log.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define FREE_WAIT_MS 10000 // for calls to end once they were all cancelled, before somebody should hear of it

static const char *const methods[2] = {
	"/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
	"/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
};

static long clamp(long v, long min, long max)
{
	return v < min ? min : v > max ? max : v;
}

void pd_xds_config_defaults(struct pd_xds_config *c)
{
	long cpus = clamp(sysconf(_SC_NPROCESSORS_ONLN), 1, 1024);

	*c = (struct pd_xds_config){
		.cq_threads = (unsigned)clamp(cpus, 1, 4),
		.push_threads = (unsigned)clamp(cpus, 2, 16),
		.max_streams = 100000,
		.max_message = 4 * 1024 * 1024,
		.streams_per_second = 40.0 * (double)clamp(15 + 5 * cpus, 15, 100),
		.admission_ms = 1000,
		.requests_per_second = 100,
		.requests_burst = 1000,
		.send_timeout_ms = 60000,
		.ack_patience_ms = 5000,
		.max_calls = 16384,
		.call_timeout_ms = 20000,
		.keepalive_ms = 30000,
		.keepalive_timeout_ms = 10000,
		.min_ping_interval_ms = 10000,
		.max_connection_grace_ms = 10000,
		.trim_after_ms = 2000,
		.trim_interval_ms = 10000,
	};
	c->streams_burst = c->streams_per_second;
}

// ---- grpc --------------------------------------------------------------------------------------------------------------

static void log_of_grpc(gpr_log_func_args *a)
{
	enum pd_log_level level = a->severity == GPR_LOG_SEVERITY_ERROR ? PD_LOG_WARN : PD_LOG_DEBUG;

	pd_log(level, "grpc", "%s", a->message);
}

static grpc_arg int_arg(const char *key, int v)
{
	return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)key, .value = {.integer = v}};
}

static grpc_server *make_server(const struct pd_xds_config *c)
{
	grpc_arg v[16];
	size_t n = 0;

	v[n++] = int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0); // or a second process would share the port unnoticed
	v[n++] = int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)c->max_message);
	v[n++] = int_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, (int)c->max_streams);
	v[n++] = int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, c->keepalive_ms);
	v[n++] = int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, c->keepalive_timeout_ms);
	v[n++] = int_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
	v[n++] = int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, c->min_ping_interval_ms);
	v[n++] = int_arg(GRPC_ARG_HTTP2_BDP_PROBE, 0); // a 64 KiB window: what a client can make us hold
	v[n++] = int_arg(GRPC_ARG_ENABLE_CHANNELZ, 0);
	if (c->max_connection_age_ms > 0) {
		v[n++] = int_arg(GRPC_ARG_MAX_CONNECTION_AGE_MS, c->max_connection_age_ms);
		v[n++] = int_arg(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, c->max_connection_grace_ms);
	}
	return grpc_server_create(&(grpc_channel_args){n, v}, NULL);
}

static void on_shutdown(struct pd_tag *t, bool ok)
{
	struct pd_xds *x = (struct pd_xds *)((char *)t - offsetof(struct pd_xds, shutdown_tag));

	(void)ok;
	pthread_mutex_lock(&x->lock);
	x->shutdown_done = true;
	pthread_cond_broadcast(&x->gone);
	pthread_mutex_unlock(&x->lock);
}

struct pd_xds *pd_xds_new(struct pd_engine *engine, const struct pd_xds_config *config)
{
	struct pd_xds *x = pd_xcalloc(1, sizeof(*x));
	pthread_condattr_t monotonic;

	gpr_set_log_function(log_of_grpc);
	grpc_init();
	x->engine = engine;
	x->shutdown_tag.fn = on_shutdown;
	x->config = *config;
	x->admission = (struct pd_bucket){.rate = config->streams_per_second, .burst = config->streams_burst};
	pd_session_env_init(&x->env, engine);
	pd_queue_init(&x->queue);
	x->bodies = pd_bodies_new();
	x->views = pd_views_new();
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&x->lock, NULL);
	pthread_cond_init(&x->gone, &monotonic);
	pthread_mutex_init(&x->housekeeper.lock, NULL);
	pthread_cond_init(&x->housekeeper.wake, &monotonic);
	pthread_condattr_destroy(&monotonic);

	x->server = make_server(config);
	for (int m = 0; m < 2; m++) {
		x->methods[m] = grpc_server_register_method(x->server, methods[m], NULL, GRPC_SRM_PAYLOAD_NONE, 0);
		PD_ASSERT(x->methods[m]);
	}
	for (unsigned i = 0; i < config->cq_threads; i++) {
		pd_vec_push(&x->cqs, grpc_completion_queue_create_for_next(NULL));
		grpc_server_register_completion_queue(x->server, x->cqs.v[i], NULL);
	}
	pd_engine_listen(engine, pd_invalidate, x);
	return x;
}

void pd_xds_add_methods(struct pd_xds *x, const struct pd_rpc_method *v, size_t n)
{
	PD_ASSERT(!x->started);
	for (size_t i = 0; i < n; i++) {
		void *m = grpc_server_register_method(x->server, v[i].path, NULL, GRPC_SRM_PAYLOAD_NONE, 0);
		PD_ASSERT(m);
		pd_vec_push(&x->unary_methods, (struct pd_unary_method){&v[i], m});
	}
}

void pd_xds_set_auth(struct pd_xds *x, const struct pd_xds_auth *auth)
{
	PD_ASSERT(!x->started);
	x->auth = *auth;
}

int pd_xds_listen(struct pd_xds *x, const char *address, grpc_server_credentials *creds, uint16_t *port,
		  struct pd_buf *err)
{
	grpc_server_credentials *plain = creds ? NULL : grpc_insecure_server_credentials_create();
	struct pd_addr a;
	char text[PD_ADDR_TEXT];
	int fd, got, rc = pd_addr_parse(address, &a);

	if (rc) {
		pd_buf_printf(err, "xds: \"%s\" is not an address", address);
		goto out;
	}
	if (pd_empty(a.host))
		memcpy(a.host, "::", 3); // grpc takes it for both families
	pd_addr_format(&a, text);
	got = grpc_server_add_http2_port(x->server, text, creds ? creds : plain);
	if (got > 0) {
		if (port)
			*port = (uint16_t)got;
		goto out;
	}
	// grpc does not say why: ask the kernel.
	rc = PD_E_IO;
	pd_buf_adds(err, "xds: ");
	if (pd_addr_listen(&a, 1, &fd, NULL, err) == PD_OK) {
		close(fd);
		pd_buf_printf(err, "cannot listen on %s", text);
	}
out:
	if (plain)
		grpc_server_credentials_release(plain);
	return rc;
}

static void *cq_main(void *arg)
{
	grpc_completion_queue *cq = arg;
	grpc_event ev;

	for (;;) {
		ev = grpc_completion_queue_next(cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
		if (ev.type == GRPC_QUEUE_SHUTDOWN)
			return NULL;
		if (ev.type == GRPC_OP_COMPLETE)
			((struct pd_tag *)ev.tag)->fn(ev.tag, ev.success);
	}
}

static pthread_t spawn(void *(*fn)(void *), void *arg)
{
	pthread_t t;

	PD_ASSERT(pthread_create(&t, NULL, fn, arg) == 0);
	return t;
}

void pd_xds_start(struct pd_xds *x)
{
	PD_ASSERT(!x->started);
	x->started = true;
	grpc_server_start(x->server);
	pd_accept_post_all(x);
	for (unsigned i = 0; i < x->config.push_threads; i++)
		pd_vec_push(&x->workers, spawn(pd_worker_main, x));
	for (size_t i = 0; i < x->cqs.n; i++)
		pd_vec_push(&x->cq_threads, spawn(cq_main, x->cqs.v[i]));
	pd_housekeeper_start(x);
}

// ---- end ---------------------------------------------------------------------------------------------------------------

static void shut(struct pd_xds *x)
{
	if (x->shut)
		return;
	x->shut = true;
	grpc_server_shutdown_and_notify(x->server, x->cqs.v[0], &x->shutdown_tag);
}

// Waits until all calls are gone (and, if `all`, everything else of grpc's). False: the time is over.
static bool wait_gone(struct pd_xds *x, uint64_t ms, bool all)
{
	uint64_t at = pd_now_ns() + ms * 1000000;
	struct timespec until = {.tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000)};
	bool gone;

	pthread_mutex_lock(&x->lock);
	while (!(gone = !x->n_calls && (!all || (!x->n_accepts && x->shutdown_done))))
		if (pthread_cond_timedwait(&x->gone, &x->lock, &until) == ETIMEDOUT)
			break;
	pthread_mutex_unlock(&x->lock);
	return gone;
}

void pd_xds_drain(struct pd_xds *x, uint64_t ms)
{
	uint64_t now = pd_now_ns();
	size_t i = 0;

	if (!x->started)
		return;
	pthread_mutex_lock(&x->lock);
	x->draining = true;
	for (struct pd_stream *s = x->streams; s; s = s->next, i++) {
		pthread_mutex_lock(&s->mu);
		s->drain_ns = now + ms * 1000000 * i / x->n_streams;
		pthread_mutex_unlock(&s->mu);
	}
	pthread_mutex_unlock(&x->lock);
	pd_info("ads", "draining %zu streams over %llu ms", i, (unsigned long long)ms);
	shut(x);
	pthread_mutex_lock(&x->housekeeper.lock);
	pthread_cond_signal(&x->housekeeper.wake);
	pthread_mutex_unlock(&x->housekeeper.lock);
	wait_gone(x, ms + 2 * 1000, false);
}

static void stop_threads(struct pd_xds *x)
{
	struct pd_job *j;

	shut(x);
	grpc_server_cancel_all_calls(x->server);
	while (!wait_gone(x, FREE_WAIT_MS, true))
		pd_warn("ads", "still waiting for calls to end");
	pd_housekeeper_stop(x);
	pd_queue_close(&x->queue);
	for (size_t i = 0; i < x->workers.n; i++)
		pthread_join(x->workers.v[i], NULL);
	while ((j = pd_queue_pop_rest(&x->queue)))
		pd_stream_unref((struct pd_stream *)((char *)j - offsetof(struct pd_stream, job)));
}

void pd_xds_free(struct pd_xds **xp)
{
	struct pd_xds *x = *xp;

	if (!x)
		return;
	*xp = NULL;
	if (x->started)
		stop_threads(x);
	else
		shut(x);
	grpc_server_destroy(x->server);
	for (size_t i = 0; i < x->cqs.n; i++)
		grpc_completion_queue_shutdown(x->cqs.v[i]);
	for (size_t i = 0; i < x->cq_threads.n; i++)
		pthread_join(x->cq_threads.v[i], NULL);
	for (size_t i = 0; i < x->cqs.n; i++) {
		if (!x->started)
			cq_main(x->cqs.v[i]);
		grpc_completion_queue_destroy(x->cqs.v[i]);
	}
	pd_vec_free(&x->cqs);
	pd_vec_free(&x->cq_threads);
	pd_vec_free(&x->workers);
	pd_vec_free(&x->unary_methods);
	pd_views_free(&x->views);
	pd_bodies_free(&x->bodies);
	pd_queue_free(&x->queue);
	pd_session_env_free(&x->env);
	pthread_mutex_destroy(&x->lock);
	pthread_cond_destroy(&x->gone);
	pthread_mutex_destroy(&x->housekeeper.lock);
	pthread_cond_destroy(&x->housekeeper.wake);
	free(x);
	grpc_shutdown_blocking();
}

bool pd_xds_pushing(struct pd_xds *x)
{
	return !pd_queue_idle(&x->queue);
}

void pd_xds_on_drained(struct pd_xds *x, void (*fn)(void *), void *arg)
{
	pthread_mutex_lock(&x->queue.lock);
	x->queue.drained_arg = arg;
	x->queue.drained = fn;
	pthread_mutex_unlock(&x->queue.lock);
}
