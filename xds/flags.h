// Environment variables and flags of the xDS layer, as tables for base/flags.h. cmd/ adds them to its sets, loads, and then
// has the values put into the configuration structs.
#ifndef XDS_FLAGS_H
#define XDS_FLAGS_H

#include "base/flags.h"
#include "xds/control.h"
#include "xds/server.h"

extern const struct pd_flag pd_xds_env[]; // PILOT_DEBOUNCE_AFTER, PILOT_PUSH_THROTTLE, ...
extern const size_t pd_xds_env_n;
extern const struct pd_flag pd_xds_flags[]; // --keepaliveInterval, ...
extern const size_t pd_xds_flags_n;
// Both structs hold their defaults on entry.
void pd_xds_settings(struct pd_xds_config *, struct pd_control_config *);
// XDS_AUTH_PLAINTEXT and PILOT_ENABLE_XDS_IDENTITY_CHECK; the rest is left alone. False: streams are not to be authenticated
// (XDS_AUTH).
bool pd_xds_auth_settings(struct pd_xds_auth *);

#endif
