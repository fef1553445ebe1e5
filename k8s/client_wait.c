// Calls from threads that wait for the answer, and paths.
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "k8s/client_impl.h"

struct waiter {
	struct pd_k8s_client *client;
	struct pd_k8s_request req; // with our callbacks
	const struct pd_k8s_request *asked;
	struct pd_k8s_result *result; // the caller's
	struct pd_buf *body;          // the caller's
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool done; // under lock
};

static void on_done(void *user, const struct pd_k8s_result *r)
{
	struct waiter *w = user;

	*w->result = *r;
	w->result->body = NULL;
	w->result->content_type = "";
	if (w->body && r->body)
		pd_buf_add(w->body, r->body, r->body_len);
	pthread_mutex_lock(&w->lock);
	w->done = true;
	pthread_cond_signal(&w->over);
	pthread_mutex_unlock(&w->lock);
}

static void on_headers(void *user, int code, const char *content_type)
{
	const struct waiter *w = user;

	w->asked->on_headers(w->asked->user, code, content_type);
}

static int on_data(void *user, const void *p, size_t n)
{
	const struct waiter *w = user;

	return w->asked->on_data(w->asked->user, p, n);
}

static void begin(void *user)
{
	struct waiter *w = user;

	pd_k8s_call(w->client, &w->req);
}

int pd_k8s_call_wait(struct pd_k8s_client *c, const struct pd_k8s_request *req, struct pd_k8s_result *result,
		     struct pd_buf *body)
{
	struct waiter w = {.client = c, .req = *req, .asked = req, .result = result, .body = body};

	PD_ASSERT(!pd_k8s_on_loop(c));
	PD_ASSERT(!req->on_done);
	w.req.on_done = on_done;
	w.req.on_headers = req->on_headers ? on_headers : NULL;
	w.req.on_data = req->on_data ? on_data : NULL;
	w.req.user = &w;
	*result = (struct pd_k8s_result){0};
	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.over, NULL);
	if (pd_k8s_post(c, begin, &w)) {
		result->err = PD_E_CLOSED;
		result->content_type = "";
		pd_k8s_status_text(result->status.message, sizeof(result->status.message),
				   "the client is shutting down", 27);
	} else {
		pthread_mutex_lock(&w.lock);
		while (!w.done)
			pthread_cond_wait(&w.over, &w.lock);
		pthread_mutex_unlock(&w.lock);
	}
	pthread_mutex_destroy(&w.lock);
	pthread_cond_destroy(&w.over);
	return result->err;
}

void pd_k8s_path_add(struct pd_buf *path, const char *s)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (; *s; s++) {
		if (strchr(plain, *s))
			pd_buf_addc(path, *s);
		else
			pd_buf_printf(path, "%%%02X", (unsigned char)*s);
	}
}
