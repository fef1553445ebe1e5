#include "ca/tls.h"

#include <ctype.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "base/str.h"

int pd_tls_version_parse(const char *s, enum pd_tls_version *out, struct pd_buf *why)
{
	char digits[8] = "";
	size_t n = 0;

	// "1.3", "TLSv1_3", "VersionTLS13": the digits tell.
	for (const char *p = s; *p && n < sizeof(digits) - 1; p++)
		if (isdigit((unsigned char)*p))
			digits[n++] = *p;
	if (!*s || strcmp(digits, "12") == 0)
		*out = PD_TLS_1_2;
	else if (strcmp(digits, "13") == 0)
		*out = PD_TLS_1_3;
	else {
		pd_buf_printf(why, "TLS version \"%s\" is not supported (1.2, 1.3)", s);
		return PD_E_INVALID;
	}
	return PD_OK;
}

// A suite of TLS 1.2 that needs a pre-shared key, which nobody has: with no other one, TLS 1.2 never comes to pass.
#define NO_TLS_1_2 "PSK-AES256-GCM-SHA384"

// Ephemeral key exchange and authenticated encryption, as TLS 1.3 has them only.
static bool safe(const char *name)
{
	return pd_has_prefix(name, "ECDHE-") && (strstr(name, "-GCM-") || strstr(name, "CHACHA20"));
}

static int add_suite(SSL_CTX *ctx, const char *name, struct pd_buf *list, struct pd_buf *why)
{
	const char *openssl = pd_has_prefix(name, "TLS_") ? OPENSSL_cipher_name(name) : name;

	if (!safe(openssl) || SSL_CTX_set_cipher_list(ctx, openssl) != 1) {
		pd_buf_printf(why, "cipher suite \"%s\" is unknown or not safe enough", name);
		return PD_E_INVALID;
	}
	pd_buf_printf(list, "%s%s", list->n ? ":" : "", openssl);
	return PD_OK;
}

int pd_tls_limit(enum pd_tls_version min, const char *const *suites, size_t n, struct pd_buf *why)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	struct pd_buf list = {0};
	int rc = PD_OK;

	PD_ASSERT(ctx);
	for (size_t i = 0; i < n && rc == PD_OK; i++)
		rc = add_suite(ctx, suites[i], &list, why);
	if (rc == PD_OK && (n || min == PD_TLS_1_3))
		setenv("GRPC_SSL_CIPHER_SUITES", min == PD_TLS_1_3 ? NO_TLS_1_2 : list.p, 1);
	SSL_CTX_free(ctx);
	pd_buf_free(&list);
	return rc;
}
