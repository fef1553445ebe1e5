#!/usr/bin/env bash
# run_fuzz.sh [SECONDS [NAME...]]: build the fuzz targets and let each run for so long (default 20), as many at once as
# there are processors. Seeds come from tests/fuzz/corpus/NAME, a dictionary from tests/fuzz/NAME.dict. What is found on the
# way stays in build/fuzz/corpus; inputs that crash go to build/fuzz/crashes.
. "$(dirname "$0")/lib.sh"
seconds=${1:-20}
shift || true

pd_build fuzz || pd_finish
mkdir -p build/fuzz/crashes

fuzz_one() {
	local name=${1#fuzz_} work=build/fuzz/corpus/${1#fuzz_} options=()
	mkdir -p "$work"
	local folders=("$work")
	if [ -d "tests/fuzz/corpus/$name" ]; then folders+=("tests/fuzz/corpus/$name"); fi
	if [ -f "tests/fuzz/$name.dict" ]; then options+=("-dict=tests/fuzz/$name.dict"); fi
	"build/fuzz/bin/$1" "${options[@]}" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="build/fuzz/crashes/$name-" "${folders[@]}" >"build/fuzz/$name.log" 2>&1
	echo $? >"build/fuzz/$name.status"
}

echo "== fuzz targets (${seconds} s each)"
targets=()
for source in tests/fuzz/fuzz_*.c; do
	[ -f "$source" ] || continue
	name=$(basename "$source" .c)
	if [ $# -gt 0 ]; then
		case " $* " in *" ${name#fuzz_} "*) ;; *) continue ;; esac
	fi
	targets+=("$name")
done
for target in "${targets[@]}"; do
	while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
	fuzz_one "$target" &
done
wait
for target in "${targets[@]}"; do
	name=${target#fuzz_}
	if [ "$(cat "build/fuzz/$name.status")" = 0 ]; then
		pd_pass "fuzz $name ($(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz/$name.log") runs)"
	else
		tail -n 60 "build/fuzz/$name.log"
		pd_fail "fuzz $name"
	fi
done
if [ ${#targets[@]} -eq 0 ]; then
	pd_skip "fuzz: no targets"
fi
pd_finish
