#!/usr/bin/env bash
# pilotd as a process: its flags, its ports, readiness, metrics, the debug pages with an Envoy connected, and how it ends.
# sanitizers: yes
# timeout: 180
set -euo pipefail
if ! command -v envoy >/dev/null; then
	echo "no envoy in PATH (scripts/install.sh puts one into .venv)"
	exit 77
fi
cd "$PD_TMP"
mkdir config many
ports=$(python3 -c '
import socket
s = [socket.socket() for _ in range(6)]
for x in s: x.bind(("127.0.0.1", 0))
print(*(x.getsockname()[1] for x in s))')
read -r http_port grpc_port monitoring_port admin_port admin_port2 listener_port <<<"$ports"
http=127.0.0.1:$http_port grpc=127.0.0.1:$grpc_port monitoring=127.0.0.1:$monitoring_port
addresses=(--httpAddr "$http" --grpcAddr "$grpc" --monitoringAddr "$monitoring" --meshConfig "$PD_TMP/mesh"
	--secureGRPCAddr 127.0.0.1:0)
pid= envoys=()
trap '[ ${#envoys[@]} = 0 ] || kill -9 "${envoys[@]}"; [ -z "$pid" ] || kill -9 $pid' EXIT

fail() {
	echo "FAILED: $*"
	tail -n 30 pilotd.log
	exit 1
}
# body STATUS URL: the body, which must come with this status.
body() {
	local status
	status=$(curl -s -o body -w '%{http_code}' "http://$2") || true
	[ "$status" = "$1" ] || fail "$2 gave $status, not $1: $(cat body)"
	cat body
}
# is JQ-EXPRESSION URL: holds for the page.
is() {
	body 200 "$2" | jq -e "$1" >/dev/null || fail "$2: not so: $1: $(head -c 2000 body)"
}
soon() {
	for _ in $(seq 300); do
		if "$@" >/dev/null 2>&1; then return; fi
		sleep 0.1
	done
	fail "not within 30 s: $*"
}
# exits STATUS COMMAND...: and leaves what it said in the file said.
exits() {
	local want=$1 status=0
	shift
	timeout 20 "$@" >said 2>&1 || status=$?
	[ $status = "$want" ] || fail "$* ended with $status, not $want: $(cat said)"
}
said() {
	grep -qF -- "$1" said || fail "this does not name $1: $(cat said)"
}
start() {
	pilotd discovery "${addresses[@]}" "$@" >>pilotd.log 2>&1 &
	pid=$!
}
# ends STATUS MILLISECONDS: pilotd ends by itself in this time.
ends() {
	local since status=0
	since=$(date +%s%N)
	wait $pid || status=$?
	pid=
	local took=$((($(date +%s%N) - since) / 1000000))
	[ $status = "$1" ] || fail "pilotd ended with $status, not $1"
	[ $took -le "$2" ] || fail "pilotd took $took ms to end, not $2 at most"
}
# connect PORT SUFFIX: an Envoy, with its admin page on this port, as gatewaySUFFIX.default.
connect() {
	pilotctl bootstrap --xds "$grpc" --admin "$1" --labels istio=ingressgateway --name "gateway$2" >"envoy$2.json"
	envoy -c "envoy$2.json" --base-id "$1" --concurrency 1 -l error >>envoy.log 2>&1 &
	envoys+=($!)
}
accepted() {
	curl -s "http://$http/debug/syncz" | jq -e 'length == 1 and (.[0] | (.cluster_acked | length) > 0 and
		(.route_acked | length) > 0 and .listener_acked == .listener_sent and .route_acked == .route_sent)'
}
# connected N: a proxy that comes back up to date is sent nothing, so it accepts nothing either.
connected() {
	curl -s "http://$http/debug/syncz" | jq -e "length == $1"
}

cat >config/shop.yaml <<YAML
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: default}
spec:
  clusterIP: 10.96.0.1
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: $listener_port, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: default}
spec:
  hosts: [shop.example.com]
  gateways: [front]
  http: [{route: [{destination: {host: shop, port: {number: 80}}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: broken, namespace: default}
spec:
  host: shop
  trafficPolicy: {connectionPool: {tcp: {maxConnections: many}}}
YAML
printf 'trustDomain: mesh.example\nenableAutoMtls: false # no agent here that has certificates\n' >mesh

echo "== flags"
exits 0 pilotd --help
for flag in --configDir --grpcAddr --httpAddr --monitoringAddr --meshConfig --log_output_level --shutdownDuration; do said "$flag"; done
exits 0 pilotd version
said 'pilotd '
exits 2 pilotd discovery --configDirectory config
said --configDirectory
exits 2 pilotd discovery --shutdownDuration soon
said --shutdownDuration
exits 2 pilotd frobnicate
said frobnicate
exits 1 pilotd discovery "${addresses[@]}"
said --configDir
exits 1 pilotd discovery "${addresses[@]}" --configDir nowhere
said nowhere
exits 2 pilotctl get --no-such-flag /ready
said --no-such-flag
exits 1 pilotctl get --server "$http" /ready
said "$http"

echo "== not ready before configuration is read, and complete once it is ready"
for i in $(seq 6000); do
	printf -- '---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: s%d}\nspec: {hosts: [s%d.example], resolution: NONE, ports: [{number: 80, name: http, protocol: HTTP}]}\n' "$i" "$i"
done >many/entries.yaml
start --configDir many
python3 - "$http_port" <<'PY' || fail "readiness"
import http.client, json, sys, time
def get(path):
    try:
        c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
        c.request("GET", path)
        r = c.getresponse()
        return r.status, r.read()
    except OSError:
        return 0, b""
seen, end = set(), time.monotonic() + 60
while 200 not in seen and time.monotonic() < end:
    seen.add(get("/ready")[0])
n = len(json.loads(get("/debug/configz")[1]))
print(seen, n)
sys.exit(not ({200, 503} <= seen <= {0, 200, 503} and n == 6000))
PY
kill $pid
ends 0 10000

echo "== a port that is taken is named"
start --configDir config
soon curl -sf "http://$http/ready"
free=127.0.0.1:0
exits 1 pilotd discovery --secureGRPCAddr= --configDir config --httpAddr "$http" --grpcAddr $free --monitoringAddr $free
said "$http"
exits 1 pilotd discovery --secureGRPCAddr= --configDir config --httpAddr $free --grpcAddr "$grpc" --monitoringAddr $free
said "$grpc"
exits 1 pilotd discovery --secureGRPCAddr= --configDir config --httpAddr $free --grpcAddr $free --monitoringAddr "$monitoring"
said "$monitoring"
exits 1 pilotd discovery --secureGRPCAddr= --configDir config --httpAddr nonsense --grpcAddr $free --monitoringAddr $free
said nonsense

echo "== pages that need no proxy"
body 200 "$http/version" | grep -q '^pilotd [0-9]' || fail "version"
is 'length == 0' "$http/debug/syncz"
is 'length == 2 and all(.kind != "Service") and any(.kind == "Gateway" and .metadata.name == "front")' "$http/debug/configz"
is '.trustDomain == "mesh.example"' "$http/debug/mesh"
is 'length == 1 and .[0].object == "DestinationRule default/broken" and .[0].severity == "error" and
	.[0].field == "spec.trafficPolicy.connectionPool.tcp.maxConnections" and (.[0].reason | length) > 10 and
	(.[0].origin | contains("shop.yaml:"))' "$http/debug/issuesz"
body 400 "$http/debug/config_dump" | grep -q 'You must provide a proxyID in the query string' || fail "text of 400"
body 404 "$http/debug/config_dump?proxyID=nobody.default" |
	grep -q 'Proxy not connected to this Pilot instance. It may be connected to another instance.' || fail "text of 404"
body 400 "$http/debug/why" >/dev/null
body 404 "$http/debug/edsz?proxyID=nobody.default" >/dev/null
body 404 "$http/debug/no-such-page" >/dev/null

echo "== pages about a proxy"
connect "$admin_port" ''
soon accepted
is '.[0].proxy == "gateway.default" and .[0].proxy_type == "router" and .[0].route_acked == .[0].route_sent' "$http/debug/syncz"
is 'length == 0' "$http/debug/syncz?namespace=elsewhere"
is '.totalClients == 1 and (.clients[0].connectionId | startswith("gateway.default-"))' "$http/debug/connections"
is '[.configs[]."@type" | sub(".*[.]"; "")] == ["BootstrapConfigDump", "ClustersConfigDump", "ListenersConfigDump",
	"RoutesConfigDump", "EcdsConfigDump", "SecretsConfigDump"]' "$http/debug/config_dump?proxyID=gateway.default"
is '[.. | .cluster? | objects | .name] | any(. == "outbound|80||shop.default.svc.cluster.local")' \
	"$http/debug/config_dump?proxyID=gateway.default"
is '[.configs[] | select(."@type" | endswith("EndpointsConfigDump"))] | length == 1' \
	"$http/debug/config_dump?proxyID=gateway.default&include_eds"
is '.configs[0]."@type" | endswith("EndpointsConfigDump")' "$http/debug/edsz?proxyID=gateway.default"
is 'length == 1 and .[0].type == "RDS" and (.[0].from | any(contains("VirtualService") and contains("default/shop")))' \
	"$http/debug/why?proxyID=gateway.default&name=http.$listener_port"
pilotctl get --server "$monitoring" '/debug/syncz?pretty' | jq -e 'length == 1' >/dev/null || fail "pilotctl get"

echo "== metrics"
body 200 "$monitoring/metrics" >metrics
python3 - metrics <<'PY' || fail "metrics"
import re, sys
value = r"(?:[-+]?(?:[0-9.]+(?:e[-+]?[0-9]+)?|Inf)|NaN)"
label = r'[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*"'
sample = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(?:%s(?:,%s)*,?)?\})? (%s)$" % (label, label, value))
types, values = {}, {}
for line in open(sys.argv[1]):
    line = line.rstrip("\n")
    if line.startswith("# TYPE "):
        name, kind = line.split()[2:]
        assert name not in types, f"second TYPE: {line}"
        assert kind in ("counter", "gauge", "histogram"), line
        types[name] = kind
    elif not line.startswith("# HELP "):
        m = sample.match(line)
        assert m, f"not a sample: {line!r}"
        family = m[1] if m[1] in types else re.sub(r"_(bucket|sum|count)$", "", m[1])
        assert family in types, f"no TYPE before: {line}"
        assert line not in values, f"twice: {line}"
        values[m[1]] = float(m[2])
assert values["pilotd_views"] == 1 and values["pilotd_objects"] == 3, values
assert values["process_resident_memory_bytes"] > 1e6, values
print(len(values), "metrics")
PY

echo "== SIGTERM: ends well, within its time even if a proxy does not move"
kill $pid
ends 0 9000
grep -q 'stopping' pilotd.log || fail "no word about the signal"
start --configDir config --shutdownDuration 1s
soon connected 1
kill -STOP "${envoys[@]}"
kill $pid
ends 0 8000
kill -CONT "${envoys[@]}"

echo "== a second signal ends it at once"
start --configDir config --shutdownDuration 60s
connect "$admin_port2" 2 # of two proxies one is asked to go now, the other after 30 s
soon connected 2
kill -STOP "${envoys[@]}"
kill $pid
sleep 0.5
kill -0 $pid || fail "pilotd did not wait for the proxies"
kill $pid
ends 1 3000
echo passed
