// Documents and their trees. The text is cut at "---" lines; each piece goes through libyaml's event parser; events become
// nodes by recursive descent, whose depth is bounded, which also keeps libyaml from its quadratic nesting.
#include "config/yaml.h"

#include <stdio.h>
#include <stdlib.h>

#include "config/yaml_impl.h"

static bool is_separator(const char *s, const char *end)
{
	return end - s >= 3 && !memcmp(s, "---", 3) &&
	       (s + 3 == end || s[3] == ' ' || s[3] == '\t' || s[3] == '\r' || s[3] == '\n');
}

static const char *next_line(const char *s, const char *end)
{
	const char *nl = memchr(s, '\n', (size_t)(end - s));

	return nl ? nl + 1 : end;
}

// A line that belongs to no document: blank, a comment or a directive.
static bool is_prologue(const char *s, const char *end)
{
	while (s < end && (*s == ' ' || *s == '\t' || *s == '\r'))
		s++;
	return s == end || *s == '\n' || *s == '#' || *s == '%';
}

// Moves to the next piece: from y->at up to the next separator. A prologue stays with the document that follows.
static bool next_piece(struct pd_yaml *y)
{
	const char *s = y->at;
	bool content = false;

	if (s == y->end)
		return false;
	y->piece = s;
	y->base_line = y->line;
	if (is_separator(s, y->end)) {
		content = true;
		s = next_line(s, y->end);
		y->line++;
	}
	while (s < y->end && !(content && is_separator(s, y->end))) {
		content |= is_separator(s, y->end) || !is_prologue(s, y->end);
		s = next_line(s, y->end);
		y->line++;
	}
	y->at = s;
	return true;
}

static uint32_t line_of(const char *text, const char *at)
{
	uint32_t line = 1;

	for (; text < at; text++)
		line += *text == '\n';
	return line;
}

static int bad_text(const char *text, const char *at, const char *why, struct pd_yaml_error *err)
{
	err->line = line_of(text, at);
	snprintf(err->text, sizeof(err->text), "%s", why);
	return PD_E_PARSE;
}

// The whole text may be 64 MB: one pass when it is fine, a search for the bad line when not.
static int check_text(const char *text, size_t len, struct pd_yaml_error *err)
{
	const char *nul = memchr(text, 0, len), *end = text + len, *s = text;

	if (nul)
		return bad_text(text, nul, "the text holds a NUL byte", err);
	if (pd_utf8_ok(text, len))
		return PD_OK;
	while (s < end && pd_utf8_ok(s, (size_t)(next_line(s, end) - s)))
		s = next_line(s, end);
	return bad_text(text, s, "the text is not UTF-8", err);
}

int pd_yaml_open(const char *text, size_t len, struct pd_yaml **out, struct pd_yaml_error *err)
{
	struct pd_yaml *y;
	int rc;

	*err = (struct pd_yaml_error){0};
	if (len > PD_YAML_MAX_BYTES) {
		snprintf(err->text, sizeof(err->text), "the text is longer than %u MB", PD_YAML_MAX_BYTES >> 20);
		return PD_E_LIMIT;
	}
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
		text += 3;
		len -= 3;
	}
	rc = len ? check_text(text, len, err) : PD_OK;
	if (rc)
		return rc;
	y = pd_xcalloc(1, sizeof(*y));
	y->at = text;
	y->end = text + len;
	y->line = 1;
	*out = y;
	return PD_OK;
}

static void close_piece(struct pd_yaml *y)
{
	if (y->open)
		yaml_parser_delete(&y->parser);
	y->open = false;
}

void pd_yaml_close(struct pd_yaml **yp)
{
	struct pd_yaml *y = *yp;

	if (!y)
		return;
	close_piece(y);
	free(y);
	*yp = NULL;
}

static void open_piece(struct pd_yaml *y)
{
	PD_ASSERT(yaml_parser_initialize(&y->parser)); // fails only for want of memory
	yaml_parser_set_encoding(&y->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&y->parser, (const unsigned char *)y->piece, (size_t)(y->at - y->piece));
	y->open = true;
}

// JSON has escapes that libyaml refuses (surrogate pairs) and is read faster by its own parser. A piece that is no JSON may
// still be YAML in flow style.
static struct pd_json *try_json(struct pd_yaml *y, struct pd_arena *a)
{
	const char *s = y->piece;
	struct pd_json *root;

	while (s < y->at && (*s == ' ' || *s == '\t' || *s == '\r' || *s == '\n'))
		s++;
	if (s == y->at || (*s != '{' && *s != '['))
		return NULL;
	if (pd_json_parse(a, y->piece, (size_t)(y->at - y->piece), &root, NULL))
		return NULL;
	pd_yaml_shift_lines(root, y->base_line - 1);
	return root;
}

int pd_yaml_next(struct pd_yaml *y, struct pd_arena *a, struct pd_json **out, uint32_t *line, struct pd_yaml_error *err)
{
	*err = (struct pd_yaml_error){0};
	for (;;) {
		int rc;

		if (!y->open) {
			if (!next_piece(y))
				return PD_E_NOTFOUND;
			*out = try_json(y, a);
			if (*out) {
				*line = (*out)->line;
				return PD_OK;
			}
			open_piece(y);
		}
		rc = pd_yaml_document(y, a, out, line, err);
		if (rc == PD_OK && (*out)->type != PD_JSON_NULL)
			return PD_OK;
		if (rc == PD_OK)
			continue; // an empty document; the piece may hold more behind "..."
		close_piece(y);
		if (rc != PD_E_NOTFOUND)
			return rc;
	}
}
