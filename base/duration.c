// Go's duration syntax; part of flags.h.
#include <ctype.h>

#include "base/flags.h"

static const struct unit {
	const char *name;
	int64_t ns;
} units[] = {
	// A longer name stands before its prefix. Micro has two code points: U+00B5 and U+03BC.
	{"ns", 1},       {"us", 1000},      {"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000},
	{"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000},  {"h", 3600000000000},
};

static const struct unit *take_unit(const char **s)
{
	size_t i;

	for (i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (pd_has_prefix(*s, units[i].name)) {
			*s += strlen(units[i].name);
			return &units[i];
		}
	}
	return NULL;
}

// One "12.5h" as nanoseconds. The fraction is held exactly as far as 18 digits go; more cannot change a nanosecond.
static int take_term(const char **s, int64_t *ns)
{
	__int128 whole = 0, fraction = 0, scale = 1, total;
	const struct unit *unit;
	bool any = false;

	for (; isdigit((unsigned char)**s); (*s)++, any = true) {
		whole = whole * 10 + (**s - '0');
		if (whole > INT64_MAX)
			return PD_E_PARSE;
	}
	if (**s == '.') {
		(*s)++;
		for (; isdigit((unsigned char)**s); (*s)++, any = true) {
			if (scale < 1000000000000000000ll) {
				fraction = fraction * 10 + (**s - '0');
				scale *= 10;
			}
		}
	}
	unit = any ? take_unit(s) : NULL;
	if (!unit)
		return PD_E_PARSE;
	total = whole * unit->ns + fraction * unit->ns / scale;
	if (total > INT64_MAX)
		return PD_E_PARSE;
	*ns = (int64_t)total;
	return PD_OK;
}

int pd_parse_go_duration(const char *s, int64_t *ns)
{
	int64_t sum = 0, term;
	bool negative;

	if (pd_empty(s))
		return PD_E_PARSE;
	negative = *s == '-';
	if (*s == '-' || *s == '+')
		s++;
	if (strcmp(s, "0") == 0) {
		*ns = 0;
		return PD_OK;
	}
	if (!*s)
		return PD_E_PARSE;
	while (*s)
		if (take_term(&s, &term) || __builtin_add_overflow(sum, term, &sum))
			return PD_E_PARSE;
	*ns = negative ? -sum : sum;
	return PD_OK;
}
