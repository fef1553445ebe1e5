// Where configuration comes from. A source runs on its own thread, turns what it sees into changes and hands them to a sink
// in batches; the control loop applies them. Sources never call each other; their object keys carry their cluster.
#ifndef CONFIG_SOURCE_H
#define CONFIG_SOURCE_H

#include <stdbool.h>

#include "config/issue.h"
#include "config/store.h"

// Implemented by the control loop. Thread-safe.
struct pd_sink {
	// Takes the array's objects (not the array). The strings of the keys are borrowed during the call: a sink that queues a
	// deletion takes references of its own (pd_intern_ref). `more` = the source knows that further changes follow at once.
	void (*changes)(struct pd_sink *, struct pd_change *v, size_t n, bool more);
	// Called once when all objects that existed at the start were delivered.
	void (*synced)(struct pd_sink *, const char *source);
};

// Directory source: every .yaml, .yml and .json file below `path`, followed by inotify.
//
// What is read. Folders are read recursively, also through symbolic links. Names that start with "." or "#" or end with "~"
// are no configuration (editors' copies, version control, Kubernetes' "..data"), nor are other endings. A file may hold many
// documents and lists (config/decode.h). An object without a namespace is in "default".
//
// Last good version. A document with a mistake is reported; the object it speaks of keeps its last good version from this
// file, if it had one. A file of which some document cannot be read at all (a syntax error, a missing name; it may be half
// written) takes nothing away: the objects that this file had before and that are not in its readable part stay in force
// until it is whole. A file that cannot be opened changes nothing either. A file that is gone, and a document that is gone
// from a file that is whole, deletes its objects.
//
// One object in two files: the first file by path order counts, the other is reported; when the first goes, the second
// takes its place.
//
// Timing. A file that was closed after writing, or renamed into place, is delivered some 2 ms later. A file that vanished is
// given a moment (PD_DIR_GONE_MS) to come back: editors rename the old file away before they write the new one. A file that
// was created waits for its writer to close it. When the queue of events overflows, when Kubernetes swaps "..data", or when
// the system is out of watches (then once a second, with a warning), everything is looked at again; only files whose
// size, inode or times differ are read.
//
// The folder itself. Missing at the start: an error of pd_dir_source_start. Removed or unmounted later: its objects stay in
// force, an issue says so, and it is looked for once a second. (Whoever wants to delete all objects deletes the files, or
// empties the folder, but leaves it there.)
#define PD_DIR_MAX_FILES 200000 // further files are reported and not read
#define PD_DIR_MAX_DEPTH 32     // nested folders
#define PD_DIR_GONE_MS 30       // a file that vanished may come back so long
#define PD_DIR_OPEN_MS 2000     // a file that was created may be written so long

struct pd_dir_source;
struct pd_dir_config {
	const char *path;         // borrowed during the call
	const char *cluster;      // cluster of the objects' keys ("Kubernetes")
	struct pd_sink *sink;     // borrowed for the source's life
	struct pd_issues *issues; // borrowed for the source's life
	size_t max_files;         // 0 = PD_DIR_MAX_FILES
};
// Reads the directory and delivers it before it returns; then follows it on a thread of its own.
// PD_E_IO: the directory cannot be read (errno).
int pd_dir_source_start(const struct pd_dir_config *, struct pd_dir_source **out) PD_MUST_CHECK;
// After this returns the sink is not called any more. The source's issues are dropped; its objects stay with the sink.
void pd_dir_source_stop(struct pd_dir_source **);

struct pd_dir_stats {
	uint64_t files, objects; // now
	uint64_t reads, rescans; // since the start: files read, walks over the whole folder
	uint64_t ignored;        // documents of kinds that nobody reads, in all readings
	uint64_t watches;        // folders followed by inotify
};
void pd_dir_source_stats(struct pd_dir_source *, struct pd_dir_stats *out); // any thread

#endif
