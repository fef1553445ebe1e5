#!/usr/bin/env bash
# pilotd's TLS port as openssl sees it: names, lifetime, versions, suites, client certificates, files that are replaced; and what
# pilotd does with keys: modes of files, core dumps.
# sanitizers: yes
# timeout: 120
set -euo pipefail
cd "$PD_TMP"
mkdir config ca
read -r port http_port < <(python3 -c '
import socket
s = [socket.socket() for _ in range(2)]
for x in s: x.bind(("127.0.0.1", 0))
print(*(x.getsockname()[1] for x in s))')
tls=127.0.0.1:$port http=127.0.0.1:$http_port pid=
trap '[ -z "$pid" ] || kill -9 $pid' EXIT

fail() {
	echo "FAILED: $*"
	tail -n 20 pilotd.log
	exit 1
}
start() {
	pilotd discovery --configDir config --meshConfig mesh --grpcAddr= --monitoringAddr= --httpAddr "$http" \
		--secureGRPCAddr "$tls" --shutdownDuration 1s "$@" >pilotd.log 2>&1 &
	pid=$!
	for _ in $(seq 200); do
		if curl -sf "http://$http/ready" >/dev/null; then return; fi
		sleep 0.1
	done
	fail "not ready: $*"
}
stop() {
	kill $pid
	wait $pid || fail "ended with $?"
	pid=
}
# connect OPENSSL-OPTIONS...: a handshake; what openssl says is in the file said.
connect() {
	openssl s_client -connect "$tls" -alpn h2 "$@" </dev/null >said 2>&1
}
has() {
	grep -q -- "$1" said || fail "no \"$1\": $(tail -n 30 said)"
}
root() {
	jq -r '.data["ca-cert.pem"]' ca/istio-ca-secret.json | base64 -d >root.pem
}

echo "== a certificate of our own CA"
start --caDir ca --namespace mesh
root
[ "$(stat -c %a ca/istio-ca-secret.json)" = 600 ] || fail "others may read the CA's key"
connect -CAfile root.pem -verify_return_error -verify_hostname istiod.mesh.svc
has 'Verify return code: 0 (ok)'
has 'ALPN protocol: h2'
openssl x509 -in said -noout -ext subjectAltName >names
for name in istiod.mesh.svc istiod-remote.mesh.svc istio-pilot.mesh.svc; do
	grep -q "DNS:$name" names || fail "$name is not among the names: $(cat names)"
done
connect -tls1_2 -CAfile root.pem -verify_return_error
if connect -tls1_1 -cipher DEFAULT@SECLEVEL=0; then fail "TLS 1.1 was spoken"; fi
grep -q 'Max core file size *0 ' /proc/$pid/limits || fail "core dumps are on"
[ "$(cat /proc/$pid/coredump_filter)" = 00000000 ] || fail "core dumps hold memory"
before=$(cat root.pem)
stop

echo "== the CA outlives a restart; TLS 1.3 only"
start --caDir ca --tls-min-version 1.3
root
[ "$before" = "$(cat root.pem)" ] || fail "another CA after a restart"
connect -tls1_3 -CAfile root.pem -verify_return_error
if connect -tls1_2; then fail "TLS 1.2 was spoken"; fi
stop

echo "== one suite; a client certificate of a foreign CA"
start --caDir ca --tls-cipher-suites TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
connect -tls1_2 -CAfile root.pem -verify_return_error
has 'ECDHE-ECDSA-AES256-GCM-SHA384'
if connect -tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256; then fail "another suite was spoken"; fi
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout foreign.key -out foreign.pem -days 1 -subj / \
	-addext subjectAltName=URI:spiffe://cluster.local/ns/a/sa/b 2>/dev/null
if connect -tls1_2 -cert foreign.pem -key foreign.key; then fail "a foreign client certificate was taken"; fi
stop

echo "== what cannot be"
for bad in "--tls-min-version 1.1" "--tls-cipher-suites TLS_RSA_WITH_AES_128_CBC_SHA" "--tlsCertFile foreign.pem" \
	"--tlsCertFile foreign.pem --tlsKeyFile nowhere"; do
	# shellcheck disable=SC2086
	if timeout 20 pilotd discovery --configDir config --meshConfig mesh --grpcAddr= --monitoringAddr= --httpAddr= \
		--secureGRPCAddr "$tls" --caDir ca $bad >said 2>&1; then fail "$bad was taken"; fi
done
chmod 640 ca/istio-ca-secret.json
if timeout 20 pilotd discovery --configDir config --meshConfig mesh --grpcAddr= --monitoringAddr= --httpAddr= \
	--secureGRPCAddr "$tls" --caDir ca >said 2>&1; then fail "a key that others may read was taken"; fi
has 'others may read it'
chmod 600 ca/istio-ca-secret.json

echo "== files, replaced while it runs"
pair() {
	openssl req -x509 -newkey rsa:2048 -nodes -keyout new.key -out new.pem -days 1 -subj "/CN=$1" 2>/dev/null
	mv new.key server.key
	mv new.pem server.pem
}
pair one
start --caDir ca --tlsCertFile server.pem --tlsKeyFile server.key
connect
has 'CN = one'
pair two
for _ in $(seq 100); do
	connect
	if grep -q 'CN = two' said; then break; fi
	sleep 0.1
done
has 'CN = two'
echo nonsense >server.pem
sleep 1
connect
has 'CN = two'
grep -q 'stays as it was' pilotd.log || fail "a bad file was not reported"
stop
