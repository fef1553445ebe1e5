// Following a file of the mesh configuration. Its folder is watched, not the file: renames into place and swaps of a ConfigMap's
// "..data" are events of the folder. Once a second the file itself is looked at too: the folder may not be there yet, and a
// link may lead elsewhere without an event.
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/str.h"
#include "config/file.h"
#include "config/mesh.h"

#define IDLE_MS 1000
#define SETTLE_MS 2

struct pd_mesh_file {
	char *path, *folder;
	enum pd_mesh_part part;
	struct pd_mesh_input *input;
	struct pd_issues *issues;
	int inotify, stop;
	pthread_t thread;
	struct stat seen, polled; // what was read, and what the last look saw
	bool exists, missing;     // a version was read; its absence was reported
	uint64_t text_hash;       // of what was read
};

static void report(struct pd_mesh_file *f, const char *reason)
{
	char *origin = pd_xasprintf("%s:1", f->path);
	struct pd_issue i = {.severity = PD_ISSUE_ERROR,
			     .origin = origin,
			     .object = f->part == PD_MESH_CONFIG ? "MeshConfig" : "MeshNetworks",
			     .reason = reason};

	pd_issues_add(f->issues, &i);
	free(origin);
}

// Reads the file; a new good version is delivered. False: it is not there.
static bool load(struct pd_mesh_file *f)
{
	size_t len;
	char *text;
	int rc = pd_file_read(f->path, PD_MESH_MAX_BYTES, &text, &len, &f->seen);

	if (rc == PD_E_IO && (errno == ENOENT || errno == ENOTDIR))
		return false;
	if (rc) {
		pd_issues_clear(f->issues, f->path);
		report(f, rc == PD_E_IO ? strerror(errno) : pd_strerror(rc));
		return true;
	}
	if (f->exists && !f->missing && pd_hash(text, len) == f->text_hash) {
		free(text);
		return true;
	}
	f->exists = true;
	f->missing = false;
	f->text_hash = pd_hash(text, len);
	pd_issues_clear(f->issues, f->path);
	pd_mesh_input_text(f->input, f->part, PD_MESH_FROM_FILE, text, len, f->path);
	free(text);
	return true;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

// Without an event to say that a writer is done, a file is read once it was the same twice.
static void look(struct pd_mesh_file *f)
{
	struct stat st;

	if (stat(f->path, &st)) {
		if (f->exists && !f->missing)
			report(f, "the file is gone: the last good version stays in force");
		f->missing = f->exists;
		return;
	}
	if ((f->missing || !same_file(&st, &f->seen)) && same_file(&st, &f->polled))
		load(f);
	f->polled = st;
}

static void watch(struct pd_mesh_file *f)
{
	// Adding it again costs nothing, and follows a folder that was replaced.
	inotify_add_watch(f->inotify, f->folder, IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_ONLYDIR);
}

// True if an event may mean a new version: a file was closed or renamed into place, or a link was made.
static bool read_events(struct pd_mesh_file *f)
{
	_Alignas(struct inotify_event) char buf[16 * 1024];
	ssize_t n = read(f->inotify, buf, sizeof(buf));
	bool any = false;

	for (char *p = buf; n > 0 && p < buf + n;) {
		const struct inotify_event *e = (const struct inotify_event *)p;
		char *path = e->len ? pd_xasprintf("%s/%s", f->folder, e->name) : NULL;
		struct stat st;

		any |= (e->mask & (IN_CLOSE_WRITE | IN_MOVED_TO | IN_Q_OVERFLOW)) != 0;
		any |= (e->mask & IN_CREATE) && path && !lstat(path, &st) && S_ISLNK(st.st_mode);
		free(path);
		p += sizeof(*e) + e->len;
	}
	return any;
}

static void *follow(void *arg)
{
	struct pd_mesh_file *f = arg;
	struct pollfd fds[2] = {{.fd = f->inotify, .events = POLLIN}, {.fd = f->stop, .events = POLLIN}};

	for (;;) {
		bool event = false;
		int n = poll(fds, 2, IDLE_MS);

		for (int i = 0; n > 0 && !fds[1].revents && i < 10; i++) {
			event |= read_events(f);
			n = poll(fds, 2, SETTLE_MS);
		}
		if (fds[1].revents)
			return NULL;
		watch(f);
		if (event)
			load(f);
		else
			look(f);
	}
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return pd_xstrdup(".");
	return slash == path ? pd_xstrdup("/") : pd_xstrndup(path, (size_t)(slash - path));
}

static void file_free(struct pd_mesh_file *f)
{
	if (f->inotify >= 0)
		close(f->inotify);
	if (f->stop >= 0)
		close(f->stop);
	free(f->path);
	free(f->folder);
	free(f);
}

int pd_mesh_file_start(const char *path, enum pd_mesh_part part, struct pd_mesh_input *input, struct pd_issues *issues,
		       struct pd_mesh_file **out)
{
	struct pd_mesh_file *f = pd_xcalloc(1, sizeof(*f));

	f->path = pd_xstrdup(path);
	f->folder = folder_of(path);
	f->part = part;
	f->input = input;
	f->issues = issues;
	f->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	f->stop = eventfd(0, EFD_CLOEXEC);
	if (f->inotify < 0 || f->stop < 0) {
		file_free(f);
		return PD_E_IO;
	}
	watch(f);
	if (!load(f))
		pd_info("config", "%s is not there", f->path);
	if (pthread_create(&f->thread, NULL, follow, f)) {
		file_free(f);
		errno = EAGAIN;
		return PD_E_IO;
	}
	*out = f;
	return PD_OK;
}

void pd_mesh_file_stop(struct pd_mesh_file **fp)
{
	struct pd_mesh_file *f = *fp;
	uint64_t one = 1;

	if (!f)
		return;
	PD_ASSERT(write(f->stop, &one, sizeof(one)) == sizeof(one));
	pthread_join(f->thread, NULL);
	file_free(f);
	*fp = NULL;
}
