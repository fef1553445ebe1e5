#include "cmd/pilotd/identity.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ca/flags.h"
#include "k8s/secret_store.h"

#define SECOND_NS 1000000000ll
#define CA_FILE "istio-ca-secret.json"
#define CA_SECRET "istio-ca-secret"
#define CA_SECRET_TYPE "istio.io/ca-root"

static int64_t now_s(void)
{
	return pd_wall_ns() / SECOND_NS;
}

// ---- which CA --------------------------------------------------------------------------------------------------------------

static void open_store(struct identity *id, const struct identity_options *o)
{
	const struct pd_ca_settings *s = &pd_ca_settings;

	if (*s->ca_dir) {
		char *path = pd_xasprintf("%s/" CA_FILE, s->ca_dir);
		pd_file_store_init(&id->store, path);
		id->free_store = pd_file_store_free;
		free(path);
	} else if (o->kubernetes) {
		pd_k8s_secret_store_init(&id->store, o->kubernetes, o->system_ns, CA_SECRET, CA_SECRET_TYPE);
		id->free_store = pd_k8s_secret_store_free;
	} else {
		pd_warn("ca", "the CA's key is kept in memory: after a restart nobody trusts it (--caDir)");
		pd_memory_store_init(&id->store);
		id->free_store = pd_memory_store_free;
	}
}

static int open_selfsigned(struct identity *id, const struct identity_options *o, struct pd_buf *err)
{
	const struct pd_ca_settings *s = &pd_ca_settings;
	struct pd_selfsigned_config c = {
		.store = &id->store,
		.authority = id->authority,
		.organization = o->mesh->trust_domain,
		.rsa_bits = (unsigned)s->rsa_bits,
		.ca_ttl_s = s->ca_ttl / SECOND_NS,
		.leaf_ttl_s = s->default_ttl / SECOND_NS,
		.grace_percent = (unsigned)s->grace_percent,
		.check_interval_s = s->check_interval / SECOND_NS,
		.jitter = s->jitter,
	};
	struct pd_buf why = {0};
	int rc;

	open_store(id, o);
	rc = pd_selfsigned_open(&c, now_s(), &id->selfsigned, &why);
	if (rc == PD_OK)
		pd_selfsigned_start(id->selfsigned);
	else
		pd_buf_printf(err, "the CA in %s: %s", id->store.name, pd_or(why.p, pd_strerror(rc)));
	pd_buf_free(&why);
	return rc;
}

// Plugged-in certificates if there are any; a set that is not complete or not good is an error, not a reason to sign ourselves.
static int open_ca(struct identity *id, const struct identity_options *o, struct pd_buf *err)
{
	const struct pd_ca_settings *s = &pd_ca_settings;
	struct pd_cacerts_config c = {s->root_ca_dir, id->authority, s->multi_root};
	struct pd_buf why = {0};
	int rc = pd_cacerts_open(&c, now_s(), &id->cacerts, &why);

	if (rc == PD_OK)
		pd_cacerts_start(id->cacerts);
	else if (rc != PD_E_NOTFOUND)
		pd_buf_printf(err, "plugged-in CA: %s", why.p);
	pd_buf_free(&why);
	return rc == PD_E_NOTFOUND ? open_selfsigned(id, o, err) : rc;
}

// ---- TLS port --------------------------------------------------------------------------------------------------------------

struct names {
	PD_VEC(char *) v;
};

static void add_name(struct names *n, char *name)
{
	bool known = !*name || n->v.n == PD_TLS_NAMES_MAX;

	for (size_t i = 0; i < n->v.n && !known; i++)
		known = strcmp(n->v.v[i], name) == 0;
	if (known)
		free(name);
	else
		pd_vec_push(&n->v, name);
}

// The names that istiod has in its certificate.
static void collect_names(struct names *n, const struct identity_options *o)
{
	const char *ns = o->system_ns, *rev = pd_ca_settings.revision;
	const Istio__ProxyConfig *proxy = o->mesh->config->default_config;
	const char *discovery = proxy ? pd_or(proxy->discovery_address, "") : "";
	char *custom = pd_xstrdup(pd_ca_settings.custom_hosts), *save;

	add_name(n, pd_xasprintf("istiod.%s.svc", ns));
	add_name(n, pd_xasprintf("istiod-remote.%s.svc", ns));
	add_name(n, pd_xasprintf("istio-pilot.%s.svc", ns));
	if (*rev && strcmp(rev, "default") != 0)
		add_name(n, pd_xasprintf("istiod-%s.%s.svc", rev, ns));
	add_name(n, pd_xstrndup(discovery, strcspn(discovery, ":")));
	for (char *p = strtok_r(custom, ", ", &save); p; p = strtok_r(NULL, ", ", &save))
		add_name(n, pd_xstrdup(p));
	free(custom);
}

static int listen_tls(struct identity *id, struct pd_xds *xds, const struct identity_options *o, struct pd_buf *err)
{
	const struct pd_ca_settings *s = &pd_ca_settings;
	struct names names = {0};
	struct pd_tls_config c = {
		.authority = id->authority,
		.cert_file = s->cert_file,
		.key_file = s->key_file,
		.ca_file = s->ca_cert_file,
	};
	uint16_t port;
	int rc;

	collect_names(&names, o);
	c.names = (const char *const *)names.v.v;
	c.n_names = names.v.n;
	rc = pd_tls_new(&c, &id->tls, err);
	if (rc == PD_OK)
		rc = pd_xds_listen(xds, o->secure_grpc_addr, pd_tls_credentials(id->tls), &port, err);
	if (rc == PD_OK)
		pd_info("xds", "listening on %s (port %u) with TLS", o->secure_grpc_addr, port);
	for (size_t i = 0; i < names.v.n; i++)
		free(names.v.v[i]);
	pd_vec_free(&names.v);
	return rc;
}

int identity_limit_tls(struct pd_buf *err)
{
	const struct pd_flag_list *l = &pd_ca_settings.suites;

	enum pd_tls_version min;
	int rc = pd_tls_version_parse(pd_ca_settings.min_version, &min, err);

	return rc == PD_OK ? pd_tls_limit(min, (const char *const *)l->v, l->n, err) : rc;
}

// ---- start and stop --------------------------------------------------------------------------------------------------------

static int start_service(struct identity *id, struct pd_xds *xds, const struct identity_options *o, struct pd_buf *err)
{
	struct pd_ca_config c = {.auth = o->auth,
				 .nodes = o->nodes,
				 .issuer = &id->issuer,
				 .trusted_accounts = pd_ca_settings.trusted_accounts};
	const struct pd_rpc_method *methods;
	size_t n;
	int rc;

	pd_authority_issuer(id->authority, &id->issuer);
	rc = pd_ca_service_new(&c, &id->service, err);
	if (rc != PD_OK)
		return rc;
	methods = pd_ca_service_methods(id->service, &n);
	pd_xds_add_methods(xds, methods, n);
	return PD_OK;
}

int identity_start(struct identity *id, struct pd_xds *xds, const struct identity_options *o, struct pd_buf *err)
{
	const struct pd_ca_settings *s = &pd_ca_settings;
	struct pd_ttl_rules rules = {s->default_ttl / SECOND_NS, s->max_ttl / SECOND_NS};
	bool files = *s->cert_file || *s->key_file;
	int rc = PD_OK;

	id->authority = pd_authority_new(&rules);
	identity_mesh(id, o->mesh);
	pd_ca_register_metrics(id->authority);
	if (s->enabled || (*o->secure_grpc_addr && !files))
		rc = open_ca(id, o, err);
	if (rc == PD_OK && s->enabled)
		rc = start_service(id, xds, o, err);
	if (rc == PD_OK && *o->secure_grpc_addr)
		rc = listen_tls(id, xds, o, err);
	return rc;
}

void identity_mesh(struct identity *id, const struct pd_mesh *mesh)
{
	struct pd_certs anchors = {0};
	struct pd_buf why = {0};

	for (size_t i = 0; i < mesh->config->n_ca_certificates; i++) {
		const Istio__MeshConfig__CertificateData *d = mesh->config->ca_certificates[i];
		if (d->certificate_data_case != ISTIO__MESH_CONFIG__CERTIFICATE_DATA__CERTIFICATE_DATA_PEM)
			continue;
		pd_buf_reset(&why);
		if (pd_certs_from_pem(d->pem, strlen(d->pem), &anchors, &why) != PD_OK)
			pd_warn("ca", "caCertificates[%zu] of the mesh configuration: %s", i, why.p);
	}
	pd_authority_set_anchors(id->authority, &anchors);
	pd_certs_free(&anchors);
	pd_buf_free(&why);
}

void identity_settle(struct identity *id)
{
	pd_cacerts_close(&id->cacerts);
	pd_selfsigned_close(&id->selfsigned);
}

void identity_stop(struct identity *id)
{
	pd_ca_service_free(&id->service);
	pd_tls_free(&id->tls);
	identity_settle(id);
	if (id->free_store)
		id->free_store(&id->store);
	pd_authority_free(&id->authority);
}
