#!/usr/bin/env bash
# What Envoy refuses is reported, and stops nothing else.
# timeout: 300
exec tests/envoy/run.sh test_nack
