// How to reach an API server and with which credentials: from a kubeconfig or from the pod that we run in.
//
// A config is checked when it is loaded: errors name file, field and reason ("/home/a/.kube/config: users[dev].user.exec.command:
// missing"). Files that it refers to (token, certificates) are read by the client, again and again, since they rotate; but
// one that cannot be read at load is an error at once.
//
// Not supported, and refused rather than ignored: auth-provider (gone from Kubernetes since 1.26), impersonation ("as"…).
//
// Secrets (tokens, passwords, keys) are never logged nor part of an error, and our copies are overwritten when freed.
#ifndef K8S_CONFIG_H
#define K8S_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#define PD_K8S_CONFIG_MAX_FILES 32            // of $KUBECONFIG
#define PD_K8S_CONFIG_MAX_BYTES (1024 * 1024) // of a kubeconfig
#define PD_K8S_PEM_MAX_BYTES (1024 * 1024)    // of a file with certificates or a key
#define PD_K8S_TOKEN_MAX_BYTES (64 * 1024)    // of a token
#define PD_K8S_EXEC_MAX_ARGS 256              // arguments, and as many variables, of a plugin
#define PD_K8S_SERVICE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

// A text that is given inline, or by a file that is read when it is needed, or not at all (all NULL).
struct pd_k8s_text {
	const char *data; // decoded; wins over the file unless said otherwise
	size_t len;
	const char *file; // path
	const char *name; // for messages: "users[dev].user.client-key"
};

// A plugin that prints an ExecCredential (client.authentication.k8s.io); see k8s/exec.h.
struct pd_k8s_exec {
	const char *command;       // a path, or a word to look up in $PATH
	const char *const *args;   // NULL at the end; without the command
	const char *const *env;    // "NAME=value", NULL at the end; beside our own environment
	const char *api_version;   // "client.authentication.k8s.io/v1" or …/v1beta1
	const char *install_hint;  // what to tell users who lack the command; NULL = nothing
	bool provide_cluster_info; // tell the plugin about the cluster
};

// All strings live in `arena`; NULL = not given.
struct pd_k8s_config {
	struct pd_arena arena;
	const char *origin;    // for messages: "/home/a/.kube/config, context dev", "in-cluster"
	const char *server;    // "https://10.0.0.1:6443", perhaps with a path; no slash at the end
	const char *ns;        // namespace of the context or of our own pod
	const char *proxy_url; // http, https or socks5; NULL: as $HTTPS_PROXY and $NO_PROXY say
	const char *tls_server_name;
	bool insecure; // do not check the server's certificate
	struct pd_k8s_text ca;
	struct pd_k8s_text cert, key; // both or none
	struct pd_k8s_text token;     // here the file wins, while it can be read
	const char *username, *password;
	const struct pd_k8s_exec *exec;
};

struct pd_k8s_config_options {
	// A kubeconfig, which must be there. NULL or "": those that $KUBECONFIG names, merged as kubectl does (for each name the
	// first file that has it counts; files that are not there are skipped), else ~/.kube/config, else in-cluster.
	const char *kubeconfig;
	const char *context;             // NULL or "": current-context
	const char *service_account_dir; // NULL = PD_K8S_SERVICE_ACCOUNT_DIR
};
// PD_E_NOTFOUND: neither a kubeconfig nor a cluster around us. PD_E_INVALID, PD_E_PARSE, PD_E_IO, PD_E_LIMIT: a mistake in
// what was found. *err tells all; *out is untouched on failure.
int pd_k8s_config_load(const struct pd_k8s_config_options *, struct pd_k8s_config **out, struct pd_buf *err)
	PD_MUST_CHECK;

// From a text that somebody else wrote, as a remote cluster's secret: what would run programs or read files of ours (exec,
// tokenFile, certificate files) is refused with PD_E_DENIED. `origin` is for messages. Else as above.
int pd_k8s_config_parse(const char *text, size_t len, const char *origin, const char *context,
			struct pd_k8s_config **out, struct pd_buf *err) PD_MUST_CHECK;

// From our own pod's service account. PD_E_NOTFOUND: we run in no pod.
int pd_k8s_config_in_cluster(const char *service_account_dir, struct pd_k8s_config **out, struct pd_buf *err)
	PD_MUST_CHECK;

// Overwrites and frees; sets *c to NULL. NULL is fine.
void pd_k8s_config_free(struct pd_k8s_config **c);

// Checks of PEM texts, used at load and whenever a file was read again. On failure PD_E_INVALID and the reason in *err
// (without the text's name): "no certificate in it", "the key does not belong to the certificate".
int pd_k8s_check_ca(const char *pem, size_t len, struct pd_buf *err) PD_MUST_CHECK;
int pd_k8s_check_pair(const char *cert, size_t cert_len, const char *key, size_t key_len, struct pd_buf *err)
	PD_MUST_CHECK;

// Reads a text's file into *out (caller frees with pd_free_secret; a NUL follows): an error as "NAME: cannot read FILE: why".
// PD_E_IO, PD_E_LIMIT, PD_E_INVALID.
int pd_k8s_text_read(const struct pd_k8s_text *, size_t max, char **out, size_t *len, struct pd_buf *err) PD_MUST_CHECK;

#endif
