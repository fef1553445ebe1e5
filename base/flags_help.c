// What --help prints; part of flags.h.
#include "base/flags.h"

#include <stdio.h>

#define HELP_COLUMN 34 // where help starts, unless the spelling is longer

static const char *placeholder(enum pd_flag_type type)
{
	static const char *const names[] = {[PD_FLAG_STRING] = " string",     [PD_FLAG_BOOL] = "",
					    [PD_FLAG_INT] = " int",           [PD_FLAG_FLOAT] = " float",
					    [PD_FLAG_DURATION] = " duration", [PD_FLAG_LIST] = " list"};

	return names[type];
}

static void pad_to(struct pd_buf *out, size_t line, size_t column)
{
	if (out->n - line + 2 > column)
		pd_buf_adds(out, "  ");
	while (out->n - line < column)
		pd_buf_addc(out, ' ');
}

// The zero of a type is not worth a mention.
static void add_default(const struct pd_flag *f, struct pd_buf *out)
{
	const char *d = f->def;

	if (pd_empty(d) || strcmp(d, "0") == 0 || (f->type == PD_FLAG_BOOL && strcmp(d, "false") == 0))
		return;
	if (f->type == PD_FLAG_STRING)
		pd_buf_printf(out, " (default \"%s\")", d);
	else
		pd_buf_printf(out, " (default %s)", d);
}

static void add_line(struct pd_buf *out, const char *lead, const char *name, const char *kind, const char *help)
{
	size_t line = out->n;

	pd_buf_printf(out, "%s%s%s", lead, name, kind);
	pad_to(out, line, HELP_COLUMN);
	pd_buf_adds(out, help);
}

void pd_flags_help(const struct pd_flag_set *set, struct pd_buf *out)
{
	const struct pd_flag *f;
	bool help_shown = false;
	char lead[16];
	size_t i;

	for (i = 0; i <= set->n; i++) {
		f = i < set->n ? set->v[i] : NULL;
		if (!help_shown && (!f || strcmp(f->name, "help") >= 0)) {
			help_shown = true;
			if (!f || strcmp(f->name, "help") != 0)
				add_line(out, "  -h, --", "help", "", "Print this text\n");
		}
		if (!f)
			break;
		snprintf(lead, sizeof(lead), f->letter ? "  -%c, --" : "      --", f->letter);
		add_line(out, lead, f->name, placeholder(f->type), f->help);
		add_default(f, out);
		pd_buf_addc(out, '\n');
	}
}

void pd_env_help(const struct pd_flag_set *set, struct pd_buf *out)
{
	const struct pd_flag *f;
	size_t i;

	for (i = 0; i < set->n; i++) {
		f = set->v[i];
		add_line(out, "  ", f->name, f->type == PD_FLAG_BOOL ? " bool" : placeholder(f->type), f->help);
		add_default(f, out);
		pd_buf_addc(out, '\n');
	}
}
