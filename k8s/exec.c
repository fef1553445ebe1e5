// A run of a credential plugin: start, read its output, see it end. What it printed is decoded in exec_creds.c.
#include "k8s/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/base64.h"
#include "base/clock.h"
#include "base/vec.h"

#define EXIT_POLL_MS 5 // between the end of its output and its exit

extern char **environ;

struct pd_k8s_exec_run {
	const struct pd_k8s_config *config; // borrowed
	pid_t pid;                          // 0 = it was waited for
	int status;                         // of waitpid
	int fds[2];                         // standard output and error; -1 = at its end
	struct pd_buf text[2];              // what came from them
	bool overflow;                      // of standard output
	uint64_t deadline_ms;
};

// ---- start

static void add_cluster(struct pd_buf *b, const struct pd_k8s_config *c)
{
	pd_buf_adds(b, ",\"cluster\":{\"server\":");
	pd_buf_json(b, c->server);
	if (c->tls_server_name) {
		pd_buf_adds(b, ",\"tls-server-name\":");
		pd_buf_json(b, c->tls_server_name);
	}
	if (c->proxy_url) {
		pd_buf_adds(b, ",\"proxy-url\":");
		pd_buf_json(b, c->proxy_url);
	}
	if (c->insecure)
		pd_buf_adds(b, ",\"insecure-skip-tls-verify\":true");
	if (c->ca.data) {
		pd_buf_adds(b, ",\"certificate-authority-data\":\"");
		pd_base64_encode(b, (const uint8_t *)c->ca.data, c->ca.len);
		pd_buf_addc(b, '"');
	}
	pd_buf_addc(b, '}');
}

// KUBERNETES_EXEC_INFO: what the plugin is told.
static char *exec_info(const struct pd_k8s_config *c)
{
	struct pd_buf b = {0};

	pd_buf_printf(&b, "KUBERNETES_EXEC_INFO={\"kind\":\"ExecCredential\",\"apiVersion\":\"%s\",\"spec\":{",
		      c->exec->api_version);
	pd_buf_adds(&b, "\"interactive\":false");
	if (c->exec->provide_cluster_info)
		add_cluster(&b, c);
	pd_buf_adds(&b, "}}");
	return b.p;
}

static bool same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return strcspn(b, "=") == n && !memcmp(a, b, n);
}

static bool overridden(const char *variable, const char *const *by, const char *info)
{
	for (; *by; by++)
		if (same_name(variable, *by))
			return true;
	return same_name(variable, info);
}

// Our environment, the plugin's variables over it, and `info`. Strings are borrowed; caller frees the array.
static char **environment(const struct pd_k8s_exec *x, char *info)
{
	PD_VEC(char *) env = {0};

	for (char **e = environ; e && *e; e++)
		if (!overridden(*e, x->env, info))
			pd_vec_push(&env, *e);
	for (const char *const *e = x->env; *e; e++)
		if (!same_name(*e, info))
			pd_vec_push(&env, (char *)*e);
	pd_vec_push(&env, info);
	pd_vec_push(&env, NULL);
	return env.v;
}

static char **arguments(const struct pd_k8s_exec *x)
{
	PD_VEC(char *) argv = {0};

	pd_vec_push(&argv, (char *)x->command);
	for (const char *const *arg = x->args; *arg; arg++)
		pd_vec_push(&argv, (char *)*arg);
	pd_vec_push(&argv, NULL);
	return argv.v;
}

static void set_attributes(posix_spawnattr_t *attr)
{
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(attr, 0);
	posix_spawnattr_setsigmask(attr, &none);
	posix_spawnattr_setsigdefault(attr, &all);
}

// Returns 0 or errno. The write ends of the pipes become the plugin's output.
static int spawn(const struct pd_k8s_config *c, int out, int err, pid_t *pid)
{
	char *info = exec_info(c), **env = environment(c->exec, info), **argv = arguments(c->exec);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int rc;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_adddup2(&actions, err, 2);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	posix_spawnattr_init(&attr);
	set_attributes(&attr);
	rc = posix_spawnp(pid, c->exec->command, &actions, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	free(argv);
	free(env);
	free(info);
	return rc;
}

// A pipe whose ends are above the standard descriptors, and whose read end does not block.
static int make_pipe(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC))
		return errno;
	for (int i = 0; i < 2; i++) {
		int high = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);

		if (high < 0) {
			int saved = errno;

			close(fds[0]);
			close(fds[1]);
			return saved;
		}
		close(fds[i]);
		fds[i] = high;
	}
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	return 0;
}

int pd_k8s_exec_start(const struct pd_k8s_config *config, uint32_t timeout_ms, struct pd_k8s_exec_run **out,
		      struct pd_buf *err)
{
	struct pd_k8s_exec_run *r;
	int o[2] = {-1, -1}, e[2] = {-1, -1}, rc;
	pid_t pid = 0;

	rc = make_pipe(o);
	if (!rc && !(rc = make_pipe(e))) {
		rc = spawn(config, o[1], e[1], &pid);
		close(e[1]);
	}
	if (o[1] >= 0)
		close(o[1]);
	if (rc) {
		if (o[0] >= 0)
			close(o[0]);
		if (e[0] >= 0)
			close(e[0]);
		pd_buf_printf(err, "cannot run %s: %s", config->exec->command, strerror(rc));
		if (rc == ENOENT && config->exec->install_hint)
			pd_buf_printf(err, " (%s)", config->exec->install_hint);
		return PD_E_IO;
	}
	r = pd_xcalloc(1, sizeof(*r));
	r->config = config;
	r->pid = pid;
	r->fds[0] = o[0];
	r->fds[1] = e[0];
	r->deadline_ms = pd_now_ms() + (timeout_ms ? timeout_ms : PD_K8S_EXEC_MS);
	*out = r;
	return PD_OK;
}

// ---- on its way

// Keeps what fits; of complaints only the start.
static void keep(struct pd_k8s_exec_run *r, int i, const char *p, size_t n)
{
	size_t max = i ? PD_K8S_EXEC_COMPLAINT_MAX : PD_K8S_EXEC_OUTPUT_MAX;

	if (n > max - r->text[i].n) {
		r->overflow |= !i;
		n = max - r->text[i].n;
	}
	pd_buf_add(&r->text[i], p, n);
}

static void read_some(struct pd_k8s_exec_run *r, int i)
{
	char chunk[16384];
	ssize_t n;

	while (r->fds[i] >= 0 && !r->overflow) {
		n = read(r->fds[i], chunk, sizeof(chunk));
		if (n > 0) {
			keep(r, i, chunk, (size_t)n);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		close(r->fds[i]);
		r->fds[i] = -1;
	}
	explicit_bzero(chunk, sizeof(chunk));
}

static bool waited(struct pd_k8s_exec_run *r)
{
	if (r->pid && waitpid(r->pid, &r->status, WNOHANG) != 0)
		r->pid = 0;
	return !r->pid;
}

unsigned pd_k8s_exec_poll(const struct pd_k8s_exec_run *r, struct pollfd fds[2], int *timeout_ms)
{
	uint64_t now = pd_now_ms(), left = r->deadline_ms > now ? r->deadline_ms - now : 0;
	unsigned n = 0;

	for (int i = 0; i < 2; i++)
		if (r->fds[i] >= 0)
			fds[n++] = (struct pollfd){.fd = r->fds[i], .events = POLLIN};
	if (r->fds[0] < 0 && left > EXIT_POLL_MS)
		left = EXIT_POLL_MS;
	if (left < (uint64_t)*timeout_ms)
		*timeout_ms = (int)left;
	return n;
}

static void describe_failure(const struct pd_k8s_exec_run *r, struct pd_buf *err)
{
	const char *command = r->config->exec->command;

	if (WIFSIGNALED(r->status))
		pd_buf_printf(err, "%s was ended by signal %d", command, WTERMSIG(r->status));
	else
		pd_buf_printf(err, "%s failed with exit status %d", command, WEXITSTATUS(r->status));
	if (r->text[1].n)
		pd_buf_printf(err, ": %s", r->text[1].p);
	while (err->n && (err->p[err->n - 1] == '\n' || err->p[err->n - 1] == '\r'))
		err->p[--err->n] = 0;
}

int pd_k8s_exec_step(struct pd_k8s_exec_run *r, struct pd_k8s_exec_creds *out, struct pd_buf *err)
{
	const char *command = r->config->exec->command;
	int rc;

	read_some(r, 0);
	read_some(r, 1);
	if (r->overflow) {
		pd_buf_printf(err, "%s printed more than %d bytes", command, PD_K8S_EXEC_OUTPUT_MAX);
		return PD_E_LIMIT;
	}
	// A grandchild may keep the standard error open: the output's end and the exit count.
	if (r->fds[0] >= 0 || !waited(r)) {
		if (pd_now_ms() < r->deadline_ms)
			return PD_E_AGAIN;
		pd_buf_printf(err, "%s did not end in time", command);
		return PD_E_TIMEOUT;
	}
	read_some(r, 1);
	if (!WIFEXITED(r->status) || WEXITSTATUS(r->status)) {
		describe_failure(r, err);
		return PD_E_IO;
	}
	rc = pd_k8s_exec_decode(pd_or(r->text[0].p, ""), r->text[0].n, r->config->exec->api_version, out, err);
	if (rc) {
		struct pd_buf why = *err;

		*err = (struct pd_buf){0};
		pd_buf_printf(err, "%s: %s", command, why.p);
		pd_buf_free(&why);
	}
	return rc;
}

void pd_k8s_exec_free(struct pd_k8s_exec_run **rp)
{
	struct pd_k8s_exec_run *r = *rp;

	*rp = NULL;
	if (!r)
		return;
	if (!waited(r)) {
		kill(-r->pid, SIGKILL);
		while (waitpid(r->pid, &r->status, 0) < 0 && errno == EINTR)
			continue;
	}
	for (int i = 0; i < 2; i++) {
		if (r->fds[i] >= 0)
			close(r->fds[i]);
		if (r->text[i].p)
			explicit_bzero(r->text[i].p, r->text[i].cap);
		pd_buf_free(&r->text[i]);
	}
	free(r);
}
