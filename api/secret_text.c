#include "api/secret_text.h"

#include "api/codec.h"
#include "base/mem.h"
#include "k8s/core.pb-c.h"

static void take(const K8s__Secret *s, struct pd_secret *out)
{
	const K8s__ObjectMeta *meta = s->metadata;

	for (size_t i = 0; i < s->n_data; i++) {
		ProtobufCBinaryData v = s->data[i]->value;
		pd_vec_push(&out->entries, (struct pd_secret_entry){pd_xstrdup(s->data[i]->key),
								    pd_xstrndup((const char *)v.data, v.len), v.len});
	}
	if (meta && !pd_empty(meta->resourceversion))
		out->version = pd_xstrdup(meta->resourceversion);
}

int pd_secret_decode(const char *text, size_t len, struct pd_secret *out, struct pd_buf *why)
{
	struct pd_arena a = {.secret = true};
	struct pd_codec codec = {.arena = &a, .policy = PD_CODEC_LENIENT};
	void *msg;
	int rc = PD_E_PARSE;

	// Not the codec's errors: they quote what they found.
	if (pd_codec_decode_text(&codec, text, len, &k8s__secret__descriptor, &msg) != PD_OK) {
		pd_buf_adds(why, "it is not a Secret in JSON");
	} else if (((K8s__Secret *)msg)->n_data > PD_SECRET_ENTRIES_MAX) {
		pd_buf_printf(why, "it has more than %d entries", PD_SECRET_ENTRIES_MAX);
	} else {
		take(msg, out);
		rc = PD_OK;
	}
	pd_arena_free(&a);
	return rc;
}
