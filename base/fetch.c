#include "base/fetch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

#define POLL_MAX_MS 1000
#define FILE_PREFIX "file://"

struct request {
	struct pd_fetcher *f;
	uint64_t id;
	char *url;
	uint64_t due_ns;
	pd_fetch_done done;
	void *arg;
	bool cancelled; // guarded by the fetcher's lock

	// Of the fetcher's thread.
	bool started;
	CURL *easy;
	struct pd_buf body;
	bool too_large, blocked;
	char text[CURL_ERROR_SIZE];
};

struct pd_fetcher {
	size_t max_body;
	uint32_t timeout_ms;
	bool files;
	char *ca_file;
	struct pd_cidr *blocked;
	size_t n_blocked;

	CURLM *multi;
	pthread_t thread;
	size_t running; // transfers; of the thread

	pthread_mutex_t lock; // guards what follows
	pthread_cond_t called;
	PD_VEC(struct request *) open;
	uint64_t next_id, calling; // id of the request whose callback is running; 0 = none
	bool stop;
};

static void request_free(struct request *r)
{
	curl_easy_cleanup(r->easy);
	pd_buf_free(&r->body);
	free(r->url);
	free(r);
}

// Takes the request off the list. True: its callback may be called (and pd_fetch_cancel waits for it from now on).
static bool retire(struct request *r)
{
	struct pd_fetcher *f = r->f;
	bool wanted;

	pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < f->open.n; i++)
		if (f->open.v[i] == r)
			f->open.v[i] = f->open.v[--f->open.n];
	wanted = !r->cancelled;
	if (wanted)
		f->calling = r->id;
	pthread_mutex_unlock(&f->lock);
	return wanted;
}

static void finish(struct request *r, int err, int http_code, const char *text)
{
	struct pd_fetcher *f = r->f;
	struct pd_fetch_result result = {.err = err, .http_code = http_code, .body = "", .text = text};

	if (!err && r->body.n) {
		result.body = r->body.p;
		result.n = r->body.n;
	}
	if (retire(r)) {
		r->done(&result, r->arg);
		pthread_mutex_lock(&f->lock);
		f->calling = 0;
		pthread_cond_broadcast(&f->called);
		pthread_mutex_unlock(&f->lock);
	}
	request_free(r);
}

// ---- files -------------------------------------------------------------------------------------------------------------

// "file:///path" and "file://localhost/path", the path as it stands.
static const char *path_of(const char *url)
{
	const char *s = url + strlen(FILE_PREFIX);

	if (pd_has_prefix(s, "localhost/"))
		s += strlen("localhost");
	return *s == '/' ? s : NULL;
}

static int read_file(struct request *r, int fd)
{
	char buf[8192];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return PD_E_IO;
		if (r->body.n + (size_t)n > r->f->max_body)
			return PD_E_LIMIT;
		pd_buf_add(&r->body, buf, (size_t)n);
	}
	return PD_OK;
}

static void fetch_file(struct request *r)
{
	const char *path = path_of(r->url);
	struct stat st;
	int fd, err;

	if (!path || !r->f->files) {
		finish(r, PD_E_INVALID, 0, path ? "local files are not allowed" : "not the URL of a local file");
		return;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // or a FIFO would hold up everybody
	if (fd < 0) {
		err = errno == ENOENT ? PD_E_NOTFOUND : errno == EACCES ? PD_E_DENIED : PD_E_IO;
		finish(r, err, 0, err == PD_E_NOTFOUND ? "no such file" : "the file cannot be opened");
		return;
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		err = PD_E_INVALID;
	else
		err = read_file(r, fd);
	close(fd);
	finish(r, err, 0,
	       err == PD_E_INVALID ? "not a regular file"
	       : err == PD_E_LIMIT ? "the document is too large"
	       : err               ? "the file cannot be read"
				   : "");
}

// ---- transfers ---------------------------------------------------------------------------------------------------------

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct request *r = arg;

	if (r->body.n + size * n > r->f->max_body) {
		r->too_large = true;
		return 0;
	}
	pd_buf_add(&r->body, p, size * n);
	return size * n;
}

static bool is_blocked(const struct pd_fetcher *f, const struct curl_sockaddr *a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;
	struct pd_ip ip = {0};

	if (a->family == AF_INET) {
		memcpy(&v4, &a->addr, sizeof(v4));
		ip.len = 4;
		memcpy(ip.b, &v4.sin_addr, 4);
	} else if (a->family == AF_INET6) {
		memcpy(&v6, &a->addr, sizeof(v6)); // curl keeps room for any address there
		ip.len = memcmp(&v6.sin6_addr, mapped, sizeof(mapped)) == 0 ? 4 : 16;
		memcpy(ip.b, (const uint8_t *)&v6.sin6_addr + 16 - ip.len, ip.len);
	}
	for (size_t i = 0; i < f->n_blocked; i++)
		if (pd_cidr_contains(&f->blocked[i], &ip))
			return true;
	return false;
}

static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct request *r = arg;

	(void)purpose;
	if (is_blocked(r->f, a)) {
		r->blocked = true;
		return CURL_SOCKET_BAD;
	}
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static bool is_https(const char *url)
{
	return strncasecmp(url, "https://", 8) == 0;
}

static void fetch_http(struct request *r)
{
	struct pd_fetcher *f = r->f;
	CURL *e = r->easy = curl_easy_init();

	if (!e || (!is_https(r->url) && strncasecmp(r->url, "http://", 7) != 0)) {
		finish(r, e ? PD_E_INVALID : PD_E_IO, 0,
		       e ? "not an http, https or file URL" : "no transfer to be had");
		return;
	}
	curl_easy_setopt(e, CURLOPT_URL, r->url);
	curl_easy_setopt(e, CURLOPT_PRIVATE, r);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, is_https(r->url) ? "https" : "http,https");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(e, CURLOPT_MAXREDIRS, (long)PD_FETCH_REDIRECTS_MAX);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)f->timeout_ms);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)f->timeout_ms);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, r);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, r->text);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "pilotd");
	if (f->ca_file) {
		curl_easy_setopt(e, CURLOPT_CAINFO, f->ca_file);
		curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	}
	if (curl_multi_add_handle(f->multi, e) != CURLM_OK) {
		finish(r, PD_E_IO, 0, "the transfer cannot be started");
		return;
	}
	f->running++;
}

static int code_of_http(long http)
{
	switch (http) {
	case 404:
	case 410:
		return PD_E_NOTFOUND;
	case 401:
	case 403:
		return PD_E_DENIED;
	default:
		return http >= 200 && http < 300 ? PD_OK : PD_E_IO;
	}
}

static void end_transfer(struct request *r, CURLcode code)
{
	char text[PD_FETCH_TEXT_MAX] = "";
	long http = 0;
	int err;

	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &http);
	curl_multi_remove_handle(r->f->multi, r->easy);
	r->f->running--;
	if (r->too_large) {
		err = PD_E_LIMIT;
		snprintf(text, sizeof(text), "the document is too large");
	} else if (r->blocked && code != CURLE_OK) {
		err = PD_E_DENIED;
		snprintf(text, sizeof(text), "the address is not allowed");
	} else if (code != CURLE_OK) {
		err = code == CURLE_OPERATION_TIMEDOUT                                    ? PD_E_TIMEOUT
		      : code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT ? PD_E_INVALID
											  : PD_E_IO;
		snprintf(text, sizeof(text), "%s", *r->text ? r->text : curl_easy_strerror(code));
	} else {
		err = code_of_http(http);
		if (err)
			snprintf(text, sizeof(text), "the server answered %ld", http);
	}
	finish(r, err, (int)http, text);
}

// ---- the thread --------------------------------------------------------------------------------------------------------

// What the thread finds under the lock.
struct turn {
	struct request *r; // to be dropped or started; NULL: nothing to do
	bool drop;
	bool over;   // the fetcher is stopped and nothing is left
	int wait_ms; // until a request is due, if nothing else happens
};

static struct turn next(struct pd_fetcher *f)
{
	struct turn t = {.wait_ms = POLL_MAX_MS};
	uint64_t now = pd_now_ns(), ms;
	struct request *r;

	pthread_mutex_lock(&f->lock);
	t.over = f->stop && f->open.n == 0;
	for (size_t i = 0; i < f->open.n && !t.r; i++) {
		r = f->open.v[i];
		if (r->cancelled || f->stop ||
		    (!r->started && r->due_ns <= now && f->running < PD_FETCH_PARALLEL_MAX)) {
			t.r = r;
			t.drop = r->cancelled || f->stop;
		} else if (!r->started && r->due_ns > now) {
			ms = (r->due_ns - now + 999999) / 1000000;
			if (ms < (uint64_t)t.wait_ms)
				t.wait_ms = (int)ms;
		}
	}
	pthread_mutex_unlock(&f->lock);
	return t;
}

static void drop(struct request *r)
{
	if (r->easy) {
		curl_multi_remove_handle(r->f->multi, r->easy);
		r->f->running--;
	}
	finish(r, PD_E_CLOSED, 0, "shutting down");
}

static void begin(struct request *r)
{
	r->started = true;
	if (pd_has_prefix(r->url, FILE_PREFIX))
		fetch_file(r);
	else
		fetch_http(r);
}

// Transfers that have ended. True: there were some, and others may have waited for their places.
static bool collect(struct pd_fetcher *f)
{
	struct request *r;
	bool any = false;
	CURLMsg *m;
	int left;

	curl_multi_perform(f->multi, &left);
	while ((m = curl_multi_info_read(f->multi, &left))) {
		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&r);
		end_transfer(r, m->data.result);
		any = true;
	}
	return any;
}

static void *fetcher_main(void *arg)
{
	struct pd_fetcher *f = arg;
	struct turn t;

	while (!(t = next(f)).over) {
		if (t.r && t.drop)
			drop(t.r);
		else if (t.r)
			begin(t.r);
		else if (!collect(f))
			curl_multi_poll(f->multi, NULL, 0, t.wait_ms, NULL);
	}
	return NULL;
}

// ---- life --------------------------------------------------------------------------------------------------------------

struct pd_fetcher *pd_fetcher_new(const struct pd_fetch_options *o)
{
	struct pd_fetcher *f = pd_xcalloc(1, sizeof(*f));

	PD_ASSERT(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
	f->max_body = o->max_body ? o->max_body : PD_FETCH_BODY_MAX;
	f->timeout_ms = o->timeout_ms ? o->timeout_ms : PD_FETCH_TIMEOUT_MS;
	f->files = o->files;
	f->ca_file = o->ca_file ? pd_xstrdup(o->ca_file) : NULL;
	f->n_blocked = o->n_blocked;
	f->blocked = o->n_blocked ? pd_xmalloc(o->n_blocked * sizeof(*o->blocked)) : NULL;
	if (o->n_blocked)
		memcpy(f->blocked, o->blocked, o->n_blocked * sizeof(*o->blocked));
	f->multi = curl_multi_init();
	PD_ASSERT(f->multi);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->called, NULL);
	PD_ASSERT(pthread_create(&f->thread, NULL, fetcher_main, f) == 0);
	return f;
}

void pd_fetcher_free(struct pd_fetcher **fp)
{
	struct pd_fetcher *f = *fp;

	if (!f)
		return;
	*fp = NULL;
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_mutex_unlock(&f->lock);
	curl_multi_wakeup(f->multi);
	pthread_join(f->thread, NULL);
	PD_ASSERT(f->open.n == 0);
	pd_vec_free(&f->open);
	curl_multi_cleanup(f->multi);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->called);
	free(f->blocked);
	free(f->ca_file);
	free(f);
	curl_global_cleanup();
}

uint64_t pd_fetch(struct pd_fetcher *f, const char *url, uint64_t delay_ms, pd_fetch_done done, void *arg)
{
	struct request *r = pd_xcalloc(1, sizeof(*r));
	uint64_t id = 0;

	*r = (struct request){.f = f, .done = done, .arg = arg, .due_ns = pd_now_ns() + delay_ms * 1000000};
	r->url = pd_xstrdup(strnlen(url, PD_FETCH_URL_MAX + 1) > PD_FETCH_URL_MAX ? "" : url); // "" will be refused
	pthread_mutex_lock(&f->lock);
	if (!f->stop && f->open.n < PD_FETCH_OPEN_MAX) {
		id = r->id = ++f->next_id;
		pd_vec_push(&f->open, r);
	}
	pthread_mutex_unlock(&f->lock);
	if (id)
		curl_multi_wakeup(f->multi);
	else
		request_free(r);
	return id;
}

void pd_fetch_cancel(struct pd_fetcher *f, uint64_t id)
{
	bool on_thread = pthread_equal(pthread_self(), f->thread);

	if (!id)
		return;
	pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < f->open.n; i++)
		if (f->open.v[i]->id == id)
			f->open.v[i]->cancelled = true;
	while (!on_thread && f->calling == id)
		pthread_cond_wait(&f->called, &f->lock);
	pthread_mutex_unlock(&f->lock);
	curl_multi_wakeup(f->multi);
}
