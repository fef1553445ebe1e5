#!/usr/bin/env bash
# Checks the cluster itself (needs "up.sh node"): pods, Services, DNS, LoadBalancer address, logs, exec, tokens, a process on
# the node behind a Service, Gateway API CRDs, an image table that changes. Also an example of a test. Leaves nothing behind.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_namespaces
need_root
PATH=$KUBE_DIR:$PATH # for in-client
t0=$(now)
ok() { echo "ok    $1 ($(since "$t0"))"; }
fail() { echo "FAIL  $*" >&2; exit 1; }
tmp=$(mktemp -d)
host_pid=
cleanup() {
	[ -z "$host_pid" ] || kill "$host_pid" 2>/dev/null || true
	kubectl delete --ignore-not-found --wait=false -f "$KUBE_DIR/examples/echo.yaml" >/dev/null 2>&1 || true
	kubectl -n default delete --ignore-not-found --wait=false service/smoke-host endpointslice/smoke-host >/dev/null 2>&1 || true
	rm -rf "$tmp"
}
trap cleanup EXIT
get() { "$1" curl -fsS --max-time 5 --retry 20 --retry-delay 1 --retry-all-errors "${@:2}"; } # WRAPPER URL: retries, since rules follow objects a little later
jp() { kubectl -n default get "${@:2}" -o "jsonpath=$1"; } # JSONPATH OBJECT...

kubectl apply -f "$KUBE_DIR/examples/echo.yaml" >/dev/null
kubectl -n default rollout status deployment/echo --timeout=60s >/dev/null
ok "two pods ready"
ip=$(jp '{.spec.clusterIP}' service/echo)
get in_node "http://$ip/" | grep -q '"pod": "echo-' || fail "ClusterIP from the node"
ok "ClusterIP from the node"
pod=$(jp '{.items[0].metadata.name}' pods -l app=echo)
kubectl -n default exec "$pod" -- curl -fsS --max-time 5 --retry 10 --retry-all-errors http://echo.default.svc.cluster.local/ | grep -q '"pod": "echo-' || fail "DNS name from a pod"
ok "exec; DNS name and Service from a pod"
lb=
for _ in $(seq 50); do lb=$(jp '{.status.loadBalancer.ingress[0].ip}' service/echo-lb); [ -n "$lb" ] && break; sleep 0.2; done
[ -n "$lb" ] || fail "no LoadBalancer address"
get in-client "http://$lb:8080/" | grep -q '"pod": "echo-' || fail "LoadBalancer address $lb from the client"
ok "LoadBalancer address $lb from the client"
kubectl -n default logs "$pod" | grep -q . || fail "logs"
ok "logs"
kubectl -n default create token default --audience istio-ca | grep -q '^ey' || fail "token"
ok "token with audience istio-ca"

cat >"$tmp/host.yaml" <<K
apiVersion: v1
kind: Service
metadata: {name: smoke-host, namespace: default}
spec: {ports: [{name: http, port: 80, targetPort: 18080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: smoke-host, namespace: default, labels: {kubernetes.io/service-name: smoke-host}}
addressType: IPv4
ports: [{name: http, port: 18080, protocol: TCP}]
endpoints: [{addresses: [$NODE_IP], conditions: {ready: true}}]
K
HTTP_PORT=18080 HTTPS_PORT=18443 H2C_PORT=18081 POD_NAME=host-process nsenter --net=/run/netns/$NODE_NS "$BIN/echo-basic" >"$tmp/host.log" 2>&1 &
host_pid=$!
kubectl apply -f "$tmp/host.yaml" >/dev/null
kubectl -n default exec "$pod" -- curl -fsS --max-time 5 --retry 10 --retry-all-errors http://smoke-host/ 2>"$tmp/err" | grep -q host-process || fail "process on the node from a pod"
ok "process on the node behind a Service, from a pod"

"$KUBE_DIR/crds.sh" experimental
ok "Gateway API CRDs"
for f in rbac deployment host; do # dry run, in a namespace that exists
	sed 's/namespace: istio-system/namespace: default/' "$KUBE_DIR/examples/pilotd-$f.yaml" >"$tmp/dry.yaml"
	kubectl apply --dry-run=server -f "$tmp/dry.yaml" >/dev/null || fail "examples/pilotd-$f.yaml"
done
ok "examples are valid"
