// pilotd-ca-load: workloads that ask for certificates over the real API, as many at a time as wanted.
//
//   pilotd-ca-load ADDRESS ROOTS.pem CLIENT.pem CLIENT.key CONNECTIONS CALLS IN_FLIGHT
//
// CONNECTIONS TLS connections with a client certificate, CALLS calls in all, spread over them, IN_FLIGHT under way at a time; the
// CSR is the same in all (P-256). Every answer is checked: a leaf for our key and at least one more element. Prints one JSON
// object: {"calls", "failures", "seconds", "per_second", "p50_ms", "p99_ms", "max_ms", "first_error"}. Exit status 1: failures.
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "api/pb.h"
#include "base/clock.h"
#include "base/mem.h"
#include "wire/ca.pb-c.h"

#define METHOD "/istio.v1.auth.IstioCertificateService/CreateCertificate"
#define SERVER_NAME "istiod.istio-system.svc"
#define DEADLINE_S 300
#define CHECK_EVERY 64 // of the leaves, one in so many is parsed: the client shall not be what is measured

struct client {
	grpc_completion_queue *cq;
	grpc_channel **channels;
	size_t n_channels;
	grpc_slice request;
	EVP_PKEY *key;
	size_t calls, started, done, failures;
	double *ms;
	char error[256];
};

struct call {
	struct client *c;
	grpc_call *call;
	grpc_metadata_array headers, trailers;
	grpc_byte_buffer *response;
	grpc_status_code status;
	grpc_slice text;
	uint64_t since_ns;
};

static char *read_all(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = pd_xcalloc(1, 1 << 20);

	if (!f || fread(text, 1, (1 << 20) - 1, f) == 0) {
		perror(path);
		exit(2);
	}
	fclose(f);
	return text;
}

static void open_channels(struct client *c, char **argv)
{
	char *roots = read_all(argv[2]), *cert = read_all(argv[3]), *key = read_all(argv[4]);
	grpc_ssl_pem_key_cert_pair pair = {key, cert};
	grpc_channel_credentials *creds = grpc_ssl_credentials_create(roots, &pair, NULL, NULL);

	c->n_channels = strtoul(argv[5], NULL, 10);
	c->channels = pd_xcalloc(c->n_channels, sizeof(*c->channels));
	for (size_t i = 0; i < c->n_channels; i++) {
		grpc_arg args[] = {
			{.type = GRPC_ARG_INTEGER, .key = GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, .value.integer = 1},
			{.type = GRPC_ARG_STRING,
			 .key = GRPC_SSL_TARGET_NAME_OVERRIDE_ARG,
			 .value.string = (char *)SERVER_NAME},
			// Thousands of handshakes at once take a while: no use in giving up on one and beginning it anew.
			{.type = GRPC_ARG_INTEGER,
			 .key = GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,
			 .value.integer = DEADLINE_S * 1000},
		};
		c->channels[i] = grpc_channel_create(argv[1], creds, &(grpc_channel_args){3, args});
	}
	grpc_channel_credentials_release(creds);
	free(roots);
	free(cert);
	free(key);
}

static void make_request(struct client *c)
{
	X509_REQ *req = X509_REQ_new();
	IstioCa__IstioCertificateRequest m = ISTIO_CA__ISTIO_CERTIFICATE_REQUEST__INIT;
	BIO *bio = BIO_new(BIO_s_mem());
	grpc_slice slice;
	char *csr;

	c->key = EVP_EC_gen("P-256");
	PD_ASSERT(X509_REQ_set_pubkey(req, c->key) == 1 && X509_REQ_sign(req, c->key, EVP_sha256()) > 0);
	PD_ASSERT(PEM_write_bio_X509_REQ(bio, req) == 1 && BIO_write(bio, "", 1) == 1);
	BIO_get_mem_data(bio, &csr);
	m.csr = csr;
	m.validity_duration = 86400;
	slice = grpc_slice_malloc(pb_packed_size(&m));
	pb_pack(&m, GRPC_SLICE_START_PTR(slice));
	c->request = slice;
	BIO_free(bio);
	X509_REQ_free(req);
}

static void start(struct client *c)
{
	struct call *k = pd_xcalloc(1, sizeof(*k));
	grpc_op op[6] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},  {.op = GRPC_OP_SEND_MESSAGE},
			 {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT}, {.op = GRPC_OP_RECV_INITIAL_METADATA},
			 {.op = GRPC_OP_RECV_MESSAGE},           {.op = GRPC_OP_RECV_STATUS_ON_CLIENT}};
	grpc_byte_buffer *request = grpc_raw_byte_buffer_create(&c->request, 1); // sending empties it
	gpr_timespec until = gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_seconds(DEADLINE_S, GPR_TIMESPAN));

	k->c = c;
	k->since_ns = pd_now_ns();
	k->call = grpc_channel_create_call(c->channels[c->started++ % c->n_channels], NULL, GRPC_PROPAGATE_DEFAULTS,
					   c->cq, grpc_slice_from_static_string(METHOD), NULL, until, NULL);
	grpc_metadata_array_init(&k->headers);
	grpc_metadata_array_init(&k->trailers);
	op[0].flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY;
	op[1].data.send_message.send_message = request;
	op[3].data.recv_initial_metadata.recv_initial_metadata = &k->headers;
	op[4].data.recv_message.recv_message = &k->response;
	op[5].data.recv_status_on_client.trailing_metadata = &k->trailers;
	op[5].data.recv_status_on_client.status = &k->status;
	op[5].data.recv_status_on_client.status_details = &k->text;
	PD_ASSERT(grpc_call_start_batch(k->call, op, 6, k, NULL) == GRPC_CALL_OK);
	grpc_byte_buffer_destroy(request);
}

static bool is_ours(struct client *c, const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	bool ok = leaf && EVP_PKEY_eq(X509_get0_pubkey(leaf), c->key) == 1;

	X509_free(leaf);
	BIO_free(bio);
	return ok;
}

static bool good(struct call *k)
{
	struct pd_arena a = {0};
	grpc_byte_buffer_reader r;
	struct pb_error err;
	IstioCa__IstioCertificateResponse *m;
	grpc_slice all;
	void *msg;
	bool ok;

	if (k->status != GRPC_STATUS_OK || !k->response || !grpc_byte_buffer_reader_init(&r, k->response))
		return false;
	all = grpc_byte_buffer_reader_readall(&r);
	ok = pb_unpack(&a, &istio_ca__istio_certificate_response__descriptor, GRPC_SLICE_START_PTR(all),
		       GRPC_SLICE_LENGTH(all), &msg, &err) == PD_OK;
	m = msg;
	ok = ok && m->n_cert_chain >= 2 && (k->c->done % CHECK_EVERY || is_ours(k->c, m->cert_chain[0]));
	grpc_slice_unref(all);
	grpc_byte_buffer_reader_destroy(&r);
	pd_arena_free(&a);
	return ok;
}

static void finish(struct call *k)
{
	struct client *c = k->c;

	if (!good(k)) {
		if (!c->failures++)
			snprintf(c->error, sizeof(c->error), "%d %.*s", k->status, (int)GRPC_SLICE_LENGTH(k->text),
				 (const char *)GRPC_SLICE_START_PTR(k->text));
	}
	c->ms[c->done++] = (double)(pd_now_ns() - k->since_ns) / 1e6;
	if (k->response)
		grpc_byte_buffer_destroy(k->response);
	grpc_metadata_array_destroy(&k->headers);
	grpc_metadata_array_destroy(&k->trailers);
	grpc_slice_unref(k->text);
	grpc_call_unref(k->call);
	free(k);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void report(struct client *c, double seconds)
{
	qsort(c->ms, c->done, sizeof(*c->ms), by_value);
	for (char *p = c->error; *p; p++)
		if (*p == '"' || *p == '\\' || *p < ' ')
			*p = ' ';
	printf("{\"calls\": %zu, \"failures\": %zu, \"seconds\": %.3f, \"per_second\": %.0f, \"p50_ms\": %.2f, "
	       "\"p99_ms\": %.2f, \"max_ms\": %.2f, \"first_error\": \"%s\"}\n",
	       c->done, c->failures, seconds, (double)c->done / seconds, c->ms[c->done / 2], c->ms[c->done * 99 / 100],
	       c->ms[c->done - 1], c->error);
}

int main(int argc, char **argv)
{
	struct client c = {0};
	struct rlimit files;
	size_t in_flight;
	uint64_t since;

	if (argc != 8) {
		fprintf(stderr,
			"usage: pilotd-ca-load ADDRESS ROOTS.pem CLIENT.pem CLIENT.key CONNECTIONS CALLS IN_FLIGHT\n");
		return 2;
	}
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	grpc_init();
	c.cq = grpc_completion_queue_create_for_next(NULL);
	c.calls = strtoul(argv[6], NULL, 10);
	in_flight = strtoul(argv[7], NULL, 10);
	c.ms = pd_xcalloc(c.calls, sizeof(*c.ms));
	open_channels(&c, argv);
	make_request(&c);
	since = pd_now_ns();
	while (c.done < c.calls) {
		while (c.started < c.calls && c.started - c.done < in_flight)
			start(&c);
		finish(grpc_completion_queue_next(c.cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).tag);
	}
	report(&c, (double)(pd_now_ns() - since) / 1e9);
	for (size_t i = 0; i < c.n_channels; i++)
		grpc_channel_destroy(c.channels[i]);
	grpc_slice_unref(c.request);
	EVP_PKEY_free(c.key);
	free(c.channels);
	free(c.ms);
	return c.failures ? 1 : 0;
}
