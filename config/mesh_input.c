#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/str.h"
#include "config/mesh.h"

struct text {
	char *text; // the last good one, or NULL
	size_t len;
	char *origin;
};

struct pd_mesh_input {
	struct pd_issues *issues;
	void (*changed)(struct pd_mesh *, void *);
	void *arg;
	pthread_mutex_t lock;
	bool ready;
	struct text texts[2][2]; // by part and by where it comes from
	bool told;
	uint64_t hash; // of the mesh that was told last
};

struct pd_mesh_input *pd_mesh_input_new(struct pd_issues *issues, void (*changed)(struct pd_mesh *, void *), void *arg)
{
	struct pd_mesh_input *in = pd_xcalloc(1, sizeof(*in));

	in->issues = issues;
	in->changed = changed;
	in->arg = arg;
	pthread_mutex_init(&in->lock, NULL);
	return in;
}

static void drop(struct text *t)
{
	free(t->text);
	free(t->origin);
	*t = (struct text){0};
}

void pd_mesh_input_free(struct pd_mesh_input **inp)
{
	struct pd_mesh_input *in = *inp;

	*inp = NULL;
	if (!in)
		return;
	for (size_t i = 0; i < 4; i++)
		drop(&in->texts[i / 2][i % 2]);
	pthread_mutex_destroy(&in->lock);
	free(in);
}

static struct text in_force(const struct pd_mesh_input *in, enum pd_mesh_part part)
{
	const struct text *file = &in->texts[part][PD_MESH_FROM_FILE],
			  *cluster = &in->texts[part][PD_MESH_FROM_CLUSTER];

	if (file->text)
		return *file;
	return cluster->text ? *cluster : (struct text){"", 0, "defaults"};
}

// Both texts were good when they came: what fails now fails for lack of memory, and that aborts.
static void tell(struct pd_mesh_input *in)
{
	struct text config = in_force(in, PD_MESH_CONFIG), networks = in_force(in, PD_MESH_NETWORKS);
	struct pd_mesh *mesh;

	PD_ASSERT(pd_mesh_parse(config.text, config.len, config.origin, in->issues, &mesh) == PD_OK);
	if (networks.len) {
		PD_ASSERT(pd_mesh_networks_parse(networks.text, networks.len, networks.origin, in->issues,
						 &mesh->networks) == PD_OK);
		mesh->hash = pd_hash_mix(mesh->hash, mesh->networks->hash);
	}
	if (in->told && mesh->hash == in->hash) {
		pd_obj_unref(mesh);
		return;
	}
	in->told = true;
	in->hash = mesh->hash;
	in->changed(mesh, in->arg);
}

static bool good(struct pd_mesh_input *in, enum pd_mesh_part part, const char *text, size_t len, const char *origin)
{
	struct pd_mesh *mesh = NULL;
	struct pd_mesh_networks *networks = NULL;
	int rc = part == PD_MESH_CONFIG ? pd_mesh_parse(text, len, origin, in->issues, &mesh)
					: pd_mesh_networks_parse(text, len, origin, in->issues, &networks);

	pd_obj_unref(mesh);
	pd_obj_unref(networks);
	return rc == PD_OK;
}

void pd_mesh_input_text(struct pd_mesh_input *in, enum pd_mesh_part part, enum pd_mesh_from from, const char *text,
			size_t len, const char *origin)
{
	struct text *t = &in->texts[part][from];

	if (!text && from == PD_MESH_FROM_FILE)
		return;
	pthread_mutex_lock(&in->lock);
	pd_issues_clear(in->issues, origin);
	if (!text) {
		drop(t);
	} else if (good(in, part, text, len, origin)) {
		drop(t);
		*t = (struct text){pd_xstrndup(text, len), len, pd_xstrdup(origin)};
	}
	if (in->ready)
		tell(in);
	pthread_mutex_unlock(&in->lock);
}

void pd_mesh_input_ready(struct pd_mesh_input *in)
{
	pthread_mutex_lock(&in->lock);
	in->ready = true;
	tell(in);
	pthread_mutex_unlock(&in->lock);
}
