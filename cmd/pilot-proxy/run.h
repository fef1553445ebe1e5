// pilot-proxy proxy sidecar|router: runs until Envoy or we are told to end.
#ifndef CMD_PILOT_PROXY_RUN_H
#define CMD_PILOT_PROXY_RUN_H

// argv from the word "proxy" on. Returns the exit status: that of Envoy if it ends by itself, 1 if something cannot be
// started, 2 wrong usage.
int run(int argc, char **argv);
// pilot-proxy wait: until the proxy is ready. 0, or 1 after the timeout.
int command_wait(int argc, char **argv);
// pilot-proxy request METHOD PATH: one request to the running pilot-proxy.
int command_request(int argc, char **argv);

#endif
