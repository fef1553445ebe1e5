#!/usr/bin/env bash
# tidy_one.sh BUILD FILE: clang-tidy on one file; prints only if it finds something. A result is remembered in
# BUILD/tidy by the hash of what the compiler would see, so that an unchanged file costs one preprocessor run.
set -uo pipefail
build=$1
file=$2
mkdir -p "$build/tidy"
key=$({
	cat .clang-tidy
	clang -E -C -std=gnu17 -D_GNU_SOURCE -I. -isystem "$build/proto" -isystem build/envoy-api/include "$file" 2>&1
} | sha256sum | cut -c1-32)
[ -e "$build/tidy/$key" ] && exit 0
if out=$(clang-tidy -p "$build" --quiet "$file" 2>/dev/null); then
	: >"$build/tidy/$key"
else
	printf '%s\n' "$out"
	exit 1
fi
