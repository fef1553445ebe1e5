#!/usr/bin/env bash
# The state of pilotd is that of the API server, whatever happens to server and connection.
# needs: kube
# sanitizers: yes
# timeout: 900
exec tests/kube/run.sh test_faults
