// The CA's roots in the namespaces of Kubernetes (k8s/root_maps.h): what the authority trusts goes into a ConfigMap of each
// namespace. Stands between the source and the next sink, from where it sees the Namespaces.
#ifndef CMD_PILOTD_ROOTS_H
#define CMD_PILOTD_ROOTS_H

#include "ca/authority.h"
#include "config/mesh.h"
#include "config/source.h"

struct pd_k8s_client;
struct pd_k8s_root_maps;

// All-zero: not used.
struct roots {
	struct pd_sink sink;  // what the source is given
	struct pd_sink *next; // borrowed
	struct pd_authority *authority;
	struct pd_k8s_root_maps *maps;
};

struct roots_options {
	struct pd_k8s_client *client;   // borrowed until roots_stop
	struct pd_authority *authority; // borrowed for its life; it outlives this
	const char *system_ns;          // own namespace
	struct pd_sink *next;           // where everything goes
};
// Before the source, which is to be given &roots->sink. Returns a code after a text in `err`.
int roots_start(struct roots *, const struct roots_options *, struct pd_buf *err) PD_MUST_CHECK;
// The namespaces that a new mesh configuration selects. Any thread; nothing if it is not used.
void roots_select(struct roots *, const struct pd_mesh *);
// The source is gone, the authority changes no more, the client is still there.
void roots_stop(struct roots *);

#endif
