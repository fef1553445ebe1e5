// The store in a file.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/codec.h"
#include "api/pb.h"
#include "api/secret_text.h"
#include "base/hash.h"
#include "base/mem.h"
#include "ca/store.h"
#include "config/file.h"
#include "k8s/core.pb-c.h"

struct file_store {
	char *path, *name;
};

// ---- reading ---------------------------------------------------------------------------------------------------------------

// What is in the file now. PD_E_NOTFOUND.
static int read_text(const char *path, char **text, size_t *len, struct pd_buf *why)
{
	struct stat st;
	int rc = pd_file_read(path, PD_SECRET_BYTES_MAX, text, len, &st);

	if (rc == PD_E_IO && errno == ENOENT)
		return PD_E_NOTFOUND;
	if (rc != PD_OK) {
		pd_buf_adds(why, rc == PD_E_IO ? strerror(errno) : pd_strerror(rc));
		return PD_E_IO;
	}
	if (st.st_mode & (S_IRWXG | S_IRWXO)) {
		pd_buf_printf(why, "others may read it (mode %03o, it must be 600)", st.st_mode & 0777u);
		pd_free_secret(*text, *len);
		return PD_E_DENIED;
	}
	return PD_OK;
}

static char *version_of(const char *text, size_t len)
{
	return pd_xasprintf("%016llx", (unsigned long long)pd_hash(text, len));
}

static int load(void *self, struct pd_secret *out, struct pd_buf *why)
{
	struct file_store *f = self;
	size_t len;
	char *text;
	int rc = read_text(f->path, &text, &len, why);

	if (rc != PD_OK)
		return rc;
	rc = pd_secret_decode(text, len, out, why);
	if (rc == PD_OK) {
		free(out->version);
		out->version = version_of(text, len);
	}
	pd_free_secret(text, len);
	return rc;
}

// ---- writing ---------------------------------------------------------------------------------------------------------------

static int by_key(const void *a, const void *b)
{
	const K8s__Secret__DataEntry *const *x = a, *const *y = b;

	return strcmp((*x)->key, (*y)->key);
}

static void encode(const struct pd_secret *s, struct pd_buf *out)
{
	struct pd_arena a = {.secret = true};
	K8s__Secret *msg = PB_NEW(&a, K8s__Secret, k8s__secret);

	msg->metadata = PB_NEW(&a, K8s__ObjectMeta, k8s__object_meta);
	msg->metadata->name = pd_arena_strdup(&a, "istio-ca-secret");
	msg->type = pd_arena_strdup(&a, "istio.io/ca-root");
	for (size_t i = 0; i < s->entries.n; i++) {
		K8s__Secret__DataEntry *e = PB_NEW(&a, K8s__Secret__DataEntry, k8s__secret__data_entry);
		e->key = s->entries.v[i].key;
		e->value = (ProtobufCBinaryData){s->entries.v[i].n, (uint8_t *)s->entries.v[i].value};
		e->has_value = true;
		PB_PUSH(&a, msg, data, e);
	}
	pd_sort(msg->data, msg->n_data, sizeof(*msg->data), by_key);
	struct pd_buf body = {0};
	PD_ASSERT(pd_codec_encode(&body, msg, PD_ENCODE_INDENT) == PD_OK);
	pd_buf_printf(out, "{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"Secret\",%s\n", body.p + 1);
	pd_free_secret(body.p, body.cap);
	pd_arena_free(&a);
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return PD_E_IO;
		p += w;
		n -= (size_t)w;
	}
	return fsync(fd) ? PD_E_IO : PD_OK;
}

static int replace(const char *path, const struct pd_buf *text, struct pd_buf *why)
{
	char *beside = pd_xasprintf("%s.XXXXXX", path);
	int fd = mkostemp(beside, O_CLOEXEC), rc; // mode 0600

	rc = fd < 0 ? PD_E_IO : write_all(fd, text->p, text->n);
	if (rc == PD_OK && rename(beside, path))
		rc = PD_E_IO;
	if (rc != PD_OK)
		pd_buf_adds(why, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (rc != PD_OK && fd >= 0)
		unlink(beside);
	free(beside);
	return rc;
}

// Does the file still hold this version?
static int check_version(const char *path, const char *want, struct pd_buf *why)
{
	char *text, *have;
	size_t len;
	int rc = read_text(path, &text, &len, why);

	if (rc == PD_E_NOTFOUND)
		rc = want ? PD_E_AGAIN : PD_OK;
	else if (rc == PD_OK) {
		have = version_of(text, len);
		rc = pd_streq(want, have) ? PD_OK : PD_E_AGAIN;
		free(have);
		pd_free_secret(text, len);
	}
	if (rc == PD_E_AGAIN)
		pd_buf_adds(why, "somebody else wrote it meanwhile");
	return rc;
}

static int save(void *self, struct pd_secret *s, struct pd_buf *why)
{
	struct file_store *f = self;
	char *lock = pd_xasprintf("%s.lock", f->path);
	int fd = open(lock, O_CREAT | O_RDWR | O_CLOEXEC, 0600), rc;
	struct pd_buf text = {0};

	free(lock);
	if (fd < 0 || flock(fd, LOCK_EX)) {
		pd_buf_printf(why, "its lock: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return PD_E_IO;
	}
	rc = check_version(f->path, s->version, why);
	if (rc == PD_OK) {
		encode(s, &text);
		rc = replace(f->path, &text, why);
	}
	if (rc == PD_OK) {
		free(s->version);
		s->version = version_of(text.p, text.n);
	}
	pd_free_secret(text.p, text.cap);
	close(fd); // unlocks
	return rc;
}

void pd_file_store_init(struct pd_secret_store *s, const char *path)
{
	struct file_store *f = pd_xcalloc(1, sizeof(*f));

	f->path = pd_xstrdup(path);
	f->name = pd_xasprintf("file %s", path);
	*s = (struct pd_secret_store){f->name, load, save, f};
}

void pd_file_store_free(struct pd_secret_store *s)
{
	struct file_store *f = s->self;

	if (!f)
		return;
	free(f->path);
	free(f->name);
	free(f);
	*s = (struct pd_secret_store){0};
}
