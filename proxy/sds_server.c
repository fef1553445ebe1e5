// Operations of a call hold a reference on its stream each; all state is guarded by the server's lock. grpc never calls back
// into us while a batch is started, so that may be done with the lock held.
#include "proxy/sds_server.h"

#include <errno.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "proxy/files.h"
#include "proxy/sds_session.h"
#include "xds/slice.h"

struct tag {
	void (*fn)(struct tag *, bool ok);
};

enum { OP_CLOSE, OP_HEADERS, OP_RECV, OP_SEND, OP_STATUS, OP_COUNT };

struct stream {
	struct pd_sds *server;
	grpc_call *call;
	struct stream_tag {
		struct tag tag;
		struct stream *s;
	} tags[OP_COUNT];
	unsigned under_way; // operations; the last one frees the stream
	struct pd_sds_session session;
	grpc_byte_buffer *received;
	int cancelled;
	bool sending, ended; // ended: a status was sent, or the call is over
	struct stream *next, *prev;
};

struct accept {
	struct tag tag;
	struct pd_sds *server;
	void *method; // NULL: any other
	bool delta, posted;
	grpc_call *call;
	grpc_call_details details;
	grpc_metadata_array metadata;
	gpr_timespec deadline;
};

struct pd_sds {
	char *socket;
	struct pd_secrets *secrets;
	void (*wanted)(const char *, void *);
	void *arg;
	grpc_server *server;
	grpc_completion_queue *cq;
	pthread_t thread;
	struct accept accepts[3];
	struct tag shutdown;
	pthread_mutex_t mu; // guards the streams
	struct stream *streams;
	size_t n_streams;
	bool down; // no call will come any more
};

// ---- streams ---------------------------------------------------------------------------------------------------------------

static void start_op(struct stream *s, grpc_op *op, int which)
{
	s->under_way++;
	PD_ASSERT(grpc_call_start_batch(s->call, op, 1, &s->tags[which].tag, NULL) == GRPC_CALL_OK);
}

static void end_stream(struct stream *s, grpc_status_code code, const char *text)
{
	grpc_slice details = grpc_slice_from_copied_string(text);
	grpc_op op = {.op = GRPC_OP_SEND_STATUS_FROM_SERVER};
	if (!s->ended) {
		s->ended = true;
		op.data.send_status_from_server.status = code;
		op.data.send_status_from_server.status_details = &details;
		start_op(s, &op, OP_STATUS);
	}
	grpc_slice_unref(details);
}

static void receive(struct stream *s)
{
	grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
	op.data.recv_message.recv_message = &s->received;
	start_op(s, &op, OP_RECV);
}

struct message {
	size_t n;
	uint8_t *bytes;
};

static void free_message(void *p)
{
	struct message *m = p;
	pd_taking_over(m);
	pd_free_secret(m->bytes, m->n);
	free(m);
}

// Sends what is due, one message at a time: the next when this one is through.
static void flush(struct stream *s)
{
	size_t n;
	uint8_t *bytes = s->sending || s->ended ? NULL : pd_sds_response(&s->session, &n);
	if (!bytes)
		return;
	struct message *m = pd_xcalloc(1, sizeof(*m));
	*m = (struct message){n, bytes};
	pd_handing_over(m);
	grpc_slice slice = grpc_slice_new_with_user_data(bytes, n, free_message, m);
	grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};
	op.data.send_message.send_message = buffer;
	s->sending = true;
	start_op(s, &op, OP_SEND);
	grpc_byte_buffer_destroy(buffer);
	grpc_slice_unref(slice);
}

static void take_request(struct stream *s, grpc_byte_buffer *message)
{
	struct pd_buf why = {0};
	grpc_byte_buffer_reader reader;
	PD_ASSERT(grpc_byte_buffer_reader_init(&reader, message));
	grpc_slice bytes = grpc_byte_buffer_reader_readall(&reader);
	grpc_byte_buffer_reader_destroy(&reader);
	int rc = pd_sds_request(&s->session, GRPC_SLICE_START_PTR(bytes), GRPC_SLICE_LENGTH(bytes), &why);
	grpc_slice_unref(bytes);
	if (rc == PD_OK) {
		flush(s);
		receive(s);
	} else {
		pd_warn("sds", "stream ends: %s", why.p);
		end_stream(s, GRPC_STATUS_INVALID_ARGUMENT, why.p);
	}
	pd_buf_free(&why);
}

// The queue may end when nothing can be started on it any more: the server's own shutdown may be over before the last stream.
static void end_queue_if_done(struct pd_sds *s)
{
	if (s->down && !s->n_streams)
		grpc_completion_queue_shutdown(s->cq);
}

static void on_stream_op(struct tag *t, bool ok)
{
	struct stream_tag *st = (struct stream_tag *)t;
	struct stream *s = st->s;
	struct pd_sds *server = s->server;
	grpc_byte_buffer *message;
	(void)ok; // a failed operation is followed by the close
	pthread_mutex_lock(&server->mu);
	switch (st - s->tags) {
	case OP_CLOSE:
		s->ended = true;
		break;
	case OP_RECV:
		message = s->received; // the next one may be there as soon as it is asked for
		if (!message)
			end_stream(s, GRPC_STATUS_OK, ""); // half-closed, or gone
		else if (!s->ended)
			take_request(s, message);
		if (message)
			grpc_byte_buffer_destroy(message);
		break;
	case OP_SEND:
		s->sending = false;
		flush(s);
		break;
	}
	bool last = --s->under_way == 0;
	if (last) {
		*(s->prev ? &s->prev->next : &server->streams) = s->next;
		if (s->next)
			s->next->prev = s->prev;
		server->n_streams--;
		end_queue_if_done(server);
	}
	pthread_mutex_unlock(&server->mu);
	if (last) {
		grpc_call_unref(s->call);
		pd_sds_session_free(&s->session);
		free(s);
	}
}

static void start_stream(struct pd_sds *server, grpc_call *call, bool known, bool delta)
{
	struct stream *s = pd_xcalloc(1, sizeof(*s));
	grpc_op close = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER}, headers = {.op = GRPC_OP_SEND_INITIAL_METADATA};
	s->server = server;
	s->call = call;
	s->session = (struct pd_sds_session){.secrets = server->secrets,
					     .delta = delta,
					     .wanted = server->wanted,
					     .arg = server->arg};
	for (int i = 0; i < OP_COUNT; i++)
		s->tags[i] = (struct stream_tag){{on_stream_op}, s};
	close.data.recv_close_on_server.cancelled = &s->cancelled;
	pthread_mutex_lock(&server->mu);
	s->next = server->streams;
	if (s->next)
		s->next->prev = s;
	server->streams = s;
	server->n_streams++;
	start_op(s, &close, OP_CLOSE);
	start_op(s, &headers, OP_HEADERS);
	if (!known)
		end_stream(s, GRPC_STATUS_UNIMPLEMENTED, "unknown method");
	else if (server->n_streams > PD_SDS_STREAMS_MAX)
		end_stream(s, GRPC_STATUS_RESOURCE_EXHAUSTED, "too many streams");
	else
		receive(s);
	pthread_mutex_unlock(&server->mu);
}

static void on_change(void *arg)
{
	struct pd_sds *server = arg;
	pthread_mutex_lock(&server->mu);
	for (struct stream *s = server->streams; s; s = s->next)
		flush(s);
	pthread_mutex_unlock(&server->mu);
}

// ---- calls -----------------------------------------------------------------------------------------------------------------

static void post(struct accept *a)
{
	struct pd_sds *s = a->server;
	grpc_call_error rc;
	a->call = NULL;
	if (a->method) {
		rc = grpc_server_request_registered_call(s->server, a->method, &a->call, &a->deadline, &a->metadata,
							 NULL, s->cq, s->cq, &a->tag);
	} else {
		grpc_call_details_init(&a->details);
		rc = grpc_server_request_call(s->server, &a->call, &a->details, &a->metadata, s->cq, s->cq, &a->tag);
	}
	PD_ASSERT(rc == GRPC_CALL_OK);
}

static void on_call(struct tag *t, bool ok)
{
	struct accept *a = (struct accept *)t;
	grpc_metadata_array_destroy(&a->metadata);
	if (!a->method)
		grpc_call_details_destroy(&a->details);
	if (!ok) // the server shuts down
		return;
	grpc_metadata_array_init(&a->metadata);
	start_stream(a->server, a->call, a->method != NULL, a->delta);
	post(a);
}

static void on_shutdown(struct tag *t, bool ok)
{
	struct pd_sds *s = (struct pd_sds *)((char *)t - offsetof(struct pd_sds, shutdown));
	(void)ok;
	pthread_mutex_lock(&s->mu);
	s->down = true;
	end_queue_if_done(s);
	pthread_mutex_unlock(&s->mu);
}

static void *serve(void *arg)
{
	struct pd_sds *s = arg;
	for (;;) {
		grpc_event e = grpc_completion_queue_next(s->cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
		if (e.type == GRPC_QUEUE_SHUTDOWN)
			return NULL;
		struct tag *t = e.tag;
		t->fn(t, e.success);
	}
}

// ---- start and stop --------------------------------------------------------------------------------------------------------

bool pd_sds_somebody_listens(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t n = strlen(path);
	int fd = n < sizeof(a.sun_path) ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
	if (fd < 0)
		return false;
	memcpy(a.sun_path, path, n + 1);
	bool there = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
	close(fd);
	return there;
}

static int make_way(const char *path, struct pd_buf *err)
{
	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
		pd_buf_printf(err, "%s: longer than the %zu bytes that the path of a socket may have", path,
			      sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
		return PD_E_LIMIT;
	}
	if (pd_sds_somebody_listens(path)) {
		pd_buf_printf(err, "%s: somebody else listens there", path);
		return PD_E_EXISTS;
	}
	struct stat st;
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
	return pd_make_folder_of(path, err);
}

static int listen_on(struct pd_sds *s, struct pd_buf *err)
{
	char *address = pd_xasprintf("unix:%s", s->socket);
	grpc_server_credentials *plain = grpc_insecure_server_credentials_create();
	mode_t before = umask(077);
	int bound = grpc_server_add_http2_port(s->server, address, plain);
	umask(before);
	grpc_server_credentials_release(plain);
	free(address);
	if (bound)
		return PD_OK;
	pd_buf_printf(err, "cannot listen on %s", s->socket);
	return PD_E_IO;
}

static void add_methods(struct pd_sds *s)
{
	static const char *const paths[] = {"/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets",
					    "/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets", NULL};
	for (int i = 0; i < 3; i++) {
		struct accept *a = &s->accepts[i];
		*a = (struct accept){.tag = {on_call}, .server = s, .delta = i == 1};
		if (paths[i])
			a->method = grpc_server_register_method(s->server, paths[i], NULL, GRPC_SRM_PAYLOAD_NONE, 0);
		grpc_metadata_array_init(&a->metadata);
	}
}

int pd_sds_start(const struct pd_sds_config *cfg, struct pd_sds **out, struct pd_buf *err)
{
	grpc_arg args[] = {
		{.type = GRPC_ARG_INTEGER,
		 .key = (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
		 .value = {.integer = PD_SDS_REQUEST_MAX}},
		{.type = GRPC_ARG_INTEGER,
		 .key = (char *)GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
		 .value = {.integer = 1000}},
	};
	int rc = make_way(cfg->socket, err);
	if (rc != PD_OK)
		return rc;
	struct pd_sds *s = pd_xcalloc(1, sizeof(*s));
	pthread_mutex_init(&s->mu, NULL);
	s->socket = pd_xstrdup(cfg->socket);
	s->secrets = cfg->secrets;
	s->wanted = cfg->wanted;
	s->arg = cfg->arg;
	s->shutdown.fn = on_shutdown;
	s->server = grpc_server_create(&(grpc_channel_args){sizeof(args) / sizeof(args[0]), args}, NULL);
	s->cq = grpc_completion_queue_create_for_next(NULL);
	grpc_server_register_completion_queue(s->server, s->cq, NULL);
	add_methods(s);
	rc = listen_on(s, err);
	grpc_server_start(s->server);
	for (int i = 0; i < 3; i++)
		post(&s->accepts[i]);
	PD_ASSERT(pthread_create(&s->thread, NULL, serve, s) == 0);
	pd_secrets_on_change(s->secrets, on_change, s);
	*out = s;
	if (rc != PD_OK)
		pd_sds_stop(out);
	return rc;
}

void pd_sds_stop(struct pd_sds **p)
{
	struct pd_sds *s = *p;
	*p = NULL;
	if (!s)
		return;
	pd_secrets_on_change(s->secrets, NULL, NULL);
	grpc_server_shutdown_and_notify(s->server, s->cq, &s->shutdown);
	grpc_server_cancel_all_calls(s->server);
	pthread_join(s->thread, NULL);
	PD_ASSERT(!s->streams);
	grpc_server_destroy(s->server);
	grpc_completion_queue_destroy(s->cq);
	unlink(s->socket);
	pthread_mutex_destroy(&s->mu);
	free(s->socket);
	free(s);
}
