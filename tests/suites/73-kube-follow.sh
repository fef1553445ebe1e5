#!/usr/bin/env bash
# The client and the reflectors of k8s/ on a real API server, through the fault proxy.
# needs: kube
# sanitizers: yes
# timeout: 600
exec tests/kube/run.sh test_follow
