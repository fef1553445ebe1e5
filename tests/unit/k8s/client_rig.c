#include "client_rig.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

char *rig_dir(void)
{
	char path[] = "/tmp/pd-k8s-XXXXXX";

	assert_non_null(mkdtemp(path));
	return pd_xstrdup(path);
}

void rig_dir_free(char **dir)
{
	DIR *d = opendir(*dir);
	struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	assert_int_equal(rmdir(*dir), 0);
	free(*dir);
	*dir = NULL;
}

static void write_mode(const char *dir, const char *name, const char *text, mode_t mode)
{
	char *path = pd_xasprintf("%s/%s", dir, name), *fresh = pd_xasprintf("%s/.%s", dir, name);
	FILE *f = fopen(fresh, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(fresh, mode), 0);
	assert_int_equal(rename(fresh, path), 0);
	free(fresh);
	free(path);
}

void rig_write(const char *dir, const char *name, const char *text)
{
	write_mode(dir, name, text, 0600);
}

void rig_write_script(const char *dir, const char *name, const char *text)
{
	write_mode(dir, name, text, 0700);
}

static void add_lines(struct pd_buf *b, const char *lines)
{
	while (lines && *lines) {
		size_t n = strcspn(lines, "\n");

		pd_buf_printf(b, "    %.*s\n", (int)n, lines);
		lines += n + (lines[n] == '\n');
	}
}

struct pd_k8s_config *rig_config(const char *dir, const char *server, const char *cluster, const char *user)
{
	struct pd_buf b = {0}, err = {0};
	struct pd_k8s_config *c = NULL;
	char *path = pd_xasprintf("%s/config", dir);

	pd_buf_printf(&b,
		      "current-context: test\ncontexts:\n- {name: test, context: {cluster: c, user: u}}\nclusters:\n"
		      "- name: c\n  cluster:\n    server: %s\n",
		      server);
	add_lines(&b, cluster);
	pd_buf_printf(&b, "users:\n- name: u\n  user:%s\n", user ? "" : " {}");
	add_lines(&b, user);
	rig_write(dir, "config", b.p);
	if (pd_k8s_config_load(&(struct pd_k8s_config_options){.kubeconfig = path}, &c, &err))
		fail_msg("%s", err.p);
	pd_buf_free(&b);
	pd_buf_free(&err);
	free(path);
	return c;
}

struct pd_k8s_client *rig_client(const char *dir, uint16_t port, const char *user)
{
	char *server = pd_xasprintf("http://127.0.0.1:%u", port);
	struct pd_k8s_client_options o = {.config = rig_config(dir, server, NULL, user)};
	struct pd_k8s_client *c;

	assert_int_equal(pd_k8s_client_new(&o, &c), PD_OK);
	free(server);
	return c;
}

// ---- notes

void rig_log_init(struct rig_log *l)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->news, &attr);
	pthread_condattr_destroy(&attr);
	l->text = (struct pd_buf){0};
	pd_buf_adds(&l->text, "");
}

void rig_log_free(struct rig_log *l)
{
	pd_buf_free(&l->text);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->news);
}

void rig_note(struct rig_log *l, const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&l->lock);
	va_start(ap, fmt);
	pd_buf_vprintf(&l->text, fmt, ap);
	va_end(ap);
	pthread_cond_broadcast(&l->news);
	pthread_mutex_unlock(&l->lock);
}

void rig_clear(struct rig_log *l)
{
	pthread_mutex_lock(&l->lock);
	pd_buf_reset(&l->text);
	pthread_mutex_unlock(&l->lock);
}

static int count(const struct rig_log *l, const char *part)
{
	int n = 0;

	for (const char *p = pd_or(l->text.p, ""); (p = strstr(p, part)); p++)
		n++;
	return n;
}

void rig_wait_times(struct rig_log *l, const char *part, int n)
{
	struct timespec until;
	int rc = 0;
	char *text = NULL;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += RIG_WAIT_MS / 1000;
	pthread_mutex_lock(&l->lock);
	while (count(l, part) < n && !rc)
		rc = pthread_cond_timedwait(&l->news, &l->lock, &until);
	if (rc)
		text = pd_xstrdup(pd_or(l->text.p, ""));
	pthread_mutex_unlock(&l->lock);
	if (rc)
		fail_msg("\"%s\" did not come %d times: %s", part, n, text);
}

void rig_wait(struct rig_log *l, const char *part)
{
	rig_wait_times(l, part, 1);
}

int rig_count(struct rig_log *l, const char *part)
{
	int n;

	pthread_mutex_lock(&l->lock);
	n = count(l, part);
	pthread_mutex_unlock(&l->lock);
	return n;
}

char *rig_text(struct rig_log *l)
{
	char *text;

	pthread_mutex_lock(&l->lock);
	text = pd_xstrdup(pd_or(l->text.p, ""));
	pthread_mutex_unlock(&l->lock);
	return text;
}

// ---- calls

static void on_headers(void *user, int code, const char *content_type)
{
	struct rig_call *call = user;

	rig_note(call->log, "headers %d %s;", code, content_type);
}

static int on_data(void *user, const void *p, size_t n)
{
	struct rig_call *call = user;

	rig_note(call->log, "data %.*s;", (int)n, (const char *)p);
	return PD_OK;
}

static void on_done(void *user, const struct pd_k8s_result *r)
{
	struct rig_call *call = user;

	rig_note(call->log, "done %s %d", pd_strerror(r->err), r->code);
	if (r->err)
		rig_note(call->log, " %s: %s", r->status.reason, r->status.message);
	if (r->status.retry_after_ms)
		rig_note(call->log, " retry after %u", r->status.retry_after_ms);
	rig_note(call->log, ";");
}

static void start(void *user)
{
	struct rig_call *call = user;

	call->id = pd_k8s_call(call->client, &call->req);
}

void rig_start(struct rig_call *call)
{
	call->req.user = call;
	if (!call->req.on_headers)
		call->req.on_headers = on_headers;
	if (!call->req.on_data)
		call->req.on_data = on_data;
	if (!call->req.on_done)
		call->req.on_done = on_done;
	assert_int_equal(pd_k8s_post(call->client, start, call), PD_OK);
}

static void cancel(void *user)
{
	struct rig_call *call = user;

	pd_k8s_cancel(call->client, call->id);
	rig_note(call->log, "cancelled;");
}

void rig_cancel(struct rig_call *call)
{
	assert_int_equal(pd_k8s_post(call->client, cancel, call), PD_OK);
}

static void note_settled(void *user)
{
	rig_note(user, "settled;");
}

void rig_settle(struct pd_k8s_client *c)
{
	struct rig_log l;

	rig_log_init(&l);
	assert_int_equal(pd_k8s_post(c, note_settled, &l), PD_OK);
	rig_wait(&l, "settled;");
	rig_log_free(&l);
}
