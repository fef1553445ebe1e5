// Certificates for tests: a CA and what it signed, as PEM texts.
#ifndef TESTS_UNIT_K8S_CERTS_H
#define TESTS_UNIT_K8S_CERTS_H

struct tc_pair {
	char *cert, *key; // PEM
};

// Signed by `ca`, or by itself as a CA if that is NULL. `san` is OpenSSL's notation: "IP:127.0.0.1,DNS:kubernetes"; NULL =
// none. Free with tc_free.
struct tc_pair tc_make(const struct tc_pair *ca, const char *common_name, const char *san);
void tc_free(struct tc_pair *);

#endif
