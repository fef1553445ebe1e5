// Lists and frames in their JSON form. Only as much of the syntax is looked at as is needed to find where a value ends; the
// values themselves are parsed by api/json.h.
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "k8s/wire_impl.h"

// ---- the end of a value ---------------------------------------------------------------------------------------------

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t spaces(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && is_space(p[i]))
		i++;
	return i;
}

// One byte inside a string. True: it is the closing quote.
static bool string_byte(struct pd_k8s_json_scan *s, char c)
{
	if (s->escaped)
		s->escaped = false;
	else if (c == '\\')
		s->escaped = true;
	else if (c == '"')
		s->in_string = false;
	return !s->in_string;
}

size_t pd_k8s_json_scan(struct pd_k8s_json_scan *s, const char *p, size_t n)
{
	for (size_t i = s->scanned; i < n; i++) {
		char c = p[i];

		if (s->in_string) {
			if (string_byte(s, c) && !s->depth)
				return i + 1;
		} else if (c == '"') {
			s->in_string = true;
		} else if (c == '{' || c == '[') {
			if (s->depth++ > PD_JSON_MAX_DEPTH) // the frame's own braces are one more
				return i + 1;
		} else if (c == '}' || c == ']') {
			if (s->depth <= 1)
				return s->depth ? i + 1 : i;
			s->depth--;
		} else if (!s->depth && (c == ',' || is_space(c))) {
			return i;
		}
	}
	s->scanned = n;
	return 0;
}

// ---- members --------------------------------------------------------------------------------------------------------

// The position behind the value at p (spaces may be in front), whose text is *out. NULL: it does not end.
static const char *value_at(const char *p, const char *end, struct pd_k8s_json_text *out)
{
	struct pd_k8s_json_scan scan = {0};

	p += spaces(p, (size_t)(end - p));
	*out = (struct pd_k8s_json_text){p, pd_k8s_json_scan(&scan, p, (size_t)(end - p))};
	return out->n ? p + out->n : NULL;
}

static bool is_named(const struct pd_k8s_json_text *key, const char *name)
{
	size_t n = strlen(name);

	return key->n == n + 2 && !memcmp(key->p + 1, name, n);
}

int pd_k8s_json_members(const char *p, size_t n, const char *const *names, size_t n_names, struct pd_k8s_json_text *out)
{
	const char *end = p + n;
	struct pd_k8s_json_text key, value;

	memset(out, 0, n_names * sizeof(*out));
	p += spaces(p, n);
	if (p == end || *p++ != '{')
		return PD_E_PARSE;
	for (;;) {
		p += spaces(p, (size_t)(end - p));
		if (p < end && *p == '}')
			return PD_OK;
		p = value_at(p, end, &key);
		if (!p || *key.p != '"')
			return PD_E_PARSE;
		p += spaces(p, (size_t)(end - p));
		if (p == end || *p++ != ':')
			return PD_E_PARSE;
		p = value_at(p, end, &value);
		if (!p)
			return PD_E_PARSE;
		for (size_t i = 0; i < n_names; i++)
			if (is_named(&key, names[i]))
				out[i] = value;
		p += spaces(p, (size_t)(end - p));
		if (p < end && *p == ',')
			p++;
	}
}

// ---- lists ----------------------------------------------------------------------------------------------------------

enum state { AT_START, AT_MEMBER, AT_COLON, AT_VALUE, AT_ITEM, AT_END };
enum member { MEMBER_OTHER, MEMBER_METADATA, MEMBER_ITEMS };

bool pd_k8s_list_json_whole(const struct pd_k8s_list *l)
{
	return l->state == AT_END;
}

static int unexpected(struct pd_k8s_wire_error *err, char c)
{
	return pd_k8s_wire_fail(err, PD_E_PARSE, "broken list: unexpected byte 0x%02x", (unsigned char)c);
}

static int take_meta(struct pd_k8s_list *l, const char *p, size_t n, struct pd_k8s_wire_error *err)
{
	struct pd_json_error why = {0};
	struct pd_json *json;
	const char *rv, *next;
	int rc = pd_json_parse(&l->arena, p, n, &json, &why);

	if (rc)
		return pd_k8s_wire_fail(err, rc, "metadata of a list: %s", why.text);
	rv = pd_or(pd_json_get_string(json, "resourceVersion"), "");
	next = pd_or(pd_json_get_string(json, "continue"), "");
	if (strlen(rv) >= sizeof(l->rv) || strlen(next) >= PD_K8S_CONTINUE_MAX)
		return pd_k8s_wire_fail(err, PD_E_LIMIT, "resourceVersion or continue token is too long");
	memcpy(l->rv, rv, strlen(rv) + 1);
	free(l->next);
	l->next = *next ? pd_xstrdup(next) : NULL;
	pd_arena_reset(&l->arena);
	return PD_OK;
}

static int take_item(struct pd_k8s_list *l, const char *p, size_t n, pd_k8s_on_item fn, void *user,
		     struct pd_k8s_wire_error *err)
{
	struct pd_k8s_item item = {.form = PD_K8S_FORM_JSON, .p = p, .n = n, .arena = &l->arena};
	int rc = pd_k8s_item_open(&item, err);

	if (!rc)
		rc = fn(user, &item);
	pd_arena_reset(&l->arena);
	return rc;
}

// The name of a member, or the end of the list.
static int at_member(struct pd_k8s_list *l, const char *p, size_t n, size_t *used, struct pd_k8s_wire_error *err)
{
	size_t len;

	if (*p == ',' || *p == '}') {
		l->state = *p == '}' ? AT_END : AT_MEMBER;
		*used = 1;
		return PD_OK;
	}
	if (*p != '"')
		return unexpected(err, *p);
	len = pd_k8s_json_scan(&l->scan, p, n);
	if (!len)
		return n > PD_K8S_LIST_META_MAX ? unexpected(err, *p) : PD_OK;
	l->key = len == 10 && !memcmp(p, "\"metadata\"", 10) ? MEMBER_METADATA
		 : len == 7 && !memcmp(p, "\"items\"", 7)    ? MEMBER_ITEMS
							     : MEMBER_OTHER;
	l->state = AT_COLON;
	l->scan = (struct pd_k8s_json_scan){0};
	*used = len;
	return PD_OK;
}

// A value that is wanted as a whole, or one that is passed over.
static int whole_value(struct pd_k8s_list *l, const char *p, size_t n, size_t *used, pd_k8s_on_item fn, void *user,
		       struct pd_k8s_wire_error *err)
{
	bool item = l->state == AT_ITEM;
	size_t max = item ? PD_K8S_ITEM_MAX : PD_K8S_LIST_META_MAX, len = pd_k8s_json_scan(&l->scan, p, n);
	int rc = PD_OK;

	if ((len ? len : n) > max)
		return pd_k8s_wire_fail(err, PD_E_LIMIT, "%s is longer than %zu bytes", item ? "object" : "member",
					max);
	if (!len)
		return PD_OK;
	if (item)
		rc = take_item(l, p, len, fn, user, err);
	else if (l->key == MEMBER_METADATA)
		rc = take_meta(l, p, len, err);
	if (!item)
		l->state = AT_MEMBER;
	l->scan = (struct pd_k8s_json_scan){0};
	*used = len;
	return rc;
}

static int at_item(struct pd_k8s_list *l, const char *p, size_t n, size_t *used, pd_k8s_on_item fn, void *user,
		   struct pd_k8s_wire_error *err)
{
	if (*p == ',' || *p == ']') {
		l->state = *p == ']' ? AT_MEMBER : AT_ITEM;
		*used = 1;
		return PD_OK;
	}
	return *p == '{' ? whole_value(l, p, n, used, fn, user, err) : unexpected(err, *p);
}

// One step from a byte that is no space. *used = 0 with PD_OK: more bytes are needed.
static int step(struct pd_k8s_list *l, const char *p, size_t n, size_t *used, pd_k8s_on_item fn, void *user,
		struct pd_k8s_wire_error *err)
{
	*used = 0;
	switch ((enum state)l->state) {
	case AT_MEMBER:
		return at_member(l, p, n, used, err);
	case AT_ITEM:
		return at_item(l, p, n, used, fn, user, err);
	case AT_VALUE:
		if (l->key != MEMBER_ITEMS || *p != '[')
			return whole_value(l, p, n, used, fn, user, err);
		break;
	case AT_START:
	case AT_COLON:
		if (*p != (l->state == AT_START ? '{' : ':'))
			return unexpected(err, *p);
		break;
	case AT_END:
		return unexpected(err, *p);
	}
	l->state = l->state == AT_START ? AT_MEMBER : l->state == AT_COLON ? AT_VALUE : AT_ITEM;
	*used = 1;
	return PD_OK;
}

int pd_k8s_list_json(struct pd_k8s_list *l, const char *p, size_t n, size_t *used, pd_k8s_on_item fn, void *user,
		     struct pd_k8s_wire_error *err)
{
	size_t one;

	*used = 0;
	for (;;) {
		int rc;

		*used += spaces(p + *used, n - *used);
		if (*used == n)
			return PD_OK;
		rc = step(l, p + *used, n - *used, &one, fn, user, err);
		if (rc || !one)
			return rc;
		*used += one;
	}
}

// ---- frames ---------------------------------------------------------------------------------------------------------

int pd_k8s_event_json(const char *p, size_t n, struct pd_arena *arena, struct pd_k8s_event *e,
		      struct pd_k8s_wire_error *err)
{
	static const char *const names[] = {"type", "object"};
	struct pd_k8s_json_text m[2];
	int rc;

	if (pd_k8s_json_members(p, n, names, 2, m))
		return pd_k8s_wire_fail(err, PD_E_PARSE, "broken event of a watch");
	if (!m[0].p || *m[0].p != '"' || !m[1].p || *m[1].p != '{')
		return pd_k8s_wire_fail(err, PD_E_PARSE, "an event of a watch without type or object");
	if (m[1].n > PD_K8S_ITEM_MAX)
		return pd_k8s_wire_fail(err, PD_E_LIMIT, "object is longer than %u bytes", PD_K8S_ITEM_MAX);
	rc = pd_k8s_event_type_of(m[0].p + 1, m[0].n - 2, &e->type, err);
	if (rc)
		return rc;
	if (e->type == PD_K8S_ERROR)
		return pd_k8s_status_decode(m[1].p, m[1].n, &e->status)
			       ? pd_k8s_wire_fail(err, PD_E_PARSE, "an ERROR event without a Status")
			       : PD_OK;
	e->item = (struct pd_k8s_item){.form = PD_K8S_FORM_JSON, .p = m[1].p, .n = m[1].n, .arena = arena};
	return pd_k8s_item_open(&e->item, err);
}

size_t pd_k8s_frame_json(struct pd_k8s_frames *f, const char *p, size_t n, size_t *lead)
{
	size_t len;

	*lead = spaces(p, n);
	if (*lead == n)
		return 0;
	len = pd_k8s_json_scan(&f->scan, p + *lead, n - *lead);
	if (len)
		f->scan = (struct pd_k8s_json_scan){0};
	return len;
}
