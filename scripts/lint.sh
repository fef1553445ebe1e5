#!/usr/bin/env bash
# lint.sh [--fast]: format and rules of this project; then (not with --fast) names of symbols and clang-tidy, which need a build.
. "$(dirname "$0")/lib.sh"

mapfile -t sources < <(git ls-files --cached --others --exclude-standard '*.c' '*.h' | while read -r f; do [ -f "$f" ] && echo "$f"; done)

check() {
	local name=$1
	shift
	if "$@"; then pd_pass "lint $name"; else pd_fail "lint $name"; fi
}

format() {
	local bad=0 file
	for file in "${sources[@]}"; do
		if ! clang-format --dry-run -Werror "$file" 2>/dev/null; then
			echo "$file: not formatted (make format)"
			bad=1
		fi
	done
	return $bad
}

tidy() {
	printf '%s\n' "${sources[@]}" | grep '\.c$' | grep -v '^tests/fuzz/' |
		xargs -P "$(nproc)" -n 1 scripts/tidy_one.sh build/release
}

echo "== lint"
check clang-format format
check rules python3 scripts/check_rules.py
if [ "${1:-}" != --fast ]; then
	pd_build release pd_programs || pd_finish
	check symbols scripts/check_symbols.sh build/release
	check clang-tidy tidy
fi
pd_finish
