// Which service accounts may read the Secrets of their namespace. The API server is asked (SubjectAccessReview), and answers
// later: until then nobody may.
#ifndef DISCOVERY_ACCESS_H
#define DISCOVERY_ACCESS_H

#include <stdbool.h>

#define PD_ACCESS_MAX 65536  // accounts remembered; beyond: refused
#define PD_ACCESS_FRESH_S 60 // an answer is asked for again when it is used after so long (istiod caches as long)

struct pd_access;
// `ask` is called on any thread and must not block; the answer comes by pd_engine_access.
struct pd_access *pd_access_new(void (*ask)(void *arg, const char *ns, const char *account), void *arg);
void pd_access_free(struct pd_access **);
// Any thread.
bool pd_access_allowed(struct pd_access *, const char *ns, const char *account);
// True if it was not known or is another answer than before.
bool pd_access_answer(struct pd_access *, const char *ns, const char *account, bool allowed);

#endif
