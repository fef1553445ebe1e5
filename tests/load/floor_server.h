// The floor: what the same answers cost when nothing has to be computed. A bare grpc core server with the shape of pilotd's (one
// completion queue for each thread, calls stay on the queue that took them) answers the first request for each type with the
// recorded responses, each one shared slice, and pushes the recorded change to all streams when told to.
#ifndef TESTS_LOAD_FLOOR_SERVER_H
#define TESTS_LOAD_FLOOR_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "tests/load/load_proxy.h"

enum { PD_FLOOR_PAYLOADS_MAX = 256, PD_FLOOR_THREADS_MAX = 16, PD_FLOOR_QUEUE_MAX = 64 };

struct pd_floor_payload {
	grpc_slice bytes;
	enum pd_load_type type;
	enum pd_load_phase phase;
	bool delta;
};

struct pd_floor {
	struct pd_floor_payload payloads[PD_FLOOR_PAYLOADS_MAX];
	size_t n_payloads;
	unsigned threads;
	int port;               // 0 before the start = any
	atomic_ullong requests; // taken so far
	struct pd_floor_server *server;
};

// Loads a recording. PD_E_IO, PD_E_PARSE, PD_E_LIMIT.
int pd_floor_load(struct pd_floor *f, const char *path) PD_MUST_CHECK;
// Listens on loopback and starts the threads; sets the port. PD_E_IO.
int pd_floor_start(struct pd_floor *f) PD_MUST_CHECK;
// Sends the recorded responses of a phase (one change) to all streams.
void pd_floor_push(struct pd_floor *f, enum pd_load_phase phase);
// Cuts all streams, joins the threads, frees everything.
void pd_floor_stop(struct pd_floor *f);

#endif
