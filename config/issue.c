#include "config/issue.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <uthash.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

// One block with its strings.
struct kept_issue {
	struct pd_issue issue;
	uint64_t hash; // of the strings
};

struct issue_file {
	char *name;
	PD_VEC(struct kept_issue *) kept;
	size_t dropped; // beyond PD_ISSUES_MAX
	UT_hash_handle hh;
};

struct pd_issues {
	pthread_mutex_t lock; // guards all below
	struct issue_file *files;
	size_t kept, dropped;
};

struct pd_issues *pd_issues_new(void)
{
	struct pd_issues *is = pd_xcalloc(1, sizeof(*is));

	pthread_mutex_init(&is->lock, NULL);
	return is;
}

static void file_free(struct pd_issues *is, struct issue_file *f)
{
	for (size_t i = 0; i < f->kept.n; i++)
		free(f->kept.v[i]);
	is->kept -= f->kept.n;
	is->dropped -= f->dropped;
	pd_vec_free(&f->kept);
	HASH_DEL(is->files, f);
	free(f->name);
	free(f);
}

void pd_issues_free(struct pd_issues **isp)
{
	struct pd_issues *is = *isp;
	struct issue_file *f, *next;

	if (!is)
		return;
	HASH_ITER(hh, is->files, f, next)
	file_free(is, f);
	pthread_mutex_destroy(&is->lock);
	free(is);
	*isp = NULL;
}

static char *put(char **at, const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = memcpy(*at, s, n);

	*at += n;
	return p;
}

static uint64_t issue_hash(const struct pd_issue *i)
{
	uint64_t h = pd_hash_mix(pd_hash_str(i->origin), pd_hash_str(i->object));

	return pd_hash_mix(pd_hash_mix(h, pd_hash_str(i->field)), pd_hash_str(i->reason));
}

static struct kept_issue *issue_copy(const struct pd_issue *i, uint64_t hash)
{
	const char *object = i->object ? i->object : "", *field = i->field ? i->field : "";
	size_t n = strlen(i->origin) + strlen(object) + strlen(field) + strlen(i->reason) + 4;
	struct kept_issue *c = pd_xmalloc(sizeof(*c) + n);
	char *at = (char *)(c + 1);

	c->issue = *i;
	c->issue.origin = put(&at, i->origin);
	c->issue.object = put(&at, object);
	c->issue.field = put(&at, field);
	c->issue.reason = put(&at, i->reason);
	c->hash = hash;
	return c;
}

static bool is_kept(const struct issue_file *f, uint64_t hash)
{
	for (size_t i = f->kept.n; i > 0; i--)
		if (f->kept.v[i - 1]->hash == hash)
			return true;
	return false;
}

static size_t file_len(const char *origin)
{
	const char *colon = strrchr(origin, ':');

	return colon ? (size_t)(colon - origin) : strlen(origin);
}

static struct issue_file *file_get(struct pd_issues *is, const char *origin)
{
	struct issue_file *f;
	size_t n = file_len(origin);

	HASH_FIND(hh, is->files, origin, n, f);
	if (f)
		return f;
	f = pd_xcalloc(1, sizeof(*f));
	f->name = pd_xstrndup(origin, n);
	HASH_ADD_KEYPTR(hh, is->files, f->name, n, f);
	return f;
}

static void issue_log(const struct pd_issue *i)
{
	bool object = !pd_empty(i->object), field = !pd_empty(i->field);

	pd_log(i->severity == PD_ISSUE_ERROR ? PD_LOG_ERROR : PD_LOG_WARN, "config", "%s: %s%s%s%s%s", i->origin,
	       object ? i->object : "", object ? ": " : "", field ? i->field : "", field ? ": " : "", i->reason);
}

void pd_issues_add(struct pd_issues *is, const struct pd_issue *i)
{
	struct issue_file *f;
	bool kept, first_dropped;
	uint64_t hash;

	PD_ASSERT(i->origin && i->reason);
	hash = issue_hash(i);
	pthread_mutex_lock(&is->lock);
	f = file_get(is, i->origin);
	if (is_kept(f, hash)) {
		pthread_mutex_unlock(&is->lock);
		return;
	}
	kept = is->kept < PD_ISSUES_MAX;
	first_dropped = !kept && !is->dropped;
	if (kept) {
		pd_vec_push(&f->kept, issue_copy(i, hash));
		is->kept++;
	} else {
		f->dropped++;
		is->dropped++;
	}
	pthread_mutex_unlock(&is->lock);
	if (kept)
		issue_log(i);
	if (first_dropped)
		pd_warn("config", "more than %d issues: further ones are counted only", PD_ISSUES_MAX);
}

void pd_issues_clear(struct pd_issues *is, const char *file)
{
	struct issue_file *f;

	pthread_mutex_lock(&is->lock);
	HASH_FIND_STR(is->files, file, f);
	if (f)
		file_free(is, f);
	pthread_mutex_unlock(&is->lock);
}

void pd_issues_drop(struct pd_issues *is, const char *origin, const char *object, const char *field)
{
	struct issue_file *f;
	size_t kept = 0;

	pthread_mutex_lock(&is->lock);
	HASH_FIND(hh, is->files, origin, file_len(origin), f);
	for (size_t i = 0; f && i < f->kept.n; i++) {
		const struct pd_issue *each = &f->kept.v[i]->issue;

		if (!strcmp(each->origin, origin) && !strcmp(each->object, object) && !strcmp(each->field, field))
			free(f->kept.v[i]);
		else
			f->kept.v[kept++] = f->kept.v[i];
	}
	if (f) {
		is->kept -= f->kept.n - kept;
		f->kept.n = kept;
	}
	pthread_mutex_unlock(&is->lock);
}

void pd_issues_each(struct pd_issues *is, void (*fn)(const struct pd_issue *, void *), void *arg)
{
	struct issue_file *f, *next;

	pthread_mutex_lock(&is->lock);
	HASH_ITER(hh, is->files, f, next)
	for (size_t i = 0; i < f->kept.n; i++)
		fn(&f->kept.v[i]->issue, arg);
	pthread_mutex_unlock(&is->lock);
}

size_t pd_issues_count(struct pd_issues *is)
{
	size_t n;

	pthread_mutex_lock(&is->lock);
	n = is->kept + is->dropped;
	pthread_mutex_unlock(&is->lock);
	return n;
}
