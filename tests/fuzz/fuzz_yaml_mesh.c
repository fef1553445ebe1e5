// Text of a mesh configuration file: refused with an issue, or a configuration with all that others rely on.
#include <stdint.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"
#include "config/mesh.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	return pd_log_set_levels("none");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pd_issues *issues = pd_issues_new();
	struct pd_mesh *mesh = NULL;

	if (pd_mesh_parse((const char *)data, size, "fuzz", issues, &mesh) == PD_OK) {
		PD_ASSERT(!pd_empty(mesh->root_namespace) && !pd_empty(mesh->trust_domain));
		PD_ASSERT(mesh->config->default_config && mesh->config->default_providers);
		PD_ASSERT(mesh->config->n_extension_providers >= 3);
		pd_obj_unref(mesh);
	} else {
		PD_ASSERT(pd_issues_count(issues) > 0);
	}
	pd_issues_free(&issues);
	return 0;
}
