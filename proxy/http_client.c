#include "proxy/http_client.h"

#include <curl/curl.h>
#include <string.h>

struct sink {
	struct pd_buf *body;
	size_t room;
};

static size_t take(char *p, size_t size, size_t n, void *arg)
{
	struct sink *s = arg;
	n *= size;
	if (n > s->room)
		return 0; // ends the transfer with CURLE_WRITE_ERROR
	s->room -= n;
	pd_buf_add(s->body, p, n);
	return n;
}

static int error_of(CURLcode rc)
{
	switch (rc) {
	case CURLE_OK:
		return PD_OK;
	case CURLE_OPERATION_TIMEDOUT:
		return PD_E_TIMEOUT;
	case CURLE_WRITE_ERROR:
		return PD_E_LIMIT;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return PD_E_INVALID;
	default:
		return PD_E_IO;
	}
}

static void set_request(CURL *c, const struct pd_http_call *call)
{
	curl_easy_setopt(c, CURLOPT_URL, call->url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
	if (call->method && strcmp(call->method, "GET") != 0) {
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, "");
		curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, call->method);
	}
}

int pd_http_call(const struct pd_http_call *call, int *status, struct pd_buf *body, struct pd_buf *why)
{
	char text[CURL_ERROR_SIZE] = "";
	struct sink sink = {body, call->max_body ? call->max_body : PD_HTTP_REPLY_MAX};
	struct curl_slist *headers = NULL;
	CURL *c = curl_easy_init();
	PD_ASSERT(c);
	set_request(c, call);
	for (const char *const *h = call->headers; h && *h; h++)
		headers = curl_slist_append(headers, *h);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, text);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &sink);
	CURLcode rc = curl_easy_perform(c);
	long code = 0;
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &code);
	*status = (int)code;
	if (rc != CURLE_OK)
		pd_buf_adds(why, *text ? text : curl_easy_strerror(rc));
	curl_slist_free_all(headers);
	curl_easy_cleanup(c);
	return error_of(rc);
}
