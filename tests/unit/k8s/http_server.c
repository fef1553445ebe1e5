#include "http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

struct hs_conn {
	struct hs *server;
	int fd;
	SSL *ssl; // NULL = plain
	bool cut;
	pthread_t thread;
	char peer_name[64];
};

struct hs {
	int fd;
	uint16_t port;
	SSL_CTX *ctx;
	hs_handler handler;
	void *arg;
	pthread_t thread;
	pthread_mutex_t lock;
	// Under lock.
	struct hs_conn *conns[HS_CONNECTIONS_MAX];
	int n;
	bool stop;
};

// ---- bytes

static ssize_t conn_read(struct hs_conn *c, void *p, size_t n)
{
	return c->ssl ? SSL_read(c->ssl, p, (int)n) : recv(c->fd, p, n, 0);
}

static void conn_write(struct hs_conn *c, const void *p, size_t n)
{
	const char *at = p;

	while (n && !c->cut) {
		ssize_t got = c->ssl ? SSL_write(c->ssl, at, (int)n) : send(c->fd, at, n, MSG_NOSIGNAL);

		if (got <= 0) {
			hs_cut(c);
			return;
		}
		at += got;
		n -= (size_t)got;
	}
}

void hs_cut(struct hs_conn *c)
{
	shutdown(c->fd, SHUT_RDWR);
	c->cut = true;
}

void hs_wait_gone(struct hs_conn *c)
{
	char byte;

	while (conn_read(c, &byte, 1) > 0)
		continue;
	hs_cut(c);
}

// ---- answers

void hs_reply(struct hs_conn *c, int status, const char *type, const char *extra, const void *body, size_t n)
{
	struct pd_buf b = {0};

	pd_buf_printf(&b, "HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n", status, type, n,
		      pd_or(extra, ""));
	pd_buf_add(&b, body, n);
	conn_write(c, b.p, b.n);
	pd_buf_free(&b);
}

void hs_json(struct hs_conn *c, int status, const char *fmt, ...)
{
	struct pd_buf b = {0};
	va_list ap;

	va_start(ap, fmt);
	pd_buf_vprintf(&b, fmt, ap);
	va_end(ap);
	hs_reply(c, status, "application/json", NULL, b.p, b.n);
	pd_buf_free(&b);
}

void hs_begin(struct hs_conn *c, int status, const char *type)
{
	struct pd_buf b = {0};

	pd_buf_printf(&b, "HTTP/1.1 %d X\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n", status, type);
	conn_write(c, b.p, b.n);
	pd_buf_free(&b);
}

void hs_chunk(struct hs_conn *c, const void *p, size_t n)
{
	struct pd_buf b = {0};

	pd_buf_printf(&b, "%zx\r\n", n);
	pd_buf_add(&b, p, n);
	pd_buf_adds(&b, "\r\n");
	conn_write(c, b.p, b.n);
	pd_buf_free(&b);
}

void hs_end(struct hs_conn *c)
{
	conn_write(c, "0\r\n\r\n", 5);
}

void hs_raw(struct hs_conn *c, const char *bytes)
{
	conn_write(c, bytes, strlen(bytes));
}

// ---- requests

const char *hs_header(const struct hs_request *r, const char *name, char *out, size_t size)
{
	size_t len = strlen(name);

	*out = 0;
	for (const char *p = r->headers; *p; p = strchr(p, '\n') + 1) {
		if (!strncasecmp(p, name, len) && p[len] == ':') {
			p += len + 1;
			p += strspn(p, " ");
			snprintf(out, size, "%.*s", (int)strcspn(p, "\r\n"), p);
			break;
		}
		if (!strchr(p, '\n'))
			break;
	}
	return out;
}

// Reads one request into `b` and splits it in place. False: the connection is over.
static bool read_request(struct hs_conn *c, struct pd_buf *b, struct hs_request *r)
{
	char byte, length[16];
	char *line_end, *space;

	pd_buf_reset(b);
	while (b->n < 4 || memcmp(b->p + b->n - 4, "\r\n\r\n", 4)) {
		if (b->n > HS_REQUEST_MAX || conn_read(c, &byte, 1) <= 0)
			return false;
		pd_buf_addc(b, byte);
	}
	r->headers = strchr(b->p, '\n') + 1;
	r->body_len = strtoul(hs_header(r, "Content-Length", length, sizeof(length)), NULL, 10);
	pd_buf_addc(b, 0); // ends the headers
	for (size_t i = 0; i < r->body_len; i++) {
		if (b->n > HS_REQUEST_MAX || conn_read(c, &byte, 1) <= 0)
			return false;
		pd_buf_addc(b, byte);
	}
	r->body = b->p + b->n - r->body_len;
	r->headers = strchr(b->p, '\n') + 1;
	line_end = strchr(b->p, '\r');
	*line_end = 0;
	space = strchr(b->p, ' ');
	if (!space)
		return false;
	*space = 0;
	r->method = b->p;
	r->path = space + 1;
	space = strchr(space + 1, ' ');
	if (space)
		*space = 0;
	r->peer_name = c->peer_name;
	return true;
}

static bool handshake(struct hs_conn *c)
{
	X509 *peer;

	if (!c->server->ctx)
		return true;
	c->ssl = SSL_new(c->server->ctx);
	SSL_set_fd(c->ssl, c->fd);
	if (SSL_accept(c->ssl) <= 0)
		return false;
	peer = SSL_get_peer_certificate(c->ssl);
	if (peer)
		X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, c->peer_name,
					  sizeof(c->peer_name));
	X509_free(peer);
	return true;
}

static void *serve(void *arg)
{
	struct hs_conn *c = arg;
	struct pd_buf b = {0};
	struct hs_request r = {0};

	if (handshake(c))
		while (!c->cut && read_request(c, &b, &r))
			c->server->handler(c, &r, c->server->arg);
	hs_cut(c);
	SSL_free(c->ssl);
	ERR_clear_error();
	pd_buf_free(&b);
	return NULL;
}

// ---- life

static void *accept_all(void *arg)
{
	struct hs *s = arg;
	int one = 1;

	for (;;) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
		struct hs_conn *c;

		if (fd < 0 && errno == EINTR)
			continue;
		if (fd < 0)
			return NULL;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c = pd_xcalloc(1, sizeof(*c));
		c->server = s;
		c->fd = fd;
		pthread_mutex_lock(&s->lock);
		PD_ASSERT(s->n < HS_CONNECTIONS_MAX);
		if (s->stop) {
			close(fd);
			free(c);
		} else {
			PD_ASSERT(!pthread_create(&c->thread, NULL, serve, c));
			s->conns[s->n++] = c;
		}
		pthread_mutex_unlock(&s->lock);
	}
}

static SSL_CTX *make_context(const struct hs_tls *tls)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	BIO *cert = BIO_new_mem_buf(tls->cert, -1), *key = BIO_new_mem_buf(tls->key, -1);
	X509 *x = PEM_read_bio_X509(cert, NULL, NULL, NULL);
	EVP_PKEY *k = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);

	PD_ASSERT(SSL_CTX_use_certificate(ctx, x) == 1 && SSL_CTX_use_PrivateKey(ctx, k) == 1);
	X509_free(x);
	EVP_PKEY_free(k);
	BIO_free(cert);
	BIO_free(key);
	if (tls->client_ca) {
		BIO *ca = BIO_new_mem_buf(tls->client_ca, -1);

		x = PEM_read_bio_X509(ca, NULL, NULL, NULL);
		X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), x);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
		X509_free(x);
		BIO_free(ca);
	}
	return ctx;
}

struct hs *hs_start(const struct hs_tls *tls, hs_handler handler, void *arg)
{
	struct hs *s = pd_xcalloc(1, sizeof(*s));
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	socklen_t len = sizeof(a);

	sigaction(SIGPIPE, &ignore, NULL); // OpenSSL writes without MSG_NOSIGNAL
	s->handler = handler;
	s->arg = arg;
	s->ctx = tls ? make_context(tls) : NULL;
	pthread_mutex_init(&s->lock, NULL);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	PD_ASSERT(!bind(s->fd, (struct sockaddr *)&a, sizeof(a)) && !listen(s->fd, 128));
	PD_ASSERT(!getsockname(s->fd, (struct sockaddr *)&a, &len));
	s->port = ntohs(a.sin_port);
	PD_ASSERT(!pthread_create(&s->thread, NULL, accept_all, s));
	return s;
}

void hs_stop(struct hs **sp)
{
	struct hs *s = *sp;

	*sp = NULL;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	for (int i = 0; i < s->n; i++)
		shutdown(s->conns[i]->fd, SHUT_RDWR);
	pthread_mutex_unlock(&s->lock);
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	for (int i = 0; i < s->n; i++) {
		pthread_join(s->conns[i]->thread, NULL);
		close(s->conns[i]->fd);
		free(s->conns[i]);
	}
	close(s->fd);
	SSL_CTX_free(s->ctx);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

uint16_t hs_port(const struct hs *s)
{
	return s->port;
}

int hs_connections(struct hs *s)
{
	int n;

	pthread_mutex_lock(&s->lock);
	n = s->n;
	pthread_mutex_unlock(&s->lock);
	return n;
}
