// Durations and timestamps as text. Ranges are those of google.protobuf: ±10,000 years, years 1 to 9999.
#include <inttypes.h>
#include <string.h>

#include "api/codec_internal.h"

#define NANOS 1000000000
#define MAX_DURATION 315576000000    // seconds
#define MIN_TIMESTAMP (-62135596800) // 0001-01-01T00:00:00Z
#define MAX_TIMESTAMP 253402300799   // 9999-12-31T23:59:59Z

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

// The unit at *s in nanoseconds, 0 if there is none. "m" last: "ms" begins with it.
static int64_t unit_at(const char **s)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {
		{"ns", 1},       {"us", 1000}, {"µs", 1000},          {"μs", 1000},
		{"ms", 1000000}, {"s", NANOS}, {"h", 3600ll * NANOS}, {"m", 60ll * NANOS},
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t n = strlen(units[i].name);
		if (!strncmp(*s, units[i].name, n)) {
			*s += n;
			return units[i].ns;
		}
	}
	return 0;
}

// One "1.5h" at *s, added to *total. Digits of a fraction beyond nanoseconds are dropped, as Go does.
static bool add_part(const char **s, __int128 *total)
{
	__int128 whole = 0, fraction = 0, scale = 1;
	const char *p = *s;
	bool digits = false;

	for (; is_digit(*p); p++) {
		digits = true;
		whole = whole * 10 + (*p - '0');
		if (whole > (__int128)MAX_DURATION * NANOS)
			return false;
	}
	if (*p == '.')
		for (p++; is_digit(*p); p++) {
			digits = true;
			if (scale < (__int128)NANOS * NANOS) {
				fraction = fraction * 10 + (*p - '0');
				scale *= 10;
			}
		}
	int64_t unit = digits ? unit_at(&p) : 0;
	if (!unit)
		return false;
	*total += whole * unit + fraction * unit / scale;
	*s = p;
	return *total <= (__int128)MAX_DURATION * NANOS;
}

bool pd_parse_duration(const char *s, int64_t *seconds, int32_t *nanos)
{
	bool negative = *s == '-';
	__int128 total = 0;

	if (*s == '-' || *s == '+')
		s++;
	if (!*s)
		return false;
	if (strcmp(s, "0") != 0)
		while (*s)
			if (!add_part(&s, &total))
				return false;
	*seconds = (int64_t)(total / NANOS);
	*nanos = (int32_t)(total % NANOS);
	if (negative) {
		*seconds = -*seconds;
		*nanos = -*nanos;
	}
	return true;
}

static void add_fraction(struct pd_buf *out, int32_t nanos, int min_digits)
{
	int digits = nanos % 1000 ? 9 : nanos % 1000000 ? 6 : nanos ? 3 : 0;

	if (digits < min_digits)
		digits = min_digits;
	if (digits == 9)
		pd_buf_printf(out, ".%09" PRId32, nanos);
	else if (digits == 6)
		pd_buf_printf(out, ".%06" PRId32, nanos / 1000);
	else if (digits == 3)
		pd_buf_printf(out, ".%03" PRId32, nanos / 1000000);
}

void pd_print_duration(struct pd_buf *out, int64_t seconds, int32_t nanos)
{
	__int128 total = (__int128)seconds * NANOS + nanos;

	if (total < 0) {
		pd_buf_addc(out, '-');
		total = -total;
	}
	pd_buf_printf(out, "%" PRIu64, (uint64_t)(total / NANOS));
	add_fraction(out, (int32_t)(total % NANOS), 0);
	pd_buf_addc(out, 's');
}

// Behind the decimal point as many digits as it takes.
static void add_short_fraction(struct pd_buf *out, uint64_t value, uint64_t unit)
{
	pd_buf_printf(out, "%" PRIu64, value / unit);
	value %= unit;
	if (value)
		pd_buf_addc(out, '.');
	while (value) {
		unit /= 10;
		pd_buf_addc(out, (char)('0' + value / unit));
		value %= unit;
	}
}

void pd_print_go_duration(struct pd_buf *out, int64_t ns)
{
	uint64_t u = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;

	if (ns < 0)
		pd_buf_addc(out, '-');
	if (!u) {
		pd_buf_adds(out, "0s");
		return;
	}
	if (u < NANOS) {
		uint64_t unit = u < 1000 ? 1 : u < 1000000 ? 1000 : 1000000;
		add_short_fraction(out, u, unit);
		pd_buf_adds(out, unit == 1 ? "ns" : unit == 1000 ? "µs" : "ms");
		return;
	}
	uint64_t minutes = u / NANOS / 60;
	if (minutes >= 60)
		pd_buf_printf(out, "%" PRIu64 "h", minutes / 60);
	if (minutes)
		pd_buf_printf(out, "%" PRIu64 "m", minutes % 60);
	add_short_fraction(out, u % (60ull * NANOS), NANOS);
	pd_buf_addc(out, 's');
}

// Days since 1970-01-01 of a date of the Gregorian calendar. Years begin in March here, so that the leap day is the last.
static int64_t days_of(int64_t year, int month, int day)
{
	year -= month <= 2;
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	int64_t of_era = year - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, int64_t *year, int *month, int *day)
{
	days += 719468;
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	int64_t of_era = days - era * 146097;
	int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
	int64_t m = (5 * of_year + 2) / 153;
	*day = (int)(of_year - (153 * m + 2) / 5) + 1;
	*month = (int)(m < 10 ? m + 3 : m - 9);
	*year = y + era * 400 + (*month <= 2);
}

static int days_in(int64_t year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return days[month - 1] + (month == 2 && leap);
}

// `n` digits at *s, then the character `behind` (NUL: none asked).
static bool number_at(const char **s, int n, char behind, int *out)
{
	*out = 0;
	for (int i = 0; i < n; i++, (*s)++) {
		if (!is_digit(**s))
			return false;
		*out = *out * 10 + (**s - '0');
	}
	return !behind || *(*s)++ == behind;
}

// "Z", "+02:00" at the end of the text: seconds east of UTC.
static bool offset_at(const char *s, int *offset)
{
	int hours, minutes;
	char sign = *s;

	*offset = 0;
	if (*s == 'Z' || *s == 'z')
		return !s[1];
	s++;
	if ((sign != '+' && sign != '-') || !number_at(&s, 2, ':', &hours) || !number_at(&s, 2, '\0', &minutes))
		return false;
	*offset = (hours * 60 + minutes) * (sign == '-' ? -60 : 60);
	return !*s && hours < 24 && minutes < 60;
}

bool pd_parse_timestamp(const char *s, int64_t *seconds, int32_t *nanos)
{
	int year, month, day, hour, minute, second, offset;

	if (!number_at(&s, 4, '-', &year) || !number_at(&s, 2, '-', &month) || !number_at(&s, 2, '\0', &day))
		return false;
	if (*s != 'T' && *s != 't')
		return false;
	s++;
	if (!number_at(&s, 2, ':', &hour) || !number_at(&s, 2, ':', &minute) || !number_at(&s, 2, '\0', &second))
		return false;
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 ||
	    second > 59)
		return false;
	*nanos = 0;
	if (*s == '.') {
		int32_t scale = NANOS / 10;
		if (!is_digit(*++s))
			return false;
		for (; is_digit(*s); s++, scale /= 10)
			*nanos += (*s - '0') * scale;
	}
	if (!offset_at(s, &offset))
		return false;
	*seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
	return *seconds >= MIN_TIMESTAMP && *seconds <= MAX_TIMESTAMP;
}

void pd_print_timestamp(struct pd_buf *out, int64_t seconds, int32_t nanos, int min_digits)
{
	int64_t year, days, rest;
	int month, day;

	if (seconds < MIN_TIMESTAMP || seconds > MAX_TIMESTAMP || nanos < 0 || nanos >= NANOS) {
		// Not a time; such bytes can come from outside, and a dump must still show them.
		pd_buf_printf(out, "out of range: %" PRId64 "s %" PRId32 "ns", seconds, nanos);
		return;
	}
	days = seconds / 86400;
	rest = seconds % 86400;
	if (rest < 0) {
		days--;
		rest += 86400;
	}
	date_of(days, &year, &month, &day);
	pd_buf_printf(out, "%04" PRId64 "-%02d-%02dT%02d:%02d:%02d", year, month, day, (int)(rest / 3600),
		      (int)(rest / 60 % 60), (int)(rest % 60));
	add_fraction(out, nanos, min_digits);
	pd_buf_addc(out, 'Z');
}
