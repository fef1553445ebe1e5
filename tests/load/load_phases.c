#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "tests/load/load_run.h"

enum { ROUTE_SEQ = 1000000 }; // keeps the numbers of the two kinds of markers apart

// A measured stretch of time.
struct watch {
	uint64_t start_ns;
	struct pd_usage server;
	uint64_t client_cpu_ns;
};

// Of each round; medians come from these.
struct rounds {
	double first[PD_RUN_ROUNDS_MAX], median[PD_RUN_ROUNDS_MAX], last[PD_RUN_ROUNDS_MAX], cpu[PD_RUN_ROUNDS_MAX];
	uint32_t n;
};

static void sleep_ms(unsigned ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
	nanosleep(&ts, NULL);
}

static uint64_t own_cpu_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void reset_counters(struct pd_run *r)
{
	struct pd_load_shared *sh = &r->shared;
	atomic_ullong *all[] = {&sh->bytes_in,     &sh->bytes_out,  &sh->messages_in,
				&sh->resources_in, &sh->removed_in, &sh->unexpected};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		atomic_store(all[i], 0);
	for (int t = 0; t < PD_LOAD_TYPES; t++) {
		atomic_store(&sh->by_type[t], 0);
		atomic_store(&sh->bytes_type[t], 0);
	}
	memset(sh->seen_ns, 0, r->o.proxies * sizeof(*sh->seen_ns));
	atomic_store(&sh->n_seen, 0);
}

static void watch_start(struct pd_run *r, struct watch *w)
{
	reset_counters(r);
	pd_usage_reset_peak(r->o.pid);
	w->server = pd_usage_of(r->o.pid);
	w->client_cpu_ns = own_cpu_ns();
	w->start_ns = pd_now_ns();
}

// Waits until *value is `want` and nothing was received for the quiet time. False after the time limit.
static bool wait_for(struct pd_run *r, atomic_uint *value, unsigned want, uint64_t start_ns)
{
	uint64_t end = start_ns + (uint64_t)r->o.timeout_ms * 1000000, quiet = (uint64_t)r->o.quiet_ms * 1000000;
	for (;;) {
		uint64_t now = pd_now_ns(), last = atomic_load(&r->shared.last_rx_ns);
		if (last < start_ns)
			last = start_ns;
		if (now >= last + quiet && atomic_load(value) == want)
			return true;
		if (now > end || atomic_load(&r->shared.n_broken) > 0)
			return false;
		sleep_ms(2);
	}
}

static int by_number(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_number);
	return n == 0 ? 0 : n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

// First, median and last of the times that are set, in ms since start.
static void spread(const uint64_t *at_ns, uint32_t n, uint64_t start_ns, double out[3])
{
	double *v = pd_xcalloc(n ? n : 1, sizeof(*v));
	size_t set = 0;
	for (uint32_t i = 0; i < n; i++)
		if (at_ns[i] != 0)
			v[set++] = (double)(int64_t)(at_ns[i] - start_ns) / 1e6;
	out[1] = median(v, set);
	out[0] = set ? v[0] : 0;
	out[2] = set ? v[set - 1] : 0;
	free(v);
}

// Adds what was counted since the watch started to the result, as one of `res->rounds` rounds.
static double watch_stop(struct pd_run *r, const struct watch *w, struct pd_run_result *res)
{
	struct pd_load_shared *sh = &r->shared;
	struct pd_usage now = pd_usage_of(r->o.pid);
	double n = res->rounds, cpu = (double)(now.cpu_ns - w->server.cpu_ns) / 1e6;
	res->server_cpu_ms += cpu / n;
	res->client_cpu_ms += (double)(own_cpu_ns() - w->client_cpu_ns) / 1e6 / n;
	res->bytes += (double)atomic_load(&sh->bytes_in) / n;
	res->bytes_out += (double)atomic_load(&sh->bytes_out) / n;
	res->messages += (double)atomic_load(&sh->messages_in) / n;
	res->resources += (double)atomic_load(&sh->resources_in) / n;
	for (int t = 0; t < PD_LOAD_TYPES; t++) {
		res->by_type[t] += (double)atomic_load(&sh->by_type[t]) / n;
		res->bytes_type[t] += (double)atomic_load(&sh->bytes_type[t]) / n;
	}
	res->rss_kb = now.rss_kb;
	if (now.peak_kb > res->peak_kb)
		res->peak_kb = now.peak_kb;
	if (now.cpu_ns == 0)
		pd_run_problem(r, "%s: the server is gone", res->name);
	return cpu;
}

static void check_common(struct pd_run *r, const char *name)
{
	unsigned broken = atomic_load(&r->shared.n_broken);
	unsigned long long unexpected = atomic_load(&r->shared.unexpected);
	if (broken)
		pd_run_problem(r, "%s: %u streams broke", name, broken);
	if (unexpected && !r->o.floor)
		pd_run_problem(r, "%s: %llu resources that nobody asked for", name, unexpected);
}

static void storm(struct pd_run *r, struct pd_run_result *res)
{
	struct watch w;
	double t[3];
	watch_start(r, &w);
	for (uint32_t i = 0; i < r->o.workers; i++)
		pd_worker_command(&r->workers[i], PD_WORKER_CONNECT);
	bool ok = wait_for(r, &r->shared.n_complete, r->o.proxies, w.start_ns);
	spread(r->shared.complete_ns, r->o.proxies, w.start_ns, t);
	res->first_ms = t[0];
	res->median_ms = t[1];
	res->last_ms = res->last_min_ms = res->last_max_ms = t[2];
	res->server_cpu_median_ms = watch_stop(r, &w, res);
	if (!ok)
		pd_run_problem(r, "storm: only %u of %u proxies complete", atomic_load(&r->shared.n_complete),
			       r->o.proxies);
	check_common(r, "storm");
	sleep_ms(r->o.settle_ms); // time to give memory back
	res->rss_kb = pd_usage_of(r->o.pid).rss_kb;
}

// One change and its way to all proxies. `type` is the type of resource that carries it.
static bool change_round(struct pd_run *r, enum pd_load_type type, struct pd_run_result *res, struct rounds *rounds)
{
	static struct pd_load_marker markers[8]; // a worker may still look at an earlier one
	static char texts[8][PD_WORLD_NAME];
	static unsigned turn;
	struct watch w;
	double t[3];
	uint64_t start = 0;
	bool endpoint = type == PD_LOAD_EDS;
	// The floor always sends the first change, which was recorded.
	uint32_t seq = r->o.floor ? r->o.seq : endpoint ? r->next_endpoint++ : r->next_route++;
	struct pd_load_marker *m = &markers[turn % 8];
	char *text = texts[turn++ % 8];
	(endpoint ? pd_world_endpoint_marker : pd_world_route_marker)(seq, text);
	*m = (struct pd_load_marker){.seq = endpoint ? seq : seq + ROUTE_SEQ, .type = type, .text = text};
	watch_start(r, &w);
	atomic_store(&r->shared.marker, m); // after the times of the last round were forgotten
	if (r->o.floor) {
		start = pd_now_ns();
		kill(r->o.pid, endpoint ? SIGUSR1 : SIGUSR2);
	} else if ((endpoint ? pd_world_edit_endpoint : pd_world_edit_route)(&r->o.world, r->o.dir, seq, &start) !=
		   PD_OK) {
		pd_run_problem(r, "%s: cannot edit files in %s: errno %d", res->name, r->o.dir, errno);
		return false;
	}
	bool ok = wait_for(r, &r->shared.n_seen, r->o.proxies, w.start_ns);
	spread(r->shared.seen_ns, r->o.proxies, start, t);
	rounds->first[rounds->n] = t[0];
	rounds->median[rounds->n] = t[1];
	rounds->last[rounds->n] = t[2];
	rounds->cpu[rounds->n++] = watch_stop(r, &w, res);
	if (!ok)
		pd_run_problem(r, "%s: the change reached %u of %u proxies", res->name, atomic_load(&r->shared.n_seen),
			       r->o.proxies);
	check_common(r, res->name);
	return ok;
}

static void check_one_endpoint(struct pd_run *r, const char *name)
{
	unsigned long long eds = atomic_load(&r->shared.by_type[PD_LOAD_EDS]),
			   all = atomic_load(&r->shared.resources_in);
	if (eds != r->o.proxies || all != r->o.proxies || atomic_load(&r->shared.removed_in) != 0)
		pd_run_problem(r, "%s: %llu EDS and %llu other resources for one changed endpoint and %u proxies", name,
			       eds, all - eds, r->o.proxies);
}

static void change(struct pd_run *r, enum pd_load_type type, struct pd_run_result *res)
{
	struct rounds *rounds = pd_xcalloc(1, sizeof(*rounds));
	for (uint32_t i = 0; i < res->rounds; i++) {
		atomic_store(&r->shared.phase, i > 0                 ? PD_PHASE_OTHER
					       : type == PD_LOAD_EDS ? PD_PHASE_ENDPOINT
								     : PD_PHASE_ROUTE);
		if (!change_round(r, type, res, rounds))
			break;
		if (type == PD_LOAD_EDS && !r->o.floor)
			check_one_endpoint(r, res->name);
	}
	atomic_store(&r->shared.phase, PD_PHASE_OTHER);
	res->first_ms = median(rounds->first, rounds->n);
	res->median_ms = median(rounds->median, rounds->n);
	res->last_ms = median(rounds->last, rounds->n); // sorts
	res->last_min_ms = rounds->n ? rounds->last[0] : 0;
	res->last_max_ms = rounds->n ? rounds->last[rounds->n - 1] : 0;
	res->server_cpu_median_ms = median(rounds->cpu, rounds->n);
	free(rounds);
}

static void endpoint(struct pd_run *r, struct pd_run_result *res)
{
	res->rounds = r->o.rounds;
	change(r, PD_LOAD_EDS, res);
}

static void virtual_service(struct pd_run *r, struct pd_run_result *res)
{
	res->rounds = r->o.rounds;
	change(r, PD_LOAD_RDS, res);
}

static void check_silence(struct pd_run *r, const char *name)
{
	unsigned long long bytes = atomic_load(&r->shared.bytes_in);
	if (bytes)
		pd_run_problem(r, "%s: %llu bytes in %llu messages were sent", name, bytes,
			       (unsigned long long)atomic_load(&r->shared.messages_in));
}

static void nobody(struct pd_run *r, struct pd_run_result *res)
{
	struct watch w;
	uint64_t start = 0;
	watch_start(r, &w);
	if (pd_world_edit_nobody(&r->o.world, r->o.dir, r->next_nobody++, &start) != PD_OK)
		pd_run_problem(r, "nobody: cannot edit files in %s: errno %d", r->o.dir, errno);
	sleep_ms(r->o.quiet_ms + 1500);
	res->server_cpu_median_ms = watch_stop(r, &w, res);
	check_silence(r, "nobody");
}

static void idle(struct pd_run *r, struct pd_run_result *res)
{
	struct watch w;
	watch_start(r, &w);
	sleep_ms(r->o.idle_ms);
	res->server_cpu_median_ms = watch_stop(r, &w, res);
	check_silence(r, "idle");
}

// The server has taken in all that it got: its processor time stands still.
static void wait_server_idle(struct pd_run *r)
{
	uint64_t before = pd_usage_of(r->o.pid).cpu_ns, end = pd_now_ns() + (uint64_t)r->o.timeout_ms * 1000000;
	while (pd_now_ns() < end) {
		sleep_ms(500);
		uint64_t now = pd_usage_of(r->o.pid).cpu_ns;
		if (now - before < 10 * 1000000)
			return;
		before = now;
	}
}

static void reconnect(struct pd_run *r, struct pd_run_result *res)
{
	struct watch w;
	watch_start(r, &w);
	for (uint32_t i = 0; i < r->o.workers; i++)
		pd_worker_command(&r->workers[i], PD_WORKER_RECONNECT);
	// A refused stream is not open until it is tried again, and an open one may still be refused.
	bool ok = wait_for(r, &r->shared.n_open, r->o.proxies, w.start_ns);
	wait_server_idle(r);
	ok = ok && wait_for(r, &r->shared.n_open, r->o.proxies, w.start_ns);
	res->server_cpu_median_ms = watch_stop(r, &w, res);
	if (!ok)
		pd_run_problem(r, "reconnect: %u of %u streams are open", atomic_load(&r->shared.n_open), r->o.proxies);
	if (atomic_load(&r->shared.resources_in) + atomic_load(&r->shared.removed_in) > 0)
		pd_run_problem(r, "reconnect: %.0f resources were sent again and %llu removed", res->resources,
			       (unsigned long long)atomic_load(&r->shared.removed_in));
	check_common(r, "reconnect");

	struct rounds *rounds = pd_xcalloc(1, sizeof(*rounds));
	struct pd_run_result after = {.name = "after reconnect", .rounds = 1};
	if (change_round(r, PD_LOAD_EDS, &after, rounds))
		check_one_endpoint(r, after.name);
	free(rounds);
}

int pd_phase_run(struct pd_run *r, const char *name)
{
	static const struct {
		const char *name;
		void (*run)(struct pd_run *r, struct pd_run_result *res);
		bool with_files; // means nothing to the floor
	} phases[] = {{"storm", storm, false},        {"endpoint", endpoint, false},
		      {"nobody", nobody, true},       {"virtualservice", virtual_service, false},
		      {"reconnect", reconnect, true}, {"idle", idle, false}};
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		if (strcmp(phases[i].name, name) != 0)
			continue;
		if (r->n_results == PD_RUN_RESULTS_MAX)
			return PD_E_LIMIT;
		if ((phases[i].with_files && r->o.floor) || (phases[i].run == reconnect && r->n_delta == 0))
			return PD_OK;
		struct pd_run_result *res = &r->results[r->n_results++];
		*res = (struct pd_run_result){.rounds = 1};
		snprintf(res->name, sizeof(res->name), "%s", name);
		phases[i].run(r, res);
		return PD_OK;
	}
	return PD_E_INVALID;
}
