#include "registry_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "config/decode.h"
#include "discovery/registry/internal.h"

// ---- life -----------------------------------------------------------------------------------------------------------

static void mesh_release(struct pd_obj *o)
{
	(void)o;
}

void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->store = pd_store_new(pd_indexes, pd_indexes_n);
	w->registry = pd_registry_new("cluster.local", "Kubernetes");
	w->issues = pd_issues_new();
	w->cluster = "Kubernetes";
	istio__mesh_config__init(&w->mesh_config);
	w->export_all[0] = (char *)"*";
	w->mesh_config.n_default_service_export_to = 1;
	w->mesh_config.default_service_export_to = w->export_all;
	pd_obj_init(&w->mesh.obj, mesh_release);
	w->mesh.config = &w->mesh_config;
	w->mesh.root_namespace = "istio-system";
	w->mesh.trust_domain = "cluster.local";
	w->mesh.domain_suffix = "cluster.local";
	w->mesh.hash = 1;
}

void world_free(struct world *w)
{
	pd_hamt_unref(w->map);
	pd_registry_free(&w->registry);
	pd_store_free(&w->store);
	pd_issues_free(&w->issues);
	free(w->tokens.v);
}

int world_setup(void **state)
{
	struct world *w = pd_xmalloc(sizeof(*w));

	world_init(w);
	*state = w;
	return 0;
}

int world_teardown(void **state)
{
	world_free(*state);
	free(*state);
	return 0;
}

// ---- changes --------------------------------------------------------------------------------------------------------

void world_changes(struct world *w, struct pd_change *v, size_t n)
{
	struct pd_changeset set = {0};
	struct pd_config_snap *snap;

	pd_store_apply(w->store, v, n, &set);
	snap = pd_store_snapshot(w->store);
	w->tokens.n = 0;
	pd_registry_apply(w->registry, snap, &set, &w->mesh, &w->tokens);
	pd_hamt_unref(w->map);
	w->map = pd_registry_map(w->registry);
	pd_config_snap_unref(snap);
	pd_changeset_free(&set);
}

void world_mesh_changed(struct world *w)
{
	w->mesh.hash++;
	world_changes(w, NULL, 0);
}

static void print_issue(const struct pd_issue *i, void *arg)
{
	(void)arg;
	printf("%s: %s %s: %s\n", i->origin, i->object, i->field, i->reason);
}

void world_decode(struct world *w, const char *yaml, struct pd_decoded_text *out)
{
	struct pd_decode_config cfg = {.cluster = w->cluster, .origin = "test.yaml", .issues = w->issues};

	pd_decode_text(&cfg, yaml, strlen(yaml), out);
	if (pd_issues_count(w->issues))
		pd_issues_each(w->issues, print_issue, NULL);
	assert_int_equal(pd_issues_count(w->issues), 0);
}

void world_apply(struct world *w, const char *yaml)
{
	struct pd_decoded_text text = {0};
	struct pd_change *v;

	world_decode(w, yaml, &text);
	v = pd_xcalloc(text.items.n, sizeof(*v));
	for (size_t i = 0; i < text.items.n; i++) {
		assert_non_null(text.items.v[i].object);
		v[i].key = text.items.v[i].object->key;
		v[i].next = pd_obj_ref(text.items.v[i].object);
	}
	world_changes(w, v, text.items.n);
	free(v);
	pd_decoded_text_free(&text);
}

void world_apply_file(struct world *w, const char *path)
{
	struct pd_buf text = {0};
	char piece[4096];
	size_t n;
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	while ((n = fread(piece, 1, sizeof(piece), f)))
		pd_buf_add(&text, piece, n);
	fclose(f);
	world_apply(w, text.p);
	pd_buf_free(&text);
}

void world_delete(struct world *w, enum pd_kind kind, const char *ns, const char *name)
{
	struct pd_change c = {.key = {.kind = kind,
				      .cluster = pd_intern("Kubernetes"),
				      .ns = pd_intern(ns),
				      .name = pd_intern(name)}};

	world_changes(w, &c, 1);
	pd_unintern(c.key.cluster);
	pd_unintern(c.key.ns);
	pd_unintern(c.key.name);
}

// ---- looking --------------------------------------------------------------------------------------------------------

struct pd_service *world_service(struct world *w, const char *host)
{
	struct pd_service_list *l = pd_registry_get(w->map, PD_IX_SERVICE, host);

	assert_non_null(l);
	return l->v[0];
}

struct pd_endpoints *world_endpoints(struct world *w, const char *host)
{
	return pd_registry_get(w->map, PD_IX_ENDPOINTS, host);
}

bool world_touched(const struct world *w, enum pd_derived_index index, const char *key)
{
	for (size_t i = 0; i < w->tokens.n; i++)
		if (w->tokens.v[i] == pd_token_make(index, key))
			return true;
	return false;
}

const char *world_oracle(void)
{
	static char path[4096];
	struct stat st;

	snprintf(path, sizeof(path), "%s/oracle", pd_or(getenv("PD_SHARED"), "../shared"));
	return stat(path, &st) ? NULL : path;
}

static const char *const health[] = {"HEALTHY", "UNHEALTHY", "DRAINING", "TERMINATING", "UNKNOWN"};

char *world_list(struct world *w, const char *host)
{
	const struct pd_endpoints *e = world_endpoints(w, host);
	struct pd_buf b = {0};

	pd_buf_adds(&b, "");
	for (size_t i = 0; e && i < e->n; i++) {
		const struct pd_endpoint *p = &e->v[i];
		const struct pd_workload *l = p->workload;

		pd_buf_printf(&b, "%s:%u/%s %s", p->address, p->port, p->port_name, health[p->health]);
		if (*l->locality)
			pd_buf_printf(&b, " @%s", l->locality);
		if (p->weight)
			pd_buf_printf(&b, " x%u", p->weight);
		pd_buf_printf(&b, " %s;%s;%s;%s%s\n", l->workload_name, l->ns, l->canonical_name, l->canonical_revision,
			      l->tls_istio ? " tls" : "");
	}
	return b.p;
}

void world_expect(struct world *w, const char *host, const char *want)
{
	char *got = world_list(w, host);

	assert_string_equal(got, want);
	free(got);
}

// ---- the whole map as text --------------------------------------------------------------------------------------------

static void dump_strings(struct pd_buf *b, const char *name, const char *const *v, size_t n)
{
	pd_buf_printf(b, " %s[", name);
	for (size_t i = 0; i < n; i++)
		pd_buf_printf(b, "%s ", v[i]);
	pd_buf_adds(b, "]");
}

static void dump_labels(struct pd_buf *b, const char *name, const struct pd_labels *l)
{
	pd_buf_printf(b, " %s{", name);
	for (size_t i = 0; i < l->n; i++)
		pd_buf_printf(b, "%s=%s ", l->v[i].key, l->v[i].value);
	pd_buf_adds(b, "}");
}

static void dump_source(struct pd_buf *b, const struct pd_object *o)
{
	pd_buf_printf(b, " source %d/%s/%s/%s#%llx", o->key.kind, o->key.cluster, o->key.ns, o->key.name,
		      (unsigned long long)o->hash);
}

static void dump_service(struct pd_buf *b, const struct pd_service *s)
{
	pd_buf_printf(b, "  %s %s %s %s %lld k%d x%d r%d l%d n%d d%d %s %s #%llx", s->host, s->name, s->ns, s->cluster,
		      (long long)s->created_ns, s->kubernetes, s->mesh_external, s->resolution, s->node_local,
		      s->publish_not_ready, s->drains, pd_or(s->traffic_distribution, "-"), pd_or(s->alias_of, "-"),
		      (unsigned long long)s->hash);
	dump_strings(b, "vips", s->vips, s->n_vips);
	dump_strings(b, "auto", s->auto_vips, s->n_auto_vips);
	for (size_t i = 0; i < s->n_ports; i++)
		pd_buf_printf(b, " %s:%u>%u%s/%d", s->ports[i].name, s->ports[i].port, s->ports[i].target_port,
			      pd_or(s->ports[i].target_name, ""), s->ports[i].protocol);
	dump_labels(b, "selector", &s->selector);
	dump_labels(b, "labels", &s->labels);
	pd_buf_printf(b, " export %d%d", s->export_to.all, s->export_to.none);
	dump_strings(b, "to", s->export_to.ns, s->export_to.n);
	dump_strings(b, "aliases", s->aliases, s->n_aliases);
	dump_strings(b, "sans", s->sans, s->n_sans);
	dump_source(b, s->source);
	pd_buf_adds(b, "\n");
}

static void dump_workload(struct pd_buf *b, const struct pd_workload *w)
{
	pd_buf_printf(b, " (%s|%s|%s|%s|%s|%s|%s|%s|%s|%s|%s|%s|%s t%d p%d #%llx", w->name, w->ns, w->cluster,
		      w->workload_name, w->service_account, w->spiffe, w->node, w->network, w->locality,
		      w->canonical_name, w->canonical_revision, w->hostname, w->subdomain, w->tls_istio, w->has_pod,
		      (unsigned long long)w->hash);
	dump_labels(b, "", &w->labels);
	dump_strings(b, "", w->ips, w->n_ips);
	pd_buf_adds(b, ")");
}

static void dump_endpoints(struct pd_buf *b, const struct pd_endpoints *e)
{
	pd_buf_printf(b, "  ns %s #%llx\n", e->ns, (unsigned long long)e->hash);
	for (size_t i = 0; i < e->n; i++) {
		const struct pd_endpoint *p = &e->v[i];

		pd_buf_printf(b, "  %s:%u %s %s w%u h%d", p->address, p->port, p->port_name, pd_or(p->hostname, "-"),
			      p->weight, p->health);
		dump_source(b, p->source);
		dump_workload(b, p->workload);
		pd_buf_adds(b, "\n");
	}
}

struct lines {
	char **v;
	size_t n, cap;
};

static bool dump_entry(const char *key, void *value, void *arg)
{
	void (*release)(struct pd_obj *) = ((struct pd_obj *)value)->release;
	struct lines *lines = arg;
	struct pd_buf b = {0};

	if (release == pd_reg_service_list_release) {
		const struct pd_service_list *l = value;

		pd_buf_printf(&b, "services %s\n", key);
		for (size_t i = 0; i < l->n; i++)
			dump_service(&b, l->v[i]);
	} else if (release == pd_reg_endpoints_release) {
		pd_buf_printf(&b, "endpoints %s\n", key);
		dump_endpoints(&b, value);
	} else if (release == pd_reg_accounts_release) {
		const struct pd_accounts *a = value;

		pd_buf_printf(&b, "accounts %s", key);
		dump_strings(&b, "", a->v, a->n);
		pd_buf_adds(&b, "\n");
	} else {
		assert_true(release == pd_reg_workload_release);
		pd_buf_printf(&b, "workload %s", key);
		dump_workload(&b, value);
		pd_buf_adds(&b, "\n");
	}
	pd_vec_push(lines, b.p);
	return true;
}

static int cmp_line(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char *world_dump(pd_hamt map)
{
	struct lines lines = {0};
	struct pd_buf out = {0};

	pd_hamt_each(map, dump_entry, &lines);
	pd_buf_adds(&out, "");
	if (lines.n)
		qsort(lines.v, lines.n, sizeof(*lines.v), cmp_line);
	for (size_t i = 0; i < lines.n; i++) {
		pd_buf_adds(&out, lines.v[i]);
		free(lines.v[i]);
	}
	pd_vec_free(&lines);
	return out.p;
}
