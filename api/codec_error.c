// Errors of the decoder: paths, reasons, suggestions.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/codec_internal.h"

#define MAX_EXCERPT 64 // bytes of a user's string that an error shows
#define MAX_NAME 48    // longer names get no suggestion

static bool plain_name(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c = s[i];
		bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
			  c == '-' || c == '@';
		if (!ok)
			return false;
	}
	return n > 0;
}

// A string literal, cut behind whole characters.
static void add_excerpt(struct pd_buf *out, const char *s, size_t n)
{
	size_t shown = n;

	if (n > MAX_EXCERPT) {
		shown = MAX_EXCERPT;
		while (shown > MAX_EXCERPT - 4 && ((unsigned char)s[shown] & 0xc0) == 0x80)
			shown--;
	}
	pd_json_print_string(out, s, shown);
	if (shown < n)
		pd_buf_adds(out, "…");
}

static void add_path(struct pd_buf *out, const struct pd_frame *at)
{
	if (!at)
		return;
	add_path(out, at->up);
	switch (at->step) {
	case PD_STEP_ROOT:
		pd_buf_add(out, at->name, at->len);
		break;
	case PD_STEP_INDEX:
		pd_buf_printf(out, "[%zu]", at->index);
		break;
	case PD_STEP_MEMBER:
		if (plain_name(at->name, at->len)) {
			if (out->n)
				pd_buf_addc(out, '.');
			pd_buf_add(out, at->name, at->len);
			break;
		}
		// fall through
	case PD_STEP_KEY:
		pd_buf_addc(out, '[');
		add_excerpt(out, at->name, at->len);
		pd_buf_addc(out, ']');
		break;
	}
}

static const char *path_of(struct pd_codec *c, const struct pd_frame *at)
{
	struct pd_buf b = {0};
	const char *cut = "…", *path;

	add_path(&b, at);
	if (b.n <= PD_CODEC_MAX_PATH) {
		path = pd_arena_strndup(c->arena, b.p ? b.p : "", b.n);
	} else {
		size_t from = b.n - PD_CODEC_MAX_PATH + strlen(cut);
		while (((unsigned char)b.p[from] & 0xc0) == 0x80)
			from++;
		path = pd_arena_printf(c->arena, "%s%s", cut, b.p + from);
	}
	pd_buf_free(&b);
	return path;
}

enum pd_outcome pd_codec_fail(struct pd_codec *c, const struct pd_frame *at, uint32_t line, const char *fmt, ...)
{
	va_list ap;

	if (c->n_errors == PD_CODEC_MAX_ERRORS) {
		c->errors_dropped++;
		return PD_FAILED;
	}
	if (!c->errors)
		c->errors = PD_NEWN(c->arena, struct pd_codec_error, PD_CODEC_MAX_ERRORS);
	struct pd_codec_error *e = &c->errors[c->n_errors++];
	e->path = path_of(c, at);
	e->line = line;
	va_start(ap, fmt);
	e->reason = pd_arena_vprintf(c->arena, fmt, ap);
	va_end(ap);
	return PD_FAILED;
}

enum pd_outcome pd_codec_expected(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *got,
				  const char *what)
{
	struct pd_buf b = {0};

	pd_buf_adds(&b, pd_json_type_name(got));
	switch (got->type) {
	case PD_JSON_STRING:
		pd_buf_addc(&b, ' ');
		add_excerpt(&b, got->s, got->n);
		break;
	case PD_JSON_BOOL:
	case PD_JSON_INT:
	case PD_JSON_UINT:
	case PD_JSON_REAL:
		pd_buf_addc(&b, ' ');
		pd_json_print(&b, got, false);
		break;
	default:
		break;
	}
	pd_codec_fail(c, at, got->line, "expected %s, got %s", what, b.p);
	pd_buf_free(&b);
	return PD_FAILED;
}

// Levenshtein distance, one row.
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
	size_t row[MAX_NAME + 1];

	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (diagonal + 1 < best)
				best = diagonal + 1;
			row[j] = best;
		}
	}
	return row[m];
}

void pd_codec_suggest(struct pd_suggestion *s, const char *candidate)
{
	size_t n = strlen(s->name), m = strlen(candidate);

	if (n > MAX_NAME || m > MAX_NAME)
		return;
	size_t d = distance(s->name, n, candidate, m);
	if (d <= 2 && d * 2 <= n && (!s->best || d < s->distance)) {
		s->best = candidate;
		s->distance = d;
	}
}

enum pd_outcome pd_codec_unknown_field(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *member,
				       const struct pb_info *info)
{
	struct pd_frame here = pd_frame_of(at, PD_STEP_MEMBER, member);
	struct pd_suggestion s = {.name = member->key};

	if (c->policy == PD_CODEC_LENIENT) {
		c->unknown++;
		return PD_SKIPPED;
	}
	for (unsigned i = 0; info && i < info->n_names; i++)
		pd_codec_suggest(&s, info->fields[info->names[i].field].json_name);
	if (s.best)
		return pd_codec_fail(c, &here, member->line, "unknown field (did you mean \"%s\"?)", s.best);
	return pd_codec_fail(c, &here, member->line, "unknown field");
}

void pd_codec_print_errors(struct pd_buf *out, const struct pd_codec *c)
{
	for (uint32_t i = 0; i < c->n_errors; i++) {
		const struct pd_codec_error *e = &c->errors[i];
		pd_buf_printf(out, "%s%s%s", e->path, *e->path ? ": " : "", e->reason);
		if (e->line)
			pd_buf_printf(out, " (line %" PRIu32 ")", e->line);
		pd_buf_addc(out, '\n');
	}
	if (c->errors_dropped)
		pd_buf_printf(out, "%" PRIu32 " more errors\n", c->errors_dropped);
}
