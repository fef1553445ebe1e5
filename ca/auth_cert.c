#include "ca/auth_cert.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/mem.h"
#include "ca/auth_cache.h"
#include "ca/cert.h"

#define NAME_SHOWN 200 // characters of a name in a reason

// A name as text, or NULL: a NUL in it, too long, or of a kind that no identity has. Caller frees.
static char *text_of(const GENERAL_NAME *name)
{
	const ASN1_STRING *s = name->d.ia5;
	const char *p = (const char *)ASN1_STRING_get0_data(s);
	size_t n = (size_t)ASN1_STRING_length(s);
	char ip_text[PD_IP_TEXT];
	struct pd_ip ip = {0};

	if (name->type == GEN_IPADD) {
		if (n != 4 && n != 16)
			return NULL;
		ip.len = (uint8_t)n;
		memcpy(ip.b, p, n);
		pd_ip_format(&ip, ip_text);
		return pd_xstrdup(ip_text);
	}
	if (n == 0 || n >= PD_IDENTITY_MAX || memchr(p, 0, n))
		return NULL;
	return pd_xstrndup(p, n);
}

// The one URI of the names, parsed; all names go to `caller`. NULL or why not.
static const char *read_names(const GENERAL_NAMES *names, struct pd_caller *caller, struct pd_spiffe *id)
{
	int uris = 0;

	if (sk_GENERAL_NAME_num(names) > PD_CALLER_IDENTITIES)
		return "the certificate has too many names";
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		char *text;

		if (name->type != GEN_URI && name->type != GEN_DNS && name->type != GEN_IPADD)
			continue;
		text = text_of(name);
		if (!text)
			return "the certificate has a malformed name";
		pd_vec_push(&caller->identities, text);
		if (name->type != GEN_URI && pd_has_prefix(text, "spiffe://")) // it would be a URI in what we sign
			return "the certificate has a malformed name";
		if (name->type == GEN_URI && (uris++ || pd_spiffe_parse(text, id) != PD_OK))
			return uris > 1 ? "the certificate has more than one URI"
					: "its URI is not the SPIFFE ID of a workload";
	}
	return uris ? NULL : "the certificate has no URI";
}

static struct pd_caller *read_cert(X509 *cert, struct pd_spiffe *id, const char **why)
{
	int64_t now = pd_wall_ns() / 1000000000;
	struct pd_caller *caller;
	GENERAL_NAMES *names;

	*why = now > pd_cert_not_after(cert)    ? "the certificate has expired"
	       : now < pd_cert_not_before(cert) ? "the certificate is not valid yet"
						: NULL;
	if (*why)
		return NULL;
	names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	if (!names) {
		*why = "the certificate has no names";
		return NULL;
	}
	caller = pd_xcalloc(1, sizeof(*caller));
	caller->authenticator = PD_AUTH_CERT_NAME;
	*why = read_names(names, caller, id);
	GENERAL_NAMES_free(names);
	if (*why)
		pd_caller_free(&caller);
	return caller;
}

static void refuse(const char *label, const char *why, pd_auth_done done, void *arg)
{
	pd_auth_refuse(PD_AUTH_CERT_NAME, PD_AUTH_REFUSED, label, why, done, arg);
}

struct auth_cert {
	struct pd_trust *trust;
	struct pd_auth_cache *cache;
};

// The caller of a certificate as text, with *id set. NULL: *label and *why tell.
static struct pd_caller *read_pem(const char *pem, size_t n, struct pd_spiffe *id, int64_t *end_s, const char **label,
				  const char **why)
{
	struct pd_certs certs = {0};
	struct pd_buf text = {0};
	struct pd_caller *caller = NULL;

	if (pd_certs_from_pem(pem, n, &certs, &text) != PD_OK || certs.v.n != 1) {
		*label = "malformed";
		*why = "the certificate cannot be read";
	} else {
		*label = "certificate";
		caller = read_cert(certs.v.v[0], id, why);
		*end_s = pd_cert_not_after(certs.v.v[0]);
	}
	pd_certs_free(&certs);
	pd_buf_free(&text);
	ERR_clear_error();
	return caller;
}

// Reading a certificate costs as much as verifying a request that came with it, and one connection makes many: what was read a
// moment ago is remembered, for as long as the certificate is valid. (Whose trust domain is ours is asked each time.)
static struct pd_caller *look_up(struct auth_cert *a, const char *pem, struct pd_spiffe *id, const char **label,
				 const char **why)
{
	uint64_t now = pd_now_ns(), keep_ns = PD_AUTH_CERT_CACHE_MS * 1000000ull;
	uint8_t key[PD_AUTH_KEY_BYTES];
	struct pd_caller *caller;
	size_t n = strlen(pem);
	int64_t end_s, left_ns;

	PD_ASSERT(EVP_Digest(pem, n, key, NULL, EVP_sha256(), NULL) == 1);
	caller = pd_auth_cache_get(a->cache, key, now);
	if (caller) {
		for (size_t i = 0; i < caller->identities.n; i++)
			if (pd_spiffe_parse(caller->identities.v[i], id) == PD_OK)
				return caller;
		pd_caller_free(&caller);
	}
	caller = read_pem(pem, n, id, &end_s, label, why);
	if (!caller)
		return NULL;
	caller->namespace_ = pd_xstrdup(id->namespace_);
	caller->service_account = pd_xstrdup(id->service_account);
	left_ns = end_s * 1000000000 - pd_wall_ns();
	if (left_ns > 0)
		pd_auth_cache_put(a->cache, key, caller, now,
				  now + ((uint64_t)left_ns < keep_ns ? (uint64_t)left_ns : keep_ns));
	return caller;
}

static void authenticate(void *self, const struct pd_rpc_peer *peer, pd_auth_done done, void *arg)
{
	struct auth_cert *a = self;
	struct pd_buf text = {0};
	struct pd_caller *caller;
	struct pd_spiffe id;
	const char *label = "certificate", *why = "";

	if (!peer->cert_pem) {
		pd_auth_refuse(PD_AUTH_CERT_NAME, PD_AUTH_NONE, "none", "no client certificate", done, arg);
		return;
	}
	caller = look_up(a, peer->cert_pem, &id, &label, &why);
	if (!caller) {
		refuse(label, why, done, arg);
	} else if (!pd_trust_accepts(a->trust, id.trust_domain)) {
		pd_buf_printf(&text, "\"%.*s\" is not our trust domain", NAME_SHOWN, id.trust_domain);
		pd_caller_free(&caller);
		refuse("trust_domain", text.p, done, arg);
	} else {
		done(caller, PD_AUTH_NONE, NULL, arg);
	}
	pd_buf_free(&text);
}

static void forget(void *self)
{
	struct auth_cert *a = self;

	pd_auth_cache_free(&a->cache);
	free(a);
}

struct pd_authenticator pd_auth_cert(struct pd_trust *trust)
{
	struct auth_cert *a = pd_xcalloc(1, sizeof(*a));

	a->trust = trust;
	a->cache = pd_auth_cache_new(PD_AUTH_CERT_CACHE_ENTRIES);
	return (struct pd_authenticator){PD_AUTH_CERT_NAME, authenticate, forget, a};
}
