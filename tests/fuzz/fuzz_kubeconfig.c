// Text of a kubeconfig that somebody else wrote (a remote cluster's secret), and output of a credential plugin. Checked: no
// crash, no leak, what is accepted names a server and no file or program of ours, and every failure is explained.
#include <stdint.h>
#include <string.h>

#include "k8s/config.h"
#include "k8s/exec.h"

static void parse_config(const char *text, size_t size)
{
	struct pd_k8s_config *c = NULL;
	struct pd_buf err = {0};
	int rc = pd_k8s_config_parse(text, size, "secret", NULL, &c, &err);

	if (rc) {
		PD_ASSERT(!c && err.n);
	} else {
		PD_ASSERT(c->server && c->origin);
		PD_ASSERT(!c->exec && !c->token.file && !c->cert.file && !c->key.file);
		PD_ASSERT(!c->cert.data == !c->key.data);
	}
	pd_k8s_config_free(&c);
	pd_buf_free(&err);
}

static void parse_credential(const char *text, size_t size)
{
	struct pd_k8s_exec_creds creds = {0};
	struct pd_buf err = {0};

	if (pd_k8s_exec_decode(text, size, "client.authentication.k8s.io/v1", &creds, &err))
		PD_ASSERT(err.n && !creds.token && !creds.cert && !creds.key);
	else
		PD_ASSERT(creds.token || creds.cert);
	pd_k8s_exec_creds_free(&creds);
	pd_buf_free(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size && data[0] == '{')
		parse_credential((const char *)data, size);
	parse_config((const char *)data, size);
	return 0;
}
