#include "tests/unit/proxy/rig.h"

#include <ftw.h>
#include <grpc/grpc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ca/pem.h"

#define WAIT_MS 20000

static char folder[256];
static char before[4096];

int rig_setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	(void)state;
	grpc_init();
	snprintf(folder, sizeof(folder), "%s/pd-proxy-XXXXXX", tmp ? tmp : P_tmpdir);
	if (!mkdtemp(folder) || !getcwd(before, sizeof(before)) || chdir(folder) != 0)
		return -1;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

int rig_teardown(void **state)
{
	(void)state;
	grpc_shutdown_blocking();
	return chdir(before) == 0 ? nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) : -1;
}

void rig_write(const char *path, const char *text)
{
	char *temporary = pd_xasprintf("%s.tmp", path);
	FILE *f = fopen(temporary, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(temporary, path), 0);
	free(temporary);
}

char *rig_read(const char *path)
{
	FILE *f = fopen(path, "r");
	if (!f)
		return NULL;
	char *text = pd_xcalloc(1, 65536);
	size_t n = fread(text, 1, 65535, f);
	text[n] = 0;
	fclose(f);
	return text;
}

void rig_wait(bool (*done)(void *), void *arg, const char *what)
{
	for (uint64_t end = pd_now_ms() + WAIT_MS; !done(arg);) {
		if (pd_now_ms() > end)
			fail_msg("%s did not happen", what);
		nanosleep(&(struct timespec){0, 5000000}, NULL);
	}
}

struct pd_signer *rig_root(const char *name)
{
	EVP_PKEY *key = pd_key_generate(PD_KEY_P256, 0);
	X509 *cert = pd_root_new(key, name, 3600, time(NULL));
	struct pd_signer *s = pd_signer_new(cert, key, &(struct pd_certs){0});
	X509_free(cert);
	EVP_PKEY_free(key);
	return s;
}

char *rig_root_pem(const struct pd_signer *s)
{
	struct pd_buf b = {0};
	pd_cert_to_pem(s->cert, &b);
	return b.p;
}

void rig_leaf(const struct pd_signer *s, const char *san, int64_t ttl_s, char **cert, char **key)
{
	struct pd_buf c = {0}, k = {0}, why = {0};
	EVP_PKEY *pkey = pd_key_generate(PD_KEY_P256, 0);
	const char *sans[] = {san};
	struct pd_leaf leaf = {.sans = sans, .n_sans = 1, .ttl_s = ttl_s, .now_s = time(NULL)};
	if (pd_signer_issue_own(s, pkey, &leaf, &c, NULL, &why) != PD_OK)
		fail_msg("%s", why.p);
	pd_key_to_pem(pkey, &k);
	EVP_PKEY_free(pkey);
	*cert = c.p;
	*key = k.p;
}
