#include "config/jwks.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/json.h"
#include "base/str.h"

int pd_jwks_mode_parse(const char *text, enum pd_jwks_mode *out)
{
	static const struct {
		const char *text;
		enum pd_jwks_mode mode;
	} modes[] = {
		{"false", PD_JWKS_ISTIOD},  {"istiod", PD_JWKS_ISTIOD}, {"true", PD_JWKS_HYBRID},
		{"hybrid", PD_JWKS_HYBRID}, {"envoy", PD_JWKS_ENVOY},
	};
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcasecmp(text, modes[i].text) == 0) {
			*out = modes[i].mode;
			return PD_OK;
		}
	}
	return PD_E_INVALID;
}

// A hash, since URIs are longer than names may be; of the kind that nobody finds a second text for.
const char *pd_jwks_name(struct pd_arena *a, const char *issuer, const char *uri)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	const char *text =
		pd_empty(uri) ? pd_arena_printf(a, "issuer %s", pd_or(issuer, "")) : pd_arena_printf(a, "uri %s", uri);
	PD_ASSERT(EVP_Digest(text, strlen(text), sum, &n, EVP_sha256(), NULL) == 1);
	char *out = pd_arena_bytes(a, 2 * (size_t)n + 1);
	for (unsigned i = 0; i < n; i++) {
		out[2 * i] = "0123456789abcdef"[sum[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[sum[i] & 15];
	}
	out[2 * n] = 0;
	return out;
}

// ---- URIs -----------------------------------------------------------------------------------------------------------------

static char *part(CURLU *url, CURLUPart what, unsigned flags)
{
	char *text = NULL;
	return curl_url_get(url, what, &text, flags) == CURLUE_OK ? text : NULL;
}

int pd_jwks_place(struct pd_arena *a, const char *uri, struct pd_jwks_place *out)
{
	CURLU *url = curl_url();
	PD_ASSERT(url);
	bool ok = curl_url_set(url, CURLUPART_URL, uri, 0) == CURLUE_OK;
	char *scheme = ok ? part(url, CURLUPART_SCHEME, 0) : NULL;
	char *host = ok ? part(url, CURLUPART_HOST, 0) : NULL;
	char *port = ok ? part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT) : NULL;
	ok = host && port && (pd_streq(scheme, "http") || pd_streq(scheme, "https"));
	if (ok)
		*out = (struct pd_jwks_place){pd_arena_strdup(a, host), (uint16_t)strtoul(port, NULL, 10)};
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(url);
	return ok ? PD_OK : PD_E_PARSE;
}

// ---- documents --------------------------------------------------------------------------------------------------------------

// The list of keys; NULL if the text is no key set.
static const struct pd_json *read_keys(struct pd_arena *a, const char *text, size_t n)
{
	struct pd_json *root;
	if (!pd_utf8_ok(text, n) || pd_json_parse(a, text, n, &root, NULL) != PD_OK || root->type != PD_JSON_OBJECT)
		return NULL;
	const struct pd_json *keys = pd_json_get(root, "keys");
	return keys && keys->type == PD_JSON_ARRAY ? keys : NULL;
}

bool pd_jwks_ok(const char *text, size_t n)
{
	struct pd_arena a = {0};
	bool ok = read_keys(&a, text, n) != NULL;
	pd_arena_free(&a);
	return ok;
}

// A member that is a text; "" if it is absent or none.
static const char *member(const struct pd_json *key, const char *name)
{
	const struct pd_json *v = pd_json_get(key, name);
	return v && v->type == PD_JSON_STRING ? v->s : "";
}

static bool has_number(const struct pd_json *key, const char *name)
{
	static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const char *text = member(key, name);
	return *text && !text[strspn(text, base64url)];
}

static bool is_curve(const char *name)
{
	return pd_streq(name, "P-256") || pd_streq(name, "P-384") || pd_streq(name, "P-521");
}

static bool alg_is(const struct pd_json *key, const char *prefix, const char *other)
{
	const char *alg = member(key, "alg");
	return !*alg || pd_has_prefix(alg, prefix) || pd_has_prefix(alg, other);
}

static bool is_usable(const struct pd_json *key)
{
	if (key->type != PD_JSON_OBJECT)
		return false;
	const char *type = member(key, "kty");
	if (pd_streq(type, "RSA"))
		return alg_is(key, "RS", "PS") && has_number(key, "n") && has_number(key, "e");
	if (pd_streq(type, "EC"))
		return alg_is(key, "ES", "ES") && is_curve(member(key, "crv")) && has_number(key, "x") &&
		       has_number(key, "y");
	if (pd_streq(type, "OKP"))
		return alg_is(key, "EdDSA", "EdDSA") && pd_streq(member(key, "crv"), "Ed25519") && has_number(key, "x");
	return pd_streq(type, "oct") && alg_is(key, "HS", "HS") && has_number(key, "k");
}

bool pd_jwks_usable(const char *text, size_t n)
{
	struct pd_arena a = {0};
	const struct pd_json *keys = read_keys(&a, text, n);
	bool usable = false;
	for (const struct pd_json *k = keys ? keys->first : NULL; k && !usable; k = k->next)
		usable = is_usable(k);
	pd_arena_free(&a);
	return usable;
}
