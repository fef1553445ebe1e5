// Files that the proxy follows: tokens, roots, and certificates that Envoy asks for by name.
//
// Followed by looking at them (stat) every PD_FILES_PERIOD_MS, not by inotify: Kubernetes replaces mounted files by swapping a
// link two folders up, network file systems tell nobody, and a second's delay is fine for what changes in hours.
#ifndef PROXY_FILES_H
#define PROXY_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "base/err.h"
#include "base/str.h"
#include "proxy/secrets.h"

#define PD_FILE_MAX (1024 * 1024) // bytes of a file that is read
#define PD_FILES_MAX 128          // names that are followed
#define PD_FILES_PERIOD_MS 1000

// Reads a whole file; appends to `out` (to an empty one without leaving a copy anywhere: for keys and tokens, to be erased with
// pd_pem_wipe). PD_E_IO, PD_E_LIMIT; `err` names the path.
int pd_file_read(const char *path, struct pd_buf *out, struct pd_buf *err) PD_MUST_CHECK;
// Writes a file for ourselves alone (mode 0600), as a whole: a new file, then a rename. PD_E_IO; `err` names the path.
int pd_file_write(const char *path, const char *bytes, size_t n, struct pd_buf *err) PD_MUST_CHECK;
// Makes the folder that `path` lies in, and those above it (mode 0700). PD_E_IO.
int pd_make_folder_of(const char *path, struct pd_buf *err) PD_MUST_CHECK;

// A file's state, to see whether it was changed. All-zero: it is not there.
struct pd_file_mark {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec changed;
};
struct pd_file_mark pd_file_mark(const char *path);
bool pd_file_mark_equal(const struct pd_file_mark *, const struct pd_file_mark *);

// ---- secrets from files ------------------------------------------------------------------------------------------------
//
// Names as istio-agent's: "file-cert:CERTIFICATE~KEY" (two paths), "file-root:PATH". A file that cannot be read, or does not
// hold what it should (also: a key that is not the certificate's, as happens between two writes), is logged and left out
// until it changes; what was served before stays.
struct pd_file_secrets;
struct pd_file_secrets *pd_file_secrets_new(struct pd_secrets *); // borrowed; starts a thread
void pd_file_secrets_free(struct pd_file_secrets **);

// Follows what a name of the forms above says; any other name is left alone. Returns at once; safe on any thread, and known
// names are fine. A name too many is logged.
void pd_file_secrets_want(struct pd_file_secrets *, const char *name);
// The same under another name: serves the pair as `name` ("default"). `key` NULL: `cert` holds roots.
void pd_file_secrets_follow(struct pd_file_secrets *, const char *name, const char *cert, const char *key);

// Registers istio_agent_num_file_secret_failures_total; once per process.
void pd_file_secrets_register_metrics(void);

#endif
