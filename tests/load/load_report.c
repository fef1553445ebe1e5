#include "tests/load/load_run.h"

void pd_report_table(const struct pd_run *r, FILE *to)
{
	static const char *const protocols[] = {"state of the world", "delta", "both protocols"};
	fprintf(to, "%s: %u services, %u proxies, %s, %u client thread%s\n", r->o.label, r->o.world.services,
		r->o.proxies, protocols[r->o.protocol], r->o.workers, r->o.workers == 1 ? "" : "s");
	fprintf(to, "%-15s %6s %9s %9s %9s %11s %11s %10s %8s %9s %8s %8s\n", "phase", "rounds", "first ms",
		"median ms", "last ms", "server CPU", "client CPU", "MB", "messages", "resources", "RSS MB", "peak MB");
	for (unsigned i = 0; i < r->n_results; i++) {
		const struct pd_run_result *p = &r->results[i];
		fprintf(to, "%-15s %6u %9.1f %9.1f %9.1f %8.1f ms %8.1f ms %10.3f %8.0f %9.0f %8.1f %8.1f\n", p->name,
			p->rounds, p->first_ms, p->median_ms, p->last_ms, p->server_cpu_ms, p->client_cpu_ms,
			p->bytes / 1e6, p->messages, p->resources, (double)p->rss_kb / 1024, (double)p->peak_kb / 1024);
	}
	if (atomic_load(&r->shared.n_refused) > 0)
		fprintf(to, "%u streams were refused at first\n", atomic_load(&r->shared.n_refused));
	for (unsigned i = 0; i < r->n_problems && i < PD_RUN_PROBLEMS_MAX; i++)
		fprintf(to, "problem: %s\n", r->problems[i]);
	if (r->n_problems > PD_RUN_PROBLEMS_MAX)
		fprintf(to, "problem: %u more\n", r->n_problems - PD_RUN_PROBLEMS_MAX);
}

static void put_result(struct pd_buf *b, const struct pd_run_result *p)
{
	pd_buf_printf(b,
		      "{\"phase\": \"%s\", \"rounds\": %u, \"first_ms\": %.3f, \"median_ms\": %.3f, \"last_ms\": %.3f, "
		      "\"last_min_ms\": %.3f, \"last_max_ms\": %.3f, \"server_cpu_ms\": %.3f, "
		      "\"server_cpu_median_ms\": %.3f, \"client_cpu_ms\": %.3f, \"bytes\": %.0f, \"bytes_out\": %.0f, "
		      "\"messages\": %.1f, \"resources\": %.1f, \"rss_kb\": %lu, \"peak_kb\": %lu",
		      p->name, p->rounds, p->first_ms, p->median_ms, p->last_ms, p->last_min_ms, p->last_max_ms,
		      p->server_cpu_ms, p->server_cpu_median_ms, p->client_cpu_ms, p->bytes, p->bytes_out, p->messages,
		      p->resources, (unsigned long)p->rss_kb, (unsigned long)p->peak_kb);
	for (int t = 0; t < PD_LOAD_TYPES; t++)
		pd_buf_printf(b, ", \"%s\": {\"resources\": %.1f, \"bytes\": %.0f}",
			      pd_load_type_name((enum pd_load_type)t), p->by_type[t], p->bytes_type[t]);
	pd_buf_addc(b, '}');
}

int pd_report_json(const struct pd_run *r, const char *path)
{
	static const char *const protocols[] = {"sotw", "delta", "mixed"};
	struct pd_buf b = {0};
	pd_buf_adds(&b, "{\"label\": ");
	pd_buf_json(&b, r->o.label);
	pd_buf_printf(&b,
		      ", \"floor\": %s, \"protocol\": \"%s\", \"services\": %u, \"pods_per_service\": %u, "
		      "\"virtual_services\": %u, \"destination_rules\": %u, \"proxies\": %u, \"client_threads\": %u,\n"
		      " \"phases\": [",
		      r->o.floor ? "true" : "false", protocols[r->o.protocol], r->o.world.services, r->o.world.pods,
		      r->o.world.virtual_services, r->o.world.destination_rules, r->o.proxies, r->o.workers);
	for (unsigned i = 0; i < r->n_results; i++) {
		pd_buf_adds(&b, i ? ",\n  " : "\n  ");
		put_result(&b, &r->results[i]);
	}
	pd_buf_printf(&b, "],\n \"refused\": %u, \"problems\": [", atomic_load(&r->shared.n_refused));
	for (unsigned i = 0; i < r->n_problems && i < PD_RUN_PROBLEMS_MAX; i++) {
		pd_buf_adds(&b, i ? ", " : "");
		pd_buf_json(&b, r->problems[i]);
	}
	pd_buf_adds(&b, "]}\n");
	FILE *f = fopen(path, "we");
	bool ok = f && fwrite(b.p, 1, b.n, f) == b.n;
	if (f && fclose(f) != 0)
		ok = false;
	pd_buf_free(&b);
	return ok ? PD_OK : PD_E_IO;
}
