#include "proxy/envoy.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "proxy/files.h"

#define ARGS_MAX 24

// Between fork and exec only async-signal-safe calls: other threads may hold any lock.
static _Noreturn void become(pid_t parent, const char *binary, char *const *argv)
{
	sigset_t none;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) // it has ended in between
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(binary, argv);
	static const char text[] = "cannot run Envoy\n";
	(void)!write(2, text, sizeof(text) - 1);
	_exit(127);
}

int pd_envoy_start(const struct pd_envoy *e, pid_t *pid, struct pd_buf *err)
{
	struct pd_buf override = {0};
	char drain[24], workers[24];
	const char *argv[ARGS_MAX];
	size_t n = 0;
	int rc = *e->override ? pd_file_read(e->override, &override, err) : PD_OK;
	if (rc != PD_OK)
		return rc;
	snprintf(drain, sizeof(drain), "%lld", (long long)e->drain_s);
	snprintf(workers, sizeof(workers), "%lld", (long long)e->concurrency);
	const char *const fixed[] = {e->binary,
				     "-c",
				     e->bootstrap,
				     "--disable-hot-restart",
				     "--drain-time-s",
				     drain,
				     "--drain-strategy",
				     "immediate",
				     "--file-flush-interval-msec",
				     "1000",
				     "--allow-unknown-static-fields",
				     "-l",
				     e->log_level};
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		argv[n++] = fixed[i];
	if (*e->component_levels) {
		argv[n++] = "--component-log-level";
		argv[n++] = e->component_levels;
	}
	if (e->concurrency >= 0) {
		argv[n++] = "--concurrency";
		argv[n++] = workers;
	}
	if (override.n) {
		argv[n++] = "--config-yaml";
		argv[n++] = override.p;
	}
	argv[n] = NULL;
	PD_ASSERT(n < ARGS_MAX);
	pid_t parent = getpid();
	*pid = fork();
	if (*pid == 0)
		become(parent, e->binary, (char *const *)argv);
	if (*pid < 0) {
		pd_buf_printf(err, "cannot start a process: %s", strerror(errno));
		rc = PD_E_IO;
	}
	pd_buf_free(&override);
	return rc;
}
