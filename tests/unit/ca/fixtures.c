#include "tests/unit/ca/fixtures.h"

#include <dirent.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void add_san(X509_REQ *req, const char *san)
{
	STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();

	sk_X509_EXTENSION_push(exts, X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san));
	PD_ASSERT(X509_REQ_add_extensions(req, exts) == 1);
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
}

char *fix_csr(const struct fix_csr *c)
{
	X509_REQ *req = X509_REQ_new();
	EVP_PKEY *signer = c->signer ? c->signer : c->key;
	struct pd_buf out = {0};
	BIO *bio = BIO_new(BIO_s_mem());
	const EVP_MD *digest;
	char *p;
	long n;

	PD_ASSERT(X509_REQ_set_pubkey(req, c->key) == 1);
	if (c->common_name)
		X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req), "CN", MBSTRING_UTF8,
					   (const unsigned char *)c->common_name, -1, -1, 0);
	if (c->san)
		add_san(req, c->san);
	digest = EVP_PKEY_is_a(signer, "ED448") ? NULL : c->digest ? c->digest : pd_key_digest(signer);
	PD_ASSERT(X509_REQ_sign(req, signer, digest) > 0);
	PD_ASSERT(PEM_write_bio_X509_REQ(bio, req) == 1);
	n = BIO_get_mem_data(bio, &p);
	pd_buf_add(&out, p, (size_t)n);
	BIO_free(bio);
	X509_REQ_free(req);
	return out.p;
}

char *fix_csr_of(EVP_PKEY *key)
{
	return fix_csr(&(struct fix_csr){.key = key, .san = "URI:spiffe://ignored/ns/a/sa/b"});
}

struct pd_signer *fix_root(const char *organization)
{
	EVP_PKEY *key = pd_key_generate(PD_KEY_P256, 0);
	X509 *cert = pd_root_new(key, organization, PD_CA_TTL_S, FIX_NOW);
	struct pd_signer *s = pd_signer_new(cert, key, &(struct pd_certs){0});

	X509_free(cert);
	EVP_PKEY_free(key);
	return s;
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	PD_ASSERT(e && X509_add_ext(cert, e, -1) == 1);
	X509_EXTENSION_free(e);
}

struct pd_signer *fix_intermediate(struct pd_signer *root, bool ca, int days)
{
	EVP_PKEY *key = pd_key_generate(PD_KEY_P256, 0);
	X509 *cert = X509_new();
	struct pd_certs chain = {0};
	struct pd_signer *s;

	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 7);
	X509_set_issuer_name(cert, X509_get_subject_name(root->cert));
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "O", MBSTRING_UTF8, (const unsigned char *)"inter", -1,
				   -1, 0);
	ASN1_TIME_set(X509_getm_notBefore(cert), FIX_NOW - 100 * FIX_DAY);
	ASN1_TIME_set(X509_getm_notAfter(cert), FIX_NOW + days * FIX_DAY);
	X509_set_pubkey(cert, key);
	add_extension(cert, root->cert, NID_basic_constraints, ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	add_extension(cert, root->cert, NID_subject_key_identifier, "hash");
	add_extension(cert, root->cert, NID_authority_key_identifier, "keyid:always");
	PD_ASSERT(X509_sign(cert, root->key, root->digest) > 0);
	pd_certs_add(&chain, cert);
	s = pd_signer_new(cert, key, &chain);
	pd_certs_free(&chain);
	X509_free(cert);
	EVP_PKEY_free(key);
	return s;
}

X509 *fix_cert(const char *pem)
{
	struct pd_certs c = {0};
	struct pd_buf why = {0};
	X509 *cert;

	PD_ASSERT(pd_certs_from_pem(pem, strlen(pem), &c, &why) == PD_OK);
	cert = c.v.v[0];
	X509_up_ref(cert);
	pd_certs_free(&c);
	pd_buf_free(&why);
	return cert;
}

char *fix_pem(const X509 *cert)
{
	struct pd_buf out = {0};

	pd_cert_to_pem(cert, &out);
	return out.p;
}

char *fix_key_pem(const EVP_PKEY *key)
{
	struct pd_buf out = {0};

	pd_key_to_pem(key, &out);
	return out.p;
}

const char *fix_sans(const X509 *cert)
{
	static char text[4096];
	int at = X509_get_ext_by_NID(cert, NID_subject_alt_name, -1);
	BIO *bio = BIO_new(BIO_s_mem());
	char *p;
	long n;

	if (at >= 0)
		X509V3_EXT_print(bio, X509_get_ext(cert, at), 0, 0);
	n = BIO_get_mem_data(bio, &p);
	snprintf(text, sizeof(text), "%.*s", (int)n, p);
	BIO_free(bio);
	return text;
}

// ---- files ---------------------------------------------------------------------------------------------------------------

char *fix_folder(void)
{
	const char *tmp = getenv("TMPDIR");
	struct pd_buf b = {0};

	pd_buf_printf(&b, "%s/pilotd-ca-XXXXXX", tmp ? tmp : "/tmp");
	PD_ASSERT(mkdtemp(b.p));
	return b.p;
}

void fix_folder_free(char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *e;

	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	rmdir(folder);
	free(folder);
}

static FILE *open_in(const char *folder, const char *name, const char *mode)
{
	char *path = pd_xasprintf("%s/%s", folder, name);
	FILE *f = fopen(path, mode);

	PD_ASSERT(f);
	free(path);
	return f;
}

void fix_write(const char *folder, const char *name, const char *text)
{
	FILE *f = open_in(folder, name, "w");

	PD_ASSERT(fwrite(text, 1, strlen(text), f) == strlen(text));
	fclose(f);
}

char *fix_read(const char *folder, const char *name)
{
	FILE *f = open_in(folder, name, "r");
	struct pd_buf b = {0};
	char part[4096];
	size_t n;

	while ((n = fread(part, 1, sizeof(part), f)) > 0)
		pd_buf_add(&b, part, n);
	fclose(f);
	return b.p;
}
