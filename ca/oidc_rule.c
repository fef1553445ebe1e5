#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/json.h"
#include "ca/oidc.h"

void pd_oidc_rule_free(struct pd_oidc_rule *r)
{
	free(r->issuer);
	free(r->jwks_uri);
	free(r->jwks);
	for (size_t i = 0; i < r->audiences.n; i++)
		free(r->audiences.v[i]);
	pd_vec_free(&r->audiences);
	*r = (struct pd_oidc_rule){0};
}

static bool is_url(const char *s)
{
	return strlen(s) <= PD_FETCH_URL_MAX && (strncasecmp(s, "https://", 8) == 0 ||
						 strncasecmp(s, "http://", 7) == 0 || strncmp(s, "file:///", 8) == 0);
}

// A member that is absent, null or a string. The copy is the caller's; NULL where it is empty.
static int optional(const struct pd_json *o, const char *name, char **out, struct pd_buf *err)
{
	const struct pd_json *j = pd_json_get(o, name);
	const char *s = pd_json_get_string(o, name);

	if (j && j->type != PD_JSON_NULL && !s) {
		pd_buf_printf(err, "\"%s\" is not a string", name);
		return PD_E_INVALID;
	}
	if (!pd_empty(s) && !*out)
		*out = pd_xstrdup(s);
	return PD_OK;
}

static int read_audiences(const struct pd_json *o, struct pd_oidc_rule *out, struct pd_buf *err)
{
	const struct pd_json *list = pd_json_get(o, "audiences");

	if (!list || list->type != PD_JSON_ARRAY || list->n == 0) {
		pd_buf_adds(err, "\"audiences\" must name at least one audience");
		return PD_E_INVALID;
	}
	if (list->n > PD_OIDC_AUDIENCES_MAX) {
		pd_buf_printf(err, "%u audiences; at most %d are taken", list->n, PD_OIDC_AUDIENCES_MAX);
		return PD_E_LIMIT;
	}
	for (const struct pd_json *j = list->first; j; j = j->next) {
		if (j->type != PD_JSON_STRING || !j->n || strlen(j->s) != j->n) {
			pd_buf_adds(err, "an audience is not a string");
			return PD_E_INVALID;
		}
		pd_vec_push(&out->audiences, pd_xstrdup(j->s));
	}
	return PD_OK;
}

static int read_rule(const struct pd_json *o, struct pd_oidc_rule *out, struct pd_buf *err)
{
	int rc = optional(o, "issuer", &out->issuer, err);

	if (!rc)
		rc = optional(o, "jwksUri", &out->jwks_uri, err);
	if (!rc)
		rc = optional(o, "jwks_uri", &out->jwks_uri, err);
	if (!rc)
		rc = optional(o, "jwks", &out->jwks, err);
	if (!rc)
		rc = read_audiences(o, out, err);
	if (rc)
		return rc;
	if (!out->issuer) {
		pd_buf_adds(err, "\"issuer\" is missing");
		return PD_E_INVALID;
	}
	if (!out->jwks && !is_url(out->jwks_uri ? out->jwks_uri : out->issuer)) {
		pd_buf_printf(err, "\"%s\" is not an URL", out->jwks_uri ? "jwksUri" : "issuer");
		return PD_E_INVALID;
	}
	return PD_OK;
}

int pd_oidc_rule_parse(const char *json, struct pd_oidc_rule *out, struct pd_buf *err)
{
	struct pd_json_error why = {0};
	struct pd_arena arena = {0};
	struct pd_json *o;
	int rc;

	*out = (struct pd_oidc_rule){0};
	if (strnlen(json, PD_OIDC_RULE_MAX + 1) > PD_OIDC_RULE_MAX) {
		pd_buf_printf(err, "more than %d bytes", PD_OIDC_RULE_MAX);
		return PD_E_LIMIT;
	}
	rc = pd_json_parse(&arena, json, strlen(json), &o, &why);
	if (rc) {
		pd_buf_printf(err, "line %u: %s", why.line, why.text);
	} else if (o->type != PD_JSON_OBJECT) {
		rc = PD_E_PARSE;
		pd_buf_adds(err, "not an object");
	} else {
		rc = read_rule(o, out, err);
	}
	pd_arena_free(&arena);
	if (rc)
		pd_oidc_rule_free(out);
	return rc;
}
