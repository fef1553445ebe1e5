// Shared by the validators of config/ only.
#ifndef CONFIG_VALIDATE_IMPL_H
#define CONFIG_VALIDATE_IMPL_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/str.h"
#include "config/validate.h"
#include "google/protobuf/duration.pb-c.h"

// One place in an object: "spec.http[0].route[1]". Made on the stack, one frame per level; printed only for a finding.
struct pd_at {
	const struct pd_at *up;
	const char *name; // field, borrowed
	int index;        // -1: no list
};
#define PD_AT(up_, name_) (&(struct pd_at){(up_), (name_), -1})
#define PD_AT_I(up_, name_, i_) (&(struct pd_at){(up_), (name_), (int)(i_)})

void pd_find_error(struct pd_validation *v, const struct pd_at *at, const char *fmt, ...) PD_PRINTF(3, 4);
void pd_find_warning(struct pd_validation *v, const struct pd_at *at, const char *fmt, ...) PD_PRINTF(3, 4);

// Each reports an error unless the value is fine.
void pd_check_port(struct pd_validation *v, const struct pd_at *at, uint32_t port); // 1..65535
void pd_check_not_negative(struct pd_validation *v, const struct pd_at *at, int64_t value);
void pd_check_percent(struct pd_validation *v, const struct pd_at *at, double value); // 0..100
// NULL is fine. `positive`: at least 1 ms, else at least 0.
void pd_check_duration(struct pd_validation *v, const struct pd_at *at, const Google__Protobuf__Duration *d,
		       bool positive);
// A DNS name; `wildcard` also allows "*", "*.suffix", "*-suffix" and "*suffix".
void pd_check_host(struct pd_validation *v, const struct pd_at *at, const char *host, bool wildcard);
// A protocol name as istiod knows it ("HTTP", "grpc-web", …).
void pd_check_protocol(struct pd_validation *v, const struct pd_at *at, const char *protocol);

bool pd_is_cidr(const char *s); // with or without a prefix length
bool pd_is_tls_protocol(const char *protocol);

void pd_validate_virtual_service(const ProtobufCMessage *spec, struct pd_validation *v);
void pd_validate_destination_rule(const ProtobufCMessage *spec, struct pd_validation *v);
void pd_validate_gateway(const ProtobufCMessage *spec, struct pd_validation *v);
void pd_validate_service_entry(const ProtobufCMessage *spec, struct pd_validation *v);
void pd_validate_service(const ProtobufCMessage *object, struct pd_validation *v);
void pd_validate_endpoint_slice(const ProtobufCMessage *object, struct pd_validation *v);

#endif
