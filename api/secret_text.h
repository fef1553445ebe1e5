// A Secret of Kubernetes in JSON as named values (base/secret_store.h).
#ifndef API_SECRET_TEXT_H
#define API_SECRET_TEXT_H

#include "base/secret_store.h"

// Fills *out (which is empty; the caller frees it, also after a failure) with its data, and its version with
// metadata.resourceVersion, NULL if it has none. PD_E_PARSE with a reason that quotes nothing of the text.
int pd_secret_decode(const char *text, size_t len, struct pd_secret *out, struct pd_buf *why) PD_MUST_CHECK;

#endif
