// The process_* metrics that every Prometheus client has, from /proc.
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/metrics.h"

static double cpu_seconds(void *arg)
{
	struct timespec ts;

	(void)arg;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

// The first line of a file of /proc, or NULL.
static char *first_line(const char *path, char *line, size_t size)
{
	FILE *f = fopen(path, "re");
	bool ok;

	if (!f)
		return NULL;
	ok = fgets(line, (int)size, f) != NULL;
	fclose(f);
	return ok ? line : NULL;
}

// Number `arg` (0 or 1) of statm, which counts pages.
static double memory_bytes(void *arg)
{
	char line[256], *p = first_line("/proc/self/statm", line, sizeof(line));

	if (p && arg)
		p = strchr(p, ' ');
	return p ? (double)strtoull(p, NULL, 10) * (double)sysconf(_SC_PAGESIZE) : 0;
}

static double open_fds(void *arg)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	int n = 0;

	(void)arg;
	if (!d)
		return 0;
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n - 1; // without the one that we read through
}

static double max_fds(void *arg)
{
	struct rlimit l;

	(void)arg;
	return getrlimit(RLIMIT_NOFILE, &l) ? 0 : (double)l.rlim_cur;
}

static double start_time; // seconds since 1970; written once, before registration

static double get_start_time(void *arg)
{
	(void)arg;
	return start_time;
}

// The kernel's note of our start is in ticks since boot, field 22 of stat; the command's name before may hold blanks.
static double read_start_time(void)
{
	double now = (double)pd_wall_ns() / 1e9;
	char line[1024], *p = first_line("/proc/self/stat", line, sizeof(line));
	struct timespec up;
	int field;

	p = p ? strrchr(p, ')') : NULL;
	for (field = 2; p && field < 22; field++) {
		p = strchr(p, ' ');
		p += p != NULL;
	}
	if (!p)
		return now;
	clock_gettime(CLOCK_BOOTTIME, &up);
	return now - ((double)up.tv_sec + (double)up.tv_nsec / 1e9) + strtod(p, NULL) / (double)sysconf(_SC_CLK_TCK);
}

static struct pd_metric metrics[] = {
	{.name = "process_cpu_seconds_total",
	 .type = PD_COUNTER,
	 .read = cpu_seconds,
	 .help = "CPU time taken so far, user and system, in seconds."},
	{.name = "process_resident_memory_bytes",
	 .type = PD_GAUGE,
	 .read = memory_bytes,
	 .arg = (void *)(uintptr_t)1,
	 .help = "Memory that is resident, in bytes."},
	{.name = "process_virtual_memory_bytes",
	 .type = PD_GAUGE,
	 .read = memory_bytes,
	 .help = "Address space, in bytes."},
	{.name = "process_open_fds", .type = PD_GAUGE, .read = open_fds, .help = "File descriptors that are open."},
	{.name = "process_max_fds", .type = PD_GAUGE, .read = max_fds, .help = "File descriptors that may be open."},
	{.name = "process_start_time_seconds",
	 .type = PD_GAUGE,
	 .read = get_start_time,
	 .help = "When the process began, in seconds since 1970."},
};

static void register_once(void)
{
	start_time = read_start_time();
	pd_metrics_register(metrics, sizeof(metrics) / sizeof(*metrics));
}

void pd_metrics_register_process(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, register_once);
}
