// Lists and watches, cut at any byte; what is broken; limits.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/json.h"
#include "api/pb.h"
#include "istio/networking/destination_rule.pb-c.h"
#include "k8s/core.pb-c.h"
#include "k8s/pod.pb-c.h"
#include "tests/unit/k8s/wire_make.h"

static struct pd_arena arena;
static struct pd_issues *issues;

// What a reader handed out, as text: "ns/name@rv " for each.
struct seen {
	struct pd_buf text;
	struct pd_decode_result {
		struct pd_object *v[8];
		size_t n;
	} objects;
	const struct pd_k8s_decode *decode; // NULL = identities only
	int answer;
};

static void seen_free(struct seen *s)
{
	for (size_t i = 0; i < s->objects.n; i++)
		pd_obj_unref(s->objects.v[i]);
	pd_buf_free(&s->text);
}

static int on_item(void *user, const struct pd_k8s_item *item)
{
	struct pd_k8s_wire_error err;
	struct seen *s = user;

	pd_buf_printf(&s->text, "%s/%s@%s ", item->ns, item->name, item->rv);
	if (s->decode && s->objects.n < 8)
		assert_int_equal(pd_k8s_item_decode(item, s->decode, &s->objects.v[s->objects.n++], &err), PD_OK);
	return s->answer;
}

static int on_event(void *user, const struct pd_k8s_event *e)
{
	static const char letters[] = "AMDBE";
	struct seen *s = user;

	pd_buf_addc(&s->text, letters[e->type]);
	if (e->type == PD_K8S_ERROR) {
		pd_buf_printf(&s->text, "%d:%s ", e->status.code, e->status.reason);
		return s->answer;
	}
	if (e->initial_end)
		pd_buf_addc(&s->text, '!');
	return on_item(s, &e->item);
}

static K8s__Service *service(const char *ns, const char *name, const char *rv)
{
	K8s__Service *s = PB_NEW(&arena, K8s__Service, k8s__service);

	s->metadata = wire_meta(&arena, ns, name, rv);
	s->spec = PB_NEW(&arena, K8s__ServiceSpec, k8s__service_spec);
	s->spec->clusterip = (char *)"10.0.0.1";
	s->spec->externalname = (char *)""; // as the API server writes what is absent
	return s;
}

// Feeds `body` in pieces of `step` bytes (0 = at once).
static int read_list(enum pd_k8s_form form, const struct pd_buf *body, size_t step, struct seen *seen,
		     struct pd_k8s_list *l, struct pd_k8s_wire_error *err)
{
	int rc = PD_OK;

	*l = (struct pd_k8s_list){.form = form};
	for (size_t at = 0; !rc && at < body->n;) {
		size_t n = step && step < body->n - at ? step : body->n - at;
		char *piece = pd_xmalloc(n); // a block of its own: reading beyond it is seen

		memcpy(piece, body->p + at, n);
		rc = pd_k8s_list_feed(l, piece, n, on_item, seen, err);
		free(piece);
		at += n;
	}
	return rc ? rc : pd_k8s_list_end(l, err);
}

static int read_frames(enum pd_k8s_form form, const struct pd_buf *body, size_t step, struct seen *seen,
		       struct pd_k8s_frames *f, struct pd_k8s_wire_error *err)
{
	int rc = PD_OK;

	*f = (struct pd_k8s_frames){.form = form};
	for (size_t at = 0; !rc && at < body->n;) {
		size_t n = step && step < body->n - at ? step : body->n - at;
		char *piece = pd_xmalloc(n);

		memcpy(piece, body->p + at, n);
		rc = pd_k8s_frames_feed(f, piece, n, on_event, seen, err);
		free(piece);
		at += n;
	}
	return rc;
}

static void list_protobuf(void **state)
{
	struct pd_buf body = {0};
	struct wire_list items = {{0}};

	(void)state;
	wire_list_item(&items, service("default", "a", "5"));
	wire_list_item(&items, service("default", "b", "7"));
	wire_list_item(&items, service("other", "a", ""));
	wire_list_end(&items, &body, "99", "token");
	for (size_t step = 0; step <= body.n; step++) {
		struct pd_k8s_wire_error err = {{0}};
		struct seen seen = {0};
		struct pd_k8s_list l;

		assert_int_equal(read_list(PD_K8S_FORM_PROTOBUF, &body, step, &seen, &l, &err), PD_OK);
		assert_string_equal(seen.text.p, "default/a@5 default/b@7 other/a@ ");
		assert_string_equal(l.rv, "99");
		assert_string_equal(l.next, "token");
		pd_k8s_list_free(&l);
		seen_free(&seen);
	}
	pd_buf_free(&body);
}

static const char json_list[] =
	"{\"kind\":\"DestinationRuleList\", \"metadata\" : {\"continue\":\"\",\"resourceVersion\":\"12\"},\n"
	"\"extra\":[1,{\"items\":[]},\"}\"],\"n\":1.5,"
	"\"items\":[{\"metadata\":{\"name\":\"a\",\"namespace\":\"x\",\"resourceVersion\":\"3\"},\"spec\":"
	"{\"host\":\"q\\\"}\\\\\"}} , {\"metadata\":{\"name\":\"b\"}}],\"apiVersion\":\"v1\"} \n";

static void list_json(void **state)
{
	struct pd_buf body = {.p = (char *)json_list, .n = sizeof(json_list) - 1};

	(void)state;
	for (size_t step = 0; step <= body.n; step++) {
		struct pd_k8s_wire_error err = {{0}};
		struct seen seen = {0};
		struct pd_k8s_list l;

		assert_int_equal(read_list(PD_K8S_FORM_JSON, &body, step, &seen, &l, &err), PD_OK);
		assert_string_equal(seen.text.p, "x/a@3 /b@ ");
		assert_string_equal(l.rv, "12");
		assert_null(l.next);
		pd_k8s_list_free(&l);
		seen_free(&seen);
	}
}

static void expect_bad_list(enum pd_k8s_form form, const char *bytes, size_t n, int code, const char *why)
{
	struct pd_buf body = {.p = (char *)bytes, .n = n};
	struct pd_k8s_wire_error err = {{0}};
	struct seen seen = {0};
	struct pd_k8s_list l;

	assert_int_equal(read_list(form, &body, 0, &seen, &l, &err), code);
	assert_string_equal(err.text, why);
	pd_k8s_list_free(&l);
	seen_free(&seen);
}
#define BAD_PB(bytes, code, why) expect_bad_list(PD_K8S_FORM_PROTOBUF, bytes, sizeof(bytes) - 1, code, why)
#define BAD_JSON(bytes, code, why) expect_bad_list(PD_K8S_FORM_JSON, bytes, sizeof(bytes) - 1, code, why)

static void broken_lists(void **state)
{
	(void)state;
	BAD_PB("{\"a\":1}", PD_E_PARSE, "not a protobuf body: the magic is missing");
	BAD_PB("k8s\0", PD_E_PARSE, "the list ends in the middle");
	BAD_PB("k8s\0\x12\x05\x12\x07xxxxx", PD_E_PARSE, "an item is longer than its list");
	BAD_PB("k8s\0\x12\x01\x12", PD_E_PARSE, "broken list");
	BAD_PB("k8s\0\x0b", PD_E_PARSE, "broken list"); // a group
	BAD_PB("k8s\0\x12\x00\x12\x00", PD_E_PARSE, "two lists in one body");
	BAD_PB("k8s\0\x12\x04\x12\x02\xff\xff", PD_E_PARSE, "broken object");
	BAD_PB("k8s\0\x12\xff\xff\xff\x7f\x12\xf0\xff\xff\x7e", PD_E_LIMIT,
	       "object of 266338288 bytes is longer than 8388608");
	BAD_PB("k8s\0\x12\xff\xff\xff\x7f\x0a\xf0\xff\xff\x7e", PD_E_LIMIT,
	       "metadata of 266338288 bytes is longer than 65536");
	BAD_PB("k8s\0\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", PD_E_PARSE, "broken list");
	BAD_JSON("[]", PD_E_PARSE, "broken list: unexpected byte 0x5b");
	BAD_JSON("{\"items\":[1]}", PD_E_PARSE, "broken list: unexpected byte 0x31");
	BAD_JSON("{\"items\":[{]}", PD_E_PARSE, "broken object");
	BAD_JSON("{\"items\":[]", PD_E_PARSE, "the list ends in the middle");
	BAD_JSON("{} {}", PD_E_PARSE, "broken list: unexpected byte 0x7b");
}

static void list_limits(void **state)
{
	struct pd_k8s_wire_error err = {{0}};
	struct pd_buf body = {0};
	struct seen seen = {0};
	struct pd_k8s_list l;

	(void)state;
	pd_buf_adds(&body, "{\"items\":[{\"a\":\"");
	while (body.n < PD_K8S_ITEM_MAX + 100)
		pd_buf_adds(&body, "0123456789012345678901234567890123456789012345678901234567890123456789");
	assert_int_equal(read_list(PD_K8S_FORM_JSON, &body, 1 << 16, &seen, &l, &err), PD_E_LIMIT);
	assert_string_equal(err.text, "object is longer than 8388608 bytes");
	pd_k8s_list_free(&l);
	pd_buf_reset(&body);
	pd_buf_adds(&body, "{\"metadata\":{\"continue\":\"");
	while (body.n < PD_K8S_CONTINUE_MAX + 100)
		pd_buf_addc(&body, 'x');
	pd_buf_adds(&body, "\"}}");
	assert_int_equal(read_list(PD_K8S_FORM_JSON, &body, 0, &seen, &l, &err), PD_E_LIMIT);
	assert_string_equal(err.text, "resourceVersion or continue token is too long");
	pd_k8s_list_free(&l);
	pd_buf_free(&body);
	seen_free(&seen);
}

static void identity_limits(void **state)
{
	char name[PD_NAME_MAX + 2];
	struct pd_buf body = {0};
	struct wire_list items = {{0}};

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	wire_list_item(&items, service("default", name, "5"));
	wire_list_end(&items, &body, "99", NULL);
	expect_bad_list(PD_K8S_FORM_PROTOBUF, body.p, body.n, PD_E_LIMIT, "a name of 254 bytes is longer than 253");
	pd_buf_reset(&body);
	wire_list_item(&items, service("default", "bad\xff", "5"));
	wire_list_end(&items, &body, "99", NULL);
	expect_bad_list(PD_K8S_FORM_PROTOBUF, body.p, body.n, PD_E_PARSE, "a name that is not UTF-8");
	pd_buf_free(&body);
}

static K8s__ObjectMeta *end_mark(void)
{
	K8s__ObjectMeta *m = wire_meta(&arena, "", "", "40");
	K8s__ObjectMeta__AnnotationsEntry *e =
		PB_NEW(&arena, K8s__ObjectMeta__AnnotationsEntry, k8s__object_meta__annotations_entry);

	e->key = (char *)"k8s.io/initial-events-end";
	e->value = (char *)"true";
	PB_PUSH(&arena, m, annotations, e);
	return m;
}

static void frames_protobuf(void **state)
{
	K8s__Service mark = K8S__SERVICE__INIT;
	K8s__Status status = K8S__STATUS__INIT;
	struct pd_buf body = {0};

	(void)state;
	mark.metadata = end_mark();
	status.has_code = 1;
	status.code = 410;
	status.status = (char *)"Failure";
	status.reason = (char *)"Expired";
	status.message = (char *)"too old resource version: 1 (50)";
	wire_frame(&body, "ADDED", "Service", service("d", "a", "5"));
	wire_frame(&body, "BOOKMARK", "Service", &mark);
	wire_frame(&body, "DELETED", "Service", service("d", "a", "41"));
	wire_frame(&body, "BOOKMARK", "Service", service("", "", "50"));
	wire_frame(&body, "ERROR", "Status", &status);
	for (size_t step = 0; step <= body.n; step++) {
		struct pd_k8s_wire_error err = {{0}};
		struct seen seen = {0};
		struct pd_k8s_frames f;

		assert_int_equal(read_frames(PD_K8S_FORM_PROTOBUF, &body, step, &seen, &f, &err), PD_OK);
		assert_string_equal(seen.text.p, "Ad/a@5 B!/@40 Dd/a@41 B/@50 E410:Expired ");
		assert_false(pd_k8s_frames_partial(&f));
		pd_k8s_frames_free(&f);
		seen_free(&seen);
	}
	pd_buf_free(&body);
}

static const char json_frames[] =
	"{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\",\"namespace\":\"x\",\"resourceVersion\":\"3\"}}}\n"
	"{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\",\"annotations\":"
	"{\"k8s.io/initial-events-end\":\"true\"}}}}\n\n"
	"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\","
	"\"message\":\"too old\",\"reason\":\"Expired\",\"code\":410}}\n{\"type\":";

static void frames_json(void **state)
{
	struct pd_buf body = {.p = (char *)json_frames, .n = sizeof(json_frames) - 1};

	(void)state;
	for (size_t step = 0; step <= body.n; step++) {
		struct pd_k8s_wire_error err = {{0}};
		struct seen seen = {0};
		struct pd_k8s_frames f;

		assert_int_equal(read_frames(PD_K8S_FORM_JSON, &body, step, &seen, &f, &err), PD_OK);
		assert_string_equal(seen.text.p, "Ax/a@3 B!/@9 E410:Expired ");
		assert_true(pd_k8s_frames_partial(&f));
		pd_k8s_frames_free(&f);
		seen_free(&seen);
	}
}

static void expect_bad_frames(enum pd_k8s_form form, const char *bytes, size_t n, int code, const char *why)
{
	struct pd_buf body = {.p = (char *)bytes, .n = n};
	struct pd_k8s_wire_error err = {{0}};
	struct seen seen = {0};
	struct pd_k8s_frames f;

	assert_int_equal(read_frames(form, &body, 0, &seen, &f, &err), code);
	assert_string_equal(err.text, why);
	pd_k8s_frames_free(&f);
	seen_free(&seen);
}
#define BAD_PB_FRAME(bytes, code, why) expect_bad_frames(PD_K8S_FORM_PROTOBUF, bytes, sizeof(bytes) - 1, code, why)
#define BAD_JSON_FRAME(bytes, code, why) expect_bad_frames(PD_K8S_FORM_JSON, bytes, sizeof(bytes) - 1, code, why)

static void broken_frames(void **state)
{
	(void)state;
	BAD_PB_FRAME("\0\0\0\0", PD_E_PARSE, "an empty frame");
	BAD_PB_FRAME("\x7f\0\0\0", PD_E_LIMIT, "a frame of 2130706432 bytes is longer than 8454144");
	BAD_PB_FRAME("\0\0\0\x02\xff\xff", PD_E_PARSE, "broken event of a watch");
	BAD_PB_FRAME("\0\0\0\x09\x0a\x01X\x12\x04\x0a\x02zz", PD_E_PARSE, "an event of an unknown type");
	BAD_PB_FRAME("\0\0\0\x0d\x0a\x05"
		     "ADDED\x12\x04\x0a\x02zz",
		     PD_E_PARSE, "broken event of a watch");
	BAD_JSON_FRAME("}\n", PD_E_PARSE, "a frame that is no object");
	BAD_JSON_FRAME("{\"type\":\"X\",\"object\":{}}", PD_E_PARSE, "an event of an unknown type");
	BAD_JSON_FRAME("{\"type\":\"ADDED\"}", PD_E_PARSE, "an event of a watch without type or object");
	BAD_JSON_FRAME("{\"type\":\"ERROR\",\"object\":{}}", PD_E_PARSE, "an ERROR event without a Status");
	BAD_JSON_FRAME("{\"type\" \"ADDED\"}", PD_E_PARSE, "broken event of a watch");
}

// Bytes that open braces without end are refused, and not collected until a limit.
static void endless_frame(void **state)
{
	char braces[2 * PD_JSON_MAX_DEPTH];

	(void)state;
	memset(braces, '{', sizeof(braces));
	expect_bad_frames(PD_K8S_FORM_JSON, braces, sizeof(braces), PD_E_PARSE, "broken event of a watch");
	memcpy(braces, "{\"type\":", 8);
	expect_bad_frames(PD_K8S_FORM_JSON, braces, sizeof(braces), PD_E_PARSE, "broken event of a watch");
}

static void callback_ends_it(void **state)
{
	struct pd_buf body = {.p = (char *)json_frames, .n = sizeof(json_frames) - 1};
	struct pd_k8s_wire_error err = {{0}};
	struct seen seen = {.answer = PD_E_CLOSED};
	struct pd_k8s_frames f;

	(void)state;
	assert_int_equal(read_frames(PD_K8S_FORM_JSON, &body, 0, &seen, &f, &err), PD_E_CLOSED);
	assert_string_equal(seen.text.p, "Ax/a@3 ");
	pd_k8s_frames_free(&f);
	seen_free(&seen);
}

// An object of a built-in kind: managedFields and what nobody reads are gone, empty strings are absent.
static void decode_builtin(void **state)
{
	struct pd_k8s_decode d = {PD_KIND_SERVICE, "c1", issues};
	struct pd_k8s_wire_error err = {{0}};
	struct seen seen = {.decode = &d};
	K8s__Service *s = service("default", "a", "5");
	ProtobufCMessageUnknownField managed = {.tag = 17,
						.wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
						.len = 4,
						.data = (uint8_t *)"\x03xyz"};
	struct wire_list items = {{0}};
	struct pd_buf body = {0};
	struct pd_k8s_list l;
	const struct pd_object *o;

	(void)state;
	s->metadata->base.n_unknown_fields = 1;
	s->metadata->base.unknown_fields = &managed;
	wire_list_item(&items, s);
	s->metadata->base.n_unknown_fields = 0;
	wire_list_end(&items, &body, "99", NULL);
	assert_int_equal(read_list(PD_K8S_FORM_PROTOBUF, &body, 0, &seen, &l, &err), PD_OK);
	o = seen.objects.v[0];
	assert_string_equal(o->key.cluster, "c1");
	assert_string_equal(o->key.ns, "default");
	assert_string_equal(o->key.name, "a");
	assert_null(o->ids);
	s = (K8s__Service *)pd_object_open(o, &arena);
	assert_null(s->spec->externalname);
	assert_string_equal(s->spec->clusterip, "10.0.0.1");
	pd_k8s_list_free(&l);
	pd_buf_free(&body);
	seen_free(&seen);
}

static void count_issue(const struct pd_issue *i, void *arg)
{
	pd_buf_printf(arg, "%s|%s|%s|%s\n", i->origin, i->object, i->field, i->reason);
}

static struct pd_object *decode_text(const char *text)
{
	struct pd_k8s_decode d = {PD_KIND_DESTINATION_RULE, "c1", issues};
	struct pd_k8s_wire_error err = {{0}};
	struct seen seen = {.decode = &d};
	struct pd_buf body = {0};
	struct pd_k8s_list l;
	struct pd_object *o;

	pd_buf_printf(&body, "{\"items\":[%s]}", text);
	assert_int_equal(read_list(PD_K8S_FORM_JSON, &body, 0, &seen, &l, &err), PD_OK);
	assert_int_equal(seen.objects.n, 1);
	o = pd_obj_ref(seen.objects.v[0]);
	pd_k8s_list_free(&l);
	pd_buf_free(&body);
	seen_free(&seen);
	return o;
}

#define RULE(spec)                                                                                                           \
	"{\"metadata\":{\"name\":\"r\",\"namespace\":\"x\",\"resourceVersion\":\"3\",\"managedFields\":[{}]},\"spec\":" spec \
	",\"newer\":1}"

// A custom resource: unknown fields are no mistake, wrong ones are; a good version takes the issue away.
static void decode_custom(void **state)
{
	struct pd_object *o = decode_text(RULE("{\"host\":\"q\",\"newField\":{}}"));
	struct pd_k8s_decode d = {PD_KIND_DESTINATION_RULE, "c1", issues};
	struct pd_buf text = {0};

	(void)state;
	assert_non_null(o);
	assert_string_equal(((const Istio__DestinationRule *)o->spec)->host, "q");
	pd_obj_unref(o);
	assert_null(decode_text(RULE("{\"host\":5}")));
	pd_issues_each(issues, count_issue, &text);
	assert_string_equal(text.p,
			    "c1/DestinationRule/x/r:1|DestinationRule x/r|spec.host|expected string, got number 5\n");
	pd_buf_free(&text);
	pd_obj_unref(decode_text(RULE("{\"host\":\"q\"}")));
	assert_int_equal(pd_issues_count(issues), 0);
	assert_null(decode_text(RULE("{\"host\":5}")));
	pd_k8s_item_forget(&d, "x", "r");
	assert_int_equal(pd_issues_count(issues), 0);
}

static void decode_refused(void **state)
{
	struct pd_k8s_decode d = {PD_KIND_SERVICE, "c1", issues};
	struct pd_k8s_wire_error err = {{0}};
	struct pd_k8s_item item = {.form = PD_K8S_FORM_PROTOBUF, .arena = &arena, .p = "", .n = 0};
	struct pd_object *o;

	(void)state;
	assert_int_equal(pd_k8s_item_decode(&item, &d, &o, &err), PD_E_PARSE);
	assert_string_equal(err.text, "Service without name or namespace");
	memcpy(item.name, "a", 2);
	memcpy(item.ns, "b", 2);
	item.p = "\x12\x03\x0a\x05z";
	item.n = 5;
	assert_int_equal(pd_k8s_item_decode(&item, &d, &o, &err), PD_E_PARSE);
	assert_string_equal(err.text, "Service b/a: k8s.ServiceSpec: broken bytes");
	d.kind = PD_KIND_DESTINATION_RULE;
	assert_int_equal(pd_k8s_item_decode(&item, &d, &o, &err), PD_E_PARSE);
	assert_string_equal(err.text, "DestinationRule has no protobuf form");
}

static int setup(void **state)
{
	(void)state;
	issues = pd_issues_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pd_issues_free(&issues);
	pd_arena_free(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(list_protobuf),   cmocka_unit_test(list_json),
		cmocka_unit_test(broken_lists),    cmocka_unit_test(list_limits),
		cmocka_unit_test(identity_limits), cmocka_unit_test(frames_protobuf),
		cmocka_unit_test(frames_json),     cmocka_unit_test(broken_frames),
		cmocka_unit_test(endless_frame),   cmocka_unit_test(callback_ends_it),
		cmocka_unit_test(decode_builtin),  cmocka_unit_test(decode_custom),
		cmocka_unit_test(decode_refused),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
