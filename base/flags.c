#include "base/flags.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/vec.h"

#define SUGGEST_MAX_NAME 64 // longer names get no suggestion

void pd_flag_list_free(struct pd_flag_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		free(l->v[i]);
	pd_vec_free(l);
}

static int list_add(struct pd_flag_list *l, const char *s)
{
	size_t len;

	for (; *s; s += len + (s[len] == ',')) {
		len = strcspn(s, ",");
		if (!len)
			continue;
		if (l->n == PD_FLAG_LIST_MAX)
			return PD_E_LIMIT;
		pd_vec_push(l, pd_xstrndup(s, len));
	}
	return PD_OK;
}

static int parse_bool(const char *s, bool *out)
{
	static const char *const yes[] = {"true", "1", "t", "T", "TRUE", "True"};
	static const char *const no[] = {"false", "0", "f", "F", "FALSE", "False"};
	size_t i;

	for (i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
		if (strcmp(s, yes[i]) != 0 && strcmp(s, no[i]) != 0)
			continue;
		*out = strcmp(s, yes[i]) == 0;
		return PD_OK;
	}
	return PD_E_PARSE;
}

static int parse_int(const char *s, int64_t *out)
{
	char *end;
	long long v;

	if (*s == ' ' || (*s >= '\t' && *s <= '\r'))
		return PD_E_PARSE;
	errno = 0;
	v = strtoll(s, &end, 10);
	if (errno || end == s || *end)
		return PD_E_PARSE;
	*out = v;
	return PD_OK;
}

static int parse_float(const char *s, double *out)
{
	char *end;
	double v;

	if (*s == ' ' || (*s >= '\t' && *s <= '\r'))
		return PD_E_PARSE;
	v = strtod(s, &end);
	if (end == s || *end || !isfinite(v))
		return PD_E_PARSE;
	*out = v;
	return PD_OK;
}

static bool out_of_range(const struct pd_flag *f, int64_t v)
{
	return (f->min || f->max) && (v < f->min || v > f->max);
}

// Stores `text`. PD_E_PARSE, PD_E_INVALID (out of range) or PD_E_LIMIT leave the target as it was.
static int set_value(const struct pd_flag *f, const char *text)
{
	int64_t v;
	int rc;

	switch (f->type) {
	case PD_FLAG_STRING:
		*(const char **)f->target = text;
		return PD_OK;
	case PD_FLAG_BOOL:
		return parse_bool(text, f->target);
	case PD_FLAG_FLOAT:
		return parse_float(text, f->target);
	case PD_FLAG_LIST:
		return list_add(f->target, text);
	case PD_FLAG_INT:
	case PD_FLAG_DURATION:
		rc = f->type == PD_FLAG_INT ? parse_int(text, &v) : pd_parse_go_duration(text, &v);
		if (rc)
			return rc;
		if (out_of_range(f, v))
			return PD_E_INVALID;
		*(int64_t *)f->target = v;
		return PD_OK;
	}
	PD_UNREACHABLE();
}

static void set_default(const struct pd_flag *f)
{
	static const char *const zero[] = {[PD_FLAG_STRING] = "", [PD_FLAG_BOOL] = "false", [PD_FLAG_INT] = "0",
					   [PD_FLAG_FLOAT] = "0", [PD_FLAG_DURATION] = "0", [PD_FLAG_LIST] = ""};

	if (f->type == PD_FLAG_LIST)
		pd_flag_list_free(f->target);
	PD_ASSERT(set_value(f, f->def ? f->def : zero[f->type]) == PD_OK);
}

void pd_flag_set_add(struct pd_flag_set *set, const struct pd_flag *table, size_t n)
{
	size_t i, at;
	int c;

	for (i = 0; i < n; i++) {
		PD_ASSERT(table[i].name && table[i].target && table[i].help);
		pd_vec_push(set, NULL);
		for (at = set->n - 1; at > 0; at--) {
			c = strcmp(set->v[at - 1]->name, table[i].name);
			PD_ASSERT(c != 0);
			if (c < 0)
				break;
			set->v[at] = set->v[at - 1];
		}
		set->v[at] = &table[i];
		set_default(&table[i]);
	}
}

void pd_flag_set_free(struct pd_flag_set *set)
{
	pd_vec_free(set);
}

void pd_flag_args_free(struct pd_flag_args *args)
{
	pd_vec_free(args);
	args->help = false;
}

static const char *type_name(const struct pd_flag *f)
{
	static const char *const names[] = {[PD_FLAG_STRING] = "text",
					    [PD_FLAG_BOOL] = "true or false",
					    [PD_FLAG_INT] = "an integer",
					    [PD_FLAG_FLOAT] = "a number",
					    [PD_FLAG_DURATION] = "a duration like 100ms, 10s or 1h30m",
					    [PD_FLAG_LIST] = "a list"};

	return names[f->type];
}

static void add_bound(const struct pd_flag *f, int64_t v, struct pd_buf *out)
{
	if (f->type == PD_FLAG_DURATION)
		pd_buf_printf(out, "%.9gs", (double)v / 1e9);
	else
		pd_buf_printf(out, "%lld", (long long)v);
}

// `what` is the spelling of the flag or variable.
static void explain(const struct pd_flag *f, const char *what, const char *text, int rc, struct pd_buf *err)
{
	if (rc == PD_E_LIMIT) {
		pd_buf_printf(err, "too many values for %s: at most %d", what, PD_FLAG_LIST_MAX);
		return;
	}
	pd_buf_printf(err, "invalid value \"%s\" for %s: ", text, what);
	if (rc == PD_E_INVALID) {
		pd_buf_adds(err, "must be from ");
		add_bound(f, f->min, err);
		pd_buf_adds(err, " to ");
		add_bound(f, f->max, err);
	} else {
		pd_buf_printf(err, "must be %s", type_name(f));
	}
}

static const struct pd_flag *find_name(const struct pd_flag_set *set, const char *name, size_t n)
{
	size_t i;

	for (i = 0; i < set->n; i++)
		if (strncmp(set->v[i]->name, name, n) == 0 && !set->v[i]->name[n])
			return set->v[i];
	return NULL;
}

static const struct pd_flag *find_letter(const struct pd_flag_set *set, char letter)
{
	size_t i;

	for (i = 0; i < set->n; i++)
		if (set->v[i]->letter == letter)
			return set->v[i];
	return NULL;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

// Edit distance, blind to case and to the difference of '_' and '-'.
static unsigned distance(const char *a, size_t na, const char *b, size_t nb)
{
	unsigned row[SUGGEST_MAX_NAME + 1], diagonal, above, best;
	size_t i, j;
	char x, y;

	for (j = 0; j <= nb; j++)
		row[j] = (unsigned)j;
	for (i = 1; i <= na; i++) {
		diagonal = row[0];
		row[0] = (unsigned)i;
		for (j = 1; j <= nb; j++) {
			x = a[i - 1] == '_' ? '-' : lower(a[i - 1]);
			y = b[j - 1] == '_' ? '-' : lower(b[j - 1]);
			above = row[j];
			best = diagonal + (x != y);
			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = above;
		}
	}
	return row[nb];
}

static const char *suggestion(const struct pd_flag_set *set, const char *name, size_t n)
{
	const char *best = NULL;
	unsigned limit = (unsigned)n / 3 + 1, d;
	size_t i, len;

	for (i = 0; i < set->n && n <= SUGGEST_MAX_NAME; i++) {
		len = strlen(set->v[i]->name);
		if (len > SUGGEST_MAX_NAME)
			continue;
		d = distance(name, n, set->v[i]->name, len);
		if (d < limit || (d == limit && !best)) {
			best = set->v[i]->name;
			limit = d;
		}
	}
	return best;
}

static int unknown_flag(const struct pd_flag_set *set, const char *name, size_t n, struct pd_buf *err)
{
	const char *near = suggestion(set, name, n);

	pd_buf_printf(err, "unknown flag: --%.*s", (int)n, name);
	if (near)
		pd_buf_printf(err, " (did you mean --%s?)", near);
	return PD_E_INVALID;
}

// State of a pass over argv.
struct pass {
	const struct pd_flag_set *set;
	char **argv;
	int argc, at; // argv[at] is looked at
	struct pd_flag_args *args;
	struct pd_buf *err;
};

// Sets `f` from `value`, or, if that is NULL, from the next argument.
static int assign(struct pass *p, const struct pd_flag *f, const char *what, const char *value)
{
	int rc;

	if (!value && f->type == PD_FLAG_BOOL)
		value = "true";
	if (!value) {
		if (p->at + 1 >= p->argc) {
			pd_buf_printf(p->err, "flag needs an argument: %s", what);
			return PD_E_INVALID;
		}
		value = p->argv[++p->at];
	}
	rc = set_value(f, value);
	if (rc)
		explain(f, what, value, rc, p->err);
	return rc == PD_OK || rc == PD_E_LIMIT ? rc : PD_E_INVALID;
}

static int long_flag(struct pass *p, const char *name)
{
	size_t n = strcspn(name, "=");
	const struct pd_flag *f = find_name(p->set, name, n);
	char what[SUGGEST_MAX_NAME + 3];

	if (!f && strcmp(name, "help") == 0) {
		p->args->help = true;
		return PD_OK;
	}
	if (!f)
		return unknown_flag(p->set, name, n, p->err);
	snprintf(what, sizeof(what), "--%s", f->name);
	return assign(p, f, what, name[n] ? name + n + 1 : NULL);
}

static int short_flag(struct pass *p, const char *letters)
{
	const struct pd_flag *f = find_letter(p->set, letters[0]);
	const char *value = letters[1] == '=' ? letters + 2 : letters[1] ? letters + 1 : NULL;
	char what[3] = {'-', letters[0], 0};

	if (!f && strcmp(letters, "h") == 0) {
		p->args->help = true;
		return PD_OK;
	}
	if (!f) {
		pd_buf_printf(p->err, "unknown flag: -%s", letters);
		return PD_E_INVALID;
	}
	return assign(p, f, what, value);
}

int pd_flags_parse(const struct pd_flag_set *set, int argc, char **argv, struct pd_flag_args *args, struct pd_buf *err)
{
	struct pass p = {.set = set, .argv = argv, .argc = argc, .args = args, .err = err};
	const char *s;
	size_t i;
	int rc = PD_OK;

	for (i = 0; i < set->n; i++)
		set_default(set->v[i]);
	for (p.at = 1; p.at < argc && !args->help && !rc; p.at++) {
		s = argv[p.at];
		if (strcmp(s, "--") == 0)
			break;
		if (s[0] != '-' || !s[1])
			pd_vec_push(args, s);
		else if (s[1] == '-')
			rc = long_flag(&p, s + 2);
		else
			rc = short_flag(&p, s + 1);
	}
	for (p.at++; p.at < argc && !args->help && !rc; p.at++)
		pd_vec_push(args, argv[p.at]);
	return rc;
}

int pd_env_load(const struct pd_flag_set *set, struct pd_buf *err)
{
	const char *text;
	int worst = PD_OK, rc;
	size_t i;

	for (i = 0; i < set->n; i++) {
		set_default(set->v[i]);
		text = getenv(set->v[i]->name);
		if (pd_empty(text))
			continue;
		rc = set_value(set->v[i], text);
		if (!rc)
			continue;
		if (err->n)
			pd_buf_addc(err, '\n');
		explain(set->v[i], set->v[i]->name, text, rc, err);
		if (rc == PD_E_LIMIT)
			set_default(set->v[i]);
		worst = PD_E_INVALID;
	}
	return worst;
}
