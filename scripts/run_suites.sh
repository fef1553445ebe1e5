#!/usr/bin/env bash
# Run the test suites: every executable tests/suites/NN-name.sh, in order. One PASS or FAIL line each.
#
#   run_suites.sh PRESET [--sanitizers] [--kube] [NAME...]
#
# PRESET        the build whose programs are tested: release, asan, tsan.
# --sanitizers  only suites that have a line "# sanitizers: yes": those worth running under asan and tsan.
# --kube        only suites that have a line "# needs: kube": those that start a Kubernetes (make test-kube builds it), which
#               are left out otherwise.
# NAME          only suites whose name contains one of these.
#
# A suite runs from the repository's root, and finds in its environment PD_ROOT, PD_BUILD (the preset's folder, its
# bin/ and the venv's first in PATH), PD_PRESET, PD_SHARED, PD_VENV, and PD_TMP, an empty folder of its own.
# Exit status 0 = passed, 77 = cannot run here. A line "# timeout: SECONDS" replaces the limit of 600 seconds.
# The output goes to PD_TMP/../NN-name.log and is shown if the suite fails.
. "$(dirname "$0")/lib.sh"
preset=$1
shift
only= kube=
while true; do
	case ${1:-} in
	--sanitizers) only='^# sanitizers: yes' ;;
	--kube) kube=1 ;;
	*) break ;;
	esac
	shift
done

pd_build "$preset" pd_programs || pd_finish
export PD_PRESET=$preset PD_BUILD=$PD_ROOT/build/$preset
export PATH=$PD_BUILD/bin:$PD_VENV/bin:$PATH
run=()
if [ "$preset" = tsan ] && setarch -R true 2>/dev/null; then
	run=(setarch -R)
fi

wanted() {
	local name
	[ $# -gt 1 ] || return 0
	for name in "${@:2}"; do
		case $1 in *"$name"*) return 0 ;; esac
	done
	return 1
}

echo "== suites ($preset)"
ran=0
for suite in tests/suites/[0-9][0-9]-*.sh; do
	[ -x "$suite" ] || continue
	name=$(basename "$suite" .sh)
	wanted "$name" "$@" || continue
	if [ -n "$only" ] && ! grep -qE "$only" "$suite"; then
		continue
	fi
	if [ "$kube" != "$(sed -n 's/^# needs: kube$/1/p' "$suite")" ]; then
		continue
	fi
	ran=$((ran + 1))
	export PD_TMP=$PD_BUILD/suites/$name
	log=$PD_BUILD/suites/$name.log
	rm -rf "$PD_TMP" && mkdir -p "$PD_TMP"
	limit=$(sed -n 's/^# timeout: *\([0-9]*\).*/\1/p' "$suite" | head -n 1)
	start=$SECONDS
	# --kill-after: a suite that ignores SIGTERM must not stop the run. timeout makes a process group of its own, and
	# signals all of it.
	"${run[@]}" timeout --kill-after=10 "${limit:-600}" "$suite" >"$log" 2>&1 </dev/null
	status=$?
	took=$((SECONDS - start))
	case $status in
	0) pd_pass "suite/$preset $name (${took} s)" ;;
	77) pd_skip "suite/$preset $name: $(tail -n 1 "$log")" ;;
	*)
		tail -n "${PD_LOG_LINES:-80}" "$log" | sed 's/^/    /'
		if [ $status -eq 124 ] || [ $status -eq 137 ]; then
			pd_fail "suite/$preset $name (over ${limit:-600} s)"
		else
			pd_fail "suite/$preset $name (status $status, ${took} s; all of it in ${log#"$PD_ROOT"/})"
		fi
		;;
	esac
done
if [ "$ran" -eq 0 ]; then
	echo "no suite to run"
fi
pd_finish
