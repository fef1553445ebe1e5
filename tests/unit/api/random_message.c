#include "tests/unit/api/random_message.h"

#include <math.h>
#include <string.h>

#include "api/pb.h"
#include "api/pb_internal.h"
#include "base/str.h"
#include "google/protobuf/field_mask.pb-c.h"
#include "k8s/meta.pb-c.h"

uint64_t random_next(struct random *r)
{
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return r->state * 0x2545f4914f6cdd1dull;
}

static bool chance(struct random *r, unsigned percent)
{
	return random_below(r, 100) < percent;
}

static char *random_string(struct pd_arena *a, struct random *r)
{
	static const char *const parts[] = {
		"a",    "Z", "0", "_", "-", ".", "/",       "\"",           "\\",           "\n",    "\t", "\x01",
		"\x7f", " ", "ä", "€", "𝄞", "<", "default", "\xed\x9f\xbf", "\xef\xbf\xbd", "*.svc", "{",  "null",
	};
	struct pd_buf text = {0};
	size_t n = random_below(r, 6);

	for (size_t i = 0; i < n; i++)
		pd_buf_adds(&text, parts[random_below(r, sizeof(parts) / sizeof(parts[0]))]);
	char *s = pd_arena_strdup(a, n ? text.p : "");
	pd_buf_free(&text);
	return s;
}

static uint64_t random_bits(struct random *r)
{
	static const uint64_t corners[] =
		{0,          1,         UINT64_MAX,          INT32_MAX, (uint64_t)INT32_MIN, UINT32_MAX,
		 1ull << 53, INT64_MAX, (uint64_t)INT64_MIN, 100,       (1ull << 53) + 1};
	if (chance(r, 50))
		return corners[random_below(r, sizeof(corners) / sizeof(corners[0]))];
	return random_next(r) >> random_below(r, 64);
}

static double random_double(struct random *r)
{
	static const double corners[] = {0,        1,         -1.5, 1e300, 1e-300, 0.1,          5e-324,
					 INFINITY, -INFINITY, NAN,  1e15,  1e16,   123456789.125};
	uint64_t bits;
	double d;

	if (chance(r, 50))
		return corners[random_below(r, sizeof(corners) / sizeof(corners[0]))];
	bits = random_next(r);
	memcpy(&d, &bits, sizeof(d));
	return d;
}

static void random_bytes(struct pd_arena *a, struct random *r, ProtobufCBinaryData *out)
{
	out->len = random_below(r, 9);
	out->data = (uint8_t *)pd_arena_bytes(a, out->len);
	for (size_t i = 0; i < out->len; i++)
		out->data[i] = (uint8_t)random_next(r);
}

static int random_enum(struct random *r, const ProtobufCEnumDescriptor *d)
{
	if (!r->no_unknown && chance(r, 5))
		return 123456;
	return d->values[random_below(r, d->n_values)].value;
}

static void random_value(struct pd_arena *a, struct random *r, const ProtobufCFieldDescriptor *f, void *slot, int depth)
{
	uint64_t bits;
	double d;
	float real;
	int number;

	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		*(char **)slot = random_string(a, r);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		random_bytes(a, r, slot);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		*(void **)slot = random_message(a, r, f->descriptor, depth - 1);
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		d = random_double(r);
		memcpy(slot, &d, sizeof(d));
		break;
	case PROTOBUF_C_TYPE_FLOAT:
		real = (float)random_double(r);
		memcpy(slot, &real, sizeof(real));
		break;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)slot = chance(r, 60);
		break;
	case PROTOBUF_C_TYPE_ENUM:
		number = random_enum(r, f->descriptor);
		memcpy(slot, &number, sizeof(number));
		break;
	default:
		bits = random_bits(r);
		memcpy(slot, &bits, pb_type_size(f->type));
	}
}

// Messages whose contents JSON restricts. Returns false for all others.
static bool random_special(struct pd_arena *a, struct random *r, enum pb_special special, void *m)
{
	int64_t seconds =
		(int64_t)random_below(r, 300000000000) * (chance(r, 50) ? 1 : -1) / (chance(r, 50) ? 1 : 100000000);
	int32_t nanos = chance(r, 40) ? 0 : (int32_t)random_below(r, 1000000000);
	Google__Protobuf__Duration *d = m;
	Google__Protobuf__Timestamp *t = m;
	Google__Protobuf__FieldMask *mask = m;
	K8s__IntOrString *either = m;
	K8s__Time *time = m;
	K8s__MicroTime *micro = m;

	if (chance(r, 50))
		nanos -= nanos % 1000000;
	switch (special) {
	case PB_DURATION:
		d->seconds = seconds;
		d->nanos = seconds < 0 ? -nanos : nanos;
		return true;
	case PB_TIMESTAMP:
		t->seconds = seconds % 250000000000 < -62135596800 ? 0 : seconds % 250000000000;
		t->nanos = nanos;
		return true;
	case PB_FIELD_MASK:
		for (uint64_t n = random_below(r, 3); n; n--)
			PB_PUSH(a, mask, paths, pd_arena_strdup(a, chance(r, 50) ? "foo_bar.baz" : "x"));
		return true;
	case PB_KUBE_TIME:
		time->has_seconds = time->has_nanos = true;
		time->seconds = (int64_t)random_below(r, 4000000000);
		return true;
	case PB_KUBE_MICRO_TIME:
		micro->has_seconds = micro->has_nanos = true;
		micro->seconds = (int64_t)random_below(r, 4000000000);
		micro->nanos = nanos - nanos % 1000;
		return true;
	case PB_KUBE_DURATION:
		((K8s__Duration *)m)->has_duration = true;
		((K8s__Duration *)m)->duration = (int64_t)(random_next(r) >> random_below(r, 63)) / 2;
		return true;
	case PB_KUBE_INT_OR_STRING:
		either->has_type = true;
		either->type = chance(r, 50);
		either->has_intval = !either->type;
		either->intval = either->type ? 0 : (int32_t)random_next(r);
		either->strval = either->type ? random_string(a, r) : NULL;
		return true;
	case PB_KUBE_QUANTITY:
		((K8s__Quantity *)m)->string = random_string(a, r);
		return true;
	case PB_KUBE_RAW:
		((K8s__RawExtension *)m)->has_raw = true;
		((K8s__RawExtension *)m)->raw.data = (uint8_t *)pd_arena_strdup(a, "{\"a\":[1,null,\"x\"]}");
		((K8s__RawExtension *)m)->raw.len = strlen("{\"a\":[1,null,\"x\"]}");
		return true;
	default:
		return false;
	}
}

static void random_any(struct pd_arena *a, struct random *r, Google__Protobuf__Any *any, int depth)
{
	static const char *const types[] = {
		"google.protobuf.Duration",        "google.protobuf.Struct",         "google.protobuf.Any",
		"google.protobuf.BoolValue",       "google.protobuf.Empty",          "envoy.config.core.v3.Address",
		"envoy.config.cluster.v3.Cluster", "istio.mesh.v1alpha1.MeshConfig",
	};
	Google__Protobuf__Any *made;

	if (depth <= 0 || (!r->no_unknown && chance(r, 20))) {
		ProtobufCBinaryData bytes;
		if (r->no_unknown)
			return;
		random_bytes(a, r, &bytes);
		made = pb_any_bytes(a, "unknown.Type", bytes.data, bytes.len);
	} else {
		const ProtobufCMessageDescriptor *d = pb_find(types[random_below(r, sizeof(types) / sizeof(types[0]))]);
		if (!d)
			return;
		made = pb_any(a, random_message(a, r, d, depth - 1));
	}
	any->type_url = made->type_url;
	any->value = made->value;
}

// JSON has no "Value without a kind" and no number that is not finite.
static void random_kind(struct pd_arena *a, struct random *r, Google__Protobuf__Value *v, int depth)
{
	Google__Protobuf__Value *made;

	switch (random_below(r, depth > 0 ? 6 : 4)) {
	case 0:
		made = pb_value_null(a);
		break;
	case 1:
		made = pb_value_bool(a, chance(r, 50));
		break;
	case 2:
		made = pb_value_number(a, (double)random_bits(r) / 8);
		break;
	case 3:
		made = pb_value_string(a, random_string(a, r));
		break;
	case 4:
		made = pb_value_struct(a, random_message(a, r, &google__protobuf__struct__descriptor, depth - 1));
		break;
	default:
		made = pb_value_list(a, random_message(a, r, &google__protobuf__list_value__descriptor, depth - 1));
	}
	*v = *made;
}

static void random_map(struct pd_arena *a, struct random *r, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
		       int depth)
{
	const ProtobufCMessageDescriptor *d = f->descriptor;
	size_t *count = pb_count(m, f);

	for (uint64_t n = random_below(r, 4); n; n--) {
		ProtobufCMessage *entry = pb_new(a, d);
		for (unsigned i = 0; i < 2; i++) {
			random_value(a, r, &d->fields[i], pb_member(entry, &d->fields[i]), depth);
			pb_mark_set(entry, &d->fields[i]);
		}
		*(ProtobufCMessage **)pb_append(a, m, f) = entry;
	}
	if (*count)
		*count = pb_sort_entries(*(ProtobufCMessage ***)pb_member(m, f), *count);
}

static void random_field(struct pd_arena *a, struct random *r, ProtobufCMessage *m, const struct pb_field *field,
			 int depth)
{
	const ProtobufCFieldDescriptor *f = field->f;
	void *slot = pb_member(m, f);

	if (f->type == PROTOBUF_C_TYPE_MESSAGE && depth <= 0)
		return;
	switch (field->shape) {
	case PB_MAP:
		random_map(a, r, m, f, depth);
		break;
	case PB_LIST:
		for (uint64_t n = random_below(r, 3); n; n--)
			random_value(a, r, f, pb_append(a, m, f), depth);
		break;
	case PB_SINGULAR:
	case PB_INLINE:
		pb_mark_set(m, f);
		random_value(a, r, f, slot, depth);
		// In JSON an inlined message is there only if one of its members is.
		if (field->shape == PB_INLINE && !pb_packed_size(*(void **)slot))
			*(void **)slot = NULL;
		break;
	}
}

void *random_message(struct pd_arena *a, struct random *r, const ProtobufCMessageDescriptor *d, int depth)
{
	ProtobufCMessage *m = pb_new(a, d);
	const struct pb_info *info = pb_info(d);
	unsigned percent = (unsigned)random_below(r, 130);

	if (random_special(a, r, info->special, m))
		return m;
	if (info->special == PB_ANY)
		random_any(a, r, (Google__Protobuf__Any *)m, depth);
	else if (info->special == PB_VALUE)
		random_kind(a, r, (Google__Protobuf__Value *)m, depth);
	else
		for (unsigned i = 0; i < d->n_fields; i++)
			if (chance(r, percent) || d->fields[i].label == PROTOBUF_C_LABEL_REQUIRED)
				random_field(a, r, m, &info->fields[i], depth);
	return m;
}
