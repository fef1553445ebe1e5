#include "tests/support/xds_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "envoy/service/discovery/v3/discovery.pb-c.h"
#include "tests/support/rpc_client.h"

#define WORDS_MAX 8192
typedef Envoy__Service__Discovery__V3__DeltaDiscoveryRequest__InitialResourceVersionsEntry Entry;

enum { TAG_HEADERS = 1, TAG_SEND, TAG_RECV, TAG_STATUS, TAG_CLOSE };

struct cli {
	bool delta, first;
	const char *node, *account;
	grpc_completion_queue *cq;
	grpc_channel *channel;
	grpc_call *call;
	grpc_metadata_array headers, trailers;
	grpc_status_code status;
	grpc_slice status_text;
	const char *debug;
	bool ended;
	unsigned under_way; // operations
	bool sending, receiving;
	grpc_byte_buffer *received; // by the operation under way
	grpc_byte_buffer *message;  // that came and was not looked at yet
	char nonce[PD_TYPE_COUNT][64], version[PD_TYPE_COUNT][64];
	char *names[PD_TYPE_COUNT];
	struct pd_buf versions[PD_TYPE_COUNT], text;
	size_t bytes;
	enum pd_type last_type;
};

static gpr_timespec in_ms(int ms)
{
	return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(ms, GPR_TIMESPAN));
}

static void start(struct cli *c, grpc_op *op, size_t n, intptr_t tag)
{
	c->under_way++;
	PD_ASSERT(grpc_call_start_batch(c->call, op, n, (void *)tag, NULL) == GRPC_CALL_OK);
}

static grpc_metadata bearer_header(const char *token)
{
	char *value = pd_xasprintf("Bearer %s", token);
	grpc_metadata m = {.key = grpc_slice_from_static_string("authorization"),
			   .value = grpc_slice_from_copied_string(value)};

	free(value);
	return m;
}

struct cli *cli_open(const struct cli_options *o)
{
	struct cli *c = pd_xcalloc(1, sizeof(*c));
	const struct rpc_options plaintext = {.address = o->address};
	grpc_channel_credentials *creds;
	grpc_metadata bearer;
	const char *method =
		o->method  ? o->method
		: o->delta ? "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
			   : "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
	grpc_arg args[8];
	size_t n = 0;
	grpc_op op[2] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_RECV_INITIAL_METADATA}};
	grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
	grpc_slice path;

#define ARG(k, v)                                                                                                      \
	args[n++] = (grpc_arg)                                                                                         \
	{                                                                                                              \
		.type = GRPC_ARG_INTEGER, .key = (char *)(k), .value = {.integer = (v) }                               \
	}
	grpc_init();
	ARG(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1); // a connection of its own
	ARG(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, -1);
	if (o->window) {
		ARG(GRPC_ARG_HTTP2_BDP_PROBE, 0);
		ARG(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, o->window);
	}
	if (o->ping_ms) {
		ARG(GRPC_ARG_KEEPALIVE_TIME_MS, o->ping_ms);
		ARG(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
		ARG(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
		ARG(GRPC_ARG_HTTP2_MIN_SENT_PING_INTERVAL_WITHOUT_DATA_MS, o->ping_ms);
	}
	c->delta = o->delta;
	c->first = true;
	c->node = o->node ? o->node : CLI_NODE;
	c->account = o->account;
	c->cq = grpc_completion_queue_create_for_next(NULL);
	if (o->tls && o->tls->server_name)
		args[n++] = (grpc_arg){.type = GRPC_ARG_STRING,
				       .key = GRPC_SSL_TARGET_NAME_OVERRIDE_ARG,
				       .value.string = (char *)o->tls->server_name};
	creds = rpc_credentials(o->tls ? o->tls : &plaintext);
	c->channel = grpc_channel_create(o->address, creds, &(grpc_channel_args){n, args});
	grpc_channel_credentials_release(creds);
	path = grpc_slice_from_copied_string(method);
	c->call = grpc_channel_create_call(c->channel, NULL, GRPC_PROPAGATE_DEFAULTS, c->cq, path, NULL,
					   gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
	grpc_slice_unref(path);
	grpc_metadata_array_init(&c->headers);
	grpc_metadata_array_init(&c->trailers);
	op[1].data.recv_initial_metadata.recv_initial_metadata = &c->headers;
	if (o->bearer) {
		bearer = bearer_header(o->bearer);
		op[0].data.send_initial_metadata.metadata = &bearer;
		op[0].data.send_initial_metadata.count = 1;
	}
	start(c, op, 2, TAG_HEADERS);
	if (o->bearer)
		grpc_slice_unref(bearer.value);
	status.data.recv_status_on_client.trailing_metadata = &c->trailers;
	status.data.recv_status_on_client.status = &c->status;
	status.data.recv_status_on_client.status_details = &c->status_text;
	status.data.recv_status_on_client.error_string = &c->debug;
	start(c, &status, 1, TAG_STATUS);
	return c;
}

// Waits for one event. False: none came.
static bool turn(struct cli *c, gpr_timespec until)
{
	grpc_event ev = grpc_completion_queue_next(c->cq, until, NULL);

	if (ev.type != GRPC_OP_COMPLETE)
		return false;
	c->under_way--;
	switch ((intptr_t)ev.tag) {
	case TAG_SEND:
		c->sending = false;
		break;
	case TAG_RECV:
		c->receiving = false;
		c->message = c->received;
		c->received = NULL;
		break;
	case TAG_STATUS:
		c->ended = true;
		break;
	}
	return true;
}

void cli_close(struct cli *c)
{
	grpc_call_cancel(c->call, NULL);
	while (c->under_way)
		turn(c, in_ms(CLI_WAIT_MS));
	grpc_call_unref(c->call);
	grpc_channel_destroy(c->channel);
	grpc_completion_queue_shutdown(c->cq);
	while (grpc_completion_queue_next(c->cq, in_ms(CLI_WAIT_MS), NULL).type != GRPC_QUEUE_SHUTDOWN)
		;
	grpc_completion_queue_destroy(c->cq);
	grpc_metadata_array_destroy(&c->headers);
	grpc_metadata_array_destroy(&c->trailers);
	grpc_slice_unref(c->status_text);
	gpr_free((void *)c->debug);
	if (c->message)
		grpc_byte_buffer_destroy(c->message);
	for (int t = 0; t < PD_TYPE_COUNT; t++) {
		free(c->names[t]);
		pd_buf_free(&c->versions[t]);
	}
	pd_buf_free(&c->text);
	free(c);
	grpc_shutdown();
}

// ---- requests ----------------------------------------------------------------------------------------------------------

void cli_bytes(struct cli *c, const void *bytes, size_t n)
{
	grpc_slice s = grpc_slice_from_copied_buffer(bytes, n);
	grpc_byte_buffer *b = grpc_raw_byte_buffer_create(&s, 1);
	grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};

	grpc_slice_unref(s);
	while (c->sending && turn(c, in_ms(CLI_WAIT_MS)))
		;
	op.data.send_message.send_message = b;
	c->sending = true;
	start(c, &op, 1, TAG_SEND);
	grpc_byte_buffer_destroy(b);
}

void cli_half_close(struct cli *c)
{
	grpc_op op = {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};

	while (c->sending && turn(c, in_ms(CLI_WAIT_MS)))
		;
	start(c, &op, 1, TAG_CLOSE);
}

static void send(struct cli *c, const ProtobufCMessage *m)
{
	size_t n = protobuf_c_message_get_packed_size(m);
	uint8_t *bytes = pd_xmalloc(n + 1);

	protobuf_c_message_pack(m, bytes);
	cli_bytes(c, bytes, n);
	free(bytes);
	c->first = false;
}

static size_t split(char *text, char **v)
{
	size_t n = 0;

	for (char *save, *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		PD_ASSERT(n < WORDS_MAX);
		v[n++] = w;
	}
	return n;
}

// What a client says of itself; parts of it are in the message's own memory.
struct node {
	Envoy__Config__Core__V3__Node node;
	Google__Protobuf__Struct metadata;
	Google__Protobuf__Struct__FieldsEntry field, *fields[1];
	Google__Protobuf__Value value;
};

static void fill_node(const struct cli *c, struct node *n)
{
	envoy__config__core__v3__node__init(&n->node);
	google__protobuf__struct__init(&n->metadata);
	google__protobuf__struct__fields_entry__init(&n->field);
	google__protobuf__value__init(&n->value);
	n->node.id = (char *)c->node;
	if (!c->account)
		return;
	n->value.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
	n->value.string_value = (char *)c->account;
	n->field.key = (char *)"SERVICE_ACCOUNT";
	n->field.value = &n->value;
	n->fields[0] = &n->field;
	n->metadata.fields = n->fields;
	n->metadata.n_fields = 1;
	n->node.metadata = &n->metadata;
}

static void send_sotw(struct cli *c, const char *url, const char *names, const char *nonce, const char *version,
		      const char *error)
{
	Envoy__Service__Discovery__V3__DiscoveryRequest m = ENVOY__SERVICE__DISCOVERY__V3__DISCOVERY_REQUEST__INIT;
	struct node node;
	Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
	char *text = pd_xstrdup(names), **v = pd_xmalloc(WORDS_MAX * sizeof(*v));

	m.n_resource_names = split(text, v);
	m.resource_names = v;
	m.type_url = (char *)url;
	m.response_nonce = (char *)nonce;
	m.version_info = (char *)version;
	fill_node(c, &node);
	m.node = c->first ? &node.node : NULL;
	status.code = 13;
	status.message = (char *)error;
	m.error_detail = error ? &status : NULL;
	send(c, &m.base);
	free(text);
	free(v);
}

void cli_sotw(struct cli *c, enum pd_type t, const char *names, const char *nonce, const char *error)
{
	char *copy = pd_xstrdup(names);

	send_sotw(c, pd_types[t].type_url, names, nonce ? nonce : c->nonce[t], c->version[t], error);
	free(c->names[t]);
	c->names[t] = copy;
}

static void send_delta(struct cli *c, const char *url, const char *add, const char *del, const char *initial,
		       const char *nonce, const char *error)
{
	Envoy__Service__Discovery__V3__DeltaDiscoveryRequest m =
		ENVOY__SERVICE__DISCOVERY__V3__DELTA_DISCOVERY_REQUEST__INIT;
	struct node node;
	Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
	char *a = pd_xstrdup(add), *d = pd_xstrdup(del), *i = pd_xstrdup(initial);
	char **v = pd_xmalloc(3 * WORDS_MAX * sizeof(*v)), **words = v + 2 * WORDS_MAX;
	Entry *entries = pd_xmalloc(WORDS_MAX * sizeof(*entries)), **list = pd_xmalloc(WORDS_MAX * sizeof(Entry *));

	m.n_resource_names_subscribe = split(a, v);
	m.resource_names_subscribe = v;
	m.n_resource_names_unsubscribe = split(d, v + WORDS_MAX);
	m.resource_names_unsubscribe = v + WORDS_MAX;
	m.n_initial_resource_versions = split(i, words);
	m.initial_resource_versions = list;
	for (size_t k = 0; k < m.n_initial_resource_versions; k++) {
		char *eq = strchr(words[k], '=');

		envoy__service__discovery__v3__delta_discovery_request__initial_resource_versions_entry__init(
			&entries[k]);
		*eq = 0;
		entries[k].key = words[k];
		entries[k].value = eq + 1;
		list[k] = &entries[k];
	}
	m.type_url = (char *)url;
	m.response_nonce = (char *)nonce;
	fill_node(c, &node);
	m.node = c->first ? &node.node : NULL;
	status.code = 13;
	status.message = (char *)error;
	m.error_detail = error ? &status : NULL;
	send(c, &m.base);
	free(a);
	free(d);
	free(i);
	free(v);
	free(entries);
	free(list);
}

void cli_delta(struct cli *c, enum pd_type t, const char *add, const char *del, const char *initial)
{
	send_delta(c, pd_types[t].type_url, add, del, initial, "", NULL);
}

void cli_ack(struct cli *c, enum pd_type t)
{
	if (c->delta)
		send_delta(c, pd_types[t].type_url, "", "", "", c->nonce[t], NULL);
	else
		send_sotw(c, pd_types[t].type_url, pd_or(c->names[t], ""), c->nonce[t], c->version[t], NULL);
}

void cli_nack(struct cli *c, enum pd_type t, const char *error)
{
	if (c->delta)
		send_delta(c, pd_types[t].type_url, "", "", "", c->nonce[t], error);
	else
		send_sotw(c, pd_types[t].type_url, pd_or(c->names[t], ""), c->nonce[t], c->version[t], error);
}

void cli_type_url(struct cli *c, const char *url)
{
	if (c->delta)
		send_delta(c, url, "", "", "", "", NULL);
	else
		send_sotw(c, url, "", "", "", NULL);
}

// ---- responses ---------------------------------------------------------------------------------------------------------

// Field 1 of the resource: the name of clusters, endpoints, listeners, routes and secrets, "name=text" of the fake engine's.
static void show_value(struct cli *c, const Google__Protobuf__Any *any)
{
	const uint8_t *p = any->value.data, *end = p + any->value.len;
	size_t n = 0;

	PD_ASSERT(pd_type_find(any->type_url) == c->last_type);
	PD_ASSERT(any->value.len >= 2 && *p++ == (1 << 3 | 2));
	for (int shift = 0;; shift += 7) {
		n |= (size_t)(*p & 0x7f) << shift;
		if (!(*p++ & 0x80))
			break;
	}
	PD_ASSERT(n <= (size_t)(end - p));
	pd_buf_printf(&c->text, "%.*s,", (int)n, (const char *)p);
}

static void begin(struct cli *c, const char *url, const char *nonce, const char *version)
{
	enum pd_type t = c->last_type = pd_type_find(url);

	PD_ASSERT(t != PD_TYPE_COUNT);
	PD_ASSERT(strlen(nonce) && strcmp(nonce, c->nonce[t]) != 0);
	snprintf(c->nonce[t], sizeof(c->nonce[t]), "%s", nonce);
	snprintf(c->version[t], sizeof(c->version[t]), "%s", version);
	pd_buf_printf(&c->text, "%s{", pd_types[t].short_name);
}

static void end(struct cli *c)
{
	if (c->text.p[c->text.n - 1] == ',')
		c->text.n--;
	pd_buf_addc(&c->text, '}');
}

static void show_sotw(struct cli *c, const uint8_t *bytes, size_t n)
{
	Envoy__Service__Discovery__V3__DiscoveryResponse *m =
		envoy__service__discovery__v3__discovery_response__unpack(NULL, n, bytes);

	PD_ASSERT(m);
	begin(c, m->type_url, m->nonce, m->version_info);
	for (size_t i = 0; i < m->n_resources; i++)
		show_value(c, m->resources[i]);
	end(c);
	envoy__service__discovery__v3__discovery_response__free_unpacked(m, NULL);
}

static void show_delta(struct cli *c, const uint8_t *bytes, size_t n)
{
	Envoy__Service__Discovery__V3__DeltaDiscoveryResponse *m =
		envoy__service__discovery__v3__delta_discovery_response__unpack(NULL, n, bytes);

	PD_ASSERT(m);
	begin(c, m->type_url, m->nonce, m->system_version_info);
	for (size_t i = 0; i < m->n_resources; i++) {
		show_value(c, m->resources[i]->resource);
		pd_buf_printf(&c->versions[c->last_type], "%s=%s ", m->resources[i]->name, m->resources[i]->version);
	}
	for (size_t i = 0; i < m->n_removed_resources; i++)
		pd_buf_printf(&c->text, "-%s,", m->removed_resources[i]);
	end(c);
	envoy__service__discovery__v3__delta_discovery_response__free_unpacked(m, NULL);
}

static void show_message(struct cli *c)
{
	grpc_byte_buffer_reader r;
	grpc_slice s;

	PD_ASSERT(grpc_byte_buffer_reader_init(&r, c->message));
	s = grpc_byte_buffer_reader_readall(&r);
	c->bytes += GRPC_SLICE_LENGTH(s);
	if (c->delta)
		show_delta(c, GRPC_SLICE_START_PTR(s), GRPC_SLICE_LENGTH(s));
	else
		show_sotw(c, GRPC_SLICE_START_PTR(s), GRPC_SLICE_LENGTH(s));
	grpc_slice_unref(s);
	grpc_byte_buffer_reader_destroy(&r);
	grpc_byte_buffer_destroy(c->message);
	c->message = NULL;
}

static void receive(struct cli *c)
{
	grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};

	if (c->receiving || c->message || c->ended)
		return;
	op.data.recv_message.recv_message = &c->received;
	c->receiving = true;
	start(c, &op, 1, TAG_RECV);
}

const char *cli_next(struct cli *c, int ms)
{
	gpr_timespec until = in_ms(ms);

	pd_buf_reset(&c->text);
	pd_buf_adds(&c->text, "");
	receive(c);
	while (!c->message && !(c->ended && !c->receiving) && turn(c, until))
		;
	if (c->message)
		show_message(c);
	else if (c->ended)
		pd_buf_printf(&c->text, "status %d: %s", (int)c->status, cli_status_text(c));
	return c->text.p;
}

const char *cli_take(struct cli *c)
{
	cli_next(c, CLI_WAIT_MS);
	if (c->text.n && !pd_has_prefix(c->text.p, "status"))
		cli_ack(c, c->last_type);
	return c->text.p;
}

const char *cli_nonce(struct cli *c, enum pd_type t)
{
	return c->nonce[t];
}

const char *cli_version(struct cli *c, enum pd_type t)
{
	return c->version[t];
}

const char *cli_versions(struct cli *c, enum pd_type t)
{
	return pd_or(c->versions[t].p, "");
}

size_t cli_bytes_received(struct cli *c)
{
	return c->bytes;
}

int cli_status(struct cli *c, int ms)
{
	gpr_timespec until = in_ms(ms);

	do { // the status comes behind the messages
		if (c->message)
			grpc_byte_buffer_destroy(c->message);
		c->message = NULL;
		receive(c);
	} while (!c->ended && turn(c, until));
	return c->ended ? (int)c->status : -1;
}

const char *cli_status_text(struct cli *c)
{
	static char text[400];

	snprintf(text, sizeof(text), "%.*s", (int)GRPC_SLICE_LENGTH(c->status_text),
		 (char *)GRPC_SLICE_START_PTR(c->status_text));
	return text;
}
