// google.protobuf.Struct, Value and ListValue.
#include <string.h>

#include "api/pb_internal.h"
#include "base/str.h"

Google__Protobuf__Struct *pb_struct_new(struct pd_arena *a)
{
	return pb_new(a, &google__protobuf__struct__descriptor);
}

void pb_struct_set(struct pd_arena *a, Google__Protobuf__Struct *s, const char *key, Google__Protobuf__Value *v)
{
	size_t lo = 0, hi = s->n_fields;

	// Appending in order is the usual case.
	if (hi && strcmp(s->fields[hi - 1]->key, key) < 0)
		lo = hi;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = strcmp(s->fields[mid]->key, key);
		if (c == 0) {
			s->fields[mid]->value = v;
			return;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	Google__Protobuf__Struct__FieldsEntry *e = pb_new(a, &google__protobuf__struct__fields_entry__descriptor);
	e->key = pd_arena_strdup(a, key);
	e->value = v;
	PB_PUSH(a, s, fields, NULL);
	memmove(s->fields + lo + 1, s->fields + lo, (s->n_fields - 1 - lo) * sizeof(*s->fields));
	s->fields[lo] = e;
}

void pb_struct_set_string(struct pd_arena *a, Google__Protobuf__Struct *s, const char *key, const char *v)
{
	pb_struct_set(a, s, key, pb_value_string(a, v));
}

void pb_struct_set_bool(struct pd_arena *a, Google__Protobuf__Struct *s, const char *key, bool v)
{
	pb_struct_set(a, s, key, pb_value_bool(a, v));
}

void pb_struct_set_number(struct pd_arena *a, Google__Protobuf__Struct *s, const char *key, double v)
{
	pb_struct_set(a, s, key, pb_value_number(a, v));
}

void pb_struct_set_struct(struct pd_arena *a, Google__Protobuf__Struct *s, const char *key, Google__Protobuf__Struct *v)
{
	pb_struct_set(a, s, key, pb_value_struct(a, v));
}

void pb_struct_set_list(struct pd_arena *a, Google__Protobuf__Struct *s, const char *key,
			Google__Protobuf__ListValue *v)
{
	pb_struct_set(a, s, key, pb_value_list(a, v));
}

Google__Protobuf__Value *pb_struct_get(const Google__Protobuf__Struct *s, const char *key)
{
	// From the end: of equal keys, which bytes from outside may hold, the last counts.
	for (size_t i = s ? s->n_fields : 0; i-- > 0;)
		if (pd_streq(s->fields[i]->key, key))
			return s->fields[i]->value;
	return NULL;
}

const char *pb_struct_get_string(const Google__Protobuf__Struct *s, const char *key)
{
	const Google__Protobuf__Value *v = pb_struct_get(s, key);
	return v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE ? v->string_value : NULL;
}

Google__Protobuf__Struct *pb_struct_get_struct(const Google__Protobuf__Struct *s, const char *key)
{
	const Google__Protobuf__Value *v = pb_struct_get(s, key);
	return v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE ? v->struct_value : NULL;
}

static Google__Protobuf__Value *value(struct pd_arena *a, Google__Protobuf__Value__KindCase kind)
{
	Google__Protobuf__Value *v = pb_new(a, &google__protobuf__value__descriptor);
	v->kind_case = kind;
	return v;
}

Google__Protobuf__Value *pb_value_null(struct pd_arena *a)
{
	Google__Protobuf__Value *v = value(a, GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE);
	v->null_value = GOOGLE__PROTOBUF__NULL_VALUE__NULL_VALUE;
	return v;
}

Google__Protobuf__Value *pb_value_string(struct pd_arena *a, const char *s)
{
	Google__Protobuf__Value *v = value(a, GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE);
	v->string_value = pd_arena_strdup(a, pd_or(s, ""));
	return v;
}

Google__Protobuf__Value *pb_value_bool(struct pd_arena *a, bool b)
{
	Google__Protobuf__Value *v = value(a, GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE);
	v->bool_value = b;
	return v;
}

Google__Protobuf__Value *pb_value_number(struct pd_arena *a, double d)
{
	Google__Protobuf__Value *v = value(a, GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE);
	v->number_value = d;
	return v;
}

Google__Protobuf__Value *pb_value_struct(struct pd_arena *a, Google__Protobuf__Struct *s)
{
	Google__Protobuf__Value *v = value(a, GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE);
	v->struct_value = s;
	return v;
}

Google__Protobuf__Value *pb_value_list(struct pd_arena *a, Google__Protobuf__ListValue *l)
{
	Google__Protobuf__Value *v = value(a, GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE);
	v->list_value = l;
	return v;
}

Google__Protobuf__ListValue *pb_list_new(struct pd_arena *a)
{
	return pb_new(a, &google__protobuf__list_value__descriptor);
}

void pb_list_add(struct pd_arena *a, Google__Protobuf__ListValue *l, Google__Protobuf__Value *v)
{
	PB_PUSH(a, l, values, v);
}
