#!/usr/bin/env bash
# make test-kube: builds Kubernetes (tests/kube) where it is not up to date, then runs the suites that need it. The first
# build takes 10 minutes. Binaries live in $KUBE_OUT, in the user's cache folder unless it is set.
. "$(dirname "$0")/lib.sh"

echo "== kubernetes"
if tests/kube/build.sh kube faultproxy crds; then
	pd_pass "build kubernetes"
else
	pd_fail "build kubernetes"
	pd_finish
fi
pd_run scripts/run_suites.sh release --kube
pd_finish
