// What the tests of proxy/ share: a folder of their own, files in it, keys and certificates.
#ifndef TESTS_UNIT_PROXY_RIG_H
#define TESTS_UNIT_PROXY_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ca/signer.h"

// cmocka group setup and teardown: grpc and an empty folder, the working directory of the test; removed at the end.
int rig_setup(void **state);
int rig_teardown(void **state);

// Paths are relative to the folder.
void rig_write(const char *path, const char *text);
char *rig_read(const char *path); // caller frees; NULL: no such file
// Waits until done(arg); fails the test after 20 s.
void rig_wait(bool (*done)(void *), void *arg, const char *what);

// A root with its key. Release with pd_signer_unref.
struct pd_signer *rig_root(const char *name);
// The root's certificate as PEM; caller frees.
char *rig_root_pem(const struct pd_signer *);
// A certificate and key for `san`, both PEM, callers free.
void rig_leaf(const struct pd_signer *, const char *san, int64_t ttl_s, char **cert, char **key);

#endif
