#include "tests/unit/discovery/route_fixture.h"

#include <stdio.h>
#include <stdlib.h>

EnvVirtualHost *route_vhost(struct fixture *f, const char *host, const char *route_name)
{
	struct pd_vhost_vec out = {0};
	EnvVirtualHost *found = NULL;
	pd_build_host_routes(fixture_scope(f), host, &out);
	for (size_t i = 0; i < out.n; i++) {
		if (!pd_streq(out.v[i].route_name, route_name))
			continue;
		assert_null(found);
		found = out.v[i].msg;
	}
	return found;
}

static int cmp_text(const void *x, const void *y)
{
	return strcmp(*(char *const *)x, *(char *const *)y);
}

const char *route_domains(struct fixture *f, const char *host, const char *route_name)
{
	EnvVirtualHost *vh = route_vhost(f, host, route_name);
	const char *out = "";
	if (!vh)
		return out;
	pd_sort(vh->domains, vh->n_domains, sizeof(*vh->domains), cmp_text);
	for (size_t i = 0; i < vh->n_domains; i++)
		out = pd_arena_printf(&f->arena, "%s%s%s", out, i ? " " : "", vh->domains[i]);
	return out;
}

const char *route_get(struct fixture *f, const char *host, const char *route_name, const char *path)
{
	EnvVirtualHost *vh = route_vhost(f, host, route_name);
	return vh ? fixture_get(f, vh, path) : "";
}

static const char web[] = "web.default.svc.cluster.local";

void web_init(struct fixture *f, const char *http)
{
	struct pd_buf b = {0};
	pd_buf_printf(&b, "%s%s%s}\n", SVC("default", "web", "10.0.0.1", HTTP_80),
		      "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n"
		      "metadata: {name: rules, namespace: default}\nspec: {hosts: [web], http: ",
		      http);
	fixture_init(f, "", b.p);
	pd_buf_free(&b);
}

const char *web_get(struct fixture *f, const char *path)
{
	return route_get(f, web, "80", path);
}

struct search {
	const char *text;
	bool found;
};

static void look(const struct pd_issue *i, void *arg)
{
	struct search *s = arg;
	s->found |= strstr(i->reason, s->text) != NULL;
}

bool route_reported(struct fixture *f, const char *text)
{
	struct search s = {text, false};
	pd_issues_each(f->issues, look, &s);
	return s.found;
}
