#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define INHERIT (-1)

// Scopes are only ever added, so that readers need no lock: an entry is complete before `scope_count` covers it.
static struct scope {
	char name[PD_LOG_SCOPE_MAX];
	atomic_int level; // INHERIT or enum pd_log_level
} scopes[PD_LOG_MAX_SCOPES];
static atomic_size_t scope_count;
static pthread_mutex_t scopes_lock = PTHREAD_MUTEX_INITIALIZER; // serialises pd_log_set_levels

static atomic_int default_level = PD_LOG_INFO;
static atomic_bool json_lines;
static atomic_int log_fd = STDERR_FILENO;

static const char *const level_names[] = {"none", "error", "warn", "info", "debug"};

static int parse_level(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < sizeof(level_names) / sizeof(*level_names); i++)
		if (strlen(level_names[i]) == n && memcmp(level_names[i], s, n) == 0)
			return (int)i;
	return -1;
}

struct setting {
	const char *name;
	size_t len;
	int level;
};

// Splits "default:info,xds:debug". A level alone is the default's.
static int parse_spec(const char *spec, struct setting *out, size_t *n)
{
	const char *s = spec, *end, *colon;

	for (*n = 0; *s; s = *end ? end + 1 : end) {
		end = s + strcspn(s, ",");
		if (*n == PD_LOG_MAX_SCOPES)
			return PD_E_LIMIT;
		colon = memchr(s, ':', (size_t)(end - s));
		out[*n].name = colon ? s : "default";
		out[*n].len = colon ? (size_t)(colon - s) : strlen("default");
		out[*n].level = parse_level(colon ? colon + 1 : s, (size_t)(end - (colon ? colon + 1 : s)));
		if (out[*n].level < 0 || out[*n].len == 0 || out[*n].len >= PD_LOG_SCOPE_MAX)
			return PD_E_INVALID;
		(*n)++;
	}
	return PD_OK;
}

static struct scope *scope_find(const char *name, size_t len)
{
	size_t n = atomic_load_explicit(&scope_count, memory_order_acquire), i;

	for (i = 0; i < n; i++)
		if (strncmp(scopes[i].name, name, len) == 0 && scopes[i].name[len] == 0)
			return &scopes[i];
	return NULL;
}

static bool names_all_scopes(const struct setting *s)
{
	return (s->len == 7 && memcmp(s->name, "default", 7) == 0) || (s->len == 3 && memcmp(s->name, "all", 3) == 0);
}

static int apply(const struct setting *set)
{
	struct scope *sc = scope_find(set->name, set->len);
	size_t n = atomic_load(&scope_count);

	if (!sc) {
		if (n == PD_LOG_MAX_SCOPES)
			return PD_E_LIMIT;
		sc = &scopes[n];
		memcpy(sc->name, set->name, set->len);
		sc->name[set->len] = 0;
		atomic_store(&sc->level, set->level);
		atomic_store_explicit(&scope_count, n + 1, memory_order_release);
	}
	atomic_store(&sc->level, set->level);
	return PD_OK;
}

int pd_log_set_levels(const char *spec)
{
	struct setting set[PD_LOG_MAX_SCOPES];
	int level = PD_LOG_INFO, rc;
	size_t n, i;

	rc = parse_spec(spec ? spec : "", set, &n);
	if (rc)
		return rc;
	pthread_mutex_lock(&scopes_lock);
	for (i = 0; i < atomic_load(&scope_count); i++)
		atomic_store(&scopes[i].level, INHERIT);
	for (i = 0; i < n && !rc; i++) {
		if (names_all_scopes(&set[i]))
			level = set[i].level;
		else
			rc = apply(&set[i]);
	}
	atomic_store(&default_level, level);
	pthread_mutex_unlock(&scopes_lock);
	return rc;
}

void pd_log_set_json(bool json)
{
	atomic_store(&json_lines, json);
}

void pd_log_set_fd(int fd)
{
	atomic_store(&log_fd, fd);
}

bool pd_log_enabled(enum pd_log_level level, const char *scope)
{
	struct scope *sc;
	int limit;

	if (level == PD_LOG_NONE)
		return false;
	sc = scope_find(scope, strlen(scope));
	limit = sc ? atomic_load_explicit(&sc->level, memory_order_relaxed) : INHERIT;
	if (limit == INHERIT)
		limit = atomic_load_explicit(&default_level, memory_order_relaxed);
	return (int)level <= limit;
}

static void add_stamp(struct pd_buf *b)
{
	int64_t now = pd_wall_ns();
	time_t s = (time_t)(now / 1000000000);
	struct tm tm;
	char text[32];

	gmtime_r(&s, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	pd_buf_printf(b, "%s.%06dZ", text, (int)(now % 1000000000 / 1000));
}

// Control characters would let a name from outside forge lines.
static void add_plain(struct pd_buf *b, const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '\n')
			pd_buf_adds(b, "\\n");
		else if ((c < 0x20 && c != '\t') || c == 0x7f)
			pd_buf_printf(b, "\\x%02x", c);
		else
			pd_buf_addc(b, s[i]);
	}
}

static void write_line(const char *p, size_t n)
{
	ssize_t w;

	while (n) {
		w = write(atomic_load_explicit(&log_fd, memory_order_relaxed), p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return; // nowhere left to report it
		p += w;
		n -= (size_t)w;
	}
}

void pd_log(enum pd_log_level level, const char *scope, const char *fmt, ...)
{
	struct pd_buf line = {0}, msg = {0};
	int saved = errno;
	va_list ap;

	if (!pd_log_enabled(level, scope))
		return;
	va_start(ap, fmt);
	pd_buf_vprintf(&msg, fmt, ap);
	va_end(ap);
	if (msg.n > PD_LOG_MESSAGE_MAX) {
		msg.n = PD_LOG_MESSAGE_MAX;
		pd_buf_adds(&msg, "... (truncated)");
	}
	if (atomic_load_explicit(&json_lines, memory_order_relaxed)) {
		pd_buf_printf(&line, "{\"level\":\"%s\",\"time\":\"", level_names[level]);
		add_stamp(&line);
		pd_buf_adds(&line, "\",\"scope\":");
		pd_buf_json(&line, scope);
		pd_buf_adds(&line, ",\"msg\":");
		pd_buf_json_n(&line, msg.p, msg.n);
		pd_buf_adds(&line, "}\n");
	} else {
		add_stamp(&line);
		pd_buf_printf(&line, "\t%s\t%s\t", level_names[level], scope);
		add_plain(&line, msg.p, msg.n);
		pd_buf_addc(&line, '\n');
	}
	write_line(line.p, line.n);
	pd_buf_free(&line);
	pd_buf_free(&msg);
	errno = saved;
}
