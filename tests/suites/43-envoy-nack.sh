#!/usr/bin/env bash
# What Envoy refuses is reported, and stops nothing else.
# sanitizers: yes
# timeout: 300
exec tests/envoy/run.sh test_nack
