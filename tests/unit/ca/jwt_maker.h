// Makes keys, key sets and tokens for tests: right ones and, where asked, wrong ones.
#ifndef TESTS_UNIT_CA_JWT_MAKER_H
#define TESTS_UNIT_CA_JWT_MAKER_H

#include <openssl/evp.h>
#include <stddef.h>

// Appends one JWK of the public half to a set under construction; texts may be NULL. `extra` is JSON members with a comma in
// front. Returns a new string, the old one is freed: jwk_add(NULL, …) begins.
char *jwk_add(char *keys, const EVP_PKEY *, const char *kid, const char *alg, const char *extra);
// {"keys":[…]}; takes the string. Caller frees.
char *jwks_close(char *keys);

// base64url without padding. Caller frees.
char *b64url(const void *p, size_t n);
// Signs header and claims (JSON texts) with the algorithm (of RFC 7518) and key; "none" appends nothing, "HS256" uses `secret`
// (a string) as key. Caller frees.
char *jwt_make(const char *alg, EVP_PKEY *, const char *secret, const char *header, const char *claims);
// A usual one: header {"alg","kid"} (kid NULL: without).
char *jwt_sign(const char *alg, EVP_PKEY *, const char *kid, const char *claims);

#endif
