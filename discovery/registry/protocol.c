#include <strings.h>

#include "base/str.h"
#include "discovery/registry.h"

static const struct {
	const char *text;
	enum pd_protocol protocol;
} names[] = {
	{"tcp", PD_PROTO_TCP},
	{"udp", PD_PROTO_UDP},
	{"http", PD_PROTO_HTTP},
	{"http2", PD_PROTO_HTTP2},
	{"grpc", PD_PROTO_GRPC},
	{"grpc-web", PD_PROTO_GRPC_WEB},
	{"http_proxy", PD_PROTO_HTTP_PROXY},
	{"https", PD_PROTO_HTTPS},
	{"tls", PD_PROTO_TLS},
	{"mongo", PD_PROTO_MONGO},
	{"redis", PD_PROTO_REDIS},
	{"mysql", PD_PROTO_MYSQL},
};

static enum pd_protocol find(const char *text, size_t n)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i].text) == n && strncasecmp(names[i].text, text, n) == 0)
			return names[i].protocol;
	return PD_PROTO_SNIFF;
}

enum pd_protocol pd_protocol_parse(const char *text)
{
	if (!text)
		return PD_PROTO_SNIFF;
	// Not among the names above: a service port cannot ask for it.
	if (strcasecmp(text, "HBONE") == 0)
		return PD_PROTO_HBONE;
	return find(text, strlen(text));
}

// Names that Kubernetes itself gives a meaning in appProtocol.
static bool standard_app_protocol(const char *name, enum pd_protocol *out)
{
	if (pd_streq(name, "kubernetes.io/h2c"))
		*out = PD_PROTO_HTTP2;
	else if (pd_streq(name, "kubernetes.io/ws"))
		*out = PD_PROTO_HTTP;
	else if (pd_streq(name, "kubernetes.io/wss"))
		*out = PD_PROTO_HTTPS;
	else
		return false;
	return true;
}

// Servers on these ports speak first: waiting for the client's bytes to detect a protocol would stall them.
static bool server_first(uint32_t port)
{
	return port == 25 || port == 53 || port == 3306 || port == 27017;
}

enum pd_protocol pd_protocol_of(const char *transport, const char *app_protocol, const char *port_name, uint32_t port)
{
	static const char grpc_web[] = "grpc-web";
	const char *name = app_protocol ? app_protocol : pd_or(port_name, "");
	enum pd_protocol p;

	if (pd_streq(transport, "UDP"))
		return PD_PROTO_UDP;
	if (app_protocol && standard_app_protocol(app_protocol, &p))
		return p;
	if (strncasecmp(name, grpc_web, sizeof(grpc_web) - 1) == 0)
		return PD_PROTO_GRPC_WEB;
	p = find(name, strcspn(name, "-"));
	return p == PD_PROTO_SNIFF && server_first(port) ? PD_PROTO_TCP : p;
}
