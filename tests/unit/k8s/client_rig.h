// What tests of the client and of what is built on it share: a folder, a kubeconfig in it, a client, calls that write down
// what happens to them.
#ifndef TESTS_UNIT_K8S_CLIENT_RIG_H
#define TESTS_UNIT_K8S_CLIENT_RIG_H

#include <pthread.h>

#include "base/str.h"
#include "k8s/client.h"
#include "k8s/config.h"

#define RIG_WAIT_MS 20000 // for what must come

// A fresh folder; rig_dir_free removes it with its files.
char *rig_dir(void);
void rig_dir_free(char **dir);
void rig_write(const char *dir, const char *name, const char *text); // replaces at once, as a rename does
void rig_write_script(const char *dir, const char *name, const char *text);

// DIR/config: a context "test" with a server and further lines of the cluster and of the user ("token: a\nusername: …"),
// both NULL = none.
struct pd_k8s_config *rig_config(const char *dir, const char *server, const char *cluster, const char *user);
// A client of http://127.0.0.1:PORT.
struct pd_k8s_client *rig_client(const char *dir, uint16_t port, const char *user);

// Notes of what happened, by several threads.
struct rig_log {
	pthread_mutex_t lock;
	pthread_cond_t news;
	struct pd_buf text; // under lock
};
void rig_log_init(struct rig_log *);
void rig_log_free(struct rig_log *);
void rig_note(struct rig_log *, const char *fmt, ...) PD_PRINTF(2, 3);
void rig_clear(struct rig_log *);
// Waits until the notes hold `part` (n times); fails the test if that does not happen.
void rig_wait(struct rig_log *, const char *part);
void rig_wait_times(struct rig_log *, const char *part, int n);
// How often the notes hold `part` now.
int rig_count(struct rig_log *, const char *part);
char *rig_text(struct rig_log *); // a copy; caller frees

// A call whose callbacks write "headers CODE TYPE;", "data TEXT;", "done NAME_OF_ERR CODE REASON: MESSAGE;" to the log.
struct rig_call {
	struct pd_k8s_client *client;
	struct pd_k8s_request req;
	struct rig_log *log;
	uint64_t id; // the loop's
};
// Starts it on the loop; `call` must live until it is done.
void rig_start(struct rig_call *call);
void rig_cancel(struct rig_call *call);
// Waits until what was posted so far has run.
void rig_settle(struct pd_k8s_client *);

#endif
