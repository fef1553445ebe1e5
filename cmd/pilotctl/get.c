// pilotctl get: one HTTP request to pilotd, body to stdout.
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/flags.h"
#include "base/mem.h"
#include "cmd/pilotctl/commands.h"

static int fetch(const char *url)
{
	char why[CURL_ERROR_SIZE] = "";
	CURL *c = curl_easy_init();
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
	curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, 30L);
	CURLcode rc = curl_easy_perform(c); // libcurl's default writes to stdout
	curl_easy_cleanup(c);
	if (rc != CURLE_OK)
		fprintf(stderr, "pilotctl: %s: %s\n", url, *why ? why : curl_easy_strerror(rc));
	return rc == CURLE_OK ? 0 : 1;
}

int command_get(int argc, char **argv)
{
	const char *server;
	const struct pd_flag flags[] = {
		{.name = "server",
		 .letter = 's',
		 .type = PD_FLAG_STRING,
		 .target = &server,
		 .def = "127.0.0.1:8080",
		 .help = "pilotd's HTTP or monitoring address"},
	};
	struct pd_flag_set set = {0};
	struct pd_flag_args args = {0};
	struct pd_buf text = {0};
	int status = 2;
	pd_flag_set_add(&set, flags, 1);
	if (pd_flags_parse(&set, argc, argv, &args, &text) != PD_OK) {
		fprintf(stderr, "pilotctl get: %s\n", text.p);
	} else if (args.help || args.n != 1) {
		pd_flags_help(&set, &text);
		printf("pilotctl get [flags] PATH\n\n%s", text.p ? text.p : "");
		status = args.help ? 0 : 2;
	} else {
		char *url = pd_xasprintf("http://%s%s%s", server, args.v[0][0] == '/' ? "" : "/", args.v[0]);
		status = fetch(url);
		free(url);
	}
	pd_buf_free(&text);
	pd_flag_args_free(&args);
	pd_flag_set_free(&set);
	return status;
}
