#include "ca/cacerts.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ca/pem.h"
#include "ca/watch.h"
#include "config/file.h"

enum role { CERT, KEY, CHAIN, ROOTS, ROLES };

static const char *const pem_names[ROLES] = {"ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"};
static const char *const tls_names[ROLES] = {"tls.crt", "tls.key", "ca.crt", "ca.crt"};

struct pd_cacerts {
	char *folder;
	struct pd_authority *authority;
	bool multi_root;
	struct pd_watch *watch;
	pthread_mutex_t mu;    // one reload at a time; guards
	struct pd_certs roots; // in force
};

// A set of files, read.
struct set {
	char *text[ROLES];
	size_t len[ROLES];
	bool tls; // the second layout
	struct pd_certs cert, chain, roots;
	EVP_PKEY *key;
};

static void set_free(struct set *s)
{
	for (int r = 0; r < ROLES; r++)
		pd_free_secret(s->text[r], s->len[r]);
	pd_certs_free(&s->cert);
	pd_certs_free(&s->chain);
	pd_certs_free(&s->roots);
	EVP_PKEY_free(s->key);
}

// ---- reading ---------------------------------------------------------------------------------------------------------------

static bool any_exists(const char *folder, const char *const *names)
{
	bool found = false;

	for (int r = 0; r < ROLES && !found; r++) {
		char *path = pd_xasprintf("%s/%s", folder, names[r]);
		struct stat st;
		found = stat(path, &st) == 0;
		free(path);
	}
	return found;
}

static int read_file(const char *folder, const char *name, char **text, size_t *len, struct pd_buf *why)
{
	char *path = pd_xasprintf("%s/%s", folder, name);
	struct stat st;
	int rc = pd_file_read(path, PD_PEM_INPUT_MAX, text, len, &st);

	if (rc != PD_OK)
		pd_buf_printf(why, "%s: %s", path, rc == PD_E_IO ? strerror(errno) : pd_strerror(rc));
	free(path);
	return rc;
}

static int read_files(const char *folder, struct set *s, struct pd_buf *why)
{
	const char *const *names = pem_names;
	int rc = PD_OK;

	if (!any_exists(folder, pem_names)) {
		if (!any_exists(folder, tls_names))
			return PD_E_NOTFOUND;
		names = tls_names;
		s->tls = true;
	}
	for (int r = 0; r < ROLES && rc == PD_OK; r++)
		rc = read_file(folder, names[r], &s->text[r], &s->len[r], why);
	return rc;
}

static int parse_certs(const struct set *s, enum role r, struct pd_certs *out, struct pd_buf *why)
{
	int rc = pd_certs_from_pem(s->text[r], s->len[r], out, why);

	if (rc != PD_OK)
		pd_buf_printf(why, " (%s)", s->tls ? tls_names[r] : pem_names[r]);
	return rc;
}

static int parse(struct set *s, struct pd_buf *why)
{
	int rc = parse_certs(s, CERT, &s->cert, why);

	if (rc == PD_OK && s->tls) // the whole of tls.crt, then ca.crt
		rc = parse_certs(s, CERT, &s->chain, why);
	if (rc == PD_OK && !pd_pem_only_blanks(s->text[CHAIN], s->text[CHAIN] + s->len[CHAIN]))
		rc = parse_certs(s, CHAIN, &s->chain, why);
	if (rc == PD_OK)
		rc = parse_certs(s, ROOTS, &s->roots, why);
	if (rc == PD_OK)
		rc = pd_key_from_pem(s->text[KEY], s->len[KEY], &s->key, why);
	return rc;
}

static int check(const struct set *s, int64_t now_s, struct pd_buf *why)
{
	X509 *cert = s->cert.v.v[0];
	int rc = pd_cert_check_key(cert, s->key, why);

	if (rc == PD_OK)
		rc = pd_cert_check_ca(cert, now_s, why);
	return rc == PD_OK ? pd_cert_check_chain(cert, &s->chain, &s->roots, now_s, why) : rc;
}

static int read_set(const char *folder, int64_t now_s, struct set *s, struct pd_buf *why)
{
	int rc = read_files(folder, s, why);

	if (rc == PD_OK)
		rc = parse(s, why);
	return rc == PD_OK ? check(s, now_s, why) : rc;
}

// ---- accepting -------------------------------------------------------------------------------------------------------------

static bool contains(const struct pd_certs *all, const struct pd_certs *some)
{
	for (size_t i = 0; i < some->v.n; i++)
		if (!pd_certs_contain(all, some->v.v[i]))
			return false;
	return true;
}

static int accept_roots(const struct pd_cacerts *c, const struct pd_certs *roots, struct pd_buf *why)
{
	bool grows = contains(roots, &c->roots), shrinks = contains(&c->roots, roots);

	if (grows && shrinks)
		return PD_OK;
	if (!c->multi_root) {
		pd_buf_adds(why, "the roots are others, and ISTIO_MULTIROOT_MESH is not set");
		return PD_E_DENIED;
	}
	if (!grows && !shrinks) {
		pd_buf_adds(why, "neither do the new roots contain the old ones nor the reverse");
		return PD_E_DENIED;
	}
	return PD_OK;
}

static void publish(struct pd_cacerts *c, const struct set *s)
{
	struct pd_signer *signer = pd_signer_new(s->cert.v.v[0], s->key, &s->chain);

	pd_certs_free(&c->roots);
	for (size_t i = 0; i < s->roots.v.n; i++)
		pd_certs_add(&c->roots, s->roots.v.v[i]);
	pd_authority_publish(c->authority, signer, &c->roots);
	pd_signer_unref(&signer);
}

int pd_cacerts_reload(struct pd_cacerts *c, int64_t now_s, struct pd_buf *why)
{
	struct set s = {0};
	int rc;

	pthread_mutex_lock(&c->mu);
	rc = read_set(c->folder, now_s, &s, why);
	if (rc == PD_E_NOTFOUND)
		pd_buf_printf(why, "%s has no CA certificates any more", c->folder);
	if (rc == PD_OK && c->roots.v.n)
		rc = accept_roots(c, &s.roots, why);
	if (rc == PD_OK)
		publish(c, &s);
	pthread_mutex_unlock(&c->mu);
	set_free(&s);
	return rc;
}

// ---- life ------------------------------------------------------------------------------------------------------------------

static void changed(void *arg)
{
	struct pd_cacerts *c = arg;
	struct pd_buf why = {0};

	if (pd_cacerts_reload(c, pd_wall_ns() / 1000000000, &why) == PD_OK)
		pd_info("ca", "%s: new CA certificates are in force", c->folder);
	else
		pd_error("ca", "%s: the new CA certificates are refused, those before stay in force: %s", c->folder,
			 why.p);
	pd_buf_free(&why);
}

int pd_cacerts_open(const struct pd_cacerts_config *config, int64_t now_s, struct pd_cacerts **out, struct pd_buf *why)
{
	struct pd_cacerts *c = pd_xcalloc(1, sizeof(*c));
	int rc;

	c->folder = pd_xstrdup(config->folder);
	c->authority = config->authority;
	c->multi_root = config->multi_root;
	pthread_mutex_init(&c->mu, NULL);
	rc = pd_cacerts_reload(c, now_s, why);
	*out = c;
	if (rc != PD_OK)
		pd_cacerts_close(out);
	return rc;
}

void pd_cacerts_start(struct pd_cacerts *c)
{
	char *paths[ROLES + 3];
	size_t n = 0;

	for (int r = 0; r < ROLES; r++)
		paths[n++] = pd_xasprintf("%s/%s", c->folder, pem_names[r]);
	for (int r = 0; r < ROOTS; r++)
		paths[n++] = pd_xasprintf("%s/%s", c->folder, tls_names[r]);
	c->watch = pd_watch_start((const char *const *)paths, n, changed, c);
	while (n)
		free(paths[--n]);
}

void pd_cacerts_close(struct pd_cacerts **cp)
{
	struct pd_cacerts *c = *cp;

	if (!c)
		return;
	*cp = NULL;
	pd_watch_stop(&c->watch);
	pd_certs_free(&c->roots);
	pthread_mutex_destroy(&c->mu);
	free(c->folder);
	free(c);
}
