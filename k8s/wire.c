// What the readers of both forms share: pieces that arrive, and bytes that wait for more.
#include "k8s/wire.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "k8s/wire_impl.h"

#define KEEP_BUFFER (256u << 10) // a larger one is given back when it is empty

enum pd_k8s_form pd_k8s_form_of(const char *content_type)
{
	return pd_has_prefix(content_type, PD_K8S_PROTOBUF) ? PD_K8S_FORM_PROTOBUF : PD_K8S_FORM_JSON;
}

int pd_k8s_wire_fail(struct pd_k8s_wire_error *err, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

// A piece together with what waited. *p and *n are what to read; `keep` settles it afterwards.
static void join(struct pd_buf *buf, const char **p, size_t *n)
{
	if (!buf->n)
		return;
	pd_buf_add(buf, *p, *n);
	*p = buf->p;
	*n = buf->n;
}

// What is behind `used` waits for the next piece.
static void keep(struct pd_buf *buf, const char *p, size_t n, size_t used)
{
	if (p != buf->p) {
		if (n > used)
			pd_buf_add(buf, p + used, n - used);
		return;
	}
	if (used)
		memmove(buf->p, buf->p + used, n - used);
	buf->n = n - used;
	buf->p[buf->n] = 0;
	if (!buf->n && buf->cap > KEEP_BUFFER)
		pd_buf_free(buf);
}

// ---- lists ----------------------------------------------------------------------------------------------------------

int pd_k8s_list_feed(struct pd_k8s_list *l, const void *piece, size_t n, pd_k8s_on_item fn, void *user,
		     struct pd_k8s_wire_error *err)
{
	const char *p = piece;
	size_t used = 0;
	int rc;

	if (!n)
		return PD_OK;
	join(&l->buf, &p, &n);
	rc = l->form == PD_K8S_FORM_PROTOBUF ? pd_k8s_list_pb(l, (const uint8_t *)p, n, &used, fn, user, err)
					     : pd_k8s_list_json(l, p, n, &used, fn, user, err);
	keep(&l->buf, p, n, used);
	return rc;
}

int pd_k8s_list_end(struct pd_k8s_list *l, struct pd_k8s_wire_error *err)
{
	bool whole =
		l->form == PD_K8S_FORM_PROTOBUF ? l->raw_seen && !l->in_raw && !l->skip : pd_k8s_list_json_whole(l);

	return whole && !l->buf.n ? PD_OK : pd_k8s_wire_fail(err, PD_E_PARSE, "the list ends in the middle");
}

void pd_k8s_list_free(struct pd_k8s_list *l)
{
	pd_buf_free(&l->buf);
	pd_arena_free(&l->arena);
	free(l->next);
	*l = (struct pd_k8s_list){0};
}

// ---- frames ---------------------------------------------------------------------------------------------------------

int pd_k8s_event_type_of(const char *s, size_t n, enum pd_k8s_event_type *out, struct pd_k8s_wire_error *err)
{
	static const char *const names[] = {[PD_K8S_ADDED] = "ADDED",
					    [PD_K8S_MODIFIED] = "MODIFIED",
					    [PD_K8S_DELETED] = "DELETED",
					    [PD_K8S_BOOKMARK] = "BOOKMARK",
					    [PD_K8S_ERROR] = "ERROR"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (n == strlen(names[i]) && !memcmp(s, names[i], n)) {
			*out = (enum pd_k8s_event_type)i;
			return PD_OK;
		}
	return pd_k8s_wire_fail(err, PD_E_PARSE, "an event of an unknown type");
}

// The frame that p starts with: its bytes are *len behind *lead. *len = 0: it is not all there.
static int frame_at(struct pd_k8s_frames *f, const char *p, size_t n, size_t *lead, size_t *len,
		    struct pd_k8s_wire_error *err)
{
	const uint8_t *b = (const uint8_t *)p;
	size_t want;

	*lead = *len = 0;
	if (f->form == PD_K8S_FORM_JSON) {
		*len = pd_k8s_frame_json(f, p, n, lead);
		want = *len ? *len : n - *lead;
		if (want && p[*lead] != '{')
			return pd_k8s_wire_fail(err, PD_E_PARSE, "a frame that is no object");
	} else if (n < 4) {
		return PD_OK;
	} else {
		*lead = 4;
		want = (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
		if (!want)
			return pd_k8s_wire_fail(err, PD_E_PARSE, "an empty frame");
		*len = n - 4 >= want ? want : 0;
	}
	if (want > PD_K8S_FRAME_MAX)
		return pd_k8s_wire_fail(err, PD_E_LIMIT, "a frame of %zu bytes is longer than %u", want,
					PD_K8S_FRAME_MAX);
	return PD_OK;
}

static int take_frame(struct pd_k8s_frames *f, const char *p, size_t n, pd_k8s_on_event fn, void *user,
		      struct pd_k8s_wire_error *err)
{
	struct pd_k8s_event e = {0};
	int rc = f->form == PD_K8S_FORM_JSON ? pd_k8s_event_json(p, n, &f->arena, &e, err)
					     : pd_k8s_event_pb((const uint8_t *)p, n, &f->arena, &e, err);

	if (!rc && e.type == PD_K8S_BOOKMARK)
		e.initial_end = pd_k8s_item_is_initial_end(&e.item);
	if (!rc)
		rc = fn(user, &e);
	pd_arena_reset(&f->arena);
	return rc;
}

int pd_k8s_frames_feed(struct pd_k8s_frames *f, const void *piece, size_t n, pd_k8s_on_event fn, void *user,
		       struct pd_k8s_wire_error *err)
{
	const char *p = piece;
	size_t used = 0, lead, len;
	int rc = PD_OK;

	if (!n)
		return PD_OK;
	join(&f->buf, &p, &n);
	while (used < n && !(rc = frame_at(f, p + used, n - used, &lead, &len, err))) {
		if (f->form == PD_K8S_FORM_JSON) // spaces between frames; the scan counts from behind them
			used += lead;
		if (!len)
			break;
		if (f->form == PD_K8S_FORM_PROTOBUF)
			used += lead;
		rc = take_frame(f, p + used, len, fn, user, err);
		used += len;
		if (rc)
			break;
	}
	keep(&f->buf, p, n, used);
	return rc;
}

bool pd_k8s_frames_partial(const struct pd_k8s_frames *f)
{
	return f->buf.n > 0;
}

void pd_k8s_frames_free(struct pd_k8s_frames *f)
{
	pd_buf_free(&f->buf);
	pd_arena_free(&f->arena);
	*f = (struct pd_k8s_frames){0};
}
