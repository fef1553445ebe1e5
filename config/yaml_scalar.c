// Plain scalars of YAML 1.1 as the Go library resolves them: null, booleans, integers in four bases with underscores, floats.
// What looks like a date or a base-60 number stays a string.
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/str.h"
#include "config/yaml.h"

// Longest text that is tried as a number: 64 binary digits and as many underscores, and some.
#define NUMBER_MAX 160

static bool is_word(const char *s, size_t n, const char *const *words)
{
	for (; *words; words++)
		if (strlen(*words) == n && !memcmp(*words, s, n))
			return true;
	return false;
}

static bool resolve_word(const char *s, size_t n, struct pd_json *out)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const trues[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
					    "True", "TRUE", "on",  "On",  "ON",  NULL};
	static const char *const falses[] = {"n",     "N",     "no",  "No",  "NO",  "false",
					     "False", "FALSE", "off", "Off", "OFF", NULL};
	static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};
	static const char *const infs[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", NULL};
	static const char *const minus_infs[] = {"-.inf", "-.Inf", "-.INF", NULL};

	if (n > 5)
		return false;
	if (is_word(s, n, nulls)) {
		out->type = PD_JSON_NULL;
	} else if (is_word(s, n, trues) || is_word(s, n, falses)) {
		out->type = PD_JSON_BOOL;
		out->b = is_word(s, n, trues);
	} else if (is_word(s, n, nans) || is_word(s, n, infs) || is_word(s, n, minus_infs)) {
		out->type = PD_JSON_REAL;
		out->d = is_word(s, n, nans) ? (double)NAN : *s == '-' ? (double)-INFINITY : (double)INFINITY;
	} else {
		return false;
	}
	return true;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

// `s` without sign and underscores. 0x, 0o, 0b and a leading 0 choose the base.
static bool parse_unsigned(const char *s, uint64_t *out)
{
	unsigned base = 10;
	uint64_t v = 0;

	if (s[0] == '0' && s[1]) {
		char c = s[1] | 0x20;

		base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
		s += c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
	}
	if (!*s)
		return false;
	for (; *s; s++) {
		unsigned d = (unsigned)digit_value(*s);

		if (d >= base || v > (UINT64_MAX - d) / base)
			return false;
		v = v * base + d;
	}
	*out = v;
	return true;
}

static bool resolve_int(const char *s, struct pd_json *out)
{
	bool minus = *s == '-';
	uint64_t v;

	if (!parse_unsigned(s + (*s == '-' || *s == '+'), &v))
		return false;
	if (v > (uint64_t)INT64_MAX + minus) {
		out->type = PD_JSON_UINT;
		out->u = v;
		return *s != '-' && *s != '+';
	}
	out->type = PD_JSON_INT;
	out->i = minus ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

static const char *skip_digits(const char *s)
{
	while (*s >= '0' && *s <= '9')
		s++;
	return s;
}

// [-+]? ( .digits | digits [. digits*] ) ( [eE] [-+]? digits )?
static bool looks_like_float(const char *s)
{
	const char *start;

	s += *s == '-' || *s == '+';
	start = s;
	s = skip_digits(s);
	if (*s == '.') {
		const char *fraction = s + 1;

		s = skip_digits(fraction);
		if (start + 1 == fraction && s == fraction)
			return false;
	} else if (s == start) {
		return false;
	}
	if ((*s | 0x20) == 'e') {
		s++;
		s += *s == '-' || *s == '+';
		start = s;
		s = skip_digits(s);
		if (s == start)
			return false;
	}
	return !*s;
}

static bool resolve_float(const char *s, struct pd_json *out)
{
	double d;

	if (!looks_like_float(s))
		return false;
	d = strtod(s, NULL);
	if (isinf(d))
		return false; // out of range: a string, as in Go
	out->type = PD_JSON_REAL;
	out->d = d;
	return true;
}

bool pd_yaml_resolve(const char *s, size_t n, struct pd_json *out)
{
	char plain[NUMBER_MAX];
	size_t m = 0;

	if (resolve_word(s, n, out))
		return true;
	if (!n || n >= sizeof(plain) || !strchr("+-.0123456789", s[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (s[i] != '_')
			plain[m++] = s[i];
	plain[m] = 0;
	if (m != strlen(plain))
		return false;
	return resolve_int(plain, out) || resolve_float(plain, out);
}
