// Runs a credential plugin of a kubeconfig: a program that prints an ExecCredential (client.authentication.k8s.io/v1, v1beta1)
// on its standard output. It runs beside the loop: start it, poll its descriptors, step it until it is over.
//
// The plugin gets our environment, its own variables and KUBERNETES_EXEC_INFO; no input; none of our descriptors. It runs in
// a process group of its own, which is killed when its time is over.
#ifndef K8S_EXEC_H
#define K8S_EXEC_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "k8s/config.h"

#define PD_K8S_EXEC_MS 60000                 // time for a run
#define PD_K8S_EXEC_OUTPUT_MAX (1024 * 1024) // bytes on standard output; beyond: PD_E_LIMIT
#define PD_K8S_EXEC_COMPLAINT_MAX 512        // bytes of its standard error that an error shows

// What a plugin gave. Strings are allocated; pd_k8s_exec_creds_free overwrites and frees them. At least a token or a pair.
struct pd_k8s_exec_creds {
	char *token;      // NULL = none
	char *cert, *key; // PEM, NULL = none; checked to belong together
	int64_t expires;  // wall clock in ns since 1970; 0 = never
};
void pd_k8s_exec_creds_free(struct pd_k8s_exec_creds *);

struct pd_k8s_exec_run;
// Starts the plugin of `config` (borrowed for the run); `timeout_ms` 0 = PD_K8S_EXEC_MS. PD_E_IO: it cannot be started; *err
// says why and how to install it.
int pd_k8s_exec_start(const struct pd_k8s_config *config, uint32_t timeout_ms, struct pd_k8s_exec_run **out,
		      struct pd_buf *err) PD_MUST_CHECK;
// Descriptors to poll, and for how long at most. Returns their number (0 to 2).
unsigned pd_k8s_exec_poll(const struct pd_k8s_exec_run *, struct pollfd fds[2], int *timeout_ms);
// Goes on without blocking. PD_E_AGAIN: still running. Otherwise it is over: PD_OK and *out, or PD_E_TIMEOUT, PD_E_LIMIT,
// PD_E_IO (it failed), PD_E_PARSE (what it printed is no such credential) and *err.
int pd_k8s_exec_step(struct pd_k8s_exec_run *, struct pd_k8s_exec_creds *out, struct pd_buf *err) PD_MUST_CHECK;
// Kills it if it still runs, and frees. Sets *r to NULL; NULL is fine.
void pd_k8s_exec_free(struct pd_k8s_exec_run **r);

// Decodes an ExecCredential of the given apiVersion. PD_E_PARSE and *err.
int pd_k8s_exec_decode(const char *json, size_t len, const char *api_version, struct pd_k8s_exec_creds *out,
		       struct pd_buf *err) PD_MUST_CHECK;

#endif
