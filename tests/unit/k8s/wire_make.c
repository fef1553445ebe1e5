#include "tests/unit/k8s/wire_make.h"

#include <stdlib.h>

#include "api/pb.h"

static void pack(struct pd_buf *out, const void *msg)
{
	size_t n = pb_packed_size(msg);
	uint8_t *bytes = pd_xmalloc(n + 1);

	pb_pack(msg, bytes);
	pd_buf_add(out, bytes, n);
	free(bytes);
}

static void envelope(struct pd_buf *out, const char *kind, const void *raw, size_t n)
{
	K8s__TypeMeta type = K8S__TYPE_META__INIT;
	K8s__Unknown unknown = K8S__UNKNOWN__INIT;

	type.apiversion = (char *)"v1";
	type.kind = (char *)kind;
	unknown.typemeta = &type;
	unknown.has_raw = 1;
	unknown.raw = (ProtobufCBinaryData){n, (uint8_t *)raw};
	unknown.contentencoding = unknown.contenttype = (char *)"";
	pd_buf_add(out, "k8s", 4);
	pack(out, &unknown);
}

void wire_envelope(struct pd_buf *out, const char *kind, const void *msg)
{
	struct pd_buf raw = {0};

	pack(&raw, msg);
	envelope(out, kind, raw.p, raw.n);
	pd_buf_free(&raw);
}

static void field(struct pd_buf *out, unsigned id, const void *p, size_t n)
{
	pd_buf_addc(out, (char)(id << 3 | 2));
	for (size_t v = n;; v >>= 7) {
		pd_buf_addc(out, (char)((v & 0x7f) | (v > 0x7f ? 0x80 : 0)));
		if (v <= 0x7f)
			break;
	}
	pd_buf_add(out, p, n);
}

void wire_list_item(struct wire_list *l, const void *msg)
{
	struct pd_buf item = {0};

	pack(&item, msg);
	field(&l->items, 2, item.p ? item.p : "", item.n);
	pd_buf_free(&item);
}

void wire_list_end(struct wire_list *l, struct pd_buf *out, const char *rv, const char *next)
{
	K8s__ListMeta meta = K8S__LIST_META__INIT;
	struct pd_buf packed = {0}, raw = {0};

	meta.selflink = (char *)"";
	meta.resourceversion = (char *)rv;
	meta.continue_ = (char *)next;
	pack(&packed, &meta);
	field(&raw, 1, packed.p, packed.n);
	pd_buf_add(&raw, l->items.p ? l->items.p : "", l->items.n);
	envelope(out, "List", raw.p, raw.n);
	pd_buf_free(&packed);
	pd_buf_free(&raw);
	pd_buf_free(&l->items);
}

void wire_frame(struct pd_buf *out, const char *type, const char *kind, const void *object)
{
	K8s__WatchEvent event = K8S__WATCH_EVENT__INIT;
	K8s__RawExtension extension = K8S__RAW_EXTENSION__INIT;
	struct pd_buf raw = {0}, packed = {0};
	uint8_t head[4];

	wire_envelope(&raw, kind, object);
	event.type = (char *)type;
	event.object = &extension;
	extension.has_raw = 1;
	extension.raw = (ProtobufCBinaryData){raw.n, (uint8_t *)raw.p};
	pack(&packed, &event);
	for (int i = 0; i < 4; i++)
		head[i] = (uint8_t)(packed.n >> (24 - 8 * i));
	pd_buf_add(out, head, sizeof(head));
	pd_buf_add(out, packed.p, packed.n);
	pd_buf_free(&raw);
	pd_buf_free(&packed);
}

K8s__ObjectMeta *wire_meta(struct pd_arena *a, const char *ns, const char *name, const char *rv)
{
	K8s__ObjectMeta *m = PB_NEW(a, K8s__ObjectMeta, k8s__object_meta);

	m->name = (char *)name;
	m->namespace_ = (char *)ns;
	m->resourceversion = (char *)rv;
	m->uid = pd_arena_printf(a, "uid-%s", name);
	return m;
}
