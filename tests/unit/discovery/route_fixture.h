// For tests of discovery/route: configuration in short form, and what the routes of a host come to.
#ifndef TESTS_UNIT_DISCOVERY_ROUTE_FIXTURE_H
#define TESTS_UNIT_DISCOVERY_ROUTE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/str.h"
#include "discovery/route/route.h"
#include "tests/unit/discovery/fixture.h"

// Documents; `spec` is YAML in flow style. `second` orders VirtualServices by age: two digits.
#define DOC(api, kind, ns, name, second, rest)                                                                         \
	"---\napiVersion: " api "\nkind: " kind "\nmetadata: {name: '" name "', namespace: '" ns                       \
	"', creationTimestamp: '2026-08-01T00:00:" second "Z'}\n" rest "\n"
#define SVC(ns, name, ip, ports) DOC("v1", "Service", ns, name, "00", "spec: {clusterIP: '" ip "', ports: [" ports "]}")
#define HTTP_80 "{name: http, port: 80}"
#define ALIAS(ns, name, target)                                                                                        \
	DOC("v1", "Service", ns, name, "00",                                                                           \
	    "spec: {type: ExternalName, externalName: '" target "', ports: [" HTTP_80 "]}")
#define SE(ns, name, spec) DOC("networking.istio.io/v1", "ServiceEntry", ns, name, "00", "spec: " spec)
#define DR(ns, name, spec) DOC("networking.istio.io/v1", "DestinationRule", ns, name, "00", "spec: " spec)
#define VS(ns, name, second, spec) DOC("networking.istio.io/v1", "VirtualService", ns, name, second, "spec: " spec)
// The http list of a VirtualService that sends everything to `host`.
#define TO(host) "[{route: [{destination: {host: '" host "'}}]}]"

// The virtual host that `host` contributes to the route configuration, in a new pass; NULL if none. Lives in the fixture.
EnvVirtualHost *route_vhost(struct fixture *f, const char *host, const char *route_name);
// Its domains, sorted, with a space between them. "" without a virtual host.
const char *route_domains(struct fixture *f, const char *host, const char *route_name);
// The value at a path in it ("routes/0/route/cluster"), as fixture_get.
const char *route_get(struct fixture *f, const char *host, const char *route_name, const char *path);
#define assert_route(f, host, route_name, path, want) assert_string_equal(route_get(f, host, route_name, path), want)

// One service "web" in "default" with port 80 and one VirtualService for it with this http list: `path` in its virtual host.
void web_init(struct fixture *f, const char *http);
const char *web_get(struct fixture *f, const char *path);
#define assert_web(f, path, want) assert_string_equal(web_get(f, path), want)
// All of the above for one http list and one path.
#define assert_web_is(http, path, want)                                                                                \
	do {                                                                                                           \
		struct fixture one_;                                                                                   \
		web_init(&one_, http);                                                                                 \
		assert_web(&one_, path, want);                                                                         \
		fixture_free(&one_);                                                                                   \
	} while (0)

// Whether some reported mistake has this text in its reason.
bool route_reported(struct fixture *f, const char *text);

#endif
