#include "xds/pack.h"

#include <string.h>

#include "xds/response.h"
#include "xds/slice.h"

static void flush(struct pd_pack *p)
{
	grpc_slice s;
	uint8_t *to;

	if (!p->run.n)
		return;
	s = grpc_slice_malloc(p->run_bytes);
	to = GRPC_SLICE_START_PTR(s);
	for (size_t i = 0; i < p->run.n; i++) {
		memcpy(to, p->run.v[i].p, p->run.v[i].n);
		to += p->run.v[i].n;
	}
	pd_vec_push(&p->slices, s);
	p->run.n = 0;
	p->run_bytes = 0;
}

void pd_pack_bytes(struct pd_pack *p, const void *bytes, size_t n)
{
	if (!n)
		return;
	if (p->run_bytes + n > PD_CHUNK_MAX)
		flush(p);
	pd_vec_push(&p->run, (struct pd_piece){bytes, n});
	p->run_bytes += n;
	p->bytes += n;
}

static void pack_blob(struct pd_pack *p, struct pd_blob *b, size_t off)
{
	size_t n = b->len - off;

	if (n <= p->copy_max) {
		pd_pack_bytes(p, b->data + off, n);
		return;
	}
	flush(p);
	pd_vec_push(&p->slices, pd_slice_of_blob(b, off));
	p->bytes += n;
}

void pd_pack_part(struct pd_pack *p, const struct pd_resource *r, uint32_t i, bool delta)
{
	pack_blob(p, r->parts[i], i || delta ? 0 : r->sotw_off);
}

void pd_pack_resource(struct pd_pack *p, const struct pd_resource *r, bool delta)
{
	for (uint32_t i = 0; i < r->n_parts; i++)
		pd_pack_part(p, r, i, delta);
}

void pd_pack_slice(struct pd_pack *p, grpc_slice s)
{
	flush(p);
	pd_vec_push(&p->slices, grpc_slice_ref(s));
	p->bytes += GRPC_SLICE_LENGTH(s);
}

void pd_pack_end(struct pd_pack *p)
{
	flush(p);
}

void pd_pack_free(struct pd_pack *p)
{
	for (size_t i = 0; i < p->slices.n; i++)
		grpc_slice_unref(p->slices.v[i]);
	pd_vec_free(&p->slices);
	pd_vec_free(&p->run);
}
