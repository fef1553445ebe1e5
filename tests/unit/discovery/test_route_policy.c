// Policies of routes: retries, fault injection, CORS, and consistent hashing by DestinationRule.
#include "tests/unit/discovery/route_fixture.h"

#define GO "route: [{destination: {host: web}}]"
#define RULE(rest) "[{" GO ", " rest "}]"
#define WEB "web.default.svc.cluster.local"
#define RETRY "routes/0/route/retry_policy"
#define PREVIOUS_HOSTS "\"envoy.retry_host_predicates.previous_hosts\""

// ---- retries -------------------------------------------------------------------------------------------------------------

static void default_retries(void **state)
{
	struct fixture f;
	(void)state;
	web_init(&f, "[{" GO "}]");
	assert_web(&f, RETRY "/retry_on",
		   "\"connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes\"");
	assert_web(&f, RETRY "/num_retries", "2");
	assert_web(&f, RETRY "/host_selection_retry_max_attempts", "\"5\"");
	assert_web(&f, RETRY "/retry_host_predicate/0/name", PREVIOUS_HOSTS);
	assert_web(&f, RETRY "/per_try_timeout", "");
	fixture_free(&f);
}

static void given_retries(void **state)
{
	struct fixture f;
	(void)state;
	web_init(&f, RULE("retries: {attempts: 4, perTryTimeout: 2s, retryOn: ' 503,reset , connect-failure,504', "
			  "retryRemoteLocalities: true, backoff: 0.1s}"));
	assert_web(&f, RETRY "/num_retries", "4");
	assert_web(&f, RETRY "/per_try_timeout", "\"2s\"");
	assert_web(&f, RETRY "/retry_on", "\"reset,connect-failure,retriable-status-codes\"");
	assert_web(&f, RETRY "/retriable_status_codes", "[503,504]");
	assert_web(&f, RETRY "/retry_priority/name", "\"envoy.retry_priorities.previous_priorities\"");
	assert_web(&f, RETRY "/retry_priority/typed_config/update_frequency", "2");
	assert_web(&f, RETRY "/retry_back_off/base_interval", "\"0.100s\"");
	fixture_free(&f);
	assert_web_is(RULE("retries: {attempts: 1, retryOn: '503'}"), RETRY "/retry_on", "\",retriable-status-codes\"");
	assert_web_is(RULE("retries: {attempts: 1, retryOn: 'retriable-status-codes,503'}"), RETRY "/retry_on",
		      "\"retriable-status-codes\"");
	assert_web_is(RULE("retries: {attempts: 0}"), RETRY, "");
	assert_web_is(RULE("retries: {attempts: 1, retryIgnorePreviousHosts: false}"), RETRY "/retry_host_predicate",
		      "");
	assert_web_is(RULE("retries: {attempts: 1, retryIgnorePreviousHosts: true}"),
		      RETRY "/retry_host_predicate/0/name", PREVIOUS_HOSTS);
}

static void retries_of_the_mesh(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "defaultHttpRetryPolicy: {attempts: 7, retryOn: reset}",
		     SVC("default", "web", "10.0.0.1", HTTP_80) SVC("default", "own", "10.0.0.2", HTTP_80)
			     VS("default", "own", "00", "{hosts: [own], http: [{" GO ", retries: {attempts: 1}}]}"));
	assert_web(&f, RETRY "/num_retries", "7");
	assert_web(&f, RETRY "/retry_on", "\"reset\"");
	assert_route(&f, "own.default.svc.cluster.local", "80", RETRY "/num_retries", "1");
	fixture_free(&f);
	fixture_init(&f, "defaultHttpRetryPolicy: {attempts: 0}", SVC("default", "web", "10.0.0.1", HTTP_80));
	assert_web(&f, RETRY, "");
	fixture_free(&f);
}

// ---- fault injection -------------------------------------------------------------------------------------------------------

#define FAULT "routes/0/typed_per_filter_config/envoy.filters.http.fault"

static void faults(void **state)
{
	struct fixture f;
	(void)state;
	web_init(&f, RULE("fault: {delay: {fixedDelay: 5s, percentage: {value: 0.5}}, "
			  "abort: {httpStatus: 418, percentage: {value: 10}}}"));
	assert_web(&f, FAULT "/delay",
		   "{\"fixed_delay\":\"5s\",\"percentage\":{\"numerator\":5000,\"denominator\":\"MILLION\"}}");
	assert_web(&f, FAULT "/abort",
		   "{\"http_status\":418,\"percentage\":{\"numerator\":100000,\"denominator\":\"MILLION\"}}");
	fixture_free(&f);
	// The old field counts whole per cent.
	assert_web_is(RULE("fault: {delay: {fixedDelay: 5s, percent: 3}}"), FAULT "/delay/percentage",
		      "{\"numerator\":3}");
	assert_web_is(RULE("fault: {delay: {fixedDelay: 5s}}"), FAULT "/delay/percentage", "{}");
	assert_web_is(RULE("fault: {abort: {grpcStatus: UNAVAILABLE}}"), FAULT "/abort", "{\"grpc_status\":14}");
	// A delay of a kind that Envoy lacks is none.
	assert_web_is(RULE("fault: {delay: {exponentialDelay: 5s, percentage: {value: 1}}, abort: {httpStatus: 500}}"),
		      FAULT "/delay", "");
}

// ---- CORS -------------------------------------------------------------------------------------------------------------------

#define CORS "routes/0/typed_per_filter_config/envoy.filters.http.cors"

static void cors(void **state)
{
	struct fixture f;
	(void)state;
	web_init(&f, RULE("corsPolicy: {allowOrigins: [{exact: 'https://a.test'}, {prefix: 'https://b'}, "
			  "{regex: 'https://c.*'}], allowMethods: [GET, POST], allowHeaders: [v, w], "
			  "exposeHeaders: [z], maxAge: 90s, allowCredentials: true}"));
	assert_web(&f, CORS "/allow_origin_string_match",
		   "[{\"exact\":\"https://a.test\"},{\"prefix\":\"https://b\"},"
		   "{\"safe_regex\":{\"regex\":\"https://c.*\"}}]");
	assert_web(&f, CORS "/allow_methods", "\"GET,POST\"");
	assert_web(&f, CORS "/allow_headers", "\"v,w\"");
	assert_web(&f, CORS "/expose_headers", "\"z\"");
	assert_web(&f, CORS "/max_age", "\"90\"");
	assert_web(&f, CORS "/allow_credentials", "true");
	assert_web(&f, CORS "/filter_enabled/default_value", "{\"numerator\":100}");
	assert_web(&f, CORS "/forward_not_matching_preflights", "true");
	assert_web(&f, FAULT, "");
	fixture_free(&f);
	assert_web_is(RULE("corsPolicy: {unmatchedPreflights: IGNORE}"), CORS "/forward_not_matching_preflights",
		      "false");
	assert_web_is(RULE("corsPolicy: {allowOrigin: ['*']}"), CORS "/allow_origin_string_match",
		      "[{\"exact\":\"*\"}]");
	assert_web_is(RULE("corsPolicy: {}"), CORS "/max_age", "");
}

// ---- consistent hashing --------------------------------------------------------------------------------------------------------

#define HASH "routes/0/route/hash_policy"
#define LB(hash) "loadBalancer: {consistentHash: " hash "}"

// With a DestinationRule for web, and this http list of a VirtualService ("" for none).
static void hash_init(struct fixture *f, const char *rule, const char *http)
{
	struct pd_buf b = {0};
	pd_buf_adds(&b, SVC("default", "web", "10.0.0.1", HTTP_80 ", {name: http-b, port: 81}"));
	pd_buf_printf(&b,
		      "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
		      "metadata: {name: hash, namespace: default}\nspec: {host: web, %s}\n",
		      rule);
	if (*http)
		pd_buf_printf(&b,
			      "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n"
			      "metadata: {name: rules, namespace: default}\nspec: {hosts: [web], http: %s}\n",
			      http);
	fixture_init(f, "", b.p);
	pd_buf_free(&b);
}

static void expect_hash(const char *rule, const char *http, const char *want)
{
	struct fixture f;
	hash_init(&f, rule, http);
	assert_web(&f, HASH, want);
	fixture_free(&f);
}

static void hash_keys(void **state)
{
	(void)state;
	expect_hash("trafficPolicy: {" LB("{httpHeaderName: x}") "}", "", "[{\"header\":{\"header_name\":\"x\"}}]");
	expect_hash("trafficPolicy: {" LB(
			    "{httpCookie: {name: c, path: /, ttl: 60s, attributes: [{name: a, value: b}]}}") "}",
		    "",
		    "[{\"cookie\":{\"name\":\"c\",\"ttl\":\"60s\",\"path\":\"/\","
		    "\"attributes\":[{\"name\":\"a\",\"value\":\"b\"}]}}]");
	expect_hash("trafficPolicy: {" LB("{useSourceIp: true}") "}", "",
		    "[{\"connection_properties\":{\"source_ip\":true}}]");
	expect_hash("trafficPolicy: {" LB("{httpQueryParameterName: q}") "}", "",
		    "[{\"query_parameter\":{\"name\":\"q\"}}]");
	expect_hash("trafficPolicy: {" LB("{useSourceIp: false}") "}", "", "[{\"connection_properties\":{}}]");
	expect_hash("trafficPolicy: {loadBalancer: {simple: RANDOM}}", "", "");
}

// subset and port > subset > port > host; settings of a port count only for destinations that name the port.
static void where_the_hash_is_found(void **state)
{
#define HEADER(name) "[{\"header\":{\"header_name\":\"" name "\"}}]"
#define TOP                                                                                                            \
	"trafficPolicy: {" LB("{httpHeaderName: top}") ", portLevelSettings: [{port: {number: 80}, " LB(               \
		"{httpHeaderName: port}") "}, {port: {number: 81}}]}"
#define SUBSETS                                                                                                        \
	"subsets: [{name: s, trafficPolicy: {" LB(                                                                     \
		"{httpHeaderName: subset}") ", portLevelSettings: "                                                    \
					    "[{port: {number: 80}, " LB(                                               \
						    "{httpHeaderName: subset-port}") "}]}}, {name: plain}]"
#define DEST(d) "[{route: [{destination: {host: web" d "}}]}]"
	(void)state;
	expect_hash(TOP, "", HEADER("port")); // a service without VirtualService: its port is known
	expect_hash(TOP, DEST(""), HEADER("top"));
	expect_hash(TOP, DEST(", port: {number: 80}"), HEADER("port"));
	expect_hash(TOP, DEST(", port: {number: 81}"), HEADER("top")); // no hash there: does not take the host's away
	expect_hash(TOP ", " SUBSETS, DEST(", subset: s"), HEADER("subset"));
	expect_hash(TOP ", " SUBSETS, DEST(", subset: s, port: {number: 80}"), HEADER("subset-port"));
	expect_hash(TOP ", " SUBSETS, DEST(", subset: s, port: {number: 81}"), HEADER("subset"));
	expect_hash(TOP ", " SUBSETS, DEST(", subset: plain, port: {number: 80}"), HEADER("port"));
	expect_hash(TOP ", " SUBSETS, DEST(", subset: nosuch"), HEADER("top"));
}

// The same host again is what a hash wants: one destination of a VirtualService drops the predicate, all else keeps it.
static void hash_and_retries(void **state)
{
	struct fixture f;
	(void)state;
	hash_init(&f, "trafficPolicy: {" LB("{httpHeaderName: x}") "}", DEST(""));
	assert_web(&f, RETRY "/retry_host_predicate", "");
	assert_web(&f, RETRY "/num_retries", "2");
	assert_true(fixture_used(&f, PD_KIND_DESTINATION_RULE, "default", "hash"));
	fixture_free(&f);
	hash_init(&f, "trafficPolicy: {" LB("{httpHeaderName: x}") "}",
		  "[{route: [{destination: {host: web}}], retries: {attempts: 1, retryIgnorePreviousHosts: true}}]");
	assert_web(&f, RETRY "/retry_host_predicate/0/name", PREVIOUS_HOSTS);
	fixture_free(&f);
	hash_init(&f, "trafficPolicy: {" LB("{httpHeaderName: x}") "}", "");
	assert_web(&f, RETRY "/retry_host_predicate/0/name", PREVIOUS_HOSTS);
	fixture_free(&f);
	hash_init(&f, "trafficPolicy: {" LB("{httpHeaderName: x}") "}",
		  "[{route: [{destination: {host: web}, weight: 1}, {destination: {host: web}, weight: 1}]}]");
	assert_web(&f, RETRY "/retry_host_predicate/0/name", PREVIOUS_HOSTS);
	assert_web(&f, HASH "/1/header/header_name", "\"x\"");
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(default_retries),
		cmocka_unit_test(given_retries),
		cmocka_unit_test(retries_of_the_mesh),
		cmocka_unit_test(faults),
		cmocka_unit_test(cors),
		cmocka_unit_test(hash_keys),
		cmocka_unit_test(where_the_hash_is_found),
		cmocka_unit_test(hash_and_retries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
