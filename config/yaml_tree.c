#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

#include "base/vec.h"
#include "config/yaml_impl.h"

struct anchor {
	const char *name; // in the arena
	struct pd_json *node;
	uint32_t nodes;  // size as a tree
	uint32_t height; // nested collections in it
	bool complete;   // false while its own content is read
	UT_hash_handle hh;
};

// One document on its way from events to a tree.
struct build {
	struct pd_yaml *y;
	struct pd_arena *a;
	struct pd_yaml_error *err;
	struct anchor *anchors; // by name; in the arena but for uthash's tables
	uint32_t n_anchors;
	uint32_t nodes, alias_nodes; // of the document so far, aliases followed
	int rc;                      // first failure
};

// What the caller needs to know of a value beside the node.
struct value {
	struct pd_json *node;
	uint32_t height;
};

static void fail_at(struct build *b, int rc, uint32_t line, const char *fmt, ...) PD_PRINTF(4, 5);
static void fail_at(struct build *b, int rc, uint32_t line, const char *fmt, ...)
{
	va_list ap;

	if (b->rc)
		return;
	b->rc = rc;
	b->err->line = line;
	va_start(ap, fmt);
	vsnprintf(b->err->text, sizeof(b->err->text), fmt, ap);
	va_end(ap);
}

static uint32_t mark_line(const struct build *b, const yaml_mark_t *m)
{
	return b->y->base_line + (uint32_t)m->line;
}

static void fail_parser(struct build *b)
{
	const yaml_parser_t *p = &b->y->parser;

	if (p->context)
		fail_at(b, PD_E_PARSE, mark_line(b, &p->problem_mark), "%s, %s that starts in line %u", p->problem,
			p->context, mark_line(b, &p->context_mark));
	else
		fail_at(b, PD_E_PARSE, mark_line(b, p->error == YAML_READER_ERROR ? &p->mark : &p->problem_mark), "%s",
			p->problem ? p->problem : "unreadable");
}

static bool next_event(struct build *b, yaml_event_t *e)
{
	if (yaml_parser_parse(&b->y->parser, e))
		return true;
	fail_parser(b);
	return false;
}

static struct pd_json *new_node(struct build *b, enum pd_json_type type, const yaml_event_t *e)
{
	struct pd_json *j = pd_json_null(b->a);

	j->type = type;
	j->line = mark_line(b, &e->start_mark);
	if (++b->nodes > PD_YAML_MAX_NODES)
		fail_at(b, PD_E_LIMIT, j->line, "the document has more than %u values", PD_YAML_MAX_NODES);
	return j;
}

// Counts values that are there once more because of an alias or a merge.
static bool spend(struct build *b, uint32_t nodes, uint32_t line)
{
	if (nodes > PD_YAML_MAX_ALIAS_NODES - b->alias_nodes) {
		fail_at(b, PD_E_LIMIT, line, "aliases expand to more than %u values", PD_YAML_MAX_ALIAS_NODES);
		return false;
	}
	b->alias_nodes += nodes;
	b->nodes += nodes;
	return true;
}

// ---- anchors --------------------------------------------------------------------------------------------------------

static struct anchor *anchor_begin(struct build *b, const yaml_char_t *name, uint32_t line)
{
	struct anchor *an, *old;

	if (!name)
		return NULL;
	if (b->n_anchors >= PD_YAML_MAX_ANCHORS) {
		fail_at(b, PD_E_LIMIT, line, "more than %u anchors", PD_YAML_MAX_ANCHORS);
		return NULL;
	}
	b->n_anchors++;
	an = PD_NEW(b->a, struct anchor);
	an->name = pd_arena_strdup(b->a, (const char *)name);
	an->nodes = b->nodes; // until anchor_end: the count before
	HASH_FIND_STR(b->anchors, an->name, old);
	if (old)
		HASH_DEL(b->anchors, old); // a later anchor of the same name takes its place
	HASH_ADD_KEYPTR(hh, b->anchors, an->name, strlen(an->name), an);
	return an;
}

static void anchor_end(struct build *b, struct anchor *an, const struct value *v)
{
	if (!an)
		return;
	an->node = v->node;
	an->nodes = b->nodes - an->nodes;
	an->height = v->height;
	an->complete = true;
}

static struct value read_alias(struct build *b, const yaml_event_t *e, unsigned depth)
{
	const char *name = (const char *)e->data.alias.anchor;
	uint32_t line = mark_line(b, &e->start_mark);
	struct value v = {0};
	struct anchor *an;

	HASH_FIND_STR(b->anchors, name, an);
	if (!an)
		fail_at(b, PD_E_PARSE, line, "alias *%.60s refers to no anchor", name);
	else if (!an->complete)
		fail_at(b, PD_E_PARSE, line, "alias *%.60s is inside its own anchor", name);
	else if (depth + an->height > PD_YAML_MAX_DEPTH)
		fail_at(b, PD_E_LIMIT, line, "nested deeper than %u", PD_YAML_MAX_DEPTH);
	else if (spend(b, an->nodes, line)) {
		v.node = pd_json_null(b->a);
		*v.node = *an->node; // shares the children
		v.node->next = NULL;
		v.node->key = NULL;
		v.node->key_len = 0;
		v.node->line = line;
		v.height = an->height;
	}
	return v;
}

// ---- scalars --------------------------------------------------------------------------------------------------------

static int base64_digit(unsigned char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int)(p - digits) : -1;
}

// !!binary: the decoded bytes become the string.
static void decode_binary(struct build *b, struct pd_json *j, const char *s, size_t n)
{
	char *to = pd_arena_bytes(b->a, n + 1);
	uint32_t bits = 0, len = 0;
	unsigned have = 0;

	for (size_t i = 0; i < n; i++) {
		int d = base64_digit((unsigned char)s[i]);

		if (s[i] == '\n' || s[i] == ' ' || s[i] == '=')
			continue;
		if (d < 0) {
			fail_at(b, PD_E_PARSE, j->line, "!!binary value is not base64");
			return;
		}
		bits = bits << 6 | (uint32_t)d;
		have += 6;
		if (have >= 8) {
			have -= 8;
			to[len++] = (char)(bits >> have);
		}
	}
	to[len] = 0;
	j->type = PD_JSON_STRING;
	j->s = to;
	j->n = len;
}

static void set_string(struct build *b, struct pd_json *j, const char *s, size_t n)
{
	j->type = PD_JSON_STRING;
	j->s = pd_arena_strndup(b->a, s, n);
	j->n = (uint32_t)n;
}

#define YAML_TAG "tag:yaml.org,2002:"

// An explicit tag of YAML's own. Unknown ones leave a string.
static void apply_tag(struct build *b, struct pd_json *j, const char *tag, const char *s, size_t n)
{
	static const struct {
		const char *name;
		unsigned types;
	} known[] = {
		{"int", 1u << PD_JSON_INT | 1u << PD_JSON_UINT},
		{"float", 1u << PD_JSON_INT | 1u << PD_JSON_UINT | 1u << PD_JSON_REAL},
		{"bool", 1u << PD_JSON_BOOL},
		{"null", 1u << PD_JSON_NULL},
	};

	set_string(b, j, s, n);
	if (!pd_has_prefix(tag, YAML_TAG))
		return;
	tag += strlen(YAML_TAG);
	if (!strcmp(tag, "binary")) {
		decode_binary(b, j, s, n);
		return;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(tag, known[i].name))
			continue;
		if (!pd_yaml_resolve(s, n, j) || !(known[i].types & 1u << j->type))
			fail_at(b, PD_E_PARSE, j->line, "the value is no !!%s", tag);
	}
}

static struct value read_scalar(struct build *b, const yaml_event_t *e)
{
	const char *s = (const char *)e->data.scalar.value;
	size_t n = e->data.scalar.length;
	struct value v = {.node = new_node(b, PD_JSON_NULL, e)};
	bool plain = e->data.scalar.plain_implicit && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

	if (e->data.scalar.tag)
		apply_tag(b, v.node, (const char *)e->data.scalar.tag, s, n);
	else if (!plain || !pd_yaml_resolve(s, n, v.node))
		set_string(b, v.node, s, n);
	if (v.node->type == PD_JSON_REAL && !isfinite(v.node->d))
		fail_at(b, PD_E_PARSE, v.node->line, "%.40s cannot be expressed in JSON", s);
	return v;
}

// ---- collections ----------------------------------------------------------------------------------------------------

static struct value read_value(struct build *b, yaml_event_t *e, unsigned depth);

static struct value read_sequence(struct build *b, const yaml_event_t *start, unsigned depth)
{
	struct value v = {.node = new_node(b, PD_JSON_ARRAY, start), .height = 1};

	while (!b->rc) {
		struct value item;
		yaml_event_t e;

		if (!next_event(b, &e))
			break;
		if (e.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&e);
			break;
		}
		item = read_value(b, &e, depth + 1);
		if (b->rc)
			break;
		pd_json_append(v.node, item.node);
		v.height = item.height + 1 > v.height ? item.height + 1 : v.height;
	}
	return v;
}

// A key as JSON has it: text.
static const char *key_text(struct build *b, const struct pd_json *k, size_t *n)
{
	struct pd_buf buf = {0};
	const char *s;

	switch (k->type) {
	case PD_JSON_STRING:
		*n = k->n;
		return k->s;
	case PD_JSON_BOOL:
	case PD_JSON_INT:
	case PD_JSON_UINT:
	case PD_JSON_REAL:
		pd_json_print(&buf, k, false);
		s = pd_arena_strdup(b->a, buf.p);
		*n = buf.n;
		pd_buf_free(&buf);
		return s;
	default:
		fail_at(b, PD_E_PARSE, k->line, "a key cannot be %s", pd_json_type_name(k));
		*n = 0;
		return "";
	}
}

// Appends a member whose key is set.
static void add_member(struct pd_json *object, struct pd_json *member)
{
	member->next = NULL;
	if (object->last)
		object->last->next = member;
	else
		object->first = member;
	object->last = member;
	object->n++;
}

// Keys that a mapping has, while merges are added to it.
struct key_set {
	const struct pd_json *member;
	UT_hash_handle hh;
};

static bool key_set_add(struct build *b, struct key_set **set, const struct pd_json *member)
{
	struct key_set *k;

	HASH_FIND(hh, *set, member->key, member->key_len, k);
	if (k)
		return false;
	k = PD_NEW(b->a, struct key_set);
	k->member = member;
	HASH_ADD_KEYPTR(hh, *set, member->key, member->key_len, k);
	return true;
}

static void merge_one(struct build *b, struct key_set **set, struct pd_json *into, const struct pd_json *from)
{
	if (from->type != PD_JSON_OBJECT) {
		fail_at(b, PD_E_PARSE, from->line, "\"<<\" needs a mapping or a list of mappings, not %s",
			pd_json_type_name(from));
		return;
	}
	if (!spend(b, from->n, from->line))
		return;
	for (const struct pd_json *m = from->first; m; m = m->next) {
		struct pd_json *copy;

		if (!key_set_add(b, set, m))
			continue;
		copy = pd_json_null(b->a);
		*copy = *m; // shares the children
		add_member(into, copy);
	}
}

// The mapping's own members win, then the earlier of the merged ones.
static void apply_merges(struct build *b, struct pd_json *object, const struct pd_json *merges)
{
	struct key_set *set = NULL;

	for (const struct pd_json *m = object->first; m; m = m->next)
		key_set_add(b, &set, m);
	for (const struct pd_json *m = merges; m && !b->rc; m = m->next) {
		if (m->type != PD_JSON_ARRAY) {
			merge_one(b, &set, object, m);
			continue;
		}
		for (const struct pd_json *each = m->first; each && !b->rc; each = each->next)
			merge_one(b, &set, object, each);
	}
	HASH_CLEAR(hh, set);
}

struct key {
	const char *text; // in the arena
	size_t n;
	uint32_t line;
	bool merge;
};

// Takes over the event. Plain text, which nearly every key is, needs no node.
static struct key read_key(struct build *b, yaml_event_t *e, unsigned depth)
{
	struct key k = {.text = "", .line = mark_line(b, &e->start_mark)};
	struct pd_json probe;
	struct value v;

	if (e->type == YAML_SCALAR_EVENT && !e->data.scalar.anchor && !e->data.scalar.tag &&
	    (e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE ||
	     !pd_yaml_resolve((const char *)e->data.scalar.value, e->data.scalar.length, &probe))) {
		k.n = e->data.scalar.length;
		k.text = pd_arena_strndup(b->a, (const char *)e->data.scalar.value, k.n);
		k.merge = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !strcmp(k.text, "<<");
		yaml_event_delete(e);
		return k;
	}
	v = read_value(b, e, depth);
	if (!b->rc)
		k.text = key_text(b, v.node, &k.n);
	return k;
}

static struct value read_mapping(struct build *b, const yaml_event_t *start, unsigned depth)
{
	struct value v = {.node = new_node(b, PD_JSON_OBJECT, start), .height = 1};
	struct pd_json *merges = NULL, **tail = &merges;

	while (!b->rc) {
		struct value item;
		struct key key;
		yaml_event_t e;

		if (!next_event(b, &e))
			break;
		if (e.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&e);
			break;
		}
		key = read_key(b, &e, depth + 1);
		if (b->rc || !next_event(b, &e))
			break;
		item = read_value(b, &e, depth + 1);
		if (b->rc)
			break;
		v.height = item.height + 1 > v.height ? item.height + 1 : v.height;
		if (key.merge) {
			*tail = item.node;
			tail = &item.node->next;
			continue;
		}
		item.node->key = key.text;
		item.node->key_len = (uint32_t)key.n;
		if (item.node->type == PD_JSON_ARRAY || item.node->type == PD_JSON_OBJECT)
			item.node->line = key.line; // a block begins on the next line, but this is where its name is
		add_member(v.node, item.node);
	}
	if (merges && !b->rc)
		apply_merges(b, v.node, merges);
	return v;
}

// Takes over the event.
static struct value read_value(struct build *b, yaml_event_t *e, unsigned depth)
{
	struct value v = {0};
	struct anchor *an = NULL;
	uint32_t line = mark_line(b, &e->start_mark);

	if (depth > PD_YAML_MAX_DEPTH && e->type != YAML_SCALAR_EVENT)
		fail_at(b, PD_E_LIMIT, line, "nested deeper than %u", PD_YAML_MAX_DEPTH);
	else if (e->type == YAML_ALIAS_EVENT)
		v = read_alias(b, e, depth - 1);
	else if (e->type == YAML_SCALAR_EVENT) {
		an = anchor_begin(b, e->data.scalar.anchor, line);
		v = read_scalar(b, e);
	} else if (e->type == YAML_SEQUENCE_START_EVENT) {
		an = anchor_begin(b, e->data.sequence_start.anchor, line);
		v = read_sequence(b, e, depth);
	} else if (e->type == YAML_MAPPING_START_EVENT) {
		an = anchor_begin(b, e->data.mapping_start.anchor, line);
		v = read_mapping(b, e, depth);
	} else {
		fail_at(b, PD_E_PARSE, line, "unexpected end of the document");
	}
	yaml_event_delete(e);
	if (!b->rc)
		anchor_end(b, an, &v);
	return v;
}

// Skips to the start of a document; false at the end of the stream.
static bool skip_to_document(struct build *b, uint32_t *line)
{
	for (;;) {
		yaml_event_t e;
		yaml_event_type_t type;

		if (!next_event(b, &e))
			return false;
		type = e.type;
		*line = mark_line(b, &e.start_mark);
		yaml_event_delete(&e);
		if (type == YAML_STREAM_END_EVENT)
			return false;
		if (type == YAML_DOCUMENT_START_EVENT)
			return true;
	}
}

int pd_yaml_document(struct pd_yaml *y, struct pd_arena *a, struct pd_json **out, uint32_t *line,
		     struct pd_yaml_error *err)
{
	struct build b = {.y = y, .a = a, .err = err};
	struct value v;
	yaml_event_t e;

	if (!skip_to_document(&b, line))
		return b.rc ? b.rc : PD_E_NOTFOUND;
	if (!next_event(&b, &e))
		return b.rc;
	v = read_value(&b, &e, 1);
	HASH_CLEAR(hh, b.anchors);
	if (b.rc)
		return b.rc;
	*out = v.node;
	*line = v.node->line;
	return PD_OK;
}

void pd_yaml_shift_lines(struct pd_json *j, uint32_t by)
{
	if (!by)
		return;
	j->line += by;
	if (j->type != PD_JSON_ARRAY && j->type != PD_JSON_OBJECT)
		return;
	for (struct pd_json *c = j->first; c; c = c->next)
		pd_yaml_shift_lines(c, by);
}
