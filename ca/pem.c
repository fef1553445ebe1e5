#include "ca/pem.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/mem.h"

#define LINE_BYTES 48 // 64 characters

static const char begin_mark[] = "-----BEGIN ", end_mark[] = "-----END ", dashes[] = "-----";

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool pd_pem_only_blanks(const char *s, const char *end)
{
	while (s < end && blank(*s))
		s++;
	return s == end;
}

void pd_pem_free(struct pd_pem *b)
{
	if (b->der)
		OPENSSL_cleanse(b->der, b->n);
	free(b->der);
	*b = (struct pd_pem){0};
}

bool pd_pem_is(const struct pd_pem *b, const char *label)
{
	return b->label_len == strlen(label) && memcmp(b->label, label, b->label_len) == 0;
}

// The label between `s` and the dashes that follow it; NULL if they do not. *after is behind the dashes.
static const char *label_end(const char *s, const char *end, const char **after)
{
	const char *e = memmem(s, (size_t)(end - s), dashes, sizeof(dashes) - 1);

	if (!e || e - s > PD_PEM_LABEL_MAX || memchr(s, '\n', (size_t)(e - s)))
		return NULL;
	*after = e + sizeof(dashes) - 1;
	return e;
}

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// Not api/base64.h, which is for one string and takes the URL-safe alphabet too: standard base64 with blanks in it; padding must complete the last group of four, and its spare bits must be zero.
static bool decode(const char *s, const char *end, struct pd_pem *out)
{
	uint32_t bits = 0;
	size_t digits = 0, padding = 0;

	out->der = pd_xmalloc((size_t)(end - s) / 4 * 3 + 3);
	out->n = 0;
	for (; s < end; s++) {
		if (blank(*s))
			continue;
		if (*s == '=') {
			padding++;
			continue;
		}
		int d = digit(*s);
		if (d < 0 || padding)
			return false;
		bits = bits << 6 | (uint32_t)d;
		if (++digits % 4 == 0) {
			out->der[out->n++] = (uint8_t)(bits >> 16);
			out->der[out->n++] = (uint8_t)(bits >> 8);
			out->der[out->n++] = (uint8_t)bits;
		}
	}
	if (padding > 2 || (digits + padding) % 4 != 0)
		return false;
	if (padding == 1) {
		out->der[out->n++] = (uint8_t)(bits >> 10);
		out->der[out->n++] = (uint8_t)(bits >> 2);
		return (bits & 3) == 0;
	}
	if (padding == 2)
		out->der[out->n++] = (uint8_t)(bits >> 4);
	return padding == 0 || (bits & 15) == 0;
}

// Reads from behind "-----BEGIN " on. Returns what is wrong, or NULL and *after is behind the block.
static const char *read_block(const char *s, const char *end, struct pd_pem *out, const char **after)
{
	const char *body, *stop, *e = label_end(s, end, &body);

	if (!e)
		return "a PEM block has no proper beginning";
	out->label = s;
	out->label_len = (size_t)(e - s);
	stop = memmem(body, (size_t)(end - body), end_mark, sizeof(end_mark) - 1);
	if (!stop)
		return "a PEM block has no end";
	s = stop + sizeof(end_mark) - 1;
	e = label_end(s, end, after);
	if (!e || (size_t)(e - s) != out->label_len || memcmp(s, out->label, out->label_len) != 0)
		return "the end of a PEM block does not match its beginning";
	if (memchr(body, ':', (size_t)(stop - body)))
		return "a PEM block has headers (is it encrypted?)";
	if (!decode(body, stop, out))
		return "a PEM block is not base64";
	return out->n ? NULL : "a PEM block is empty";
}

int pd_pem_next(const char **at, const char *end, struct pd_pem *out, struct pd_buf *why)
{
	const char *begin = memmem(*at, (size_t)(end - *at), begin_mark, sizeof(begin_mark) - 1), *fault, *after;

	*out = (struct pd_pem){0};
	if (!begin)
		return PD_E_NOTFOUND;
	fault = read_block(begin + sizeof(begin_mark) - 1, end, out, &after);
	if (fault) {
		pd_buf_adds(why, fault);
		pd_pem_free(out);
		return PD_E_PARSE;
	}
	out->text_before = !pd_pem_only_blanks(*at, begin);
	*at = after;
	return PD_OK;
}

void pd_pem_write(struct pd_buf *b, const char *label, const uint8_t *der, size_t n)
{
	unsigned char line[LINE_BYTES / 3 * 4 + 2]; // with the NUL that EVP_EncodeBlock adds

	pd_buf_printf(b, "-----BEGIN %s-----\n", label);
	for (size_t i = 0; i < n; i += LINE_BYTES) {
		int len = EVP_EncodeBlock(line, der + i, (int)(n - i < LINE_BYTES ? n - i : LINE_BYTES));
		line[len] = '\n';
		pd_buf_add(b, line, (size_t)len + 1);
	}
	pd_buf_printf(b, "-----END %s-----\n", label);
	OPENSSL_cleanse(line, sizeof(line));
}

void pd_pem_wipe(struct pd_buf *b)
{
	if (b->p)
		OPENSSL_cleanse(b->p, b->cap);
	pd_buf_free(b);
}
