#!/usr/bin/env bash
# Stops what up.sh started (by pid), ends its pods, removes its network namespaces and its state. Logs, keys and binaries stay.
#   down.sh [--quiet]
set -u
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
one_instance
t0=$(now)
stop kubelet kube-proxy lbassign controller-manager scheduler
stop nscri # ends its pods
stop apiserver
stop etcd
if [ "$NET" = loopback ]; then
	rm -rf "$RUN"
	[ "${1:-}" = --quiet ] || echo "down after $(since "$t0")"
	exit 0
fi
# What a killed nscri left: containers (by recorded pid and start time) and pod namespaces (by our prefix).
[ -x "$BIN/nscri" ] && "$BIN/nscri" -cleanup -state $VOLATILE/c -netns-prefix $POD_NS_PREFIX 2>/dev/null
awk -v p="$RUN/kubelet" '$2 == p || index($2, p "/") == 1 { print $2 }' /proc/mounts | sort -r | while read -r m; do umount -l "$(printf '%b' "$m")"; done
for n in $NODE_NS $CLIENT_NS; do
	if [ -e /run/netns/$n ]; then ip netns del $n; fi
done
# The kubelet links logs into a folder that cannot be chosen.
[ ! -d /var/log/containers ] || find /var/log/containers -maxdepth 1 -type l -lname "$RUN/pod-logs/*" -delete
rm -rf "$VOLATILE" "$RUN"
[ "${1:-}" = --quiet ] || echo "down after $(since "$t0")"
