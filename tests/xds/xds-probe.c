// xds-probe ADDRESS (sotw|delta) [--node ID] [--have FILE] [--save FILE] [--wait SECONDS] TYPE[=NAME,...]...
//
// Subscribes to the types one after the other, acknowledges what comes, and prints a line for each response:
//   CDS 0123456789abcdef 2 {a,b}         type, version, number of resources, their names ("-name": removed)
// --have   initial versions, as an earlier --save wrote them
// --save   writes the versions that came (delta)
// --wait   then stays connected until the server ends the stream, for so long at most, and prints "status N: text"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "tests/support/xds_client.h"

#define QUIET_MS 500 // so long without a response is the end of them
#define TYPES_MAX 16

struct probe {
	struct cli_options o;
	const char *have, *save;
	int wait_s;
	struct want {
		enum pd_type type;
		char *names; // separated by blanks
	} want[TYPES_MAX];
	size_t n;
	char *initial[PD_TYPE_COUNT];
};

static _Noreturn void usage(void)
{
	fputs("usage: xds-probe ADDRESS (sotw|delta) [--node ID] [--have FILE] [--save FILE] [--wait SECONDS] "
	      "TYPE[=NAME,...]...\n",
	      stderr);
	exit(2);
}

static enum pd_type type_of(const char *name, size_t n)
{
	enum pd_type t = 0;

	while (t < PD_TYPE_COUNT &&
	       (strlen(pd_types[t].short_name) != n || strncmp(pd_types[t].short_name, name, n) != 0))
		t++;
	if (t == PD_TYPE_COUNT)
		usage();
	return t;
}

static void parse_want(struct probe *p, const char *arg)
{
	const char *eq = strchr(arg, '=');
	struct want *w = &p->want[p->n++];

	if (p->n == TYPES_MAX)
		usage();
	w->type = type_of(arg, eq ? (size_t)(eq - arg) : strlen(arg));
	w->names = pd_xstrdup(eq ? eq + 1 : "");
	for (char *c = w->names; *c; c++)
		if (*c == ',')
			*c = ' ';
}

static void parse(struct probe *p, int argc, char **argv)
{
	if (argc < 4 || (strcmp(argv[2], "sotw") != 0 && strcmp(argv[2], "delta") != 0))
		usage();
	p->o.address = argv[1];
	p->o.delta = strcmp(argv[2], "delta") == 0;
	for (int i = 3; i < argc; i++) {
		if (argv[i][0] != '-')
			parse_want(p, argv[i]);
		else if (i + 1 == argc)
			usage();
		else if (strcmp(argv[i], "--node") == 0)
			p->o.node = argv[++i];
		else if (strcmp(argv[i], "--have") == 0)
			p->have = argv[++i];
		else if (strcmp(argv[i], "--save") == 0)
			p->save = argv[++i];
		else if (strcmp(argv[i], "--wait") == 0)
			p->wait_s = atoi(argv[++i]);
		else
			usage();
	}
}

// Lines "TYPE name=version name=version ...".
static void read_have(struct probe *p)
{
	char *line = NULL, *blank;
	size_t cap = 0;
	FILE *f = fopen(p->have, "r");

	if (!f) {
		perror(p->have);
		exit(1);
	}
	while (getline(&line, &cap, f) > 0) {
		line[strcspn(line, "\n")] = 0;
		blank = strchr(line, ' ');
		if (blank)
			p->initial[type_of(line, (size_t)(blank - line))] = pd_xstrdup(blank + 1);
	}
	free(line);
	fclose(f);
}

static void write_save(struct probe *p, struct cli *c)
{
	FILE *f = fopen(p->save, "w");

	if (!f) {
		perror(p->save);
		exit(1);
	}
	for (enum pd_type t = 0; t < PD_TYPE_COUNT; t++)
		if (*cli_versions(c, t))
			fprintf(f, "%s %s\n", pd_types[t].short_name, cli_versions(c, t));
	fclose(f);
}

// Takes responses until there are no more. False: the stream has ended.
static bool take_all(struct cli *c)
{
	for (;;) {
		const char *text = cli_next(c, QUIET_MS), *brace;
		enum pd_type t;
		size_t n;

		if (!*text)
			return true;
		if (pd_has_prefix(text, "status")) {
			puts(text);
			return false;
		}
		brace = strchr(text, '{');
		t = type_of(text, (size_t)(brace - text));
		n = brace[1] != '}';
		for (const char *p = brace; *p; p++)
			n += *p == ',';
		printf("%.*s %s %zu %s\n", (int)(brace - text), text, cli_version(c, t), n, brace);
		fflush(stdout);
		cli_ack(c, t);
	}
}

int main(int argc, char **argv)
{
	struct probe p = {0};
	struct cli *c;
	bool going = true;

	parse(&p, argc, argv);
	if (p.have)
		read_have(&p);
	c = cli_open(&p.o);
	for (size_t i = 0; i < p.n && going; i++) {
		if (p.o.delta)
			cli_delta(c, p.want[i].type, p.want[i].names, "", pd_or(p.initial[p.want[i].type], ""));
		else
			cli_sotw(c, p.want[i].type, p.want[i].names, "", NULL);
		going = take_all(c);
	}
	if (p.save)
		write_save(&p, c);
	if (p.wait_s && going) {
		puts("waiting");
		fflush(stdout);
		if (cli_status(c, p.wait_s * 1000) < 0)
			puts("still open");
		else
			printf("status %d: %s\n", cli_status(c, 0), cli_status_text(c));
	}
	cli_close(c);
	for (size_t i = 0; i < p.n; i++)
		free(p.want[i].names);
	for (int t = 0; t < PD_TYPE_COUNT; t++)
		free(p.initial[t]);
	return 0;
}
