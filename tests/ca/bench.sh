#!/usr/bin/env bash
# bench.sh [BUILD [--rate]]: how fast the CA signs over its real API on one core, against what openssl needs for the two operations that
# cannot be avoided, in the same run; then (without --rate) STORM workloads, 10,000 by default, each on a TLS connection of its own, that start at once.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(realpath "${1:-$root/build/release}")/bin
dir=$(mktemp -d)
storm=${STORM:-10000} pid=
trap '[ -z "$pid" ] || kill -9 $pid; rm -rf "$dir"' EXIT
cd "$dir"
mkdir config ca
read -r port http_port < <(python3 -c '
import socket
s = [socket.socket() for _ in range(2)]
for x in s: x.bind(("127.0.0.1", 0))
print(*(x.getsockname()[1] for x in s))')
tls=127.0.0.1:$port http=127.0.0.1:$http_port

# start COMMAND-PREFIX...: pilotd on cores as the prefix says, and a client certificate of its CA.
start() {
	"$@" "$bin/pilotd" discovery --configDir config --meshConfig mesh --grpcAddr= --monitoringAddr= --httpAddr "$http" \
		--secureGRPCAddr "$tls" --caDir ca --shutdownDuration 0s >pilotd.log 2>&1 &
	pid=$!
	for _ in $(seq 100); do
		if curl -sf "http://$http/ready" >/dev/null; then break; fi
		sleep 0.1
	done
	jq -r '.data["ca-cert.pem"]' ca/istio-ca-secret.json | base64 -d >root.pem
	(umask 077 && jq -r '.data["ca-key.pem"]' ca/istio-ca-secret.json | base64 -d >root.key)
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout client.key -subj / -out client.csr 2>/dev/null
	openssl x509 -req -in client.csr -CA root.pem -CAkey root.key -days 1 -out client.pem 2>/dev/null \
		-extfile <(echo "subjectAltName=critical,URI:spiffe://cluster.local/ns/bench/sa/client")
}
stop() {
	kill $pid
	wait $pid || true
	pid=
}
memory() {
	awk -v field="$1:" '$1 == field {printf "%.0f MB\n", $2 / 1024}' /proc/$pid/status
}

# cpu: seconds of processor time that pilotd has used.
cpu() {
	awk -v hz="$(getconf CLK_TCK)" '{sub(/.*\) /, ""); print ($12 + $13) / hz}' /proc/$pid/stat
}

echo "openssl speed, one core (per second of processor time, as all rates here):"
taskset -c 0 openssl speed -seconds 3 ecdsap256 2>/dev/null | tail -n 1 | tee speed
awk '{printf "limit 1/(1/sign + 1/verify): %.0f/s, a third: %.0f/s\n", 1 / (1 / $(NF-1) + 1 / $NF), 1 / (1 / $(NF-1) + 1 / $NF) / 3}' speed

echo "pilotd on one core, the client on another; 64 calls under way on 8 connections:"
start taskset -c 0
taskset -c 1 "$bin/pilotd-ca-load" "$tls" root.pem client.pem client.key 8 2000 64 >warm || { cat warm; tail -n 3 pilotd.log; exit 1; }
before=$(cpu)
taskset -c 1 "$bin/pilotd-ca-load" "$tls" root.pem client.pem client.key 8 30000 64
awk -v a="$before" -v b="$(cpu)" 'BEGIN {printf "pilotd used %.2f s: %.0f certificates per second of its core\n", b - a, 30000 / (b - a)}'
stop

[ "${2:-}" != --rate ] || exit 0

echo "$storm workloads at once, a TLS connection each; all cores:"
start env
echo "memory before: $(memory VmRSS)"
"$bin/pilotd-ca-load" "$tls" root.pem client.pem client.key "$storm" "$storm" "$storm"
echo "memory: most $(memory VmHWM), after $(sleep 15 && memory VmRSS)"
stop
