#include "base/clock.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"

#define NS_PER_S 1000000000ll

uint64_t pd_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

int64_t pd_wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

void pd_format_time(int64_t wall_ns, char *out)
{
	int64_t s = wall_ns / NS_PER_S, ns = wall_ns % NS_PER_S;
	struct tm tm;
	time_t t;
	size_t n;

	if (ns < 0) {
		ns += NS_PER_S;
		s--;
	}
	t = (time_t)s;
	gmtime_r(&t, &tm);
	n = strftime(out, 36, "%Y-%m-%dT%H:%M:%S", &tm);
	if (ns) {
		n += (size_t)snprintf(out + n, 36 - n, ".%09lld", (long long)ns);
		while (out[n - 1] == '0')
			n--;
	}
	out[n] = 'Z';
	out[n + 1] = 0;
}

// Reads exactly `n` digits and advances. -1 if there are fewer.
static int digits(const char **s, int n)
{
	int v = 0;

	for (; n; n--, (*s)++) {
		if (!isdigit((unsigned char)**s))
			return -1;
		v = v * 10 + (**s - '0');
	}
	return v;
}

static int expect(const char **s, const char *set)
{
	if (!**s || !strchr(set, **s))
		return PD_E_PARSE;
	(*s)++;
	return PD_OK;
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && ((year % 4 == 0 && year % 100) || year % 400 == 0));
}

static int parse_date_time(const char **s, struct tm *tm)
{
	int year, month;

	year = digits(s, 4);
	if (year < 0 || expect(s, "-"))
		return PD_E_PARSE;
	month = digits(s, 2);
	if (month < 1 || month > 12 || expect(s, "-"))
		return PD_E_PARSE;
	tm->tm_year = year - 1900;
	tm->tm_mon = month - 1;
	tm->tm_mday = digits(s, 2);
	if (tm->tm_mday < 1 || tm->tm_mday > days_in_month(year, month) || expect(s, "Tt"))
		return PD_E_PARSE;
	tm->tm_hour = digits(s, 2);
	if (tm->tm_hour < 0 || tm->tm_hour > 23 || expect(s, ":"))
		return PD_E_PARSE;
	tm->tm_min = digits(s, 2);
	if (tm->tm_min < 0 || tm->tm_min > 59 || expect(s, ":"))
		return PD_E_PARSE;
	tm->tm_sec = digits(s, 2);
	return tm->tm_sec < 0 || tm->tm_sec > 59 ? PD_E_PARSE : PD_OK;
}

static int parse_fraction(const char **s, int64_t *ns)
{
	int64_t scale = NS_PER_S / 10;

	*ns = 0;
	if (**s != '.')
		return PD_OK;
	(*s)++;
	if (!isdigit((unsigned char)**s))
		return PD_E_PARSE;
	for (; isdigit((unsigned char)**s); (*s)++, scale /= 10)
		*ns += (**s - '0') * scale; // digits beyond nanoseconds count nothing
	return PD_OK;
}

static int parse_zone(const char **s, int64_t *offset_s)
{
	int sign, h, m;

	*offset_s = 0;
	if (**s == 'Z' || **s == 'z') {
		(*s)++;
		return PD_OK;
	}
	sign = **s == '-' ? -1 : 1;
	if (expect(s, "+-"))
		return PD_E_PARSE;
	h = digits(s, 2);
	if (h < 0 || h > 23 || expect(s, ":"))
		return PD_E_PARSE;
	m = digits(s, 2);
	if (m < 0 || m > 59)
		return PD_E_PARSE;
	*offset_s = sign * (h * 3600 + m * 60);
	return PD_OK;
}

int pd_parse_time(const char *s, int64_t *wall_ns)
{
	struct tm tm = {0};
	int64_t ns, offset, total;

	if (!s || parse_date_time(&s, &tm) || parse_fraction(&s, &ns) || parse_zone(&s, &offset) || *s)
		return PD_E_PARSE;
	// Years that 64-bit nanoseconds cannot hold are refused like other nonsense.
	if (__builtin_mul_overflow((int64_t)timegm(&tm) - offset, NS_PER_S, &total) ||
	    __builtin_add_overflow(total, ns, &total))
		return PD_E_PARSE;
	*wall_ns = total;
	return PD_OK;
}
