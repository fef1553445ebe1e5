// pilotd-floor: serves a recording of pilotd-load and nothing else (floor_server.h).
//
//   pilotd-floor --record FILE [--threads N] [--port N]
//
// Prints "port N" when it listens. SIGUSR1 pushes the recorded endpoint change, SIGUSR2 that of the VirtualService; SIGTERM and
// SIGINT end it.
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/load/floor_server.h"

static int serve(struct pd_floor *f)
{
	sigset_t set;
	int sig = -1;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL); // before there are other threads
	int rc = pd_floor_start(f);
	if (rc != PD_OK)
		return rc;
	printf("port %d\n", f->port);
	fflush(stdout);
	for (unsigned long long seen = 0, trimmed = 0; sig != SIGTERM && sig != SIGINT;) {
		sig = sigtimedwait(&set, NULL, &(struct timespec){.tv_sec = 1});
		if (sig == SIGUSR1 || sig == SIGUSR2)
			pd_floor_push(f, sig == SIGUSR1 ? PD_PHASE_ENDPOINT : PD_PHASE_ROUTE);
		// A second without requests after some: give memory back, as pilotd does.
		unsigned long long now = atomic_load(&f->requests);
		if (now == seen && now != trimmed) {
			malloc_trim(0);
			trimmed = now;
		}
		seen = now;
	}
	pd_floor_stop(f);
	return PD_OK;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"record", 1, NULL, 'r'},
						{"threads", 1, NULL, 't'},
						{"port", 1, NULL, 'p'},
						{NULL, 0, NULL, 0}};
	static struct pd_floor f = {.threads = 2};
	const char *record = NULL;
	struct rlimit l;
	int id = 0;
	while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (id == 'r')
			record = optarg;
		else if (id == 't')
			f.threads = (unsigned)atoi(optarg);
		else if (id == 'p')
			f.port = atoi(optarg);
	}
	if (!record || optind != argc || f.threads < 1 || f.threads > PD_FLOOR_THREADS_MAX || f.port < 0 ||
	    f.port > 65535) {
		fprintf(stderr, "usage: pilotd-floor --record FILE [--threads 1..%d] [--port N]\n",
			PD_FLOOR_THREADS_MAX);
		return 1;
	}
	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &l) != 0)
			perror("pilotd-floor: setrlimit");
	}
	int rc = pd_floor_load(&f, record);
	if (rc == PD_OK)
		rc = serve(&f);
	if (rc != PD_OK)
		fprintf(stderr, "pilotd-floor: %s: %s\n", record, pd_strerror(rc));
	return rc == PD_OK ? 0 : 1;
}
