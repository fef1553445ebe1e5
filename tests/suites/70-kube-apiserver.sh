#!/usr/bin/env bash
# The API server of tests/kube itself: our definitions and rights in it, and what later suites do to it.
# needs: kube
# timeout: 300
exec tests/kube/run.sh test_apiserver
