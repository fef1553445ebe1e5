// A call as a curl handle: options, and what curl hands back while it runs.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "k8s/client_impl.h"

#define KEEPALIVE_IDLE_S 10
#define KEEPALIVE_INTERVAL_S 5

static int on_socket(void *user, curl_socket_t fd, curlsocktype purpose)
{
	struct pd_k8s_client *c = user;
	unsigned dead_ms = PD_K8S_TCP_DEAD_MS;

	(void)purpose;
	// Best effort: a kernel that refuses leaves the timeouts of the calls.
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof(dead_ms));
	c->counters.connections++;
	c->counters.open++;
	return CURL_SOCKOPT_OK;
}

static int on_socket_close(void *user, curl_socket_t fd)
{
	struct pd_k8s_client *c = user;

	c->counters.open--;
	return close(fd);
}

// The empty line ends the headers of an answer; an interim one (1xx) is followed by another.
static size_t on_header(char *p, size_t size, size_t n, void *user)
{
	struct pd_k8s_call *call = user;
	long code = 0, version = 0;
	char *type = NULL;

	call->last_ms = pd_now_ms();
	call->client->progress = true;
	if (size * n != 2 || memcmp(p, "\r\n", 2))
		return size * n;
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &code);
	if (code < 200)
		return size * n;
	call->code = (int)code;
	curl_easy_getinfo(call->easy, CURLINFO_HTTP_VERSION, &version);
	call->client->http1 = version < CURL_HTTP_VERSION_2_0;
	curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type);
	if (code < 300 && call->req.on_headers && !call->cancelled)
		call->req.on_headers(call->req.user, (int)code, pd_or(type, ""));
	return size * n;
}

// Keeps what fits. An error's body is cut silently: its start says it all.
static int collect(struct pd_k8s_call *call, const char *p, size_t n)
{
	bool good = call->code < 300;
	size_t max = good ? PD_K8S_BODY_MAX : PD_K8S_ERROR_BODY_MAX;

	if (n > max - call->body.n) {
		if (good)
			return PD_E_LIMIT;
		n = max - call->body.n;
	}
	pd_buf_add(&call->body, p, n);
	return PD_OK;
}

static size_t on_data(char *p, size_t size, size_t n, void *user)
{
	struct pd_k8s_call *call = user;

	call->last_ms = pd_now_ms();
	call->client->progress = true;
	if (call->cancelled || call->stop)
		return 0;
	if (call->code < 300 && call->req.on_data)
		call->stop = call->req.on_data(call->req.user, p, size * n);
	else
		call->stop = collect(call, p, size * n);
	return call->stop || call->cancelled ? 0 : size * n;
}

static bool set_headers(struct pd_k8s_call *call)
{
	const struct pd_k8s_request *r = &call->req;
	char line[512];
	struct curl_slist *all = NULL, *more;
	const char *lines[] = {call->creds->authorization, call->client->host_header, "Expect:", NULL, NULL};
	char accept[512];

	snprintf(accept, sizeof(accept), "Accept: %s", pd_or(r->accept, PD_K8S_JSON));
	lines[3] = accept;
	if (r->body) {
		snprintf(line, sizeof(line), "Content-Type: %s", pd_or(r->content_type, PD_K8S_JSON));
		lines[4] = line;
	}
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		if (!lines[i])
			continue;
		more = curl_slist_append(all, lines[i]);
		if (!more) {
			curl_slist_free_all(all);
			return false;
		}
		all = more;
	}
	call->headers = all;
	curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, all);
	return true;
}

static void set_method(struct pd_k8s_call *call)
{
	const struct pd_k8s_request *r = &call->req;

	if (r->body) {
		curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len);
		curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, r->body); // not copied by curl
	}
	if (r->body || strcmp(r->method, "GET"))
		curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, r->method);
}

static void set_pem(CURL *easy, CURLoption option, const struct pd_k8s_pem *pem)
{
	struct curl_blob blob = {.data = pem->p, .len = pem->len, .flags = CURL_BLOB_NOCOPY};

	if (pem->p)
		curl_easy_setopt(easy, option, &blob);
}

// curl takes connections for equal if server, proxy, certificates and the client's certificate are: so one is not used for
// another identity.
static void set_tls(struct pd_k8s_call *call)
{
	const struct pd_k8s_client *c = call->client;

	curl_easy_setopt(call->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(call->easy, CURLOPT_SSL_VERIFYPEER, c->insecure ? 0L : 1L);
	curl_easy_setopt(call->easy, CURLOPT_SSL_VERIFYHOST, c->insecure ? 0L : 2L);
	set_pem(call->easy, CURLOPT_CAINFO_BLOB, &call->creds->ca);
	set_pem(call->easy, CURLOPT_SSLCERT_BLOB, &call->creds->cert);
	set_pem(call->easy, CURLOPT_SSLKEY_BLOB, &call->creds->key);
}

static void set_connection(struct pd_k8s_call *call)
{
	struct pd_k8s_client *c = call->client;
	CURL *e = call->easy;

	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	// Wait for the first connection rather than open another one. Not with HTTP/1: curl may leave such calls waiting for ever.
	curl_easy_setopt(e, CURLOPT_PIPEWAIT, c->tls && !c->http1 ? 1L : 0L);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)PD_K8S_CONNECT_MS);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_IDLE_S);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_INTERVAL_S);
	curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, on_socket);
	curl_easy_setopt(e, CURLOPT_SOCKOPTDATA, c);
	curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, on_socket_close);
	curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, c);
	curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (c->connect_to)
		curl_easy_setopt(e, CURLOPT_CONNECT_TO, c->connect_to);
	if (c->proxy_url)
		curl_easy_setopt(e, CURLOPT_PROXY, c->proxy_url);
}

bool pd_k8s_curl_open(struct pd_k8s_call *call)
{
	char *url;
	CURL *e = call->easy = curl_easy_init();

	if (!e || !set_headers(call)) {
		pd_k8s_curl_close(call);
		return false;
	}
	url = pd_xasprintf("%s%s", call->client->url, call->req.path);
	curl_easy_setopt(e, CURLOPT_URL, url);
	free(url);
	curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(e, CURLOPT_USERAGENT, call->client->user_agent);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, call->curl_error);
	curl_easy_setopt(e, CURLOPT_PRIVATE, call);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, call);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, call);
	if (call->req.gzip)
		curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "gzip");
	set_method(call);
	set_connection(call);
	if (call->client->tls)
		set_tls(call);
	return true;
}

void pd_k8s_curl_close(struct pd_k8s_call *call)
{
	curl_easy_cleanup(call->easy);
	call->easy = NULL;
	for (struct curl_slist *h = call->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data)); // one of them is the token
	curl_slist_free_all(call->headers);
	call->headers = NULL;
	pd_k8s_creds_unref(call->creds);
	call->creds = NULL;
}
