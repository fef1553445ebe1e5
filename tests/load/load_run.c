#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/load/load_record.h"
#include "tests/load/load_run.h"

void pd_run_problem(struct pd_run *r, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (r->n_problems < PD_RUN_PROBLEMS_MAX)
		r->problems[r->n_problems] = pd_xstrdup(text);
	r->n_problems++;
}

static void start_workers(struct pd_run *r)
{
	struct pd_load_shared *sh = &r->shared;
	static const struct pd_load_marker no_marker;
	const struct pd_run_options *o = &r->o;
	sh->address = o->address;
	sh->world = &o->world;
	sh->window = (int)o->window;
	sh->seen_ns = pd_xcalloc(o->proxies, sizeof(*sh->seen_ns));
	sh->complete_ns = pd_xcalloc(o->proxies, sizeof(*sh->complete_ns));
	atomic_store(&sh->marker, &no_marker);
	r->proxies = pd_xcalloc(o->proxies, sizeof(*r->proxies));
	// Proxies in the middle are recorded: those are not instances of the services that are edited.
	uint32_t recorded = o->proxies / 2 & ~1u;
	for (uint32_t i = 0; i < o->proxies; i++) {
		struct pd_load_proxy *p = &r->proxies[i];
		p->index = i;
		p->delta = o->protocol == PD_LOAD_DELTA || (o->protocol == PD_LOAD_MIXED && i % 2 == 1);
		p->recorded = sh->record && (i == recorded || (o->protocol == PD_LOAD_MIXED && i == recorded + 1));
		r->n_delta += p->delta;
	}
	for (uint32_t i = 0; i < o->workers; i++) {
		struct pd_load_worker *w = &r->workers[i];
		w->shared = sh;
		w->proxies = r->proxies;
		w->n_proxies = o->proxies;
		w->first = i;
		w->stride = o->workers;
		pd_worker_start(w);
	}
}

static int run_phases(struct pd_run *r)
{
	char *list = pd_xstrdup(r->o.phases), *save = NULL;
	int rc = PD_OK;
	for (char *name = strtok_r(list, ",", &save); name && rc == PD_OK; name = strtok_r(NULL, ",", &save)) {
		rc = pd_phase_run(r, name);
		if (rc != PD_OK)
			fprintf(stderr, "phase %s: %s\n", name, pd_strerror(rc));
		if (atomic_load(&r->shared.n_complete) < r->o.proxies) {
			pd_run_problem(r, "stopped after %s", name);
			break;
		}
	}
	free(list);
	return rc;
}

// A connection is a descriptor, and grpc needs some of its own.
static void raise_limit(uint32_t connections)
{
	struct rlimit l;
	rlim_t want = (rlim_t)connections * 2 + 256;
	if (getrlimit(RLIMIT_NOFILE, &l) != 0 || l.rlim_cur >= want)
		return;
	l.rlim_cur = l.rlim_max == RLIM_INFINITY || l.rlim_max > want ? want : l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l) != 0 || l.rlim_cur < want)
		fprintf(stderr, "only %lu file descriptors for %u connections\n", (unsigned long)l.rlim_cur,
			connections);
}

// All proxies receive at once, so the clients hold gigabytes for a moment. Getting them from the kernel page by page took half of
// the clients' processor time in a storm: take them beforehand, and keep them.
static void warm_heap(const struct pd_run_options *o)
{
	enum { CHUNK = 1 << 20, PROXY_SERVICE_BYTES = 1800 };
	uint64_t available = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t want = (uint64_t)o->proxies * o->world.services * PROXY_SERVICE_BYTES;
	size_t n = (want < available / 4 ? want : available / 4) / CHUNK;
	char **chunks = pd_xcalloc(n + 1, sizeof(*chunks));
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, INT_MAX);
	mallopt(M_MMAP_THRESHOLD, 2 * CHUNK);
	for (size_t i = 0; i < n; i++) {
		chunks[i] = pd_xmalloc(CHUNK);
		for (size_t k = 0; k < CHUNK; k += 4096)
			((volatile char *)chunks[i])[k] = 1;
	}
	for (size_t i = n; i-- > 0;)
		free(chunks[i]);
	free(chunks);
}

int pd_run(struct pd_run *r)
{
	r->next_endpoint = r->next_route = r->next_nobody = r->o.seq;
	if (r->o.record) {
		r->shared.record = pd_record_create(r->o.record);
		if (!r->shared.record)
			return PD_E_IO;
	}
	raise_limit(r->o.proxies);
	warm_heap(&r->o);
	grpc_init();
	start_workers(r);
	int rc = run_phases(r);
	for (uint32_t i = 0; i < r->o.workers; i++)
		pd_worker_command(&r->workers[i], PD_WORKER_STOP);
	for (uint32_t i = 0; i < r->o.workers; i++)
		pd_worker_join(&r->workers[i]);
	grpc_shutdown_blocking();
	if (r->shared.record) {
		bool bad = ferror(r->shared.record) != 0;
		if (fclose(r->shared.record) != 0 || bad)
			rc = PD_E_IO;
	}
	return rc;
}

void pd_run_free(struct pd_run *r)
{
	for (unsigned i = 0; i < r->n_problems && i < PD_RUN_PROBLEMS_MAX; i++)
		free(r->problems[i]);
	free(r->shared.seen_ns);
	free(r->shared.complete_ns);
	free(r->proxies);
}
