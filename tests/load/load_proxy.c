#include "tests/load/load_proxy.h"

#include <stdlib.h>

#include "base/hash.h"
#include "tests/load/load_record.h"

// Held in place of a resource that the server said does not exist: an answer, too.
static const struct pd_parsed absent;

static struct pd_slot *slot_of(struct pd_load_proxy *p, enum pd_load_type t, uint32_t name)
{
	struct pd_type_state *ts = &p->types[t];
	if (name >= ts->slots.n) {
		size_t want = p->worker->cache.names[t].text.n, was = ts->slots.n;
		pd_vec_reserve(&ts->slots, want);
		memset(ts->slots.v + was, 0, (want - was) * sizeof(*ts->slots.v));
		ts->slots.n = want;
	}
	return &ts->slots.v[name];
}

static void want(struct pd_load_proxy *p, enum pd_load_type t, const struct pd_parsed *parsed, bool more)
{
	enum pd_load_type dep = pd_load_depends(t);
	for (uint32_t i = 0; i < parsed->n_refs; i++) {
		struct pd_slot *s = slot_of(p, dep, parsed->refs[i]);
		PD_ASSERT(more || s->want > 0);
		s->want += more ? 1 : -1u;
		pd_vec_push(&p->types[dep].touched, parsed->refs[i]);
	}
}

// `parsed` NULL: the resource is gone.
static void hold(struct pd_load_proxy *p, enum pd_load_type t, struct pd_slot *s, const struct pd_parsed *parsed)
{
	struct pd_type_state *ts = &p->types[t];
	const struct pd_parsed *old = s->parsed;
	if (old == parsed)
		return;
	s->parsed = parsed;
	if (parsed)
		want(p, t, parsed, true);
	if (old)
		want(p, t, old, false);
	if (!old)
		ts->held++;
	if (!parsed)
		ts->held--;
	if (s->subscribed && !old)
		ts->missing--;
	if (s->subscribed && !parsed)
		ts->missing++;
}

// Turns the changed wants into changes of the subscription, which it leaves in the worker's `added` and `dropped`.
static bool settle(struct pd_load_proxy *p, enum pd_load_type t)
{
	struct pd_load_worker *w = p->worker;
	struct pd_type_state *ts = &p->types[t];
	w->added.n = w->dropped.n = 0;
	for (size_t i = 0; i < ts->touched.n; i++) {
		uint32_t name = ts->touched.v[i];
		struct pd_slot *s = slot_of(p, t, name);
		uint64_t h = pd_hash_mix(name + 1, t);
		if ((s->want > 0) == s->subscribed)
			continue;
		if (s->want > 0) {
			ts->wanted++;
			ts->missing++;
			ts->set_hash += h;
			s->subscribed = true;
			pd_vec_push(&w->added, name);
		} else {
			hold(p, t, s, NULL);
			ts->wanted--;
			ts->missing--;
			ts->set_hash -= h;
			s->subscribed = false;
			pd_vec_push(&w->dropped, name);
		}
	}
	ts->touched.n = 0;
	return w->added.n + w->dropped.n > 0;
}

static void ask_first(struct pd_load_proxy *p, enum pd_load_type t)
{
	p->types[t].asked = true;
	pd_stream_send(p, p->delta ? pd_request_delta_first(p, t) : pd_request_sotw(p, t));
}

void pd_proxy_start(struct pd_load_proxy *p)
{
	bool again = p->types[PD_LOAD_CDS].answered;
	for (int t = 0; t < PD_LOAD_TYPES; t++) {
		p->types[t].nonce[0] = '\0';
		if (t == PD_LOAD_CDS || (again && p->types[t].asked))
			ask_first(p, (enum pd_load_type)t);
	}
}

static void check_complete(struct pd_load_proxy *p, uint64_t now_ns)
{
	struct pd_load_shared *sh = p->worker->shared;
	const struct pd_type_state *ts = p->types;
	bool complete = ts[PD_LOAD_CDS].answered && ts[PD_LOAD_LDS].answered && ts[PD_LOAD_EDS].missing == 0 &&
			ts[PD_LOAD_RDS].missing == 0;
	if (complete == p->complete)
		return;
	p->complete = complete;
	if (complete) {
		sh->complete_ns[p->index] = now_ns;
		atomic_fetch_add(&sh->n_complete, 1);
	} else {
		atomic_fetch_sub(&sh->n_complete, 1);
	}
}

// What follows from the response to type `t`: acknowledgement first, then changed subscriptions, then the next type.
static void react(struct pd_load_proxy *p, enum pd_load_type t)
{
	struct pd_load_worker *w = p->worker;
	enum pd_load_type dep = pd_load_depends(t);
	w->added.n = w->dropped.n = 0;
	pd_stream_send(p, p->delta ? pd_request_delta(p, t, p->types[t].nonce) : pd_request_sotw(p, t));
	if (dep != PD_LOAD_TYPES && settle(p, dep)) {
		if (!p->types[dep].asked)
			ask_first(p, dep);
		else
			pd_stream_send(p, p->delta ? pd_request_delta(p, dep, NULL) : pd_request_sotw(p, dep));
	}
	if (!p->types[PD_LOAD_LDS].asked && p->types[PD_LOAD_CDS].answered && p->types[PD_LOAD_EDS].missing == 0)
		ask_first(p, PD_LOAD_LDS);
}

static void note_marker(struct pd_load_proxy *p, uint64_t now_ns)
{
	struct pd_load_shared *sh = p->worker->shared;
	if (sh->seen_ns[p->index] != 0)
		return;
	sh->seen_ns[p->index] = now_ns;
	atomic_fetch_add(&sh->n_seen, 1);
}

// The value of an Any.
static bool any_value(const void *p, size_t n, struct pd_field *value)
{
	return pd_scan_find(p, n, 2, value);
}

static bool take_resource(struct pd_load_proxy *p, enum pd_load_type t, const struct pd_field *f,
			  const struct pd_load_marker *marker, uint64_t now_ns)
{
	struct pd_load_worker *w = p->worker;
	struct pd_field any = *f, value, version;
	uint32_t version_id = 0;
	if (p->delta) { // Resource: version 1, resource 2
		if (pd_scan_find(f->p, f->n, 1, &version))
			version_id = pd_load_intern(&w->cache, &w->cache.versions, version.p, version.n);
		if (!pd_scan_find(f->p, f->n, 2, &any))
			return false;
	}
	if (!any_value(any.p, any.n, &value))
		return false;
	const struct pd_parsed *parsed = pd_load_parse(&w->cache, marker, t, value.p, value.n);
	if (!parsed)
		return false;
	struct pd_slot *s = slot_of(p, t, parsed->name);
	if ((t == PD_LOAD_EDS || t == PD_LOAD_RDS) && !s->subscribed) {
		atomic_fetch_add(&w->shared->unexpected, 1);
		return true;
	}
	hold(p, t, s, parsed);
	s->version = version_id;
	s->round = p->types[t].round;
	if (marker->seq != 0 && parsed->marker == marker->seq)
		note_marker(p, now_ns);
	return true;
}

static void take_removed(struct pd_load_proxy *p, enum pd_load_type t, const struct pd_field *f)
{
	struct pd_load_cache *c = &p->worker->cache;
	struct pd_slot *s = slot_of(p, t, pd_load_intern(c, &c->names[t], f->p, f->n));
	if (t == PD_LOAD_CDS || t == PD_LOAD_LDS)
		hold(p, t, s, NULL);
	else if (s->subscribed)
		hold(p, t, s, &absent);
	s->version = 0;
}

static bool keep_text(char out[PD_LOAD_VERSION_MAX], const struct pd_field *f)
{
	if (f->n >= PD_LOAD_VERSION_MAX)
		return false;
	memcpy(out, f->p, f->n);
	out[f->n] = '\0';
	return true;
}

// First pass: type, version and nonce, wherever they stand.
static bool read_head(struct pd_load_proxy *p, const grpc_byte_buffer *b, enum pd_load_type *type)
{
	struct pd_rope r;
	struct pd_field f;
	char version[PD_LOAD_VERSION_MAX] = "", nonce[PD_LOAD_VERSION_MAX] = "";
	*type = PD_LOAD_TYPES;
	if (!pd_rope_init(&r, b))
		return false;
	while (r.left > 0) {
		struct pd_rope before = r;
		if (!pd_rope_next(&r, &f, false, NULL))
			return false;
		if (f.type != PD_WIRE_BYTES || f.num == 2 || f.num > 5)
			continue;
		r = before;
		if (!pd_rope_next(&r, &f, true, &p->worker->scratch))
			return false;
		if (f.num == 4)
			*type = pd_load_type_of(f.p, f.n);
		else if ((f.num == 1 && !keep_text(version, &f)) || (f.num == 5 && !keep_text(nonce, &f)))
			return false;
	}
	if (*type == PD_LOAD_TYPES)
		return false;
	memcpy(p->types[*type].version, version, sizeof(version));
	memcpy(p->types[*type].nonce, nonce, sizeof(nonce));
	return true;
}

// State of the world: what a full response does not name is gone.
static void drop_unnamed(struct pd_load_proxy *p, enum pd_load_type t)
{
	struct pd_type_state *ts = &p->types[t];
	for (size_t i = 0; i < ts->slots.n; i++)
		if (ts->slots.v[i].parsed && ts->slots.v[i].round != ts->round)
			hold(p, t, &ts->slots.v[i], NULL);
}

bool pd_proxy_receive(struct pd_load_proxy *p, const grpc_byte_buffer *response, uint64_t now_ns)
{
	struct pd_load_shared *sh = p->worker->shared;
	const struct pd_load_marker *marker = atomic_load(&sh->marker);
	enum pd_load_type t;
	struct pd_rope r;
	struct pd_field f;
	unsigned resources = 0, removed = 0;
	if (!read_head(p, response, &t) || !pd_rope_init(&r, response))
		return false;
	if (p->recorded)
		pd_record_append(sh->record, (uint8_t)atomic_load(&sh->phase), p->delta, response);
	p->types[t].round++;
	p->types[t].answered = true;
	while (r.left > 0) {
		if (!pd_rope_next(&r, &f, true, &p->worker->scratch))
			return false;
		if (f.num == 2) {
			resources++;
			if (!take_resource(p, t, &f, marker, now_ns))
				return false;
		} else if (f.num == 6 && p->delta) {
			removed++;
			take_removed(p, t, &f);
		}
	}
	if (!p->delta && (t == PD_LOAD_CDS || t == PD_LOAD_LDS))
		drop_unnamed(p, t);
	react(p, t);
	check_complete(p, now_ns);
	atomic_fetch_add(&sh->messages_in, 1);
	atomic_fetch_add(&sh->resources_in, resources);
	atomic_fetch_add(&sh->removed_in, removed);
	atomic_fetch_add(&sh->by_type[t], resources);
	atomic_fetch_add(&sh->bytes_type[t], response->data.raw.slice_buffer.length);
	return true;
}

void pd_proxy_free(struct pd_load_proxy *p)
{
	for (int t = 0; t < PD_LOAD_TYPES; t++) {
		pd_vec_free(&p->types[t].slots);
		pd_vec_free(&p->types[t].touched);
	}
}
