#!/usr/bin/env bash
# 50 simulated sidecars on 50 services, with each protocol and with both at once: counts only, never times. Every proxy gets
# its whole configuration; an endpoint change sends exactly one EDS resource to each; a change that nobody reads sends
# nothing; delta clients that come back with their versions receive nothing.
# timeout: 300
set -u
for protocol in delta sotw mixed; do
	echo "== $protocol"
	if ! tests/load/bench.py --bin "$PD_BUILD/bin" --services 50 --proxies 50 --protocols "$protocol" --rounds 3 \
		--timeout 30 --scale ''; then
		echo "wrong counts with $protocol"
		exit 1
	fi
done
echo ok
