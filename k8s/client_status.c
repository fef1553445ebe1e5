// meta/v1 Status: what the API server says about a failure.
#include <stdio.h>
#include <string.h>

#include "api/json.h"
#include "api/pb.h"
#include "k8s/client_impl.h"
#include "k8s/meta.pb-c.h"

#define MAGIC "k8s" // and its NUL

void pd_k8s_status_text(char *out, size_t size, const char *s, size_t n)
{
	size_t len = n < size - 1 ? n : size - 1;

	if (len < n)
		while (len && ((unsigned char)s[len] & 0xc0) == 0x80)
			len--;
	for (size_t i = 0; i < len; i++)
		out[i] = (unsigned char)s[i] < ' ' || s[i] == 0x7f ? ' ' : s[i];
	out[len] = 0;
}

static void set_text(char *out, size_t size, const char *s)
{
	pd_k8s_status_text(out, size, pd_or(s, ""), strlen(pd_or(s, "")));
}

static void set_retry_after(struct pd_k8s_status *out, int64_t seconds)
{
	if (seconds > 0)
		out->retry_after_ms = seconds > 3600 ? 3600 * 1000 : (uint32_t)seconds * 1000;
}

static int decode_json(struct pd_arena *a, const char *p, size_t n, struct pd_k8s_status *out)
{
	struct pd_json *root, *code, *retry;

	if (pd_json_parse(a, p, n, &root, NULL) || !pd_streq(pd_json_get_string(root, "kind"), "Status"))
		return PD_E_PARSE;
	code = pd_json_get(root, "code");
	if (code && code->type == PD_JSON_INT && code->i > 0 && code->i < 1000)
		out->code = (int)code->i;
	retry = pd_json_get(pd_json_get(root, "details"), "retryAfterSeconds");
	if (retry && retry->type == PD_JSON_INT)
		set_retry_after(out, retry->i);
	set_text(out->reason, sizeof(out->reason), pd_json_get_string(root, "reason"));
	set_text(out->message, sizeof(out->message), pd_json_get_string(root, "message"));
	return PD_OK;
}

static int decode_protobuf(struct pd_arena *a, const char *p, size_t n, struct pd_k8s_status *out)
{
	K8s__Unknown *u;
	K8s__Status *s;
	void *msg;

	if (pb_unpack(a, &k8s__unknown__descriptor, p, n, &msg, NULL))
		return PD_E_PARSE;
	u = msg;
	if (!u->typemeta || !pd_streq(u->typemeta->kind, "Status") ||
	    pb_unpack(a, &k8s__status__descriptor, u->raw.data, u->raw.len, &msg, NULL))
		return PD_E_PARSE;
	s = msg;
	if (s->has_code && s->code > 0 && s->code < 1000)
		out->code = s->code;
	if (s->details && s->details->has_retryafterseconds)
		set_retry_after(out, s->details->retryafterseconds);
	set_text(out->reason, sizeof(out->reason), s->reason);
	set_text(out->message, sizeof(out->message), s->message);
	return PD_OK;
}

int pd_k8s_status_decode(const void *p, size_t n, struct pd_k8s_status *out)
{
	struct pd_arena a = {0};
	int rc;

	*out = (struct pd_k8s_status){0};
	if (n >= sizeof(MAGIC) && !memcmp(p, MAGIC, sizeof(MAGIC)))
		rc = decode_protobuf(&a, (const char *)p + sizeof(MAGIC), n - sizeof(MAGIC), out);
	else
		rc = decode_json(&a, p, n, out);
	pd_arena_free(&a);
	return rc;
}

void pd_k8s_status_of_body(int code, const char *body, size_t n, struct pd_k8s_status *out)
{
	char excerpt[200];

	if (pd_k8s_status_decode(body, n, out)) {
		pd_k8s_status_text(excerpt, sizeof(excerpt), n ? body : "", n);
		snprintf(out->message, sizeof(out->message), "HTTP %d%s%s", code, *excerpt ? ": " : "", excerpt);
	} else if (!*out->message) {
		snprintf(out->message, sizeof(out->message), "HTTP %d %s", code, out->reason);
	}
	out->code = code;
}

int pd_k8s_status_err(int code, const char *reason)
{
	if (code >= 200 && code < 300)
		return PD_OK;
	if (code == 401 || code == 403)
		return PD_E_DENIED;
	if (code == 404)
		return PD_E_NOTFOUND;
	if (code == 409)
		return pd_streq(reason, "AlreadyExists") ? PD_E_EXISTS : PD_E_AGAIN;
	if (code == 410)
		return PD_E_CLOSED;
	return code == 429 || code >= 500 ? PD_E_AGAIN : PD_E_INVALID;
}
