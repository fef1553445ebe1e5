// Text of a configuration file → objects, as the directory source reads it. Checked: no crash, no leak (interned strings
// included), and the same text gives the same objects.
#include <stdint.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"
#include "config/decode.h"

static void decode(const uint8_t *data, size_t size, struct pd_issues *issues, struct pd_decoded_text *out)
{
	struct pd_decode_config cfg = {.cluster = "Kubernetes", .origin = "fuzz.yaml", .issues = issues};

	pd_decode_text(&cfg, (const char *)data, size, out);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	return pd_log_set_levels("none");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pd_decoded_text a = {0}, b = {0};
	struct pd_issues *issues = pd_issues_new();

	decode(data, size, issues, &a);
	decode(data, size, issues, &b);
	PD_ASSERT(a.items.n == b.items.n && a.incomplete == b.incomplete && a.ignored == b.ignored);
	for (size_t i = 0; i < a.items.n; i++) {
		const struct pd_object *x = a.items.v[i].object, *y = b.items.v[i].object;

		PD_ASSERT(!x == !y && (!x || x->hash == y->hash));
	}
	pd_decoded_text_free(&a);
	pd_decoded_text_free(&b);
	pd_issues_free(&issues);
	PD_ASSERT(pd_intern_count() == 0);
	return 0;
}
