#!/usr/bin/env bash
# Configuration that changes, breaks, is half written or goes, under traffic through a real Envoy.
# sanitizers: yes
# timeout: 300
exec tests/envoy/run.sh test_changes
