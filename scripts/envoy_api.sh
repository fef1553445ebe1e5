#!/usr/bin/env bash
# Build the Envoy API: descriptor set, generated C, libpd_envoy.a. Does nothing when it is up to date.
#
#   envoy_api.sh SOURCE DIR [MORE_PROTOC_C_OPTIONS]
#
# SOURCE as in envoy_descriptors.py. DIR is shared by all presets and by everyone who builds in this tree,
# hence the lock. What counts as up to date is the content, not the time stamps, of descriptors and rules.
set -euo pipefail
source=$1
dir=$2
here=$(cd "$(dirname "$0")" && pwd)

mkdir -p "$dir"
exec 9>"$dir/.lock"
flock 9

fresh=$(mktemp -d "$dir/fresh.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
python3 "$here/envoy_descriptors.py" "$source" "$fresh/envoy.desc" "$fresh/envoy.list" >"$fresh/summary"
key=$({
	cat "$fresh/envoy.desc" "$0" "$here/../cmake/envoy-api/CMakeLists.txt"
	protoc-c --version
	gcc --version
} | sha256sum)
if [ -f "$dir/libpd_envoy.a" ] && [ "$(cat "$dir/.key" 2>/dev/null)" = "$key" ]; then
	exit 0
fi

cat "$fresh/summary"
rm -rf "$dir/.key" "$dir/libpd_envoy.a" "$dir/include" "$dir/CMakeFiles" "$dir/CMakeCache.txt"
mkdir "$dir/include"
mv "$fresh/envoy.desc" "$fresh/envoy.list" "$dir/"
xargs protoc --descriptor_set_in="$dir/envoy.desc" --c_out="$dir/include" <"$dir/envoy.list"
# The compiler is always gcc: the archive is the same for the presets that use clang.
CC=gcc CFLAGS='' cmake -S "$here/../cmake/envoy-api" -B "$dir" -G Ninja -DCMAKE_BUILD_TYPE=None >"$dir/configure.log"
ninja -C "$dir" --quiet
printf '%s\n' "$key" >"$dir/.key"
