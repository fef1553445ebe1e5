// Tables per message type: JSON names, shapes of fields, JSON peculiarities. protobuf-c's descriptors are constants without
// room for them, so they hang in a hash table keyed by the descriptor's address: lock-free, insert-only, filled on first use.
#include "api/pb_internal.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static _Atomic(struct pb_info *) table[PB_MAX_TYPES * 2];

static const struct {
	const char *name;
	enum pb_special special;
} specials[] = {
	{"google.protobuf.Any", PB_ANY},
	{"google.protobuf.Duration", PB_DURATION},
	{"google.protobuf.Timestamp", PB_TIMESTAMP},
	{"google.protobuf.FieldMask", PB_FIELD_MASK},
	{"google.protobuf.Struct", PB_STRUCT},
	{"google.protobuf.Value", PB_VALUE},
	{"google.protobuf.ListValue", PB_LIST_VALUE},
	{"google.protobuf.DoubleValue", PB_WRAPPER},
	{"google.protobuf.FloatValue", PB_WRAPPER},
	{"google.protobuf.Int64Value", PB_WRAPPER},
	{"google.protobuf.UInt64Value", PB_WRAPPER},
	{"google.protobuf.Int32Value", PB_WRAPPER},
	{"google.protobuf.UInt32Value", PB_WRAPPER},
	{"google.protobuf.BoolValue", PB_WRAPPER},
	{"google.protobuf.StringValue", PB_WRAPPER},
	{"google.protobuf.BytesValue", PB_WRAPPER},
	{"k8s.Time", PB_KUBE_TIME},
	{"k8s.MicroTime", PB_KUBE_MICRO_TIME},
	{"k8s.Duration", PB_KUBE_DURATION},
	{"k8s.IntOrString", PB_KUBE_INT_OR_STRING},
	{"k8s.Quantity", PB_KUBE_QUANTITY},
	{"k8s.RawExtension", PB_KUBE_RAW},
};

static enum pb_special special_of(const char *name)
{
	for (size_t i = 0; i < sizeof(specials) / sizeof(specials[0]); i++)
		if (!strcmp(specials[i].name, name))
			return specials[i].special;
	return PB_PLAIN;
}

// lowerCamel as protoc derives it: underscores go, the letter behind one is raised.
static char *camel(const char *name)
{
	char *out = pd_xmalloc(strlen(name) + 1), *o = out;
	bool up = false;

	for (const char *s = name; *s; s++) {
		if (*s == '_') {
			up = true;
			continue;
		}
		*o++ = up && *s >= 'a' && *s <= 'z' ? (char)(*s - 'a' + 'A') : *s;
		up = false;
	}
	*o = '\0';
	return out;
}

// A map is a repeated message type nested in `d` and named after the field: CamelField + "Entry". Having key and value is
// not enough: RateLimitDescriptor.Entry has both and is no map.
bool pb_field_is_map(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f)
{
	if (f->label != PROTOBUF_C_LABEL_REPEATED || f->type != PROTOBUF_C_TYPE_MESSAGE)
		return false;
	const ProtobufCMessageDescriptor *e = f->descriptor;
	size_t len = strlen(d->name);
	if (e->n_fields != 2 || strncmp(e->name, d->name, len) || e->name[len] != '.')
		return false;
	if (strcmp(e->fields[0].name, "key") || e->fields[0].id != 1 || strcmp(e->fields[1].name, "value") ||
	    e->fields[1].id != 2)
		return false;

	const char *s = e->name + len + 1;
	bool up = true;
	for (const char *n = f->name; *n; n++) {
		if (*n == '_') {
			up = true;
			continue;
		}
		char want = up && *n >= 'a' && *n <= 'z' ? (char)(*n - 'a' + 'A') : *n;
		if (*s++ != want)
			return false;
		up = false;
	}
	return !strcmp(s, "Entry");
}

static enum pb_shape shape_of(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f, bool kube)
{
	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return pb_field_is_map(d, f) ? PB_MAP : PB_LIST;
	if (kube && f->type == PROTOBUF_C_TYPE_MESSAGE && pd_has_prefix(f->name, "inline_"))
		return PB_INLINE;
	return PB_SINGULAR;
}

static int name_cmp(const void *x, const void *y)
{
	const struct pb_name *a = x, *b = y;

	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return memcmp(a->s, b->s, a->len);
}

static struct pb_info *make(const ProtobufCMessageDescriptor *d)
{
	struct pb_info *info = pd_xcalloc(1, sizeof(*info));

	PD_ASSERT(d->n_fields <= PB_MAX_FIELDS);
	info->d = d;
	info->special = special_of(d->name);
	info->kube = pd_has_prefix(d->name, "k8s.");
	info->type_url = pd_xasprintf(PB_TYPE_PREFIX "%s", d->name);
	info->fields = pd_xcalloc(d->n_fields + 1, sizeof(*info->fields));
	info->names = pd_xcalloc(2 * d->n_fields + 1, sizeof(*info->names));
	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		struct pb_field *field = &info->fields[i];
		field->f = f;
		field->json_name = camel(f->name);
		field->json_len = (uint32_t)strlen(field->json_name);
		field->shape = shape_of(d, f, info->kube);
		if (f->type == PROTOBUF_C_TYPE_MESSAGE && !strcmp(f->name, "metadata"))
			info->kube_object =
				!strcmp(((const ProtobufCMessageDescriptor *)f->descriptor)->name, "k8s.ObjectMeta");
		if (field->shape == PB_INLINE) {
			info->has_inline = true;
			continue;
		}
		info->names[info->n_names++] = (struct pb_name){field->json_name, field->json_len, i};
		if (strcmp(f->name, field->json_name))
			info->names[info->n_names++] = (struct pb_name){f->name, (uint32_t)strlen(f->name), i};
	}
	qsort(info->names, info->n_names, sizeof(*info->names), name_cmp);
	return info;
}

static void discard(struct pb_info *info)
{
	for (unsigned i = 0; i < info->d->n_fields; i++)
		free((char *)(uintptr_t)info->fields[i].json_name);
	free((char *)(uintptr_t)info->type_url);
	free(info->fields);
	free(info->names);
	free(info);
}

const struct pb_info *pb_info(const ProtobufCMessageDescriptor *d)
{
	size_t mask = PB_MAX_TYPES * 2 - 1;
	size_t at = (((uintptr_t)d >> 5) * 0x9e3779b97f4a7c15ull >> 40) & mask;
	struct pb_info *fresh = NULL;

	for (size_t tries = 0; tries < PB_MAX_TYPES; tries++, at = (at + 1) & mask) {
		struct pb_info *info = atomic_load_explicit(&table[at], memory_order_acquire);
		if (!info) {
			if (!fresh)
				fresh = make(d);
			if (atomic_compare_exchange_strong(&table[at], &info, fresh))
				return fresh;
		}
		if (info->d == d) {
			if (fresh)
				discard(fresh);
			return info;
		}
	}
	PD_UNREACHABLE(); // more than PB_MAX_TYPES types: they are constants of the program, so this is a bug of ours
}

const struct pb_field *pb_info_find(const struct pb_info *info, const char *name, size_t n)
{
	size_t lo = 0, hi = info->n_names;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct pb_name *m = &info->names[mid];
		int c = m->len != n ? (m->len < n ? -1 : 1) : memcmp(m->s, name, n);
		if (c == 0)
			return &info->fields[m->field];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const ProtobufCFieldDescriptor *pb_field_by_name(const ProtobufCMessageDescriptor *d, const char *name, size_t n)
{
	const struct pb_field *field = pb_info_find(pb_info(d), name, n);
	return field ? field->f : NULL;
}

const char *pb_field_json_name(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f)
{
	return pb_info(d)->fields[f - d->fields].json_name;
}

size_t pb_type_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return 4;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_ENUM:
		return sizeof(int);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	}
	PD_UNREACHABLE();
}

static bool zeroish(const void *member, ProtobufCType type)
{
	uint32_t u32;
	uint64_t u64;
	float f;
	double d;

	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
		return !*(char *const *)member || !**(char *const *)member;
	case PROTOBUF_C_TYPE_MESSAGE:
		return !*(void *const *)member;
	case PROTOBUF_C_TYPE_BYTES:
		return !((const ProtobufCBinaryData *)member)->data || !((const ProtobufCBinaryData *)member)->len;
	case PROTOBUF_C_TYPE_FLOAT:
		memcpy(&f, member, sizeof(f));
		return f == 0;
	case PROTOBUF_C_TYPE_DOUBLE:
		memcpy(&d, member, sizeof(d));
		return d == 0;
	default:
		if (pb_type_size(type) == 4) {
			memcpy(&u32, member, 4);
			return !u32;
		}
		memcpy(&u64, member, 8);
		return !u64;
	}
}

bool pb_field_is_set(const void *msg, const ProtobufCFieldDescriptor *f)
{
	const void *member = pb_member(msg, f);
	bool pointer = f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE;

	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return *pb_count(msg, f) > 0;
	if (pb_in_oneof(f) && *(const uint32_t *)pb_slot(msg, f->quantifier_offset) != f->id)
		return false;
	if (pb_in_oneof(f) || f->label == PROTOBUF_C_LABEL_OPTIONAL) {
		if (pointer)
			return *(void *const *)member && *(const void *const *)member != f->default_value;
		return pb_in_oneof(f) || *(const protobuf_c_boolean *)pb_slot(msg, f->quantifier_offset);
	}
	return f->label == PROTOBUF_C_LABEL_REQUIRED ? !pointer || *(void *const *)member : !zeroish(member, f->type);
}

void pb_mark_set(void *msg, const ProtobufCFieldDescriptor *f)
{
	if (pb_in_oneof(f)) {
		uint32_t *which = pb_slot(msg, f->quantifier_offset);
		if (*which != f->id)
			memset(pb_member(msg, f), 0, pb_type_size(f->type));
		*which = f->id;
	} else if (f->label == PROTOBUF_C_LABEL_OPTIONAL && f->type != PROTOBUF_C_TYPE_STRING &&
		   f->type != PROTOBUF_C_TYPE_MESSAGE) {
		*(protobuf_c_boolean *)pb_slot(msg, f->quantifier_offset) = true;
	}
}

size_t pb_capacity(size_t n)
{
	size_t cap = 1;

	if (!n)
		return 0;
	while (cap < n)
		cap *= 2;
	return cap;
}

void *pb_grow(struct pd_arena *a, void *array, size_t n, size_t element_size)
{
	if (n && pb_capacity(n) > n)
		return array;
	size_t cap = n ? n * 2 : 1;
	void *bigger = pd_arena_alloc(a, cap * element_size);
	if (n)
		memcpy(bigger, array, n * element_size);
	return bigger;
}

void *pb_append(struct pd_arena *a, void *msg, const ProtobufCFieldDescriptor *f)
{
	size_t *n = pb_count(msg, f), size = pb_type_size(f->type);
	void **array = pb_member(msg, f);

	*array = pb_grow(a, *array, *n, size);
	return (char *)*array + size * (*n)++;
}

int pb_entry_cmp(const ProtobufCMessage *x, const ProtobufCMessage *y)
{
	const ProtobufCFieldDescriptor *key = &x->descriptor->fields[0];
	const void *a = pb_member(x, key), *b = pb_member(y, key);
	uint64_t u, v;
	int64_t i, j;

	switch (key->type) {
	case PROTOBUF_C_TYPE_STRING:
		return pd_strcmp(*(char *const *)a, *(char *const *)b);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		memcpy(&i, a, 8);
		memcpy(&j, b, 8);
		return i < j ? -1 : i > j;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		memcpy(&u, a, 8);
		memcpy(&v, b, 8);
		return u < v ? -1 : u > v;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		u = *(const uint32_t *)a;
		v = *(const uint32_t *)b;
		return u < v ? -1 : u > v;
	default: // int32 of all kinds and bool
		i = *(const int32_t *)a;
		j = *(const int32_t *)b;
		return i < j ? -1 : i > j;
	}
}

struct ranked {
	ProtobufCMessage *m;
	size_t rank;
};

static int ranked_cmp(const void *x, const void *y)
{
	const struct ranked *a = x, *b = y;
	int c = pb_entry_cmp(a->m, b->m);

	return c ? c : a->rank < b->rank ? -1 : a->rank > b->rank;
}

size_t pb_sort_entries(ProtobufCMessage **entries, size_t n)
{
	size_t sorted = n ? 1 : 0, out = 0;

	while (sorted < n && pb_entry_cmp(entries[sorted - 1], entries[sorted]) < 0)
		sorted++;
	if (sorted == n)
		return n;

	struct ranked *all = pd_xmalloc(n * sizeof(*all));
	for (size_t i = 0; i < n; i++)
		all[i] = (struct ranked){entries[i], i};
	qsort(all, n, sizeof(*all), ranked_cmp);
	for (size_t i = 0; i < n; i++)
		if (i + 1 == n || pb_entry_cmp(all[i].m, all[i + 1].m))
			entries[out++] = all[i].m;
	free(all);
	return out;
}
