#include "k8s/client.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "k8s/client_impl.h"

#define POLL_MS 500 // curl may notice the end of a stream only at its next look

// ---- the thread

// One turn: what was posted, timers, new calls, the network, ends of calls.
static void turn(struct pd_k8s_client *c)
{
	int running;

	c->progress = false;
	pd_k8s_posted_run(c);
	pd_k8s_timers_run(c);
	pd_k8s_auth_step(c->auth);
	pd_k8s_calls_start(c);
	curl_multi_perform(c->multi, &running);
	pd_k8s_calls_finish(c);
	pd_k8s_calls_reap(c);
}

static void wait_for_news(struct pd_k8s_client *c)
{
	struct pollfd fds[2];
	struct curl_waitfd extra[2];
	int timeout_ms = POLL_MS;
	unsigned n = pd_k8s_auth_poll(c->auth, fds, &timeout_ms);

	// What one handle read from the connection may be for another one, which curl tells nobody: so look again at once.
	if (c->progress)
		timeout_ms = 0;
	pd_k8s_timers_poll(c, &timeout_ms);
	pd_k8s_calls_poll(c, &timeout_ms);
	for (unsigned i = 0; i < n; i++)
		extra[i] = (struct curl_waitfd){.fd = fds[i].fd, .events = CURL_WAIT_POLLIN};
	curl_multi_poll(c->multi, extra, n, timeout_ms, NULL);
}

static bool stopping(struct pd_k8s_client *c)
{
	bool yes;

	pthread_mutex_lock(&c->lock);
	yes = c->stopping;
	pthread_mutex_unlock(&c->lock);
	return yes;
}

static void *run(void *arg)
{
	struct pd_k8s_client *c = arg;
	sigset_t pipe;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE); // OpenSSL writes to sockets whose peer is gone
	pthread_sigmask(SIG_BLOCK, &pipe, NULL);
	pthread_mutex_lock(&c->lock); // c->thread is set once we get it
	pthread_mutex_unlock(&c->lock);
	while (!stopping(c)) {
		turn(c);
		wait_for_news(c);
	}
	pd_k8s_posted_run(c);
	pd_k8s_calls_close(c);
	return NULL;
}

bool pd_k8s_on_loop(struct pd_k8s_client *c)
{
	return pthread_equal(pthread_self(), c->thread);
}

// ---- life

// "https://host:port/path" is connected to as it is, unless certificates are for another name: then that name takes the
// host's place, and curl is told where to connect instead.
static int client_urls(struct pd_k8s_client *c, const struct pd_k8s_config *config)
{
	CURLU *u = curl_url();
	char *host = NULL, *port = NULL, *url = NULL, *line;
	int rc = PD_E_INVALID;

	c->server = pd_xstrdup(config->server);
	if (!u || curl_url_set(u, CURLUPART_URL, config->server, 0) || curl_url_get(u, CURLUPART_HOST, &host, 0) ||
	    curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT))
		goto out;
	if (!config->tls_server_name) {
		c->url = pd_xstrdup(config->server);
		rc = PD_OK;
		goto out;
	}
	if (curl_url_set(u, CURLUPART_HOST, config->tls_server_name, 0) || curl_url_get(u, CURLUPART_URL, &url, 0))
		goto out;
	c->url = pd_xstrndup(url, strlen(url) - (url[strlen(url) - 1] == '/'));
	c->host_header = pd_xasprintf("Host: %s:%s", host, port);
	line = pd_xasprintf("%s:%s:%s:%s", config->tls_server_name, port, host, port);
	c->connect_to = curl_slist_append(NULL, line);
	free(line);
	rc = PD_OK;
out:
	curl_free(host);
	curl_free(port);
	curl_free(url);
	curl_url_cleanup(u);
	return rc;
}

static void release(struct pd_k8s_client *c)
{
	// First, as closing connections calls back.
	if (c->multi)
		curl_multi_cleanup(c->multi);
	pd_k8s_auth_free(&c->auth);
	curl_slist_free_all(c->connect_to);
	free(c->host_header);
	free(c->url);
	free(c->server);
	if (c->proxy_url)
		pd_free_secret(c->proxy_url, strlen(c->proxy_url)); // may hold a password
	free(c->name);
	free(c->user_agent);
	pd_vec_free(&c->timers);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

// curl's set-up is not thread-safe before 7.84, and nobody else here uses curl.
static void global_init(void)
{
	PD_ASSERT(curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK);
}

int pd_k8s_client_new(const struct pd_k8s_client_options *o, struct pd_k8s_client **out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct pd_k8s_client *c = pd_xcalloc(1, sizeof(*c));
	int rc;

	pthread_once(&once, global_init);
	pthread_mutex_init(&c->lock, NULL);
	TAILQ_INIT(&c->waiting);
	TAILQ_INIT(&c->active);
	c->posted_end = &c->posted;
	c->name = pd_xstrdup(pd_or(o->name, "Kubernetes"));
	c->user_agent = pd_xstrdup(pd_or(o->user_agent, "pilotd"));
	c->proxy_url = o->config->proxy_url ? pd_xstrdup(o->config->proxy_url) : NULL;
	c->insecure = o->config->insecure;
	c->tls = pd_has_prefix(o->config->server, "https:");
	rc = client_urls(c, o->config);
	c->auth = pd_k8s_auth_new(o->config);
	c->multi = curl_multi_init();
	if (!rc && !c->multi)
		rc = PD_E_IO;
	if (!rc) {
		pthread_mutex_lock(&c->lock);
		if (pthread_create(&c->thread, NULL, run, c))
			rc = PD_E_IO;
		pthread_mutex_unlock(&c->lock);
	}
	if (rc)
		release(c);
	else
		*out = c;
	return rc;
}

void pd_k8s_client_free(struct pd_k8s_client **cp)
{
	struct pd_k8s_client *c = *cp;

	*cp = NULL;
	if (!c)
		return;
	PD_ASSERT(!pd_k8s_on_loop(c));
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	pthread_mutex_unlock(&c->lock);
	curl_multi_wakeup(c->multi);
	pthread_join(c->thread, NULL);
	release(c);
}

const char *pd_k8s_client_name(const struct pd_k8s_client *c)
{
	return c->name;
}

const char *pd_k8s_client_server(const struct pd_k8s_client *c)
{
	return c->server;
}

void pd_k8s_client_stats(struct pd_k8s_client *c, struct pd_k8s_client_stats *out)
{
	const struct pd_k8s_counters *n = &c->counters;

	*out = (struct pd_k8s_client_stats){
		.calls = n->calls,
		.failures = n->failures,
		.connections = n->connections,
		.open = n->open,
		.active = n->active,
		.watches = n->watches,
		.waiting = n->waiting,
		.bytes = n->bytes,
		.unauthorized = n->unauthorized,
		.renewals = n->renewals,
	};
}
