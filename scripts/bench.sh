#!/usr/bin/env bash
# bench.sh [OPTION...]: the figures of docs/performance.md, from the release build (what `make bench` runs). Options are those
# of tests/load/bench.py (--help); --quick is a small run that only shows that everything works.
. "$(dirname "$0")/lib.sh"
pd_build release pilotd pilotd-load pilotd-floor || exit 1
if [ "${1:-}" = --quick ]; then
	shift
	set -- --services 100 --proxies 100 --rounds 3 --scale 100,300 --scale-rounds 10 --scale-settle 5000 "$@"
fi
exec python3 tests/load/bench.py --out build/bench.json "$@"
