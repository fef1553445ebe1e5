#!/usr/bin/env bash
# run_netns.sh FILE [TEST...]: run.sh in a network namespace of its own, in which tests may make others.
set -u
if [ "$(id -u)" -ne 0 ] || ! unshare --net --mount true 2>/dev/null; then
	echo "network namespaces need root"
	exit 77
fi
for program in ip iptables setpriv openssl; do
	if ! command -v $program >/dev/null; then
		echo "no $program (scripts/install.sh installs it)"
		exit 77
	fi
done
# ip keeps names of namespaces below /run: that must not be the host's.
exec unshare --net --mount sh -c 'mount -t tmpfs tmpfs /run && exec "$@"' sh "$(dirname "$0")/run.sh" "$@"
