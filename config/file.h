// Reading small files whole.
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include <stddef.h>
#include <sys/stat.h>

#include "base/err.h"

// Reads a regular file of at most `max` bytes (links are followed). Caller frees *text, which has a NUL behind its *len
// bytes; *st is what the file was when it was opened. PD_E_IO: errno; ENOENT = it is not there. PD_E_LIMIT: too large.
// PD_E_INVALID: not a regular file.
int pd_file_read(const char *path, size_t max, char **text, size_t *len, struct stat *st) PD_MUST_CHECK;

#endif
