#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>

const char *pd_strerror(int code)
{
	switch ((enum pd_err)code) {
	case PD_OK:
		return "success";
	case PD_E_NOMEM:
		return "memory limit reached";
	case PD_E_IO:
		return "input/output error";
	case PD_E_PARSE:
		return "malformed input";
	case PD_E_LIMIT:
		return "limit exceeded";
	case PD_E_NOTFOUND:
		return "not found";
	case PD_E_EXISTS:
		return "already exists";
	case PD_E_INVALID:
		return "invalid value";
	case PD_E_CLOSED:
		return "closed";
	case PD_E_TIMEOUT:
		return "timed out";
	case PD_E_DENIED:
		return "permission denied";
	case PD_E_AGAIN:
		return "try again later";
	}
	return "unknown error";
}

void pd_assert_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, what);
	abort();
}
