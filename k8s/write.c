// The queue of writes. Structure: writes of one path hang on a `lane`; the first of a lane is the one that is worked on. A lane
// is ready (in the ready list), waiting for its back-off (a timer), or has a call in flight. All of it belongs to the loop.
#include "k8s/write.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <uthash.h>

#include "base/clock.h"
#include "base/log.h"
#include "k8s/leader.h"
#include "k8s/write_impl.h"

struct job {
	TAILQ_ENTRY(job) link;
	struct pd_k8s_writer *writer;
	struct pd_arena arena; // of w's strings; wiped
	struct pd_k8s_write w;
	char *collection, *path; // of the object
	char *key;               // of its lane: the path, but each create has its own
	unsigned tries;
	bool begun;
	bool put;             // an update whose object was read: what is in flight is the write
	bool make;            // likewise, and it was not there
	struct pd_buf object; // what an update sends
};
TAILQ_HEAD(jobs, job);

struct lane {
	UT_hash_handle hh;      // by key
	TAILQ_ENTRY(lane) link; // in the ready list
	struct pd_k8s_writer *writer;
	struct jobs jobs;
	bool ready;
	uint64_t call, timer;
	char key[];
};
TAILQ_HEAD(lanes, lane);

struct counters {
	_Atomic uint64_t pending, done, failed, tries, conflicts, throttled;
};

struct pd_k8s_writer {
	struct pd_k8s_client *client;
	char *manager;
	struct pd_k8s_bucket bucket;
	struct counters counters;
	// The loop's.
	struct lane *lanes;
	struct lanes ready;
	size_t n_jobs, in_flight;
	uint64_t token_timer;
	bool pumping;
};

static void pump(struct pd_k8s_writer *w);

// ---- jobs

static void copy_strings(struct job *j, const struct pd_k8s_write *w)
{
	struct pd_arena *a = &j->arena;
	struct pd_buf b = {0};

	j->w = *w;
	j->w.body = w->body ? pd_arena_strndup(a, w->body, w->body_len) : NULL;
	j->w.manager = pd_arena_strdup(a, pd_or(w->manager, j->writer->manager));
	pd_buf_adds(&b, w->api);
	if (w->ns) {
		pd_buf_adds(&b, "/namespaces/");
		pd_k8s_path_add(&b, w->ns);
	}
	pd_buf_printf(&b, "/%s", w->plural);
	j->collection = pd_arena_strdup(a, b.p);
	if (w->name) {
		pd_buf_addc(&b, '/');
		pd_k8s_path_add(&b, w->name);
	}
	if (w->subresource)
		pd_buf_printf(&b, "/%s", w->subresource);
	j->path = pd_arena_strdup(a, b.p);
	if (w->op == PD_K8S_CREATE)
		pd_buf_printf(&b, " %p", (void *)j);
	j->key = pd_arena_strdup(a, b.p);
	pd_buf_free(&b);
}

static void job_free(struct job *j)
{
	if (j->object.p)
		explicit_bzero(j->object.p, j->object.cap);
	pd_buf_free(&j->object);
	pd_arena_free(&j->arena);
	free(j);
}

static void job_end(struct job *j, const struct pd_k8s_result *r)
{
	struct counters *n = &j->writer->counters;

	if (r->err)
		n->failed++;
	else
		n->done++;
	if (j->w.on_done)
		j->w.on_done(j->w.user, r);
	job_free(j);
}

static void job_fail(struct job *j, int err, const char *message)
{
	struct pd_k8s_result r = {.err = err, .content_type = ""};

	pd_k8s_result_text(&r, message);
	job_end(j, &r);
}

// ---- lanes

static void lane_ready(struct lane *l)
{
	if (l->ready)
		return;
	l->ready = true;
	TAILQ_INSERT_TAIL(&l->writer->ready, l, link);
}

static void lane_unready(struct lane *l)
{
	if (l->ready)
		TAILQ_REMOVE(&l->writer->ready, l, link);
	l->ready = false;
}

static void lane_free(struct lane *l)
{
	lane_unready(l);
	HASH_DEL(l->writer->lanes, l);
	free(l);
}

static struct lane *lane_of(struct pd_k8s_writer *w, const char *key)
{
	size_t len = strlen(key);
	struct lane *l;

	HASH_FIND(hh, w->lanes, key, len, l);
	if (l)
		return l;
	l = pd_xcalloc(1, sizeof(*l) + len + 1);
	memcpy(l->key, key, len);
	l->writer = w;
	TAILQ_INIT(&l->jobs);
	HASH_ADD_KEYPTR(hh, w->lanes, l->key, len, l);
	return l;
}

// The lane's first job is over.
static void lane_next(struct lane *l, const struct pd_k8s_result *r)
{
	struct pd_k8s_writer *w = l->writer;
	struct job *j = TAILQ_FIRST(&l->jobs);

	TAILQ_REMOVE(&l->jobs, j, link);
	w->n_jobs--;
	w->counters.pending = w->n_jobs;
	if (TAILQ_EMPTY(&l->jobs))
		lane_free(l);
	else
		lane_ready(l);
	job_end(j, r);
}

static void lane_fail(struct lane *l, int err, const char *message)
{
	struct pd_k8s_result r = {.err = err, .content_type = ""};

	pd_k8s_result_text(&r, message);
	lane_next(l, &r);
}

// ---- tries

static void backed_off(void *user)
{
	struct lane *l = user;

	l->timer = 0;
	lane_ready(l);
	pump(l->writer);
}

static void try_again(struct lane *l, const struct pd_k8s_result *r)
{
	struct job *j = TAILQ_FIRST(&l->jobs);
	uint64_t ms = pd_k8s_backoff_ms(j->tries, PD_K8S_WRITE_BACKOFF_MS, PD_K8S_WRITE_BACKOFF_MAX_MS);
	uint32_t asked = r->status.retry_after_ms;

	if (asked > PD_K8S_WRITE_RETRY_AFTER_MAX_MS)
		asked = PD_K8S_WRITE_RETRY_AFTER_MAX_MS;
	j->put = j->make = false;
	l->timer = pd_k8s_after(l->writer->client, ms > asked ? ms : asked, backed_off, l);
}

static bool may_pass(const struct job *j, const struct pd_k8s_result *r)
{
	if (j->tries >= (j->w.tries ? j->w.tries : PD_K8S_WRITE_TRIES))
		return false;
	// Somebody else was faster: with an update that is what repeating is for, with others it is the answer.
	if (r->code == 409)
		return j->w.op == PD_K8S_UPDATE;
	return r->err == PD_E_AGAIN || r->err == PD_E_IO || r->err == PD_E_TIMEOUT;
}

// An update's object is here, or is not there: what shall it be?
static void change(struct lane *l, const struct pd_k8s_result *r)
{
	struct job *j = TAILQ_FIRST(&l->jobs);
	bool there = !r->err;
	struct pd_k8s_result unchanged = *r;
	int rc;

	pd_buf_reset(&j->object);
	rc = j->w.change(j->w.user, there ? r->body : NULL, there ? r->body_len : 0, &j->object);
	if (!rc) {
		j->put = true;
		j->make = !there;
		lane_ready(l);
		return;
	}
	unchanged.err = rc == PD_E_EXISTS ? PD_OK : rc;
	lane_next(l, &unchanged);
}

static void on_done(void *user, const struct pd_k8s_result *r)
{
	struct lane *l = user;
	struct pd_k8s_writer *w = l->writer;
	struct job *j = TAILQ_FIRST(&l->jobs);

	l->call = 0;
	w->in_flight--;
	if (j->w.op == PD_K8S_UPDATE && !j->put && (!r->err || r->code == 404)) {
		change(l, r);
	} else if (may_pass(j, r)) {
		w->counters.conflicts += r->code == 409;
		try_again(l, r);
	} else {
		lane_next(l, r);
	}
	pump(w);
}

// Method, path and body of a job's next call.
static void make_request(const struct job *j, struct pd_k8s_request *q, struct pd_buf *path)
{
	q->body = j->w.body;
	q->body_len = j->w.body_len;
	pd_buf_adds(path, j->make ? j->collection : j->path);
	switch (j->w.op) {
	case PD_K8S_CREATE:
		q->method = "POST";
		break;
	case PD_K8S_APPLY:
		q->method = "PATCH";
		q->content_type = "application/apply-patch+yaml";
		pd_buf_adds(path, "?fieldManager=");
		pd_k8s_path_add(path, j->w.manager);
		pd_buf_adds(path, j->w.force ? "&force=true" : "");
		break;
	case PD_K8S_PATCH:
		q->method = "PATCH";
		q->content_type = "application/merge-patch+json";
		break;
	case PD_K8S_UPDATE:
		q->method = !j->put ? "GET" : j->make ? "POST" : "PUT";
		q->body = j->put ? j->object.p : NULL;
		q->body_len = j->put ? j->object.n : 0;
		break;
	case PD_K8S_DELETE:
		q->method = "DELETE";
		break;
	}
	q->path = path->p;
}

static void begin(struct lane *l)
{
	struct pd_k8s_writer *w = l->writer;
	struct job *j = TAILQ_FIRST(&l->jobs);
	struct pd_k8s_request q = {.timeout_ms = PD_K8S_WRITE_TIMEOUT_MS, .on_done = on_done, .user = l};
	struct pd_buf path = {0};

	j->begun = true;
	j->tries += !j->put; // reading and writing are one try
	w->counters.tries++;
	make_request(j, &q, &path);
	l->call = pd_k8s_call(w->client, &q);
	w->in_flight++;
	pd_buf_free(&path);
}

static void on_token(void *user)
{
	struct pd_k8s_writer *w = user;

	w->token_timer = 0;
	pump(w);
}

// Sends what may be sent. Callbacks may queue more, which the outermost call takes along.
static void pump(struct pd_k8s_writer *w)
{
	struct lane *l;
	uint64_t wait;

	if (w->pumping)
		return;
	w->pumping = true;
	while (w->in_flight < PD_K8S_WRITES_IN_FLIGHT && !w->token_timer && (l = TAILQ_FIRST(&w->ready))) {
		const struct job *j = TAILQ_FIRST(&l->jobs);

		if (j->w.leader && !pd_k8s_leader_is(j->w.leader)) {
			lane_unready(l);
			lane_fail(l, PD_E_DENIED, "we do not lead any more");
			continue;
		}
		wait = pd_k8s_bucket_take(&w->bucket, pd_now_ns());
		if (wait) {
			w->counters.throttled++;
			w->token_timer = pd_k8s_after(w->client, wait, on_token, w);
			break;
		}
		lane_unready(l);
		begin(l);
	}
	w->pumping = false;
}

// ---- queueing

// An apply that waits for its turn says nothing that the later one does not say.
static void supersede(struct lane *l, const struct job *by)
{
	struct job *j = TAILQ_LAST(&l->jobs, jobs);

	if (!j || j->begun || j->w.op != PD_K8S_APPLY || by->w.op != PD_K8S_APPLY ||
	    strcmp(j->w.manager, by->w.manager))
		return;
	TAILQ_REMOVE(&l->jobs, j, link);
	l->writer->n_jobs--;
	job_fail(j, PD_E_CLOSED, "superseded by a later write");
}

static void enqueue(void *user)
{
	struct job *j = user;
	struct pd_k8s_writer *w = j->writer;
	struct lane *l;

	if (w->n_jobs >= PD_K8S_WRITES_MAX) {
		job_fail(j, PD_E_LIMIT, "too many writes are waiting");
		return;
	}
	l = lane_of(w, j->key);
	supersede(l, j);
	if (TAILQ_EMPTY(&l->jobs))
		lane_ready(l);
	TAILQ_INSERT_TAIL(&l->jobs, j, link);
	w->n_jobs++;
	w->counters.pending = w->n_jobs;
	pump(w);
}

int pd_k8s_write(struct pd_k8s_writer *w, const struct pd_k8s_write *write)
{
	struct job *j = pd_xcalloc(1, sizeof(*j));
	int rc;

	PD_ASSERT((write->op == PD_K8S_UPDATE) == !!write->change);
	j->writer = w;
	j->arena.secret = true; // a TokenReview's body is a token
	copy_strings(j, write);
	rc = pd_k8s_post(w->client, enqueue, j);
	if (rc)
		job_free(j);
	return rc;
}

// ---- life

struct pd_k8s_writer *pd_k8s_writer_new(const struct pd_k8s_writer_options *o)
{
	struct pd_k8s_writer *w = pd_xcalloc(1, sizeof(*w));

	w->client = o->client;
	w->manager = pd_xstrdup(pd_or(o->manager, "pilotd"));
	pd_k8s_bucket_init(&w->bucket, o->qps ? o->qps : PD_K8S_QPS, o->burst ? o->burst : PD_K8S_BURST, pd_now_ns());
	TAILQ_INIT(&w->ready);
	return w;
}

static void close_all(void *user)
{
	struct pd_k8s_writer *w = user;
	struct lane *l, *next;
	struct job *j;

	w->pumping = true; // nothing is sent any more
	pd_k8s_timer_cancel(w->client, w->token_timer);
	HASH_ITER(hh, w->lanes, l, next)
	{
		pd_k8s_cancel(w->client, l->call);
		pd_k8s_timer_cancel(w->client, l->timer);
		while ((j = TAILQ_FIRST(&l->jobs))) {
			TAILQ_REMOVE(&l->jobs, j, link);
			job_fail(j, PD_E_CLOSED, "the writer is shutting down");
		}
		lane_free(l);
	}
}

void pd_k8s_writer_free(struct pd_k8s_writer **wp)
{
	struct pd_k8s_writer *w = *wp;

	*wp = NULL;
	if (!w)
		return;
	pd_k8s_run_wait(w->client, close_all, w);
	free(w->manager);
	free(w);
}

void pd_k8s_writer_stats(const struct pd_k8s_writer *w, struct pd_k8s_writer_stats *out)
{
	const struct counters *n = &w->counters;

	*out = (struct pd_k8s_writer_stats){
		.pending = n->pending,
		.done = n->done,
		.failed = n->failed,
		.tries = n->tries,
		.conflicts = n->conflicts,
		.throttled = n->throttled,
	};
}
