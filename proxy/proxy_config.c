#include "proxy/proxy_config.h"

#include <stdlib.h>
#include <string.h>

#include "api/codec.h"
#include "api/pb.h"
#include "istio/mesh/proxy.pb-c.h"

static const char **list(struct pd_arena *a, char **v, size_t n)
{
	const char **out = n ? PD_NEWN(a, const char *, n + 1) : NULL;
	for (size_t i = 0; i < n; i++)
		out[i] = v[i];
	return out;
}

static void take(struct pd_arena *a, const Istio__ProxyConfig *m, struct pd_proxy_config *out)
{
	out->discovery = m->discovery_address;
	out->binary = m->binary_path;
	out->config_path = m->config_path;
	if (m->cluster_name_case == ISTIO__PROXY_CONFIG__CLUSTER_NAME_SERVICE_CLUSTER)
		out->service_cluster = m->service_cluster;
	out->admin_port = m->proxy_admin_port;
	out->status_port = m->status_port;
	if (m->concurrency)
		out->concurrency = m->concurrency->value;
	if (m->drain_duration)
		out->drain_ns = pb_duration_ns(m->drain_duration);
	if (m->termination_drain_duration)
		out->termination_ns = pb_duration_ns(m->termination_drain_duration);
	if (m->tracing && m->tracing->tracer_case == ISTIO__TRACING__TRACER_ZIPKIN && *m->tracing->zipkin->address)
		out->zipkin = m->tracing->zipkin->address;
	if (m->tracing && m->tracing->tracer_case == ISTIO__TRACING__TRACER_DATADOG && *m->tracing->datadog->address)
		out->datadog = m->tracing->datadog->address;
	if (m->proxy_stats_matcher) {
		const Istio__ProxyConfig__ProxyStatsMatcher *s = m->proxy_stats_matcher;
		out->stats_prefixes = list(a, s->inclusion_prefixes, s->n_inclusion_prefixes);
		out->stats_suffixes = list(a, s->inclusion_suffixes, s->n_inclusion_suffixes);
		out->stats_regexes = list(a, s->inclusion_regexps, s->n_inclusion_regexps);
	}
	for (size_t i = 0; i < m->n_proxy_metadata; i++)
		if (*m->proxy_metadata[i]->key && !strchr(m->proxy_metadata[i]->key, '='))
			setenv(m->proxy_metadata[i]->key, m->proxy_metadata[i]->value, 1);
}

int pd_proxy_config_read(struct pd_arena *a, const char *json, struct pd_proxy_config *out, struct pd_buf *err)
{
	struct pd_codec codec = {.arena = a, .policy = PD_CODEC_LENIENT};
	struct pd_json *tree;
	struct pd_json_error why;
	void *m;
	*out = (struct pd_proxy_config){.concurrency = -1,
					.drain_ns = 45 * 1000000000ll,
					.termination_ns = 5 * 1000000000ll};
	if (pd_empty(json))
		return PD_OK;
	int rc = pd_json_parse(a, json, strlen(json), &tree, &why);
	if (rc != PD_OK) {
		pd_buf_printf(err, "PROXY_CONFIG: %s", why.text);
		return rc;
	}
	rc = pd_codec_decode(&codec, tree, &istio__proxy_config__descriptor, &m);
	if (rc != PD_OK) {
		pd_buf_adds(err, "PROXY_CONFIG: ");
		pd_codec_print_errors(err, &codec);
		return rc;
	}
	out->no_auth = pd_streq(pd_json_get_string(tree, "controlPlaneAuthPolicy"), "NONE");
	take(a, m, out);
	return PD_OK;
}
