// The life of the proxy:
//
//   start   secrets and SDS socket, status port, the certificate (which may take its time), bootstrap, Envoy
//   SIGTERM, SIGINT, /quitquitquit: not ready any more; Envoy's listeners drain; after the termination drain duration (or, if
//           wished, when no connection is left) Envoy is asked to end, at last killed. A second signal ends at once
//   SIGHUP, SIGUSR1  go on to Envoy (USR1: it opens its log files again)
//   Envoy ends       so do we, with its status: whoever started us starts us again
#include "cmd/pilot-proxy/run.h"

#include <errno.h>
#include <grpc/grpc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/log.h"
#include "ca/spiffe.h"
#include "cmd/pilot-proxy/options.h"
#include "proxy/admin.h"
#include "proxy/bootstrap.h"
#include "proxy/envoy.h"
#include "proxy/files.h"
#include "proxy/identity.h"
#include "proxy/node.h"
#include "proxy/sds_server.h"
#include "proxy/status.h"

#define KILL_MS 5000 // that Envoy has to end after SIGTERM
#define LOOK_MS 1000 // how often open connections are counted

extern char **environ;

struct proxy {
	struct options o;
	struct pd_secrets *secrets;
	struct pd_file_secrets *files;
	struct pd_sds *sds;
	struct pd_identity *identity;
	struct pd_status *status;
	char *spiffe_id, *bootstrap, *cert_file, *key_file, *status_address, *root_secret;
	pid_t envoy; // 0 = not running
	int exit_status;
};

// ---- start -----------------------------------------------------------------------------------------------------------------

static void wanted(const char *name, void *arg)
{
	struct proxy *p = arg;
	pd_file_secrets_want(p->files, name);
}

// A certificate that somebody else provides in files.
static bool use_files(struct proxy *p)
{
	const char *const names[] = {"cert-chain.pem", "key.pem", "root-cert.pem"};
	const char *path[3];
	for (int i = 0; i < 3; i++) {
		path[i] = pd_arena_printf(&p->o.arena, "%s/%s", p->o.cert_folder, names[i]);
		if (!*p->o.cert_folder || access(path[i], F_OK) != 0)
			return false;
	}
	pd_info("ca", "the certificate is taken from %s", p->o.cert_folder);
	pd_file_secrets_follow(p->files, PD_SECRET_WORKLOAD, path[0], path[1]);
	pd_file_secrets_follow(p->files, PD_SECRET_ROOTS, path[2], NULL);
	return true;
}

static void start_identity(struct proxy *p)
{
	const struct options *o = &p->o;
	if (*o->provisioned) {
		p->cert_file = pd_xasprintf("%s/cert-chain.pem", o->provisioned);
		p->key_file = pd_xasprintf("%s/key.pem", o->provisioned);
	}
	p->spiffe_id = pd_spiffe_format(o->trust_domain, o->ns, o->account);
	p->identity = pd_identity_start(&(struct pd_identity_config){
		.ca = {.address = o->ca,
		       .server_name = o->server_name,
		       .root_file = o->ca_plaintext ? "" : o->root_cert,
		       .token_file = o->token,
		       .cert_file = pd_or(p->cert_file, ""),
		       .key_file = pd_or(p->key_file, ""),
		       .cluster = o->cluster_id,
		       .signer = o->signer},
		.secrets = p->secrets,
		.spiffe_id = p->spiffe_id,
		.key_type = o->key_type,
		.rsa_bits = (unsigned)o->rsa_bits,
		.ttl_s = o->ttl_ns / 1000000000,
		.grace_ratio = o->grace_ratio,
		.grace_jitter = o->grace_jitter,
		.root_change_ms = (uint64_t)o->root_change_ns / 1000000,
		.output = o->output,
	});
}

// The certificate's source and the socket. As istio-agent: if somebody serves SDS on the socket already, Envoy uses that.
static int start_secrets(struct proxy *p, struct pd_buf *err)
{
	if (pd_sds_somebody_listens(p->o.socket)) {
		pd_warn("sds", "%s is served by another process: its certificate is used", p->o.socket);
		return PD_OK;
	}
	p->secrets = pd_secrets_new();
	p->files = pd_file_secrets_new(p->secrets);
	int rc = pd_sds_start(&(struct pd_sds_config){.socket = p->o.socket,
						      .secrets = p->secrets,
						      .wanted = wanted,
						      .arg = p},
			      &p->sds, err);
	if (rc == PD_OK && !use_files(p))
		start_identity(p);
	return rc;
}

static void ask_to_quit(void *arg)
{
	(void)arg;
	kill(getpid(), SIGTERM);
}

static int start_status(struct proxy *p, struct pd_buf *err)
{
	const struct options *o = &p->o;
	struct pd_addr a = {.port = (uint16_t)o->status_port};
	char text[PD_ADDR_TEXT];
	size_t n = strlen(o->bind);
	PD_ASSERT(n < sizeof(a.host)); // checked with the options
	memcpy(a.host, o->bind, n);
	pd_addr_format(&a, text);
	p->status_address = pd_xstrdup(text);
	return pd_status_start(&(struct pd_status_config){.address = p->status_address,
							  .admin_port = (uint16_t)o->admin_port,
							  .sidecar = strcmp(o->type, "sidecar") == 0,
							  .app_host = o->ip,
							  .probes = o->probes,
							  .prometheus = o->prometheus,
							  .quit = ask_to_quit},
			       &p->status, err);
}

static int describe(struct proxy *p, json_t *metadata, struct pd_buf *text, struct pd_buf *err)
{
	const struct options *o = &p->o;
	char *id = pd_node_id(o->type, o->ip, o->name, o->ns, o->dns_domain);
	char *cluster = pd_node_cluster(o->service_cluster, metadata), *region, *zone, *sub_zone;
	struct pd_ip bind;
	int rc = pd_ip_parse(o->bind, &bind);
	PD_ASSERT(rc == PD_OK); // checked with the options
	pd_node_locality(metadata, &region, &zone, &sub_zone);
	p->root_secret = pd_xasprintf("file-root:%s", o->root_cert);
	rc = pd_bootstrap_write(&(struct pd_bootstrap){.id = id,
						       .cluster = cluster,
						       .metadata = metadata,
						       .region = region,
						       .zone = zone,
						       .sub_zone = sub_zone,
						       .xds = o->discovery,
						       .protocol = o->protocol,
						       .server_name = o->plaintext ? NULL : o->server_name,
						       .root_secret = p->root_secret,
						       .sds = o->socket,
						       .admin_port = (uint16_t)o->admin_port,
						       .listen_host = o->bind,
						       .readiness_port = (uint16_t)o->readiness_port,
						       .prometheus_port = (uint16_t)o->prometheus_port,
						       .agent_port = pd_status_port(p->status),
						       .agent_host = pd_ip_is_unspecified(&bind) ? NULL : o->bind,
						       .zipkin = o->zipkin,
						       .datadog = o->datadog,
						       .stats_prefixes = o->stats_prefixes,
						       .stats_suffixes = o->stats_suffixes,
						       .stats_regexes = o->stats_regexes},
				text, err);
	free(id);
	free(cluster);
	free(region);
	free(zone);
	free(sub_zone);
	return rc;
}

static int write_bootstrap(struct proxy *p, struct pd_buf *err)
{
	const struct options *o = &p->o;
	json_t *metadata;
	struct pd_buf text = {0};
	p->bootstrap = pd_xasprintf("%s/envoy-rev.json", o->config_path);
	int rc = pd_node_metadata(&(struct pd_node_input){.env = environ,
							  .name = o->name,
							  .ns = o->ns,
							  .account = o->account,
							  .ip = o->ip,
							  .cluster_id = o->cluster_id,
							  .mesh_id = o->mesh_id,
							  .network = o->network,
							  .labels = o->labels,
							  .podinfo = o->podinfo,
							  .proxy_config = o->proxy_config,
							  .pilot_san = o->server_name,
							  .readiness_port = (int)o->readiness_port,
							  .prometheus_port = (int)o->prometheus_port},
				  &metadata, err);
	if (rc != PD_OK)
		return rc;
	rc = describe(p, metadata, &text, err);
	json_decref(metadata);
	if (rc == PD_OK)
		rc = pd_make_folder_of(p->bootstrap, err);
	if (rc == PD_OK)
		rc = pd_file_write(p->bootstrap, text.p, text.n, err);
	pd_buf_free(&text);
	return rc;
}

static int start(struct proxy *p, struct pd_buf *err)
{
	const struct options *o = &p->o;
	pd_identity_register_metrics();
	pd_file_secrets_register_metrics();
	pd_status_register_metrics();
	int rc = start_secrets(p, err);
	if (rc == PD_OK)
		rc = start_status(p, err);
	if (rc == PD_OK)
		rc = write_bootstrap(p, err);
	if (rc == PD_OK)
		rc = pd_envoy_start(&(struct pd_envoy){.binary = o->envoy,
						       .bootstrap = p->bootstrap,
						       .override = o->override,
						       .log_level = o->log_level,
						       .component_levels = o->component_levels,
						       .concurrency = o->concurrency,
						       .drain_s = o->drain_ns / 1000000000},
				    &p->envoy, err);
	return rc;
}

static void stop(struct proxy *p)
{
	pd_status_stop(&p->status);
	pd_identity_stop(&p->identity);
	pd_sds_stop(&p->sds);
	pd_file_secrets_free(&p->files);
	pd_secrets_free(&p->secrets);
	free(p->spiffe_id);
	free(p->bootstrap);
	free(p->cert_file);
	free(p->key_file);
	free(p->status_address);
	free(p->root_secret);
	options_free(&p->o);
}

// ---- signals and the end -----------------------------------------------------------------------------------------------------

// Children that have ended; as process 1 of a container there may be others than Envoy.
static void reap(struct proxy *p)
{
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		if (pid == p->envoy) {
			p->envoy = 0;
			p->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
}

// Waits for Envoy's end or a signal to end, at most until `end_ms`. Returns the signal, 0 otherwise.
static int wait_until(struct proxy *p, const sigset_t *signals, uint64_t end_ms)
{
	while (p->envoy) {
		uint64_t now = pd_now_ms();
		if (now >= end_ms)
			return 0;
		uint64_t ms = end_ms - now < 60000 ? end_ms - now : 60000;
		struct timespec ts = {(time_t)(ms / 1000), (long)(ms % 1000 * 1000000)};
		int sig = sigtimedwait(signals, NULL, &ts);
		if (sig == SIGCHLD)
			reap(p);
		else if (sig == SIGHUP || sig == SIGUSR1)
			kill(p->envoy, sig);
		else if (sig > 0)
			return sig;
	}
	return 0;
}

// Envoy goes on serving what is open. Returns the signal that cut it short.
static int drain(struct proxy *p, const sigset_t *signals)
{
	const struct options *o = &p->o;
	const uint16_t own[] = {(uint16_t)o->readiness_port, (uint16_t)o->prometheus_port};
	struct pd_buf why = {0};
	pd_status_draining(p->status);
	if (pd_admin_drain((uint16_t)o->admin_port, strcmp(o->type, "sidecar") == 0, &why) != PD_OK)
		pd_warn("main", "Envoy does not drain: %s", why.p);
	pd_buf_free(&why);
	if (!o->exit_on_zero)
		return wait_until(p, signals, pd_now_ms() + (uint64_t)o->termination_ns / 1000000);
	int sig = wait_until(p, signals, pd_now_ms() + (uint64_t)o->minimum_drain_ns / 1000000);
	while (!sig && p->envoy && pd_admin_connections((uint16_t)o->admin_port, own, 2) > 0)
		sig = wait_until(p, signals, pd_now_ms() + LOOK_MS);
	return sig;
}

static void end_envoy(struct proxy *p, const sigset_t *signals)
{
	if (!p->envoy)
		return;
	kill(p->envoy, SIGTERM);
	wait_until(p, signals, pd_now_ms() + KILL_MS);
	if (p->envoy) {
		pd_warn("main", "Envoy does not end and is killed");
		kill(p->envoy, SIGKILL);
		wait_until(p, signals, pd_now_ms() + KILL_MS);
	}
	p->exit_status = 0; // it was our wish
}

static void prepare(sigset_t *signals)
{
	const int list[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct rlimit none = {0, 0};
	sigemptyset(signals);
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		sigaddset(signals, list[i]);
	pthread_sigmask(SIG_BLOCK, signals, NULL); // inherited by all threads: only sigtimedwait sees them
	sigaction(SIGPIPE, &ignore, NULL);
	setrlimit(RLIMIT_CORE, &none); // a core would hold the key
	umask(077);
}

int run(int argc, char **argv)
{
	struct proxy p = {0};
	struct pd_buf err = {0};
	sigset_t signals;
	enum options_result parsed = options_parse(&p.o, argc, argv);
	if (parsed != OPTIONS_RUN) {
		options_free(&p.o);
		return parsed == OPTIONS_EXIT ? 0 : 2;
	}
	prepare(&signals);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	grpc_init();
	if (start(&p, &err) == PD_OK) {
		pd_info("main", "pilot-proxy %s: %s %s.%s started", PD_VERSION, p.o.type, p.o.name, p.o.ns);
		int sig = wait_until(&p, &signals, UINT64_MAX);
		if (p.envoy) {
			pd_info("main", "signal %d: draining", sig);
			if (drain(&p, &signals))
				pd_info("main", "second signal: ending at once");
			end_envoy(&p, &signals);
		} else {
			pd_error("main", "Envoy ended with status %d", p.exit_status);
		}
	} else {
		pd_error("main", "%s", pd_or(err.p, "cannot start"));
		p.exit_status = 1;
	}
	stop(&p);
	pd_buf_free(&err);
	grpc_shutdown_blocking();
	curl_global_cleanup();
	return p.exit_status;
}
