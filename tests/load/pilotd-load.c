// pilotd-load: simulated sidecars against an xDS server.
//
//   pilotd-load generate --services 1000 DIR     writes the YAML of a mesh
//   pilotd-load run --address A --pid P --dir DIR …  lets proxies connect, edits the mesh, and tells what it took
//
// Exit status of a run: 0, 1 for an error, 3 if a phase did not show what it should (the report says what).
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>

#include "tests/load/load_run.h"

static const char usage[] =
	"usage: pilotd-load generate [--services N] [--pods N] [--virtual-services N] [--destination-rules N] DIR\n"
	"       pilotd-load run --address HOST:PORT --pid PID (--dir DIR | --floor) [OPTION...]\n"
	"\n"
	"of both:\n"
	"  --services N            services in 10 namespaces (1000)\n"
	"  --pods N                pods of each service (1)\n"
	"  --virtual-services N    for so many services (1)\n"
	"  --destination-rules N   for so many services (0)\n"
	"of run:\n"
	"  --proxies N             simulated sidecars (1000); at most services x pods\n"
	"  --protocol P            sotw, delta or mixed (delta)\n"
	"  --threads N             threads of the clients (1)\n"
	"  --phases LIST           of storm,endpoint,nobody,virtualservice,reconnect,idle (all, in this order)\n"
	"  --rounds N              of the phases endpoint and virtualservice (5)\n"
	"  --seq N                 number of the first change (1); must be new to the files in DIR\n"
	"  --record FILE           write what one proxy receives, for pilotd-floor\n"
	"  --floor                 the server is pilotd-floor: changes are signals to it\n"
	"  --window BYTES          HTTP/2 stream window of the clients (16 MiB, as a present Envoy has)\n"
	"  --quiet MS              so long without a byte is the end of a phase (300)\n"
	"  --settle MS             after the storm, before memory is read (10000)\n"
	"  --idle MS               length of the phase idle (5000)\n"
	"  --timeout MS            of each phase (120000)\n"
	"  --label TEXT            what the report calls this run\n"
	"  --json FILE             the report for programs\n";

// Decimal, with limits; ends the program otherwise.
static uint32_t number(const char *option, const char *text, uint32_t min, uint32_t max)
{
	char *end = NULL;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (errno || end == text || *end || v < min || v > max) {
		fprintf(stderr, "--%s: a number from %u to %u, not \"%s\"\n", option, min, max, text);
		exit(1);
	}
	return (uint32_t)v;
}

static enum pd_load_protocol protocol(const char *text)
{
	if (strcmp(text, "sotw") == 0)
		return PD_LOAD_SOTW;
	if (strcmp(text, "delta") == 0)
		return PD_LOAD_DELTA;
	if (strcmp(text, "mixed") == 0)
		return PD_LOAD_MIXED;
	fprintf(stderr, "--protocol: sotw, delta or mixed, not \"%s\"\n", text);
	exit(1);
}

// What getopt_long returns for each option.
enum option_id {
	O_SERVICES,
	O_PODS,
	O_VIRTUAL_SERVICES,
	O_DESTINATION_RULES,
	O_ADDRESS,
	O_PID,
	O_DIR,
	O_FLOOR,
	O_PROXIES,
	O_PROTOCOL,
	O_THREADS,
	O_PHASES,
	O_ROUNDS,
	O_SEQ,
	O_RECORD,
	O_WINDOW,
	O_QUIET,
	O_SETTLE,
	O_IDLE,
	O_TIMEOUT,
	O_LABEL,
	O_JSON,
};
static const struct option options[] = {
	{"services", 1, NULL, O_SERVICES},
	{"pods", 1, NULL, O_PODS},
	{"virtual-services", 1, NULL, O_VIRTUAL_SERVICES},
	{"destination-rules", 1, NULL, O_DESTINATION_RULES},
	{"address", 1, NULL, O_ADDRESS},
	{"pid", 1, NULL, O_PID},
	{"dir", 1, NULL, O_DIR},
	{"floor", 0, NULL, O_FLOOR},
	{"proxies", 1, NULL, O_PROXIES},
	{"protocol", 1, NULL, O_PROTOCOL},
	{"threads", 1, NULL, O_THREADS},
	{"phases", 1, NULL, O_PHASES},
	{"rounds", 1, NULL, O_ROUNDS},
	{"seq", 1, NULL, O_SEQ},
	{"record", 1, NULL, O_RECORD},
	{"window", 1, NULL, O_WINDOW},
	{"quiet", 1, NULL, O_QUIET},
	{"settle", 1, NULL, O_SETTLE},
	{"idle", 1, NULL, O_IDLE},
	{"timeout", 1, NULL, O_TIMEOUT},
	{"label", 1, NULL, O_LABEL},
	{"json", 1, NULL, O_JSON},
	{NULL, 0, NULL, 0},
};

static bool world_option(struct pd_world *w, enum option_id id, const char *name, const char *arg)
{
	switch (id) {
	case O_SERVICES:
		w->services = number(name, arg, PD_WORLD_SERVICES_MIN, PD_WORLD_SERVICES_MAX);
		return true;
	case O_PODS:
		w->pods = number(name, arg, 1, PD_WORLD_PODS_MAX);
		return true;
	case O_VIRTUAL_SERVICES:
		w->virtual_services = number(name, arg, 1, PD_WORLD_SERVICES_MAX);
		return true;
	case O_DESTINATION_RULES:
		w->destination_rules = number(name, arg, 0, PD_WORLD_SERVICES_MAX);
		return true;
	default:
		return false;
	}
}

static void run_option(struct pd_run_options *o, enum option_id id, const char *name, const char *arg)
{
	switch (id) {
	case O_ADDRESS:
		o->address = arg;
		break;
	case O_PID:
		o->pid = (pid_t)number(name, arg, 2, 1u << 22);
		break;
	case O_DIR:
		o->dir = arg;
		break;
	case O_FLOOR:
		o->floor = true;
		break;
	case O_PROXIES:
		o->proxies = number(name, arg, 1, PD_LOAD_PROXIES_MAX);
		break;
	case O_PROTOCOL:
		o->protocol = protocol(arg);
		break;
	case O_THREADS:
		o->workers = number(name, arg, 1, PD_LOAD_WORKERS_MAX);
		break;
	case O_PHASES:
		o->phases = arg;
		break;
	case O_ROUNDS:
		o->rounds = number(name, arg, 1, PD_RUN_ROUNDS_MAX);
		break;
	case O_SEQ:
		o->seq = number(name, arg, 1, 10000);
		break;
	case O_RECORD:
		o->record = arg;
		break;
	case O_WINDOW:
		o->window = number(name, arg, 65535, INT32_MAX);
		break;
	case O_QUIET:
		o->quiet_ms = number(name, arg, 10, 60000);
		break;
	case O_SETTLE:
		o->settle_ms = number(name, arg, 0, 600000);
		break;
	case O_IDLE:
		o->idle_ms = number(name, arg, 1, 600000);
		break;
	case O_TIMEOUT:
		o->timeout_ms = number(name, arg, 100, 3600000);
		break;
	case O_LABEL:
		o->label = arg;
		break;
	case O_JSON:
		o->json = arg;
		break;
	default:
		break;
	}
}

static int generate(const struct pd_world *w, const char *dir)
{
	int rc = pd_world_write(w, dir);
	if (rc != PD_OK)
		fprintf(stderr, "%s: %s (%s)\n", dir, pd_strerror(rc), strerror(errno));
	return rc == PD_OK ? 0 : 1;
}

static int run(struct pd_run *r)
{
	if (!r->o.address || r->o.pid == 0 || (!r->o.dir && !r->o.floor)) {
		fputs(usage, stderr);
		return 1;
	}
	if ((uint64_t)r->o.world.services * r->o.world.pods < r->o.proxies) {
		fprintf(stderr, "%u proxies need as many pods\n", r->o.proxies);
		return 1;
	}
	int rc = pd_run(r);
	pd_report_table(r, stdout);
	if (rc == PD_OK && r->o.json)
		rc = pd_report_json(r, r->o.json);
	if (rc != PD_OK)
		fprintf(stderr, "%s\n", pd_strerror(rc));
	return rc != PD_OK ? 1 : r->n_problems ? 3 : 0;
}

int main(int argc, char **argv)
{
	static struct pd_run r = {
		.o = {.phases = "storm,endpoint,nobody,virtualservice,reconnect,idle",
		      .label = "run",
		      .protocol = PD_LOAD_DELTA,
		      .world = {.services = 1000, .pods = 1, .virtual_services = 1},
		      .proxies = 1000,
		      .workers = 1,
		      .rounds = 5,
		      .seq = 1,
		      .window = 16 << 20,
		      .quiet_ms = 300,
		      .settle_ms = 10000,
		      .idle_ms = 5000,
		      .timeout_ms = 120000},
	};
	const char *mode = argc > 1 ? argv[1] : "";
	int id = 0, index = 0, rc = 1;
	optind = 2;
	while (argc > 1 && (id = getopt_long(argc, argv, "", options, &index)) != -1) {
		if (id == '?') {
			fputs(usage, stderr);
			return 1;
		}
		if (!world_option(&r.o.world, (enum option_id)id, options[index].name, optarg))
			run_option(&r.o, (enum option_id)id, options[index].name, optarg);
	}
	if (strcmp(mode, "generate") == 0 && optind == argc - 1)
		rc = generate(&r.o.world, argv[optind]);
	else if (strcmp(mode, "run") == 0 && optind == argc)
		rc = run(&r);
	else
		fputs(usage, stderr);
	pd_run_free(&r);
	return rc;
}
