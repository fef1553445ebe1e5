// One HTTP request, waited for: to Envoy's admin interface, to the application next door.
#ifndef PROXY_HTTP_CLIENT_H
#define PROXY_HTTP_CLIENT_H

#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

#define PD_HTTP_REPLY_MAX (64 * 1024 * 1024) // bytes of a body, unless the call says less

// All of it is borrowed for the call.
struct pd_http_call {
	const char *url;
	const char *method;         // NULL: GET; POST has an empty body
	const char *const *headers; // "Name: value", NULL-terminated; NULL: none
	unsigned timeout_ms;        // of all of it
	size_t max_body;            // 0: PD_HTTP_REPLY_MAX
};

// Redirects are not followed, proxies of the environment not used, certificates not verified: what is asked is our own node.
// Appends the body, which may be any bytes. PD_E_IO: no connection, or it was lost; PD_E_TIMEOUT; PD_E_LIMIT: body too long;
// PD_E_INVALID: no URL. `why` tells in words. Any status is PD_OK.
int pd_http_call(const struct pd_http_call *, int *status, struct pd_buf *body, struct pd_buf *why) PD_MUST_CHECK;

#endif
