#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "config/source.h"
#include "config/yaml.h"

// A sink that keeps a store, and a protocol of what changed: "+a" for each object set, "-a" for each deleted.
struct sink {
	struct pd_sink base;
	pthread_mutex_t lock, gate; // gate: held by a test to make the source wait
	struct pd_store *store;
	struct pd_buf log;
	unsigned calls, synced;
	uint64_t last_ns;
};

static void on_changes(struct pd_sink *base, struct pd_change *v, size_t n, bool more)
{
	struct sink *s = (struct sink *)base;
	struct pd_changeset cs = {0};

	(void)more;
	pthread_mutex_lock(&s->gate);
	pthread_mutex_unlock(&s->gate);
	pthread_mutex_lock(&s->lock);
	s->last_ns = pd_now_ns();
	for (size_t i = 0; i < n; i++)
		pd_buf_printf(&s->log, "%c%s ", v[i].next ? '+' : '-', v[i].key.name);
	s->calls++;
	pd_store_apply(s->store, v, n, &cs);
	assert_int_equal(cs.items.n, n); // nothing is delivered that changes nothing
	pd_changeset_free(&cs);
	pthread_mutex_unlock(&s->lock);
}

static void on_synced(struct pd_sink *base, const char *source)
{
	(void)source;
	((struct sink *)base)->synced++;
}

struct env {
	char dir[64];
	struct sink sink;
	struct pd_issues *issues;
	struct pd_dir_source *source;
};
static struct env env;

static const char *at(const char *name)
{
	static char buf[4][512];
	static unsigned next;
	char *p = buf[next++ % 4];

	snprintf(p, sizeof(buf[0]), "%s/%s", env.dir, name);
	return p;
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(at(name), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

// A Service of that name; the port tells versions apart.
static char *service(const char *name, int port)
{
	static char buf[8][512]; // a name may be 253 bytes
	static unsigned next;
	char *p = buf[next++ % 8];

	snprintf(p, sizeof(buf[0]),
		 "---\napiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {ports: [{port: %d}]}\n", name, port);
	return p;
}

static void start(void)
{
	struct pd_dir_config cfg = {.path = env.dir,
				    .cluster = "Kubernetes",
				    .sink = &env.sink.base,
				    .issues = env.issues,
				    .max_files = 8};

	assert_int_equal(pd_dir_source_start(&cfg, &env.source), 0);
}

static int setup(void **state)
{
	(void)state;
	memset(&env, 0, sizeof(env));
	snprintf(env.dir, sizeof(env.dir), "/tmp/pd-dir-test-XXXXXX");
	assert_non_null(mkdtemp(env.dir));
	env.sink.base = (struct pd_sink){on_changes, on_synced};
	pthread_mutex_init(&env.sink.lock, NULL);
	pthread_mutex_init(&env.sink.gate, NULL);
	env.sink.store = pd_store_new(NULL, 0);
	env.issues = pd_issues_new();
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	pd_dir_source_stop(&env.source);
	pd_store_free(&env.sink.store);
	pd_buf_free(&env.sink.log);
	pd_issues_free(&env.issues);
	nftw(env.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return pd_intern_count() != 0;
}

// What was delivered since the last call.
static const char *taken(void)
{
	static struct pd_buf out;

	pd_buf_reset(&out);
	pd_buf_adds(&out, "");
	pthread_mutex_lock(&env.sink.lock);
	pd_buf_add(&out, env.sink.log.p, env.sink.log.n);
	pd_buf_reset(&env.sink.log);
	pthread_mutex_unlock(&env.sink.lock);
	return out.p ? out.p : "";
}

static uint64_t delivered_at(void)
{
	uint64_t ns;

	pthread_mutex_lock(&env.sink.lock);
	ns = env.sink.last_ns;
	pthread_mutex_unlock(&env.sink.lock);
	return ns;
}

// Waits until exactly `want` was delivered; some more time must bring nothing else.
static void expect(const char *want)
{
	struct pd_buf got = {0};

	for (int i = 0; i < 600; i++) {
		pd_buf_adds(&got, taken());
		if (got.n >= strlen(want) && *want)
			break;
		if (!*want && i > 20)
			break;
		usleep(5000);
	}
	usleep(60000);
	pd_buf_adds(&got, taken());
	assert_string_equal(got.p ? got.p : "", want);
	pd_buf_free(&got);
}

static int port_of(const char *name);

#include "k8s/core.pb-c.h"
static int port_of(const char *name)
{
	struct pd_config_snap *s;
	struct pd_arena a = {0};
	const struct pd_object *o;
	int port;

	pthread_mutex_lock(&env.sink.lock);
	s = pd_store_snapshot(env.sink.store);
	o = pd_config_get(s, PD_KIND_SERVICE, "Kubernetes", "default", name);
	port = o ? ((const K8s__Service *)pd_object_open(o, &a))->spec->ports[0]->port : 0;
	pd_arena_free(&a);
	pd_config_snap_unref(s);
	pthread_mutex_unlock(&env.sink.lock);
	return port;
}

static void wait_issues(size_t n)
{
	for (int i = 0; i < 600 && pd_issues_count(env.issues) != n; i++)
		usleep(5000);
	assert_int_equal(pd_issues_count(env.issues), n);
}

// ---- tests ----------------------------------------------------------------------------------------------------------

static void test_start(void **state)
{
	struct pd_dir_config cfg = {.path = at("nope"),
				    .cluster = "Kubernetes",
				    .sink = &env.sink.base,
				    .issues = env.issues};
	struct pd_dir_stats st;

	(void)state;
	assert_int_equal(pd_dir_source_start(&cfg, &env.source), PD_E_IO);
	mkdir(at("sub"), 0755);
	put("a.yaml", service("a", 1));
	put("b.json", "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"b\"}}");
	put("sub/c.yml", service("c", 1));
	put("sub/.hidden.yaml", service("x", 1));
	put("sub/backup.yaml~", service("x", 1));
	put("sub/#auto.yaml#", service("x", 1));
	put("sub/.c.yml.swp", service("x", 1));
	put("notes.txt", service("x", 1));
	put("deploy.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n");
	start();
	assert_string_equal(taken(), "+a +b +c ");
	assert_int_equal(env.sink.synced, 1);
	assert_int_equal(env.sink.calls, 1);
	pd_dir_source_stats(env.source, &st);
	assert_int_equal(st.files, 4);
	assert_int_equal(st.objects, 3);
	assert_int_equal(st.ignored, 1);
	assert_int_equal(st.watches, 2);
}

static void test_edit(void **state)
{
	uint64_t begin, took = UINT64_MAX;

	(void)state;
	put("a.yaml", service("a", 1));
	start();
	expect("+a ");
	put("a.yaml", service("a", 2));
	expect("+a ");
	assert_int_equal(port_of("a"), 2);
	put("a.yaml", service("a", 2)); // the same again
	expect("");
	put("a.yaml", service("b", 1));
	expect("+b -a ");
	put("a.yaml", "");
	expect("-b ");
	put("new.yaml", service("n1", 1));
	expect("+n1 ");
	unlink(at("new.yaml"));
	expect("-n1 ");
	for (int i = 0; i < 5; i++) {
		begin = pd_now_ns();
		put("a.yaml", service("a", 10 + i));
		expect("+a ");
		took = delivered_at() - begin < took ? delivered_at() - begin : took;
	}
	print_message("an edit reached the sink after %.1f ms\n", (double)took / 1e6);
	assert_true(took < 100000000);
}

// Expects one change of `a`, unless the machine was so busy that the file was away for too long: then it may have gone.
static void expect_edit(uint64_t away_ns)
{
	struct pd_buf got = {0};

	if (pd_now_ns() - away_ns < PD_DIR_GONE_MS / 2 * 1000000ull) {
		expect("+a ");
		return;
	}
	for (int i = 0; i < 600 && !pd_has_suffix(got.p, "+a "); i++) {
		usleep(5000);
		pd_buf_adds(&got, taken());
	}
	print_message("busy machine: %s\n", got.p);
	pd_buf_free(&got);
}

// What editors do: none of it makes the object vanish or come twice.
static void test_editors(void **state)
{
	uint64_t away;

	(void)state;
	put("a.yaml", service("a", 1));
	start();
	expect("+a ");
	// Rename a new file over it (sed -i, emacs).
	put("a.yaml.tmp", service("a", 2));
	rename(at("a.yaml.tmp"), at("a.yaml"));
	expect("+a ");
	// Rename the old one away, write a new one, remove the backup (vim).
	away = pd_now_ns();
	rename(at("a.yaml"), at("a.yaml~"));
	usleep(3000);
	put("a.yaml", service("a", 3));
	unlink(at("a.yaml~"));
	expect_edit(away);
	put("4913", ""); // vim tries whether it may create files
	unlink(at("4913"));
	// Remove and write anew (git checkout).
	away = pd_now_ns();
	unlink(at("a.yaml"));
	usleep(3000);
	put("a.yaml", service("a", 4));
	expect_edit(away);
	assert_int_equal(port_of("a"), 4);
	// Rename it: the object stays.
	rename(at("a.yaml"), at("z.yaml"));
	expect("");
	assert_int_equal(pd_issues_count(env.issues), 0);
}

// A writer that takes its time: nothing is read before it closes the file.
static void test_slow_writer(void **state)
{
	FILE *f;

	(void)state;
	put("a.yaml", service("a", 1));
	start();
	expect("+a ");
	f = fopen(at("new.yaml"), "w");
	fputs(service("b", 1), f);
	fflush(f);
	expect("");
	fputs(service("c", 1), f);
	fclose(f);
	expect("+b +c ");
}

static void test_half_written(void **state)
{
	char text[1024];

	(void)state;
	snprintf(text, sizeof(text), "%s%s%s", service("a", 1), service("b", 1), service("c", 1));
	put("f.yaml", text);
	start();
	expect("+a +b +c ");
	// The end is cut off within c: a is read, b and c stay.
	snprintf(text, sizeof(text), "%s---\napiVersion: v1\nkind: Service\nmetadata: {name", service("a", 2));
	put("f.yaml", text);
	expect("+a ");
	wait_issues(1);
	assert_int_equal(port_of("b"), 1);
	assert_int_equal(port_of("c"), 1);
	// Whole again, without c.
	snprintf(text, sizeof(text), "%s%s", service("a", 2), service("b", 2));
	put("f.yaml", text);
	expect("+b -c ");
	wait_issues(0);
	// A rejected object keeps its last good version, and only that.
	snprintf(text, sizeof(text), "%s%s", service("a", 70000), service("d", 1));
	put("f.yaml", text);
	expect("+d -b ");
	wait_issues(1);
	assert_int_equal(port_of("a"), 2);
	put("f.yaml", service("d", 1));
	expect("-a ");
	wait_issues(0);
}

static void test_same_object_twice(void **state)
{
	char text[1024];

	(void)state;
	put("b.yaml", service("x", 2));
	put("c.yaml", service("x", 3));
	start();
	expect("+x ");
	assert_int_equal(port_of("x"), 2);
	wait_issues(1);
	put("a.yaml", service("x", 1)); // comes first by path
	expect("+x ");
	assert_int_equal(port_of("x"), 1);
	wait_issues(2);
	unlink(at("a.yaml"));
	expect("+x ");
	assert_int_equal(port_of("x"), 2);
	wait_issues(1);
	unlink(at("b.yaml"));
	expect("+x ");
	assert_int_equal(port_of("x"), 3);
	wait_issues(0);
	// Twice in one file: the first counts.
	snprintf(text, sizeof(text), "%s%s", service("x", 7), service("x", 8));
	put("c.yaml", text);
	expect("+x ");
	assert_int_equal(port_of("x"), 7);
	wait_issues(1);
}

static void test_folders(void **state)
{
	char text[512], aside[128];

	(void)state;
	start();
	mkdir(at("d"), 0755);
	mkdir(at("d/e"), 0755);
	put("d/e/a.yaml", service("a", 1));
	expect("+a ");
	rename(at("d"), at("moved"));
	expect("");
	put("moved/e/a.yaml", service("a", 2));
	expect("+a ");
	snprintf(aside, sizeof(aside), "%s-aside", env.dir);
	rename(at("moved"), aside);
	expect("-a ");
	rename(aside, at("back"));
	expect("+a ");
	// A link to a folder is followed, a loop is not.
	mkdir(at(".real"), 0755);
	put(".real/l.yaml", service("l", 1));
	assert_int_equal(symlink(".real", at("link")), 0);
	expect("+l ");
	assert_int_equal(symlink("..", at("back/up")), 0);
	expect("");
	assert_int_equal(pd_issues_count(env.issues), 0);
	snprintf(text, sizeof(text), "rm -rf %s", at("back"));
	assert_int_equal(system(text), 0);
	expect("-a ");
}

// A ConfigMap volume: files are links through "..data", which is swapped.
static void test_kubernetes_swap(void **state)
{
	(void)state;
	mkdir(at("..v1"), 0755);
	put("..v1/a.yaml", service("a", 1));
	put("..v1/b.yaml", service("b", 1));
	assert_int_equal(symlink("..v1", at("..data")), 0);
	assert_int_equal(symlink("..data/a.yaml", at("a.yaml")), 0);
	assert_int_equal(symlink("..data/b.yaml", at("b.yaml")), 0);
	start();
	expect("+a +b ");
	mkdir(at("..v2"), 0755);
	put("..v2/a.yaml", service("a", 2));
	put("..v2/b.yaml", service("b", 1));
	assert_int_equal(symlink("..v2", at("..data_tmp")), 0);
	rename(at("..data_tmp"), at("..data"));
	unlink(at("..v1/a.yaml"));
	unlink(at("..v1/b.yaml"));
	rmdir(at("..v1"));
	expect("+a ");
	assert_int_equal(port_of("a"), 2);
}

static void test_root_goes(void **state)
{
	char aside[128];

	(void)state;
	put("a.yaml", service("a", 1));
	start();
	expect("+a ");
	snprintf(aside, sizeof(aside), "%s-aside", env.dir);
	rename(env.dir, aside);
	wait_issues(1);
	expect("");
	assert_int_equal(port_of("a"), 1);
	// It comes back with something else in it.
	mkdir(env.dir, 0755);
	put("b.yaml", service("b", 1));
	wait_issues(0);
	expect("+b -a ");
	put("c.yaml", service("c", 1));
	expect("+c ");
	nftw(aside, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void test_unreadable(void **state)
{
	(void)state;
	put("a.yaml", service("a", 1));
	start();
	expect("+a ");
	// A folder, a pipe and a dangling link of that name are no files.
	unlink(at("a.yaml"));
	mkdir(at("a.yaml"), 0755);
	expect("-a ");
	assert_int_equal(mkfifo(at("p.yaml"), 0644), 0);
	assert_int_equal(symlink("nowhere", at("q.yaml")), 0);
	put("b.yaml", service("b", 1));
	expect("+b ");
	assert_int_equal(truncate(at("b.yaml"), PD_YAML_MAX_BYTES + 1), 0);
	put("touch", "");
	rename(at("b.yaml"), at("b2.yaml")); // looked at again: too large, so nothing of it is believed
	wait_issues(1);
}

// More events than the kernel keeps while the source is busy.
static void test_overflow(void **state)
{
	struct pd_dir_stats st;
	char name[32];

	(void)state;
	start();
	pthread_mutex_lock(&env.sink.gate);
	put("first.yaml", service("first", 1));
	usleep(50000); // the source now waits in the sink
	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "x%d.yaml", i % 3);
		put(name, service(name[1] == '0' ? "x0" : name[1] == '1' ? "x1" : "x2", 1 + i % 1000));
	}
	put("last.yaml", service("last", 1));
	pthread_mutex_unlock(&env.sink.gate);
	for (int i = 0; i < 400 && !(port_of("last") && port_of("x2") == 1 + 19997 % 1000); i++)
		usleep(10000);
	assert_int_equal(port_of("last"), 1);
	assert_int_equal(port_of("x0"), 1 + 19998 % 1000);
	assert_int_equal(port_of("x1"), 1 + 19999 % 1000);
	assert_int_equal(port_of("x2"), 1 + 19997 % 1000);
	pd_dir_source_stats(env.source, &st);
	assert_true(st.rescans >= 2);
}

// ---- random edits ---------------------------------------------------------------------------------------------------

static unsigned seed = 7;
static unsigned rnd(unsigned n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % n;
}

// A path of a small tree: folders d0..d2 with d0..d2 in them, files f0..f3.
static const char *random_path(bool folder)
{
	static char buf[4][64];
	static unsigned next;
	char *p = buf[next++ % 4];

	snprintf(p, sizeof(buf[0]), "d%u%s", rnd(3), rnd(2) ? "/d1" : "");
	if (!folder)
		snprintf(p + strlen(p), sizeof(buf[0]) - strlen(p), "/f%u.yaml", rnd(4));
	return rnd(3) || folder ? p : strrchr(p, '/') + 1;
}

static void random_edit(void)
{
	char command[512];
	const char *path = random_path(false);
	FILE *f;

	switch (rnd(8)) {
	case 0:
		mkdir(at(random_path(true)), 0755);
		break;
	case 1:
		snprintf(command, sizeof(command), "rm -rf %s", at(random_path(true)));
		assert_int_equal(system(command), 0);
		break;
	case 2:
		rename(at(path), at(random_path(false)));
		break;
	case 3:
		rename(at(random_path(true)), at(random_path(true)));
		break;
	case 4:
		unlink(at(path));
		break;
	default:
		f = fopen(at(path), "w");
		for (unsigned i = rnd(4); f && i; i--) {
			char name[8];

			snprintf(name, sizeof(name), "s%u", rnd(12));
			fputs(service(name, 1 + (int)rnd(5)), f);
		}
		if (f)
			fclose(f);
	}
}

struct sum {
	uint64_t hash, n;
};

static bool add_object(const struct pd_object *o, void *arg)
{
	struct sum *s = arg;

	s->hash += o->hash;
	s->n++;
	return true;
}

static struct sum sum_of(struct pd_store *store)
{
	struct pd_config_snap *snap = pd_store_snapshot(store);
	struct sum s = {0};

	pd_config_each(snap, PD_KIND_SERVICE, add_object, &s);
	pd_config_snap_unref(snap);
	return s;
}

// What a source that starts now finds.
static struct sum fresh(void)
{
	struct sink other = {.base = {on_changes, on_synced}, .store = pd_store_new(NULL, 0)};
	struct pd_issues *issues = pd_issues_new();
	struct pd_dir_config cfg = {.path = env.dir, .cluster = "Kubernetes", .sink = &other.base, .issues = issues};
	struct pd_dir_source *source;
	struct sum s;

	pthread_mutex_init(&other.lock, NULL);
	pthread_mutex_init(&other.gate, NULL);
	assert_int_equal(pd_dir_source_start(&cfg, &source), 0);
	s = sum_of(other.store);
	s.n = s.n << 32 | pd_issues_count(issues); // a source that stops takes its issues with it
	pd_dir_source_stop(&source);
	pd_store_free(&other.store);
	pd_buf_free(&other.log);
	pd_issues_free(&issues);
	return s;
}

static struct sum followed(void)
{
	struct sum s;

	pthread_mutex_lock(&env.sink.lock);
	s = sum_of(env.sink.store);
	pthread_mutex_unlock(&env.sink.lock);
	s.n = s.n << 32 | pd_issues_count(env.issues);
	return s;
}

static void print_issue(const struct pd_issue *i, void *arg)
{
	(void)arg;
	print_message("%s: %s: %s\n", i->origin, i->object, i->reason);
}

// After any edits, what was followed is what a fresh start finds, issues included.
static void test_random(void **state)
{
	struct pd_dir_config cfg = {.path = env.dir,
				    .cluster = "Kubernetes",
				    .sink = &env.sink.base,
				    .issues = env.issues};

	(void)state;
	assert_int_equal(pd_dir_source_start(&cfg, &env.source), 0);
	for (int round = 0; round < 40; round++) {
		struct sum want, got = {0};

		for (unsigned i = 1 + rnd(60); i; i--) {
			random_edit();
			if (!rnd(10))
				usleep(rnd(8000));
		}
		want = fresh();
		for (int i = 0; i < 600; i++) {
			got = followed();
			if (got.hash == want.hash && got.n == want.n)
				break;
			usleep(5000);
		}
		if (got.hash != want.hash || got.n != want.n)
			pd_issues_each(env.issues, print_issue, NULL);
		if (got.hash != want.hash || got.n != want.n)
			fail_msg("round %d: %llx objects and issues, a fresh start finds %llx", round,
				 (unsigned long long)got.n, (unsigned long long)want.n);
	}
}

static void test_limits(void **state)
{
	char name[256] = "deep";
	struct pd_dir_stats st;

	(void)state;
	for (int i = 0; i < PD_DIR_MAX_DEPTH + 2; i++) {
		mkdir(at(name), 0755);
		snprintf(name + strlen(name), sizeof(name) - strlen(name), "/d");
	}
	*strrchr(name, '/') = 0;
	snprintf(name + strlen(name), sizeof(name) - strlen(name), "/x.yaml");
	put(name, service("x", 1)); // too deep
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "f%d.yaml", i);
		snprintf(name + 32, 32, "f%d", i);
		put(name, service(name + 32, 1));
	}
	start();
	expect("+f0 +f1 +f2 +f3 +f4 +f5 +f6 +f7 ");
	wait_issues(1);
	pd_dir_source_stats(env.source, &st);
	assert_int_equal(st.files, 8);
	assert_int_equal(st.watches, 1 + PD_DIR_MAX_DEPTH);
	unlink(at("f0.yaml"));
	expect("-f0 ");
	put("f9.yaml", service("f9", 2)); // there is room now
	expect("+f9 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_editors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_writer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_same_object_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_folders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kubernetes_swap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_root_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unreadable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overflow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
	};

	if (pd_log_set_levels("none"))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
