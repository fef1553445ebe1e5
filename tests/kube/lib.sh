# shellcheck shell=bash
# shellcheck disable=SC2034
# Names, addresses and process handling shared by the scripts of this folder. Sourced, not run.
KUBE_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
KUBE_OUT=$(realpath -m "${KUBE_OUT:-$HOME/.cache/pilotd-kube}")
KUBE_STATE=$(realpath -m "${KUBE_STATE:-$KUBE_OUT}")
export KUBE_DIR KUBE_OUT KUBE_STATE # image tables may use the first two

BIN=$KUBE_OUT/bin            # what build.sh made; all clusters use it
RUN=$KUBE_STATE/run          # state of one cluster: etcd data, kubelet folder, pids, ports
LOG=$KUBE_STATE/log          # one log per component
PKI=$KUBE_STATE/pki          # keys and certificates, kept from run to run
ADMIN=$KUBE_STATE/kubeconfig # cluster-admin
VOLATILE=/run/pilotd-kube    # CRI socket and container roots (a socket path must be short); with namespaces only

NODE_NS=pk-node CLIENT_NS=pk-client POD_NS_PREFIX=pkp-
NODE_NAME=node1
NODE_IP=10.90.0.1
LINK_NODE=10.91.0.1 LINK_CLIENT=10.91.0.2
POD_CIDR=10.244.0.0/16 SERVICE_CIDR=10.96.0.0/16 API_IP=10.96.0.1 DNS_IP=10.96.0.10 LB_POOL=10.92.0.0/24

# Where the cluster's processes listen. up.sh writes another choice to $RUN/net.
NET=namespaces API_ADDRESS=$NODE_IP API_PORT=6443 ETCD_PORT=2379 PEER_PORT=2380
if [ -e "$RUN/net" ]; then
	. "$RUN/net"
fi

die() { echo "$(basename "$0"): $*" >&2; exit 1; }
need_root() { [ "$NET" = loopback ] || [ "$(id -u)" = 0 ] || die "needs root (network namespaces, mounts)"; }
need_namespaces() { [ "$NET" = namespaces ] || die "a cluster on loopback has no networks of its own"; }

one_instance() { # the names of the networks exist once per machine
	local owner
	[ "$NET" = namespaces ] || return 0
	{ read -r owner <$VOLATILE/owner; } 2>/dev/null || return 0 # not $(<file): a missing file would end a shell with -e
	[ "$owner" = "$KUBE_STATE" ] ||
		die "the cluster with KUBE_STATE=$owner is up, or was left by a crash: run down.sh with that KUBE_STATE first"
}

# Replaces the shell; in_node does the same in a child.
enter_node() {
	[ "$NET" = loopback ] && exec "$@"
	exec nsenter --net=/run/netns/$NODE_NS "$@"
}
in_node() { (enter_node "$@"); }
kubectl() { in_node "$BIN/kube" kubectl --kubeconfig "$ADMIN" "$@"; }

# Three ports in a row that nothing listens on, below the range from which the kernel takes ports for outgoing connections.
free_ports() {
	local base i
	for _ in $(seq 100); do
		base=$((20000 + (RANDOM << 1 | RANDOM & 1) % 12000))
		for i in 0 1 2; do
			(: <"/dev/tcp/127.0.0.1/$((base + i))") 2>/dev/null && continue 2
		done
		echo $base
		return
	done
	die "no free ports"
}
# choose_net loopback|namespaces: for a new cluster; one that lives keeps what it has.
choose_net() {
	local base
	if [ ! -e "$RUN/net" ] && [ "$1" = loopback ]; then
		base=${KUBE_PORT:-$(free_ports)}
		echo "NET=loopback API_ADDRESS=127.0.0.1 API_PORT=$base ETCD_PORT=$((base + 1)) PEER_PORT=$((base + 2))" >"$RUN/net"
	elif [ ! -e "$RUN/net" ]; then
		echo "NET=namespaces" >"$RUN/net"
	fi
	. "$RUN/net"
	[ "$NET" = "$1" ] || die "the cluster in $KUBE_STATE is of another sort ($NET): run down.sh first"
}

# A pid file holds pid and start time, so that a later process with the same pid is never taken for ours.
start_time() {
	local s
	{ read -r s <"/proc/$1/stat"; } 2>/dev/null || return 1
	s=${s##*) }
	# shellcheck disable=SC2086
	set -- $s
	[ "$1" != Z ] && echo "${20}" # a process that has ended but is not reaped yet does not count
}
pid_of() { # NAME -> its pid if that process still runs
	local pid start
	{ read -r pid start <"$RUN/pids/$1"; } 2>/dev/null || return 1
	[ -n "$start" ] && [ "$(start_time "$pid")" = "$start" ] && echo "$pid"
}
start() { # NAME COMMAND...: on the node, detached from this shell, unless it runs already
	local name=$1 pid
	shift
	pid_of "$name" >/dev/null && return 0
	(enter_node setsid nice -n "${KUBE_NICE:-0}" "$@") >"$LOG/$name.log" 2>&1 </dev/null &
	pid=$!
	echo "$pid $(start_time $pid)" >"$RUN/pids/$name"
}
stop() { # NAME...: TERM, then KILL after 10 s
	local n p i left pids=()
	for n in "$@"; do
		p=$(pid_of "$n") && pids+=("$p")
	done
	if [ ${#pids[@]} -gt 0 ]; then
		kill "${pids[@]}" 2>/dev/null
		for ((i = 0; i < 100; i++)); do
			left=()
			for n in "$@"; do p=$(pid_of "$n") && left+=("$p"); done
			[ ${#left[@]} -eq 0 ] && break
			sleep 0.1
		done
		[ ${#left[@]} -gt 0 ] && kill -9 "${left[@]}" 2>/dev/null
	fi
	for n in "$@"; do rm -f "$RUN/pids/$n"; done
}
wait_until() { # SECONDS NAME COMMAND...: until COMMAND succeeds; fails at once, with the log's end, if process NAME has ended
	local end=$((SECONDS + $1)) name=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		if ! pid_of "$name" >/dev/null; then
			tail -n 15 "$LOG/$name.log" >&2
			die "$name ended (log: $LOG/$name.log)"
		fi
		[ $SECONDS -lt $end ] || die "$name: not ready in time (log: $LOG/$name.log)"
		sleep 0.1
	done
}
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f s", b - a }'; }
write_kubeconfig() { # CA-FILE TOKEN [NAMESPACE]
	cat <<K
apiVersion: v1
kind: Config
clusters: [{name: pilotd-kube, cluster: {server: "https://$API_ADDRESS:$API_PORT", certificate-authority-data: $(base64 -w0 "$1")}}]
users: [{name: user, user: {token: $2}}]
contexts: [{name: pilotd-kube, context: {cluster: pilotd-kube, user: user, namespace: ${3:-default}}}]
current-context: pilotd-kube
K
}
