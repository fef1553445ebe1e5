#!/usr/bin/env bash
# Restarts of Envoy and of pilotd; what an Envoy that comes back is sent.
# sanitizers: yes
# timeout: 300
exec tests/envoy/run.sh test_lifecycle
