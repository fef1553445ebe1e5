#include "k8s/leader_record.h"

#include "base/clock.h"
#include "k8s/write_impl.h"

static int64_t integer(const struct pd_json *object, const char *key)
{
	const struct pd_json *j = pd_json_get(object, key);

	return j && j->type == PD_JSON_INT && j->i > 0 ? j->i : 0;
}

static void read_fields(const struct pd_json *from, const char *transitions, struct pd_k8s_record *out)
{
	out->holder = pd_json_get_string(from, "holderIdentity");
	out->duration_s = integer(from, "leaseDurationSeconds");
	out->transitions = integer(from, transitions);
	out->acquire = pd_json_get_string(from, "acquireTime");
	out->renew = pd_json_get_string(from, "renewTime");
}

void pd_k8s_record_read(struct pd_arena *a, const struct pd_json *lock, bool config_map, struct pd_k8s_record *out)
{
	const char *text;
	struct pd_json *record;

	*out = (struct pd_k8s_record){0};
	if (!config_map) {
		read_fields(pd_json_get(lock, "spec"), "leaseTransitions", out);
		return;
	}
	text = pd_json_get_string(pd_json_get(pd_json_get(lock, "metadata"), "annotations"), PD_K8S_LEADER_ANNOTATION);
	if (text && !pd_json_parse(a, text, strlen(text), &record, NULL))
		read_fields(record, "leaderTransitions", out);
}

static void write_fields(struct pd_arena *a, struct pd_json *to, const char *transitions, const struct pd_k8s_record *r)
{
	pd_json_set(a, to, "holderIdentity", pd_json_string(a, pd_or(r->holder, "")));
	pd_json_set(a, to, "leaseDurationSeconds", pd_json_int(a, r->duration_s));
	if (r->acquire)
		pd_json_set(a, to, "acquireTime", pd_json_string(a, r->acquire));
	if (r->renew)
		pd_json_set(a, to, "renewTime", pd_json_string(a, r->renew));
	pd_json_set(a, to, transitions, pd_json_int(a, r->transitions));
}

void pd_k8s_record_write(struct pd_arena *a, struct pd_json *lock, bool config_map, const struct pd_k8s_record *r)
{
	struct pd_json *record;
	struct pd_buf text = {0};

	if (!config_map) {
		write_fields(a, pd_k8s_json_object(a, lock, "spec"), "leaseTransitions", r);
		return;
	}
	record = pd_json_object(a);
	write_fields(a, record, "leaderTransitions", r);
	pd_json_print(&text, record, false);
	pd_json_set(a, pd_k8s_json_object(a, pd_k8s_json_object(a, lock, "metadata"), "annotations"),
		    PD_K8S_LEADER_ANNOTATION, pd_json_string(a, text.p));
	pd_buf_free(&text);
}

struct pd_json *pd_k8s_record_lock(struct pd_arena *a, bool config_map, const char *ns, const char *name)
{
	struct pd_json *lock = pd_json_object(a), *meta = pd_json_object(a);

	pd_json_add(a, lock, "apiVersion", pd_json_string(a, config_map ? "v1" : "coordination.k8s.io/v1"));
	pd_json_add(a, lock, "kind", pd_json_string(a, config_map ? "ConfigMap" : "Lease"));
	pd_json_add(a, meta, "namespace", pd_json_string(a, ns));
	pd_json_add(a, meta, "name", pd_json_string(a, name));
	pd_json_add(a, lock, "metadata", meta);
	return lock;
}

const char *pd_k8s_record_time(struct pd_arena *a, bool config_map)
{
	int64_t now = pd_wall_ns(), micros = now / 1000 % 1000000;
	char text[36];

	pd_format_time(now - now % 1000000000, text);
	if (config_map)
		return pd_arena_strdup(a, text);
	return pd_arena_printf(a, "%.*s.%06dZ", (int)strcspn(text, "Z"), text, (int)micros);
}
