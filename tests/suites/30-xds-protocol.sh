#!/usr/bin/env bash
# The xDS protocol against whole processes; every rule by itself is in tests/unit/xds. Two daemons on the same files give the
# same versions; a delta client that goes from one to the other, or comes back after a restart, receives nothing, and after
# an edit only what changed; a second daemon on the same port says so and ends; SIGTERM ends streams politely.
# timeout: 120
# sanitizers: yes
set -u
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait' EXIT

fail() {
	echo "FAILED: $*"
	for log in "$PD_TMP"/*.log; do
		echo "--- $log"
		tail -n 30 "$log"
	done
	exit 1
}

free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# daemon NAME PORT: starts one on the folder, sets pid, waits until it serves.
daemon() {
	local http
	http=$(free_port)
	"$PD_BUILD/bin/pilotd" discovery --configDir "$PD_TMP/config" --meshConfig "$PD_TMP/mesh.yaml" \
		--grpcAddr "127.0.0.1:$2" --httpAddr "127.0.0.1:$http" --monitoringAddr= --secureGRPCAddr= --httpsAddr= \
		--shutdownDuration 2s >"$PD_TMP/$1.log" 2>&1 &
	pid=$!
	pids+=("$pid")
	for _ in $(seq 300); do
		kill -0 "$pid" 2>/dev/null || return 1
		curl -fs -o /dev/null "http://127.0.0.1:$http/ready" && return 0
		sleep 0.1
	done
	return 1
}

node=sidecar~10.9.9.9~probe.ns-0~ns-0.svc.cluster.local
probe() {
	timeout 60 "$PD_BUILD/bin/xds-probe" "$@" --node "$node"
}

"$PD_BUILD/bin/pilotd-load" generate --services 10 "$PD_TMP/config" || fail "generate"
echo '{}' >"$PD_TMP/mesh.yaml"
a=$(free_port)
b=$(free_port)
daemon a "$a" || fail "the first daemon does not start"
pid_a=$pid
daemon b "$b" || fail "the second daemon does not start"

echo "== both protocols"
for protocol in sotw delta; do
	probe "127.0.0.1:$a" "$protocol" CDS LDS >"$PD_TMP/$protocol.a" || fail "probe $protocol"
	cat "$PD_TMP/$protocol.a"
	[ "$(wc -l <"$PD_TMP/$protocol.a")" = 2 ] || fail "$protocol: not one response for each type"
	grep -q '^CDS [0-9a-f]\{16\} .*outbound|' "$PD_TMP/$protocol.a" || fail "$protocol: no clusters"
	probe "127.0.0.1:$b" "$protocol" CDS LDS >"$PD_TMP/$protocol.b" || fail "probe $protocol"
	cmp "$PD_TMP/$protocol.a" "$PD_TMP/$protocol.b" || fail "$protocol: two processes give different versions"
done
clusters=$(grep -o 'outbound|[^,}]*' "$PD_TMP/delta.a" | sort -u | paste -sd,)
[ -n "$clusters" ] || fail "no clusters"

echo "== a delta client that goes elsewhere with what it has"
types=(CDS "EDS=$clusters" LDS)
probe "127.0.0.1:$a" delta --save "$PD_TMP/versions" "${types[@]}" >"$PD_TMP/first" || fail "probe"
[ "$(wc -l <"$PD_TMP/first")" = 3 ] || fail "not one response for each type"
probe "127.0.0.1:$b" delta --have "$PD_TMP/versions" "${types[@]}" >"$PD_TMP/moved" || fail "probe"
[ ! -s "$PD_TMP/moved" ] || fail "it was sent something: $(cat "$PD_TMP/moved")"

echo "== a second daemon on the port"
timeout 20 "$PD_BUILD/bin/pilotd" discovery --configDir "$PD_TMP/config" --meshConfig "$PD_TMP/mesh.yaml" \
	--grpcAddr "127.0.0.1:$a" --httpAddr= --monitoringAddr= --secureGRPCAddr= --httpsAddr= >"$PD_TMP/second.log" 2>&1
status=$?
if [ $status = 0 ] || [ $status = 124 ]; then
	fail "the second daemon did not refuse (status $status)"
fi
grep -q "127.0.0.1:$a: Address already in use" "$PD_TMP/second.log" || fail "it does not say why"

echo "== restart"
probe "127.0.0.1:$a" delta --wait 40 CDS >"$PD_TMP/waiting" &
waiter=$!
for _ in $(seq 300); do
	grep -q waiting "$PD_TMP/waiting" && break
	sleep 0.1
done
kill -TERM "$pid_a"
wait "$waiter" || fail "the waiting probe failed"
grep -q '^status 14: server is draining' "$PD_TMP/waiting" || fail "drain: $(cat "$PD_TMP/waiting")"
wait "$pid_a" || fail "SIGTERM: exit status $?"
daemon a2 "$a" || fail "no restart on the same port"
probe "127.0.0.1:$a" delta --have "$PD_TMP/versions" "${types[@]}" >"$PD_TMP/again" || fail "probe"
[ ! -s "$PD_TMP/again" ] || fail "after the restart it was sent something: $(cat "$PD_TMP/again")"

echo "== restart after an edit"
# A service with two ports less: two removals, and nothing else.
mkdir "$PD_TMP/away"
mv "$PD_TMP/config/ns-7.yaml" "$PD_TMP/away/" || fail "no file of a service to take away"
for _ in $(seq 100); do
	probe "127.0.0.1:$a" delta --have "$PD_TMP/versions" CDS >"$PD_TMP/edited" || fail "probe"
	[ -s "$PD_TMP/edited" ] && break
	sleep 0.1
done
cat "$PD_TMP/edited"
grep -qE '^CDS [0-9a-f]{16} 2 \{(-outbound[^,]*svc-00007[^,]*[,}]){2}$' "$PD_TMP/edited" || fail "not just the clusters that are gone"
echo ok
