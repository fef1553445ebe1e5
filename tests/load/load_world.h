// The mesh that the load runs are made of. Everything about it follows from its sizes, so the generator, which writes the
// YAML, and the client, which edits single objects of it later, agree without talking.
//
// Service i lies in namespace i % 10 with an HTTP port 80 (every fourth also a TCP port 9000) and `pods` pods of its own;
// proxy i is pod i / services of service i % services. The objects that the phases of a run edit have a file each.
#ifndef TESTS_LOAD_WORLD_H
#define TESTS_LOAD_WORLD_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum {
	PD_WORLD_NAMESPACES = 10,
	PD_WORLD_SERVICES_MIN = 10,
	PD_WORLD_SERVICES_MAX = 100000,
	PD_WORLD_PODS_MAX = 1000000,   // services x pods
	PD_WORLD_SERVICE_ENDPOINT = 0, // its EndpointSlice is what the phase "endpoint" edits
	PD_WORLD_SERVICE_VS = 1,       // has the VirtualService that the phase "virtualservice" edits
	PD_WORLD_SERVICE_NOOP = 2,     // its Service, EndpointSlice and Pod are what the phase "nobody" touches
};

struct pd_world {
	uint32_t services;
	uint32_t pods;                                // for each service
	uint32_t virtual_services, destination_rules; // for so many services; at least 1 VirtualService
};

// Names and addresses, into caller's buffers of this size.
enum { PD_WORLD_NAME = 64 };
void pd_world_namespace(uint32_t service, char out[PD_WORLD_NAME]);
void pd_world_service(uint32_t service, char out[PD_WORLD_NAME]);
void pd_world_pod(uint32_t service, uint32_t pod, char out[PD_WORLD_NAME]);
void pd_world_pod_ip(const struct pd_world *w, uint32_t service, uint32_t pod, char out[PD_WORLD_NAME]);

// What change number `seq` (from 1) of a phase leaves in the bytes that a proxy receives, and nothing else contains.
void pd_world_endpoint_marker(uint32_t seq, char out[PD_WORLD_NAME]); // the address of an added endpoint
void pd_world_route_marker(uint32_t seq, char out[PD_WORLD_NAME]);    // the name of a route

// Writes the whole mesh below `dir`, which is created. PD_E_IO with errno, PD_E_LIMIT for sizes out of range.
int pd_world_write(const struct pd_world *w, const char *dir) PD_MUST_CHECK;

// Each replaces one file by rename(2); *renamed_ns is the time just before. PD_E_IO.
int pd_world_edit_endpoint(const struct pd_world *w, const char *dir, uint32_t seq, uint64_t *renamed_ns) PD_MUST_CHECK;
int pd_world_edit_route(const struct pd_world *w, const char *dir, uint32_t seq, uint64_t *renamed_ns) PD_MUST_CHECK;
// Changes that matter to no proxy: resourceVersion, status and annotations of a Service, an EndpointSlice and a Pod, and
// the data of a ConfigMap. *renamed_ns is the time before the first of them.
int pd_world_edit_nobody(const struct pd_world *w, const char *dir, uint32_t seq, uint64_t *renamed_ns) PD_MUST_CHECK;

#endif
