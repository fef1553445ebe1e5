#include "proxy/ca_client.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/pb.h"
#include "ca/pem.h"
#include "proxy/files.h"
#include "proxy/unary.h"
#include "wire/ca.pb-c.h"

#define METHOD "/istio.v1.auth.IstioCertificateService/CreateCertificate"

// What is read for one request.
struct credentials {
	struct pd_buf roots, bearer, cert, key;
};

static void wipe(struct credentials *c)
{
	pd_buf_free(&c->roots);
	pd_pem_wipe(&c->bearer);
	pd_buf_free(&c->cert);
	pd_pem_wipe(&c->key);
}

static int read_token(const char *path, struct pd_buf *bearer, struct pd_buf *why)
{
	struct pd_buf token = {0};
	int rc = pd_file_read(path, &token, why);
	while (rc == PD_OK && token.n && isspace((unsigned char)token.p[token.n - 1]))
		token.n--;
	if (rc == PD_OK && (!token.n || token.n > PD_TOKEN_MAX)) {
		pd_buf_printf(why, "%s: a token of %zu bytes", path, token.n);
		rc = PD_E_INVALID;
	}
	for (size_t i = 0; rc == PD_OK && i < token.n; i++)
		if (token.p[i] < 0x21 || token.p[i] > 0x7e) {
			pd_buf_printf(why, "%s: a token has no such bytes", path);
			rc = PD_E_INVALID;
		}
	if (rc == PD_OK) {
		const char word[] = "Bearer ";
		*bearer = (struct pd_buf){pd_xmalloc(token.n + sizeof(word)), 0, token.n + sizeof(word)};
		pd_buf_adds(bearer, word);
		pd_buf_add(bearer, token.p, token.n);
	}
	pd_pem_wipe(&token);
	return rc;
}

static bool there(const char *path)
{
	return *path && access(path, F_OK) == 0;
}

static int read_credentials(const struct pd_ca_client *c, struct credentials *out, struct pd_buf *why)
{
	int rc = *c->root_file ? pd_file_read(c->root_file, &out->roots, why) : PD_OK;
	if (rc != PD_OK)
		return rc;
	if (there(c->token_file))
		return read_token(c->token_file, &out->bearer, why);
	if (there(c->cert_file) && there(c->key_file)) {
		rc = pd_file_read(c->cert_file, &out->cert, why);
		return rc == PD_OK ? pd_file_read(c->key_file, &out->key, why) : rc;
	}
	if (!*c->token_file && !*c->cert_file)
		return PD_OK;
	pd_buf_printf(why, "neither a token (%s) nor a certificate (%s) to say who we are", c->token_file,
		      c->cert_file);
	return PD_E_NOTFOUND;
}

static size_t encode(struct pd_arena *a, const struct pd_ca_client *c, const char *csr, int64_t ttl_s, uint8_t **bytes)
{
	IstioCa__IstioCertificateRequest m = ISTIO_CA__ISTIO_CERTIFICATE_REQUEST__INIT;
	Google__Protobuf__Struct *metadata = pb_new(a, &google__protobuf__struct__descriptor);
	pb_struct_set_string(a, metadata, "CertSigner", c->signer);
	m.csr = (char *)csr;
	m.validity_duration = ttl_s;
	m.metadata = metadata;
	size_t n = pb_packed_size(&m);
	*bytes = pd_arena_alloc(a, n);
	return pb_pack(&m, *bytes);
}

static int decode(struct pd_arena *a, const struct pd_buf *reply, struct pd_ca_chain *out, struct pd_buf *why)
{
	void *p;
	struct pb_error err = {0};
	if (pb_unpack(a, &istio_ca__istio_certificate_response__descriptor, reply->p, reply->n, &p, &err) != PD_OK) {
		pd_buf_printf(why, "the CA's answer: %s", err.text);
		return PD_E_PARSE;
	}
	const IstioCa__IstioCertificateResponse *m = p;
	if (m->n_cert_chain < 2) {
		pd_buf_printf(why, "the CA's answer has %zu certificates, a chain has at least 2", m->n_cert_chain);
		return PD_E_PARSE;
	}
	for (size_t i = 0; i < m->n_cert_chain; i++)
		pd_vec_push(&out->v, pd_xstrdup(m->cert_chain[i]));
	return PD_OK;
}

void pd_ca_chain_free(struct pd_ca_chain *c)
{
	for (size_t i = 0; i < c->v.n; i++)
		free(c->v.v[i]);
	pd_vec_free(&c->v);
}

int pd_ca_client_sign(const struct pd_ca_client *c, const char *csr, int64_t ttl_s, struct pd_ca_chain *out,
		      struct pd_buf *why)
{
	struct credentials creds = {0};
	struct pd_buf reply = {0};
	struct pd_arena a = {0};
	uint8_t *request;
	int rc = read_credentials(c, &creds, why);
	if (rc == PD_OK) {
		struct pd_rpc_header headers[2];
		size_t n = 0;
		if (creds.bearer.n)
			headers[n++] = (struct pd_rpc_header){"authorization", creds.bearer.p};
		if (*c->cluster)
			headers[n++] = (struct pd_rpc_header){"clusterid", c->cluster};
		size_t len = encode(&a, c, csr, ttl_s, &request);
		rc = pd_unary_call(&(struct pd_unary){.target = c->address,
						      .roots = *c->root_file ? creds.roots.p : NULL,
						      .server_name = c->server_name,
						      .cert = creds.cert.n ? creds.cert.p : NULL,
						      .key = creds.cert.n ? creds.key.p : NULL,
						      .method = METHOD,
						      .headers = headers,
						      .n_headers = n,
						      .request = request,
						      .request_len = len,
						      .timeout_ms = PD_CA_TIMEOUT_MS,
						      .stop = c->stop},
				   &reply, why);
	}
	if (rc == PD_OK)
		rc = decode(&a, &reply, out, why);
	pd_buf_free(&reply);
	pd_arena_free(&a);
	wipe(&creds);
	return rc;
}
