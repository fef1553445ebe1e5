#!/usr/bin/env bash
# What kubectl does to objects arrives at a real Envoy; kinds, rights and tokens come and go meanwhile.
# needs: kube
# timeout: 300
exec tests/kube/run.sh test_sync
