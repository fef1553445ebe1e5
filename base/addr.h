// Addresses as text: "host:port" of flags, IP addresses and CIDR ranges of configuration, and listening sockets.
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define PD_HOST_MAX 256  // bytes of a host name or IP address with its NUL (DNS allows 253)
#define PD_ADDR_TEXT 264 // bytes for "[host]:port" with its NUL
#define PD_IP_TEXT 46    // bytes for an IP address as text with its NUL

// One TCP address. An empty host means all interfaces, IPv6 and IPv4.
struct pd_addr {
	char host[PD_HOST_MAX]; // name or IP address, without brackets
	uint16_t port;          // 0 = the kernel's choice
};

// "host:port", ":port", "1.2.3.4:80", "[::1]:80". An IPv6 address needs its brackets. PD_E_PARSE: no or bad port, bad host
// characters, host too long.
int pd_addr_parse(const char *s, struct pd_addr *out) PD_MUST_CHECK;
// The inverse; `out` holds PD_ADDR_TEXT bytes.
void pd_addr_format(const struct pd_addr *a, char *out);
// Is the host "localhost" or a loopback IP address?
bool pd_addr_is_loopback(const struct pd_addr *a);
// Opens a listening TCP socket (non-blocking, close-on-exec); the caller closes *fd. Never shares a port with another
// process. Port 0: `*port` (may be NULL) tells what the kernel chose. PD_E_IO with a text in `err` that names the address:
// "cannot listen on 127.0.0.1:8080: Address already in use".
int pd_addr_listen(const struct pd_addr *a, int backlog, int *fd, uint16_t *port, struct pd_buf *err) PD_MUST_CHECK;

// An IP address in binary. All-zero is none. ::ffff:1.2.3.4 is an IPv6 address like any other.
struct pd_ip {
	uint8_t len;   // 4, 16 or 0
	uint8_t b[16]; // network byte order, the rest zero
};

// Strict: four decimal numbers without leading zeros, or RFC 4291 text without a zone. PD_E_PARSE.
int pd_ip_parse(const char *s, struct pd_ip *out) PD_MUST_CHECK;
// Canonical text (RFC 5952); `out` holds PD_IP_TEXT bytes. "" for none.
void pd_ip_format(const struct pd_ip *ip, char *out);
bool pd_ip_equal(const struct pd_ip *a, const struct pd_ip *b);
bool pd_ip_is_loopback(const struct pd_ip *ip);    // 127.0.0.0/8, ::1
bool pd_ip_is_unspecified(const struct pd_ip *ip); // 0.0.0.0, ::
bool pd_is_ip(const char *s);
bool pd_is_ipv4(const char *s);
bool pd_is_ipv6(const char *s);

// A range. `ip` is as written: host bits may be set, pd_cidr_mask clears them.
struct pd_cidr {
	struct pd_ip ip;
	uint8_t bits; // length of the prefix, at most 8 * ip.len
};

// "10.0.0.0/8", "fd00::/8"; an address alone is the range of that one address. PD_E_PARSE.
int pd_cidr_parse(const char *s, struct pd_cidr *out) PD_MUST_CHECK;
void pd_cidr_mask(struct pd_cidr *c);
// False where the families differ.
bool pd_cidr_contains(const struct pd_cidr *c, const struct pd_ip *ip);
// Is every address of `inner` in `outer`?
bool pd_cidr_covers(const struct pd_cidr *outer, const struct pd_cidr *inner);

#endif
