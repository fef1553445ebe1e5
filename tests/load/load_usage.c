#include "tests/load/load_usage.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void read_memory(pid_t pid, struct pd_usage *u)
{
	char path[64], line[256];
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "VmRSS: %" SCNu64, &u->rss_kb);
		sscanf(line, "VmHWM: %" SCNu64, &u->peak_kb);
	}
	fclose(f);
}

static void read_ticks(pid_t pid, struct pd_usage *u)
{
	char path[64], line[1024] = "";
	uint64_t user = 0, sys = 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	const char *p = strrchr(line, ')'); // the name before it may hold anything
	if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &user, &sys) != 2)
		return;
	uint64_t tick_ms = 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
	u->user_ms = user * tick_ms;
	u->sys_ms = sys * tick_ms;
}

struct pd_usage pd_usage_of(pid_t pid)
{
	struct pd_usage u = {0};
	clockid_t clock;
	struct timespec ts;
	if (clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &ts) == 0)
		u.cpu_ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	read_ticks(pid, &u);
	read_memory(pid, &u);
	return u;
}

void pd_usage_reset_peak(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/clear_refs", (int)pid);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, "5", 1) != 1)
		fprintf(stderr, "cannot reset the peak of process %d\n", (int)pid);
	close(fd);
}
