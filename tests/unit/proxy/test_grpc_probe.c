// A gRPC health check, against a server that the test plays: one call, one answer.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <pthread.h>

#include "base/err.h"
#include "proxy/probes.h"
#include "tests/unit/proxy/rig.h"

struct health {
	grpc_server *server;
	grpc_completion_queue *cq, *call_cq;
	void *method;
	int port;
	pthread_t thread;
	const char *reply; // bytes of the answer
	size_t reply_len;
	char asked[64]; // bytes of the request; read after the thread has ended
	size_t asked_len;
};

static void wait_for(grpc_completion_queue *cq, void *tag)
{
	grpc_event e = grpc_completion_queue_next(cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
	PD_ASSERT(e.type == GRPC_OP_COMPLETE && e.tag == tag);
}

static void read_request(struct health *h, grpc_byte_buffer *request)
{
	grpc_byte_buffer_reader reader;
	PD_ASSERT(request && grpc_byte_buffer_reader_init(&reader, request));
	grpc_slice s = grpc_byte_buffer_reader_readall(&reader);
	h->asked_len = GRPC_SLICE_LENGTH(s);
	PD_ASSERT(h->asked_len < sizeof(h->asked));
	memcpy(h->asked, GRPC_SLICE_START_PTR(s), h->asked_len);
	grpc_slice_unref(s);
	grpc_byte_buffer_reader_destroy(&reader);
	grpc_byte_buffer_destroy(request);
}

static void *serve(void *arg)
{
	struct health *h = arg;
	grpc_call *call;
	gpr_timespec deadline;
	grpc_metadata_array headers;
	grpc_byte_buffer *request = NULL;
	int cancelled;
	grpc_metadata_array_init(&headers);
	PD_ASSERT(grpc_server_request_registered_call(h->server, h->method, &call, &deadline, &headers, &request,
						      h->call_cq, h->cq, h) == GRPC_CALL_OK);
	wait_for(h->cq, h);
	read_request(h, request);
	grpc_slice bytes = grpc_slice_from_copied_buffer(h->reply, h->reply_len);
	grpc_byte_buffer *reply = grpc_raw_byte_buffer_create(&bytes, 1);
	grpc_op op[] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},
			{.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = reply},
			{.op = GRPC_OP_SEND_STATUS_FROM_SERVER},
			{.op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server.cancelled = &cancelled}};
	PD_ASSERT(grpc_call_start_batch(call, op, 4, call, NULL) == GRPC_CALL_OK);
	wait_for(h->call_cq, call);
	grpc_byte_buffer_destroy(reply);
	grpc_slice_unref(bytes);
	grpc_metadata_array_destroy(&headers);
	grpc_call_unref(call);
	return NULL;
}

static void end_queue(grpc_completion_queue *cq)
{
	grpc_completion_queue_shutdown(cq);
	while (grpc_completion_queue_next(cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type != GRPC_QUEUE_SHUTDOWN)
		;
	grpc_completion_queue_destroy(cq);
}

// The status of a probe for `service` when the application answers with these bytes.
static int probe(struct health *h, const char *service, const char *reply, size_t n)
{
	struct pd_buf why = {0};
	grpc_server_credentials *plain = grpc_insecure_server_credentials_create();
	*h = (struct health){.reply = reply, .reply_len = n};
	h->server = grpc_server_create(NULL, NULL);
	h->cq = grpc_completion_queue_create_for_next(NULL);
	h->call_cq = grpc_completion_queue_create_for_next(NULL);
	grpc_server_register_completion_queue(h->server, h->cq, NULL);
	h->method = grpc_server_register_method(h->server, "/grpc.health.v1.Health/Check", NULL,
						GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
	h->port = grpc_server_add_http2_port(h->server, "127.0.0.1:0", plain);
	grpc_server_credentials_release(plain);
	grpc_server_start(h->server);
	PD_ASSERT(pthread_create(&h->thread, NULL, serve, h) == 0);
	const struct pd_probe p = {.kind = PD_PROBE_GRPC,
				   .host = "",
				   .port = (uint16_t)h->port,
				   .timeout_s = 20,
				   .service = service};
	int status = pd_probe_run(&p, "127.0.0.1", &why);
	assert_int_equal(status == 200, why.n == 0);
	pthread_join(h->thread, NULL);
	grpc_server_shutdown_and_notify(h->server, h->cq, h);
	wait_for(h->cq, h);
	grpc_server_destroy(h->server);
	end_queue(h->cq);
	end_queue(h->call_cq);
	pd_buf_free(&why);
	return status;
}

static void test_health(void **state)
{
	struct health h;
	(void)state;
	assert_int_equal(probe(&h, "shop", "\x08\x01", 2), 200); // SERVING
	assert_int_equal(h.asked_len, 6);
	assert_memory_equal(h.asked, "\x0a\x04shop", 6);
	assert_int_equal(probe(&h, "", "\x08\x02", 2), 500); // NOT_SERVING
	assert_int_equal(h.asked_len, 0);
	assert_int_equal(probe(&h, "", "", 0), 500); // UNKNOWN
}

static void test_long_service(void **state)
{
	char service[200];
	struct pd_buf why = {0};
	struct pd_probe p = {.kind = PD_PROBE_GRPC, .host = "", .port = 1, .timeout_s = 1, .service = service};
	(void)state;
	memset(service, 's', sizeof(service) - 1);
	service[sizeof(service) - 1] = 0;
	assert_int_equal(pd_probe_run(&p, "127.0.0.1", &why), 500);
	assert_non_null(strstr(why.p, "too long"));
	pd_buf_free(&why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_health), cmocka_unit_test(test_long_service)};
	return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
