// Writes that more than one part of pilotd needs: ConfigMaps and Events.
#ifndef K8S_WRITE_OBJECTS_H
#define K8S_WRITE_OBJECTS_H

#include "k8s/write.h"

#define PD_K8S_CONFIG_MAP_KEYS_MAX 32 // of pd_k8s_put_config_map (asserted)
#define PD_K8S_EVENT_MESSAGE_MAX 1024 // bytes of an event's message, as the API server allows; the rest is cut

// ---- ConfigMaps

struct pd_k8s_config_map {
	const char *ns, *name;
	const char *const *data;                                   // key, value, key, value, …, NULL
	const char *const *labels;                                 // likewise; NULL = none
	const struct pd_k8s_leader *leader;                        // as in struct pd_k8s_write
	void (*on_done)(void *user, const struct pd_k8s_result *); // optional
	void *user;
};
// Sees to it that these keys and labels have these values; other members stay. Nothing is written where that is so already
// (istiod's role may get, create and update ConfigMaps, but not patch them: so no apply). Any thread; strings are copied.
// PD_E_CLOSED as for pd_k8s_write.
int pd_k8s_put_config_map(struct pd_k8s_writer *, const struct pd_k8s_config_map *) PD_MUST_CHECK;

// ---- Events

struct pd_k8s_event_object {
	const char *api_version, *kind, *ns, *name,
		*uid;                     // the object it is about; uid may be NULL; ns NULL: cluster-scoped
	bool warning;                     // else normal
	const char *reason, *message;     // "InvalidHost", "spec.hosts[0]: …"
	const char *component, *instance; // of us: "pilotd", the pod's name
};
// Tells the object's readers. One that fails is only logged. Any thread; strings are copied. PD_E_CLOSED as for pd_k8s_write.
int pd_k8s_send_event(struct pd_k8s_writer *, const struct pd_k8s_event_object *) PD_MUST_CHECK;

#endif
