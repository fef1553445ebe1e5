#include "tests/unit/proxy/fake_ca.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "tests/unit/proxy/rig.h"
#include "wire/ca.pb-c.h"

#define METHOD "/istio.v1.auth.IstioCertificateService/CreateCertificate"
#define HEADERS_MAX 32

struct fake_ca {
	grpc_server *server;
	grpc_completion_queue *cq, *call_cq; // new calls; operations of the call under way
	void *method;
	pthread_t thread;
	char address[32];

	pthread_mutex_t mu; // guards the rest
	struct fake_ca_plan plan;
	unsigned requests;
	char *keys[HEADERS_MAX], *values[HEADERS_MAX], *client;
	size_t n_headers;
	int64_t validity;
};

// ---- one call --------------------------------------------------------------------------------------------------------------

static void remember(struct fake_ca *ca, const grpc_metadata_array *headers, grpc_call *call)
{
	grpc_auth_context *auth = grpc_call_auth_context(call);
	grpc_auth_property_iterator it = grpc_auth_context_find_properties_by_name(auth, "peer_spiffe_id");
	const grpc_auth_property *id = grpc_auth_property_iterator_next(&it);
	for (size_t i = 0; i < ca->n_headers; i++) {
		free(ca->keys[i]);
		free(ca->values[i]);
	}
	ca->n_headers = 0;
	for (size_t i = 0; i < headers->count && i < HEADERS_MAX; i++) {
		char *key = grpc_slice_to_c_string(headers->metadata[i].key);
		char *value = grpc_slice_to_c_string(headers->metadata[i].value);
		ca->keys[ca->n_headers] = pd_xstrdup(key);
		ca->values[ca->n_headers++] = pd_xstrdup(value);
		gpr_free(key);
		gpr_free(value);
	}
	free(ca->client);
	ca->client = id ? pd_xstrndup(id->value, id->value_length) : pd_xstrdup("");
	grpc_auth_context_release(auth);
	ca->requests++;
}

static char *sign(const struct fake_ca_plan *plan, const char *csr_pem)
{
	static const char *const sans[] = {"spiffe://cluster.local/ns/foo/sa/bar"};
	struct pd_leaf leaf = {.sans = sans, .n_sans = 1, .ttl_s = plan->ttl_s, .now_s = time(NULL)};
	struct pd_buf pem = {0}, why = {0};
	struct pd_csr csr;
	EVP_PKEY *other = plan->other_key ? pd_key_generate(PD_KEY_P256, 0) : NULL;
	PD_ASSERT(pd_csr_parse(csr_pem, strlen(csr_pem), &csr, &why) == PD_OK);
	if (other)
		PD_ASSERT(pd_signer_issue_own(plan->signer, other, &leaf, &pem, NULL, &why) == PD_OK);
	else
		PD_ASSERT(pd_signer_issue(plan->signer, &csr, &leaf, &pem, NULL, &why) == PD_OK);
	EVP_PKEY_free(other);
	pd_csr_free(&csr);
	return pem.p;
}

static grpc_byte_buffer *answer(struct fake_ca *ca, const struct fake_ca_plan *plan, grpc_byte_buffer *request)
{
	grpc_byte_buffer_reader reader;
	IstioCa__IstioCertificateResponse response = ISTIO_CA__ISTIO_CERTIFICATE_RESPONSE__INIT;
	char *chain[2] = {NULL, NULL};
	PD_ASSERT(request && grpc_byte_buffer_reader_init(&reader, request));
	grpc_slice s = grpc_byte_buffer_reader_readall(&reader);
	IstioCa__IstioCertificateRequest *m =
		istio_ca__istio_certificate_request__unpack(NULL, GRPC_SLICE_LENGTH(s), GRPC_SLICE_START_PTR(s));
	PD_ASSERT(m);
	pthread_mutex_lock(&ca->mu);
	ca->validity = m->validity_duration;
	pthread_mutex_unlock(&ca->mu);
	chain[0] = sign(plan, m->csr);
	chain[1] = plan->roots ? pd_xstrdup(plan->roots) : rig_root_pem(plan->signer);
	istio_ca__istio_certificate_request__free_unpacked(m, NULL);
	grpc_slice_unref(s);
	grpc_byte_buffer_reader_destroy(&reader);
	response.cert_chain = chain;
	response.n_cert_chain = plan->leaf_alone ? 1 : 2;
	size_t n = protobuf_c_message_get_packed_size(&response.base);
	uint8_t *bytes = pd_xmalloc(n);
	protobuf_c_message_pack(&response.base, bytes);
	grpc_slice out = grpc_slice_from_copied_buffer((char *)bytes, n);
	grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&out, 1);
	grpc_slice_unref(out);
	free(bytes);
	free(chain[0]);
	free(chain[1]);
	return buffer;
}

static void run_batch(grpc_completion_queue *cq, grpc_call *call, grpc_op *op, size_t n)
{
	PD_ASSERT(grpc_call_start_batch(call, op, n, call, NULL) == GRPC_CALL_OK);
	grpc_event e = grpc_completion_queue_next(cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
	PD_ASSERT(e.tag == call);
}

static void serve_call(struct fake_ca *ca, grpc_completion_queue *cq, grpc_call *call,
		       const grpc_metadata_array *headers)
{
	grpc_byte_buffer *request = NULL, *response = NULL;
	grpc_op receive = {.op = GRPC_OP_RECV_MESSAGE};
	grpc_slice text = grpc_slice_from_static_string("not today");
	int cancelled;
	receive.data.recv_message.recv_message = &request;
	run_batch(cq, call, &receive, 1);
	pthread_mutex_lock(&ca->mu);
	struct fake_ca_plan plan = ca->plan;
	remember(ca, headers, call);
	if (ca->plan.fail && --ca->plan.fail == 0)
		ca->plan.status = 0;
	pthread_mutex_unlock(&ca->mu);
	if (plan.delay_ms)
		nanosleep(&(struct timespec){plan.delay_ms / 1000, plan.delay_ms % 1000 * 1000000}, NULL);
	if (!plan.status)
		response = answer(ca, &plan, request);
	grpc_op op[4] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},
			 {.op = GRPC_OP_SEND_STATUS_FROM_SERVER},
			 {.op = GRPC_OP_RECV_CLOSE_ON_SERVER},
			 {.op = GRPC_OP_SEND_MESSAGE}};
	op[1].data.send_status_from_server.status = plan.status;
	op[1].data.send_status_from_server.status_details = plan.status ? &text : NULL;
	op[2].data.recv_close_on_server.cancelled = &cancelled;
	op[3].data.send_message.send_message = response;
	run_batch(cq, call, op, response ? 4 : 3);
	grpc_byte_buffer_destroy(request);
	if (response)
		grpc_byte_buffer_destroy(response);
}

// One call at a time, on a queue of its own.
static void *serve(void *arg)
{
	struct fake_ca *ca = arg;
	for (;;) {
		grpc_call *call = NULL;
		gpr_timespec deadline;
		grpc_metadata_array headers;
		grpc_metadata_array_init(&headers);
		PD_ASSERT(grpc_server_request_registered_call(ca->server, ca->method, &call, &deadline, &headers, NULL,
							      ca->call_cq, ca->cq, &headers) == GRPC_CALL_OK);
		grpc_event e = grpc_completion_queue_next(ca->cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
		if (e.tag == ca) { // shut down; the call that was asked for fails
			e = grpc_completion_queue_next(ca->cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
			PD_ASSERT(e.tag == &headers && !e.success);
		} else if (e.success) {
			serve_call(ca, ca->call_cq, call, &headers);
			grpc_call_unref(call);
		} else {
			e = grpc_completion_queue_next(ca->cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
			PD_ASSERT(e.tag == ca);
		}
		grpc_metadata_array_destroy(&headers);
		if (!e.success || e.tag == ca)
			return NULL;
	}
}

// ---- the server ------------------------------------------------------------------------------------------------------------

static grpc_server_credentials *credentials(const struct pd_signer *server, const char *name)
{
	char *cert, *key, *root;
	if (!server)
		return grpc_insecure_server_credentials_create();
	rig_leaf(server, name, 600, &cert, &key);
	root = rig_root_pem(server);
	grpc_ssl_pem_key_cert_pair pair = {key, cert};
	grpc_server_credentials *c =
		grpc_ssl_server_credentials_create_ex(root, &pair, 1, GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY,
						      NULL);
	free(cert);
	free(key);
	free(root);
	return c;
}

struct fake_ca *fake_ca_start(const struct pd_signer *server, const char *name)
{
	struct fake_ca *ca = pd_xcalloc(1, sizeof(*ca));
	grpc_server_credentials *creds = credentials(server, name);
	pthread_mutex_init(&ca->mu, NULL);
	ca->client = pd_xstrdup("");
	ca->server = grpc_server_create(NULL, NULL);
	ca->cq = grpc_completion_queue_create_for_next(NULL);
	ca->call_cq = grpc_completion_queue_create_for_next(NULL);
	grpc_server_register_completion_queue(ca->server, ca->cq, NULL);
	ca->method = grpc_server_register_method(ca->server, METHOD, NULL, GRPC_SRM_PAYLOAD_NONE, 0);
	int port = grpc_server_add_http2_port(ca->server, "127.0.0.1:0", creds);
	PD_ASSERT(port);
	grpc_server_credentials_release(creds);
	snprintf(ca->address, sizeof(ca->address), "127.0.0.1:%d", port);
	grpc_server_start(ca->server);
	PD_ASSERT(pthread_create(&ca->thread, NULL, serve, ca) == 0);
	return ca;
}

static void end_queue(grpc_completion_queue *cq)
{
	grpc_completion_queue_shutdown(cq);
	while (grpc_completion_queue_next(cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type != GRPC_QUEUE_SHUTDOWN)
		;
	grpc_completion_queue_destroy(cq);
}

void fake_ca_stop(struct fake_ca *ca)
{
	grpc_server_shutdown_and_notify(ca->server, ca->cq, ca);
	grpc_server_cancel_all_calls(ca->server);
	pthread_join(ca->thread, NULL);
	grpc_server_destroy(ca->server);
	end_queue(ca->cq);
	end_queue(ca->call_cq);
	pthread_mutex_destroy(&ca->mu);
	for (size_t i = 0; i < ca->n_headers; i++) {
		free(ca->keys[i]);
		free(ca->values[i]);
	}
	free(ca->client);
	free(ca);
}

const char *fake_ca_address(struct fake_ca *ca)
{
	return ca->address;
}

void fake_ca_plan(struct fake_ca *ca, const struct fake_ca_plan *plan)
{
	pthread_mutex_lock(&ca->mu);
	ca->plan = *plan;
	pthread_mutex_unlock(&ca->mu);
}

unsigned fake_ca_requests(struct fake_ca *ca)
{
	pthread_mutex_lock(&ca->mu);
	unsigned n = ca->requests;
	pthread_mutex_unlock(&ca->mu);
	return n;
}

char *fake_ca_header(struct fake_ca *ca, const char *key)
{
	const char *value = "";
	pthread_mutex_lock(&ca->mu);
	for (size_t i = 0; i < ca->n_headers; i++)
		if (strcmp(ca->keys[i], key) == 0)
			value = ca->values[i];
	char *copy = pd_xstrdup(value);
	pthread_mutex_unlock(&ca->mu);
	return copy;
}

char *fake_ca_client(struct fake_ca *ca)
{
	pthread_mutex_lock(&ca->mu);
	char *copy = pd_xstrdup(ca->client);
	pthread_mutex_unlock(&ca->mu);
	return copy;
}

int64_t fake_ca_validity(struct fake_ca *ca)
{
	pthread_mutex_lock(&ca->mu);
	int64_t v = ca->validity;
	pthread_mutex_unlock(&ca->mu);
	return v;
}
