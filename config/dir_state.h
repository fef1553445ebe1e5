// The directory source's memory: which file holds which objects, which of several versions of an object counts, and what the
// sink has been told. No system calls but reading files; one thread.
#ifndef CONFIG_DIR_STATE_H
#define CONFIG_DIR_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <uthash.h>

#include "config/source.h"

struct dir_key;
struct dir_file;

// An object of a file.
struct dir_claim {
	struct dir_file *file;
	struct dir_key *key;
	struct pd_object *object; // last good version from this file; one reference, never NULL
	uint32_t line;
	uint32_t seen;          // reading of the file in which it was there last
	bool shadowed;          // another file's version counts, and that was reported
	struct dir_claim *next; // of the same key, by path of the file
};

struct dir_file {
	char *rel; // path below the root
	struct {
		dev_t dev;
		ino_t ino;
		off_t size;
		struct timespec mtime, ctime;
	} sig;         // of what was read
	uint32_t scan; // walk in which it was there last
	uint32_t reading;
	bool unread; // it could not be read, or was just being written: read it whenever it is looked at
	PD_VEC(struct dir_claim *) claims;
	UT_hash_handle hh;
};

struct dir_id {
	size_t kind;
	const char *ns, *name; // interned: compared by pointer
};
struct dir_key {
	struct dir_id id;            // one reference to each string
	struct dir_claim *claims;    // the first counts
	struct pd_object *delivered; // what the sink has; one reference or NULL
	bool dirty;
	UT_hash_handle hh;
};

struct dir_state {
	char *root;
	const char *cluster; // interned
	struct pd_sink *sink;
	struct pd_issues *issues;
	struct dir_file *files; // by rel
	struct dir_key *keys;   // by id
	PD_VEC(struct dir_key *) dirty;
	size_t max_files;
	bool full; // that there are more was reported
	atomic_uint_least64_t n_files, n_objects, n_reads, n_ignored;
};

void pd_dir_state_free(struct dir_state *);
// "root/rel"; caller frees.
char *pd_dir_path(const struct dir_state *, const char *rel);
struct dir_file *pd_dir_file_find(struct dir_state *, const char *rel);
// Reads a file if it is new or differs from what was read (or `force`). Its objects become claims. `scan` marks it as seen.
void pd_dir_file_look(struct dir_state *, const char *rel, const struct stat *st, bool force, uint32_t scan);
// Forgets a file and its objects.
void pd_dir_file_drop(struct dir_state *, struct dir_file *);
// Tells the sink what all of the above changed. `more` as in pd_sink.
void pd_dir_flush(struct dir_state *, bool more);

#endif
