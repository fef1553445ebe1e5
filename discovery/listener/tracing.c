#include "discovery/listener/tracing.h"

#include <stdlib.h>

#include "base/str.h"
#include "envoy/type/tracing/v3/custom_tag.pb-c.h"

typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager__Tracing HttpTracing;
typedef Envoy__Type__Tracing__V3__CustomTag CustomTag;

static Envoy__Type__V3__Percent *percent(struct pd_arena *a, double v)
{
	Envoy__Type__V3__Percent *p = pb_new(a, &envoy__type__v3__percent__descriptor);
	p->value = v;
	return p;
}

// ---- tags ------------------------------------------------------------------------------------------------------------------

static CustomTag *literal(struct pd_arena *a, const char *tag, const char *value)
{
	CustomTag *t = pb_new(a, &envoy__type__tracing__v3__custom_tag__descriptor);
	t->tag = (char *)tag;
	t->type_case = ENVOY__TYPE__TRACING__V3__CUSTOM_TAG__TYPE_LITERAL;
	t->literal = pb_new(a, &envoy__type__tracing__v3__custom_tag__literal__descriptor);
	t->literal->value = (char *)value;
	return t;
}

// What the RBAC filter noted about a policy on trial.
static CustomTag *dry_run(struct pd_arena *a, const char *tag, const char *key)
{
	CustomTag *t = pb_new(a, &envoy__type__tracing__v3__custom_tag__descriptor);
	Envoy__Type__Metadata__V3__MetadataKind *kind =
		pb_new(a, &envoy__type__metadata__v3__metadata_kind__descriptor);
	Envoy__Type__Metadata__V3__MetadataKey *where = pb_new(a, &envoy__type__metadata__v3__metadata_key__descriptor);
	Envoy__Type__Metadata__V3__MetadataKey__PathSegment *segment =
		pb_new(a, &envoy__type__metadata__v3__metadata_key__path_segment__descriptor);
	kind->kind_case = ENVOY__TYPE__METADATA__V3__METADATA_KIND__KIND_REQUEST;
	kind->request = pb_new(a, &envoy__type__metadata__v3__metadata_kind__request__descriptor);
	segment->segment_case = ENVOY__TYPE__METADATA__V3__METADATA_KEY__PATH_SEGMENT__SEGMENT_KEY;
	segment->key = (char *)key;
	where->key = "envoy.filters.http.rbac";
	PB_PUSH(a, where, path, segment);
	t->tag = (char *)tag;
	t->type_case = ENVOY__TYPE__TRACING__V3__CUSTOM_TAG__TYPE_METADATA;
	t->metadata = pb_new(a, &envoy__type__tracing__v3__custom_tag__metadata__descriptor);
	t->metadata->kind = kind;
	t->metadata->metadata_key = where;
	return t;
}

static void add_istio_tags(struct pd_tx *tx, HttpTracing *t)
{
#define DRY_RUN "istio.authorization.dry_run."
	static const char *const policy_tags[][2] = {
		{DRY_RUN "allow_policy.name", "istio_dry_run_allow_shadow_effective_policy_id"},
		{DRY_RUN "allow_policy.result", "istio_dry_run_allow_shadow_engine_result"},
		{DRY_RUN "deny_policy.name", "istio_dry_run_deny_shadow_effective_policy_id"},
		{DRY_RUN "deny_policy.result", "istio_dry_run_deny_shadow_engine_result"},
	};
	struct pd_arena *a = tx->arena;
	const struct pd_labels *l = &tx->view->labels;
	const char *revision = pd_labels_get(l, "service.istio.io/canonical-revision");
	const char *service = pd_labels_get(l, "service.istio.io/canonical-name");
	for (size_t i = 0; i < sizeof(policy_tags) / sizeof(policy_tags[0]); i++)
		PB_PUSH(a, t, custom_tags, dry_run(a, policy_tags[i][0], policy_tags[i][1]));
	PB_PUSH(a, t, custom_tags, literal(a, "istio.canonical_revision", pd_or(revision, "latest")));
	PB_PUSH(a, t, custom_tags, literal(a, "istio.canonical_service", pd_or(service, "unknown")));
	PB_PUSH(a, t, custom_tags, literal(a, "istio.cluster_id", pd_or(tx->key->cluster, "unknown")));
	PB_PUSH(a, t, custom_tags, literal(a, "istio.mesh_id", pd_or(tx->view->mesh_id, "unknown")));
	PB_PUSH(a, t, custom_tags, literal(a, "istio.namespace", pd_or(tx->key->ns, "default")));
}

static CustomTag *user_tag(struct pd_arena *a, const char *name, const Istio__Tracing__CustomTag *from)
{
	CustomTag *t;
	switch (from ? from->type_case : ISTIO__TRACING__CUSTOM_TAG__TYPE__NOT_SET) {
	case ISTIO__TRACING__CUSTOM_TAG__TYPE_LITERAL:
		return literal(a, name, from->literal->value);
	case ISTIO__TRACING__CUSTOM_TAG__TYPE_ENVIRONMENT:
		t = pb_new(a, &envoy__type__tracing__v3__custom_tag__descriptor);
		t->type_case = ENVOY__TYPE__TRACING__V3__CUSTOM_TAG__TYPE_ENVIRONMENT;
		t->environment = pb_new(a, &envoy__type__tracing__v3__custom_tag__environment__descriptor);
		t->environment->name = from->environment->name;
		t->environment->default_value = from->environment->default_value;
		break;
	case ISTIO__TRACING__CUSTOM_TAG__TYPE_HEADER:
		t = pb_new(a, &envoy__type__tracing__v3__custom_tag__descriptor);
		t->type_case = ENVOY__TYPE__TRACING__V3__CUSTOM_TAG__TYPE_REQUEST_HEADER;
		t->request_header = pb_new(a, &envoy__type__tracing__v3__custom_tag__header__descriptor);
		t->request_header->name = from->header->name;
		t->request_header->default_value = from->header->default_value;
		break;
	default:
		return NULL;
	}
	t->tag = (char *)name;
	return t;
}

static int cmp_tag(const void *x, const void *y)
{
	return strcmp((*(CustomTag *const *)x)->tag, (*(CustomTag *const *)y)->tag);
}

static void add_user_tags(struct pd_arena *a, HttpTracing *t, const Istio__Tracing *from)
{
	for (size_t i = 0; i < from->n_custom_tags; i++) {
		CustomTag *tag = user_tag(a, from->custom_tags[i]->key, from->custom_tags[i]->value);
		if (tag)
			PB_PUSH(a, t, custom_tags, tag);
	}
	if (t->n_custom_tags)
		qsort(t->custom_tags, t->n_custom_tags, sizeof(*t->custom_tags), cmp_tag);
}

// ---- the message -----------------------------------------------------------------------------------------------------------

static double sampling(const struct pd_tx *tx, const Istio__Tracing *t)
{
	if (!t || t->sampling == 0)
		return tx->snap->settings->trace_sampling;
	return t->sampling > 100 ? 1 : t->sampling; // istiod takes a senseless value for its default
}

void pd_http_tracing(struct pd_tx *tx, const Istio__ProxyConfig *pc, EnvoyHttpManager *hcm)
{
	struct pd_arena *a = tx->arena;
	const Istio__Tracing *from = pc->tracing;
	if (!tx_mesh(tx)->enable_tracing)
		return;
	HttpTracing *t = pb_new(
		a,
		&envoy__extensions__filters__network__http_connection_manager__v3__http_connection_manager__tracing__descriptor);
	t->client_sampling = percent(a, 100);
	t->overall_sampling = percent(a, 100);
	t->random_sampling = percent(a, sampling(tx, from));
	if (!from || !from->enable_istio_tags || from->enable_istio_tags->value)
		add_istio_tags(tx, t);
	if (from && from->n_custom_tags)
		add_user_tags(a, t, from);
	if (from && from->max_path_tag_length)
		t->max_path_tag_length = pb_u32(a, from->max_path_tag_length);
	hcm->tracing = t;
}
