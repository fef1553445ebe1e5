# Sourced by the runners: where things are, sanitizer options, and the count of results.
#
# Runners may call each other. All add to one list of results; only the outermost prints the closing line
# "N passed, N failed", alone on its line, and only its exit status tells about the whole.
# With CI=true what cannot run counts as failed; elsewhere it is shown as SKIP and not counted.
set -uo pipefail

PD_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PD_ROOT
export PD_SHARED=${PD_SHARED:-$PD_ROOT/../shared}
export PD_VENV=${PD_VENV:-$PD_ROOT/.venv}
cd "$PD_ROOT" || exit 1

supp=$PD_ROOT/tests/sanitizers
export ASAN_OPTIONS=${ASAN_OPTIONS:-strict_string_checks=1:detect_stack_use_after_return=1:check_initialization_order=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$supp/lsan.supp:print_suppressions=0}
export TSAN_OPTIONS=${TSAN_OPTIONS:-suppressions=$supp/tsan.supp:halt_on_error=1:second_deadlock_stack=1}
if [ -x /usr/bin/llvm-symbolizer-14 ]; then
	export ASAN_SYMBOLIZER_PATH=${ASAN_SYMBOLIZER_PATH:-/usr/bin/llvm-symbolizer-14}
fi

pd_outermost=0
if [ -z "${PD_RESULTS:-}" ]; then
	PD_RESULTS=$(mktemp)
	export PD_RESULTS
	pd_outermost=1
	trap 'rm -f "$PD_RESULTS"' EXIT
fi
pd_failed_before=$(grep -c '^fail' "$PD_RESULTS")

pd_pass() {
	echo "PASS $*"
	echo pass >>"$PD_RESULTS"
}

pd_fail() {
	echo "FAIL $*"
	echo "fail $*" >>"$PD_RESULTS"
}

pd_skip() {
	if [ "${CI:-}" = true ]; then
		pd_fail "$* (cannot run here, and CI=true)"
	else
		echo "SKIP $*"
	fi
}

# pd_run COMMAND...: a nested runner. If it fails without having said why, that is a failed result too.
pd_run() {
	local before
	before=$(grep -c '^fail' "$PD_RESULTS")
	"$@" || [ "$(grep -c '^fail' "$PD_RESULTS")" -gt "$before" ] || pd_fail "$*"
}

# pd_build PRESET [TARGET...]: configure if need be, and build. A failure is a result of its own.
# Ninja does not expect company in its folder: the lock keeps others out who build through the scripts.
pd_build() {
	local preset=$1 quiet=--quiet
	shift
	if [ -t 1 ]; then quiet=; fi
	(
		flock 7
		if [ ! -f "build/$preset/build.ninja" ] && ! cmake --preset "$preset" >"build/$preset.log" 2>&1; then
			cat "build/$preset.log"
			exit 1
		fi
		exec ninja -C "build/$preset" -k 20 $quiet "$@"
	) 7>"build/$preset.lock" && return 0
	pd_fail "build $preset"
	return 1
}

# Ends a runner. The exit status is 1 if anything failed in it.
pd_finish() {
	local passed failed
	passed=$(grep -c '^pass' "$PD_RESULTS")
	failed=$(grep -c '^fail' "$PD_RESULTS")
	if [ "$pd_outermost" = 1 ]; then
		if [ "$failed" -gt 0 ]; then
			echo
			sed -n 's/^fail /Failed: /p' "$PD_RESULTS"
		fi
		echo
		echo "$passed passed, $failed failed"
	fi
	[ "$failed" -eq "$pd_failed_before" ]
	exit
}
mkdir -p build
