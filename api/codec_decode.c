// JSON tree to message: the recursion over fields, lists and maps.
#include <stdlib.h>
#include <string.h>

#include "api/codec_internal.h"

bool pd_codec_enter(struct pd_decoder *dec, const struct pd_frame *at, const struct pd_json *j)
{
	if (dec->depth == PD_CODEC_MAX_DEPTH) {
		pd_codec_fail(dec->c, at, j->line, "nested more than %d messages deep", PD_CODEC_MAX_DEPTH);
		return false;
	}
	dec->depth++;
	return true;
}

static bool takes_null(const ProtobufCFieldDescriptor *f)
{
	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		return pb_info(f->descriptor)->special == PB_VALUE;
	return f->type == PROTOBUF_C_TYPE_ENUM &&
	       !strcmp(((const ProtobufCEnumDescriptor *)f->descriptor)->name, "google.protobuf.NullValue");
}

static enum pd_outcome decode_value(struct pd_decoder *dec, const struct pd_frame *at, const struct pd_json *j,
				    const ProtobufCFieldDescriptor *f, void *slot)
{
	if (f->type != PROTOBUF_C_TYPE_MESSAGE)
		return pd_codec_scalar(dec->c, at, j, f, slot);
	ProtobufCMessage *m = pb_new(dec->c->arena, f->descriptor);
	enum pd_outcome got = pd_codec_message(dec, at, j, m);
	*(ProtobufCMessage **)slot = got == PD_GOT ? m : NULL;
	return got;
}

enum pd_outcome pd_codec_list(struct pd_decoder *dec, const struct pd_frame *at, const struct pd_json *j,
			      ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	struct pd_frame here = {.up = at, .step = PD_STEP_INDEX};

	if (j->type != PD_JSON_ARRAY)
		return pd_codec_expected(dec->c, at, j, "list");
	*pb_count(m, f) = 0;
	for (const struct pd_json *item = j->first; item; item = item->next, here.index++) {
		void *slot = pb_append(dec->c->arena, m, f);
		if (decode_value(dec, &here, item, f, slot) != PD_GOT)
			(*pb_count(m, f))--;
	}
	return PD_GOT;
}

struct entry {
	ProtobufCMessage *m;
	const struct pd_json *source;
	size_t rank;
};

static int entry_cmp(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;
	int order = pb_entry_cmp(a->m, b->m);

	return order ? order : a->rank < b->rank ? -1 : a->rank > b->rank;
}

static bool decode_entry(struct pd_decoder *dec, const struct pd_frame *at, const struct pd_json *member,
			 ProtobufCMessage *entry)
{
	const ProtobufCFieldDescriptor *key = &entry->descriptor->fields[0], *value = &entry->descriptor->fields[1];
	enum pd_outcome got = pd_codec_map_key(dec->c, at, member, key, pb_member(entry, key));

	pb_mark_set(entry, key);
	if (got != PD_GOT || !pd_codec_enter(dec, at, member))
		return false;
	got = decode_value(dec, at, member, value, pb_member(entry, value));
	dec->depth--;
	if (got == PD_GOT)
		pb_mark_set(entry, value);
	return got == PD_GOT;
}

enum pd_outcome pd_codec_map(struct pd_decoder *dec, const struct pd_frame *at, const struct pd_json *j,
			     ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, enum pd_step step)
{
	size_t n = 0;

	if (j->type != PD_JSON_OBJECT)
		return pd_codec_expected(dec->c, at, j, "object");
	*pb_count(m, f) = 0;
	if (!j->n)
		return PD_GOT;
	struct entry *entries = pd_xmalloc(j->n * sizeof(*entries));
	for (const struct pd_json *member = j->first; member; member = member->next) {
		struct pd_frame here = pd_frame_of(at, step, member);
		ProtobufCMessage *entry = pb_new(dec->c->arena, f->descriptor);
		if (decode_entry(dec, &here, member, entry)) {
			entries[n] = (struct entry){entry, member, n};
			n++;
		}
	}
	qsort(entries, n, sizeof(*entries), entry_cmp);
	for (size_t i = 0; i < n; i++) {
		bool again = i && !pb_entry_cmp(entries[i - 1].m, entries[i].m);
		if (again && dec->c->policy == PD_CODEC_STRICT) {
			struct pd_frame here = pd_frame_of(at, step, entries[i].source);
			pd_codec_fail(dec->c, &here, entries[i].source->line, "duplicate key");
		}
		ProtobufCMessage **slot = again ? *(ProtobufCMessage ***)pb_member(m, f) + *pb_count(m, f) - 1
						: pb_append(dec->c->arena, m, f);
		*slot = entries[i].m;
	}
	free(entries);
	return PD_GOT;
}

// The member of the oneof that is already set, or NULL.
static const ProtobufCFieldDescriptor *rival(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	if (!pb_in_oneof(f))
		return NULL;
	uint32_t which = *(uint32_t *)pb_slot(m, f->quantifier_offset);
	if (!which || which == f->id)
		return NULL;
	return protobuf_c_message_descriptor_get_field(m->descriptor, which);
}

static void decode_singular(struct pd_decoder *dec, const struct pd_frame *at, const struct pd_json *j,
			    ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	// Into a slot of its own: the member's may be shared with another of the oneof.
	union {
		uint64_t number;
		void *pointer;
		ProtobufCBinaryData bytes;
	} slot = {.bytes = {0}};
	const ProtobufCFieldDescriptor *other = rival(m, f);

	if (other) {
		pd_codec_fail(dec->c, at, j->line, "\"%s\" is set too, only one of them may be",
			      pb_field_json_name(m->descriptor, other));
		return;
	}
	if (decode_value(dec, at, j, f, &slot) != PD_GOT)
		return;
	pb_mark_set(m, f);
	memcpy(pb_member(m, f), &slot, pb_type_size(f->type));
}

static void decode_field(struct pd_decoder *dec, const struct pd_frame *at, const struct pd_json *j,
			 ProtobufCMessage *m, const struct pb_field *field)
{
	if (j->type == PD_JSON_NULL && (field->shape != PB_SINGULAR || !takes_null(field->f)))
		return;
	switch (field->shape) {
	case PB_LIST:
		pd_codec_list(dec, at, j, m, field->f);
		break;
	case PB_MAP:
		pd_codec_map(dec, at, j, m, field->f, PD_STEP_KEY);
		break;
	case PB_SINGULAR:
	case PB_INLINE:
		decode_singular(dec, at, j, m, field->f);
		break;
	}
}

// The message behind an inline_X field, and its field of that name.
static const struct pb_field *find_inline(struct pd_decoder *dec, const struct pb_info *info, ProtobufCMessage *m,
					  const struct pd_json *member, ProtobufCMessage **inner)
{
	for (unsigned i = 0; i < info->d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = info->fields[i].f;
		if (info->fields[i].shape != PB_INLINE)
			continue;
		const struct pb_field *found = pb_info_find(pb_info(f->descriptor), member->key, member->key_len);
		if (!found)
			continue;
		ProtobufCMessage **slot = pb_member(m, f);
		if (!*slot) {
			*slot = pb_new(dec->c->arena, f->descriptor);
			pb_mark_set(m, f);
		}
		*inner = *slot;
		return found;
	}
	return NULL;
}

static bool key_is(const struct pd_json *member, const char *key)
{
	return member->key_len == strlen(key) && !strcmp(member->key, key);
}

// Members that every Kubernetes object has and that no message of ours keeps.
static bool passed_over(const struct pb_info *info, const struct pd_json *member)
{
	if (info->kube_object && (key_is(member, "apiVersion") || key_is(member, "kind")))
		return true;
	return info->kube && key_is(member, "managedFields") && !strcmp(info->d->name, "k8s.ObjectMeta");
}

enum pd_outcome pd_codec_members(struct pd_decoder *dec, const struct pd_frame *at, const struct pd_json *j,
				 ProtobufCMessage *m, bool any)
{
	const struct pb_info *info = pb_info(m->descriptor);
	uint64_t seen[PB_MAX_FIELDS / 64] = {0};

	if (j->type != PD_JSON_OBJECT)
		return pd_codec_expected(dec->c, at, j, "object");
	for (const struct pd_json *member = j->first; member; member = member->next) {
		struct pd_frame here = pd_frame_of(at, PD_STEP_MEMBER, member);
		const struct pb_field *field = pb_info_find(info, member->key, member->key_len);
		ProtobufCMessage *owner = m;
		bool again = false;
		if (field) {
			size_t i = (size_t)(field - info->fields);
			again = seen[i / 64] >> (i % 64) & 1;
			seen[i / 64] |= 1ull << (i % 64);
		} else if (info->has_inline) {
			field = find_inline(dec, info, m, member, &owner);
			again = field && pb_field_is_set(owner, field->f);
		}
		if (!field) {
			if (!(any && key_is(member, "@type")) && !passed_over(info, member))
				pd_codec_unknown_field(dec->c, at, member, info);
			continue;
		}
		if (again && dec->c->policy == PD_CODEC_STRICT)
			pd_codec_fail(dec->c, &here, member->line, "duplicate field");
		else
			decode_field(dec, &here, member, owner, field);
	}
	return PD_GOT;
}

enum pd_outcome pd_codec_message(struct pd_decoder *dec, const struct pd_frame *at, const struct pd_json *j,
				 ProtobufCMessage *m)
{
	const struct pb_info *info = pb_info(m->descriptor);
	enum pd_outcome got;

	if (!pd_codec_enter(dec, at, j))
		return PD_FAILED;
	if (info->special == PB_PLAIN)
		got = pd_codec_members(dec, at, j, m, false);
	else
		got = pd_codec_special(dec, at, j, info, m);
	dec->depth--;
	return got;
}

int pd_codec_decode(struct pd_codec *c, const struct pd_json *json, const ProtobufCMessageDescriptor *d, void **out)
{
	struct pd_decoder dec = {.c = c};
	const char *path = c->path ? c->path : "";
	struct pd_frame root = {.step = PD_STEP_ROOT, .name = path, .len = (uint32_t)strlen(path)};
	uint32_t before = c->n_errors + c->errors_dropped;
	ProtobufCMessage *m = pb_new(c->arena, d);

	*out = pd_codec_message(&dec, &root, json, m) == PD_GOT ? m : NULL;
	if (*out && c->n_errors + c->errors_dropped == before)
		return PD_OK;
	// An Any of an unknown type at the root is skipped without an error; there is no message then.
	if (c->n_errors + c->errors_dropped == before)
		pd_codec_fail(c, &root, json->line, "nothing left of the value");
	return PD_E_INVALID;
}

int pd_codec_decode_text(struct pd_codec *c, const char *text, size_t len, const ProtobufCMessageDescriptor *d,
			 void **out)
{
	struct pd_json_error err = {0};
	struct pd_json *json;

	*out = NULL;
	int rc = pd_json_parse(c->arena, text, len, &json, &err);
	if (rc) {
		const char *path = c->path ? c->path : "";
		struct pd_frame root = {.step = PD_STEP_ROOT, .name = path, .len = (uint32_t)strlen(path)};
		pd_codec_fail(c, &root, err.line, "%s at column %u", err.text, err.column);
		return rc;
	}
	return pd_codec_decode(c, json, d, out);
}

int pd_codec_decode_struct(struct pd_codec *c, const Google__Protobuf__Struct *s, const ProtobufCMessageDescriptor *d,
			   void **out)
{
	return pd_codec_decode(c, pd_json_from_struct(c->arena, s), d, out);
}
