#!/usr/bin/env bash
# Stock Envoys as sidecars.
# timeout: 300
exec tests/envoy/run.sh test_sidecar
