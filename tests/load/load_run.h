// A run: the proxies, the phases that they go through, and what each phase showed.
//
//   storm          all proxies connect; until each has its whole configuration
//   endpoint       one endpoint is added to a service: from the rename of its file to the proxies that have its address
//   nobody         changes that matter to no proxy; nothing must be sent
//   virtualservice one route of a VirtualService changes its name
//   reconnect      all delta proxies come back on new connections with the versions that they have; nothing must be sent,
//                  and one more endpoint change must reach them
//   idle           nothing happens
#ifndef TESTS_LOAD_RUN_H
#define TESTS_LOAD_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "tests/load/load_proxy.h"
#include "tests/load/load_usage.h"

enum { PD_RUN_ROUNDS_MAX = 1000, PD_RUN_RESULTS_MAX = 16, PD_RUN_PROBLEMS_MAX = 32 };

enum pd_load_protocol { PD_LOAD_SOTW, PD_LOAD_DELTA, PD_LOAD_MIXED };

struct pd_run_options {
	const char *address;
	const char *dir;    // the files that pilotd reads; NULL with `floor`
	const char *phases; // comma-separated, in order
	const char *record; // NULL or the file to write
	const char *json;   // NULL or the file to write
	const char *label;  // what the report calls this run
	pid_t pid;          // the server
	bool floor;         // the server is pilotd-floor: changes are signals to it
	enum pd_load_protocol protocol;
	struct pd_world world;
	uint32_t proxies, workers, rounds;
	uint32_t seq;        // number of the first change; has to differ from what earlier runs left in `dir`
	uint32_t window;     // HTTP/2 stream window of the clients, bytes
	uint32_t quiet_ms;   // so long without a byte is the end of a phase
	uint32_t settle_ms;  // after the storm, before memory is read
	uint32_t idle_ms;    // length of the phase idle
	uint32_t timeout_ms; // of each phase and round
};

// One phase. Times in milliseconds since its start; for phases of several rounds the medians over the rounds, and cost and
// counts are the mean of a round.
struct pd_run_result {
	char name[24];
	uint32_t rounds;
	double first_ms, median_ms, last_ms, last_min_ms, last_max_ms;
	double server_cpu_ms, client_cpu_ms;
	double server_cpu_median_ms; // of a round
	double bytes, messages, resources;
	double by_type[PD_LOAD_TYPES], bytes_type[PD_LOAD_TYPES];
	double bytes_out;
	uint64_t rss_kb, peak_kb; // at the end; since the start of the phase
};

struct pd_run {
	struct pd_run_options o;
	struct pd_load_shared shared;
	struct pd_load_proxy *proxies;
	struct pd_load_worker workers[PD_LOAD_WORKERS_MAX];
	uint32_t n_delta;
	uint32_t next_endpoint, next_route, next_nobody; // numbers of the next changes
	struct pd_run_result results[PD_RUN_RESULTS_MAX];
	unsigned n_results;
	char *problems[PD_RUN_PROBLEMS_MAX];
	unsigned n_problems; // beyond the limit only counted
};

// Runs all phases. PD_E_INVALID for an unknown phase, PD_E_IO if the record file cannot be written. What a phase should have
// shown and did not is a problem of the run, not an error.
int pd_run(struct pd_run *r) PD_MUST_CHECK;
void pd_run_problem(struct pd_run *r, const char *fmt, ...) PD_PRINTF(2, 3);
void pd_run_free(struct pd_run *r);

// One phase by its name. PD_E_INVALID if there is none; PD_E_LIMIT for too many.
int pd_phase_run(struct pd_run *r, const char *name) PD_MUST_CHECK;

void pd_report_table(const struct pd_run *r, FILE *to);
// PD_E_IO.
int pd_report_json(const struct pd_run *r, const char *path) PD_MUST_CHECK;

#endif
