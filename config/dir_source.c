// Following a folder: which paths have to be looked at, and when.
//
// Events name a folder (by watch) and an entry. An entry that may be a file of ours becomes a *pending* path with a due time:
// soon after a writer closed it or a rename put it there, later if it vanished (it may come back) or was only created (its
// writer is at work). When it is due, the path is looked at as it is then: read, or dropped if it is not there. So the order
// and number of events do not matter, only that there was one.
//
// What cannot be told from one event is settled by a walk over a folder, or over everything: a folder that came, a swap of
// "..data" (whose files are reached through links, without events of their own), an overflow of the queue. A walk reads only
// what differs from what was read.
//
// A watch is put on a folder before its entries are listed: what comes later makes an event.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "config/dir_state.h"

#define MS 1000000ull
#define SETTLE_MS 2
#define IDLE_MS 1000 // how often the root is checked
#define WATCH_MASK                                                                                                     \
	(IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF |           \
	 IN_MOVE_SELF)

struct watch {
	int wd;
	char *rel;
	uint32_t scan;
	bool alias; // reached by another path as well: its events name only one of them
	UT_hash_handle hh;
};

struct pending {
	char *rel;
	uint64_t due_ns;
	bool settled; // due_ns is final: the content is there
	UT_hash_handle hh;
};

struct pd_dir_source {
	struct dir_state state; // the follower's once it runs; before that the starter's
	int inotify, stop;
	pthread_t thread;
	struct watch *watches;   // by wd
	struct pending *pending; // by rel
	uint32_t scan;           // number of the current walk
	bool rescan;             // look at everything
	bool polling;            // out of watches
	bool lost;               // the root is gone; reported
	uint64_t batch_ns;       // when the current events were read: due times count from here
	uint32_t from_cookie;    // of the last event that moved something away, and its path
	char *from;
	dev_t root_dev;
	ino_t root_ino;
	atomic_uint_least64_t n_rescans, n_watches;
};

// ---- names ----------------------------------------------------------------------------------------------------------

static bool ignored_name(const char *name)
{
	return *name == '.' || *name == '#' || pd_has_suffix(name, "~");
}

static bool is_config_name(const char *name)
{
	return !ignored_name(name) &&
	       (pd_has_suffix(name, ".yaml") || pd_has_suffix(name, ".yml") || pd_has_suffix(name, ".json"));
}

static char *join(const char *dir, const char *name)
{
	return *dir ? pd_xasprintf("%s/%s", dir, name) : pd_xstrdup(name);
}

static bool is_below(const char *rel, const char *dir)
{
	size_t n = strlen(dir);

	return !n || (!strncmp(rel, dir, n) && (rel[n] == '/' || !rel[n]));
}

// ---- watches --------------------------------------------------------------------------------------------------------

static void watch_free(struct pd_dir_source *d, struct watch *w)
{
	HASH_DEL(d->watches, w);
	free(w->rel);
	free(w);
	d->n_watches--;
}

static bool same_folder(struct pd_dir_source *d, const char *rel_a, const char *rel_b)
{
	char *a = pd_dir_path(&d->state, rel_a), *b = pd_dir_path(&d->state, rel_b);
	struct stat sa, sb;
	bool same = !stat(a, &sa) && !stat(b, &sb) && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;

	free(a);
	free(b);
	return same;
}

// A folder that is followed under another path: a link leads to it, or it was moved and the walk is ahead of the events.
static void watch_meet(struct pd_dir_source *d, struct watch *w, const char *rel)
{
	if (same_folder(d, w->rel, rel)) {
		w->alias = true;
		return;
	}
	free(w->rel);
	w->rel = pd_xstrdup(rel);
}

static void watch_add(struct pd_dir_source *d, const char *rel)
{
	char *path = pd_dir_path(&d->state, rel);
	int wd = inotify_add_watch(d->inotify, path, WATCH_MASK | IN_ONLYDIR);
	struct watch *w;

	free(path);
	if (wd < 0 && errno != ENOENT && errno != ENOTDIR && !d->polling) {
		pd_warn("config", "%s/%s: cannot be followed (%s): changes are looked for once a second", d->state.root,
			rel, strerror(errno));
		d->polling = true;
	}
	if (wd < 0)
		return;
	HASH_FIND_INT(d->watches, &wd, w);
	if (!w) {
		w = pd_xcalloc(1, sizeof(*w));
		w->wd = wd;
		w->rel = pd_xstrdup(rel);
		HASH_ADD_INT(d->watches, wd, w);
		d->n_watches++;
	} else if (strcmp(w->rel, rel)) {
		watch_meet(d, w, rel);
	}
	w->scan = d->scan;
}

// Stops following folders below `rel` that the walk `d->scan` did not meet.
static void watches_drop_unseen(struct pd_dir_source *d, const char *rel)
{
	struct watch *w, *next;

	HASH_ITER(hh, d->watches, w, next)
	{
		if (w->scan == d->scan || !is_below(w->rel, rel))
			continue;
		inotify_rm_watch(d->inotify, w->wd);
		watch_free(d, w);
	}
}

// A pending path is looked at when it is due, not before: its writer may be at work.
static bool is_pending(struct pd_dir_source *d, const char *rel)
{
	struct pending *p;

	HASH_FIND_STR(d->pending, rel, p);
	return p != NULL;
}

// ---- walking --------------------------------------------------------------------------------------------------------

// Folders on the way to the current one: a link back to one of them would not end.
struct frame {
	const struct frame *up;
	dev_t dev;
	ino_t ino;
	unsigned depth;
};

static void walk(struct pd_dir_source *d, const char *rel, const struct frame *up);

static void walk_entry(struct pd_dir_source *d, int fd, const char *dir, const char *name, const struct frame *here)
{
	struct stat st;
	char *rel;

	if (fstatat(fd, name, &st, 0))
		return;
	rel = join(dir, name);
	if (S_ISDIR(st.st_mode))
		walk(d, rel, here);
	else if (S_ISREG(st.st_mode) && is_config_name(name) && !is_pending(d, rel))
		pd_dir_file_look(&d->state, rel, &st, false, d->scan);
	free(rel);
}

static bool loops(const struct frame *here)
{
	for (const struct frame *f = here->up; f; f = f->up)
		if (f->dev == here->dev && f->ino == here->ino)
			return true;
	return false;
}

static int cmp_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

// In the order of names, so that every start delivers and reports in the same order.
static void walk_entries(struct pd_dir_source *d, DIR *dir, const char *rel, const struct frame *here)
{
	PD_VEC(char *) names = {0};
	struct dirent *e;

	while ((e = readdir(dir)))
		if (!ignored_name(e->d_name))
			pd_vec_push(&names, pd_xstrdup(e->d_name));
	if (names.n)
		qsort(names.v, names.n, sizeof(names.v[0]), cmp_name);
	for (size_t i = 0; i < names.n; i++) {
		walk_entry(d, dirfd(dir), rel, names.v[i], here);
		free(names.v[i]);
	}
	pd_vec_free(&names);
}

static void walk(struct pd_dir_source *d, const char *rel, const struct frame *up)
{
	struct frame here = {.up = up, .depth = up ? up->depth + 1 : 0};
	char *path = pd_dir_path(&d->state, rel);
	struct stat st;
	DIR *dir;

	if (here.depth > PD_DIR_MAX_DEPTH) {
		pd_warn("config", "%s: folders are nested too deep, not read", path);
		free(path);
		return;
	}
	watch_add(d, rel);
	dir = opendir(path);
	if (!dir && errno != ENOENT)
		pd_warn("config", "%s: %s", path, strerror(errno));
	free(path);
	if (!dir)
		return;
	if (!fstat(dirfd(dir), &st)) {
		here.dev = st.st_dev;
		here.ino = st.st_ino;
		if (!loops(&here))
			walk_entries(d, dir, rel, &here);
	}
	closedir(dir);
}

static bool root_there(struct pd_dir_source *d, struct stat *st)
{
	return !stat(d->state.root, st) && S_ISDIR(st->st_mode);
}

// Walks `rel` with the frames of the folders above it, so that loops and depth are seen as from the root.
static void walk_from(struct pd_dir_source *d, const char *rel)
{
	struct frame frames[PD_DIR_MAX_DEPTH + 1];
	const struct frame *up = NULL;
	unsigned n = 0;

	for (const char *at = rel; *at && n <= PD_DIR_MAX_DEPTH; n++) {
		char *above = pd_xstrndup(rel, (size_t)(at - rel) - (at > rel)), *path = pd_dir_path(&d->state, above);
		struct stat st = {0};

		stat(path, &st);
		frames[n] = (struct frame){up, st.st_dev, st.st_ino, n};
		up = &frames[n];
		at += strcspn(at, "/");
		at += *at == '/';
		free(path);
		free(above);
	}
	walk(d, rel, up);
}

// Looks at everything below a folder; drops files that are not there any more.
static void rescan(struct pd_dir_source *d, const char *rel)
{
	struct dir_file *f, *next;
	struct stat st;

	if (!root_there(d, &st))
		return; // kept as it was, see check_root
	d->root_dev = st.st_dev;
	d->root_ino = st.st_ino;
	d->scan++;
	d->n_rescans++;
	walk_from(d, rel);
	HASH_ITER(hh, d->state.files, f, next)
	if (f->scan != d->scan && is_below(f->rel, rel) && !is_pending(d, f->rel))
		pd_dir_file_drop(&d->state, f);
	watches_drop_unseen(d, rel);
}

// ---- pending paths --------------------------------------------------------------------------------------------------

static void pending_set(struct pd_dir_source *d, const char *rel, uint64_t in_ms, bool settled)
{
	uint64_t due = d->batch_ns + in_ms * MS;
	struct pending *p;

	HASH_FIND_STR(d->pending, rel, p);
	if (!p) {
		p = pd_xcalloc(1, sizeof(*p));
		p->rel = pd_xstrdup(rel);
		HASH_ADD_KEYPTR(hh, d->pending, p->rel, strlen(p->rel), p);
	} else if (p->settled && settled && p->due_ns < due) {
		return; // a busy writer does not put it off for ever
	}
	p->due_ns = due;
	p->settled = settled;
}

static void pending_free(struct pd_dir_source *d, struct pending *p)
{
	HASH_DEL(d->pending, p);
	free(p->rel);
	free(p);
}

static void look_at(struct pd_dir_source *d, const char *rel)
{
	struct dir_file *f = pd_dir_file_find(&d->state, rel);
	char *path = pd_dir_path(&d->state, rel);
	struct stat st;

	if (!stat(path, &st)) {
		if (S_ISREG(st.st_mode))
			pd_dir_file_look(&d->state, rel, &st, true, d->scan);
		else if (f)
			pd_dir_file_drop(&d->state, f);
	} else if ((errno == ENOENT || errno == ENOTDIR) && f && root_there(d, &st)) {
		pd_dir_file_drop(&d->state, f);
	}
	free(path);
}

static void look_at_due(struct pd_dir_source *d)
{
	uint64_t now = pd_now_ns();
	struct pending *p, *next;

	HASH_ITER(hh, d->pending, p, next)
	{
		if (p->due_ns > now)
			continue;
		look_at(d, p->rel);
		pending_free(d, p);
	}
}

static int wait_ms(struct pd_dir_source *d)
{
	uint64_t now = pd_now_ns(), first = now + IDLE_MS * MS;

	for (struct pending *p = d->pending; p; p = p->hh.next)
		first = p->due_ns < first ? p->due_ns : first;
	return first <= now ? 0 : (int)((first - now + MS - 1) / MS);
}

// ---- events ---------------------------------------------------------------------------------------------------------

// A folder left its place: its files are looked for there once more, later, and it is not followed any more.
static void folder_gone(struct pd_dir_source *d, const char *rel)
{
	struct watch *w, *next;

	for (struct dir_file *f = d->state.files; f; f = f->hh.next)
		if (is_below(f->rel, rel))
			pending_set(d, f->rel, PD_DIR_GONE_MS, false);
	HASH_ITER(hh, d->watches, w, next)
	{
		if (!*w->rel || !is_below(w->rel, rel))
			continue;
		inotify_rm_watch(d->inotify, w->wd);
		watch_free(d, w);
	}
}

static bool folder_known(struct pd_dir_source *d, const char *rel)
{
	for (struct watch *w = d->watches; w; w = w->hh.next)
		if (!strcmp(w->rel, rel))
			return true;
	return false;
}

// An entry that is not a file of ours by name: a folder, or a link to one.
static void on_folder(struct pd_dir_source *d, const char *rel, uint32_t mask)
{
	char *path = pd_dir_path(&d->state, rel);
	struct stat st;

	if (mask & (IN_DELETE | IN_MOVED_FROM)) {
		if ((mask & IN_ISDIR) || folder_known(d, rel))
			folder_gone(d, rel);
	} else if (!stat(path, &st) && S_ISDIR(st.st_mode)) {
		rescan(d, rel);
	}
	free(path);
}

static void on_file(struct pd_dir_source *d, const char *rel, uint32_t mask)
{
	char *path = pd_dir_path(&d->state, rel);
	struct stat st;

	if (mask & (IN_CLOSE_WRITE | IN_MOVED_TO))
		pending_set(d, rel, SETTLE_MS, true);
	else if (mask & (IN_DELETE | IN_MOVED_FROM))
		pending_set(d, rel, PD_DIR_GONE_MS, false);
	else if ((mask & IN_CREATE) && !lstat(path, &st) && S_ISREG(st.st_mode) && st.st_nlink == 1)
		pending_set(d, rel, PD_DIR_OPEN_MS, false); // its writer closes it
	else if (mask & IN_CREATE)
		pending_set(d, rel, SETTLE_MS, true); // a link
	else if (!is_pending(d, rel))
		pending_set(d, rel, PD_DIR_GONE_MS, false); // attributes: it may be readable now
	free(path);
}

// Something that was renamed to another name of ours will not come back: the old name goes with the arrival of the new one,
// so that its objects do not seem to be there twice, or to be gone in between.
static void on_move(struct pd_dir_source *d, const char *rel, const struct inotify_event *e)
{
	struct dir_file *f, *next;

	if (e->mask & IN_MOVED_FROM) {
		free(d->from);
		d->from = pd_xstrdup(rel);
		d->from_cookie = e->cookie;
	}
	if (!(e->mask & IN_MOVED_TO) || !d->from || d->from_cookie != e->cookie)
		return;
	if (e->mask & IN_ISDIR) {
		HASH_ITER(hh, d->state.files, f, next)
		if (is_below(f->rel, d->from))
			pd_dir_file_drop(&d->state, f);
	} else if (is_config_name(e->name)) {
		pending_set(d, d->from, SETTLE_MS, true);
	}
}

static void on_event(struct pd_dir_source *d, const struct inotify_event *e)
{
	const char *name = e->len ? e->name : "";
	struct watch *w;
	char *rel;

	if (e->mask & IN_Q_OVERFLOW) {
		pd_warn("config", "%s: events were lost, looking at everything", d->state.root);
		d->rescan = true;
		return;
	}
	HASH_FIND_INT(d->watches, &e->wd, w);
	if (!w)
		return;
	if (e->mask & IN_IGNORED) {
		watch_free(d, w);
		return;
	}
	if (w->alias || (pd_has_prefix(name, "..") && (e->mask & (IN_CREATE | IN_MOVED_TO))))
		d->rescan = true;
	if (!*name || ignored_name(name))
		return;
	rel = join(w->rel, name);
	on_move(d, rel, e);
	if ((e->mask & IN_ISDIR) || !is_config_name(name))
		on_folder(d, rel, e->mask & ~(uint32_t)IN_CLOSE_WRITE);
	else
		on_file(d, rel, e->mask);
	free(rel);
}

static bool read_events(struct pd_dir_source *d)
{
	_Alignas(struct inotify_event) char buf[64 * 1024];
	ssize_t n = read(d->inotify, buf, sizeof(buf));

	d->batch_ns = pd_now_ns();

	for (char *p = buf; n > 0 && p < buf + n;) {
		const struct inotify_event *e = (const struct inotify_event *)p;

		on_event(d, e);
		p += sizeof(*e) + e->len;
	}
	return n > 0;
}

// ---- the follower ---------------------------------------------------------------------------------------------------

static void report_lost(struct pd_dir_source *d)
{
	char *origin = pd_xasprintf("%s:0", d->state.root);
	struct pd_issue i = {.severity = PD_ISSUE_ERROR,
			     .origin = origin,
			     .reason = "the configuration folder is gone: what it held stays in force"};

	pd_issues_add(d->state.issues, &i);
	free(origin);
}

// The root may be removed, mounted over, or be a link that now leads elsewhere: none of it need make an event.
static void check_root(struct pd_dir_source *d)
{
	struct stat st;

	if (!root_there(d, &st)) {
		if (!d->lost)
			report_lost(d);
		d->lost = true;
		return;
	}
	if (d->lost)
		pd_issues_clear(d->state.issues, d->state.root);
	if (d->lost || st.st_dev != d->root_dev || st.st_ino != d->root_ino)
		d->rescan = true;
	d->lost = false;
}

static void *follow(void *arg)
{
	struct pd_dir_source *d = arg;
	struct pollfd fds[2] = {{.fd = d->inotify, .events = POLLIN}, {.fd = d->stop, .events = POLLIN}};
	uint64_t checked = pd_now_ns();

	for (;;) {
		bool more;

		poll(fds, 2, wait_ms(d));
		if (fds[1].revents)
			return NULL;
		more = (fds[0].revents & POLLIN) && read_events(d);
		if (pd_now_ns() - checked >= IDLE_MS * MS) {
			check_root(d);
			d->rescan |= d->polling;
			checked = pd_now_ns();
		}
		if (d->rescan) {
			d->rescan = false;
			rescan(d, "");
		}
		look_at_due(d);
		more = more && poll(fds, 1, 0) > 0;
		pd_dir_flush(&d->state, more);
	}
}

static void source_free(struct pd_dir_source *d)
{
	struct pending *p, *next_p;
	struct watch *w, *next_w;

	HASH_ITER(hh, d->pending, p, next_p)
	pending_free(d, p);
	HASH_ITER(hh, d->watches, w, next_w)
	watch_free(d, w);
	pd_dir_state_free(&d->state);
	free(d->from);
	if (d->inotify >= 0)
		close(d->inotify);
	if (d->stop >= 0)
		close(d->stop);
	free(d);
}

static int start_io(struct pd_dir_source *d)
{
	DIR *dir = opendir(d->state.root);

	if (!dir)
		return PD_E_IO;
	closedir(dir);
	d->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	d->stop = eventfd(0, EFD_CLOEXEC);
	return d->inotify < 0 || d->stop < 0 ? PD_E_IO : PD_OK;
}

static char *without_slashes(const char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	return pd_xstrndup(path, n);
}

int pd_dir_source_start(const struct pd_dir_config *cfg, struct pd_dir_source **out)
{
	struct pd_dir_source *d = pd_xcalloc(1, sizeof(*d));
	int rc, saved;

	d->inotify = d->stop = -1;
	d->state.root = without_slashes(cfg->path);
	d->state.cluster = pd_intern(cfg->cluster);
	d->state.sink = cfg->sink;
	d->state.issues = cfg->issues;
	d->state.max_files = cfg->max_files ? cfg->max_files : PD_DIR_MAX_FILES;
	rc = start_io(d);
	if (rc) {
		saved = errno;
		source_free(d);
		errno = saved;
		return rc;
	}
	rescan(d, "");
	pd_dir_flush(&d->state, false);
	pd_info("config", "%s: %llu objects in %llu files", d->state.root, (unsigned long long)d->state.n_objects,
		(unsigned long long)d->state.n_files);
	cfg->sink->synced(cfg->sink, d->state.root);
	if (pthread_create(&d->thread, NULL, follow, d)) {
		source_free(d);
		errno = EAGAIN;
		return PD_E_IO;
	}
	*out = d;
	return PD_OK;
}

void pd_dir_source_stop(struct pd_dir_source **dp)
{
	struct pd_dir_source *d = *dp;
	uint64_t one = 1;

	if (!d)
		return;
	PD_ASSERT(write(d->stop, &one, sizeof(one)) == sizeof(one));
	pthread_join(d->thread, NULL);
	source_free(d);
	*dp = NULL;
}

void pd_dir_source_stats(struct pd_dir_source *d, struct pd_dir_stats *out)
{
	*out = (struct pd_dir_stats){
		.files = d->state.n_files,
		.objects = d->state.n_objects,
		.reads = d->state.n_reads,
		.rescans = d->n_rescans,
		.ignored = d->state.n_ignored,
		.watches = d->n_watches,
	};
}
