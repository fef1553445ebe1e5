#include "ca/signer.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/addr.h"
#include "base/mem.h"

#define SERIAL_BITS 128

int pd_ttl_pick(const struct pd_ttl_rules *rules, int64_t wanted_s, int64_t chain_left_s, int64_t *out,
		struct pd_buf *why)
{
	if (wanted_s > rules->max_s) {
		pd_buf_printf(why, "a lifetime of %lld s is requested, the maximum is %lld s", (long long)wanted_s,
			      (long long)rules->max_s);
		return PD_E_LIMIT;
	}
	*out = wanted_s > 0 ? wanted_s : rules->default_s < chain_left_s ? rules->default_s : chain_left_s;
	return PD_OK;
}

// ---- building --------------------------------------------------------------------------------------------------------------

static X509_EXTENSION *extension(X509 *issuer, X509 *subject, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, subject, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	PD_ASSERT(e);
	return e;
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *e = extension(issuer, cert, nid, value);

	PD_ASSERT(X509_add_ext(cert, e, -1) == 1);
	X509_EXTENSION_free(e);
}

static void set_serial(X509 *cert)
{
	BIGNUM *n = BN_new();

	PD_ASSERT(n && BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1);
	PD_ASSERT(BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)));
	BN_free(n);
}

static void set_times(X509 *cert, int64_t not_before, int64_t not_after)
{
	PD_ASSERT(ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)not_before));
	PD_ASSERT(ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)not_after));
}

static X509 *begin(X509 *issuer, int64_t not_before, int64_t not_after)
{
	X509 *cert = X509_new();

	PD_ASSERT(cert && X509_set_version(cert, X509_VERSION_3) == 1);
	set_serial(cert);
	set_times(cert, not_before, not_after);
	if (issuer)
		PD_ASSERT(X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1);
	return cert;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

// ---- signer ----------------------------------------------------------------------------------------------------------------

struct pd_signer *pd_signer_new(X509 *cert, EVP_PKEY *key, const struct pd_certs *chain)
{
	struct pd_signer *s = pd_xcalloc(1, sizeof(*s));
	size_t n = 0;

	pd_ref_init(&s->ref);
	X509_up_ref(cert);
	EVP_PKEY_up_ref(key);
	s->cert = cert;
	s->key = key;
	s->digest = pd_key_digest(key);
	s->chain_not_after = pd_cert_not_after(cert);
	for (size_t i = 0; i < chain->v.n; i++) {
		pd_certs_add(&s->chain, chain->v.v[i]);
		s->chain_not_after = earlier(s->chain_not_after, pd_cert_not_after(chain->v.v[i]));
	}
	s->extensions[n++] = extension(cert, NULL, NID_key_usage, "critical,digitalSignature,keyEncipherment");
	s->extensions[n++] = extension(cert, NULL, NID_ext_key_usage, "serverAuth,clientAuth");
	s->extensions[n++] = extension(cert, NULL, NID_basic_constraints, "critical,CA:FALSE");
	if (X509_get0_subject_key_id(cert))
		s->extensions[n] = extension(cert, NULL, NID_authority_key_identifier, "keyid:always");
	return s;
}

struct pd_signer *pd_signer_ref(struct pd_signer *s)
{
	pd_ref_take(&s->ref);
	return s;
}

void pd_signer_unref(struct pd_signer **sp)
{
	struct pd_signer *s = *sp;

	*sp = NULL;
	if (!s || !pd_ref_drop(&s->ref))
		return;
	for (size_t i = 0; i < sizeof(s->extensions) / sizeof(s->extensions[0]); i++)
		X509_EXTENSION_free(s->extensions[i]);
	pd_certs_free(&s->chain);
	X509_free(s->cert);
	EVP_PKEY_free(s->key);
	free(s);
}

// ---- leaves ----------------------------------------------------------------------------------------------------------------

// Visible ASCII only: nothing that a reader of certificates might take for something else.
static bool name_ok(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	return true;
}

static GENERAL_NAME *general_name(const char *san)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	int type = pd_has_prefix(san, "spiffe://") ? GEN_URI : GEN_DNS;
	ASN1_STRING *value;
	struct pd_ip ip;

	PD_ASSERT(name);
	if (type == GEN_DNS && pd_ip_parse(san, &ip) == PD_OK) {
		value = ASN1_OCTET_STRING_new();
		PD_ASSERT(value && ASN1_STRING_set(value, ip.b, ip.len) == 1);
		type = GEN_IPADD;
	} else {
		value = ASN1_IA5STRING_new();
		PD_ASSERT(value && ASN1_STRING_set(value, san, -1) == 1);
	}
	GENERAL_NAME_set0_value(name, type, value);
	return name;
}

static int add_sans(X509 *cert, const struct pd_leaf *leaf, struct pd_buf *why)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	int rc = leaf->n_sans >= 1 && leaf->n_sans <= PD_SANS_MAX ? PD_OK : PD_E_LIMIT;

	PD_ASSERT(names);
	if (rc)
		pd_buf_printf(why, "%zu names for a certificate (1 to %d are possible)", leaf->n_sans, PD_SANS_MAX);
	for (size_t i = 0; rc == PD_OK && i < leaf->n_sans; i++) {
		if (name_ok(leaf->sans[i])) {
			sk_GENERAL_NAME_push(names, general_name(leaf->sans[i]));
		} else {
			pd_buf_adds(why, "a name for the certificate is empty or has characters that no name has");
			rc = PD_E_INVALID;
		}
	}
	if (rc == PD_OK) // critical: the subject is empty (RFC 5280 §4.2.1.6)
		PD_ASSERT(X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 1, X509V3_ADD_APPEND) == 1);
	GENERAL_NAMES_free(names);
	return rc;
}

static void set_common_name(X509 *cert, const char *name)
{
	if (strlen(name) <= PD_COMMON_NAME_MAX)
		PD_ASSERT(X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), NID_commonName, MBSTRING_UTF8,
						     (const unsigned char *)name, -1, -1, 0) == 1);
}

static void sign(const struct pd_signer *s, X509 *cert, struct pd_buf *pem)
{
	PD_ASSERT(X509_sign(cert, s->key, s->digest) > 0);
	pd_cert_to_pem(cert, pem);
}

// All but the key.
static int make_leaf(const struct pd_signer *s, const struct pd_leaf *leaf, X509 **out, int64_t *not_after,
		     struct pd_buf *why)
{
	int64_t end = earlier(leaf->now_s + leaf->ttl_s, pd_cert_not_after(s->cert));
	X509 *cert;
	int rc;

	if (end <= leaf->now_s) {
		pd_buf_adds(why, "the signing certificate has expired");
		return PD_E_INVALID;
	}
	cert = begin(s->cert, leaf->now_s - PD_CLOCK_SKEW_S, end);
	for (size_t i = 0; i < sizeof(s->extensions) / sizeof(s->extensions[0]) && s->extensions[i]; i++)
		PD_ASSERT(X509_add_ext(cert, s->extensions[i], -1) == 1);
	rc = add_sans(cert, leaf, why);
	if (rc != PD_OK) {
		X509_free(cert);
		return rc;
	}
	if (leaf->common_name)
		set_common_name(cert, leaf->sans[0]);
	if (not_after)
		*not_after = end;
	*out = cert;
	return PD_OK;
}

int pd_signer_issue(const struct pd_signer *s, const struct pd_csr *csr, const struct pd_leaf *leaf, struct pd_buf *pem,
		    int64_t *not_after, struct pd_buf *why)
{
	X509 *cert;
	int rc = make_leaf(s, leaf, &cert, not_after, why);

	if (rc != PD_OK)
		return rc;
	pd_csr_set_pubkey(csr, cert);
	sign(s, cert, pem);
	X509_free(cert);
	return PD_OK;
}

int pd_signer_issue_own(const struct pd_signer *s, EVP_PKEY *key, const struct pd_leaf *leaf, struct pd_buf *pem,
			int64_t *not_after, struct pd_buf *why)
{
	X509 *cert;
	int rc = make_leaf(s, leaf, &cert, not_after, why);

	if (rc != PD_OK)
		return rc;
	PD_ASSERT(X509_set_pubkey(cert, key) == 1);
	sign(s, cert, pem);
	X509_free(cert);
	return PD_OK;
}

// ---- roots -----------------------------------------------------------------------------------------------------------------

static void add_ca_extensions(X509 *cert, X509 *issuer)
{
	add_extension(cert, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
	add_extension(cert, issuer, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(cert, issuer, NID_subject_key_identifier, "hash");
}

X509 *pd_root_new(EVP_PKEY *key, const char *organization, int64_t ttl_s, int64_t now_s)
{
	X509 *root = begin(NULL, now_s - PD_CLOCK_SKEW_S, now_s + ttl_s);
	X509_NAME *name = X509_get_subject_name(root);

	PD_ASSERT(X509_NAME_add_entry_by_NID(name, NID_organizationName, MBSTRING_UTF8,
					     (const unsigned char *)organization, -1, -1, 0) == 1);
	PD_ASSERT(X509_set_issuer_name(root, name) == 1);
	PD_ASSERT(X509_set_pubkey(root, key) == 1);
	add_ca_extensions(root, root);
	PD_ASSERT(X509_sign(root, key, pd_key_digest(key)) > 0);
	return root;
}

X509 *pd_root_cross(X509 *root, const struct pd_signer *old, int64_t now_s)
{
	int64_t end = earlier(pd_cert_not_after(root), pd_cert_not_after(old->cert));
	X509 *cross = begin(old->cert, now_s - PD_CLOCK_SKEW_S, end);

	PD_ASSERT(X509_set_subject_name(cross, X509_get_subject_name(root)) == 1);
	PD_ASSERT(X509_set_pubkey(cross, X509_get0_pubkey(root)) == 1);
	add_ca_extensions(cross, old->cert);
	if (X509_get0_subject_key_id(old->cert))
		add_extension(cross, old->cert, NID_authority_key_identifier, "keyid:always");
	PD_ASSERT(X509_sign(cross, old->key, old->digest) > 0);
	return cross;
}
