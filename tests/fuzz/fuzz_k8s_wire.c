// Bodies of lists and watches, in pieces. The first byte: bit 0 JSON, bit 1 a watch; the rest the size of the pieces. What the
// reader hands out does not depend on how the bytes are cut.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "k8s/wire.h"

struct result {
	uint64_t hash; // of what was handed out
	struct pd_issues *issues;
	enum pd_kind kind;
	bool decode;
};

static int on_item(void *user, const struct pd_k8s_item *item)
{
	struct result *r = user;
	struct pd_k8s_decode d = {r->kind, "c", r->issues};
	struct pd_k8s_wire_error err;
	struct pd_object *o = NULL;

	r->hash = pd_hash_seed(item->name, strlen(item->name), r->hash);
	r->hash = pd_hash_seed(item->p, item->n, r->hash);
	pd_k8s_item_meta(item);
	if (!r->decode)
		return PD_OK;
	if (pd_k8s_item_decode(item, &d, &o, &err) == PD_OK && o)
		r->hash = pd_hash_mix(r->hash, o->hash);
	pd_obj_unref(o);
	pd_k8s_item_forget(&d, item->ns, item->name);
	return PD_OK;
}

static int on_event(void *user, const struct pd_k8s_event *e)
{
	struct result *r = user;

	r->hash = pd_hash_mix(r->hash, (uint64_t)e->type + (e->initial_end ? 100 : 0));
	return e->type == PD_K8S_ERROR ? PD_OK : on_item(user, &e->item);
}

// A piece in a block of its own, so that reading beyond it is seen.
static int feed(struct pd_k8s_list *l, struct pd_k8s_frames *f, bool watch, const uint8_t *p, size_t n,
		struct result *r)
{
	struct pd_k8s_wire_error err;
	uint8_t *copy = malloc(n);
	int rc;

	memcpy(copy, p, n);
	rc = watch ? pd_k8s_frames_feed(f, copy, n, on_event, r, &err) : pd_k8s_list_feed(l, copy, n, on_item, r, &err);
	free(copy);
	return rc;
}

static int read_all(const uint8_t *data, size_t size, size_t step, bool json, bool watch, struct result *r)
{
	enum pd_k8s_form form = json ? PD_K8S_FORM_JSON : PD_K8S_FORM_PROTOBUF;
	struct pd_k8s_list l = {.form = form};
	struct pd_k8s_frames f = {.form = form};
	struct pd_k8s_wire_error err;
	int rc = PD_OK;

	for (size_t at = 0; !rc && at < size; at += step)
		rc = feed(&l, &f, watch, data + at, step < size - at ? step : size - at, r);
	if (!rc && !watch)
		rc = pd_k8s_list_end(&l, &err);
	pd_k8s_list_free(&l);
	pd_k8s_frames_free(&f);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pd_issues *issues;

	if (!issues) {
		issues = pd_issues_new();
		PD_ASSERT(pd_log_set_levels("none") == PD_OK);
	}
	if (size < 2)
		return 0;
	bool json = data[0] & 1, watch = data[0] & 2;
	struct result whole = {.issues = issues, .kind = json ? PD_KIND_DESTINATION_RULE : PD_KIND_POD, .decode = true};
	struct result cut = whole;

	cut.decode = whole.decode = data[0] & 4;
	int rc = read_all(data + 1, size - 1, size, json, watch, &whole);
	int rc_cut = read_all(data + 1, size - 1, 1 + (data[0] >> 3), json, watch, &cut);
	PD_ASSERT((rc == PD_OK) == (rc_cut == PD_OK));
	PD_ASSERT(whole.hash == cut.hash);
	return 0;
}
