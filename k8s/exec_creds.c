// ExecCredential: what a plugin prints.
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "base/clock.h"
#include "k8s/exec.h"

static void free_text(char **s)
{
	if (*s)
		pd_free_secret(*s, strlen(*s));
	*s = NULL;
}

void pd_k8s_exec_creds_free(struct pd_k8s_exec_creds *c)
{
	free_text(&c->token);
	free_text(&c->cert);
	free_text(&c->key);
	c->expires = 0;
}

// A member of `status`; "" counts as absent.
static int take(const struct pd_json *status, const char *field, char **out, struct pd_buf *err)
{
	const struct pd_json *j = pd_json_get(status, field);
	const char *s = pd_json_get_string(status, field);

	if (j && j->type != PD_JSON_NULL && !s) {
		pd_buf_printf(err, "status.%s: expected a string, got %s", field, pd_json_type_name(j));
		return PD_E_PARSE;
	}
	*out = pd_empty(s) ? NULL : pd_xstrdup(s);
	return PD_OK;
}

static int check_token(const char *token, struct pd_buf *err)
{
	for (const char *p = pd_or(token, ""); *p; p++) {
		if (*p <= ' ' || *p == 0x7f || p - token >= PD_K8S_TOKEN_MAX_BYTES) {
			pd_buf_adds(err, "status.token: blanks or control characters in it, or too long");
			return PD_E_PARSE;
		}
	}
	return PD_OK;
}

static int check_pair(const struct pd_k8s_exec_creds *c, struct pd_buf *err)
{
	if (!c->cert != !c->key) {
		pd_buf_adds(err, "status: clientCertificateData and clientKeyData go together");
		return PD_E_PARSE;
	}
	if (!c->cert)
		return PD_OK;
	return pd_k8s_check_pair(c->cert, strlen(c->cert), c->key, strlen(c->key), err) ? PD_E_PARSE : PD_OK;
}

static int read_status(const struct pd_json *status, struct pd_k8s_exec_creds *c, struct pd_buf *err)
{
	char *expires = NULL;
	int rc;

	if ((rc = take(status, "token", &c->token, err)) ||
	    (rc = take(status, "clientCertificateData", &c->cert, err)) ||
	    (rc = take(status, "clientKeyData", &c->key, err)) ||
	    (rc = take(status, "expirationTimestamp", &expires, err)))
		return rc;
	if (expires && pd_parse_time(expires, &c->expires)) {
		pd_buf_adds(err, "status.expirationTimestamp: not a time (RFC 3339)");
		rc = PD_E_PARSE;
	}
	free(expires);
	if (!rc && !c->token && !c->cert) {
		pd_buf_adds(err, "status: neither a token nor a client certificate");
		rc = PD_E_PARSE;
	}
	if (!rc)
		rc = check_token(c->token, err);
	return rc ? rc : check_pair(c, err);
}

int pd_k8s_exec_decode(const char *json, size_t len, const char *api_version, struct pd_k8s_exec_creds *out,
		       struct pd_buf *err)
{
	struct pd_arena a = {.secret = true};
	struct pd_k8s_exec_creds c = {0};
	struct pd_json *root, *status;
	int rc = PD_E_PARSE;

	if (pd_json_parse(&a, json, len, &root, NULL)) {
		pd_buf_adds(err, "the output is not JSON");
	} else if (!pd_streq(pd_json_get_string(root, "kind"), "ExecCredential") ||
		   !pd_streq(pd_json_get_string(root, "apiVersion"), api_version)) {
		pd_buf_printf(err, "the output is not an ExecCredential of %s", api_version);
	} else {
		status = pd_json_get(root, "status");
		if (!status || status->type != PD_JSON_OBJECT)
			pd_buf_adds(err, "the output has no status");
		else
			rc = read_status(status, &c, err);
	}
	pd_arena_free(&a);
	if (rc)
		pd_k8s_exec_creds_free(&c);
	else
		*out = c;
	return rc;
}
