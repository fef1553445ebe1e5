#include "base/flags.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *addr, *ns;
static bool watch, ambient;
static int64_t workers, wait_ns;
static double sampling;
static struct pd_flag_list domains;

static const struct pd_flag table[] = {
	{.name = "grpcAddr", .type = PD_FLAG_STRING, .target = &addr, .def = ":15010", .help = "Plaintext xDS address"},
	{.name = "namespace", .letter = 'n', .type = PD_FLAG_STRING, .target = &ns, .help = "Namespace"},
	{.name = "watch", .letter = 'w', .type = PD_FLAG_BOOL, .target = &watch, .def = "true", .help = "Watch files"},
	{.name = "ambient", .type = PD_FLAG_BOOL, .target = &ambient, .def = "false", .help = "Ambient mode"},
	{.name = "workers",
	 .type = PD_FLAG_INT,
	 .target = &workers,
	 .def = "4",
	 .min = 1,
	 .max = 64,
	 .help = "Threads"},
};
static const struct pd_flag more[] = {
	{.name = "domains", .type = PD_FLAG_LIST, .target = &domains, .help = "Domains"},
	{.name = "debounce",
	 .type = PD_FLAG_DURATION,
	 .target = &wait_ns,
	 .def = "100ms",
	 .max = 10000000000,
	 .help = "Wait"},
	{.name = "sampling", .type = PD_FLAG_FLOAT, .target = &sampling, .def = "1.5", .help = "Percent"},
};

static struct pd_flag_set set;
static struct pd_flag_args args;
static struct pd_buf err;

static int setup(void **state)
{
	(void)state;
	pd_flag_set_add(&set, table, sizeof(table) / sizeof(*table));
	pd_flag_set_add(&set, more, sizeof(more) / sizeof(*more));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pd_flag_set_free(&set);
	pd_flag_args_free(&args);
	pd_flag_list_free(&domains);
	pd_buf_free(&err);
	return 0;
}

// Parses a NULL-terminated list of arguments.
static int parse(const char *const *list)
{
	char *argv[32] = {(char *)(uintptr_t) "pilotd"};
	int argc = 1;

	for (; *list; list++)
		argv[argc++] = (char *)(uintptr_t)*list;
	pd_flag_args_free(&args);
	pd_buf_reset(&err);
	return pd_flags_parse(&set, argc, argv, &args, &err);
}
#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void test_defaults(void **state)
{
	(void)state;
	addr = "x";
	assert_int_equal(parse((const char *const[]){NULL}), PD_OK);
	assert_string_equal(addr, ":15010");
	assert_string_equal(ns, "");
	assert_true(watch);
	assert_false(ambient);
	assert_int_equal(workers, 4);
	assert_int_equal(wait_ns, 100000000);
	assert_true(fabs(sampling - 1.5) < 1e-12);
	assert_int_equal(domains.n, 0);
}

static void test_spellings(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--grpcAddr", ":1", "--workers=8", "-n", "istio-system", "--watch=false", "--ambient"),
			 PD_OK);
	assert_string_equal(addr, ":1");
	assert_int_equal(workers, 8);
	assert_string_equal(ns, "istio-system");
	assert_false(watch);
	assert_true(ambient);
	assert_int_equal(PARSE("-nfoo", "-w=0", "--grpcAddr=", "--debounce", "1.5s", "--sampling", "100"), PD_OK);
	assert_string_equal(ns, "foo");
	assert_false(watch);
	assert_string_equal(addr, "");
	assert_int_equal(wait_ns, 1500000000);
	assert_int_equal(PARSE("-n=a=b", "--grpcAddr=a=b", "--grpcAddr", "--help"), PD_OK);
	assert_string_equal(ns, "a=b");
	assert_string_equal(addr, "--help");
	assert_false(args.help);
}

static void test_lists_and_arguments(void **state)
{
	(void)state;
	assert_int_equal(PARSE("discovery", "--domains", "a,b,,", "-", "--domains=c", "--", "--x", "-y"), PD_OK);
	assert_int_equal(domains.n, 3);
	assert_string_equal(domains.v[0], "a");
	assert_string_equal(domains.v[2], "c");
	assert_int_equal(args.n, 4);
	assert_string_equal(args.v[0], "discovery");
	assert_string_equal(args.v[1], "-");
	assert_string_equal(args.v[2], "--x");
	assert_string_equal(args.v[3], "-y");
	// A bool takes no separate value, as in Go.
	assert_int_equal(PARSE("--ambient", "false"), PD_OK);
	assert_true(ambient);
	assert_int_equal(args.n, 1);
	assert_int_equal(domains.n, 0);
}

static void test_list_limit(void **state)
{
	struct pd_buf many = {0};
	int i;

	(void)state;
	for (i = 0; i < PD_FLAG_LIST_MAX; i++)
		pd_buf_adds(&many, "a,");
	assert_int_equal(PARSE("--domains", many.p), PD_OK);
	assert_int_equal(domains.n, PD_FLAG_LIST_MAX);
	assert_int_equal(PARSE("--domains", many.p, "--domains", "b"), PD_E_LIMIT);
	assert_string_equal(err.p, "too many values for --domains: at most 1024");
	pd_buf_free(&many);
}

static void fails(const char *one, const char *two, const char *text)
{
	assert_int_equal(parse((const char *const[]){one, two, NULL}), PD_E_INVALID);
	assert_string_equal(err.p, text);
}

static void test_errors(void **state)
{
	(void)state;
	fails("--grpcAdr", ":1", "unknown flag: --grpcAdr (did you mean --grpcAddr?)");
	fails("--GRPCADDR=:1", NULL, "unknown flag: --GRPCADDR (did you mean --grpcAddr?)");
	fails("--worker=1", NULL, "unknown flag: --worker (did you mean --workers?)");
	fails("--nothingLikeIt", NULL, "unknown flag: --nothingLikeIt");
	fails("-x", NULL, "unknown flag: -x");
	fails("--workers", NULL, "flag needs an argument: --workers");
	fails("-n", NULL, "flag needs an argument: -n");
	fails("--workers", "many", "invalid value \"many\" for --workers: must be an integer");
	fails("--workers", "1x", "invalid value \"1x\" for --workers: must be an integer");
	fails("--workers", " 1", "invalid value \" 1\" for --workers: must be an integer");
	fails("--workers=", NULL, "invalid value \"\" for --workers: must be an integer");
	fails("--workers", "99999999999999999999",
	      "invalid value \"99999999999999999999\" for --workers: must be an integer");
	fails("--workers", "65", "invalid value \"65\" for --workers: must be from 1 to 64");
	fails("--workers", "0", "invalid value \"0\" for --workers: must be from 1 to 64");
	fails("--watch=yes", NULL, "invalid value \"yes\" for --watch: must be true or false");
	fails("--sampling=nan", NULL, "invalid value \"nan\" for --sampling: must be a number");
	fails("--debounce=5", NULL, "invalid value \"5\" for --debounce: must be a duration like 100ms, 10s or 1h30m");
	fails("--debounce=11s", NULL, "invalid value \"11s\" for --debounce: must be from 0s to 10s");
	assert_int_equal(workers, 4);
}

static void test_help(void **state)
{
	struct pd_buf out = {0};

	(void)state;
	assert_int_equal(PARSE("--help", "--nonsense"), PD_OK);
	assert_true(args.help);
	assert_int_equal(PARSE("-h"), PD_OK);
	assert_true(args.help);
	pd_flags_help(&set, &out);
	assert_string_equal(out.p, "      --ambient                   Ambient mode\n"
				   "      --debounce duration         Wait (default 100ms)\n"
				   "      --domains list              Domains\n"
				   "      --grpcAddr string           Plaintext xDS address (default \":15010\")\n"
				   "  -h, --help                      Print this text\n"
				   "  -n, --namespace string          Namespace\n"
				   "      --sampling float            Percent (default 1.5)\n"
				   "  -w, --watch                     Watch files (default true)\n"
				   "      --workers int               Threads (default 4)\n");
	pd_buf_free(&out);
}

static void test_environment(void **state)
{
	static int64_t after, max;
	static bool scoped;
	static const char *mode;
	static const struct pd_flag vars[] = {
		{.name = "PDTEST_AFTER",
		 .type = PD_FLAG_DURATION,
		 .target = &after,
		 .def = "100ms",
		 .help = "Quiet time"},
		{.name = "PDTEST_MAX", .type = PD_FLAG_INT, .target = &max, .def = "7", .help = "Most"},
		{.name = "PDTEST_SCOPED", .type = PD_FLAG_BOOL, .target = &scoped, .def = "true", .help = "Scoped"},
		{.name = "PDTEST_MODE", .type = PD_FLAG_STRING, .target = &mode, .def = "ALLOW_ANY", .help = "Mode"},
	};
	struct pd_flag_set env = {0};
	struct pd_buf out = {0};

	(void)state;
	pd_buf_reset(&err);
	pd_flag_set_add(&env, vars, 4);
	setenv("PDTEST_AFTER", "1h30m", 1);
	setenv("PDTEST_SCOPED", "F", 1);
	setenv("PDTEST_MAX", "", 1);
	assert_int_equal(pd_env_load(&env, &err), PD_OK);
	assert_int_equal(after, 5400000000000);
	assert_int_equal(max, 7);
	assert_false(scoped);
	assert_string_equal(mode, "ALLOW_ANY");
	setenv("PDTEST_AFTER", "soon", 1);
	setenv("PDTEST_MAX", "1.5", 1);
	setenv("PDTEST_MODE", "x", 1);
	assert_int_equal(pd_env_load(&env, &err), PD_E_INVALID);
	assert_string_equal(err.p,
			    "invalid value \"soon\" for PDTEST_AFTER: must be a duration like 100ms, 10s or 1h30m\n"
			    "invalid value \"1.5\" for PDTEST_MAX: must be an integer");
	assert_int_equal(after, 100000000);
	assert_int_equal(max, 7);
	assert_string_equal(mode, "x");
	pd_env_help(&env, &out);
	assert_string_equal(out.p, "  PDTEST_AFTER duration           Quiet time (default 100ms)\n"
				   "  PDTEST_MAX int                  Most (default 7)\n"
				   "  PDTEST_MODE string              Mode (default \"ALLOW_ANY\")\n"
				   "  PDTEST_SCOPED bool              Scoped (default true)\n");
	pd_buf_free(&out);
	pd_flag_set_free(&env);
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {{"0", 0},
		    {"-0", 0},
		    {"+5s", 5000000000},
		    {"100ms", 100000000},
		    {"1h30m", 5400000000000},
		    {"1.5h", 5400000000000},
		    {"-1.5s", -1500000000},
		    {".5s", 500000000},
		    {"1.s", 1000000000},
		    {"1us", 1000},
		    {"1\xc2\xb5s", 1000},
		    {"1\xce\xbcs", 1000},
		    {"3ns", 3},
		    {"1h2m3s4ms5us6ns", 3723004005006},
		    {"1m1m", 120000000000},
		    {"2562047h47m16.854775807s", INT64_MAX},
		    {"0.3333333333333333333h", 1199999999999},
		    {"0.100000000000000000000h", 360000000000}};
	static const char *const bad[] = {NULL,
					  "",
					  "1",
					  "-",
					  "+",
					  "s",
					  ".s",
					  "1x",
					  "1 s",
					  " 1s",
					  "1s ",
					  "1.2.3s",
					  "--1s",
					  "1d",
					  "1e3s",
					  "9223372036854775808ns",
					  "2562047h47m16.854775808s",
					  "99999999999999999999h",
					  "5124095h",
					  "1S"};
	int64_t ns_out;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(pd_parse_go_duration(good[i].text, &ns_out), PD_OK);
		assert_int_equal(ns_out, good[i].ns);
	}
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(pd_parse_go_duration(bad[i], &ns_out), PD_E_PARSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_lists_and_arguments),
		cmocka_unit_test(test_list_limit),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_durations),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
