// kube-follow KUBECONFIG BASE/RESOURCE...
//
// Follows resources of an API server ("/api/v1/configmaps") with the client and the reflectors of k8s/, as pilotd does, and
// answers commands on its standard input:
//   state   a line "RESOURCE NAMESPACE/NAME VERSION" for each object known, then "."
//   stats   a line "RESOURCE {JSON}" for each resource, then "."
// Ends with its input. Kinds that Kubernetes brings are asked for in protobuf, others in JSON.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/mem.h"
#include "k8s/config.h"
#include "k8s/reflector.h"

#define RESOURCES_MAX 16

struct known {
	UT_hash_handle hh;
	char version[PD_K8S_RV_MAX];
	char key[]; // "namespace/name"
};

struct follow {
	const char *path; // "/api/v1/configmaps"
	const char *resource;
	char *base;
	struct pd_k8s_reflector *reflector;
	struct known *known;
	uint64_t puts, removes;
};

static struct {
	struct pd_k8s_client *client;
	struct follow follow[RESOURCES_MAX];
	size_t n;
} self;

static struct known *find(struct follow *f, const char *ns, const char *name, char *key, size_t cap)
{
	struct known *k;

	snprintf(key, cap, "%s/%s", ns, name);
	HASH_FIND_STR(f->known, key, k);
	return k;
}

static int put(void *user, const struct pd_k8s_item *item, struct pd_k8s_wire_error *err)
{
	struct follow *f = user;
	char key[PD_NAMESPACE_MAX + PD_NAME_MAX + 2];
	struct known *k = find(f, item->ns, item->name, key, sizeof(key));

	if (!pd_k8s_item_meta(item)) {
		snprintf(err->text, sizeof(err->text), "metadata that cannot be read");
		return PD_E_PARSE;
	}
	if (k)
		PD_ASSERT(strcmp(k->version, item->rv) != 0); // told twice
	if (!k) {
		k = pd_xcalloc(1, sizeof(*k) + strlen(key) + 1);
		memcpy(k->key, key, strlen(key) + 1);
		HASH_ADD_STR(f->known, key, k);
	}
	memcpy(k->version, item->rv, sizeof(k->version));
	f->puts++;
	return PD_OK;
}

static void remove_known(void *user, const char *ns, const char *name)
{
	struct follow *f = user;
	char key[PD_NAMESPACE_MAX + PD_NAME_MAX + 2];
	struct known *k = find(f, ns, name, key, sizeof(key));

	PD_ASSERT(k); // what was never told cannot go
	HASH_DEL(f->known, k);
	free(k);
	f->removes++;
}

static void flush(void *user, bool more)
{
	(void)user;
	(void)more;
}

static void changed(void *user)
{
	(void)user;
}

static bool is_builtin(const char *path)
{
	return pd_has_prefix(path, "/api/") || pd_has_prefix(path, "/apis/discovery.k8s.io/");
}

static void start(void *user)
{
	(void)user;
	for (size_t i = 0; i < self.n; i++) {
		struct follow *f = &self.follow[i];
		bool builtin = is_builtin(f->path);
		const struct pd_k8s_reflector_config cfg = {
			.title = f->path,
			.base = f->base,
			.resource = f->resource,
			.accept = builtin ? PD_K8S_PROTOBUF : NULL,
			.accept_watch = builtin ? PD_K8S_PROTOBUF_WATCH : NULL,
			.transport = pd_k8s_transport_of(self.client),
			.handler = {.user = f, .put = put, .remove = remove_known, .flush = flush, .changed = changed},
		};

		f->reflector = pd_k8s_reflector_new(&cfg);
	}
}

static void stop(void *user)
{
	(void)user;
	for (size_t i = 0; i < self.n; i++) {
		pd_k8s_reflector_free(&self.follow[i].reflector, true);
		PD_ASSERT(!self.follow[i].known); // forgotten, each
	}
}

static void print_state(void *user)
{
	struct known *k, *next;

	(void)user;
	for (size_t i = 0; i < self.n; i++)
		HASH_ITER(hh, self.follow[i].known, k, next)
	printf("%s %s %s\n", self.follow[i].resource, k->key, k->version);
	puts(".");
	fflush(stdout);
}

static void print_stats(void *user)
{
	(void)user;
	for (size_t i = 0; i < self.n; i++) {
		const struct follow *f = &self.follow[i];
		const struct pd_k8s_reflector_status *s = pd_k8s_reflector_status(f->reflector);

		printf("%s {\"phase\": %d, \"synced\": %d, \"objects\": %zu, \"puts\": %" PRIu64
		       ", \"removes\": %" PRIu64 ", \"lists\": %" PRIu64 ", \"streamed\": %" PRIu64
		       ", \"watches\": %" PRIu64 ", \"events\": %" PRIu64 ", \"repeated\": %" PRIu64
		       ", \"unchanged\": %" PRIu64 ", \"expired\": %" PRIu64 ", \"failures\": %" PRIu64
		       ", \"broken\": %" PRIu64 ", \"skipped\": %" PRIu64 "}\n",
		       f->resource, s->phase, s->synced, s->objects, f->puts, f->removes, s->lists, s->streamed,
		       s->watches, s->events, s->repeated, s->unchanged, s->expired, s->failures, s->broken,
		       s->skipped);
	}
	puts(".");
	fflush(stdout);
}

static void on_loop(void (*fn)(void *user))
{
	if (pd_k8s_post(self.client, fn, NULL) != PD_OK)
		exit(1);
}

static void add(const char *path)
{
	const char *slash = strrchr(path, '/');
	struct follow *f = &self.follow[self.n++];

	if (self.n == RESOURCES_MAX || !slash || slash == path) {
		fprintf(stderr, "kube-follow: %s: too many, or no BASE/RESOURCE\n", path);
		exit(2);
	}
	f->path = path;
	f->resource = slash + 1;
	f->base = strndup(path, (size_t)(slash - path));
}

int main(int argc, char **argv)
{
	struct pd_k8s_config *config;
	struct pd_buf err = {0};
	char line[64];

	if (argc < 3) {
		fputs("usage: kube-follow KUBECONFIG BASE/RESOURCE...\n", stderr);
		return 2;
	}
	for (int i = 2; i < argc; i++)
		add(argv[i]);
	if (pd_k8s_config_load(&(struct pd_k8s_config_options){.kubeconfig = argv[1]}, &config, &err) != PD_OK) {
		fprintf(stderr, "kube-follow: %s\n", err.p);
		pd_buf_free(&err);
		return 1;
	}
	if (pd_k8s_client_new(&(struct pd_k8s_client_options){.config = config}, &self.client) != PD_OK)
		return 1;
	on_loop(start);
	while (fgets(line, sizeof(line), stdin))
		on_loop(strcmp(line, "stats\n") == 0 ? print_stats : print_state);
	on_loop(stop);
	pd_k8s_client_free(&self.client);
	for (size_t i = 0; i < self.n; i++)
		free(self.follow[i].base);
	return 0;
}
