#!/usr/bin/env bash
# Starts the cluster.
#   up.sh [loopback|control|node] [--keep] [--images FILE]...
#     loopback  etcd, API server, controller manager on 127.0.0.1, without root; as many such clusters as there are KUBE_STATEs
#     control   the same three in a network namespace
#     node      also scheduler, kubelet, kube-proxy, LoadBalancer addresses, CoreDNS (default)
#   A cluster that runs, or was left by a crash, is stopped and its state removed first.
#   --keep     leaves what runs alone, starts what is missing, and keeps the stored objects
#   --images   an image table of yours, looked at before the built-in one (also: KUBE_IMAGES=FILE[:FILE]...)
# Variables: KUBE_OUT (binaries), KUBE_STATE (state, logs, keys), KUBE_PORT (first of three ports on loopback), KUBE_IMAGES,
# PROXY_MODE=nftables|iptables, KUBE_NICE, APISERVER_FLAGS.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

mode=node keep=
images=${KUBE_IMAGES:-}
while [ $# -gt 0 ]; do
	case $1 in
	loopback | control | node) mode=$1 ;;
	--keep) keep=1 ;;
	--images)
		[ $# -gt 1 ] || die "--images needs a file"
		images=${images:+$images:}$2
		shift
		;;
	*)
		sed -n '2,11s/^# \{0,1\}//p' "$0"
		exit 2
		;;
	esac
	shift
done
needed=(kube)
[ "$mode" != node ] || needed+=(nscri lbassign coredns)
for f in "${needed[@]}"; do [ -x "$BIN/$f" ] || die "$BIN/$f is missing: run build.sh"; done

# The absolute names of the tables, ours last, with colons between them.
image_tables() {
	local f list
	IFS=: read -ra list <<<"$images"
	for f in ${list[@]+"${list[@]}"}; do
		[ -r "$f" ] || die "image table $f: cannot be read"
		printf '%s:' "$(realpath "$f")"
	done
	echo "$KUBE_DIR/images.json"
}
tables=$(image_tables)

if [ -z "$keep" ] && { [ -d "$RUN" ] || [ "$mode" != loopback ]; }; then
	"$KUBE_DIR/down.sh" --quiet
	. "$KUBE_DIR/lib.sh" # the cluster that is gone may have been of another sort
fi
mkdir -p "$RUN/pids" "$LOG"
if [ "$mode" = loopback ]; then
	choose_net loopback
else
	choose_net namespaces
	need_root
	one_instance
	mkdir -p $VOLATILE
	echo "$KUBE_STATE" >$VOLATILE/owner
fi
"$KUBE_DIR/pki.sh"
t0=$(now)

make_networks() {
	local n
	for n in $NODE_NS $CLIENT_NS; do ip netns list | grep -qw "^$n" && ip netns del $n; done
	ip netns add $NODE_NS
	ip netns add $CLIENT_NS
	ip link add up0 netns $NODE_NS type veth peer name eth0 netns $CLIENT_NS
	ip -n $NODE_NS link set lo up
	ip -n $NODE_NS addr add $NODE_IP/32 dev lo
	ip -n $NODE_NS addr add $LINK_NODE/24 dev up0
	ip -n $NODE_NS link set up0 up
	# Without a default route the kernel refuses a connection to a ClusterIP before kube-proxy's rules see it.
	ip -n $NODE_NS route add default via $LINK_CLIENT
	ip -n $CLIENT_NS link set lo up
	ip -n $CLIENT_NS addr add $LINK_CLIENT/24 dev eth0
	ip -n $CLIENT_NS link set eth0 up
	ip -n $CLIENT_NS route add default via $LINK_NODE
	in_node sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
}
if [ "$NET" = namespaces ] && { [ -z "$keep" ] || [ ! -e /run/netns/$NODE_NS ] || [ ! -e /run/netns/$CLIENT_NS ]; }; then
	make_networks
fi

start_etcd() {
	local client=http://127.0.0.1:$ETCD_PORT
	start etcd "$BIN/kube" etcd --data-dir "$RUN/etcd" --listen-client-urls "$client" --advertise-client-urls "$client" \
		--listen-peer-urls "http://127.0.0.1:$PEER_PORT" --initial-advertise-peer-urls "http://127.0.0.1:$PEER_PORT" \
		--initial-cluster "default=http://127.0.0.1:$PEER_PORT" --unsafe-no-fsync --log-level warn --quota-backend-bytes 8589934592
	wait_until 60 etcd in_node curl -fs --max-time 2 "$client/health"
}
start_apiserver() {
	local issuer=https://kubernetes.default.svc.cluster.local listen=0.0.0.0
	[ "$NET" = namespaces ] || listen=127.0.0.1
	# shellcheck disable=SC2086
	start apiserver "$BIN/kube" kube-apiserver --etcd-servers="http://127.0.0.1:$ETCD_PORT" --bind-address=$listen \
		--secure-port="$API_PORT" --advertise-address=$NODE_IP --tls-cert-file="$PKI/apiserver.crt" \
		--tls-private-key-file="$PKI/apiserver.key" --client-ca-file="$PKI/ca.crt" --token-auth-file="$PKI/tokens.csv" \
		--authorization-mode=Node,RBAC --service-cluster-ip-range=$SERVICE_CIDR --allow-privileged=true \
		--service-account-issuer=$issuer --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" \
		--api-audiences=$issuer,istio-ca --kubelet-client-certificate="$PKI/kubelet-client.crt" \
		--kubelet-client-key="$PKI/kubelet-client.key" --kubelet-preferred-address-types=InternalIP \
		--enable-priority-and-fairness=false --profiling=false --v=1 ${APISERVER_FLAGS:-}
	wait_until 120 apiserver in_node curl -fsk --max-time 2 "https://127.0.0.1:$API_PORT/readyz"
}
start_controller_manager() {
	local serve=()
	[ "$NET" = namespaces ] || serve=(--secure-port=0)
	start controller-manager "$BIN/kube" kube-controller-manager --kubeconfig="$PKI/kcm.kubeconfig" \
		--authentication-kubeconfig="$PKI/kcm.kubeconfig" --authorization-kubeconfig="$PKI/kcm.kubeconfig" \
		--service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt" \
		--cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" --use-service-account-credentials=true \
		--leader-elect=false --allocate-node-cidrs=false --kube-api-qps=200 --kube-api-burst=400 --v=1 ${serve[@]+"${serve[@]}"}
	wait_until 60 controller-manager kubectl -n default get serviceaccount/default configmap/kube-root-ca.crt
}
hint() { echo "kubeconfig: $ADMIN (server https://$API_ADDRESS:$API_PORT$1)"; }

start_etcd
start_apiserver
start_controller_manager
echo "control plane ready after $(since "$t0")"
if [ "$mode" = loopback ]; then
	hint ''
	exit 0
fi
reach=", reachable in the node's namespace: use kubectl, helm, in-node here"
if [ "$mode" = control ]; then
	hint "$reach"
	exit 0
fi

cat >"$RUN/kubelet.yaml" <<K
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$VOLATILE/nscri.sock
podLogsDir: $RUN/pod-logs
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet.crt
tlsPrivateKeyFile: $PKI/kubelet.key
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
localStorageCapacityIsolation: false
makeIPTablesUtilChains: false
clusterDNS: [$DNS_IP]
clusterDomain: cluster.local
resolvConf: ""
maxPods: 500
serializeImagePulls: false
registryPullQPS: 0
kubeAPIQPS: 200
kubeAPIBurst: 400
eventRecordQPS: 0
syncFrequency: 10s
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: "1Mi", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
K
start scheduler "$BIN/kube" kube-scheduler --kubeconfig="$PKI/scheduler.kubeconfig" --authentication-kubeconfig="$PKI/scheduler.kubeconfig" \
	--authorization-kubeconfig="$PKI/scheduler.kubeconfig" --leader-elect=false --v=1
start nscri "$BIN/nscri" -listen $VOLATILE/nscri.sock -state $VOLATILE/c -images "$tables" -node-ip $NODE_IP -pod-cidr $POD_CIDR -netns-prefix $POD_NS_PREFIX
wait_until 30 nscri test -S $VOLATILE/nscri.sock
start kubelet "$BIN/kube" kubelet --config="$RUN/kubelet.yaml" --kubeconfig="$PKI/node.kubeconfig" --hostname-override=$NODE_NAME --node-ip=$NODE_IP \
	--root-dir="$RUN/kubelet" --v=2
start kube-proxy "$BIN/kube" kube-proxy --kubeconfig="$PKI/proxy.kubeconfig" --hostname-override=$NODE_NAME --proxy-mode="${PROXY_MODE:-nftables}" \
	--cluster-cidr=$POD_CIDR --conntrack-max-per-core=0 --conntrack-min=0 --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0 \
	--iptables-min-sync-period=200ms --nodeport-addresses=primary
start lbassign "$BIN/lbassign" -kubeconfig "$ADMIN" -pool $LB_POOL
# A program that dials a Service before kube-proxy's first rules waits 30 s for its timeout, and CoreDNS would be one.
wait_until 60 kube-proxy in_node curl -fsk --max-time 1 https://$API_IP/readyz
kubectl apply -f "$KUBE_DIR/manifests/coredns.yaml" >/dev/null
wait_until 120 kubelet kubectl wait --for=condition=Ready node/$NODE_NAME --timeout=5s
wait_until 120 kubelet kubectl -n kube-system rollout status deployment/coredns --timeout=5s
echo "node and DNS ready after $(since "$t0")"
hint "$reach"
