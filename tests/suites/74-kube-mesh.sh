#!/usr/bin/env bash
# Mesh configuration and selection of namespaces, from the cluster and live.
# needs: kube
# timeout: 300
exec tests/kube/run.sh test_mesh
