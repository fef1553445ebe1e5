#!/usr/bin/env bash
# A folder of YAML as pilotd's configuration: what is read, what is refused and why, and that good configuration survives
# mistakes, editors and restarts of the folder. Seen through /debug/configz, /debug/issuesz and /debug/mesh.
# sanitizers: yes
# timeout: 120
set -euo pipefail
dir=$PD_TMP/config
mkdir -p "$dir/sub"
ports=$(python3 -c '
import socket
s = [socket.socket() for _ in range(2)]
for x in s: x.bind(("127.0.0.1", 0))
print(*(x.getsockname()[1] for x in s))')
http=127.0.0.1:${ports% *} grpc=127.0.0.1:${ports#* }

fail() {
	echo "FAILED: $*"
	echo "--- issues: $(curl -s "http://$http/debug/issuesz")"
	echo "--- pilotd:"
	tail -n 40 "$PD_TMP/pilotd.log"
	exit 1
}
get() { curl -sf "http://$http/debug/$1"; }
# until NAME TEXT: the page shows the text within 5 s; until_not: it does not.
until_page() {
	for _ in $(seq 250); do
		if get "$1" | grep -qF -- "$2"; then return; fi
		sleep 0.02
	done
	fail "/debug/$1 does not show: $2"
}
until_not() {
	for _ in $(seq 250); do
		if ! get "$1" | grep -qF -- "$2"; then return; fi
		sleep 0.02
	done
	fail "/debug/$1 still shows: $2"
}
# route NAME WEIGHT: a VirtualService.
route() {
	cat <<YAML
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: $1}
spec:
  hosts: [$1.example.com]
  http:
  - route:
    - destination: {host: a.example.com}
      weight: $2
    - destination: {host: b.example.com}
      weight: 1
YAML
}

route one 11 >"$dir/one.yaml"
{ route two 22; echo '---'; echo 'apiVersion: apps/v1'; echo 'kind: Deployment'; } >"$dir/sub/two.yml"
route bad minus >"$dir/bad.yaml"
echo 'apiVersion: v1
kind: Secret
metadata: {name: s}
data: {key: {very-secret-word: 1}}' >"$dir/secret.yaml"
echo 'trustDomain: first.example' >"$PD_TMP/mesh"

pilotd discovery --configDir "$dir" --meshConfig "$PD_TMP/mesh" --httpAddr "$http" --grpcAddr "$grpc" \
	--monitoringAddr '' --secureGRPCAddr '' --httpsAddr '' >"$PD_TMP/pilotd.log" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid || true' EXIT
for _ in $(seq 100); do
	if curl -sf "http://$http/ready" >/dev/null; then break; fi
	kill -0 $pid || fail "pilotd ended"
	sleep 0.1
done

echo "== start: good objects are there, a bad one is named with line and field"
until_page configz '"weight":11'
until_page configz '"weight":22'
until_page mesh first.example
until_page issuesz 'bad.yaml:10'
until_page issuesz 'spec.http[0].route[0].weight'
until_page issuesz 'VirtualService default/bad'
until_page issuesz 'Secret default/s'
if grep -q very-secret-word "$PD_TMP/pilotd.log" || get issuesz | grep -q very-secret-word; then fail "a Secret's content is shown"; fi
rm "$dir/secret.yaml"

echo "== edit, replace by rename, and vim's way"
route one 12 >"$dir/one.yaml"
until_page configz '"weight":12'
route one 13 >"$dir/one.tmp"
mv "$dir/one.tmp" "$dir/one.yaml"
until_page configz '"weight":13'
mv "$dir/one.yaml" "$dir/one.yaml~"
route one 14 >"$dir/one.yaml"
rm "$dir/one.yaml~"
until_page configz '"weight":14'

echo "== a mistake keeps the last good version, the rest of the file applies"
{ route one -5; route three 33; } >"$dir/one.yaml"
until_page configz '"weight":33'
until_page issuesz 'must not be negative'
get configz | grep -qF '"weight":14' || fail "the last good version of one is gone"
printf 'apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: thr' >"$dir/one.yaml"
until_page issuesz 'did not find'
get configz | grep -qF '"weight":33' || fail "a half-written file took three away"
{ route one 15; } >"$dir/one.yaml"
until_page configz '"weight":15'
until_not configz '"weight":33'
until_not issuesz 'one.yaml'

echo "== files that go, folders that move, the folder itself"
rm "$dir/sub/two.yml"
until_not configz '"weight":22'
mkdir "$dir/new"
route four 44 >"$dir/new/four.yaml"
until_page configz '"weight":44'
mv "$dir" "$PD_TMP/aside"
until_page issuesz 'folder is gone'
get configz | grep -qF '"weight":44' || fail "objects went with the folder"
mv "$PD_TMP/aside" "$dir"
until_not issuesz 'folder is gone'
route four 45 >"$dir/new/four.yaml"
until_page configz '"weight":45'

echo "== mesh configuration"
echo 'trustDomain: second.example' >"$PD_TMP/mesh"
until_page mesh second.example
echo 'trustDomain: [third' >"$PD_TMP/mesh"
until_page issuesz MeshConfig
get mesh | grep -q second.example || fail "a bad mesh configuration was taken"
rm "$PD_TMP/mesh"
until_page issuesz 'the file is gone'
get mesh | grep -q second.example || fail "the mesh configuration went with its file"

kill $pid
wait $pid || fail "pilotd did not end well"
trap - EXIT
echo "passed"
