#!/usr/bin/env bash
# One CA; serving certificates of API server and kubelet; the API server's client certificate for the kubelet; the key that
# signs service account tokens; static tokens; kubeconfigs. Test material, kept from run to run.
# Made anew when the API server's address is another than last time.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
address=$API_ADDRESS:$API_PORT
[ "$(cat "$PKI/complete" 2>/dev/null)" = "$address" ] && [ -f "$ADMIN" ] && exit 0
rm -rf "$PKI"
(umask 077 && mkdir -p "$PKI")
cd "$PKI"
ec() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "$@" 2>/dev/null; }
ec -x509 -days 3650 -subj /CN=pilotd-kube-ca -keyout ca.key -out ca.crt
sign() { # NAME SUBJECT [SAN]
	ec -subj "$2" -keyout "$1.key" -out "$1.csr"
	openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -out "$1.crt" \
		-extfile <(echo "extendedKeyUsage=serverAuth,clientAuth"; [ -z "${3:-}" ] || echo "subjectAltName=$3") 2>/dev/null
	rm "$1.csr"
}
k=kubernetes
sign apiserver /CN=kube-apiserver "IP:127.0.0.1,IP:$NODE_IP,IP:$API_IP,DNS:localhost,DNS:$k,DNS:$k.default,DNS:$k.default.svc,DNS:$k.default.svc.cluster.local"
sign kubelet /CN=$NODE_NAME "IP:$NODE_IP,DNS:$NODE_NAME"
sign kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
openssl genrsa -out sa.key 2048 2>/dev/null
openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
: >tokens.csv
user() { # FILE USER UID [GROUP]
	local token
	token=$(openssl rand -hex 16)
	echo "$token,$2,$3${4:+,\"$4\"}" >>tokens.csv
	write_kubeconfig "$PKI/ca.crt" "$token" >"$1"
}
user "$ADMIN" admin 1 system:masters
user kcm.kubeconfig system:kube-controller-manager 2
user scheduler.kubeconfig system:kube-scheduler 3
user node.kubeconfig system:node:$NODE_NAME 4 system:nodes
user proxy.kubeconfig system:kube-proxy 5
chmod 600 "$ADMIN"
echo "$address" >complete
