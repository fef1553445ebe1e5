// pilotd: wires the layers together and runs until it is told to stop.
//
//   sources (folder, Kubernetes, mesh file) ──► control loop ──► engine ──► xDS server          HTTP: readiness, debug pages, metrics
//                                                                   CA (identity.h) ──┘ calls
//
// Start: everything that can fail for the user's reasons is tried before the first thread runs for good, and says what and
// why. Stop (SIGTERM, SIGINT): streams are asked to move away within --shutdownDuration; a second signal ends at once.
#include <errno.h>
#include <fcntl.h>
#include <grpc/grpc.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/http.h"
#include "base/log.h"
#include "base/metrics.h"
#include "cmd/pilotd/authn.h"
#include "cmd/pilotd/debug.h"
#include "cmd/pilotd/identity.h"
#include "cmd/pilotd/kube.h"
#include "cmd/pilotd/nodes.h"
#include "cmd/pilotd/options.h"
#include "cmd/pilotd/roots.h"
#include "config/jwks_source.h"
#include "config/source.h"
#include "discovery/indexes.h"
#include "xds/control.h"
#include "xds/flags.h"
#include "xds/server.h"

struct daemon {
	struct options options;
	struct pd_issues *issues;
	struct pd_engine *engine;
	struct pd_xds *xds;
	struct pd_control *control;
	struct pd_jwks_source *jwks;
	struct pd_dir_source *dir;
	struct kube kube;
	struct pd_mesh_input *mesh;
	struct pd_mesh_file *mesh_config, *mesh_networks;
	struct authn authn;
	struct identity identity;
	struct roots roots;
	pthread_mutex_t mesh_lock; // guards
	struct pd_mesh *mesh_now;  // the newest; one reference; NULL = the cluster has not told its part yet
	bool identity_follows;     // it is started
	struct pd_http *http, *monitoring;
	struct debug_sources debug;
};

// ---- HTTP ----------------------------------------------------------------------------------------------------------------

static void ready(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct daemon *d = arg;
	(void)r;
	if (!pd_engine_ready(d->engine))
		pd_http_error(out, 503, "configuration has not been read yet");
}

static void version(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	(void)r;
	(void)arg;
	pd_buf_adds(&out->body, "pilotd " PD_VERSION "\n");
}

static void metrics(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	(void)r;
	(void)arg;
	out->content_type = PD_METRICS_CONTENT_TYPE;
	pd_metrics_write(&out->body);
}

static const struct pd_http_route ready_routes[] = {
	{.path = "/ready", .handler = ready, .help = "200 once configuration is served"},
	{.path = "/version", .handler = version, .help = "version of pilotd"},
};
static const struct pd_http_route metrics_routes[] = {
	{.path = "/metrics", .handler = metrics, .help = "metrics in Prometheus' format"},
	{.path = "/version", .handler = version, .help = "version of pilotd"},
};

static int start_http(struct daemon *d, struct pd_buf *err)
{
	d->http =
		pd_http_new(&(struct pd_http_options){.name = "http", .address = d->options.http_addr, .index = true});
	d->monitoring = pd_http_new(
		&(struct pd_http_options){.name = "monitoring", .address = d->options.monitoring_addr, .index = true});
	pd_http_add_routes(d->http, ready_routes, sizeof(ready_routes) / sizeof(ready_routes[0]), d);
	pd_http_add_routes(d->monitoring, metrics_routes, sizeof(metrics_routes) / sizeof(metrics_routes[0]), d);
	debug_add_all(d->http, &d->debug);
	debug_add_all(d->monitoring, &d->debug);
	kube_add_debug(d->http, &d->kube);
	kube_add_debug(d->monitoring, &d->kube);
	int rc = pd_http_start(d->http, err);
	return rc == PD_OK ? pd_http_start(d->monitoring, err) : rc;
}

// ---- metrics of the engine -------------------------------------------------------------------------------------------------

static double read_stat(void *arg, size_t offset)
{
	struct pd_engine_stats s;
	pd_engine_stats(arg, &s);
	return (double)*(uint64_t *)((char *)&s + offset);
}

#define ENGINE_METRIC(field)                                                                                           \
	static double read_##field(void *arg)                                                                          \
	{                                                                                                              \
		return read_stat(arg, offsetof(struct pd_engine_stats, field));                                        \
	}
ENGINE_METRIC(views)
ENGINE_METRIC(scopes)
ENGINE_METRIC(host_units)
ENGINE_METRIC(endpoint_units)
ENGINE_METRIC(units_computed)
ENGINE_METRIC(objects)

static struct pd_metric engine_metrics[] = {
	{.name = "pilotd_views", .help = "Distinct proxy views.", .type = PD_GAUGE, .read = read_views},
	{.name = "pilotd_scopes", .help = "Distinct outbound scopes.", .type = PD_GAUGE, .read = read_scopes},
	{.name = "pilotd_host_units",
	 .help = "Hosts with cached resources.",
	 .type = PD_GAUGE,
	 .read = read_host_units},
	{.name = "pilotd_endpoint_units",
	 .help = "Clusters with cached endpoints.",
	 .type = PD_GAUGE,
	 .read = read_endpoint_units},
	{.name = "pilotd_units_computed",
	 .help = "Translation passes since the start.",
	 .type = PD_COUNTER,
	 .read = read_units_computed},
	{.name = "pilotd_objects", .help = "Configuration objects.", .type = PD_GAUGE, .read = read_objects},
};

static void register_metrics(struct daemon *d)
{
	for (size_t i = 0; i < sizeof(engine_metrics) / sizeof(engine_metrics[0]); i++)
		engine_metrics[i].arg = d->engine;
	pd_metrics_register(engine_metrics, sizeof(engine_metrics) / sizeof(engine_metrics[0]));
	pd_metrics_register_process();
	pd_xds_register_metrics();
	pd_jwks_register_metrics();
}

// ---- start and stop --------------------------------------------------------------------------------------------------------

static void mesh_changed(struct pd_mesh *mesh, void *arg)
{
	struct daemon *d = arg;
	kube_select(&d->kube, mesh);
	roots_select(&d->roots, mesh);
	pthread_mutex_lock(&d->mesh_lock);
	pd_obj_unref(d->mesh_now);
	d->mesh_now = pd_obj_ref(mesh);
	if (d->identity_follows) {
		authn_mesh(&d->authn, mesh);
		identity_mesh(&d->identity, mesh);
	}
	pthread_mutex_unlock(&d->mesh_lock);
	pd_control_mesh(d->control, mesh);
}

static void make_engine(struct daemon *d)
{
	struct pd_xds_config xds;
	struct pd_control_config control;
	pd_indexes_set_domain(d->options.settings.domain_suffix);
	d->issues = pd_issues_new();
	d->engine = pd_engine_new(&d->options.settings, d->issues);
	pd_xds_config_defaults(&xds);
	pd_control_config_defaults(&control);
	pd_xds_settings(&xds, &control);
	xds.max_streams = (size_t)d->options.max_streams;
	xds.max_message = (size_t)d->options.max_recv_size;
	control.sources = (*d->options.config_dir ? 1 : 0) + (kube_wanted(&d->options) ? 1 : 0);
	d->xds = pd_xds_new(d->engine, &xds);
	d->control = pd_control_new(d->engine, d->xds, &control);
	d->jwks = pd_jwks_source_new(&(struct pd_jwks_source_config){
		.cluster = d->options.settings.cluster,
		.sink = pd_control_sink(d->control),
		.mode = d->options.settings.jwks_mode,
		.refresh_ms = (uint64_t)d->options.jwks_refresh / 1000000,
		.blocked = d->options.jwks_blocked.v,
		.n_blocked = d->options.jwks_blocked.n,
	});
	d->debug = (struct debug_sources){d->engine, d->xds, d->issues};
}

static int follow_mesh(struct daemon *d, const char *flag, const char *path, enum pd_mesh_part part,
		       struct pd_mesh_file **out, struct pd_buf *err)
{
	int rc = pd_mesh_file_start(path, part, d->mesh, d->issues, out);
	if (rc != PD_OK)
		pd_buf_printf(err, "--%s %s: %s", flag, path, pd_strerror(rc));
	return rc;
}

static int start_mesh(struct daemon *d, struct pd_buf *err)
{
	const struct options *o = &d->options;
	d->mesh = pd_mesh_input_new(d->issues, mesh_changed, d);
	int rc = follow_mesh(d, "meshConfig", o->mesh_config, PD_MESH_CONFIG, &d->mesh_config, err);
	if (rc == PD_OK)
		rc = follow_mesh(d, "networksConfig", o->networks_config, PD_MESH_NETWORKS, &d->mesh_networks, err);
	if (rc == PD_OK && !kube_wanted(o)) // else the cluster has a part in it
		pd_mesh_input_ready(d->mesh);
	return rc;
}

static int start_identity(struct daemon *d, struct pd_buf *err)
{
	struct identity_options o = {
		.secure_grpc_addr = d->options.secure_grpc_addr,
		.system_ns = d->options.settings.system_ns,
		.auth = &d->authn.chain,
		.nodes = nodes_authorizer(d->engine),
		.kubernetes = d->kube.client,
	};
	struct authn_options who = {.cluster = d->options.settings.cluster, .kubernetes = d->kube.client};
	struct pd_mesh *defaults;
	int rc;
	// What the cluster has to say comes later.
	PD_ASSERT(pd_mesh_parse("", 0, "defaults", d->issues, &defaults) == PD_OK);
	pthread_mutex_lock(&d->mesh_lock);
	o.mesh = who.mesh = d->mesh_now ? d->mesh_now : defaults;
	rc = authn_start(&d->authn, &who, err);
	if (rc == PD_OK)
		rc = identity_start(&d->identity, d->xds, &o, err);
	d->identity_follows = rc == PD_OK;
	pthread_mutex_unlock(&d->mesh_lock);
	pd_obj_unref(defaults);
	if (rc == PD_OK)
		authn_streams(&d->authn, d->xds);
	return rc;
}

static int start_dir(struct daemon *d, struct pd_buf *err)
{
	const struct options *o = &d->options;
	const struct pd_dir_config cfg = {.path = o->config_dir,
					  .cluster = o->settings.cluster,
					  .sink = pd_jwks_source_sink(d->jwks),
					  .issues = d->issues};
	int rc = pd_dir_source_start(&cfg, &d->dir);
	if (rc != PD_OK)
		pd_buf_printf(err, "--configDir %s: %s", o->config_dir,
			      rc == PD_E_IO ? strerror(errno) : pd_strerror(rc));
	return rc;
}

static int start_kube(struct daemon *d, struct pd_buf *err)
{
	const struct roots_options roots = {
		.client = d->kube.client,
		.authority = d->identity.authority,
		.system_ns = d->options.settings.system_ns,
		.next = pd_jwks_source_sink(d->jwks),
	};
	int rc = roots_start(&d->roots, &roots, err);
	return rc == PD_OK ? kube_start(&d->kube, &d->options, &d->roots.sink, d->issues, d->mesh, err) : rc;
}

static int start_sources(struct daemon *d, struct pd_buf *err)
{
	int rc = PD_OK;
	pd_control_start(d->control);
	if (*d->options.config_dir)
		rc = start_dir(d, err);
	if (rc == PD_OK && kube_wanted(&d->options))
		rc = start_kube(d, err);
	return rc;
}

static int start(struct daemon *d, struct pd_buf *err)
{
	uint16_t port;
	int rc = identity_limit_tls(err);
	if (rc != PD_OK)
		return rc;
	make_engine(d);
	register_metrics(d);
	rc = start_mesh(d, err);
	if (rc == PD_OK && kube_wanted(&d->options))
		rc = kube_connect(&d->kube, &d->options, err);
	if (rc == PD_OK && kube_wanted(&d->options))
		kube_ask_access(&d->kube, d->engine, d->control);
	if (rc == PD_OK)
		rc = start_identity(d, err);
	if (rc != PD_OK)
		return rc;
	if (*d->options.grpc_addr) {
		rc = pd_xds_listen(d->xds, d->options.grpc_addr, NULL, &port, err);
		if (rc != PD_OK)
			return rc;
		pd_info("xds", "listening on %s (port %u)", d->options.grpc_addr, port);
	}
	rc = start_http(d, err);
	if (rc != PD_OK)
		return rc;
	pd_xds_start(d->xds);
	return start_sources(d, err);
}

// The reverse of start; takes what is there.
static void stop(struct daemon *d)
{
	pd_dir_source_stop(&d->dir);
	pd_mesh_file_stop(&d->mesh_config);
	pd_mesh_file_stop(&d->mesh_networks);
	pd_http_free(&d->http); // its pages look at what follows
	pd_http_free(&d->monitoring);
	kube_stop(&d->kube);
	pd_jwks_source_free(&d->jwks); // the sources' sink
	pd_mesh_input_free(&d->mesh);
	pd_control_free(&d->control);
	pd_xds_free(&d->xds);
	identity_settle(&d->identity);
	roots_stop(&d->roots);
	kube_disconnect(&d->kube);
	identity_stop(&d->identity);
	authn_stop(&d->authn);
	pd_obj_unref(d->mesh_now);
	pd_engine_free(&d->engine);
	pd_issues_free(&d->issues);
}

// As many connections as we may have: the soft limit is often 1024.
static void raise_file_limit(void)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

// Keys are in our memory: nothing of it goes into a core dump, wherever dumps go (a pipe minds the filter, not the limit).
static void forbid_core_dumps(void)
{
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		pd_warn("main", "core dumps cannot be emptied: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

static int wait_for_signal(const sigset_t *signals)
{
	int sig = 0;
	while (sigwait(signals, &sig) != 0)
		;
	return sig;
}

static void end_at_once(int sig)
{
	(void)sig;
	_exit(1);
}

static void handle(int sig, void (*handler)(int))
{
	struct sigaction sa = {.sa_handler = handler};
	sigaction(sig, &sa, NULL);
}

int main(int argc, char **argv)
{
	struct daemon d = {.mesh_lock = PTHREAD_MUTEX_INITIALIZER};
	struct pd_buf err = {0};
	sigset_t signals;
	switch (options_parse(&d.options, argc, argv)) {
	case OPTIONS_EXIT:
		return 0;
	case OPTIONS_ERROR:
		return 2;
	case OPTIONS_RUN:
		break;
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL); // inherited by all threads: only sigwait sees them
	handle(SIGPIPE, SIG_IGN);
	raise_file_limit();
	if (!d.options.core_dumps)
		forbid_core_dumps();
	mallopt(M_ARENA_MAX, 4); // threads share: an arena each would keep what bursts leave behind
	grpc_init();

	int rc = start(&d, &err);
	if (rc == PD_OK) {
		pd_info("main", "pilotd %s started", PD_VERSION);
		pd_info("main", "signal %d: stopping within %lld s", wait_for_signal(&signals),
			(long long)(d.options.shutdown_duration / 1000000000));
		handle(SIGTERM, end_at_once);
		handle(SIGINT, end_at_once);
		pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
		pd_xds_drain(d.xds, (uint64_t)d.options.shutdown_duration / 1000000);
	} else {
		pd_error("main", "%s", err.p ? err.p : pd_strerror(rc));
	}
	stop(&d);
	options_free(&d.options);
	pd_buf_free(&err);
	grpc_shutdown_blocking();
	return rc == PD_OK ? 0 : 1;
}
