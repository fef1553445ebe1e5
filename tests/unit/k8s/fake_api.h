// An API server without sockets, behind the transport of reflectors, in virtual time.
//
// It keeps the history of each resource, answers LIST (pages of one version, continue tokens) and WATCH (resume, bookmarks,
// initial events) from it, forgets old versions when told to, and misbehaves as `faults` says: streams are cut at any byte,
// garbage and repetitions are put in, calls fail. Everything happens in fake_step, on the thread that calls it; `post` may come
// from any thread.
#ifndef TESTS_UNIT_K8S_FAKE_API_H
#define TESTS_UNIT_K8S_FAKE_API_H

#include <pthread.h>

#include "base/vec.h"
#include "k8s/reflector.h"

struct fake_version {
	uint64_t rv;
	bool deleted;
	char *ns, *name, *value; // value: what the object says; see fake_api.c for each kind
};

struct fake_resource {
	const char *base, *plural; // "/api/v1", "services"
	bool json;                 // served as JSON whatever is asked for
	bool no_stream;            // sendInitialEvents is refused
	int refuse;                // HTTP code of every answer; 0 = served
	PD_VEC(struct fake_version) history;
	uint64_t compacted; // versions up to this one are forgotten
	// counters
	unsigned lists, pages, watches, expired;
};

// Out of 1000 steps.
struct fake_faults {
	unsigned cut, garbage, repeat, early, refuse, bookmark, end;
};

struct fake_call;
struct fake_timer {
	uint64_t id, due_ms;
	void (*fn)(void *user);
	void *user;
};
struct fake_post {
	void (*fn)(void *user);
	void *user;
};
struct fake_answer { // of a path that is no resource
	const char *path, *content_type, *body;
	int code;
	unsigned asked;
};

#define FAKE_RESOURCES 16
struct fake_api {
	uint64_t now_ms, rv, next_id;
	uint32_t random;
	size_t page; // objects of a page at most, 0 = as asked for
	struct fake_faults faults;
	struct fake_resource resources[FAKE_RESOURCES];
	size_t n_resources;
	PD_VEC(struct fake_answer) answers;
	PD_VEC(struct fake_call *) calls;
	PD_VEC(struct fake_timer) timers;
	pthread_mutex_t lock; // guards posts
	PD_VEC(struct fake_post) posts;
	struct fake_call *running; // whose callback runs
};

void fake_init(struct fake_api *, uint32_t seed);
void fake_free(struct fake_api *);
struct pd_k8s_transport fake_transport(struct fake_api *);
struct fake_resource *fake_add(struct fake_api *, const char *base, const char *plural);
// Sets (value) or deletes (NULL) an object; deleting what is not there does nothing.
void fake_set(struct fake_api *, struct fake_resource *, const char *ns, const char *name, const char *value);
// The newest version of an object, NULL if it is not there.
const struct fake_version *fake_get(const struct fake_resource *, const char *ns, const char *name);
// Calls fn for each object that is there.
void fake_each(const struct fake_resource *, void (*fn)(const struct fake_version *, void *), void *arg);
void fake_compact(struct fake_api *);
// Ends all streams as a lost connection does.
void fake_cut_all(struct fake_api *);
uint32_t fake_random(struct fake_api *, uint32_t below);
// Does one thing; time goes on only when nothing else can be done. False: nothing to do, and no timer due until `until_ms`.
bool fake_step(struct fake_api *, uint64_t until_ms);
// Steps until nothing is left to do for `ms`.
void fake_settle(struct fake_api *, uint64_t ms);

#endif
