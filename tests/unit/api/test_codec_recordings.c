// Everything that istiod sent in the recordings, read strictly and written again: the same JSON must come out.
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "api/codec.h"
#include "api/pb.h"

#define CANNOT_RUN 77

static const struct {
	const char *section, *type;
} sections[] = {
	{"clusters", "envoy.config.cluster.v3.Cluster"},
	{"endpoints", "envoy.config.endpoint.v3.ClusterLoadAssignment"},
	{"listeners", "envoy.config.listener.v3.Listener"},
	{"routes", "envoy.config.route.v3.RouteConfiguration"},
	{"extensions", "envoy.config.core.v3.TypedExtensionConfig"},
	{"secrets", "envoy.extensions.transport_sockets.tls.v3.Secret"},
	{"name_table", "istio.networking.nds.v1.NameTable"},
	{"addresses", "istio.workload.Address"},
	{"authorizations", "istio.security.Authorization"},
};

static glob_t files;

static void check_resource(struct pd_arena *a, const char *file, const char *type, const struct pd_json *resource)
{
	struct pd_codec c = {.arena = a, .policy = PD_CODEC_STRICT, .path = resource->key};
	struct pd_buf text = {0};
	struct pd_json *again;
	void *m;

	if (pd_codec_decode(&c, resource, pb_find(type), &m)) {
		pd_codec_print_errors(&text, &c);
		fail_msg("%s: %s", file, text.p);
	}
	assert_int_equal(pd_codec_encode(&text, m, PD_ENCODE_PROTO_NAMES | PD_ENCODE_INDENT), PD_OK);
	assert_int_equal(pd_json_parse(a, text.p, text.n, &again, NULL), PD_OK);
	if (!pd_json_equal(resource, again))
		fail_msg("%s: %s differs: %.4000s", file, resource->key, text.p);
	pd_buf_free(&text);
}

static size_t check_file(const char *file)
{
	struct pd_arena a = {0};
	struct pd_json_error err = {0};
	struct pd_json *all;
	size_t n, seen = 0;
	FILE *f = fopen(file, "r");
	char *text = NULL;

	assert_non_null(f);
	FILE *memory = open_memstream(&text, &n);
	for (int c = getc(f); c != EOF; c = getc(f))
		putc(c, memory);
	fclose(memory);
	fclose(f);
	if (pd_json_parse(&a, text, n, &all, &err))
		fail_msg("%s:%u: %s", file, err.line, err.text);
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		const struct pd_json *section = pd_json_get(all, sections[i].section);
		for (const struct pd_json *r = section ? section->first : NULL; r; r = r->next, seen++)
			check_resource(&a, file, sections[i].type, r);
	}
	free(text);
	pd_arena_free(&a);
	return seen;
}

static void every_resource(void **state)
{
	(void)state;
	size_t seen = 0;

	for (size_t i = 0; i < files.gl_pathc; i++)
		seen += check_file(files.gl_pathv[i]);
	assert_true(seen > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_resource)};
	const char *shared = getenv("PD_SHARED") ? getenv("PD_SHARED") : "../shared";
	bool ci = getenv("CI") && !strcmp(getenv("CI"), "true");
	char pattern[4096];

	snprintf(pattern, sizeof(pattern), "%s/oracle/*/expected/*.json", shared);
	if (glob(pattern, 0, NULL, &files)) {
		fprintf(stderr, "cannot run: no recordings at %s (set PD_SHARED)\n", pattern);
		return ci ? EXIT_FAILURE : CANNOT_RUN;
	}
	int rc = cmocka_run_group_tests(tests, NULL, NULL);
	globfree(&files);
	return rc;
}
