#!/usr/bin/env bash
# Stock Envoys as sidecars.
# sanitizers: yes
# timeout: 300
exec tests/envoy/run.sh test_sidecar
