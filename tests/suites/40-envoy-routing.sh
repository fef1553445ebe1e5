#!/usr/bin/env bash
# Each routing feature of the example through a real Envoy, over both protocols.
# timeout: 300
exec tests/envoy/run.sh test_routing
