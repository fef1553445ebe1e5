// The transport of a real client.
#include "base/clock.h"
#include "k8s/reflector.h"

static uint64_t do_call(void *ctx, const struct pd_k8s_request *request)
{
	return pd_k8s_call(ctx, request);
}

static void do_cancel(void *ctx, uint64_t call)
{
	pd_k8s_cancel(ctx, call);
}

static uint64_t do_after(void *ctx, uint64_t ms, void (*fn)(void *user), void *user)
{
	return pd_k8s_after(ctx, ms, fn, user);
}

static void do_timer_cancel(void *ctx, uint64_t timer)
{
	pd_k8s_timer_cancel(ctx, timer);
}

static int do_post(void *ctx, void (*fn)(void *user), void *user)
{
	return pd_k8s_post(ctx, fn, user);
}

static uint64_t do_now_ms(void *ctx)
{
	(void)ctx;
	return pd_now_ms();
}

struct pd_k8s_transport pd_k8s_transport_of(struct pd_k8s_client *client)
{
	return (struct pd_k8s_transport){client, do_call, do_cancel, do_after, do_timer_cancel, do_post, do_now_ms};
}
