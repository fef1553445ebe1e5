// Listing one namespace beside a watch that runs.
//
// The list is older or newer than what the watch has said; each object settles it by its version: an older one changes
// nothing (pd_k8s_reflector_put). What the watch removed while the list was on its way stays removed.
#include <stdlib.h>

#include "base/log.h"
#include "k8s/reflector_impl.h"

static void fetch_page(struct pd_k8s_fetch *f, const char *next);

static void fetch_free(struct pd_k8s_fetch *f)
{
	struct pd_k8s_reflector *r = f->r;
	struct pd_k8s_fetch **at = &r->fetches;

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	r->n_fetches--;
	r->transport.cancel(r->transport.ctx, f->call);
	r->transport.timer_cancel(r->transport.ctx, f->timer);
	pd_k8s_list_free(&f->list);
	for (size_t i = 0; i < f->gone.n; i++)
		pd_unintern(f->gone.v[i]);
	pd_vec_free(&f->gone);
	pd_unintern(f->ns);
	free(f);
}

void pd_k8s_fetch_cancel_all(struct pd_k8s_reflector *r)
{
	while (r->fetches)
		fetch_free(r->fetches);
}

void pd_k8s_fetch_prune(struct pd_k8s_reflector *r)
{
	struct pd_k8s_fetch *next;

	for (struct pd_k8s_fetch *f = r->fetches; f; f = next) {
		next = f->next;
		if (!pd_k8s_reflector_wants(r, f->ns))
			fetch_free(f);
	}
}

void pd_k8s_fetch_removed(struct pd_k8s_reflector *r, const char *ns, const char *name)
{
	for (struct pd_k8s_fetch *f = r->fetches; f; f = f->next)
		if (f->ns == ns)
			pd_vec_push(&f->gone, pd_intern_ref(name));
}

static int on_item(void *user, const struct pd_k8s_item *item)
{
	struct pd_k8s_fetch *f = user;
	int rc;

	for (size_t i = 0; i < f->gone.n; i++)
		if (pd_streq(f->gone.v[i], item->name))
			return PD_OK;
	rc = pd_k8s_reflector_put(f->r, item, false);
	if (!rc || f->failures < PD_K8S_BROKEN_TRIES)
		return rc;
	pd_error("k8s", "%s: %s/%s is passed over: %s", f->r->title, item->ns, item->name, f->r->why.text);
	f->r->status.skipped++;
	f->r->why.text[0] = 0;
	return PD_OK;
}

static void on_headers(void *user, int code, const char *content_type)
{
	struct pd_k8s_fetch *f = user;

	(void)code;
	f->list.form = pd_k8s_form_of(content_type);
}

static int on_data(void *user, const void *p, size_t n)
{
	struct pd_k8s_fetch *f = user;

	return pd_k8s_list_feed(&f->list, p, n, on_item, f, &f->r->why);
}

static void retry(void *user)
{
	struct pd_k8s_fetch *f = user;

	f->timer = 0;
	fetch_page(f, NULL);
}

static void on_done(void *user, const struct pd_k8s_result *result)
{
	struct pd_k8s_fetch *f = user;
	struct pd_k8s_reflector *r = f->r;
	int err = result->err ? result->err : pd_k8s_list_end(&f->list, &r->why);
	char *next = f->list.next;

	f->call = 0;
	f->list.next = NULL;
	if (!err && next) {
		fetch_page(f, next);
	} else if (!err) {
		fetch_free(f);
	} else {
		pd_debug("k8s", "%s: namespace %s: %s", r->title, f->ns,
			 *r->why.text ? r->why.text : result->status.message);
		r->why.text[0] = 0;
		f->timer =
			r->transport.after(r->transport.ctx,
					   pd_k8s_backoff(f->failures++, PD_K8S_BACKOFF_MIN_MS, PD_K8S_BACKOFF_MAX_MS),
					   retry, f);
	}
	free(next);
	r->handler.flush(r->handler.user, false);
}

static void fetch_page(struct pd_k8s_fetch *f, const char *next)
{
	struct pd_k8s_reflector *r = f->r;
	struct pd_k8s_request req = {.accept = r->accept,
				     .on_headers = on_headers,
				     .on_data = on_data,
				     .on_done = on_done,
				     .user = f};
	struct pd_buf path = {0};

	pd_k8s_list_free(&f->list);
	pd_k8s_reflector_path(r, f->ns, &path);
	pd_buf_printf(&path, "limit=%d", PD_K8S_PAGE);
	if (next) {
		pd_buf_adds(&path, "&continue=");
		pd_k8s_path_add(&path, next);
	}
	req.path = path.p;
	r->status.pages++;
	f->call = r->transport.call(r->transport.ctx, &req);
	pd_buf_free(&path);
}

void pd_k8s_reflector_fetch(struct pd_k8s_reflector *r, const char *ns)
{
	struct pd_k8s_fetch *f;

	if (r->ns)
		return;
	if (r->n_fetches >= PD_K8S_FETCHES_MAX) {
		pd_k8s_reflector_resync(r);
		return;
	}
	for (f = r->fetches; f; f = f->next)
		if (pd_streq(f->ns, ns))
			break;
	if (f) // it may be behind what made the namespace wanted
		fetch_free(f);
	f = pd_xcalloc(1, sizeof(*f));
	f->r = r;
	f->ns = pd_intern(ns);
	f->next = r->fetches;
	r->fetches = f;
	r->n_fetches++;
	fetch_page(f, NULL);
}
