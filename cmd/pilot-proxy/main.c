// pilot-proxy: helps a stock Envoy to join the mesh, in a pod, on a VM or on a laptop.
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cmd/pilot-proxy/run.h"

static int version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts("pilot-proxy " PD_VERSION);
	return 0;
}

static const struct command {
	const char *name, *help;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"proxy", "proxy sidecar|router: run Envoy as a member of the mesh", run},
	{"request", "request METHOD PATH: ask the running pilot-proxy, as for POST drain", command_request},
	{"version", "print the version", version},
	{"wait", "wait until the running pilot-proxy says that Envoy is ready", command_wait},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	bool asked = argc == 2 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0);
	FILE *out = asked ? stdout : stderr;
	fprintf(out, "pilot-proxy COMMAND [flags]; -h after a command lists its flags\n\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
	return asked ? 0 : 2;
}
