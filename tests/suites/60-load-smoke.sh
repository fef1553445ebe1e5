#!/usr/bin/env bash
# 50 simulated sidecars on 50 services, with each protocol and with both at once: counts only, never times. Every proxy gets
# its whole configuration; an endpoint change sends exactly one EDS resource to each; a change that nobody reads sends
# nothing; delta clients that come back with their versions receive nothing.
# timeout: 300
set -u
run() {
	echo "== $*"
	if ! tests/load/bench.py --bin "$PD_BUILD/bin" --services 50 --proxies 50 --rounds 3 --timeout 30 --settle 0 --idle 500 \
		--scale '' "$@"; then
		echo "wrong counts: $*"
		exit 1
	fi
}
run --protocols delta,sotw --no-floor
run --protocols mixed # and the floor serves the same
echo ok
