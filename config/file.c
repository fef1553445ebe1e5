#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

static int read_all(int fd, size_t max, size_t guess, char **text, size_t *len)
{
	size_t cap = guess < max ? guess + 1 : max + 1, n = 0;
	char *buf = pd_xmalloc(cap + 1);

	for (;;) {
		ssize_t got = read(fd, buf + n, cap - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			free(buf);
			return PD_E_IO;
		}
		n += (size_t)got;
		if (n > max) {
			free(buf);
			return PD_E_LIMIT;
		}
		if (!got)
			break;
		if (n == cap) {
			cap *= 2;
			buf = pd_xrealloc(buf, cap + 1);
		}
	}
	buf[n] = 0;
	*text = buf;
	*len = n;
	return PD_OK;
}

int pd_file_read(const char *path, size_t max, char **text, size_t *len, struct stat *st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc, saved;

	if (fd < 0)
		return PD_E_IO;
	if (fstat(fd, st))
		rc = PD_E_IO;
	else if (!S_ISREG(st->st_mode))
		rc = PD_E_INVALID;
	else
		rc = read_all(fd, max, (size_t)st->st_size, text, len);
	saved = errno;
	close(fd);
	errno = saved;
	return rc;
}
