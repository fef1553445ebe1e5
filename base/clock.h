// Time. Monotonic for intervals, wall clock for timestamps only.
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

uint64_t pd_now_ns(void); // CLOCK_MONOTONIC
static inline uint64_t pd_now_ms(void)
{
	return pd_now_ns() / 1000000;
}
int64_t pd_wall_ns(void); // since 1970, UTC
// RFC 3339 with nanoseconds as given ("2026-08-01T00:00:00Z"); out must hold 36 bytes.
void pd_format_time(int64_t wall_ns, char *out);
// Parses RFC 3339. Returns 0 and ns since 1970, or PD_E_PARSE.
int pd_parse_time(const char *s, int64_t *wall_ns);

#endif
