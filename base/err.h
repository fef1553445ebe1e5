// Error codes of pilotd.
//
// A function that can fail for a reason outside our control returns `int`: PD_OK (0) or one of the negative codes below,
// and is marked PD_MUST_CHECK. A bug of ours is never an error code: it is PD_ASSERT, which names file and line and stops.
// A mistake in a user's object is neither: it is a value (struct pd_issue in config/issue.h) that is collected and reported
// while everything else carries on.
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define PD_MUST_CHECK __attribute__((warn_unused_result))
#define PD_PRINTF(f, a) __attribute__((format(printf, f, a)))

enum pd_err {
	PD_OK = 0,
	PD_E_NOMEM = -1, // a limit on memory was reached (allocation failure itself aborts, see pd_xmalloc)
	PD_E_IO = -2,    // a system call failed; errno tells
	PD_E_PARSE = -3, // bytes from outside are not what they should be
	PD_E_LIMIT = -4, // a named limit was exceeded
	PD_E_NOTFOUND = -5,
	PD_E_EXISTS = -6,
	PD_E_INVALID = -7, // a value is out of range or contradicts another
	PD_E_CLOSED = -8,  // the peer or the object is gone
	PD_E_TIMEOUT = -9,
	PD_E_DENIED = -10,
	PD_E_AGAIN = -11, // cannot be done now, may be retried
};

// A short English text for a code; never NULL.
const char *pd_strerror(int code);

// Prints file, line and the text, then aborts. Stays on in release builds.
_Noreturn void pd_assert_fail(const char *file, int line, const char *what);
#define PD_ASSERT(cond) ((cond) ? (void)0 : pd_assert_fail(__FILE__, __LINE__, #cond))
#define PD_UNREACHABLE() pd_assert_fail(__FILE__, __LINE__, "unreachable")

#endif
