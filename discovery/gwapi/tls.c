// TLS of listeners: certificates by reference, client validation, options. (reference: gateway-api.md §7, §8)
#include <stdio.h>
#include <string.h>

#include "api/pb.h"
#include "base/log.h"
#include "base/str.h"
#include "discovery/credential.h"
#include "discovery/gwapi/gwapi.h"

#define MODE(name) ISTIO__SERVER_TLSSETTINGS__TLSMODE__##name

enum { MAX_CERTIFICATES = 2 }; // one for each key type

static const char *option(const Gwapi__ListenerTLSConfig *tls, const char *key)
{
	for (size_t i = 0; i < tls->n_options; i++)
		if (pd_streq(tls->options[i]->key, key))
			return pd_or(tls->options[i]->value, "");
	return "";
}

static void complain(const struct gw_owner *owner, const Gwapi__Listener *l, const char *what, const char *name)
{
	pd_warn("gwapi", "%s %s/%s: listener %s: %s %s", owner->kind, owner->object->key.ns, owner->object->key.name,
		pd_or(l->name, ""), what, name);
}

// ---- what a reference leads to ----------------------------------------------------------------------------------------------

// The grant is asked for before the object is looked up: the answer must not tell whether it exists.
static bool may_refer(struct gw_pass *p, const struct gw_owner *owner, const char *kind, const char *ns,
		      const char *name)
{
	const char *from = owner->object->key.ns;
	return pd_streq(ns, from) || pd_gw_granted(p, owner->kind, from, "", kind, ns, name);
}

// NULL: not usable.
static const char *certificate(struct gw_pass *p, const struct gw_owner *owner, const Gwapi__Listener *l,
			       const Gwapi__ObjectReference *ref)
{
	const char *ns = ref->namespace_ ? ref->namespace_ : owner->object->key.ns, *name = pd_or(ref->name, "");
	if (!pd_empty(ref->group) || (ref->kind && !pd_streq(ref->kind, "Secret"))) {
		complain(owner, l, "only a Secret can hold a certificate, not", pd_or(ref->kind, ""));
		return NULL;
	}
	if (!may_refer(p, owner, "Secret", ns, name)) {
		complain(owner, l, "no ReferenceGrant for Secret", name);
		return NULL;
	}
	const struct pd_object *secret = pd_gw_object(p, PD_KIND_SECRET, ns, name);
	if (!secret || !pd_credential_key_pair(secret).key.p) {
		complain(owner, l, "no certificate and key in Secret", name);
		return NULL;
	}
	return pd_arena_printf(p->arena, "kubernetes-gateway://%s/%s", ns, name);
}

static bool set_certificates(struct gw_pass *p, const struct gw_owner *owner, const Gwapi__Listener *l,
			     Istio__ServerTLSSettings *out)
{
	const Gwapi__ListenerTLSConfig *tls = l->tls;
	const char *good[MAX_CERTIFICATES];
	size_t n = 0;
	if (tls->n_certificate_refs > MAX_CERTIFICATES) {
		complain(owner, l, "has more than two certificates", "");
		return false;
	}
	for (size_t i = 0; i < tls->n_certificate_refs; i++) {
		const char *name = certificate(p, owner, l, tls->certificate_refs[i]);
		if (name)
			good[n++] = name;
	}
	if (n == 1)
		out->credential_name = (char *)good[0];
	for (size_t i = 0; n > 1 && i < n; i++)
		PB_PUSH(p->arena, out, credential_names, (char *)good[i]);
	// None at all is a mistake only where some were named.
	return n || !tls->n_certificate_refs;
}

// ---- client certificates -----------------------------------------------------------------------------------------------------

static const Gwapi__FrontendTLSValidation *frontend(const struct gw_owner *owner, uint32_t port)
{
	const Gwapi__FrontendTLSConfig *f = owner->spec->tls ? owner->spec->tls->frontend : NULL;
	for (size_t i = 0; f && i < f->n_per_port; i++)
		if ((uint32_t)f->per_port[i]->port == port)
			return f->per_port[i]->tls ? f->per_port[i]->tls->validation : NULL;
	return f && f->default_ ? f->default_->validation : NULL;
}

static bool set_client_validation(struct gw_pass *p, const struct gw_owner *owner, const Gwapi__Listener *l,
				  const Gwapi__FrontendTLSValidation *v, Istio__ServerTLSSettings *out)
{
	const Gwapi__ObjectReference *ref = v->ca_certificate_refs[0];
	bool secret = pd_streq(ref->kind, "Secret");
	const char *ns = ref->namespace_ ? ref->namespace_ : owner->object->key.ns, *name = pd_or(ref->name, "");
	if (v->n_ca_certificate_refs > 1 || !pd_empty(ref->group) || (!secret && !pd_streq(ref->kind, "ConfigMap"))) {
		complain(owner, l, "client validation takes one ConfigMap or Secret, not", pd_or(ref->kind, ""));
		return false;
	}
	if (!may_refer(p, owner, ref->kind, ns, name)) {
		complain(owner, l, "no ReferenceGrant for", name);
		return false;
	}
	const struct pd_object *o = pd_gw_object(p, secret ? PD_KIND_SECRET : PD_KIND_CONFIG_MAP, ns, name);
	if (!o || !pd_credential_roots(o).roots.p) {
		complain(owner, l, "no CA certificates in", name);
		return false;
	}
	bool insecure = pd_streq(v->mode, "AllowInsecureFallback");
	const char *mode = option(l->tls, "gateway.istio.io/tls-terminate-mode");
	out->mode = insecure ? MODE(OPTIONAL_MUTUAL) : MODE(MUTUAL);
	if (pd_streq(mode, "MUTUAL") || pd_streq(mode, "OPTIONAL_MUTUAL")) {
		out->mode = pd_streq(mode, "MUTUAL") ? MODE(MUTUAL) : MODE(OPTIONAL_MUTUAL);
		insecure = false;
	}
	out->insecure_skip_verify = pb_bool(p->arena, insecure);
	out->ca_cert_credential_name =
		pd_arena_printf(p->arena, "%s://%s/%s-cacert", secret ? "kubernetes-gateway" : "configmap", ns, name);
	return true;
}

// ---- modes ---------------------------------------------------------------------------------------------------------------------

static void set_ciphers(struct pd_arena *a, const char *list, Istio__ServerTLSSettings *out)
{
	for (; *list; list += *list == ',') {
		list += strspn(list, " ");
		size_t n = strcspn(list, ","), text = n;
		while (text && list[text - 1] == ' ')
			text--;
		if (text)
			PB_PUSH(a, out, cipher_suites, pd_arena_strndup(a, list, text));
		list += n;
	}
}

static bool terminate(struct gw_pass *p, const struct gw_owner *owner, const Gwapi__Listener *l,
		      Istio__ServerTLSSettings *out)
{
	const char *mode = option(l->tls, "gateway.istio.io/tls-terminate-mode");
	out->mode = MODE(SIMPLE);
	if (pd_streq(mode, "ISTIO_MUTUAL")) { // our own certificates need no reference
		out->mode = MODE(ISTIO_MUTUAL);
		return true;
	}
	if (pd_streq(mode, "ISTIO_SIMPLE")) {
		out->credential_name = "builtin://";
		return true;
	}
	if (pd_streq(mode, "MUTUAL"))
		out->mode = MODE(MUTUAL);
	else if (pd_streq(mode, "OPTIONAL_MUTUAL"))
		out->mode = MODE(OPTIONAL_MUTUAL);
	if (!set_certificates(p, owner, l, out))
		return false;
	const Gwapi__FrontendTLSValidation *v = frontend(owner, pd_gw_listener_port(l));
	bool has_certificate = !pd_empty(out->credential_name) || out->n_credential_names;
	if (has_certificate && v && v->n_ca_certificate_refs && !set_client_validation(p, owner, l, v, out))
		return false;
	set_ciphers(p->arena, option(l->tls, "gateway.istio.io/tls-cipher-suites"), out);
	return true;
}

// A gateway between networks passes mesh mTLS on by its SNI.
static bool is_auto_passthrough(const struct gw_owner *owner, const Gwapi__Listener *l)
{
	if (pd_streq(option(l->tls, "gateway.istio.io/listener-protocol"), "auto-passthrough"))
		return true;
	if (!pd_object_label(owner->object, "topology.istio.io/network"))
		return false;
	const char *port = pd_or(pd_object_label(owner->object, "networking.istio.io/gatewayPort"), "15443");
	char own[16];
	snprintf(own, sizeof(own), "%u", pd_gw_listener_port(l));
	return pd_streq(port, own);
}

bool pd_gw_server_tls(struct gw_pass *p, const struct gw_owner *owner, const Gwapi__Listener *l,
		      Istio__ServerTLSSettings **tls)
{
	*tls = NULL;
	if (!l->tls)
		return true;
	Istio__ServerTLSSettings *out = pb_new(p->arena, &istio__server_tlssettings__descriptor);
	*tls = out;
	if (!pd_streq(l->tls->mode, "Passthrough"))
		return terminate(p, owner, l, out);
	out->mode = is_auto_passthrough(owner, l) ? MODE(AUTO_PASSTHROUGH) : MODE(PASSTHROUGH);
	set_ciphers(p->arena, option(l->tls, "gateway.istio.io/tls-cipher-suites"), out);
	return true;
}
