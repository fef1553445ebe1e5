// The definitions that charts/base installs and the table of kinds (api/kinds.h) say the same.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/kinds.h"
#include "config/decode.h"
#include "config/file.h"
#include "k8s/apiextensions.pb-c.h"

static const char *const groups[] = {"networking", "security", "telemetry", "extensions"};
static bool defined[PD_KIND_COUNT];

static void show(const struct pd_issue *i, void *arg)
{
	(void)arg;
	fprintf(stderr, "%s: %s: %s: %s\n", i->origin, i->object, i->field, i->reason);
}

// The first version is the one that is stored, and all are served, in the table's order.
static void check_versions(const struct pd_kind_info *info, const K8s__CustomResourceDefinitionSpec *spec)
{
	for (size_t i = 0; i < spec->n_versions; i++) {
		const K8s__CustomResourceDefinitionVersion *v = spec->versions[i];

		assert_non_null(info->versions[i]);
		assert_string_equal(v->name, info->versions[i]);
		assert_true(v->served);
		assert_int_equal(v->storage, i == 0);
	}
	assert_null(info->versions[spec->n_versions]);
}

static void check_definition(const struct pd_object *o)
{
	const K8s__CustomResourceDefinition *crd = (const K8s__CustomResourceDefinition *)o->spec;
	const K8s__CustomResourceDefinitionSpec *spec = crd->spec;
	const struct pd_kind_info *info;
	enum pd_kind kind = PD_KIND_COUNT;
	char name[128];

	assert_int_equal(pd_kind_find_plural(spec->group, spec->versions[0]->name, spec->names->plural, &kind), PD_OK);
	info = pd_kind_info(kind);
	snprintf(name, sizeof(name), "%s.%s", spec->names->plural, spec->group);
	assert_string_equal(o->key.name, name);
	assert_string_equal(spec->names->kind, info->kind);
	snprintf(name, sizeof(name), "%sList", info->kind);
	assert_string_equal(spec->names->listkind, name);
	assert_string_equal(spec->scope, info->namespaced ? "Namespaced" : "Cluster");
	assert_false(defined[kind]);
	defined[kind] = true;
	check_versions(info, spec);
}

static void check_file(struct pd_issues *issues, const char *path)
{
	struct pd_decode_config cfg = {.cluster = "Kubernetes", .origin = path, .issues = issues};
	struct pd_decoded_text text = {0};
	struct stat st;
	char *yaml;
	size_t n;

	if (pd_file_read(path, 1 << 20, &yaml, &n, &st) != PD_OK)
		fail_msg("%s cannot be read (tests run in the repository's root)", path);
	pd_decode_text(&cfg, yaml, n, &text);
	pd_issues_each(issues, show, NULL);
	assert_false(text.incomplete);
	assert_int_equal(text.ignored, 0);
	assert_int_not_equal(text.items.n, 0);
	for (size_t i = 0; i < text.items.n; i++) {
		const struct pd_decoded *d = &text.items.v[i];

		assert_int_equal(d->kind, PD_KIND_CUSTOM_RESOURCE_DEFINITION);
		assert_non_null(d->object);
		check_definition(d->object);
	}
	pd_decoded_text_free(&text);
	free(yaml);
}

static void test_definitions(void **state)
{
	struct pd_issues *issues = pd_issues_new();
	char path[64];

	(void)state;
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		snprintf(path, sizeof(path), "charts/base/crds/%s.yaml", groups[i]);
		check_file(issues, path);
	}
	pd_issues_free(&issues);
	for (int kind = 0; kind < PD_KIND_COUNT; kind++) {
		const struct pd_kind_info *info = pd_kind_info(kind);

		if (defined[kind] != (strstr(info->group, ".istio.io") != NULL))
			fail_msg("%s: %s", info->kind, defined[kind] ? "is not ours to define" : "has no definition");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_definitions)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
