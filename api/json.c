#include "api/json.h"

#include <math.h>
#include <string.h>

static struct pd_json *node(struct pd_arena *a, enum pd_json_type type)
{
	struct pd_json *j = PD_NEW(a, struct pd_json);
	j->type = type;
	return j;
}

struct pd_json *pd_json_null(struct pd_arena *a)
{
	return node(a, PD_JSON_NULL);
}
struct pd_json *pd_json_array(struct pd_arena *a)
{
	return node(a, PD_JSON_ARRAY);
}
struct pd_json *pd_json_object(struct pd_arena *a)
{
	return node(a, PD_JSON_OBJECT);
}

struct pd_json *pd_json_bool(struct pd_arena *a, bool v)
{
	struct pd_json *j = node(a, PD_JSON_BOOL);
	j->b = v;
	return j;
}

struct pd_json *pd_json_int(struct pd_arena *a, int64_t v)
{
	struct pd_json *j = node(a, PD_JSON_INT);
	j->i = v;
	return j;
}

struct pd_json *pd_json_uint(struct pd_arena *a, uint64_t v)
{
	if (v <= INT64_MAX)
		return pd_json_int(a, (int64_t)v);
	struct pd_json *j = node(a, PD_JSON_UINT);
	j->u = v;
	return j;
}

struct pd_json *pd_json_real(struct pd_arena *a, double v)
{
	struct pd_json *j = node(a, PD_JSON_REAL);
	j->d = v;
	return j;
}

struct pd_json *pd_json_string_n(struct pd_arena *a, const char *s, size_t n)
{
	struct pd_json *j = node(a, PD_JSON_STRING);

	PD_ASSERT(n <= PD_JSON_MAX_BYTES);
	j->s = pd_arena_strndup(a, s, n);
	j->n = (uint32_t)n;
	return j;
}

struct pd_json *pd_json_string(struct pd_arena *a, const char *s)
{
	return pd_json_string_n(a, s, strlen(s));
}

void pd_json_append(struct pd_json *array, struct pd_json *item)
{
	PD_ASSERT(array->type == PD_JSON_ARRAY || array->type == PD_JSON_OBJECT);
	item->next = NULL;
	if (array->last)
		array->last->next = item;
	else
		array->first = item;
	array->last = item;
	array->n++;
}

void pd_json_add_n(struct pd_arena *a, struct pd_json *object, const char *key, size_t key_len, struct pd_json *value)
{
	PD_ASSERT(object->type == PD_JSON_OBJECT && key_len <= PD_JSON_MAX_BYTES);
	value->key = pd_arena_strndup(a, key, key_len);
	value->key_len = (uint32_t)key_len;
	pd_json_append(object, value);
}

void pd_json_add(struct pd_arena *a, struct pd_json *object, const char *key, struct pd_json *value)
{
	pd_json_add_n(a, object, key, strlen(key), value);
}

static bool key_is(const struct pd_json *j, const char *key, size_t len)
{
	return j->key_len == len && !memcmp(j->key, key, len);
}

static struct pd_json *find(const struct pd_json *object, const char *key, size_t len)
{
	struct pd_json *found = NULL;

	for (struct pd_json *j = object->first; j; j = j->next)
		if (key_is(j, key, len))
			found = j;
	return found;
}

void pd_json_set(struct pd_arena *a, struct pd_json *object, const char *key, struct pd_json *value)
{
	struct pd_json *old = pd_json_get(object, key), *before = NULL;

	if (!old) {
		pd_json_add(a, object, key, value);
		return;
	}
	value->key = old->key;
	value->key_len = old->key_len;
	value->next = old->next;
	for (struct pd_json *j = object->first; j != old; j = j->next)
		before = j;
	if (before)
		before->next = value;
	else
		object->first = value;
	if (object->last == old)
		object->last = value;
}

struct pd_json *pd_json_get(const struct pd_json *object, const char *key)
{
	return object && object->type == PD_JSON_OBJECT ? find(object, key, strlen(key)) : NULL;
}

const char *pd_json_get_string(const struct pd_json *object, const char *key)
{
	const struct pd_json *j = pd_json_get(object, key);
	return j && j->type == PD_JSON_STRING && strlen(j->s) == j->n ? j->s : NULL;
}

const char *pd_json_type_name(const struct pd_json *j)
{
	switch (j->type) {
	case PD_JSON_NULL:
		return "null";
	case PD_JSON_BOOL:
		return "bool";
	case PD_JSON_INT:
	case PD_JSON_UINT:
	case PD_JSON_REAL:
		return "number";
	case PD_JSON_STRING:
		return "string";
	case PD_JSON_ARRAY:
		return "list";
	case PD_JSON_OBJECT:
		return "object";
	}
	PD_UNREACHABLE();
}

// Exact, also where a double cannot tell neighbouring integers apart.
static bool int_equals_real(const struct pd_json *i, double d)
{
	if (d != trunc(d) || d < -0x1p63 || d >= 0x1p64)
		return false;
	if (i->type == PD_JSON_INT)
		return d < 0x1p63 && (int64_t)d == i->i;
	return d >= 0x1p63 && (uint64_t)d == i->u;
}

static bool numbers_equal(const struct pd_json *a, const struct pd_json *b)
{
	if (a->type == PD_JSON_REAL && b->type == PD_JSON_REAL)
		return a->d == b->d || (isnan(a->d) && isnan(b->d));
	if (a->type == PD_JSON_REAL)
		return int_equals_real(b, a->d);
	if (b->type == PD_JSON_REAL)
		return int_equals_real(a, b->d);
	return a->type == b->type && (a->type == PD_JSON_INT ? a->i == b->i : a->u == b->u);
}

static bool is_number(const struct pd_json *j)
{
	return j->type == PD_JSON_INT || j->type == PD_JSON_UINT || j->type == PD_JSON_REAL;
}

// Every member that counts in a has an equal one in b.
static bool covers(const struct pd_json *a, const struct pd_json *b)
{
	for (const struct pd_json *x = a->first; x; x = x->next) {
		const struct pd_json *mine = find(a, x->key, x->key_len), *other = find(b, x->key, x->key_len);
		if (!other || (mine == x && !pd_json_equal(x, other)))
			return false;
	}
	return true;
}

static bool objects_equal(const struct pd_json *a, const struct pd_json *b)
{
	const struct pd_json *x = a->first, *y = b->first;

	// The usual case, same order, in linear time.
	while (x && y && key_is(x, y->key, y->key_len) && pd_json_equal(x, y)) {
		x = x->next;
		y = y->next;
	}
	return (!x && !y) || (covers(a, b) && covers(b, a));
}

bool pd_json_equal(const struct pd_json *a, const struct pd_json *b)
{
	if (!a || !b)
		return a == b;
	if (is_number(a) && is_number(b))
		return numbers_equal(a, b);
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case PD_JSON_BOOL:
		return a->b == b->b;
	case PD_JSON_STRING:
		return a->n == b->n && !memcmp(a->s, b->s, a->n);
	case PD_JSON_OBJECT:
		return objects_equal(a, b);
	case PD_JSON_ARRAY:
		if (a->n != b->n)
			return false;
		for (const struct pd_json *x = a->first, *y = b->first; x && y; x = x->next, y = y->next)
			if (!pd_json_equal(x, y))
				return false;
		return true;
	default:
		return true;
	}
}

struct pd_json *pd_json_copy(struct pd_arena *a, const struct pd_json *j)
{
	struct pd_json *out;

	switch (j->type) {
	case PD_JSON_STRING:
		out = pd_json_string_n(a, j->s, j->n);
		break;
	case PD_JSON_ARRAY:
	case PD_JSON_OBJECT:
		out = node(a, j->type);
		for (const struct pd_json *x = j->first; x; x = x->next) {
			struct pd_json *child = pd_json_copy(a, x);
			if (x->key)
				pd_json_add_n(a, out, x->key, x->key_len, child);
			else
				pd_json_append(out, child);
		}
		break;
	default:
		out = PD_NEW(a, struct pd_json);
		*out = *j;
		out->next = NULL;
		out->key = NULL;
		out->key_len = 0;
	}
	out->line = j->line;
	return out;
}
