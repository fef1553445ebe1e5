// Our codec against Google's (Python, in the project's venv), both ways, for random messages of a sample of types.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "api/codec.h"
#include "api/pb.h"
#include "api/pb_internal.h"
#include "tests/unit/api/random_message.h"

#define SAMPLES 4
#define CANNOT_RUN 77

static char dir[] = "/tmp/pd-crosscheck-XXXXXX";

// In the preset's folder above that of this program: …/build/PRESET/tests/NAME.
static void build_path(char *out, size_t size, const char *below)
{
	char exe[2048];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	assert_true(n > 0);
	exe[n] = '\0';
	*strrchr(exe, '/') = '\0';
	assert_true(snprintf(out, size, "%s/%s", exe, below) < (int)size);
}

static bool is_plain(const ProtobufCMessageDescriptor *d)
{
	// Kubernetes' forms are not known to Google's reader; entries of maps are no messages of their own there.
	return strncmp(d->name, "k8s.", 4) != 0 && strncmp(d->name, "gwapi.", 6) != 0 &&
	       strncmp(d->name, "istio.", 6) != 0 && strncmp(d->name, "google.protobuf.", 16) != 0 &&
	       !strstr(d->name, "Entry");
}

static void write_line(FILE *f, struct pd_arena *a, const ProtobufCMessage *m)
{
	struct pd_buf text = {0};
	ProtobufCBinaryData bytes = pb_pack_arena(a, m);

	assert_int_equal(pd_codec_encode(&text, m, 0), PD_OK);
	fprintf(f, "%s ", m->descriptor->name);
	for (size_t i = 0; i < bytes.len; i++)
		fprintf(f, "%02x", bytes.data[i]);
	fprintf(f, " %s\n", text.p);
	pd_buf_free(&text);
}

static size_t from_hex(const char *hex, uint8_t *out)
{
	size_t n = 0;
	unsigned byte;

	for (; sscanf(hex, "%2x", &byte) == 1 && *hex != ' '; hex += 2)
		out[n++] = (uint8_t)byte;
	return n;
}

static void check_line(char *line)
{
	struct pd_arena a = {0};
	struct pd_codec c = {.arena = &a, .policy = PD_CODEC_STRICT};
	struct pd_buf errors = {0};
	char *hex = strchr(line, ' '), *json;
	void *m, *parsed;

	*hex++ = '\0';
	json = strchr(hex, ' ');
	*json++ = '\0';
	const ProtobufCMessageDescriptor *d = pb_find(line);
	uint8_t *bytes = malloc(strlen(hex) + 1);
	size_t n = from_hex(hex, bytes);
	assert_int_equal(pb_unpack(&a, d, bytes, n, &m, NULL), PD_OK);
	if (pd_codec_decode_text(&c, json, strlen(json), d, &parsed)) {
		pd_codec_print_errors(&errors, &c);
		fail_msg("%s: %s%.1000s", d->name, errors.p, json);
	}
	if (!pb_equal(m, parsed))
		fail_msg("%s: read differently: %.1000s", d->name, json);
	free(bytes);
	pd_arena_free(&a);
}

static void same_as_google(void **state)
{
	(void)state;
	char in[64], out[64], ours[2200], envoy[2200], command[8000];
	size_t n, lines = 0, capacity = 0;
	const ProtobufCMessageDescriptor *const *types = pb_types(&n);
	struct random r = {.state = 99, .no_unknown = true};
	char *line = NULL;

	snprintf(in, sizeof(in), "%s/in", dir);
	snprintf(out, sizeof(out), "%s/out", dir);
	build_path(ours, sizeof(ours), "../pilotd.desc");
	build_path(envoy, sizeof(envoy), "../../envoy-api/envoy.desc");
	FILE *f = fopen(in, "w");
	for (size_t i = 0; i < n; i++) {
		for (int j = 0; is_plain(types[i]) && j < SAMPLES; j++) {
			struct pd_arena a = {0};
			write_line(f, &a, random_message(&a, &r, types[i], j + 1));
			pd_arena_free(&a);
		}
	}
	assert_int_equal(fclose(f), 0);

	const char *python = getenv("PD_PYTHON") ? getenv("PD_PYTHON") : ".venv/bin/python";
	snprintf(command, sizeof(command), "%s tests/unit/api/crosscheck.py %s %s %s %s", python, in, out, envoy, ours);
	assert_int_equal(system(command), 0);
	f = fopen(out, "r");
	while (getline(&line, &capacity, f) > 0) {
		check_line(line);
		lines++;
	}
	fclose(f);
	free(line);
	assert_true(lines > 3000);
	unlink(in);
	unlink(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(same_as_google)};
	const char *python = getenv("PD_PYTHON") ? getenv("PD_PYTHON") : ".venv/bin/python";
	bool ci = getenv("CI") && !strcmp(getenv("CI"), "true");

	if (access(python, X_OK)) {
		fprintf(stderr, "cannot run: no %s (scripts/install.sh makes it)\n", python);
		return ci ? EXIT_FAILURE : CANNOT_RUN;
	}
	if (!mkdtemp(dir))
		return EXIT_FAILURE;
	int rc = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return rc;
}
