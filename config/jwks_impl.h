// Inside of the source of key sets: the documents. All functions are called with the source's lock held.
#ifndef CONFIG_JWKS_IMPL_H
#define CONFIG_JWKS_IMPL_H

#include <pthread.h>
#include <uthash.h>

#include "base/fetch.h"
#include "config/jwks_source.h"

// One document. From its making to its end there is always one request open for it: a transfer or the wait for the next one.
struct jwks_doc {
	UT_hash_handle hh; // by name
	struct pd_jwks_source *source;
	char *name, *issuer, *uri; // uri "": the issuer's OpenID configuration names it
	size_t wanted;             // by so many rules; 0: it goes when its request is over
	bool attempted;            // there has been an answer
	bool resolving;            // the request is for the OpenID configuration
	unsigned failures;         // since the last success
	char *keys;                // the last good document, NULL if there is none
	uint64_t fetched_ns;       // when it was fetched
};

struct jwks_user;
struct pd_jwks_source {
	struct pd_sink sink; // first: what other sources deliver to
	struct pd_jwks_source_config config;
	struct pd_fetcher *fetcher;
	pthread_mutex_t lock;    // guards what follows, and the order of deliveries
	struct jwks_doc *docs;   // by name
	struct jwks_user *users; // RequestAuthentications that name documents, by key
	size_t n_held;
	bool timer;            // a request is open that will look after what is held too long
	PD_VEC(char *) synced; // sources that have delivered everything, but something is held
};

// Counts one rule more that wants this document; makes and asks for it if there is none. NULL: there are too many.
struct jwks_doc *pd_jwks_doc_want(struct pd_jwks_source *s, const char *issuer, const char *uri);
// One less.
void pd_jwks_doc_drop(struct jwks_doc *d);
// After the fetcher has stopped.
void pd_jwks_docs_free(struct pd_jwks_source *s);
// jwks_source.c: a document has had its first answer.
void pd_jwks_attempted(struct pd_jwks_source *s);

#endif
