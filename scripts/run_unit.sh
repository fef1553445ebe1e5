#!/usr/bin/env bash
# run_unit.sh PRESET [CTEST_OPTIONS...]: build a preset and run its unit tests; one PASS or FAIL line each.
. "$(dirname "$0")/lib.sh"
preset=$1
shift

pd_build "$preset" || pd_finish
log=build/$preset/unit.log
echo "== unit tests ($preset)"
# gcc's TSan wants a predictable address space; setarch gives it one where the kernel's default does not.
run=()
if [ "$preset" = tsan ] && setarch -R true 2>/dev/null; then
	run=(setarch -R)
fi
"${run[@]}" ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j "$(nproc)" "$@" >"$log" 2>&1
status=$?

counted=0
while read -r name outcome; do
	counted=$((counted + 1))
	case $outcome in
	Passed) pd_pass "unit/$preset $name" ;;
	Skipped) pd_skip "unit/$preset $name" ;;
	*) pd_fail "unit/$preset $name ($outcome)" ;;
	esac
done < <(sed -nE 's,^ *[0-9]+/[0-9]+ Test +#[0-9]+: ([^ ]+) [ .]*\**(Passed|Skipped|Failed|Timeout|Not Run|Exception).*,\1 \2,p' "$log" |
	sort)
if [ "$status" -ne 0 ]; then
	# Only the output of what failed is in the log besides ctest's own lines.
	grep -vE '^ *(Start +[0-9]+:|[0-9]+/[0-9]+ Test .* Passed )' "$log"
fi
if [ "$counted" -eq 0 ]; then
	pd_fail "unit/$preset: no tests ran"
fi
pd_finish
