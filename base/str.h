// Strings: helpers over NUL-terminated ones, a growable buffer, and interned strings.
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

// NULL counts as "" in all of these.
bool pd_streq(const char *a, const char *b);
int pd_strcmp(const char *a, const char *b);
bool pd_has_prefix(const char *s, const char *prefix);
bool pd_has_suffix(const char *s, const char *suffix);
static inline bool pd_empty(const char *s)
{
	return !s || !*s;
}
static inline const char *pd_or(const char *s, const char *otherwise)
{
	return pd_empty(s) ? otherwise : s;
}
// Well-formed UTF-8 (RFC 3629) without NUL bytes. What fails this must not reach an Envoy: it would reject the resource.
bool pd_utf8_ok(const char *s, size_t n);

// Growable, always NUL-terminated text. All-zero is empty; pd_buf_free releases.
struct pd_buf {
	char *p;
	size_t n, cap;
};
void pd_buf_add(struct pd_buf *b, const void *p, size_t n);
void pd_buf_adds(struct pd_buf *b, const char *s);
void pd_buf_addc(struct pd_buf *b, char c);
void pd_buf_printf(struct pd_buf *b, const char *fmt, ...) PD_PRINTF(2, 3);
void pd_buf_vprintf(struct pd_buf *b, const char *fmt, va_list ap) PD_PRINTF(2, 0);
// Appends `s` as a JSON string literal with quotes; control characters and invalid UTF-8 are escaped.
void pd_buf_json(struct pd_buf *b, const char *s);
void pd_buf_json_n(struct pd_buf *b, const char *s, size_t n);
void pd_buf_reset(struct pd_buf *b);
void pd_buf_free(struct pd_buf *b);

// Interned strings. Equal strings have equal pointers while any reference lives, so `==` compares. Thread-safe.
// pd_intern returns a new reference (caller releases with pd_unintern); pd_intern_ref adds one. NULL is passed through.
const char *pd_intern(const char *s);
const char *pd_intern_n(const char *s, size_t n);
const char *pd_intern_ref(const char *interned);
void pd_unintern(const char *interned);
// Number of distinct strings alive, for metrics and leak tests.
size_t pd_intern_count(void);
uint64_t pd_intern_hash(const char *interned);

#endif
