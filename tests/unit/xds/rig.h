// A session without a network, for tests: requests in, answers out as text.
#ifndef TESTS_UNIT_XDS_RIG_H
#define TESTS_UNIT_XDS_RIG_H

#include "tests/unit/xds/fake_engine.h"
#include "xds/pass.h"
#include "xds/session.h"

struct rig {
	struct pd_engine *engine;
	struct pd_session_env env;
	struct pd_view *view;
	struct pd_session s;
	char nonce[PD_TYPE_COUNT][PD_NONCE_TEXT]; // of the last response
	char version[PD_TYPE_COUNT][17];
	enum pd_request_kind kind; // of the last request
	struct pb_error err;
	char text[4096];
};

void rig_open(struct rig *, bool delta);
void rig_reconnect(struct rig *); // a new session of the same server
void rig_close(struct rig *);

// "CDS a=1 b=2" sets and publishes; a word "name" without "=" is removed. Invalidations reach the session.
void rig_config(struct rig *, const char *what);

// State of the world. `names` is "a b c"; nonce NULL = that of the last response of this type, "" = none.
int rig_sotw(struct rig *, enum pd_type, const char *names, const char *nonce, const char *error);
// Delta. Names separated by blanks; `initial` is "name=text ..." with the version that such a resource has.
int rig_delta(struct rig *, enum pd_type, const char *add, const char *del, const char *initial);
int rig_delta_ack(struct rig *, enum pd_type, const char *nonce, const char *error);
int rig_ack(struct rig *, enum pd_type); // of the last response, without any change
uint64_t rig_version(enum pd_type, const char *name, const char *text);

// Runs a pass, commits it and tells what was sent: "CDS{a=1,b=2} EDS{x=1,-y}", "" for nothing.
const char *rig_pass(struct rig *);

#define rig_expect(rig, want) assert_string_equal(rig_pass(rig), want)

#endif
