#!/usr/bin/env bash
# sanitizers.sh PRESET: unit tests, and the suites marked "sanitizers: yes", in a sanitizer build.
. "$(dirname "$0")/lib.sh"
pd_run scripts/run_unit.sh "$1"
pd_run scripts/run_suites.sh "$1" --sanitizers
pd_finish
