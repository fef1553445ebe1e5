#!/usr/bin/env bash
# Mutual TLS between stock Envoys with pilot-proxy: pilotd's CA, sidecars behind iptables in network namespaces.
# sanitizers: yes
# timeout: 300
exec tests/envoy/run_netns.sh test_mtls MutualTls
