// Discovery, pass by pass. A pass asks one path after the other; what it finds counts when the last has answered, and then as
// a whole. There is one timer, for the next pass.
#include "k8s/kinds.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define SOON_MS 50 // several definitions mostly come together

#define AGGREGATED                                                                                                     \
	"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"                                        \
	"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
#define PARTIAL(what) PD_K8S_PROTOBUF ";as=" what ";g=meta.k8s.io;v=v1," PD_K8S_JSON ";as=" what ";g=meta.k8s.io;v=v1"

struct pd_k8s_kinds {
	char *title;
	struct pd_k8s_transport transport;
	void (*changed)(void *user);
	void *user;
	struct pd_k8s_reflector *definitions;
	struct pd_k8s_served served;
	bool known;
	enum { UNHEARD, DEFINED, GONE } definition[PD_KIND_COUNT];
	bool again;      // something changed during the pass
	unsigned settle; // further looks
	unsigned failures;
	uint64_t call, timer;
	// of the current pass
	struct pd_arena arena;
	struct pd_k8s_served found;
	struct pd_k8s_paths paths;
	size_t at;
};

static void next_path(struct pd_k8s_kinds *k);

static bool waits_for_definition(const struct pd_k8s_kinds *k)
{
	for (int i = 0; i < PD_KIND_COUNT; i++)
		if (k->definition[i] == (k->served.version[i] ? GONE : DEFINED))
			return true;
	return false;
}

// ---- passes ---------------------------------------------------------------------------------------------------------

static void pass_begin(void *user)
{
	struct pd_k8s_kinds *k = user;

	k->timer = 0;
	k->again = false;
	pd_arena_free(&k->arena);
	k->found = (struct pd_k8s_served){0};
	k->paths = (struct pd_k8s_paths){0};
	k->at = 0;
	pd_vec_push_a(&k->arena, &k->paths.list, "/apis");
	pd_vec_push_a(&k->arena, &k->paths.list, "/api");
	next_path(k);
}

static void pass_in(struct pd_k8s_kinds *k, uint64_t ms)
{
	k->transport.timer_cancel(k->transport.ctx, k->timer);
	k->timer = k->transport.after(k->transport.ctx, ms, pass_begin, k);
}

static void pass_failed(struct pd_k8s_kinds *k, const char *path, const char *why)
{
	if (!k->failures)
		pd_warn("k8s", "%s: discovery: %s: %s", k->title, path, why);
	pass_in(k, pd_k8s_backoff(k->failures++, PD_K8S_BACKOFF_MIN_MS, PD_K8S_KINDS_RETRY_MAX_MS));
}

static void pass_done(struct pd_k8s_kinds *k)
{
	bool differs = !k->known || memcmp(&k->served, &k->found, sizeof(k->found)) != 0;
	bool blind = !pd_k8s_reflector_status(k->definitions)->synced;

	k->served = k->found;
	k->known = true;
	k->failures = 0;
	pd_arena_free(&k->arena);
	if (k->again) {
		pass_in(k, SOON_MS);
	} else if (k->settle && waits_for_definition(k)) {
		k->settle--;
		pass_in(k, 200u << (PD_K8S_KINDS_SETTLE - k->settle)); // 0.4 s to 6.4 s
	} else {
		pass_in(k, blind ? PD_K8S_KINDS_POLL_BLIND_MS : PD_K8S_KINDS_POLL_MS);
	}
	if (differs)
		k->changed(k->user);
}

// What a group that does not answer served before, it serves still.
static void keep_group(struct pd_k8s_kinds *k, const char *path)
{
	struct pd_buf base = {0};

	for (int i = 0; i < PD_KIND_COUNT; i++) {
		if (!k->served.version[i] || k->found.version[i])
			continue;
		pd_buf_reset(&base);
		pd_k8s_kind_base((enum pd_kind)i, k->served.version[i], &base);
		if (pd_streq(base.p, path))
			k->found.version[i] = k->served.version[i];
	}
	pd_buf_free(&base);
}

// PD_OK: the answer is in `found`, or is left out. Else the pass is over, and *why says why.
static int take_answer(struct pd_k8s_kinds *k, const char *path, const struct pd_k8s_result *result, const char **why)
{
	bool of_group = strchr(path + 1, '/') != NULL;
	int rc;

	*why = result->status.message;
	if (result->err && of_group) {
		keep_group(k, path);
		return PD_OK;
	}
	if (result->code == 404) // a server without built-in kinds has no /api
		return PD_OK;
	if (result->err)
		return result->err;
	*why = "not an answer of discovery";
	rc = pd_k8s_discovery_read(result->body, result->body_len, &k->arena, &k->found, &k->paths);
	return rc == PD_E_AGAIN ? PD_OK : rc;
}

static void on_answer(void *user, const struct pd_k8s_result *result)
{
	struct pd_k8s_kinds *k = user;
	const char *path = k->paths.list.v[k->at], *why;

	k->call = 0;
	if (take_answer(k, path, result, &why)) {
		pass_failed(k, path, why);
		return;
	}
	k->at++;
	next_path(k);
}

static void next_path(struct pd_k8s_kinds *k)
{
	struct pd_k8s_request req = {.accept = AGGREGATED, .gzip = true, .on_done = on_answer, .user = k};

	if (k->at == k->paths.list.n) {
		pass_done(k);
		return;
	}
	req.path = k->paths.list.v[k->at];
	k->call = k->transport.call(k->transport.ctx, &req);
}

void pd_k8s_kinds_refresh(struct pd_k8s_kinds *k)
{
	k->settle = PD_K8S_KINDS_SETTLE;
	if (k->call)
		k->again = true;
	else
		pass_in(k, SOON_MS);
}

// ---- definitions ----------------------------------------------------------------------------------------------------

// The first list comes beside the first pass: only what that did not find is looked for again.
static void define(struct pd_k8s_kinds *k, const char *name, bool there)
{
	enum pd_kind kind;
	bool news;

	if (pd_k8s_kind_of_definition(name, &kind))
		return;
	news = !k->definitions || pd_k8s_reflector_status(k->definitions)->synced;
	k->definition[kind] = there ? DEFINED : GONE;
	k->settle = PD_K8S_KINDS_SETTLE;
	if (news || (k->known && !k->served.version[kind]))
		pd_k8s_kinds_refresh(k);
}

static int on_put(void *user, const struct pd_k8s_item *item, struct pd_k8s_wire_error *why)
{
	(void)why;
	define(user, item->name, true);
	return PD_OK;
}

static void on_remove(void *user, const char *ns, const char *name)
{
	(void)ns;
	define(user, name, false);
}

static void on_flush(void *user, bool more)
{
	(void)user;
	(void)more;
}

static void on_change(void *user)
{
	(void)user;
}

struct pd_k8s_kinds *pd_k8s_kinds_new(const struct pd_k8s_kinds_config *cfg)
{
	struct pd_k8s_kinds *k = pd_xcalloc(1, sizeof(*k));
	struct pd_k8s_reflector_config r = {.base = "/apis/apiextensions.k8s.io/v1",
					    .resource = "customresourcedefinitions",
					    .accept = PARTIAL("PartialObjectMetadataList"),
					    .accept_watch = PARTIAL("PartialObjectMetadata"),
					    .transport = cfg->transport,
					    .handler = {k, on_put, on_remove, NULL, on_flush, on_change}};

	char *title = pd_xasprintf("%s: customresourcedefinitions.apiextensions.k8s.io", cfg->title);

	k->title = pd_xstrdup(cfg->title);
	k->transport = cfg->transport;
	k->changed = cfg->changed;
	k->user = cfg->user;
	r.title = title;
	k->definitions = pd_k8s_reflector_new(&r);
	free(title);
	pass_begin(k);
	return k;
}

void pd_k8s_kinds_free(struct pd_k8s_kinds **kp)
{
	struct pd_k8s_kinds *k = *kp;

	if (!k)
		return;
	*kp = NULL;
	k->transport.cancel(k->transport.ctx, k->call);
	k->transport.timer_cancel(k->transport.ctx, k->timer);
	pd_k8s_reflector_free(&k->definitions, false);
	pd_arena_free(&k->arena);
	free(k->title);
	free(k);
}

bool pd_k8s_kinds_known(const struct pd_k8s_kinds *k)
{
	return k->known;
}

const char *pd_k8s_kinds_version(const struct pd_k8s_kinds *k, enum pd_kind kind)
{
	return k->served.version[kind];
}

const struct pd_k8s_reflector_status *pd_k8s_kinds_status(const struct pd_k8s_kinds *k)
{
	return pd_k8s_reflector_status(k->definitions);
}
