#!/usr/bin/env bash
# Tokens of service accounts: a real API server says whose they are.
# needs: kube
# timeout: 300
exec tests/kube/run.sh test_identity
