// What a process costs: processor time and memory, read from outside.
#ifndef TESTS_LOAD_USAGE_H
#define TESTS_LOAD_USAGE_H

#include <stdint.h>
#include <sys/types.h>

struct pd_usage {
	uint64_t cpu_ns;          // user and system, of all its threads, past ones too; nanosecond clock
	uint64_t user_ms, sys_ms; // the same in clock ticks (10 ms)
	uint64_t rss_kb, peak_kb; // VmRSS, VmHWM
};

// All zero if the process is gone.
struct pd_usage pd_usage_of(pid_t pid);
// Starts a new peak: VmHWM falls to VmRSS.
void pd_usage_reset_peak(pid_t pid);

#endif
