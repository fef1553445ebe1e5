#include "discovery/tx.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"

void tx_depend(struct pd_tx *tx, pd_token token)
{
	pd_vec_push_a(tx->arena, &tx->tokens, token);
}

void tx_use(struct pd_tx *tx, const struct pd_object *o)
{
	if (o)
		pd_vec_push_a(tx->arena, &tx->used, o->key);
}

const struct pd_posting *tx_posting(struct pd_tx *tx, unsigned index, const char *key)
{
	tx_depend(tx, pd_token_make(index, key));
	return pd_config_posting(tx->snap->config, index, key);
}

const struct pd_object *tx_object(struct pd_tx *tx, enum pd_kind kind, const char *ns, const char *name)
{
	const char *cluster = tx->snap->settings->cluster;
	char key[1024];
	if (pd_object_key(key, sizeof(key), kind, cluster, ns, name) < 0)
		return NULL;
	tx_depend(tx, pd_token_make(PD_INDEX_OBJECT, key));
	return pd_config_get(tx->snap->config, kind, cluster, ns, name);
}

const Istio__MeshConfig *tx_mesh(struct pd_tx *tx)
{
	tx_depend(tx, pd_token_make(PD_IX_MESH, ""));
	return tx->snap->mesh->config;
}

bool tx_may_read_secrets(struct pd_tx *tx)
{
	const char *account = tx->view->verified_account;
	if (!*account || !tx->snap->access)
		return *account;
	tx_depend(tx, pd_token_make(PD_IX_ACCESS, pd_arena_printf(tx->arena, "%s/%s", tx->key->ns, account)));
	return pd_access_allowed(tx->snap->access, tx->key->ns, account);
}

const char *tx_locality(struct pd_tx *tx)
{
	tx->read_locality = true;
	return tx->key->locality;
}

const char *tx_node(struct pd_tx *tx)
{
	tx->read_node = true;
	return tx->key->node;
}

void tx_issue(struct pd_tx *tx, const struct pd_object *o, const char *field, const char *fmt, ...)
{
	if (!tx->issues)
		return;
	va_list ap;
	va_start(ap, fmt);
	char *reason = pd_arena_vprintf(tx->arena, fmt, ap);
	va_end(ap);
	struct pd_issue issue = {
		.severity = PD_ISSUE_WARNING,
		.origin = o->origin,
		.object = pd_arena_printf(tx->arena, "%s %s%s%s", pd_kind_info(o->key.kind)->kind, o->key.ns,
					  *o->key.ns ? "/" : "", o->key.name),
		.field = field,
		.reason = reason,
		.generation = o->generation,
	};
	pd_issues_add(tx->issues, &issue);
}

// ---- services ------------------------------------------------------------------------------------------------------

static void *derived(struct pd_tx *tx, enum pd_derived_index index, const char *key)
{
	tx_depend(tx, pd_token_make(index, key));
	return pd_registry_get(tx->snap->derived, index, key);
}

// Own namespace first, then Kubernetes, then the oldest (the list is in that order).
static bool better(const struct pd_service *a, const struct pd_service *b, const char *ns)
{
	bool a_own = a->ns == ns || pd_streq(a->ns, ns), b_own = pd_streq(b->ns, ns);
	if (a_own != b_own)
		return a_own;
	return a->kubernetes && !b->kubernetes;
}

const struct pd_service *tx_service(struct pd_tx *tx, const char *host)
{
	const struct pd_service_list *l = derived(tx, PD_IX_SERVICE, host);
	const struct pd_service *best = NULL;
	for (size_t i = 0; l && i < l->n; i++) {
		const struct pd_service *s = l->v[i];
		if (pd_export_visible(&s->export_to, tx->key->ns) && (!best || better(s, best, tx->key->ns)))
			best = s;
	}
	return best;
}

const struct pd_endpoints *tx_endpoints(struct pd_tx *tx, const char *host)
{
	return derived(tx, PD_IX_ENDPOINTS, host);
}

const struct pd_accounts *tx_accounts(struct pd_tx *tx, const char *host)
{
	return derived(tx, PD_IX_ACCOUNTS, host);
}

const struct pd_networks *tx_networks(struct pd_tx *tx)
{
	return derived(tx, PD_IX_NETWORKS, "");
}

struct host_list {
	struct pd_arena *arena;
	PD_VEC(const char *) v;
};

static bool collect_host(const char *host, struct pd_service_list *l, void *arg)
{
	struct host_list *hosts = arg;
	(void)l;
	pd_vec_push_a(hosts->arena, &hosts->v, host);
	return true;
}

static int cmp_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

void tx_each_service(struct pd_tx *tx, void (*fn)(struct pd_tx *tx, const struct pd_service *svc, void *arg), void *arg)
{
	struct host_list hosts = {.arena = tx->arena};
	size_t n_tokens = tx->tokens.n;
	pd_registry_each_service(tx->snap->derived, collect_host, &hosts);
	pd_sort(hosts.v.v, hosts.v.n, sizeof(hosts.v.v[0]), cmp_text);
	for (size_t i = 0; i < hosts.v.n; i++) {
		const struct pd_service *svc = tx_service(tx, hosts.v.v[i]);
		tx->tokens.n = n_tokens; // one token for all services stands for each
		if (!svc)
			continue;
		fn(tx, svc, arg);
		n_tokens = tx->tokens.n;
	}
	tx_depend(tx, pd_token_make(PD_IX_SERVICE, ""));
}

struct host_walk {
	struct pd_tx *tx;
	bool (*fn)(struct pd_tx *tx, const char *host, void *arg);
	void *arg;
};

static bool visit_host(const char *host, struct pd_service_list *l, void *arg)
{
	struct host_walk *w = arg;
	(void)l;
	return w->fn(w->tx, host, w->arg);
}

void tx_each_service_host(struct pd_tx *tx, bool (*fn)(struct pd_tx *tx, const char *host, void *arg), void *arg)
{
	struct host_walk w = {tx, fn, arg};
	tx_depend(tx, pd_token_make(PD_IX_SERVICE, ""));
	pd_registry_each_service(tx->snap->derived, visit_host, &w);
}

struct tx_service_targets tx_service_targets(struct pd_tx *tx)
{
	PD_ASSERT(tx->view);
	const struct pd_labels *labels = &tx->view->labels;
	PD_VEC(const struct pd_service *) found = {0};
	for (size_t i = 0; i < labels->n; i++) {
		const char *key =
			pd_arena_printf(tx->arena, "%s/%s=%s", tx->key->ns, labels->v[i].key, labels->v[i].value);
		const struct pd_service_list *l = derived(tx, PD_IX_TARGETS, key);
		for (size_t j = 0; l && j < l->n; j++)
			if (pd_labels_match(&l->v[j]->selector, labels))
				pd_vec_push_a(tx->arena, &found, l->v[j]);
	}
	pd_sort(found.v, found.n, sizeof(found.v[0]), pd_service_cmp_age);
	return (struct tx_service_targets){found.n, found.v};
}
