#include "tests/unit/xds/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"

void wire_open(struct wire *w, const struct pd_xds_config *config)
{
	wire_open_methods(w, config, NULL, 0);
}

static void make_server(struct wire *w, const struct pd_xds_config *config)
{
	struct pd_xds_config defaults;

	PD_ASSERT(pd_log_set_levels(getenv("PD_TEST_LOG") ? "default:debug" : "default:error") == PD_OK);
	pd_xds_config_defaults(&defaults);
	w->engine = pd_engine_new(NULL, NULL);
	w->x = pd_xds_new(w->engine, config ? config : &defaults);
}

static void start_server(struct wire *w, const struct pd_xds_auth *auth, grpc_server_credentials *creds)
{
	struct pd_buf err = {0};
	uint16_t port;

	pd_xds_set_auth(w->x, auth);
	PD_ASSERT(pd_xds_listen(w->x, "127.0.0.1:0", creds, &port, &err) == PD_OK);
	snprintf(w->address, sizeof(w->address), "127.0.0.1:%u", port);
	pd_xds_start(w->x);
	pd_buf_free(&err);
}

void wire_open_methods(struct wire *w, const struct pd_xds_config *config, const struct pd_rpc_method *methods,
		       size_t n)
{
	make_server(w, config);
	pd_xds_add_methods(w->x, methods, n);
	start_server(w, &(struct pd_xds_auth){.secrets_for_all = true}, NULL);
}

void wire_open_auth(struct wire *w, const struct pd_xds_auth *auth, grpc_server_credentials *creds)
{
	make_server(w, NULL);
	start_server(w, auth, creds);
	if (creds)
		grpc_server_credentials_release(creds);
}

void wire_close(struct wire *w)
{
	pd_xds_free(&w->x);
	pd_engine_free(&w->engine);
}

void wire_config(struct wire *w, const char *what)
{
	char *text = pd_xstrdup(what), *save, *eq;
	enum pd_type t = PD_TYPE_COUNT;

	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		enum pd_type k = 0;

		while (k < PD_TYPE_COUNT && strcmp(word, pd_types[k].short_name) != 0)
			k++;
		if (k < PD_TYPE_COUNT) {
			t = k;
			continue;
		}
		eq = strchr(word, '=');
		if (eq)
			*eq = 0;
		fake_set(w->engine, t, word, eq ? eq + 1 : NULL);
	}
	fake_publish(w->engine);
	free(text);
}

struct cli *wire_client(struct wire *w, bool delta)
{
	return cli_open(&(struct cli_options){.address = w->address, .delta = delta});
}

struct pd_xds_stats wire_stats(struct wire *w)
{
	struct pd_xds_stats s;

	pd_xds_stats(w->x, &s);
	return s;
}

void wire_wait_empty(struct wire *w)
{
	struct timespec nap = {.tv_nsec = 2000000};

	for (int i = 0; i < 10000 && wire_stats(w).streams; i++)
		nanosleep(&nap, NULL);
	PD_ASSERT(!wire_stats(w).streams);
}

void wire_wait_responses(struct wire *w, uint64_t n)
{
	struct timespec nap = {.tv_nsec = 2000000};

	for (int i = 0; i < 10000 && wire_stats(w).responses < n; i++)
		nanosleep(&nap, NULL);
	PD_ASSERT(wire_stats(w).responses == n);
}
