// Command line and environment of pilotd: names, types and defaults as istiod's.
#ifndef CMD_PILOTD_OPTIONS_H
#define CMD_PILOTD_OPTIONS_H

#include "base/addr.h"
#include "base/flags.h"
#include "discovery/snapshot.h"

struct options {
	// addresses: "host:port" or ":port"; "" = off
	const char *grpc_addr, *secure_grpc_addr, *http_addr, *https_addr, *monitoring_addr;
	const char *kubeconfig, *context;
	const char *config_dir, *mesh_config, *networks_config, *domain, *cluster, *namespace_;
	const char *log_levels;
	bool log_json;
	int64_t shutdown_duration; // ns
	// environment
	int64_t max_streams, max_recv_size;
	bool core_dumps;
	const char *jwks_mode; // as written; in settings if it is one
	int64_t jwks_refresh;  // ns
	const char *jwks_blocked_text;
	struct {
		struct pd_cidr *v;
		size_t n, cap;
	} jwks_blocked;              // the ranges in it; options_free
	struct pd_settings settings; // translators'; its strings are borrowed from the fields above
};

enum options_result { OPTIONS_RUN, OPTIONS_EXIT, OPTIONS_ERROR };
// Parses argv and the environment, those of the xDS layer included (xds/flags.h). OPTIONS_EXIT: help or version was printed. OPTIONS_ERROR: the reason is on stderr.
enum options_result options_parse(struct options *o, int argc, char **argv);
void options_free(struct options *o);

#endif
