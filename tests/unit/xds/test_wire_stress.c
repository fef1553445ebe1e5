// Clients that connect, subscribe, stall and vanish at random while configuration changes. Two survivors acknowledge all they
// get; in the end they must have exactly what is configured, and the server must have forgotten everybody else.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pthread.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "tests/unit/xds/wire.h"

#define NAMES 24
#define DURATION_NS 6000000000ull
#define CLIENT_THREADS 8

static struct wire w;
static atomic_bool stop;

static unsigned roll(unsigned *seed, unsigned n)
{
	return (unsigned)rand_r(seed) % n;
}

static void nap_us(long us)
{
	nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

// ---- configuration -----------------------------------------------------------------------------------------------------

static int value[PD_TYPE_COUNT][NAMES]; // of the configuration thread; 0 = absent

static void *configure(void *arg)
{
	static const enum pd_type types[] = {PD_CDS, PD_EDS, PD_LDS, PD_RDS, PD_ECDS, PD_SDS};
	unsigned seed = 1;
	int next = 1;

	(void)arg;
	while (!atomic_load(&stop)) {
		for (unsigned n = 1 + roll(&seed, 4); n; n--) {
			enum pd_type t = types[roll(&seed, 6)];
			unsigned i = roll(&seed, NAMES);
			char name[8], text[3000];

			snprintf(name, sizeof(name), "n%02u", i);
			value[t][i] = roll(&seed, 5) ? next++ : 0;
			snprintf(text, sizeof(text), "%d.%0*d", value[t][i], roll(&seed, 2) ? 1 : 2500, 0);
			fake_set(w.engine, t, name, value[t][i] ? text : NULL);
		}
		if (roll(&seed, 10))
			fake_publish(w.engine);
		else
			fake_touch_all(w.engine);
		nap_us(roll(&seed, 4000));
	}
	fake_publish(w.engine);
	return NULL;
}

// ---- clients that come and go ------------------------------------------------------------------------------------------

static void some_names(unsigned *seed, char out[200])
{
	size_t n = 0;

	for (unsigned k = 1 + roll(seed, 8); k; k--)
		n += (size_t)snprintf(out + n, 200 - n, "n%02u ", roll(seed, NAMES + 2));
}

static void act(struct cli *c, bool delta, unsigned *seed)
{
	enum pd_type t = (enum pd_type)roll(seed, PD_TYPE_COUNT);
	char names[200], other[200];

	some_names(seed, names);
	some_names(seed, other);
	switch (roll(seed, 8)) {
	case 0:
	case 1:
	case 2:
		if (delta)
			cli_delta(c, t, roll(seed, 4) ? names : "*", roll(seed, 3) ? "" : other, "");
		else
			cli_sotw(c, t, pd_types[t].wildcard ? "" : names, roll(seed, 2) ? NULL : "", NULL);
		break;
	case 3:
	case 4:
		cli_next(c, (int)roll(seed, 20)); // without a word
		break;
	case 5:
		cli_next(c, (int)roll(seed, 5));
		cli_nack(c, t, "no");
		break;
	case 6:
		for (int i = 0; i < 5; i++)
			if (*cli_next(c, (int)roll(seed, 10)))
				cli_ack(c, t);
		break;
	case 7:
		nap_us(roll(seed, 10000)); // stalls
		break;
	}
}

static void *come_and_go(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	while (!atomic_load(&stop)) {
		bool delta = roll(&seed, 2);
		struct cli *c = cli_open(&(struct cli_options){.address = w.address,
							       .delta = delta,
							       .node = roll(&seed, 2) ? NULL : "sidecar~1~x~two.svc",
							       .window = roll(&seed, 2) ? 65535 : 0});

		for (unsigned n = roll(&seed, 30); n && cli_status(c, 0) < 0; n--)
			act(c, delta, &seed);
		if (!roll(&seed, 10))
			cli_bytes(c, "\xff\xff\xff", 3);
		else if (!roll(&seed, 5))
			cli_half_close(c);
		cli_close(c);
	}
	return NULL;
}

static void count_client(const struct pd_xds_client *c, void *arg)
{
	(void)c;
	++*(size_t *)arg;
}

static void count_resource(const struct pd_resource *r, bool current, void *arg)
{
	(void)current;
	*(size_t *)arg += r->delta_len;
}

static void *look(void *arg)
{
	size_t n = 0;

	(void)arg;
	while (!atomic_load(&stop)) {
		struct pd_xds_stats s;

		pd_xds_each_client(w.x, count_client, &n);
		(void)!pd_xds_dump(w.x, CLI_NODE, count_resource, &n);
		pd_xds_stats(w.x, &s);
		nap_us(3000);
	}
	return NULL;
}

// ---- survivors ---------------------------------------------------------------------------------------------------------

struct survivor {
	bool delta;
	struct cli *c;
	int has[PD_TYPE_COUNT][NAMES];
	enum pd_type last;
};

// "CDS{n01=17xxx,-n02}"
static void learn(struct survivor *s, const char *text)
{
	char *copy = pd_xstrdup(text), *p = strchr(copy, '{'), *save;
	enum pd_type t = 0;

	*p++ = 0;
	while (strcmp(pd_types[t].short_name, copy) != 0)
		t++;
	s->last = t;
	if (!s->delta && pd_types[t].wildcard)
		memset(s->has[t], 0, sizeof(s->has[t]));
	p[strcspn(p, "}")] = 0;
	for (char *word = strtok_r(p, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		bool gone = *word == '-';
		unsigned i = (unsigned)atoi(word + 1 + gone);

		assert_true(i < NAMES);
		s->has[t][i] = gone ? 0 : atoi(strchr(word, '=') + 1);
	}
	free(copy);
}

static void *survive(void *arg)
{
	struct survivor *s = arg;
	char names[NAMES * 4 + 1];
	int quiet = 0;

	for (int i = 0; i < NAMES; i++)
		snprintf(names + 4 * i, sizeof(names) - 4 * (size_t)i, "n%02d ", i);
	s->c = wire_client(&w, s->delta);
	for (enum pd_type t = PD_CDS; t <= PD_RDS; t++) {
		const char *what = pd_types[t].wildcard ? "" : names;

		if (s->delta)
			cli_delta(s->c, t, what, "", "");
		else
			cli_sotw(s->c, t, what, "", NULL);
	}
	while (quiet < 3) {
		const char *text = cli_next(s->c, 500);

		if (!*text) {
			quiet += atomic_load(&stop) && !wire_stats(&w).queue;
			continue;
		}
		quiet = 0;
		if (pd_has_prefix(text, "status"))
			fail_msg("%s", text);
		learn(s, text);
		cli_ack(s->c, s->last);
	}
	return NULL;
}

static void test_stress(void **state)
{
	struct survivor survivors[2] = {{.delta = false}, {.delta = true}};
	pthread_t t[CLIENT_THREADS + 4];
	struct pd_xds_config config;
	uint64_t until;
	size_t n = 0;

	(void)state;
	pd_xds_config_defaults(&config);
	config.ack_patience_ms = 50;
	config.send_timeout_ms = 2000;
	config.trim_after_ms = 20;
	config.trim_interval_ms = 200;
	config.streams_per_second = 0;
	wire_open(&w, &config);
	pthread_create(&t[n++], NULL, survive, &survivors[0]);
	pthread_create(&t[n++], NULL, survive, &survivors[1]);
	pthread_create(&t[n++], NULL, look, NULL);
	for (uintptr_t i = 0; i < CLIENT_THREADS; i++)
		pthread_create(&t[n++], NULL, come_and_go, (void *)(i + 100));
	pthread_create(&t[n++], NULL, configure, NULL);
	for (until = pd_now_ns() + DURATION_NS; pd_now_ns() < until;)
		nap_us(50000);
	atomic_store(&stop, true);
	for (size_t i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < 2; i++) {
		for (enum pd_type k = PD_CDS; k <= PD_RDS; k++)
			for (int j = 0; j < NAMES; j++)
				if (survivors[i].has[k][j] != value[k][j])
					fail_msg("%s %s n%02d: has %d, configured %d", i ? "delta" : "sotw",
						 pd_types[k].short_name, j, survivors[i].has[k][j], value[k][j]);
		cli_close(survivors[i].c);
	}
	wire_wait_empty(&w);
	assert_int_equal(wire_stats(&w).connected, 0);
	assert_int_equal(wire_stats(&w).name_sets, 0);
	print_message("%llu streams, %llu responses\n", (unsigned long long)wire_stats(&w).accepted,
		      (unsigned long long)wire_stats(&w).responses);
	wire_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_stress)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
