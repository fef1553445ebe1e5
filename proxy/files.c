#include "proxy/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(struct pd_buf *err, const char *path)
{
	pd_buf_printf(err, "%s: %s", path, strerror(errno));
	return PD_E_IO;
}

// Room for the whole file is made first: a buffer that grows would leave copies of a secret behind.
static int read_all(int fd, const char *path, struct pd_buf *out, struct pd_buf *err)
{
	size_t room = PD_FILE_MAX + 1;
	struct stat st;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size < PD_FILE_MAX)
		room = (size_t)st.st_size + 1;
	char *bytes = pd_xmalloc(room);
	size_t n = 0;
	ssize_t got = 0;
	while (n < room && (got = read(fd, bytes + n, room - n)) != 0) {
		if (got > 0)
			n += (size_t)got;
		else if (errno != EINTR)
			break;
	}
	int rc = PD_OK;
	if (got < 0) {
		rc = fail(err, path);
	} else if (n == room) {
		pd_buf_printf(err, "%s: too large, or growing while it is read", path);
		rc = PD_E_LIMIT;
	} else if (out->n) {
		pd_buf_add(out, bytes, n);
	} else {
		free(out->p);
		bytes[n] = 0;
		*out = (struct pd_buf){bytes, n, room};
		return PD_OK;
	}
	pd_free_secret(bytes, n);
	return rc;
}

int pd_file_read(const char *path, struct pd_buf *out, struct pd_buf *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(err, path);
	int rc = read_all(fd, path, out, err);
	close(fd);
	return rc;
}

static int write_all(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t put = write(fd, bytes, n);
		if (put < 0 && errno != EINTR)
			return -1;
		if (put > 0) {
			bytes += put;
			n -= (size_t)put;
		}
	}
	return 0;
}

int pd_file_write(const char *path, const char *bytes, size_t n, struct pd_buf *err)
{
	char *temporary = pd_xasprintf("%s.new", path);
	int rc = PD_OK, fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		rc = fail(err, temporary);
	} else {
		bool ok = fchmod(fd, 0600) == 0 && write_all(fd, bytes, n) == 0;
		ok = close(fd) == 0 && ok;
		if (!ok || rename(temporary, path) != 0) {
			rc = fail(err, path);
			unlink(temporary);
		}
	}
	free(temporary);
	return rc;
}

int pd_make_folder_of(const char *path, struct pd_buf *err)
{
	char *folder = pd_xstrdup(path);
	int rc = PD_OK;
	for (char *slash = strchr(folder + 1, '/'); slash && rc == PD_OK; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(folder, 0700) != 0 && errno != EEXIST)
			rc = fail(err, folder);
		*slash = '/';
	}
	free(folder);
	return rc;
}

struct pd_file_mark pd_file_mark(const char *path)
{
	struct pd_file_mark m = {0};
	struct stat st;
	if (stat(path, &st) == 0)
		m = (struct pd_file_mark){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
	return m;
}

bool pd_file_mark_equal(const struct pd_file_mark *a, const struct pd_file_mark *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
	       a->changed.tv_nsec == b->changed.tv_nsec;
}
