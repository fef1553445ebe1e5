// Discovery requests of both protocols. The first byte chooses the protocol. Whatever is accepted can be read, and a name set
// can be made of its names.
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "xds/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(struct pd_span s)
{
	PD_ASSERT(pd_utf8_ok(s.p, s.n));
}

static void check_names(const struct pd_request *r)
{
	struct pd_span *v = pd_xmalloc((r->n_names + 2 * r->n_initial + r->n_unsubscribe + 1) * sizeof(*v));
	struct pd_names_table *t = pd_names_table_new();
	struct pd_names *set;
	struct pb_error err;

	if (pd_request_names(r, v, &err) == PD_OK) {
		for (size_t i = 0; i < r->n_names; i++)
			check_text(v[i]);
		PD_ASSERT(pd_names_get(t, v, r->n_names, &set) == PD_OK);
		for (size_t i = 0; i < r->n_names; i++)
			PD_ASSERT(pd_names_find(set, v[i]) >= 0);
		pd_names_unref(t, set);
	}
	if (pd_request_initial(r, v, v + r->n_initial, &err) == PD_OK)
		for (size_t i = 0; i < 2 * r->n_initial; i++)
			check_text(v[i]);
	if (pd_request_unsubscribe(r, v, &err) == PD_OK)
		for (size_t i = 0; i < r->n_unsubscribe; i++)
			check_text(v[i]);
	pd_names_table_free(&t);
	free(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pd_request r;
	struct pb_error err;

	if (!size || pd_request_parse(&r, data[0] & 1, data + 1, size - 1, &err) != PD_OK)
		return 0;
	check_text(r.type_url);
	check_text(r.nonce);
	check_text(r.version);
	PD_ASSERT(r.error.n <= PD_REQUEST_ERROR_MAX);
	check_names(&r);
	return 0;
}
