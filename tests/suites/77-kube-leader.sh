#!/usr/bin/env bash
# Leader election on a real API server: candidates that are killed, stopped or cut off.
# needs: kube
# sanitizers: yes
# timeout: 300
exec tests/kube/run.sh test_leader
