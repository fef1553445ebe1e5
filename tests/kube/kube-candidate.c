// kube-candidate KUBECONFIG IDENTITY lease|configmap NAME
//
// A candidate for the lock NAME in the namespace default, with a lease of 3 s that is renewed within 2 s and looked at every
// half second. As long as it leads it prints the monotonic clock in milliseconds every 10 ms, as a writer would write.
// SIGTERM: gives the lock back and ends with 0.
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "k8s/config.h"
#include "k8s/leader.h"

static volatile sig_atomic_t ending;

static void on_signal(int number)
{
	(void)number;
	ending = 1;
}

static void lead(struct pd_k8s_leader *leader)
{
	const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};

	while (!ending) {
		uint64_t now = pd_now_ms(); // before the question: a pause behind it must not make the answer newer

		if (pd_k8s_leader_is(leader)) {
			printf("%" PRIu64 "\n", now);
			fflush(stdout);
		}
		nanosleep(&pause, NULL);
	}
}

static int run(struct pd_k8s_client *client, char **argv)
{
	const struct pd_k8s_leader_options options = {.client = client,
						      .ns = "default",
						      .name = argv[4],
						      .identity = argv[2],
						      .config_map = strcmp(argv[3], "configmap") == 0,
						      .lease_ms = 3000,
						      .renew_ms = 2000,
						      .retry_ms = 500};
	struct pd_k8s_leader *leader;

	if (pd_k8s_leader_new(&options, &leader) != PD_OK)
		return 1;
	lead(leader);
	pd_k8s_leader_free(&leader);
	return 0;
}

int main(int argc, char **argv)
{
	const struct sigaction action = {.sa_handler = on_signal};
	struct pd_k8s_client_options options = {0};
	struct pd_k8s_client *client;
	struct pd_buf err = {0};
	int status;

	if (argc != 5) {
		fputs("usage: kube-candidate KUBECONFIG IDENTITY lease|configmap NAME\n", stderr);
		return 2;
	}
	sigaction(SIGTERM, &action, NULL);
	if (pd_k8s_config_load(&(struct pd_k8s_config_options){.kubeconfig = argv[1]}, &options.config, &err) !=
	    PD_OK) {
		fprintf(stderr, "kube-candidate: %s\n", err.p);
		pd_buf_free(&err);
		return 1;
	}
	if (pd_k8s_client_new(&options, &client) != PD_OK)
		return 1;
	status = run(client, argv);
	pd_k8s_client_free(&client);
	return status;
}
