#include "proxy/node.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/mem.h"
#include "proxy/bootstrap.h"
#include "proxy/files.h"

// ---- addresses -------------------------------------------------------------------------------------------------------------

static bool usable(const struct sockaddr *sa, struct pd_ip *ip)
{
	*ip = (struct pd_ip){0};
	if (sa && sa->sa_family == AF_INET) {
		ip->len = 4;
		memcpy(ip->b, &((const struct sockaddr_in *)sa)->sin_addr, 4);
		return !pd_ip_is_loopback(ip) && !(ip->b[0] == 169 && ip->b[1] == 254);
	}
	if (sa && sa->sa_family == AF_INET6) {
		const struct in6_addr *a = &((const struct sockaddr_in6 *)sa)->sin6_addr;
		ip->len = 16;
		memcpy(ip->b, a, 16);
		return !pd_ip_is_loopback(ip) && !IN6_IS_ADDR_LINKLOCAL(a);
	}
	return false;
}

// All addresses, comma-separated, IPv4 before IPv6, `first` (unless "") before all.
static void addresses(const char *first, struct pd_buf *out)
{
	struct ifaddrs *list = NULL;
	unsigned n = 0;
	pd_buf_adds(out, first);
	if (getifaddrs(&list) != 0)
		return;
	for (uint8_t len = 4; len <= 16; len += 12)
		for (const struct ifaddrs *i = list; i && n < PD_INSTANCE_IPS_MAX; i = i->ifa_next) {
			struct pd_ip ip;
			char text[PD_IP_TEXT];
			if (!usable(i->ifa_addr, &ip) || ip.len != len)
				continue;
			pd_ip_format(&ip, text);
			if (strcmp(text, first) == 0)
				continue;
			pd_buf_printf(out, "%s%s", out->n ? "," : "", text);
			n++;
		}
	freeifaddrs(list);
}

char *pd_own_ip(void)
{
	struct pd_buf all = {0};
	addresses("", &all);
	char *ip = all.n ? pd_xstrndup(all.p, strcspn(all.p, ",")) : pd_xstrdup("127.0.0.1");
	pd_buf_free(&all);
	return ip;
}

// ---- metadata --------------------------------------------------------------------------------------------------------------

json_t *pd_podinfo_parse(const char *text)
{
	json_t *o = json_object();
	while (*text) {
		size_t line = strcspn(text, "\n"), key = strcspn(text, "=\n");
		const char *s = text + key + 1, *end = text + line;
		if (key < line && s < end && *s == '"') {
			struct pd_buf value = {0};
			for (s++; s < end && *s != '"'; s++) {
				if (*s == '\\' && s + 1 < end)
					s++, pd_buf_addc(&value, *s == 'n' ? '\n' : *s == 't' ? '\t' : *s);
				else
					pd_buf_addc(&value, *s);
			}
			json_object_setn_new(o, text, key, json_stringn(pd_or(value.p, ""), value.n));
			pd_buf_free(&value);
		}
		text += line + (text[line] == '\n');
	}
	return o;
}

static void add_text(json_t *o, const char *key, const char *value)
{
	if (!pd_empty(value))
		json_object_set_new(o, key, json_string(value));
}

static void add_podinfo(json_t *meta, const char *key, const char *folder, const char *file)
{
	struct pd_buf text = {0}, why = {0};
	char *path = pd_xasprintf("%s/%s", folder, file);
	if (pd_file_read(path, &text, &why) == PD_OK) // these files are there in a pod, and nowhere else
		json_object_set_new(meta, key, pd_podinfo_parse(text.p));
	free(path);
	pd_buf_free(&text);
	pd_buf_free(&why);
}

static int read_object(const char *name, const char *text, json_t **out, struct pd_buf *err)
{
	json_error_t why;
	*out = json_loads(text, JSON_REJECT_DUPLICATES, &why);
	if (json_is_object(*out))
		return PD_OK;
	pd_buf_printf(err, "%s: %s", name, *out ? "no JSON object" : why.text);
	json_decref(*out);
	return PD_E_PARSE;
}

// One variable of the environment.
static int add_variable(json_t *meta, const char *variable, struct pd_buf *err)
{
	static const char plain[] = "ISTIO_META_", json[] = "ISTIO_METAJSON_";
	size_t n = strcspn(variable, "=");
	json_t *o;
	if (!variable[n])
		return PD_OK;
	const char *value = variable + n + 1;
	char *name = pd_xstrndup(variable, n);
	int rc = PD_OK;
	if (pd_has_prefix(name, json)) {
		rc = read_object(name, value, &o, err);
		if (rc == PD_OK && strcmp(name + strlen(json), "LABELS") == 0) {
			json_object_set(meta, "LABELS", o);
			json_object_set(meta, "STATIC_LABELS", o);
		} else if (rc == PD_OK) {
			json_object_update(meta, o);
		}
		if (rc == PD_OK)
			json_decref(o);
	} else if (pd_has_prefix(name, plain) && name[strlen(plain)]) {
		json_object_set_new(meta, name + strlen(plain), json_string(value));
	}
	free(name);
	return rc;
}

static int add_proxy_config(json_t *meta, const char *text, struct pd_buf *err)
{
	json_t *o;
	if (pd_empty(text))
		return PD_OK;
	int rc = read_object("PROXY_CONFIG", text, &o, err);
	if (rc == PD_OK)
		json_object_set_new(meta, "PROXY_CONFIG", o);
	return rc;
}

int pd_node_metadata(const struct pd_node_input *in, json_t **out, struct pd_buf *err)
{
	struct pd_buf ips = {0};
	json_t *meta = json_object();
	addresses(in->ip, &ips);
	add_text(meta, "NAME", in->name);
	add_text(meta, "NAMESPACE", in->ns);
	add_text(meta, "SERVICE_ACCOUNT", in->account);
	add_text(meta, "INSTANCE_IPS", ips.p);
	add_text(meta, "CLUSTER_ID", in->cluster_id);
	add_text(meta, "MESH_ID", in->mesh_id);
	add_text(meta, "NETWORK", in->network);
	if (!pd_empty(in->pilot_san))
		json_object_set_new(meta, "PILOT_SAN", json_pack("[s]", in->pilot_san));
	if (in->readiness_port)
		json_object_set_new(meta, "ENVOY_STATUS_PORT", json_integer(in->readiness_port));
	if (in->prometheus_port)
		json_object_set_new(meta, "ENVOY_PROMETHEUS_PORT", json_integer(in->prometheus_port));
	add_podinfo(meta, "LABELS", in->podinfo, "labels");
	add_podinfo(meta, "ANNOTATIONS", in->podinfo, "annotations");
	int rc = add_proxy_config(meta, in->proxy_config, err);
	for (char *const *e = in->env; *e && rc == PD_OK; e++)
		rc = add_variable(meta, *e, err);
	if (!json_is_object(json_object_get(meta, "LABELS")))
		json_object_set_new(meta, "LABELS", json_object());
	pd_json_add_pairs(json_object_get(meta, "LABELS"), in->labels);
	pd_buf_free(&ips);
	if (rc == PD_OK)
		*out = meta;
	else
		json_decref(meta);
	return rc;
}

// ---- what follows from it --------------------------------------------------------------------------------------------------

static const char *label(const json_t *meta, const char *key)
{
	return json_string_value(json_object_get(json_object_get(meta, "LABELS"), key));
}

char *pd_node_cluster(const char *wanted, const json_t *meta)
{
	const char *ns = pd_or(json_string_value(json_object_get(meta, "NAMESPACE")), "default");
	const char *name = label(meta, "app");
	if (!pd_empty(wanted) && strcmp(wanted, "istio-proxy") != 0)
		return pd_xstrdup(wanted);
	if (pd_empty(name))
		name = label(meta, "service.istio.io/canonical-name");
	if (pd_empty(name))
		name = json_string_value(json_object_get(meta, "WORKLOAD_NAME"));
	return pd_xasprintf("%s.%s", pd_or(name, "istio-proxy"), ns);
}

void pd_node_locality(const json_t *meta, char **region, char **zone, char **sub_zone)
{
	const char *s = pd_or(label(meta, "istio-locality"), "");
	const char *separator = strchr(s, '/') ? "/" : ".";
	char **parts[] = {region, zone, sub_zone};
	for (size_t i = 0; i < 3; i++) {
		size_t n = i < 2 ? strcspn(s, separator) : strlen(s);
		*parts[i] = n ? pd_xstrndup(s, n) : NULL;
		s += n + (s[n] != 0);
	}
}
