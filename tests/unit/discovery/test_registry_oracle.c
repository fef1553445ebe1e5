// Services and endpoints that come out of the recordings' objects, against what istiod made of them. What translators do
// (subsets, locality priorities, other networks) is not looked at here.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "api/json.h"
#include "base/str.h"
#include "base/vec.h"
#include "registry_world.h"

struct lines {
	char **v;
	size_t n, cap;
};

static int cmp_line(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *join(struct lines *l)
{
	struct pd_buf b = {0};

	pd_buf_adds(&b, "");
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), cmp_line);
	for (size_t i = 0; i < l->n; i++) {
		pd_buf_printf(&b, "%s\n", l->v[i]);
		free(l->v[i]);
	}
	pd_vec_free(l);
	return b.p;
}

// ---- recordings -------------------------------------------------------------------------------------------------------

static struct pd_json *read_json(struct pd_arena *a, const char *path)
{
	struct pd_json_error err;
	struct pd_json *out = NULL;
	struct pd_buf text = {0};
	char piece[4096];
	size_t n;
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	while ((n = fread(piece, 1, sizeof(piece), f)))
		pd_buf_add(&text, piece, n);
	fclose(f);
	assert_int_equal(pd_json_parse(a, text.p, text.n, &out, &err), PD_OK);
	pd_buf_free(&text);
	return out;
}

static struct pd_json *member(const struct pd_json *j, const char *const *path)
{
	struct pd_json *m = (struct pd_json *)j;

	for (; m && *path; path++)
		m = pd_json_get(m, *path);
	return m;
}
#define MEMBER(j, ...) member(j, (const char *const[]){__VA_ARGS__, NULL})

static const char *text_of(const struct pd_json *j)
{
	return j && j->type == PD_JSON_STRING ? j->s : "";
}

static long number_of(const struct pd_json *j)
{
	return j && j->type == PD_JSON_INT ? (long)j->i : 0;
}

// "10.1.0.61:8080 HEALTHY us-west/us-west-1a/ x1 name;ns;canonical;revision;cluster tls" for each endpoint.
static char *recorded(const struct pd_json *cla)
{
	struct lines lines = {0};
	const struct pd_json *groups = pd_json_get(cla, "endpoints");

	for (const struct pd_json *g = groups ? groups->first : NULL; g; g = g->next) {
		const struct pd_json *where = pd_json_get(g, "locality"), *eps = pd_json_get(g, "lb_endpoints");

		for (const struct pd_json *e = eps ? eps->first : NULL; e; e = e->next) {
			const struct pd_json *addr = MEMBER(e, "endpoint", "address", "socket_address");
			const struct pd_json *meta = MEMBER(e, "metadata", "filter_metadata");

			pd_vec_push(&lines,
				    pd_xasprintf("%s:%ld %s %s/%s/%s x%ld %s %s", text_of(pd_json_get(addr, "address")),
						 number_of(pd_json_get(addr, "port_value")),
						 text_of(pd_json_get(e, "health_status")),
						 text_of(pd_json_get(where, "region")),
						 text_of(pd_json_get(where, "zone")),
						 text_of(pd_json_get(where, "sub_zone")),
						 number_of(pd_json_get(e, "load_balancing_weight")),
						 text_of(MEMBER(meta, "istio", "workload")),
						 text_of(MEMBER(meta, "envoy.transport_socket_match", "tlsMode"))));
		}
	}
	return join(&lines);
}

static char *known(struct world *w, const struct pd_service *s, const struct pd_port *port)
{
	static const char *const health[] = {"HEALTHY", "UNHEALTHY", "DRAINING", "TERMINATING", ""};
	const struct pd_endpoints *e = world_endpoints(w, s->host);
	struct lines lines = {0};

	for (size_t i = 0; e && i < e->n; i++) {
		const struct pd_endpoint *p = &e->v[i];
		const struct pd_workload *l = p->workload;
		char place[3][64] = {{0}};

		if (!pd_streq(p->port_name, port->name) || p->source->key.ns != s->ns || p->health == PD_TERMINATING)
			continue;
		sscanf(l->locality, "%63[^/]/%63[^/]/%63[^/]", place[0], place[1], place[2]);
		pd_vec_push(&lines, pd_xasprintf("%s:%u %s %s/%s/%s x%u %s;%s;%s;%s;Kubernetes %s", p->address, p->port,
						 health[p->health], place[0], place[1], place[2],
						 p->weight ? p->weight : 1, l->workload_name, l->ns, l->canonical_name,
						 pd_streq(l->canonical_revision, "latest") ? "" : l->canonical_revision,
						 l->tls_istio ? "istio" : ""));
	}
	return join(&lines);
}

// ---- comparing ----------------------------------------------------------------------------------------------------------

struct scenario {
	struct world w;
	struct lines clusters;
};

static bool add_clusters(const char *host, struct pd_service_list *l, void *arg)
{
	struct scenario *sc = arg;

	for (size_t i = 0; i < l->n; i++) {
		const struct pd_service *s = l->v[i];

		if (s->resolution == PD_RES_ALIAS || !pd_export_visible(&s->export_to, "default"))
			continue;
		for (size_t k = 0; k < s->n_ports; k++)
			if (s->ports[k].protocol != PD_PROTO_UDP)
				pd_vec_push(&sc->clusters, pd_xasprintf("outbound|%u||%s", s->ports[k].port, host));
		break;
	}
	return true;
}

// True for "outbound|PORT||HOST".
static bool plain(const char *name, unsigned *port, char *host)
{
	return sscanf(name, "outbound|%u||%255s", port, host) == 2;
}

static void compare_clusters(struct scenario *sc, const struct pd_json *clusters)
{
	struct lines want = {0};
	char host[256], *a, *b;
	unsigned port;

	for (const struct pd_json *c = clusters->first; c; c = c->next)
		if (plain(c->key, &port, host))
			pd_vec_push(&want, pd_xstrdup(c->key));
	pd_registry_each_service(sc->w.map, add_clusters, sc);
	a = join(&sc->clusters);
	b = join(&want);
	assert_string_equal(a, b);
	free(a);
	free(b);
}

static size_t compare_endpoints(struct scenario *sc, const char *name, const struct pd_json *cla)
{
	const struct pd_service *s;
	char host[256], *a, *b;
	unsigned port;

	if (!plain(name, &port, host))
		return 0;
	s = world_service(&sc->w, host);
	if (s->node_local)
		return 0;
	a = known(&sc->w, s, pd_service_port(s, port));
	b = recorded(cla);
	assert_string_equal(a, b);
	free(a);
	free(b);
	return 1;
}

static void run(const char *name, const char *node, bool endpoints)
{
	struct pd_arena arena = {0};
	struct scenario sc = {0};
	struct pd_json *want;
	size_t compared = 0;
	char path[4096];

	world_init(&sc.w);
	snprintf(path, sizeof(path), "%s/%s/config.yaml", world_oracle(), name);
	world_apply_file(&sc.w, path);
	snprintf(path, sizeof(path), "%s/%s/expected/%s.json", world_oracle(), name, node);
	want = read_json(&arena, path);
	compare_clusters(&sc, pd_json_get(want, "clusters"));
	for (const struct pd_json *e = pd_json_get(want, "endpoints")->first; e && endpoints; e = e->next)
		compared += compare_endpoints(&sc, e->key, e);
	for (const struct pd_json *c = pd_json_get(want, "clusters")->first; c && endpoints; c = c->next)
		if (pd_json_get(c, "load_assignment"))
			compared += compare_endpoints(&sc, c->key, pd_json_get(c, "load_assignment"));
	printf("%s: %zu clusters' endpoints\n", name, compared);
	pd_arena_free(&arena);
	world_free(&sc.w);
}

static void test_recordings(void **state)
{
	static const struct {
		const char *name, *node;
		bool endpoints;
	} all[] = {
		{"svc-basic-multiport", "client", true}, {"svc-dual-stack-off", "client", true},
		{"svc-dual-stack-on", "client", false},  {"svc-externalname", "client", true},
		{"svc-headless", "client", true},        {"svc-multi-network", "client-net1", false},
		{"svc-port-conflicts", "client", true},  {"svc-protocols-http", "client", true},
		{"svc-protocols-tcp", "client", true},   {"svc-traffic-distribution", "client-west", true},
		{"svc-unnamed-port", "client", true},    {"svc-unready", "client", true},
		{"svc-visibility", "client", true},      {"se-dns", "client", true},
		{"se-none-static", "client", true},      {"se-tls-origination", "client", true},
		{"se-wildcard", "client", true},         {"se-workload-selector", "client", true},
		{"vs-weights", "client", true},          {"dr-locality-failover", "client-west", true},
		{"gateway-http-merge", "gateway", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		run(all[i].name, all[i].node, all[i].endpoints);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_recordings)};

	if (!world_oracle()) {
		printf("no recordings: set PD_SHARED to the directory that holds oracle/\n");
		return getenv("CI") ? 1 : 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
