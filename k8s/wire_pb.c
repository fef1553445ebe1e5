// Lists and frames in their protobuf form, cut without a descriptor: see k8s/wire.h for their shape.
#include <stdlib.h>
#include <string.h>

#include "k8s/wire_impl.h"

enum { UNKNOWN_RAW = 2, LIST_META = 1, LIST_ITEMS = 2, LIST_META_RV = 2, LIST_META_CONTINUE = 3 };
enum { EVENT_TYPE = 1, EVENT_OBJECT = 2, RAW_EXTENSION_RAW = 1 };

// ---- lists ----------------------------------------------------------------------------------------------------------

// A field whose value may not be there yet.
struct head {
	uint32_t id;
	bool bytes;   // length-delimited: `len` bytes follow the head
	uint64_t len; // of any other type it is a part of the head, and this is 0
	size_t size;  // of the head
};

// PD_OK, PD_E_AGAIN: not all of it is there, PD_E_PARSE.
static int read_head(const uint8_t *p, size_t n, struct head *h)
{
	const uint8_t *end = p + n, *at;
	uint64_t tag, value = 0;
	unsigned wire;

	at = pb_wire_varint(p, end, &tag);
	if (!at)
		return n < PB_WIRE_VARINT_MAX ? PD_E_AGAIN : PD_E_PARSE;
	wire = tag & 7;
	if (tag > UINT32_MAX || tag < 8)
		return PD_E_PARSE;
	h->id = (uint32_t)(tag >> 3);
	h->bytes = wire == PB_WIRE_BYTES;
	if (wire == PB_WIRE_64 || wire == PB_WIRE_32) {
		size_t width = wire == PB_WIRE_64 ? 8 : 4;

		if ((size_t)(end - at) < width)
			return PD_E_AGAIN;
		at += width;
	} else if (wire == PB_WIRE_BYTES || wire == PB_WIRE_VARINT) {
		size_t left = (size_t)(end - at);

		at = pb_wire_varint(at, end, &value);
		if (!at)
			return left < PB_WIRE_VARINT_MAX ? PD_E_AGAIN : PD_E_PARSE;
	} else {
		return PD_E_PARSE;
	}
	h->len = h->bytes ? value : 0;
	h->size = (size_t)(at - p);
	return PD_OK;
}

static int list_meta(struct pd_k8s_list *l, const uint8_t *p, size_t n, struct pd_k8s_wire_error *err)
{
	const uint8_t *end = p + n;
	struct pb_wire f;

	while (p < end) {
		p = pb_wire_field(p, end, &f);
		if (!p)
			return pd_k8s_wire_fail(err, PD_E_PARSE, "broken metadata of a list");
		if (f.wire != PB_WIRE_BYTES)
			continue;
		if (f.id == LIST_META_RV) {
			if (f.len >= sizeof(l->rv) || memchr(f.data, 0, f.len))
				return pd_k8s_wire_fail(err, PD_E_LIMIT, "resourceVersion of %zu bytes", f.len);
			memcpy(l->rv, f.data, f.len);
			l->rv[f.len] = 0;
		} else if (f.id == LIST_META_CONTINUE && f.len) {
			if (f.len >= PD_K8S_CONTINUE_MAX || memchr(f.data, 0, f.len))
				return pd_k8s_wire_fail(err, PD_E_LIMIT, "continue token of %zu bytes", f.len);
			free(l->next);
			l->next = pd_xstrndup((const char *)f.data, f.len);
		}
	}
	return PD_OK;
}

static int list_item(struct pd_k8s_list *l, const uint8_t *p, size_t n, pd_k8s_on_item fn, void *user,
		     struct pd_k8s_wire_error *err)
{
	struct pd_k8s_item item = {.form = PD_K8S_FORM_PROTOBUF, .p = p, .n = n, .arena = &l->arena};
	int rc = pd_k8s_item_open(&item, err);

	if (!rc)
		rc = fn(user, &item);
	pd_arena_reset(&l->arena);
	return rc;
}

// A field of the list message. *used stays 0 while its value is not all there.
static int in_list(struct pd_k8s_list *l, const struct head *h, const uint8_t *p, size_t n, size_t *used,
		   pd_k8s_on_item fn, void *user, struct pd_k8s_wire_error *err)
{
	bool meta = h->bytes && h->id == LIST_META, item = h->bytes && h->id == LIST_ITEMS;
	size_t max = meta ? PD_K8S_LIST_META_MAX : PD_K8S_ITEM_MAX;
	int rc;

	if (h->size > l->raw_left || h->len > l->raw_left - h->size)
		return pd_k8s_wire_fail(err, PD_E_PARSE, "an item is longer than its list");
	if (!meta && !item) {
		l->skip = h->len;
		*used = h->size;
		l->raw_left -= h->size;
		return PD_OK;
	}
	if (h->len > max)
		return pd_k8s_wire_fail(err, PD_E_LIMIT, "%s of %llu bytes is longer than %zu",
					meta ? "metadata" : "object", (unsigned long long)h->len, max);
	if (n - h->size < h->len)
		return PD_OK;
	*used = h->size + (size_t)h->len;
	l->raw_left -= *used;
	rc = meta ? list_meta(l, p + h->size, (size_t)h->len, err)
		  : list_item(l, p + h->size, (size_t)h->len, fn, user, err);
	return rc;
}

// A field of the envelope.
static int in_envelope(struct pd_k8s_list *l, const struct head *h, size_t *used, struct pd_k8s_wire_error *err)
{
	*used = h->size;
	if (!h->bytes || h->id != UNKNOWN_RAW) {
		l->skip = h->len;
		return PD_OK;
	}
	if (l->raw_seen)
		return pd_k8s_wire_fail(err, PD_E_PARSE, "two lists in one body");
	l->raw_seen = true;
	l->in_raw = h->len > 0;
	l->raw_left = h->len;
	return PD_OK;
}

static size_t skip_some(struct pd_k8s_list *l, size_t n)
{
	size_t some = l->skip < n ? (size_t)l->skip : n;

	l->skip -= some;
	if (l->in_raw)
		l->raw_left -= some;
	return some;
}

// One step. *used = 0 with PD_OK: more bytes are needed.
static int step(struct pd_k8s_list *l, const uint8_t *p, size_t n, size_t *used, pd_k8s_on_item fn, void *user,
		struct pd_k8s_wire_error *err)
{
	size_t within = l->in_raw && l->raw_left < n ? (size_t)l->raw_left : n;
	struct head h;
	int rc;

	*used = 0;
	if (!l->magic) {
		if (memcmp(p, PD_K8S_MAGIC, n < PD_K8S_MAGIC_LEN ? n : PD_K8S_MAGIC_LEN))
			return pd_k8s_wire_fail(err, PD_E_PARSE, "not a protobuf body: the magic is missing");
		l->magic = n >= PD_K8S_MAGIC_LEN;
		*used = l->magic ? PD_K8S_MAGIC_LEN : 0;
		return PD_OK;
	}
	if (l->skip) {
		*used = skip_some(l, n);
		return PD_OK;
	}
	rc = read_head(p, within, &h);
	if (rc == PD_E_AGAIN && within == n && !(l->in_raw && l->raw_left == n))
		return PD_OK;
	if (rc)
		return pd_k8s_wire_fail(err, PD_E_PARSE, "broken list");
	return l->in_raw ? in_list(l, &h, p, n, used, fn, user, err) : in_envelope(l, &h, used, err);
}

int pd_k8s_list_pb(struct pd_k8s_list *l, const uint8_t *p, size_t n, size_t *used, pd_k8s_on_item fn, void *user,
		   struct pd_k8s_wire_error *err)
{
	size_t one;

	*used = 0;
	while (*used < n) {
		int rc = step(l, p + *used, n - *used, &one, fn, user, err);

		if (rc)
			return rc;
		if (!one)
			return PD_OK;
		*used += one;
		if (l->in_raw && !l->raw_left)
			l->in_raw = false;
	}
	return PD_OK;
}

// ---- frames ---------------------------------------------------------------------------------------------------------

bool pd_k8s_find_bytes(const uint8_t *p, size_t n, uint32_t id, struct pb_wire *out)
{
	const uint8_t *end = p + n;
	struct pb_wire f;

	*out = (struct pb_wire){0};
	while (p < end) {
		p = pb_wire_field(p, end, &f);
		if (!p)
			return false;
		if (f.id == id && f.wire == PB_WIRE_BYTES)
			*out = f;
	}
	return true;
}

static int broken(struct pd_k8s_wire_error *err)
{
	return pd_k8s_wire_fail(err, PD_E_PARSE, "broken event of a watch");
}

int pd_k8s_event_pb(const uint8_t *p, size_t n, struct pd_arena *arena, struct pd_k8s_event *e,
		    struct pd_k8s_wire_error *err)
{
	struct pb_wire type, object, raw, content;
	int rc;

	if (!pd_k8s_find_bytes(p, n, EVENT_TYPE, &type) || !pd_k8s_find_bytes(p, n, EVENT_OBJECT, &object) ||
	    !type.data || !object.data || !pd_k8s_find_bytes(object.data, object.len, RAW_EXTENSION_RAW, &raw) ||
	    !raw.data)
		return broken(err);
	rc = pd_k8s_event_type_of((const char *)type.data, type.len, &e->type, err);
	if (rc)
		return rc;
	if (raw.len < PD_K8S_MAGIC_LEN || memcmp(raw.data, PD_K8S_MAGIC, PD_K8S_MAGIC_LEN))
		return broken(err);
	if (e->type == PD_K8S_ERROR)
		return pd_k8s_status_decode(raw.data, raw.len, &e->status) ? broken(err) : PD_OK;
	if (!pd_k8s_find_bytes(raw.data + PD_K8S_MAGIC_LEN, raw.len - PD_K8S_MAGIC_LEN, UNKNOWN_RAW, &content) ||
	    !content.data)
		return broken(err);
	if (content.len > PD_K8S_ITEM_MAX)
		return pd_k8s_wire_fail(err, PD_E_LIMIT, "object of %zu bytes is longer than %u", content.len,
					PD_K8S_ITEM_MAX);
	e->item =
		(struct pd_k8s_item){.form = PD_K8S_FORM_PROTOBUF, .p = content.data, .n = content.len, .arena = arena};
	return pd_k8s_item_open(&e->item, err);
}
