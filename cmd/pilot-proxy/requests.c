// The commands that hooks of a pod run: they ask the pilot-proxy that is running beside.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/flags.h"
#include "cmd/pilot-proxy/run.h"
#include "proxy/http_client.h"

#define REQUEST_TIMEOUT_MS 10000

// Parses; returns -1 to go on, else the exit status.
static int parse(const struct pd_flag *flags, size_t n, int argc, char **argv, size_t positional, const char *usage,
		 struct pd_flag_args *args)
{
	struct pd_flag_set set = {0};
	struct pd_buf text = {0};
	int status = -1;
	pd_flag_set_add(&set, flags, n);
	if (pd_flags_parse(&set, argc, argv, args, &text) != PD_OK) {
		fprintf(stderr, "pilot-proxy %s: %s\n", argv[0], text.p);
		status = 2;
	} else if (args->help || args->n != positional) {
		pd_flags_help(&set, &text);
		fprintf(args->help ? stdout : stderr, "pilot-proxy %s\n\n%s", usage, pd_or(text.p, ""));
		status = args->help ? 0 : 2;
	}
	pd_buf_free(&text);
	pd_flag_set_free(&set);
	return status;
}

int command_wait(int argc, char **argv)
{
	const char *url;
	int64_t timeout_s, period_ms;
	const struct pd_flag flags[] = {
		{.name = "url",
		 .type = PD_FLAG_STRING,
		 .target = &url,
		 .def = "http://localhost:15021/healthz/ready",
		 .help = "what to ask"},
		{.name = "timeoutSeconds",
		 .type = PD_FLAG_INT,
		 .target = &timeout_s,
		 .def = "60",
		 .help = "give up after so long",
		 .min = 0,
		 .max = 86400},
		{.name = "periodMillis",
		 .type = PD_FLAG_INT,
		 .target = &period_ms,
		 .def = "500",
		 .help = "ask so often",
		 .min = 1,
		 .max = 60000},
	};
	struct pd_flag_args args = {0};
	int status = parse(flags, sizeof(flags) / sizeof(flags[0]), argc, argv, 0, "wait [flags]", &args);
	pd_flag_args_free(&args);
	if (status >= 0)
		return status;
	for (uint64_t end = pd_now_ms() + (uint64_t)timeout_s * 1000;;) {
		struct pd_buf body = {0}, why = {0};
		int code;
		int rc = pd_http_call(&(struct pd_http_call){.url = url, .timeout_ms = 1000}, &code, &body, &why);
		bool late = pd_now_ms() >= end;
		if (late && (rc != PD_OK || code != 200))
			fprintf(stderr, "pilot-proxy wait: not ready: %s\n", pd_or(why.p, pd_or(body.p, "")));
		pd_buf_free(&body);
		pd_buf_free(&why);
		if (rc == PD_OK && code == 200)
			return 0;
		if (late)
			return 1;
		nanosleep(&(struct timespec){period_ms / 1000, period_ms % 1000 * 1000000}, NULL);
	}
}

int command_request(int argc, char **argv)
{
	int64_t port;
	const struct pd_flag flag = {.name = "debug-port",
				     .type = PD_FLAG_INT,
				     .target = &port,
				     .def = "15020",
				     .help = "port of the running pilot-proxy (15000: of Envoy's admin interface)",
				     .min = 1,
				     .max = 65535};
	struct pd_flag_args args = {0};
	int status = parse(&flag, 1, argc, argv, 2, "request METHOD PATH [flags]", &args), code = 0;
	if (status < 0) {
		struct pd_buf body = {0}, why = {0};
		const char *path = args.v[1];
		char *url = pd_xasprintf("http://127.0.0.1:%d/%s", (int)port, path + (*path == '/'));
		int rc = pd_http_call(&(struct pd_http_call){.url = url,
							     .method = args.v[0],
							     .timeout_ms = REQUEST_TIMEOUT_MS},
				      &code, &body, &why);
		if (rc == PD_OK)
			fwrite(pd_or(body.p, ""), 1, body.n, code < 400 ? stdout : stderr);
		else
			fprintf(stderr, "pilot-proxy request: %s\n", why.p);
		status = rc == PD_OK && code < 400 ? 0 : 1;
		free(url);
		pd_buf_free(&body);
		pd_buf_free(&why);
	}
	pd_flag_args_free(&args);
	return status;
}
