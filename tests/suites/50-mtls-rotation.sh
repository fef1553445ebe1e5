#!/usr/bin/env bash
# The CA's root is replaced while requests flow between two sidecars.
# timeout: 400
exec tests/envoy/run_netns.sh test_mtls RootRotation
