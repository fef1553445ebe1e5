#include "xds/flags.h"

static struct {
	int64_t debounce_after, debounce_max, push_throttle, send_timeout, keepalive, keepalive_timeout, max_age;
	double requests_per_second;
	bool eds_debounce, auth, auth_plaintext, identity_check;
} values;

#define DAY_NS (24 * 3600 * 1000000000ll)

// clang-format off
const struct pd_flag pd_xds_env[] = {
	{.name = "PILOT_DEBOUNCE_AFTER", .type = PD_FLAG_DURATION, .target = &values.debounce_after, .def = "100ms", .min = 0, .max = DAY_NS,
	 .help = "Changes that came while a push is under way wait no longer than this after the last of them"},
	{.name = "PILOT_DEBOUNCE_MAX", .type = PD_FLAG_DURATION, .target = &values.debounce_max, .def = "10s", .min = 0, .max = DAY_NS,
	 .help = "... and no longer than this after the first"},
	{.name = "PILOT_ENABLE_EDS_DEBOUNCE", .type = PD_FLAG_BOOL, .target = &values.eds_debounce, .def = "true",
	 .help = "If false, changes of endpoints wait for nothing"},
	{.name = "PILOT_PUSH_THROTTLE", .type = PD_FLAG_INT, .target = &values.push_throttle, .def = "0", .min = 0, .max = 1024,
	 .help = "Most pushes that are computed at a time; 0 = as many as there are CPUs"},
	{.name = "PILOT_MAX_REQUESTS_PER_SECOND", .type = PD_FLAG_FLOAT, .target = &values.requests_per_second, .def = "0",
	 .help = "New streams per second; 0 = by the number of CPUs"},
	{.name = "PILOT_XDS_SEND_TIMEOUT", .type = PD_FLAG_DURATION, .target = &values.send_timeout, .def = "60s", .min = 1000000, .max = DAY_NS,
	 .help = "A client that takes no bytes for so long is cut off"},
	{.name = "XDS_AUTH", .type = PD_FLAG_BOOL, .target = &values.auth, .def = "true",
	 .help = "Authenticate the clients of streams over TLS"},
	{.name = "XDS_AUTH_PLAINTEXT", .type = PD_FLAG_BOOL, .target = &values.auth_plaintext, .def = "false",
	 .help = "Those of plaintext streams too"},
	{.name = "PILOT_ENABLE_XDS_IDENTITY_CHECK", .type = PD_FLAG_BOOL, .target = &values.identity_check, .def = "true",
	 .help = "What an authenticated client says of itself must be true of its identity: namespace and service account"},
};
const size_t pd_xds_env_n = sizeof(pd_xds_env) / sizeof(*pd_xds_env);
const struct pd_flag pd_xds_flags[] = {
	{.name = "keepaliveInterval", .type = PD_FLAG_DURATION, .target = &values.keepalive, .def = "30s", .min = 1000000000, .max = DAY_NS,
	 .help = "A connection silent for so long is pinged"},
	{.name = "keepaliveTimeout", .type = PD_FLAG_DURATION, .target = &values.keepalive_timeout, .def = "10s", .min = 1000000, .max = DAY_NS,
	 .help = "A ping unanswered for so long ends the connection"},
	{.name = "keepaliveMaxServerConnectionAge", .type = PD_FLAG_DURATION, .target = &values.max_age, .def = "0", .min = 0, .max = 24 * DAY_NS,
	 .help = "Age at which a connection is asked to go, with ten seconds of grace; 0 = never"},
};
// clang-format on
const size_t pd_xds_flags_n = sizeof(pd_xds_flags) / sizeof(*pd_xds_flags);

void pd_xds_settings(struct pd_xds_config *x, struct pd_control_config *c)
{
	c->debounce_after_ns = (uint64_t)values.debounce_after;
	c->debounce_max_ns = (uint64_t)values.debounce_max;
	c->debounce_endpoints = values.eds_debounce;
	if (values.push_throttle && values.push_throttle < x->push_threads)
		x->push_threads = (unsigned)values.push_throttle;
	if (values.requests_per_second > 0)
		x->streams_per_second = x->streams_burst = values.requests_per_second;
	if (x->streams_burst > 0 && x->streams_burst < 1)
		x->streams_burst = 1;
	x->send_timeout_ms = (uint64_t)values.send_timeout / 1000000;
	x->keepalive_ms = (int)(values.keepalive / 1000000);
	x->keepalive_timeout_ms = (int)(values.keepalive_timeout / 1000000);
	x->max_connection_age_ms = (int)(values.max_age / 1000000);
}

bool pd_xds_auth_settings(struct pd_xds_auth *a)
{
	a->plaintext = values.auth_plaintext;
	a->check_node = values.identity_check;
	return values.auth;
}
