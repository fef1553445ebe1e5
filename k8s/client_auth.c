#include "k8s/client_auth.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/base64.h"
#include "base/clock.h"
#include "base/log.h"
#include "k8s/exec.h"

#define RETRY_FILES_MS 1000 // files that could not be used are looked at again

struct pd_k8s_auth {
	struct pd_k8s_config *config;
	struct pd_k8s_creds *current; // NULL = nothing yet
	bool refused;                 // the server does not want `current`
	bool broken;                  // the last look at the files failed
	uint64_t read_ms;             // of that look
	uint64_t generation, renewals;
	// The plugin, if the config has one.
	struct pd_k8s_exec_run *run;
	struct pd_k8s_exec_creds plugin; // what it gave last
	bool have_plugin;
	bool new_plugin;            // `plugin` is not in `current` yet
	int64_t plugin_got;         // wall clock
	uint64_t retry_at, backoff; // ms; backoff 0 = the last run went well
	struct pd_buf error;        // of the last run
};

static void pem_free(struct pd_k8s_pem *pem)
{
	pd_free_secret(pem->p, pem->len);
	*pem = (struct pd_k8s_pem){0};
}

void pd_k8s_creds_unref(struct pd_k8s_creds *c)
{
	if (!c || --c->refs)
		return;
	pem_free(&c->ca);
	pem_free(&c->cert);
	pem_free(&c->key);
	pd_free_secret(c->authorization, c->authorization ? strlen(c->authorization) : 0);
	free(c);
}

struct pd_k8s_auth *pd_k8s_auth_new(struct pd_k8s_config *config)
{
	struct pd_k8s_auth *a = pd_xcalloc(1, sizeof(*a));

	a->config = config;
	return a;
}

void pd_k8s_auth_free(struct pd_k8s_auth **ap)
{
	struct pd_k8s_auth *a = *ap;

	*ap = NULL;
	if (!a)
		return;
	pd_k8s_exec_free(&a->run);
	pd_k8s_exec_creds_free(&a->plugin);
	pd_k8s_creds_unref(a->current);
	pd_k8s_config_free(&a->config);
	pd_buf_free(&a->error);
	free(a);
}

uint64_t pd_k8s_auth_renewals(const struct pd_k8s_auth *a)
{
	return a->renewals;
}

// ---- a snapshot from config, files and plugin

static int load_text(const struct pd_k8s_text *t, struct pd_k8s_pem *out, struct pd_buf *err)
{
	if (t->data) {
		out->p = pd_xstrndup(t->data, t->len);
		out->len = t->len;
		return PD_OK;
	}
	return t->file ? pd_k8s_text_read(t, PD_K8S_PEM_MAX_BYTES, &out->p, &out->len, err) : PD_OK;
}

// A token is one word: what is around it is white space of its file. Returns its length or 0 if it is none.
static size_t token_bounds(const char *p, size_t len, const char **start)
{
	while (len && isspace((unsigned char)*p))
		p++, len--;
	while (len && isspace((unsigned char)p[len - 1]))
		len--;
	for (size_t i = 0; i < len; i++)
		if (p[i] <= ' ' || p[i] == 0x7f)
			return 0;
	*start = p;
	return len;
}

static char *header_line(const char *scheme, const char *value, size_t len)
{
	size_t size = strlen("Authorization: ") + strlen(scheme) + 1 + len + 1;
	char *line = pd_xmalloc(size);

	snprintf(line, size, "Authorization: %s %.*s", scheme, (int)len, value);
	return line;
}

static int bearer(const char *token, size_t len, char **line)
{
	const char *start;

	len = token_bounds(token, len, &start);
	if (!len)
		return PD_E_INVALID;
	*line = header_line("Bearer", start, len);
	return PD_OK;
}

static char *basic(const char *user, const char *password)
{
	struct pd_buf plain = {0}, coded = {0};
	char *line;

	pd_buf_printf(&plain, "%s:%s", user, pd_or(password, ""));
	pd_base64_encode(&coded, (const uint8_t *)plain.p, plain.n);
	line = header_line("Basic", coded.p, coded.n);
	explicit_bzero(plain.p, plain.n);
	explicit_bzero(coded.p, coded.n);
	pd_buf_free(&plain);
	pd_buf_free(&coded);
	return line;
}

// The token of the file; while that is unreadable or empty, the one of the config.
static int config_token(const struct pd_k8s_text *t, char **line, struct pd_buf *err)
{
	char *text = NULL;
	size_t len = 0;
	int rc = PD_E_NOTFOUND;

	if (t->file) {
		rc = pd_k8s_text_read(t, PD_K8S_TOKEN_MAX_BYTES, &text, &len, err);
		if (!rc && (rc = bearer(text, len, line)))
			pd_buf_printf(err, "%s: %s holds no token", t->name, t->file);
		pd_free_secret(text, len);
	}
	if (rc && t->data) {
		pd_buf_reset(err);
		if ((rc = bearer(t->data, t->len, line)))
			pd_buf_printf(err, "%s: not a token", t->name);
	}
	return rc == PD_E_NOTFOUND ? PD_OK : rc;
}

static int load_authorization(struct pd_k8s_auth *a, struct pd_k8s_creds *c, struct pd_buf *err)
{
	const struct pd_k8s_config *config = a->config;

	if (a->have_plugin && a->plugin.token) {
		c->authorization = header_line("Bearer", a->plugin.token, strlen(a->plugin.token));
		return PD_OK;
	}
	if (config->username) {
		c->authorization = basic(config->username, config->password);
		return PD_OK;
	}
	return config_token(&config->token, &c->authorization, err);
}

static int load_pair(struct pd_k8s_auth *a, struct pd_k8s_creds *c, struct pd_buf *err)
{
	int rc;

	if (a->have_plugin && a->plugin.cert) {
		c->cert = (struct pd_k8s_pem){pd_xstrdup(a->plugin.cert), strlen(a->plugin.cert)};
		c->key = (struct pd_k8s_pem){pd_xstrdup(a->plugin.key), strlen(a->plugin.key)};
		return PD_OK; // the plugin's reader checked it
	}
	if ((rc = load_text(&a->config->cert, &c->cert, err)) || (rc = load_text(&a->config->key, &c->key, err)))
		return rc;
	if (!c->cert.p)
		return PD_OK;
	rc = pd_k8s_check_pair(c->cert.p, c->cert.len, c->key.p, c->key.len, err);
	if (rc)
		pd_buf_printf(err, " (%s, %s)", a->config->cert.name, a->config->key.name);
	return rc;
}

static int load(struct pd_k8s_auth *a, struct pd_k8s_creds **out, struct pd_buf *err)
{
	struct pd_k8s_creds *c = pd_xcalloc(1, sizeof(*c));
	int rc = load_text(&a->config->ca, &c->ca, err);

	c->refs = 1;
	if (!rc && c->ca.p && (rc = pd_k8s_check_ca(c->ca.p, c->ca.len, err)))
		pd_buf_printf(err, " (%s)", a->config->ca.name);
	if (!rc)
		rc = load_pair(a, c, err);
	if (!rc)
		rc = load_authorization(a, c, err);
	c->expires = a->have_plugin ? a->plugin.expires : 0;
	if (rc)
		pd_k8s_creds_unref(c);
	else
		*out = c;
	return rc;
}

static bool pem_equal(const struct pd_k8s_pem *a, const struct pd_k8s_pem *b)
{
	return a->len == b->len && (!a->len || !memcmp(a->p, b->p, a->len));
}

static bool creds_equal(const struct pd_k8s_creds *a, const struct pd_k8s_creds *b)
{
	return pem_equal(&a->ca, &b->ca) && pem_equal(&a->cert, &b->cert) && pem_equal(&a->key, &b->key) &&
	       a->expires == b->expires && pd_streq(a->authorization, b->authorization);
}

// Looks at everything again. What was refused gets a new generation even if it is the same: then others who were refused
// with it know that it was looked at.
static int renew(struct pd_k8s_auth *a, struct pd_buf *err)
{
	struct pd_k8s_creds *c;
	int rc = load(a, &c, err);

	a->read_ms = pd_now_ms();
	a->broken = rc != PD_OK;
	if (rc)
		return rc;
	a->new_plugin = false;
	if (a->current && creds_equal(a->current, c) && !a->refused) {
		pd_k8s_creds_unref(c);
		return PD_OK;
	}
	a->renewals += !a->current || !creds_equal(a->current, c);
	a->refused = false;
	c->generation = ++a->generation;
	pd_k8s_creds_unref(a->current);
	a->current = c;
	return PD_OK;
}

// ---- the plugin

static bool expired(int64_t expires, int64_t margin_ns)
{
	return expires && pd_wall_ns() >= expires - margin_ns;
}

static bool plugin_wanted(const struct pd_k8s_auth *a)
{
	int64_t life = a->plugin.expires - a->plugin_got, margin = (int64_t)PD_K8S_EXPIRY_MARGIN_MS * 1000000;

	if (a->new_plugin)
		return false;
	return !a->have_plugin || a->refused || expired(a->plugin.expires, life / 5 < margin ? life / 5 : margin);
}

static void plugin_failed(struct pd_k8s_auth *a)
{
	a->backoff = a->backoff ? a->backoff * 2 : PD_K8S_EXEC_RETRY_MS;
	if (a->backoff > PD_K8S_EXEC_RETRY_MAX_MS)
		a->backoff = PD_K8S_EXEC_RETRY_MAX_MS;
	a->retry_at = pd_now_ms() + a->backoff;
	pd_warn("k8s", "%s: %s", a->config->origin, a->error.p);
}

static void plugin_start(struct pd_k8s_auth *a)
{
	if (a->run || pd_now_ms() < a->retry_at)
		return;
	pd_buf_reset(&a->error);
	if (pd_k8s_exec_start(a->config, 0, &a->run, &a->error))
		plugin_failed(a);
}

void pd_k8s_auth_step(struct pd_k8s_auth *a)
{
	struct pd_k8s_exec_creds got = {0};
	int rc;

	if (!a->run)
		return;
	rc = pd_k8s_exec_step(a->run, &got, &a->error);
	if (rc == PD_E_AGAIN)
		return;
	pd_k8s_exec_free(&a->run);
	if (!rc && expired(got.expires, 0)) { // else it would run again and again
		pd_buf_printf(&a->error, "%s: the credential has expired already", a->config->exec->command);
		pd_k8s_exec_creds_free(&got);
		rc = PD_E_INVALID;
	}
	if (rc) {
		plugin_failed(a);
		return;
	}
	a->backoff = a->retry_at = 0;
	pd_k8s_exec_creds_free(&a->plugin);
	a->plugin = got;
	a->plugin_got = pd_wall_ns();
	a->have_plugin = a->new_plugin = true;
}

unsigned pd_k8s_auth_poll(const struct pd_k8s_auth *a, struct pollfd fds[2], int *timeout_ms)
{
	return a->run ? pd_k8s_exec_poll(a->run, fds, timeout_ms) : 0;
}

// ---- for calls

static bool usable(const struct pd_k8s_auth *a)
{
	return a->current && !a->refused && !expired(a->current->expires, 0);
}

static int give(struct pd_k8s_auth *a, struct pd_k8s_creds **out)
{
	a->current->refs++;
	*out = a->current;
	return PD_OK;
}

// Whether files are due, or the plugin's news.
static bool look_due(const struct pd_k8s_auth *a)
{
	if (!a->current || a->refused || a->new_plugin)
		return true;
	return pd_now_ms() - a->read_ms >= (a->broken ? RETRY_FILES_MS : PD_K8S_FILES_MS);
}

int pd_k8s_auth_get(struct pd_k8s_auth *a, struct pd_k8s_creds **out, struct pd_buf *err)
{
	struct pd_buf why = {0};

	if (a->config->exec && plugin_wanted(a)) {
		plugin_start(a);
		if (usable(a))
			return give(a, out);
		if (a->run)
			return PD_E_AGAIN;
		pd_buf_adds(err, a->error.p);
		return PD_E_DENIED;
	}
	if (look_due(a) && renew(a, &why)) {
		if (!usable(a)) {
			pd_buf_printf(err, "%s: %s", a->config->origin, why.p);
			pd_buf_free(&why);
			return PD_E_DENIED;
		}
		pd_warn("k8s", "%s: %s; what was read before stays in force", a->config->origin, why.p);
	}
	pd_buf_free(&why);
	return give(a, out);
}

bool pd_k8s_auth_refused(struct pd_k8s_auth *a, uint64_t generation)
{
	const struct pd_k8s_config *c = a->config;

	if (!a->current || generation != a->current->generation)
		return true; // there are newer ones already
	if (!c->exec && !c->token.file && !(c->cert.file && !c->cert.data))
		return false;
	a->refused = true;
	return true;
}
