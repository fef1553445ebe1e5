// Command-line flags and environment variables.
//
// Each layer owns tables of struct pd_flag (usually static const) whose targets are its settings; `cmd/` adds the tables to
// one set and parses. A table says type, default and help once, and help output, parsing and error texts follow.
#ifndef BASE_FLAGS_H
#define BASE_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define PD_FLAG_LIST_MAX 1024 // values of one PD_FLAG_LIST

enum pd_flag_type {
	PD_FLAG_STRING,   // const char *: borrowed from argv, the environment or `def`
	PD_FLAG_BOOL,     // bool: true, false, 1, 0, t, f as Go reads them
	PD_FLAG_INT,      // int64_t, decimal
	PD_FLAG_FLOAT,    // double
	PD_FLAG_DURATION, // int64_t nanoseconds, text as in Go: "100ms", "1h30m"
	PD_FLAG_LIST,     // struct pd_flag_list: a flag may be repeated; each value is split at commas
};

// All-zero is empty. The strings are copies; release with pd_flag_list_free.
struct pd_flag_list {
	char **v;
	size_t n, cap;
};
void pd_flag_list_free(struct pd_flag_list *l);

struct pd_flag {
	const char *name; // "grpcAddr", or an environment variable "PILOT_DEBOUNCE_AFTER"
	enum pd_flag_type type;
	void *target;    // what `type` says; never NULL
	const char *def; // default as text; NULL: "", false, 0, no values
	const char *help;
	int64_t min, max; // legal range of an int or duration; both 0: any
	char letter;      // short form: 'n' for "-n"; 0 = none. Not for environment variables
};

// All-zero is empty.
struct pd_flag_set {
	const struct pd_flag **v; // sorted by name
	size_t n, cap;
};
// Borrows the table for the life of the set. Asserts that names are unique and defaults are legal.
void pd_flag_set_add(struct pd_flag_set *set, const struct pd_flag *table, size_t n);
void pd_flag_set_free(struct pd_flag_set *set);

// What pd_flags_parse found beside flags. All-zero is empty.
struct pd_flag_args {
	bool help;      // -h or --help was given; parsing stopped there
	const char **v; // positional arguments in order, borrowed from argv; all that follows "--" is positional
	size_t n, cap;
};
void pd_flag_args_free(struct pd_flag_args *args);

// Sets all targets to their defaults, then from argv (argv[0] is skipped): `--name value`, `--name=value`, `-n value`,
// `-nvalue`; a bool is `--name` or `--name=false`. The last of repeated flags wins (a list collects). Flags and positional
// arguments may be mixed. PD_E_INVALID with one line in `err`: an unknown flag (with a suggestion), a missing or bad value,
// a value out of range; PD_E_LIMIT: too many values.
int pd_flags_parse(const struct pd_flag_set *set, int argc, char **argv, struct pd_flag_args *args, struct pd_buf *err)
	PD_MUST_CHECK;
// Sets all targets from the environment, or to their defaults where a variable is unset or empty. A bad value leaves the
// default and adds a line to `err` that names variable and value; the others are still read. PD_E_INVALID if there was one.
int pd_env_load(const struct pd_flag_set *set, struct pd_buf *err) PD_MUST_CHECK;

// Appends one entry per flag, sorted by name: spelling, type, help, default. pd_env_help does so for variables.
void pd_flags_help(const struct pd_flag_set *set, struct pd_buf *out);
void pd_env_help(const struct pd_flag_set *set, struct pd_buf *out);

// Go's time.ParseDuration: "300ms", "-1.5h", "1h30m", "0"; units ns us µs ms s m h. PD_E_PARSE, also on overflow.
int pd_parse_go_duration(const char *s, int64_t *ns) PD_MUST_CHECK;

#endif
