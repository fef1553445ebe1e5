#!/usr/bin/env bash
# Mutual TLS between stock Envoys with pilot-proxy: pilotd's CA, sidecars behind iptables in network namespaces.
# sanitizers: yes
# timeout: 300
if [ "$(id -u)" -ne 0 ] || ! unshare --net --mount true 2>/dev/null; then
	echo "network namespaces need root"
	exit 77
fi
for program in ip iptables setpriv openssl; do
	if ! command -v $program >/dev/null; then
		echo "no $program (scripts/install.sh)"
		exit 77
	fi
done
exec unshare --net --mount sh -c 'mount -t tmpfs tmpfs /run && exec tests/envoy/run.sh test_mtls'
