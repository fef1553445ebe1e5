#include "ca/auth_xfcc.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "ca/spiffe.h"

#define HEADER "x-forwarded-client-cert"

struct xfcc {
	struct pd_auth_cidrs trusted;
	struct pd_trust *trust;
};

// ---- configuration -----------------------------------------------------------------------------------------------------

int pd_auth_cidrs_parse(const char *text, struct pd_auth_cidrs *out, struct pd_buf *err)
{
	char *copy = pd_xstrdup(text), *save = NULL, *word;
	struct pd_cidr c;
	int rc = PD_OK;

	*out = (struct pd_auth_cidrs){0};
	for (word = strtok_r(copy, ", ", &save); word && !rc; word = strtok_r(NULL, ", ", &save)) {
		rc = out->v.n < PD_XFCC_CIDRS_MAX ? pd_cidr_parse(word, &c) : PD_E_LIMIT;
		if (rc == PD_E_LIMIT)
			pd_buf_printf(err, "more than %d address ranges", PD_XFCC_CIDRS_MAX);
		else if (rc)
			pd_buf_printf(err, "\"%s\" is not an address range", word);
		else
			pd_vec_push(&out->v, c);
	}
	if (rc)
		pd_vec_free(&out->v);
	free(copy);
	return rc;
}

// ---- the header --------------------------------------------------------------------------------------------------------

// A value, quoted (with \" inside) or not, without what separates it from the next. NULL: it has no end.
static const char *take_value(const char *s, struct pd_buf *out)
{
	pd_buf_reset(out);
	if (*s != '"') {
		size_t n = strcspn(s, ",;");

		pd_buf_add(out, s, n);
		return s + n;
	}
	for (s++; *s && *s != '"'; s++) {
		if (*s == '\\' && s[1])
			s++;
		pd_buf_addc(out, *s);
	}
	return *s == '"' ? s + 1 : NULL;
}

int pd_xfcc_last_uris(const char *s, struct pd_buf *uris, size_t *n)
{
	struct pd_buf value = {0};
	size_t elements = 1, name;
	bool is_uri, more = true;
	int rc = PD_OK;

	*n = 0;
	while (more && !rc) {
		s += strspn(s, " ");
		name = strcspn(s, "=,;");
		is_uri = name == 3 && strncasecmp(s, "URI", 3) == 0;
		s = name && s[name] == '=' ? take_value(s + name + 1, &value) : NULL;
		if (!s || (*s && *s != ',' && *s != ';')) {
			rc = PD_E_PARSE;
			break;
		}
		if (is_uri && value.n) {
			pd_buf_add(uris, value.p, value.n + 1);
			(*n)++;
		}
		more = *s != '\0';
		if (*s == ',') { // what came before is of an earlier certificate
			pd_buf_reset(uris);
			*n = 0;
			rc = ++elements > PD_XFCC_ELEMENTS_MAX ? PD_E_LIMIT : PD_OK;
		}
		s++;
	}
	pd_buf_free(&value);
	return rc;
}

// ---- the authenticator -------------------------------------------------------------------------------------------------

static bool is_trusted(const struct xfcc *x, const char *address)
{
	struct pd_addr a;
	struct pd_ip ip;

	if (!address || pd_addr_parse(address, &a) != PD_OK || pd_ip_parse(a.host, &ip) != PD_OK)
		return false;
	if (pd_ip_is_loopback(&ip))
		return true;
	for (size_t i = 0; i < x->trusted.v.n; i++)
		if (pd_cidr_contains(&x->trusted.v.v[i], &ip))
			return true;
	return false;
}

static void refuse(const char *label, const char *why, pd_auth_done done, void *arg)
{
	pd_auth_refuse(PD_AUTH_XFCC_NAME, PD_AUTH_REFUSED, label, why, done, arg);
}

static void authenticate(void *self, const struct pd_rpc_peer *peer, pd_auth_done done, void *arg)
{
	const char *header = pd_rpc_header(peer, HEADER);
	struct pd_buf uris = {0};
	struct xfcc *x = self;
	struct pd_spiffe id;
	size_t n;

	if (!header) {
		pd_auth_refuse(PD_AUTH_XFCC_NAME, PD_AUTH_NONE, "none", "no forwarded certificate", done, arg);
		return;
	}
	if (!is_trusted(x, peer->address))
		refuse("address", "forwarded certificates are not taken from this address", done, arg);
	else if (pd_xfcc_last_uris(header, &uris, &n) != PD_OK)
		refuse("malformed", "the header is malformed", done, arg);
	else if (n != 1 || pd_spiffe_parse(uris.p, &id) != PD_OK)
		refuse("certificate", "the forwarded certificate does not have one SPIFFE ID of a workload", done, arg);
	else if (!pd_trust_accepts(x->trust, id.trust_domain))
		refuse("trust_domain", "the forwarded certificate is of another trust domain", done, arg);
	else
		done(pd_caller_of_account(PD_AUTH_XFCC_NAME, id.trust_domain, id.namespace_, id.service_account),
		     PD_AUTH_NONE, NULL, arg);
	pd_buf_free(&uris);
}

static void xfcc_free(void *self)
{
	struct xfcc *x = self;

	pd_vec_free(&x->trusted.v);
	free(x);
}

struct pd_authenticator pd_auth_xfcc(struct pd_auth_cidrs *trusted, struct pd_trust *trust)
{
	struct xfcc *x = pd_xcalloc(1, sizeof(*x));

	*x = (struct xfcc){*trusted, trust};
	*trusted = (struct pd_auth_cidrs){0};
	return (struct pd_authenticator){PD_AUTH_XFCC_NAME, authenticate, xfcc_free, x};
}
