// Gateway API: conversion into Istio's own kinds.
#include "discovery/build.h"

struct pd_gwapi {
	const struct pd_settings *settings;
};

struct pd_gwapi *pd_gwapi_new(const struct pd_settings *settings)
{
	struct pd_gwapi *g = pd_xcalloc(1, sizeof(*g));
	g->settings = settings;
	return g;
}

void pd_gwapi_free(struct pd_gwapi **g)
{
	free(*g);
	*g = NULL;
}

void pd_gwapi_apply(struct pd_gwapi *g, const struct pd_config_snap *snap, const struct pd_changeset *changes,
		    struct pd_change_vec *out)
{
	(void)g, (void)snap, (void)changes, (void)out;
}
