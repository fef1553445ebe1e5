#include "ca/jwt.h"

#include <string.h>

#include "api/base64.h"
#include "api/json.h"

#define NAME_SHOWN 100 // characters of a name from a token in a reason

const char *pd_jwt_fault_label(enum pd_jwt_fault f)
{
	static const char *const labels[] = {
		[PD_JWT_OK] = "ok",
		[PD_JWT_TOO_LARGE] = "too_large",
		[PD_JWT_MALFORMED] = "malformed",
		[PD_JWT_ALGORITHM] = "algorithm",
		[PD_JWT_UNKNOWN_KEY] = "unknown_key",
		[PD_JWT_SIGNATURE] = "signature",
		[PD_JWT_ISSUER] = "issuer",
		[PD_JWT_AUDIENCE] = "audience",
		[PD_JWT_EXPIRED] = "expired",
		[PD_JWT_NOT_YET] = "not_yet_valid",
	};

	return labels[f];
}

// ---- reading -----------------------------------------------------------------------------------------------------------

// base64url without padding (RFC 7515 §2): pd_base64_decode takes more than that.
static bool decode_part(struct pd_arena *a, const char *s, size_t n, ProtobufCBinaryData *out)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] == '+' || s[i] == '/' || s[i] == '=')
			return false;
	return n && pd_base64_decode(a, s, n, out);
}

static bool members_distinct(const struct pd_json *o)
{
	if (o->n > PD_JWT_MEMBERS_MAX)
		return false;
	for (const struct pd_json *a = o->first; a; a = a->next)
		for (const struct pd_json *b = a->next; b; b = b->next)
			if (a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0)
				return false;
	return true;
}

static struct pd_json *decode_object(struct pd_arena *a, const char *s, size_t n)
{
	ProtobufCBinaryData bytes;
	struct pd_json *o;

	if (!decode_part(a, s, n, &bytes) || pd_json_parse(a, (char *)bytes.data, bytes.len, &o, NULL) != PD_OK ||
	    o->type != PD_JSON_OBJECT || !members_distinct(o))
		return NULL;
	return o;
}

static enum pd_jwt_fault malformed(struct pd_buf *why, const char *what)
{
	pd_buf_printf(why, "the token is malformed: %s", what);
	return PD_JWT_MALFORMED;
}

static enum pd_jwt_fault read_header(struct pd_jwt *t, const char *s, size_t n, struct pd_buf *why)
{
	const struct pd_json *header = decode_object(&t->arena, s, n);

	if (!header)
		return malformed(why, "the header is not an object in base64url");
	t->alg = pd_json_get_string(header, "alg");
	t->kid = pd_json_get_string(header, "kid");
	if (!t->alg)
		return malformed(why, "the header names no algorithm");
	if (!t->kid && pd_json_get(header, "kid"))
		return malformed(why, "the key id is not a string");
	if (pd_json_get(header, "crit"))
		return malformed(why, "it needs extensions that we do not know");
	return PD_JWT_OK;
}

static enum pd_jwt_fault read_parts(struct pd_jwt *t, const char *token, size_t n, struct pd_buf *why)
{
	const char *end = token + n, *dot1 = memchr(token, '.', n), *dot2;
	ProtobufCBinaryData signature;
	enum pd_jwt_fault f;

	dot2 = dot1 ? memchr(dot1 + 1, '.', (size_t)(end - dot1 - 1)) : NULL;
	if (!dot2 || memchr(dot2 + 1, '.', (size_t)(end - dot2 - 1)))
		return malformed(why, "it does not have three parts");
	f = read_header(t, token, (size_t)(dot1 - token), why);
	if (f)
		return f;
	t->claims = decode_object(&t->arena, dot1 + 1, (size_t)(dot2 - dot1 - 1));
	if (!t->claims)
		return malformed(why, "the claims are not an object in base64url");
	t->input = token;
	t->input_len = (size_t)(dot2 - token);
	if (dot2 + 1 == end) // as "alg": "none" has it: refused with that reason
		return PD_JWT_OK;
	if (!decode_part(&t->arena, dot2 + 1, (size_t)(end - dot2 - 1), &signature))
		return malformed(why, "the signature is not base64url");
	t->signature = signature.data;
	t->signature_len = signature.len;
	return PD_JWT_OK;
}

enum pd_jwt_fault pd_jwt_parse(const char *token, size_t n, struct pd_jwt *out, struct pd_buf *why)
{
	enum pd_jwt_fault f;

	*out = (struct pd_jwt){.arena = {.secret = true}};
	if (n > PD_JWT_MAX) {
		pd_buf_printf(why, "the token has %zu bytes; at most %d are taken", n, PD_JWT_MAX);
		return PD_JWT_TOO_LARGE;
	}
	f = read_parts(out, token, n, why);
	if (f)
		pd_jwt_free(out);
	return f;
}

void pd_jwt_free(struct pd_jwt *t)
{
	pd_arena_free(&t->arena);
	*t = (struct pd_jwt){0};
}

// ---- claims ------------------------------------------------------------------------------------------------------------

// A NumericDate (RFC 7519 §2), which may have a fraction. False: there is something else.
static bool get_date(const struct pd_json *claims, const char *name, bool *present, double *s)
{
	const struct pd_json *j = pd_json_get(claims, name);

	*present = j != NULL;
	*s = 0;
	if (!j)
		return true;
	if (j->type == PD_JSON_INT)
		*s = (double)j->i;
	else if (j->type == PD_JSON_UINT)
		*s = (double)j->u;
	else if (j->type == PD_JSON_REAL)
		*s = j->d;
	else
		return false;
	return true;
}

static enum pd_jwt_fault check_times(const struct pd_json *claims, int64_t now_s, struct pd_buf *why)
{
	bool has_exp, has_nbf, has_iat;
	double exp, nbf, iat, now = (double)now_s;

	if (!get_date(claims, "exp", &has_exp, &exp) || !get_date(claims, "nbf", &has_nbf, &nbf) ||
	    !get_date(claims, "iat", &has_iat, &iat))
		return malformed(why, "a time is not a number");
	if (!has_exp) {
		pd_buf_adds(why, "the token has no expiry");
		return PD_JWT_EXPIRED;
	}
	if (exp + PD_JWT_SKEW_S <= now) {
		pd_buf_printf(why, "the token has expired %.0f s ago", now - exp);
		return PD_JWT_EXPIRED;
	}
	if ((has_nbf && nbf - PD_JWT_SKEW_S > now) || (has_iat && iat - PD_JWT_SKEW_S > now)) {
		pd_buf_adds(why, "the token is not valid yet");
		return PD_JWT_NOT_YET;
	}
	return PD_JWT_OK;
}

static bool is_wanted(const struct pd_json *aud, const struct pd_jwt_rules *rules)
{
	if (aud->type != PD_JSON_STRING || strlen(aud->s) != aud->n)
		return false;
	for (size_t i = 0; i < rules->n_audiences; i++)
		if (strcmp(aud->s, rules->audiences[i]) == 0)
			return true;
	return false;
}

static enum pd_jwt_fault check_audience(const struct pd_json *claims, const struct pd_jwt_rules *rules,
					struct pd_buf *why)
{
	const struct pd_json *aud = pd_json_get(claims, "aud"), *first = aud;
	bool list = aud && aud->type == PD_JSON_ARRAY, ok = false;

	if (aud && !list && aud->type != PD_JSON_STRING)
		return malformed(why, "the audience is neither a string nor a list");
	if (list && aud->n > PD_JWT_AUDIENCES_MAX)
		return malformed(why, "too many audiences");
	if (list) {
		first = aud->first;
		for (const struct pd_json *j = first; j && !ok; j = j->next)
			ok = is_wanted(j, rules);
	} else if (aud) {
		ok = is_wanted(aud, rules);
	}
	if (ok)
		return PD_JWT_OK;
	if (first && first->type == PD_JSON_STRING)
		pd_buf_printf(why, "the token is for the audience \"%.*s\"%s, not for us", NAME_SHOWN, first->s,
			      list && aud->n > 1 ? " and others" : "");
	else
		pd_buf_adds(why, "the token has no audience");
	return PD_JWT_AUDIENCE;
}

enum pd_jwt_fault pd_jwt_check(const struct pd_jwt *t, const struct pd_jwt_rules *rules, struct pd_buf *why)
{
	const char *iss = pd_json_get_string(t->claims, "iss");
	enum pd_jwt_fault f;

	if (!iss || strcmp(iss, rules->issuer) != 0) {
		pd_buf_printf(why, "the token's issuer is \"%.*s\"", NAME_SHOWN, pd_or(iss, ""));
		return PD_JWT_ISSUER;
	}
	f = check_times(t->claims, rules->now_s, why);
	return f ? f : check_audience(t->claims, rules, why);
}

int64_t pd_jwt_expiry(const struct pd_jwt *t)
{
	bool has;
	double s;

	if (!get_date(t->claims, "exp", &has, &s) || !has || !(s > 0))
		return 0;
	return s < (double)INT64_MAX / 2 ? (int64_t)s : INT64_MAX / 2;
}
