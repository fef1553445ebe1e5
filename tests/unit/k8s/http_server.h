// A small HTTP/1.1 server for tests, plain or TLS, that can misbehave: answers are written piece by piece, held back and cut.
#ifndef TESTS_UNIT_K8S_HTTP_SERVER_H
#define TESTS_UNIT_K8S_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define HS_CONNECTIONS_MAX 256       // over a server's life
#define HS_REQUEST_MAX (1024 * 1024) // bytes of a request

struct hs;
struct hs_conn;

struct hs_request {
	const char *method, *path; // as sent, with the query
	const char *headers;       // lines as sent
	const char *body;          // a NUL follows
	size_t body_len;
	const char *peer_name; // common name of the client's certificate; "" = none
};
// Copies a header's value, or "", to `out`.
const char *hs_header(const struct hs_request *, const char *name, char *out, size_t size);

// Runs on the connection's thread, several at once. A connection serves request after request until it is cut.
typedef void (*hs_handler)(struct hs_conn *, const struct hs_request *, void *arg);

struct hs_tls {
	const char *cert, *key; // PEM of the server
	const char *client_ca;  // PEM; NULL: clients need no certificate
};
// Listens on a free port of 127.0.0.1. `tls` NULL: plain.
struct hs *hs_start(const struct hs_tls *tls, hs_handler, void *arg);
void hs_stop(struct hs **); // cuts all connections and waits for handlers
uint16_t hs_port(const struct hs *);
int hs_connections(struct hs *); // accepted so far

// For handlers. Writing to a peer that is gone does nothing.
void hs_reply(struct hs_conn *, int status, const char *content_type, const char *extra_headers, const void *body,
	      size_t n);
void hs_json(struct hs_conn *, int status, const char *fmt, ...) PD_PRINTF(3, 4);
void hs_begin(struct hs_conn *, int status, const char *content_type); // a body in chunks follows
void hs_chunk(struct hs_conn *, const void *p, size_t n);
void hs_end(struct hs_conn *); // of the chunks
void hs_raw(struct hs_conn *, const char *bytes);
void hs_cut(struct hs_conn *); // closes the connection as it is
// Waits until the peer closes the connection or the server stops.
void hs_wait_gone(struct hs_conn *);

#endif
