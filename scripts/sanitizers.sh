#!/usr/bin/env bash
# sanitizers.sh PRESET: unit tests, and the suites marked "sanitizers: yes", in a sanitizer build. Under TSan not those unit
# tests that compute for long in one thread: it has nothing to find there.
. "$(dirname "$0")/lib.sh"
tests=()
if [ "$1" = tsan ]; then
	tests=(-E '^(api/test_(codec.*|json|pb_merge|pb_unpack)|config/test_yaml|discovery/test_(registry_random|engine_incremental))$')
fi
pd_run scripts/run_unit.sh "$1" "${tests[@]}"
pd_run scripts/run_suites.sh "$1" --sanitizers
pd_finish
