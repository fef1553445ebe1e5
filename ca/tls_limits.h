// What grpc allows of TLS: the part of ca/tls.h that has no public call in grpc 1.51.
#ifndef CA_TLS_LIMITS_H
#define CA_TLS_LIMITS_H

#include <grpc/grpc_security.h>

#include "ca/tls.h"

// On credentials that no port uses yet. PD_E_INVALID: this grpc cannot do it.
int pd_tls_limit_version(grpc_server_credentials *, enum pd_tls_version min, struct pd_buf *why) PD_MUST_CHECK;

#endif
