#!/usr/bin/env bash
# The proxy between pilotd and the API server does the faults that it is asked for, and no others.
# needs: kube
# timeout: 300
exec tests/kube/run.sh test_faultproxy
