// Fetches small documents (key sets, OpenID configuration) by URL: http, https and, where allowed, regular local files.
//
//	struct pd_fetcher *f = pd_fetcher_new(&(struct pd_fetch_options){.files = true});
//	id = pd_fetch(f, url, delay_ms, done, arg);   // done(result, arg) runs once, on the fetcher's thread
//	...
//	pd_fetcher_free(&f);
//
// One thread per fetcher serves all requests; callbacks run on it one at a time and must not block for long; they may call
// pd_fetch and pd_fetch_cancel. A delay makes it a timer too: whoever wants a document fresh asks again from `done` with the
// refresh interval.
//
// Whom an URL points to is the user's choice, so answers are not trusted: size and time are limited, TLS certificates are
// verified, a redirect is followed to http(s) only, never from https to http, and PD_FETCH_REDIRECTS_MAX times at most.
// Proxies come from the environment (https_proxy, no_proxy), as everywhere.
#ifndef BASE_FETCH_H
#define BASE_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"

#define PD_FETCH_URL_MAX 2048           // bytes of an URL
#define PD_FETCH_BODY_MAX (1024 * 1024) // bytes of a document, unless the options say otherwise
#define PD_FETCH_TIMEOUT_MS 5000        // whole transfer, likewise
#define PD_FETCH_OPEN_MAX 4096          // requests that wait or run
#define PD_FETCH_PARALLEL_MAX 16        // of these, transfers at a time
#define PD_FETCH_REDIRECTS_MAX 3
#define PD_FETCH_TEXT_MAX 256 // bytes of an explanation with its NUL

struct pd_fetch_options {
	size_t max_body;     // 0 = PD_FETCH_BODY_MAX
	uint32_t timeout_ms; // 0 = PD_FETCH_TIMEOUT_MS
	bool files;          // "file:///path" is allowed, for regular files
	const char *ca_file; // PEM file with the only roots to trust; NULL = the system's. Copied
	// Addresses that are not connected to, whatever a name resolves to (istiod's BLOCKED_CIDRS_IN_JWKS_URIS). Copied.
	const struct pd_cidr *blocked;
	size_t n_blocked;
};

// Borrowed during the callback.
struct pd_fetch_result {
	// PD_OK: the whole document is there. PD_E_INVALID: not an URL that we take; PD_E_NOTFOUND: 404, 410 or no such file;
	// PD_E_DENIED: 401, 403, or the file may not be read; PD_E_IO: no connection, TLS failure, cut short, other codes;
	// PD_E_TIMEOUT; PD_E_LIMIT: too large; PD_E_CLOSED: the fetcher is shutting down.
	int err;
	int http_code;    // of the last answer; 0 = none, or a file
	const char *body; // NUL-terminated; "" on failure
	size_t n;
	const char *text; // one line for logs, names the failure; "" = none. Without the URL, which may hold a secret
};
typedef void (*pd_fetch_done)(const struct pd_fetch_result *, void *arg);

struct pd_fetcher;
// Starts the thread.
struct pd_fetcher *pd_fetcher_new(const struct pd_fetch_options *);
// Requests that are open end with PD_E_CLOSED; then the thread ends. Not from a callback. NULL is fine. Clears the pointer.
void pd_fetcher_free(struct pd_fetcher **);

// Asks for a document in `delay_ms` from now. Copies the URL. `done` is called exactly once, never from within pd_fetch, unless
// the request is cancelled. Returns the request's id, or 0 if PD_FETCH_OPEN_MAX are open or the fetcher is shutting down: then
// `done` will not be called.
uint64_t pd_fetch(struct pd_fetcher *, const char *url, uint64_t delay_ms, pd_fetch_done done, void *arg);
// When this returns, `done` is not running and will not be called any more. From the fetcher's thread (another callback) it does
// not wait: a callback may cancel its own request to no effect. Elsewhere it may wait for a callback that is running, so
// the caller must not hold a lock that `done` takes. An id of a request that is over is ignored, as is 0.
void pd_fetch_cancel(struct pd_fetcher *, uint64_t id);

#endif
