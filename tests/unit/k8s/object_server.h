// An API server of JSON objects for tests: GET, PUT, POST, PATCH (kept as sent), DELETE by path, with resourceVersions, whose PUT
// of an old one is a conflict. A script of faults comes first. ConfigMaps of one name can be listed and watched, without faults.
#ifndef TESTS_UNIT_K8S_OBJECT_SERVER_H
#define TESTS_UNIT_K8S_OBJECT_SERVER_H

#include <stdatomic.h>

#include "base/vec.h"
#include "client_rig.h"
#include "http_server.h"

#define OS_OBJECTS_MAX 64
#define OS_FAULTS_MAX 64

struct os_object {
	char *path, *json; // json NULL = deleted
	int version;
};

struct os {
	struct hs *http;
	struct rig_log log; // "METHOD PATH;" of each request, with the query
	atomic_bool stopping;
	pthread_mutex_t lock;
	// Under lock.
	struct os_object objects[OS_OBJECTS_MAX];
	size_t n;
	PD_VEC(struct os_object) history; // each change, oldest first
	int version;
	int faults[OS_FAULTS_MAX]; // answers of the next requests: an HTTP code, 0 = none, -1 = cut, -2 = done, but cut
	size_t n_faults;
	bool dead; // everything is answered with 503
};

struct os *os_start(void);
void os_stop(struct os **);
void os_fault(struct os *, int fault);
void os_set_dead(struct os *, bool dead);
// Sets an object, as somebody else would.
void os_put(struct os *, const char *path, const char *json);
void os_remove(struct os *, const char *path);
// A copy, or NULL; caller frees.
char *os_get(struct os *, const char *path);

#endif
