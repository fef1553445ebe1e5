#!/usr/bin/env bash
# A gateway with certificates from Secrets: two hosts, replaced live, and a Secret of another namespace.
# timeout: 240
exec tests/envoy/run_netns.sh test_gateway_tls GatewayCertificates
