#!/usr/bin/env bash
# make test: unit tests under ASan+UBSan, then every suite that needs no cluster.
. "$(dirname "$0")/lib.sh"
pd_run scripts/run_unit.sh asan
pd_run scripts/run_suites.sh release
pd_finish
