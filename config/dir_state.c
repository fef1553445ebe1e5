#include "config/dir_state.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/str.h"
#include "config/decode.h"
#include "config/file.h"
#include "config/yaml.h"

char *pd_dir_path(const struct dir_state *s, const char *rel)
{
	return *rel ? pd_xasprintf("%s/%s", s->root, rel) : pd_xstrdup(s->root);
}

static void report_file(struct dir_state *s, const char *rel, const char *reason)
{
	char *path = pd_dir_path(s, rel), *origin = pd_xasprintf("%s:1", path);
	struct pd_issue i = {.severity = PD_ISSUE_ERROR, .origin = origin, .reason = reason};

	pd_issues_add(s->issues, &i);
	free(origin);
	free(path);
}

// ---- keys and claims ------------------------------------------------------------------------------------------------

static void mark_dirty(struct dir_state *s, struct dir_key *k)
{
	if (k->dirty)
		return;
	k->dirty = true;
	pd_vec_push(&s->dirty, k);
}

static struct dir_key *key_get(struct dir_state *s, const struct pd_decoded *d)
{
	struct dir_id id;
	struct dir_key *k;

	memset(&id, 0, sizeof(id)); // hashed as bytes
	id.kind = d->kind;
	id.ns = d->ns;
	id.name = d->name;
	HASH_FIND(hh, s->keys, &id, sizeof(id), k);
	if (k)
		return k;
	k = pd_xcalloc(1, sizeof(*k));
	k->id = id;
	pd_intern_ref(id.ns);
	pd_intern_ref(id.name);
	HASH_ADD(hh, s->keys, id, sizeof(id), k);
	return k;
}

static void key_free(struct dir_state *s, struct dir_key *k)
{
	HASH_DEL(s->keys, k);
	pd_obj_unref(k->delivered);
	pd_unintern(k->id.ns);
	pd_unintern(k->id.name);
	free(k);
}

static struct dir_claim *claim_of(const struct dir_key *k, const struct dir_file *f)
{
	struct dir_claim *c = k->claims;

	while (c && c->file != f)
		c = c->next;
	return c;
}

static struct dir_claim *claim_add(struct dir_state *s, struct dir_file *f, struct dir_key *k)
{
	struct dir_claim *c = pd_xcalloc(1, sizeof(*c)), **at = &k->claims;

	while (*at && strcmp((*at)->file->rel, f->rel) < 0)
		at = &(*at)->next;
	c->file = f;
	c->key = k;
	c->next = *at;
	*at = c;
	pd_vec_push(&f->claims, c);
	s->n_objects++;
	return c;
}

static char *claim_origin(const struct dir_state *s, const struct dir_claim *c)
{
	return pd_xasprintf("%s/%s:%u", s->root, c->file->rel, c->line);
}

static void claim_title(struct pd_buf *title, const struct dir_key *k)
{
	pd_object_title(title, (enum pd_kind)k->id.kind, k->id.ns, k->id.name);
}

#define SHADOW_FIELD "metadata.name" // marks the issue, see claim_unshadow

static void claim_shadow(struct dir_state *s, struct dir_claim *c)
{
	char *origin = claim_origin(s, c), *winner = claim_origin(s, c->key->claims);
	char *reason = pd_xasprintf("this object is in %s too, which counts: the first by path", winner);
	struct pd_buf title = {0};
	struct pd_issue i = {.severity = PD_ISSUE_ERROR, .origin = origin, .field = SHADOW_FIELD, .reason = reason};

	claim_title(&title, c->key);
	i.object = title.p;
	pd_issues_add(s->issues, &i);
	c->shadowed = true;
	pd_buf_free(&title);
	free(reason);
	free(winner);
	free(origin);
}

static void claim_unshadow(struct dir_state *s, struct dir_claim *c)
{
	char *origin = claim_origin(s, c);
	struct pd_buf title = {0};

	claim_title(&title, c->key);
	pd_issues_drop(s->issues, origin, title.p, SHADOW_FIELD);
	c->shadowed = false;
	pd_buf_free(&title);
	free(origin);
}

// Takes it out of its key's list, not out of its file's.
static void claim_free(struct dir_state *s, struct dir_claim *c)
{
	struct dir_claim **at = &c->key->claims;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	mark_dirty(s, c->key);
	pd_obj_unref(c->object);
	free(c);
	s->n_objects--;
}

// ---- files ----------------------------------------------------------------------------------------------------------

struct dir_file *pd_dir_file_find(struct dir_state *s, const char *rel)
{
	struct dir_file *f;

	HASH_FIND_STR(s->files, rel, f);
	return f;
}

static struct dir_file *file_get(struct dir_state *s, const char *rel)
{
	struct dir_file *f = pd_dir_file_find(s, rel);

	if (f)
		return f;
	if (s->n_files >= s->max_files) {
		if (!s->full)
			report_file(s, "", "too many files: further ones are not read");
		s->full = true;
		return NULL;
	}
	f = pd_xcalloc(1, sizeof(*f));
	f->rel = pd_xstrdup(rel);
	HASH_ADD_KEYPTR(hh, s->files, f->rel, strlen(f->rel), f);
	s->n_files++;
	return f;
}

static void clear_issues(struct dir_state *s, struct dir_file *f)
{
	char *path = pd_dir_path(s, f->rel);

	pd_issues_clear(s->issues, path);
	for (size_t i = 0; i < f->claims.n; i++) {
		if (f->claims.v[i]->shadowed)
			mark_dirty(s, f->claims.v[i]->key); // to be reported anew
		f->claims.v[i]->shadowed = false;
	}
	free(path);
}

void pd_dir_file_drop(struct dir_state *s, struct dir_file *f)
{
	clear_issues(s, f);
	for (size_t i = 0; i < f->claims.n; i++)
		claim_free(s, f->claims.v[i]);
	pd_vec_free(&f->claims);
	HASH_DEL(s->files, f);
	free(f->rel);
	free(f);
	s->n_files--;
}

static void report_twice(struct dir_state *s, const struct dir_claim *c, uint32_t line)
{
	char *origin = pd_xasprintf("%s/%s:%u", s->root, c->file->rel, line);
	char *reason = pd_xasprintf("this object is in line %u of this file too, which counts", c->line);
	struct pd_buf title = {0};
	struct pd_issue i = {.severity = PD_ISSUE_ERROR, .origin = origin, .reason = reason};

	claim_title(&title, c->key);
	i.object = title.p;
	pd_issues_add(s->issues, &i);
	pd_buf_free(&title);
	free(reason);
	free(origin);
}

// One object of a new reading. An unchanged one keeps the memory that it has.
static void take_object(struct dir_state *s, struct dir_file *f, struct pd_decoded *d)
{
	struct dir_key *k = key_get(s, d);
	struct dir_claim *c = claim_of(k, f);

	mark_dirty(s, k);
	if (c && c->seen == f->reading) {
		report_twice(s, c, d->line);
		return;
	}
	if (!d->object) { // rejected: what was good stays
		if (c)
			c->seen = f->reading;
		return;
	}
	if (!c)
		c = claim_add(s, f, k);
	c->seen = f->reading;
	c->line = d->line;
	if (c->object && c->object->hash == d->object->hash)
		return;
	pd_obj_unref(c->object);
	c->object = d->object;
	d->object = NULL;
}

static void take_text(struct dir_state *s, struct dir_file *f, struct pd_decoded_text *text)
{
	size_t kept = 0;

	f->reading++;
	for (size_t i = 0; i < text->items.n; i++)
		take_object(s, f, &text->items.v[i]);
	for (size_t i = 0; i < f->claims.n; i++) {
		if (f->claims.v[i]->seen == f->reading || text->incomplete)
			f->claims.v[kept++] = f->claims.v[i];
		else
			claim_free(s, f->claims.v[i]);
	}
	f->claims.n = kept;
}

// Times of files are as coarse as a tick: what was written so shortly before it was read may change once more and look the
// same.
#define RACY_NS 50000000

static int64_t mtime_ns(const struct stat *st)
{
	return st->st_mtim.tv_sec * 1000000000ll + st->st_mtim.tv_nsec;
}

static void file_read(struct dir_state *s, struct dir_file *f)
{
	char *path = pd_dir_path(s, f->rel), *text = NULL;
	struct pd_decode_config cfg = {.cluster = s->cluster, .origin = path, .issues = s->issues};
	struct pd_decoded_text decoded = {0};
	struct stat st = {0};
	size_t len;
	int rc = pd_file_read(path, PD_YAML_MAX_BYTES, &text, &len, &st);

	clear_issues(s, f);
	f->unread = rc != PD_OK || pd_wall_ns() - mtime_ns(&st) < RACY_NS;
	if (rc) {
		report_file(s, f->rel, rc == PD_E_IO ? strerror(errno) : pd_strerror(rc));
		free(path);
		return;
	}
	f->sig.dev = st.st_dev;
	f->sig.ino = st.st_ino;
	f->sig.size = st.st_size;
	f->sig.mtime = st.st_mtim;
	f->sig.ctime = st.st_ctim;
	s->n_reads++;
	pd_decode_text(&cfg, text, len, &decoded);
	s->n_ignored += decoded.ignored;
	take_text(s, f, &decoded);
	pd_decoded_text_free(&decoded);
	free(text);
	free(path);
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

void pd_dir_file_look(struct dir_state *s, const char *rel, const struct stat *st, bool force, uint32_t scan)
{
	struct dir_file *f = file_get(s, rel);

	if (!f)
		return;
	f->scan = scan;
	if (force || f->unread || f->sig.dev != st->st_dev || f->sig.ino != st->st_ino || f->sig.size != st->st_size ||
	    !same_time(f->sig.mtime, st->st_mtim) || !same_time(f->sig.ctime, st->st_ctim))
		file_read(s, f);
}

// ---- delivery -------------------------------------------------------------------------------------------------------

static void update_shadows(struct dir_state *s, struct dir_key *k)
{
	for (struct dir_claim *c = k->claims; c; c = c->next) {
		if (c == k->claims && c->shadowed)
			claim_unshadow(s, c);
		else if (c != k->claims && !c->shadowed)
			claim_shadow(s, c);
	}
}

void pd_dir_flush(struct dir_state *s, bool more)
{
	PD_VEC(struct pd_change) changes = {0};

	for (size_t i = 0; i < s->dirty.n; i++) {
		struct dir_key *k = s->dirty.v[i];
		struct pd_object *o = k->claims ? k->claims->object : NULL;
		struct pd_key key = {(enum pd_kind)k->id.kind, s->cluster, k->id.ns, k->id.name};

		update_shadows(s, k);
		if (o == k->delivered || (o && k->delivered && o->hash == k->delivered->hash))
			continue;
		pd_vec_push(&changes, (struct pd_change){key, pd_obj_ref(o)});
		pd_obj_unref(k->delivered);
		k->delivered = pd_obj_ref(o);
	}
	if (changes.n)
		s->sink->changes(s->sink, changes.v, changes.n, more);
	for (size_t i = 0; i < s->dirty.n; i++) {
		s->dirty.v[i]->dirty = false;
		if (!s->dirty.v[i]->claims)
			key_free(s, s->dirty.v[i]);
	}
	s->dirty.n = 0;
	pd_vec_free(&changes);
}

void pd_dir_state_free(struct dir_state *s)
{
	struct dir_file *f, *next_file;
	struct dir_key *k, *next_key;

	HASH_ITER(hh, s->files, f, next_file)
	pd_dir_file_drop(s, f);
	HASH_ITER(hh, s->keys, k, next_key)
	key_free(s, k);
	pd_vec_free(&s->dirty);
	pd_unintern(s->cluster);
	free(s->root);
}
