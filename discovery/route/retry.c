// Retry policies. (reference: §5, "Retry default")
#include <ctype.h>
#include <stdlib.h>

#include "api/pb.h"
#include "base/str.h"
#include "discovery/route/route.h"
#include "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.pb-c.h"
#include "envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config.pb-c.h"

enum { DEFAULT_ATTEMPTS = 2, HOST_SELECTION_ATTEMPTS = 5, PREVIOUS_PRIORITIES_FREQUENCY = 2 };
static const char default_retry_on[] = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

static void add_previous_hosts(struct pd_arena *a, EnvRetryPolicy *p)
{
	Envoy__Config__Route__V3__RetryPolicy__RetryHostPredicate *predicate =
		pb_new(a, &envoy__config__route__v3__retry_policy__retry_host_predicate__descriptor);
	predicate->name = "envoy.retry_host_predicates.previous_hosts";
	predicate->config_type_case =
		ENVOY__CONFIG__ROUTE__V3__RETRY_POLICY__RETRY_HOST_PREDICATE__CONFIG_TYPE_TYPED_CONFIG;
	predicate->typed_config = pb_any(
		a,
		pb_new(a, &envoy__extensions__retry__host__previous_hosts__v3__previous_hosts_predicate__descriptor));
	PB_PUSH(a, p, retry_host_predicate, predicate);
}

static void set_previous_priorities(struct pd_arena *a, EnvRetryPolicy *p)
{
	Envoy__Extensions__Retry__Priority__PreviousPriorities__V3__PreviousPrioritiesConfig *config = pb_new(
		a,
		&envoy__extensions__retry__priority__previous_priorities__v3__previous_priorities_config__descriptor);
	config->update_frequency = PREVIOUS_PRIORITIES_FREQUENCY;
	p->retry_priority = pb_new(a, &envoy__config__route__v3__retry_policy__retry_priority__descriptor);
	p->retry_priority->name = "envoy.retry_priorities.previous_priorities";
	p->retry_priority->config_type_case =
		ENVOY__CONFIG__ROUTE__V3__RETRY_POLICY__RETRY_PRIORITY__CONFIG_TYPE_TYPED_CONFIG;
	p->retry_priority->typed_config = pb_any(a, config);
}

static bool parse_status(const char *s, uint32_t *code)
{
	char *end;
	unsigned long v = strtoul(s, &end, 10);
	if (!isdigit((unsigned char)*s) || *end || v < 100 || v > 599)
		return false;
	*code = (uint32_t)v;
	return true;
}

// "503,reset" -> "reset,retriable-status-codes" and [503]. Codes alone leave a comma in front, which Envoy does not mind.
static void set_retry_on(struct pd_arena *a, EnvRetryPolicy *p, const char *text)
{
	struct pd_buf out = {0};
	bool named = false;
	while (*text) {
		size_t n = strcspn(text, ",");
		const char *from = text, *to = text + n;
		while (from < to && isspace((unsigned char)*from))
			from++;
		while (to > from && isspace((unsigned char)to[-1]))
			to--;
		char *item = pd_arena_strndup(a, from, (size_t)(to - from));
		uint32_t code;
		if (parse_status(item, &code)) {
			PB_PUSH(a, p, retriable_status_codes, code);
		} else if (*item) {
			named |= pd_streq(item, "retriable-status-codes");
			pd_buf_printf(&out, "%s%s", out.n ? "," : "", item);
		}
		text += n + (text[n] == ',');
	}
	if (p->n_retriable_status_codes && !named)
		pd_buf_adds(&out, ",retriable-status-codes");
	p->retry_on = pd_arena_strdup(a, out.p ? out.p : "");
	pd_buf_free(&out);
}

EnvRetryPolicy *pd_route_retry(struct pd_tx *tx, const Istio__HTTPRetry *retries, bool hashed)
{
	struct pd_arena *a = tx->arena;
	if (!retries)
		retries = tx_mesh(tx)->default_http_retry_policy;
	if (retries && retries->attempts <= 0)
		return NULL;
	EnvRetryPolicy *p = pb_new(a, &envoy__config__route__v3__retry_policy__descriptor);
	p->num_retries = pb_u32(a, retries ? (uint32_t)retries->attempts : DEFAULT_ATTEMPTS);
	p->host_selection_retry_max_attempts = HOST_SELECTION_ATTEMPTS;
	p->retry_on = (char *)default_retry_on;
	// With a hash the next attempt goes to the same host, unless the rule says otherwise.
	bool other_hosts = !hashed;
	if (retries && retries->retry_ignore_previous_hosts)
		other_hosts = retries->retry_ignore_previous_hosts->value;
	if (other_hosts)
		add_previous_hosts(a, p);
	if (!retries)
		return p;
	if (!pd_empty(retries->retry_on))
		set_retry_on(a, p, retries->retry_on);
	p->per_try_timeout = (Google__Protobuf__Duration *)retries->per_try_timeout;
	if (retries->backoff) {
		p->retry_back_off = pb_new(a, &envoy__config__route__v3__retry_policy__retry_back_off__descriptor);
		p->retry_back_off->base_interval = (Google__Protobuf__Duration *)retries->backoff;
	}
	if (retries->retry_remote_localities && retries->retry_remote_localities->value)
		set_previous_priorities(a, p);
	return p;
}
