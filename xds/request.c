#include "xds/request.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

// One field of a message: its number, and for WIRE_BYTES the content, for WIRE_VARINT the value.
struct field {
	uint32_t number;
	enum wire_type wire;
	uint64_t value;
	struct pd_span bytes;
	const uint8_t *start; // of the tag
};

struct reader {
	const uint8_t *p, *end;
};

static bool read_varint(struct reader *r, uint64_t *v)
{
	*v = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		if (r->p == r->end)
			return false;
		*v |= (uint64_t)(*r->p & 0x7f) << shift;
		if (!(*r->p++ & 0x80))
			return true;
	}
	return false;
}

static bool read_skip(struct reader *r, uint64_t n)
{
	if (n > (uint64_t)(r->end - r->p))
		return false;
	r->p += n;
	return true;
}

// False at the end of the message and for what is not a message; `r->p == r->end` tells which.
static bool read_field(struct reader *r, struct field *f)
{
	uint64_t tag, n;

	if (r->p == r->end)
		return false;
	f->start = r->p;
	if (!read_varint(r, &tag) || tag >> 3 == 0 || tag >> 3 > 536870911)
		goto bad;
	f->number = (uint32_t)(tag >> 3);
	f->wire = (enum wire_type)(tag & 7);
	switch (f->wire) {
	case WIRE_VARINT:
		if (!read_varint(r, &f->value))
			goto bad;
		return true;
	case WIRE_FIXED64:
		if (!read_skip(r, 8))
			goto bad;
		return true;
	case WIRE_FIXED32:
		if (!read_skip(r, 4))
			goto bad;
		return true;
	case WIRE_BYTES:
		if (!read_varint(r, &n))
			goto bad;
		f->bytes = (struct pd_span){(const char *)r->p, (uint32_t)n};
		if (!read_skip(r, n))
			goto bad;
		return true;
	default: // groups do not occur in this API
		goto bad;
	}
bad:
	if (r->p == r->end)
		r->p--; // so that the caller sees an unfinished message
	return false;
}

// Field numbers of the two messages; 0 = the message has no such field.
struct layout {
	uint32_t version, node, names, type_url, nonce, error, unsubscribe, initial;
};
static const struct layout sotw = {.version = 1, .node = 2, .names = 3, .type_url = 4, .nonce = 5, .error = 6};
static const struct layout delta =
	{.node = 1, .type_url = 2, .names = 3, .unsubscribe = 4, .initial = 5, .nonce = 6, .error = 7};

static int fail(struct pb_error *err, int code, const char *what, const char *why)
{
	if (err)
		snprintf(err->text, sizeof(err->text), "discovery request: %s %s", what, why);
	return code;
}

static int check_text(struct pd_span s, size_t max, const char *what, struct pb_error *err)
{
	if (s.n > max)
		return fail(err, PD_E_LIMIT, what, "is too long");
	if (!pd_utf8_ok(s.p, s.n))
		return fail(err, PD_E_PARSE, what, "is not UTF-8 or has a NUL byte");
	return PD_OK;
}

static int parse_error(struct pd_request *r, struct pd_span bytes, struct pb_error *err)
{
	struct reader in = {(const uint8_t *)bytes.p, (const uint8_t *)bytes.p + bytes.n};
	struct field f;

	r->has_error = true;
	while (read_field(&in, &f)) {
		if (f.number == 1 && f.wire == WIRE_VARINT)
			r->error_code = (int32_t)f.value;
		else if (f.number == 2 && f.wire == WIRE_BYTES)
			r->error = f.bytes;
	}
	if (in.p != in.end)
		return fail(err, PD_E_PARSE, "error_detail", "is not a google.rpc.Status");
	if (r->error.n > PD_REQUEST_ERROR_MAX)
		r->error.n = PD_REQUEST_ERROR_MAX;
	return PD_OK;
}

static void add_name(struct pd_request *r, const struct field *f, const uint8_t *end)
{
	const uint8_t *raw = (const uint8_t *)r->raw.p;

	if (!r->n_names++)
		r->raw = (struct pd_span){(const char *)f->start, (uint32_t)(end - f->start)};
	else if (raw && raw + r->raw.n == f->start)
		r->raw.n = (uint32_t)(end - raw);
	else
		r->raw = (struct pd_span){NULL, 0};
}

static int parse_field(struct pd_request *r, const struct layout *l, const struct field *f, const uint8_t *end,
		       struct pb_error *err)
{
	if (f->wire != WIRE_BYTES)
		return PD_OK; // unknown field: skipped as protobuf demands
	if (f->number == l->names)
		add_name(r, f, end);
	else if (f->number == l->type_url)
		r->type_url = f->bytes;
	else if (f->number == l->nonce)
		r->nonce = f->bytes;
	else if (f->number == l->version)
		r->version = f->bytes;
	else if (f->number == l->unsubscribe)
		r->n_unsubscribe++;
	else if (f->number == l->initial)
		r->n_initial++;
	else if (f->number == l->error)
		return parse_error(r, f->bytes, err);
	else if (f->number == l->node) {
		r->node = f->bytes;
		r->has_node = true;
	}
	return PD_OK;
}

static enum pd_type find_type(struct pd_span url)
{
	char text[PD_REQUEST_TEXT_MAX + 1];

	memcpy(text, url.p, url.n);
	text[url.n] = 0;
	return pd_type_find(text);
}

int pd_request_parse(struct pd_request *r, bool is_delta, const void *bytes, size_t len, struct pb_error *err)
{
	const struct layout *l = is_delta ? &delta : &sotw;
	struct reader in = {bytes, (const uint8_t *)bytes + len};
	struct field f;
	int rc;

	*r = (struct pd_request){.delta = is_delta, .bytes = bytes, .len = len};
	r->type_url = r->nonce = r->version = r->error = (struct pd_span){"", 0};
	while (read_field(&in, &f)) {
		rc = parse_field(r, l, &f, in.p, err);
		if (rc)
			return rc;
	}
	if (in.p != in.end)
		return fail(err, PD_E_PARSE, "message", "is malformed");
	rc = check_text(r->type_url, PD_REQUEST_TEXT_MAX, "type_url", err);
	if (!rc)
		rc = check_text(r->nonce, PD_REQUEST_TEXT_MAX, "response_nonce", err);
	if (!rc)
		rc = check_text(r->version, PD_REQUEST_TEXT_MAX, "version_info", err);
	if (!rc && (r->n_names > PD_NAMES_MAX || r->n_unsubscribe > PD_NAMES_MAX || r->n_initial > PD_NAMES_MAX))
		rc = fail(err, PD_E_LIMIT, "resource names", "are too many");
	if (!rc)
		r->type = find_type(r->type_url);
	return rc;
}

static int strings_of(const struct pd_request *r, uint32_t number, struct pd_span *out, struct pb_error *err)
{
	struct reader in = {r->bytes, r->bytes + r->len};
	struct field f;
	int rc;

	while (read_field(&in, &f)) {
		if (f.number != number || f.wire != WIRE_BYTES)
			continue;
		rc = check_text(f.bytes, PD_NAME_LEN_MAX, "a resource name", err);
		if (rc)
			return rc;
		*out++ = f.bytes;
	}
	return PD_OK;
}

int pd_request_names(const struct pd_request *r, struct pd_span *out, struct pb_error *err)
{
	return strings_of(r, sotw.names, out, err); // the same number in both
}

int pd_request_unsubscribe(const struct pd_request *r, struct pd_span *out, struct pb_error *err)
{
	return r->delta ? strings_of(r, delta.unsubscribe, out, err) : PD_OK;
}

static int map_entry(struct pd_span bytes, struct pd_span *key, struct pd_span *value, struct pb_error *err)
{
	struct reader in = {(const uint8_t *)bytes.p, (const uint8_t *)bytes.p + bytes.n};
	struct field f;
	int rc;

	*key = *value = (struct pd_span){"", 0};
	while (read_field(&in, &f)) {
		if (f.wire == WIRE_BYTES && f.number == 1)
			*key = f.bytes;
		else if (f.wire == WIRE_BYTES && f.number == 2)
			*value = f.bytes;
	}
	if (in.p != in.end)
		return fail(err, PD_E_PARSE, "initial_resource_versions", "is malformed");
	rc = check_text(*key, PD_NAME_LEN_MAX, "a resource name", err);
	return rc ? rc : check_text(*value, PD_NAME_LEN_MAX, "a resource version", err);
}

int pd_request_initial(const struct pd_request *r, struct pd_span *names, struct pd_span *versions,
		       struct pb_error *err)
{
	struct reader in = {r->bytes, r->bytes + r->len};
	struct field f;
	int rc;

	while (r->delta && read_field(&in, &f)) {
		if (f.number != delta.initial || f.wire != WIRE_BYTES)
			continue;
		rc = map_entry(f.bytes, names++, versions++, err);
		if (rc)
			return rc;
	}
	return PD_OK;
}
