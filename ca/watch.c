#include "ca/watch.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/mem.h"

// What tells one version of a file from another; all-zero = it is not there.
struct seen {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
};

struct pd_watch {
	char *paths[PD_WATCH_FILES_MAX];
	size_t n;
	void (*fn)(void *);
	void *arg;
	struct seen known[PD_WATCH_FILES_MAX]; // of the last call
	pthread_t thread;
	pthread_mutex_t mu;
	pthread_cond_t wake;
	bool stop; // under mu
};

static void look(const struct pd_watch *w, struct seen *out)
{
	memset(out, 0, sizeof(*out) * PD_WATCH_FILES_MAX);
	for (size_t i = 0; i < w->n; i++) {
		struct stat st;
		if (stat(w->paths[i], &st) == 0) {
			out[i].dev = st.st_dev;
			out[i].ino = st.st_ino;
			out[i].size = st.st_size;
			out[i].mtime = st.st_mtim;
		}
	}
}

static bool same(const struct seen *a, const struct seen *b)
{
	for (size_t i = 0; i < PD_WATCH_FILES_MAX; i++)
		if (a[i].dev != b[i].dev || a[i].ino != b[i].ino || a[i].size != b[i].size ||
		    a[i].mtime.tv_sec != b[i].mtime.tv_sec || a[i].mtime.tv_nsec != b[i].mtime.tv_nsec)
			return false;
	return true;
}

// False: stop.
static bool nap(struct pd_watch *w, uint64_t ms)
{
	uint64_t at = pd_now_ns() + ms * 1000000;
	struct timespec until = {.tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000)};
	bool going;

	pthread_mutex_lock(&w->mu);
	if (!w->stop)
		pthread_cond_timedwait(&w->wake, &w->mu, &until);
	going = !w->stop;
	pthread_mutex_unlock(&w->mu);
	return going;
}

static void *watch(void *arg)
{
	struct pd_watch *w = arg;
	struct seen now[PD_WATCH_FILES_MAX], before[PD_WATCH_FILES_MAX];
	bool settling = false;

	while (nap(w, settling ? PD_WATCH_SETTLE_MS : PD_WATCH_POLL_MS)) {
		look(w, now);
		if (settling && same(now, before)) {
			memcpy(w->known, now, sizeof(now));
			settling = false;
			w->fn(w->arg);
			continue;
		}
		settling = !same(now, w->known);
		memcpy(before, now, sizeof(now));
	}
	return NULL;
}

struct pd_watch *pd_watch_start(const char *const *paths, size_t n, void (*fn)(void *), void *arg)
{
	struct pd_watch *w = pd_xcalloc(1, sizeof(*w));
	pthread_condattr_t monotonic;

	PD_ASSERT(n <= PD_WATCH_FILES_MAX);
	for (; w->n < n; w->n++)
		w->paths[w->n] = pd_xstrdup(paths[w->n]);
	w->fn = fn;
	w->arg = arg;
	pthread_mutex_init(&w->mu, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	look(w, w->known);
	PD_ASSERT(pthread_create(&w->thread, NULL, watch, w) == 0);
	return w;
}

void pd_watch_stop(struct pd_watch **wp)
{
	struct pd_watch *w = *wp;

	if (!w)
		return;
	*wp = NULL;
	pthread_mutex_lock(&w->mu);
	w->stop = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->mu);
	pthread_join(w->thread, NULL);
	pthread_mutex_destroy(&w->mu);
	pthread_cond_destroy(&w->wake);
	for (size_t i = 0; i < w->n; i++)
		free(w->paths[i]);
	free(w);
}
