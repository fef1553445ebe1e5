// pilotctl: pilotd's client. Subcommands are one file each, listed here.
#include <stdio.h>
#include <string.h>

#include "cmd/pilotctl/commands.h"

static const struct command {
	const char *name, *help;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"bootstrap", "print a bootstrap configuration with which a stock Envoy joins the mesh", command_bootstrap},
	{"get", "fetch a page of pilotd's HTTP port: pilotctl get /debug/syncz", command_get},
};

static int usage(FILE *out, int code)
{
	fprintf(out, "pilotctl COMMAND [flags]; -h after a command lists its flags\n\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
	return code;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return usage(stderr, 2);
	if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)
		return usage(stdout, 0);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "pilotctl: unknown command %s\n", argv[1]);
	return usage(stderr, 2);
}
