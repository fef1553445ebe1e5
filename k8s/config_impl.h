// What config.c (where configs come from) and config_kube.c (what a kubeconfig says) share. Private to k8s/config*.c.
#ifndef K8S_CONFIG_IMPL_H
#define K8S_CONFIG_IMPL_H

#include "api/json.h"
#include "k8s/config.h"

// A kubeconfig that was read.
struct pd_kubeconfig {
	const char *path; // for messages
	const char *dir;  // relative paths start here; NULL: they are left as they are
	const struct pd_json *root;
};

// Parses a text into the arena. An empty text is PD_E_NOTFOUND. The path's directory counts if `dir` is set.
int pd_kubeconfig_parse(struct pd_arena *a, const char *text, size_t len, const char *path, struct pd_kubeconfig *out,
			struct pd_buf *err) PD_MUST_CHECK;

// Merges the files (the first that has a name counts) and picks a context (NULL or "": the current one).
// `own` = false: somebody else's text, see pd_k8s_config_parse.
int pd_kubeconfig_pick(const struct pd_kubeconfig *files, size_t n, const char *context, bool own,
		       struct pd_k8s_config **out, struct pd_buf *err) PD_MUST_CHECK;

// A config with nothing in it.
struct pd_k8s_config *pd_k8s_config_new(void);
// Reads and checks what the client will need: certificates, keys, token. *err names origin and field.
int pd_k8s_config_check(const struct pd_k8s_config *config, struct pd_buf *err) PD_MUST_CHECK;

#endif
